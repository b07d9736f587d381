"""ISI Tone: brightness, contrast, saturation and colour of each prediction, on any model."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ...core.inside.portion import Portion
from ...core.inside.tone import Bracket, Colours, Tone, measured, shares, toned
from ..loop.moment import Moment, Needs, StepExtra
from .during import SamplingRun, around_predictions

SIDE, RIM = 64, 2
"""Of pictures that measure a VAE: the side in pixels, and the cells at their rims that are left out."""
COLOURS = torch.tensor(list(itertools.product((0.1, 0.5, 0.9), repeat=3)))


def patch_tone(model: Any, tone: Tone, portion: Portion, vae: Any = None) -> Any:
    """A clone of a MODEL whose predictions have a tone in steps of `portion`; with no tone the model itself.

    What colour a latent is, a VAE tells where one is given, else the host's own factors of its previews.
    Raises ValueError for a model without them.
    """
    if tone == Tone():
        return model
    form = model.get_model_object("latent_format")
    colours = by_previews(form) if vae is None else by_vae(vae, form)
    reshape = None if vae is not None else form.latent_rgb_factors_reshape

    def begin(run: SamplingRun):
        steps = portion.steps(run.count)
        if not steps:
            return None
        share = shares(run.sigmas, steps)

        def around(run: SamplingRun, predict, x: Tensor, options: dict) -> Tensor:
            made = predict()
            if run.step not in steps:
                return made
            if reshape is None:
                return toned(made, colours, tone, share)
            return _through(made, reshape, lambda z: toned(z, colours, tone, share))

        return around

    return around_predictions(model, "ISI_Tone", begin)


def by_previews(form: Any) -> Colours:
    """The host's factors of a latent format, with which it draws its previews."""
    if form.latent_rgb_factors is None:
        raise ValueError(
            "ComfyUI does not know the colours of this model's latents: connect the VAE of the model to vae "
            "of ISI Tone, which measures them."
        )
    factors = torch.tensor(form.latent_rgb_factors)
    bias = form.latent_rgb_factors_bias
    return Colours(factors, torch.zeros(3) if bias is None else torch.tensor(bias))


def by_vae(vae: Any, form: Any) -> Colours:
    """The colours of the latents of a VAE, from plain pictures of `COLOURS`."""
    if vae.latent_channels != form.latent_channels:
        raise ValueError(
            f"Expected a VAE with {form.latent_channels} latent channels, but got one with "
            f"{vae.latent_channels}: connect the VAE that belongs to this model to vae of ISI Tone."
        )
    plain = [vae.encode(colour.expand(1, SIDE, SIDE, 3)) for colour in COLOURS]
    inner = form.process_in(torch.cat(plain).float().cpu())
    if min(inner.shape[-2:]) > 2 * RIM:
        inner = inner[..., RIM:-RIM, RIM:-RIM]
    return measured(inner.flatten(2).mean(-1), COLOURS)


def _through(z: Tensor, reshape, change) -> Tensor:
    """`change` in the form that a latent has for previews; `reshape` only moves values."""
    places = reshape(torch.arange(z[0].numel()).reshape(1, *z.shape[1:])).flatten().to(z.device)
    out = torch.empty_like(z)
    out.flatten(1)[:, places] = change(reshape(z)).flatten(1)
    return out


class BracketExtra(StepExtra[Bracket]):
    """A plan's step at one exposure of several."""

    value = Bracket

    def needs(self, value: Bracket) -> Needs:
        return Needs("ISI Brackets", picture=True)

    def patch(self, moment: Moment, value: Bracket) -> Moment:
        tone = Tone(brightness=value.brightness)
        return replace(moment, model=patch_tone(moment.model, tone, Portion(), moment.vae))
