"""What a loop does, on each family of models that the host knows, against the host's own nodes by hand."""

import pytest
import torch
from isi.core.loop.engine import planar

from ..loop.test_iterate import Bench
from ..tiny_families import FAMILIES, family_models

TEXTS = ["a hill", "snow"]
TILING = {"overlap": 0, "blend": "cosine", "shift_grid": False, "wrap": "off", "tile_batch": 1}
TILING |= {"global_share": 0.3, "skip_flat": 0.0}
LOCK = {"strength": 1.0, "floor": 0.05, "min_area": 32}


class Chain:
    """The host's own nodes, one after the other."""

    def __init__(self, bench):
        self.bench, self.call = bench, bench.host.call

    def encode(self, pictures):
        """Of a video's VAE a picture at a time: it takes a batch for the frames of one video."""
        if getattr(self.bench.vae, "latent_dim", 2) == 2:
            return self.call("VAEEncode", pixels=pictures, vae=self.bench.vae)[0]
        each = [self.call("VAEEncode", pixels=one[None], vae=self.bench.vae)[0] for one in pictures]
        return {"samples": torch.cat([latent["samples"] for latent in each])}

    def sample(self, latent, k, denoise=0.6, model=None):
        return self.call(
            "KSampler", model=model or self.bench.model, positive=self.bench.text(TEXTS[k]),
            negative=self.bench.text("blurry"), latent_image=latent, seed=7 + k, steps=2, cfg=2.0,
            sampler_name="euler", scheduler="simple", denoise=denoise,
        )[0]  # fmt: skip

    def decode(self, latent):
        return self.call("VAEDecode", samples=latent, vae=self.bench.vae)[0]

    def step(self, picture, k, mask=None, model=None):
        latent = self.encode(picture)
        if mask is not None:
            (latent,) = self.call("SetLatentNoiseMask", samples=latent, mask=mask)
        made = self.decode(self.sample(latent, k, model=model))
        # As the loop carries it: convolutions round by layout.
        return made if mask is None else planar(torch.lerp(picture, made, mask[..., None]))


def halves(low):
    """A mask of two halves, which are whole cells of any latent: `low`, and 1."""
    mask = torch.full((1, 64, 64), low)
    mask[:, :, 32:] = 1.0
    return mask


def text_to_image(bench, chain, picture):
    (empty,) = bench.host.call("EmptyLatentImage", width=64, height=64, batch_size=1)
    if getattr(bench.vae, "latent_dim", 2) == 3 or bench.vae.latent_channels > 16:
        ratio = bench.vae.spacial_compression_encode()
        empty = {"samples": torch.zeros(1, bench.vae.latent_channels, 64 // ratio, 64 // ratio)}
    first = chain.decode(chain.sample(empty, 0, denoise=1.0))
    return chain.step(first, 1), {"image": None, "width": 64, "height": 64}


def image_to_image(bench, chain, picture):
    return chain.step(chain.step(picture, 0), 1), {}


def masked(bench, chain, picture):
    mask = halves(0.0)
    expected = chain.step(chain.step(picture, 0, mask), 1, mask)
    assert torch.equal(expected[:, :, :32], picture[:, :, :32])
    return expected, {"mask": mask}


def batch(bench, chain, picture):
    pictures = torch.cat([picture, picture.flip(1)])
    return chain.step(chain.step(pictures, 0), 1), {"image": pictures}


def latent_carry(bench, chain, picture):
    latent = chain.sample(chain.sample(chain.encode(picture), 0), 1)
    (memory,) = bench.host.call("ISI_Memory", carry="latent", blend="last", amount=0.5)
    return chain.decode(latent), {"memory": memory}


def tiles(bench, chain, picture):
    """One tile that covers all is the host without us; with two there is a picture."""
    least = 8 * bench.vae.spacial_compression_encode()
    one, two = (
        bench.host.call("ISI_TiledSampling", model=bench.model, tile_size=size, **TILING)[0]
        for size in (2 * least, least)
    )
    wide = torch.rand(1, least, least * 3 // 2, 3, generator=torch.Generator().manual_seed(1))
    made, *_ = bench.run(bench.plan("a", cfg=2.0), image=wide, model=two)
    assert made.shape == wide.shape and made.isfinite().all()
    return image_to_image(bench, chain, picture)[0], {"model": one}


def differential(bench, chain, picture):
    (model,) = bench.host.call("DifferentialDiffusion", model=bench.model, strength=1.0)
    mask = halves(0.4)
    expected = chain.step(chain.step(picture, 0, mask, model), 1, mask, model)
    return expected, {"model": model, "mask": mask}


def edit_lock(bench, chain, picture):
    for k in range(2):
        made = chain.step(picture, k)
        locked, _ = bench.host.call("ISI_LockEdit", before=picture, after=made, **LOCK)
        picture = planar(locked)
    return picture, {"drift": bench.host.call("ISI_EditLock", **LOCK)[0]}


TASKS = [text_to_image, image_to_image, masked, batch, latent_carry, tiles, differential, edit_lock]


def plan(bench):
    return bench.plan("; ".join(TEXTS), cfg=2.0)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.__name__)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_loop_equals_the_hosts_chain(host, picture, family, task):
    bench = Bench(host, *family_models(family))
    expected, given = task(bench, Chain(bench), picture)
    given = {"image": picture, "scheduler": "simple"} | given
    image, *_ = bench.run(plan(bench), **{name: value for name, value in given.items() if value is not None})
    assert expected.isfinite().all() and torch.equal(image, expected)
