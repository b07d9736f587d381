"""What a result depends on, as one hash that means the same in every process.

A model's weights and large patches are sampled;
everything else (masks, pictures, closures) is read whole. A value that
can't be read, such as a C object, gets a token that only this process knows: its results are reused here
as long as the object lives, and never after a restart.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import re
import types
import uuid
import weakref
from contextlib import suppress
from typing import Any

import comfy.model_patcher
import comfy.sd
import torch
from torch import Tensor

from ...core.loop.plan import content_hash

SAMPLES = 64
"""Values that are read of each weight."""
WHOLE = 1 << 16
"""Tensors up to this many values are read whole even among a model's patches."""

# Fields of a ModelPatcher that change what it computes; the rest is bookkeeping of memory and devices.
PATCHER_FIELDS = (
    "patches", "object_patches", "model_options", "weight_wrapper_patches", "hook_patches", "forced_hooks",
    "callbacks", "wrappers", "injections", "attachments", "additional_models", "force_cast_weights",
)  # fmt: skip
# What the host notes on modules while it moves and casts weights; the rest of their numbers are settings.
BOOKKEEPING = re.compile(r"_|(prev_)?comfy_|lowvram|model_(loaded|lowvram|offload)|device$|training$")
_tokens: dict[int, tuple[weakref.ref, str]] = {}
_weights: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()


def fingerprint(value: Any) -> str:
    """A hash of everything that `value` holds: equal hashes mean that it computes the same."""
    reader = _Reader()
    reader.read(value)
    return reader.digest.hexdigest()


class _Reader:
    def __init__(self) -> None:
        self.digest = hashlib.blake2b(digest_size=16)
        self.seen: dict[int, int] = {}
        self.keep: list[Any] = []
        self.in_patcher = False

    def say(self, *parts: Any) -> None:
        self.digest.update(("\0".join(map(str, parts)) + "\1").encode())

    def read(self, value: Any) -> None:
        if value is None or isinstance(value, bool | int | float | complex | str | bytes):
            self.say(type(value).__name__, repr(value))
            return
        if isinstance(value, enum.Enum | torch.dtype | torch.device | torch.Size | range | slice):
            self.say(type(value).__name__, repr(value))
            return
        if isinstance(value, type | types.ModuleType | types.BuiltinFunctionType):
            self.say("name", getattr(value, "__module__", ""), getattr(value, "__qualname__", value.__name__))
            return
        if id(value) in self.seen:
            self.say("again", self.seen[id(value)])
            return
        self.seen[id(value)] = len(self.seen)
        self.keep.append(value)  # so that no id is used twice
        self.say(type(value).__module__, type(value).__qualname__)
        self._read_object(value)

    def _read_object(self, value: Any) -> None:
        if isinstance(value, Tensor):
            self.say(_sampled_hash(value) if self.in_patcher else content_hash(value))
        elif isinstance(value, dict):
            for key in sorted(value, key=repr):
                self.read(key)
                self.read(value[key])
        elif isinstance(value, list | tuple):
            self.say(len(value))
            for item in value:
                self.read(item)
        elif isinstance(value, set | frozenset):
            self.say(*sorted(fingerprint(item) for item in value))
        elif isinstance(value, comfy.model_patcher.ModelPatcher):
            self._read_patcher(value)
        elif isinstance(value, comfy.sd.CLIP):
            self.read([value.patcher, value.layer_idx, value.tokenizer_options, value.use_clip_schedule])
            self.read(value.apply_hooks_to_conds)
        elif isinstance(value, comfy.sd.VAE):
            self.read([value.patcher, value.vae_dtype, value.latent_channels, value.downscale_ratio])
        elif isinstance(value, torch.nn.Module):
            self.say(_weights_hash(value, {}))
        elif isinstance(value, types.FunctionType | types.MethodType | functools.partial):
            self._read_callable(value)
        elif hasattr(value, "__dict__"):
            self.read(vars(value))
        else:
            self.say(_token(value))

    def _read_patcher(self, patcher: comfy.model_patcher.ModelPatcher) -> None:
        model = patcher.model
        if model not in _weights:
            _weights[model] = _weights_hash(model, patcher.backup)
        self.say(_weights[model], type(model).__qualname__)
        config = getattr(model, "model_config", None)
        if config is not None:
            self.read(
                [type(config), config.unet_config, config.sampling_settings, type(model.model_sampling)]
            )
        outer, self.in_patcher = self.in_patcher, True
        for name in PATCHER_FIELDS:
            self.say(name)
            self.read(getattr(patcher, name, None))
        self.in_patcher = outer

    def _read_callable(self, value: Any) -> None:
        if isinstance(value, functools.partial):
            self.read([value.func, value.args, value.keywords])
            return
        if isinstance(value, types.MethodType):
            self.read([value.__func__, value.__self__])
            return
        self._read_code(value.__code__)
        cells = [_cell(cell) for cell in value.__closure__ or ()]
        self.read([value.__module__, value.__qualname__, value.__defaults__, value.__kwdefaults__, cells])

    def _read_code(self, code: types.CodeType) -> None:
        self.say(code.co_code.hex(), code.co_names)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._read_code(constant)
            else:
                self.read(constant)


def _sampled_hash(tensor: Tensor) -> str:
    """Shape and every byte; of a large patch (LoRA, merged weights) `WHOLE` values at even distances."""
    flat = tensor.detach().reshape(-1)
    return f"{tuple(tensor.shape)}{content_hash(flat[:: max(1, flat.numel() // WHOLE)])}"


def _weights_hash(module: torch.nn.Module, backup: dict) -> str:
    """Classes and plain numbers of all submodules; name, dtype, shape and `SAMPLES` values of each weight.

    `backup` has the weights that are patched in place.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, part in module.named_modules():
        plain = {
            key: value
            for key, value in vars(part).items()
            if isinstance(value, bool | int | float | str) and not BOOKKEEPING.match(key)
        }
        digest.update(f"{name}{type(part).__qualname__}{sorted(plain.items(), key=repr)}".encode())
    for name, weight in module.state_dict().items():
        weight = backup[name].weight if name in backup else weight
        digest.update(f"{name}{weight.dtype}{tuple(weight.shape)}".encode())
        if weight.is_meta:
            digest.update(uuid.uuid4().bytes)  # not in memory, so it can't be proven equal
            continue
        flat = weight.detach().reshape(-1)
        flat = flat[:: max(1, flat.numel() // SAMPLES)].cpu().contiguous()
        digest.update(flat.view(torch.uint8).numpy().data if flat.numel() else b"")
    return digest.hexdigest()


def _cell(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a name that is not bound yet
        return None


def _token(value: Any) -> str:
    """A name for an opaque object that only this process knows, as long as the object lives."""
    key = id(value)
    found = _tokens.get(key)
    if found:
        return found[1]
    token = uuid.uuid4().hex
    with suppress(TypeError):  # what takes no weak reference equals nothing, not even itself
        _tokens[key] = weakref.ref(value, lambda _: _tokens.pop(key, None)), token
    return token
