"""Release: thresholds and masks against the paper's own loop, and properties of each mode."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from isi.core.pictures.differential import (
    open_mask,
    release_picture,
    release_step,
    tau_calibrated,
    tau_step,
    tau_timestep,
)


def falling(steps: int, seed: int) -> torch.Tensor:
    sigmas = torch.rand(steps, generator=torch.Generator().manual_seed(seed)).add(0.01).cumsum(0).flip(0)
    return torch.cat([sigmas, torch.zeros(1)])


def test_uniform_timesteps_give_the_papers_masks():
    """Algorithm 1: at step i of N the pixels with change > 1 - i/N are free (here m = 1 - the paper's mu)."""
    n, change = 10, torch.linspace(0, 1, 256)
    for i in range(n):
        t = torch.tensor([1000.0 * (n - i) / n])
        tau = tau_timestep(t, torch.tensor(1000.0), torch.tensor(0.0))
        paper = (1 - change <= i / n + 1e-6) & (change > 0)
        assert torch.equal(open_mask(change, tau[0]).bool(), paper)


@given(st.integers(1, 60), st.integers(0, 10_000), st.floats(0, 1))
def test_in_step_mode_a_share_m_of_the_steps_is_free(steps, seed, m):
    sigmas = falling(steps, seed)
    taus = tau_step(sigmas[:-1], sigmas)
    first = int(release_step(torch.tensor([m]), taus))
    assert abs((steps - first) / steps - m) <= 1 / steps + 1e-5


@given(st.integers(1, 60), st.integers(0, 10_000), st.floats(0.05, 1))
def test_release_step_is_where_open_mask_opens(steps, seed, strength):
    mask = torch.linspace(0, 1, 33)
    taus = torch.rand(steps, generator=torch.Generator().manual_seed(seed)).sort(descending=True).values
    taus[-1] = 0  # schedules that end at the smallest trained sigma
    opened = torch.stack([open_mask(mask, tau, strength) for tau in taus])
    assert torch.equal(steps - opened.sum(0).long(), release_step(mask, taus, strength))
    assert (opened.diff(dim=0) >= 0).all(), "a free pixel stays free"
    assert (opened.diff(dim=1) >= 0).all(), "more grey is released no later"
    assert opened[:, 0].sum() == 0 and opened[:, -1].sum() == steps


def test_a_sigma_between_two_of_the_schedule_belongs_to_its_step():
    sigmas = torch.tensor([14.0, 5.0, 2.0, 0.5, 0.0])
    assert tau_step(torch.tensor([14.0, 9.0, 5.0, 4.9, 0.1]), sigmas).tolist() == [1, 1, 0.75, 0.75, 0.25]


@pytest.mark.parametrize("k", range(0, 256, 5))
def test_eight_bit_masks_reach_their_own_step(k):
    sigmas = falling(255, 0)
    first = int(release_step(torch.tensor([k / 255]), tau_step(sigmas[:-1], sigmas)))
    assert first == 255 - k


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 1))
def test_lower_strength_never_holds_longer(m, tau, strength):
    mask, tau = torch.tensor([m]), torch.tensor(tau)
    assert open_mask(mask, tau, strength) >= open_mask(mask, tau)


def test_calibrated_threshold_is_the_share_of_new_variance():
    """Gaussian data z of unit variance; the flow's end point x' = x / sqrt(signal^2 + noise^2)."""
    generator = torch.Generator().manual_seed(0)
    z, eps = torch.randn(2, 200_000, generator=generator)
    for signal, noise in ((1.0, 0.5), (1.0, 3.0), (0.4, 0.6)):
        again = (signal * z + noise * eps) / (signal**2 + noise**2) ** 0.5
        new = 1 - torch.corrcoef(torch.stack([z, again]))[0, 1] ** 2
        assert abs(float(tau_calibrated(torch.tensor(noise), torch.tensor(signal)) - new)) < 0.01


def test_the_picture_tells_never_from_late_and_early():
    released = torch.tensor([[[0, 9, 10]]])
    picture = release_picture(released, 10, "step")
    colours = [picture[0, 0, (2 * i + 1) * picture.shape[2] // 6] for i in range(3)]
    assert colours[0].mean() > colours[1].mean()
    assert torch.allclose(colours[2], torch.full((3,), 0.5))
