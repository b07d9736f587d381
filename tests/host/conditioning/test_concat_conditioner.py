"""Concat-conditioned models inside ISI Iterate: each step works on the last one's picture."""

import pytest
import torch

from ..harness import Failed
from ..tiny import tiny_clip, tiny_model, tiny_vae
from ..tiny_concat import concat_model, picture, sample, unet_inputs


@pytest.fixture(scope="module")
def clip(booted):
    return tiny_clip()


@pytest.fixture(scope="module")
def vae(booted):
    return tiny_vae()


def iterate(host, model, clip, vae, script, kind="auto", image=None, **settings):
    (conditioner,) = host.call("ISI_ConcatConditioner", kind=kind, **{"image_cfg": 1.0} | settings)
    plan, *_ = host.call(
        "ISI_Script", script=script, steps=2, cfg=3.0, denoise=1.0, final_denoise=1.0, curve="constant",
        seed=5, seed_mode="increment",
    )  # fmt: skip
    inputs = {} if image is None else {"image": image}
    return host.call(
        "ISI_Iterate", model=model, clip=clip, vae=vae, plan=plan, negative="", sampler_name="euler",
        scheduler="simple", conditioner=conditioner, **inputs,
    )  # fmt: skip


def test_every_edit_starts_from_the_last_result(host, clip, vae):
    model, image = concat_model("instruct-pix2pix"), picture(1, 40, 56, 3)
    with unet_inputs(model) as seen:
        final, *_ = iterate(host, model, clip, vae, "night; snow", "instruct-pix2pix", image)
    # By hand: one edit with the plain nodes, then the next on its result.
    shown = [image]
    for step, prompt in enumerate(("night", "snow")):
        (positive,) = host.call("CLIPTextEncode", clip=clip, text=prompt)
        (negative,) = host.call("CLIPTextEncode", clip=clip, text="")
        out = host.call(
            "ISI_ConcatConditioning", model=model, positive=positive, negative=negative, vae=vae,
            kind="instruct-pix2pix", image=shown[-1],
        )  # fmt: skip
        start = {"samples": vae.encode(shown[-1])}
        samples = sample(host, *out[:3], start, seed=5 + step, cfg=3.0)
        (decoded,) = host.call("VAEDecode", samples={"samples": samples}, vae=vae)
        shown.append(decoded)
        concat = seen[2 * step]["sample"][:1, 4:]
        assert torch.allclose(concat, vae.encode(shown[-2]), atol=1e-5)
    assert torch.allclose(final, shown[-1], atol=1e-4)


def test_image_cfg_asks_the_model_a_third_time(host, clip, vae):
    model, image = concat_model("instruct-pix2pix"), picture(1, 40, 56, 3)
    with unet_inputs(model) as seen:
        iterate(host, model, clip, vae, "night", "instruct-pix2pix", image, image_cfg=1.5)
    assert sum(len(call["cond_or_uncond"]) for call in seen) == 6


@pytest.mark.parametrize("connected", [True, False], ids=["conditioner", "alone"])
def test_inpaint_model_gets_the_mask_of_the_step(host, clip, vae, connected):
    """From the conditioner, and without one from the loop, which leaves a step without a mask alone."""
    model, image = concat_model("inpaint"), picture(1, 64, 64, 3)
    mask = torch.zeros(1, 64, 64)
    mask[:, :, :32] = 1
    given = {}
    if connected:
        given["conditioner"], *_ = host.call("ISI_ConcatConditioner", kind="auto", image_cfg=1.0)
    plan, *_ = host.call(
        "ISI_Script", script="a", steps=1, cfg=3.0, denoise=1.0, final_denoise=1.0, curve="constant", seed=5,
        seed_mode="increment",
    )  # fmt: skip
    inputs = {
        "model": model, "clip": clip, "vae": vae, "plan": plan, "negative": "", "sampler_name": "euler",
        "scheduler": "simple", **given,
    }  # fmt: skip
    with unet_inputs(model) as seen:
        host.call("ISI_Iterate", image=image, mask=mask, **inputs)
    channel = seen[0]["sample"][0, 4]
    assert (channel[:, :4] == 1).all() and (channel[:, 4:] == 0).all()
    masked = vae.encode(torch.where(mask[..., None] > 0, 0.5, image))
    known = model.get_model_object("latent_format").process_in(masked)
    assert torch.allclose(seen[0]["sample"][:1, 5:], known, atol=1e-5)
    if not connected:
        with unet_inputs(model) as seen:
            host.call("ISI_Iterate", image=image, **inputs)
            host.call("ISI_Iterate", width=64, height=64, **inputs)
        assert all((call["sample"][:, 4] == 1).all() for call in seen)


@pytest.mark.parametrize(
    ("kind", "settings", "with_image", "message"),
    [
        ("depth", {}, True, "depth"),
        ("inpaint", {}, True, "mask"),
        ("instruct-pix2pix", {}, False, "connect an image to ISI Iterate"),
        ("ic-light-fbc", {}, True, "background"),
        ("upscale-x4", {}, True, "shrinks by 4"),
    ],
)
def test_what_is_missing_is_said_before_sampling(host, clip, vae, kind, settings, with_image, message):
    model = concat_model(kind)
    image = picture(1, 40, 56, 3) if with_image else None
    with unet_inputs(model) as seen, pytest.raises(Failed, match=message):
        iterate(host, model, clip, vae, "a", kind, image, **settings)
    assert not seen


def test_a_standard_model_is_refused(host, clip, vae):
    with pytest.raises(Failed, match="standard text-to-image model"):
        iterate(host, tiny_model(), clip, vae, "a", image=picture(1, 40, 56, 3))


def test_x4_upscaler_takes_the_view_at_a_quarter(host, clip, booted):
    model, image = concat_model("upscale-x4"), picture(1, 64, 64, 3)
    with unet_inputs(model) as seen:
        final, *_ = iterate(host, model, clip, tiny_vae(levels=3), "sharp", image=image, noise_level=0)
    assert final.shape == image.shape and seen[0]["sample"].shape[1:] == (7, 16, 16)
