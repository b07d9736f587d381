"""A ControlNet that follows the moving picture of an iterative run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from comfy.model_base import SDXL
from torch import Tensor

from ...core.loop.plan import Plan
from ..loop.moment import Conditioner, Moment
from ..packages import needed_by
from ..vision.preprocess import Preprocess

HINTS = ["picture", "edges"]
UNET, SD3 = "comfy.ldm.modules.diffusionmodules.openaimodel", "comfy.ldm.modules.diffusionmodules.mmdit"
CONTROL_LORA = "Control-LoRA"
MADE_FOR: Mapping[str, tuple[frozenset[str], str]] = {
    "comfy.cldm.cldm": (frozenset({UNET}), "attn2.to_k"),
    CONTROL_LORA: (frozenset({UNET}), "attn2.to_k"),
    "comfy.t2i_adapter.adapter": (frozenset({UNET}), ""),
    "comfy.cldm.mmdit": (frozenset({SD3}), "y_embedder.mlp.2"),
    "comfy.cldm.dit_embedder": (frozenset({SD3}), "y_embedder.mlp.2"),
    "comfy.ldm.flux.controlnet": (frozenset({"comfy.ldm.flux.model", "comfy.ldm.chroma.model"}), "txt_in"),
    "comfy.ldm.qwen_image.controlnet": (frozenset({"comfy.ldm.qwen_image.model"}), "txt_in"),
    "comfy.ldm.hydit.controlnet": (frozenset({"comfy.ldm.hydit.models"}), ""),
    "comfy.ldm.cascade.controlnet": (frozenset({"comfy.ldm.cascade.stage_c"}), ""),
}
"""By the module of a ControlNet's class: those of the models it is for, and a layer of both whose width tells
the sizes of a family apart. By name, so that a host which lacks one still loads the others."""


@dataclass(frozen=True, eq=False)
class ControlNetConditioner(Conditioner):
    """Gives the ControlNet a hint made of the picture that the step starts from.

    `hint` is the picture itself (tile models) or its Canny edges. A text-to-image step has no picture and
    goes without. With `hint_image` `[1 or N, H, W, C]` the hint is made of that instead: of one image at
    every step, of a batch at each step of its own. `preprocess` makes of either what the
    hint is made of. A step's own `control` takes the place of `strength`.
    """

    controls: ClassVar[bool] = True

    control_net: Any
    strength: float
    start: float
    end: float
    hint: str
    hint_image: Tensor | None = None
    preprocess: Preprocess | None = None

    def check(self, model: Any, vae: Any, plan: Plan) -> None:
        if self.hint == "edges":
            _canny()
        if _is_strange(self.control_net, model):
            raise ValueError(
                "The ControlNet of ISI ControlNet Conditioner is for another family of models than "
                f"{type(model.model).__name__}: load one that belongs to the model."
            )
        if isinstance(_net(self.control_net), dict):
            _check_copied(model)
        if self.hint_image is None:
            return
        count, steps = len(self.hint_image), len(plan.steps)
        if count not in (1, steps):
            raise ValueError(
                f"The hint_image of ISI ControlNet Conditioner has {count} images, and the plan has {steps} "
                "steps: connect one image, or one for each step."
            )
        self.check_whole(plan, "The hint_image of ISI ControlNet Conditioner")

    def identity(self) -> Any:
        given: list[Any] = [] if self.hint_image is None else [self.hint_image]
        if self.preprocess is not None:
            given.append(self.preprocess.identity())
        return ["control net", self.control_net, self.strength, self.start, self.end, self.hint, *given]

    def condition(self, moment: Moment) -> Moment:
        source = moment.pixels
        if self.hint_image is not None:
            source = self.hint_image[moment.index % len(self.hint_image)][None]
        if source is None:
            return moment
        strength = self.strength if moment.step.control is None else moment.step.control
        # Imported here: should the host move it one day, every other node still loads.
        from nodes import ControlNetApplyAdvanced  # pyright: ignore[reportAttributeAccessIssue]

        positive, negative = ControlNetApplyAdvanced().apply_controlnet(
            moment.positive, moment.negative, self.control_net, self.make_hint(source), strength,
            self.start, self.end, vae=moment.vae,
        )  # fmt: skip
        return replace(moment, positive=positive, negative=negative)

    def make_hint(self, pixels: Tensor) -> Tensor:
        """`[B, H, W, 3]` hint of `[B, H, W, 3 or 4]` pixels."""
        pixels = pixels[..., :3]
        if self.preprocess is not None:
            pixels = self.preprocess(pixels)[..., :3]
        if self.hint == "picture":
            return pixels
        _, edges = _canny()(pixels.movedim(-1, 1).clamp(0, 1), 0.1, 0.3)
        return edges.movedim(1, -1).expand(-1, -1, -1, 3)


def _is_strange(control_net: Any, model: Any) -> bool:
    """Whether a ControlNet is surely for another family: by its class, the width of its text, its latents."""
    base, net = model.model.diffusion_model, _net(control_net)
    for way in _modules(net) & MADE_FOR.keys():
        modules, weight = MADE_FOR[way]
        if not modules & _modules(base) or len({_width(net, weight), _width(base, weight)} - {None}) > 1:
            return True
    if getattr(net, "xl", None) is not None and net.xl != isinstance(model.model, SDXL):
        return True
    wanted = getattr(control_net, "latent_format", None)
    format_of_model = model.get_model_object("latent_format")
    return wanted is not None and wanted.latent_channels != format_of_model.latent_channels


def _check_copied(model: Any) -> None:
    """Raises ValueError where the first layer, which a Control-LoRA copies, takes more than a latent."""
    latent = model.get_model_object("latent_format").latent_channels
    taken = getattr(model.model.diffusion_model, "in_channels", latent)
    if taken != latent:
        raise ValueError(
            f"A Control-LoRA copies the layers of the model, and the first one of this model takes {taken} "
            f"channels, not the {latent} of a latent: connect a whole ControlNet to ISI ControlNet "
            "Conditioner, or a model without channels for a picture or a mask."
        )


def _net(control_net: Any) -> Any:
    """The network of a CONTROL_NET, or the weights of a Control-LoRA, which gets one as it is sampled."""
    names = ("control_weights", "control_model", "t2i_model")
    return next((getattr(control_net, name) for name in names if hasattr(control_net, name)), None)


def _modules(net: Any) -> set[str]:
    """The modules of ComfyUI (or a pack) that the class of a network and its bases are from."""
    return {CONTROL_LORA} if isinstance(net, dict) else {one.__module__ for one in type(net).__mro__}


def _width(net: Any, weight: str) -> int | None:
    """What the first weight whose name ends in `weight` takes; None where there is none."""
    if not weight:
        return None
    named = net.items() if isinstance(net, dict) else net.named_parameters()
    found = (value for name, value in named if name.endswith((f"{weight}.weight", f"{weight}.down")))
    return next((value.shape[1] for value in found), None)


def _canny() -> Callable[..., tuple[Tensor, Tensor]]:
    """kornia's Canny (magnitude, edges). Raises ValueError without kornia."""
    with needed_by("The hint `edges` of ISI ControlNet Conditioner"):
        from kornia.filters import canny
    return canny
