"""Saved graphs last: node ids, inputs, outputs and defaults are what `tests/golden/schemas.json` says.

`.venv/bin/python -m tests.host.test_schemas` rewrites the golden file after something was added. It refuses
if something that saved graphs hold was removed, renamed, reordered or changed (before a node is released,
`--break` overrules that).
"""

from __future__ import annotations

import copy
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from .harness import Host

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "schemas.json"
REWRITE = ".venv/bin/python -m tests.host.test_schemas"
MODEL_FILE = re.compile(r"\.(safetensors|sft|ckpt|pt|pth|bin|gguf)$")
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
Schemas = dict[str, dict[str, Any]]


def our_nodes(host: Host) -> dict[str, Any]:
    return {name: node for name, node in sorted(host.nodes.items()) if name.startswith("ISI_")}


def described_inputs(inputs: dict[str, dict]) -> list[dict[str, Any]]:
    """Inputs in the front end's order: the required ones, then the optional ones."""
    found = []
    for group in ("required", "optional"):
        for name, (kind, *rest) in inputs.get(group, {}).items():
            options = rest[0] if rest else {}
            one = {"name": name, "type": kind, "optional": group == "optional"}
            if isinstance(kind, list):
                one |= {"type": "COMBO", "options": kind}
            if "default" in options:
                one["default"] = options["default"]
            if "options" in options:
                one["options"] = [
                    {"key": option["key"], "inputs": described_inputs(option["inputs"])}
                    if isinstance(option, dict)
                    else option
                    for option in options["options"]
                ]
            if "options" in one:
                # What lies in the user's folders is not the schema's.
                kept = [] if options.get("image_upload") else one["options"]
                one["options"] = [option for option in kept if not MODEL_FILE.search(str(option))]
            found.append(one)
    return found


def described(host: Host) -> Schemas:
    """What saved graphs depend on, of every node."""
    schemas: Schemas = {}
    for name, node in our_nodes(host).items():
        info = node.GET_NODE_INFO_V1()
        outputs = zip(info["output_name"], info["output"], info["output_is_list"], strict=True)
        schemas[name] = {
            "inputs": described_inputs(info["input"]),
            "outputs": [{"name": name, "type": kind, "list": many} for name, kind, many in outputs],
        }
    return schemas


def broken(golden: Schemas, current: Schemas) -> list[str]:
    """What a graph saved with `golden` would lose under `current`. Additions at the end are no loss."""
    losses = [f"{name}: the node is gone" for name in golden if name not in current]
    for name in golden.keys() & current.keys():
        old, new = golden[name], current[name]
        for what, keep in (
            ("widgets", lambda one: one["type"] in WIDGETS),
            ("sockets", lambda one: one["type"] not in WIDGETS),
        ):
            before = [one["name"] for one in old["inputs"] if keep(one)]
            after = [one["name"] for one in new["inputs"] if keep(one)]
            if after[: len(before)] != before:
                losses.append(f"{name}: its {what} were {before} and are {after}")
        if new["outputs"][: len(old["outputs"])] != old["outputs"]:
            losses.append(f"{name}: its outputs changed")
        inputs = {one["name"]: one for one in new["inputs"]}
        for one in old["inputs"]:
            now = inputs.pop(one["name"], one)
            if (now["type"], now.get("default")) != (one["type"], one.get("default")):
                losses.append(f"{name}.{one['name']}: its type or default changed")
            if one["optional"] and not now["optional"]:
                losses.append(f"{name}.{one['name']}: it was optional")
            if gone := [option for option in one.get("options", []) if option not in now.get("options", [])]:
                losses.append(f"{name}.{one['name']}: the options {gone} are gone")
        for one in inputs.values():
            if not one["optional"] and "default" not in one and one["type"] != "COMBO":
                losses.append(f"{name}.{one['name']}: it is new and has no default")
    return losses


def golden() -> Schemas:
    return json.loads(GOLDEN.read_text("utf-8"))


