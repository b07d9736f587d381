"""What a model file is, from its header alone; metadata, its name and the user decide where shapes can't."""

from __future__ import annotations

import re
from dataclasses import replace

from .detect_other import detect_controlnet, detect_lora, detect_text_encoder, detect_vae
from .detect_transformer import detect_transformer
from .detect_unet import detect_unet
from .header import Header
from .kinds import ModelKind

# Order matters: ControlNets carry the names of the models that they steer, whole checkpoints those of VAEs
# and text encoders. UNets are told by their first and last layers, so they can come first.
DETECTORS = (
    detect_unet, detect_lora, detect_controlnet, detect_transformer, detect_vae, detect_text_encoder,
)  # fmt: skip

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
    found = None
    for detector in DETECTORS:
        # SVDQuant keeps low-rank weights of its own beside the packed ones.
        if detector is detect_lora and storage == "SVDQuant":
            continue
        found = found or detector(header)
    found = found or ModelKind("unknown", None)
    if storage:
        found = replace(found, layout=f"{found.layout}, {storage}")
    found = found.decided(kind)
    titles = " ".join(header.metadata.get(key, "") for key in TITLES)
    found = _by_words(_by_words(found, titles, "metadata"), name, "file name")
    if found.kind == "ic-light-delta":
        found = replace(found, role="IC-Light delta")
    return replace(found, notes=(*_warnings(header, name), *found.notes, *_notes(found)))


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
