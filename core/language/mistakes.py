"""A mistake in a text that a user wrote: where it is, and what to do about it."""

from __future__ import annotations

from .places import excerpt, line_and_column


class ScriptError(ValueError):
    """A mistake in a script or a prompt, where it is, and what to do about it.

    `line` and `column` count from 1, `offset` from 0, `reason` is a sentence, `key` names the kind of mistake
    for programs; `where` is what the text is called.
    """

    def __init__(self, text: str, offset: int, key: str, reason: str, where: str = "Script"):
        self.line, self.column = line_and_column(text, offset)
        self.offset, self.key, self.reason = offset, key, reason
        super().__init__(
            f"{where}, line {self.line}, column {self.column}: {reason}\n{excerpt(text, offset)}"
        )
