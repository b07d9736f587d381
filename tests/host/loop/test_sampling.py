"""A run leaves the random state of its device as it was; its own SAMPLER and SIGMAS are SamplerCustom's."""

from types import SimpleNamespace

import pytest
import torch

from ..harness import Failed


@pytest.mark.parametrize("kind", ["cuda", "xpu", "mps"])
def test_random_state_of_any_device_that_can_tell_it_is_kept(booted, monkeypatch, kind):
    from isi.host.loop.sampling import global_rng_kept

    # None of these devices is here: the part of their torch modules that matters stands in for them.
    state = {"now": "before"}
    module = SimpleNamespace(
        get_rng_state=lambda device: state["now"], set_rng_state=lambda new, device: state.update(now=new)
    )
    monkeypatch.setattr(torch, kind, module, raising=False)
    before = torch.get_rng_state()
    with global_rng_kept(SimpleNamespace(type=kind)):
        torch.rand(3)
        state["now"] = "drawn from"
    assert state["now"] == "before" and torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("kind", ["cpu", "privateuseone"])
def test_without_such_a_state_the_cpus_is_kept(booted, kind):
    from isi.host.loop.sampling import global_rng_kept

    before = torch.get_rng_state()
    with global_rng_kept(SimpleNamespace(type=kind)):
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)


def by_hand(bench, latent, sampler, sigmas, plan):
    """SamplerCustom, VAEDecode and VAEEncode for each step of a plan; `sigmas(step)` are a step's."""
    negative = bench.text("blurry")
    for step in plan.steps:
        (latent, _) = bench.host.call(
            "SamplerCustom", model=bench.model, add_noise=True, noise_seed=step.seed, cfg=step.cfg,
            positive=bench.text(step.prompt), negative=negative, sampler=sampler, sigmas=sigmas(step),
            latent_image=latent,
        )  # fmt: skip
        (image,) = bench.host.call("VAEDecode", samples=latent, vae=bench.vae)
        (latent,) = bench.host.call("VAEEncode", pixels=image, vae=bench.vae)
    return image


def own_sampler(bench, eta=0.7):
    return bench.host.call("SamplerEulerAncestral", eta=eta, s_noise=1.0)[0]


def schedule(bench, steps=5):
    return bench.host.call("KarrasScheduler", steps=steps, sigma_max=9.0, sigma_min=0.1, rho=5.0)[0]


@pytest.mark.parametrize("own", ["sampler and sigmas", "sampler", "sigmas"])
def test_a_sampler_and_sigmas_of_ones_own_are_sampler_custom_by_hand(bench, picture, own):
    plan = bench.plan("a; b @denoise=1; c @denoise=.3 @steps=3", denoise=0.6, steps=4)
    karras, (latent,) = schedule(bench), bench.host.call("VAEEncode", pixels=picture, vae=bench.vae)

    def last(step):
        return bench.host.call("SplitSigmasDenoise", sigmas=karras, denoise=step.denoise)[1]

    def basic(step):
        values = {"scheduler": "normal", "steps": step.steps, "denoise": step.denoise}
        return bench.host.call("BasicScheduler", model=bench.model, **values)[0]

    inputs = {"sampler": own_sampler(bench)} if "sampler" in own else {}
    sampler = inputs.get("sampler") or bench.host.call("KSamplerSelect", sampler_name="euler")[0]
    if "sigmas" in own:
        inputs["sigmas"] = karras
    expected = by_hand(bench, latent, sampler, last if "sigmas" in own else basic, plan)
    assert torch.equal(bench.run(plan, image=picture, **inputs)[0], expected)
    assert not torch.equal(bench.run(plan, image=picture)[0], expected)


def test_a_group_that_names_its_own_sampler_or_scheduler_keeps_it(bench, picture):
    karras, own = schedule(bench), own_sampler(bench)
    for mark, inputs in (("sampler", {"sampler": own}), ("scheduler", {"sigmas": karras})):
        name = {"sampler": "heun", "scheduler": "simple"}[mark]
        plan = bench.plan(f"a @{mark}={name}; b")
        first = bench.run(plan, image=picture)[2].load(1)
        both = bench.run(plan, image=picture, **inputs)[2]
        assert torch.equal(both.load(1).tensors["picture"], first.tensors["picture"]), mark
        assert not torch.equal(both.load(2).tensors["picture"], bench.run(plan, image=picture)[0]), mark


