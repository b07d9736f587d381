"""Differential diffusion as a model patch, the same under every scheduler and across sampling stages.

Three seams of the patcher are used. The denoise mask function says at each model call which pixels are
free. A sampler wrapper gives a stage that continues from leftover noise the original latent to hold on to
(the host would hold the noisy latent of the first stage). An outer wrapper checks the inputs before anything
is sampled, and puts the original back bit for bit where the mask is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import comfy.patcher_extension
import comfy.sample
import comfy.samplers
import comfy.utils
import torch
from torch import Tensor

from ...core.pictures.differential import (
    open_mask,
    release_picture,
    release_step,
    tau_calibrated,
    tau_step,
    tau_timestep,
)

KEY = "ISI_DifferentialDiffusion"


@dataclass(frozen=True, eq=False)
class Release:
    """Which mask value is free at which sigma. `sigmas` is the whole schedule, None to use a run's own."""

    mode: str
    strength: float
    sigmas: Tensor | None = None

    def tau(self, sigma: Tensor, sigmas: Tensor, model_sampling: Any) -> Tensor:
        """The threshold at each of `sigma` `[n]` within the schedule `sigmas`."""
        if self.mode == "step":
            return tau_step(sigma, sigmas)
        if self.mode == "timestep":
            # As the host's schedulers have it, model time ends at the smallest sigma that was trained.
            time = model_sampling.timestep
            end = torch.as_tensor(model_sampling.sigma_min).to(sigma)
            return tau_timestep(time(sigma).float(), time(sigmas[:1].to(sigma)).float(), time(end).float())
        one, zero = torch.ones_like(sigma), torch.zeros_like(sigma)
        noise = model_sampling.noise_scaling(sigma, one.clone(), zero)
        signal = model_sampling.noise_scaling(sigma, zero.clone(), one)
        return tau_calibrated(noise, signal)

    def __call__(self, sigma: Tensor, denoise_mask: Tensor, extra_options: dict) -> Tensor:
        """The host's denoise mask function: called at each model call with its sigma."""
        sigmas = extra_options["sigmas"] if self.sigmas is None else self.sigmas
        model_sampling = extra_options["model"].inner_model.model_sampling
        return open_mask(denoise_mask, self.tau(sigma[:1], sigmas, model_sampling)[0], self.strength)


@dataclass(frozen=True, eq=False)
class Hold:
    """Keeps hold of the original. `original` is the latent that the first stage started from, or None."""

    release: Release
    original: Tensor | None

    def outer_sample(
        self, executor, noise, latent_image, sampler, sigmas, denoise_mask=None, *args, **kwargs
    ):
        """Checks before sampling; restores mask 0 after a run that ends without noise."""
        if denoise_mask is None:
            return executor(noise, latent_image, sampler, sigmas, denoise_mask, *args, **kwargs)
        self._check(noise, sigmas, denoise_mask)
        original = latent_image
        if self.original is not None:
            original = _like(self.original, latent_image, executor.class_obj)
        ends_clean = float(sigmas[-1]) == 0  # asked now, since uni_pc writes into its schedule
        samples = executor(noise, latent_image, sampler, sigmas, denoise_mask, *args, **kwargs)
        if not ends_clean:
            return samples
        return torch.where(denoise_mask.to(samples.device) == 0, original.to(samples), samples)

    def sampler_sample(
        self, executor, guider, sigmas, extra_args, callback, noise, latent_image, denoise_mask=None, *args
    ):
        """Makes the original what is held, without changing where sampling starts."""
        if denoise_mask is not None and self.original is not None:
            original = _like(self.original, latent_image, guider).to(latent_image)
            if torch.count_nonzero(original):  # the host leaves an empty latent as it is
                original = guider.inner_model.process_latent_in(original)
            if not torch.count_nonzero(noise):
                noise = _leftover(guider, sigmas[:1], noise, latent_image, original, denoise_mask)
            latent_image = torch.where(denoise_mask < 1, original, latent_image)
        return executor(guider, sigmas, extra_args, callback, noise, latent_image, denoise_mask, *args)

    def _check(self, noise: Tensor, sigmas: Tensor, mask: Tensor) -> None:
        continues = not torch.count_nonzero(noise)
        if continues and self.original is None and bool((mask < 1).any()):
            raise ValueError(
                "This sampling stage starts from leftover noise, so the latent under the mask is noisy and "
                "can't be kept. Connect the LATENT that the first stage started from to `original` of "
                "ISI Differential Diffusion."
            )
        partial = continues or float(sigmas[-1]) > 0
        grey = bool(((mask > 0) & (mask < 1)).any())
        if partial and grey and self.release.mode != "calibrated" and self.release.sigmas is None:
            raise ValueError(
                "This sampling stage is a part of a longer schedule, so the grey of the mask can't be timed. "
                "Connect the whole schedule (BasicScheduler, before it is split) to `sigmas` of ISI "
                "Differential Diffusion, or use its mode `calibrated`."
            )


