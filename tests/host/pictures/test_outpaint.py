"""Outpainting and inpainting nodes on the real host, with its own encoder, sampler and decoder."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ..harness import Failed
from ..studio import Studio, pixels, scene

ASPECT = {
    "extend": "aspect ratio",
    "extend.ratio": "16:9",
    "extend.anchor": "center",
    "extend.multiple_of": 8,
}
CANVAS = {"fill": "edge", "overlap": 8, "feather": "cosine", "seed": 0}
SIZE = {"size": "target", "size.width": 64, "size.height": 64}


def picture(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def box(height: int, width: int, top: int, bottom: int, left: int, right: int) -> torch.Tensor:
    mask = torch.zeros(1, height, width)
    mask[0, top:bottom, left:right] = 1
    return mask


def resample(host, model, clip, vae, pixels, mask, steps: int = 2):
    """Encode, sample under the mask, decode: what a user does between crop and stitch."""
    (positive,) = host.call("CLIPTextEncode", clip=clip, text="a red circle")
    (latent,) = host.call("VAEEncode", pixels=pixels[..., :3], vae=vae)
    (latent,) = host.call("SetLatentNoiseMask", samples=latent, mask=mask)
    (latent,) = host.call(
        "KSampler", model=model, positive=positive, negative=positive, latent_image=latent,
        seed=1, steps=steps, cfg=2.0, sampler_name="euler", scheduler="normal", denoise=1.0,
    )  # fmt: skip
    return host.call("VAEDecode", samples=latent, vae=vae)[0]


@pytest.mark.parametrize(
    ("extend", "size"),
    [
        (ASPECT, (64, 120)),
        (
            {"extend": "size", "extend.width": 77, "extend.height": 101, "extend.anchor": "top left"},
            (101, 77),
        ),
        (
            {
                "extend": "sides", "extend.left": 50, "extend.top": 0, "extend.right": 0, "extend.bottom": 25,
                "extend.unit": "percent", "extend.multiple_of": 1,
            },
            (80, 72),
        ),
    ],
)  # fmt: skip
def test_canvas_has_the_exact_size_and_keeps_the_picture(host, extend, size):
    image = picture(1, 2, 64, 48, 3)
    canvas, sample, composite, region, report = host.call(
        "ISI_OutpaintCanvas", image=image, **extend, **CANVAS
    )
    assert canvas.shape == (2, *size, 3) and sample.shape == composite.shape == (1, *size)
    rows, columns = slice(region["y"], region["y"] + 64), slice(region["x"], region["x"] + 48)
    assert torch.equal(canvas[:, rows, columns], image)
    assert (composite <= sample).all() and composite.max() == 1
    assert f"48x64 -> {size[1]}x{size[0]}" in report and "adds" in report


def test_a_target_smaller_than_the_picture_is_cut_by_its_anchor_and_the_report_says_so(host):
    image = picture(1, 1, 64, 48, 3)
    extend = {"extend": "size", "extend.width": 40, "extend.height": 80, "extend.anchor": "top left"}
    canvas, _, _, region, report = host.call("ISI_OutpaintCanvas", image=image, **extend, **CANVAS)
    assert torch.equal(canvas[:, :64], image[:, :, :40])
    assert region == {"x": 0, "y": 0, "width": 40, "height": 64} and "cuts 8 px right" in report


def test_outpainting_by_hand_changes_nothing_outside_the_composite_mask(host, model, clip, vae):
    image = picture(2, 1, 64, 48, 3)
    canvas, sample, composite, *_ = host.call("ISI_OutpaintCanvas", image=image, **ASPECT, **CANVAS)
    made = resample(host, model, clip, vae, canvas, sample)
    (out,) = host.call(
        "ImageCompositeMasked", destination=canvas, source=made, x=0, y=0, resize_source=False, mask=composite
    )
    assert torch.equal(out[composite == 0], canvas[composite == 0])
    assert not torch.equal(out[composite == 1], canvas[composite == 1])


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_crop_sample_stitch_leaves_the_rest_bit_for_bit(host, model, clip, vae, channels):
    image = picture(3, 1, 90, 70, channels) * 3
    masks = torch.cat([box(90, 70, 10, 30, 10, 25), box(90, 70, 60, 80, 40, 60)])
    stitch, crops, mask = host.call("ISI_CropForInpaint", image=image, mask=masks, **SIZE, padding=8, blend=4)
    assert crops.shape == (2, 64, 64, channels) and mask.shape == (2, 64, 64)
    made = resample(host, model, clip, vae, crops.expand(-1, -1, -1, max(3, channels)), mask)
    (out,) = host.call("ISI_Stitch", stitch=stitch, image=made, match=1.0)
    changed = (out != image).any(-1)[0]
    assert changed[15, 15] and changed[70, 50]
    rows, columns = changed.nonzero().T
    near = ((rows >= 6) & (rows < 34) & (columns >= 6) & (columns < 29)) | (
        (rows >= 56) & (rows < 84) & (columns >= 36) & (columns < 64)
    )
    assert near.all() and out.shape == image.shape
    assert channels != 4 or torch.equal(out[..., 3], image[..., 3])
    (same,) = host.call("ISI_Stitch", stitch=stitch, image=crops * 0, match=0.0)
    assert not torch.equal(same, out), "a stitch is a value: using it once must not use it up"


def test_mask_node_does_each_thing_in_order(host):
    mask = torch.zeros(1, 64, 64)
    mask[0, 10:30, 10:30] = 0.9
    mask[0, 15:20, 15:20] = 0
    mask[0, 50, 50] = 0.9
    off = {
        "threshold": 0.0, "fill_holes": False, "grow": 0, "feather": 0, "profile": "cosine", "latent": "off",
        "max_objects": 8,
    }  # fmt: skip
    same, objects, count = host.call("ISI_Mask", mask=mask, **off)
    assert torch.equal(same, mask) and count == 2 and torch.equal(objects.sum(0), mask[0])
    shaped = off | {"threshold": 0.5, "fill_holes": True, "grow": 2}
    grown, objects, _ = host.call("ISI_Mask", mask=mask, **shaped)
    assert torch.equal(grown, torch.maximum(box(64, 64, 8, 32, 8, 32), box(64, 64, 48, 53, 48, 53)))
    assert torch.equal(objects[0], box(64, 64, 8, 32, 8, 32)[0])
    blocks, _, _ = host.call("ISI_Mask", mask=mask, **off | {"latent": "max"})
    (latent,) = host.call("EmptyLatentImage", width=64, height=64, batch_size=1)
    from comfy.sampler_helpers import prepare_mask

    reduced = prepare_mask(blocks, latent["samples"].shape, torch.device("cpu"))
    assert reduced[0, 0, 6, 6] == pytest.approx(0.9), "a single pixel reaches the sampler"


def test_fill_node_fills_the_mask_only(host):
    image, mask = picture(4, 1, 40, 40, 4), box(40, 40, 10, 20, 10, 20)
    for mode in ("neutral", "edge", "blur", "telea", "navier-stokes", "patch noise"):
        out, _ = host.call("ISI_Fill", image=image, mask=mask, mode=mode, seed=0)
        assert torch.equal(out[mask == 0], image[mask == 0]) and (out[mask == 1][:, 3] == 1).all()


def test_bad_input_is_refused_in_one_sentence(host):
    image = picture(1, 1, 64, 48, 3)
    fill = {"image": image, "mode": "blur", "seed": 0}
    crop = {"image": image, **SIZE, "padding": 8, "blend": 4}
    for node, inputs, message in [
        ("ISI_Fill", {**fill, "mask": torch.ones(1, 8, 8)}, "The mask is 8x8, but the picture is 48x64"),
        ("ISI_Fill", {**fill, "mask": torch.full((1, 64, 48), torch.nan)}, "NaN"),
        ("ISI_Fill", {**fill, "mask": torch.ones(3, 64, 48)}, "3 masks for 1 pictures"),
        ("ISI_CropForInpaint", {**crop, "mask": torch.ones(1, 9, 9)}, "The mask is 9x9"),
        ("ISI_OutpaintCanvas", {"image": image, **ASPECT, **CANVAS, "overlap": 48}, "whole picture"),
        ("ISI_OutpaintCanvas", {"image": image, **ASPECT, **CANVAS, "extend.ratio": "wide"}, "aspect ratio"),
        ("ISI_Outpaint", {**outpaint(image), "pass_size": 128}, "too small"),
        ("ISI_Outpaint", {**outpaint(image), "denoise": "2"}, "denoise '2' can't be read"),
        ("ISI_EditObjects", {**edits(image, torch.ones(1, 64, 48)), "actions": "explode"}, "is no action"),
    ]:
        with pytest.raises(Failed, match=message):
            host.call(node, **inputs)


def outpaint(image: torch.Tensor) -> dict:
    return ASPECT | {
        "image": image, "prompts": "a", "pass_size": 256, "overlap": 8, "blend": 0, "fill": "blur",
        "denoise": "1", "steps": 1, "cfg": 1.0, "seed": 3, "match": 1.0,
    }  # fmt: skip


def edits(image: torch.Tensor, masks: torch.Tensor) -> dict:
    return {
        "image": image, "masks": masks, "actions": "remove", "prompts": "a", "order": "as given",
        "fill": "telea", "denoise": 1.0, "remove_denoise": 0.0, "grow": 2, "blend": 4, "padding": 8,
        "megapixels": 0.01, "steps": 1, "cfg": 1.0, "seed": 3,
    }  # fmt: skip


def iterate(host, model, clip, vae, plan, image) -> torch.Tensor:
    return host.call(
        "ISI_Iterate", model=model, clip=clip, vae=vae, plan=plan, negative="", sampler_name="euler",
        scheduler="normal", image=image, run_name="",
    )[0]  # fmt: skip


def test_an_outpainting_plan_runs_and_keeps_every_pixel_of_the_picture(host, model, clip, vae):
    image = picture(5, 1, 100, 120, 3)
    size = {"extend": "size", "extend.width": 480, "extend.height": 100, "extend.anchor": "center"}
    inputs = {k: v for k, v in outpaint(image).items() if not k.startswith("extend")} | size
    plan, report = host.call("ISI_Outpaint", **inputs)
    assert len(plan) == 3 and "120x100 -> 480x100" in report
    out = iterate(host, model, clip, vae, plan, image)
    assert out.shape == (1, 100, 480, 3)
    assert torch.equal(out[:, :, 180:300], image)
    assert out[:, :, :180].std() > 0.01 and out[:, :, 300:].std() > 0.01


def test_a_plan_of_edits_removes_fills_and_keeps_the_rest(host, model, clip, vae):
    image = torch.full((1, 96, 96, 3), 0.25)
    masks = torch.cat([box(96, 96, 10, 30, 10, 30), box(96, 96, 60, 80, 60, 80)])
    image[0, masks.amax(0) == 1] = 0.9
    plan, _ = host.call("ISI_EditObjects", **edits(image, masks) | {"actions": "remove\nfill"})
    out = iterate(host, model, clip, vae, plan, image)
    assert (out[0, 10:30, 10:30] - 0.25).abs().max() < 0.01, "removed: what lies round it"
    assert (out[0, 60:80, 60:80] - 0.9).abs().mean() > 0.02, "filled: sampled anew"
    assert torch.equal(out[0, 40:50], image[0, 40:50])


@pytest.fixture
def folder(host) -> Iterator[Path]:
    """The host's models/inpaint, empty after the test. It stays: the host remembers it."""
    folder = host.base / "models" / "inpaint"
    folder.mkdir(exist_ok=True)
    yield folder
    for file in folder.iterdir():
        file.unlink()


