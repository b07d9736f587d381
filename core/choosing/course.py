"""The course of a run: which candidate each step went on with, and so which iterations the run is made of.

A candidate is its step with a seed of its own. A run of chosen candidates is the same as one whose plan had
their seeds from the start: it has the same keys.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Protocol

from torch import Tensor

from ..loop.engine import Iteration
from ..loop.keys import hashed, step_key, step_keys
from ..loop.plan import Plan, Step
from .rules import VERSION, Rule, score

MOST_CHOICES = 1000
"""Steps of a plan that may have candidates: what a run chose is written down anew with each choice."""


class Scorer(Protocol):
    """Says how good a batch `[B, H, W, C]` is, higher is better. `identity`, a JSON value, tells one scorer
    from another."""

    def identity(self) -> Any: ...
    def __call__(self, pictures: Tensor) -> float: ...


class Answers(Protocol):
    """Which candidate was chosen, by questions; it lasts."""

    def get(self, question: str) -> int | None: ...
    def note(self, question: str, number: int) -> None: ...


@dataclass(frozen=True)
class Selection:
    """How a run chooses: the `candidates` (1..64) of steps that do not say how many, and by what rule.

    The rule `best score` asks `scorer`.
    """

    candidates: int = 1
    rule: Rule = "by hand"
    scorer: Scorer | None = None

    def check(self, plan: Plan) -> None:
        """Raises ValueError for a plan that asks more often than can be answered, or asks nobody."""
        if self.rule == "best score" and self.scorer is None and has_candidates(plan):
            raise ValueError(
                "Candidates are chosen by the best score, but nothing says one: connect ISI Score to score "
                "of ISI Iterate, or set choose to another rule."
            )
        asked = sum((step.candidates or 1) > 1 for step in plan.steps)
        if asked > MOST_CHOICES:
            raise ValueError(
                f"Expected candidates in at most {MOST_CHOICES:,} steps, but came {asked:,}: set candidates "
                "of ISI Iterate to 1, and write *4? after groups that need them."
            )

    def identity(self) -> Any:
        """What the choice between given pictures depends on, as a JSON value."""
        scorer = self.scorer.identity() if self.rule == "best score" and self.scorer is not None else None
        return [self.rule, VERSION] if scorer is None else [self.rule, VERSION, scorer]

    def score(self, start: Tensor | None, picture: Tensor) -> float:
        """How good a candidate is, higher is better; all are alike where a person chooses."""
        if self.rule == "by hand":
            return 0.0
        if self.rule == "best score" and self.scorer is not None:
            return self.scorer(picture)
        return score(self.rule, start, picture)


def with_candidates(plan: Plan, count: int) -> Plan:
    """`plan` with `count` candidates in each step that does not say how many it has; itself for 1."""
    if count == 1:
        return plan
    steps = (replace(step, candidates=count) if step.candidates is None else step for step in plan.steps)
    return replace(plan, steps=tuple(steps))


def has_candidates(plan: Plan) -> bool:
    """Whether a run of `plan` chooses anywhere."""
    return any((step.candidates or 1) > 1 for step in plan.steps)


def candidates(step: Step) -> list[Step]:
    """A step with each of its seeds. The first is the step's own, so that going on with it is as without.

    The others are unrelated to all that a plan makes of seeds, BLAKE2b(seed, number): one that counted up
    would be the next step's, and the same noise twice burns in.
    """
    found = [replace(step, candidates=None)]
    for number in range(1, step.candidates or 1):
        data = step.seed.to_bytes(8, "little") + number.to_bytes(8, "little")
        digest = blake2b(data, digest_size=8, person=b"candidate").digest()
        found.append(replace(found[0], seed=int.from_bytes(digest, "little")))
    return found


@dataclass(frozen=True)
class Asked:
    """A choice of a run: after how many iterations, between what (keys and seeds), and its answer so far."""

    index: int
    question: str
    keys: tuple[str, ...]
    seeds: tuple[int, ...]
    chosen: int | None = None


@dataclass
class Course:
    """The engine's `Chooser`: follows `plan` from `root` by the answers that there are.

    `facts` are those of `step_key`, a value a step; `hear` is told of each candidate that is made, with its
    number and their count.
    """

    root: str
    plan: Plan
    facts: Sequence[Any]
    choosing: Selection
    answers: Answers
    hear: Callable[[Iteration, int, int], None] = lambda made, number, count: None
    steps: list[Step] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rule = self.choosing.identity() if has_candidates(self.plan) else None
        if self._rule is None:
            self.steps, self.keys = list(self.plan.steps), step_keys(self.root, self.plan, self.facts)
        self._go_on()

    @property
    def open(self) -> bool:
        """Whether steps follow of which nothing is known before a choice."""
        return len(self.keys) < len(self.plan)

    def name(self) -> str:
        """32 hex digits that are the same whatever is chosen: those of the last key where nothing is."""
        if self._rule is None:
            return self.keys[-1]
        plain = step_keys(self.root, self.plan, self.facts)[-1]
        return hashed([plain, [step.candidates for step in self.plan.steps], self._rule])

    def options(self) -> list[tuple[Step, str]]:
        """The candidates of the first step that is not known, with their keys."""
        index = len(self.keys)
        previous = self.keys[-1] if self.keys else self.root
        found = candidates(self.plan.steps[index])
        return [(step, step_key(previous, step, self.facts[index])) for step in found]

    def score(self, start: Tensor | None, picture: Tensor) -> float:
        """How good a candidate is."""
        return self.choosing.score(start, picture)

    def made(self, candidate: Iteration, number: int) -> None:
        """Tells of a candidate."""
        self.hear(candidate, number, len(self.asked[-1].keys))

    def choose(self, best: int) -> bool:
        """Goes on with a candidate by its number, if a rule chooses; a person's answer comes another time."""
        if self.choosing.rule == "by hand":
            return False
        question = self.asked.pop().question
        self.answers.note(question, best)
        self._go_on(best)
        return True

    def resolved(self, plan: Plan) -> Plan:
        """`plan`, which is this one but for its lenses, with the seeds that were chosen so far."""
        if self._rule is None:
            return plan
        chosen = (
            replace(step, seed=known.seed, candidates=None)
            for step, known in zip(plan.steps, self.steps, strict=False)
        )
        return replace(plan, steps=(*chosen, *plan.steps[len(self.steps) :]))

    def _go_on(self, answer: int | None = None) -> None:
        """Follows the plan up to a choice that has no answer; `answer` is that of the first."""
        while self.open:
            options, number = self.options(), 0
            if len(options) > 1:
                keys = tuple(key for _, key in options)
                question = hashed([self._rule, keys])
                number = self.answers.get(question) if answer is None else answer
                number = number if number is not None and number < len(options) else None
                seeds = tuple(step.seed for step, _ in options)
                self.asked.append(Asked(len(self.keys), question, keys, seeds, number))
            if number is None:
                return
            answer = None
            self.steps.append(options[number][0])
            self.keys.append(options[number][1])
