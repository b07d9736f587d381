"""Model patches that hold a picture, in tiles: the host's own classes against each tile done by hand."""

import functools

import pytest
import torch

from ..oracles import oracle, prompt, sample
from .transformers import node, patcher, qwen, z_image

pytestmark = pytest.mark.usefixtures("booted")

HEIGHT, WIDTH = 16, 40
"""The canvas in latent cells."""


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


@pytest.fixture(autouse=True, scope="module")
def no_prompt(booted):
    booted.server.last_prompt_id = booted.server.last_node_id = None


def rand(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def tiled(model, tile=128, overlap=32, **settings):
    from isi.core.tiles.tiling import Tiling
    from isi.host.tiles.tiled import TiledHandler, patch_tiled

    return patch_tiled(model, TiledHandler(Tiling(tile, overlap, **settings), progress=False))


def by_hand(patch, model, latent, positive, settings):
    """What one step to noise 0 gives where each tile is sampled on its own and blended: `patch(model, tile)`
    is the model of a tile, made of the cut pictures."""
    from isi.core.tiles.blend import TileWeights

    handler = tiled(model, **settings).model_options["context_handler"]
    layout = handler.layout(model.model, latent.shape)
    weights = TileWeights(layout, "cosine", handler.tiling.margin(8))
    import comfy.sample

    noise, out = comfy.sample.prepare_noise(latent, 3), torch.zeros_like(latent)
    for tile, pixels in zip(layout, layout.scaled(8), strict=True):

        def cut(full, pixels=pixels):
            return layout.scaled(8).cut(full, pixels)

        own = patch(model, cut)
        own.set_model_rope_options(1.0, tile.x / 2, 1.0, tile.y / 2, 1.0, 0.0)
        part = comfy.sample.sample(
            own, layout.cut(noise, tile).contiguous(), 1, 2.0, "euler", "simple", positive, prompt(-1.0),
            layout.cut(latent, tile).contiguous(), disable_pbar=True, seed=3,
        )  # fmt: skip
        layout.add(out, tile, part * weights[tile])
    return out


def one_step(model, latent, positive):
    return sample(
        model, latent, steps=1, scheduler="simple", cfg=2.0, positive=positive, negative=prompt(-1.0)
    )


def pictures():
    """A control picture, another one to inpaint, and a mask, of the canvas's own size."""
    image, other = rand(1, HEIGHT * 8, WIDTH * 8, 3, seed=1), rand(1, HEIGHT * 8, WIDTH * 8, 3, seed=2)
    mask = torch.zeros(1, HEIGHT * 8, WIDTH * 8)
    mask[:, 30:100, 90:260] = 1
    return image, other, mask


def planes(cut, picture):
    return cut(picture.movedim(-1, 1)).movedim(1, -1)


@pytest.mark.parametrize("given", ["image", "image and mask", "inpaint", "all"])
@pytest.mark.parametrize("wrap", ["off", "horizontal"])
def test_z_images_fun_controlnet_is_cut_to_each_tile(given, wrap):
    model, control, vae = z_image(given != "image")
    image, other, mask = pictures()
    apply = node("ZImageFunControlnet")().diffsynth_controlnet
    kept = {"image": given != "inpaint" and image, "mask": given != "image" and mask}
    kept["inpaint_image"] = given in ("inpaint", "all") and other
    kept = {name: value for name, value in kept.items() if value is not False}

    def patch(model, cut=lambda full: full):
        parts = {name: cut(value) if name == "mask" else planes(cut, value) for name, value in kept.items()}
        return apply(model, control, vae, strength=0.7, **parts)[0]

    latent, positive = torch.zeros(1, 16, HEIGHT, WIDTH), prompt(1.0)
    settings = {"wrap": wrap}
    ours = one_step(tiled(patch(model), **settings), latent, positive)
    expected = by_hand(patch, model, latent, positive, settings)
    assert (ours - expected).abs().max() <= 1e-5 * expected.abs().max()
    plain = one_step(tiled(model, **settings), latent, positive)
    assert (ours - plain).abs().max() > 1e-3 * expected.abs().max()


@pytest.mark.parametrize("additional", [0, 4])
def test_qwens_diffsynth_controlnet_is_cut_to_each_tile(additional):
    model, control, vae = qwen(additional)
    image, _, mask = pictures()
    apply = node("QwenImageDiffsynthControlnet")().diffsynth_controlnet

    def patch(model, cut=lambda full: full):
        masked = {"mask": cut(mask)} if additional else {}
        return apply(model, control, vae, planes(cut, image), 0.7, **masked)[0]

    latent, positive = torch.zeros(1, 16, 1, HEIGHT, WIDTH), prompt(1.0)
    # By hand each tile is a picture of its own, also to the model.
    settings = {"origin": "tile"}
    ours = one_step(tiled(patch(model), **settings), latent, positive)
    expected = by_hand(patch, model, latent, positive, settings)
    assert (ours - expected).abs().max() <= 1e-5 * expected.abs().max()
    plain = one_step(tiled(model, **settings), latent, positive)
    assert (ours - plain).abs().max() > 1e-3 * expected.abs().max()


def test_a_picture_of_another_size_is_fitted_to_the_canvas_first():
    import comfy.utils

    model, control, vae = z_image(False)
    small = rand(1, 70, 90, 3)
    canvas = comfy.utils.common_upscale(small.movedim(-1, 1), WIDTH * 8, HEIGHT * 8, "area", "center")
    apply = node("ZImageFunControlnet")().diffsynth_controlnet
    latent, positive = torch.zeros(1, 16, HEIGHT, WIDTH), prompt(1.0)
    ours, expected = (
        one_step(tiled(apply(model, control, vae, image=picture)[0]), latent, positive)
        for picture in (small, canvas.movedim(1, -1))
    )
    assert torch.equal(ours, expected)


@pytest.mark.parametrize("shift", [False, True])
def test_each_tile_is_encoded_once_a_run_and_patches_stay_as_they_were(monkeypatch, shift):
    model, control, vae = z_image(False)
    patched = node("ZImageFunControlnet")().diffsynth_controlnet(model, control, vae, image=pictures()[0])[0]
    patch = patched.model_options["transformer_options"]["patches"]["double_block"][0]
    before = dict(vars(patch))
    encoded, real = [], type(vae).encode
    monkeypatch.setattr(type(vae), "encode", lambda self, pixels: (encoded.append(1), real(self, pixels))[1])
    ours = tiled(patched, shift=shift)
    layout = ours.model_options["context_handler"].layout(model.model, (1, 16, HEIGHT, WIDTH))
    sample(ours, torch.zeros(1, 16, HEIGHT, WIDTH), steps=3)
    # A grid that moves has other tiles at each step.
    assert len(encoded) == len(layout) if not shift else len(encoded) > len(layout)
    assert vars(patch) == before


def test_demofusion_shows_tiles_their_part_and_sparse_pictures_the_whole():
    from isi.core.tiles.demofusion import DemoFusion
    from isi.host.tiles.demofusion import patch_demofusion

    class ZImageControlPatch:
        """The host's class by name, which tells what it is shown: the mean of its picture's columns."""

        vae = mask = inpaint_image = temp_data = encoded_image = None

        def encode_latent_cond(self, image, other):
            return image[:, ::8, ::8].movedim(-1, 1)[:, :1]

        def to(self, device):
            return self

    columns = torch.arange(40.0).repeat_interleave(8).view(1, 1, -1, 1).expand(1, 128, -1, 3)
    patch, shown = ZImageControlPatch(), []
    patch.image, patch.encoded_image = columns, columns[:, ::8, ::8].movedim(-1, 1)[:, :1]

    def probe(call):
        (own,) = call["options"]["patches"]["double_block"]
        shown.append((tuple(own.encoded_image.shape[-2:]), call["c_concat"], own.encoded_image))
        return call["x"] * 0.5

    places = torch.arange(40.0).view(1, 1, 1, -1).expand(1, 4, 16, -1)
    model = oracle(probe)
    model.set_model_double_block_patch(patch)
    known = prompt(canvas=places)
    fused = patch_demofusion(tiled(model), DemoFusion(2))
    sample(fused, torch.zeros(1, 4, 16, 40), steps=2, positive=known, negative=known)
    tiles = [(seen, place) for size, place, seen in shown if size == (16, 16)]
    whole = [seen for size, _, seen in shown if size != (16, 16)]
    assert tiles and whole
    assert all(torch.equal(seen, place[:, :1]) for seen, place in tiles)
    assert all(torch.equal(seen, patch.encoded_image) for seen in whole)


def columns(channels):
    """The canvas's columns, as a latent and as pixels of `[1, H, W, channels]`."""
    cells = torch.arange(float(WIDTH)).expand(1, 4, HEIGHT, WIDTH)
    pixels = cells[:, :1].repeat_interleave(8, -1).repeat_interleave(8, -2).expand(-1, channels, -1, -1)
    return cells, pixels.movedim(1, -1)


def test_supirs_and_animas_patches_are_one_object_wherever_a_tile_meets_them():
    from comfy.ldm.anima.lllite import AnimaLLLiteAttentionPatch, AnimaLLLiteMLPPatch, AnimaLLLitePatch
    from comfy.ldm.supir.supir_patch import SUPIRPatch

    cells, pixels = columns(3)
    nothing = patcher(torch.nn.Linear(1, 1))
    anima = AnimaLLLitePatch(nothing, pixels, pixels[..., 0], 1.0, 1.0, 0.0)

    def probe(call):
        patches, here = call["options"]["patches"], call["c_concat"]
        (own,) = patches["post_input"]
        assert own is not anima and torch.equal(own.image[:, ::8, ::8, 0], here[:, 0])
        assert torch.equal(own.mask[:, ::8, ::8], here[:, 0])
        assert patches["attn1_patch"][0].patch is own and patches["mlp_patch"][0].patch is own
        hint = patches["middle_block_after_patch"][0].__self__
        assert torch.equal(hint.hint_latent, here)
        assert patches["output_block_patch"][0].__self__ is hint
        assert patches["forward_timestep_embed_patch"][0][1].__self__ is hint
        return call["x"] * 0.5

    model = oracle(probe)
    model.set_model_post_input_patch(anima)
    model.set_model_attn1_patch(AnimaLLLiteAttentionPatch(anima, {}))
    model.set_model_patch(AnimaLLLiteMLPPatch(anima), "mlp_patch")
    SUPIRPatch(nothing, [], cells, 1.0, 1.0).register(model)
    known = prompt(canvas=cells)
    sample(tiled(model, batch=4), torch.zeros(1, 4, HEIGHT, WIDTH), positive=known, negative=known)
    assert model.model.calls and {shape[0] for shape in model.model.calls} == {1}


def test_wans_uni3c_video_is_cut_frame_by_frame(deleted_model):
    import comfy.latent_formats

    vae, form = qwen(0)[2], comfy.latent_formats.Wan21()
    video = rand(5, HEIGHT * 8, WIDTH * 8, 3)
    kind = node("WanUni3CControlnetApply").apply_patch.__globals__["WanUni3CCnetPatch"]
    patch = kind(patcher(torch.nn.Linear(1, 1)), video, vae, form, 1.0, 1.0, 0.0)
    shown = []

    def probe(call):
        (own,) = call["options"]["patches"]["double_block"]
        shown.append(own.prepared_render)
        return call["x"] * 0.5

    model = oracle(probe, comfy.latent_formats.Wan21, flow=True)
    model.set_model_double_block_patch(patch)
    ours = tiled(model)
    sample(ours, torch.zeros(1, 16, 2, HEIGHT, WIDTH), steps=1)
    layout = ours.model_options["context_handler"].layout(model.model, (1, 16, 2, HEIGHT, WIDTH)).scaled(8)
    expected = [
        form.process_in(vae.encode(layout.cut(video.movedim(-1, 1), tile).movedim(1, -1))) for tile in layout
    ]
    assert len(shown) == len(expected)
    assert all(torch.equal(seen, own) for seen, own in zip(shown, expected, strict=True))
    assert patch.prepared_render is None


@pytest.mark.parametrize(
    "holds", ["attribute", "closure", "partial", "list", "canvas", "replace", "wrapper", "apply", "diffusion"]
)
def test_a_strangers_picture_is_one_sentence_before_sampling(holds):
    picture = rand(1, 300, 200, 3)

    class Stranger:
        def __call__(self, kwargs):
            return kwargs

    def closed(kwargs):
        return kwargs if picture is None else kwargs

    model, patch = oracle(lambda call: call["x"] * 0.5), Stranger()
    if holds == "closure":
        patch = closed
    elif holds == "partial":
        patch = functools.partial(lambda seen, kwargs: kwargs, picture)
    elif holds == "list":
        patch.inner = {"a": [(picture,)]}
    elif holds == "canvas":
        patch.hint = rand(1, 16, HEIGHT, WIDTH)
    else:
        patch.picture = picture
    patched = model.clone()
    if holds == "replace":
        patched.set_model_attn2_replace(patch, "middle", 0, 0)
    elif holds == "wrapper":
        patched.set_model_unet_function_wrapper(patch)
    elif holds in ("apply", "diffusion"):
        kind = {"apply": "apply_model", "diffusion": "diffusion_model"}[holds]
        patched.add_wrapper_with_key(kind, "stranger", patch)
    else:
        patched.set_model_double_block_patch(patch)
    size = f"{WIDTH} x {HEIGHT}" if holds == "canvas" else "200 x 300"
    with pytest.raises(ValueError, match=f"a patch of this MODEL, holds a picture of {size}") as raised:
        sample(tiled(patched), torch.zeros(1, 4, HEIGHT, WIDTH))
    assert "\n" not in str(raised.value) and not model.model.calls
    # One tile is the host's own sampling, whatever a patch holds.
    if holds not in ("wrapper", "replace", "apply", "diffusion"):
        sample(tiled(patched, tile=512), torch.zeros(1, 4, HEIGHT, WIDTH))
        assert model.model.calls


def test_patches_without_a_picture_are_let_through():
    class Stranger:
        weight, tokens, mask = rand(320, 768), rand(1, 257, 1280), rand(1, 77, 77)
        kernel, block = rand(320, 4, 3, 3), torch.nn.Conv2d(3, 64, 64)

        def __call__(self, kwargs):
            return kwargs

    model, patch = oracle(lambda call: call["x"] * 0.5), Stranger()
    for name in ("weight", "tokens", "mask", "kernel", "block"):
        setattr(patch, name, getattr(Stranger, name))
    patch.itself = patch
    model.set_model_double_block_patch(patch)
    sample(tiled(model), torch.zeros(1, 4, HEIGHT, WIDTH))
    assert model.model.calls
