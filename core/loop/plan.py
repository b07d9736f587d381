"""Plans: what an iterative run is to do, as a value.

A plan is a tuple of steps. It is frozen, hashable, serialisable and small: pictures and masks that its
lenses need are named by content hash and travel beside it in `assets`. Whoever adds a new kind of
iterative work writes a function that returns a plan; the engine does the rest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, TypeVar, get_type_hints

from torch import Tensor, uint8

from ..language.settings import CANDIDATE_RANGE
from . import door
from .lens import Assets, Lens, Whole, lens_from_json

Scalar = str | int | float | bool | None

VERSION = 1
MOST_STEPS = 1_000_000
MOST_EXTRAS, MOST_VALUES = 16, 64
MOST_STEP_CFG = 100.0
MOST_SAMPLER_STEPS = 10_000
MOST_CONTROL = 10.0
OWN = ("negative", "sampler", "scheduler", "control", "candidates")
"""What a step may have of its own that is the run's in others."""
FIRST_ROWS, LAST_ROWS, LONGEST_CELL = 100, 20, 120
"""What a table shows of a long plan, and of a long prompt."""


@dataclass(frozen=True)
class Extra:
    """Something more that a step does, by name: tiled sampling, a fill before sampling, ...

    `kind` names an entry of `host.extras`; `values` are its settings, sorted by name: those of an
    `ExtraValue`, so that a plan stays readable JSON.
    """

    kind: str
    values: tuple[tuple[str, Scalar], ...] = ()

    @classmethod
    def of(cls, kind: str, **values: Scalar) -> Extra:
        """An extra with its settings in one order, so that equal settings make equal extras."""
        return cls(kind, tuple(sorted(values.items())))


_Value = TypeVar("_Value", bound="ExtraValue")


@dataclass(frozen=True)
class ExtraValue:
    """The typed settings of a kind of extra. A subclass sets `kind` and has scalar fields with defaults.

    `limits` holds the range or the options of fields where those are narrower than their type.
    """

    kind: ClassVar[str] = ""
    limits: ClassVar[door.Limits] = {}

    def to_extra(self) -> Extra:
        """The extra of a plan's step with these settings."""
        return Extra.of(self.kind, **asdict(self))

    @classmethod
    def from_extra(cls: type[_Value], extra: Extra) -> _Value:
        """The settings that `to_extra` wrote; those that it lacks have their defaults.

        Raises ValueError for one that this version does not know, and for what no widget could have made.
        """
        values = dict(extra.values)
        if unknown := sorted(values.keys() - cls.__dataclass_fields__.keys()):
            raise ValueError(
                f"This plan sets {', '.join(unknown)} of {cls.kind!r}, which this version of ISI lacks."
            )
        hints: dict[str, Any] = get_type_hints(cls)
        for name, value in values.items():
            door.typed(value, hints[name], f"{cls.kind}.{name}", cls.limits.get(name))
        return cls(**values)


