"""What runs there are, at hand: an index of their manifests in SQLite, so that a list, a search or a page of
a run reads no manifest that it has read before.

It is a copy and may go: what is missing in it, or was written since, is read from the manifests again. A row
is a manifest's as long as the file's time and size are those it was read with.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sqlite3
import threading
import time
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from .disk import read_bounded
from .manifests import LARGEST, check_manifest, is_run_name, unreadable

log = logging.getLogger("isi.store")

FORM = 3
"""Of the tables; an index of another form is made anew."""
PAGE = 1000
"""Steps whose labels are kept together."""
LONGEST_LABEL = 200
MOST_TEXT = 4 << 20
"""Characters of a run's prompts that can be searched."""
KEY_BYTES, MOST_KEYS = 16, 1 << 26
WAIT = 3.0
"""Seconds that another process may write."""
KEYS = re.compile(rb'"([0-9a-f]{32})"')
KEYS_OF_TEXT = re.compile(KEYS.pattern.decode())

TABLES = """
create table runs (
    path text unique, stamp integer, bytes integer, listed integer, name text, family text, saved real,
    count integer, prompt text, formerly text, changed text, trouble text, asked text
);
create index newest on runs (listed, saved, name, path);
create table keys (path text unique, data blob);
create table words (path text unique, data text);
create table labels (path text, page integer, data blob);
create index pages on labels (path, page);
"""
PARTS = ("runs", "keys", "words", "labels")
COLUMNS = "path, name, family, saved, count, prompt, changed, trouble"
_Answer = TypeVar("_Answer")
_unwritable: dict[Path, sqlite3.Connection] = {}
"""Indexes that no disk takes: they last as long as the process."""
_lock = threading.Lock()


@dataclass(frozen=True)
class Known:
    """What the index knows of a manifest at `path`, within the folder of runs.

    `saved` is when it was written (s), `count` how many iterations it has, `prompt` how its first step
    begins. `trouble` is why it can't be used, "" where it can; `count` is then how many keys it may have.
    """

    path: str
    name: str
    family: str
    saved: float
    count: int
    prompt: str
    changed: tuple[str, ...]
    trouble: str


