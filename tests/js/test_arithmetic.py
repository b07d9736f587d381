"""What the page computes is what Python computes: on the tables of tests/vectors, and on seeded draws."""

import json
import os
import random
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from isi.core.language.choices import STAND_IN, Choice, ChoiceError, hide_drawn, read_choices
from isi.core.language.mistakes import ScriptError
from isi.core.language.prompts import Edit, Swap, Tag, chunks, read_prompt
from isi.core.language.script import parse
from isi.core.pictures.canvas import ANCHORS, sides_of
from isi.core.pictures.differential import MODES, release_step
from isi.core.plans.cost import Geometry, stage_cost
from isi.core.plans.outpaint import Outpainting
from isi.core.plans.upscale import Upscale, target_size, upscale_plan
from isi.core.tiles.demofusion import DemoFusion
from isi.core.tiles.regions import ratio_masks, region_picture
from isi.core.tiles.tiling import Tiling

from .levels import taus

TESTS = Path(__file__).resolve().parents[1]
NODE = shutil.which("node")
SIDES = ("top", "bottom", "left", "right")
PIECES = [
    "a", "red boat", "é", "海", "𝒳", " ", "\n", "\t", "\u3000", ";", "；", "{", "}", "(", ")", "（", "）",
    ":", "：", "(a:1.3)", "(b)", "((c))", "(d:.5)", "(e:200)", "(f:1,3)", "@denoise=.4", "@cfg=6", "@seed=7",
    "@control=.5",
    "@steps=12", "@Seed=18446744073709551616", "@steps=1.5", "@cfg", "@", "@someone", "*3", "*0", " *2.5",
    "*4?", " *3\uff1f", "?",
    "512*768", "\\(", "\\)", "\\{", "\\;", "\\@", "\\", "{oil}", "{a;b}", "@denoise=２", "１", "*300",
    "＠cfg＝６．５", "＊２", "．", "\\＠", "&amp;", "&#12;", "steins;gate", "(photo 16:9)", ";d", "{a|b}",
    "{2$$x|y}", "|", "[", "]", "__w__", "{5-1$$a|b}", "@sampler=heun", '@negative="', '"', "“", "”",
    "@negative=x", "\\|",
    "[x:y:.5]", "<lora:ink:.8>", "<lora:ink:x>", "<lora:{a|b}:x>", "AND", "BREAK",
]  # fmt: skip


def table(name: str) -> dict:
    return json.loads((TESTS / f"vectors/{name}.json").read_text("utf-8"))


def script(text: str) -> dict:
    try:
        read = parse(text)
    except ScriptError as error:
        return {"key": error.key, "line": error.line, "column": error.column}
    groups = []
    for group in read.groups:
        written = {key: value for key, value in asdict(group).items() if not key.endswith("parts")}
        values = {key: value for key, value in written.items() if value is not None}
        groups.append(
            values | {key: str(values[key]) for key in ("seed", "steps", "candidates") if key in values}
        )
    hints = [{"key": hint.key, "line": hint.line, "column": hint.column} for hint in read.hints]
    return {"global": read.global_prompt, "groups": groups, "hints": hints}


def scripts(chance: random.Random):
    texts = [case["input"] for case in table("script")["cases"]]
    texts += ["".join(chance.choices(PIECES, k=chance.randint(1, 12))) for _ in range(2000)]
    for text in texts:
        wanted = script(text)
        if len(wanted.get("groups", [])) <= 1000:
            yield text, wanted


MARKS = [
    *"{}|()[]\\ a:$_",
    "2$$",
    "1-2$$",
    "9-1$$",
    "$$",
    "__w__",
    "__w\\v__",
    "__",
    ".5::",
    "0::",
    "{a|b}",
    "猫",
    "２",
    "\u3000",
]


def flat(parts):
    """The choices of a text as the page has them: those in others too."""
    for one in parts:
        if isinstance(one, Choice):
            weights = [option.weight for option in one.options]
            yield {"at": one.at, "least": one.least, "most": one.most, "weights": weights}
            for option in one.options:
                yield from flat(option.parts)


def choices(chance: random.Random):
    texts = [case["input"] for case in table("choices")["cases"]]
    texts += ["".join(chance.choices(MARKS, k=chance.randint(1, 14))) for _ in range(3000)]
    for text in texts:
        try:
            yield text, sorted(flat(read_choices(text)), key=lambda one: one["at"])
        except ChoiceError as error:
            yield text, {"offset": error.offset, "key": error.key}


def hidden(chance: random.Random):
    for text, _ in choices(chance):
        yield text, hide_drawn(text).replace(STAND_IN, "?")


