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
from typing import Any, ClassVar, TypeVar

from torch import Tensor, uint8

from .lens import Assets, Lens, Whole, lens_from_json

Scalar = str | int | float | bool | None


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
    """The typed settings of a kind of extra. A subclass sets `kind` and has scalar fields with defaults."""

    kind: ClassVar[str] = ""

    def to_extra(self) -> Extra:
        """The extra of a plan's step with these settings."""
        return Extra.of(self.kind, **asdict(self))

    @classmethod
    def from_extra(cls: type[_Value], extra: Extra) -> _Value:
        """The settings that `to_extra` wrote; those that it lacks have their defaults.

        Raises ValueError for one that this version does not know.
        """
        values = dict(extra.values)
        if unknown := sorted(values.keys() - cls.__dataclass_fields__.keys()):
            raise ValueError(
                f"This plan sets {', '.join(unknown)} of {cls.kind!r}, which this version of ISI lacks."
            )
        return cls(**values)


@dataclass(frozen=True)
class Step:
    """One iteration: what to sample, and through which lens.

    `denoise` is 0..1, `seed` 0..2^64-1. `label` is how tables and contact sheets call the step.
    """

    prompt: str
    steps: int = 20
    cfg: float = 7.0
    denoise: float = 0.75
    seed: int = 0
    label: str = ""
    lens: Lens = field(default_factory=Whole)
    extras: tuple[Extra, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON value from which `Step.from_json` makes an equal step."""
        return {
            "prompt": self.prompt,
            "steps": self.steps,
            "cfg": self.cfg,
            "denoise": self.denoise,
            "seed": self.seed,
            "label": self.label,
            "lens": self.lens.to_json(),
            "extras": [{"kind": extra.kind, "values": dict(extra.values)} for extra in self.extras],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Step:
        """The step that `to_json` wrote."""
        return cls(
            **{k: value[k] for k in ("prompt", "steps", "cfg", "denoise", "seed", "label")},
            lens=lens_from_json(value["lens"]),
            extras=tuple(Extra.of(extra["kind"], **extra["values"]) for extra in value["extras"]),
        )


@dataclass(frozen=True)
class Plan:
    """Steps in the order they run. `assets` holds the pictures and masks that their lenses name."""

    steps: tuple[Step, ...]
    assets: Assets = field(default_factory=dict, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.steps)

    def to_json(self) -> dict[str, Any]:
        """A JSON value from which `Plan.from_json` makes an equal plan (assets travel beside it)."""
        return {"version": 1, "steps": [step.to_json() for step in self.steps]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], assets: Assets | None = None) -> Plan:
        """The plan that `to_json` wrote."""
        return cls(tuple(Step.from_json(step) for step in value["steps"]), assets or {})

    def table(self) -> str:
        """The plan as a plain-text table, a line a step."""
        rows = [("#", "steps", "cfg", "denoise", "seed", "prompt")]
        rows += [
            (str(i), str(s.steps), f"{s.cfg:g}", f"{s.denoise:g}", str(s.seed), s.label or s.prompt)
            for i, s in enumerate(self.steps, 1)
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        return "\n".join(
            "  ".join([*(cell.rjust(width) for cell, width in zip(row, widths, strict=False)), row[5]])
            for row in rows
        )


def join(plans: Iterable[Plan]) -> Plan:
    """One plan that does all of `plans`, one after the other."""
    plans = list(plans)
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
