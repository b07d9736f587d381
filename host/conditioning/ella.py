"""ELLA: an SD 1.5 model is told by T5 what a text says, anew at each timestep."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import comfy.conds
import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...core.loop.plan import Plan
from ..loop.moment import Conditioner, Moment, Sight
from ..prompts.speak import encode_text
from .ella_connector import text_width

NODE = "ISI ELLA Conditioner"
KEY = "ISI_ELLA"
WORDS, TOKENS = "isi_ella_words", "isi_ella_tokens"
"""Of a condition: T5's words for the connector, and CLIP's tokens that follow its own."""


@dataclass(frozen=True, eq=False)
class EllaConditioner(Conditioner):
    """Gives the model what `connector` (a patcher of a `Connector`) makes of `t5`'s words for each text.

    With `clip_tokens` CLIP's own tokens follow. A ControlNet beside it reads CLIP's.
    """

    connector: Any
    t5: Any
    clip_tokens: bool

    def check(self, model: Any, vae: Any, plan: Plan) -> None:
        wanted = self.connector.model.width
        config = getattr(model.model.model_config, "unet_config", {})
        if config.get("context_dim") != wanted or config.get("adm_in_channels") is not None:
            raise ValueError(
                f"Expected an SD 1.5 model (texts of {wanted} values) for {NODE}, but got "
                f"{type(model.model).__name__}: connect one, or disconnect {NODE}."
            )
        words, got = self.connector.model.words, text_width(self.t5)
        if words != got:
            raise ValueError(
                f"Expected a text encoder of {words} channels in {NODE}, but got one of {got}: choose the "
                "encoder of FLAN-T5 XL."
            )

    def identity(self) -> Any:
        return ["ella", self.connector, self.t5, self.clip_tokens]

    def reads(self, model: Any) -> bool:
        return True

    def encode(self, clip: Any, text: str, sight: Sight, negative: bool) -> list:
        words = encode_text(self.t5, text)[0][0]
        return [[tokens, self._told(values, words, tokens)] for tokens, values in encode_text(clip, text)]

    def _told(self, values: dict, words: Tensor, tokens: Tensor) -> dict:
        # Conditions of other lengths are never batched: repeated words would be heeded more.
        told = {WORDS: comfy.conds.CONDRegular(words)}
        if self.clip_tokens:
            told[TOKENS] = comfy.conds.CONDRegular(tokens)
        return {**values, "model_conds": {**values.get("model_conds", {}), **told}}

    def condition(self, moment: Moment) -> Moment:
        model = moment.model.clone()
        model.set_additional_models(KEY, [self.connector])
        model.remove_wrappers_with_key(WrappersMP.APPLY_MODEL, KEY)
        model.add_wrapper_with_key(WrappersMP.APPLY_MODEL, KEY, self._apply_model)
        return replace(moment, model=model)

    def _apply_model(
        self, executor, x, t, c_concat=None, c_crossattn=None, control=None, transformer_options=None, **more
    ):  # fmt: skip
        """An APPLY_MODEL wrapper: the connector at the timestep that the model is given."""
        words, tokens = more.pop(WORDS, None), more.pop(TOKENS, None)
        if words is not None:
            time = executor.class_obj.model_sampling.timestep(t).float()
            c_crossattn = self.connector.model(words.to(x.device, torch.float32), time)
            if tokens is not None:
                c_crossattn = torch.cat([c_crossattn, tokens.to(c_crossattn)], 1)
        return executor(x, t, c_concat, c_crossattn, control, transformer_options or {}, **more)
