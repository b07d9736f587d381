"""The values of a given CONDITIONING, put onto each step's own text: unCLIP, ControlNets, guidance, areas."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import comfy.hooks
from torch import Tensor

from ...core.loop.plan import Plan
from ..loop.moment import Conditioner, Moment
from ..prompts.by_step import PART, STEPS

MODES = ["keep text", "replace text"]
TEXT = frozenset(
    (
        "pooled_output", "attention_mask", "conditioning_llama3", "conditioning_byt5small",
        "conditioning_lyrics", "conditioning_mt5xl", "attention_mask_mt5xl", "num_layers_stacked",
        "t5xxl_ids", "t5xxl_weights", "text_input_ids", "minimax_token_tags", "sam3_multi_cond",
        "clip_start_percent", "clip_end_percent",
    )
)  # fmt: skip
"""What the host's text encoders give beside the tensor: it goes where the text goes."""
PLACED = ("area", "mask", "gligen", "control")
"""Values that have their place in a whole picture."""


@dataclass(frozen=True, eq=False)
class GivenConditioner(Conditioner):
    """Puts all values of `positive` on each step's text, and those of `negative`, if there is one, on its
    negative.

    As in the host's own chain, a value takes the place of one of its name, but for lists, GLIGEN boxes,
    ControlNets and hooks, which are added. With `replace_text` the given text takes the place of the step's.
    """

    positive: list
    negative: list | None
    replace_text: bool

    def check(self, model: Any, vae: Any, plan: Plan) -> None:
        for name, given in (("positive", self.positive), ("negative", self.negative)):
            if given is None:
                continue
            if not given:
                raise ValueError(
                    f"The {name} of ISI Apply Conditioning is empty: connect a CONDITIONING, such as that of "
                    "CLIP Text Encode."
                )
            self._check(name, given, plan)

    def _check(self, name: str, given: list, plan: Plan) -> None:
        values = {key for _, options in given for key in options}
        if values & {STEPS, PART}:
            raise ValueError(
                f"The {name} of ISI Apply Conditioning has prompts that change while they are sampled: write "
                "those into ISI Script, and connect a CONDITIONING of one text."
            )
        if placed := [key for key in PLACED if key in values]:
            self.check_whole(plan, f"The {name} of ISI Apply Conditioning with its {', '.join(placed)}")

    def identity(self) -> Any:
        # What the graph tells of ControlNets, hooks and models, it tells by itself.
        return ["given", self.replace_text, _plain(self.positive), _plain(self.negative)]

    def condition(self, moment: Moment) -> Moment:
        putting = _Putting(self.replace_text)
        positive, negative = putting.on(moment.positive, self.positive), moment.negative
        if self.negative is not None:
            negative = putting.on(negative, self.negative)
        return replace(moment, positive=positive, negative=negative)


class _Putting:
    """Puts given values on conditioning. What is copied is copied once, so that the host still sees that a
    positive and a negative one have the same ControlNet, and samples them together."""

    def __init__(self, replace_text: bool):
        self.replace_text = replace_text
        self.controls: dict[tuple[int, int], Any] = {}
        self.hooks: dict = {}

    def on(self, own: list, given: list) -> list:
        """`own` with the values of `given`, one for each pair of the two; neither is changed."""
        return [self._pair(one, other) for one in own for other in given]

    def _pair(self, own: list, given: list) -> list:
        tensor, values = own[0], dict(own[1])
        if self.replace_text:
            tensor = given[0]
            values = {key: value for key, value in values.items() if key not in TEXT}
            values |= {key: value for key, value in given[1].items() if key in TEXT}
        for key, value in given[1].items():
            if key not in TEXT and key != "hooks":
                values[key] = self._added(key, values.get(key), value)
        put = comfy.hooks.set_hooks_for_conditioning(
            [[tensor, values]], given[1].get("hooks"), cache=self.hooks
        )
        return put[0]

    def _added(self, key: str, before: Any, value: Any) -> Any:
        """A value beside the one that was there, as the node that makes it adds to what it is given."""
        if key == "control" and value is not None:
            return self._after(before, value)
        if before is None or value is None:
            return value
        if key == "gligen":
            return (*value[:2], before[2] + value[2])
        if isinstance(before, list) and isinstance(value, list):
            return before + value
        return value

    def _after(self, before: Any, control: Any) -> Any:
        """A copy of a chain of ControlNets that has `before` (one, or None) ahead of it.

        What the host notes on them while it samples stays on the copy.
        """
        pair = id(before), id(control)
        if pair not in self.controls:
            earlier = control.previous_controlnet
            ahead = before if earlier is None else self._after(before, earlier)
            self.controls[pair] = control.copy().set_previous_controlnet(ahead)
        return self.controls[pair]


def _plain(value: Any) -> Any:
    """The tensors, numbers and texts in a value; of other objects the class alone."""
    if value is None or isinstance(value, Tensor | str | int | float):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return type(value).__name__
