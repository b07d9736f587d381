"""What a node's behaviour is made of: the code of ComfyUI, of the packs in a graph, and what packs remember.

A pack is known by the text of its files, not by the folder that it lies in.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
import re
import sys
import time
import types
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import comfy
import folder_paths

from .state import plain

STARTED_NS = time.time_ns()
"""Code that was written after this may not be the code that runs."""
SETTINGS = {".json", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".csv", ".txt"}
LARGEST_SETTING = 256 << 10
"""Bytes of a data file of a pack that may be a setting; what is larger is data that the graph names."""
NO_CODE = {"__pycache__", "node_modules", "web", "js", "docs", "example_workflows", "workflows", "tests"}
ENVIRONMENT = re.compile(r"(?:environ(?:\.get)?\s*[\[(]|getenv\s*\()\s*[\"'](\w+)[\"']")

HOST = Path(comfy.__path__[0]).resolve().parent
OURS = Path(__file__).resolve().parents[2]


def read_pack(files: list[Path], root: Path) -> str:
    """A hash of files under `root`, by their names there and their contents. Raises OSError."""
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(files):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
        digest.update(hashlib.blake2b(path.read_bytes(), digest_size=16).digest())
    return digest.hexdigest()


@functools.cache
def host_code() -> str:
    """The code of ComfyUI that computes: the same version from git may be another one."""
    files = [path for room in ("comfy", "comfy_extras") for path in (HOST / room).rglob("*.py")]
    files += [HOST / name for name in ("nodes.py", "node_helpers.py") if (HOST / name).exists()]
    if any(max((at := path.stat()).st_mtime_ns, at.st_ctime_ns) > STARTED_NS for path in files):
        return f"changed while it runs, {uuid.uuid4()}"
    return read_pack(files, HOST)


def _own_code() -> str:
    files = [path for hall in ("core", "host", "nodes") for path in (OURS / hall).rglob("*.py")]
    return read_pack([*files, OURS / "assets" / "mini" / "weights.json"], OURS)


OWN = _own_code()
"""Our own code that computes, as it was when it was loaded, and the hashes of the mini models."""


def pack_of(path: str | None) -> Path | None:
    """The pack that a source file belongs to: a folder or a single file. None for ComfyUI's own files.

    Raises LookupError for a file that can't be found.
    """
    if not path or not os.path.isfile(path):
        raise LookupError(path)
    file = Path(path).resolve()
    for root in folder_paths.get_folder_paths("custom_nodes"):
        with suppress(ValueError):
            return Path(root).resolve() / file.relative_to(Path(root).resolve()).parts[0]
    if HOST in file.parents:
        return None
    top = file.parent
    while (top.parent / "__init__.py").exists():
        top = top.parent
    return top if (top / "__init__.py").exists() else file


def behaviour(node: type) -> list[str]:
    """Names for the code behind a node class: its own, and that of whoever wrapped its function.

    Raises LookupError where the code can't be found, or is not surely the code that runs.
    """
    sources = {_source(base) for base in inspect.getmro(node) if base.__module__ not in ("builtins", "abc")}
    function = getattr(node, getattr(node, "FUNCTION", "") or "execute", None)
    while function is not None:
        function = getattr(function, "__func__", function)
        if code := getattr(function, "__code__", None):
            sources.add(code.co_filename)
        function = getattr(function, "__wrapped__", None)
    packs = {pack_of(source) for source in sources}
    return sorted("host" if pack is None else pack_identity(pack) for pack in packs)


def _source(node: type) -> str | None:
    if file := getattr(sys.modules.get(node.__module__), "__file__", None):
        return file
    with suppress(TypeError, OSError):
        return inspect.getsourcefile(node)
    return None


def pack_identity(pack: Path) -> str:
    """A pack's code, its settings on disk and in the environment, and what its modules hold just now.

    Raises LookupError where code was changed since ComfyUI started.
    """
    if pack == OURS:
        return "isi:" + OWN
    modules = _modules_in(pack)
    text, names = _pack_files(pack, tuple(sorted(_stamps(pack, modules))))
    state = hashlib.blake2b(digest_size=16)
    for name in names:
        state.update(f"{name}={os.environ.get(name)}\0".encode())
    for module in sorted(modules, key=lambda module: module.__name__):
        state.update(plain(module, pack).encode())
    return f"{text}:{state.hexdigest()}"


def _modules_in(pack: Path) -> list[types.ModuleType]:
    """The loaded modules of a pack."""
    inside = str(pack) + os.sep
    return [
        module for file, module in _located(len(sys.modules)) if file == str(pack) or file.startswith(inside)
    ]


@functools.lru_cache(maxsize=1)
def _located(count: int) -> list[tuple[str, types.ModuleType]]:
    """All loaded modules with their files; `count` tells when there are others."""
    found = []
    for module in list(sys.modules.values()):
        # Some modules answer any question by importing something: their dict is looked at instead.
        file = getattr(module, "__dict__", {}).get("__file__")
        if isinstance(file, str):
            folder, name = os.path.split(file)
            found.append((os.path.join(_real(folder), name), module))
    return found


@functools.lru_cache(maxsize=4096)
def _real(folder: str) -> str:
    return os.path.realpath(folder)


def _stamps(pack: Path, modules: list) -> Iterator[tuple[str, int, int]]:
    """The files of a pack that count, with sizes and times. Raises LookupError as `pack_identity` does."""
    running = {os.path.realpath(module.__file__): module for module in modules}
    for path in _files(pack):
        stat = path.stat()
        if path.suffix in SETTINGS and stat.st_size > LARGEST_SETTING:
            continue
        written = max(stat.st_mtime_ns, stat.st_ctime_ns)
        if path.suffix == ".py" and written > STARTED_NS:
            module = running.get(os.path.realpath(path))
            if module is not None and not _is_what_runs(path, module):
                raise LookupError(f"{path.name} was changed while ComfyUI runs")
        yield str(path), stat.st_size, stat.st_mtime_ns


def _files(pack: Path) -> Iterator[Path]:
    if pack.is_file():
        yield pack
        return
    for at, folders, names in os.walk(pack):
        folders[:] = [name for name in folders if name not in NO_CODE and not name.startswith(".")]
        for name in names:
            if os.path.splitext(name)[1] in {".py", *SETTINGS}:
                yield Path(at, name)


@functools.lru_cache(maxsize=256)
def _pack_files(pack: Path, stamps: tuple) -> tuple[str, tuple[str, ...]]:
    """A hash of a pack's files, and the environment variables that its code asks for."""
    files = [Path(path) for path, _, _ in stamps]
    names: set[str] = set()
    for path in files:
        if path.suffix == ".py":
            names |= set(ENVIRONMENT.findall(path.read_text("utf-8", errors="replace")))
    return read_pack(files, pack.parent if pack.is_file() else pack), tuple(sorted(names))


def _is_what_runs(path: Path, module: types.ModuleType) -> bool:
    """Whether the functions and methods of a loaded module are those that its file has now."""
    try:
        root = compile(path.read_bytes(), str(path), "exec")
    except (OSError, SyntaxError, ValueError):
        return False
    written: set[tuple] = set()
    waiting = [root]
    while waiting:
        code = waiting.pop()
        written.add(_bare(code))
        waiting += [const for const in code.co_consts if isinstance(const, types.CodeType)]
    things = list(vars(module).values())
    things += [inner for thing in things if isinstance(thing, type) for inner in vars(thing).values()]
    things = [getattr(thing, "__func__", thing) for thing in things]
    codes = [thing.__code__ for thing in things if isinstance(thing, types.FunctionType)]
    return all(_bare(code) in written for code in codes if code.co_filename == module.__file__)


def _bare(code: types.CodeType) -> tuple:
    """What a code object does, without where it stands."""
    consts = tuple(
        _bare(const) if isinstance(const, types.CodeType) else (type(const).__name__, repr(const))
        for const in code.co_consts
    )
    return code.co_name, code.co_code, code.co_names, consts
