"""ISI_Prompt and ISI_ComposeGuider with the host's own samplers."""

import pytest
import torch

from ..harness import Failed
from .conftest import Seen

SETTINGS = {"seed": 3, "cfg": 5.0, "sampler_name": "euler", "scheduler": "karras", "denoise": 1.0}


@pytest.fixture
def start(bench, picture):
    return bench.host.call("VAEEncode", pixels=picture, vae=bench.vae)[0]


def prompt(bench, text, **inputs):
    return bench.host.call("ISI_Prompt", text=text, clip=bench.clip, **inputs)


def custom(bench, model, positive, start, sigmas, sampler="euler", negative=None):
    (chosen,) = bench.host.call("KSamplerSelect", sampler_name=sampler)
    return bench.host.call(
        "SamplerCustom", model=model, add_noise=True, noise_seed=3, cfg=5.0, positive=positive,
        negative=negative or bench.text("blurry"), sampler=chosen, sigmas=sigmas, latent_image=start,
    )[0]["samples"]  # fmt: skip


def schedule(bench, steps, denoise=1.0):
    return bench.host.call(
        "BasicScheduler", model=bench.model, scheduler="karras", steps=steps, denoise=denoise
    )[0]


def advanced(bench, guider, start, sigmas, sampler="euler"):
    (noise,) = bench.host.call("RandomNoise", noise_seed=3)
    (chosen,) = bench.host.call("KSamplerSelect", sampler_name=sampler)
    return bench.host.call(
        "SamplerCustomAdvanced", noise=noise, guider=guider, sampler=chosen, sigmas=sigmas, latent_image=start
    )[0]["samples"]


def test_a_plain_prompt_is_the_hosts_own_and_the_model_is_the_very_same(bench):
    conditioning, model, text = prompt(bench, "a [b] (c:1.2)", model=bench.model)
    assert torch.equal(conditioning[0][0], bench.text("a [b] (c:1.2)")[0][0])
    assert model is bench.model and text == "a [b] (c:1.2)" and len(conditioning) == 1


@pytest.mark.parametrize("denoise", [0.5, 1.0])
@pytest.mark.parametrize("sampler", ["euler", "heun", "dpmpp_2m"])
def test_with_sigmas_it_goes_by_the_steps_that_are_made(bench, start, sampler, denoise):
    sigmas, seen = schedule(bench, 6, denoise), Seen(bench.model)
    positive, model, _ = prompt(bench, "[a:b:.5] [c|d]", model=seen.model, sigmas=sigmas)
    negative, model, _ = prompt(bench, "[e:f:1]", model=model, sigmas=sigmas)
    custom(bench, model, positive, start, sigmas, sampler, negative)
    names = {text: bench.text(text)[0][0] for text in ("a c", "a d", "b c", "b d", "e", "f")}
    texts = ["a c", "a d", "a c", "b d", "b c", "b d"]
    calls = 2 if sampler == "heun" else 1
    assert seen.texts(names) == [text for text in texts for _ in range(calls)][: 6 * calls - (calls - 1)]
    assert seen.texts(names, 1)[: calls + 1] == ["e"] * calls + ["f"]


def test_a_run_in_two_parts_goes_on_where_it_was(bench, start):
    sigmas, seen = schedule(bench, 6), Seen(bench.model)
    positive, model, _ = prompt(bench, "[a:b:4]", model=seen.model, sigmas=sigmas)
    high, low = bench.host.call("SplitSigmas", sigmas=sigmas, step=3)
    for part in (high, low):
        custom(bench, model, positive, start, part)
    names = {text: bench.text(text)[0][0] for text in "ab"}
    assert seen.texts(names) == list("aaaabb")
    with pytest.raises(Failed, match="timed for 6 steps, and another schedule of 4"):
        custom(bench, model, positive, start, schedule(bench, 4))


def test_without_sigmas_it_goes_by_shares_of_the_schedule_as_the_host_counts_them(bench, start):
    conditioning, model, _ = prompt(bench, "[a:b:.3]")
    assert model is None
    early, late = (
        bench.host.call("ConditioningSetTimestepRange", conditioning=bench.text(text), start=s, end=e)[0]
        for text, s, e in (("a", 0.0, 0.3), ("b", 0.3, 1.0))
    )
    (both,) = bench.host.call("ConditioningCombine", conditioning_1=early, conditioning_2=late)
    sigmas = schedule(bench, 6)
    assert torch.equal(
        custom(bench, bench.model, conditioning, start, sigmas),
        custom(bench, bench.model, both, start, sigmas),
    )


def test_choices_are_drawn_from_the_seed(bench):
    texts = {prompt(bench, "{a|b|c} x", seed=seed)[2] for seed in range(20)}
    assert texts == {"a x", "b x", "c x"}
    assert prompt(bench, "{a|b|c} x", seed=5)[2] == prompt(bench, "{a|b|c} x", seed=5)[2]