WORDS = [
    *"[]()|:\\ a", "[a:b:.5]", "[c|d]", "[e::3]", ":.5]", ":2]", "AND", " AND ", ":0.7 ", ":-1", "BREAK",
    " BREAK ", "<lora:ink>", "<lora:ink:.8>", "<lora:x:1:2>", "<lora:x:200>", "<lora:x:1:2:3>",
    "<lora: y :nan>",
    "<", ">", "embedding:", "猫", "２", "\u3000", "\n", "_AND", "\\[", "\\AND",
]  # fmt: skip


def prompt(text: str) -> dict:
    """What of a prompt is no text, in the order in which it is written."""
    try:
        read = read_prompt(text)
    except ScriptError as error:
        return {"offset": error.offset, "key": error.key}
    nodes = sorted(read.nodes(), key=lambda node: node.at)
    return {
        "edits": [[node.at, node.when, node.share] for node in nodes if isinstance(node, Edit)],
        "swaps": [[node.at, len(node.options)] for node in nodes if isinstance(node, Swap)],
        "loras": [[tag.at, *asdict(tag.lora).values()] for tag in nodes if isinstance(tag, Tag)],
        "weights": [weight for _, weight in read.parts],
        "breaks": len(chunks(text)) - 1,
    }


def prompts(chance: random.Random):
    texts = [case["input"] for case in table("prompts")["cases"]]
    texts += ["".join(chance.choices(WORDS, k=chance.randint(1, 12))) for _ in range(5000)]
    texts += ["[" * depth + "a" + ":1]" * depth for depth in (20, 21)]
    for text in texts:
        yield text, prompt(text)


def sides(case: dict):
    try:
        return list(sides_of(case["extend"], case["height"], case["width"]))
    except ValueError:
        return None


def canvases(chance: random.Random):
    for case in table("outpaint")["cases"]:
        yield {name: case[name] for name in ("extend", "height", "width")}, case["sides"]
    for _ in range(2000):
        anchor, multiple = chance.choice(list(ANCHORS)), chance.choice([1, 8, 64, 100])
        ratio = chance.choice(
            [f"{chance.randint(1, 40)}:{chance.randint(1, 40)}", "1.78", "16/9", "4x3", "x"]
        )
        extend = chance.choice(
            [
                {"extend": "aspect ratio", "ratio": ratio, "anchor": anchor, "multiple_of": multiple},
                {"extend": "size", "width": chance.randint(8, 3000), "height": chance.randint(8, 3000),
                 "anchor": anchor},
                {"extend": "sides", **{side: chance.randint(-300, 900) for side in SIDES},
                 "unit": chance.choice(["pixels", "percent"]), "multiple_of": multiple},
            ]
        )  # fmt: skip
        case = {"extend": extend, "height": chance.randint(1, 2000), "width": chance.randint(1, 2000)}
        yield case, sides(case)


def passes(chance: random.Random):
    for _ in range(30):
        added = [chance.randrange(-64, 1600, 8) for _ in range(4)]
        size = {"height": chance.randrange(200, 1500), "width": chance.randrange(200, 1500)}
        pass_size, overlap = chance.randrange(256, 1100), chance.randrange(0, 128)
        plan = Outpainting(tuple(added), pass_size, [""], overlap)
        boxes = [one.box for one in plan.passes(**size)]
        given = {"sides": added, "size": size, "passSize": pass_size, "overlap": overlap}
        yield given, [[box.top, box.left, box.height, box.width] for box in boxes]


def release(_: random.Random):
    greys = torch.arange(256) / 255
    for mode in MODES:
        for steps in (1, 2, 7, 20, 100):
            for strength in (0.0, 0.35, 1.0):
                given = {"mode": mode, "steps": steps, "strength": strength}
                yield given, release_step(greys, taus(mode, steps), strength).tolist()


def regions(chance: random.Random):
    texts = [case["ratios"] for case in table("regions")["cases"]]
    for _ in range(300):
        rows = [
            [chance.choice(["1", "2", ".5", "1e1", "３"]) for _ in range(chance.randint(1, 4))]
            for _ in "abcd"
        ]
        texts.append(chance.choice([";", " ; ", ",;"]).join(map(",".join, rows[: chance.randint(1, 4)])))
    for text in texts:
        given = {
            "ratios": text, "height": chance.randint(1, 12), "width": chance.randint(1, 12),
            "feather": chance.choice([0, 0.1, 1 / 3, 1.0]),
        }  # fmt: skip
        try:
            masks = ratio_masks(text, given["height"], given["width"], given["feather"])
        except ValueError as error:
            yield (
                given,
                {"error": next(one for one in ("can't be read", "over 64 regions") if one in str(error))},
            )
            continue
        colours = region_picture(torch.eye(len(masks), dtype=torch.float64)[:, None])[0, 0]
        yield given, {"masks": masks.tolist(), "colours": colours.tolist()}


