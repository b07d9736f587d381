"""What came without a graph is read whole, means the same in every process, and is never guessed."""

import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
from isi.host.keys.live import fingerprint
from isi.host.keys.state import plain

from ..tiny import tiny_clip, tiny_model, tiny_vae


def patched(model, strength=0.5, seed=1):
    clone = model.clone()
    weight = torch.randn(32, 4, 3, 3, generator=torch.Generator().manual_seed(seed))
    clone.add_patches({"diffusion_model.input_blocks.0.0.weight": ("diff", (weight,))}, strength)
    return clone


def with_option(model, value):
    clone = model.clone()
    clone.set_model_sampler_cfg_function(lambda args: args["cond"] * value)
    return clone


def test_equal_models_are_equal_and_different_ones_are_not(booted, model):
    assert fingerprint(tiny_model()) == fingerprint(model) == fingerprint(model.clone())
    assert fingerprint(tiny_model(seed=1)) != fingerprint(model)
    assert fingerprint(tiny_model(in_channels=9)) != fingerprint(model)
    assert fingerprint(tiny_vae(seed=5)) != fingerprint(tiny_vae())
    assert fingerprint(tiny_clip(seed=5)) != fingerprint(tiny_clip())


def test_patches_options_and_object_patches_count(booted, model):
    prints = [
        fingerprint(m)
        for m in (
            model, patched(model), patched(model, 0.6), patched(model, 0.5, 2), with_option(model, 1.0),
            with_option(model, 2.0),
        )
    ]  # fmt: skip
    assert len(set(prints)) == len(prints)
    assert fingerprint(patched(model)) == fingerprint(patched(model))
    assert fingerprint(with_option(model, 2.0)) == fingerprint(with_option(model, 2.0))


def test_use_changes_nothing(host):
    """The host notes on modules where their weights are; that is not what they compute."""
    model, clip, vae = tiny_model(seed=8), tiny_clip(8), tiny_vae(8)
    (text,) = host.call("CLIPTextEncode", clip=clip, text="a")
    (latent,) = host.call("EmptyLatentImage", width=16, height=16, batch_size=1)
    (latent,) = host.call(
        "KSampler", model=model, positive=text, negative=text, latent_image=latent, seed=1, steps=1, cfg=2.0,
        sampler_name="euler", scheduler="normal", denoise=1.0,
    )  # fmt: skip
    host.call("VAEDecode", samples=latent, vae=vae)
    for used, fresh in ((model, tiny_model(seed=8)), (clip, tiny_clip(8)), (vae, tiny_vae(8))):
        assert fingerprint(used) == fingerprint(fresh)


def test_a_shifted_schedule_counts(host, model):
    (discrete,) = host.call("ModelSamplingDiscrete", model=model, sampling="v_prediction", zsnr=False)
    (zero,) = host.call("ModelSamplingDiscrete", model=model, sampling="v_prediction", zsnr=True)
    assert len({fingerprint(model), fingerprint(discrete), fingerprint(zero)}) == 3


def test_weights_patched_in_place_are_read_from_their_backup(booted, model):
    clone = patched(tiny_model(seed=9))
    before = fingerprint(clone)
    clone.patch_model()
    try:
        fresh = patched(tiny_model(seed=9))
        assert fingerprint(clone) == fingerprint(fresh) == before
    finally:
        clone.unpatch_model()


def test_clip_skip_counts(host, clip):
    (skipped,) = host.call("CLIPSetLastLayer", clip=clip, stop_at_clip_layer=-2)
    assert fingerprint(skipped) != fingerprint(clip)


def test_what_cannot_be_read_is_never_equal_to_anything_else(booted):
    a, b = memoryview(b"x"), memoryview(b"x")
    assert fingerprint([a]) != fingerprint([b])

    class Slotted:
        __slots__ = ("__weakref__", "x")

    thing = Slotted()
    assert fingerprint(thing) == fingerprint(thing) != fingerprint(Slotted())


def test_one_pixel_of_a_large_mask_counts(booted):
    mask = torch.zeros(1, 1024, 1024)
    other = mask.clone()
    other[0, 511, 313] = 1
    assert fingerprint([mask]) == fingerprint([mask.clone()]) != fingerprint([other])


@pytest.mark.parametrize("way", ["weight", "attribute", "list", "tensor"])
def test_any_value_inside_a_model_counts(booted, way):
    """Also one that no sample meets."""
    model, other = tiny_model(seed=8), tiny_model(seed=8)
    part = other.model.diffusion_model.middle_block
    if way == "weight":
        with torch.no_grad():
            next(part.parameters()).view(-1)[7] += 1
    else:
        part.setting = {"attribute": 1.5, "list": [("path", 0.5)], "tensor": torch.ones(3)}[way]
    assert fingerprint(model) != fingerprint(other)


def test_classes_of_one_name_are_told_apart_by_their_bases(booted):
    def made(base):
        class Sampling(base):
            pass

        return Sampling()

    import comfy.model_sampling as sampling

    assert fingerprint(made(sampling.EPS)) != fingerprint(made(sampling.V_PREDICTION))
    assert fingerprint(made(sampling.EPS)) == fingerprint(made(sampling.EPS))


def test_cycles_end(booted):
    loop = []
    loop.append(loop)
    assert fingerprint(loop) == fingerprint(loop)


def test_what_a_module_holds_is_read_whole_wherever_it_lies_in_memory(tmp_path):
    """What is only made while it is read must not be taken for what comes after it."""

    def held(*defaults):
        module = types.ModuleType("made_up")
        for index, default in enumerate(defaults):
            exec(f"def f{index}(a={default}): pass", vars(module))  # noqa: S102
        return plain(module, tmp_path)

    assert len({held(1, 2, 3), held(1, 2, 4), held(1, 4, 3), held(4, 2, 3)}) == 4
    blocks = []
    for _ in range(50):  # memory that is laid out otherwise each time
        blocks.append([object() for _ in range(len(blocks))])
        assert held(1, 2, 3) == held(1, 2, 3)


CODE = """
import sys; sys.path[:0] = [{root!r}]
from pathlib import Path
from tests.host.harness import Host
host = Host(Path({base!r}))
from tests.host.tiny import tiny_model, tiny_vae, tiny_clip
from isi.host.keys.live import fingerprint
from tests.host.keys.test_live import patched, with_option
model = tiny_model()
for value in (model, patched(model), with_option(model, 2.0), tiny_vae(), tiny_clip()):
    print("PRINT", fingerprint(value))
"""


@pytest.mark.slow
def test_another_process_finds_the_same(booted, model, tmp_path):
    code = CODE.format(root=str(Path(__file__).resolve().parents[3]), base=str(tmp_path))
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    found = [line.split()[1] for line in out.stdout.splitlines() if line.startswith("PRINT")]
    here = [fingerprint(v) for v in (model, patched(model), with_option(model, 2.0), tiny_vae(), tiny_clip())]
    assert found == here, out.stderr[-2000:]
