"""Reading and refusing headers. Oracle for sound files: the safetensors library itself."""

import io
import json
import struct

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from isi.core.models.gguf_header import read_gguf_header
from isi.core.models.safetensors_header import HeaderError, read_header
from safetensors import safe_open
from safetensors.torch import save, save_file

from .header_vectors import gguf_start, safetensors_start


def start(entries, length=None):
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text


def read(data, size=None):
    return read_header(io.BytesIO(data), len(data) if size is None else size)


def entry(begin, end, shape=None, dtype="U8"):
    return {"dtype": dtype, "shape": [end - begin] if shape is None else shape, "data_offsets": [begin, end]}


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=12).filter(lambda name: name != "__metadata__"),
        st.tuples(
            st.lists(st.integers(0, 4), max_size=4), st.sampled_from([torch.float16, torch.int64, torch.bool])
        ),
        min_size=1,
        max_size=8,
    ),
    st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3),
)
def test_reads_what_the_library_writes(tmp_path_factory, tensors, metadata):
    tensors = {name: torch.zeros(shape, dtype=dtype) for name, (shape, dtype) in tensors.items()}
    path = tmp_path_factory.mktemp("header") / "model.safetensors"
    save_file(tensors, path, metadata or None)
    header = read(path.read_bytes())
    with safe_open(path, "pt") as oracle:
        shapes = {name: tuple(oracle.get_slice(name).get_shape()) for name in oracle.keys()}  # noqa: SIM118
        dtypes = {name: oracle.get_slice(name).get_dtype() for name in shapes}
        assert (header.shapes, header.dtypes) == (shapes, dtypes)
        assert header.metadata == (oracle.metadata() or {})
    assert header.missing == 0


def test_a_length_that_looks_like_another_format():
    """A header of 640 bytes begins as an old pickle does."""
    name = "a" * (640 - len(json.dumps({"": entry(0, 0)})))
    assert read(start({name: entry(0, 0)})).shapes[name] == (0,)
    assert start({name: entry(0, 0)}).startswith(b"\x80\x02")


def test_says_how_much_is_missing():
    data, size = safetensors_start({"a": [3, 5], "b": [7]})
    assert read(data).missing == size - len(data) == 44
    assert read(data + b"\0" * 44).missing == 0
    assert read(data + b"\0" * 40).missing == 4


OVERLAP = {"a": entry(0, 4), "b": entry(2, 6)}
BAD = {
    "empty": (b"", "is empty"),
    "tiny": (b"abc", "too few for a header"),
    "text": (b"hello, this is no model at all", "asks? for a header of"),
    "over our limit": (struct.pack("<Q", 10_000_001) + b"{}" + b" " * 10_000_001, "ISI reads 10,000,000"),
    "over the limit": (struct.pack("<Q", 100_000_001) + b"{}", "the format allows 100000000"),
    "longer than the file": (start({}, length=5000), "cut short inside its header"),
    "not JSON": (start(b"{not json}"), "not JSON"),
    "not UTF-8": (start(b'{"\xff": 1}'), "not JSON"),
    "too deep": (start(b"[" * 100_000), "not JSON"),
    "a list": (start(b"[]"), "not a JSON object"),
    "a name twice": (start(b'{"a": {}, "a": {}}'), "names 'a' twice"),
    "a key twice": (
        start(b'{"a": {"dtype": "U8", "dtype": "I8", "shape": [0], "data_offsets": [0, 0]}}'),
        "names 'dtype' twice",
    ),
    "no shape": (start({"a": {"dtype": "U8", "data_offsets": [0, 1]}}), "a tensor lacks"),
    "not an entry": (start({"a": 5}), "a tensor lacks"),
    "a number for a shape": (start({"a": entry(0, 1, 1)}), "a tensor lacks"),
    "a shape of text": (start({"a": entry(0, 1, ["1"])}), "no number from 0 up"),
    "a shape of fractions": (start({"a": entry(0, 1, [1.0])}), "no number from 0 up"),
    "a negative shape": (start({"a": entry(0, 1, [-1])}), "no number from 0 up"),
    "a negative offset": (start({"a": entry(-1, 0)}), "no number from 0 up"),
    "a dtype of numbers": (start({"a": entry(0, 1, dtype=5)}), "a dtype is no text"),
    "three offsets": (start({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1, 2]}}), "lacks"),
    "shape and bytes differ": (start({"a": entry(0, 4, [3])}), r"is U8 \[3\] but takes bytes 0 to 4"),
    "backwards": (start({"a": entry(4, 0, [4])}), "takes bytes 4 to 0"),
    "overlap": (start(OVERLAP), "'b' overlaps"),
    "gap": (start({"a": entry(0, 4), "b": entry(6, 8)}), "'b' leaves a gap"),
    "metadata": (start({"__metadata__": {"a": 1}}), "metadata are not text"),
    "pickle": (b"PK\x03\x04" + b"\0" * 30, "pickle"),
    "old pickle": (b"\x80\x02}q\x00." + b"\0" * 30, "pickle"),
    "gguf": (b"GGUF" + b"\0" * 30, "GGUF"),
    "web page": (b"<!DOCTYPE html><html></html>", "web page"),
    "git lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS pointer"),
}


@pytest.mark.parametrize("case", BAD)
def test_refuses_with_the_reason(case):
    data, reason = BAD[case]
    with pytest.raises(HeaderError, match=reason):
        read(data)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_read_or_refused(data, framed):
    try:
        read(start(data) if framed else data)
    except HeaderError as error:
        assert "\n" not in str(error)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_flipped_byte_is_read_or_refused(data):
    whole = bytearray(save({"a": torch.zeros(3), "b": torch.ones(2, 2)}))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    try:
        read(bytes(whole))
    except HeaderError as error:
        assert str(error)


def test_a_gguf_file_cut_short_is_refused():
    data = gguf_start({"a": [3, 2]}, {"a": [3, 2]}, {"general.name": "x"})
    assert read_gguf_header(io.BytesIO(data)).shapes["a"] == (3, 2)
    for end in range(4, len(data) - 1):
        with pytest.raises(HeaderError):
            read_gguf_header(io.BytesIO(data[:end]))
