"""Positions of a tile's tokens, against those that the untiled host gives to the same place."""

import pytest
import torch

from ..oracles import prompt, sample
from .transformers import flux, qwen, z_image

pytestmark = pytest.mark.usefixtures("booted")

HEIGHT, WIDTH = 16, 44
"""The canvas in latent cells."""


def ids_seen(model, embedder, run):
    """Row and column `[tokens, 2]` of all tokens, the text's first, in each call of a model in `run()`."""
    seen = []

    def watch(module, inputs):
        seen.append(inputs[0][0, :, -2:].clone())

    hook = getattr(model.model.diffusion_model, embedder).register_forward_pre_hook(watch)
    try:
        run()
    finally:
        hook.remove()
    return seen


def tiled(model, **settings):
    from isi.core.tiles.tiling import Tiling
    from isi.host.tiles.tiled import TiledHandler, patch_tiled

    return patch_tiled(model, TiledHandler(Tiling(160, 32, **settings), progress=False))


KINDS = {
    "flux": (flux, "pe_embedder", (1, 16, HEIGHT, WIDTH)),
    "z-image": (lambda: z_image(False)[0], "rope_embedder", (1, 16, HEIGHT, WIDTH)),
    "qwen": (lambda: qwen(0)[0], "pe_embedder", (1, 16, 1, HEIGHT, WIDTH)),
}


@pytest.fixture(params=KINDS)
def kind(request):
    make, embedder, shape = KINDS[request.param]
    model, latent = make(), torch.zeros(shape)
    positive = [[torch.zeros(1, 4, 8), {"pooled_output": torch.zeros(1, 8)}]]

    def ids(model, latent=latent):
        with torch.no_grad():
            seen = ids_seen(model, embedder, lambda: sample(model, latent, steps=1, positive=positive))
        cells = len(seen[-1])
        return [one for one in seen if len(one) == cells]

    return model, latent, ids


@pytest.mark.parametrize("origin", ["canvas", "tile"])
def test_a_tiles_tokens_lie_where_they_lie_in_the_whole_picture(kind, origin):
    model, latent, ids = kind
    ours = tiled(model, origin=origin)
    layout = ours.model_options["context_handler"].layout(model.model, latent.shape)
    assert len(layout) == 3 and all(start % 2 == 0 for start in layout.columns.starts)
    height, width = (side // 2 for side in layout.tile_size)
    text = len(ids(model)[-1]) - HEIGHT * WIDTH // 4
    whole = ids(model)[-1]
    picture = whole[text:].view(HEIGHT // 2, WIDTH // 2, 2)
    alone = ids(model, latent[..., : layout.tile_size[1]])[-1]
    seen = ids(ours)
    assert len(seen) == len(layout)
    for one, tile in zip(seen, layout, strict=True):
        if origin == "tile":
            assert torch.equal(one, alone)
            continue
        here = picture[tile.y // 2 : tile.y // 2 + height, tile.x // 2 : tile.x // 2 + width]
        assert torch.equal(one[text:].view(height, width, 2), here)
        assert torch.equal(one[:text], whole[:text])


def test_where_tiles_are_pictures_of_their_own_they_share_a_call(kind):
    model, latent, ids = kind
    batches = []
    transformer = model.model.diffusion_model
    hook = transformer.register_forward_pre_hook(lambda module, inputs: batches.append(len(inputs[0])))
    try:
        for origin in ("canvas", "tile"):
            ids(tiled(model, origin=origin, batch=4))
    finally:
        hook.remove()
    assert batches == [1, 1, 1, 3]


def test_reference_latents_of_qwen_lie_where_their_picture_lies(booted):
    model, latent = qwen(0)[0], torch.zeros(1, 16, 1, HEIGHT, WIDTH)
    same, other = torch.zeros_like(latent), torch.zeros(1, 16, 1, 8, 8)
    positive = prompt(1.0, reference_latents=[same, other])

    def ids(model):
        with torch.no_grad():
            run = lambda: sample(model, latent, steps=1, positive=positive)  # noqa: E731
            return ids_seen(model, "pe_embedder", run)

    whole, count = ids(model)[-1], HEIGHT * WIDTH // 4
    ours = tiled(model)
    layout = ours.model_options["context_handler"].layout(model.model, latent.shape)
    height, width = (side // 2 for side in layout.tile_size)
    text, tokens = len(whole) - 2 * count - 16, height * width
    reference = whole[text + count : text + 2 * count].view(HEIGHT // 2, WIDTH // 2, 2)
    for one, tile in zip(ids(ours), layout, strict=True):
        here = reference[tile.y // 2 : tile.y // 2 + height, tile.x // 2 : tile.x // 2 + width]
        assert torch.equal(one[text + tokens : text + 2 * tokens].view(height, width, 2), here)
        assert torch.equal(one[-16:], whole[-16:])
