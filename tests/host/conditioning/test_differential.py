"""Differential diffusion on the host's own samplers, schedulers and model samplings.

The oracle is a model whose denoiser is known in closed form: for data N(mu, s^2) noised to
`x = signal * z + noise * eps`, E[z | x] = mu + g (x / signal - mu) with g = s^2 / (s^2 + (noise / signal)^2).
"""

import itertools

import pytest
import torch

from ..harness import Failed

SCHEDULERS = [
    "simple", "sgm_uniform", "karras", "exponential", "ddim_uniform", "beta", "normal", "linear_quadratic",
    "kl_optimal",
]  # fmt: skip
MU, S = 0.3, 0.8
STEPS = 20
SIZE = 16


def closed_form(kind: str, shift: float = 3.0):
    """A MODEL: the host's BaseModel with its real ModelSampling, the network replaced by the closed form."""
    import comfy.model_base
    import comfy.model_patcher
    import comfy.supported_models

    class ClosedForm(comfy.model_base.BaseModel):
        def apply_model(self, x, t, *args, **kwargs):
            sigma = t.view(-1, 1, 1, 1)
            signal = 1 - sigma if kind == "flow" else torch.ones_like(sigma)
            # g and x / signal multiplied out, since a flow's signal is 0 at sigma 1
            return MU + S**2 * signal / ((S * signal) ** 2 + sigma**2) * (x - signal * MU)

        def memory_required(self, *args, **kwargs):
            return 0

        def extra_conds(self, **kwargs):
            return {}

        def get_dtype(self):
            return torch.float32

    config = comfy.supported_models.SD15({"disable_unet_model_creation": True})
    config.set_inference_dtype(torch.float32, None)
    config.sampling_settings = {"shift": shift} if kind == "flow" else {}
    base = ClosedForm(config, getattr(comfy.model_base.ModelType, kind.upper()))
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(base, load_device=cpu, offload_device=cpu)


@pytest.fixture(scope="module", autouse=True)
def no_prompt(booted):
    """Nodes are called outside of a prompt here; the host's progress hook asks for the last one."""
    booted.server.last_prompt_id = booted.server.last_node_id = None


@pytest.fixture(scope="module", params=["eps", "flow"])
def oracle(booted, request):
    return closed_form(request.param)


@pytest.fixture(scope="module")
def data():
    """A LATENT whose values, in the model's own scale, are N(MU, S^2)."""
    generator = torch.Generator().manual_seed(5)
    z = MU + S * torch.randn(1, 4, SIZE, SIZE, generator=generator)
    return {"samples": z / 0.18215}


TEXT = [[torch.zeros(1, 1, 8), {}]]


def sample(model, latent, scheduler="normal", sampler="euler", denoise=1.0, steps=STEPS):
    import nodes

    return nodes.KSampler().sample(model, 7, steps, 1.0, sampler, scheduler, TEXT, TEXT, latent, denoise)[0]


def stage(model, latent, scheduler, start, end, first, sampler="euler", steps=STEPS, denoise=1.0):
    import nodes

    return nodes.common_ksampler(
        model, 7, steps, 1.0, sampler, scheduler, TEXT, TEXT, latent, denoise, disable_noise=not first,
        start_step=start, last_step=end, force_full_denoise=False,
    )[0]  # fmt: skip


def whole_schedule(model, scheduler, denoise=1.0, steps=STEPS):
    import comfy.samplers

    return comfy.samplers.KSampler(model, steps, "cpu", "euler", scheduler, denoise, {}).sigmas


def patched(model, mode="timestep", strength=1.0, sigmas=None, original=None):
    from isi.host.conditioning.differential import Release, patch

    return patch(model, Release(mode, strength, sigmas), original)


def masked(latent, mask):
    mask = torch.as_tensor(mask, dtype=torch.float32)
    return latent | {"noise_mask": mask.expand(1, SIZE, SIZE) if mask.dim() == 0 else mask}


def ramp():
    """From 0 to 1 over the columns, with both ends reached."""
    return torch.linspace(0, 1, SIZE).expand(1, SIZE, SIZE)