def test_from_text_alone_all_sigmas_are_sampled(bench):
    plan, (empty,) = bench.plan("a"), bench.host.call("EmptyLatentImage", width=64, height=48, batch_size=1)
    sampler, sigmas = own_sampler(bench), schedule(bench)
    expected = by_hand(bench, empty, sampler, lambda step: sigmas, plan)
    assert torch.equal(bench.run(plan, width=64, height=48, sampler=sampler, sigmas=sigmas)[0], expected)


@pytest.mark.parametrize("own", ["sampler", "sigmas"])
def test_no_denoise_samples_nothing(bench, picture, own):
    plan = bench.plan("a @denoise=0")
    inputs = {"sampler": own_sampler(bench)} if own == "sampler" else {"sigmas": schedule(bench)}
    (latent,) = bench.host.call("VAEEncode", pixels=picture, vae=bench.vae)
    assert torch.equal(bench.run(plan, image=picture, **inputs)[1]["samples"], latent["samples"])


def test_what_decides_the_pictures_of_ones_own_sampling_is_in_the_key(host):
    """Graphs of the host's own nodes: other settings of a sampler or scheduler are another run."""

    def name(eta=0.7, steps=3, sampler_name="euler", linked=("sampler", "sigmas")):
        sigmas = {"steps": steps, "sigma_max": 9.0, "sigma_min": 0.1, "rho": 5.0}
        script = {"script": "a", "steps": 2, "cfg": 5.0, "denoise": 0.6, "final_denoise": 0.6}
        script |= {"curve": "constant", "seed": 7, "seed_mode": "fixed"}
        links = {"sampler": ["own", 0], "sigmas": ["levels", 0]}
        iterate = {"model": ["mini", 0], "clip": ["mini", 1], "vae": ["mini", 2], "plan": ["script", 0]}
        iterate |= {"negative": "", "sampler_name": sampler_name, "scheduler": "normal"}
        iterate |= {"width": 64, "height": 64} | {one: links[one] for one in linked}
        prompt = {
            "mini": ("ISI_MiniCheckpoint", {"kind": "base"}),
            "own": ("SamplerEulerAncestral", {"eta": eta, "s_noise": 1.0}),
            "levels": ("KarrasScheduler", sigmas),
            "script": ("ISI_Script", script),
            "run": ("ISI_Iterate", iterate),
        }
        host.new_executor()
        ui = host.run({key: {"class_type": kind, "inputs": given} for key, (kind, given) in prompt.items()})
        return ui["run"]["isi_run"][0]["run"]

    base = name()
    assert name() == base
    # A name that is not used decides nothing.
    assert name(sampler_name="heun") == base
    others = [
        name(eta=0.2),
        name(steps=4),
        name(linked=["sampler"]),
        name(linked=["sigmas"]),
        name(linked=[]),
    ]
    assert len({base, *others}) == 1 + len(others)


@pytest.mark.parametrize(
    ("sigmas", "sentence"),
    [
        (torch.empty(0), "at least two noise levels in sigmas, but got \\[0\\]"),
        (torch.ones(1), "at least two noise levels in sigmas"),
        (torch.ones(2, 3), "at least two noise levels in sigmas"),
        (torch.tensor([3.0, float("nan"), 0.0]), "negative, NaN or infinite"),
        (torch.tensor([3.0, -1.0]), "negative, NaN or infinite"),
    ],
)
def test_sigmas_that_can_not_be_sampled_are_one_sentence(bench, picture, sigmas, sentence):
    with pytest.raises(Failed, match=sentence):
        bench.run(bench.plan("a"), image=picture, sigmas=sigmas)


def test_the_progress_counts_the_steps_of_the_sigmas(bench, picture):
    plan = bench.plan("a; b @denoise=1; c @denoise=.3", steps=7)
    bench.run(plan, image=picture, sigmas=schedule(bench, 10))
    states = [data["nodes"] for event, data in bench.host.events if event == "progress_state"]
    most = {node["max"] for state in states for node in state.values()}
    assert 6 + 10 + 3 in most and 21 not in most
