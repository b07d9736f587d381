"""One step on ComfyUI: exactly VAEEncode, CLIPTextEncode, KSampler, VAEDecode, and nothing when not asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import comfy.model_management
import comfy.sample
import comfy.samplers
import comfy.utils
import torch
from torch import Tensor
from torch.nn import functional

from ...core.language.prompts import LORA_NAME, Lora, Tag, read_prompt
from ...core.loop.engine import Sampled
from ...core.loop.lens import View
from ...core.loop.plan import Plan, Step
from ...core.loop.room import need_room
from ...core.pictures.masks import pool_to_latent
from ..prompts.loras import Loras
from ..prompts.speak import check_names, encode_text, read_negative, speak
from .moment import Conditioner, Extras, Moment, Needs, Sight, bound, chain, check_control, reader_of
from .noise import Noise
from .progress import Progress

SAMPLERS: list[str] = comfy.samplers.KSampler.SAMPLERS
SCHEDULERS: list[str] = comfy.samplers.KSampler.SCHEDULERS
LONGEST_SCHEDULE = 100_000
"""Noise levels of a whole schedule of which a step may sample the end; a hundredth of one always may."""
LARGEST_TRUE_CFG = 2.0
"""Of models that take guidance as an input: above it pictures burn."""
FAST = {
    "Flux schnell": ("Flux", "guidance_embed", False),
    "Z-Image Turbo": ("Lumina2", "z_image_modulation", True),
}
"""Models of few steps, by the host's class and a value of its layout. Some that were not distilled share it:
nothing in the weights tells them apart."""
LARGEST_OF_KIN = 5.0
"""The cfg that none of either sort is used above."""


@dataclass(frozen=True)
class Models:
    """The user's models, as they are connected to ISI Iterate, and what conditions them."""

    model: Any
    clip: Any
    vae: Any
    conditioner: Conditioner | None = None


@dataclass(frozen=True)
class Sampling:
    """How each step is sampled, apart from what its plan says.

    `size` is the (height, width) in pixels of a text-to-image first step; with a picture it means nothing.
    A connected SAMPLER takes the place of `sampler`, SIGMAS `[n + 1]` that of `scheduler` and a step's steps;
    a step that names its own sampler or scheduler keeps it. `noise` makes what each step starts from.
    """

    negative: str
    sampler: str
    scheduler: str
    size: tuple[int, int]
    own_sampler: Any = None
    sigmas: Tensor | None = None
    noise: Noise | None = None

    def check(self) -> None:
        """Raises ValueError for noise levels that nothing can be sampled along."""
        if self.sigmas is None:
            return
        if self.sigmas.ndim != 1 or len(self.sigmas) < 2:
            raise ValueError(
                f"Expected at least two noise levels in sigmas, but got {list(self.sigmas.shape)}: connect a "
                "scheduler such as BasicScheduler with 1 step or more and denoise over 0."
            )
        if not torch.isfinite(self.sigmas).all() or bool((self.sigmas < 0).any()):
            raise ValueError(
                "Expected noise levels from 0 up in sigmas, but some are negative, NaN or infinite: connect "
                "another scheduler."
            )

    def steps(self, step: Step, from_nothing: bool = False) -> int:
        """How many sampler steps a step of the plan takes; `from_nothing`: it has no picture to keep."""
        if (sigmas := self.sigmas_of(step)) is None:
            return step.steps
        return len(last_of(sigmas, 1.0 if from_nothing else step.denoise)) - 1

    def sigmas_of(self, step: Step) -> Tensor | None:
        """The given noise levels, but for a step that names a scheduler of its own."""
        return None if step.scheduler else self.sigmas