class Counter:
    """Counts at how many model calls each pixel is free."""

    def __init__(self, model):
        self.release = model.model_options["denoise_mask_function"]
        self.free, self.calls = 0, 0

    def __call__(self, sigma, denoise_mask, extra_options):
        mask = self.release(sigma, denoise_mask, extra_options)
        self.free, self.calls = self.free + mask, self.calls + 1
        return mask


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_mask_zero_keeps_the_original_bit_for_bit(oracle, data, scheduler):
    for mode, denoise, stages in itertools.product(("timestep", "step", "calibrated"), (1.0, 0.5), (1, 2)):
        sigmas = whole_schedule(oracle, scheduler, denoise)
        latent = masked(data, ramp())
        before = data["samples"].clone()
        model = patched(oracle, mode, sigmas=sigmas, original=data)
        if stages == 1:
            out = sample(patched(oracle, mode), latent, scheduler, denoise=denoise)
        else:
            out = stage(model, latent, scheduler, 0, 8, True, denoise=denoise)
            out = stage(model, out, scheduler, 8, 10000, False, denoise=denoise)
        difference = (out["samples"] - data["samples"]).abs()
        assert torch.equal(out["samples"][..., 0], data["samples"][..., 0])
        assert difference[..., -1].max() > 0.1
        assert torch.equal(data["samples"], before)


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "heun", "uni_pc"])
def test_the_model_is_shown_the_original_under_the_same_noise_in_both_stages(oracle, data, sampler):
    import comfy.sample

    model = patched(oracle, "step", sigmas=whole_schedule(oracle, "karras"), original=data)
    shown = []

    def record(executor, x, timestep, options, seed):
        shown.append((x[..., 0].clone(), timestep[0].clone()))
        return executor(x, timestep, options, seed)

    model.add_wrapper_with_key("predict_noise", "test", record)
    half = stage(model, masked(data, ramp()), "karras", 0, 8, True, sampler)
    first = len(shown)
    stage(model, half, "karras", 8, 10000, False, sampler)
    assert len(shown) > first > 0
    scaling = oracle.model.model_sampling.noise_scaling
    z = data["samples"][..., 0] * 0.18215
    noise = comfy.sample.prepare_noise(data["samples"], 7)[..., 0]
    for x, sigma in shown:
        # at its largest sigma the host noises by sqrt(1 + sigma^2) instead of sigma: 0.3 % off
        assert torch.allclose(x, scaling(sigma, noise, z), atol=0.01 * float(sigma) + 1e-5)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_step_mode_frees_a_share_m_of_the_steps(booted, data, scheduler):
    for kind, shift in (("eps", 1.0), ("flow", 1.0), ("flow", 3.0), ("flow", 8.0)):
        model = patched(closed_form(kind, shift), "step")
        for denoise in (1.0, 0.5):
            counter = Counter(model)
            counted = model.clone()
            counted.set_model_denoise_mask_function(counter)
            sample(counted, masked(data, ramp()), scheduler, denoise=denoise)
            free = counter.free[0, 0, 0] / counter.calls
            assert ((free - ramp()[0, 0]).abs() <= 1 / counter.calls + 1e-6).all()
            assert (free.diff() >= 0).all()
            assert free[0] == 0 and free[-1] == 1


def test_mask_one_and_strength_zero_are_the_host_without_us(oracle, data):
    for mode, sampler in itertools.product(("timestep", "step", "calibrated"), ("euler", "dpmpp_2m_sde")):
        model = patched(oracle, mode, 0.7)
        ones = masked(data, 1.0)
        assert torch.equal(sample(model, ones, "karras", sampler)["samples"],
                           sample(oracle, ones, "karras", sampler)["samples"])  # fmt: skip
    assert torch.equal(sample(oracle, masked(data, 1.0))["samples"], sample(oracle, data)["samples"])
    grey = masked(data, ramp())
    assert torch.equal(
        sample(patched(oracle, strength=0.0), grey)["samples"], sample(oracle, grey)["samples"]
    )


def test_mask_one_is_bit_equal_in_the_second_stage_too(oracle, data):
    mask = torch.ones(1, SIZE, SIZE)
    mask[..., :4] = 0
    ours = patched(oracle, "step", sigmas=whole_schedule(oracle, "normal"), original=data)
    half = stage(oracle, masked(data, mask), "normal", 0, 8, True)
    with_us = stage(ours, half, "normal", 8, 10000, False)["samples"]
    without = stage(oracle, half, "normal", 8, 10000, False)["samples"]
    assert torch.equal(with_us[..., 4:], without[..., 4:])


