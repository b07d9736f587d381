"""Seams of outpainting: passes whose colours drift continue a picture without a step, a kink or a cast."""

import pytest
import torch
from isi.core.plans.outpaint import Outpainting

HEIGHT, WIDTH, SIDE, PASS = 256, 256, 512, 512
MOST = 20 / 255


def canvas(kind: str, height: int, width: int) -> torch.Tensor:
    """`[1, H, W, 3]`: a ramp, a sky, or a sky with grain."""
    y, x = torch.arange(height)[:, None] / height, torch.arange(width)[None] / width
    if kind == "ramp":
        return torch.stack([0.2 + 0.5 * x + 0 * y, 0.3 + 0.3 * y + 0 * x, 0.6 - 0.2 * (x + y)], -1)[None]
    sky = torch.stack([0.35 + 0.4 * y**2, 0.55 + 0.3 * y**1.5, 0.9 - 0.1 * y], -1)
    sky = sky - 0.1 * ((x - 0.6) ** 2)[..., None]
    if kind == "grain":
        sky = sky + 0.01 * torch.randn(height, width, 3, generator=torch.Generator().manual_seed(0))
    return sky.expand(height, width, 3)[None]


def drift(kind: str, height: int, width: int, number: int) -> torch.Tensor:
    """What a pass adds to its window, at most MOST: slopes along and across the rim, a vignette, a cast."""
    y, x = torch.linspace(-1, 1, height)[:, None, None], torch.linspace(-1, 1, width)[None, :, None]
    colour = torch.tensor([1.0, -0.6, 0.8]) * (-1) ** number
    field = {
        "along": y + 0 * x,
        "across": x + 0 * y,
        "both": (x + y) / 2,
        "vignette": (x**2 + y**2) - 1,
        "wave": torch.sin(4 * y) * torch.cos(2 * x),
        "cast": torch.ones_like(x * y),
    }[kind]
    return MOST * field * colour


def outpainted(plan, picture: torch.Tensor, truth: torch.Tensor, kind: str) -> torch.Tensor:
    """Every pass paints the truth and its drift over all of its window."""
    for number, step in enumerate(plan.steps):
        view = step.lens.get(picture, plan.assets)
        window = getattr(step.lens, "inner", step.lens)
        seen = truth[:, window.top : window.top + window.height, window.left : window.left + window.width]
        made = seen + drift(kind, window.height, window.width, number)
        assert made.shape == view.pixels.shape
        picture = step.lens.put(picture, made, plan.assets)
    return picture


def right_of(truth: torch.Tensor) -> torch.Tensor:
    return truth[:, :, :WIDTH].clone()


KINDS = ["along", "across", "both", "vignette", "wave", "cast"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("picture", ["ramp", "sky", "grain"])
def test_one_pass_leaves_no_step_and_no_kink_and_every_given_pixel(picture, kind):
    truth = canvas(picture, HEIGHT, WIDTH + SIDE // 2)
    plan = Outpainting((0, 0, 0, SIDE // 2), PASS, ["a"], overlap=32).plan(HEIGHT, WIDTH)
    assert len(plan) == 1
    out = outpainted(plan, right_of(truth), truth, kind)
    assert torch.equal(out[:, :, :WIDTH], truth[:, :, :WIDTH])
    # The step: what the join adds to the picture's own slope there.
    own = truth[:, :, WIDTH] - truth[:, :, WIDTH - 1]
    step = (out[:, :, WIDTH] - out[:, :, WIDTH - 1] - own).abs()
    assert step.max() <= 1 / 255
    seconds = out.diff(n=2, dim=2).abs().mean((0, 1, 3))
    join = seconds[WIDTH - 2 : WIDTH].max()
    elsewhere = seconds[WIDTH - 64 : WIDTH - 8].mean()
    assert join <= 2 * max(float(elsewhere), 0.4 / 255), (join * 255, elsewhere * 255)


@pytest.mark.parametrize("kind", ["along", "wave", "cast"])
def test_four_passes_gather_no_cast(kind):
    """Two to either side; each pass drifts the other way. Mean difference from what should be there.

    A drift that goes on growing beyond the rim can't be seen from there, and is none of these.
    """
    height, width = 256, 256
    truth = canvas("sky", height, 1280)
    plan = Outpainting((0, 0, 512, 512), 384, ["a"], overlap=32).plan(height, width)
    assert len(plan) >= 4
    given = truth[:, :, 512:768].clone()
    out = outpainted(plan, given, truth, kind)
    assert torch.equal(out[:, :, 512:768], given)
    for part in (out[:, :, :512] - truth[:, :, :512], out[:, :, 768:] - truth[:, :, 768:]):
        assert part.mean((0, 1, 2)).abs().max() <= 2 / 255


def mixed(step: float, height: int, width: int, rim: int) -> torch.Tensor:
    """What a decoder shows of a step between two latents: half of it at `rim`, all beyond; and noise."""
    x = torch.arange(width) + 0.5 - rim
    field = step * torch.special.ndtr(x / 5)[None, :, None].expand(height, width, 3)
    return field + 0.5 / 255 * torch.randn(height, width, 3, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("off", [0, 3, 7])
@pytest.mark.parametrize("step", [12 / 255, -MOST])
def test_a_drift_that_the_known_side_shows_half_of_is_taken_back_whole(step, off):
    """What lies in a latent's cell that is only partly known is made anew with the rest of it."""
    width = 256 + off
    truth = canvas("sky", HEIGHT, PASS)
    (only,) = Outpainting((0, 0, 0, PASS - width), PASS, ["a"], overlap=32).plan(HEIGHT, width).steps
    window = only.lens.inner
    seen = truth[:, :, window.left : window.left + window.width]
    rim = width - window.left
    made = seen + mixed(step, HEIGHT, window.width, rim // 8 * 8)
    out = only.lens.put(truth[:, :, :width].clone(), made, {})
    assert torch.equal(out[:, :, :width], truth[:, :, :width])
    error = (out - truth)[0, :, width:].mean(0)
    assert error[0].abs().max() <= 1 / 255
    assert error[32:].abs().max() <= 0.25 * abs(step), error.mean(1)[::8] * 255
    assert error.diff(dim=0).abs().max() <= 0.75 / 255


def test_what_changed_its_hue_in_the_picture_casts_nothing_on_what_is_new():
    """A disc comes out in another colour; the ground of the new area, brighter than it, stays as made."""
    truth = canvas("ramp", HEIGHT, WIDTH + SIDE // 2)
    y, x = torch.arange(HEIGHT)[:, None] - 128, torch.arange(WIDTH + SIDE // 2)[None] - 150
    disc = ((y**2 + x**2) < 60**2)[..., None]
    wave = 0.1 * torch.sin(x / 3).unsqueeze(-1) * disc
    truth = truth + wave * torch.tensor([1.0, 1.0, 1.0])
    made = truth - wave * torch.tensor([0.0, 0.5, 0.0])
    plan = Outpainting((0, 0, 0, SIDE // 2), PASS, ["a"], overlap=32).plan(HEIGHT, WIDTH)
    out = plan.steps[0].lens.put(right_of(truth), made, {})
    inside = slice(8, -8)  # a ramp has no mean round a pixel at the frame
    assert (out - truth)[:, inside, WIDTH:-8].abs().max() <= 1 / 255
