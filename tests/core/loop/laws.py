"""The laws of `core/loop/lens.py` for any lens, by what can be seen from outside."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from isi.core.loop.lens import Lens, lens_from_json
from torch import Tensor


def hold(
    lens: Lens, picture: Tensor, assets: Mapping[str, Tensor] | None = None, scales: bool = False
) -> None:
    """Asserts that `lens` keeps the laws on `picture` `[B, H, W, C]`. `scales`: its views are resampled."""
    assets = dict(assets or {})
    kept, masks = picture.clone(), {name: mask.clone() for name, mask in assets.items()}
    batch, height, width, channels = picture.shape
    assert lens_from_json(lens.to_json()) == lens and hash(lens) == hash(lens_from_json(lens.to_json()))

    view = lens.get(picture, assets)
    assert view.pixels.shape == (batch, *lens.view_size(height, width), channels)
    if view.mask is not None:
        assert view.mask.shape[1:] == view.pixels.shape[1:3] and len(view.mask) in (1, batch)
        assert ((view.mask >= 0) & (view.mask <= 1)).all()
    if lens.in_place:
        assert lens.whole and torch.equal(view.pixels, picture)

    # Law 1: what was taken goes back.
    back = lens.put(picture, view.pixels, assets)
    assert back.shape[1:3] == lens.size(height, width)
    if not scales:
        becomes = back.shape == view.pixels.shape and torch.equal(back, view.pixels)
        grown = back.shape != picture.shape  # a canvas with a crop inside: neither the picture nor the view
        assert becomes or grown or torch.equal(back, picture)

    # Law 3: what no view can change is the same for every view, and the picture's own.
    views = [torch.rand(view.pixels.shape, generator=torch.Generator().manual_seed(i)) for i in range(2)]
    first, second = (lens.put(picture, pixels.clone(), assets) for pixels in views)
    still = (first == second).all(-1)
    assert torch.equal(first[still], back[still])
    if back.shape == picture.shape and not torch.equal(back, view.pixels):
        assert torch.equal(first[still], picture[still])

    # Law 2: what came back is what is seen again, so that putting it back once more changes nothing.
    if not scales:
        binary = {name: (mask > 0.5).to(mask) for name, mask in assets.items()}
        after = lens.put(picture, views[0], binary)
        if after.shape == picture.shape:
            again = lens.put(after, lens.get(after, binary).pixels, binary)
            assert torch.equal(again, after) or torch.equal(again, lens.get(after, binary).pixels)

    assert torch.equal(picture, kept), "a lens never writes into its picture"
    assert all(torch.equal(assets[name], mask) for name, mask in masks.items())
