"""Each field of what a run is given decides its key, and those that do not are named here."""

from dataclasses import fields, replace

import pytest
import torch

NO_PICTURE = {"settle", "run_name", "redo_from", "choosing", "sampling.noise.seed", "sampling.noise.ratio"}
"""When a run ends, what it is called, and which of its pictures are made again: no picture's own business.
The plan has the seeds of a run's noise, and the VAE the width of its cells."""


NESTED = {("models",), ("sampling",), ("memory",), ("drift",), ("drift", "pixels")}
NESTED |= {("sampling", "noise")}


@pytest.fixture
def first_key(host, model, clip, vae):
    """The key of a run's first step, from what ISI Iterate hands over."""
    from isi.host.extras import EXTRAS
    from isi.host.loop.run import run_plan

    def key(request):
        with torch.inference_mode():  # as nodes run
            return run_plan(request, EXTRAS, {}).run.keys[0]

    return key


@pytest.fixture
def request_(bench, picture):
    from isi.core.edits.edit_lock import EditLock
    from isi.core.loop.drift import DriftLock
    from isi.core.loop.memory import Memory
    from isi.host.loop.moment import Conditioner
    from isi.host.loop.noise import Noise
    from isi.host.loop.run import Request
    from isi.host.loop.sampling import Models, Sampling

    class Seeds(Conditioner):
        def __init__(self, by):
            super().__init__()
            object.__setattr__(self, "by", by)

        def identity(self):
            return ["seeds", self.by]

        def condition(self, moment):
            return replace(moment, step=replace(moment.step, seed=moment.step.seed + self.by))

    models = Models(bench.model, bench.clip, bench.vae, Seeds(1))
    noise = Noise(3, 4, 0.1, (32, 32), 0.9)
    sampling = Sampling("blurry", "euler", "normal", (64, 64), noise=noise)
    pixels = EditLock(0.9, 0.1, 40, torch.zeros(1, 64, 64))
    drift = DriftLock("given image", 0.5, False, picture.flip(1), torch.zeros(1, 64, 64), pixels)
    plan = bench.plan("a", steps=1)
    made = Request(models, sampling, plan, picture, torch.ones(1, 64, 64), Memory("image", "ema", 0.4), drift)
    return made, Seeds(2)


def others(bench, picture, conditioner) -> dict:
    """Another value for every field: a new field has none here, and the test says so."""
    from isi.core.choosing.course import Selection
    from isi.core.loop.settle import Settle
    from isi.host.inside.recovered import Recovery

    lines = torch.ones(1, 64, 64)
    lines[:, ::2] = 0
    patched = {"sampling": "v_prediction", "zsnr": False}
    return {
        "models.model": bench.host.call("ModelSamplingDiscrete", model=bench.model, **patched)[0],
        "models.clip": bench.host.call("CLIPSetLastLayer", clip=bench.clip, stop_at_clip_layer=-2)[0],
        "models.vae": bench.host.call("ISI_MiniCheckpoint", kind="upscale-x4")[2],
        "models.conditioner": conditioner,
        "sampling.negative": "sharp",
        "sampling.sampler": "heun",
        "sampling.scheduler": "karras",
        "sampling.size": (64, 128),
        "sampling.own_sampler": bench.host.call("KSamplerSelect", sampler_name="heun")[0],
        "sampling.sigmas": torch.tensor([9.0, 2.0, 0.0]),
        "sampling.noise.seed": 5,
        "sampling.noise.ratio": 4,
        "sampling.noise.variation_seed": 5,
        "sampling.noise.variation": 0.2,
        "sampling.noise.resize_from": (32, 40),
        "sampling.noise.walk": 0.8,
        "sampling.noise.randomness": 0.4,
        "sampling.noise.recovery": Recovery(bench.model, bench.text("a"), steps=1),
        "plan": bench.plan("b", steps=1),
        "image": picture.flip(2),
        "mask": lines,
        "memory.carry": "latent",
        "memory.blend": "anchor",
        "memory.amount": 0.7,
        "drift.reference": "initial image",
        "drift.strength": 0.6,
        "drift.save_corrected": True,
        "drift.picture": picture.flip(2),
        "drift.mask": lines,
        "drift.pixels.strength": 0.8,
        "drift.pixels.floor": 0.2,
        "drift.pixels.area": 41,
        "drift.pixels.mask": lines,
        "settle": Settle(0.5, 1),
        "run_name": "key-fields",
        "redo_from": 1,
        "choosing": Selection(2, "first"),  # its first is the step itself
    }


def paths(value, names=()) -> list[tuple[str, ...]]:
    """Where every field is, those of the values inside included."""
    found = []
    for field in fields(value):
        inner, at = getattr(value, field.name), (*names, field.name)
        nested = at in NESTED
        found += paths(inner, at) if nested else [at]
    return found


def changed(value, path, other):
    name, *rest = path
    return replace(value, **{name: changed(getattr(value, name), rest, other) if rest else other})


def test_every_field_is_in_the_key_but_those_that_decide_no_picture(first_key, request_, bench, picture):
    base, conditioner = request_
    values = others(bench, picture, conditioner)
    assert {".".join(path) for path in paths(base)} == set(values)
    known = {first_key(base): "nothing changed"}
    for path in paths(base):
        name = ".".join(path)
        request = base
        if name == "sampling.size":  # of a text-to-image run alone
            request = replace(base, image=None, mask=None)
            known[first_key(request)] = "no picture"
        if name == "memory.carry":  # a drift lock needs pictures
            request = replace(base, drift=None)
            known[first_key(request)] = "no drift lock"
        key = first_key(changed(request, path, values[name]))
        if name in NO_PICTURE:
            assert known[key] == "nothing changed", name
        else:
            assert key not in known, f"{name} gives the key of: {known[key]}"
            known[key] = name
