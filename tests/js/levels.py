"""The steps of a schedule that the page, which knows no model, takes for its estimates."""

import torch
from isi.core.pictures.differential import tau_calibrated, tau_step, tau_timestep


def taus(mode: str, steps: int):
    """The thresholds of the scheduler `normal` with the noise levels of SD 1.5 and SDXL."""
    times = torch.linspace(999, 0, steps, dtype=torch.float64)
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    alphas = (1 - betas).cumprod(0)
    logs = ((1 - alphas) / alphas).log() / 2
    sigmas = torch.lerp(logs[times.floor().long()], logs[times.ceil().long()], times.frac()).exp()
    if mode == "timestep":
        return tau_timestep(times, times[0], torch.zeros_like(times[0]))
    if mode == "step":
        return tau_step(sigmas, torch.cat([sigmas, sigmas.new_zeros(1)]))
    return tau_calibrated(sigmas, torch.ones_like(sigmas))