def _like(original: Tensor, latent: Tensor, guider: Any) -> Tensor:
    """`original` laid out as the host laid out `latent`: packed, with a frame axis, repeated to the batch."""
    if original.is_nested:
        original, _ = comfy.utils.pack_latents(original.unbind())
    original = comfy.sample.fix_empty_latent_channels(guider.model_patcher, original)
    if original.shape[1:] != latent.shape[1:]:
        raise ValueError(
            f"`original` of ISI Differential Diffusion has the shape {list(original.shape)}, the latent that "
            f"is sampled {list(latent.shape)}; connect the LATENT that the first stage started from."
        )
    return comfy.utils.repeat_to_batch_size(original, latent.shape[0])


def _leftover(guider, sigma, noise, latent, original, mask) -> Tensor:
    """The noise with which `original` is noised to the very picture that sampling starts from.

    Noising is affine in the noise, x = gain * noise + noise_scaling(sigma, 0, original): solved for the
    noise, for every parametrisation alike. Where the mask is 1 the noise stays as it is, to the bit.
    """
    scaling = guider.inner_model.model_sampling.noise_scaling
    zero = torch.zeros_like(noise)
    start = scaling(sigma, noise, latent)
    gain = scaling(sigma, torch.ones_like(noise), zero)
    return torch.where(mask < 1, (start - scaling(sigma, zero, original)) / gain, noise)


def patch(model: Any, release: Release, original: dict | None = None) -> Any:
    """A clone of `model` that samples by `release`. At strength 0 the model itself.

    `original` is the LATENT that the first stage started from; a single stage needs none. Raises ValueError
    for a schedule without steps.
    """
    if release.sigmas is not None and len(release.sigmas) < 2:
        raise ValueError(
            "The schedule at `sigmas` of ISI Differential Diffusion has no steps; connect a BasicScheduler "
            "with a denoise above 0."
        )
    if release.strength == 0:
        return model
    patched = model.clone()
    patched.set_model_denoise_mask_function(release)
    hold = Hold(release, None if original is None else original["samples"])
    wrappers = comfy.patcher_extension.WrappersMP
    for seam, wrapper in (
        (wrappers.OUTER_SAMPLE, hold.outer_sample),
        (wrappers.SAMPLER_SAMPLE, hold.sampler_sample),
    ):
        patched.remove_wrappers_with_key(seam, KEY)
        patched.add_wrapper_with_key(seam, KEY, wrapper)
    return patched


def preview(model: Any, release: Release, mask: Tensor) -> tuple[Tensor, Tensor]:
    """For `mask` `[B, H, W]`: the share of the steps at which each pixel is free (0..1), and a picture of it.

    Without a schedule of its own `release` is shown on 20 steps of the scheduler `normal`.
    """
    model_sampling = model.get_model_object("model_sampling")
    sigmas, schedule = release.sigmas, "the connected schedule"
    if sigmas is None:
        sigmas, schedule = comfy.samplers.calculate_sigmas(model_sampling, "normal", 20), "normal, 20 steps"
    steps = len(sigmas) - 1
    taus = release.tau(sigmas[:-1], sigmas, model_sampling)
    released = release_step(mask.float().cpu(), taus.cpu(), release.strength)
    caption = f"{release.mode}, strength {release.strength:g}, {schedule}"
    return 1 - released / steps, release_picture(released, steps, caption)