def write(current: Schemas) -> None:
    GOLDEN.write_text(json.dumps(current, indent=1, ensure_ascii=False) + "\n", "utf-8")


def test_saved_graphs_keep_working(host):
    assert broken(golden(), described(host)) == [], "Put these back; graphs that people saved hold them."


def test_golden_file_is_complete(host):
    assert described(host) == golden(), f"Nodes changed. If that was meant: {REWRITE}"


def test_every_node_is_described_for_people(host):
    silent = []
    for name, node in our_nodes(host).items():
        info = node.GET_NODE_INFO_V1()
        inputs = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
        silent += [
            f"{name}.{key}" for key, (_, *rest) in inputs.items() if not (rest and rest[0].get("tooltip"))
        ]
        silent += [f"{name} output {i}" for i, tip in enumerate(info["output_tooltips"]) if not tip]
        silent += [f"{name}: {key}" for key in ("description", "search_aliases") if not info[key]]
        silent += [] if info["category"].startswith("ISI") else [f"{name}: category"]
    assert silent == []


def test_seeds_of_new_nodes_stay_fixed(host):
    """A seed that changes by itself after each queueing makes every run a new one."""
    moving = []
    for name, node in our_nodes(host).items():
        info = json.loads(json.dumps(node.GET_NODE_INFO_V1()))  # as the page gets it
        inputs = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
        for key, (_, *rest) in inputs.items():
            control = rest[0].get("control_after_generate") if rest else None
            if control not in (None, "fixed") or (key.endswith("seed") and control != "fixed"):
                moving.append(f"{name}.{key}: {control}")
    assert moving == []


SAMPLE: Schemas = {
    "ISI_A": {
        "inputs": [
            {"name": "image", "type": "IMAGE", "optional": False},
            {"name": "steps", "type": "INT", "optional": False, "default": 20},
            {"name": "mode", "type": "COMBO", "optional": False, "default": "x", "options": ["x", "y"]},
            {"name": "mask", "type": "MASK", "optional": True},
        ],
        "outputs": [{"name": "image", "type": "IMAGE", "list": False}],
    }
}


def changed(change) -> list[str]:
    current = copy.deepcopy(SAMPLE)
    change(current["ISI_A"]["inputs"], current["ISI_A"]["outputs"])
    return broken(SAMPLE, current)


@pytest.mark.parametrize(
    "change",
    [
        lambda inputs, outputs: None,
        lambda inputs, outputs: inputs.append({"name": "new", "type": "INT", "optional": True}),
        lambda inputs, outputs: inputs[2]["options"].append("z"),
        lambda inputs, outputs: outputs.append({"name": "mask", "type": "MASK", "list": False}),
    ],
)
def test_additions_break_nothing(change):
    assert changed(change) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda inputs, outputs: inputs.pop(0),
        lambda inputs, outputs: inputs[1].update(name="count"),
        lambda inputs, outputs: inputs[1].update(default=30),
        lambda inputs, outputs: inputs[1].update(type="FLOAT"),
        lambda inputs, outputs: inputs[3].update(optional=False),
        lambda inputs, outputs: inputs[2]["options"].remove("y"),
        lambda inputs, outputs: inputs.insert(1, inputs.pop(2)),
        lambda inputs, outputs: inputs.append({"name": "new", "type": "INT", "optional": False}),
        lambda inputs, outputs: outputs.insert(0, {"name": "mask", "type": "MASK", "list": False}),
    ],
)
def test_losses_are_seen(change):
    assert changed(change)


def test_a_removed_node_is_seen():
    assert broken(SAMPLE, {})


def main() -> None:
    force = "--break" in sys.argv  # booting the host replaces the arguments
    with tempfile.TemporaryDirectory() as base:
        current = described(Host(Path(base)))
    if GOLDEN.exists() and not force and (losses := broken(golden(), current)):
        raise SystemExit("Saved graphs hold these:\n" + "\n".join(losses))
    write(current)


if __name__ == "__main__":
    main()
