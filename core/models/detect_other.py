"""Recognises what is not a diffusion model: LoRAs, ControlNets, VAEs, text encoders."""

from __future__ import annotations

from .header import Header
from .kinds import ModelKind

LORA_MARKS = (
    ".lora_up.", ".lora_down.", ".lora_A.", ".lora_B.", ".lora_A\n", ".lora.up.", ".lora.down.", "_lora.up.",
    ".hada_w1", ".lokr_w", ".oft_blocks", ".oft_diag", ".dora_scale", ".a1.weight", ".boft_",
)  # fmt: skip
CONTROL_MARKS = (
    "\ncontrol_model.", "input_hint_block.", "controlnet_cond_embedding.", "\nlora_controlnet\n",
    "controlnet_blocks.", "controlnet_down_blocks.", "controlnet_x_embedder.", "zero_convs.", "\nadapter.",
    "\ncontrolnet_", "control_blocks.",
)  # fmt: skip

# Telling tensors of VAEs, after an optional prefix, and the one whose second dimension is the latent's.
VAES = (
    ("f8 or f4 autoencoder", "decoder.conv_in.weight", "decoder.conv_in.weight"),
    ("TAESD", "decoder.layers.0.weight", "decoder.layers.0.weight"),
    ("TAESD", "taesd_decoder.1.weight", "taesd_decoder.1.weight"),
    ("Wan VAE", "decoder.middle.0.residual.0.gamma", "decoder.conv1.weight"),
    ("Wan VAE", "decoder.mid_block.resnets.0.norm1.gamma", "decoder.conv_in.weight"),
)
VAE_PREFIXES = ("", "first_stage_model.", "vae.")

# Text encoders by a telling piece of a name, the most telling first.
ENCODERS = (
    ("T5", "block.0.layer.0.SelfAttention.q.weight"),
    ("CLIP", "text_model.encoder.layers.0."),
    ("CLIP", "transformer.resblocks.0.attn.in_proj_weight"),
    ("CLIP", "\nencoder.layers.0.self_attn.k_proj.weight"),
    ("LLM", "model.layers.0.self_attn.q_proj.weight"),
    ("LLM", "model.layers.0.self_attn.qkv_proj.weight"),
    ("LLM", "blk.0.attn_q.weight"),
)
CLIP_WIDTHS = {768: "CLIP-L", 1024: "CLIP-H", 1280: "CLIP-G"}


def detect_lora(header: Header) -> ModelKind | None:
    """A LoRA of any kind (LoCon, LoHa, LoKr, DoRA, ...)."""
    if not any(mark in header.text for mark in LORA_MARKS) or "\nlora_controlnet\n" in header.text:
        return None
    family = _lora_family(header)
    return ModelKind("lora", None, family, _lora_layout(header), "LoRA")


def detect_controlnet(header: Header) -> ModelKind | None:
    """A ControlNet, Control-LoRA or T2I-Adapter."""
    if not any(mark in header.text for mark in CONTROL_MARKS):
        return None
    ldm = "input_blocks.0.0.weight" in header.text
    context = next((s[1] for name, s in header.shapes.items() if _is_context(name, s)), 0)
    family = {768: "SD1", 1024: "SD2", 2048: "SDXL", 4096: "SD3 or Flux"}.get(context, "unknown")
    if "controlnet_x_embedder." in header.text or "\ndouble_blocks." in header.text:
        family = "Flux"
    return ModelKind("controlnet", None, family, "LDM" if ldm else "diffusers", "ControlNet")


def detect_vae(header: Header) -> ModelKind | None:
    """A VAE on its own."""
    for prefix in VAE_PREFIXES:
        for name, sign, latent in VAES:
            if prefix + sign not in header.shapes:
                continue
            shape = header.shapes.get(prefix + latent)
            diffusers = f"{prefix}decoder.up_blocks.0.resnets.0.conv1.weight" in header.shapes
            deepest = ("decoder.up_blocks.3.resnets.0.conv1.weight", "decoder.up.3.block.0.conv1.weight")
            if name == VAES[0][0]:
                name = "f8" if any(prefix + end in header.shapes for end in deepest) else "f4"
            notes = (f"latent channels: {shape[1]}",) if shape and len(shape) > 1 else ()
            return ModelKind("vae", None, name, "diffusers" if diffusers else "LDM", "VAE", notes=notes)
    return None


def detect_text_encoder(header: Header) -> ModelKind | None:
    """One or more text encoders on their own."""
    families = []
    for family, mark in ENCODERS:
        if mark not in header.text:
            continue
        name = _clip(header) if family == "CLIP" else family
        if name not in families:
            families.append(name)
    if not families:
        return None
    return ModelKind("text-encoder", None, " + ".join(families), "transformers", "text encoder")


def _clip(header: Header) -> str:
    shapes = (shape for name, shape in header.shapes.items() if name.endswith("token_embedding.weight"))
    return CLIP_WIDTHS.get(next((shape[1] for shape in shapes), 0), "CLIP")


def _is_context(name: str, shape: tuple[int, ...]) -> bool:
    return name.endswith("attn2.to_k.weight") and len(shape) == 2


def _lora_layout(header: Header) -> str:
    return "kohya" if "\nlora_unet_" in header.text or "\nlora_te" in header.text else "PEFT or diffusers"


def _lora_family(header: Header) -> str:
    """From names, and from the width of the text context that the cross-attention's LoRA reads."""
    text = header.text
    if "double_blocks" in text or "single_transformer_blocks" in text:
        return "Flux or Hunyuan Video"
    if "lora_te2_" in text:
        return "SDXL"
    context = next(
        (
            shape[1]
            for name, shape in header.shapes.items()
            if "attn2" in name and "to_k" in name and ("down" in name or "lora_A" in name) and len(shape) > 1
        ),
        0,
    )
    return {768: "SD1", 1024: "SD2", 2048: "SDXL"}.get(context, "unknown")
