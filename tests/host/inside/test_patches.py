"""Patches that act inside a step, with denoisers whose answer is known, and on the tiny model in a loop."""

import copy

import pytest
import torch

from ..harness import Failed
from ..oracles import oracle, sample

OFF = {
    "ISI_TailAverage": {"drop": 0, "average": 1},
    "ISI_Tone": {
        **dict.fromkeys(("brightness", "contrast", "saturation", "red", "green", "blue"), 0.0),
        "start": 0.0, "end": 1.0,
    },
    "ISI_Detail": {"amount": 0.0, "start": 0.0, "end": 1.0, "first_layer": 0.0, "last_norm": 0.0},
    "ISI_Mirror": {"turn": "left-right", "how": "average", "end": 0.0},
    "ISI_FrequencyLock": {"cutoff": 0.0, "strength": 1.0, "start": 0.0, "end": 1.0},
    "ISI_IterativeMix": {"alpha": 1.0, "start": 0.5, "end": 0.5},
}  # fmt: skip
"""Every patch at nothing."""
ON = {
    "ISI_TailAverage": {"average": 2},
    "ISI_Tone": {"red": 0.5},
    "ISI_Detail": {"amount": 0.5},
    "ISI_Mirror": {"end": 0.5},
    "ISI_FrequencyLock": {"cutoff": 16.0},
    "ISI_IterativeMix": {"start": 0.0, "end": 1.0},
}


def patched(host, node, model, **settings):
    return host.call(node, model=model, **OFF[node] | settings)[0]


def latent(seed=0, *shape):
    return torch.randn(shape or (1, 4, 8, 8), generator=torch.Generator().manual_seed(seed))


def towards(call):
    """A denoiser between x and nothing, by its prompt and the noise that it is told of."""
    by_prompt = 0.5 + 0.1 * call["c_crossattn"].mean((1, 2)).reshape(-1, 1, 1, 1)
    return call["x"] * by_prompt / (1 + 0.1 * call["sigma"])


@pytest.mark.parametrize("sampler", ["euler", "heun", "dpmpp_2m", "euler_ancestral", "uni_pc"])
@pytest.mark.parametrize("node", OFF)
def test_nothing_is_bit_for_bit_nothing_and_something_costs_no_call(host, node, sampler):
    z, mask = latent(1, 2, 4, 8, 8), (latent(2, 1, 1, 8, 8) > 0).float()
    found = []
    for settings in (None, {}, ON[node]):
        model = oracle(towards)
        model = model if settings is None else patched(host, node, model, **settings)
        out = sample(model, z, sampler=sampler, cfg=3.0, denoise=0.6, steps=4, noise_mask=mask)
        found.append((out, len(model.model.calls)))
    (plain, calls), (off, same), (on, more) = found
    assert torch.equal(plain, off) and same == calls == more
    assert not torch.equal(plain, on)
    # What a mask keeps stays as it was, whatever is done to the rest.
    kept = (mask == 0).expand(z.shape)
    assert torch.allclose(on[kept], plain[kept], atol=1e-5)


@pytest.mark.parametrize("node", ["ISI_Tone", "ISI_Detail", "ISI_FrequencyLock", "ISI_IterativeMix"])
@pytest.mark.parametrize(("denoise", "count"), [(1.0, 6), (0.3, 6)])
def test_outside_its_steps_it_is_not_there_and_they_are_those_that_are_made(host, node, denoise, count):
    pictures = []

    def watch(step, denoised, x, total):
        assert total == count
        pictures[-1].append(x.clone())

    for model in (oracle(towards), patched(host, node, oracle(towards), **ON[node] | {"start": 0.5})):
        pictures.append([])
        sample(model, latent(3), steps=count, denoise=denoise, callback=watch)
    equal = [torch.equal(a, b) for a, b in zip(*pictures, strict=True)]
    # The picture of step 3 is the first that may differ: at its call for what changes it, else after it.
    assert equal[:3] == [True] * 3 and equal[4:] == [False] * 2


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "heun", "euler_ancestral"])
def test_a_tail_is_the_mean_of_the_predictions_that_the_sampler_had(host, sampler):
    had, calls = [], {}
    z = latent(4)
    sample(oracle(towards), z, sampler=sampler, steps=6, callback=lambda i, d, x, n: had.append(d.clone()))
    for drop, average in ((1, 1), (0, 3), (2, 3)):
        model = patched(host, "ISI_TailAverage", oracle(towards), drop=drop, average=average)
        out = sample(model, z, sampler=sampler, steps=6)
        mean = torch.stack(had[6 - drop - average : 6 - drop]).mean(0)
        assert (model.model.process_latent_in(out) - mean).abs().max() < 1e-4
        calls[drop] = len(model.model.calls)
    assert calls[2] < calls[1] < calls[0]


