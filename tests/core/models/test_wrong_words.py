"""Files that were given a wrong name once: what they are, or unknown. Names as their authors published."""

import pytest
from isi.core.models.detect import detect
from isi.core.models.header import Header
from isi.core.models.kinds import describe

from .header_vectors import vectors


def found_in(shapes, container="safetensors"):
    shapes = {name: tuple(shape) for name, shape in shapes.items()}
    return detect(Header(shapes, dict.fromkeys(shapes, "F16"), container=container))


def numbered(pattern, count, shape=(320, 320)):
    return {pattern.format(i): shape for i in range(count)}


MOTION = "motion_modules.{}.temporal_transformer.transformer_blocks.0.attention_blocks.0"
OPENCLIP = "transformer.resblocks.{}.attn.in_proj_weight"


def face_id():
    """ip-adapter-faceid_sd15.bin: projections and LoRAs of the attention beside each other."""
    return (
        {"image_proj.proj.0.weight": (1024, 512), "image_proj.proj.2.weight": (3072, 1024)}
        | numbered("ip_adapter.{}.to_q_lora.down.weight", 16, (128, 320))
        | numbered("ip_adapter.{}.to_q_lora.up.weight", 16, (320, 128))
        | numbered("ip_adapter.{}.to_k_ip.weight", 16, (320, 768))
    )


def photomaker():
    """photomaker-v1.bin: an encoder of faces, and a LoRA."""
    return (
        numbered("id_encoder.vision_model.encoder.layers.{}.self_attn.q_proj.weight", 24, (1024, 1024))
        | {"id_encoder.visual_projection_2.weight": (1280, 1024)}
        | numbered("lora_weights.down_blocks.1.attentions.{}.processor.to_q_lora.down.weight", 20, (64, 640))
        | numbered("lora_weights.down_blocks.1.attentions.{}.processor.to_q_lora.up.weight", 20, (640, 64))
    )


def motion_lora():
    """v2_lora_PanLeft.ckpt"""
    start = "down_blocks.0." + MOTION + ".processor.to_q_lora"
    return numbered(start + ".down.weight", 8, (32, 320)) | numbered(start + ".up.weight", 8, (320, 32))


