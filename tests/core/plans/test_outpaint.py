"""Outpainting plans: exact size, no pixel unset, passes the model likes, originals bit for bit."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from isi.core.loop.plan import Plan
from isi.core.pictures.canvas import ANCHORS, sides_for
from isi.core.plans.outpaint import Outpainting

SAMPLED = 9.0


@st.composite
def targets(draw, largest: int = 72):
    """A picture's size, and sides for a target of up to 4 times that at any anchor (0.5: some cut)."""
    height, width = draw(st.integers(24, largest)), draw(st.integers(24, largest))
    factors = draw(st.tuples(st.floats(0.5, 4), st.floats(0.5, 4)))
    size = [max(16, round(side * factor)) for side, factor in zip((height, width), factors, strict=True)]
    return height, width, sides_for(height, width, *size, draw(st.sampled_from(sorted(ANCHORS)))), tuple(size)


def run(plan: Plan, picture: torch.Tensor, value: float = SAMPLED) -> torch.Tensor:
    """Every step samples a constant: what shows in the end was sampled, or was there before."""
    for step in plan.steps:
        view = step.lens.get(picture, plan.assets)
        assert view.pixels.shape[1:3] == step.lens.view_size(*picture.shape[1:3])
        size = step.lens.size(*picture.shape[1:3])
        picture = step.lens.put(picture, torch.full_like(view.pixels, value), plan.assets)
        assert picture.shape[1:3] == size
    return picture


@settings(max_examples=200, deadline=None)
@given(target=targets(), overlap=st.integers(0, 16))
def test_any_target_has_its_exact_size_no_unset_pixel_and_its_original(target, overlap):
    height, width, sides, size = target
    plan = Outpainting(sides, 256, ["a"], overlap=overlap, match=0).plan(height, width)
    picture = torch.rand(1, height, width, 1)
    out = run(plan, picture)
    assert out.shape == (1, *size, 1)
    top, _, left, _ = sides
    rows, columns = torch.arange(size[0]) - top, torch.arange(size[1]) - left
    own = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))[None]
    inside = picture[:, rows.clamp(0, height - 1)][:, :, columns.clamp(0, width - 1)]
    assert torch.equal(out[0, own], inside[0, own])
    assert (out[0, ~own] == SAMPLED).all()
    assert all(max(step.lens.view_size(height, width)) <= 256 for step in plan.steps[:1])


@settings(max_examples=200, deadline=None)
@given(target=targets(400), pass_size=st.sampled_from([256, 300, 512, 1024]), overlap=st.integers(0, 128))
def test_every_pass_fits_the_model_and_sees_what_is_known(target, pass_size, overlap):
    height, width, sides, size = target
    passes = Outpainting(sides, pass_size, ["a"], overlap=overlap).passes(height, width)
    known = torch.zeros(size, dtype=torch.bool)
    top, bottom, left, right = sides
    known[max(0, top) : size[0] - max(0, bottom), max(0, left) : size[1] - max(0, right)] = True
    for one in passes:
        box = one.box
        assert max(box.height, box.width) <= pass_size
        assert box.top >= 0 and box.left >= 0 and box.bottom <= size[0] and box.right <= size[1]
        window = known[box.top : box.bottom, box.left : box.right]
        new = torch.from_numpy(one.new())
        assert torch.equal(new, ~window) and new.any() and window.any()
        window[:] = True
    assert known.all()


def test_later_passes_keep_the_picture_too():
    """A picture longer than a pass: each of them adjoins it, not only the first."""
    plan = Outpainting((0, 100, 0, 0), 256, ["a"], overlap=16, match=0).plan(64, 700)
    assert len(plan) == 4
    picture = torch.rand(1, 64, 700, 1)
    out = run(plan, picture)
    assert torch.equal(out[:, :64], picture) and (out[:, 64:] == SAMPLED).all()


def test_four_times_the_width_takes_the_fewest_passes_outwards():
    plan = Outpainting(sides_for(1024, 1024, 1024, 4096, "center"), 1024, ["a"], overlap=64)
    boxes = [one.box for one in plan.passes(1024, 1024)]
    assert len(boxes) == 4
    assert {box.left for box in boxes[:2]} == {768, 2304} and {box.left for box in boxes[2:]} == {0, 3072}


def test_masks_grade_into_earlier_passes_and_blend_into_the_picture_only_if_asked():
    for blend in (0, 12):
        plan = Outpainting(sides_for(256, 256, 256, 700, "left"), 256, ["a"], overlap=32, blend=blend).plan(
            256, 256
        )
        picture = torch.rand(1, 256, 256, 3)
        out = run(plan, picture)
        changed = (out[0, :, :256] != picture[0]).any(-1).any(0).nonzero().flatten()
        assert changed.tolist() == list(range(256 - blend, 256))
        share = plan.steps[-1].lens.mask_pair()[1][0, 128]
        assert share[-1] == 1 and ((share > 0) & (share < 1)).sum() == 32 and (share.diff() >= 0).all()


def test_prompts_and_denoise_go_pass_by_pass_and_the_last_stays():
    plan = Outpainting(
        sides_for(256, 256, 256, 1024, "left"),
        256,
        ["sea", "sky"],
        denoise=[1.0, 0.8],
        seed=2**64 - 1,
        overlap=8,
    ).plan(256, 256)
    assert [step.prompt for step in plan.steps][:3] == ["sea", "sky", "sky"]
    assert [step.denoise for step in plan.steps][:3] == [1.0, 0.8, 0.8]
    assert [step.seed for step in plan.steps][:3] == [2**64 - 1, 0, 1]
    assert Plan.from_json(plan.to_json(), plan.assets) == plan
    assert all(step.extras[0].kind == "fill" for step in plan.steps)


@pytest.mark.parametrize(("size", "shape"), [((80, 90), (80, 90)), ((60, 50), (60, 50))])
def test_nothing_to_paint_gives_the_picture_or_its_cut(size, shape):
    plan = Outpainting(sides_for(80, 90, *size, "top left"), 256, ["a"], overlap=8).plan(80, 90)
    picture = torch.rand(1, 80, 90, 3)
    assert torch.equal(run(plan, picture), picture[:, : shape[0], : shape[1]])
    assert len(plan) == 1 and plan.steps[0].denoise == 0


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"pass_size": 255}, "too small"),
        ({"pass_size": 256, "overlap": 129}, "no room in a pass"),
        ({"pass_size": 512, "overlap": 100}, "reaches through the whole picture"),
        ({"pass_size": 512, "overlap": 0, "blend": 100}, "reaches through the whole picture"),
    ],
)
def test_what_cannot_work_is_refused_before_sampling(settings_, message):
    with pytest.raises(ValueError, match=message):
        Outpainting(sides=(0, 0, 0, 300), prompts=["a"], **settings_).plan(100, 100)


def test_a_plan_of_a_hundred_passes_holds_no_pixel():
    """Its masks are made when a pass needs them; JSON alone makes the same plan again."""
    plan = Outpainting(sides_for(1024, 1024, 10666, 6000, "center"), 1024, ["a"]).plan(1024, 1024)
    assert len(plan) == 112 and not plan.assets
    text = json.dumps(plan.to_json())
    assert len(text) < 100_000 and Plan.from_json(json.loads(text)) == plan
    assert hash(Plan.from_json(json.loads(text))) == hash(plan)
