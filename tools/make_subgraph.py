"""Makes subgraphs/NAME.json, the reusable blueprints that ComfyUI's node library and search offer.

    .venv/bin/python -m tools.make_subgraph [NAME ...]

The real front end makes them, as a user would: a shipped workflow is opened, everything between its loaders
and its SaveImage becomes a subgraph, and the inputs that people change are led to its outside. The name of
the file is the name that people see.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from . import browser, graphs
from .make_workflow import KEEP_SEEDS, lay_out, write
from .server import Server

SUBGRAPHS = graphs.ROOT / "subgraphs"
OUTSIDE = {"ISI_MiniCheckpoint": ("model", "clip", "vae"), "LoadImage": ("image", "mask"), "SaveImage": ()}
UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
# What came from the nodes outside is led to inputs again by hand: so they have our names and our order.
CONVERT = """([outside, shown, info]) => {
  const graph = app.rootGraph;
  const feeds = [];
  let made;
  for (const node of graph.nodes) {
    for (const { link } of node.inputs.filter(input => input.link !== null)) {
      const { origin_id, origin_slot, target_id, target_slot } = graph.links.get(link);
      const source = graph.getNodeById(origin_id);
      if (["SaveImage", "PreviewImage"].includes(node.type)) made = [origin_id, origin_slot];
      else if (source?.type in outside)
        feeds.push([outside[source.type][origin_slot], target_id, target_slot]);
    }
  }
  for (const node of [...graph.nodes]) if (node.type in outside) graph.remove(node);
  const { subgraph, node } = graph.convertToSubgraph(new Set(graph.nodes));
  for (const input of [...subgraph.inputs]) subgraph.removeInput(input);
  for (const name of Object.values(outside).flat()) {
    const fed = feeds.filter(feed => feed[0] === name);
    const targets = fed.map(([, id, at]) => [subgraph.getNodeById(id), at]);
    if (!targets.length) continue;
    const input = subgraph.addInput(name, targets[0][0].inputs[targets[0][1]].type);
    for (const [inner, at] of targets) input.connect(inner.inputs[at], inner);
  }
  for (const [type, widget, label] of shown) {
    const [inner] = subgraph.nodes.filter(each => each.type === type).sort((a, b) => a.id - b.id);
    const slot = inner.inputs.find(each => each.name === widget);
    subgraph.addInput(label, slot.type).connect(slot, inner);
  }
  const last = subgraph.getNodeById(made[0]);
  subgraph.addOutput("image", "IMAGE").connect(last.outputs[made[1]], last);
  subgraph.name = node.title = info.name;
  node.setSize([360, node.computeSize()[1]]);
  const { nodes, subgraphs } = app.canvas._serializeItems([node]);
  Object.assign(subgraphs[0], { description: info.description, category: "ISI" });
  return JSON.parse(JSON.stringify({
    revision: 0, last_node_id: node.id, last_link_id: 0, nodes, links: [], version: 0.4,
    definitions: { subgraphs },
    extra: { BlueprintDescription: info.description, BlueprintSearchAliases: info.aliases },
  }));
}"""


@dataclass(frozen=True)
class Recipe:
    """How a blueprint is made from `workflow`: `values` are set in its nodes, by class, and `shown` are the
    inputs on its outside, as (class, input, name outside); of several nodes of a class the first one's. One
    that `previews` shows its picture itself, so that nothing need be connected behind it."""

    workflow: str
    description: str
    aliases: tuple[str, ...]
    shown: tuple[tuple[str, str, str], ...]
    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    previews: bool = False


PICKED = (("ISI_Pick", "picks", "picks"), ("ISI_Pick", "model", "sam3_model"))
EDITED = (
    ("ISI_EditObjects", "prompts", "prompt"),
    ("ISI_Iterate", "negative", "negative"),
    ("ISI_EditObjects", "denoise", "denoise"),
    ("ISI_EditObjects", "megapixels", "megapixels"),
    ("ISI_EditObjects", "steps", "steps"),
    ("ISI_EditObjects", "cfg", "cfg"),
    ("ISI_EditObjects", "seed", "seed"),
)
EMPTY_EDIT = {
    "ISI_Pick": {"picks": ""},
    "ISI_EditObjects": {
        "prompts": "", "fill": "blur", "grow": 8, "blend": 16, "padding": 64, "megapixels": 1, "cfg": 7,
        "seed": 0,
    },
}  # fmt: skip
RECIPES = {
    "ISI Remove": Recipe(
        "click_remove",
        "Click objects in the picture, and they are gone: what surrounds them takes their place. No model is "
        "needed; LaMa and SAM3 can be chosen and connected.",
        ("remove object", "erase", "cleanup", "inpaint anything", "去除物体", "물체 지우기"),
        (*PICKED, ("ISI_Fill", "mode", "fill"), ("ISI_Mask", "grow", "grow")),
        {"ISI_Pick": {"picks": ""}, "ISI_Mask": {"grow": 8}, "ISI_Fill": {"mode": "blur"}},
        previews=True,
    ),
    "ISI Fill with a Prompt": Recipe(
        "click_fill",
        "Click objects in the picture, and what the prompt says is painted in their place. "
        "All else stays bit for bit.",
        ("inpaint", "generative fill", "inpaint anything", "填充", "채우기"),
        (*PICKED, *EDITED, ("ISI_EditObjects", "grow", "grow")),
        EMPTY_EDIT,
        previews=True,
    ),
    "ISI Replace the Object": Recipe(
        "click_replace_object",
        "Click an object in the picture: it is removed, and another one is painted there, of any shape.",
        ("swap object", "replace object", "inpaint anything", "替换物体", "물체 바꾸기"),
        (*PICKED, *EDITED, ("ISI_Fill", "mode", "fill"), ("ISI_EditObjects", "grow", "grow")),
        EMPTY_EDIT | {"ISI_Fill": {"mode": "blur"}},
        previews=True,
    ),
    "ISI Replace the Background": Recipe(
        "click_replace_background",
        "Click what is to stay, and all else is painted anew as the prompt says. What stays, stays bit for "
        "bit.",
        ("change background", "replace background", "inpaint anything", "替换背景", "배경 바꾸기"),
        (*PICKED, *EDITED),
        EMPTY_EDIT,
        previews=True,
    ),
    "ISI Outpaint to Aspect": Recipe(
        "outpaint_4x_wide",
        "Continues a picture to another aspect ratio, in passes of the size that the model likes. "
        "The picture itself stays as it is.",
        ("outpaint", "uncrop", "expand", "扩图", "아웃페인트"),
        (
            ("ISI_Outpaint", "prompts", "prompt"),
            ("ISI_Iterate", "negative", "negative"),
            ("ISI_Outpaint", "extend.ratio", "ratio"),
            ("ISI_Outpaint", "pass_size", "pass_size"),
            ("ISI_Outpaint", "overlap", "overlap"),
            ("ISI_Outpaint", "blend", "blend"),
            ("ISI_Outpaint", "steps", "steps"),
            ("ISI_Outpaint", "cfg", "cfg"),
            ("ISI_Outpaint", "seed", "seed"),
        ),
        {
            "ISI_Outpaint": {
                "extend": "aspect ratio", "extend.ratio": "16:9", "extend.anchor": "center",
                "extend.multiple_of": 8, "prompts": "", "pass_size": 1024, "overlap": 96,
                "blend": 16, "cfg": 7,
            },
        },
    ),
    "ISI Edit by Instruction": Recipe(
        "pix2pix_edit",
        "Edits a picture as told, with an instruct-pix2pix model: make it night, turn the car red.",
        ("instruct", "pix2pix", "edit", "图像编辑", "편집"),
        (
            ("CLIPTextEncode", "text", "instruction"),
            ("ISI_EditGuider", "text_cfg", "text_cfg"),
            ("ISI_EditGuider", "image_cfg", "image_cfg"),
            ("BasicScheduler", "steps", "steps"),
            ("RandomNoise", "noise_seed", "seed"),
        ),
        {"CLIPTextEncode": {"text": ""}, "ISI_EditGuider": {"text_cfg": 7.5, "final_text_cfg": 7.5}},
    ),
    "ISI Inpaint Cropped": Recipe(
        "crop_inpaint_stitch",
        "Inpaints what the mask covers in a crop of the size that the model likes, and puts it back. "
        "Pixels outside the mask stay bit for bit.",
        ("inpaint", "crop and stitch", "only masked", "局部重绘", "인페인트"),
        (
            ("CLIPTextEncode", "text", "prompt"),
            ("ISI_CropForInpaint", "size.megapixels", "megapixels"),
            ("ISI_CropForInpaint", "padding", "padding"),
            ("ISI_CropForInpaint", "blend", "blend"),
            ("KSampler", "denoise", "denoise"),
            ("KSampler", "steps", "steps"),
            ("KSampler", "cfg", "cfg"),
            ("KSampler", "seed", "seed"),
        ),
        {
            "ISI_CropForInpaint": {
                "size": "megapixels", "size.megapixels": 1.0, "size.multiple_of": 8, "padding": 64,
                "blend": 16,
            },
            "CLIPTextEncode": {"text": ""},
            "KSampler": {"cfg": 7},
        },
    ),
    "ISI Upscale in Tiles": Recipe(
        "upscale_4x_progressive",
        "Makes a picture larger in stages, each sampled in tiles on the one before, so that it gains detail.",
        ("upscale", "tiled", "ultimate", "放大", "업스케일"),
        (
            ("ISI_Upscale", "prompt", "prompt"),
            ("ISI_Iterate", "negative", "negative"),
            ("ISI_Upscale", "factor", "factor"),
            ("ISI_Upscale", "denoise", "denoise"),
            ("ISI_Upscale", "tile_size", "tile_size"),
            ("ISI_Upscale", "overlap", "overlap"),
            ("ISI_Upscale", "demofusion", "demofusion"),
            ("ISI_Upscale", "steps", "steps"),
            ("ISI_Upscale", "cfg", "cfg"),
            ("ISI_Upscale", "seed", "seed"),
        ),
        {
            "ISI_Upscale": {
                "prompt": "", "factor": 2, "denoise": "0.35", "steps": 20, "cfg": 7, "tile_size": 0,
                "overlap": 128, "demofusion": False,
            },
        },
    ),
}  # fmt: skip


def prepared(recipe: Recipe) -> graphs.Graph:
    """The workflow's API form with the recipe's values."""
    whole = graphs.load(recipe.workflow)
    graph = {node_id: node for node_id, node in whole.items() if node["class_type"] != "ISI_UpscaleCost"}
    for node in graph.values():
        del node["_meta"]  # its titles tell of the workflow
        if recipe.previews and node["class_type"] == "SaveImage":
            node["class_type"] = "PreviewImage"
            del node["inputs"]["filename_prefix"]
    for node_class, values in recipe.values.items():
        for _, node in graphs.nodes_of(graph, node_class):
            for name in [name for name in node["inputs"] if name.split(".")[0] in values]:
                del node["inputs"][name]
            node["inputs"].update(values)
    return graph


def make(name: str, opened: browser.FrontEnd) -> None:
    """Writes subgraphs/NAME.json, with the same ids each time."""
    recipe = RECIPES[name]
    graph = prepared(recipe)
    opened.load_api(graph, name)
    opened.evaluate(KEEP_SEEDS)
    workflow = opened.serialize()
    lay_out(workflow, graph)
    opened.load(workflow)
    info = {"name": name, "description": recipe.description, "aliases": recipe.aliases}
    text = json.dumps(opened.evaluate(CONVERT, [OUTSIDE, recipe.shown, info]))
    for number, old in enumerate(dict.fromkeys(UUID.findall(text))):
        text = text.replace(old, str(uuid.uuid5(uuid.NAMESPACE_URL, f"isi-nodes/subgraphs/{name}/{number}")))
    write(SUBGRAPHS / f"{name}.json", json.loads(text))
    print(f"subgraphs/{name}.json")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", default=list(RECIPES))
    args = parser.parse_args()
    SUBGRAPHS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        executable = browser.find(playwright)
        if not executable:
            print(browser.how_to_get_one())
            return 1
        window = browser.launch(playwright, executable)
        with Server(Path(folder)) as server, browser.front_end(window, server) as opened:
            for name in args.names:
                make(name, opened)
    return 0


if __name__ == "__main__":
    sys.exit(main())