def tiles(chance: random.Random):
    answer = ("rows", "columns", "tiles", "calls", "redundancy", "stride", "error")
    for case in table("tiles")["cases"]:
        given = {name: case[name] for name in case if name not in answer}
        yield given, {name: case[name] for name in answer if name in case}
    for _ in range(300):
        given = {
            "size": [chance.randint(1, 6000), chance.randint(1, 6000)], "tile": chance.randint(256, 2000),
            "overlap": chance.randint(0, 200), "batch": chance.randint(1, 8), "shift": chance.random() < 0.5,
            "wrap": chance.choice(["off", "horizontal", "both"]), "ratio": chance.choice([8, 16, 32]),
            "auto": 768, "steps": chance.randint(1, 50), "dilated": chance.randint(1, 6),
            "tile_height": chance.choice([0, chance.randint(256, 2000)]),
        }  # fmt: skip
        tiling = Tiling(
            given["tile"], given["overlap"], "cosine", given["batch"], given["shift"], given["wrap"],
            tile_height=given["tile_height"],
        )  # fmt: skip
        ratio = given["ratio"]
        try:
            tiling.check(ratio)
        except ValueError:
            continue
        geometry = Geometry(ratio, 4, given["auto"])
        cost = stage_cost("", tuple(given["size"]), given["steps"], 7.0, tiling, geometry, given["dilated"])
        layout = cost.layout.scaled(ratio)
        rows, columns = ([axis.length, axis.tile, *axis.starts] for axis in (layout.rows, layout.columns))
        yield given, {
            "rows": rows, "columns": columns, "tiles": cost.tiles, "calls": cost.calls,
            "redundancy": cost.redundancy, "stride": cost.dilated,
        }  # fmt: skip


def hints(chance: random.Random):
    for case in table("tiles")["hints"]:
        given = {name: case[name] for name in case if name not in ("better", "work")}
        yield given, {"better": case["better"], "work": case["work"]}
    for _ in range(200):
        sizes = [[chance.randint(64, 4000), chance.randint(64, 4000)] for _ in range(chance.randint(1, 3))]
        given = {
            "sizes": sizes, "tile": chance.choice([0, chance.randint(256, 1500)]), "auto": 768,
            "tile_height": chance.choice([0, chance.randint(256, 1500)]), "overlap": chance.randint(0, 160),
            "wrap": chance.choice(["off", "horizontal", "both"]), "ratio": chance.choice([8, 16]),
        }  # fmt: skip
        tiling = Tiling(given["tile"], given["overlap"], wrap=given["wrap"], tile_height=given["tile_height"])
        seen = ([tuple(size) for size in sizes], given["ratio"], given["auto"])
        better = tiling.thrifty(*seen)
        works = [one.work(*seen) for one in (tiling, better)]
        yield given, {"better": [better.tile, better.tile_height], "work": works}


def stages(chance: random.Random):
    for case in table("tiles")["stages"]:
        given = {name: case[name] for name in ("size", "factor", "height", "width", "stages")}
        yield given, {"sizes": case["sizes"], "strides": case["strides"]}
    how = Upscale("", demofusion=DemoFusion(1, 3.0, 1.0, 1.0))
    for _ in range(200):
        size = [chance.randint(64, 1500), chance.randint(64, 1500)]
        given = {"size": size, "factor": round(chance.uniform(1.0, 6.0), 2), "height": 0, "width": 0}
        given["stages"] = chance.randint(0, 4)
        target = target_size(*size, given["factor"], 0, 0)
        plan = upscale_plan(tuple(size), target, given["stages"], how)
        strides = [dict(extra.values)["scale"] for step in plan.steps for extra in step.extras[1:]]
        sizes = [[step.lens.height, step.lens.width] for step in plan.steps]
        yield given, {"sizes": sizes, "strides": strides}


DRAWN = {
    "script": scripts, "choices": choices, "hidden": hidden, "prompts": prompts, "sides": canvases,
    "passes": passes, "release": release, "regions": regions, "tiles": tiles, "hints": hints,
    "stages": stages,
}  # fmt: skip


@pytest.mark.skipif(NODE is None, reason="node is not installed: the page's arithmetic is not tested")
def test_the_page_computes_what_python_does(tmp_path):
    cases = {
        name: [{"given": given, "wanted": wanted} for given, wanted in draw(random.Random(7))]
        for name, draw in DRAWN.items()
    }
    file = tmp_path / "cases.json"
    file.write_text(json.dumps(cases), "utf-8")
    done = subprocess.run(
        [NODE, "--test", str(TESTS / "js/arithmetic.test.mjs")],
        env={**os.environ, "ISI_CASES": str(file)}, capture_output=True, text=True, encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
