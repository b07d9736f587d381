"""ISI_Preprocess in ISI ControlNet Conditioner against the nodes themselves, called before each step."""

import pytest
import torch

from ..conditioning.test_control_net import by_hand, conditioner
from ..harness import Failed
from ..tiny import tiny_control_net


class Lines:
    """A preprocessor of a pack, of the old kind: with choices, and values that nobody sets."""

    TYPES: dict = {
        "required": {
            "picture": ("IMAGE",),
            "axis": (["down", "across"],),
            "by": ("INT", {"min": 1, "max": 9}),
        },
        "optional": {"twice": ("BOOLEAN", {"default": True}), "mask": ("MASK",)},
    }
    INPUT_TYPES = classmethod(lambda cls: cls.TYPES)
    RETURN_TYPES = ("IMAGE", "MASK")
    FUNCTION = "lines"
    CATEGORY = "test"

    def lines(self, picture, axis, by, twice, mask=None):
        moved = picture.roll(by, {"down": 1, "across": 2}[axis])
        torch.rand(1)  # it draws from the global state
        found = (picture - moved).abs() * (2 if twice else 1)
        return {"result": (found, None)}


class Nothing(Lines):
    def lines(self, picture, axis, by, twice, mask=None):
        return (None,)


@pytest.fixture
def pack(booted, monkeypatch):
    import nodes

    for name, kind in {"TestLines": Lines, "TestNothing": Nothing}.items():
        monkeypatch.setitem(nodes.NODE_CLASS_MAPPINGS, name, kind)
    monkeypatch.setitem(nodes.NODE_DISPLAY_NAME_MAPPINGS, "TestLines", "Lines of a Pack")


def preprocess(bench, node, settings="", **before):
    return bench.host.call("ISI_Preprocess", node=node, settings=settings, **before)[0]


def test_each_step_has_the_nodes_picture_of_the_moving_one(bench, picture, pack):
    def hint(k, at):
        (at,) = bench.host.call("Canny", image=at, low_threshold=0.05, high_threshold=0.8)
        return bench.host.call("TestLines", picture=at, axis="across", by=1, twice=True)[0]

    net = tiny_control_net()
    expected = by_hand(bench, picture, net, hint)
    canny = preprocess(bench, "Canny", "low_threshold = 0.05")
    lines = preprocess(bench, "lines of a pack", "\n axis=across\n", preprocess=canny)
    before = torch.get_rng_state()
    given = conditioner(bench, net, preprocess=lines)
    image, _, run = bench.run(bench.plan("a; b"), image=picture, conditioner=given)
    assert torch.equal(image, expected)
    assert torch.equal(torch.get_rng_state(), before)
    others = [
        {},
        {"preprocess": canny},
        {"preprocess": preprocess(bench, "TestLines", "axis = across\nby = 2", preprocess=canny)},
        {"preprocess": preprocess(bench, "TestLines", "axis = across")},
    ]
    for other in others:
        given = conditioner(bench, net, **other)
        assert bench.run(bench.plan("a"), image=picture, conditioner=given)[2].keys[0] != run.keys[0]


def test_a_picture_of_ones_own_goes_through_it_too(bench, picture, pack):
    net, own = tiny_control_net(), picture.flip(1)
    lines, _ = bench.host.call("TestLines", picture=own, axis="down", by=1, twice=False)
    expected = by_hand(bench, picture, net, lambda k, at: lines)
    made = preprocess(bench, "TestLines", "twice = False")
    given = conditioner(bench, net, hint_image=own, preprocess=made)
    image, *_ = bench.run(bench.plan("a; b"), image=picture, conditioner=given)
    assert torch.equal(image, expected)


REFUSED = {
    ("Cany", ""): "There is no node 'Cany' in this ComfyUI: .* such as Canny",
    ("SaveImage", ""): "SaveImage makes no picture of a picture",
    ("CLIPTextEncode", ""): "CLIPTextEncode makes no picture of a picture",
    ("ImageBlend", ""): "ImageBlend needs image2: ISI Preprocess takes nodes that need one picture",
    ("ImageUpscaleWithModel", ""): "ImageUpscaleWithModel needs upscale_model",
    ("ImageGrid", ""): "ImageGrid needs to be run by ComfyUI itself",
    ("Canny", "low = 1"): "Canny has no setting 'low': there are low_threshold, high_threshold",
    ("Canny", "sharp"): "one a line, such as low_threshold = 0.2, not 'sharp'",
    ("Canny", "low_threshold = 7"): "low_threshold of the node Canny is a number from 0.01 to 0.99, not '7'",
    ("TestLines", "by = 1.5"): "by of the node TestLines is a number from 1 to 9, not '1.5'",
    ("TestLines", "twice = 2"): "twice of the node TestLines is true or false, not '2'",
    ("TestLines", "axis = up"): "axis of the node TestLines is one of down, across, not 'up'",
}


@pytest.mark.parametrize(("node", "settings"), REFUSED)
def test_what_can_not_be_called_is_said_when_the_graph_is_queued(host, pack, node, settings):
    with pytest.raises(Failed, match=REFUSED[node, settings]):
        host.call("ISI_Preprocess", node=node, settings=settings)


def test_a_node_without_its_file_is_said(host, pack, monkeypatch):
    types = {"required": {"picture": ("IMAGE",), "model": ([],)}}
    monkeypatch.setattr(Lines, "TYPES", types)
    with pytest.raises(Failed, match="model of the node TestLines has nothing to choose from: put its file"):
        host.call("ISI_Preprocess", node="TestLines", settings="")


def test_a_node_that_returns_no_picture_is_said_before_sampling(bench, picture, pack, calls):
    given = conditioner(bench, tiny_control_net(), preprocess=preprocess(bench, "TestNothing"))
    with pytest.raises(Failed, match="Expected a picture of the node TestNothing of ISI Preprocess"):
        bench.run(bench.plan("a"), image=picture, conditioner=given)
    assert not calls


def test_a_file_that_a_setting_names_is_in_the_key(bench, picture, pack, monkeypatch):
    monkeypatch.setattr(Lines, "lines", lambda self, picture, model: (picture, None))
    monkeypatch.setattr(
        Lines, "TYPES", {"required": {"picture": ("IMAGE",), "model": (["other.pth", "depth.pth"],)}}
    )
    file, keys = bench.host.base / "models" / "controlnet" / "depth.pth", []
    file.parent.mkdir(exist_ok=True)
    for content in (b"one", b"another"):
        file.write_bytes(content)
        made = preprocess(bench, "TestLines", "model = depth.pth")
        given = conditioner(bench, tiny_control_net(), preprocess=made)
        keys.append(given.identity())
    assert keys[0][-1] != keys[1][-1]