def test_a_tail_that_is_longer_than_the_steps_is_said(host):
    model = patched(host, "ISI_TailAverage", oracle(towards), drop=3, average=2)
    with pytest.raises(ValueError, match="drops 3 steps and averages 2, but only 4 are made"):
        sample(model, latent(), steps=4)
    assert not model.model.calls


FORMATS = ("SD15", "SDXL", "Flux", "Flux2", "Wan21")


def shown(model, z):
    """The picture (0..1) that the host's own preview shows of a latent."""
    import numpy as np
    from latent_preview import Latent2RGBPreviewer

    form = model.model.latent_format
    factors = form.latent_rgb_factors, form.latent_rgb_factors_bias, form.latent_rgb_factors_reshape
    picture = Latent2RGBPreviewer(*factors).decode_latent_to_preview(form.process_in(z))
    return torch.tensor(np.asarray(picture, dtype=np.float32) / 255)


@pytest.mark.parametrize("flow", [False, True])
@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m"])
@pytest.mark.parametrize("name", FORMATS)
def test_the_colour_asked_for_comes_on_every_family_and_with_every_sampler(host, name, sampler, flow):
    import comfy.latent_formats

    form = getattr(comfy.latent_formats, name)
    shape = (1, form.latent_channels, *((1,) if form.latent_dimensions == 3 else ()), 8, 8)
    answer = 0.1 * latent(8, *shape)
    model = oracle(lambda call: answer, form, flow)
    # Of a model that is blind to the picture only the last step's share is left, so that step alone is given.
    window = {"start": 0.75, "end": 1.0}
    for at, channel in enumerate(("red", "green", "blue")):
        change = []
        for amount in (0.0, 0.1, 0.2, -0.2):
            toned = patched(host, "ISI_Tone", model, **{channel: amount}, **window)
            change.append(shown(model, sample(toned, torch.zeros(shape), sampler=sampler)))
        for amount, colours in zip((0.1, 0.2, -0.2), change[1:], strict=True):
            wanted = torch.zeros(3)
            wanted[at] = amount
            # Of every pixel, to a level of the preview's 256 on either side.
            assert (colours - change[0] - wanted).abs().max() < 0.01, (channel, amount)


def test_a_model_of_unknown_colours_is_measured_or_refused(bench):
    import comfy.latent_formats

    class Unknown(comfy.latent_formats.SD15):
        def __init__(self):
            super().__init__()
            self.latent_rgb_factors = None

    model = oracle(towards, Unknown)
    with pytest.raises(Failed, match="connect the VAE of the model to vae of ISI Tone"):
        patched(bench.host, "ISI_Tone", model, red=0.1)
    toned = patched(bench.host, "ISI_Tone", model, red=0.1, vae=bench.vae)
    assert not torch.equal(sample(toned, latent()), sample(model, latent()))
    wide = bench.host.call("ISI_MiniCheckpoint", kind="base")[2]
    three = copy.copy(oracle(towards, comfy.latent_formats.Flux))
    with pytest.raises(Failed, match="Expected a VAE with 16 latent channels, but got one with 4"):
        patched(bench.host, "ISI_Tone", three, red=0.1, vae=wide)


def test_the_model_is_told_of_less_noise_and_the_sampler_goes_its_way(host):
    seen = []

    def watch(call):
        seen.append(float(call["sigma"].flatten()[0]))
        return towards(call)

    sample(oracle(watch), latent(), steps=6, sampler="heun")
    plain = list(seen)
    seen.clear()
    sample(patched(host, "ISI_Detail", oracle(watch), amount=0.4), latent(), steps=6, sampler="heun")
    told = [a / b for a, b in zip(seen, plain, strict=True)]
    # Two calls a step but for the last one: both are told alike.
    bumps = [1 - 0.4 * float(torch.sin(torch.tensor(torch.pi * (i + 0.5) / 6)) ** 2) for i in range(6)]
    wanted = [bump for bump in bumps for _ in range(2)][:-1]
    assert told == pytest.approx(wanted, rel=1e-4)
    seen.clear()
    sample(patched(host, "ISI_Detail", oracle(watch), amount=-1.0), latent(), steps=6)
    assert max(seen) <= max(plain) * (1 + 1e-5)


