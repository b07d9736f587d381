"""Wildcard files: lists of words that a prompt names as `__name__`.

- `name.txt`: an option a line; blank lines and lines that begin with `#` are none.
- `name.yaml`, `.yml`: lists under keys, `colours: {warm: [red, orange]}` is `__colours/warm__`; a file that
  is a list is called like the file. So Dynamic Prompts and Impact write them.
- A name begins inside its folder; its case does not count, `\\` is `/`, and `_` stands for blanks and what
  else no name may hold. `*` stands for any characters, and takes all wildcards that fit. Of one name in two
  folders the first folder's counts.
- The words of a YAML file are what is written there: `16:9`, `no` and `1.50` are no numbers.
- Files are UTF-8, or UTF-16 that says so.
"""

from __future__ import annotations

import codecs
import difflib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .choices import NOT_IN_NAMES, ChoiceError, Option, WildcardError, read_choices

LARGEST_FILE = 64 << 20
"""Bytes of a wildcard file."""
MOST_FILES = 20_000
MOST_LINES = 1_000_000
SUFFIXES = (".txt", ".yaml", ".yml")
_WEIGHT = re.compile(r"\s*(?P<weight>[0-9]{1,9}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})\s*::")
_NOTHING = ("", "~", "null")
_NEVER = re.compile(rf"(?:{NOT_IN_NAMES}|_)+")
Stamp = tuple[str, int, int]


@dataclass
class WildcardFiles:
    """The wildcards of `folders`, which need not exist. Each file is read when it is first asked for."""

    folders: Sequence[Path]
    _files: dict[str, Path] | None = None
    _lists: dict[str, tuple[Option, ...]] = field(default_factory=dict)
    _read: set[Path] = field(default_factory=set)
    _found: dict[str, tuple[Option, ...]] = field(default_factory=dict)

    def options(self, name: str) -> tuple[Option, ...]:
        """The lines of all wildcards that `name` means, in the order of their names. Raises WildcardError."""
        plain = _plain(name)
        if plain not in self._found:
            self._found[plain] = self._options(name, plain)
        return self._found[plain]

    def names(self) -> list[str]:
        """The names of all wildcards that can be read, in order."""
        for path in self._by_name().values():
            if not _is_text(path):
                with suppress(WildcardError):
                    self._load(path)
        plain = (name for name, path in self._by_name().items() if _is_text(path))
        return sorted({*self._lists, *plain})

    def stamps(self) -> list[Stamp]:
        """Every wildcard file with its size and time: what tells that one was changed."""
        found = []
        for path in self._by_name().values():
            stat = path.stat()
            found.append((path.as_posix(), stat.st_size, stat.st_mtime_ns))
        return sorted(found)

    def _options(self, name: str, plain: str) -> tuple[Option, ...]:
        if ".." in plain.split("/"):
            raise WildcardError(
                "wildcard_outside",
                f"The wildcard __{name}__ leads out of its folder: write a name without .. in it.",
            )
        if own := self._by_name().get(plain):
            self._load(own)
        if plain not in self._lists:
            for path in self._by_name().values():
                # A key of a YAML file may have any name; a text file has its own.
                if not _is_text(path) or "*" in plain:
                    self._load(path)
        pattern = re.compile(".*".join(map(re.escape, plain.split("*"))))
        names = sorted(known for known in self._lists if pattern.fullmatch(known))
        options = tuple(option for known in names for option in self._lists[known])
        if options:
            return options
        if names:
            raise WildcardError(
                "wildcard_empty", f"The wildcard __{name}__ has no lines: write some into its file."
            )
        known = sorted({*self._lists, *self._by_name()})
        near = difflib.get_close_matches(plain, known, 3, 0.5)
        hint = " Near: " + ", ".join(f"__{one}__" for one in near) + "." if near else ""
        where = " or ".join(str(folder) for folder in self.folders)
        raise WildcardError("unknown_wildcard", f"There is no wildcard __{name}__ in {where}.{hint}")

    def _by_name(self) -> dict[str, Path]:
        """Files by the names that their places give them."""
        if self._files is None:
            files: dict[str, Path] = {}
            for folder in self.folders:
                for path in sorted(_below(folder)):
                    files.setdefault(_plain(path.relative_to(folder).with_suffix("").as_posix()), path)
            self._files = files
        return self._files

    def _load(self, path: Path) -> None:
        if path in self._read:
            return
        self._read.add(path)
        own = next(name for name, known in self._by_name().items() if known == path)
        if _is_text(path):
            lists = {
                own: [line for line in _text(path).splitlines() if line.strip() and line.strip()[0] != "#"]
            }
        else:
            lists = dict(_yaml_lists(path, own))
        for name, lines in lists.items():
            if name not in self._lists:
                self._lists[name] = tuple(o for line in lines if (o := _option(line, path)) is not None)


