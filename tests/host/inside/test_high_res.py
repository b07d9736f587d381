"""ISI High Res: the size of every block as the UNet runs, and windows against masked attention."""

import logging

import pytest
import torch
from torch.nn import functional

from ..harness import CAUGHT, Failed
from ..keys.runs import loop
from ..oracles import oracle, sample
from ..tiny import CONTEXT, tiny_control_net, tiny_model

WHOLE = {"start": 0.0, "end": 1.0, "windows": True, "trained_size": 64}
NOTHING = {"start": 0.0, "end": 0.0, "windows": False, "trained_size": 64}
"""The tiny model has 8 cells at 64 px; its two levels both look at the picture."""


def high_res(host, model, **settings):
    return host.call("ISI_HighRes", model=model, **WHOLE | settings)[0]


def latent(*size, seed=0):
    return torch.randn(1, 4, *size, generator=torch.Generator().manual_seed(seed))


def words():
    vectors = torch.randn(1, 4, CONTEXT, generator=torch.Generator().manual_seed(9))
    return [[vectors, {}]]


def made(model, z, **settings):
    return sample(model, z, positive=words(), negative=words(), **settings)


def sizes(model, z, **settings):
    """Sizes of what each block of a UNet is given, a list a call of the model."""
    unet, calls = model.model.diffusion_model, []
    parts = [block[0] for block in (*unet.input_blocks, unet.middle_block, *unet.output_blocks)]

    def watch(module, given):
        if module is parts[0]:
            calls.append([])
        calls[-1].append(given[0].shape[-1])

    hooks = [part.register_forward_pre_hook(watch) for part in parts]
    try:
        made(model, z, **settings)
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def test_deep_blocks_have_the_size_that_they_know_while_it_lasts_and_outer_ones_their_own(host):
    model = tiny_model()
    known, plain = (sizes(model, latent(side, side), steps=1)[0] for side in (8, 16))
    calls = sizes(high_res(host, model, end=0.5), latent(16, 16), steps=4)
    outer = max(plain)
    deep = [side if side == outer else small for side, small in zip(plain, known, strict=True)]
    assert min(known) in deep
    # The downsampler is given the map that was thinned out for it.
    deep[plain.index(min(plain)) - 1] //= 2
    assert calls == [deep] * 2 + [plain] * 2


@pytest.mark.parametrize("size", [(16, 16), (15, 22), (64, 9)])
def test_any_size_is_sampled(host, size):
    assert made(high_res(host, tiny_model()), latent(*size)).shape[-2:] == size


@pytest.mark.parametrize("sampler", ["euler", "heun", "uni_pc"])
def test_nothing_is_bit_for_bit_nothing_also_where_no_picture_is_too_large(host, sampler):
    model, large, small = tiny_model(), latent(16, 16), latent(8, 8)
    plain = made(model, large, sampler=sampler)
    assert torch.equal(made(high_res(host, model, **NOTHING), large, sampler=sampler), plain)
    assert torch.equal(
        made(high_res(host, model), small, sampler=sampler), made(model, small, sampler=sampler)
    )
    assert not torch.equal(made(high_res(host, model), large, sampler=sampler), plain)
    twice = high_res(host, high_res(host, model))
    assert torch.equal(made(twice, large), made(high_res(host, model), large))
    assert not model.model_options["transformer_options"].get("patches")


def test_windows_are_attention_that_sees_its_window_alone(host):
    """Against the host's own patch that replaces attention, with a mask of who sees whom."""
    model, z, side, seen = tiny_model(), latent(16, 16), 16, []

    def masked(q, k, v, options):
        if q.shape[1] != side * side:
            mask = None
        else:
            moved = len(seen) // 3 % 4 * side // 2 // 4  # three such blocks a step
            seen.append(moved)
            rows = (torch.arange(side) - moved) % side // (side // 2)
            window = (2 * rows[:, None] + rows).flatten()
            mask = window[:, None] == window
        heads = (one.unflatten(-1, (options["n_heads"], -1)).transpose(1, 2) for one in (q, k, v))
        out = functional.scaled_dot_product_attention(*heads, attn_mask=mask)
        return out.transpose(1, 2).flatten(2)

    unet = model.model.diffusion_model
    outer = [("input", 1)] + [("output", at) for at in (2, 3)]
    assert len(unet.output_blocks) == 4
    oracle_of_it = model.clone()
    for name, at in outer:
        oracle_of_it.set_model_attn1_replace(masked, name, at)
    theirs = made(oracle_of_it, z, steps=5)
    ours = made(high_res(host, model, end=0.0), z, steps=5)
    assert len(seen) == 15
    assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-3)
    assert not torch.allclose(ours, made(model, z, steps=5), rtol=1e-4, atol=1.0)


