"""Every node with every number widget at its ends and far beyond, in a process that may grow by 4 GB.

    python -m tests.host.ends [--sample N] [--seed N] [NODE ...]

Made from the schemas: a new node is tried as soon as it is listed. A line of JSON a case: what was tried, and
`error`, null where there was a result. Numbers come by a link, which the host does not check. Run by
test_ends_of_widgets.py and by `python run.py bench ends`.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import resource
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

GROWTH = 4 * 2**30
BEYOND = [-(2**63), -1, 2**31, 2**64, 1e300, -1e300, float("nan"), float("inf")]


class Case:
    """One node with all widgets as they come, but one."""

    def __init__(self, node: str, path: tuple[str, ...], value: Any, choice: dict[str, str]):
        self.node, self.path, self.value, self.choice = node, path, value, choice

    def __str__(self) -> str:
        return f"{self.node}.{'.'.join(self.path)}={self.value}"


def cases(nodes: list[str]) -> list[Case]:
    """All of them, in the order of nodes and widgets."""
    from comfy_api.latest import io

    import nodes as host_nodes

    found = []
    for name in nodes:
        for one in host_nodes.NODE_CLASS_MAPPINGS[name].GET_SCHEMA().inputs:
            options = getattr(one, "options", None) if isinstance(one, io.DynamicCombo.Input) else None
            for option in options or [None]:
                for inner in option.inputs if option else [one]:
                    if isinstance(inner, io.Int.Input | io.Float.Input):
                        path = (one.id, inner.id) if option else (inner.id,)
                        choice = {one.id: option.key} if option else {}
                        own = [inner.min, inner.max, inner.default]
                        found += [Case(name, path, v, choice) for v in [*own, *BEYOND] if v is not None]
    return found


class World:
    """What the sockets of the nodes are given: real values of every type, made once."""

    def __init__(self, host: Any):
        import torch

        from .tiny import tiny_clip, tiny_model, tiny_vae

        self.host = host
        generator = torch.Generator().manual_seed(0)
        image = torch.rand(2, 96, 136, 3, generator=generator)
        mask = torch.zeros(1, 96, 136)
        mask[:, 8:44, 10:50] = 1
        model, clip, vae = tiny_model(), tiny_clip(), tiny_vae()
        self.values: dict[str, Any] = {
            "IMAGE": image, "MASK": mask, "MODEL": model, "CLIP": clip, "VAE": vae,
            "LATENT": {"samples": torch.zeros(1, 4, 8, 8)},
            "CONDITIONING": clip.encode_from_tokens_scheduled(clip.tokenize("a cat")),
            "SIGMAS": torch.linspace(10, 0, 5),
        }  # fmt: skip
        plan = host.call("ISI_Script", **self.widgets("ISI_Script", script="a; b", steps=1))[0]
        one, sampled = image[:1], {"model": model, "clip": clip, "vae": vae}
        given = self.widgets("ISI_Iterate", run_name="ends") | sampled
        run = host.call("ISI_Iterate", **given, plan=plan, image=one)[2]
        stitch = host.call("ISI_CropForInpaint", **self.widgets("ISI_CropForInpaint"), image=one, mask=mask)
        self.values |= {"ISI_PLAN": plan, "ISI_RUN": run, "ISI_STITCH": stitch[0]}

    def widgets(self, node: str, **given: Any) -> dict[str, Any]:
        """The widgets of a node as they come, with some given."""
        import nodes

        found: dict[str, Any] = {}
        for one in nodes.NODE_CLASS_MAPPINGS[node].GET_SCHEMA().inputs:
            self._add(found, one, "", {})
        return found | given

    def _add(self, found: dict[str, Any], one: Any, prefix: str, choice: dict[str, str]) -> None:
        from comfy_api.latest import io

        name = prefix + one.id
        if isinstance(one, io.DynamicCombo.Input):
            key = choice.get(one.id) or one.options[0].key
            found[name] = key
            for inner in next(option for option in one.options if option.key == key).inputs:
                self._add(found, inner, f"{name}.", {})
        elif isinstance(one, io.Combo.Input):
            options = [getattr(option, "value", option) for option in one.options or []]
            found[name] = one.default if one.default is not None else options[0] if options else ""
        elif isinstance(one, io.WidgetInput):
            found[name] = one.default if one.default is not None else ""

    def inputs(self, case: Case) -> dict[str, Any] | None:
        """What the node is given; None where a socket that it needs has no value here."""
        from comfy_api.latest import io

        import nodes

        given: dict[str, Any] = {}
        for one in nodes.NODE_CLASS_MAPPINGS[case.node].GET_SCHEMA().inputs:
            self._add(given, one, "", case.choice)
            if isinstance(one, io.DynamicCombo.Input | io.WidgetInput):
                continue
            kind = one.get_io_type()
            if kind in self.values and not (case.node == "ISI_ContactSheet" and kind == "IMAGE"):
                given[one.id] = self.values[kind]
            elif not one.optional:
                return None
        if "run_name" in given:
            given["run_name"] = "ends"
        if case.node in ("ISI_Script", "ISI_Iterate"):
            given |= {"script": "a; b"} if case.node == "ISI_Script" else {}
        if "image" in given and case.node not in ("ISI_RunImages", "ISI_CropForInpaint"):
            given["image"] = given["image"][:1]
        given[".".join(case.path)] = Linked(case.value)
        return given


class Linked:
    """A number that comes by a link."""

    def __init__(self, value: Any):
        self.value = value


def attempt(world: World, case: Case) -> str | None:
    """None where the node gave a result, "skipped", or the error as the user sees it, behind its type."""
    from . import harness

    given = world.inputs(case)
    if given is None:
        return "skipped"
    prompt: dict[str, dict] = {"node": {"class_type": case.node, "inputs": {}}}
    for name, value in given.items():
        if isinstance(value, (str, int, float, bool)):
            prompt["node"]["inputs"][name] = value
            continue
        token = uuid.uuid4().hex
        harness.VALUES[token] = value.value if isinstance(value, Linked) else copy.copy(value)
        prompt[f"in_{name}"] = {"class_type": "Test_Value", "inputs": {"name": token}}
        prompt["node"]["inputs"][name] = [f"in_{name}", 0]
    prompt["out"] = {"class_type": "Test_Catch", "inputs": {"name": "ends", "value": ["node", 0]}}
    try:
        world.host.run(prompt)
    except harness.Failed as failed:
        details = failed.details
        if "exception_message" not in details:
            return f"refused: {failed}"
        return f"{details['exception_type']}: {details['exception_message'].strip()}"
    finally:
        harness.CAUGHT.clear()
        harness.VALUES.clear()
    return None


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("nodes", nargs="*")
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--skip", type=int, default=0)
    args = parser.parse_args()
    out, sys.stdout = sys.stdout, sys.stderr
    from .harness import Host

    with tempfile.TemporaryDirectory(prefix="isi-ends-") as folder:
        host = Host(Path(folder))
        import psutil

        import nodes as host_nodes

        names = args.nodes or sorted(
            name for name in host_nodes.NODE_CLASS_MAPPINGS if name.startswith("ISI_")
        )
        todo = cases(names)
        if args.sample:
            todo = sorted(random.Random(args.seed).sample(todo, min(args.sample, len(todo))), key=str)
        world = World(host)
        host.new_executor("none")
        limit = psutil.Process().memory_info().vms + GROWTH
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        for number, case in enumerate(todo[args.skip :], args.skip):
            print(json.dumps({"case": str(case), "number": number}), file=out, flush=True)
            start = time.perf_counter()
            error = attempt(world, case)
            took = round(time.perf_counter() - start, 2)
            print(json.dumps({"case": str(case), "error": error, "seconds": took}), file=out, flush=True)
        print(json.dumps({"done": len(todo)}), file=out, flush=True)


if __name__ == "__main__":
    main()