@dataclass
class StepSampler:
    """The engine's `Sampler` on the user's models.

    Prompts that the plan repeats are encoded once, and dropped after their last use so that long plans stay
    small. `known` are the steps with the seeds that were chosen so far, where the plan leaves that open.
    """

    plan: Plan
    models: Models
    sampling: Sampling
    extras: Extras
    progress: Progress
    known: Sequence[Step] = ()
    _loras: Loras = field(default_factory=Loras)
    _last_use: dict[str, int] = field(default_factory=dict)
    _encoded: dict[tuple[str, tuple[Lora, ...], bool, int | None], list] = field(default_factory=dict)
    _recent: tuple[set, set] = field(default_factory=lambda: (set(), set()))

    def check(self, picture: Tensor | None) -> None:
        """Raises ValueError, before anything is sampled, for models that do not fit together or the plan."""
        wants = self.models.model.get_model_object("latent_format").latent_channels
        needs: list[Needs | None] = [Needs("the model", channels=wants)]
        for conditioner in chain(self.models.conditioner):
            needs.append(conditioner.needs(self.models.model))
        count = 0 if picture is None else self.plan.steps[0].lens.count(len(picture))
        self._hold(needs, count)
        for conditioner in chain(self.models.conditioner):
            conditioner.check(self.models.model, self.models.vae, self.plan)
        check_control(self.plan, self.models.conditioner)
        if reader := reader_of(self.models.conditioner, self.models.model):
            reader.check_clip(self.models.clip, self.models.model)
        self._check_prompts()
        height, width = self.sampling.size if picture is None else picture.shape[1:3]
        batch, need = max(count, 1), 0
        for number, step in enumerate(self.plan.steps, 1):
            _check_names(number, step)
            for does, value in (bound(extra, self.extras) for extra in step.extras):
                self._hold([does.needs(value)], count if number == 1 else batch)
                does.check(value, self.models.model, self.models.vae)
            view = step.lens.view_size(height, width)
            if min(view) < 1:
                raise ValueError(f"Step {number} of the plan works on an empty picture: check its size.")
            step.lens.check_size(height, width, self.plan.assets)
            if self.sampling.noise is not None:
                self.sampling.noise.check_size(*view)
            height, width = step.lens.size(height, width)
            need = max(need, batch * 3 * 4 * 3 * (view[0] * view[1] + height * width))
        need_room(need, "The largest picture of this plan", "lower its size, or use fewer pictures at once")

    def notice(self) -> str:
        """What is allowed but gives bad pictures, in one sentence; mostly nothing."""
        config = getattr(getattr(self.models.model.model, "model_config", None), "unet_config", None) or {}
        largest = max((step.cfg for step in self.plan.steps), default=0.0)
        kind = type(self.models.model.model).__name__
        fast = next((n for n, (one, key, at) in FAST.items() if kind == one and config.get(key) is at), None)
        if fast and largest > LARGEST_OF_KIN:
            return (
                f"cfg {largest:g} burns pictures of this model: {fast} wants cfg 1 and few steps, and models "
                f"of its layout that were not distilled take {LARGEST_OF_KIN:g} at most."
            )
        if not config.get("guidance_embed") or largest <= LARGEST_TRUE_CFG:
            return ""
        return (
            f"cfg {largest:g} burns pictures of this model, which was distilled for guidance: set cfg to 1, "
            "and its guidance with FluxGuidance."
        )

    def _hold(self, needs: Iterable[Needs | None], pictures: int) -> None:
        for one in filter(None, needs):
            one.check(self.models.vae, pictures)

    def __call__(self, index: int, step: Step, view: View | None, latent: Tensor | None) -> Sampled:
        """Samples one step of the plan. Raises ValueError where the sampler returns no finite picture."""
        extras = [bound(extra, self.extras) for extra in step.extras]
        if view is not None:
            for does, value in extras:
                view = does.prepare(view, value)
        vae = self.models.vae
        for does, value in extras:
            vae = does.vae(vae, value, self.models.model)
        moment = self._moment(index, step, view, latent, vae)
        start = None if view is None else moment.latent["samples"]
        for conditioner in chain(self.models.conditioner):
            moment = conditioner.condition(moment)
        for does, value in extras:
            moment = does.patch(moment, value)
        before = [step.seed for step in (self.known or self.plan.steps)[:index]]
        samples = sample(moment, self.sampling, self.progress.callback(), before)
        if not torch.isfinite(samples).all():
            raise ValueError(
                f"Iteration {index + 1} came out of the sampler as NaN or infinity; the iterations before it "
                "are kept. Try another sampler, a lower cfg, or run the model in fp32."
            )
        height, width = self.sampling.size if view is None else view.pixels.shape[1:3]
        pixels = decode(vae, samples)[:, :height, :width]
        if view is not None:
            if view.pixels.shape[-1] > 3:
                pixels = torch.cat([pixels, view.pixels[..., 3:]], -1)
            for does, value in extras:
                pixels = does.finish(pixels, view, value)
        return Sampled(pixels, samples, start)

    def _moment(self, index: int, step: Step, view: View | None, latent: Tensor | None, vae: Any) -> Moment:
        ratio = vae.spacial_compression_encode()
        pixels = None if view is None else pad(view.pixels, ratio)
        if latent is not None:
            samples = latent
        elif pixels is not None:
            samples = encode(vae, pixels[..., :3])
        else:
            samples = empty_latent(self.models.model, *self.sampling.size, ratio)
        start: dict[str, Any] = {"samples": samples}
        if view is not None and view.mask is not None:  # the host's own reduction loses thin strokes
            start["noise_mask"] = pool_to_latent(view.mask, ratio).unsqueeze(1)
        if view is None:  # the whole way from noise, whatever the plan says
            step = replace(step, denoise=1.0)
        elif view.new is not None and view.mask is not None and not view.mask.any():
            step = replace(step, denoise=0.0)  # all was carried over, nothing is to be painted
        self._recent = self._recent[1], set()
        prompt, negative = read_prompt(step.prompt), read_negative(self._negative(step))
        encoded = partial(self._encode, index, Sight(self.models.model, vae, pixels))
        if prompt.plain and negative.plain:
            ours = encoded(prompt.text)
            theirs = encoded(negative.text, negative=True)
            return Moment(index, step, self.models.model, vae, ours, theirs, start, pixels)
        said = speak(
            self.models.model, self._loras, prompt, negative,
            schedule(self.models.model, step, self.sampling), encoded,
        )  # fmt: skip
        self._loras.keep(name for name, last in self._last_use.items() if last > index)
        return Moment(index, step, said.model, vae, said.positive, said.negative, start, pixels)

    def _check_prompts(self) -> None:
        """Raises ValueError for what is wrong with a prompt, or a LoRA that is missing or does not fit."""
        known: set[str] = set()
        for index, step in enumerate(self.plan.steps):
            for text, read in ((step.prompt, read_prompt), (self._negative(step), read_negative)):
                self._last_use |= dict.fromkeys(map(str.strip, LORA_NAME.findall(text)), index)
                if text in known:
                    continue
                known.add(text)
                where = f"{'Prompt' if read is read_prompt else 'Negative'} of step {index + 1}"
                check_names(text, where)
                loras = [node.lora for node in read(text, where).nodes() if isinstance(node, Tag)]
                self._loras.check(loras, self.models.model, self.models.clip)

    def _negative(self, step: Step) -> str:
        """The negative prompt of a step: its own, or the run's."""
        return self.sampling.negative if step.negative is None else step.negative

    def _encode(
        self, index: int, sight: Sight, text: str, loras: tuple[Lora, ...] = (), negative: bool = False
    ) -> list:
        reader = reader_of(self.models.conditioner, self.models.model)
        looks = reader is not None and reader.looks
        key = text, loras, negative and reader is not None, index if looks else None
        self._recent[1].add(key)
        if key not in self._encoded:
            later = self.plan.steps[index:]
            texts = {text for step in later for text in (step.prompt, self._negative(step))}
            kept = {known for known in self._encoded if known[0] in texts and not known[1]}
            kept |= self._recent[0] | self._recent[1]
            now = {None, index}
            self._encoded = {
                known: made for known, made in self._encoded.items() if known in kept and known[3] in now
            }
            clip = self._loras.on_clip(loras, self.models.clip)
            made = encode_text(clip, text) if reader is None else reader.encode(clip, text, sight, negative)
            self._encoded[key] = made
        return self._encoded[key]


