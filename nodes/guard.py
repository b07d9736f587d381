"""What every node does before and around its work: widgets are checked, and want of memory is one sentence.

The host checks what stands in a widget, not what a link brings: a sum or a list can be anything. Nor does it
mind half a character, which programs that cut texts send, and which no file and no hash takes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any

from comfy_api.latest import io

from ..core.loop.room import in_words

HALF = re.compile("[\ud800-\udfff]")
"""A surrogate: half of a character, alone."""


def guarded(node: type[io.ComfyNode]) -> type[io.ComfyNode]:
    """The node itself, with its `execute` behind both."""
    execute = node.execute.__func__

    @wraps(execute)
    def checked(cls, *given, **named):
        check_widgets(node.SCHEMA or node.GET_SCHEMA(), named)
        with in_words():
            return execute(cls, *given, **named)

    node.execute = classmethod(checked)
    return node


def refusal(read: Callable[..., Any], *values: Any) -> bool | str:
    """What `validate_inputs` answers: the sentence with which `read` refuses `values`, else True.

    What another node makes is None until that has run, and is waited for. `read` raises ValueError.
    """
    if any(value is None for value in values):
        return True
    try:
        read(*values)
    except ValueError as error:
        return str(error)
    return True


def check_widgets(schema: io.Schema, values: Mapping[str, Any]) -> None:
    """Raises ValueError for a number or a text that the widget of that name could not have."""
    node = schema.display_name or schema.node_id
    for one in schema.inputs or []:
        # A node that takes lists gets one for every input, those with a single value too.
        several = schema.is_input_list and isinstance(values.get(one.id), list)
        for value in values[one.id] if several else [values.get(one.id)]:
            _check([one], {**values, one.id: value}, node)


def _check(inputs: Iterable[io.Input], values: Mapping[str, Any], node: str) -> None:
    for one in inputs:
        value = values.get(one.id)
        if isinstance(one, io.DynamicCombo.Input) and isinstance(value, Mapping):
            chosen = next((option for option in one.options if option.key == value.get(one.id)), None)
            _check(chosen.inputs if chosen else [], value, node)
        elif isinstance(one, io.String.Input) and isinstance(value, str):
            if half := HALF.search(value):
                raise ValueError(
                    f"`{one.id}` of {node} has half a character at its place {half.start() + 1} (an emoji "
                    "that a program cut in two?): write it anew."
                )
        elif isinstance(one, io.Int.Input | io.Float.Input) and value is not None:
            number, low, high = isinstance(one, io.Int.Input), one.min, one.max
            kinds, kind = ((int,), "a whole number") if number else ((int, float), "a number")
            low, high = -(2**63) if low is None else low, 2**64 if high is None else high
            if type(value) not in kinds or not low <= value <= high:
                raise ValueError(
                    f"`{one.id}` of {node} takes {kind} from {low} to {high}, and {_shown(value)} came: "
                    "look at the node that is connected to it."
                )


def _shown(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value) if type(value) is int else repr(value)
    return text if len(text) <= 40 else "something long"
