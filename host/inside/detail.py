"""ISI Detail: more or less detail, by the noise level that the model is told, and by two of its weights."""

from __future__ import annotations

from typing import Any

import comfy.patcher_extension
import torch
from torch import Tensor

from ...core.inside.detail import told
from ...core.inside.portion import Portion
from .during import SamplingRun, around_predictions

KEY = "ISI_Detail"
FIRST, NORM = "diffusion_model.input_blocks.0.0", "diffusion_model.out.0"
WEIGHT, BIAS = -0.01, 0.02
"""What one unit changes of a weight and of a bias, as a share."""


def patch_detail(model: Any, amount: float, portion: Portion) -> Any:
    """A clone of a MODEL that is told less noise than there is in the steps of `portion`, so that it leaves
    more as detail (`amount` over 0), or more noise (below 0); at 0 the model itself."""
    if amount == 0:
        return model

    def begin(run: SamplingRun):
        steps = portion.steps(run.count)
        if not steps:
            return None

        def around(run: SamplingRun, predict, x: Tensor, options: dict) -> Tensor:
            step = run.step
            inner = options["model_options"].setdefault("transformer_options", {})
            before = inner.get(KEY, 1.0)
            if step in steps:
                inner[KEY] = before * told(amount, step - steps.start, len(steps))
            try:
                return predict()
            finally:
                inner[KEY] = before

        return around

    model = around_predictions(model, KEY, begin)
    # Not the sigma of the whole call: prompts that change, masks and ControlNets keep the real one.
    kind = comfy.patcher_extension.WrappersMP.APPLY_MODEL
    model.remove_wrappers_with_key(kind, KEY)
    model.add_wrapper_with_key(kind, KEY, _apply_model)
    return model


def _apply_model(
    executor, x, t, c_concat=None, c_crossattn=None, control=None, transformer_options=None, **more
):
    """An APPLY_MODEL wrapper: the sigma that the model is told, within the model's own."""
    factor = (transformer_options or {}).get(KEY, 1.0)
    if factor != 1.0:
        t = torch.minimum(t * factor, torch.as_tensor(executor.class_obj.model_sampling.sigma_max).to(t))
    return executor(x, t, c_concat, c_crossattn, control, transformer_options, **more)


def patch_weights(model: Any, first_layer: float, last_norm: float) -> Any:
    """A clone of a MODEL with its first layer and its last normalisation scaled, weights by 1 - 0.01 d and
    biases by 1 + 0.02 d, as CD Tuner does; at 0 the model itself. Raises ValueError for other than UNets."""
    changes = {FIRST: first_layer, NORM: last_norm}
    weights = model.model.state_dict() if any(changes.values()) else {}
    if weights and not all(f"{layer}.weight" in weights for layer in changes):
        raise ValueError(
            "first_layer and last_norm of ISI Detail are for UNets (SD 1.5, SD 2, SDXL), and this is another "
            "kind of model: set both to 0 and use amount."
        )
    for layer, amount in changes.items():
        if amount == 0:
            continue
        model = model.clone()
        for name, scale in (("weight", WEIGHT), ("bias", BIAS)):
            key = f"{layer}.{name}"
            none = torch.zeros(weights[key].shape)
            model.add_patches({key: ("diff", (none,))}, 1.0, 1 + scale * amount)
    return model