class RunIndex:
    """The index of the manifests in `runs`, in a file beside that folder."""

    def __init__(self, runs: Path):
        self.runs = runs
        self.path = runs.parent / "runs.sqlite"

    def read(self, path: Path) -> Known:
        """What a manifest says. Raises OSError where it is gone, and ValueError where it can't be used."""
        state = path.stat()
        within = self._within(path)

        def look(db: sqlite3.Connection) -> Known:
            stamp = state.st_mtime_ns, state.st_size
            if db.execute("select stamp, bytes from runs where path = ?", (within,)).fetchone() != stamp:
                self._take(db, path, stamp)
            return _known(db.execute(f"select {COLUMNS} from runs where path = ?", (within,)).fetchone())

        known = self._do(look)
        if known.trouble:
            raise ValueError(known.trouble)
        return known

    def note(self, path: Path, value: Mapping[str, Any]) -> None:
        """Takes in a (checked) manifest that was just written to `path`."""
        with suppress(OSError, sqlite3.Error):
            state = path.stat()
            self._do(lambda db: self._put(db, path, (state.st_mtime_ns, state.st_size), value))

    def forget(self, path: Path) -> None:
        """Takes out a manifest that is gone."""
        with suppress(sqlite3.Error):
            self._do(lambda db: _remove(db, [self._within(path)]))

    def update(self, seconds: float | None = None, versions: bool = False) -> int:
        """Reads what was written since, newest first, for at most so many seconds; how many are left then.

        `versions`: the earlier versions of runs as well.
        """
        until = None if seconds is None else time.monotonic() + seconds
        found = dict(self._files(versions))

        def look(db: sqlite3.Connection) -> int:
            rows = db.execute("select path, stamp, bytes from runs" + ("" if versions else " where listed"))
            known = {path: (stamp, size) for path, stamp, size in rows}
            _remove(db, known.keys() - found.keys())
            new = [each for each in found.items() if known.get(each[0]) != each[1]]
            new.sort(key=lambda each: each[1], reverse=True)
            for done, (path, stamp) in enumerate(new):
                if until is not None and time.monotonic() > until:
                    return len(new) - done
                with suppress(OSError):
                    if is_run_name(Path(path).stem):
                        self._take(db, self.runs / path, stamp)
            return 0

        return self._do(look)

    def find(
        self, words: Iterable[str], count: int, before: tuple[float, str] | None = None
    ) -> tuple[list[Known], int]:
        """The newest `count` runs that have all of some words in a prompt, a label or their name, and how
        many such runs there are. `before` goes on behind the run of that time and name."""
        wanted = [fold(word) for word in words]
        rows = "select path, saved, name from runs "
        rows += "join words using (path) where listed" if wanted else "where listed"
        rows += " and instr(data, ?)" * len(wanted) + " order by saved desc, name desc"

        def look(db: sqlite3.Connection) -> tuple[list[Known], int]:
            found = db.execute(rows, wanted).fetchall()
            later = [path for path, *place in found if before is None or tuple(place) < before]
            one = f"select {COLUMNS} from runs where path = ?"
            return [_known(db.execute(one, (path,)).fetchone()) for path in later[:count]], len(found)

        return self._do(look)

    def keys(self, path: str, first: int = 0, count: int = MOST_KEYS) -> list[str]:
        """The keys of `count` iterations of a manifest, from the one with index `first` on."""
        rows = self._do(
            lambda db: db.execute(
                "select substr(data, ?, ?) from keys where path = ?",
                (first * KEY_BYTES + 1, count * KEY_BYTES, path),
            ).fetchall()
        )
        return _split(rows[0][0]) if rows else []

    def same_keys(self, one: Known, other: Known) -> bool:
        """Whether two manifests have the same iterations."""
        rows = self._do(
            lambda db: db.execute(
                "select count(distinct data) from keys where path in (?, ?)", (one.path, other.path)
            ).fetchall()
        )
        return rows == [(1,)]

    def labels(self, known: Known, first: int, count: int) -> list[str]:
        """What `count` steps are called, from the one with index `first` on, at most `LONGEST_LABEL` each."""
        rows = self._do(
            lambda db: db.execute(
                "select data from labels where path = ? and page between ? and ? order by page",
                (known.path, first // PAGE, (first + count - 1) // PAGE),
            ).fetchall()
        )
        found = [label for (data,) in rows for label in json.loads(zlib.decompress(data))]
        return found[first % PAGE :][:count]

    def of_family(self, family: str) -> list[Known]:
        """The versions that a family has, as far as `update` has read them."""
        rows = self._do(
            lambda db: db.execute(
                f"select {COLUMNS} from runs where not listed and path >= ? and path < ?",
                (f"versions/{family}/", f"versions/{family}0"),
            ).fetchall()
        )
        return [_known(row) for row in rows]

    def keys_of_others(self, paths: Iterable[str]) -> set[str]:
        """The keys of all manifests but those at `paths`, as far as `update` has read them, with those of
        candidates."""
        without = set(paths)
        look = "select runs.path, data, asked from runs join keys using (path)"
        rows = self._do(lambda db: db.execute(look).fetchall())
        others = [(keys, asked) for path, keys, asked in rows if path not in without]
        return {key for keys, asked in others for key in (*_split(keys), *(KEYS_OF_TEXT.findall(asked)))}

    def asked(self, path: str) -> dict[str, Any]:
        """The choices of a manifest (`asked`), and whether it is `open` up to one (of how many `steps`)."""
        rows = self._do(lambda db: db.execute("select asked from runs where path = ?", (path,)).fetchall())
        return {"open": False, "asked": []} | (json.loads(rows[0][0]) if rows and rows[0][0] else {})

    def now_called(self, name: str) -> str | None:
        """The run that had that name before; None where none had."""
        rows = self._do(
            lambda db: db.execute(
                "select name from runs where listed and instr(formerly, ?) order by saved desc limit 1",
                (_line(name),),
            ).fetchall()
        )
        return rows[0][0] if rows else None

    def formerly(self, name: str) -> list[str]:
        """What the run of that name was called before."""
        rows = self._do(
            lambda db: db.execute("select formerly from runs where path = ?", (f"{name}.json",)).fetchall()
        )
        return [line for (names,) in rows for line in names.splitlines() if line]

    def _files(self, versions: bool) -> Iterator[tuple[str, tuple[int, int]]]:
        """The manifests that there are, with time and size; links lead out, and are none."""
        folders = [""]
        if versions:
            with suppress(OSError), os.scandir(self.runs / "versions") as families:
                folders += [
                    f"versions/{each.name}/" for each in families if each.is_dir(follow_symlinks=False)
                ]
        for folder in folders:
            with suppress(OSError), os.scandir(self.runs / folder) as found:
                for each in found:
                    if each.name.endswith(".json") and each.is_file(follow_symlinks=False):
                        state = each.stat(follow_symlinks=False)
                        yield folder + each.name, (state.st_mtime_ns, state.st_size)

    def _within(self, path: Path) -> str:
        return path.relative_to(self.runs).as_posix()

    def _take(self, db: sqlite3.Connection, path: Path, stamp: tuple[int, int]) -> None:
        """Reads a manifest. One that can't be used has a row that says so, with all that may be its keys."""
        data = b""
        try:
            try:
                data = read_bounded(path, LARGEST)
            except ValueError as error:
                raise unreadable(path.stem, str(error)) from error
            value = check_manifest(data, path.stem)
        except ValueError as error:
            keys = b"".join(bytes.fromhex(key.decode()) for key in dict.fromkeys(KEYS.findall(data)))
            self._row(db, path, stamp, {"saved": 0.0, "family": ""}, "", str(error), keys, "")
        else:
            self._put(db, path, stamp, value)

    def _put(
        self, db: sqlite3.Connection, path: Path, stamp: tuple[int, int], value: Mapping[str, Any]
    ) -> None:
        steps = value["plan"]["steps"]
        prompt = next((text for step in steps for text in (step["label"], step["prompt"]) if text), "")
        texts = dict.fromkeys(text for step in steps for text in (step["prompt"], step["label"]))
        keys = bytes.fromhex("".join(value["keys"]))
        text = "\n".join(texts)[:MOST_TEXT]
        self._row(db, path, stamp, value, prompt[:LONGEST_LABEL], "", keys, text)
        within = self._within(path)
        called = [(step["label"] or step["prompt"])[:LONGEST_LABEL] for step in steps[: len(value["keys"])]]
        for page in range(0, len(called), PAGE):
            data = zlib.compress(json.dumps(called[page : page + PAGE]).encode(), 1)
            db.execute("insert into labels values (?, ?, ?)", (within, page // PAGE, data))

    def _row(
        self, db: sqlite3.Connection, path: Path, stamp: tuple[int, int], value: Mapping[str, Any],
        prompt: str, trouble: str, keys: bytes, text: str,
    ) -> None:  # fmt: skip
        within = self._within(path)
        listed = "/" not in within
        name = path.stem if listed else value.get("name", "")
        formerly = "".join(map(_line, value.get("formerly") or ()))
        _remove(db, [within])
        saved = value["saved"] or stamp[0] / 1e9
        changed = json.dumps(value.get("changed") or [])
        row = within, *stamp, listed, name, value["family"], saved
        chosen = {name: value[name] for name in ("open", "asked") if value.get(name)}
        if "open" in chosen:
            chosen["steps"] = len(value["plan"]["steps"])
        asked = json.dumps(chosen) if chosen else ""
        row = (*row, len(keys) // KEY_BYTES, prompt, formerly, changed, trouble, asked)
        db.execute(f"insert into runs values ({', '.join('?' * len(row))})", row)
        db.execute("insert into keys values (?, ?)", (within, keys))
        if listed:
            db.execute("insert into words values (?, ?)", (within, fold(f"{name}\n{text}")))

    def _do(self, act: Callable[[sqlite3.Connection], _Answer]) -> _Answer:
        """`act` on the index; on one in memory where the disk takes none, on a new one where it is broken."""
        for again in (True, False):
            try:
                self.runs.parent.mkdir(parents=True, exist_ok=True)
                with closing(sqlite3.connect(self.path, timeout=WAIT)) as db, db:
                    _prepare(db)
                    return act(db)
            except (OSError, sqlite3.OperationalError) as error:
                log.debug("%s can't be written (%s): going on with an index in memory.", self.path, error)
                break
            except sqlite3.DatabaseError:
                if again:
                    self.path.unlink(missing_ok=True)
        with _lock:
            if self.path not in _unwritable:
                _unwritable[self.path] = sqlite3.connect(":memory:", check_same_thread=False)
            with _unwritable[self.path] as db:  # a transaction, no end of the connection
                _prepare(db)
                return act(db)


def fold(text: str) -> str:
    """A text as it is searched: upper and lower case, and full and half width, are one."""
    return unicodedata.normalize("NFKC", text).casefold()


def _prepare(db: sqlite3.Connection) -> None:
    if db.execute("pragma user_version").fetchone()[0] != FORM:
        for table in PARTS:
            db.execute(f"drop table if exists {table}")
        db.executescript(TABLES)
        db.execute(f"pragma user_version = {FORM}")
    db.execute("pragma synchronous = off")  # a copy: what a power cut takes is read again


def _remove(db: sqlite3.Connection, paths: Iterable[str]) -> None:
    for path in paths:
        for table in PARTS:
            db.execute(f"delete from {table} where path = ?", (path,))


def _known(row: tuple[Any, ...]) -> Known:
    path, name, family, saved, count, prompt, changed, trouble = row
    changes = tuple(json.loads(changed))
    return Known(path, name, family, saved, count, prompt, changes, trouble)


def _split(keys: bytes | None) -> list[str]:
    text = (keys or b"").hex()  # a part of nothing is NULL
    return [text[at : at + 2 * KEY_BYTES] for at in range(0, len(text), 2 * KEY_BYTES)]


def _line(name: str) -> str:
    return f"\n{name}\n"
