"""LoRAs that a prompt names: found, loaded once, and put on clones of the model and the text encoder."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import comfy.hooks
import comfy.lora
import comfy.lora_convert
import comfy.sd
import comfy.utils
import folder_paths

from ...core.language.prompts import Lora
from ...core.models.detect_other import detect_lora
from ...core.models.header import Header
from ..keys.files import lora_files

FAMILIES = {"SD15": "SD1", "SD20": "SD2", "SD21": "SD2", "SDXL": "SDXL"}
"""Our names of families by how the host's begin, where they differ."""


@dataclass
class Loras:
    """The files that are needed, each read once."""

    _files: dict[str, tuple[dict, Any]] = field(default_factory=dict)
    _clones: dict[str, tuple] = field(default_factory=dict)

    def check(self, loras: Iterable[Lora], model: Any, clip: Any) -> None:
        """Raises ValueError for a LoRA that is missing or was made for another model."""
        for lora in loras:
            _check_fit(lora.name, self._read(lora.name)[0], model, clip)

    def keep(self, names: Iterable[str]) -> None:
        """Forgets all files but these."""
        wanted = {find(name) for name in names} if self._files else ()
        self._files = {path: held for path, held in self._files.items() if path in wanted}

    def on_model(self, loras: Sequence[Lora], model: Any) -> Any:
        """A clone of the MODEL with `loras`, as a chain of the host's Load LoRA makes it; itself for none."""
        return self._chain("model", loras, model)

    def on_clip(self, loras: Sequence[Lora], clip: Any) -> Any:
        """A clone of the CLIP with `loras`, as a chain of the host's Load LoRA makes it; itself for none."""
        return self._chain("clip", loras, clip)

    def _chain(self, kind: str, loras: Sequence[Lora], start: Any) -> Any:
        """The last clone of each kind is kept: where the same LoRAs come again, they are not put on again."""
        if not loras:
            return start
        key, made, _ = self._clones.get(kind, (None, None, None))
        if key != (tuple(loras), id(start)):
            made = start
            for lora in loras:
                weights, notes = self._read(lora.name)
                model, clip = (made, None) if kind == "model" else (None, made)
                if lora.model or lora.text:
                    both = comfy.sd.load_lora_for_models(model, clip, weights, lora.model, lora.text, notes)
                    made = both[kind == "clip"]
            # With what it was made from, so that no other object gets that one's id.
            self._clones[kind] = (tuple(loras), id(start)), made, start
        return made

    def hook(self, lora: Lora) -> comfy.hooks.Hook:
        """The host's hook that puts `lora` on the model while conditioning with it is sampled."""
        (hook,) = comfy.hooks.create_hook_lora(
            comfy.lora_convert.convert_lora(self._read(lora.name)[0]), lora.model, 0.0
        ).hooks
        return hook

    def _read(self, name: str) -> tuple[dict, Any]:
        path = find(name)
        if path not in self._files:
            weights, notes = comfy.utils.load_torch_file(path, safe_load=True, return_metadata=True)
            self._files[path] = weights, notes
        return self._files[path]


def find(name: str) -> str:
    """The file of the LoRA `name`. Raises ValueError for none and for several, with names that are near."""
    found = lora_files(name)
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(
            f"Several LoRAs are called {name[:80]!r}: write the folder too, as in <lora:folder/name:1>."
        )
    listed = folder_paths.get_filename_list("loras")
    stems = sorted({known.replace("\\", "/").rpartition(".")[0] for known in listed})
    near = difflib.get_close_matches(name, stems, 3, 0.4)
    near += [stem for stem in stems if name.lower() in stem.lower() and stem not in near][:3]
    hint = f" Near: {', '.join(near)}." if near else ""
    raise ValueError(f"There is no LoRA {name[:80]!r} in the folders of LoRAs.{hint}")


def _check_fit(name: str, weights: dict, model: Any, clip: Any) -> None:
    """Raises ValueError where a LoRA has no place on the model and CLIP, or one of another size."""
    keys = comfy.lora.model_lora_keys_unet(model.model, {})
    keys = comfy.lora.model_lora_keys_clip(clip.cond_stage_model, keys)
    found = comfy.lora.load_lora(comfy.lora_convert.convert_lora(weights), keys, log_missing=False)
    family = type(model.model.model_config).__name__ if hasattr(model.model, "model_config") else "this model"
    if not found:
        _refuse_other(name, weights, family)
        raise ValueError(
            f"The LoRA {name[:80]!r} has no weights for this model ({family}): it was made for another "
            "family. Name one of this family."
        )
    state = model.model.state_dict() | clip.cond_stage_model.state_dict()
    for key, patch in found.items():
        if not isinstance(key, str) or key not in state or getattr(patch, "name", "") != "lora":
            continue
        up, down = patch.weights[:2]
        rows, columns = state[key].shape[0], math.prod(state[key].shape[1:])
        if patch.weights[5] is None and (up.shape[0] != rows or down[0].numel() != columns):
            _refuse_other(name, weights, family)
            raise ValueError(
                f"The LoRA {name[:80]!r} was made for another model: its {key} is {up.shape[0]} x "
                f"{down[0].numel()}, and this model ({family}) has {rows} x {columns}: name one of this "
                "family."
            )


def _refuse_other(name: str, weights: dict, family: str) -> None:
    """Raises ValueError for a LoRA that shows which other family it was made for."""
    found = detect_lora(Header({key: tuple(tensor.shape) for key, tensor in weights.items()}, {}))
    made_for = found.family if found else "unknown"
    if made_for != "unknown" and FAMILIES.get(family[:4], family) not in made_for.replace(" ", ""):
        raise ValueError(
            f"The LoRA {name[:80]!r} was made for {made_for}, and this model is {family}: name one of its "
            "family."
        )