OTHERS = {
    "IP-Adapter FaceID": (face_id(), "ip-adapter"),
    "PhotoMaker": (photomaker(), "photomaker"),
    "AnimateDiff motion LoRA": (motion_lora(), "motion-lora"),
    "AnimateDiff motion module": (numbered("down_blocks.0." + MOTION + ".to_q.weight", 20), "motion-module"),
    "OpenCLIP vision": (
        numbered("visual." + OPENCLIP, 32, (3840, 1280)) | {"visual.conv1.weight": (1280, 3, 14, 14)},
        "clip-vision",
    ),
    "CLIP vision": (
        numbered("vision_model.encoder.layers.{}.self_attn.q_proj.weight", 24, (1024, 1024)), "clip-vision",
    ),
    "a whole OpenCLIP": (
        numbered("visual." + OPENCLIP, 32, (3840, 1280)) | numbered(OPENCLIP, 24, (3072, 1024))
        | {"token_embedding.weight": (49408, 1024)},
        "text-encoder",
    ),
    "BART": (
        numbered("encoder.layers.{}.self_attn.k_proj.weight", 12, (1024, 1024))
        | numbered("decoder.layers.{}.self_attn.k_proj.weight", 12, (1024, 1024))
        | {"shared.weight": (50265, 1024)},
        "unknown",
    ),
    "BART behind `model.`": (
        numbered("model.encoder.layers.{}.self_attn.k_proj.weight", 12, (1024, 1024))
        | {"model.encoder.embed_tokens.weight": (50265, 1024)},
        "unknown",
    ),
    "SAM 3": (
        numbered("detector.backbone.language_backbone.encoder." + OPENCLIP, 24, (3072, 1024))
        | {"detector.backbone.language_backbone.encoder.token_embedding.weight": (49408, 1024)}
        | numbered("detector.backbone.vision_backbone.trunk.blocks.{}.attn.qkv.weight", 32, (3072, 1024)),
        "unknown",
    ),
    "Qwen DiffSynth ControlNet": (
        {"img_in.weight": (3072, 64)} | numbered("controlnet_blocks.{}.y_rms.weight", 60, (3072,)),
        "model-patch",
    ),
    "Z-Image Fun ControlNet": (
        {"control_all_x_embedder.2-1.weight": (3840, 132)}
        | numbered("control_layers.{}.adaLN_modulation.0.weight", 15, (15360, 256)),
        "model-patch",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_it_is_what_it_is(name):
    shapes, kind = OTHERS[name]
    assert found_in(shapes).kind == kind


def sd1(layout="ldm", channels=4):
    return dict(vectors()[f"{layout}/sd1-{channels}"])


def animatediff():
    start = "down_blocks.{}." + MOTION.format(0) + ".to_q.weight"
    return (
        sd1("diffusers")
        | numbered(start, 4)
        | numbered("up_blocks.{}." + MOTION.format(1) + ".to_v.weight", 4)
    )


def dynamicrafter():
    """LVDM's UNet: a third layer in each block, convolutions over time."""
    return (
        sd1("ldm", 8)
        | numbered("input_blocks.{}.0.temopral_conv.conv1.2.weight", 4, (320, 320, 3, 1, 1))
        | numbered("input_blocks.{}.2.transformer_blocks.0.attn1.to_q.weight", 4)
        | {"init_attn.0.proj_in.weight": (320, 320, 1), "fps_embedding.0.weight": (1280, 320)}
    )


def i2vgen():
    return (
        sd1("diffusers")
        | {"transformer_in.proj_in.weight": (320, 320), "image_latents_proj_in.0.weight": (16, 4, 3, 3)}
        | numbered("down_blocks.0.temp_convs.{}.conv1.2.weight", 2, (320, 320, 3, 1, 1))
        | numbered("down_blocks.0.temp_attentions.{}.proj_in.weight", 2)
    )


def whole(unet):
    return {f"model.diffusion_model.{name}": shape for name, shape in unet.items()} | {
        name: shape
        for name, shape in vectors()["checkpoint/sd1-4"].items()
        if not name.startswith("model.diffusion_model.")
    }


@pytest.mark.parametrize(
    "shapes",
    [animatediff(), dynamicrafter(), i2vgen(), whole(dynamicrafter())],
    ids=["AnimateDiff", "DynamiCrafter", "I2VGen-XL", "a whole DynamiCrafter"],
)
def test_a_video_unet_is_an_unknown_video_model(shapes):
    found = found_in(shapes)
    assert found.kind == "unknown"
    assert "video model" in describe(found)
    assert "layers over time" in " ".join(found.notes)


def test_svds_vae_in_diffusers_layout_is_f8():
    """AutoencoderKLTemporalDecoder: its decoder's blocks have one part over the picture and one over time."""
    shapes = {}
    for name, shape in vectors()["vae/diffusers-f8"].items():
        for part in ("spatial_res_block", "temporal_res_block") if ".resnets." in name else ("",):
            inner = name.replace(".conv", f".{part}.conv").replace(".norm", f".{part}.norm")
            decoder = part and name.startswith("decoder.")
            shapes[inner if decoder else name] = shape
    found = found_in(shapes)
    assert (found.kind, found.family) == ("vae", "f8")


def test_mochis_vae_in_diffusers_layout_is_f8():
    shapes = {
        "decoder.conv_in.weight": (768, 12, 1, 1, 1), "encoder.proj_in.weight": (64, 15),
        "decoder.block_in.resnets.0.conv1.conv.weight": (768, 768, 3, 3, 3),
    } | numbered("decoder.up_blocks.{}.resnets.0.conv1.conv.weight", 3, (512, 512, 3, 3, 3))  # fmt: skip
    found = found_in(shapes)
    assert (found.kind, found.family) == ("vae", "f8")


def test_an_unknown_part_of_a_transformer_makes_it_unknown():
    found = found_in(vectors()["dit/wan"] | {"snow_adapter.weight": (5, 5)})
    assert (found.kind, found.family, found.role) == ("unknown", "Wan", "UNet")
    assert "snow_adapter" in " ".join(found.notes)


def test_two_variants_of_wan_are_none():
    found = found_in(
        vectors()["dit/wan"]
        | {"vace_patch_embedding.weight": (5, 96, 1, 2, 2), "face_adapter.x.weight": (5, 5)}
    )
    assert found.kind == "unknown" or "animate" not in found.kind and "vace" not in found.kind
