"""Every node that is given pictures or masks, as the schemas say: half precision, no mask, no picture at all.

What is shown to people (a grid of tiles, a heat map) is drawn and has a precision of its own.
"""

from functools import cache

import pytest
import torch
from comfy_api.latest import io

from ..ends import Case, World
from ..harness import Failed

HEIGHT, WIDTH = 96, 136
EMPTY = ((0, HEIGHT, WIDTH), (0, 64, 64))
DRAWN = {"ISI_DifferentialDiffusion": ["preview"], "ISI_UpscaleCost": ["grid"], "ISI_ContactSheet": ["image"]}
# Two want other models than the world has (test_concat_matrix.py, test_ic_light.py), one a graph round it.
ELSEWHERE = {"ISI_ConcatConditioning", "ISI_ICLight", "ISI_Grid"}


@pytest.fixture(scope="module")
def world(booted):
    made = World(booted)
    picture = made.values["IMAGE"][:1]
    made.values["IMAGE"] = picture
    return made


@cache
def nodes_with(*kinds):
    """Nodes with a socket of one of these kinds, and the names of those sockets."""
    import nodes

    found = {}
    for name, node in nodes.NODE_CLASS_MAPPINGS.items():
        if not name.startswith("ISI_") or name in ELSEWHERE:
            continue
        sockets = [one for one in node.GET_SCHEMA().inputs if not isinstance(one, io.WidgetInput)]
        names = [one.id for one in sockets if one.get_io_type() in kinds]
        if names:
            found[name] = names
    return found


def inputs(world, node):
    """What the node is given; what takes a run or pictures has pictures."""
    given = world.inputs(Case(node, (), None, {}))
    if given is None:
        return None
    given.pop("")
    if node == "ISI_Pick":
        del given["model"]  # of SAM3 alone (test_pick.py)
    if "run" in given and "images" in nodes_with("IMAGE").get(node, []):
        del given["run"]
        given["images"] = world.values["IMAGE"]
    return given


def outputs(host, node, given):
    """Pictures and masks that a node gives, by name, without drawings."""
    import nodes

    schema = nodes.NODE_CLASS_MAPPINGS[node].GET_SCHEMA()
    names = [one.display_name or one.id for one in schema.outputs]
    made = zip(names, host.call(node, **given), strict=True)
    return {
        name: value for name, value in made
        if isinstance(value, torch.Tensor) and name not in DRAWN.get(node, [])
    }  # fmt: skip


def cast(given, names, dtype):
    return {
        name: value.to(dtype) if name in names and isinstance(value, torch.Tensor) else value
        for name, value in given.items()
    }


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_comes_out_as_it_went_in(host, world, dtype):
    bad, tried = [], 0
    for node, names in nodes_with("IMAGE", "MASK").items():
        given = inputs(world, node)
        # A stitch is made in the precision of the picture that it holds.
        if given is None or node == "ISI_Stitch":
            continue
        half = cast(given, names, dtype)
        expected = outputs(host, node, cast(half, names, torch.float32))
        for name, value in outputs(host, node, half).items():
            tried += 1
            if value.dtype != dtype or not torch.equal(value, expected[name].to(dtype)):
                bad.append((node, name, value.dtype))
    assert tried > 10 and not bad


def test_a_batch_of_no_masks_is_a_mask_of_zeros(host, world):
    bad, tried = [], 0
    for node, names in nodes_with("MASK").items():
        given = inputs(world, node)
        for name in names if given is not None else []:
            for shape in EMPTY:
                # Where no picture tells the size of the mask, it is its own.
                alone = node in ("ISI_Mask", "ISI_Regions", "ISI_DifferentialDiffusion")
                zeros = torch.zeros(1, *(shape[1:] if alone else (HEIGHT, WIDTH)))
                expected = outputs(host, node, given | {name: zeros})
                for out, value in outputs(host, node, given | {name: torch.zeros(shape)}).items():
                    tried += 1
                    if not torch.equal(value, expected[out]):
                        bad.append((node, name, shape, out))
    assert tried > 20 and not bad


def test_a_batch_of_no_pictures_is_one_sentence_or_a_result(host, world):
    bad, tried = [], 0
    for node, names in nodes_with("IMAGE").items():
        given = inputs(world, node)
        for name in names if given is not None else []:
            tried += 1
            try:
                outputs(host, node, given | {name: torch.zeros(0, HEIGHT, WIDTH, 3)})
            except Failed as failed:
                said = failed.details.get("exception_message", "").strip()
                if failed.details.get("exception_type") != "ValueError" or "\n" in said:
                    bad.append((node, name, str(failed)[:200]))
    assert tried > 10 and not bad


ALL_AT_ONCE = ("ISI_CropForInpaint", "ISI_Iterate", "ISI_TrackMasks")


def test_pictures_of_a_batch_have_the_mask_of_their_own(host, world):
    """Two at once are one after the other. A crop lies where both masks are, a loop draws noise for both, and
    a clip's masks are of its key frames."""
    both = torch.cat([world.values["IMAGE"], world.values["IMAGE"].flip(1)])
    masks = torch.zeros(2, HEIGHT, WIDTH)
    masks[0, 10:40, 20:70] = 1
    masks[1, 50:80, 60:120] = 0.8
    bad, tried = [], 0
    for node, names in nodes_with("MASK").items():
        pictures = nodes_with("IMAGE").get(node)
        given = inputs(world, node)
        if not pictures or given is None or node in ALL_AT_ONCE:
            continue
        halves = [
            given | dict.fromkeys(pictures, both[part]) | dict.fromkeys(names, masks[part])
            for part in (slice(0, 2), slice(0, 1), slice(1, 2))
        ]
        together, first, second = (outputs(host, node, one) for one in halves)
        for name, value in together.items():
            tried += 1
            if not torch.equal(value, torch.cat([first[name], second[name]])):
                bad.append((node, name, list(value.shape)))
    assert tried > 5 and not bad
