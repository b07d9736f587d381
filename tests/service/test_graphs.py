"""What a graph becomes for an attempt, and how large its pictures get: held to ComfyUI's own nodes."""

import ast
import re
from pathlib import Path

import pytest
from isi.service.jobs.graphs import BadGraph, Limits, check_form, for_attempt
from isi.service.jobs.sizes import check_sizes

from .running import COMFYUI

WRITES = ("get_save_image_path(", "get_output_directory(", "get_dataset_save_dir(", "save_checkpoint(")
JOB = "5d5c1d8e-0000-4000-8000-000000000000"


def writers() -> dict[str, set[str]]:
    """ComfyUI's nodes that write below a place which a text widget names: that widget, by the node's id."""
    found = {}
    for path in [Path(COMFYUI, "nodes.py"), *Path(COMFYUI, "comfy_extras").glob("*.py")]:
        text = path.read_text("utf-8")
        lines = text.split("\n")
        ids = {name: node for node, name in re.findall(r'"(\w+)":\s*(\w+)', text)}
        for each in ast.parse(text).body:
            source = "\n".join(lines[each.lineno - 1 : each.end_lineno])
            if not isinstance(each, ast.ClassDef) or not any(call in source for call in WRITES):
                continue
            widgets = set(re.findall(r'String\.Input\(\s*"(\w*)"|"(\w+)":\s*\("STRING"', source))
            named = {a or b for a, b in widgets if re.search("prefix|folder|path|name", a or b)}
            own = re.search(r'node_id\s*=\s*"(\w+)"', source)
            if named:
                found[own[1] if own else ids.get(each.name, each.name)] = named
    return found


def test_whatever_comfyui_writes_lies_in_the_attempts_own_folder():
    found = writers()
    assert {"SaveImage", "SaveLoRA", "SaveImageTextDataSetToFolder", "SaveTrainingDataset"} <= set(found)
    for kind, widgets in found.items():
        for given in ("../../up", "mine", ["9", 0]):
            graph = {"1": {"class_type": kind, "inputs": dict.fromkeys(widgets, given)}}
            inputs = for_attempt(graph, JOB, 2)[0]["1"]["inputs"]
            places = [value for value in inputs.values() if str(value).startswith(f"jobs/{JOB}/2/")]
            assert len(places) == 1, kind
            assert all(isinstance(value, str) for value in inputs.values()), kind
            assert not any("/" in value for value in inputs.values() if value not in places), kind


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


EMPTY = node("EmptyImage", width=1000, height=500, batch_size=2, color=0)
LOAD = node("LoadImage", image="wide.png")


@pytest.mark.parametrize(
    "graph, pixels",
    [
        ({"1": EMPTY}, 1_000_000),
        ({"1": EMPTY, "2": node("ImageScaleBy", image=["1", 0], scale_by=4.0)}, 16_000_000),
        ({"2": node("ImageScaleBy", image=["1", 0], scale_by=["3", 0]), "1": EMPTY,
          "3": node("PrimitiveFloat", value=3.0)}, 9_000_000),
        ({"1": EMPTY, "2": node("ImageScale", image=["1", 0], width=2000, height=0)}, 4_000_000),
        ({"1": EMPTY, "2": node("ImagePadForOutpaint", image=["1", 0], left=1000, right=0, top=500, bottom=0,
                                feathering=0)}, 4_000_000),
        ({"1": LOAD, "2": node("RepeatImageBatch", image=["1", 0], amount=10)}, 20_000),
        ({"1": LOAD, "2": node("ImageScaleToTotalPixels", image=["1", 0], megapixels=2.0)}, 2 << 20),
        ({"1": LOAD, "2": node("ImageScaleBy", image=["1", 0], scale_by=8.0),
          "3": node("ImageScaleBy", image=["2", 0], scale_by=8.0)}, 2000 * 64 * 64),
    ],
)  # fmt: skip
def test_pixels_are_counted_along_the_links(graph, pixels):
    def size_of(name):
        return {"wide.png": (100, 20)}.get(name)

    check_sizes(graph, Limits(pixels=pixels + pixels // 1000), size_of)
    with pytest.raises(BadGraph, match=f"{pixels - 1:,} are allowed"):
        check_sizes(graph, Limits(pixels=pixels - 1), size_of)


def test_a_circle_and_a_number_beyond_all_measure_are_said():
    graph = {"1": node("ImageScaleBy", image=["2", 0]), "2": node("ImageScaleBy", image=["1", 0])}
    with pytest.raises(BadGraph, match="circle"):
        check_sizes(graph, Limits(), lambda _: None)
    with pytest.raises(BadGraph, match="pixels"):
        check_sizes({"1": node("EmptyImage", width=10**400, height=1)}, Limits(), lambda _: None)


def test_a_grid_is_refused_for_its_prompts_are_no_jobs():
    with pytest.raises(BadGraph, match="run.py batch"):
        check_form({"1": node("ISI_Grid", axes="seeds = 1 .. 4")}, Limits())
