"""The embedded models load through their node as the host's own classes, and a damaged file is named."""

import shutil

import pytest
import torch

KINDS = {"base": 4, "depth": 5, "upscale-x4": 7, "instruct-pix2pix": 8, "inpaint": 9, "ic-light-fc": 8}
KINDS |= {"ic-light-fbc": 12, "unclip": 4}


@pytest.fixture
def assets(tmp_path):
    from isi.host.models import mini

    return shutil.copytree(mini.ASSETS, tmp_path / "mini")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_loads_with_its_channels_and_finite_weights(host, kind):
    model, clip, vae, vision = host.call("ISI_MiniCheckpoint", kind=kind)
    unet = model.model.diffusion_model
    assert unet.input_blocks[0][0].weight.shape[1] == KINDS[kind]
    assert model.model.latent_format.latent_channels == 4
    for module in (unet, clip.cond_stage_model, vae.first_stage_model, vision.model):
        assert all(torch.isfinite(p.detach()).all() for p in module.parameters())
    assert vae.spacial_compression_decode() == (4 if kind == "upscale-x4" else 8)


def test_the_host_conditions_the_kinds_that_it_knows(host):
    import comfy.model_base

    model, _, _, _ = host.call("ISI_MiniCheckpoint", kind="instruct-pix2pix")
    assert isinstance(model.model, comfy.model_base.SD15_instructpix2pix)
    model, _, _, _ = host.call("ISI_MiniCheckpoint", kind="inpaint")
    assert model.model.concat_keys == ("mask", "masked_image")
    model, _, _, _ = host.call("ISI_MiniCheckpoint", kind="upscale-x4")
    assert isinstance(model.model, comfy.model_base.SD_X4Upscaler)
    model, _, _, _ = host.call("ISI_MiniCheckpoint", kind="unclip")
    assert isinstance(model.model, comfy.model_base.SD21UNCLIP)
    assert model.model.model_type == comfy.model_base.ModelType.EPS


def test_base_samples_a_finite_picture_that_follows_the_seed(host):
    model, clip, vae, _ = host.call("ISI_MiniCheckpoint", kind="base")
    (positive,) = host.call(
        "CLIPTextEncode", clip=clip, text="a large (red:1.3) circle on a white background"
    )
    (negative,) = host.call("CLIPTextEncode", clip=clip, text="")
    (latent,) = host.call("EmptyLatentImage", width=128, height=128, batch_size=1)

    def picture(seed):
        settings = {"steps": 4, "cfg": 4.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
        inputs = {"model": model, "positive": positive, "negative": negative, "latent_image": latent}
        (out,) = host.call("KSampler", seed=seed, **inputs, **settings)
        return host.call("VAEDecode", samples=out, vae=vae)[0]

    first, again, other = picture(1), picture(1), picture(2)
    assert first.shape == (1, 128, 128, 3) and torch.isfinite(first).all() and first.std() > 0
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("name", ["base", "text", "vae", "clip-vision"])
def test_a_missing_file_is_named_with_its_cure(booted, assets, name):
    from isi.host.models import mini

    (assets / f"{name}.safetensors").unlink()
    with pytest.raises(ValueError, match=rf"{name}\.safetensors is missing.*[Rr]einstall.*git checkout"):
        mini.load_checkpoint("base", assets)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "text"])
def test_a_damaged_file_is_named(booted, assets, damage):
    from isi.host.models import mini

    path = assets / "base.safetensors"
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[-1] ^= 1
    path.write_bytes({"truncated": data[:1000], "flipped": data, "text": b"version https://git-lfs"}[damage])
    with pytest.raises(ValueError, match=r"base\.safetensors is damaged"):
        mini.load_checkpoint("base", assets)


def test_a_weight_difference_adds_to_base(booted):
    from isi.host.models import mini

    base, merged = mini.unet_weights("base"), mini.unet_weights("ic-light-fbc")
    delta = mini.read_weights("ic-light-fbc")
    first = "input_blocks.0.0.weight"
    padded = torch.nn.functional.pad(base[first], (0, 0, 0, 0, 0, 8))
    assert torch.equal(merged[first], padded + delta[first])
    assert merged.keys() == base.keys()