def test_files_that_are_no_inpainting_models_are_refused(host, folder):
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(2)}, folder / "other.safetensors")
    (folder / "broken.pth").write_bytes(b"not a model")
    inputs = {"image": picture(1, 1, 16, 16, 3), "mask": torch.ones(1, 16, 16), "seed": 0}
    for name in ("other.safetensors", "broken.pth"):
        with pytest.raises(Failed, match="is no LaMa or MAT model"):
            host.call("ISI_Fill", mode=name, **inputs)


class Mean(nn.Module):
    """Fills with the mean of what is known, and writes down the sizes it was shown."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1))
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, image, mask):
        self.sizes.append(tuple(image.shape[2:]))
        known = (image * (1 - mask)).sum((2, 3), keepdim=True) / (1 - mask).sum((2, 3), keepdim=True)
        return image * (1 - mask) + known * mask + self.bias


def test_models_see_each_hole_in_a_crop_of_their_working_size(host):
    from isi.host.models.fill_models import WORKING_SIZE, FillModel, fill_by_model
    from spandrel import MaskedImageModelDescriptor, SizeRequirements
    from spandrel.architectures.LaMa import LaMaArch

    network = Mean()
    model = MaskedImageModelDescriptor(
        network, network.state_dict(), architecture=LaMaArch(), purpose="Inpainting", tags=[],
        supports_half=False, supports_bfloat16=True, input_channels=3, output_channels=3,
        size_requirements=SizeRequirements(minimum=16, multiple_of=8),
    )  # fmt: skip
    image = torch.zeros(1, 900, 1000, 4)
    image[:, :200] = torch.tensor([0.2, 0.4, 0.6, 0.5])
    image[:, 200:] = torch.tensor([0.8, 0.1, 0.3, 0.5])
    mask = torch.maximum(box(900, 1000, 100, 120, 100, 140), box(900, 1000, 550, 850, 600, 950))
    out = fill_by_model(image, mask, FillModel.of(model))
    assert torch.equal(out[mask == 0], image[mask == 0])
    assert len(network.sizes) == 2 and max(max(size) for size in network.sizes) <= WORKING_SIZE
    assert min(network.sizes) == (88, 104), "small holes are not shrunk"
    torch.testing.assert_close(out[0, 110, 120], torch.tensor([0.2, 0.4, 0.6, 1.0]), atol=1e-4, rtol=0)
    torch.testing.assert_close(out[0, 700, 750], torch.tensor([0.8, 0.1, 0.3, 1.0]), atol=1e-4, rtol=0)


@pytest.mark.slow
def test_a_real_lama_file_loads_and_fills(host, folder):
    """A LaMa with random weights, as a file: what it paints is noise, but it is the real network."""
    from spandrel.architectures.LaMa import LaMa

    torch.manual_seed(0)
    network = LaMa(in_nc=4, out_nc=3)
    torch.save(network.state_dict(), folder / "lama.pth")
    image, mask = picture(6, 1, 64, 64, 3), box(64, 64, 20, 40, 20, 40)
    out, _ = host.call("ISI_Fill", image=image, mask=mask, mode="lama.pth", seed=0)
    assert torch.equal(out[mask == 0], image[mask == 0]) and out.isfinite().all()
    assert not torch.equal(out[mask == 1], image[mask == 1])


class Latent(nn.Module):
    """Keeps a latent beside its weights, drawn when it is made, as MAT does; fills with its mean."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1))
        self.z = torch.from_numpy(np.random.randn(1, 8))
        self.label = torch.zeros(1, 0)

    def forward(self, image, mask):
        drawn = torch.rand(1)  # a network that draws while it paints
        return torch.where(mask > 0, self.z.float().mean().sigmoid() * drawn, image) + self.bias


