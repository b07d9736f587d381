"""Loading real files: UNets of the real widths (the host detects by them), one level deep, in each layout."""

import logging
import os
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ...core.models.header_vectors import gguf_start, vectors
from ..harness import Failed
from ..tiny import fill

ONE_LEVEL = {
    "image_size": 32, "out_channels": 4, "use_spatial_transformer": True, "legacy": False,
    "num_res_blocks": [1], "channel_mult": [1], "transformer_depth": [1], "transformer_depth_middle": 1,
    "transformer_depth_output": [1, 1], "dtype": torch.float32, "model_channels": 320,
}  # fmt: skip
FAMILIES = {
    "sd1": {"context_dim": 768, "num_heads": 8},
    "sd2": {"context_dim": 1024, "num_head_channels": 64, "use_linear_in_transformer": True},
    "x4": {
        "context_dim": 1024, "num_heads": 8, "use_linear_in_transformer": True, "num_classes": 1000,
        "model_channels": 256, "disable_self_attentions": [True, True, True, False],
        "num_res_blocks": [1] * 4, "channel_mult": [1] * 4, "transformer_depth": [0, 0, 0, 1],
        "transformer_depth_output": [0] * 6 + [1] * 2,
    },
}  # fmt: skip
CONV_IN = "input_blocks.0.0.weight"


@pytest.fixture(scope="module")
def models(booted):
    import folder_paths

    folder = Path(folder_paths.get_folder_paths("diffusion_models")[-1])
    yield folder
    # Other tests look at the lists of files that nodes offer.
    for written in (*folder.glob("*.*"), *(folder.parent / "checkpoints").glob("*.*")):
        if written.is_file():
            written.unlink()


@cache
def unet(family, channels):
    """The weights of a UNet of the host's own class, under the host's names."""
    import comfy.ops
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    settings = ONE_LEVEL | FAMILIES[family]
    module = UNetModel(in_channels=channels, **settings, operations=comfy.ops.disable_weight_init)
    fill(module, channels)
    return {name: weight.half() for name, weight in module.state_dict().items()}


def in_diffusers(family, channels):
    import comfy.utils

    weights = unet(family, channels)
    names = comfy.utils.unet_to_diffusers(ONE_LEVEL | FAMILIES[family])
    names["class_embedding.weight"] = "label_emb.weight"
    return {name: weights[ours] for name, ours in names.items() if ours in weights and "add_emb" not in name}


def in_layout(family, channels, layout):
    if layout == "diffusers":
        return in_diffusers(family, channels)
    return {layout + name: weight for name, weight in unet(family, channels).items()}


def write(models, name, weights, **metadata):
    models.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in weights.items()}, models / name, metadata or None)
    return f"diffusion_models/{name}"


def load(host, file, kind="auto"):
    return host.call("ISI_LoadConcatModel", file=file, kind=kind)


def kind_of(model):
    from isi.host.models.model_kind import kind_of_model

    return kind_of_model(model)


def sample(host, model, width, channels=4, **cond):
    positive = [[torch.zeros(1, 77, width), cond]]
    latent = {"samples": torch.zeros(1, channels, 8, 8)}
    settings = {
        "seed": 0,
        "steps": 1,
        "cfg": 1.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "denoise": 1.0,
    }
    return host.call(
        "KSampler", model=model, positive=positive, negative=positive, latent_image=latent, **settings
    )[0]["samples"]


CASES = {
    ("sd1", 8): ("instruct-pix2pix | ic-light-fc", "SD15_instructpix2pix"),
    ("sd1", 9): ("inpaint", "BaseModel"),
    ("sd1", 12): ("ic-light-fbc", "BaseModel"),
    ("sd2", 5): ("depth", "BaseModel"),
    ("sd2", 8): ("marigold | instruct-pix2pix", "BaseModel"),
    ("sd2", 13): ("unknown", "BaseModel"),
    ("x4", 7): ("upscale-x4", "SD_X4Upscaler"),
}


LAYOUTS = ("", "model.diffusion_model.", "diffusion_model.")
TRIED = [(*case, "diffusers") for case in CASES] + [("sd1", 8, layout) for layout in LAYOUTS]


