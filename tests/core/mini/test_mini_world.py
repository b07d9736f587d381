"""The mini world draws what it says, and its judge reads it back."""

from dataclasses import replace
from random import Random

import pytest
import torch
from isi.tools.mini import captions, judge, world

READ = ("kind", "colour", "size", "place", "texture")


def picture(scene, height=128, width=128):
    return world.render(scene, height, width).picture.movedim(0, -1)


def wrong(scene, reading):
    """Names of what the judge did not read as it is."""
    if len(reading.shapes) != len(scene.shapes):
        return ["count"]
    by_kind = {s.kind: s for s in reading.shapes}
    bad = [a for s in scene.shapes for a in READ if getattr(by_kind.get(s.kind), a, None) != getattr(s, a)]
    bad += ["background"] * (reading.background != scene.background)
    return bad + ["light"] * (reading.light != scene.light)


def scenes(count, seed, **settings):
    rng = Random(seed)
    return [world.sample_scene(rng, **settings) for _ in range(count)]


@pytest.mark.parametrize(("height", "width", "count"), [(128, 128, 100), (256, 256, 10), (128, 192, 10)])
def test_the_judge_reads_ground_truth(height, width, count):
    told = scenes(count, seed=height + width, textured=0.4, gradient=0.3)
    mistakes = [wrong(s, judge.read(picture(s, height, width))) for s in told]
    assert sum(map(bool, mistakes)) <= 0.01 * count, [m for m in mistakes if m]


def test_the_judge_reads_shapes_that_lie_apart():
    rng, apart = Random(1), []
    for _ in range(20):
        scene = world.sample_scene(rng, textured=0.0)
        left, right = (
            replace(scene.shapes[0], place=p, size="small", x=world.PLACES[p][0], y=world.PLACES[p][1])
            for p in ("left", "right")
        )
        others = [c for c in world.COLOURS if c not in (scene.background, left.colour)]
        kinds = [k for k in world.SHAPES if k != left.kind]
        right = replace(right, colour=rng.choice(others), kind=rng.choice(kinds))
        apart.append(replace(scene, shapes=(left, right)))
    assert [wrong(s, judge.read(picture(s))) for s in apart] == [[]] * 20


@pytest.mark.parametrize("change", ["recolour", "move", "repaint", "resize", "relight", "remove"])
def test_the_judge_sees_what_was_changed_and_nothing_else(change):
    for scene in scenes(8, seed=7, textured=0.2):
        shape = scene.shapes[0]
        free = next(c for c in world.COLOURS if c not in (shape.colour, scene.background))
        place = next(p for p in world.PLACES if p != shape.place)
        light = next(x for x in world.LIGHTS if x != scene.light)
        other = "small" if shape.size == "large" else "large"
        changed, expected = {
            "recolour": (world.recolour(scene, 0, free)[1], "colour"),
            "move": (world.move(scene, 0, place)[1], "place"),
            "repaint": (world.repaint(scene, free)[1], "background"),
            "resize": (world.resize(scene, 0, other)[1], "size"),
            "relight": (world.relight(scene, light)[1], "light"),
            "remove": (replace(scene, shapes=()), "count"),
        }[change]
        assert wrong(scene, judge.read(picture(changed))) == [expected]


def test_the_judge_forgives_a_little_noise_and_finds_nothing_in_much():
    generator = torch.Generator().manual_seed(0)
    for scene in scenes(10, seed=3, textured=0.0):
        clean = picture(scene)
        noisy = (clean + 0.02 * torch.randn(clean.shape, generator=generator)).clamp(0, 1)
        assert not [w for w in wrong(scene, judge.read(noisy)) if w != "texture"]
    assert not judge.read(torch.rand(128, 128, 3, generator=generator)).shapes


def test_a_scene_is_the_same_at_every_size():
    for scene in scenes(5, seed=11, shapes=3):
        small, large = world.render(scene, 128, 128).picture, world.render(scene, 256, 256).picture
        shrunk = torch.nn.functional.interpolate(large[None], size=(128, 128), mode="area")[0]
        assert (shrunk - small).abs().mean() < 0.01


def test_layers_agree_with_each_other():
    for scene in scenes(10, seed=13, shapes=3):
        layers = world.render(scene, 96, 160)
        assert layers.picture.shape == (3, 96, 160) and layers.masks.shape == (3, 96, 160)
        torch.testing.assert_close(layers.matte, layers.masks.sum(0).clamp(max=1))
        assert torch.equal(layers.depth > 0, layers.matte > 0)
        top = layers.masks[-1] == 1
        assert (layers.depth[top] == 1).all() and (layers.depth[~top & (layers.masks[0] == 1)] < 1).all()


def test_a_caption_says_every_attribute_and_phrasings_say_nothing_false():
    rng = Random(17)
    names = {*world.COLOURS, *world.SHAPES, *world.SIZES, *world.TEXTURES, *world.PLACES}
    names -= {"plain", "centre"}
    for scene in scenes(50, seed=19, shapes=2):
        shape_words = {w for s in scene.shapes for w in (s.kind, s.colour, s.size, s.place, s.texture)}
        true = shape_words | {scene.background, scene.light}
        full = set(captions.caption(scene).replace(",", " ").split())
        assert true - {"plain", "centre"} <= full
        said = set(captions.phrase(scene, rng).replace(",", " ").split())
        assert said & names <= true


def test_the_same_seed_gives_the_same_world():
    assert scenes(5, seed=23) == scenes(5, seed=23) != scenes(5, seed=24)
