"""Detection on the headers of real models: right, or explicitly ambiguous with the right one among them.

The names and shapes come from ComfyUI's, diffusers' and transformers' own classes. Each file here ends
right after its header: there is not one byte of a tensor to read.
"""

import io

import pytest
from isi.core.models.detect import detect
from isi.core.models.gguf_header import read_gguf_header
from isi.core.models.safetensors_header import read_header

from .header_vectors import gguf_start, safetensors_start, vectors

LONE_8 = "instruct-pix2pix | ic-light-fc | ic-light-delta | zero123"
MERGED_8 = "instruct-pix2pix | ic-light-fc"
LONE_12 = "ic-light-fbc | ic-light-delta"
SD2_8 = "marigold | instruct-pix2pix"

# UNets: vector -> kind alone, kind as a whole checkpoint, family. The channels stand in the vector's name.
UNETS = {
    "sd1-4": ("standard", "standard", "SD1"),
    "sd1-5": ("depth", "depth", "SD1"),
    "sd1-8": (LONE_8, MERGED_8, "SD1"),
    "sd1-9": ("inpaint", "inpaint", "SD1"),
    "sd1-12": (LONE_12, "ic-light-fbc", "SD1"),
    "sd1-13": ("unknown", "unknown", "SD1"),
    "sd2-4": ("standard", "standard", "SD2"),
    "sd2-5": ("depth", "depth", "SD2"),
    "sd2-8": (SD2_8, SD2_8, "SD2"),
    "sd2-9": ("inpaint", "inpaint", "SD2"),
    "sd2-16": ("unknown", "unknown", "SD2"),
    "sdxl-4": ("standard", "standard", "SDXL"),
    "sdxl-8": ("instruct-pix2pix", "instruct-pix2pix", "SDXL"),
    "sdxl-9": ("inpaint", "inpaint", "SDXL"),
    "sdxl-12": ("ic-light-fbc", "ic-light-fbc", "SDXL"),
    "refiner-4": ("standard", "standard", "SDXL refiner"),
    "x4-7": ("upscale-x4", "upscale-x4", "x4"),
    "svd-8": ("svd", "svd", "SVD"),
    "zero123-8": (LONE_8, "zero123", "SD1"),
    "lotus-4": ("standard", "", "SD2"),
    "lotus-8": ("marigold", "", "SD2"),
}
# Transformers: vector -> kind, channels.
TRANSFORMERS = {
    "dit/flux": ("dit-flux", 16),
    "dit/flux-control": ("dit-flux-control", 32),
    "dit/flex2": ("dit-flux-flex2", 49),
    "dit/flux-fill": ("dit-flux-fill", 96),
    "dit/flux2": ("dit-flux2", 128),
    "dit/chroma": ("dit-chroma", 16),
    "dit/sd3": ("dit-sd3", 16),
    "dit/auraflow": ("dit-auraflow", 4),
    "dit/hunyuan-video": ("dit-hunyuan-video", 16),
    "dit/hunyuan-video-i2v": ("dit-hunyuan-video-i2v", 33),
    "dit/hunyuan-video-skyreels": ("dit-hunyuan-video-i2v", 32),
    "dit/wan": ("dit-wan", 16),
    "dit/wan-i2v": ("dit-wan-i2v", 36),
    "dit/wan22-i2v": ("dit-wan-i2v", 36),
    "dit/wan22-5b": ("dit-wan-ti2v", 48),
    "dit/wan-fun-control": ("dit-wan-fun-control", 48),
    "dit/cosmos": ("dit-cosmos", 16),
    "dit/cosmos-i2v": ("dit-cosmos-i2v", 17),
    "dit/cosmos-predict2": ("dit-cosmos-predict2", 16),
    "dit/cosmos-predict2-i2v": ("dit-cosmos-predict2-i2v", 17),
    "dit/anima": ("dit-anima", 16),
    "dit/lumina2": ("dit-lumina2", 16),
    "dit/z-image": ("dit-z-image", 16),
    "dit/cogvideox": ("dit-cogvideox", 16),
    "dit/cogvideox-i2v": ("dit-cogvideox-i2v", 32),
    "dit/cogvideox-inpaint": ("dit-cogvideox-inpaint", 48),
    "dit/ltxv": ("dit-ltxv", 128),
    "dit/qwen-image": ("dit-qwen-image", 16),
    "dit/mochi": ("dit-mochi", 12),
    "dit/pixart": ("dit-pixart", 4),
    "dit/hunyuan-dit": ("dit-hunyuan-dit", 4),
    "dit/hidream": ("dit-hidream", 16),
    "dit/omnigen2": ("dit-omnigen2", 16),
    "dit/boogu": ("dit-boogu", 16),
    "dit/kandinsky5": ("dit-kandinsky5-video", 33),
    "dit/ideogram4": ("dit-ideogram4", 128),
    "dit/lens": ("dit-lens", 128),
    "dit/mage-flow": ("dit-mage-flow", 128),
    "dit/joyimage": ("dit-joyimage", 16),
    "dit/ernie": ("dit-ernie", 128),
    "dit/minimax": ("dit-minimax", 24),
    "dit/seedvr2": ("dit-seedvr2", 33),
    "dit/krea2": ("dit-krea2", 16),
    "diffusers/flux": ("dit-flux", 16),
    "diffusers/flux-fill": ("dit-flux-fill", 96),
    "diffusers/sd3": ("dit-sd3", 16),
    "diffusers/pixart": ("dit-pixart", 4),
    "diffusers/auraflow": ("dit-auraflow", 4),
    "diffusers/qwen-image": ("dit-qwen-image", 16),
    "diffusers/wan-i2v": ("dit-wan-i2v", 36),
    "diffusers/ltxv": ("dit-ltxv", 128),
    "diffusers/cogvideox": ("dit-cogvideox", 16),
    "diffusers/hunyuan-video": ("dit-hunyuan-video", 16),
}
# The rest: vector -> kind, family, role.
OTHERS = {
    "lora/sd1-kohya": ("lora", "SD1", "LoRA"),
    "lora/sdxl-kohya": ("lora", "SDXL", "LoRA"),
    "lora/sd1-peft": ("lora", "SD1", "LoRA"),
    "controlnet/sd1-ldm": ("controlnet", "SD1", "ControlNet"),
    "controlnet/sd1-diffusers": ("controlnet", "SD1", "ControlNet"),
    "controlnet/sdxl-diffusers": ("controlnet", "SDXL", "ControlNet"),
    "controlnet/flux-diffusers": ("controlnet", "Flux", "ControlNet"),
    "controlnet/t2i-adapter": ("controlnet", "unknown", "ControlNet"),
    "vae/ldm-f8": ("vae", "f8", "VAE"),
    "vae/ldm-f4": ("vae", "f4", "VAE"),
    "vae/ldm-16": ("vae", "f8", "VAE"),
    "vae/diffusers-f8": ("vae", "f8", "VAE"),
    "vae/taesd": ("vae", "TAESD", "VAE"),
    "vae/wan": ("vae", "Wan VAE", "VAE"),
    "text-encoder/clip-l": ("text-encoder", "CLIP-L", "text encoder"),
    "text-encoder/t5": ("text-encoder", "T5", "text encoder"),
    "text-encoder/qwen": ("text-encoder", "LLM", "text encoder"),
}
LAYOUTS = {
    "ldm": ("UNet-only", "UNet"),
    "checkpoint": ("LDM", "checkpoint"),
    "diffusers": ("diffusers", "UNet"),
}


