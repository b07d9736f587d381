"""ControlNets of the families that the host knows, small and with random weights, for the tiny models."""

from __future__ import annotations

import functools

import torch

from .tiny import fill, tiny_control_net

CPU = torch.device("cpu")


@functools.cache
def control_net_of(family):
    return FAMILIES[family]()


def _control(net, format_name, extra=("y",)):
    import comfy.controlnet
    import comfy.latent_formats

    fill(net, 4)
    latents = getattr(comfy.latent_formats, format_name)()
    return comfy.controlnet.ControlNet(
        net.eval(), compression_ratio=1, latent_format=latents, load_device=CPU, extra_conds=list(extra)
    )


def _config(family):
    """What the layers of a family's tiny model were built with, and those of its ControlNet are."""
    import comfy.ops

    from .tiny_families import family_models

    config = dict(family_models(family)[0].model.model_config.unet_config)
    config.pop("final_layer", None)
    return config | {"operations": comfy.ops.manual_cast, "dtype": torch.float32, "device": "cpu"}


def _sd3():
    import comfy.cldm.mmdit

    config = _config("SD3") | {"num_blocks": 1, "control_latent_channels": 16}
    return _control(comfy.cldm.mmdit.ControlNet(**config), "SD3")


def _flux():
    from comfy.ldm.flux.controlnet import ControlNetFlux

    made = ControlNetFlux(latent_input=True, control_latent_channels=16, **_config("Flux"))
    return _control(made, "Flux", ("y", "guidance"))


def _qwen():
    from comfy.ldm.qwen_image.controlnet import QwenImageControlNetModel

    return _control(QwenImageControlNetModel(**_config("Qwen-Image")), "Wan21", ())


def _t2i():
    import comfy.controlnet
    from comfy.t2i_adapter.adapter import Adapter_light

    # As large as the tiny UNet's two levels, and nothing for the levels that it lacks.
    made = Adapter_light(cin=3 * 64, channels=[32, 64], nums_rb=1)
    fill(made, 4)
    return comfy.controlnet.T2IAdapter(made.eval(), made.input_channels, 8, "nearest-exact", CPU)


FAMILIES = {
    "SD1": tiny_control_net,
    "SD3": _sd3,
    "Flux": _flux,
    "Qwen-Image": _qwen,
    "T2I-Adapter": _t2i,
}
