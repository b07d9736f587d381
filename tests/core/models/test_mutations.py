"""Whatever is done to a file's names, no confident wrong word comes: the right one, several, or unknown.

Every header of a real model, with prefixes of training tools, with parts missing, with names of other files
mixed in. What is right is the table of `test_detect.py`.
"""

import math
import random

import pytest
from isi.core.models.detect import detect
from isi.core.models.header import Header
from isi.core.models.kinds import report

from .header_vectors import vectors
from .test_detect import OTHERS, TRANSFORMERS, UNETS

WRAPPERS = ("module.", "_orig_mod.", "state_dict.", "model_ema.", "state_dict.module.", "module._orig_mod.")
STRANGE = ("ema.", "net_ema.", "student.", "base_model.model.", "pipe.unet.", "0.", "model.model.")
"""Prefixes that no loader takes off."""
MIXES = 3


def truth(vector):
    """The kinds that a vector may be called, from the tables of real models."""
    layout, _, name = vector.partition("/")
    if vector in TRANSFORMERS:
        return {TRANSFORMERS[vector][0]}
    if vector in OTHERS:
        return {OTHERS[vector][0]}
    alone, whole, _ = UNETS[name]
    # What a whole checkpoint is, it is without its other parts too.
    return set((whole if layout == "checkpoint" else alone).split(" | "))


def header(shapes):
    return Header({name: tuple(shape) for name, shape in shapes.items()}, dict.fromkeys(shapes, "F16"))


def found_in(shapes):
    return detect(header(shapes))


def wrong(found, right):
    """Whether it says something, and nothing of that is right."""
    return found.kind != "unknown" and not right & set(found.candidates)


def parts_missing(vector):
    """The names of a vector without some: halves at random and in order, and each of its parts."""
    shapes = vectors()[vector]
    names = list(shapes)
    draw = random.Random(vector)
    for share in (0.5, 0.5, 0.9):
        yield {name: shapes[name] for name in names if draw.random() < share}
    middle = len(names) // 2
    yield {name: shapes[name] for name in names[:middle]}
    yield {name: shapes[name] for name in names[middle:]}
    for part in sorted({name.split(".")[0] for name in names})[:4]:
        if part != "llm_adapter":  # without it, Anima is Cosmos Predict2
            yield {name: shapes[name] for name in names if name.split(".")[0] != part}


def mixtures(vector):
    """(names, right kinds): a vector with some names of another one; with few, only its own kind is right."""
    draw = random.Random(vector)
    others = draw.sample([name for name in vectors() if name != vector], MIXES)
    for i, other in enumerate(others):
        theirs = vectors()[other]
        few = i % 3 == 0
        count = max(1, len(vectors()[vector]) // 20) if few else len(theirs) // i
        taken = draw.sample(list(theirs), min(count, len(theirs)))
        mixed = {name: theirs[name] for name in taken} | vectors()[vector]
        yield mixed, truth(vector) if few else truth(vector) | truth(other)


def damaged(vector):
    """(what was done, names): names are spoilt, or the sizes behind them."""
    shapes = vectors()[vector]
    draw = random.Random(vector)
    for prefix in STRANGE:
        yield prefix, {prefix + name: shape for name, shape in shapes.items()}
    yield "underscores", {name.replace(".", "_"): shape for name, shape in shapes.items()}
    yield "biases alone", {name: shape for name, shape in shapes.items() if name.endswith("bias")}
    yield "flat", {name: (math.prod(shape),) for name, shape in shapes.items()}
    yield "numbers", dict.fromkeys(shapes, ())
    yield "turned round", {name: tuple(reversed(shape)) for name, shape in shapes.items()}
    yield "shuffled", dict(zip(draw.sample(list(shapes), len(shapes)), shapes.values(), strict=True))
    yield "an optimizer", {f"optimizer.state.{name}.exp_avg": shape for name, shape in shapes.items()}


def count_of_mutations():
    return sum(
        len(WRAPPERS) + sum(1 for _ in (*parts_missing(vector), *damaged(vector))) + MIXES + 1
        for vector in vectors()
    )


def test_there_are_enough():
    assert count_of_mutations() >= 2000


@pytest.mark.parametrize("vector", vectors())
def test_no_mutation_makes_a_wrong_word(vector):
    right, plain = truth(vector), found_in(vectors()[vector])
    bad = []
    for prefix in WRAPPERS:
        found = found_in({prefix + name: shape for name, shape in vectors()[vector].items()})
        assert (found.kind, found.channels, found.wrapped) == (plain.kind, plain.channels, prefix)
        assert f"`{prefix}`" in report(found) and "can't be loaded" in report(found)
    for i, shapes in enumerate(parts_missing(vector)):
        if wrong(found := found_in(shapes), right):
            bad.append((f"missing {i}", found))
    for i, (shapes, either) in enumerate(mixtures(vector)):
        if wrong(found := found_in(shapes), either):
            bad.append((f"mixed {i}", found))
    for what, shapes in damaged(vector):
        if wrong(found := found_in(shapes), right):
            bad.append((what, found))
    half = list(parts_missing(vector))[0]
    if wrong(found := found_in({f"module.{name}": shape for name, shape in half.items()}), right):
        bad.append(("module. and half", found))
    assert not bad


@pytest.mark.parametrize("vector", ["checkpoint/sd1-4", "checkpoint/sdxl-4", "checkpoint/sd2-5", "ldm/sd1-9"])
def test_averaged_weights_alone_are_a_checkpoint_that_cant_be_loaded(vector):
    """LDM's LitEma writes its copies without dots."""
    whole = vector.startswith("checkpoint")
    start = "model.diffusion_model." if whole else ""
    shapes = {
        "model_ema." + "diffusion_model" + name.removeprefix(start).replace(".", "")
        if name.startswith(start)
        else name: shape
        for name, shape in vectors()[vector].items()
    }
    found = found_in(shapes)
    assert (found.kind, found.role, found.wrapped) == ("unknown", "checkpoint", "model_ema.")
    assert "`model_ema.`" in report(found)


def test_a_checkpoint_with_both_copies_is_what_it_is():
    shapes = vectors()["checkpoint/sd1-9"]
    both = shapes | {
        "model_ema." + name.removeprefix("model.").replace(".", ""): shape for name, shape in shapes.items()
    }
    found = found_in(both)
    assert (found.kind, found.role, found.wrapped) == ("inpaint", "checkpoint", "")


def test_a_compiled_unet_in_a_checkpoint_is_seen():
    """torch.compile of the UNet alone leaves its mark in the middle of the names."""
    start = "model.diffusion_model."
    shapes = {
        name.replace(start, f"{start}_orig_mod.", 1): shape
        for name, shape in vectors()["checkpoint/sdxl-9"].items()
    }
    found = found_in(shapes)
    assert (found.kind, found.role, found.wrapped) == ("inpaint", "checkpoint", "_orig_mod.")
