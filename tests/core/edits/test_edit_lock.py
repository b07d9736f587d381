"""Edit lock on edits that are known: the test itself says what was changed, moved, zoomed and tinted."""

import pytest
import torch
from isi.core.edits.direct import register
from isi.core.edits.edit_lock import EditLock, without_tint
from isi.core.edits.registration import Motion, moved_back
from scipy import ndimage
from torch.nn import functional

SIZE = 160


def texture(seed, height=SIZE, width=SIZE):
    """Clouds of several sizes, `[H, W, 3]` in 0..1."""
    generator = torch.Generator().manual_seed(seed)
    made = torch.zeros(3, height, width)
    for octave in range(1, 6):
        cells = torch.randn(1, 3, 2**octave + 1, 2**octave + 1, generator=generator) * 0.6**octave
        made += functional.interpolate(cells, (height, width), mode="bicubic", align_corners=True)[0]
    return ((made - made.amin()) / (made.amax() - made.amin())).movedim(0, -1)


def disc(height=SIZE, width=SIZE, radius=25):
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return ((x - 0.55 * width) ** 2 + (y - 0.45 * height) ** 2 < radius**2)[..., None]


def moved(picture, zoom, right, down):
    """The picture zoomed about its middle and shifted, with scipy's splines."""
    middle = [(side - 1) / 2 for side in picture.shape[:2]]
    offset = [m - (m + d) / zoom for m, d in zip(middle, (down, right), strict=True)]
    planes = [
        ndimage.affine_transform(plane, [1 / zoom, 1 / zoom], offset, order=3, mode="mirror")
        for plane in picture.movedim(-1, 0).double().numpy()
    ]
    return torch.stack([torch.from_numpy(plane) for plane in planes], -1).float()


def tinted(picture):
    return picture * torch.tensor([0.95, 1.04, 1.0]) + torch.tensor([0.02, -0.03, 0.01])


MOTIONS = [(1.0, 0.0, 0.0), (1.0, 11.7, -7.3), (0.96, -3.4, 12.0), (1.04, 5.5, 0.6), (1.017, -0.4, 0.3)]


@pytest.mark.parametrize("motion", MOTIONS)
@pytest.mark.parametrize("seed", [1, 2])
def test_only_the_change_goes_onto_the_picture(seed, motion):
    picture, where = texture(seed), disc()
    meant = torch.where(where, texture(seed + 50).flip(-1) * 0.4 + 0.5, picture)
    after = tinted(moved(meant, *motion))
    found = register(picture, after)
    zoom, right, down = motion
    assert abs(found.right - right) + abs(found.zoom - zoom) * SIZE / 4 <= 0.25
    assert abs(found.down - down) + abs(found.zoom - zoom) * SIZE / 4 <= 0.25
    out, share = EditLock().compared(picture[None], after[None])
    same = (out[0] == picture).all(-1)
    far = torch.from_numpy(ndimage.distance_transform_cdt(~where[..., 0].numpy(), "chessboard") > 8)
    assert same[far].all() and (share[0][far] == 0).all()
    different = (meant - picture).abs().amax(-1) > 0.06
    assert (~same)[different].double().mean() >= 0.98
    inside = torch.from_numpy(ndimage.binary_erosion(where[..., 0].numpy(), iterations=6))
    assert (out[0] - meant).abs().amax(-1)[inside].mean() < 0.03


def test_a_picture_moved_back_is_the_one_before():
    picture = texture(3)
    for motion in MOTIONS:
        back, known = moved_back(moved(picture, *motion), Motion(*motion))
        assert (back - picture).abs().amax(-1)[known].max() < 0.02
        assert known.double().mean() > 0.7


@pytest.mark.parametrize("change", ["night", "other", "black", "white", "flat"])
def test_an_edit_of_everything_is_let_through_bit_for_bit(change):
    picture = texture(4)[None]
    after = {
        "night": picture * 0.3,
        "other": texture(99)[None].flip(-1).square(),
        "black": torch.zeros_like(picture),
        "white": torch.ones_like(picture),
        "flat": picture.mean((1, 2), keepdim=True).expand_as(picture) + 0.3,
    }[change]
    assert torch.equal(EditLock().hold(picture, after), after)


def test_off_is_absent_and_half_is_half_way():
    picture, after = texture(5)[None], tinted(moved(texture(5), 1.0, 3.0, 0.0))[None]
    assert EditLock(strength=0.0).hold(picture, after) is after
    full = EditLock().hold(picture, after)
    half = EditLock(strength=0.5).hold(picture, after)
    assert torch.equal(full, picture)
    # The tint is taken back before: what is left to go half way is what resampling lost.
    assert 0 < (half - picture).abs().mean() < (after - picture).abs().mean() / 10


