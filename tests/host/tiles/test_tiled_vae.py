"""Tiled VAE against the untiled run of the same host VAE."""

import copy

import pytest
import torch

from ..tiny import fill, tiny_vae


@pytest.fixture(autouse=True, scope="module")
def no_prompt(booted):
    """Outside of a prompt the host's progress hook asks for the last one."""
    booted.server.last_prompt_id = booted.server.last_node_id = None


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


def pictures(height: int, width: int, channels: int = 3, batch: int = 1) -> torch.Tensor:
    """Smooth colour with detail that differs from place to place, so that local statistics would be wrong."""
    generator = torch.Generator().manual_seed(height * width)
    ramp = torch.linspace(0, 1, width).expand(batch, height, width)
    noise = torch.rand(batch, height, width, channels, generator=generator)
    return ramp.unsqueeze(-1) ** 3 * noise


def latents(height: int, width: int, channels: int = 4, batch: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(height + width)
    ramp = torch.linspace(0.1, 3, width)
    return torch.randn(batch, channels, height, width, generator=generator) * ramp


def flux2_vae():
    """An autoencoder with the batch norm and the pixel shuffle of Flux.2."""
    import comfy.sd
    from comfy.ldm.models.autoencoder import AutoencoderKL

    params = {
        "double_z": True, "z_channels": 4, "resolution": 64, "in_channels": 3, "out_ch": 3, "ch": 32,
        "ch_mult": [1, 2], "num_res_blocks": 1, "attn_resolutions": [], "dropout": 0.0,
        "batch_norm_latent": True,
    }  # fmt: skip
    seedling = AutoencoderKL(embed_dim=4, ddconfig=dict(params))
    fill(seedling, 3)
    seedling.bn.running_mean.copy_(torch.linspace(-1, 1, 16))
    seedling.bn.running_var.copy_(torch.linspace(0.5, 2, 16))
    config = {"params": {"embed_dim": 4, "ddconfig": params}}
    vae = comfy.sd.VAE(sd=seedling.state_dict(), config=config, dtype=torch.float32)
    vae.latent_channels, vae.downscale_ratio, vae.upscale_ratio = 16, 4, 4
    return vae


@pytest.mark.parametrize("size", [(11, 13), (8, 20), (17, 9)])
@pytest.mark.parametrize("levels", [4, 3])
def test_decode_equals_the_untiled_run(booted, size, levels):
    from isi.host.tiles.tiled_vae import decode, is_exact

    vae = tiny_vae(levels=levels)
    assert is_exact(vae)
    z = latents(*size, batch=2)
    ours = decode(vae, z, 32, 16)
    assert ours.shape == (2, size[0] * vae.upscale_ratio, size[1] * vae.upscale_ratio, 3)
    whole = vae.decode(z)
    assert whole.std() > 0.05
    assert (ours - whole).abs().max() <= 1e-4


@pytest.mark.parametrize("size", [(88, 104), (67, 165), (131, 70)])
def test_encode_equals_the_untiled_run_at_any_size(booted, vae, size):
    from isi.host.tiles.tiled_vae import encode

    picture = pictures(*size, batch=2)
    before = picture.clone()
    whole = vae.encode(picture)
    assert whole.std() > 0.05
    assert (encode(vae, picture, 40, 16) - whole).abs().max() <= 1e-4
    assert torch.equal(picture, before)


def test_a_fourth_channel_goes_where_the_host_lets_it(booted, vae):
    from isi.host.tiles.tiled_vae import encode

    picture = pictures(96, 130, channels=4)
    assert (encode(vae, picture, 64, 16) - vae.encode(picture)).abs().max() <= 1e-4


def test_the_batch_norm_of_flux2(booted):
    from isi.host.tiles.tiled_vae import decode, encode, is_exact

    vae = flux2_vae()
    assert is_exact(vae)
    picture = pictures(88, 120)
    z = vae.encode(picture)
    assert z.shape == (1, 16, 22, 30)
    assert (encode(vae, picture, 48, 16) - z).abs().max() <= 1e-4
    assert (decode(vae, z, 48, 16) - vae.decode(z)).abs().max() <= 1e-4


@pytest.mark.parametrize("kind", ["base", "upscale-x4"])
def test_norms_with_groups_of_their_own(host, kind):
    """The mini models' norms have groups of eight channels, so one network has several numbers of groups."""
    from isi.host.tiles.tiled_vae import decode, encode, is_exact

    vae = host.call("ISI_MiniCheckpoint", kind=kind)[2]
    groups = {m.num_groups for m in vae.first_stage_model.modules() if isinstance(m, torch.nn.GroupNorm)}
    assert is_exact(vae) and len(groups) > 1
    picture = pictures(104, 160)
    z = vae.encode(picture)
    assert (encode(vae, picture, 64, 16) - z).abs().max() <= 1e-5 * z.abs().max()
    assert (decode(vae, z, 64, 16) - vae.decode(z)).abs().max() <= 1e-5


def test_it_is_nearer_to_double_precision_than_the_untiled_run(booted, vae):
    """Float32 sums of a whole picture round; statistics of tiles are merged in double precision."""
    from isi.host.tiles.tiled_vae import decode, encode

    double, picture = copy.deepcopy(vae.first_stage_model).double(), pictures(320, 256)
    exact = double.encode(picture.movedim(-1, 1).double() * 2 - 1)
    errors = [float((z - exact).abs().max()) for z in (encode(vae, picture, 64, 16), vae.encode(picture))]
    assert errors[0] <= 1e-5 * exact.abs().max() and errors[0] < errors[1]
    whole = double.decode(exact).movedim(1, -1) / 2 + 0.5
    assert (decode(vae, exact.float(), 64, 16) - whole.clamp(0, 1)).abs().max() <= 1e-5


def test_one_tile_is_the_host_bit_for_bit(host, vae):
    z = latents(12, 9)
    (ours,) = host.call("ISI_TiledVAEDecode", samples={"samples": z}, vae=vae, tile_size=128, overlap=64)
    assert torch.equal(ours, vae.decode(z))
    picture = pictures(72, 96)
    (ours,) = host.call("ISI_TiledVAEEncode", pixels=picture, vae=vae, tile_size=128, overlap=64)
    assert torch.equal(ours["samples"], vae.encode(picture))


def sweeps(vae, size, tile, share=0.25, folder=None, **options):
    from isi.core.tiles.tiles import fit_layout
    from isi.host.loop.scratch import Scratch
    from isi.host.tiles.tiled_vae import Sweeps

    class Steps:
        made = 0

        def update(self, n):
            self.made += n

    scratch = Scratch(vae.device, vae.vae_dtype, folder, share)
    return Sweeps(fit_layout(*size, tile, 0), vae.device, scratch, Steps(), **options)


def test_little_work_is_done_twice(booted, vae):
    z = latents(40, 64)[0]
    run = sweeps(vae, (40, 64), 32)
    run.decoder(vae.first_stage_model.decoder, z)
    assert 1 < run.area_ratio <= 1.3


def test_no_layer_sees_more_than_a_tile(booted, vae):
    """The largest input of any convolution stays what it is while the picture grows fourfold."""
    from isi.host.tiles.tiled_vae import decode

    largest = []

    def watch(module, inputs):
        largest[-1] = max(largest[-1], inputs[0].numel())

    convolutions = [m for m in vae.first_stage_model.modules() if isinstance(m, torch.nn.Conv2d)]
    hooks = [m.register_forward_pre_hook(watch) for m in convolutions if m.kernel_size == (3, 3)]
    for size in (12, 20):
        largest.append(0)
        decode(vae, latents(size, size), 32, 16)
    for hook in hooks:
        hook.remove()
    assert largest[0] == largest[1]


def test_features_on_disk_give_the_same_picture(booted, vae, tmp_path):
    z = latents(10, 14)[0]
    decoder = vae.first_stage_model.decoder
    in_memory = sweeps(vae, (10, 14), 8).decoder(decoder, z).data
    on_disk = sweeps(vae, (10, 14), 8, share=0, folder=tmp_path).decoder(decoder, z).data
    assert torch.equal(in_memory, on_disk)
    assert list(tmp_path.iterdir())


def test_attention_in_parts_is_attention_at_once(booted, vae):
    z = latents(10, 14)[0]
    decoder = vae.first_stage_model.decoder
    at_once = sweeps(vae, (10, 14), 8).decoder(decoder, z).data
    in_parts = sweeps(vae, (10, 14), 8, scores=140 * 9).decoder(decoder, z).data
    assert (at_once - in_parts).abs().max() <= 1e-4


def test_other_vaes_get_the_hosts_own_tiling(booted):
    import comfy.sd
    from comfy.taesd.taesd import TAESD
    from isi.host.tiles.tiled_vae import decode, is_exact

    small = TAESD(latent_channels=4)
    fill(small, 0)
    vae = comfy.sd.VAE(sd=small.state_dict())
    assert not is_exact(vae)
    z = latents(8, 12)
    assert torch.equal(decode(vae, z, 64, 16), vae.decode_tiled(z, tile_x=8, tile_y=8, overlap=2))


def test_progress_is_told_tile_by_tile_and_an_interrupt_is_heeded(host, vae, monkeypatch):
    import comfy.model_management

    from ..harness import Failed

    z = {"samples": latents(12, 12)}
    host.call("ISI_TiledVAEDecode", samples=z, vae=vae, tile_size=64, overlap=16)
    values = [data["nodes"] for event, data in host.events if event == "progress_state"]
    states = [state["node"] for state in values if state.get("node", {}).get("max", 1) > 1]
    assert states[-1]["value"] == states[-1]["max"]

    host.new_executor()
    calls = []

    def stop(module, inputs):
        calls.append(1)
        if len(calls) == 12:
            comfy.model_management.interrupt_current_processing()

    hook = vae.first_stage_model.decoder.conv_in.register_forward_pre_hook(stop)
    hooks = [m.register_forward_pre_hook(stop) for m in vae.first_stage_model.decoder.mid.modules()
             if isinstance(m, torch.nn.Conv2d) and m.kernel_size == (3, 3)]  # fmt: skip
    try:
        with pytest.raises(Failed, match="interrupted"):
            host.call("ISI_TiledVAEDecode", samples=z, vae=vae, tile_size=64, overlap=16)
    finally:
        for one in [hook, *hooks]:
            one.remove()
    assert len(calls) == 12


def test_host_functions_are_left_alone(booted, vae):
    import comfy.ldm.modules.diffusionmodules.model as layers
    import comfy.sd
    from isi.host.tiles.tiled_vae import decode, encode

    def identities():
        return [id(f) for kind in (layers.ResnetBlock, layers.AttnBlock, layers.Decoder, comfy.sd.VAE)
                for f in vars(kind).values() if callable(f)]  # fmt: skip

    before = identities()
    forwards = [m.__dict__.get("forward") for m in vae.first_stage_model.modules()]
    decode(vae, latents(10, 10), 64, 16)
    encode(vae, pictures(80, 80), 64, 16)
    assert identities() == before
    assert [m.__dict__.get("forward") for m in vae.first_stage_model.modules()] == forwards


def test_too_many_pictures_are_one_sentence_before_the_first_is_decoded(booted, vae, monkeypatch):
    from isi.core.loop import room
    from isi.host.tiles.tiled_vae import decode

    latent, ran = latents(16, 24, batch=5), []
    vae.first_stage_model.decoder.conv_in.register_forward_hook(lambda *_: ran.append(1))
    one = 3 * 16 * 24 * (4 * vae.spacial_compression_decode() ** 2)
    monkeypatch.setattr(room, "free_memory", lambda device=room.CPU: 6 * one)
    with pytest.raises(ValueError, match="5 decoded pictures of .*fewer pictures at once") as raised:
        decode(vae, latent, 64, 0)
    assert "\n" not in str(raised.value) and not ran
    assert len(decode(vae, latent[:3], 64, 0)) == 3 and ran
