"""ISI_ClipVisionConditioner against the host's own nodes, chained by hand, step by step."""

import functools

import pytest
import torch

from ..harness import Failed
from ..loop.test_iterate import Bench
from ..tiles.transformers import flux
from ..tiny import tiny_clip, tiny_vae
from ..tiny_conditions import tiny_clip_vision, tiny_redux, tiny_unclip
from ..tiny_edit import tiny_siglip2


@functools.cache
def bench_of(host, kind):
    if kind == "redux":
        bench = Bench(host, flux(), tiny_clip(width=8), tiny_vae(z_channels=16))
        bench.style = tiny_redux()
    else:
        bench = Bench(host, tiny_unclip(), tiny_clip(), tiny_vae())
        bench.style = None
    bench.vision = tiny_clip_vision()
    return bench


VALUES = {"strength": 0.7, "noise_augmentation": 0.3, "strength_type": "multiply", "crop": "center"}


def by_hand(bench, picture, image, values):
    call = bench.host.call
    for k, text in enumerate("ab"):
        (latent,) = call("VAEEncode", pixels=picture, vae=bench.vae)
        seen_at = picture if image is None else image
        (seen,) = call("CLIPVisionEncode", clip_vision=bench.vision, image=seen_at, crop=values["crop"])
        given = {"conditioning": bench.text(text), "clip_vision_output": seen, "strength": values["strength"]}
        if bench.style is None:
            (positive,) = call("unCLIPConditioning", noise_augmentation=values["noise_augmentation"], **given)
        else:
            style = {"style_model": bench.style, "strength_type": values["strength_type"]}
            (positive,) = call("StyleModelApply", **given, **style)
        (latent,) = call(
            "KSampler", model=bench.model, positive=positive, negative=bench.text("blurry"),
            latent_image=latent, seed=7 + k, steps=2, cfg=5.0, sampler_name="euler", scheduler="normal",
            denoise=0.6,
        )  # fmt: skip
        (picture,) = call("VAEDecode", samples=latent, vae=bench.vae)
    return picture


def conditioner(bench, **values):
    style = {} if bench.style is None else {"style_model": bench.style}
    given = {"clip_vision": bench.vision} | style | VALUES | values
    return bench.host.call("ISI_ClipVisionConditioner", **given)[0]


CASES = [
    ("unclip", {}, 0),
    ("unclip", {"crop": "none", "strength": 1.5}, 2),
    ("redux", {"strength": 0.4}, 0),
    ("redux", {"strength_type": "attn_bias", "strength": 0.5}, 1),
]


@pytest.mark.parametrize(("kind", "values", "own"), CASES)
def test_each_step_equals_the_hosts_nodes(host, picture, kind, values, own):
    bench = bench_of(host, kind)
    image = torch.cat([picture.flip(k + 1) for k in range(own)])[:, :48] if own else None
    expected = by_hand(bench, picture, image, VALUES | values)
    given = {} if image is None else {"image": image}
    plan = bench.plan("a; b")
    found, _, run = bench.run(plan, image=picture, conditioner=conditioner(bench, **values, **given))
    assert torch.equal(found, expected)
    off, _, without = bench.run(plan, image=picture, conditioner=conditioner(bench, strength=0.0, **given))
    plain, *_ = bench.run(plan, image=picture)
    assert torch.equal(off, plain) and not torch.equal(off, found) and run.keys[0] != without.keys[0]


def test_what_does_not_fit_is_said_before_sampling(host, bench, picture, calls):
    def refused(sentence, bench, given, image=picture):
        inputs = {} if image is None else {"image": image}
        with pytest.raises(Failed, match=sentence):
            bench.run(bench.plan("a"), conditioner=given, **inputs)

    unclip, redux = bench_of(host, "unclip"), bench_of(host, "redux")
    refused(
        "Expected an unCLIP model or SDXL for ISI CLIP Vision.*but got BaseModel", bench, conditioner(unclip)
    )
    other = conditioner(unclip, clip_vision=tiny_siglip2())
    refused("Expected a CLIP vision of 48 values for this model", unclip, other)
    refused(
        "does not fit its CLIP vision, of 64 channels",
        redux,
        conditioner(redux, clip_vision=tiny_siglip2(64)),
    )
    wide = conditioner(redux, style_model=tiny_redux(width=16))
    refused("makes tokens of 16 values, and the text of this model has 8", redux, wide)
    refused(
        "Expected a picture for ISI CLIP Vision Conditioner, but the first step",
        unclip,
        conditioner(unclip),
        None,
    )
    refused(
        "Expected one picture for ISI CLIP Vision.* batch of 2",
        unclip,
        conditioner(unclip),
        picture.repeat(2, 1, 1, 1),
    )
    empty = conditioner(unclip, image=torch.full((1, 8, 8, 3), torch.nan))
    refused("Expected a picture in image of ISI CLIP Vision Conditioner", unclip, empty)
    assert not calls
