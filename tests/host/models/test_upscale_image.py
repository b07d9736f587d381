"""ISI_UpscaleImage: random networks of spandrel's ESRGAN against their untiled runs, files, sizes, alpha."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ..harness import Failed
from ..tiny import fill


@pytest.fixture(autouse=True, scope="module")
def folder(booted) -> Path:
    """Where the host looks for upscale models."""
    import folder_paths

    # Outside of a prompt the host's progress hook asks for the last one.
    booted.server.last_prompt_id = booted.server.last_node_id = None
    folder = Path(folder_paths.get_folder_paths("upscale_models")[0])
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def esrgan(scale: int = 2, in_nc: int = 3, out_nc: int | None = None):
    """A small ESRGAN with random weights that still returns something like its input."""
    from spandrel import ModelLoader
    from spandrel.architectures.ESRGAN.__arch.RRDB import RRDBNet

    network = RRDBNet(in_nc=in_nc, out_nc=out_nc or in_nc, num_filters=8, num_blocks=1, scale=scale)
    fill(network, scale)
    with torch.no_grad():
        list(network.modules())[-1].bias.fill_(0.5)
        list(network.modules())[-1].weight.mul_(0.3)
    return network, ModelLoader().load_from_state_dict(network.state_dict()).eval()


def picture(height: int, width: int, channels: int = 3, batch: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(height + width)
    return torch.rand(batch, height, width, channels, generator=generator)


@pytest.mark.parametrize("scale", [2, 4])
def test_tiled_is_untiled(booted, scale):
    from isi.host.models.upscale_models import upscale

    _, model = esrgan(scale)
    image = picture(75, 110)
    before = image.clone()
    whole = model(image.movedim(-1, 1).contiguous()).movedim(1, -1)
    assert whole.std() > 0.02 and ((whole > 0.01) & (whole < 0.99)).float().mean() > 0.9
    tiled = upscale(image, 75 * scale, 110 * scale, model, tile=72, overlap=64)
    assert (tiled - whole).abs().max() <= 1e-4
    assert torch.equal(upscale(image, 75 * scale, 110 * scale, model, tile=512), whole)
    assert torch.equal(image, before)


def test_tiles_have_no_slivers(booted):
    from isi.host.models.upscale_models import upscale

    _, model = esrgan()
    seen = []
    hook = model.model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape[-2:]))
    upscale(picture(130, 70), 260, 140, model, tile=64, overlap=16)
    hook.remove()
    assert len(set(seen)) == 1 and min(seen[0]) > 40


@pytest.mark.parametrize("target", [(37, 53), (100, 100), (33, 41), (20, 30), (150, 111), (1, 1)])
def test_any_size_comes_out_exactly(booted, target):
    from isi.host.models.upscale_models import passes, upscale

    _, model = esrgan()
    image = picture(33, 41, batch=2)
    made = upscale(image, *target, model)
    assert made.shape == (2, *target, 3) and made.isfinite().all() and made.min() >= 0 and made.max() <= 1
    sizes = passes((33, 41), target, 2)
    largest = [max(n, t, m) for n, t, m in zip((33 * 2, 41 * 2), target, (0, 0), strict=True)]
    assert all(h * 2 <= largest[0] + 2 and w * 2 <= largest[1] + 2 for h, w in sizes)


def test_alpha_grey_and_single_channel_networks(booted):
    from isi.core.pictures.resize import lanczos
    from isi.host.models.upscale_models import upscale

    _, model = esrgan()
    rgba = picture(30, 40, channels=4)
    made = upscale(rgba, 60, 80, model)
    assert torch.equal(made[..., :3], upscale(rgba[..., :3], 60, 80, model))
    assert torch.equal(made[..., 3:], lanczos(rgba[..., 3:], 60, 80))
    assert upscale(picture(30, 40, channels=1), 60, 80, model).shape == (1, 60, 80, 1)
    _, grey = esrgan(2, in_nc=1)
    made = upscale(rgba[..., :3], 60, 80, grey)
    one = grey(rgba[..., 1].unsqueeze(1))
    assert torch.allclose(made[..., 1], one[:, 0], atol=1e-5)


@pytest.mark.parametrize(("in_nc", "out_nc"), [(4, 4), (4, 3), (1, 3), (3, 1), (3, 4), (1, 1)])
def test_networks_of_other_channels(booted, in_nc, out_nc):
    from isi.host.models.upscale_models import upscale

    _, model = esrgan(2, in_nc, out_nc)
    assert (model.input_channels, model.output_channels) == (in_nc, out_nc)
    rgba = picture(30, 40, channels=4)
    made = upscale(rgba, 60, 80, model)
    colour = rgba[..., :3].movedim(-1, 1)
    red, green, blue = colour.split(1, 1)
    seen = {
        1: [0.299 * red + 0.587 * green + 0.114 * blue],
        3: [colour],
        4: [torch.cat([colour, torch.ones_like(red)], 1)],
    }[in_nc]
    if (in_nc, out_nc) == (1, 1):
        seen = [red, green, blue]
    made_of = torch.cat([model(one) for one in seen], 1)[:, :3]
    assert torch.allclose(made[..., :3], made_of.expand(-1, 3, -1, -1).movedim(1, -1), atol=1e-5)
    assert made.shape == (1, 60, 80, 4) and made[..., :3].std() > 0.005


def test_a_network_of_no_picture_is_one_sentence(booted):
    from isi.host.models.upscale_models import upscale

    _, model = esrgan(2, 3, 5)
    with pytest.raises(ValueError, match="1, 3 or 4 channels, but this one takes 3 and gives 5") as raised:
        upscale(picture(8, 8), 16, 16, model)
    assert "\n" not in str(raised.value)


def test_networks_that_want_to_see_the_whole_get_tiles_with_wide_overlap(booted):
    """SwinIR is one of them: the largest input stays a tile, and the result is near the whole's."""
    from isi.host.models.upscale_models import upscale
    from spandrel import ModelLoader, ModelTiling
    from spandrel.architectures.SwinIR.__arch.SwinIR import SwinIR

    network = SwinIR(
        img_size=16, window_size=8, embed_dim=12, depths=[2], num_heads=[2], mlp_ratio=2, upscale=2,
        upsampler="pixelshuffle",
    )  # fmt: skip
    torch.manual_seed(0)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.05) if weight.dim() > 1 else None
    model = ModelLoader().load_from_state_dict(network.state_dict()).eval()
    assert model.tiling == ModelTiling.DISCOURAGED
    seen = []
    hook = model.model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape[-2:]))
    image = picture(168, 200)
    tiled = upscale(image, 336, 400, model, tile=128, overlap=0)
    hook.remove()
    assert len(seen) == 4 and max(max(size) for size in seen) <= 128
    # Two tiles over 168 pixels share at least a quarter of 128.
    assert seen[0][0] >= (168 + 32) / 2
    whole = model(image.movedim(-1, 1)).movedim(1, -1)
    assert whole.std() > 0.01 and (tiled - whole).abs().max() <= 1e-4


