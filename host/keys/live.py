"""Live objects read whole: what came without a graph, and what a conditioner holds besides its models.

Everything counts: every byte of every weight, patch, mask and picture, code, closures, plain attributes. A
value that can't be read, such as a C object, gets a token that only this process knows: its results are
reused here as long as the object lives, and never after a restart.
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
from . import weights

# Fields of a ModelPatcher that change what it computes; the rest is bookkeeping of memory and devices.
PATCHER_FIELDS = (
    "patches", "object_patches", "model_options", "weight_wrapper_patches", "hook_patches", "forced_hooks",
    "callbacks", "wrappers", "injections", "attachments", "additional_models", "force_cast_weights",
)  # fmt: skip
# What the host notes on modules while it moves and casts weights; the rest are settings.
BOOKKEEPING = re.compile(
    r"_(?!_)|(prev_)?comfy_|lowvram|model_(loaded|lowvram|offload)|\w*device$|training$|seed_key|pin_failed"
    r"|dynamic_\w+|current_\w+|(weight|bias)_function|convert_(weight|bias)"
)
_tokens: dict[int, tuple[weakref.ref, str]] = {}
_weights: weakref.WeakKeyDictionary[Any, tuple[str, str]] = weakref.WeakKeyDictionary()


def fingerprint(value: Any, models: bool = True) -> str:
    """A hash of everything that `value` holds: equal hashes mean that it computes the same.

    Without `models`, loaded models in it count by a look at their weights alone: a graph has named them.
    """
    reader = _Reader(models)
    reader.read(value)
    return reader.digest.hexdigest()


def precision(patcher: comfy.model_patcher.ModelPatcher) -> list[str]:
    """The dtypes in which a model is kept and computes, and the kind of its device."""
    cast = getattr(patcher.model, "manual_cast_dtype", None)
    return [str(patcher.model_dtype()), str(cast), patcher.load_device.type]


class _Reader:
    def __init__(self, models: bool) -> None:
        self.models = models
        self.digest = hashlib.blake2b(digest_size=16)
        self.seen: dict[int, int] = {}
        self.keep: list[Any] = []

    def say(self, *parts: Any) -> None:
        self.digest.update(("\0".join(map(str, parts)) + "\1").encode("utf-8", "surrogatepass"))

    def read(self, value: Any) -> None:
        if value is None or isinstance(value, bool | int | float | complex | str | bytes):
            self.say(type(value).__name__, repr(value))
            return
        if isinstance(value, enum.Enum | torch.dtype | torch.device | torch.Size | range | slice):
            self.say(type(value).__name__, repr(value))
            return
        if isinstance(value, type):
            self.say("class", *(f"{_module(base)}.{base.__qualname__}" for base in value.__mro__))
            return
        if isinstance(value, types.ModuleType | types.BuiltinFunctionType):
            self.say("name", _module(value), getattr(value, "__qualname__", value.__name__))
            return
        if id(value) in self.seen:
            self.say("again", self.seen[id(value)])
            return
        self.seen[id(value)] = len(self.seen)
        self.keep.append(value)  # so that no id is used twice
        # All bases: the host makes classes of one name for different kinds of sampling.
        self.read(type(value))
        self._read_object(value)

    def _read_object(self, value: Any) -> None:
        if isinstance(value, Tensor):
            self.say(_token(value) if value.is_meta else content_hash(value))
        elif isinstance(value, dict):
            for name, key in sorted((_name(key), key) for key in value):
                self.say(name)
                self.read(value[key])
        elif isinstance(value, list | tuple):
            self.say(len(value))
            for item in value:
                self.read(item)
        elif isinstance(value, set | frozenset):
            self.say(*sorted(fingerprint(item) for item in value))
        elif not self.models and (found := weights.patchers(value)):
            for patcher in found:
                self.say(weights.sample(patcher), *precision(patcher))
        elif isinstance(value, comfy.model_patcher.ModelPatcher):
            self._read_patcher(value)
        elif isinstance(value, comfy.sd.CLIP):
            self.read([value.patcher, value.tokenizer_options, value.use_clip_schedule])
            self.read([value.apply_hooks_to_conds, value.layer_idx])
        elif isinstance(value, comfy.sd.VAE):
            self.read([value.patcher, value.vae_dtype, value.latent_channels, value.downscale_ratio])
        elif isinstance(value, torch.nn.Module):
            self._read_module(value, {})
        elif isinstance(value, types.FunctionType | types.MethodType | functools.partial):
            self._read_callable(value)
        elif hasattr(value, "__dict__"):
            self.read(vars(value))
        else:
            self.say(_token(value))

    def _read_patcher(self, patcher: comfy.model_patcher.ModelPatcher) -> None:
        model = patcher.model
        guard = weights.sample(patcher)
        known = _weights.get(model)
        if known is None or known[0] != guard:
            whole = _Reader(True)
            whole._read_module(model, getattr(patcher, "backup", {}))
            known = _weights[model] = guard, whole.digest.hexdigest()
        self.say(*known)
        self.read(type(model))
        config = getattr(model, "model_config", None)
        if config is not None:
            # A neighbour's patch may lie on the live model; the patcher puts aside what it replaces.
            sampling = getattr(patcher, "object_patches_backup", {}).get(
                "model_sampling", model.model_sampling
            )
            self.read([type(config), config.unet_config, config.sampling_settings, type(sampling)])
        for name in PATCHER_FIELDS:
            self.say(name)
            self.read(getattr(patcher, name, None))

    def _read_module(self, module: torch.nn.Module, backup: dict) -> None:
        """Classes and attributes of all submodules, every parameter and buffer.

        `backup` has the weights that are patched in place.
        """
        for name, part in module.named_modules():
            self.say(name)
            self.read(type(part))
            self.read({k: v for k, v in vars(part).items() if not BOOKKEEPING.match(k)})
            for key, weight in [*part._parameters.items(), *part._buffers.items()]:
                kept = backup.get(f"{name}.{key}" if name else key)
                self.say(key)
                self.read(weight if kept is None else kept.weight)

    def _read_callable(self, value: Any) -> None:
        if isinstance(value, functools.partial):
            self.read([value.func, value.args, value.keywords])
            return
        if isinstance(value, types.MethodType):
            self.read([value.__func__, value.__self__])
            return
        self._read_code(value.__code__)
        cells = [_cell(cell) for cell in value.__closure__ or ()]
        self.say(_module(value), value.__qualname__)
        self.read([value.__defaults__, value.__kwdefaults__, cells])

    def _read_code(self, code: types.CodeType) -> None:
        self.say(code.co_code.hex(), code.co_names)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._read_code(constant)
            else:
                self.read(constant)


def _cell(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a name that is not bound yet
        return None


def _module(value: Any) -> str:
    """A module's name without the folder of a pack, which differs from machine to machine."""
    return re.split(r"[/\\\\]", getattr(value, "__module__", "") or getattr(value, "__name__", ""))[-1]


def _name(key: Any) -> str:
    """An order for the keys of a dict that is the same in every process."""
    return repr(key) if isinstance(key, str | int | float | bool | tuple | None) else fingerprint(key)


def token(value: Any) -> str:
    """A name for an opaque object that only this process knows, as long as the object lives."""
    return _token(value)


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
