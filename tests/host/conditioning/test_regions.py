"""Regions against the host's masked conditioning combined by hand, alone and in a loop."""

import json
from pathlib import Path

import pytest
import torch
from isi.core.tiles.regions import MOST_REGIONS, ratio_masks, read_ratios, region_picture, shared_masks

from ..harness import Failed

CASES = json.loads((Path(__file__).parents[2] / "vectors/regions.json").read_text("utf-8"))["cases"]
RATIOS = [(case["ratios"], case["rows"]) for case in CASES if "rows" in case]


@pytest.mark.parametrize(("text", "rows"), RATIOS)
def test_ratios(text, rows):
    found = read_ratios(text)
    assert [height for height, _ in found] == pytest.approx([height for height, _ in rows])
    for (_, columns), (_, wanted) in zip(found, rows, strict=True):
        assert columns == pytest.approx(wanted)


@pytest.mark.parametrize("text", [case["ratios"] for case in CASES if "rows" not in case])
def test_ratios_that_are_none(text):
    with pytest.raises(ValueError, match="ratios"):
        ratio_masks(text, 8, 8, 0)


@pytest.mark.parametrize("feather", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("text", [text for text, _ in RATIOS])
def test_masks_add_up_to_one_and_lie_where_the_ratios_say(text, feather):
    masks = ratio_masks(text, 60, 90, feather)
    assert (masks.sum(0) - 1).abs().max() <= 1e-6 and masks.min() >= 0
    shares = [height * width for height, columns in read_ratios(text) for width in columns]
    if feather == 0:
        assert masks.mean((1, 2)).tolist() == pytest.approx(shares, abs=0.02)
        assert set(masks.unique().tolist()) <= {0.0, 1.0}


def test_the_picture_of_regions_has_a_colour_for_each_and_blends_where_they_blend():
    masks = ratio_masks(",".join(["1"] * MOST_REGIONS), 8, 2 * MOST_REGIONS, 0.0)
    (picture,) = region_picture(masks)
    colours = picture[0, ::2]
    assert torch.equal(picture[:, ::2], picture[:, 1::2]) and torch.equal(
        picture, picture[:1].expand(8, -1, -1)
    )
    assert picture.min() >= 0 and picture.max() <= 1
    assert ((colours[1:] - colours[:-1]).abs().amax(1) > 0.3).all()
    assert (torch.cdist(colours, colours) + torch.eye(MOST_REGIONS)).min() > 0.02
    both = region_picture(torch.full((2, 1, 1), 0.5))[0, 0, 0]
    torch.testing.assert_close(both, (colours[0] + colours[1]) / 2)


def test_given_masks_are_shared_out():
    masks = torch.rand(3, 8, 9) * (torch.rand(3, 8, 9) > 0.5)
    shared = shared_masks(masks)
    assert (shared.sum(0) - 1).abs().max() <= 1e-6
    one = (masks > 0).sum(0) == 1
    assert torch.equal(shared[:, one] == 1, masks[:, one] > 0)


def combined(bench, base, texts, masks, strength):
    """The host's own nodes: the first text for all, each other one under its mask."""
    found = []
    for text, mask, part in [(base, torch.ones(1, 64, 64), strength)] * (strength > 0) + [
        (text, mask[None], 1 - strength) for text, mask in zip(texts, masks, strict=True)
    ]:
        (one,) = bench.host.call(
            "ConditioningSetMask", conditioning=bench.text(text), mask=mask, strength=part,
            set_cond_area="default",
        )  # fmt: skip
        if found:
            (one,) = bench.host.call("ConditioningCombine", conditioning_1=found, conditioning_2=one)
        found = one
    return found


@pytest.mark.parametrize("base", [0.0, 0.3])
def test_they_are_the_hosts_masked_conditioning_combined_by_hand(bench, picture, base):
    text = " BREAK ".join(["hill"] * (base > 0) + ["red", "blue", "green"])
    conditioner, conditioning, masks = bench.host.call(
        "ISI_Regions", clip=bench.clip, ratios="1,2,1;1,1", base=base, feather=0.1, text=text, seed=0
    )
    assert (masks.sum(0) - 1).abs().max() <= 1e-6
    by_hand = combined(bench, "hill", ["red", "blue", "green"], masks, base)
    (start,) = bench.host.call("VAEEncode", pixels=picture, vae=bench.vae)

    def sampled(positive):
        (out,) = bench.host.call(
            "KSampler", model=bench.model, positive=positive, negative=bench.text("blurry"),
            latent_image=start, seed=7, steps=2, cfg=5.0, sampler_name="euler", scheduler="normal",
            denoise=0.6,
        )  # fmt: skip
        return bench.host.call("VAEDecode", samples=out, vae=bench.vae)[0]

    expected = sampled(by_hand)
    assert torch.equal(sampled(conditioning), expected)
    image, _, run = bench.run(bench.plan(text), image=picture, conditioner=conditioner)
    assert torch.equal(image, expected)
    *_, plain = bench.run(bench.plan(text), image=picture)
    assert plain.keys != run.keys


def test_in_a_loop_regions_may_change_at_a_step(bench, picture):
    conditioner, nothing, _ = bench.host.call(
        "ISI_Regions", clip=bench.clip, ratios="1,1", base=0.0, feather=0.0, text="", seed=0
    )
    assert nothing == []
    same, *_ = bench.run(bench.plan("[a::0]a BREAK b"), image=picture, conditioner=conditioner)
    plain, *_ = bench.run(bench.plan("a BREAK b"), image=picture, conditioner=conditioner)
    timed, *_ = bench.run(bench.plan("[c:a:1] BREAK b"), image=picture, conditioner=conditioner)
    assert torch.allclose(same, plain, atol=1e-6)
    assert not torch.allclose(timed, plain, atol=1e-4)
    # A negative is for the whole picture.
    bench.run(bench.plan("a BREAK b"), image=picture, conditioner=conditioner, negative="x")


def test_another_number_of_parts_is_said_before_sampling(bench, picture, calls):
    conditioner, *_ = bench.host.call(
        "ISI_Regions", clip=bench.clip, ratios="1,1", base=0.2, feather=0.0, text="", seed=0
    )
    with pytest.raises(Failed, match="prompt of step 2 has 2 parts, and ISI Regions expects 2 after one for"):
        bench.run(bench.plan("a BREAK b BREAK c; a BREAK b"), image=picture, conditioner=conditioner)
    for changes in (
        "[a BREAK b BREAK c:a BREAK b:.5]",
        "a BREAK [b BREAK c|b]",
        "a BREAK b BREAK c AND d BREAK e",
    ):
        with pytest.raises(Failed, match="prompt of step 2 has 2 parts"):
            bench.run(bench.plan(f"a BREAK b BREAK c; {changes}"), image=picture, conditioner=conditioner)
    assert not calls
    with pytest.raises(Failed, match="The prompt has 1 parts"):
        bench.host.call("ISI_Regions", clip=bench.clip, ratios="1,1", base=0.2, feather=0.0, text="a", seed=0)
