"""What a picture's metadata says of the graph that made it, besides what the host says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from comfy_execution.utils import get_executing_context
from torch import Tensor

from ...core.infotext import a1111
from ...core.infotext.graph import model_name
from ...core.infotext.info import Infotext
from ...core.infotext.names import infotext_names
from ...core.loop.engine import Iteration
from ...core.loop.plan import Step
from .sampling import Sampling


@dataclass(frozen=True)
class Notes:
    """What goes into the pictures of a run of `count` iterations: what the host has `given`, and our own.

    `environment` is what they depend on besides their steps; `from_picture` says that the first of them has
    a picture to start from.
    """

    given: Mapping[str, str]
    run: str
    count: int
    environment: Any
    sampling: Sampling
    from_picture: bool

    @cached_property
    def model(self) -> str | None:
        """The name of the model file behind the node that is being executed, if the graph says it."""
        context = get_executing_context()
        return context and model_name(json.loads(self.given.get("prompt", "{}")), context.node_id)

    def of(self, iteration: Iteration, pictures: Tensor) -> dict[str, str]:
        """The texts of one iteration's `pictures` `[B, H, W, C]`, by their keywords in a PNG file."""
        story = {
            "version": 1,
            "run": self.run,
            "iteration": iteration.index + 1,
            "of": self.count,
            "key": iteration.key,
            "step": iteration.step.to_json(),
            "environment": self.environment,
            "seconds": round(iteration.seconds, 3),
        }
        starts = self.from_picture or iteration.index > 0
        size = int(pictures.shape[1]), int(pictures.shape[2])
        return {
            "parameters": infotext_of(iteration.step, self.sampling, size, starts, self.model),
            **with_shown(self.given, self.run, iteration.key),
            "isi": json.dumps(story),
        }


def with_shown(notes: Mapping[str, str], run: str, key: str) -> Mapping[str, str]:
    """`notes` with a workflow that opens with the executing node's strip at the iteration `key` of `run`."""
    context = get_executing_context()
    workflow = json.loads(notes.get("workflow", "null"))
    node = _node_at(workflow, context.node_id) if context and isinstance(workflow, dict) else None
    if node is None:
        return notes
    node["properties"] = {**(node.get("properties") or {}), "isi_run": run, "isi_key": key}
    return {**notes, "workflow": json.dumps(workflow)}


def _node_at(workflow: dict[str, Any], node_id: str) -> dict[str, Any] | None:
    """The node of an execution id (`7`, or `3:7` inside subgraphs) in a graph's UI form."""
    graphs = (workflow.get("definitions") or {}).get("subgraphs") or []
    inside: Any = workflow
    found = None
    for part in node_id.split(":"):
        nodes = inside.get("nodes") if isinstance(inside, dict) else None
        found = next((node for node in nodes or [] if str(node.get("id")) == part), None)
        if found is None:
            return None
        inside = next((graph for graph in graphs if graph.get("id") == found.get("type")), None)
    return found


def infotext_of(
    step: Step, sampling: Sampling, size: tuple[int, int], from_picture: bool, model: str | None
) -> str:
    """The infotext of an iteration of `size` (height, width) pixels, which A1111, Civitai and browsers of
    pictures read. `notes` are those of the whole graph; `from_picture`: it had a picture to start from."""
    name, schedule = infotext_names(step.sampler or sampling.sampler, step.scheduler or sampling.scheduler)
    negative = sampling.negative if step.negative is None else step.negative
    settings = {
        "Steps": sampling.steps(step, not from_picture),
        "Sampler": name,
        "Schedule type": schedule,
        "CFG scale": f"{step.cfg:g}",
        "Seed": step.seed,
        "Size": f"{size[1]}x{size[0]}",
        "Denoising strength": f"{step.denoise:g}" if from_picture else None,
        "Model": model,
        "Version": "ComfyUI",
    }
    said = tuple((name, str(value)) for name, value in settings.items() if value is not None)
    return a1111.write(Infotext(step.prompt, negative, said))


def graph_notes(prompt: Any, extra: Mapping[str, Any] | None) -> dict[str, str]:
    """The graph that the host hands to a node that saves (`prompt`, `extra_pnginfo`), as JSON texts."""
    found = {"prompt": json.dumps(prompt)} if prompt else {}
    return found | {name: json.dumps(value) for name, value in (extra or {}).items()}
