"""Prompts for the user's own samplers: conditioning by steps or by shares of a schedule, and a guider."""

from __future__ import annotations

from typing import Any

import comfy.hooks
import comfy.samplers
import torch
from torch import Tensor

from ...core.language.prompts import Edit, Lora, Prompt, Swap, Tag, read_prompt
from .loras import Loras
from .speak import Spoken, check_names, encode_text, read_negative, speak, with_hooks


def read_checked(text: str, where: str, model: Any, clip: Any, loras: Loras) -> Prompt:
    """A prompt or a negative one whose LoRAs are there and fit. Raises ScriptError and ValueError."""
    check_names(text, where)
    prompt = (read_negative if where == "Negative" else read_prompt)(text, where)
    named = [node.lora for node in prompt.nodes() if isinstance(node, Tag)]
    if named and model is None:
        raise ValueError(
            f"The prompt names the LoRA {named[0].name[:80]!r}, which changes the model: connect a MODEL to "
            "ISI Prompt, and its model output to the sampler."
        )
    if named:
        loras.check(named, model, clip)
    return prompt


def conditioning(text: str, clip: Any, model: Any = None, sigmas: Tensor | None = None) -> Spoken:
    """What a prompt is for a sampler of the user's: with SIGMAS `[N + 1]` by steps, else by shares.

    Raises ScriptError and ValueError for what needs a MODEL or SIGMAS that are not connected.
    """
    loras = Loras()
    prompt = read_checked(text, "Prompt", model, clip, loras)
    if prompt.plain:
        return Spoken(model, encode_text(clip, prompt.text), [])

    def encode(piece: str, acting: tuple[Lora, ...], negative: bool = False) -> list:
        return encode_text(loras.on_clip(acting, clip), piece)

    timed = any(isinstance(node, Edit | Swap) for node in prompt.nodes())
    if model is None and (prompt.summed or (timed and sigmas is not None)):
        raise ValueError(
            "This prompt has steps or parts (AND), which the model must heed: connect a MODEL to ISI Prompt, "
            "and its model output to the sampler."
        )
    if sigmas is None and timed:
        if prompt.summed:
            raise ValueError(
                "This prompt has parts (AND) that change: connect the sampler's SIGMAS to ISI Prompt."
            )
        return _by_share(prompt, model, loras, encode)
    # Where nothing is timed, any schedule says the same.
    return speak(model, loras, prompt, None, torch.ones(2) if sigmas is None else sigmas, encode)


def _by_share(prompt: Prompt, model: Any, loras: Loras, encode: Any) -> Spoken:
    """By the host's own ranges of the whole schedule."""
    if any(isinstance(n, Swap) or (isinstance(n, Edit) and not n.share) for n in prompt.nodes()):
        raise ValueError(
            "This prompt changes at steps, and without a schedule only shares such as [a:b:.5] are known: "
            "connect the sampler's SIGMAS to ISI Prompt."
        )
    found: list = []
    for start, end, said in prompt.by_share():
        group = comfy.hooks.HookGroup()
        for lora in said.loras:
            group.add(loras.hook(lora))
        ((text, _),) = said.parts
        piece = comfy.hooks.set_timesteps_for_conditioning(encode(text, said.loras), (start, end))
        found += with_hooks(piece, group) if said.loras else piece
    return Spoken(model, found, [])


class ComposeGuider(comfy.samplers.CFGGuider):
    """A guider that reads its prompts by the steps of the schedule that it is given."""

    def __init__(self, model: Any, clip: Any, text: str, negative: str, cfg: float):
        super().__init__(model)
        self.base, self.clip, self.loras = model, clip, Loras()
        self.prompt = read_checked(text, "Prompt", model, clip, self.loras)
        self.against = read_checked(negative, "Negative", model, clip, self.loras)
        self.set_cfg(cfg)

    def sample(self, noise, latent_image, sampler, sigmas, *args, **kwargs):
        """The host's own, after the prompts were made for these steps."""
        made: dict[tuple, list] = {}

        def encode(piece: str, acting: tuple[Lora, ...], negative: bool) -> list:
            if (piece, acting) not in made:
                made[piece, acting] = encode_text(self.loras.on_clip(acting, self.clip), piece)
            return made[piece, acting]

        said = speak(self.base, self.loras, self.prompt, self.against, sigmas, encode)
        self.model_patcher, self.model_options = said.model, said.model.model_options
        self.set_conds(said.positive, said.negative)
        return super().sample(noise, latent_image, sampler, sigmas, *args, **kwargs)