def _check_names(number: int, step: Step) -> None:
    """Raises ValueError for a sampler or scheduler of a step's own that this ComfyUI lacks."""
    for kind, name, names in (("sampler", step.sampler, SAMPLERS), ("scheduler", step.scheduler, SCHEDULERS)):
        if name is not None and name not in names:
            raise ValueError(
                f"Step {number} of the plan asks for the {kind} {name[:40]!r}, which this ComfyUI lacks: "
                f"choose one of {', '.join(names)}."
            )


def sample(moment: Moment, sampling: Sampling, callback: Any, before: list[int]) -> Tensor:
    """What the host's KSampler node does, with our callback and without touching the global RNG.

    `before` are the seeds of the steps before this one.
    """
    step, model = moment.step, moment.model
    latent = comfy.sample.fix_empty_latent_channels(model, moment.latent["samples"])
    given: dict[str, Any] = {
        "noise_mask": moment.latent.get("noise_mask"),
        "callback": callback,
        "disable_pbar": not comfy.utils.PROGRESS_BAR_ENABLED,
        "seed": step.seed,
    }
    with global_rng_kept(model.load_device):
        # KSampler seeds the global RNG, and a few samplers draw from it.
        noise = comfy.sample.prepare_noise(latent, step.seed, moment.latent.get("batch_index"))
        if sampling.noise is not None:
            ratio = moment.vae.spacial_compression_encode()
            start, levels = {**moment.latent, "samples": latent}, schedule(model, step, sampling)
            noise = sampling.noise.at_step(start, [*before, step.seed], ratio, levels)
        own = None if step.sampler else sampling.own_sampler
        sigmas = sampling.sigmas_of(step)
        if own is None and sigmas is None:
            return comfy.sample.sample(
                model, noise, step.steps, step.cfg, step.sampler or sampling.sampler,
                step.scheduler or sampling.scheduler, moment.positive, moment.negative, latent,
                denoise=_denoise(step), **given,
            )  # fmt: skip
        sampler = own or comfy.samplers.sampler_object(step.sampler or sampling.sampler)
        levels = noise_levels(model, step, _denoise(step), sampling)
        return comfy.sample.sample_custom(
            model, noise, step.cfg, sampler, levels, moment.positive, moment.negative, latent, **given
        )  # fmt: skip


