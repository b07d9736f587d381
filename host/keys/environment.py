"""What decides the bits of a result besides the graph: versions, device, threads, flags, foreign hands."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import os
import re
import sys
import types
from contextlib import suppress
from pathlib import Path
from typing import Any

import comfy.cli_args
import comfy.ldm.modules.attention
import comfyui_version
import torch

from . import code

LIBRARIES = (
    "torch", "torchvision", "numpy", "xformers", "flash-attn", "sageattention", "triton", "triton-windows",
    "comfy-kitchen", "comfy-aimdo", "transformers", "diffusers", "bitsandbytes", "kornia", "spandrel",
)  # fmt: skip
VARIABLES = re.compile(
    r"(?:PYTORCH|TORCH|ATEN|CUBLAS|CUDNN|CUDA_|MKL|ONEDNN|DNNL|OMP|OPENBLAS|XFORMERS|HSA|MIOPEN|ROCBLAS"
    r"|TRITON|NVIDIA_TF32)\w*"
)
"""Environment variables that may choose another kernel."""
NO_BITS = re.compile(
    r"\w*(?:ALLOC_CONF|_HOME|_CACHE|_CACHE_DIR|_PATH|_DIR|VISIBLE_DEVICES|WAIT_POLICY|LOGS?|DEBUG)"
)
# Flags of ComfyUI that change nothing in a picture; one that a newer host adds counts until it is known.
IDLE_FLAGS = re.compile(
    r"listen|port|tls_\w+|enable_cors_header|max_upload_size|base_directory|extra_model_paths_config|\w+_directory"
    r"|(disable_)?auto_launch|cuda_device|default_device|(disable_)?cuda_malloc|preview_\w+|cache_\w+"
    r"|(enable_|disable_)?manager\w*|enable_manager\w*|disable_manager\w*|dont_print_server|quick_test_for_ci"
    r"|windows_standalone_build|disable_metadata|disable_all_custom_nodes|whitelist_custom_nodes"
    r"|disable_api_nodes|multi_user|verbose|log_stdout|front_end_\w+|enable_compress_response_body"
    r"|comfy_api_base|database_url|enable_assets\w*|enable_asset_hashing|feature_flag|list_feature_flags"
    r"|debug_hang|reserve_vram|vram_headroom|disable_nvml_pressure|default_hashing_function|high_ram|fast_disk"
)
STANDARD = Path(os.path.realpath(os.__file__)).parent
FOLDERS = re.compile(r"[/\\]")
SWITCHES = (
    "torch.backends.cuda.matmul.allow_tf32",
    "torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction",
    "torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction",
    "torch.backends.cuda.matmul.allow_fp16_accumulation",
    "torch.backends.cudnn.enabled",
    "torch.backends.cudnn.benchmark",
    "torch.backends.cudnn.deterministic",
    "torch.backends.cudnn.allow_tf32",
    "torch.backends.mkldnn.enabled",
)
PATCHABLE = (
    "comfy.samplers", "comfy.sample", "comfy.sampler_helpers", "comfy.k_diffusion.sampling",
    "comfy.model_base", "comfy.model_patcher", "comfy.model_sampling", "comfy.sd", "comfy.sd1_clip",
    "comfy.utils", "comfy.lora", "comfy.ops", "comfy.controlnet", "comfy.hooks", "comfy.conds",
    "comfy.ldm.modules.attention",
    "comfy.ldm.modules.diffusionmodules.openaimodel", "comfy.ldm.modules.diffusionmodules.model",
    "comfy.ldm.flux.model", "comfy.ldm.flux.layers", "nodes",
)  # fmt: skip


def environment(device: torch.device) -> dict[str, Any]:
    """All that may change a bit for the same graph on the same files, as a JSON value.

    Two machines with equal answers give equal pictures as far as ComfyUI itself does.
    """
    return {
        "isi": code.OWN,
        "comfyui": f"{comfyui_version.__version__} {code.host_code()}",
        "libraries": _libraries(),
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "attention": _full_name(comfy.ldm.modules.attention.optimized_attention),
        "flags": flags(),
        "switches": _switches(),
        "variables": {
            name: os.environ[name]
            for name in sorted(os.environ)
            if VARIABLES.fullmatch(name) and not NO_BITS.fullmatch(name)
        },
        "patched": foreign_hands(),
    }


def device_name(device: torch.device) -> str:
    """What a device is called: `cuda NVIDIA GeForce RTX 4090 (8, 9)`, `cpu AVX2`."""
    name = [device.type, torch.backends.cpu.get_cpu_capability() if device.type == "cpu" else ""]
    backend = getattr(torch, device.type, None)
    if device.type != "cpu" and backend is not None and hasattr(backend, "get_device_name"):
        name.append(backend.get_device_name(device))
        if hasattr(backend, "get_device_capability"):
            name.append(str(backend.get_device_capability(device)))
    return " ".join(filter(None, name))


def flags() -> dict[str, str]:
    """The flags that ComfyUI was started with, without those that change nothing in a picture."""
    given = vars(comfy.cli_args.args)
    return {
        name: repr(sorted(map(str, value)) if isinstance(value, set) else value)
        for name, value in sorted(given.items())
        if value not in (None, False) and not IDLE_FLAGS.fullmatch(name)
    }


@functools.cache
def _libraries() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    found["torch"] = torch.__version__  # with its build
    return found


def _switches() -> dict[str, str]:
    values = {}
    for switch in SWITCHES:
        value: Any = torch
        for part in switch.split(".")[1:]:
            value = getattr(value, part, None)
        values[switch] = str(value)
    values["matmul precision"] = torch.get_float32_matmul_precision()
    values["deterministic"] = str(torch.are_deterministic_algorithms_enabled())
    values["default dtype"] = str(torch.get_default_dtype())
    return values


def foreign_hands() -> list[str]:
    """Functions of ComfyUI that another pack has replaced, with a hash of the file that they come from."""
    found = []
    for name in PATCHABLE:
        module = sys.modules.get(name)
        if module is None:
            continue
        for key, thing in list(vars(module).items()):
            if isinstance(thing, type) and thing.__module__ == name:
                found += [
                    f"{name}.{key}.{inner} {origin}"
                    for inner, method in list(vars(thing).items())
                    if (origin := _foreign(method))
                ]
            elif origin := _foreign(thing):
                found.append(f"{name}.{key} {origin}")
    return sorted(found)


def _foreign(thing: Any) -> str:
    """Who wrote a function that hangs in ComfyUI's own modules; empty for ComfyUI and installed libraries."""
    if type(thing) is not types.FunctionType:  # most are, and this looks at thousands
        thing = getattr(thing, "__func__", thing)
        if not isinstance(getattr(thing, "__code__", None), types.CodeType):
            return ""
    written = _foreign_file(thing.__code__.co_filename)
    return written and f"{_full_name(thing)} {written}"


@functools.cache
def _foreign_file(file: str) -> str:
    """A hash of a source file that belongs neither to ComfyUI nor to an installed library, else empty."""
    path = Path(os.path.realpath(file))
    own = code.HOST in path.parents and code.HOST / "custom_nodes" not in path.parents
    installed = {"site-packages", "dist-packages"} & set(path.parts) or STANDARD in path.parents
    if own or installed or file.startswith("<"):
        return ""
    try:
        return code.read_pack([path], path.parent)
    except OSError:
        return "unreadable"


def _full_name(function: Any) -> str:
    """A function's name without the folder of its pack, which differs from machine to machine."""
    module = getattr(function, "__module__", "") or ""
    return f"{FOLDERS.split(module)[-1]}.{getattr(function, '__qualname__', type(function).__name__)}"
