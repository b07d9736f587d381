"""The store gives back what it got, or says that it can't; it stays within its size."""

import os
import subprocess
import sys
import time

import pytest
import torch
from isi.core.loop import store as store_module
from isi.core.loop.store import DamagedEntry, Entry, Store


def entry(seed: int = 0) -> Entry:
    generator = torch.Generator().manual_seed(seed)
    return Entry({"picture": torch.rand(1, 16, 16, 3, generator=generator)}, {"change": 0.25})


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store", 1 << 20)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_gives_back_every_bit(store, dtype):
    tensor = torch.rand(2, 3, 5).to(dtype).transpose(0, 2)  # not contiguous
    assert store.put("ab12", Entry({"x": tensor, "empty": torch.zeros(0)}, {"n": [1, None, "é"]}))
    found = store.get("ab12")
    assert torch.equal(found.tensors["x"], tensor) and found.tensors["empty"].numel() == 0
    assert found.facts == {"n": [1, None, "é"]}


def test_what_was_never_put_is_a_miss(store):
    assert not store.has("ff00") and store.get("ff00") is None


@pytest.mark.parametrize("spoil", ["flip a byte", "cut short", "empty", "not a tensor file"])
def test_damage_is_found_and_removed(store, spoil):
    store.put("ab12", entry())
    path = next(store.root.glob("*/*"))
    data = path.read_bytes()
    path.write_bytes(
        {
            "flip a byte": data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
            "cut short": data[: len(data) // 2],
            "empty": b"",
            "not a tensor file": b"hello" * 100,
        }[spoil]
    )
    with pytest.raises(DamagedEntry):
        store.get("ab12")
    assert store.get("ab12") is None
    assert store.put("ab12", entry()) and store.get("ab12")


def test_changed_facts_are_damage_too(store):
    store.put("ab12", entry())
    path = next(store.root.glob("*/*"))
    path.write_bytes(path.read_bytes().replace(b"0.25", b"0.75"))
    with pytest.raises(DamagedEntry):
        store.get("ab12")


def test_stays_within_its_size_and_drops_the_oldest(tmp_path):
    size = 16 * 16 * 3 * 4
    store = Store(tmp_path, 10 * size)
    for i in range(40):
        store.put(f"{i:04d}", entry(i))
        os.utime(next(tmp_path.glob(f"*/{i:04d}*")), (i, i))
        assert sum(p.stat().st_size for p in tmp_path.glob("*/*")) <= 10 * size + 1
    kept = {p.stem for p in tmp_path.glob("*/*")}
    assert kept == {f"{i:04d}" for i in range(40 - len(kept), 40)}


def test_a_hit_makes_an_entry_young_again(tmp_path):
    store = Store(tmp_path, 4 * 16 * 16 * 3 * 4)
    for i in range(3):
        store.put(f"{i:04d}", entry(i))
        os.utime(next(tmp_path.glob(f"*/{i:04d}*")), (i, i))
    store.get("0000")
    store.put("0003", entry(3))
    assert store.has("0000") and not store.has("0001")


def test_limit_zero_keeps_nothing(tmp_path):
    assert not Store(tmp_path, 0).put("ab12", entry())
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_said_once_and_leaves_no_part_behind(store, monkeypatch, caplog):
    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_module.os, "fsync", full)
    assert not store.put("ab12", entry()) and not store.put("ab13", entry())
    assert len(caplog.records) == 1
    assert not list(store.root.glob("*/*")) and not list(store.root.glob("*/.*"))


WRITER = """
import sys; sys.path.insert(0, {tests!r})
import conftest, torch
from pathlib import Path
from isi.core.loop.store import Entry, Store
store = Store(Path({root!r}), 1 << 19)
for i in range(10**6):
    store.put(f"{{i % 50:04d}}", Entry({{"x": torch.full((64, 64), float(i % 50))}}))
    if i == 5: print("going", flush=True)
"""


@pytest.mark.slow
def test_two_writers_one_killed_and_a_reader_see_only_whole_entries(tmp_path):
    code = WRITER.format(tests=str(__import__("pathlib").Path(__file__).parents[2]), root=str(tmp_path))
    writers = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    try:
        for writer in writers:
            assert writer.stdout.readline() == "going\n"
        store, seen = Store(tmp_path, 1 << 19), 0
        until = time.monotonic() + 2
        while time.monotonic() < until:
            for i in range(50):
                if found := store.get(f"{i:04d}"):
                    assert (found.tensors["x"] == i).all()
                    seen += 1
            writers[0].kill()
        assert seen
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
