"""What NovelAI, InvokeAI and Fooocus write into pictures: JSON, each with names of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .emphasis import from_invokeai, from_novelai
from .info import Infotext

# A1111's name of a setting, and the names that the programs have for it.
_NAMES = {
    "Steps": ("steps",),
    "Sampler": ("sampler", "sampler_name", "scheduler"),
    "Schedule type": ("noise_schedule",),
    "CFG scale": ("scale", "cfg_scale", "guidance_scale"),
    "Seed": ("seed",),
    "Denoising strength": ("strength",),
}


def from_json(value: Any) -> Infotext | None:
    """The infotext of a JSON value that one of the programs wrote; None for any other."""
    if not isinstance(value, Mapping):
        return None
    if "positive_prompt" in value or "positive_style_prompt" in value:
        positive, negative = (_text(value.get(key)) for key in ("positive_prompt", "negative_prompt"))
        return Infotext(from_invokeai(positive), from_invokeai(negative), _settings(value))
    if isinstance(value.get("image"), Mapping) and "prompt" in value["image"]:
        return _old_invokeai(value["image"], value.get("model_weights"))
    if isinstance(value.get("prompt"), str) and ("uc" in value or "noise_schedule" in value):
        return _novelai(value)
    if isinstance(value.get("prompt"), str) and "negative_prompt" in value:
        return _fooocus(value)
    return None


def _novelai(value: Mapping[str, Any]) -> Infotext:
    characters = _at(value, "v4_prompt", "caption", "char_captions")
    more = tuple(
        (f"Character {number}", _text(each.get("char_caption")))
        for number, each in enumerate(characters if isinstance(characters, list) else (), 1)
        if isinstance(each, Mapping)
    )
    said = from_novelai(value["prompt"]), from_novelai(_text(value.get("uc")))
    return Infotext(*said, _settings(value) + more)


def _old_invokeai(image: Mapping[str, Any], model: Any) -> Infotext:
    parts = image["prompt"]
    if isinstance(parts, list):
        parts = ", ".join(_text(part.get("prompt")) for part in parts if isinstance(part, Mapping))
    # What stands in brackets is the negative prompt.
    positive, negative, deep = [], [], 0
    for character in _text(parts):
        deep += (character == "[") - (character == "]" and deep > 0)
        if character not in "[]":
            (negative if deep else positive).append(character)
    settings = _settings(image)
    settings += (("Model", model),) if isinstance(model, str) else ()
    first, second = (from_invokeai(" ".join("".join(part).split())) for part in (positive, negative))
    return Infotext(first, second, settings)


def _fooocus(value: Mapping[str, Any]) -> Infotext:
    settings = _settings({key: item for key, item in value.items() if key != "scheduler"})
    if isinstance(kind := value.get("scheduler"), str):
        settings += (("Schedule type", kind),)
    size = _text(value.get("resolution")).strip("()").split(",")
    if len(size) == 2:
        settings += (("Size", f"{size[0].strip()}x{size[1].strip()}"),)
    return Infotext(value["prompt"], _text(value["negative_prompt"]), settings)


def _settings(value: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    found = []
    for name, keys in _NAMES.items():
        said = next((value[key] for key in keys if isinstance(value.get(key), str | int | float)), None)
        if said is not None:
            found.append((name, str(said)))
    if all(isinstance(value.get(side), int) for side in ("width", "height")):
        found.append(("Size", f"{value['width']}x{value['height']}"))
    model = value.get("model")
    model = _at(model, "name") or _at(model, "model_name") or model or value.get("base_model")
    return (*found, ("Model", model)) if isinstance(model, str) else tuple(found)


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
