"""Where something stands in a text, for people: line, column, and the line itself with a caret under it."""

from __future__ import annotations

import re
import unicodedata

BLANK = " \t\n\r\f\v\u00a0\u3000\ufeff"
"""What counts as blank in a script."""

NUMBERS = str.maketrans("．０１２３４５６７８９", ".0123456789")
"""Full-width digits and point as they count in numbers."""


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Both from 1; a column is one code point."""
    before = re.split(r"\r\n|\r|\n", text[:offset])
    return len(before), len(before[-1]) + 1


def excerpt(text: str, offset: int, width: int = 36) -> str:
    """The line round `offset`, at most `width` characters on either side, and a caret under the place.

    Wide characters get a wide space above the caret.
    """
    before = re.split(r"[\r\n]", text[:offset])[-1]
    after = re.split(r"[\r\n]", text[offset:], maxsplit=1)[0]
    left = before if len(before) <= width else "…" + before[-width:]
    right = after if len(after) <= width else after[:width] + "…"
    pad = "".join(
        "\t" if c == "\t" else "\u3000" if unicodedata.east_asian_width(c) in "WF" else " " for c in left
    )
    return f"{left}{right}\n{pad}^"


def trim(mask: str, start: int, end: int) -> tuple[int, int]:
    """Two offsets without the blanks at either end between them."""
    while start < end and mask[start] in BLANK:
        start += 1
    while start < end and mask[end - 1] in BLANK:
        end -= 1
    return start, end


def number_text(written: str) -> str:
    """A number as it is meant: full-width digits are digits."""
    return unicodedata.normalize("NFKC", written).strip(BLANK)


def short(written: str) -> str:
    """What stands there, for a sentence."""
    return f"{written[:20]}…" if len(written) > 21 else written or "nothing"
