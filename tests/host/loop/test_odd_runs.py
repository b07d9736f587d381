"""Runs that people really started and that went wrong: each works now, or one sentence says why it can't."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from ..harness import Failed
from ..tiny_families import family_models
from .test_iterate import Bench

HALF_AN_EMOJI = "a boat \ud83d"


@pytest.mark.parametrize("denoise", ["1e-9", ".0001"])
def test_a_denoise_of_next_to_nothing_is_none(bench, picture, denoise, monkeypatch):
    """The host would make billions of noise levels, and take the last two."""
    import comfy.samplers

    made = []
    real = comfy.samplers.calculate_sigmas

    def counted(sampling, scheduler, steps):
        made.append(steps)
        return real(sampling, scheduler, steps)

    monkeypatch.setattr(comfy.samplers, "calculate_sigmas", counted)
    plan = bench.plan(f"a tree @denoise={denoise}", steps=20)
    image, _, _ = bench.run(plan, image=picture)
    (latent,) = bench.host.call("VAEEncode", pixels=picture, vae=bench.vae)
    untouched, _ = bench.chain(latent, ["a tree"], denoise=0.0)
    assert max(made, default=0) <= 100_000
    assert torch.equal(image, untouched)


def test_the_switch_that_keeps_metadata_out_of_files_is_obeyed(bench, picture, monkeypatch):
    import comfy.cli_args
    import folder_paths

    def texts(name):
        bench.run(image=picture, run_name=name)
        (file,) = Path(folder_paths.get_output_directory(), "isi", name).glob("0001-*.png")
        with Image.open(file) as image:
            return dict(image.text)

    assert "isi" in texts("with-metadata")
    monkeypatch.setattr(comfy.cli_args.args, "disable_metadata", True)
    assert texts("without-metadata") == {}


@pytest.mark.parametrize("name", ["हिन्दी", "ภาษาไทย", "cafe\u0301", "山水" * 33, "한국어 (2)"])
def test_names_in_every_script_make_files(bench, picture, name):
    _, _, run = bench.run(bench.plan("a"), image=picture, run_name=name)
    (image, *_) = bench.host.call("ISI_OpenRun", run_name=name, iteration=1)
    assert run.name == name and torch.isfinite(image).all()


@pytest.mark.parametrize("name", ["山" * 67, "a" * 101, "a\ud83d", "\u0301a" * 60, "con", "a/b", "a."])
def test_names_that_no_disk_takes_are_refused_when_queued(bench, picture, name):
    with pytest.raises(Failed, match="run_name|half a character"):
        bench.run(bench.plan("a"), image=picture, run_name=name)


def test_an_empty_batch_is_one_sentence(bench):
    with pytest.raises(Failed, match="empty batch"):
        bench.run(image=torch.zeros(0, 64, 64, 3))


def test_a_picture_of_one_pixel_stays_one(bench):
    image, _, _ = bench.run(bench.plan("a"), image=torch.full((1, 1, 1, 3), 0.25))
    assert image.shape == (1, 1, 1, 3) and torch.isfinite(image).all()


def test_half_an_emoji_is_one_sentence(bench, picture):
    with pytest.raises(Failed, match="`script` of ISI Script has half a character at its place 8"):
        bench.plan(HALF_AN_EMOJI)
    with pytest.raises(Failed, match="`negative` of ISI Iterate has half a character"):
        bench.run(bench.plan("a"), image=picture, negative=HALF_AN_EMOJI)


def test_a_video_vae_gets_one_picture_at_a_time_but_for_the_node_in_tiles(booted):
    """Wan's own, made small: it takes a batch for the frames of one video."""
    import comfy.ldm.wan.vae
    import comfy.sd
    from isi.host.conditioning import concat
    from isi.host.loop.sampling import decode, encode
    from isi.host.tiles import tiled_vae

    torch.manual_seed(0)
    small = comfy.ldm.wan.vae.WanVAE(
        dim=8, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=2, attn_scales=[],
        temperal_downsample=[False, True, True], dropout=0.0,
    )  # fmt: skip
    for name, weight in small.named_parameters():
        torch.nn.init.ones_(weight) if name.endswith("gamma") else torch.nn.init.normal_(weight, std=0.05)
    vae = comfy.sd.VAE(sd=small.state_dict())
    pictures = torch.rand(3, 64, 64, 3)
    latents = encode(vae, pictures)
    assert latents.shape[0] == 3
    for one, latent in zip(pictures, latents, strict=True):
        assert torch.equal(vae.encode(one[None])[0], latent)
    assert decode(vae, latents).shape == pictures.shape
    assert torch.equal(concat.encode(vae, pictures), latents)
    # ISI Tiled VAE Encode is ComfyUI's node in tiles: there, they are the frames of one video.
    assert torch.equal(tiled_vae.encode(vae, pictures, 64, 8), vae.encode(pictures))
    frames = vae.encode_tiled(pictures, tile_x=48, tile_y=48, overlap=8)
    assert torch.equal(tiled_vae.encode(vae, pictures, 48, 8), frames) and len(frames) == 1


def test_a_large_cfg_on_a_model_that_takes_guidance_is_said(bench, picture, caplog, monkeypatch):
    config = bench.model.model.model_config.unet_config
    bench.run(bench.plan("a", cfg=7.0), image=picture)
    assert "FluxGuidance" not in caplog.text
    monkeypatch.setitem(config, "guidance_embed", True)
    bench.run(bench.plan("b", cfg=1.0), image=picture)
    assert "FluxGuidance" not in caplog.text
    bench.run(bench.plan("c", cfg=7.0), image=picture)
    assert "cfg 7 burns pictures of this model" in caplog.text


@pytest.mark.parametrize(("family", "name"), [("Flux", "Flux schnell"), ("Z-Image", "Z-Image Turbo")])
def test_a_cfg_that_no_model_of_a_layout_takes_is_said(host, picture, caplog, family, name):
    bench = Bench(host, *family_models(family))
    bench.run(bench.plan("a", cfg=5.0), image=picture)
    assert "burns" not in caplog.text
    bench.run(bench.plan("b; c @cfg=7.5"), image=picture)
    assert f"cfg 7.5 burns pictures of this model: {name} wants cfg 1" in caplog.text