class Counting(io.BytesIO):
    """A file that counts what is read of it."""

    taken = 0

    def read(self, size=-1):
        data = super().read(size)
        self.taken += len(data)
        return data


def inspect(shapes, name="", kind="auto", dtype="F16", metadata=None, dtypes=None):
    """Detection on a file cut right after its header; every read byte is the header's."""
    start, size = safetensors_start(shapes, dtype, metadata, dtypes)
    file = Counting(start + b"\xff" * 64)
    header = read_header(file, size)
    assert file.taken == len(start)
    return detect(header, name, kind)


def unet_cases():
    split = [(vector, *vector.split("/")) for vector in vectors()]
    return [vector for vector, layout, name in split if layout in LAYOUTS and name in UNETS]


def test_every_vector_is_in_the_table():
    known = {*unet_cases(), *TRANSFORMERS, *OTHERS}
    assert set(vectors()) == known
    assert len(known) >= 60


@pytest.mark.parametrize("vector", unet_cases())
def test_unets(vector):
    layout, _, name = vector.partition("/")
    alone, whole, family = UNETS[name]
    found = inspect(vectors()[vector])
    assert found.kind == (whole if layout == "checkpoint" else alone)
    assert (found.family, found.channels) == (family, int(name.rpartition("-")[2]))
    assert (found.layout, found.role) == LAYOUTS[layout]


@pytest.mark.parametrize("vector", TRANSFORMERS)
def test_transformers(vector):
    found = inspect(vectors()[vector])
    assert (found.kind, found.channels) == TRANSFORMERS[vector]
    assert found.role == "UNet"


@pytest.mark.parametrize("vector", OTHERS)
def test_others(vector):
    found = inspect(vectors()[vector])
    assert (found.kind, found.family, found.role) == OTHERS[vector]
    assert found.channels is None


@pytest.mark.parametrize("prefix", ["model.diffusion_model.", "diffusion_model.", "model.", "unet."])
@pytest.mark.parametrize("vector", ["ldm/sdxl-9", "ldm/sd2-5", "ldm/x4-7"])
def test_a_prefix_changes_nothing(vector, prefix):
    plain, found = (
        inspect({before + name: shape for name, shape in vectors()[vector].items()})
        for before in ("", prefix)
    )
    assert found == plain


@pytest.mark.parametrize("prefix", ["model.diffusion_model.", "diffusion_model.", "transformer.", "model."])
@pytest.mark.parametrize("vector", ["dit/flux-fill", "dit/wan-i2v", "dit/sd3", "dit/qwen-image"])
def test_a_transformers_prefix_changes_nothing(vector, prefix):
    plain, found = (
        inspect({before + name: shape for name, shape in vectors()[vector].items()})
        for before in ("", prefix)
    )
    assert found == plain