@dataclass(frozen=True)
class Step:
    """One iteration: what to sample, and through which lens.

    `denoise` is 0..1, `seed` 0..2^64-1. `label` is how tables and contact sheets call the step. `negative`,
    `sampler`, `scheduler`, `control` (strength of ControlNets, 0..10) and `candidates` (seeds it is sampled
    with, one of which is chosen; 1 is none to choose from) are this step's own; with None it has those of
    the run.
    """

    prompt: str
    steps: int = 20
    cfg: float = 7.0
    denoise: float = 0.75
    seed: int = 0
    label: str = ""
    lens: Lens = field(default_factory=Whole)
    extras: tuple[Extra, ...] = ()
    negative: str | None = None
    sampler: str | None = None
    scheduler: str | None = None
    control: float | None = None
    candidates: int | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON value from which `Step.from_json` makes an equal step."""
        own = {name: getattr(self, name) for name in OWN}
        return {
            "prompt": self.prompt,
            "steps": self.steps,
            "cfg": self.cfg,
            "denoise": self.denoise,
            "seed": self.seed,
            "label": self.label,
            "lens": self.lens.to_json(),
            "extras": [{"kind": extra.kind, "values": dict(extra.values)} for extra in self.extras],
            # Absent where a step has none: plans from before, and their keys, have no such fields.
            **{name: value for name, value in own.items() if value is not None},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Step:
        """The step that `to_json` wrote. Raises ValueError for what no widget could have made."""
        named = ("prompt", "steps", "cfg", "denoise", "seed", "label", "lens", "extras")
        value = door.record(value, "a step", (*named, *OWN), named)
        return cls(
            door.text(value["prompt"], "a prompt", door.LONGEST_PROMPT),
            door.whole(value["steps"], "steps", 1, MOST_SAMPLER_STEPS),
            door.number(value["cfg"], "cfg", 0, MOST_STEP_CFG),
            door.number(value["denoise"], "denoise", 0, 1),
            door.whole(value["seed"], "seed", *door.SEEDS),
            door.text(value["label"], "a label", door.LONGEST_PROMPT),
            lens_from_json(value["lens"]),
            tuple(map(_extra, door.items(value["extras"], "extras", MOST_EXTRAS))),
            **{name: _own(name, value[name]) for name in OWN if name in value},
        )


def _own(name: str, value: Any) -> Any:
    """The value of a field that a step need not have."""
    if name == "control":
        return door.number(value, name, 0, MOST_CONTROL)
    if name == "candidates":
        return door.whole(value, name, *CANDIDATE_RANGE)
    return door.text(value, name, door.LONGEST_PROMPT if name == "negative" else door.LONGEST_NAME)


def _extra(value: Any) -> Extra:
    """The extra that `Step.to_json` wrote."""
    value = door.record(value, "an extra", ("kind", "values"), ("kind", "values"))
    values = value["values"]
    if not isinstance(values, Mapping) or len(values) > MOST_VALUES:
        raise ValueError("In this plan the values of an extra are no JSON object of a few settings.")
    for name, one in values.items():
        if isinstance(one, str):
            door.text(one, f"{str(name)[:40]!r} of an extra")
        elif one is not None and not isinstance(one, bool):
            door.number(one, f"{str(name)[:40]!r} of an extra", *door.WIDEST)
    return Extra(door.text(value["kind"], "an extra"), tuple(sorted(values.items())))


@dataclass(frozen=True)
class Plan:
    """Steps in the order they run. `assets` holds the pictures and masks that their lenses name."""

    steps: tuple[Step, ...]
    assets: Assets = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        texts = ((step.prompt, step.label, step.negative or "") for step in self.steps)
        door.check_text(sum(door.text_size(text) for each in texts for text in each))

    def __len__(self) -> int:
        return len(self.steps)

    def to_json(self) -> dict[str, Any]:
        """A JSON value from which `Plan.from_json` makes an equal plan (assets travel beside it)."""
        return {"version": VERSION, "steps": [step.to_json() for step in self.steps]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], assets: Assets | None = None) -> Plan:
        """The plan that `to_json` wrote, with the masks that its lenses name.

        Raises ValueError for what no widget could have made, and `door.Newer` for a later version's plan.
        """
        version = value.get("version") if isinstance(value, Mapping) else None
        if isinstance(version, int) and version > VERSION:
            raise door.Newer(f"version {str(version)[:20]} of plans")
        value = door.record(value, "the plan", ("version", "steps"), ("version", "steps"))
        door.whole(value["version"], "version", 1, VERSION)
        steps = tuple(map(Step.from_json, door.items(value["steps"], "the list of steps", MOST_STEPS)))
        for step in steps:
            step.lens.check_assets(assets or {})
        return cls(steps, assets or {})

    def table(self) -> str:
        """The plan as a plain-text table, a line a step: the first and the last ones of many."""
        count = len(self.steps)
        shown = [*range(count)]
        if count > FIRST_ROWS + LAST_ROWS:
            shown = [*range(FIRST_ROWS), *range(count - LAST_ROWS, count)]
        rows = [("#", "steps", "cfg", "denoise", "seed", "prompt")]
        for i in shown:
            s = self.steps[i]
            seed = str(s.seed) if (s.candidates or 1) == 1 else f"{s.seed} *{s.candidates}?"
            cells = str(i + 1), str(s.steps), f"{s.cfg:g}", f"{s.denoise:g}", seed
            rows.append((*cells, _cell(s.label or s.prompt)))
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        lines = [
            "  ".join([*(cell.rjust(width) for cell, width in zip(row, widths, strict=False)), row[5]])
            for row in rows
        ]
        if len(shown) < count:
            lines.insert(1 + FIRST_ROWS, f"... {count - len(shown):,} more ...")
        return "\n".join(lines)


def _cell(text: str) -> str:
    """A text on one line of a table."""
    line = " ".join(text[: 4 * LONGEST_CELL].splitlines())
    return line if len(line) <= LONGEST_CELL else f"{line[: LONGEST_CELL - 1]}…"


def join(plans: Iterable[Plan]) -> Plan:
    """One plan that does all of `plans`, one after the other. Raises ValueError for over MOST_STEPS steps."""
    plans = list(plans)
    if sum(map(len, plans)) > MOST_STEPS:
        raise ValueError(f"Together these plans have over {MOST_STEPS:,} steps: join fewer.")
    assets: dict[str, Tensor] = {}
    for plan in plans:
        assets.update(plan.assets)
    return Plan(tuple(step for plan in plans for step in plan.steps), assets)


def content_hash(tensor: Tensor) -> str:
    """A name for a tensor by its shape, dtype and every byte."""
    digest = hashlib.blake2b(f"{tensor.dtype}{tuple(tensor.shape)}".encode(), digest_size=16)
    flat = tensor.detach().reshape(-1).cpu().contiguous()
    digest.update(flat.view(uint8).numpy().data if flat.numel() else b"")
    return digest.hexdigest()


def canonical(value: Any) -> str:
    """One JSON text for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