@pytest.mark.parametrize(("family", "channels", "layout"), TRIED)
def test_loads_every_layout_whole(host, models, caplog, family, channels, layout):
    weights = unet(family, channels)
    file = write(models, "tried.safetensors", in_layout(family, channels, layout))
    with caplog.at_level(logging.WARNING):
        model, clip, vae = load(host, file)
    assert not [r for r in caplog.records if "missing" in r.message or "unexpected" in r.message]
    loaded = model.model.diffusion_model.state_dict()
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[name].half(), weight) for name, weight in weights.items())
    assert (kind_of(model.clone()).kind, type(model.model).__name__) == CASES[family, channels]
    assert kind_of(model).channels == channels
    assert clip is None and vae.first_stage_model is None


def test_an_unfilled_model_says_what_to_connect(host, models):
    file = write(models, "depth.safetensors", unet("sd2", 5))
    model, *_ = load(host, file)
    with pytest.raises(Failed, match="depth-to-image model.*ISI Concat Conditioning"):
        sample(host, model, 1024)
    filled = sample(host, model, 1024, noise_concat=torch.zeros(1, 1, 8, 8))
    assert filled.isfinite().all()


@pytest.mark.parametrize(("family", "channels", "width"), [("sd1", 9, 768), ("x4", 7, 1024)])
def test_what_the_host_fills_samples_as_the_host_does(host, models, family, channels, width):
    file = write(models, "plain.safetensors", unet(family, channels))
    theirs = host.call("UNETLoader", unet_name="plain.safetensors", weight_dtype="default")[0]
    ours, *_ = load(host, file)
    assert torch.equal(sample(host, ours, width), sample(host, theirs, width))


def test_the_values_tell_ic_lights_differences(host, models):
    delta = {name: weight * 0.01 for name, weight in unet("sd1", 8).items()}
    file = write(models, "something.safetensors", delta)
    with pytest.raises(Failed, match="weight differences of IC-Light.*ISI IC-Light"):
        load(host, file)
    merged = write(models, "iclight_fc.safetensors", unet("sd1", 8))
    assert kind_of(load(host, merged)[0]).kind == "ic-light-fc"


def test_the_users_choice_stays_with_the_model(host, models):
    file = write(models, "eight.safetensors", unet("sd1", 8))
    model, *_ = load(host, file, "ic-light-fc")
    assert kind_of(model.clone()).kind == "ic-light-fc"
    with pytest.raises(Failed, match="IC-Light model conditioned on a foreground.*ISI Concat Conditioning"):
        sample(host, model, 768)


def test_a_second_copy_loads_like_the_first(host, models):
    file = write(models, "twice.safetensors", in_diffusers("sd2", 5))
    model, *_ = load(host, file)
    make, arguments = model.cached_patcher_init
    again = make(*arguments, disable_dynamic=True)
    assert kind_of(again).kind == "depth"
    ours, copy = (m.model.diffusion_model.state_dict() for m in (model, again))
    assert all(torch.equal(ours[name], copy[name]) for name in ours)


def test_settings_beside_a_bare_unet_are_kept(booted):
    from isi.core.models.kinds import ModelKind
    from isi.host.models.model_loading import _bare

    shapes = vectors()["ldm/sdxl-8"]
    weights = {f"model.diffusion_model.{name}": torch.empty(1, device="meta") for name in shapes}
    weights["edm_vpred.sigma_max"] = torch.tensor(120.0)
    bare = _bare(weights, ModelKind("instruct-pix2pix", 8, "SDXL", "UNet-only", "UNet"))
    assert bare.keys() == {*shapes, "edm_vpred.sigma_max"}


@pytest.mark.parametrize(
    "vector", ["sd1-4", "sd1-5", "sd1-8", "sd1-12", "sd2-5", "sd2-9", "sdxl-8", "sdxl-9", "x4-7"]
)
def test_diffusers_names_become_the_hosts(booted, vector):
    """Oracle: the state dicts of diffusers' class and of ComfyUI's class, at full size."""
    from isi.host.models.diffusers_unet import from_diffusers

    weights = {k: torch.empty(s, device="meta") for k, s in vectors()[f"diffusers/{vector}"].items()}
    renamed = {name: list(weight.shape) for name, weight in from_diffusers(weights).items()}
    ours = vectors()[f"ldm/{vector}"]
    assert renamed.keys() == ours.keys()
    assert all(renamed[name] == ours[name] for name in ours)


