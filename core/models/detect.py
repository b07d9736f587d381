"""What a model file is, from its header alone; metadata, its name and the user decide where shapes can't."""

from __future__ import annotations

import re
from dataclasses import replace

from .detect_other import (
    detect_adapter,
    detect_controlnet,
    detect_lora,
    detect_model_patch,
    detect_text_encoder,
    detect_vae,
    detect_vision,
)
from .detect_transformer import detect_transformer
from .detect_unet import COMPANIONS, detect_unet
from .header import Header
from .kinds import ModelKind, describe
from .wrapped import AVERAGED, unwrapped

OTHERS = (
    detect_lora, detect_adapter, detect_controlnet, detect_model_patch, detect_vae, detect_vision,
    detect_text_encoder,
)  # fmt: skip
"""Detectors of what is no diffusion model. Each wants the file for itself: what two claim is unknown."""

ORPHANS = 0.15
"""Share of a file's biases without the weight that belongs to them from which on parts are missing."""

# Words in a file's name or title, and the kinds that they speak for, the likeliest first.
WORDS = (
    (r"ic[-_ ]?light.*(merged|full|checkpoint)", ("ic-light-fc", "ic-light-fbc")),
    (r"ic[-_ ]?light", ("ic-light-delta", "ic-light-fc", "ic-light-fbc")),
    (r"pix2pix|ip2p|instruct|cosxl[-_ ]?edit", ("instruct-pix2pix",)),
    (r"marigold|lotus", ("marigold",)),
    (r"zero[-_ ]?123", ("zero123",)),
)
TITLES = ("modelspec.title", "modelspec.architecture", "general.name", "title", "name")
PLAIN = {
    "F64", "F32", "F16", "BF16", "I64", "I32", "BOOL",
    "float64", "float32", "float16", "bfloat16", "int64", "int32", "bool",
}  # fmt: skip
"""Dtypes of weights that are kept as they are used, in safetensors' and torch's names."""
SCALES = (".weight_scale\n", ".scale_weight\n", ".scale_input\n", "scaled_fp8\n")
PACKED = {
    "NF4": (".quant_state.bitsandbytes__",),
    "SVDQuant": (".wscales\n", ".smooth_factor\n"),
    "quantised": (".comfy_quant\n",),
}
REFUSED = ("NF4", "SVDQuant", "GGUF")
"""Storages that the host's own loaders can't read."""


def detect(header: Header, name: str = "", kind: str = "auto") -> ModelKind:
    """What the file of this header is.

    `name` is the file's name, with its folders; `kind` the user's own choice, or `auto`. Shapes come
    first; where they leave several kinds, the choice, then metadata, then the name decides.
    Raises ValueError if the choice can't be.
    """
    storage = _storage(header)
    found = _named(header, storage)
    inner, prefix = unwrapped(header)
    if prefix and found.role not in ("UNet", "checkpoint"):
        found = replace(_named(inner, storage), wrapped=prefix)
        if found.role in ("unknown", PARTS) and prefix.startswith(AVERAGED):
            found = replace(found, role="checkpoint")
    if storage:
        found = replace(found, layout=f"{found.layout}, {storage}")
    found = found.decided(kind)
    titles = " ".join(header.metadata.get(key, "") for key in TITLES)
    found = _by_words(_by_words(found, titles, "metadata"), name, "file name")
    if found.kind == "ic-light-delta":
        found = replace(found, role="IC-Light delta")
    return replace(found, notes=(*_warnings(header, name), *found.notes, *_notes(found)))


def _named(header: Header, storage: str) -> ModelKind:
    """What the names and shapes say; unknown where they contradict each other or are not all there."""
    diffusion = detect_unet(header) or detect_transformer(header)
    others = [found for detector in OTHERS if (found := detector(header)) is not None]
    if storage == "SVDQuant":  # keeps low-rank weights of its own beside the packed ones
        others = [found for found in others if found.kind != "lora"]
    # The first ControlNets were published together with the model that they were trained on.
    if diffusion is not None and "control_model.input_blocks.0.0.weight" in header.shapes:
        diffusion = None
    claims = [found for found in (diffusion, *others) if found is not None]
    if len(claims) > 1:
        words = " and of ".join(describe(found) for found in claims)
        return ModelKind("unknown", None, notes=(f"Holds names of {words}.",))
    if not claims:
        return _nothing(header)
    found = claims[0]
    if found.kind != "lora" and _orphans(header) > ORPHANS:
        return replace(found, kind="unknown", notes=(*found.notes, INCOMPLETE))
    return found


PARTS = "parts of a checkpoint"
INCOMPLETE = "Many of its tensors are missing (biases without their weights): the file is damaged or a part."


def _nothing(header: Header) -> ModelKind:
    if any(mark in header.text for mark in COMPANIONS):
        note = "Holds the VAE or the text encoders of a checkpoint, but no diffusion model that is known."
        return ModelKind("unknown", None, role=PARTS, notes=(note,))
    return ModelKind("unknown", None)


def _orphans(header: Header) -> float:
    """Share of the modules with a bias that have nothing else."""
    whole, biased = set(), []
    for name, shape in header.shapes.items():
        stem, _, last = name.rpartition(".")
        if last == "bias" and len(shape) == 1:
            biased.append(stem)
        else:
            whole.add(stem)
    return sum(stem not in whole for stem in biased) / max(1, len(biased))


def _storage(header: Header) -> str:
    """How the weights are kept, where it is not plainly."""
    if header.container == "GGUF":
        return "GGUF"
    if header.storages <= PLAIN:
        return ""
    if any(mark in header.text for mark in SCALES):
        return "fp8-scaled"
    for storage, marks in PACKED.items():
        if any(mark in header.text for mark in marks):
            return "fp8-scaled" if storage == "quantised" and _has_fp8(header) else storage
    return "fp8" if _has_fp8(header) else ""


def _has_fp8(header: Header) -> bool:
    return any(dtype.startswith(("F8_E", "float8")) for dtype in header.storages)


def _by_words(found: ModelKind, words: str, source: str) -> ModelKind:
    """Decides between candidates by words, if one of them is spoken for."""
    if not found.ambiguous:
        return found
    for pattern, kinds in WORDS:
        if not re.search(pattern, words, re.IGNORECASE):
            continue
        for kind in kinds:
            if kind in found.candidates:
                note = f"{found.kind} have the same shapes; decided by the {source}."
                return replace(found, kind=kind, notes=(*found.notes, note))
    return found


def _warnings(header: Header, name: str) -> list[str]:
    warnings = []
    if header.missing:
        warnings.append(f"This file is cut short: {header.missing} bytes are missing. Download it again.")
    if re.search(r"-\d{5}-of-\d{5}", name):
        warnings.append("This is one part of several; join them before loading.")
    return warnings


def _notes(found: ModelKind) -> list[str]:
    if "ic-light-delta" in found.candidates and found.ambiguous:
        return ["IC-Light's weight differences have the shapes of a whole model; only the values tell."]
    return []
