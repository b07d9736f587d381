"""What UNets are given, against what diffusers' pipelines give theirs."""

import pytest
import torch
from safetensors.torch import load_file

from ..tiny import tiny_vae
from ..tiny_concat import VECTORS, closed_form, concat_model, reference_vae, text, unet_inputs

CASES = {1: (40, 56), 2: (56, 40), 3: (24, 72)}
LOW_CASES = {1: (12, 20), 2: (20, 12), 3: (4, 28)}
# (batch, noise level)
UPSCALES = ((1, 0), (2, 20), (3, 250), (1, 350), (3, 0))
TOLERANCE = 1e-6


def pictures(batch, height, width, name, channels=3):
    return closed_form().picture(batch, height, width, channels, salt=f"{name}{batch}")


@pytest.fixture(scope="module")
def vae(booted):
    return reference_vae()


@pytest.fixture(scope="module")
def low_vae(booted):
    return tiny_vae(levels=3)


def first_call(model, positive, negative, latent, noise, timestep):
    """What the UNet gets when sampling begins at `timestep`: the first entry for each of cond_or_uncond."""
    import comfy.sample
    import comfy.samplers

    sigmas = torch.stack([model.model.model_sampling.sigmas[int(timestep)], torch.tensor(0.0)])
    with unet_inputs(model) as seen:
        comfy.sample.sample_custom(
            model, noise, 7.5, comfy.samplers.sampler_object("euler"), sigmas, positive, negative,
            latent["samples"], seed=0, disable_pbar=True,
        )  # fmt: skip
    chunks = {}
    for call in seen:
        count = len(call["cond_or_uncond"])
        for i, which in enumerate(call["cond_or_uncond"]):
            chunk = {k: v.chunk(count)[i] for k, v in call.items() if torch.is_tensor(v)}
            chunks.setdefault(which, chunk)
    return chunks


def check(chunk, sample, timestep):
    assert chunk["sample"].shape == sample.shape
    assert (chunk["sample"] - sample).abs().max() <= TOLERANCE
    assert (chunk["timestep"] == timestep).all()


def condition(host, kind, vae, **inputs):
    model = concat_model(kind)
    return host.call(
        "ISI_ConcatConditioning",
        model=model,
        positive=text(1),
        negative=text(2),
        vae=vae,
        kind=kind,
        **inputs,
    )


@pytest.mark.parametrize("batch", CASES)
def test_instruct_pix2pix(host, vae, batch):
    want = load_file(VECTORS / "instruct_pix2pix.safetensors")
    timestep = want[f"timestep.{batch}"].item()
    # diffusers' order: text and image, image alone, neither.
    both, image_only, neither = want[f"sample.{batch}"].chunk(3)
    out = condition(host, "instruct-pix2pix", vae, image=pictures(batch, *CASES[batch], "image"))
    chunks = first_call(*out, want[f"noise.{batch}"], timestep)
    check(chunks[0], both, timestep)
    check(chunks[1], image_only, timestep)
    model, positive, negative, latent = out
    (guider,) = host.call(
        "ISI_EditGuider", model=model, positive=positive, negative=negative, text_cfg=7.5, image_cfg=1.5
    )
    with unet_inputs(model) as seen:
        sigmas = torch.stack([model.model.model_sampling.sigmas[int(timestep)], torch.tensor(0.0)])
        import comfy.samplers

        sampler = comfy.samplers.sampler_object("euler")
        guider.sample(want[f"noise.{batch}"], latent["samples"], sampler, sigmas, disable_pbar=True, seed=0)
    check(seen[-1], neither, timestep)
    assert seen[-1]["cond_or_uncond"] == [1]


@pytest.mark.parametrize("batch", CASES)
def test_depth(host, vae, batch):
    want = load_file(VECTORS / "depth.safetensors")
    height, width = CASES[batch]
    out = condition(
        host, "depth", vae, image=pictures(batch, height, width, "image"),
        depth=pictures(batch, height - 3, width - 5, "depth", 1),
    )  # fmt: skip
    timestep = want[f"timestep.{batch}"].item()
    chunks = first_call(*out, want[f"noise.{batch}"], timestep)
    for which, sample in zip((1, 0), want[f"sample.{batch}"].chunk(2), strict=True):
        check(chunks[which], sample, timestep)


@pytest.mark.parametrize("batch", CASES)
def test_inpaint(host, vae, batch):
    want = load_file(VECTORS / "inpaint.safetensors")
    image = pictures(batch, *CASES[batch], "image")
    mask = pictures(batch, *CASES[batch], "mask", 1)[..., 0]
    model, positive, negative, latent = condition(host, "inpaint", vae, image=image, mask=mask)
    timestep = want[f"timestep.{batch}"].item()
    blank = {"samples": torch.zeros_like(latent["samples"])}
    chunks = first_call(model, positive, negative, blank, want[f"noise.{batch}"], timestep)
    for which, sample in zip((1, 0), want[f"sample.{batch}"].chunk(2), strict=True):
        check(chunks[which], sample, timestep)


@pytest.mark.parametrize(("batch", "level"), UPSCALES)
def test_upscale(host, low_vae, batch, level):
    want = load_file(VECTORS / "upscale.safetensors")
    out = condition(
        host, "upscale-x4", low_vae, image=pictures(batch, *LOW_CASES[batch], "low"),
        noise_level=level, noise_seed=100 + batch,
    )  # fmt: skip
    timestep = want[f"timestep.{batch}.{level}"].item()
    state = torch.get_rng_state()
    chunks = first_call(*out, want[f"noise.{batch}"], timestep)
    assert torch.equal(torch.get_rng_state(), state)
    labels = want[f"labels.{batch}.{level}"].chunk(2)
    for which, sample in zip((1, 0), want[f"sample.{batch}.{level}"].chunk(2), strict=True):
        check(chunks[which], sample, timestep)
        assert torch.equal(chunks[which]["y"], labels[which]) and chunks[which]["y"].dtype == torch.long
