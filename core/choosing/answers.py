"""What runs chose on their way, by hand or by rule: written down for good."""

from __future__ import annotations

import logging
import os
import re
import threading
from contextlib import suppress
from pathlib import Path

log = logging.getLogger("isi")

MOST_BYTES = 64 << 20
"""Of a file of answers: of a longer one the oldest are forgotten."""
_LINE = re.compile(rb"([0-9a-f]{32}) ([0-9]{1,2})\n")
_lock = threading.Lock()


class AnswerFile:
    """The answers in a file: a line each, and the last one to a question counts.

    Lines are appended, so that a run and a page may both write; one that is cut short is none.
    """

    def __init__(self, path: Path):
        self.path = path
        self._known: dict[str, int] | None = None

    def get(self, question: str) -> int | None:
        """The number of the candidate that was chosen, from 0."""
        if self._known is None:
            self._known = _read(self.path)
        return self._known.get(question)

    def note(self, question: str, number: int) -> None:
        """Writes an answer down; a disk that does not take it costs the answer, not the run."""
        try:
            self.write(question, number)
        except OSError as error:
            log.warning("What was chosen can't be written (%s): going on without.", error)

    def write(self, question: str, number: int) -> None:
        """Writes an answer down. Raises OSError."""
        self.get(question)
        assert self._known is not None
        self._known[question] = number
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _lock, self.path.open("ab+") as file:
            size = file.seek(0, os.SEEK_END)
            if size:
                file.seek(size - 1)
            cut = bool(size) and file.read(1) != b"\n"
            file.write(b"\n" * cut + f"{question} {number}\n".encode())
            file.flush()
            os.fsync(file.fileno())


def _read(path: Path) -> dict[str, int]:
    with suppress(OSError), path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - MOST_BYTES))
        return {question.decode(): int(number) for question, number in _LINE.findall(file.read(MOST_BYTES))}
    return {}
