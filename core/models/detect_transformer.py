"""Recognises diffusion transformers (DiT) by tensors that only they have, and counts their input channels.

Where a transformer is conditioned by concatenation (Flux Fill, Wan image-to-video) its patch embedding
is wider, as a UNet's first convolution is. Editing models that read reference tokens instead (Flux
Kontext, Qwen Image Edit) have the shapes of the plain model and are named like it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .detect_unet import COMPANIONS
from .header import Header
from .kinds import DIT, ModelKind

PREFIXES = (
    "model.diffusion_model.", "", "diffusion_model.", "model.", "net.", "transformer.", "model.model.",
)  # fmt: skip


PLAIN = 16
"""Channels of the latent that every family with `variants` takes where it is plain."""


@dataclass(frozen=True)
class Transformer:
    """A family: its names, the tensors that give it away, and its patch embedding.

    The second dimension of `entry` is channels times `patch` (1 where the embedding is a convolution),
    and `more` channels that are not latent; `sizes` are those of its first dimensions that it must have
    (0: any). `variants` names counts of channels that mean another kind, with what they hold. `layout`
    is whose names these are. `over` are families whose signs it has too, `parts` the first words of its
    names ("": not known): another one means a variant that is not known.
    """

    slug: str
    family: str
    signs: tuple[str, ...]
    entry: str
    patch: int = 1
    more: int = 0
    variants: Mapping[int, tuple[str, str, str]] = field(default_factory=dict)
    layout: str = "transformer"
    sizes: tuple[int, ...] = ()
    over: tuple[str, ...] = ()
    parts: str = ""


# Channels of the patch embedding -> kind, what they hold, the node that fills the ones that are not noise.
Variants = Mapping[int, tuple[str, str, str]]
WAN: Variants = {
    32: ("wan-camera", "16 noisy video latent + 16 latent of the first frame", "WanCameraImageToVideo"),
    36: ("wan-i2v", "16 noisy video latent + 4 mask + 16 latent of the first frames", "WanImageToVideo"),
    48: (
        "wan-fun-control",
        "16 noisy video latent + 32 control video and first frame",
        "WanFunControlToVideo",
    ),
}
FLUX: Variants = {
    32: (
        "flux-control",
        "16 noisy latent + 16 latent of a Canny or depth picture",
        "InstructPixToPixConditioning",
    ),
    49: ("flux-flex2", "16 noisy latent + 16 masked picture + 1 mask + 16 control picture", ""),
    96: ("flux-fill", "16 noisy latent + 16 masked picture + 64 mask", "InpaintModelConditioning"),
}
COSMOS: Variants = {
    17: ("cosmos-i2v", "16 noisy video latent + 1 mask of given frames", "CosmosImageToVideoLatent")
}
PREDICT2: Variants = {
    17: (
        "cosmos-predict2-i2v",
        "16 noisy video latent + 1 mask of given frames",
        "CosmosPredict2ImageToVideoLatent",
    )
}
COG: Variants = {
    32: ("cogvideox-i2v", "16 noisy video latent + 16 latent of the first frame", ""),
    48: ("cogvideox-inpaint", "16 noisy video latent + 16 mask + 16 latent of the masked video", ""),
}
SKYREELS = (
    "hunyuan-video-i2v",
    "16 noisy video latent + 16 latent of the first frame",
    "HunyuanImageToVideo",
)
HUNYUAN: Variants = {
    32: SKYREELS,
    33: (SKYREELS[0], f"{SKYREELS[1]} + 1 mask", SKYREELS[2]),
    65: (
        "hunyuan-video-15",
        "32 noisy video latent + 32 latent of the first frame + 1 mask",
        "HunyuanVideo15ImageToVideo",
    ),
    98: (
        "hunyuan-video-15-sr",
        "noisy video latent + latents of the small video and the first frame",
        "HunyuanVideo15SuperResolution",
    ),
}
KANDINSKY: Variants = {
    33: (
        "kandinsky5-video", "16 noisy video latent + 16 latent of the first frame + 1 mask",
        "Kandinsky5ImageToVideo",
    )
}  # fmt: skip
WAN_PARTS = (
    "blocks head img_emb patch_embedding ref_conv text_embedding time_embedding time_projection"
    " flf_pos_embed_token_number"
)
# Wan's variants by the first words of the names that the host tells them by, and the node that fills them.
WAN_MORE = (
    ("vace_patch_embedding vace_blocks", "wan-vace", "WanVaceToVideo"),
    ("control_adapter", "wan-camera", "WanCameraImageToVideo"),
    (
        "casual_audio_encoder audio_injector frame_packer trainable_cond_mask cond_encoder", "wan-s2v",
        "WanSoundImageToVideo",
    ),
    ("audio_proj", "wan-humo", "WanHuMoImageToVideo"),
    ("face_adapter pose_patch_embedding motion_encoder face_encoder", "wan-animate", "WanAnimateToVideo"),
    ("patch_embedding_mask patch_embedding_pose", "wan-scail", ""),
    (
        "patch_embedding_global img_emb_refimage music_encoder music_injector music_projection head_global"
        " music_rope_embedder",
        "wan-dancer", "",
    ),
)  # fmt: skip
FLUX_PARTS = "double_blocks final_layer guidance_in img_in single_blocks time_in txt_in vector_in txt_norm"
HUNYUAN_PARTS = (
    "double_blocks final_layer guidance_in img_in single_blocks time_in txt_in vector_in byt5_in time_r_in"
    " vision_in cond_type_embedding"
)
LUMINA_PARTS = (
    "cap_embedder context_refiner final_layer layers noise_refiner t_embedder x_embedder cap_pad_token"
    " x_pad_token clip_text_pooled_proj time_text_embed siglip_embedder siglip_pad_token siglip_refiner"
    " norm_final"
)
PREDICT2_PARTS = "blocks final_layer t_embedder t_embedding_norm x_embedder extra_pos_embedder"
QWEN_PARTS = "img_in norm_out proj_out time_text_embed transformer_blocks txt_in txt_norm"
OMNIGEN_PARTS = (
    "context_refiner image_index_embedding layers noise_refiner norm_out ref_image_patch_embedder"
    " ref_image_refiner time_caption_embed x_embedder"
)
PIXART_PARTS = (
    "blocks final_layer t_block t_embedder x_embedder y_embedder csize_embedder ar_embedder pos_embed"
)
FLUX_NORM = "double_blocks.0.img_attn.norm.key_norm."
FLUX_ENDS = ("img_in.weight", "time_in.in_layer.weight", "final_layer.linear.weight")
QWEN = "transformer_blocks.0.img_mlp.net.0.proj.weight"
REFINER = ("noise_refiner.0.attention.k_norm.weight",)
JOINT = "transformer_blocks.0.attn.add_q_proj.weight"
ADALN = "adaln_single.emb.timestep_embedder.linear_1.bias"

# The first match counts: families with more signs stand before those that share some of them.
TRANSFORMERS = (
    Transformer("sd3", "SD3", ("joint_blocks.0.context_block.attn.qkv.weight",), "x_embedder.proj.weight"),
    Transformer("stable-audio", "Stable Audio", ("transformer.rotary_pos_emb.inv_freq",), ""),
    Transformer("auraflow", "AuraFlow", ("double_layers.0.attn.w1q.weight",), "init_x_linear.weight", 4),
    Transformer("hunyuan-dit", "Hunyuan DiT", ("mlp_t5.0.weight",), "x_embedder.proj.weight"),
    Transformer(
        "hunyuan-video", "Hunyuan Video", ("txt_in.individual_token_refiner.blocks.0.norm1.weight",),
        "img_in.proj.weight", variants=HUNYUAN, parts=HUNYUAN_PARTS,
    ),
    Transformer(
        "flux2", "Flux 2", ("double_stream_modulation_img.lin.weight",), "img_in.weight", over=("flux",)
    ),
    Transformer(
        "chroma-radiance", "Chroma Radiance",
        ("distilled_guidance_layer.in_proj.weight", "img_in_patch.weight"),
        "img_in_patch.weight", over=("flux", "chroma"),
    ),
    Transformer(
        "chroma", "Chroma", ("distilled_guidance_layer.in_proj.weight",), "img_in.weight", 4, over=("flux",),
        parts="distilled_guidance_layer double_blocks final_layer img_in single_blocks txt_in",
    ),
    Transformer(
        "flux", "Flux", (f"{FLUX_NORM}scale", *FLUX_ENDS), "img_in.weight", 4, variants=FLUX,
        parts=FLUX_PARTS,
    ),
    Transformer(
        "flux", "Flux", (f"{FLUX_NORM}weight", *FLUX_ENDS), "img_in.weight", 4, variants=FLUX,
        parts=FLUX_PARTS,
    ),
    Transformer("ace-step", "ACE-Step", ("genre_embedder.weight",), "", over=("pixart",)),
    Transformer("ace-step", "ACE-Step 1.5", ("encoder.lyric_encoder.layers.0.input_layernorm.weight",), ""),
    Transformer("mochi", "Mochi", ("t5_yproj.weight",), "x_embedder.proj.weight"),
    Transformer(
        "pixart", "PixArt", (ADALN, "pos_embed.proj.bias"),
        "pos_embed.proj.weight", layout="diffusers",
    ),
    Transformer(
        "pixart", "PixArt", ("t_block.1.weight",), "x_embedder.proj.weight", parts=PIXART_PARTS,
    ),
    Transformer("ltxv", "LTX Video", (ADALN, "patchify_proj.weight"), "patchify_proj.weight"),
    Transformer(
        "ltxv", "LTX Video", ("time_embed.emb.timestep_embedder.linear_1.bias", "proj_in.weight"),
        "proj_in.weight", layout="diffusers",
    ),
    Transformer(
        "cosmos", "Cosmos", ("blocks.block0.blocks.0.block.attn.to_q.0.weight",), "x_embedder.proj.1.weight",
        4, 1, COSMOS,
    ),
    Transformer("pixeldit", "PixelDiT", ("core.pixel_embedder.proj.weight",), ""),
    Transformer(
        "z-image-pixel", "Z-Image (pixels)", ("cap_embedder.1.weight", "dec_net.cond_embed.weight"), "",
        over=("z-image", "lumina2"),
    ),
    Transformer(
        "z-image", "Z-Image", ("cap_embedder.1.weight", *REFINER), "x_embedder.weight", 4, sizes=(3840,),
        over=("lumina2",), parts=LUMINA_PARTS,
    ),
    Transformer(
        "lumina2", "Lumina 2", ("cap_embedder.1.weight", *REFINER), "x_embedder.weight", 4, sizes=(2304,),
        parts=LUMINA_PARTS,
    ),
    Transformer(
        "z-image", "Z-Image", ("noise_refiner.0.attention.norm_k.weight",), "", layout="diffusers"
    ),
    Transformer(
        "cogvideox", "CogVideoX", ("blocks.0.norm1.linear.weight",), "patch_embed.proj.weight", variants=COG
    ),
    Transformer(
        "cogvideox", "CogVideoX",
        ("transformer_blocks.0.norm1.linear.weight", "patch_embed.text_proj.weight"),
        "patch_embed.proj.weight", variants=COG, layout="diffusers",
    ),
    Transformer(
        "wan", "Wan", ("head.modulation", "patch_embedding.weight"),
        "patch_embedding.weight", variants=WAN, parts=WAN_PARTS,
    ),
    Transformer(
        "wan", "Wan", ("condition_embedder.time_proj.weight", "patch_embedding.weight"),
        "patch_embedding.weight", variants=WAN, layout="diffusers",
    ),
    Transformer("hunyuan-3d", "Hunyuan 3D", ("latent_in.weight", "cond_in.weight"), "latent_in.weight"),
    Transformer("hidream", "HiDream", ("caption_projection.0.linear.weight",), "x_embedder.proj.weight", 4),
    Transformer(
        "anima", "Anima", ("llm_adapter.blocks.0.cross_attn.q_proj.weight",),
        "x_embedder.proj.1.weight", 4, 1, over=("cosmos-predict2",),
    ),
    Transformer(
        "cosmos-predict2", "Cosmos Predict2", ("blocks.0.mlp.layer1.weight", "x_embedder.proj.1.weight"),
        "x_embedder.proj.1.weight", 4, 1, PREDICT2, parts=PREDICT2_PARTS,
    ),
    Transformer(
        "boogu", "Boogu", ("double_stream_layers.0.img_instruct_attn.norm_q.weight",),
        "x_embedder.weight", 4, over=("omnigen2",),
    ),
    Transformer(
        "omnigen2", "OmniGen 2",
        ("time_caption_embed.timestep_embedder.linear_1.bias",), "x_embedder.weight", 4, parts=OMNIGEN_PARTS,
    ),
    Transformer(
        "mage-flow", "Mage-Flow", ("txt_norm.weight", QWEN), "img_in.weight", sizes=(0, 128),
        over=("qwen-image",),
    ),
    Transformer(
        "qwen-image", "Qwen Image", ("txt_norm.weight", QWEN), "img_in.weight", 4, sizes=(0, 64),
        parts=QWEN_PARTS,
    ),
    Transformer("lens", "Lens", ("txt_norm.0.weight", "img_in.weight", "proj_out.weight"), "img_in.weight"),
    Transformer("ideogram4", "Ideogram 4", ("embed_image_indicator.weight",), "input_proj.weight"),
    Transformer(
        "joyimage", "JoyImage", ("double_blocks.0.attn.img_attn_qkv.weight", "img_in.weight"), "img_in.weight"
    ),
    Transformer(
        "ernie", "Ernie Image", ("layers.0.adaLN_sa_ln.weight", "text_proj.weight"), "x_embedder.proj.weight"
    ),
    Transformer(
        "seedvr2", "SeedVR2", ("vid_in.proj.weight", "emb_in.proj_hid.weight"), "vid_in.proj.weight", 4
    ),
    Transformer(
        "minimax", "MiniMax H3", ("video_patch_proj.weight", "audio_patch_proj.weight"),
        "video_patch_proj.weight", 4,
    ),
    Transformer("krea2", "Krea 2", ("txtfusion.projector.weight",), "first.weight", 4),
    Transformer(
        "kandinsky5", "Kandinsky 5", ("visual_transformer_blocks.0.cross_attention.key_norm.weight",),
        "visual_embeddings.in_layer.weight", 4, variants=KANDINSKY,
    ),
    Transformer(
        "hunyuan-video", "Hunyuan Video", ("context_embedder.token_refiner.refiner_blocks.0.norm1.weight",),
        "x_embedder.proj.weight", variants=HUNYUAN, layout="diffusers",
    ),
    Transformer(
        "auraflow", "AuraFlow",
        ("joint_transformer_blocks.0.attn.add_k_proj.weight",), "pos_embed.proj.weight",
        4, layout="diffusers",
    ),
    Transformer(
        "flux", "Flux",
        (JOINT, "x_embedder.weight", "proj_out.weight"), "x_embedder.weight", 4,
        variants=FLUX, layout="diffusers",
    ),
    Transformer("sd3", "SD3", (JOINT, "proj_out.weight"), "pos_embed.proj.weight", layout="diffusers"),
)  # fmt: skip


def detect_transformer(header: Header) -> ModelKind | None:
    """The transformer in a header; None where there is none that is known."""
    for prefix in PREFIXES:
        fits = [transformer for transformer in TRANSFORMERS if _fits(header, transformer, prefix)]
        if not fits:
            continue
        found = _kind(header, fits[0], prefix)
        others = {other.slug: other.family for other in fits[1:]}
        for known in (fits[0].slug, *fits[0].over):
            others.pop(known, None)
        if not others:
            return found
        words = " and of ".join((fits[0].family, *others.values()))
        return replace(found, kind="unknown", family="unknown", notes=(f"Has the marks of {words}.",))
    return None


def _fits(header: Header, transformer: Transformer, prefix: str) -> bool:
    if not all(prefix + sign in header.shapes for sign in transformer.signs):
        return False
    if not transformer.entry:
        return True
    sizes = header.shapes.get(prefix + transformer.entry)
    if sizes is None or len(sizes) < len(transformer.sizes):
        return False
    return all(wanted in (0, size) for wanted, size in zip(transformer.sizes, sizes, strict=False))


def _kind(header: Header, transformer: Transformer, prefix: str) -> ModelKind:
    entry = prefix + transformer.entry
    shape = header.shapes.get(entry, ())
    channels = None
    # Four-bit weights are packed: their shapes say nothing of channels.
    packed = header.dtypes.get(entry) in ("U8", "I8")
    if len(shape) > 1 and not packed:
        channels = shape[1] // transformer.patch - transformer.more
    slug, meaning, node = transformer.variants.get(channels or 0, (transformer.slug, "", ""))
    slug, meaning, node = _wan22(header, prefix, slug) or (slug, meaning, node)
    family = transformer.family
    strangers = _strangers(header, transformer, prefix)
    if transformer.slug == "wan" and strangers:
        slug, meaning, node = _wan_variant(strangers) or (slug, meaning, node)
        strangers -= {part for parts, *_ in WAN_MORE for part in parts.split()}
    elif transformer.slug == "hunyuan-video" and transformer.layout == "transformer" and len(shape) == 4:
        slug, family, meaning, node = "hunyuan-image", "Hunyuan Image", "", ""
    # Channels decide between a family's kinds: with others it is none of them.
    odd = bool(transformer.variants) and slug == transformer.slug and family == transformer.family
    odd = odd and not packed and channels != PLAIN
    whole = any(mark in header.text for mark in COMPANIONS)
    layout = transformer.layout
    notes = [
        f"{what}: {words}"
        for what, words in (("channels", meaning), ("connect", node and f"the node {node}"))
        if words
    ]
    if strangers:
        notes = [
            f"Looks like {family}, but has parts that no known kind has: {', '.join(sorted(strangers))}."
        ]
    elif odd:
        notes = [f"Looks like {family}, but its first layer does not take {PLAIN} channels."]
    return ModelKind(
        "unknown" if strangers or odd else DIT + slug,
        channels,
        family,
        "LDM" if whole and layout == "transformer" else layout,
        "checkpoint" if whole else "UNet",
        notes=tuple(notes),
    )


def _strangers(header: Header, transformer: Transformer, prefix: str) -> set[str]:
    """First words of names that this family does not have; of matrices and larger only."""
    if not transformer.parts:
        return set()
    begin, known = len(prefix), set(transformer.parts.split())
    found = {
        name[begin:].partition(".")[0]
        for name, shape in header.shapes.items()
        if len(shape) > 1 and name.startswith(prefix) and not f"\n{name}".startswith(COMPANIONS)
    }
    return found - known


def _wan_variant(strangers: set[str]) -> tuple[str, str, str] | None:
    """The variant of Wan that parts beside the plain model speak for; several of them are none."""
    found = [(slug, "", node) for parts, slug, node in WAN_MORE if strangers & set(parts.split())]
    return found[0] if len(found) == 1 else None


def _wan22(header: Header, prefix: str, slug: str) -> tuple[str, str, str] | None:
    """Wan 2.2 5B: its own VAE has 48 channels, as many as come out of its head."""
    head = header.shapes.get(f"{prefix}head.head.weight") or header.shapes.get(f"{prefix}proj_out.weight")
    if slug == "wan-fun-control" and head is not None and head[0] // 4 == 48:
        return "wan-ti2v", "48 noisy video latent", "Wan22ImageToVideoLatent"
    return None
