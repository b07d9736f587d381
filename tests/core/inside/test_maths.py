"""The formulas of what acts inside a step, each against its closed form or another library."""

import math

import numpy as np
import pytest
import torch
from isi.core.inside.detail import told
from isi.core.inside.frequency import locked, low
from isi.core.inside.mirror import TURNS, symmetric, turned
from isi.core.inside.mix import cosine_weight, skip_residual
from isi.core.inside.portion import Portion
from isi.core.inside.tone import Colours, Tone, measured, shares, toned
from scipy import ndimage


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20, 100])
def test_windows_that_share_an_end_share_no_step_and_lose_none(count):
    for cut in range(101):
        before, after = Portion(0.0, cut / 100).steps(count), Portion(cut / 100, 1.0).steps(count)
        assert [*before, *after] == list(range(count))
        assert len(before) == cut * count // 100
    assert not Portion(0.7, 0.3).steps(count)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 3.0])
def test_the_hold_falls_from_one_to_zero(alpha):
    weights = [cosine_weight(t / 100, alpha) for t in range(101)]
    assert weights[0] == 0 and weights[-1] == 1
    assert weights == sorted(weights)
    assert math.isclose(cosine_weight(0.5, alpha), 0.5**alpha)


def test_the_skip_residual_is_linear_and_exact_at_its_ends():
    a, b = random(1, 4, 8, 8), random(1, 4, 8, 8, seed=1)
    assert torch.equal(skip_residual(a, b, 0.0), a) and torch.equal(skip_residual(a, b, 1.0), b)
    assert torch.allclose(skip_residual(a, b, 0.25), 0.25 * b + 0.75 * a)


def test_less_noise_is_told_of_in_the_middle_alone():
    factors = [told(0.3, place, 101) for place in range(101)]
    assert math.isclose(factors[50], 0.7) and min(factors) == factors[50]
    assert factors[0] > 0.999 and np.allclose(factors, factors[::-1])
    more = [told(-0.3, place, 101) for place in range(101)]
    assert np.allclose(np.add(factors, more), 2)
    assert min(told(1.0, place, 3) for place in range(3)) > 0


@pytest.mark.parametrize("turn", TURNS)
def test_a_symmetric_picture_is_what_the_turn_leaves_as_it_is(turn):
    x = random(2, 4, 6, 6).float()
    made = symmetric(x, turn)
    assert torch.equal(turned(made, turn), made)
    # It is the nearest such picture: what was taken away has no symmetric part.
    assert symmetric(x - made, turn).abs().max() < 1e-6
    turns = {"left-right": np.fliplr, "up-down": np.flipud, "half turn": lambda p: np.rot90(p, 2)}
    theirs = turns.get(turn, np.rot90)(x[0, 0].numpy())
    assert np.array_equal(turned(x, turn)[0, 0].numpy(), theirs)


@pytest.mark.parametrize("cutoff", [1.0, 4.0, 13.0])
def test_the_low_band_is_a_gaussian_that_halves_waves_of_the_cutoff(cutoff):
    x = random(2, 3, 40, 31)
    sigma = cutoff * math.sqrt(math.log(2) / 2) / math.pi
    theirs = ndimage.gaussian_filter(x.numpy(), (0, 0, sigma, sigma), mode="nearest", truncate=8)
    assert np.abs(low(x, cutoff).numpy() - theirs).max() < 1e-3
    along = torch.arange(400, dtype=torch.float64) * (2 * math.pi / cutoff) + 0.3
    wave = torch.sin(along).expand(1, 1, 3, 400)
    if cutoff > 2:
        assert torch.allclose(low(wave, cutoff)[..., 100:300], wave[..., 100:300] / 2, atol=2e-3)


def test_a_lock_gives_the_low_band_of_the_picture_and_keeps_the_rest():
    d, z = random(1, 4, 32, 32), random(1, 4, 32, 32, seed=1)
    made = locked(d, z, 6.0, 1.0)
    assert torch.allclose(made - low(z, 6.0), d - low(d, 6.0))
    assert torch.equal(locked(d, z, 6.0, 0.0), d)


@pytest.fixture(params=[4, 16])
def colours(request):
    return Colours(random(request.param, 3), random(3, seed=2))


NAMES = ("red", "green", "blue")


@pytest.mark.parametrize("name", NAMES)
def test_the_colour_asked_for_is_the_colour_that_comes(colours, name):
    z = random(2, len(colours.factors), 5, 6)
    change = colours.seen(toned(z, colours, Tone(**{name: 0.2}), 1.0)) - colours.seen(z)
    wanted = torch.tensor([0.2 * (name == one) for one in NAMES], dtype=torch.float64)
    assert torch.allclose(change, wanted.expand(change.shape), atol=1e-6)


def test_tones_are_what_their_words_say(colours):
    z = random(2, len(colours.factors), 5, 6)
    was = colours.seen(z)
    luma = was @ torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
    grey = colours.seen(toned(z, colours, Tone(saturation=-1.0), 0.3))  # grey is grey, at any share
    assert torch.allclose(grey, luma[..., None].expand(was.shape), atol=1e-6)
    flat = colours.seen(toned(z, colours, Tone(contrast=-0.5), 1.0))
    mean = was.mean((1, 2), keepdim=True)
    assert torch.allclose(flat - mean, (was - mean) / 2, atol=1e-6)
    lighter = colours.seen(toned(z, colours, Tone(brightness=0.1), 1.0))
    assert torch.allclose(lighter, was + 0.1, atol=1e-6)
    # No smaller change of the latent gives these colours: the factors span it.
    change = (toned(z, colours, Tone(red=0.3, contrast=0.4), 1.0) - z).movedim(1, -1).reshape(-1, z.shape[1])
    spanned = torch.linalg.lstsq(colours.factors, change.T).solution
    assert torch.allclose(colours.factors @ spanned, change.T, atol=1e-6)


def test_shares_of_a_tone_make_it_whole(colours):
    z = random(1, len(colours.factors), 4, 4)
    tone = Tone(contrast=0.3, saturation=-0.4)
    whole, halves = toned(z, colours, tone, 1.0), toned(toned(z, colours, tone, 0.5), colours, tone, 0.5)
    assert torch.allclose(whole, halves, atol=1e-6)


def test_a_change_that_the_model_keeps_adds_up_to_what_was_asked_for():
    """Euler with a model that takes every picture for finished: D(x) = x, plus the share of a change of 1."""
    sigmas = torch.tensor([14.6, 6.0, 2.5, 1.1, 0.4, 0.03, 0.0])
    for steps in (range(6), range(2, 5), range(5, 6)):
        x, share = 0.0, shares(sigmas, steps)
        for step in range(6):
            denoised = x + share * (step in steps)
            x = denoised + (x - denoised) * float(sigmas[step + 1] / sigmas[step])
        assert math.isclose(x, 1.0, rel_tol=1e-5)


def test_a_vae_that_is_linear_is_measured_as_it_is():
    back, offset = random(3, 4), random(4, seed=3)
    colours = torch.rand(9, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    found = measured((2 * colours - 1) @ back + offset, colours)
    colour = torch.tensor([0.55, 0.15, 0.7], dtype=torch.float64)
    z = ((2 * colour - 1) @ back + offset)[None, :, None, None]
    assert torch.allclose(found.seen(z)[0, 0, 0], colour)
    assert torch.allclose(found.change(colour[None])[0], 2 * colour @ back)
