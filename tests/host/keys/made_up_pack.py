"""A made-up pack: a model patch that holds its setting in one of many ways. Tests copy it to `custom_nodes`.

Each way adds `setting` to what the model predicts, and keeps it somewhere else.
"""

import functools
import os
from types import SimpleNamespace

import torch

GLOBAL = 0.0
TABLE = {"setting": 0.0}
LIST = [0.0]
TENSOR = torch.zeros(1)
SPACE = SimpleNamespace(setting=0.0)


class Holder:
    setting = 0.0


class Slotted:
    __slots__ = ("setting",)


class Module(torch.nn.Module):
    def forward(self, x):
        return x + self.setting


def plus(x, setting):
    return x + setting


def by_closure(setting):
    return lambda x: x + setting


def by_default(setting):
    def add(x, setting=setting):
        return x + setting

    return add


def by_keyword_default(setting):
    def add(x, *, setting=setting):
        return x + setting

    return add


def by_partial(setting):
    return functools.partial(plus, setting=setting)


def by_attribute(setting):
    def add(x):
        return x + add.setting

    add.setting = setting
    return add


def by_code(setting):
    return eval(f"lambda x: x + {setting!r}")  # noqa: S307


def by_instance(setting):
    holder = Holder()
    holder.setting = setting
    return lambda x: x + holder.setting


def by_slot(setting):
    holder = Slotted()
    holder.setting = setting
    return lambda x: x + holder.setting


def by_module(setting):
    module = Module()
    module.setting = setting
    return module


def by_module_tensor(setting):
    module = Module()
    module.setting = torch.tensor(setting)
    return module


def by_module_list(setting):
    module = Module()
    module.settings = [("path", setting)]
    return lambda x: x + module.settings[0][1]


def by_buffer(setting):
    module = Module()
    module.register_buffer("setting", torch.tensor(setting))
    return module


def by_parameter(setting):
    module = Module()
    module.setting = torch.nn.Parameter(torch.tensor(setting), requires_grad=False)
    return module


def by_large_tensor(setting):
    large = torch.zeros(1, 1024, 1024)
    large[0, 511, 313] = setting
    return lambda x: x + large[0, 511, 313]


def by_dict(setting):
    table = {"a": [{"b": setting}]}
    return lambda x: x + table["a"][0]["b"]


def by_iterator(setting):
    held = memoryview(bytearray(torch.tensor(setting).numpy().tobytes()))
    return lambda x: x + torch.frombuffer(held, dtype=torch.float32)[0]


def by_meta(setting):
    shape = torch.empty(int(setting * 100), device="meta")
    return lambda x: x + shape.numel() / 100


WAYS = {name: way for name, way in globals().items() if name.startswith("by_")}


class Patch:
    """The setting is a widget; the way that it is held in is none of the key's business."""

    INPUT_TYPES = classmethod(
        lambda cls: {
            "required": {
                "model": ("MODEL",),
                "way": (list(WAYS),),
                "setting": ("FLOAT", {"default": 0.0, "step": 0.01}),
            }
        }
    )
    RETURN_TYPES = ("MODEL",)
    FUNCTION = "patch"

    def patch(self, model, way, setting):
        add = WAYS[way](setting)
        model = model.clone()
        model.set_model_sampler_post_cfg_function(lambda args: add(args["denoised"]))
        return (model,)


class SetGlobal:
    """Changes what the modules of this pack hold: another node depends on it, and no link says so."""

    INPUT_TYPES = classmethod(
        lambda cls: {"required": {"where": (["global", "table", "list", "tensor", "class", "space"],),
                                  "setting": ("FLOAT", {"default": 0.0})}}
    )  # fmt: skip
    RETURN_TYPES = ()
    FUNCTION = "set"
    OUTPUT_NODE = True

    def set(self, where, setting):
        global GLOBAL
        if where == "global":
            GLOBAL = setting
        elif where == "table":
            TABLE["setting"] = setting
        elif where == "list":
            LIST[0] = setting
        elif where == "tensor":
            TENSOR.fill_(setting)
        elif where == "class":
            Holder.setting = setting
        else:
            SPACE.setting = setting
        return {}


class UseGlobal:
    INPUT_TYPES = classmethod(lambda cls: {"required": {"model": ("MODEL",)}})
    RETURN_TYPES = ("MODEL",)
    FUNCTION = "patch"

    def patch(self, model):
        def add(args):
            held = GLOBAL + TABLE["setting"] + LIST[0] + TENSOR.item() + Holder.setting + SPACE.setting
            return args["denoised"] + held + float(os.environ.get("MADE_UP_SETTING", 0))

        model = model.clone()
        model.set_model_sampler_post_cfg_function(add)
        return (model,)


class InPlace:
    """Changes the weights of the loaded model itself, which the host keeps."""

    INPUT_TYPES = classmethod(
        lambda cls: {"required": {"model": ("MODEL",), "factor": ("FLOAT", {"step": 0.01})}}
    )
    RETURN_TYPES = ("MODEL",)
    FUNCTION = "scale"

    def scale(self, model, factor):
        for weight in model.model.diffusion_model.parameters():
            weight.data.mul_(factor)
        return (model,)


class Always:
    """Says that it is another one each time."""

    INPUT_TYPES = classmethod(lambda cls: {"required": {"model": ("MODEL",)}})
    RETURN_TYPES = ("MODEL",)
    FUNCTION = "same"
    IS_CHANGED = classmethod(lambda cls, **_: float("nan"))

    def same(self, model):
        return (model.clone(),)


class Several:
    """Hands out a list of models: the graph alone does not say which of them a loop gets."""

    INPUT_TYPES = classmethod(lambda cls: {"required": {"model": ("MODEL",)}})
    RETURN_TYPES = ("MODEL",)
    OUTPUT_IS_LIST = (True,)
    FUNCTION = "several"

    def several(self, model):
        return ([Patch().patch(model, "by_closure", setting)[0] for setting in (0.0, 0.3)],)


NODE_CLASS_MAPPINGS = {
    f"MadeUp_{kind.__name__}": kind for kind in (Patch, SetGlobal, UseGlobal, InPlace, Always, Several)
}