def described(network: nn.Module):
    """A network as spandrel would describe it."""
    from spandrel import MaskedImageModelDescriptor, SizeRequirements
    from spandrel.architectures.LaMa import LaMaArch

    return MaskedImageModelDescriptor(
        network, network.state_dict(), architecture=LaMaArch(), purpose="Inpainting", tags=[],
        supports_half=False, supports_bfloat16=True, input_channels=3, output_channels=3,
        size_requirements=SizeRequirements(),
    )  # fmt: skip


def generators() -> tuple[list, list]:
    """Where torch's and NumPy's global generators stand."""
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()


def test_a_latent_of_a_fill_comes_from_the_seed_and_no_global_generator_moves(host):
    from isi.host.models.fill_models import FillModel, fill_by_model

    image, mask = picture(6, 1, 64, 64, 3), box(64, 64, 20, 40, 20, 40)
    made = {}
    for load in (1, 2):
        model = FillModel.of(described(Latent()))
        states = generators()
        for seed in (5, 6):
            made[load, seed] = fill_by_model(image, mask, model, seed)
        assert generators() == states
    assert torch.equal(made[1, 5], made[2, 5]), "whatever was drawn when it was loaded"
    assert not torch.equal(made[1, 5], made[1, 6])


def test_a_fill_model_is_loaded_once_in_a_run_and_its_loading_draws_nothing(
    host, folder, model, clip, vae, monkeypatch
):
    import spandrel

    loads = []

    def load(self, path):
        loads.append(path)
        return described(Latent())

    monkeypatch.setattr(spandrel.ModelLoader, "load_from_file", load)
    for name in ("a.pth", "b.pth"):
        (folder / name).write_bytes(b"one network")
    image = picture(7, 1, 96, 96, 3)
    masks = torch.cat([box(96, 96, 10, 30, 10, 30), box(96, 96, 60, 80, 60, 80)])
    states = generators()
    plan, _ = host.call("ISI_EditObjects", **edits(image, masks) | {"fill": "a.pth"})
    out = iterate(host, model, clip, vae, plan, image)
    again = iterate(host, model, clip, vae, plan, image)
    assert len(loads) == 1 and torch.equal(out, again)
    assert generators() == states
    (folder / "a.pth").write_bytes(b"a newer network")
    filled, _ = host.call("ISI_Fill", image=image, mask=masks[:1], mode="a.pth", seed=1)
    assert len(loads) == 2, "a changed file is read anew"
    half, _ = host.call("ISI_Fill", image=image.half(), mask=masks[:1].half(), mode="a.pth", seed=1)
    assert half.dtype == torch.float16 and torch.equal(half[0, 90:], image.half()[0, 90:])
    assert not torch.equal(filled[0, 10:30, 10:30], image[0, 10:30, 10:30])


