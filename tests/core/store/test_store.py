"""The store gives back what it got, or says that it can't; it stays within its size."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from isi.core.store import disk
from isi.core.store import store as store_module
from isi.core.store.entries import DamagedEntry, Entry
from isi.core.store.store import Store

KEY = "ab" + "12" * 15
SIZE = 16 * 16 * 3 * 4
"""Bytes of an entry's picture; its latent and header take less."""


def key(number: int) -> str:
    return f"{number:032x}"


def entry(seed: int = 0) -> Entry:
    generator = torch.Generator().manual_seed(seed)
    picture = torch.rand(1, 16, 16, 3, generator=generator)
    return Entry(
        {"picture": picture, "latent": torch.rand(1, 4, 2, 2, generator=generator)}, {"change": 0.25}
    )


def files(root):
    return sorted(path for path in root.rglob("*") if path.is_file() and path.name != "clock")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store", 1 << 20)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_gives_back_every_bit(store, dtype):
    tensors = {
        "picture": torch.rand(2, 3, 5, 4).to(dtype).transpose(1, 2),  # not contiguous
        "latent": torch.randn(2, 16, 3, 5).half(),
        "init": torch.randn(1, 4, 2, 3, 5).double(),
    }
    facts = {"n": [1, None, "é"], "change": float("inf")}
    assert store.put(KEY, Entry(tensors, facts))
    found = store.get(KEY)
    assert found.tensors.keys() == tensors.keys() and found.facts == facts == store.facts(KEY)
    for name, tensor in tensors.items():
        assert found.tensors[name].dtype == tensor.dtype and torch.equal(found.tensors[name], tensor)
    assert list(store.get(KEY, ["picture"]).tensors) == ["picture"]


def test_what_was_never_put_is_a_miss(store):
    assert not store.has(KEY) and store.get(KEY) is None and store.facts(KEY) is None


def test_nothing_is_written_twice(store):
    """Whether it is the same memory or only the same bits."""
    one = entry()
    picture, latent = one.tensors["picture"], one.tensors["latent"]
    planar = picture.movedim(-1, 1).contiguous().movedim(1, -1)
    more = {
        "next_picture": planar,
        "reference": picture.clone(),
        "init": picture,
        "next_latent": latent.clone(),
    }
    store.put(KEY, Entry({**one.tensors, **more}, {}))
    found = store.get(KEY)
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in more.items())
    assert files(store.root)[0].stat().st_size <= picture.nbytes + latent.nbytes + 1000


@pytest.mark.parametrize("limit", [1000, 0])
def test_what_is_larger_than_the_store_is_not_kept_and_that_is_said(tmp_path, limit, caplog):
    store = Store(tmp_path, limit)
    assert not store.put(KEY, entry()) and not store.put(KEY, entry())
    assert not files(tmp_path) and len(caplog.records) == (1 if limit else 0)


def test_stays_within_its_size_and_drops_the_oldest(tmp_path):
    store = Store(tmp_path, 10 * SIZE)
    for i in range(40):
        store.put(key(i), entry(i))
        assert sum(path.stat().st_size for path in files(tmp_path)) <= 10 * SIZE
    kept = {path.stem for path in files(tmp_path)}
    assert len(kept) >= 5 and kept == {key(i) for i in range(40 - len(kept), 40)}


def test_a_hit_makes_an_entry_young_again(tmp_path):
    store = Store(tmp_path, 4 * SIZE)
    for i in range(3):
        store.put(key(i), entry(i))
        os.utime(next(tmp_path.glob(f"*/{key(i)}*")), (i, i))
    store.get(key(0))
    store.put(key(3), entry(3))
    assert store.has(key(0)) and not store.has(key(1))


def test_the_oldest_go_first_also_where_the_clock_is_set_back_and_forth(tmp_path, monkeypatch):
    store = Store(tmp_path, 6 * SIZE)
    for i, now in enumerate([5_000, 9_000, 1_000, 1_001, 7_000, 3, 20_000, 4]):
        monkeypatch.setattr(store_module.time, "time_ns", lambda now=now: now * 10**9)
        store.put(key(i), entry(i))
    kept = sorted(path.stem for path in files(tmp_path))
    assert kept == [key(i) for i in range(8 - len(kept), 8)] and 3 <= len(kept) < 8


def test_a_second_run_does_not_list_the_store(tmp_path, monkeypatch):
    Store(tmp_path, 1 << 24).put(key(0), entry())
    listed = []
    real = Store._entries
    monkeypatch.setattr(Store, "_entries", lambda self: listed.append(1) or real(self))
    for i in range(20):
        assert Store(tmp_path, 1 << 24).put(key(i), entry(i))
    assert not listed


def test_what_another_process_writes_counts_soon(tmp_path):
    """A writer that never looks again would let the store grow without an end."""
    ours = Store(tmp_path, 20 * SIZE)
    ours.put(key(0), entry())
    before = store_module._used.copy()
    for i in range(100, 119):
        ours.put(key(i), entry(i))  # as another process: what this one knows is set back
    store_module._used.clear()
    store_module._used.update(before)
    for i in range(1, 8):
        ours.put(key(i), entry(i))
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 20 * SIZE


def test_a_full_disk_is_said_once_leaves_no_part_and_may_get_room_again(store, monkeypatch, caplog):
    def full(fd):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(disk.os, "fsync", full)
        assert not store.put(KEY, entry()) and not store.put(key(1), entry())
    assert len(caplog.records) == 1 and not files(store.root)
    assert store.put(KEY, entry()) and store.get(KEY)