def _plain(name: str) -> str:
    """A name as it is compared; letters that are written in parts (on a Mac) are whole."""
    parts = unicodedata.normalize("NFC", name).lower().replace("\\", "/").strip("/").split("/")
    return "/".join(_NEVER.sub("_", part).strip("_") for part in parts)


def _is_text(path: Path) -> bool:
    return path.suffix.lower() == ".txt"


def _below(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for count, path in enumerate(folder.rglob("*")):
        if count >= MOST_FILES:
            raise WildcardError(
                "wildcard_folder",
                f"The wildcard folder {folder} holds over {MOST_FILES:,} files and folders: move what is no "
                "wildcard out of it.",
            )
        if path.suffix.lower() in SUFFIXES and path.is_file():
            yield path


def _option(line: str, path: Path) -> Option | None:
    """A line with its weight; None for one that weighs nothing."""
    weight = _WEIGHT.match(line)
    text = line[weight.end() :] if weight else line
    try:
        parts = read_choices(text.strip())
    except ChoiceError as error:
        raise WildcardError(
            error.key,
            f"In {path.name}, the line {line.strip()[:40]!r}, column {error.offset + 1}: {error.reason}",
        ) from error
    value = float(weight["weight"]) if weight else 1.0
    return Option(value, parts) if value else None


def _text(path: Path) -> str:
    """A file's text. Raises WildcardError for one that is too large, unreadable or in another encoding."""
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise WildcardError(
                "wildcard_file",
                f"The wildcard file {path.name} has {size >> 20} MiB, more than {LARGEST_FILE >> 20}.",
            )
        data = path.read_bytes()
    except OSError as error:
        raise WildcardError(
            "wildcard_file", f"The wildcard file {path} can't be read: {error.strerror}."
        ) from error
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise WildcardError(
            "wildcard_file",
            f"The wildcard file {path.name} is not UTF-8 (line {line}; maybe GBK or Windows-1252): "
            "save it as UTF-8.",
        ) from error


def _yaml_lists(path: Path, own: str) -> Iterator[tuple[str, list[str]]]:
    """The lists of a YAML file by their keys."""
    import yaml  # part of ComfyUI

    text = _text(path)
    try:
        value = yaml.load(text, yaml.BaseLoader)  # makes lists, keys and words, and nothing else
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise WildcardError(
            "wildcard_file", f"The wildcard file {path.name} is no YAML{where}: mend it."
        ) from error
    left = MOST_LINES
    waiting: list[tuple[str, Any]] = [("", value)]
    while waiting:
        name, value = waiting.pop()
        left -= 1 + (len(value) if isinstance(value, list | dict) else 0)
        if left < 0:  # aliases may make a few bytes many lines
            raise WildcardError(
                "wildcard_file", f"The wildcard file {path.name} has over {MOST_LINES:,} lines: split it."
            )
        if isinstance(value, dict):
            waiting += [(_plain(f"{name}/{key}"), inner) for key, inner in value.items()]
        elif isinstance(value, list):
            yield name or own, [line for line in value if isinstance(line, str) and line not in _NOTHING]
        elif value not in _NOTHING:
            yield name or own, [value]
