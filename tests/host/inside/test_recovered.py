"""Recovered noise: a sampler turns it back into the picture, on every kind of model."""

import pytest
import torch

from ..harness import Failed
from ..loop.test_noise import noise
from ..oracles import oracle, prompt

DATA = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1))
PICTURE = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(2))
EXACT = 1e-6  # of floats


def bayes(flow):
    """The best denoiser of pictures that lie round 0.5 DATA or, by the prompt, round another one."""

    def denoise(call):
        signal = 1 - call["sigma"] if flow else torch.ones_like(call["sigma"])
        mean = 0.5 * DATA + call["c_crossattn"].mean((1, 2)).reshape(-1, 1, 1, 1)
        share = signal / (signal**2 + call["sigma"] ** 2)
        return mean + share * (call["x"] - signal * mean)

    return oracle(denoise, flow=flow)


def back(host, model, steps, denoise=1.0, now=0.0, **settings):
    """The latent that SamplerCustomAdvanced makes with noise that was recovered for a prompt of 0."""
    settings = {"recover_steps": steps} | settings
    (sigmas,) = host.call("BasicScheduler", model=model, scheduler="normal", steps=steps, denoise=denoise)
    made = noise(
        host,
        model=model,
        source="recovered",
        original=prompt(0.0),
        sigmas=sigmas,
        **settings,
    )
    (guider,) = host.call("BasicGuider", model=model, conditioning=prompt(now))
    (sampler,) = host.call("KSamplerSelect", sampler_name="euler")
    out, _ = host.call(
        "SamplerCustomAdvanced", noise=made, guider=guider, sampler=sampler, sigmas=sigmas,
        latent_image={"samples": PICTURE},
    )  # fmt: skip
    assert torch.isfinite(out["samples"]).all()
    return out["samples"]


def off(model, a):
    """RMS to the picture in the model's own latents, in which pictures have a deviation of 1."""
    return float(model.model.process_latent_in(a - PICTURE).pow(2).mean().sqrt())


def kinds(host):
    eps = bayes(False)
    yield eps
    yield host.call("ModelSamplingDiscrete", model=eps, sampling="v_prediction", zsnr=False)[0]
    yield bayes(True)
    # Its last noise level is so low that what the host adds to begin at "denoise 1" counts.
    edm = {"sampling": "eps", "sigma_max": 1.0, "sigma_min": 0.01}
    yield host.call("ModelSamplingContinuousEDM", model=eps, **edm)[0]


@pytest.mark.parametrize("kind", [0, 1, 2, 3])
@pytest.mark.parametrize("denoise", [1.0, 0.5])
def test_the_sampler_comes_back_to_the_picture_and_nearer_with_more_steps(host, kind, denoise):
    model = list(kinds(host))[kind]
    away = [off(model, back(host, model, steps, denoise)) for steps in (5, 20, 80)]
    assert all(more < max(few / 2, EXACT) for few, more in zip(away, away[1:], strict=False))
    assert away[2] < 0.1


@pytest.mark.parametrize("kind", [0, 1, 2, 3])
@pytest.mark.parametrize("denoise", [1.0, 0.5])
def test_more_calls_find_what_the_samplers_own_steps_come_from(host, kind, denoise):
    """However few these are: the noise is that of the sampler, not of a path of smaller steps."""
    model = list(kinds(host))[kind]
    away = [off(model, back(host, model, 6, denoise, recover_steps=calls)) for calls in (6, 24, 240)]
    assert away[1] < max(away[0] / 2, EXACT) and away[2] < 1e-4


@pytest.mark.parametrize(("steps", "recover_steps"), [(20, 50), (50, 50), (6, 50), (50, 10), (7, 1)])
def test_the_way_back_makes_at_most_twice_the_calls_that_it_is_given(host, steps, recover_steps):
    model = bayes(False)
    (sigmas,) = host.call("BasicScheduler", model=model, scheduler="normal", steps=steps, denoise=1.0)
    settings = {"model": model, "source": "recovered", "original": prompt(0.0), "sigmas": sigmas}
    noise(host, recover_steps=recover_steps, **settings).generate_noise({"samples": PICTURE})
    assert recover_steps <= len(model.model.calls) <= 2 * recover_steps


