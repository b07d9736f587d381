"""ISI_EditLock in a loop is ISI_LockEdit after each step by hand; off it is not there."""

import pytest
import torch
from isi.core.loop.engine import planar
from isi.core.loop.plan import Plan, Step
from isi.core.plans.window import Window

from ..harness import Failed

SETTINGS = {"strength": 1.0, "floor": 0.05, "min_area": 32}


def square():
    mask = torch.zeros(1, 64, 64)
    mask[:, 10:40, 20:60] = 1
    return mask


@pytest.mark.parametrize("masked", [False, True])
def test_each_step_is_locked_to_what_it_started_from(bench, picture, masked):
    mask = {"mask": square()} if masked else {}
    (lock,) = bench.host.call("ISI_EditLock", **SETTINGS, **mask)
    image, *_ = bench.run(bench.plan("a; b"), image=picture, drift=lock)
    expected = picture
    for text, seed in (("a", 7), ("b", 8)):
        made, *_ = bench.run(bench.plan(text, seed=seed), image=expected)
        locked, share = bench.host.call("ISI_LockEdit", before=expected, after=made, **SETTINGS, **mask)
        expected = planar(locked)  # as the loop carries it: convolutions round by layout
    assert torch.equal(image, expected)
    if masked:
        outside = square()[0] == 0
        assert torch.equal(image[0][outside], picture[0][outside])
        assert not torch.equal(image, picture) and torch.equal(share, square())


def test_at_strength_0_nothing_is_there(bench, picture):
    (lock,) = bench.host.call("ISI_EditLock", **SETTINGS | {"strength": 0.0})
    assert lock is None
    after = picture.flip(1)
    out, share = bench.host.call("ISI_LockEdit", before=picture, after=after, **SETTINGS | {"strength": 0.0})
    assert torch.equal(out, after) and (share == 1).all()


def test_a_drift_lock_comes_after_it(bench, picture):
    (drift,) = bench.host.call("ISI_DriftLock", reference="initial image", strength=1.0, save_corrected=True)
    (lock,) = bench.host.call("ISI_EditLock", **SETTINGS, drift=drift)
    image, *_ = bench.run(bench.plan("a"), image=picture, drift=lock)
    torch.testing.assert_close(image.mean((1, 2)), picture.mean((1, 2)), atol=1e-5, rtol=0)


def test_a_part_of_a_picture_is_locked_too(bench, picture):
    (lock,) = bench.host.call("ISI_EditLock", **SETTINGS, mask=torch.zeros(1, 32, 32))
    part = Plan((Step("a", 1, lens=Window(0, 0, 32, 32, (0, 0, 64, 64), 0, 0)),))
    image, *_ = bench.run(part, image=picture, drift=lock)
    assert torch.equal(image, picture)


def test_what_can_not_be_locked_is_one_sentence(bench, picture, calls):
    (other,) = bench.host.call("ISI_EditLock", **SETTINGS, mask=square()[:, :32])
    with pytest.raises(Failed, match="mask is 64x32, but the picture is 64x64"):
        bench.run(bench.plan("a"), image=picture, drift=other)
    assert not calls
    (lock,) = bench.host.call("ISI_EditLock", **SETTINGS)
    (memory,) = bench.host.call("ISI_Memory", carry="latent", blend="last", amount=0.5)
    with pytest.raises(Failed, match="ISI Edit Lock corrects pictures, but ISI Memory carries latents"):
        bench.run(bench.plan("a"), image=picture, drift=lock, memory=memory)
    with pytest.raises(Failed, match="in the size of the one before.*resize it"):
        bench.host.call("ISI_LockEdit", before=picture, after=picture[:, :32], **SETTINGS)
    with pytest.raises(Failed, match="NaN or infinite"):
        bench.host.call("ISI_LockEdit", before=picture, after=picture * float("nan"), **SETTINGS)
