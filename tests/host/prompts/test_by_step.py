"""Which prompt the model sees at each of its calls, and sums of parts against their closed form."""

import pytest
import torch

from ..harness import Failed
from .conftest import Seen

DENOISE = (0.3, 0.5, 0.75, 1)
SCHEDULERS = ("normal", "karras", "simple", "sgm_uniform", "beta")
CALLS = {"euler": 1, "heun": 2, "dpmpp_2m": 1, "dpmpp_sde": 2, "uni_pc": 1}
"""Calls a step; samplers with two make only one in their last step, which ends without noise."""
MORE_CALLS = {"dpm_2": 2, "heunpp2": 3, "exp_heun_2_x0": 2, "seeds_2": 2, "seeds_3": 3, "ddim": 1}
MORE_CALLS |= {"dpmpp_2s_ancestral": 2, "dpm_2_ancestral": 2, "lcm": 1, "res_multistep": 1, "ipndm": 1}
PROMPT = "[a:b:.5] [c|d]"
TEXTS = ("a c", "a d", "b c", "b d", "blurry")


@pytest.fixture
def picture(picture):
    """A small one: it is the prompts that matter here."""
    return picture[:, :16, :16]


def kinds(bench):
    """The tiny model with eps, v and flow prediction."""
    discrete = {"model": bench.model, "sampling": "v_prediction", "zsnr": False}
    yield "eps", bench.model
    yield "v", bench.host.call("ModelSamplingDiscrete", **discrete)[0]
    yield "flow", bench.host.call("ModelSamplingSD3", model=bench.model, shift=3.0)[0]


def steps_of(model, sampler, scheduler, steps, denoise) -> int:
    import comfy.samplers

    device = model.load_device
    return len(comfy.samplers.KSampler(model, steps, device, sampler, scheduler, denoise).sigmas) - 1


def rule(count: int, calls: int, ahead: bool = False) -> list[str]:
    """The text of each call by the language's rule: the first half has a, and c and d take turns.

    A sampler that looks `ahead` makes a call for each of the levels above zero that are left.
    """
    said = ["ab"[step >= int(0.5 * count)] + " " + "cd"[step % 2] for step in range(count)]
    found = []
    for step, text in enumerate(said):
        left = count - 1 - step  # levels above zero that come after this one
        found += [text] * (min(calls, 1 + left) if ahead else calls if left else 1)
    return found


def pairs() -> list[tuple[float, str, str]]:
    """Amounts of denoise, schedulers and samplers, any two of which come together."""
    return [
        (DENOISE[(i + j) % len(DENOISE)], scheduler, sampler)
        for i, scheduler in enumerate(SCHEDULERS)
        for j, sampler in enumerate(CALLS)
    ]


@pytest.mark.parametrize("kind", ["eps", "v", "flow"])
def test_which_prompt_the_model_sees_at_each_call(bench, picture, kind, steps=4):
    seen = Seen(dict(kinds(bench))[kind])
    settings = pairs()
    groups = [f"{PROMPT} @denoise={d} @scheduler={h} @sampler={s}" for d, h, s in settings]
    bench.run(bench.plan(";\n".join(groups), steps=steps), image=picture, model=seen.model)
    expected = []
    for denoise, scheduler, sampler in settings:
        expected += rule(steps_of(seen.model, sampler, scheduler, steps, denoise), CALLS[sampler])
    names = {text: bench.text(text)[0][0] for text in TEXTS}
    assert seen.texts(names) == expected
    assert set(seen.texts(names, 1)) == {"blurry"}


@pytest.mark.parametrize("sampler", MORE_CALLS)
def test_other_samplers_see_it_too(bench, picture, sampler):
    seen = Seen(bench.model)
    bench.run(bench.plan(PROMPT, steps=7, cfg=2.0), image=picture, model=seen.model, sampler_name=sampler)
    names = {text: bench.text(text)[0][0] for text in TEXTS}
    assert seen.texts(names) == rule(7, MORE_CALLS[sampler], sampler == "heunpp2")


def test_every_sampler_of_the_host_takes_a_schedule(bench, picture):
    from isi.host.loop.sampling import SAMPLERS

    groups = [f"{PROMPT} @sampler={sampler}" for sampler in SAMPLERS]
    seen = Seen(bench.model)
    bench.run(bench.plan(";".join(groups), steps=3), image=picture, model=seen.model)
    names = {text: bench.text(text)[0][0] for text in TEXTS}
    texts = seen.texts(names)
    assert texts[0] == "a c" and len(texts) >= 3 * len(SAMPLERS)


def test_steps_are_those_of_connected_sigmas(bench, picture):
    (sigmas,) = bench.host.call(
        "BasicScheduler", model=bench.model, scheduler="karras", steps=12, denoise=1.0
    )
    (sampler,) = bench.host.call("KSamplerSelect", sampler_name="heun")
    seen = Seen(bench.model)
    plan = bench.plan(f"{PROMPT} @denoise=.5; {PROMPT} @denoise=1", steps=3)
    bench.run(plan, image=picture, model=seen.model, sigmas=sigmas, sampler=sampler)
    names = {text: bench.text(text)[0][0] for text in TEXTS}
    assert seen.texts(names) == rule(6, 2) + rule(12, 2)


