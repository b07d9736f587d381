"""DemoFusion in the host's samplers, with denoisers whose answer is known."""

import pytest
import torch

from ..oracles import oracle, prompt, sample

pytestmark = pytest.mark.usefixtures("booted")


def fused(model, scale=2, **tiling):
    from isi.core.tiles.demofusion import DemoFusion
    from isi.core.tiles.tiling import Tiling
    from isi.host.tiles.demofusion import patch_demofusion
    from isi.host.tiles.tiled import TiledHandler, patch_tiled

    if tiling:
        model = patch_tiled(model, TiledHandler(Tiling(**tiling), progress=False))
    return patch_demofusion(model, DemoFusion(scale))


def smooth(*shape, seed=0):
    z = torch.randn(*shape[:-2], 9, 9, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(z, shape[-2:], mode="bicubic")


def towards(call):
    """A denoiser between x and the canvas that the prompt holds."""
    return torch.lerp(call["x"], call["c_concat"], 0.5)


@pytest.mark.parametrize("size", [(32, 48), (33, 47)])
@pytest.mark.parametrize("flow", [False, True])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_denoiser_that_returns_z0_gives_z0(size, flow, batch):
    model = oracle(lambda call: call["c_concat"], flow=flow)
    z_0 = smooth(2, 4, *size)
    known = prompt(canvas=model.model.process_latent_in(z_0))
    ours = fused(model, tile=192, overlap=32, batch=batch)
    for sampler in ("euler", "dpmpp_2m"):
        out = sample(ours, z_0, sampler=sampler, positive=known, negative=known, denoise=0.8, steps=6)
        assert (out - z_0).abs().max() <= 1e-5 * z_0.abs().max(), sampler


def test_scale_one_is_the_model_itself():
    model = oracle(towards)
    assert fused(model, 1) is model


def test_the_skip_residual_holds_to_the_picture():
    def away(call):
        return call["c_concat"]

    model, z_0 = oracle(away), smooth(1, 4, 32, 32)
    elsewhere = prompt(canvas=torch.zeros(1, 4, 32, 32))
    settings = {"positive": elsewhere, "negative": elsewhere, "steps": 8}
    x = []

    def watch(step, denoised, noisy, total):
        x.append(noisy.clone())

    sample(fused(model), z_0, callback=watch, **settings)
    held, x = x, []
    sample(model, z_0, callback=watch, **settings)
    # The first steps, where c1 is near 1, stay near the noised picture; plain sampling leaves it at once.
    from isi.core.inside.mix import cosine_weight

    assert cosine_weight(1.0, 3.0) == 1
    source = model.model.process_latent_in(z_0)
    assert ((held[2] - x[2]) * source).mean() > 0


def test_the_model_never_sees_more_than_a_tile():
    model, z_0 = oracle(towards), smooth(1, 4, 96, 64)
    known = prompt(canvas=z_0)
    fusing = fused(model, 2, tile=192, overlap=32)
    sample(fusing, z_0, positive=known, negative=known, steps=2, scheduler="simple")
    assert max(max(shape[-2:]) for shape in model.model.calls) <= 24
    # All cells of the canvas once (4 x 4 offsets, since every second cell would be larger than a tile).
    assert model.model.calls.count((1, 4, 24, 16)) == 2 * 16


def test_a_sampler_of_another_kind_is_refused():
    import comfy.samplers

    class Other(comfy.samplers.Sampler):
        def sample(self, *args, **kwargs):
            raise AssertionError

    guider = comfy.samplers.CFGGuider(fused(oracle(towards)))
    guider.set_conds(prompt(), prompt())
    z_0 = smooth(1, 4, 16, 16)
    with pytest.raises(ValueError, match="choose one of KSampler"):
        guider.sample(z_0, z_0, Other(), torch.tensor([1.0, 0.0]))


def test_a_prompt_that_changes_is_timed_as_with_the_sampler_alone():
    import comfy.samplers
    from isi.host.inside.during import with_ahead
    from isi.host.prompts.by_step import LOOKS_AHEAD, Clock

    seen = set()
    for name in comfy.samplers.KSAMPLER_NAMES:
        if name in ("dpm_fast", "dpm_adaptive"):
            continue  # the host has a function of its own round these, and they look at no later step
        plain = comfy.samplers.ksampler(name)
        skipping = with_ahead(plain, None, None)
        clocks = [Clock(torch.tensor([9.0, 1.0, 0.0]), one) for one in (plain, skipping)]
        assert clocks[0].reach == clocks[1].reach and clocks[0].skips_last == clocks[1].skips_last
        seen.add(clocks[1].reach)
    assert seen == {0, *(reach for reach, _ in LOOKS_AHEAD.values())}
