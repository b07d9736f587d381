"""The host's Self-Attention Guidance in tiles, against the host's own on each tile alone."""

import pytest
import torch

from ..oracles import sample
from .transformers import node

pytestmark = pytest.mark.usefixtures("booted")

HEIGHT, WIDTH = 16, 32
"""A canvas of two tiles in latent cells."""

STEPS, SEED = 3, 3


def tiled(model, tile=128, **settings):
    from isi.core.tiles.tiling import Tiling
    from isi.host.tiles.tiled import TiledHandler, patch_tiled

    return patch_tiled(model, TiledHandler(Tiling(tile, **{"overlap": 0} | settings), progress=False))


def guided(model, scale=0.8):
    return node("SelfAttentionGuidance").execute(model, scale, 2.0).args[0]


def rand(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def run(model, latent, noise=None):
    """The host's KSampler; `noise` is what it draws unless given."""
    import comfy.sample

    noise = comfy.sample.prepare_noise(latent, SEED) if noise is None else noise
    return comfy.sample.sample(
        model, noise, STEPS, 3.0, "euler", "normal", [[rand(1, 77, 64), {}]], [[rand(1, 77, 64, seed=1), {}]],
        latent, denoise=0.8, disable_pbar=True, seed=SEED,
    )  # fmt: skip


def alone(model, latent):
    """Each half of the canvas sampled as a picture of its own, with its part of the noise."""
    import comfy.sample

    noise = comfy.sample.prepare_noise(latent, SEED)
    halves = (slice(0, WIDTH // 2), slice(WIDTH // 2, WIDTH))
    return torch.cat([run(model, latent[..., at].clone(), noise[..., at].clone()) for at in halves], -1)


@pytest.mark.parametrize("pictures", [1, 2])
@pytest.mark.parametrize("others", [False, True], ids=["alone", "with another guidance"])
def test_separate_tiles_are_each_guided_as_the_host_guides_a_picture(model, pictures, others):
    if others:  # which asks for the positive alone before each blur
        model = node("PerturbedAttentionGuidance").execute(model, 2.0).args[0]
    latent = rand(pictures, 4, HEIGHT, WIDTH, seed=2)
    expected = alone(guided(model), latent)
    assert torch.equal(run(tiled(guided(model)), latent), expected)
    assert (expected - alone(model, latent)).abs().max() > 0.01


def test_tiles_that_share_a_call_keep_their_own_attention(model):
    latent = rand(1, 4, HEIGHT, WIDTH, seed=2)
    together = run(tiled(guided(model), batch=2), latent)
    expected = alone(guided(model), latent)
    assert (together - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_one_tile_over_all_is_the_hosts_own(model):
    latent = rand(1, 4, HEIGHT, WIDTH, seed=2)
    assert torch.equal(run(tiled(guided(model), 512), latent), run(guided(model), latent))


def test_the_hosts_function_is_its_own_again_after_a_run(model):
    latent, ours = rand(1, 4, HEIGHT, WIDTH, seed=2), guided(model)
    before = run(ours, latent)
    run(tiled(ours), latent)
    assert torch.equal(run(ours, latent), before)


def test_a_tile_that_is_left_as_it_is_is_not_guided(model):
    latent = rand(1, 4, HEIGHT, 2 * WIDTH, seed=2)
    latent[..., :WIDTH] = 0.5
    settings = {"steps": 6, "denoise": 0.3, "cfg": 3.0}
    texts = {"positive": [[rand(1, 77, 64), {}]], "negative": [[rand(1, 77, 64, seed=1), {}]]}
    plain, ours = (
        sample(tiled(own, skip_flat=0.02), latent, **settings, **texts) for own in (model, guided(model))
    )
    flat, other = (ours - plain).abs()[..., : WIDTH // 2], (ours - plain).abs()[..., -WIDTH:]
    assert flat.max() == 0 and other.max() > 1e-3


def test_demofusion_blurs_by_the_tiles_attention_and_not_by_that_of_sparse_pictures(model, monkeypatch):
    from isi.core.tiles.demofusion import DemoFusion
    from isi.host.tiles.demofusion import patch_demofusion

    ours = guided(model)
    seen, blur = [], ours.model_options["sampler_post_cfg_function"][0].__globals__
    real = blur["create_blur_map"]
    monkeypatch.setitem(
        blur, "create_blur_map", lambda x0, scores, *more: (seen.append(x0.shape), real(x0, scores, *more))[1]
    )
    latent = rand(1, 4, HEIGHT, WIDTH, seed=2)
    for tile, shapes in ((128, {(1, 4, 16, 16)}), (512, {(1, 4, 16, 32)})):
        seen.clear()
        result = run(patch_demofusion(tiled(ours, tile), DemoFusion(2)), latent)
        assert set(seen) == shapes and torch.isfinite(result).all()
