"""An entry proves itself: what is not whole, or not this key's, is never handed out, and is gone then."""

import hashlib
import json
import os
import tracemalloc

import pytest
import torch
from isi.core.store.entries import DamagedEntry, Entry, encode
from isi.core.store.store import Store
from safetensors.torch import load_file, save

from ...fuzzing import ENTRY_KEY as KEY
from ...fuzzing import sentence, sound_entry

OTHER = "cd" * 16


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store", 1 << 26)


def path_of(store, key=KEY):
    return store.root / key[:2] / f"{key}.safetensors"


def gone_afterwards(store):
    for read in (store.get, store.facts):
        with pytest.raises(DamagedEntry) as said:
            read(KEY)
        sentence(said.value)
        assert not os.path.lexists(path_of(store))
        assert read(KEY) is None
        return


def put_raw(store, data: bytes):
    path_of(store).parent.mkdir(parents=True, exist_ok=True)
    path_of(store).write_bytes(data)


def forged(entry_tensors, version=2, key=KEY, facts=None) -> bytes:
    """A file with a right checksum over whatever it holds, as one who knows our format would make it."""
    names = {torch.float32: "F32", torch.int64: "I64", torch.float16: "F16"}
    header, digests, data, end = {}, {}, b"", 0
    for name, tensor in entry_tensors.items():
        raw = tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
        digests[name] = hashlib.blake2b(raw, digest_size=16).hexdigest()
        offsets = [end, end + len(raw)]
        header[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
        data, end = data + raw, end + len(raw)
    facts = {"change": 0.5} if facts is None else facts
    told = {name: [one["dtype"], one["shape"]] for name, one in header.items()}
    proof = json.dumps([version, key, facts, digests, {}, told], sort_keys=True).encode()
    note = {"version": version, "facts": facts, "digests": digests, "same": {}}
    note["checksum"] = hashlib.blake2b(proof, digest_size=16).hexdigest()
    header["__metadata__"] = {"isi": json.dumps(note)}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def test_the_forger_of_these_tests_knows_the_format(store):
    """Else the tests below would be refused for their proof alone."""
    good = sound_entry()
    put_raw(store, forged(good.tensors, facts=good.facts))
    found = store.get(KEY)
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in good.tensors.items())


def test_an_entry_is_a_safetensors_file_for_everybody(store):
    store.put(KEY, sound_entry())
    theirs = load_file(path_of(store))
    assert all(torch.equal(theirs[n], t) for n, t in sound_entry().tensors.items() if n in theirs)
    assert "picture" in theirs and "latent" in theirs


def test_the_content_of_another_key_is_not_believed(store):
    store.put(OTHER, sound_entry())
    put_raw(store, path_of(store, OTHER).read_bytes())
    gone_afterwards(store)
    assert store.get(OTHER)


def replaced(**tensors):
    return {name: t for name, t in {**sound_entry().tensors, **tensors}.items() if t is not None}


PICTURE = torch.rand(1, 8, 8, 3)
FORGED = {
    "int64": replaced(picture=torch.ones(1, 8, 8, 3, dtype=torch.int64)),
    "NaN": replaced(picture=PICTURE * float("nan")),
    "infinity in the latent": replaced(latent=torch.full((1, 4, 2, 2), torch.inf)),
    "no latent": replaced(latent=None),
    "no picture": replaced(picture=None, next_picture=None),
    "three sides": replaced(picture=torch.rand(8, 8, 3)),
    "seven channels": replaced(picture=torch.rand(1, 8, 8, 7), next_picture=None),
    "empty": replaced(picture=torch.zeros(0, 8, 8, 3)),
    "a next picture of another size": replaced(next_picture=torch.rand(1, 9, 8, 3)),
    "a tensor that nobody knows": replaced(weights=torch.rand(3)),
}


@pytest.mark.parametrize("how", FORGED)
def test_a_right_checksum_over_what_no_run_makes_is_not_enough(store, how):
    put_raw(store, forged(FORGED[how]))
    with pytest.raises(DamagedEntry):
        store.get(KEY)
    assert not path_of(store).exists()


@pytest.mark.parametrize("how", ["int64", "NaN", "no latent", "seven channels"])
def test_what_would_not_be_believed_is_not_written(store, how):
    assert not store.put(KEY, Entry(FORGED[how], {}))
    assert not path_of(store).exists()


def header_of(value) -> bytes:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return len(text).to_bytes(8, "little") + text


def whole() -> bytes:
    return b"".join(encode(KEY, sound_entry()))


