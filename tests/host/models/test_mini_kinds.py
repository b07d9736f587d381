"""Each kind of mini model does its job through the node that a user would connect. The model card says how
well; here a wide margin is left."""

from dataclasses import replace
from random import Random

import pytest
import torch
from isi.tools.mini import judge, world
from torch.nn.functional import interpolate

from ..studio import Studio, caption, pixels, psnr, right, scene

STEPS = 12


def test_depth_puts_the_shape_where_the_map_says(host):
    studio = Studio(host, "depth")
    for seed, place in enumerate(("left", "bottom")):
        of = scene("blue", "circle", "large", "yellow", place)
        layers = world.render(of)
        depth = layers.depth[None, :, :, None].expand(-1, -1, -1, 3)
        picture = studio.shown("a blue circle on a yellow background", seed, steps=STEPS, depth=depth)
        drawn = judge.name_pixels(picture.movedim(-1, 0)) == judge.NAMES.index("blue")
        meant = layers.matte > 0.5
        assert (drawn & meant).sum() > 0.6 * (drawn | meant).sum()


def test_pix2pix_obeys_the_instruction_and_keeps_the_rest(host):
    studio = Studio(host, "instruct-pix2pix")
    of = scene("red", "square", "large", "white")
    edits = (world.recolour(of, 0, "blue"), world.repaint(of, "green"))
    for seed, (words, after) in enumerate(edits):
        seen = right(after, studio.shown(words, seed, steps=STEPS, image=pixels(of)))
        assert all(seen[name] for name in ("colour", "background", "size", "place")), (words, seen)


def test_more_image_guidance_keeps_more_of_the_picture(host):
    studio = Studio(host, "instruct-pix2pix")
    starts = [
        scene("red", "star", "small", "white", "left"),
        scene("yellow", "ring", "large", "purple"),
        scene("white", "cross", "small", "orange", "top"),
    ]
    lost = []
    for image_cfg in (0.0, 0.5, 1.5):
        error = 0.0
        for seed, of in enumerate(starts):
            picture = studio.edit(
                f"make the {of.shapes[0].kind} blue", seed, image_cfg, STEPS, image=pixels(of)
            )
            outside = world.render(of).matte == 0
            error += float((picture - pixels(of)[0])[outside].pow(2).mean())
        lost.append(error)
    assert lost[0] > lost[1] > lost[2], lost


def test_inpaint_continues_the_scene_better_than_base_with_a_mask(host):
    studio, base = Studio(host, "inpaint"), Studio(host, "base")
    own = other = 0.0
    for seed, colour in enumerate(("red", "blue", "purple")):
        of = scene(colour, "circle", "large", "white")
        truth, mask = pixels(of), torch.zeros(1, 128, 128)
        mask[:, 32:96, 64:104] = 1
        hole = mask[0] == 1
        words = caption(of)
        filled = studio.shown(words, seed, steps=STEPS, image=truth, mask=mask)
        plain = base.sample(
            base.model, base.text(words), base.negative, base.encode(truth, mask), seed, 5.0, STEPS
        )
        own += float((filled - truth[0])[hole].pow(2).mean())
        other += float((plain - truth[0])[hole].pow(2).mean())
    assert own < 0.8 * other, (own, other)


@pytest.mark.parametrize("kind", ["ic-light-fc", "ic-light-fbc"])
def test_ic_light_turns_the_shading_and_keeps_the_shape(host, kind):
    base, sides, shapes = Studio(host), 0, 0
    for seed, light in enumerate(("left", "right", "top")):
        before = scene("orange", "square", "large", "blue", light="bottom")
        after = replace(before, light=light)
        words = f"{caption(after)}, light from the {light}"
        background = {"background": pixels(replace(after, shapes=()))} if kind == "ic-light-fbc" else {}
        model, positive, negative, latent = host.call(
            "ISI_ICLight", model=base.model, positive=base.text(words), negative=base.negative, vae=base.vae,
            file=f"mini/{kind}", foreground=pixels(before), mask=world.render(before).matte[None],
            light_source="none", matte=0.5, **background,
        )  # fmt: skip
        seen = right(after, base.sample(model, positive, negative, latent, seed, 3.0, STEPS))
        sides += seen["light"]
        shapes += seen["shape"]
    assert sides >= 2 and shapes >= 2, (sides, shapes)


def small_of(picture, factor):
    return interpolate(picture.movedim(-1, 1), scale_factor=1 / factor, mode="area").movedim(1, -1)


def test_x4_draws_the_small_picture_large_and_noise_costs(host):
    studio, of = Studio(host, "upscale-x4"), scene("green", "cross", "large", "white")
    truth = pixels(of)
    small = small_of(truth, 4)
    clean, noisy = (
        studio.shown("a green cross", 1, 1.0, STEPS, image=small, noise_level=level) for level in (0, 300)
    )
    assert clean.shape == truth.shape[1:] and psnr(clean, truth[0]) > max(24, psnr(noisy, truth[0]))
    assert all(right(of, clean)[name] for name in ("colour", "background", "shape", "size", "place"))


def test_the_2x_upscaler_is_sharper_than_lanczos(host):
    settings = {"factor": 2.0, "width": 0, "height": 0, "tile_size": 512, "overlap": 32}
    rng, gain = Random(9), 0.0
    for _ in range(8):
        truth = pixels(world.sample_scene(rng))
        made, plain = (
            host.call(
                "ISI_UpscaleImage",
                image=small_of(truth, 2),
                model_name=name,
                allow_gigapixel=False,
                **settings,
            )[0]
            for name in ("mini/upscaler-2x", "lanczos")
        )
        gain += (psnr(made, truth) - psnr(plain, truth)) / 8
    assert gain > 1


@pytest.mark.parametrize("size", [(100, 76), (1032, 64)])
def test_any_size_works(host, size):
    studio = Studio(host)
    (latent,) = host.call("EmptyLatentImage", width=size[1], height=size[0], batch_size=1)
    picture = studio.sample(studio.model, studio.text("a zebra"), studio.negative, latent, 1, steps=2)
    assert picture.shape == (size[0] // 8 * 8, size[1] // 8 * 8, 3) and torch.isfinite(picture).all()