@pytest.mark.parametrize("mode", ["timestep", "step", "calibrated"])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_two_stages_are_one(oracle, data, scheduler, mode):
    model = patched(oracle, mode, sigmas=whole_schedule(oracle, scheduler), original=data)
    latent = masked(data, ramp())
    one = stage(model, latent, scheduler, 0, 10000, True)["samples"]
    assert torch.equal(one, stage(patched(oracle, mode), latent, scheduler, 0, 10000, True)["samples"])
    two = stage(model, stage(model, latent, scheduler, 0, 8, True), scheduler, 8, 10000, False)["samples"]
    assert (one - two).abs().max() * 0.18215 <= 1e-5


def test_two_stages_through_split_sigmas(host, oracle, data):
    latent = masked(data, ramp())
    (sigmas,) = host.call("BasicScheduler", model=oracle, scheduler="karras", steps=STEPS, denoise=1.0)
    high, low = host.call("SplitSigmas", sigmas=sigmas, step=8)
    model, _, _ = host.call(
        "ISI_DifferentialDiffusion", model=oracle, mode="step", strength=1.0, sigmas=sigmas, original=data
    )
    (guider,) = host.call("BasicGuider", model=model, conditioning=TEXT)
    (euler,) = host.call("KSamplerSelect", sampler_name="euler")
    (noise,) = host.call("RandomNoise", noise_seed=7)
    (none,) = host.call("DisableNoise")

    def run(noise, sigmas, latent):
        parts = {"noise": noise, "guider": guider, "sampler": euler, "sigmas": sigmas}
        return host.call("SamplerCustomAdvanced", **parts, latent_image=latent)[0]

    one = run(noise, sigmas, latent)["samples"]
    two = run(none, low, run(noise, high, latent))["samples"]
    assert (one - two).abs().max() * 0.18215 <= 1e-5
    assert torch.equal(two[..., 0], data["samples"][..., 0])


@pytest.mark.parametrize("mode", ["timestep", "step", "calibrated"])
def test_a_uniform_mask_is_image_to_image_from_the_release_on(oracle, data, mode):
    from isi.core.pictures.differential import release_step
    from isi.host.conditioning.differential import Release

    # below the largest sigma, where the host noises by sqrt(1 + sigma^2) instead of sigma
    sigmas = whole_schedule(oracle, "normal", 0.9)
    taus = Release(mode, 1.0).tau(sigmas[:-1], sigmas, oracle.model.model_sampling)
    m = torch.tensor(0.55)
    first = int(release_step(m.view(1, 1, 1), taus))
    assert 0 < first < STEPS
    ours = sample(patched(oracle, mode), masked(data, m), denoise=0.9)["samples"]
    import comfy.sample
    import comfy.samplers

    noise = comfy.sample.prepare_noise(data["samples"], 7)
    euler = comfy.samplers.sampler_object("euler")
    theirs = comfy.sample.sample_custom(
        oracle, noise, 1.0, euler, sigmas[first:], TEXT, TEXT, data["samples"], seed=7
    )
    assert (ours - theirs).abs().max() * 0.18215 <= 1e-5


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_a_released_region_has_the_spread_of_full_sampling(booted, strength):
    generator = torch.Generator().manual_seed(3)
    z = MU + S * torch.randn(1, 4, 64, 64, generator=generator)
    for kind, m in itertools.product(("eps", "flow"), (0.3, 0.7)):
        model = closed_form(kind)
        latent = {"samples": z / 0.18215}
        full = sample(model, latent, sampler="dpmpp_2m")["samples"].std()
        latent["noise_mask"] = torch.full((1, 64, 64), m)
        for mode in ("timestep", "step", "calibrated"):
            ours = sample(patched(model, mode, strength), latent, sampler="dpmpp_2m")["samples"].std()
            assert abs(ours / full - 1) < 0.03, (kind, mode, m)