def refusal(host, file, kind="auto"):
    from isi.host.models.model_loading import load_model_file

    with pytest.raises(ValueError) as caught:
        load_model_file(file, kind)
    return str(caught.value)


def test_refuses_with_one_sentence(host, models):
    weights = unet("sd1", 4)
    cut = models / "cut.safetensors"
    write(models, "cut.safetensors", weights)
    cut.write_bytes(cut.read_bytes()[:-1000])
    assert "cut short: 1000 bytes are missing" in refusal(host, "diffusion_models/cut.safetensors")

    lora = write(models, "l.safetensors", {"lora_unet_x.lora_up.weight": torch.zeros(2, 2)})
    assert "is a LoRA: use the node Load LoRA" in refusal(host, lora)
    packed = write(
        models,
        "p.safetensors",
        weights | {"a.weight.quant_state.bitsandbytes__nf4": torch.zeros(1, dtype=torch.uint8)},
    )
    assert "as NF4" in refusal(host, packed)
    extra = write(models, "e.safetensors", in_diffusers("sd1", 4) | {"strange.weight": torch.zeros(1)})
    assert "'strange.weight'" in refusal(host, extra)
    eight = write(models, "8.safetensors", unet("sd1", 8))
    assert "without its projection" in refusal(host, eight, "zero123")
    assert "takes 9 input channels" in refusal(host, eight, "inpaint")
    nothing = write(models, "n.safetensors", {"a": torch.zeros(1)})
    assert "is a model of an unknown kind" in refusal(host, nothing)


def test_only_files_inside_the_model_folders(host, models):
    (models / "folder.safetensors").mkdir(parents=True, exist_ok=True)
    (models / "empty.safetensors").touch()
    secret = models.parent.parent / "secret.safetensors"
    save_file({"a": torch.zeros(1)}, secret)
    cases = {
        "diffusion_models/../../secret.safetensors": "outside the folder",
        f"diffusion_models/{secret}": "outside the folder",
        "diffusion_models/..\\..\\secret.safetensors": "outside the folder",
        "diffusion_models/C:\\secret.safetensors": "outside the folder",
        "input/secret.safetensors": "not in a model folder",
        "secret.safetensors": "not in a model folder",
        "diffusion_models/": "outside the folder",
        "diffusion_models/folder.safetensors": "is a folder",
        "diffusion_models/none.safetensors": "was not found",
        "diffusion_models/empty.safetensors": "is empty",
    }
    for file, reason in cases.items():
        assert reason in refusal(host, file)


def test_not_a_byte_behind_the_header_is_read(booted, models, monkeypatch):
    """A second descriptor shares the file's position: it tells how far the first one has read."""
    from isi.host.models.model_files import header_of

    file = write(models, "far.safetensors", {"input_blocks.0.0.weight": torch.zeros(99, 999)})
    header = 8 + int.from_bytes((models / "far.safetensors").read_bytes()[:8], "little")
    shared = []
    real = Path.open

    def spy(self, *args, **options):
        opened = real(self, *args, **options)
        shared.append(os.dup(opened.fileno()))
        return opened

    monkeypatch.setattr(Path, "open", spy)
    header_of(file)
    position = os.lseek(shared[0], 0, os.SEEK_CUR)
    os.close(shared[0])
    assert (len(shared), position) == (1, header)


class Surprise:
    def __reduce__(self):
        return print, ("code ran",)


def test_a_pickle_loads_only_if_it_is_all_weights(host, models, capsys):
    weights = unet("sd1", 9)
    torch.save({"state_dict": weights}, models / "old.ckpt")
    model, *_ = load(host, "diffusion_models/old.ckpt")
    assert kind_of(model).kind == "inpaint"
    torch.save({"state_dict": weights, "hook": Surprise()}, models / "bad.ckpt")
    assert "weights_only loader refuses" in refusal(host, "diffusion_models/bad.ckpt")
    assert "code ran" not in capsys.readouterr().out


