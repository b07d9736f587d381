"""A cheap look at loaded weights: notices that they are not what the graph and its files say.

Some nodes change weights in place, and the host keeps the changed object for a graph without that node. The
key of a model therefore also holds some values of each parameter, as they were before the host's patches.
"""

from __future__ import annotations

import hashlib
import weakref
from typing import Any

import comfy.model_patcher
import torch
from torch import Tensor, nn

SPOTS = 4
"""Values that are read of each parameter, at even distances from the first to the last."""

_slots: weakref.WeakKeyDictionary[Any, list[tuple[str, dict, str]]] = weakref.WeakKeyDictionary()


def patchers(value: Any) -> list[comfy.model_patcher.ModelPatcher]:
    """The patchers inside a MODEL, CLIP, VAE, CONTROL_NET, CLIP_VISION or STYLE_MODEL."""
    if isinstance(value, comfy.model_patcher.ModelPatcher):
        return [value]
    inner = getattr(value, "patcher", None)
    if isinstance(inner, comfy.model_patcher.ModelPatcher):
        return [inner]
    if callable(getattr(value, "get_models", None)):
        return [found for found in value.get_models() if isinstance(found, comfy.model_patcher.ModelPatcher)]
    return []


@torch.no_grad()
def sample(patcher: comfy.model_patcher.ModelPatcher) -> str:
    """A hash of `SPOTS` values of each parameter of the patcher's model, without what is patched.

    What is not in memory (GGUF, meta tensors) or has its own layout (quantised) counts by its file alone.
    """
    model = patcher.model
    slots = _slots.get(model)
    if slots is None:
        slots = _slots[model] = _slots_of(model, getattr(patcher, "object_patches_backup", {}))
    kept = _before_patches(patcher)
    # Read device by device: a value at a time would wait for a GPU thousands of times.
    groups: dict[tuple[torch.device, torch.dtype], tuple[list[int], list[Tensor]]] = {}
    for index, (name, holder, key) in enumerate(slots):
        weight = kept[name] if name in kept else holder.get(key)
        # Quantised layouts and the like are classes of their own.
        if type(weight) is not nn.Parameter and type(weight) is not Tensor:
            continue
        count = weight.numel()
        if weight.is_meta or not count:
            continue
        if weight.is_contiguous():
            values = weight.as_strided((SPOTS,), ((count - 1) // (SPOTS - 1),))
        else:
            values = weight.flatten()[torch.linspace(0, count - 1, SPOTS).long()]
        indices, parts = groups.setdefault((values.device, values.dtype), ([], []))
        indices.append(index)
        parts.append(values)
    found = torch.full((len(slots), SPOTS), torch.nan, dtype=torch.float64)
    for indices, parts in groups.values():
        found[torch.tensor(indices)] = torch.cat(parts).view(-1, SPOTS).cpu().double()
    return hashlib.blake2b(found.numpy().tobytes(), digest_size=16).hexdigest()


def _slots_of(model: nn.Module, replaced: dict[str, Any]) -> list[tuple[str, dict, str]]:
    """Where each parameter hangs: its name, the dict that holds it, its key there.

    Weights are replaced while they are patched, so the places are remembered, not the tensors. Modules that
    an object patch has put aside are looked at instead of their replacements.
    """
    slots = []
    for name, part in model.named_modules():
        if any(name == gone or name.startswith(gone + ".") for gone in replaced):
            continue
        slots += [(f"{name}.{key}" if name else key, part._parameters, key) for key in part._parameters]
    for name, part in replaced.items():
        if isinstance(part, nn.Module):
            for inner, module in part.named_modules(prefix=name):
                slots += [(f"{inner}.{key}", module._parameters, key) for key in module._parameters]
    return sorted(slots, key=lambda slot: slot[0])


def _before_patches(patcher: Any) -> dict[str, Tensor]:
    """Parameters that the host has put LoRAs on in place, as they were before."""
    kept = {name: backup.weight for name, backup in getattr(patcher, "backup", {}).items()}
    return kept | {name: backup[0] for name, backup in getattr(patcher, "hook_backup", {}).items()}