@pytest.mark.parametrize("scheduler", ["normal", "karras", "sgm_uniform"])
def test_calibrated_grey_is_the_share_of_new_variance(booted, scheduler):
    """1 - corr^2 between the original and the result is m, as far as the denoise lets it."""
    generator = torch.Generator().manual_seed(4)
    z = torch.randn(1, 4, 64, 64, generator=generator)
    runs = (("eps", 1.0, 1.0), ("eps", 1.0, 0.8), ("flow", 1.0, 1.0), ("flow", 3.0, 0.8))
    for kind, shift, denoise in runs:
        oracle = closed_form(kind, shift)
        start = whole_schedule(oracle, scheduler, denoise, 60)[0]
        most = float(start**2 / (start**2 + ((1 - start) ** 2 if kind == "flow" else 1)))
        for m in (0.25, 0.5, 0.75):
            latent = {"samples": z / 0.18215, "noise_mask": torch.full((1, 64, 64), m)}
            out = sample(patched(oracle, "calibrated"), latent, scheduler, steps=60, denoise=denoise)
            both = torch.stack([z.flatten(), out["samples"].flatten()])
            share = 1 - torch.corrcoef(both)[0, 1] ** 2
            assert abs(share - min(m, most)) < 0.08, (kind, shift, denoise, m, share)


def test_more_grey_is_more_change(oracle, data):
    wide = {"samples": data["samples"].repeat(1, 1, 4, 1), "noise_mask": ramp().repeat(1, 4, 1)}
    for mode in ("timestep", "step", "calibrated"):
        out = sample(patched(oracle, mode), wide, "simple")["samples"]
        change = (out - wide["samples"]).abs().mean((0, 1, 2))
        ranks = change.argsort().argsort().float()
        assert torch.corrcoef(torch.stack([ranks, torch.arange(SIZE).float()]))[0, 1] > 0.9


def test_errors_come_before_sampling_and_name_the_input(oracle, data):
    plain = patched(oracle, "step")
    with pytest.raises(ValueError, match="whole schedule.*`sigmas`"):
        stage(plain, masked(data, ramp()), "normal", 0, 8, True)
    binary = masked(data, (ramp() > 0.5).float())
    half = stage(plain, binary, "normal", 0, 8, True)
    with pytest.raises(ValueError, match="Connect the LATENT.*`original`"):
        stage(plain, half, "normal", 8, 10000, False)
    small = patched(oracle, "step", original={"samples": torch.zeros(1, 4, 8, 8)})
    with pytest.raises(ValueError, match=r"\[1, 4, 8, 8\].*\[1, 4, 16, 16\]"):
        sample(small, binary)
    with pytest.raises(ValueError, match="has no steps"):
        patched(oracle, sigmas=torch.tensor([]))


def test_the_node_shows_when_each_pixel_is_released(host, oracle):
    (sigmas,) = host.call("BasicScheduler", model=oracle, scheduler="karras", steps=10, denoise=1.0)
    model, share, picture = host.call(
        "ISI_DifferentialDiffusion", model=oracle, mode="step", strength=1.0, sigmas=sigmas, mask=ramp()
    )
    assert torch.allclose(share, (ramp() * 10 + 1e-4).floor() / 10)
    assert picture.shape[0] == 1 and picture.shape[3] == 3 and picture.min() >= 0 and picture.max() <= 1
    assert model is not oracle and "denoise_mask_function" not in oracle.model_options
    # with nothing connected it shows a ramp
    _, share, _ = host.call("ISI_DifferentialDiffusion", model=oracle, mode="timestep", strength=1.0)
    assert share[0, 0, 0] == 0 and share[0, 0, -1] == 1 and (share[0, 0].diff() >= 0).all()


def test_a_bad_mode_does_not_validate(host, oracle):
    with pytest.raises(Failed):
        host.call("ISI_DifferentialDiffusion", model=oracle, mode="sideways", strength=1.0)


def test_a_batch_shares_one_original(booted, oracle, data):
    batch = {"samples": data["samples"].repeat(3, 1, 1, 1), "noise_mask": ramp()}
    model = patched(oracle, "step", sigmas=whole_schedule(oracle, "normal"), original=data)
    half = stage(model, batch, "normal", 0, 8, True)
    out = stage(model, half, "normal", 8, 10000, False)["samples"]
    assert torch.equal(out[..., 0], batch["samples"][..., 0])