def test_the_negative_changes_too(bench, picture):
    seen = Seen(bench.model)
    bench.run(bench.plan("x; y", steps=4), image=picture, model=seen.model, negative="[c|d]")
    names = {text: bench.text(text)[0][0] for text in "xycd"}
    assert seen.texts(names) == list("xxxxyyyy")
    assert seen.texts(names, 1) == list("cdcdcdcd")


def test_in_tiles_each_tile_sees_the_prompt_of_its_step(bench, picture):
    seen = Seen(bench.model)
    (tiled,) = bench.host.call(
        "ISI_TiledSampling", model=seen.model, tile_size=256, overlap=32, tile_batch=1, blend="cosine",
        wrap="off", global_share=0.0, shift_grid=False, skip_flat=0.0,
    )  # fmt: skip
    large = torch.nn.functional.interpolate(picture.movedim(-1, 1), (320, 256)).movedim(1, -1)
    bench.run(bench.plan("[a:b:1] x", steps=2), image=large, model=tiled, sampler_name="heun")
    names = {text: bench.text(text)[0][0] for text in ("a x", "b x")}
    texts = seen.texts(names)
    tiles = len(texts) // 3
    assert tiles >= 2 and texts == ["a x"] * 2 * tiles + ["b x"] * tiles


def test_a_plain_prompt_costs_no_call_and_no_patch(bench, picture):
    from isi.host.prompts.by_step import KEY

    found = []

    def look(executor, *args, **kwargs):
        found.append(executor.class_obj.model_patcher.wrappers)
        return executor(*args, **kwargs)

    model = bench.model.clone()
    model.add_wrapper_with_key("outer_sample", "test", look)
    bench.run(bench.plan(r"a [b] (c:1.2) \[d:e:3\]"), image=picture, model=model)
    bench.run(bench.plan("[d:e:1]"), image=picture, model=model)
    plain, timed = ([KEY in keys for keys in wrappers.values()] for wrappers in found)
    assert not any(plain) and sum(timed) == 3


WEIGHTS = [(1, 1), (1, -1), (0.5, 0.5, 2), (1, 0.7, -0.4)]


@pytest.mark.parametrize("cfg", [1.0, 5.0])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_sum_of_parts_is_its_closed_form_in_one_batch(bench, picture, weights, cfg):
    parts = "abc"[: len(weights)]
    seen = Seen(bench.model)
    script = " AND ".join(f"{p} :{w}" for p, w in zip(parts, weights, strict=True))
    bench.run(bench.plan(script, steps=2, cfg=cfg), image=picture, model=seen.model, sampler_name="heun")
    names = {text: bench.text(text)[0][0] for text in (*parts, "blurry")}
    assert len(seen.guided) == 3
    for call, predictions, guided in zip(seen.calls, seen.predictions, seen.guided, strict=True):
        assert len(call) == len(weights) + 1
        told = [next(n for n, t in names.items() if torch.equal(row, t)) for _, row in call]
        each = {name: found.double() for name, found in zip(told, predictions, strict=True)}
        without = each["blurry"]
        wanted = without + cfg * sum(w * (each[p] - without) for p, w in zip(parts, weights, strict=True))
        assert (guided - wanted).abs().max() <= 1e-6 * max(f.abs().max() for f in each.values()) * cfg


def test_one_part_of_weight_one_is_the_plain_prompt(bench, picture):
    plain, *_ = bench.run(bench.plan("a"), image=picture)
    part, *_ = bench.run(bench.plan("a AND"), image=picture)
    assert torch.equal(plain, part)


def test_and_in_a_negative_is_refused_before_sampling(bench, picture):
    seen = Seen(bench.model)
    with pytest.raises(Failed, match="Negative of step 2, line 1, column 3: A negative prompt has one part"):
        bench.run(bench.plan('a; b @negative="x AND y"'), image=picture, model=seen.model)
    assert not seen.calls


def test_break_begins_a_new_chunk_of_the_text_encoder(bench, picture):
    seen = Seen(bench.model)
    bench.run(bench.plan("red cat BREAK blue sky", steps=1), image=picture, model=seen.model)
    (row,) = (row for index, row in seen.calls[0] if index == 0)
    assert row.shape[1] == 2 * 77
    # A cat, padded to the end of its chunk, then the sky: what the host makes of so long a text.
    tokens = bench.clip.tokenize("red cat")
    tokens["l"] += bench.clip.tokenize("blue sky")["l"]
    assert torch.equal(row, bench.clip.encode_from_tokens(tokens))
    assert torch.equal(row[:, :77], bench.text("red cat")[0][0])


def test_the_key_holds_the_schedule_and_each_part(bench, picture):
    keys = {
        bench.run(bench.plan(text, steps=1), image=picture)[2].keys[0]
        for text in ("a", "[a:b:.5]", "[a:b:.4]", "[a|b]", "a AND b", "a AND b:.5", "a BREAK b")
    }
    assert len(keys) == 7
