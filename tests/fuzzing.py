"""Broken files of every kind that the pack reads, made from whole ones by a seed; no ComfyUI here.

`TARGETS` names what is fuzzed. Each makes one input from a `random.Random` and reads it; it raises if the
reader gives anything but a result or its own error in one sentence.
"""

from __future__ import annotations

import copy
import io
import json
import random
import struct
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from isi.core.language.choices import ChoiceError, draw, read_choices
from isi.core.language.prompts import chunks, read_prompt
from isi.core.language.script import ScriptError, parse
from isi.core.language.wildcards import WildcardFiles
from isi.core.loop.lens import Chain, Masked, Resize
from isi.core.loop.plan import Extra, Plan, Step
from isi.core.models.detect import detect
from isi.core.models.gguf_header import read_gguf_header
from isi.core.models.pickle_header import read_pickle
from isi.core.models.safetensors_header import HeaderError, read_header
from isi.core.pictures.canvas import Canvas
from isi.core.pictures.crop import Crop
from isi.core.store.entries import DamagedEntry, Entry, encode
from isi.core.store.store import Store
from safetensors.torch import save

from .core.models.header_vectors import gguf_start, safetensors_start, vectors

EDGES = [
    0,
    1,
    2,
    7,
    8,
    63,
    64,
    127,
    128,
    255,
    256,
    65535,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
    2**63,
    2**64 - 1,
]
STRANGE: list[Any] = [
    None, True, False, 0, -1, 1, 5, 1.5, -0.5, 1e300, float("nan"), float("inf"), 10**6, 2**64, 10**400, "",
    "../../etc/passwd", "a\0b", "\ud800", "é" * 300, "x" * 100_000, [], {}, [[]], [None], {"a": 1},
    {"kind": "whole"}, [[[[[[[[]]]]]]]], "0123456789abcdef" * 2, "__metadata__", "F32",
    [1] * 100, list(range(1000)),
]  # fmt: skip


def broken(data: bytes, rng: random.Random) -> bytes:
    """`data` with a few bytes flipped, cut, doubled, moved, or set to numbers at the ends of their types."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        at = rng.randrange(len(out)) if out else 0
        end = min(len(out), at + rng.choice((1, 4, 8, 64, 1000)))
        what = rng.randrange(7)
        if what == 0 and out:
            out[at] ^= 1 << rng.randrange(8)
        elif what == 1:
            del out[at:]
        elif what == 2:
            del out[at:end]
        elif what == 3:
            out[at:at] = out[at:end] * rng.choice((1, 2, 50))
        elif what == 4:
            width = rng.choice((1, 2, 4, 8))
            out[at : at + width] = (rng.choice(EDGES) % 2 ** (8 * width)).to_bytes(width, "little")
        elif what == 5:
            out[at:end] = rng.randbytes(end - at)
        else:
            other = rng.randrange(len(out)) if out else 0
            out[at:end] = out[other : other + end - at]
    return bytes(out)


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """Where each value in a JSON value stands."""
    found = [path] if path else []
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, child in children:
        found += places(child, (*path, key))
    return found


def strange(value: Any, rng: random.Random) -> Any:
    """A JSON value with a few of its parts replaced, removed, added or swapped."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        found = places(value)
        if not found:
            break
        *way, last = rng.choice(found)
        parent = value
        for key in way:
            parent = parent[key]
        what = rng.randrange(6)
        if what == 0:
            del parent[last]
        elif what == 1 and isinstance(parent, dict):
            parent[rng.choice(("kind", "version", "new", "picture", "steps", "__metadata__", ""))] = (
                copy.deepcopy(rng.choice(STRANGE))
            )
        elif what == 2 and isinstance(parent, list):
            parent.extend([parent[last]] * rng.choice((1, 3, 200)))
        elif what == 3:
            other = value
            for key in rng.choice(found):
                if not isinstance(other, (dict, list)) or (isinstance(other, dict) and key not in other):
                    break
                if isinstance(other, list) and key >= len(other):
                    break
                other = other[key]
            parent[last] = copy.deepcopy(other)
        else:
            parent[last] = copy.deepcopy(rng.choice(STRANGE))
    return value


def dumped(value: Any, rng: random.Random) -> bytes:
    """JSON as bytes, now and then broken on the way."""
    data = json.dumps(value).encode("utf-8", "surrogatepass")
    return broken(data, rng) if rng.random() < 0.2 else data


def sentence(error: BaseException) -> None:
    """Holds that an error is one sentence that fits on a screen."""
    text = str(error)
    assert text.strip() and len(text) < 1500 and "\n" not in text, repr(text[:200])


