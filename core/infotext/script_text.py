"""A prompt of another program as a group of ISI Script, in which some of its characters are marks."""

from __future__ import annotations

import re
from contextlib import suppress

from ..language.mistakes import ScriptError
from ..language.script import parse

_MARKS = re.compile(r"(?<!\\)[{}｛｝;；@＠*＊]")
_PARENTHESES = re.compile(r"(?<!\\)[()（）]")
_BLANKS = re.compile(r"\s+")


def as_group(prompt: str) -> str:
    """The prompt as one group of a script, which says the same to the text encoder.

    Marks are escaped; a prompt all in parentheses gets a comma, so that they weigh its words and not the cfg;
    parentheses without a partner become text. What ISI Script refuses for another reason stays as it is.
    """
    text = _BLANKS.sub(" ", _escaped(_MARKS, prompt)).strip()
    for form in (text, f"{text},", _escaped(_PARENTHESES, text)):
        with suppress(ScriptError):
            groups = parse(form).groups
            if not text or (len(groups) == 1 and groups[0].weight == 1):
                return form
    return text


def _escaped(marks: re.Pattern[str], text: str) -> str:
    return marks.sub(lambda mark: "\\" + mark[0], text)
