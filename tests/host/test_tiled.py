"""Tiled sampling against the untiled host, with denoisers whose answer is known."""

import pytest
import torch

from .oracles import oracle, sample

pytestmark = pytest.mark.usefixtures("booted")


def tiled(model, **settings):
    from isi.core.tiling import Tiling
    from isi.host.tiled import TiledHandler, patch_tiled

    prompts, share = settings.pop("prompts", ()), settings.pop("share", 0.0)
    defaults = {"tile": 128, "overlap": 32}
    return patch_tiled(model, TiledHandler(Tiling(**defaults | settings), prompts, share, progress=False))


def pointwise(call):
    """The exact posterior mean of data N(mu, s^2) in each cell; mu depends on the prompt."""
    mu, s2 = call["c_crossattn"].mean((1, 2)).reshape(-1, *[1] * (call["x"].ndim - 1)) * 0.3, 0.5
    return (s2 * call["x"] + call["sigma"] ** 2 * mu) / (s2 + call["sigma"] ** 2)


def latent(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "uni_pc", "dpmpp_2m_sde", "euler_ancestral"])
def test_a_pointwise_denoiser_is_the_same_tiled_and_untiled(sampler):
    model, start = oracle(pointwise), latent(2, 4, 37, 52)
    plain = sample(model, start, sampler=sampler, cfg=3.0)
    for settings in ({}, {"blend": "gaussian"}, {"blend": "linear", "shift": True}, {"wrap": "both"}):
        ours = sample(tiled(model, **settings), start, sampler=sampler, cfg=3.0)
        assert (ours - plain).abs().max() <= 1e-6 * plain.abs().max().clamp(min=1), settings
    assert max(shape[-1] for shape in model.model.calls[-8:]) < 52


def test_one_tile_that_covers_all_is_bit_equal(model):
    start = latent(1, 4, 16, 24)
    text = [[latent(1, 77, 64, seed=5), {}]]
    plain = sample(model, start, positive=text, negative=text, cfg=2.0)
    assert torch.equal(sample(tiled(model, tile=192), start, positive=text, negative=text, cfg=2.0), plain)