def test_where_rounds_lead_away_the_first_one_counts(host):
    """A prediction that runs against its input, as guidance can: rounds of it would grow without end."""
    model = oracle(lambda call: -9 * call["x"])
    (sigmas,) = host.call("BasicScheduler", model=model, scheduler="normal", steps=4, denoise=1.0)
    settings = {"model": model, "source": "recovered", "original": prompt(0.0), "sigmas": sigmas}
    found = noise(host, recover_steps=40, **settings).generate_noise({"samples": PICTURE})
    up = sigmas.flip(0)
    grown = torch.prod(1 + 10 * (up[1:] - up[:-1]) / up[1:]) / (1 + sigmas[0] ** 2) ** 0.5
    assert torch.allclose(found, model.model.process_latent_in(PICTURE) * grown, rtol=1e-3)


def test_a_picture_whose_rounds_lead_away_leaves_the_others_of_its_batch_alone(host):
    def denoise(call):
        return torch.where(call["x"][:, :1, :1, :1] > 0, -9 * call["x"], 0.5 * call["x"])

    model, both = oracle(denoise), torch.cat([PICTURE, -PICTURE])
    (sigmas,) = host.call("BasicScheduler", model=model, scheduler="normal", steps=4, denoise=1.0)
    settings = {"model": model, "source": "recovered", "original": prompt(0.0), "sigmas": sigmas}
    made = noise(host, recover_steps=40, **settings)
    alone = [made.generate_noise({"samples": one[None]}) for one in both]
    assert torch.allclose(made.generate_noise({"samples": both}), torch.cat(alone), rtol=1e-4)


@pytest.mark.parametrize("kind", [0, 2])
def test_another_prompt_moves_it_by_what_the_prompts_differ_in(host, kind):
    model = list(kinds(host))[kind]
    same, moved = back(host, model, 40), back(host, model, 40, now=1.0)
    change = model.model.process_latent_in(moved - same)
    # At denoise 1 nearly all of the mean goes over, at every place alike.
    assert change.std() < 0.02 and 0.8 < change.mean() < 1.01


def test_randomness_goes_over_to_the_noise_of_the_seed_and_keeps_its_deviation(host):
    model, latent = bayes(False), {"samples": PICTURE}
    settings = {"model": model, "source": "recovered", "original": prompt(0.0)}
    found = [noise(host, randomness=r, **settings).generate_noise(latent) for r in (0.0, 0.5, 1.0)]
    assert torch.equal(found[2], noise(host).generate_noise(latent))
    assert torch.allclose(found[1], (found[0] + found[2]) / 2**0.5, atol=1e-5)


def test_a_latent_that_is_empty_has_the_noise_of_the_seed(host):
    settings = {"model": bayes(False), "source": "recovered", "original": prompt(0.0)}
    latent = {"samples": torch.zeros(1, 4, 8, 8)}
    plain = noise(host).generate_noise(latent)
    assert torch.equal(noise(host, **settings).generate_noise(latent), plain)


def test_in_a_loop_it_is_recovered_from_the_picture_of_each_step(bench, picture, noises):
    (memory,) = bench.host.call("ISI_Memory", carry="latent", blend="last", amount=0.5)
    settings = {"model": bench.model, "source": "recovered", "original": bench.text("a"), "recover_steps": 30}
    recovering = noise(bench.host, **settings)
    plan = bench.plan("a; a", steps=30, cfg=1.0)
    _, latent, run = bench.run(plan, image=picture, noise=recovering, memory=memory)
    (start,) = bench.host.call("VAEEncode", pixels=picture, vae=bench.vae)
    start = start["samples"]
    (levels,) = bench.host.call(
        "BasicScheduler", model=bench.model, scheduler="normal", steps=30, denoise=0.6
    )
    assert torch.equal(noises[0], recovering.recovery.noise(start, levels))
    assert not torch.equal(noises[1], noises[0])  # from the picture of the first step
    _, other, plain = bench.run(plan, image=picture, memory=memory)
    near, far = ((found["samples"] - start).pow(2).mean() for found in (latent, other))
    assert near < far / 4 and run.keys[0] != plain.keys[0]
    noises.clear()
    bench.run(plan, image=picture, noise=noise(bench.host, **settings, randomness=0.5), memory=memory)
    assert len(noises) == 2  # nothing of before was taken for it


def test_what_can_not_work_is_said(host):
    model = bayes(False)
    with pytest.raises(Failed, match="connect model and original of ISI Noise"):
        noise(host, source="recovered", model=model)
    with pytest.raises(Failed, match="a recover_cfg of 3, which needs a negative prompt"):
        noise(host, source="recovered", model=model, original=prompt(0.0), recover_cfg=3.0)
    made = noise(host, source="recovered", model=model, original=prompt(0.0))
    with pytest.raises(ValueError, match="has NaN or infinite values"):
        made.generate_noise({"samples": PICTURE * torch.nan})
    assert not model.model.calls
