"""What a person says to a run that has candidates, and which node is to run again then."""

from __future__ import annotations

from collections import Counter
from typing import Any

from comfy_execution.graph_utils import ExecutionBlocker
from comfy_execution.utils import get_executing_context

from ...core.choosing.answers import AnswerFile
from ...core.store.manifests import is_run_name
from ..loop.gallery import Run
from ..loop.manifest import answers_path, manifest_path, present_name, read_manifest

BLOCKED = ExecutionBlocker(None)
"""In the place of an output: nodes that take it are not run, and nothing is said."""
_waiting: set[str] = set()
"""Ids of the nodes whose last run waits for a person."""
_answered: Counter[str] = Counter()
"""How often this process was told to go on with a candidate, by node."""
_asking: dict[str, str] = {}
"""The family of the last run of each node that has candidates."""


def choose(run: str, asked: Any, user: str | None = None) -> dict[str, Any]:
    """Says which candidate a run is to go on with when it is queued again: `asked` is `{"iteration": 3,
    "candidate": 2}`, both from 1.

    Returns these with the candidate's `key` and `seed`. Raises ValueError for a run or a choice that there
    is not.
    """
    gone = ValueError(f"There is no run named {run[:100]!r} any more: queue it again.")
    if not is_run_name(run):
        raise gone
    run = present_name(run, user)
    try:
        value = read_manifest(manifest_path(run, user))
    except OSError as error:
        raise gone from error
    asked = asked if isinstance(asked, dict) else {}
    iteration, candidate = asked.get("iteration"), asked.get("candidate")
    if type(iteration) is not int or type(candidate) is not int:
        raise ValueError('Expected {"iteration": 3, "candidate": 2}, both whole numbers from 1.')
    found = next((one for one in value["asked"] if one["index"] == iteration - 1), None)
    if found is None:
        there = ", ".join(str(one["index"] + 1) for one in value["asked"][:20]) or "none"
        raise ValueError(f"Iteration {iteration} of this run has no candidates; those that have: {there}.")
    if not 1 <= candidate <= len(found["keys"]):
        raise ValueError(
            f"Iteration {iteration} of this run has candidates 1 to {len(found['keys'])}, not {candidate}."
        )
    number = candidate - 1
    try:
        AnswerFile(answers_path(value["family"], user)).write(found["question"], number)
    except OSError as error:
        raise ValueError(f"The choice can't be kept: {error.strerror}.") from error
    for node, family in _asking.items():
        _answered[node] += family == value["family"]
    return {
        "run": run,
        "iteration": iteration,
        "candidate": candidate,
        "key": found["keys"][number],
        "seed": str(found["seeds"][number]),
    }


def note_node(run: Run, waits: bool) -> None:
    """Notes which run the node that is executed made, if that has candidates, and whether it waits."""
    context = get_executing_context()
    if context is None:
        return
    (_waiting.add if waits else _waiting.discard)(context.node_id)
    if run.asked:
        _asking[context.node_id] = run.family


def choices_stamp() -> float:
    """Changes where the node that is asked has something else to do than before; NaN while it waits.

    The host would take what a node returned while it waited for its result for ever.
    """
    context = get_executing_context()
    if context is None:
        return 0
    return float("nan") if context.node_id in _waiting else _answered[context.node_id]