def test_a_network_may_flatten_what_it_is_given(booted):
    """As GFPGAN does, a restorer of faces."""
    from isi.host.models.upscale_models import upscale

    _, model = esrgan()
    flat = []
    with model.model.register_forward_pre_hook(lambda module, given: flat.append(given[0].view(-1))):
        upscale(picture(40, 50), 80, 100, model, tile=32, overlap=8)
    assert len(flat) > 1


def test_sixteen_bits_stay(booted):
    """A network that returns its input: 4096 levels go in, 4096 come out."""
    from isi.core.pictures.srcnn import SRCNN
    from isi.host.models.upscale_models import upscale

    network = SRCNN(3)
    for p in network.parameters():
        p.data.zero_()
    for layer in (network.conv1, network.conv2, network.conv3):
        for c in range(3):
            layer.weight.data[c, c, layer.kernel_size[0] // 2, layer.kernel_size[1] // 2] = 1
    ramp = torch.linspace(0, 1, 4096).view(1, 1, 4096, 1).expand(1, 16, 4096, 3)
    assert (upscale(ramp, 16, 4096, network, tile=256) - ramp).abs().max() < 1e-6


def test_srcnn_from_a_file_tiled_is_untiled(host, folder):
    from isi.core.pictures.resize import lanczos
    from isi.core.pictures.srcnn import sharpen_luma, srcnn_from

    generator = torch.Generator().manual_seed(0)
    weights = {}
    for i, shape in enumerate([(64, 1, 9, 9), (32, 64, 5, 5), (1, 32, 5, 5)], 1):
        weights[f"conv{i}.weight"] = (
            torch.randn(shape, generator=generator) / (shape[1] * shape[2] ** 2) ** 0.5
        )
        weights[f"conv{i}.bias"] = torch.zeros(shape[0])
    save_file(weights, folder / "srcnn.safetensors")
    image = picture(70, 60)
    inputs = dict(factor=1.5, width=0, height=0, overlap=32, allow_gigapixel=False)
    (made,) = host.call(
        "ISI_UpscaleImage", image=image, model_name="srcnn.safetensors", tile_size=64, **inputs
    )
    large = lanczos(image, 105, 90).movedim(-1, 1)
    with torch.no_grad():
        whole = sharpen_luma(large, srcnn_from(weights)).movedim(1, -1)
    assert (made - whole).abs().max() <= 1e-5


def test_the_node_takes_sizes_files_and_loaded_models(host, folder):

    network, model = esrgan()
    save_file(network.state_dict(), folder / "tiny-esrgan.safetensors")
    image = picture(20, 30)

    def run(**given):
        inputs = dict(model_name="lanczos", factor=2.0, width=0, height=0, tile_size=512, overlap=32)
        return host.call("ISI_UpscaleImage", image=image, **inputs | {"allow_gigapixel": False} | given)[0]

    whole = model(image.movedim(-1, 1)).movedim(1, -1)
    assert torch.allclose(run(model_name="tiny-esrgan.safetensors"), whole, atol=1e-6)
    (loaded,) = host.call("UpscaleModelLoader", model_name="tiny-esrgan.safetensors")
    assert torch.allclose(run(upscale_model=loaded), whole, atol=1e-6)
    assert run(factor=1.0) is not None and torch.equal(run(factor=1.0), image)
    assert run(width=45).shape == (1, 30, 45, 3)
    assert run(height=10).shape == (1, 10, 15, 3)
    assert run(width=7, height=31).shape == (1, 31, 7, 3)


def test_bad_input(host, folder):
    save_file({"weight": torch.zeros(3, 3)}, folder / "no-upscaler.safetensors")
    (folder / "text.pth").write_text("not a model")
    image = picture(100, 100)

    def run(**given):
        inputs = dict(model_name="lanczos", factor=2.0, width=0, height=0, tile_size=512, overlap=32)
        return host.call("ISI_UpscaleImage", image=image, **inputs | {"allow_gigapixel": False} | given)[0]

    for name in ("no-upscaler.safetensors", "text.pth"):
        with pytest.raises(Failed, match=f"{name} is no upscaler.*lanczos"):
            run(model_name=name)
    with pytest.raises(Failed, match="gigapixel.*allow_gigapixel"):
        run(width=40_000, height=40_000)
    with pytest.raises(Failed):
        run(factor=-1.0)
    with pytest.raises(Failed, match="takes an image upscaler"):
        run(upscale_model=torch.nn.Linear(1, 1))


@pytest.mark.parametrize("kind", ["OutOfMemoryError", "AcceleratorError"])
def test_smaller_tiles_when_memory_runs_out(booted, kind):
    from isi.host.models.upscale_models import upscale

    _, model = esrgan()
    whole = model(picture(150, 150).movedim(-1, 1)).movedim(1, -1)

    def small_device(module, inputs):
        if inputs[0].shape[-1] > 100:
            raise getattr(torch, kind)("out of memory")

    hook = model.model.register_forward_pre_hook(small_device)
    made = upscale(picture(150, 150), 300, 300, model, tile=512, overlap=32)
    hook.remove()
    assert (made - whole).abs().max() < 0.02


def test_other_errors_of_a_network_are_its_own(booted):
    from isi.host.models.upscale_models import upscale

    _, model = esrgan()
    ran = []

    def broken(module, inputs):
        ran.append(1)
        raise RuntimeError("something else")

    hook = model.model.register_forward_pre_hook(broken)
    with pytest.raises(RuntimeError, match="something else"):
        upscale(picture(150, 150), 300, 300, model, tile=128, overlap=32)
    hook.remove()
    assert len(ran) == 1