WRONG = [
    ("[a:b:3]", {}, "connect the sampler's SIGMAS"),
    ("[a|b]", {}, "connect the sampler's SIGMAS"),
    ("a AND b", {}, "connect a MODEL to ISI Prompt"),
    ("a <lora:ink:1>", {}, "names the LoRA 'ink', which changes the model: connect a MODEL"),
    ("[a:b:.5] AND c", {"model"}, "parts .AND. that change: connect the sampler's SIGMAS"),
    ("a <lora:none:1>", {}, "Prompt, line 1, column 3: There is no LoRA 'none'"),
    ("a __nothing__", {}, "Prompt, line 1, column 3: There is no wildcard __nothing__"),
]


@pytest.mark.parametrize(("text", "connected", "says"), WRONG)
def test_what_is_missing_is_said(bench, loras, text, connected, says):
    loras("ink.safetensors", bench.model, bench.clip, 1)
    with pytest.raises(Failed, match=says):
        prompt(bench, text, **({"model": bench.model} if connected else {}))


QUEUED = [
    ("ISI_Prompt", {"text": "a <lora:ink:x>"}, "Prompt, line 1, column 3: A LoRA's strength"),
    ("ISI_Prompt", {"text": "<lora:ink:1:2:3>"}, "Here it is 1:2:3."),
    ("ISI_Prompt", {"text": "{a|b} <lora::1>"}, "Prompt, line 1, column 7: There is no LoRA ''"),
    (
        "ISI_ComposeGuider", {"text": "a", "negative": "SAND AND b", "cfg": 5.0},
        "Negative, line 1, column 6: A negative prompt has one part",
    ),
    (
        "ISI_Regions", {"text": "a BREAK\n<lora:none:1>", "ratios": "1,1", "base": 0.0, "feather": 0.0},
        "Text, line 2, column 1: There is no LoRA",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("node", "given", "says"), QUEUED)
def test_a_slip_is_said_when_the_graph_is_queued(bench, node, given, says):
    wires = {"clip": bench.clip} | ({"model": bench.model} if node == "ISI_ComposeGuider" else {})
    with pytest.raises(Failed, match=says) as caught:
        bench.host.call(node, **given, seed=0, **wires)
    assert "Custom validation failed" in str(caught.value)


def test_a_slip_in_the_negative_of_a_loop_is_said_when_the_graph_is_queued(bench, picture):
    for negative, says in (("a <lora:none:1>", "column 3: There is no LoRA"), ("a AND b", "one part")):
        with pytest.raises(Failed, match=f"Negative, line 1, .*{says}") as caught:
            bench.run(bench.plan("a"), image=picture, negative=negative)
        assert "Custom validation failed" in str(caught.value)


def test_a_lora_comes_out_on_the_model(bench, loras, start):
    loras("ink.safetensors", bench.model, bench.clip, 1)
    conditioning, model, _ = prompt(bench, "x <lora:ink:.8>", model=bench.model)
    inked, clip = bench.host.call(
        "LoraLoader", model=bench.model, clip=bench.clip, lora_name="ink.safetensors", strength_model=0.8,
        strength_clip=0.8,
    )  # fmt: skip
    (words,) = bench.host.call("CLIPTextEncode", clip=clip, text="x ")
    sigmas = schedule(bench, 2)
    assert torch.equal(
        custom(bench, model, conditioning, start, sigmas), custom(bench, inked, words, start, sigmas)
    )


def guider(bench, text, negative="blurry", model=None, cfg=5.0):
    (found,) = bench.host.call(
        "ISI_ComposeGuider",
        model=model or bench.model,
        clip=bench.clip,
        text=text,
        negative=negative,
        cfg=cfg,
    )
    return found


def test_the_guider_of_a_plain_prompt_is_the_hosts_own(bench, start):
    (theirs,) = bench.host.call(
        "CFGGuider", model=bench.model, positive=bench.text("a"), negative=bench.text("blurry"), cfg=5.0
    )
    sigmas = schedule(bench, 3)
    ours = guider(bench, "a")
    assert torch.equal(advanced(bench, ours, start, sigmas), advanced(bench, theirs, start, sigmas))
    # The same guider once more, on another schedule.
    sigmas = schedule(bench, 2)
    assert torch.equal(advanced(bench, ours, start, sigmas), advanced(bench, theirs, start, sigmas))


def test_the_guider_goes_by_the_steps_of_each_run_and_adds_parts_up(bench, start):
    seen = Seen(bench.model)
    made = guider(bench, "[a:b:.5] AND c:-.5", "[e|f]", seen.model)
    for steps in (4, 2):
        seen.calls, seen.predictions, seen.guided = [], [], []
        advanced(bench, made, start, schedule(bench, steps))
        names = {text: bench.text(text)[0][0] for text in "abcef"}
        assert len(seen.guided) == steps
        for step, (call, predictions, guided) in enumerate(
            zip(seen.calls, seen.predictions, seen.guided, strict=True)
        ):
            told = [next(n for n, t in names.items() if torch.equal(row, t)) for _, row in call]
            each = dict(zip(told, (found.double() for found in predictions), strict=True))
            main, without = "ab"[step >= steps // 2], each["ef"[step % 2]]
            assert set(each) == {main, "c", "ef"[step % 2]}
            wanted = without + 5 * ((each[main] - without) - 0.5 * (each["c"] - without))
            assert (guided - wanted).abs().max() <= 1e-6 * 5 * max(f.abs().max() for f in each.values())