def test_a_mask_says_what_may_change():
    picture, after = texture(6)[None], texture(7)[None]
    mask = torch.zeros(1, SIZE, SIZE)
    mask[:, 40:90, 20:70] = 1
    out = EditLock(mask=mask).hold(picture, after)
    kept = mask[0] == 0
    assert torch.equal(out[0][kept], picture[0][kept])
    assert not torch.equal(out[0][~kept], picture[0][~kept])
    with pytest.raises(ValueError, match="mask is 160x160, but the picture is 80x160"):
        EditLock(mask=mask).hold(picture[:, :, :80], after[:, :, :80])


def test_each_picture_of_a_batch_alone_and_any_channels_and_size():
    pictures = torch.stack([texture(seed) for seed in (8, 9)])
    edits = torch.where(disc(), 1 - pictures, torch.stack([moved(one, 1.0, 4.0, 2.0) for one in pictures]))
    both = EditLock().hold(pictures, edits)
    for at in range(2):
        assert torch.equal(both[at : at + 1], EditLock().hold(pictures[at : at + 1], edits[at : at + 1]))
    for shape in ((1, 1, 1, 3), (1, 3, 5, 4), (1, 40, 33, 1), (1, 40, 50, 4)):
        picture = torch.rand(shape, generator=torch.Generator().manual_seed(1))
        assert torch.equal(EditLock().hold(picture, picture.clone()), picture)
    half = EditLock().hold(pictures.half(), edits.half())
    assert half.dtype == torch.float16


def test_small_specks_are_no_change():
    picture = texture(10)[None]
    after = picture.clone()
    after[:, 50:62, 50:62] += 0.5
    assert torch.equal(EditLock(area=400).hold(picture, after), picture)
    assert not torch.equal(EditLock(area=20).hold(picture, after), picture)


def flat_scene(ring_at):
    """A shaded wall, a square that stays, and a ring: little says where the picture lies."""
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    made = torch.tensor([0.8, 0.7, 0.1]) * (0.8 + 0.2 * x / SIZE)[..., None]
    square = (x > 20) & (x < 60) & (y > 95) & (y < 140)
    made = torch.where(square[..., None], torch.tensor([0.3, 0.1, 0.5]), made)
    far = ((x - ring_at[0]) ** 2 + (y - ring_at[1]) ** 2).sqrt()
    return torch.where(((far > 18) & (far < 38))[..., None], torch.tensor([0.9, 0.9, 0.95]), made)


@pytest.mark.parametrize("motion", [(0.98, 6.0, -9.5), (1.03, -11.0, 4.0)])
def test_a_large_edit_of_a_flat_picture_neither_moves_nor_tints_it(motion):
    picture, meant = flat_scene((110, 50)), flat_scene((100, 105))
    after = (moved(meant, *motion) * torch.tensor([0.95, 1.05, 1.04]) + 0.03).clamp(0, 1)
    found = register(picture, after)
    # Where the square's corners are, by hand.
    for x, y in ((-59.5, 15.5), (-19.5, 60.5)):
        right = found.zoom * x + found.right - motion[0] * x - motion[1]
        down = found.zoom * y + found.down - motion[0] * y - motion[2]
        assert (right**2 + down**2) ** 0.5 <= 0.25
    back, known = moved_back(after, Motion(*motion))
    matched = without_tint(picture, back, known)
    still = known & ((meant - picture).abs().amax(-1) == 0)
    assert (matched - picture).abs().amax(-1)[still].median() < 0.005
    out = EditLock().hold(picture[None], after[None])[0]
    change = (meant - picture).abs().amax(-1) > 0.06
    far = torch.from_numpy(ndimage.distance_transform_cdt(~change.numpy(), "chessboard") > 8)
    assert (out == picture).all(-1)[far].all()
    assert (out != picture).any(-1)[change & known].double().mean() >= 0.98


def test_a_faint_change_amid_texture_is_found_where_edges_are_sharp_and_none_where_they_are_not():
    grain = torch.rand(SIZE, SIZE, 1, generator=torch.Generator().manual_seed(3))
    grain = (grain * 0.5 + 0.1).repeat_interleave(4, 0).repeat_interleave(4, 1)[:SIZE, :SIZE]
    picture = grain.expand(-1, -1, 3).contiguous()
    meant = torch.where(disc(), picture.clamp_max(0.9) + 0.11, picture)
    out = EditLock().hold(picture[None], meant[None])[0]
    assert (out != picture).any(-1)[disc()[..., 0]].double().mean() >= 0.98
    # What blurs all edges alike changed none of them.
    soft = torch.from_numpy(ndimage.gaussian_filter(picture.numpy(), (3, 3, 0)))
    assert torch.equal(EditLock().hold(picture[None], soft[None])[0], picture)