@pytest.mark.slow
def test_mat_paints_the_same_with_the_same_seed(host, folder):
    """A MAT with random weights, as a file, where the package that has it is installed."""
    mat = pytest.importorskip("spandrel_extra_arches.architectures.MAT")
    network = mat.MAT()
    torch.save(network.model.state_dict(), folder / "mat.pth")
    image, mask = picture(6, 1, 64, 64, 3), box(64, 64, 20, 40, 20, 40)
    from isi.host.models import fill_models

    made = []
    for seed in (3, 3, 4):
        fill_models._load.cache_clear()
        made += host.call("ISI_Fill", image=image, mask=mask, mode="mat.pth", seed=seed)[:1]
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])


@pytest.mark.parametrize("ground", ["white", "blue"])
def test_a_pass_of_the_mini_model_goes_on_at_the_pictures_own_slope(host, ground):
    """The light falls across the joins. A step is what a join adds to the slope before it."""
    drawn = Studio(host)
    image = pixels(scene(background=ground, light="left"))
    inputs = {name: value for name, value in outpaint(image).items() if name not in ASPECT} | {
        "extend": "size", "extend.width": 256, "extend.height": 128, "extend.anchor": "center", "seed": 1,
        "prompts": f"a {ground} background, light from the left", "steps": 20, "cfg": 5.0, "fill": "edge",
    }  # fmt: skip
    out = iterate(host, drawn.model, drawn.clip, drawn.vae, host.call("ISI_Outpaint", **inputs)[0], image)
    assert torch.equal(out[:, :, 64:192], image)
    lanes = out[0].movedim(1, 0) * 255
    seconds = lanes.diff(n=2, dim=0).abs().mean((1, 2))
    elsewhere = torch.cat([seconds[:48], seconds[208:]]).mean()
    for join, before in ((64, 65), (192, 191)):
        step = (lanes[join] - lanes[join - 1] - (lanes[before] - lanes[before - 1])).mean(0)
        assert step.abs().max() <= 1, step
        assert seconds[join - 2 : join].max() <= 2 * max(float(elsewhere), 0.4)
