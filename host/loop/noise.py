"""What a sampler starts from: ISI Noise, for the host's own sampler nodes and for each step of a loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import comfy.sample
import torch
from torch import Tensor

from ...core.inside.noise import in_the_centre, mixed, reach, slerp, walked


def cell_width(model: Any) -> int:
    """How many pixels a cell of a MODEL's latents is wide; 8, as for most, where none is connected."""
    return 8 if model is None else model.get_model_object("latent_format").spacial_downscale_ratio


class Recovers(Protocol):
    """What finds the noise of a picture: `host.inside.recovered`."""

    def noise(self, latent: Tensor, sigmas: Tensor | None = None) -> Tensor: ...


@dataclass(frozen=True)
class Noise:
    """The host's NOISE: `seed` and `generate_noise`. In a loop each step's own seed stands for `seed`.

    `variation` (0..1) is how far it is turned towards the noise of `variation_seed`. `resize_from` is the
    (height, width) in pixels of the picture whose noise lies in the middle (0: as high or wide as the picture
    itself); `ratio` is how many pixels wide a latent cell is. `walk` (0..1) is how far a step of a loop goes
    from the noise of the step before towards its own: 0 keeps the first step's, 1 is fresh noise each time.
    `recovery` finds the noise of the picture at the start, and `randomness` (0..1) is how much of the seed's
    is mixed in; an empty latent has the seed's alone.
    """

    seed: int = 0
    variation_seed: int = 0
    variation: float = 0.0
    resize_from: tuple[int, int] = (0, 0)
    walk: float = 1.0
    ratio: int = 8
    recovery: Recovers | None = None
    randomness: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """What decides the noise of a loop's steps besides their seeds, as a JSON value."""
        turned = {"variation_seed": self.variation_seed} if self.variation else {}
        return turned | {
            "randomness": self.randomness,
            "variation": self.variation, "resize_from": list(self.resize_from), "walk": self.walk,
        }  # fmt: skip

    def generate_noise(self, input_latent: dict) -> Tensor:
        """Noise of the shape of a LATENT. Raises ValueError for a picture smaller than `resize_from`."""
        samples = input_latent["samples"]
        if samples.is_nested:
            raise ValueError(
                "Expected one latent for ISI Noise, but got several in one (a video with its sound): use "
                "RandomNoise."
            )
        self.check_size(samples.shape[-2] * self.ratio, samples.shape[-1] * self.ratio)
        places = input_latent.get("batch_index")
        # Seeds the global RNG as RandomNoise does: a few samplers draw from it.
        comfy.sample.prepare_noise(samples, self.seed, places)
        noise = self._varied(samples, self._of(samples, self.seed, places), places)
        return self._recovered(samples, noise, None)

    def at_step(self, latent: dict, seeds: Sequence[int], ratio: int, sigmas: Tensor) -> Tensor:
        """Noise of a loop's step on a LATENT, of cells `ratio` pixels wide, that is sampled along `sigmas`;
        `seeds` are those of all steps up to it."""
        # So many alone show, and a loop of thousands of steps need not draw the others anew at each.
        seeds = seeds[:1] if self.walk <= 0 else seeds[-reach(self.walk) :]
        here, samples, places = replace(self, ratio=ratio), latent["samples"], latent.get("batch_index")
        noises = (here._of(samples, seed, places) for seed in seeds)
        noise = here._varied(samples, walked(noises, self.walk), places)
        return self._recovered(samples, noise, sigmas) if len(sigmas) else noise

    def check_size(self, height: int, width: int) -> None:
        """Raises ValueError for a picture that is smaller than the one whose noise it should get."""
        if self.resize_from[0] > height or self.resize_from[1] > width:
            raise ValueError(
                f"resize_from of ISI Noise is {self.resize_from[1]} x {self.resize_from[0]}, more than this "
                f"picture's {width} x {height}: set it to the size of the smaller picture that the noise "
                "comes from, or to 0."
            )

    def _varied(self, samples: Tensor, noise: Tensor, places: Any) -> Tensor:
        if self.variation <= 0:
            return noise
        return slerp(noise, self._of(samples, self.variation_seed, places), self.variation)

    def _recovered(self, samples: Tensor, noise: Tensor, sigmas: Tensor | None) -> Tensor:
        if self.recovery is None or self.randomness >= 1 or not torch.count_nonzero(samples):
            return noise
        return mixed(self.recovery.noise(samples, sigmas), noise, self.randomness)

    def _of(self, samples: Tensor, seed: int, places: Any) -> Tensor:
        """The host's own noise of a seed; with `resize_from` what lies round the middle is drawn after it."""
        generator = torch.Generator().manual_seed(seed)
        cells = [
            (side // self.ratio) or n for side, n in zip(self.resize_from, samples.shape[-2:], strict=True)
        ]
        if cells == list(samples.shape[-2:]):
            return comfy.sample.prepare_noise_inner(samples, generator, places)
        part = comfy.sample.prepare_noise_inner(samples[..., : cells[0], : cells[1]], generator, places)
        return in_the_centre(comfy.sample.prepare_noise_inner(samples, generator, places), part)