def test_a_rename_that_fails_is_tried_again(store, monkeypatch):
    """As where a virus scanner looks at the new file."""
    real, left = os.replace, [3]

    def busy(*args):
        if left[0]:
            left[0] -= 1
            raise PermissionError(13, "in use")
        return real(*args)

    monkeypatch.setattr(disk.os, "replace", busy)
    monkeypatch.setattr(disk, "WAITS", (0, 0, 0))
    assert store.put(KEY, entry()) and store.get(KEY)
    left[0] = 9
    assert not store.put(key(1), entry()) and not list((store.root / "parts").iterdir())


def test_the_folder_is_flushed_after_the_rename(store, monkeypatch):
    if not Path("/proc/self/fd").exists():
        pytest.skip("the system does not tell which file is flushed")
    done = []
    real_sync, real_replace = os.fsync, os.replace
    monkeypatch.setattr(
        disk.os, "fsync", lambda fd: done.append(os.readlink(f"/proc/self/fd/{fd}")) or real_sync(fd)
    )
    monkeypatch.setattr(disk.os, "replace", lambda *a: done.append("rename") or real_replace(*a))
    store.put(KEY, entry())
    at = done.index("rename")
    assert str(store.root / "parts") in done[at - 1] and done[at + 1] == str(store.root / "ab")


KILLED = """
import os, sys; sys.path.insert(0, {tests!r})
import conftest
from pathlib import Path
from isi.core.store import disk
disk.os.replace = lambda *a: (print("writing", flush=True), sys.stdin.read())
disk.write_atomic(Path({path!r}), b"x" * 1000, parts=Path({parts!r}))
"""


def test_what_a_killed_writer_left_is_swept_and_what_is_being_written_is_not(store):
    parts = store.root / "parts"
    tests = str(Path(__file__).parents[2])
    code = KILLED.format(tests=tests, path=str(store.root / "aa" / "x"), parts=str(parts))
    writers = [
        subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) for _ in range(2)
    ]
    try:
        for writer in writers:
            assert writer.stdout.readline() == "writing\n"
        writers[0].kill()
        writers[0].wait()
        assert len(list(parts.iterdir())) == 2
        store.sweep()
        assert len(list(parts.iterdir())) == 1
        assert disk.sweep(parts) == 1000
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    (store.root / "ab").mkdir()
    (store.root / "ab" / ".old.part").write_bytes(b"x")  # where ISI 0.1 left them
    store.put(KEY, entry())
    assert [path.stem for path in files(store.root)] == [KEY]


def test_a_file_that_is_swept_before_it_is_locked_is_written_again(store, monkeypatch):
    real, swept = disk._lock, []

    def late(handle):
        if not swept:
            swept.extend(path.unlink() for path in (store.root / "parts").iterdir())
        return real(handle)

    monkeypatch.setattr(disk, "_lock", late)
    assert store.put(KEY, entry()) and store.get(KEY) and swept


WRITER = """
import sys; sys.path.insert(0, {tests!r})
import conftest, torch
from pathlib import Path
from isi.core.store.store import Store
from isi.core.store.entries import Entry
store = Store(Path({root!r}), 1 << 19)
for i in range(10**6):
    number = float(i % 50)
    tensors = {{"picture": torch.full((1, 64, 64, 1), number), "latent": torch.zeros(1, 1, 1)}}
    store.put(f"{{i % 50:032x}}", Entry(tensors))
    if i == 5: print("going", flush=True)
"""


@pytest.mark.slow
def test_two_writers_one_killed_and_a_reader_see_only_whole_entries(tmp_path):
    code = WRITER.format(tests=str(Path(__file__).parents[2]), root=str(tmp_path))
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
                if found := store.get(key(i)):
                    assert (found.tensors["picture"] == i).all()
                    seen += 1
            writers[0].kill()
        assert seen
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()


@pytest.mark.parametrize(
    "bad", ["../../models/checkpoints/x", "", "AB" * 16, "0" * 31, "/etc/passwd", "a\0b"]
)
def test_what_is_no_key_is_a_miss_and_touches_nothing(tmp_path, bad):
    outside = tmp_path / "models" / "checkpoints" / "x.safetensors"
    outside.parent.mkdir(parents=True)
    outside.write_bytes(b"a model")
    store = Store(tmp_path / "isi" / "store", 1 << 20)
    assert not store.has(bad) and store.get(bad) is None and store.facts(bad) is None
    assert not store.put(bad, entry())
    store.remove(bad)
    assert outside.read_bytes() == b"a model" and files(tmp_path) == [outside]


@pytest.mark.parametrize("kind", ["link", "folder", "fifo"])
def test_what_is_no_file_is_a_miss(store, tmp_path, kind):
    if os.name == "nt" and kind != "folder":
        pytest.skip("Windows has no such files, or asks for rights")
    store.put(key(1), entry())
    path = store.root / KEY[:2] / f"{KEY}.safetensors"
    path.parent.mkdir()
    if kind == "link":
        path.symlink_to(next(store.root.glob(f"*/{key(1)}*")))
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    assert not store.has(KEY) and store.get(KEY) is None


def test_damaged_is_said_with_the_name_of_the_file(store):
    store.put(KEY, entry())
    path = next(store.root.glob(f"*/{KEY}*"))
    path.write_bytes(b"hello" * 100)
    with pytest.raises(DamagedEntry, match=KEY):
        store.get(KEY)
    assert not path.exists()