def test_weights_are_scaled_by_the_patcher_and_come_back(bench, picture):
    model = bench.model
    before = {name: value.clone() for name, value in model.model.state_dict().items()}
    scaled = patched(bench.host, "ISI_Detail", model, first_layer=10.0, last_norm=-5.0)
    # The tiny model's own biases are zero.
    for layer, d in (("diffusion_model.input_blocks.0.0", 10.0), ("diffusion_model.out.0", -5.0)):
        for name, scale in (("weight", -0.01), ("bias", 0.02)):
            key = f"{layer}.{name}"
            found = scaled.patch_weight_to_device(key, return_weight=True)
            assert torch.allclose(found, before[key] * (1 + scale * d))
    plain, *_ = bench.run(bench.plan("a"), image=picture)
    other, *_ = bench.run(bench.plan("a"), image=picture, model=scaled)
    again, *_ = bench.run(bench.plan("a"), image=picture, redo_from=1)
    assert torch.equal(plain, again) and not torch.equal(plain, other)
    with pytest.raises(Failed, match="are for UNets"):
        patched(bench.host, "ISI_Detail", oracle(towards), first_layer=1.0)


@pytest.mark.parametrize("turn", ["left-right", "up-down", "half turn", "quarter turn"])
def test_what_the_model_sees_is_symmetric_while_it_lasts_and_as_noisy_as_ever(host, turn):
    seen = []

    def watch(call):
        seen.append(call["x"].clone())
        return torch.lerp(
            call["x"], call["x"].roll((1, 2), (-1, -2)), 0.3
        )  # a model that is not symmetric at all

    model = patched(host, "ISI_Mirror", oracle(watch), turn=turn, end=0.5)
    sample(model, torch.zeros(1, 4, 32, 32), steps=6)
    turns = {"left-right": lambda x: x.flip(-1), "up-down": lambda x: x.flip(-2)}
    turns |= {"half turn": lambda x: x.flip(-1, -2), "quarter turn": lambda x: torch.rot90(x, 1, (-2, -1))}
    same = [torch.equal(x, turns[turn](x)) for x in seen]
    assert same == [True] * 3 + [False] * 3
    plain = []
    sample(
        oracle(lambda call: plain.append(call["x"].std()) or call["x"]), torch.zeros(1, 4, 32, 32), steps=6
    )
    assert seen[0].std() == pytest.approx(float(plain[0]), rel=0.1)


def test_alternating_turns_the_sampler_s_own_picture_once_a_step(host):
    plain, turned = [], []
    z = torch.zeros(1, 4, 8, 8)
    sample(
        oracle(lambda call: plain.append(call["x"].clone()) or call["x"] * 0.5), z, steps=4, sampler="heun"
    )
    model = oracle(lambda call: turned.append(call["x"].clone()) or call["x"] * 0.5)
    model = patched(host, "ISI_Mirror", model, how="alternate", end=0.5)
    sample(model, z, steps=4, sampler="heun")
    # Two calls a step: turned in the first step, turned back in the second, and left alone.
    flipped = [torch.allclose(a.flip(-1), b) for a, b in zip(plain, turned, strict=True)]
    assert flipped == [True] * 2 + [False] * 5
    assert all(map(torch.allclose, plain[2:], turned[2:]))


def test_a_quarter_turn_of_what_is_not_square_is_refused(host):
    model = patched(host, "ISI_Mirror", oracle(towards), turn="quarter turn", end=0.5)
    with pytest.raises(ValueError, match="needs a square picture, and this latent has 6 x 8 cells"):
        sample(model, torch.zeros(1, 4, 8, 6))
    assert not model.model.calls