def test_inspecting_in_a_graph_shows_the_report(host, models):
    import isi.nodes.model_files as nodes

    weights = unet("sd2", 5)
    file = write(models, "inspected.safetensors", weights)
    assert file in nodes.InspectModel.define_schema().inputs[0].options
    kind, channels, report = host.call("ISI_InspectModel", file=file, kind="auto")
    assert (kind, channels) == ("depth", 5)
    assert "depth map at latent size" in report and "ISI Concat Conditioning" in report
    model, *_ = load(host, file)
    assert host.call("ISI_ModelKind", model=model, kind="auto")[:2] == ("depth", 5)


def test_inspecting_needs_no_tensors(host, models):
    file = write(models, "header.safetensors", unet("sd1", 12))
    path = models / "header.safetensors"
    length = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    path.write_bytes(path.read_bytes()[:length])
    kind, channels, report = host.call("ISI_InspectModel", file=file, kind="auto")
    assert (kind, channels) == ("ic-light-fbc | ic-light-delta", 12)
    assert "cut short" in report


def test_a_gguf_file_is_listed_named_and_refused(host, models):
    import folder_paths
    from isi.host.models.model_files import model_files

    (models / "q8.gguf").write_bytes(gguf_start(vectors()["ldm/sd1-9"]))
    assert "diffusion_models/q8.gguf" not in model_files()
    # As ComfyUI-GGUF registers it.
    folder_paths.folder_names_and_paths["unet_gguf"] = ([str(models)], {".gguf"})
    try:
        assert "diffusion_models/q8.gguf" in model_files()
        kind, channels, report = host.call("ISI_InspectModel", file="diffusion_models/q8.gguf", kind="auto")
        assert (kind, channels) == ("inpaint", 9) and "UNet-only, GGUF" in report
        assert "as GGUF" in refusal(host, "diffusion_models/q8.gguf")
    finally:
        del folder_paths.folder_names_and_paths["unet_gguf"]


def test_a_whole_checkpoint_brings_its_vae_and_text_encoder(host, models):
    """Oracle: the host's own loader on the same file."""
    checkpoints = models.parent / "checkpoints"
    weights = in_layout("sd2", 9, "model.diffusion_model.")
    weights["first_stage_model.decoder.conv_in.weight"] = torch.ones(512, 4, 3, 3)
    weights["cond_stage_model.model.ln_final.weight"] = torch.full((1024,), 2.0)
    write(checkpoints, "whole.safetensors", weights)
    theirs = host.call("CheckpointLoaderSimple", ckpt_name="whole.safetensors")
    ours = load(host, "checkpoints/whole.safetensors")
    for mine, host_part in zip(ours, theirs, strict=True):
        assert type(mine) is type(host_part)
    assert type(ours[1].cond_stage_model) is type(theirs[1].cond_stage_model)
    name = "decoder.conv_in.weight"
    assert torch.equal(ours[2].get_sd()[name], theirs[2].get_sd()[name])
    assert kind_of(ours[0]).kind == "inpaint" and kind_of(ours[0]).role == "MODEL"


def test_concat_conditioning_fills_what_was_loaded(host, models, vae):
    """From a diffusers-format depth UNet to a sampled latent."""
    file = write(models, "depth_diffusers.safetensors", in_diffusers("sd2", 5))
    model, *_ = load(host, file)
    cond = [[torch.zeros(1, 77, 1024), {}]]
    depth = torch.linspace(0, 1, 64).reshape(1, 1, 64, 1).expand(1, 64, 64, 3)
    model, positive, negative, latent = host.call(
        "ISI_ConcatConditioning", model=model, positive=cond, negative=cond, vae=vae, kind="auto",
        depth=depth, image=depth, noise_level=20, noise_seed=0, mask_mode="nearest",
    )  # fmt: skip
    settings = {
        "seed": 0,
        "steps": 1,
        "cfg": 2.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "denoise": 1.0,
    }
    out = host.call(
        "KSampler", model=model, positive=positive, negative=negative, latent_image=latent, **settings
    )[0]["samples"]
    assert out.shape == (1, 4, 8, 8) and out.isfinite().all()


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "state_dict.", "model_ema."])
def test_a_prefix_that_no_loader_knows_is_named(host, models, prefix):
    file = write(models, "wrapped.safetensors", in_layout("sd1", 9, f"{prefix}model.diffusion_model."))
    with pytest.raises(Failed, match=f"inpainting model.*names that start with `{prefix}`"):
        load(host, file)
