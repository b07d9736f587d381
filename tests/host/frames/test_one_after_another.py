"""Frames one after another through ISI Iterate, with the mini inpainting model: steady, and made once."""

from dataclasses import dataclass

import pytest
import torch
from isi.core.pictures.masks import grow
from isi.host.loop import sampling
from isi.host.loop.moment import Conditioner, Needs
from isi.tools.mini.world import Scene, Shape, render

from ...core.frames.clips import flicker
from ..harness import Failed
from ..studio import SAMPLER, Studio

COUNT, SIZE = 5, 96
GIVEN = {
    "actions": "fill", "prompts": "a small green circle in the centre on a white background",
    "order": "as given", "fill": "telea", "denoise": 1.0, "remove_denoise": 0.0, "grow": 4, "blend": 4,
    "padding": 20, "megapixels": 0.01, "steps": 8, "cfg": 5.0, "seed": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def studio(booted):
    return Studio(booted, "inpaint")


def clip_of_a_circle(step=0.06, count=COUNT):
    """A red circle that runs over a still ground: frames and masks."""
    still = Shape("square", "blue", "large", "centre", "striped", 0.25, 0.25)
    runs = [Shape("circle", "red", "small", "centre", x=0.4 + step * at, y=0.6) for at in range(count)]
    drawn = [render(Scene((still, one), "white"), SIZE, SIZE) for one in runs]
    frames = torch.stack([one.picture for one in drawn]).movedim(1, -1)
    return frames, (torch.stack([one.masks[-1] for one in drawn]) > 0).float()


def run(studio, clip, start=None, conditioner=None, **changed):
    """All iterations of a run over a clip that begins with its frames, or with `start`: `[N, H, W, C]`."""
    frames, masks = clip
    plan, _ = studio.host.call("ISI_EditObjects", image=frames, masks=masks, **{**GIVEN, **changed})
    parts = {"model": studio.model, "clip": studio.clip, "vae": studio.vae, "plan": plan, "negative": ""}
    if conditioner is not None:
        parts["conditioner"] = conditioner
    image, _, made = studio.host.call(
        "ISI_Iterate", **parts, **SAMPLER, image=frames if start is None else start
    )
    if len(plan) == 1:
        return image
    return studio.host.call("ISI_RunImages", run=made, first=1, last=0, every=1)[0]


def flicker_in(pictures, masks):
    """The mean change from frame to frame where the mask is, seen from the mask."""
    columns = [int(torch.nonzero(mask.any(0)).float().mean()) for mask in masks]
    still, where = (
        torch.stack([one.roll(columns[0] - column, 1) for one, column in zip(all_, columns, strict=True)])
        for all_ in (pictures, masks > 0)
    )
    return flicker(still, where)


@pytest.mark.parametrize("step", [0.0, 0.06])
def test_what_is_painted_stays_and_all_else_is_bit_identical(studio, step):
    frames, masks = clip_of_a_circle(step)
    alone = run(studio, (frames, masks))
    steady = run(studio, (frames, masks), frames="one after another", frame_denoise=0.3)
    assert steady.shape == frames.shape
    assert flicker_in(steady, masks) < 0.5 * flicker_in(alone, masks)
    outside = grow(masks, 8) == 0
    assert torch.equal(steady[outside], frames[outside])
    green = (steady[..., 1] - steady[..., [0, 2]].amax(-1)) * (masks > 0)
    assert ((green > 0.15).sum((1, 2)) > 0.2 * masks.sum((1, 2))).all()


def test_what_was_painted_stays_bit_for_bit_and_nothing_else_is_sampled(studio, monkeypatch):
    frames, masks = clip_of_a_circle(0.0)
    asked, sample = [], sampling.sample

    def counted(moment, *rest):
        asked.append(moment.step.denoise)
        return sample(moment, *rest)

    monkeypatch.setattr(sampling, "sample", counted)
    made = run(studio, (frames, masks), frames="one after another", seed=2)
    hole = grow(masks, 4)[0] > 0
    assert not torch.equal(made[0][hole], frames[0][hole]) and asked == [1, 0, 0, 0, 0]
    assert all(torch.equal(one[hole], made[0][hole]) for one in made)


def test_a_model_paints_what_is_new(studio):
    frames, masks = clip_of_a_circle(0.0)
    masks[2:] = grow(masks, 12)[2:]
    made = run(studio, (frames, masks), frames="one after another")
    old, larger = (grow(masks[at : at + 1], 4)[0] > 0 for at in (0, 2))
    kept, new = old & (grow((larger & ~old).float()[None], 5)[0] == 0), larger & ~old
    assert torch.equal(made[1][old], made[0][old])
    assert kept.any() and torch.equal(made[2][kept], made[0][kept])
    assert (made[2] - frames[2])[new].abs().mean() > 0.02
    assert torch.equal(made[3][larger], made[2][larger])


def test_the_first_frame_will_do_to_start_from(studio):
    frames, masks = clip_of_a_circle()
    given = {"frames": "one after another", "actions": "remove", "remove_denoise": 0.5}
    all_of_them = run(studio, (frames, masks), **given)
    assert torch.equal(run(studio, (frames, masks), frames[:1], **given), all_of_them)


def test_a_run_that_stopped_goes_on_at_its_frame(studio, tmp_path, monkeypatch):
    monkeypatch.setenv("ISI_HOME", str(tmp_path))
    frames, masks = clip_of_a_circle()
    made, last, sample = [], [2], sampling.sample

    def counted(moment, *rest):
        made.append(moment.index)
        if moment.index in last:
            raise RuntimeError("stopped")
        return sample(moment, *rest)

    monkeypatch.setattr(sampling, "sample", counted)
    with pytest.raises(Failed, match="stopped"):
        run(studio, (frames, masks), frames="one after another")
    last.clear()
    studio.host.new_executor()
    gone_on = run(studio, (frames, masks), frames="one after another")
    assert made == [0, 1, 2, 2, 3, 4]
    monkeypatch.setenv("ISI_HOME", str(tmp_path / "other"))
    studio.host.new_executor()
    assert torch.equal(run(studio, (frames, masks), frames="one after another"), gone_on)
    assert made[6:] == [0, 1, 2, 3, 4]


@dataclass(frozen=True, eq=False)
class OneAtATime(Conditioner):
    """One that can't look at several pictures at once."""

    def needs(self, model):
        return Needs("the test", picture=True, alone=True)

    def identity(self):
        return "one"

    def condition(self, moment):
        assert len(moment.pixels) == 1
        return moment


def test_conditioners_that_want_one_picture_have_one(studio):
    clip = clip_of_a_circle()
    made = run(studio, clip, conditioner=OneAtATime(), frames="one after another")
    assert torch.equal(made, run(studio, clip, frames="one after another"))
    with pytest.raises(Failed, match="Expected one picture for the test, but got a batch of 5"):
        run(studio, clip, conditioner=OneAtATime())


def test_two_objects_are_one_and_have_one_action(studio):
    frames, masks = clip_of_a_circle()
    both = torch.cat([masks, masks.flip(1)])
    plan, report = studio.host.call(
        "ISI_EditObjects", image=frames, masks=both, **GIVEN, frames="one after another"
    )
    assert len(plan) == COUNT and f"frame {COUNT}: a small" in report
    with pytest.raises(Failed, match="write one action .remove or fill. and one prompt"):
        studio.host.call(
            "ISI_EditObjects", image=frames, masks=both, frames="one after another",
            **{**GIVEN, "actions": "fill\nremove"},
        )  # fmt: skip


def test_a_picture_of_another_size_is_told_before_the_run(studio):
    frames, masks = clip_of_a_circle()
    with pytest.raises(Failed, match="The frames of this plan are 96x96, but the picture is 64x64"):
        run(studio, (frames, masks), torch.zeros(1, 64, 64, 3), frames="one after another")