SPOILT = {
    "a byte flipped": lambda: whole()[:-9] + bytes([whole()[-9] ^ 1]) + whole()[-8:],
    "cut short": lambda: whole()[: len(whole()) // 2],
    "cut by one byte": lambda: whole()[:-1],
    "longer": lambda: whole() + b"\0",
    "empty": lambda: b"",
    "four bytes": lambda: b"\1\0\0\0",
    "no tensor file": lambda: b"hello" * 100,
    "facts changed": lambda: whole().replace(b"0.25", b"0.75"),
    "a header that is a list": lambda: header_of([]),
    "deep": lambda: header_of(b"[" * 500_000),
    "deep in the note": lambda: header_of({"__metadata__": {"isi": '{"facts":' * 100_000}}),
    "no note": lambda: save({"picture": PICTURE}),
    "a note that is a number": lambda: header_of({"__metadata__": {"isi": "7"}}),
    "a number of 5,000 digits": lambda: header_of(b'{"a": ' + b"9" * 5000 + b"}"),
    "a header of 2^63 bytes": lambda: (2**63).to_bytes(8, "little") + b"{}",
    "a future version": lambda: forged(sound_entry().tensors, version=3),
    "ten million sides": lambda: header_of(
        {"picture": {"dtype": "F32", "shape": [1] * 100_000, "data_offsets": [0, 4]}}
    ),
}


@pytest.mark.parametrize("how", SPOILT)
def test_what_is_not_whole_is_found_and_removed(store, how):
    put_raw(store, SPOILT[how]())
    gone_afterwards(store)
    assert store.put(KEY, sound_entry()) and store.get(KEY)


@pytest.mark.parametrize("consistent", [False, True])
def test_a_sparse_file_of_twenty_gigabytes_is_not_read(store, consistent, monkeypatch):
    """Neither one that is merely long, nor one whose header asks for as much."""
    data = forged(sound_entry().tensors)
    if consistent:
        side = 40_000
        picture = {"dtype": "F32", "shape": [1, side, side, 3], "data_offsets": [0, side * side * 12]}
        end = side * side * 12
        latent = {"dtype": "F32", "shape": [1, 4, 1, 1], "data_offsets": [end, end + 16]}
        header = {"picture": picture, "latent": latent}
        note = {"version": 2, "facts": {}, "digests": {"picture": "", "latent": ""}, "same": {}}
        told = {name: [one["dtype"], one["shape"]] for name, one in header.items()}
        proof = json.dumps([2, KEY, {}, note["digests"], {}, told], sort_keys=True).encode()
        note["checksum"] = hashlib.blake2b(proof, digest_size=16).hexdigest()
        data = header_of({"__metadata__": {"isi": json.dumps(note)}} | header)
    put_raw(store, data)
    with path_of(store).open("r+b") as file:
        file.truncate(len(data) + (40_000 * 40_000 * 12 + 16 if consistent else 20 << 30))
    monkeypatch.setattr(torch, "empty", lambda *a, **k: pytest.fail("allocated"))
    tracemalloc.start()
    with pytest.raises(DamagedEntry):
        store.get(KEY)
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()
    assert not path_of(store).exists()


def test_headers_ask_for_no_memory_that_the_file_does_not_have(store, monkeypatch):
    """Within the store's limit too: sizes add up before anything is allocated."""
    sides = {"dtype": "F32", "shape": [1, 2048, 2048, 3], "data_offsets": [0, 4 * 3 * 2048 * 2048]}
    put_raw(store, header_of({"__metadata__": {"isi": "{}"}, "picture": sides}))
    monkeypatch.setattr(torch, "empty", lambda *a, **k: pytest.fail("allocated"))
    with pytest.raises(DamagedEntry):
        store.get(KEY)


def first_version() -> bytes:
    """An entry as ISI 0.1 wrote it."""
    tensors = {name: tensor for name, tensor in sound_entry().tensors.items() if name != "next_picture"}
    digest = hashlib.blake2b(json.dumps({"change": 0.25}, sort_keys=True).encode(), digest_size=16)
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].contiguous().numpy().tobytes())
    return save(tensors, {"isi": json.dumps({"checksum": digest.hexdigest(), "facts": {"change": 0.25}})})


def test_entries_of_the_first_version_can_be_looked_at_but_nothing_goes_on_from_them(store):
    put_raw(store, first_version())
    found = store.get(KEY, first_version=True)
    assert torch.equal(found.tensors["picture"], sound_entry().tensors["picture"])
    put_raw(store, first_version()[:-1] + b"\1")
    with pytest.raises(DamagedEntry):
        store.get(KEY, first_version=True)
    put_raw(store, first_version())
    gone_afterwards(store)