@pytest.mark.parametrize("vector", ["ldm/sd1-9", "ldm/sdxl-4", "dit/flux-fill", "dit/wan-i2v", "dit/z-image"])
def test_gguf_turns_shapes_round(vector):
    header = read_gguf_header(io.BytesIO(gguf_start(vectors()[vector], values={"general.name": "x"})))
    plain, found = inspect(vectors()[vector]), detect(header)
    assert (found.kind, found.channels, found.family) == (plain.kind, plain.channels, plain.family)
    assert found.layout == f"{plain.layout}, GGUF"


def test_gguf_keeps_the_original_shape():
    shapes = vectors()["ldm/sd1-9"]
    name = "input_blocks.0.0.weight"
    flat = shapes | {name: [40, 648]}
    header = read_gguf_header(io.BytesIO(gguf_start(flat, {name: shapes[name]})))
    assert detect(header).channels == 9


@pytest.mark.parametrize("vector", ["ldm/sd1-8", "checkpoint/sdxl-9", "dit/flux-fill"])
@pytest.mark.parametrize(
    ("weights", "extra", "dtype", "storage"),
    [
        ("F8_E4M3", "scaled_fp8", "F8_E4M3", "fp8-scaled"),
        ("F8_E4M3", "some.weight_scale", "F32", "fp8-scaled"),
        ("F8_E4M3", "some.comfy_quant", "U8", "fp8-scaled"),
        ("F16", "some.comfy_quant", "U8", "quantised"),
        ("F8_E4M3", "some.weight", "F16", "fp8"),
        ("BF16", "some.weight.quant_state.bitsandbytes__nf4", "U8", "NF4"),
        ("BF16", "some.wscales", "U8", "SVDQuant"),
    ],
)
def test_storage_is_named(vector, weights, extra, dtype, storage):
    plain = inspect(vectors()[vector])
    found = inspect(vectors()[vector] | {extra: [1]}, dtype=weights, dtypes={extra: dtype})
    assert found.layout == f"{plain.layout}, {storage}"
    assert (found.kind, found.channels) == (plain.kind, plain.channels)


def test_low_rank_weights_of_svdquant_are_no_lora():
    shapes = vectors()["dit/flux"] | {
        "single_blocks.0.wscales": [1], "single_blocks.0.lora_down.weight": [1, 1],
    }  # fmt: skip
    assert inspect(shapes, dtypes={"single_blocks.0.wscales": "U8"}).kind == "dit-flux"


def test_a_controlnet_beside_its_model_is_a_controlnet():
    shapes = vectors()["controlnet/sd1-ldm"] | vectors()["checkpoint/sd1-4"]
    assert inspect(shapes).kind == "controlnet"


@pytest.mark.parametrize(
    ("vector", "name", "kind"),
    [
        ("diffusers/sd1-8", "IC-Light/iclight_sd15_fc.safetensors", "ic-light-delta"),
        ("ldm/sd1-12", "iclight_sd15_fbc_unet_ldm.safetensors", "ic-light-delta"),
        ("diffusers/sd1-8", "ic_light_fc_merged.safetensors", "ic-light-fc"),
        ("checkpoint/sd1-8", "realistic ic-light.safetensors", "ic-light-fc"),
        ("checkpoint/sd1-8", "instruct-pix2pix-00-22000.safetensors", "instruct-pix2pix"),
        ("diffusers/sd1-8", "zero123-xl.safetensors", "zero123"),
        ("diffusers/sd2-8", "marigold-depth-v1-1.safetensors", "marigold"),
        ("diffusers/sd2-8", "magic.safetensors", SD2_8),
        ("checkpoint/sdxl-9", "instruct-pix2pix.safetensors", "inpaint"),
    ],
)
def test_the_name_decides_only_between_candidates(vector, name, kind):
    assert inspect(vectors()[vector], name).kind == kind


def test_metadata_decide_before_the_name():
    metadata = {"modelspec.title": "InstructPix2Pix"}
    found = inspect(vectors()["checkpoint/sd1-8"], "iclight.safetensors", metadata=metadata)
    assert found.kind == "instruct-pix2pix"
    assert "metadata" in found.notes[0]


def test_the_users_choice_decides_before_all():
    shapes = vectors()["checkpoint/sd1-8"]
    assert inspect(shapes, "instruct-pix2pix.safetensors", kind="ic-light-fc").kind == "ic-light-fc"
    with pytest.raises(ValueError, match="takes 9 input channels, but this is .* 8 input channels"):
        inspect(shapes, kind="inpaint")
    with pytest.raises(ValueError, match="is not a UNet"):
        inspect(shapes, kind="vae")


def test_cosxl_concatenates_scaled():
    shapes = vectors()["ldm/sdxl-8"]
    assert not inspect(shapes).scaled_concat
    assert inspect(shapes | {"edm_vpred.sigma_max": []}).scaled_concat


def test_a_pile_of_other_tensors_is_unknown():
    found = inspect({"some.weight": [3, 3], "other.bias": [3]})
    assert (found.kind, found.channels, found.role) == ("unknown", None, "unknown")
