"""Files made to be slow or large to look at: a header or a sentence, in at most 100 MB."""

import io
import json
import struct
import sys
import zipfile

import pytest
from isi.core.models.gguf_header import read_gguf_header
from isi.core.models.pickle_header import read_pickle
from isi.core.models.safetensors_header import HeaderError, read_header

resource = pytest.importorskip("resource")  # not on Windows

ENTRY = '{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'


def u32(value):
    return struct.pack("<I", value)


def u64(value):
    return struct.pack("<Q", value)


def text(value):
    return u64(len(value)) + value


def many(count, more=""):
    return ("{" + ",".join(f'"t{i}":{ENTRY}' for i in range(count)) + more + "}").encode()


def zipped(data, method=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("a/data.pkl", data)
    return file.getvalue()


def crowded():
    """A zip whose end says that its list of files takes two gigabytes."""
    data = bytearray(zipped(b"N."))
    at = data.rfind(b"PK\x05\x06")
    data[at + 12 : at + 16] = u32(2**31)
    return bytes(data)


NOTE = b'{"__metadata__":{"a":"'
NOTES = {"__metadata__": {"notes": json.dumps({f"k{i}": {"a": [1, 2, 3]} for i in range(100_000)})}}
GGUF = b"GGUF" + u32(3)
WORDS = GGUF + u64(0) + u64(1) + text(b"words") + u32(9)
# What it is read as, its bytes, and what comes: a number of tensors, or a piece of the sentence.
CASES = {
    "many tensors": ("safetensors", many(20_000), 20_000),
    "too many tensors": ("safetensors", many(60_000), "more than 42,857 tensors"),
    "a name twice, late": ("safetensors", many(15_000, f',"t0":{ENTRY},"t0":{ENTRY}'), "'t0' twice"),
    "a shape of millions": (
        "safetensors", b'{"a":{"dtype":"U8","shape":[' + b"1," * 4_900_000 + b"1]}}", "more than",
    ),
    "a huge product": (
        "safetensors",
        b'{"a":{"dtype":"U8","shape":[' + b"99999999999999999," * 200_000 + b'1],"data_offsets":[0,0]}}',
        "64 dimensions",
    ),
    "a number of megabytes": ("safetensors", b'{"a":' + b"1" * 9_000_000 + b"}", "not JSON"),
    "one wide letter": ("safetensors", NOTE + b"x" * 9_000_000 + "😀".encode() + b'"}}', 0),
    "empty lists": ("safetensors", b'{"a":[' + b"[]," * 100_000 + b"[]]}", "a tensor lacks"),
    "small objects": ("safetensors", b'{"a":[' + b'{"a":1},' * 60_000 + b"1]}", "a tensor lacks"),
    "empty texts": ("safetensors", b'{"a":[' + b'"",' * 1_000_000 + b"1]}", "more than"),
    "escapes": ("safetensors", NOTE + b"\\n," * 1_000_000 + b'"}}', 0),
    "long notes": ("safetensors", json.dumps(NOTES).encode(), 0),
    "a vocabulary": ("gguf", WORDS + u32(8) + u64(200_000) + text(b"word") * 200_000, 0),
    "endless words": ("gguf", WORDS + u32(8) + u64(10**9) + text(b"w") * 100, "announces 1000000000 items"),
    "floats": ("gguf", WORDS + u32(6) + u64(10**7) + b"abcd" * 10**7, 0),
    "arrays in arrays": ("gguf", WORDS + (u32(9) + u64(1)) * 100_000, "arrays in arrays"),
    "many values": ("gguf", GGUF + u64(0) + u64(10**6) + (text(b"k") + u32(0) + b"1") * 10**6, "announces"),
    "a long name": ("gguf", GGUF + u64(1) + u64(0) + u64(2**40), "a text of 1099511627776 bytes"),
    "many dimensions": ("gguf", GGUF + u64(1) + u64(0) + text(b"a") + u32(2**31), "8 dimensions"),
    "a long text": ("pickle", b"\x80\x02X" + u32(3 * 10**9) + b"abc.", "refuses"),
    "long bytes": ("pickle", b"\x80\x04\x8e" + u64(3 * 10**9) + b"abc.", "refuses"),
    "a far memo": ("pickle", b"\x80\x02Nr" + u32(2**31) + b".", "refuses"),
    "endless operations": ("pickle", zipped(b"\x80\x02" + b"N0" * 4_000_000 + b"."), "operations"),
    "a swarm of lists": ("pickle", zipped(b"\x80\x02" + b"]" * 100_000 + b"."), "without weights"),
    "a zip bomb": ("pickle", zipped(bytes(10**8)), "takes over"),
    "a slow compression": ("pickle", zipped(b"N.", zipfile.ZIP_LZMA), "torch can't read"),
    "a crowded zip": ("pickle", crowded(), "its list of files"),
    "a deep tuple": ("pickle", zipped(b"\x80\x02N" + b"\x85" * 150_000 + b"q\x01}h\x01h\x01s."), "without"),
    "a doubling tuple": ("pickle", zipped(b"\x80\x04N" + b"2\x86" * 400 + b"2\x93."), "without a name"),
    "a call of a call": ("pickle", zipped(b"\x80\x02cbuiltins\nlist\n)R)R."), "what it made itself"),
}  # fmt: skip


def reading(form, data):
    if form == "safetensors":
        return read_header(io.BytesIO(u64(len(data)) + data), 8 + len(data))
    return (read_gguf_header if form == "gguf" else read_pickle)(io.BufferedReader(io.BytesIO(data)))


def peak() -> int:
    """The most bytes that this process has had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", CASES)
def test_a_header_or_a_sentence_in_bounded_memory(case):
    form, data, expected = CASES[case]
    before = peak()
    try:
        found = len(reading(form, data).shapes)
    except HeaderError as error:
        found = str(error)
    assert peak() - before < 100e6 + 2 * len(data)  # `reading` copies the file, which is not on a disk
    if isinstance(expected, int):
        assert found == expected
    else:
        assert expected in str(found) and "\n" not in str(found) and len(str(found)) < 400
