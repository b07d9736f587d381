"""Channels of concat-conditioned models, against closed forms and independent computations."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from isi.core.models.concat import (
    Concat,
    Depth,
    InpaintMask,
    Latents,
    LowResolution,
    add_noise,
    crop_to_multiple,
    fill_batch,
    image_guidance,
    light_gradient,
    masked_picture,
    on_grey,
    same_aspect,
)
from torch.nn import functional

sizes = st.integers(1, 40)


def random(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=25, deadline=None)
@given(batch=st.integers(1, 3), height=sizes, width=sizes, h=st.integers(2, 12), w=st.integers(2, 12))
def test_depth_spans_minus_one_to_one_in_each_sample(batch, height, width, h, w):
    depth = random(batch, height, width) * torch.arange(1, batch + 1).reshape(-1, 1, 1) * 100
    out = Depth(depth).channels(h, w)
    assert out.shape == (batch, 1, h, w) and torch.isfinite(out).all()
    for map_, sample in zip(depth, out, strict=True):
        if map_.amin() < map_.amax():
            assert sample.amin() == -1 and sample.amax() == 1


def test_depth_is_resized_before_it_is_normalised():
    # Bicubic overshoots an edge: normalised first, the result would leave -1..1 or be clipped.
    depth = torch.zeros(1, 8, 8)
    depth[:, :, 4:] = 1
    resized = functional.interpolate(depth[None], (24, 24), mode="bicubic")
    assert resized.amax() > 1 and resized.amin() < 0
    expected = 2 * (resized - resized.amin()) / (resized.amax() - resized.amin()) - 1
    assert torch.allclose(Depth(depth).channels(24, 24), expected, atol=1e-6)


def test_depth_of_one_sample_does_not_depend_on_the_others():
    depth = random(3, 20, 20) * torch.tensor([1.0, 10.0, 0.1]).reshape(3, 1, 1)
    together = Depth(depth).channels(5, 7)
    alone = torch.cat([Depth(one[None]).channels(5, 7) for one in depth])
    assert torch.equal(together, alone)


def test_depth_inverts_and_survives_constant_maps():
    depth = random(1, 16, 16)
    assert torch.allclose(Depth(depth, invert=True).channels(4, 4), -Depth(depth).channels(4, 4), atol=1e-6)
    assert torch.equal(Depth(torch.full((2, 16, 16), 0.7)).channels(4, 4), torch.zeros(2, 1, 4, 4))


@settings(max_examples=25, deadline=None)
@given(h=st.integers(1, 9), w=st.integers(1, 9), seed=st.integers(0, 99))
def test_max_pooled_mask_covers_every_masked_pixel(h, w, seed):
    mask = (random(1, 37, 29, seed=seed) > 0.98).float()
    latent = InpaintMask(mask, "max-pool").channels(h, w)
    for y, x in mask[0].nonzero().tolist():
        assert latent[0, 0, y * h // 37, x * w // 29] == 1
    assert torch.equal(latent.unique(), latent.unique().round())


def test_thin_lines_are_lost_by_nearest_and_kept_by_max_pool():
    mask = torch.zeros(1, 64, 64)
    mask[:, 12:14] = 1
    assert InpaintMask(mask, "nearest").channels(8, 8).sum() == 0
    assert InpaintMask(mask, "max-pool").channels(8, 8).sum() == 8


def test_mask_is_one_where_the_model_paints_and_grey_in_the_picture():
    mask = torch.zeros(1, 16, 16)
    mask[:, :8] = 1
    assert InpaintMask(mask).channels(2, 2).flatten().tolist() == [1, 1, 0, 0]
    pixels = random(1, 16, 16, 3)
    seen = masked_picture(pixels, mask)
    assert (seen[:, :8] == 0.5).all() and torch.allclose(seen[:, 8:], pixels[:, 8:], atol=1e-7)


@pytest.mark.parametrize("level", [0, 20, 250, 350])
def test_noise_levels_against_the_product_of_the_schedule(level):
    abar = 1.0
    for t in range(level + 1):
        abar *= 1 - (1e-4**0.5 + (0.02**0.5 - 1e-4**0.5) * t / 999) ** 2
    x, noise = random(1, 3, 4, 4), random(1, 3, 4, 4, seed=1)
    expected = abar**0.5 * x + (1 - abar) ** 0.5 * noise
    # DDPMScheduler's float32 is a few 1e-6 off the exact product at level 0.
    assert torch.allclose(add_noise(x, noise, level), expected, atol=5e-6)


@pytest.mark.parametrize("shape", [(1, 13, 11), (2, 9, 15), (3, 7, 10)])
def test_low_resolution_noise_is_seeded_and_leaves_the_global_generator(shape):
    pixels = random(*shape, 3)
    state = torch.get_rng_state()
    out = LowResolution(pixels, 250, seed=7).channels(*shape[1:])
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(out, LowResolution(pixels, 250, seed=7).channels(*shape[1:]))
    assert not torch.equal(out, LowResolution(pixels, 250, seed=8).channels(*shape[1:]))
    noise = torch.randn(shape[0], 3, *shape[1:], generator=torch.Generator().manual_seed(7))
    assert torch.allclose(out, add_noise(2 * pixels.movedim(-1, 1) - 1, noise, 250), atol=1e-6)


def test_concat_keeps_order_and_pairs_of_batches():
    first, second = random(2, 4, 6, 6), random(1, 4, 6, 6, seed=1)
    out = Concat((Latents(first), Latents(second)), (6, 6)).at(4, 6, 6)
    assert torch.equal(out[:, :4], torch.cat([first, first]))
    assert torch.equal(out[:, 4:], second.expand(4, -1, -1, -1))


def test_concat_resizes_itself_and_refuses_what_does_not_fit():
    latents = random(2, 4, 6, 8)
    concat = Concat((Latents(latents),), (6, 8))
    bigger = functional.interpolate(latents, (9, 12), mode="bilinear")
    assert torch.equal(concat.at(2, 9, 12), bigger)
    with pytest.raises(ValueError, match="aspect ratio"):
        concat.at(2, 24, 16)
    with pytest.raises(ValueError, match="batch"):
        concat.at(3, 6, 8)


@given(height=st.integers(8, 200), width=st.integers(8, 200), factor=st.floats(1, 3))
def test_rounded_hires_sizes_are_of_one_aspect(height, width, factor):
    assert same_aspect((height, width), (round(height * factor), round(width * factor)))


@given(height=st.integers(8, 60), width=st.integers(8, 60))
def test_crop_is_centred_and_follows_another_picture(height, width):
    ramp = torch.arange(height * width).reshape(1, height, width)
    out = crop_to_multiple(ramp, 8)
    top, left = height % 8 // 2, width % 8 // 2
    assert torch.equal(out, ramp[:, top : top + height // 8 * 8, left : left + width // 8 * 8])
    twice = ramp.repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert torch.equal(crop_to_multiple(twice, 8, (height, width))[:, ::2, ::2], out)


def test_crop_refuses_pictures_smaller_than_a_cell():
    with pytest.raises(ValueError, match="at least 8x8"):
        crop_to_multiple(random(1, 7, 20, 3), 8)


def test_foreground_on_grey():
    pixels, alpha = random(1, 4, 4, 3), random(1, 4, 4, seed=1)
    expected = pixels * alpha[..., None] + 0.5 * (1 - alpha[..., None])
    assert torch.allclose(on_grey(pixels, alpha), expected, atol=1e-6)
    assert on_grey(pixels, None) is pixels


def test_light_falls_from_its_side():
    for side, dim in (("left", 2), ("right", 2), ("top", 1), ("bottom", 1)):
        light = light_gradient(side, 5, 9)
        steps = light.diff(dim=dim)
        assert light.shape == (1, 5, 9, 3) and light.amin() == 0 and light.amax() == 1
        assert (steps < 0).all() if side in ("left", "top") else (steps > 0).all()


@given(s_text=st.floats(0, 20), s_image=st.floats(0, 5))
def test_image_guidance_is_the_closed_formula(s_text, s_image):
    null, image, both = (random(2, 4, 3, 3, seed=i).double() for i in range(3))
    closed = null + s_image * (image - null) + s_text * (both - image)
    two_way = image + s_text * (both - image)
    got = image_guidance(two_way, image, null, s_image)
    assert (got - closed).abs().max() <= 1e-6 * closed.abs().max()
    assert torch.equal(image_guidance(two_way, image, null, 1.0), two_way)


def test_fill_batch_repeats_as_a_whole():
    assert fill_batch(torch.tensor([[1], [2]]), 4).flatten().tolist() == [1, 2, 1, 2]