def noise_levels(model: Any, step: Step, denoise: float, sampling: Sampling) -> Tensor:
    """What a step with a SAMPLER or SIGMAS of its own is sampled along, as SamplerCustom is given it.

    The last share of given SIGMAS, else what BasicScheduler makes; nothing where nothing is to be sampled.
    """
    given = sampling.sigmas_of(step)
    if given is not None:
        sigmas = last_of(given, denoise)
    elif denoise <= 0:
        sigmas = torch.empty(0)
    else:
        total = int(step.steps / denoise)
        levels = comfy.samplers.calculate_sigmas(
            model.get_model_object("model_sampling"), step.scheduler or sampling.scheduler, total
        )
        sigmas = levels.cpu()[-(step.steps + 1) :]
    return sigmas if len(sigmas) > 1 else sigmas[:0]


def last_of(sigmas: Tensor, denoise: float) -> Tensor:
    """The noise levels that are left of `sigmas` at this denoise (0..1), as SplitSigmasDenoise cuts."""
    return sigmas[-round((len(sigmas) - 1) * denoise) - 1 :]


def schedule(model: Any, step: Step, sampling: Sampling) -> Tensor:
    """The noise levels `[N + 1]` on which `sample` samples a step: empty where it samples nothing."""
    if (sampling.own_sampler and not step.sampler) or sampling.sigmas_of(step) is not None:
        return noise_levels(model, step, _denoise(step), sampling)
    return comfy.samplers.KSampler(
        model, step.steps, model.load_device, step.sampler or sampling.sampler,
        step.scheduler or sampling.scheduler, _denoise(step), model.model_options,
    ).sigmas  # fmt: skip


def _denoise(step: Step) -> float:
    """The host makes a schedule of steps / denoise levels and takes the last ones: of millions, for minutes,
    and deaf to Cancel. What is left of so long a schedule changes no pixel."""
    return 0.0 if step.denoise * max(LONGEST_SCHEDULE, 100 * step.steps) < step.steps else step.denoise


def global_rng_kept(device: torch.device):
    """A context that restores torch's global random state afterwards, on the CPU and on `device`.

    For every kind of device whose torch module can tell its state (cuda, xpu, mps, npu, mlu); DirectML can't,
    and the host draws its noise on the CPU there.
    """
    if hasattr(getattr(torch, device.type, None), "get_rng_state"):
        return torch.random.fork_rng([device], device_type=device.type)
    return torch.random.fork_rng([])


def encode(vae: Any, pixels: Tensor) -> Tensor:
    """Latents of `[B, H, W, 3]` as VAEEncode gives them, a picture each.

    A video's VAE takes a batch for the frames of one video, so it gets one picture at a time.
    """
    if getattr(vae, "latent_dim", 2) == 3:
        return torch.cat([vae.encode(pixels[at : at + 1]) for at in range(len(pixels))])
    return vae.encode(pixels)


def decode(vae: Any, samples: Tensor) -> Tensor:
    """Pixels `[B, H, W, C]` as VAEDecode gives them."""
    pixels = vae.decode(samples)
    return pixels.reshape(-1, *pixels.shape[-3:]) if pixels.ndim == 5 else pixels


def pad(pixels: Tensor, multiple: int) -> Tensor:
    """`[B, H, W, C]` with its last rows and columns repeated up to a multiple; unchanged where it fits."""
    height, width = pixels.shape[1:3]
    down, right = -height % multiple, -width % multiple
    if not down and not right:
        return pixels
    moved = functional.pad(pixels.movedim(-1, 1), (0, right, 0, down), mode="replicate")
    return moved.movedim(1, -1)


def empty_latent(model: Any, height: int, width: int, ratio: int) -> Tensor:
    """Zeros that text-to-image starts from, in the model's own latent format."""
    channels = model.get_model_object("latent_format").latent_channels
    return torch.zeros(
        [1, channels, -(-height // ratio), -(-width // ratio)],
        device=comfy.model_management.intermediate_device(),
    )
