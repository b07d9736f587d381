"""Recognises what is not a diffusion model: LoRAs, ControlNets, adapters, VAEs, text and vision encoders.

A mark counts at the start of a name, after a prefix that is known, and only where (nearly) all of the file
belongs to what it speaks for: many of these names occur inside of larger models too.
"""

from __future__ import annotations

import re

from .header import Header
from .kinds import ModelKind

MOST = 0.9
"""Share of the names that must belong to a kind."""

# A LoRA has its marks at the end of its names.
LORA = re.compile(
    r"^.+(?:\.lora_up\.|\.lora_down\.|\.lora_[AB]\.|\.lora_[AB]$|[._]lora\.(?:up|down)\.|\.hada_w|\.lokr_w"
    r"|\.oft_blocks|\.oft_diag|\.dora_scale|\.[ab][12]\.weight|\.boft_).*$",
    re.MULTILINE,
)
LORA_WORDS = ("lora", ".hada_w", ".lokr_w", ".oft_", ".dora_scale", ".a1.weight", ".boft_")
LORA_MORE = re.compile(
    r"^.+\.(?:alpha|diff|diff_b|scale|rank|bias|magnitude_vector|norm_bias)$", re.MULTILINE
)
MOTION = re.compile(r"^(?:down|up|mid)_blocks?\.(?:\d+\.)?motion_modules\.", re.MULTILINE)

CONTROL_PREFIX = "\n(?:controlnet\\.|control_model\\.|model\\.)?"
CONTROL = re.compile(
    CONTROL_PREFIX + r"(?:control_model\.|input_hint_block\.|controlnet_cond_embedding\.|lora_controlnet\n"
    r"|controlnet_blocks\.|controlnet_down_blocks\.|controlnet_x_embedder\.|zero_convs\.|controlnet_"
    r"|control_blocks\.|adapter\.(?:conv_in|body|unshuffle)\.)"
)
PATCHES = (
    "lllite_conditioning1.conv1.weight", "controlnet_blocks.0.y_rms.weight",
    "control_all_x_embedder.2-1.weight", "feature_embedder.mid_layer_norm.bias",
    "controlnet_patch_embedding.weight",
)  # fmt: skip
"""Names by which the host's ModelPatchLoader tells what it loads."""

VAE_PARTS = (
    "encoder.", "decoder.", "quant_conv.", "post_quant_conv.", "conv1.", "conv2.", "bn.", "loss.", "taesd_",
    "vae_scale", "vae_shift", "blocks.",
)  # fmt: skip
CONV_IN = "decoder.conv_in.weight"
# Telling tensors of VAEs and the one whose second dimension is the latent's.
VAES = (
    ("TAESD", "decoder.layers.0.weight", "decoder.layers.0.weight"),
    ("TAESD", "taesd_decoder.1.weight", "taesd_decoder.1.weight"),
    ("Wan VAE", "decoder.middle.0.residual.0.gamma", "decoder.conv1.weight"),
    ("Wan VAE", "decoder.mid_block.resnets.0.norm1.gamma", "decoder.conv_in.weight"),
    ("Mochi VAE", "decoder.block_in.resnets.0.conv1.conv.weight", "decoder.conv_in.weight"),
    ("Mochi VAE", "decoder.blocks.2.blocks.3.stack.5.weight", ""),
    ("Mochi VAE", "blocks.2.blocks.3.stack.5.weight", ""),
)