def test_outer_attention_a_level_down_looks_at_what_it_knows_in_every_step(host):
    """As SDXL's, which has none at the size of the latent: one window while its map is thinned out."""
    model, seen = tiny_model(transformer_depth=[0, 1], transformer_depth_output=[0, 0, 1, 1]), {}
    for name, part in model.model.diffusion_model.named_modules():
        if name.endswith("attn1.to_q"):
            deep = name.startswith("middle")
            part.register_forward_pre_hook(
                lambda _, given, deep=deep: seen.setdefault(deep, []).append(given[0].shape[1])
            )
    made(high_res(host, model, end=0.5), latent(16, 16), steps=2)
    assert set(seen[False]) == {16} and seen[True] == [16, 64]


def test_a_control_net_is_added_where_it_belongs(host, caplog):
    control, picture = tiny_control_net(), torch.rand(1, 128, 128, 3)
    (positive,) = host.call(
        "ControlNetApply", conditioning=words(), control_net=control, image=picture, strength=1.0
    )
    model = high_res(host, tiny_model())
    with caplog.at_level(logging.WARNING):
        controlled = sample(model, latent(16, 16), positive=positive, negative=words())
    assert "could not be applied" not in caplog.text
    assert not torch.equal(controlled, made(model, latent(16, 16)))


def keys(host, **settings):
    """Keys of a loop in a graph; with `settings` ISI High Res is in it."""
    graph = {"mini": {"class_type": "ISI_MiniCheckpoint", "inputs": {"kind": "base"}}}
    parts = {"model": ["mini", 0], "clip": ["mini", 1], "vae": ["mini", 2]}
    if settings:
        graph["high"] = {"class_type": "ISI_HighRes", "inputs": {"model": ["mini", 0]} | settings}
        parts["model"] = ["high", 0]
    graph = loop(graph, parts, "a")
    graph["run"] = {"class_type": "Test_Catch", "inputs": {"name": "run", "value": ["iterate", 2]}}
    host.new_executor()
    host.run(graph)
    return CAUGHT.pop("run").keys


def test_in_a_loop_its_settings_are_part_of_the_key(host):
    whole = keys(host, **WHOLE)
    assert keys(host, **WHOLE) == whole
    others = [keys(host), keys(host, **WHOLE | {"windows": False}), keys(host, **WHOLE | {"end": 0.5})]
    assert len({whole, *others}) == 4


def test_in_a_loop_it_acts_and_tiles_of_the_trained_size_are_left_alone(bench, picture):
    large = functional.interpolate(picture.movedim(-1, 1), scale_factor=2).movedim(1, -1)
    plain, *_ = bench.run(bench.plan("a; b"), image=large)
    model = high_res(bench.host, bench.model)
    image, *_ = bench.run(bench.plan("a; b"), image=large, model=model)
    assert not torch.equal(plain, image)
    pictures = []
    for used in (bench.model, model):
        (tiled,) = bench.host.call(
            "ISI_TiledSampling", model=used, tile_size=64, overlap=0, blend="cosine", shift_grid=False,
            wrap="off", tile_batch=1, global_share=0.0, skip_flat=0.0,
        )  # fmt: skip
        pictures.append(bench.run(bench.plan("a"), image=large, model=tiled)[0])
    assert torch.equal(*pictures)


def test_a_model_without_such_blocks_is_refused(host):
    with pytest.raises(Failed, match="works on the UNets of SD 1.5, SD 2 and SDXL"):
        high_res(host, oracle(lambda call: call["x"]))


FAMILIES = {
    # HiDiffusion's module names in the host's numbers: downsamplers, and the outermost attention.
    "SD 1.5": (
        [2, 2, 2, 2], [1, 2, 4, 4], [1] * 6 + [0] * 2, [1] * 9 + [0] * 3,
        (3, 6, 9), {("input", 1), ("input", 2), ("output", 9), ("output", 10), ("output", 11)},
    ),
    "SDXL": (
        [2, 2, 2], [1, 2, 4], [0, 0, 2, 2, 10, 10], [0] * 3 + [2] * 3 + [10] * 3,
        (3, 6), {("input", 4), ("input", 5), ("output", 3), ("output", 4), ("output", 5)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_the_blocks_of_each_family_are_the_papers(host, name):
    import comfy.ops
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
    from isi.host.inside.high_res import blocks_of

    blocks, width, depth, outwards, downs, attention = FAMILIES[name]
    unet = UNetModel(
        image_size=32, in_channels=4, out_channels=4, model_channels=320, num_res_blocks=blocks,
        channel_mult=width, context_dim=64, legacy=False, transformer_depth=list(depth),
        transformer_depth_output=list(outwards), transformer_depth_middle=1, num_head_channels=64,
        use_spatial_transformer=True, device="meta", dtype=torch.float32,
        operations=comfy.ops.disable_weight_init,
    )  # fmt: skip
    found = blocks_of(unet)
    assert found.downs == downs and found.attention == attention
