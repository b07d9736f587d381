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
    # Read device by device: a value at a time would wait for a GPU thousands of times.
    groups: dict[tuple[torch.device, torch.dtype], list[tuple[int, Tensor]]] = {}
    for index, (name, holder, key) in enumerate(slots):
        values = _spots(_before_patches(patcher, name, holder.get(key)))
        if values is not None:
            groups.setdefault((values.device, values.dtype), []).append((index, values))
    found = torch.full((len(slots), SPOTS), torch.nan, dtype=torch.float64)
    for parts in groups.values():
        indices = torch.tensor([index for index, _ in parts])
        found[indices] = torch.stack([values for _, values in parts]).cpu().double()
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


def _before_patches(patcher: Any, name: str, weight: Tensor | None) -> Tensor | None:
    """A parameter without the LoRAs that the host may have put on it in place."""
    kept = getattr(patcher, "hook_backup", {}).get(name)
    if kept is not None:
        return kept[0]
    kept = getattr(patcher, "backup", {}).get(name)
    return weight if kept is None else kept.weight


def _spots(weight: Tensor | None) -> Tensor | None:
    """`SPOTS` values of a plain tensor in memory; None for all others."""
    if weight is None or type(weight) not in (Tensor, nn.Parameter) or weight.is_meta or not weight.numel():
        return None
    count = weight.numel()
    if not weight.is_contiguous():
        flat = weight.flatten()
        return flat[torch.linspace(0, count - 1, SPOTS).long()]
    stride = (count - 1) // (SPOTS - 1)
    return torch.as_strided(weight, (SPOTS,), (stride,), weight.storage_offset())
