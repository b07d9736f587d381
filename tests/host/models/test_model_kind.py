"""The kind of loaded models: the host's own classes, and IC-Light patches on them."""

import pytest
import torch

from ..tiny import tiny_model

KEY = "diffusion_model.input_blocks.0.0.weight"


def kind_of_model(model):
    from isi.host.models.model_kind import kind_of_model as of

    return of(model)


CASES = {4: "standard", 5: "depth", 9: "inpaint", 12: "ic-light-fbc", 13: "unknown"}


@pytest.mark.parametrize("channels", CASES)
def test_channels_name_the_kind(booted, channels):
    found = kind_of_model(tiny_model(channels))
    assert (found.kind, found.channels, found.family) == (CASES[channels], channels, "SD1")


def test_eight_channels_of_sd1_are_ambiguous(booted):
    found = kind_of_model(tiny_model(8))
    assert found.candidates == ("instruct-pix2pix", "ic-light-fc")
    with pytest.raises(ValueError, match="instruct-pix2pix and ic-light-fc"):
        _ = found.facts
    assert found.decided("ic-light-fc").kind == "ic-light-fc"
    with pytest.raises(ValueError, match="takes 9 input channels"):
        found.decided("inpaint")


@pytest.mark.parametrize(("channels", "kind"), [(8, "ic-light-fc"), (12, "ic-light-fbc")])
def test_padded_weights_are_ic_light(booted, channels, kind):
    model = tiny_model(4)
    patched = model.clone()
    shape = list(model.model.get_parameter(KEY).shape)
    shape[1] = channels
    patched.add_patches({KEY: ("diff", [torch.zeros(shape), {"pad_weight": True}])})
    assert (kind_of_model(patched).kind, kind_of_model(patched).channels) == (kind, channels)
    assert kind_of_model(patched.clone()).kind == kind
    assert kind_of_model(model).kind == "standard"


def test_the_loaders_word_travels_with_clones(booted):
    from isi.core.models.kinds import ModelKind
    from isi.host.models.model_kind import ATTACHMENT

    model = tiny_model(8)
    model.set_attachments(ATTACHMENT, ModelKind("ic-light-fc", 8, "SD1"))
    assert kind_of_model(model.clone()).kind == "ic-light-fc"


@pytest.mark.parametrize("channels", [4, 9])
def test_a_config_that_another_pack_wrote_into_says_nothing(booted, channels):
    """Other IC-Light packs set `in_channels` of the configuration that all clones share."""
    model = tiny_model(channels)
    before = kind_of_model(model)
    model.model.model_config.unet_config["in_channels"] = 8
    assert kind_of_model(model.clone()) == before


def test_weights_padded_in_place_say_nothing(booted):
    """While a model is loaded with an IC-Light patch, the weight itself has more channels."""
    model = tiny_model(4)
    patched = model.clone()
    shape = list(model.model.get_parameter(KEY).shape)
    shape[1] = 8
    patched.add_patches({KEY: ("diff", [torch.zeros(shape), {"pad_weight": True}])})
    patched.patch_model()
    assert model.model.get_parameter(KEY).shape[1] == 8
    assert kind_of_model(model).kind == "standard"
    patched.unpatch_model()
