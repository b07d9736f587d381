"""What the page asks while a script is typed: the words that are drawn, their tokens, names to choose."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import folder_paths
from comfy.sd1_clip import SDTokenizer
from comfy.text_encoders.sd2_clip import SD2ClipHTokenizer

from ...core.language.mistakes import ScriptError
from ...core.language.prompts import chunks, read_prompt
from ...core.language.script import parse
from ...core.loop.schedule import CHOOSING, SEED_MODES, worded
from ..keys.files import EMBEDDING
from .speak import check_names
from .wildcard_folders import wildcards

MOST_ROWS = 100
LONGEST = 100_000
"""Characters of a script that is drawn for the page."""
LONGEST_WORDS = 2000
"""Characters of a step that the page is told."""
MOST_STEPS, MOST_TEXTS = 150, 20
"""Sampler steps, and different texts of them, of which tokens are counted."""
MOST_NAMES = 20_000
TOKENIZERS: dict[str, Callable] = {
    "SD1": SDTokenizer,
    "SD2": SD2ClipHTokenizer,
    "SDXL": SDTokenizer,
    "CLIP-L": SDTokenizer,
    "CLIP-H": SD2ClipHTokenizer,
    "CLIP-G": SDTokenizer,
}
"""Of the families, of models and of text encoders alone, that read chunks of 77 tokens, 75 the prompt's."""
CHUNK = 75


def script_words(asked: Any, family_of: Callable[[str], str]) -> dict[str, Any]:
    """What the steps of a script say: `{"count", "steps": [{"group", "text", "prompt", "tokens"}], "error"}`.

    `asked` has `script`, `seed`, `seed_mode`, `choices`, `steps`, and the `file` of the model whose text
    encoder is connected, "" where that is not known; `family_of` names a file's family. `tokens` are how many
    there are, and how many would fit; None where no chunks are known of. `error` has `reason`, and `offset`,
    `line`, `column` where it is a place in the script. Raises ValueError for what no page asks.
    """
    text, seed, mode, choices, steps, file = _checked(asked)
    try:
        read = parse(text)
        check_names(text)
        count, said = worded(read, seed, mode, choices, wildcards(), MOST_ROWS)
    except ScriptError as error:
        place = {"offset": error.offset, "line": error.line, "column": error.column}
        return {"count": 0, "steps": [], "error": {"reason": error.reason, **place}}
    tokenizer = _tokenizer(family_of(file)) if file else None
    rows, fault = [], None
    for i, (one, _) in enumerate(said, 1):
        tokens = None
        try:
            tokens = tokenizer and _most_tokens(tokenizer, one.prompt, one.group.steps or steps, f"Step {i}")
        except ScriptError as error:
            fault = fault or {"reason": str(error).split("\n")[0]}
        words = one.group.text[:LONGEST_WORDS]
        rows.append(
            {"group": one.number, "text": words, "prompt": one.prompt[:LONGEST_WORDS], "tokens": tokens}
        )
    return {"count": count, "steps": rows, "error": fault}


def _checked(asked: Any) -> tuple[str, int, Any, Any, int, str]:
    """What is asked, in its types and ranges. Raises ValueError."""
    asked = asked if isinstance(asked, dict) else {}
    text, seed, steps, file = (asked.get(name) for name in ("script", "seed", "steps", "file"))
    mode, choices = asked.get("seed_mode"), asked.get("choices")
    if (
        not isinstance(text, str) or len(text) > LONGEST or not isinstance(file, str)
        or type(seed) is not int or not 0 <= seed < 2**64 or type(steps) is not int or not 0 < steps <= 10_000
        or mode not in SEED_MODES or choices not in CHOOSING
    ):  # fmt: skip
        raise ValueError("Expected are a script, seed, steps, seed_mode, choices and the file of a model.")
    return text, seed, mode, choices, steps, file


@functools.lru_cache(maxsize=len(TOKENIZERS))
def _tokenizer(family: str) -> Any:
    made = TOKENIZERS.get(family)
    return made and made(embedding_directory=folder_paths.get_folder_paths("embeddings"))


def _most_tokens(tokenizer: Any, prompt: str, steps: int, where: str) -> tuple[int, int]:
    """Tokens of the longest text that a prompt has at any step or part, and how many would fit."""
    said = read_prompt(prompt, where).by_step(min(steps, MOST_STEPS))
    texts = dict.fromkeys(text for one in dict.fromkeys(said) for text, _ in one.parts)
    return max(_tokens(tokenizer, text) for text in list(texts)[:MOST_TEXTS])


def _tokens(tokenizer: Any, text: str) -> tuple[int, int]:
    """Tokens of a text, all chunks but the last counted as full, and how many would fit."""
    known = {known for name in folder_paths.get_filename_list("embeddings") for known in (name, _stem(name))}
    # The encoder leaves out what is no file, and tells the log so each time.
    text = EMBEDDING.sub(lambda found: found[0] if found[1].rstrip(",") in known else "", text)
    found = [chunk for piece in chunks(text) for chunk in tokenizer.tokenize_with_weights(piece)]
    last = [token for token, *_ in found[-1]]
    ends = (i for i, token in enumerate(last) if isinstance(token, int) and token == tokenizer.end_token)
    return CHUNK * (len(found) - 1) + next(ends, len(last)) - 1, CHUNK * len(found)


def names() -> dict[str, list[str]]:
    """What can be named in a prompt: LoRAs and embeddings without their endings, wildcards."""
    return {
        "lora": _stems("loras"),
        "embedding": _stems("embeddings"),
        "wildcard": wildcards().names()[:MOST_NAMES],
    }


def _stems(folder: str) -> list[str]:
    return sorted(map(_stem, folder_paths.get_filename_list(folder)), key=str.lower)[:MOST_NAMES]


def _stem(name: str) -> str:
    return os.path.splitext(name)[0].replace("\\", "/")