@pytest.mark.parametrize("flow", [False, True])
def test_the_mix_gives_the_original_at_alpha_zero_and_lets_go_of_it_above(host, flow):
    z, data = latent(5, 1, 4, 16, 16), latent(6, 1, 4, 16, 16)

    def pulled(call):
        """The best denoiser of pictures that lie round `data`, at a deviation of 1."""
        signal = 1 - call["sigma"] if flow else 1.0
        share = signal / (signal**2 + call["sigma"] ** 2)
        return data + share * (call["x"] - signal * data)

    away = []
    for alpha in (None, 100.0, 3.0, 1.0, 0.0):
        model = oracle(pulled, flow=flow)
        if alpha is not None:
            model = patched(host, "ISI_IterativeMix", model, alpha=alpha, start=0.0, end=1.0)
        out = sample(model, z, steps=20)
        away.append(float((out - z).pow(2).mean().sqrt()))
    assert away[4] < 0.1 * away[0]
    assert all(before > after for before, after in zip(away[1:], away[2:], strict=False))


def test_a_lock_keeps_the_low_band_of_the_start_whatever_the_model_says(host):
    from isi.core.inside.frequency import low

    z = latent(7, 1, 4, 32, 32)
    for node in ("ISI_FrequencyLock",):
        model = oracle(lambda call: call["x"] * 0.3 + 2.0)
        out = sample(patched(host, node, model, cutoff=64.0), z, steps=5)
        # SDXL's cells are 8 px: waves over 8 of them.
        assert (low(low(out, 8.0), 8.0) - low(low(z, 8.0), 8.0)).abs().max() < 0.5 * (
            low(low(sample(model, z, steps=5), 8.0), 8.0) - low(low(z, 8.0), 8.0)
        ).abs().max()
        empty = torch.zeros_like(z)
        assert torch.equal(sample(patched(host, node, model, cutoff=64.0), empty), sample(model, empty))


def test_what_tiles_differ_in_is_locked_before_it_is_a_ramp_between_them(host):
    """Tiles that each answer in one colour of their own: that colour leaves no trace."""
    z, answers, found = latent(7, 1, 4, 32, 32), [], []
    for scale in (0.0, 3.0):

        def one_colour(call, scale=scale):
            answer = scale * call["x"].mean((-2, -1), keepdim=True)
            answers.append(answer.flatten().tolist())
            return answer.expand_as(call["x"])

        model = patched(host, "ISI_FrequencyLock", oracle(one_colour), cutoff=64.0)
        (tiled,) = host.call(
            "ISI_TiledSampling", model=model, tile_size=160, overlap=64, blend="cosine", shift_grid=False,
            wrap="off", tile_batch=2, global_share=0.0, skip_flat=0.0,
        )  # fmt: skip
        found.append(sample(tiled, z, steps=3))
    assert max(abs(a - b) for a, b in zip(answers[-1], answers[-2], strict=True)) > 0.01
    assert torch.allclose(*found, atol=1e-4)


def test_patches_act_in_the_loop_one_after_the_other(bench, picture):
    (plain, *_), (last,) = bench.run(bench.plan("a; b"), image=picture), [None]
    model, keys = bench.model, set()
    for node, settings in ON.items():
        model = patched(
            bench.host, node, model, **{"end": 1.0} | settings if "end" in OFF[node] else settings
        )
        image, _, run = bench.run(bench.plan("a; b"), image=picture, model=model)
        assert not torch.equal(image, plain) and (last is None or not torch.equal(image, last))
        last = image
        keys.add(run.keys[-1])
    assert len(keys) == len(ON)


def test_what_is_no_number_and_no_picture_is_said(host):
    model = patched(host, "ISI_FrequencyLock", oracle(towards), cutoff=16.0)
    with pytest.raises(ValueError, match="The latent to start from has NaN"):
        sample(model, latent() * torch.nan)
    with pytest.raises(ValueError, match="work on latents of pictures, and this one is"):
        sample(model, latent(0, 1, 4, 64))


def test_prompts_that_change_are_timed_as_without_them(bench, picture):
    script = "[a:b:.5] x"
    plain, *_ = bench.run(bench.plan(script, steps=4), image=picture)
    model = patched(bench.host, "ISI_Detail", bench.model, amount=1e-9)
    model = patched(bench.host, "ISI_IterativeMix", model, alpha=100.0, start=0.99, end=1.0)
    near, *_ = bench.run(bench.plan(script, steps=4), image=picture, model=model)
    assert (plain - near).abs().max() < 1e-4