@cache
def files() -> dict[str, bytes]:
    """A whole file of every format."""
    tensors = {f"block.{i}.weight": torch.zeros(i + 1, 2) for i in range(6)}
    real = vectors()["checkpoint/sd2-5"]
    real = {name: real[name] for name in list(real)[:60]}
    zipped, old = io.BytesIO(), io.BytesIO()
    torch.save({"state_dict": tensors, "epoch": 3, "lr": [0.1]}, zipped)
    torch.save(tensors, old, _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(zipped) as archive:
        name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        inner = archive.read(name)
    return {
        "safetensors": save(tensors, {"format": "pt"}),
        "real": safetensors_start(real, metadata={"format": "pt"})[0],
        "gguf": gguf_start({"a": [3, 2], "b": [7]}, {"a": [3, 2]}, {"general.name": "x"}),
        "zipped": zipped.getvalue(),
        "old": old.getvalue(),
        "pickle": inner,
    }


def safetensors(rng: random.Random) -> None:
    data = files()[rng.choice(("safetensors", "real"))]
    if rng.random() < 0.5:
        length = int.from_bytes(data[:8], "little")
        text = dumped(strange(json.loads(data[8 : 8 + length]), rng), rng)
        data = struct.pack("<Q", len(text)) + text + data[8 + length :]
    else:
        data = broken(data, rng)
    _header(lambda: read_header(io.BytesIO(data), len(data)))  # type: ignore[arg-type]


def gguf(rng: random.Random) -> None:
    data = broken(files()["gguf"], rng)
    _header(lambda: read_gguf_header(io.BytesIO(data)))


def pickles(rng: random.Random) -> None:
    kind = rng.choice(("zipped", "old", "pickle", "pickle"))
    data = broken(files()[kind], rng)
    if kind == "pickle":
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
            archive.writestr("a/data.pkl", data)
        data = file.getvalue()
    _header(lambda: read_pickle(io.BytesIO(data)))


def _header(read: Callable) -> None:
    try:
        header = read()
    except HeaderError as error:
        sentence(error)
        return
    assert all(isinstance(name, str) for name in header.shapes)
    assert all(type(side) is int and side >= 0 for shape in header.shapes.values() for side in shape)
    try:
        detect(header, "checkpoints/a.safetensors", "auto")
    except ValueError as error:
        sentence(error)


MASK = torch.zeros(1, 8, 8)
PLAN = Plan(
    (
        Step("a", label="first", extras=(Extra.of("tiled", tile=64, blend="cosine", shift=True, note=None),)),
        Step("b", 7, 1.5, 0.3, 2**64 - 1, "", Chain(Masked("m", "m"), Resize(16, 16))),
        Step("c", lens=Chain(Canvas(8, 0, -8, 16, "telea", 4, 2), Crop(-2, 0, 8, 8, 64, 64, "m", "m", 0.5))),
    ),
    {"m": MASK},
)


def plans(rng: random.Random) -> None:
    value = strange(PLAN.to_json(), rng)
    try:
        plan = Plan.from_json(value, PLAN.assets)
    except ValueError as error:
        sentence(error)
        return
    assert Plan.from_json(plan.to_json(), PLAN.assets) == plan
    assert len(plan.table()) < 100_000 and all(0 <= step.denoise <= 1 for step in plan.steps)


PIECES = [
    "{",
    "}",
    "(",
    ")",
    ";",
    ":1.3",
    "@denoise=.4",
    "@seed=",
    "*3",
    "\\",
    "a cat",
    "（",
    "＠",
    "\n",
    "*100000",
    "|",
    "$$",
    '@negative="',
    "\0",
]


def mixed(pieces: list[str], rng: random.Random) -> str:
    """A text of some, many or very many of the pieces."""
    return "".join(rng.choice(pieces) for _ in range(rng.choice((1, 5, 30, 300))))


def scripts(rng: random.Random) -> None:
    text = mixed(PIECES, rng)
    try:
        parse(text)
    except ScriptError as error:
        assert error.reason and error.line >= 1 and error.column >= 1


MARKS = [
    *"[](){}|:;\\ ",
    "AND",
    " BREAK ",
    "<lora:a:1>",
    "<lora:",
    ">",
    ".5",
    "3",
    "$$",
    "::",
    "__",
    "a",
    "猫",
    '"',
]


def prompts(rng: random.Random) -> None:
    text = mixed(MARKS, rng)
    try:
        draw(read_choices(text), 1, "x", WildcardFiles(()))
    except ChoiceError as error:
        assert error.reason and 0 <= error.offset <= len(text)
    try:
        prompt = read_prompt(text)
    except ScriptError as error:
        assert error.reason and error.line >= 1 and error.column >= 1
        return
    for said in prompt.by_step(3):
        assert all(len("".join(chunks(part))) <= len(text) for part, _ in said.parts)


ENTRY_KEY = "ab" * 16


def sound_entry() -> Entry:
    """An iteration that a run may have left."""
    values = torch.rand(300, generator=torch.Generator().manual_seed(3))
    picture, latent = values[:192].view(1, 8, 8, 3), values[192:208].view(1, 4, 2, 2)
    return Entry({"picture": picture, "latent": latent, "next_picture": 1 - picture}, {"change": 0.25})


def spoilt_entry(rng: random.Random) -> bytes:
    """The file of that iteration, broken, or with a strange header."""
    data = b"".join(encode(ENTRY_KEY, sound_entry()))
    if rng.random() < 0.5:
        return broken(data, rng)
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    note = json.loads(header["__metadata__"]["isi"])
    if rng.random() < 0.5:
        header["__metadata__"]["isi"] = json.dumps(strange(note, rng))
    else:
        header = strange(header, rng)
    text = dumped(header, rng)
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


@cache
def folder() -> tempfile.TemporaryDirectory:
    """Where entries lie; it goes when the process ends."""
    return tempfile.TemporaryDirectory(prefix="isi-fuzz-")


def entries(rng: random.Random) -> None:
    root = Path(folder().name)
    store = Store(root, 1 << 26)
    path = root / ENTRY_KEY[:2] / f"{ENTRY_KEY}.safetensors"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(spoilt_entry(rng))
    try:
        found = store.get(ENTRY_KEY)
    except DamagedEntry as error:
        sentence(error)
        assert not path.exists()
        return
    assert found is not None
    for name, tensor in sound_entry().tensors.items():
        assert torch.equal(found.tensors[name], tensor)


TARGETS: dict[str, Callable[[random.Random], None]] = {
    "safetensors": safetensors,
    "gguf": gguf,
    "pickles": pickles,
    "plans": plans,
    "entries": entries,
    "scripts": scripts,
    "prompts": prompts,
}