TEXT = (
    r"(?:(?:text_encoders?(?:_\d)?|clip_[lgh]|[a-z0-9_]*t5[a-z0-9_]*|[a-z0-9]+_?\d*b?(?=\.transformer)"
    r"|cond_stage_model|conditioner\.embedders\.\d|model|language_model|transformer)\.)*"
)
# Text encoders by a word that is quickly found, a name after any of `TEXT`, and another that must be there.
ENCODERS = (
    ("T5", ".q.weight", r"(?:encoder\.)?block\.0\.layer\.0\.SelfAttention\.q\.weight", ""),
    ("T5", "enc.blk.0.", r"enc\.blk\.0\.attn_q\.weight", ""),
    ("CLIP", "text_model.", r"text_model\.encoder\.layers\.0\.self_attn\.", r"token_embedding\.weight"),
    ("CLIP", "resblocks.", r"transformer\.resblocks\.0\.attn\.in_proj_weight", r"token_embedding\.weight"),
    (
        "CLIP", ".self_attn.k_proj.", r"encoder\.layers\.0\.self_attn\.k_proj\.weight",
        r"embeddings\.token_embedding\.weight",
    ),
    ("LLM", "layers.0.self_attn.q", r"layers\.0\.self_attn\.q(?:kv)?_proj\.weight", ""),
    ("LLM", "blk.0.attn_q.", r"blk\.0\.attn_q\.weight", ""),
)  # fmt: skip
TEXT_PARTS = re.compile(
    rf"^{TEXT}(?:text_model|text_projection|logit_scale|logit_bias|embeddings|encoder|enc|decoder|dec"
    r"|final_layer_norm|positional_embedding|token_embedding|token_embd|resblocks|ln_final|attn_mask"
    r"|vision_model|visual|visual_projection|shared|lm_head|layers|embed_tokens|norm|blk|output_norm"
    r"|output|position_ids|spiece_model|tekken_model|tokenizer_json|multi_modal_projector|vision_tower"
    r"|block|rope_freqs|v|mm)\b",
    re.MULTILINE,
)
CLIP_WIDTHS = {768: "CLIP-L", 1024: "CLIP-H", 1280: "CLIP-G"}
CLIP_PLACES = 77
"""Tokens of a chunk; Long-CLIP has 248."""
VISION = re.compile(
    r"^(?:vision_model\.encoder\.layers\.0\.self_attn\.|visual\.transformer\.resblocks\.0\.attn\.in_proj_)",
    re.MULTILINE,
)


def detect_lora(header: Header) -> ModelKind | None:
    """A LoRA of any kind (LoCon, LoHa, LoKr, DoRA, ...)."""
    if not any(word in header.text for word in LORA_WORDS):  # much faster than the expression
        return None
    names = [match.group() for match in LORA.finditer(header.text)]
    if not names or "\nlora_controlnet\n" in header.text or MOTION.search(header.text):
        return None
    if _adapter(header):
        return None
    more = sum(1 for _ in LORA_MORE.finditer(header.text))
    if len(names) + more < 0.8 * len(header.shapes):
        return None
    return ModelKind("lora", None, _lora_family(header), _lora_layout(header), "LoRA")


def detect_adapter(header: Header) -> ModelKind | None:
    """What is laid into a model at sampling: IP-Adapters, PhotoMaker, AnimateDiff's motion modules."""
    kind = _adapter(header)
    return ModelKind(kind, None, role="adapter") if kind else None


def _adapter(header: Header) -> str:
    if _share(header, ("id_encoder.", "lora_weights.")) >= MOST:
        return "photomaker" if "\nid_encoder." in header.text else ""
    if _share(header, ("image_proj.", "ip_adapter.", "image_proj_model.", "adapter_modules.")) >= MOST:
        return "ip-adapter"
    motion = sum(1 for _ in MOTION.finditer(header.text))
    if not motion or motion < MOST * len(header.shapes):
        return ""
    return "motion-lora" if LORA.search(header.text) else "motion-module"


def detect_controlnet(header: Header) -> ModelKind | None:
    """A ControlNet, Control-LoRA or T2I-Adapter."""
    if not CONTROL.search(header.text) or detect_model_patch(header):
        return None
    ldm = "input_blocks.0.0.weight" in header.text
    context = next((s[1] for name, s in header.shapes.items() if _is_context(name, s)), 0)
    family = {768: "SD1", 1024: "SD2", 2048: "SDXL", 4096: "SD3 or Flux"}.get(context, "unknown")
    if "controlnet_x_embedder." in header.text or "\ndouble_blocks." in header.text:
        family = "Flux"
    return ModelKind("controlnet", None, family, "LDM" if ldm else "diffusers", "ControlNet")


