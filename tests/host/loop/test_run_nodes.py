"""Plans, runs and conditioners as nodes on the real host."""

import dataclasses

import pytest
import torch
from isi.core.loop.plan import Plan, Step

from ..harness import Failed


@pytest.fixture
def picture():
    return torch.rand(1, 32, 32, 3, generator=torch.Generator().manual_seed(21))


def test_script_gives_a_plan_its_length_and_a_table_on_the_node(host):
    plan, count, summary = host.call(
        "ISI_Script", script="{g} a; (b:1.5); c @denoise=.2", steps=3, cfg=4.0, denoise=0.5,
        final_denoise=0.5, curve="constant", seed=1, seed_mode="increment",
    )  # fmt: skip
    assert count == len(plan) == 3
    assert [s.prompt for s in plan.steps] == ["g, a", "g, b", "g, c"]
    assert [s.cfg for s in plan.steps] == [4.0, 6.0, 4.0]
    assert plan.steps[2].denoise == 0.2
    assert len(summary.splitlines()) == 4


BAD_SCRIPTS = ["{a", "a; (b", "(a:0)", "(a:-1)", "(a:1e9)", ""]


@pytest.mark.parametrize("script", [*BAD_SCRIPTS, "a; (b:nan)" + "x" * 100_000 + "{"])
def test_a_slip_in_the_script_is_shown_when_the_graph_is_queued(bench, script):
    with pytest.raises(Failed) as error:
        bench.plan(script)
    if script:
        assert "node_errors" in error.value.details  # before any node ran
    else:
        assert "no steps" in str(error.value)


def test_joined_plans_run_one_after_the_other_and_reuse_the_first(bench, picture):
    first, second = bench.plan("a; b"), bench.plan("c; d")
    (both,) = bench.host.call("ISI_JoinPlans", first=first, second=second)
    middle, _, _ = bench.run(first, image=picture)
    expected, _, _ = bench.run(second, image=middle)
    image, _, run = bench.run(both, image=picture)
    assert torch.equal(image, expected) and len(run) == 4


def test_plan_to_lists_feeds_ordinary_nodes(host, clip):
    steps = (Step("a", cfg=2.0, seed=5), Step("b", cfg=3.0, denoise=0.1))
    from .. import harness

    harness.VALUES |= {"plan": Plan(steps), "clip": clip}
    prompt = {
        "plan": {"class_type": "Test_Value", "inputs": {"name": "plan"}},
        "clip": {"class_type": "Test_Value", "inputs": {"name": "clip"}},
        "lists": {"class_type": "ISI_PlanToLists", "inputs": {"plan": ["plan", 0]}},
        "text": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["clip", 0], "text": ["lists", 0]}},
        "prompt": {"class_type": "PreviewAny", "inputs": {"source": ["lists", 0]}},
        "seed": {"class_type": "PreviewAny", "inputs": {"source": ["lists", 3]}},
        "out": {"class_type": "Test_Catch", "inputs": {"name": "text", "value": ["text", 0]}},
    }
    outputs = host.run(prompt)
    assert outputs["prompt"]["text"] == ["a", "b"]
    assert outputs["seed"]["text"] == ["5", "0"]


def test_run_images_loads_what_is_asked_for_bit_for_bit(bench, picture):
    image, _, run = bench.run(bench.plan("a; b; c; d; e"), image=picture)
    (images,) = bench.host.call("ISI_RunImages", run=run, first=1, last=0, every=2)
    assert images.shape[0] == 3 and torch.equal(images[-1:], image)
    (two,) = bench.host.call("ISI_RunImages", run=run, first=2, last=3, every=1)
    assert two.shape[0] == 2
    with pytest.raises(Failed, match="1 to 5"):
        bench.host.call("ISI_RunImages", run=run, first=6, last=9, every=1)


def test_open_run_goes_on_from_an_iteration_with_what_was_still_to_come(bench, picture):
    image, _, _ = bench.run(bench.plan("a; b; c; d"), image=picture, run_name="opened run 1")
    at, latent, rest, run = bench.host.call("ISI_OpenRun", run_name="opened run 1", iteration=2)
    assert [s.prompt for s in rest.steps] == ["c", "d"] and len(run) == 4
    assert latent["samples"].shape[-2:] == (4, 4)
    again, _, _ = bench.run(rest, image=at)
    assert torch.equal(again, image)
    with pytest.raises(Failed, match="opened run 1"):  # a wrong name lists the right ones
        bench.host.call("ISI_OpenRun", run_name="no such run", iteration=1)
    with pytest.raises(Failed, match="1 to 4"):
        bench.host.call("ISI_OpenRun", run_name="opened run 1", iteration=9)


def test_opened_runs_bring_their_masks(bench, picture):
    from isi.core.loop.lens import Masked
    from isi.core.loop.plan import content_hash

    mask = torch.zeros(1, 32, 32)
    mask[:, 8:24, 8:24] = 1
    name = content_hash(mask)
    steps = tuple(dataclasses.replace(s, lens=Masked(name, name)) for s in bench.plan("a; b").steps)
    bench.run(Plan(steps, {name: mask}), image=picture, run_name="masked")
    at, _, rest, _ = bench.host.call("ISI_OpenRun", run_name="masked", iteration=1)
    assert torch.equal(rest.assets[name], mask)
    image, _, _ = bench.run(rest, image=at)
    outside = (mask == 0).unsqueeze(-1).expand_as(picture)
    assert torch.equal(image[outside], picture[outside])


def test_contact_sheet_of_a_run_and_of_a_batch(bench, picture):
    _, _, run = bench.run(bench.plan("a; b; c"), image=picture)
    (sheet,) = bench.host.call("ISI_ContactSheet", run=run, columns=3, cell=32, labels=False)
    height, width = sheet.shape[1:3]
    assert width >= 96 and 32 <= height < 64
    for number in (1, 2, 3):  # each picture is on the sheet whole
        shown = run.load(number).tensors["picture"][0].clamp(0, 1)
        windows = sheet[0].unfold(0, 32, 1).unfold(1, 32, 1).movedim(2, -1)
        assert (windows - shown).abs().amax((2, 3, 4)).min() < 1e-5
    (labelled,) = bench.host.call("ISI_ContactSheet", run=run, columns=3, cell=32, labels=True)
    assert labelled.shape[1] > height
    (batch,) = bench.host.call(
        "ISI_ContactSheet", images=picture.repeat(5, 1, 1, 1), columns=0, cell=32, labels=True
    )
    assert batch.shape[0] == 1
    with pytest.raises(Failed, match="connect one of the two"):
        bench.host.call("ISI_ContactSheet", columns=0, cell=32, labels=True)
