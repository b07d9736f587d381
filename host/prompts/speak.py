"""What prompts mean to ComfyUI: conditioning for each sampler step, and the model that heeds it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import comfy.hooks
from torch import Tensor

from ...core.language.mistakes import ScriptError
from ...core.language.prompts import AND, LORA_NAME, Lora, Prompt, Said, chunks, read_prompt, undrawn
from ...core.language.resolve import drawn_text
from .by_step import as_part, only_at, patch
from .loras import Loras, find
from .wildcard_folders import wildcards


@dataclass(frozen=True)
class Spoken:
    """What a sampler gets for a prompt and a negative one."""

    model: Any
    positive: list
    negative: list


Encode = Callable[[str, tuple[Lora, ...], bool], list]
"""Makes CONDITIONING of a text, with LoRAs on the text encoder; True for a negative."""


def read_negative(text: str, where: str = "Negative") -> Prompt:
    """A negative prompt. Raises ScriptError, and for AND too: there is no sum of what to avoid."""
    prompt = read_prompt(text, where)
    if prompt.summed:
        at = AND.search(text).start()  # type: ignore[union-attr]
        reason = "A negative prompt has one part: write AND with a weight below 0 into the prompt instead."
        raise ScriptError(text, at, "and_in_negative", reason, where)
    return prompt


def check_names(text: str, where: str = "Script") -> None:
    """Raises ScriptError for a LoRA of a prompt or script that there is not, or of several that are meant."""
    for match in LORA_NAME.finditer(text):
        name = match["name"].strip()
        if any(mark in name for mark in ("{", "}", "|", "__")):
            continue  # known once it is drawn
        try:
            find(name)
        except ValueError as error:
            raise ScriptError(text, match.start(), "unknown_lora", str(error), where) from error


def shown_mistake(**texts: str | None) -> bool | str:
    """What the host shows of a mistake in texts when the graph is queued, each by its name; else True.

    A text that another node makes is None until that has run.
    """
    known = wildcards()
    try:
        for where, text in texts.items():
            if text is None:
                continue
            drawn_text(text, 0, known, where)
            (read_negative if where == "Negative" else read_prompt)(undrawn(text), where)
            check_names(text, where)
    except ScriptError as error:
        return str(error)
    return True


def speak(
    model: Any, loras: Loras, prompt: Prompt, negative: Prompt | None, sigmas: Tensor, encode: Encode
) -> Spoken:
    """Conditioning of a prompt and a negative one (or none) for a run on the schedule `sigmas` `[N + 1]`.

    LoRAs that act in all steps are on the model, as the host's Load LoRA puts them; those of some steps are
    hooks of the conditioning.
    """
    steps = max(1, len(sigmas) - 1)
    against = [Said(())] * steps if negative is None else negative.by_step(steps)
    said = list(zip(prompt.by_step(steps), against, strict=True))
    acting = [_union(ours.loras, theirs.loras) for ours, theirs in said]
    always = acting[0] if all(one == acting[0] for one in acting) else ()
    spans: dict[tuple[Said, Said], list[int]] = {}
    for step, pair in enumerate(said):
        spans.setdefault(pair, []).append(step)
    hooks = {} if always else _hooks(acting, loras)
    positive, without = [], []
    for (ours, theirs), at in spans.items():
        on = acting[at[0]]
        group = None if always else hooks[on]
        for into, one in ((positive, ours), (without, theirs)):
            for index, (text, weight) in enumerate(one.parts):
                conditioning = encode(text, on, into is without)
                if prompt.summed and into is positive:
                    conditioning = as_part(conditioning, index, weight)
                if len(spans) > 1:
                    conditioning = only_at(conditioning, at, sigmas)
                into += conditioning if group is None else with_hooks(conditioning, group)
    model = loras.on_model(always, model)
    heeds = prompt.summed or len(spans) > 1
    return Spoken(patch(model, prompt.summed) if heeds else model, positive, without)


def with_hooks(conditioning: list, group: comfy.hooks.HookGroup) -> list:
    """`conditioning` with the hooks of `group` besides its own."""
    return comfy.hooks.set_hooks_for_conditioning(conditioning, group)


def _union(first: Sequence[Lora], second: Sequence[Lora]) -> tuple[Lora, ...]:
    return (*first, *second)


def _hooks(acting: Sequence[tuple[Lora, ...]], loras: Loras) -> dict[tuple[Lora, ...], Any]:
    """A group of the host's hooks for each set of LoRAs that acts: one and the same where sets are equal."""
    single = {lora: loras.hook(lora) for lora in dict.fromkeys(lora for one in acting for lora in one)}
    groups: dict[tuple[Lora, ...], Any] = {}
    for one in dict.fromkeys(acting):
        group = comfy.hooks.HookGroup()
        for lora in one:
            group.add(single[lora])
        groups[one] = group if one else None
    return groups


def encode_text(clip: Any, text: str) -> list:
    """CONDITIONING of a text as CLIPTextEncode makes it; what follows a BREAK begins in a new chunk.

    Raises ValueError where the text encoder knows no chunks.
    """
    pieces = chunks(text)
    tokens = clip.tokenize(pieces[0])
    for piece in pieces[1:]:
        for name, more in clip.tokenize(piece).items():
            if not isinstance(more, list):
                raise ValueError("This text encoder has no chunks, and BREAK asks for one: leave it out.")
            tokens[name] = tokens[name] + more
    return clip.encode_from_tokens_scheduled(tokens)