def detect_model_patch(header: Header) -> ModelKind | None:
    """A ControlNet that is laid into a MODEL as a patch (Qwen DiffSynth, Z-Image Fun, Uni3C, ...)."""
    if not any(name in header.shapes for name in PATCHES):
        return None
    return ModelKind("model-patch", None, role="model patch")


def detect_vae(header: Header) -> ModelKind | None:
    """A VAE on its own."""
    if _share(header, VAE_PARTS) < MOST:
        return None
    for name, sign, latent in VAES:
        if sign in header.shapes:
            mochi = name == "Mochi VAE"
            notes = ("Mochi, a video VAE.",) if mochi else _latents(header, latent)
            return ModelKind("vae", None, "f8" if mochi else name, "LDM", "VAE", notes=notes)
    return _kl(header) if CONV_IN in header.shapes else None


def _kl(header: Header) -> ModelKind:
    """An autoencoder of the KL line: it shrinks by two at every level but one."""
    text, shape = header.text, header.shapes[CONV_IN]
    diffusers = "\ndecoder.up_blocks.0." in text
    block, grow = ("up_blocks", "upsamplers.0.conv") if diffusers else ("up", "upsample.conv")
    resnet = r"resnets\.0\.(?:spatial_res_block\.)?conv1\." if diffusers else r"block\.0\.conv1\."
    start = f"\ndecoder\\.{block}\\.(\\d+)\\."
    levels = set(re.findall(start + resnet, text))
    grown = re.findall(start + re.escape(grow) + r"\.weight", text)
    sure = (
        len(shape) == 4 and len(levels) - 1 == len(grown) and levels == {str(i) for i in range(len(levels))}
    )
    notes = list(_latents(header, CONV_IN))
    if ".temporal_res_block." in text or ".time_stack." in text:
        notes.append("Stable Video Diffusion's: its decoder smooths over frames.")
    family = f"f{2 ** len(grown)}" if sure else "unknown"
    return ModelKind("vae", None, family, "diffusers" if diffusers else "LDM", "VAE", notes=tuple(notes))


def _latents(header: Header, name: str) -> tuple[str, ...]:
    shape = header.shapes.get(name, ())
    return (f"latent channels: {shape[1]}",) if len(shape) > 1 else ()


def detect_text_encoder(header: Header) -> ModelKind | None:
    """One or more text encoders on their own."""
    families = []
    for family, word, mark, also in ENCODERS:
        if word not in header.text or not re.search(rf"\n{TEXT}{mark}", header.text):
            continue
        if also and not re.search(rf"\n{TEXT}(?:text_model\.embeddings\.)?{also}\n", header.text):
            continue
        name = _clip(header) if family == "CLIP" else family
        if name not in families:
            families.append(name)
    if not families or sum(1 for _ in TEXT_PARTS.finditer(header.text)) < MOST * len(header.shapes):
        return None
    return ModelKind("text-encoder", None, " + ".join(families), "transformers", "text encoder")


def detect_vision(header: Header) -> ModelKind | None:
    """An encoder of pictures on its own: CLIP's or SigLIP's."""
    parts = ("vision_model.", "visual.", "visual_projection.", "logit_", "multi_modal_projector.")
    if not VISION.search(header.text) or _share(header, parts) < MOST:
        return None
    return ModelKind("clip-vision", None, "CLIP", "transformers", "vision encoder")


def _share(header: Header, starts: tuple[str, ...]) -> float:
    """The share of the names that start with one of these."""
    return sum(name.startswith(starts) for name in header.shapes) / max(1, len(header.shapes))


def _clip(header: Header) -> str:
    def size(axis: int, *names: str) -> int:
        fits = (s for name, s in header.shapes.items() if name.endswith(names) and len(s) == 2)
        return next((shape[axis] for shape in fits), 0)

    name = CLIP_WIDTHS.get(size(1, "token_embedding.weight"), "CLIP")
    places = size(0, "position_embedding.weight", "positional_embedding")
    return "Long " + name if places > CLIP_PLACES else name


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
