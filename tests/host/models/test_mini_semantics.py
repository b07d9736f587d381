"""What the embedded models make of the nodes, read back by programs: does the colour follow the script, does
the edit keep the rest? The model card says how often; here a wide margin is left."""

from random import Random

import pytest
import torch
from isi.tools.mini import judge, world

from ..studio import Studio, caption, pixels, scene

SEEDS = (1, 2, 3)


@pytest.fixture
def studio(host):
    return Studio(host)


def read(picture):
    """(colour, shape, size, background) of a picture with one shape."""
    seen = judge.read(picture)
    found = seen.shapes[0] if seen.shapes else None
    return (
        (found.colour, found.kind, found.size, seen.background) if found else (None,) * 3 + (seen.background,)
    )


def red_to_blue(picture):
    """How far the middle has gone from the world's red (0) to its blue (1)."""
    red, blue = (torch.tensor(world.COLOURS[name]) for name in ("red", "blue"))
    middle = picture[52:76, 52:76].mean((0, 1))
    return float(((middle - red) @ (blue - red)) / ((blue - red) @ (blue - red)))


def test_the_autoencoder_keeps_the_picture(host, studio):
    rng, right = Random(77), 0
    for _ in range(6):
        of = world.sample_scene(rng, 1, textured=0.0, gradient=0.0)
        picture = pixels(of)
        (back,) = host.call("VAEDecode", samples=studio.encode(picture), vae=studio.vae)
        assert (back - picture).pow(2).mean() < 10**-2.4  # 24 dB
        right += read(back[0])[3] == of.background and read(back[0])[0] == of.shapes[0].colour
    assert right >= 5


def test_base_follows_the_caption(studio):
    rng, colours, grounds, kinds = Random(78), 0, 0, 0
    for seed in range(8):
        of = world.sample_scene(rng, 1, textured=0.0, gradient=0.0)
        colour, kind, _, ground = read(studio.draw(caption(of), seed))
        colours += colour == of.shapes[0].colour
        kinds += kind == of.shapes[0].kind
        grounds += ground == of.background
    assert colours >= 6 and grounds >= 6 and kinds >= 4, (colours, grounds, kinds)


def test_the_colour_follows_each_group_and_the_rest_stays(studio):
    script, said = "{a large circle on a white background} red; blue; green", ("red", "blue", "green")
    followed, stayed = 0, 0
    for seed in SEEDS:
        for picture, wanted in zip(studio.loop(script, seed), said, strict=True):
            colour, kind, size, ground = read(picture)
            followed += colour == wanted
            stayed += (kind, size, ground) == ("circle", "large", "white")
    assert followed >= 7 and stayed >= 7, (followed, stayed)


def test_five_groups_with_drift_lock_keep_the_background(studio, host):
    said = ("red", "blue", "green", "purple", "orange")
    script = "{a large circle on a white background} " + "; ".join(said)
    (lock,) = host.call("ISI_DriftLock", reference="initial image", strength=1.0, save_corrected=False,
                        mask=world.render(scene()).matte[None])  # fmt: skip
    start = pixels(scene())
    pictures = studio.loop(script, 1, image=start, drift=lock)
    seen = [read(picture) for picture in pictures]
    assert sum(colour == wanted for (colour, *_), wanted in zip(seen, said, strict=True)) >= 4, seen
    assert all(ground == "white" for *_, ground in seen), seen
    outside = world.render(scene()).matte == 0
    assert (pictures[-1] - start[0])[outside].mean().abs() < 0.1


def test_an_anchor_keeps_more_of_the_start_than_last(studio, host):
    script, start = "{a large circle on a white background} blue; blue; blue", pixels(scene())
    (anchor,) = host.call("ISI_Memory", carry="image", blend="anchor", amount=0.4)
    kept = [
        sum((studio.loop(script, seed, denoise=0.45, image=start, **memory)[-1] - start).pow(2).mean()
            for seed in SEEDS)
        for memory in ({"memory": anchor}, {})
    ]  # fmt: skip
    assert kept[0] < kept[1], kept


def test_a_heavier_group_obeys_more(studio):
    start = pixels(scene())
    light, heavy = (
        sum(
            red_to_blue(studio.loop(f"{{a large circle on a white background}} (blue:{weight})", seed,
                                    cfg=3.0, denoise=0.7, image=start)[-1])
            for seed in SEEDS
        )
        for weight in (0.5, 2)
    )  # fmt: skip
    assert heavy > light + 0.3, (light, heavy)


def test_editing_the_last_group_changes_only_the_last_picture(studio):
    first = studio.loop("{a large circle on a white background} red; blue; green", 5)
    other = studio.loop("{a large circle on a white background} red; blue; black", 5)
    assert torch.equal(first[:2], other[:2])
    assert read(first[2])[0] == "green" and read(other[2])[0] == "black"
