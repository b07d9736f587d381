"""Noise that belongs together keeps the statistics of noise, and is what it was at both ends."""

import numpy as np
import pytest
import torch
from isi.core.inside.noise import in_the_centre, reach, slerp, walked

AMOUNTS = (0.0, 0.05, 0.2, 0.5, 0.8, 0.95, 1.0)


def noise(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def by_columns(a, b, amount):
    """The great circle between two columns, from its textbook form: a turn in their plane."""
    out = np.empty_like(a)
    for channel in range(a.shape[0]):
        for x in range(a.shape[2]):
            p, q = a[channel, :, x], b[channel, :, x]
            one, other = p / np.linalg.norm(p), q / np.linalg.norm(q)
            upright = other - (one @ other) * one
            upright /= np.linalg.norm(upright)
            whole = np.arctan2(other @ upright, one @ other)
            # Lengths are mixed by the same two weights, which the two unit vectors solve for.
            point = np.cos(amount * whole) * one + np.sin(amount * whole) * upright
            weights, *_ = np.linalg.lstsq(np.stack([one, other], 1), point, rcond=None)
            out[channel, :, x] = weights[0] * p + weights[1] * q
    return out


@pytest.mark.parametrize("amount", AMOUNTS[1:-1])
def test_each_column_of_a_channel_turns_on_its_great_circle(amount):
    a, b = noise(1, 4, 16, 12).double(), noise(2, 4, 16, 12).double()
    found = slerp(a[None], b[None], amount)[0]
    assert np.abs(found.numpy() - by_columns(a.numpy(), b.numpy(), amount)).max() < 1e-5


def test_over_a_thousand_seeds_deviation_stays_and_likeness_falls():
    shape = (1000, 4, 32, 32)
    base, other = noise(3, *shape), noise(4, *shape)
    likeness = []
    for amount in AMOUNTS:
        turned = slerp(base, other, amount)
        assert 0.99 <= turned.std() <= 1.01, amount
        likeness.append(float((turned * base).mean()))
    assert all(before > after for before, after in zip(likeness, likeness[1:], strict=False))
    assert likeness[0] > 0.99 and abs(likeness[-1]) < 0.01


def test_the_ends_are_the_noises_themselves_and_equal_ones_stay():
    a, b = noise(5, 2, 4, 8, 8), noise(6, 2, 4, 8, 8)
    assert torch.equal(slerp(a, b, 0.0), a) and torch.equal(slerp(a, b, 1.0), b)
    assert torch.allclose(slerp(a, a, 0.3), a)
    # Opposite ones, as all are that are one cell high: no arc is the shortest, and none may be endless.
    assert (slerp(a, -a, 0.3).abs() <= a.abs()).all()
    one, other = a[..., :1, :], b[..., :1, :]
    assert (slerp(one, other, 0.3).abs() <= torch.maximum(one.abs(), other.abs())).all()


def test_a_picture_of_a_batch_turns_alone():
    a, b = noise(7, 3, 4, 8, 8), noise(8, 3, 4, 8, 8)
    alone = torch.cat([slerp(a[i : i + 1], b[i : i + 1], 0.4) for i in range(3)])
    assert torch.equal(slerp(a, b, 0.4), alone)


def test_a_walk_keeps_or_takes_each_noise_and_drifts_between():
    noises = [noise(seed, 1, 4, 32, 32) for seed in range(6)]
    assert torch.equal(walked(noises, 0.0), noises[0]) and torch.equal(walked(noises, 1.0), noises[-1])
    paths = {amount: [walked(noises[: k + 1], amount) for k in range(6)] for amount in (0.1, 0.2, 0.5)}
    strides = [
        torch.stack([(b - a).pow(2).mean() for a, b in zip(path, path[1:], strict=False)]).mean()
        for path in paths.values()
    ]
    assert strides[0] < strides[1] < strides[2]
    assert all(0.97 < place.std() < 1.03 for path in paths.values() for place in path)


@pytest.mark.parametrize("amount", [0.3, 0.6, 0.95, 1.0])
def test_noises_out_of_reach_do_not_show(amount):
    noises = [noise(seed, 1, 2, 16, 16) for seed in range(reach(amount) + 20)]
    whole, late = walked(noises, amount), walked(noises[-reach(amount) :], amount)
    assert torch.allclose(whole, late, atol=1e-5)
    assert reach(amount) < 150
    if amount < 1:  # nearer ones do
        half = walked(noises[-reach(amount) // 2 :], amount)
        assert not torch.allclose(whole, half, atol=1e-5)


@pytest.mark.parametrize(("size", "small"), [((8, 8), (4, 6)), ((9, 8), (4, 5)), ((5, 7), (5, 7))])
def test_the_centre_is_the_small_noise_and_the_rest_the_large_one(size, small):
    whole, part = noise(9, 2, 4, *size), noise(10, 2, 4, *small)
    made, kept = in_the_centre(whole, part), whole.clone()
    margin = [(n - m, (n - m) // 2) for n, m in zip(size, small, strict=True)]
    rows, columns = (slice(start, start + m) for (_, start), m in zip(margin, small, strict=True))
    assert torch.equal(made[..., rows, columns], part)
    made[..., rows, columns] = kept[..., rows, columns]
    assert torch.equal(made, kept)
