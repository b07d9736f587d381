"""Tiled sampling against the untiled host, with denoisers whose answer is known."""

import pytest
import torch

from ..oracles import oracle, prompt, sample

pytestmark = pytest.mark.usefixtures("booted")


def tiled(model, **settings):
    from isi.core.tiles.tiling import Tiling
    from isi.host.tiles.tiled import TiledHandler, patch_tiled

    prompts, share = settings.pop("prompts", ()), settings.pop("share", 0.0)
    defaults = {"tile": 128, "overlap": 32}
    return patch_tiled(model, TiledHandler(Tiling(**defaults | settings), prompts, share, progress=False))


def pointwise(call):
    """The exact posterior mean of data N(mu, s^2) in each cell; mu depends on the prompt."""
    mu, s2 = call["c_crossattn"].mean((1, 2)).reshape(-1, *[1] * (call["x"].ndim - 1)) * 0.3, 0.5
    return (s2 * call["x"] + call["sigma"] ** 2 * mu) / (s2 + call["sigma"] ** 2)


def latent(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "uni_pc", "dpmpp_2m_sde", "euler_ancestral"])
def test_a_pointwise_denoiser_is_the_same_tiled_and_untiled(sampler):
    model, start = oracle(pointwise), latent(2, 4, 37, 52)
    plain = sample(model, start, sampler=sampler, cfg=3.0)
    for settings in ({}, {"blend": "gaussian"}, {"blend": "linear", "shift": True}, {"wrap": "both"}):
        ours = sample(tiled(model, **settings), start, sampler=sampler, cfg=3.0)
        assert (ours - plain).abs().max() <= 1e-6 * plain.abs().max().clamp(min=1), settings
    assert max(shape[-1] for shape in model.model.calls[-8:]) < 52


def test_tiles_may_be_wider_than_high():
    model, start = oracle(pointwise), latent(1, 4, 37, 52)
    plain = sample(model, start, cfg=3.0)
    for tile, height, shape in ((128, 64, (8, 16)), (64, 192, (24, 8)), (0, 128, (16, 52))):
        model.model.calls.clear()
        ours = sample(tiled(model, tile=tile, tile_height=height), start, cfg=3.0)
        assert (ours - plain).abs().max() <= 1e-6 * plain.abs().max().clamp(min=1)
        assert {size[-2:] for size in model.model.calls} == {shape}


def test_one_tile_that_covers_all_is_bit_equal(model):
    start = latent(1, 4, 16, 24)
    text = [[latent(1, 77, 64, seed=5), {}]]
    plain = sample(model, start, positive=text, negative=text, cfg=2.0)
    assert torch.equal(sample(tiled(model, tile=192), start, positive=text, negative=text, cfg=2.0), plain)


@pytest.mark.parametrize("blend", ["cosine", "linear", "gaussian"])
def test_a_convolution_of_small_radius_sees_no_edge(blend):
    kernel = latent(4, 4, 3, 3, seed=8) * 0.2

    def local(call):
        return torch.nn.functional.conv2d(call["x"], kernel, padding=1) * 0.3

    model, start = oracle(local), latent(1, 4, 40, 52)
    plain = sample(model, start)
    # An overlap of 64 px is 8 cells, its margin one cell: the radius of the kernel.
    ours = sample(tiled(model, overlap=64, blend=blend), start)
    assert (ours - plain).abs().max() <= 1e-5 * plain.abs().max()


def test_a_bias_of_each_tile_leaves_no_edge():
    overlap, d = 16, 1.0

    def biased(call):
        here = call["c_concat"].amin((1, 2, 3), keepdim=True)
        return torch.ones_like(call["x"]) * (d * ((here / 24).round() % 2))

    columns = torch.arange(88.0).expand(1, 4, 40, 88)
    model, start = oracle(biased), torch.zeros(1, 4, 40, 88)
    known = prompt(canvas=columns)
    ours = sample(tiled(model, tile=320, overlap=overlap * 8), start, positive=known, negative=known)
    ours = model.model.process_latent_in(ours)
    # A sequential pixel-tile upscaler pastes each tile through a mask blurred by 8 px, one cell.
    at = torch.arange(-8, 9.0)
    blur = torch.exp(-(at**2) / 2)
    profile = ((columns[0, 0, 0] / 24).floor() % 2) * d
    padded = torch.nn.functional.pad(profile[None, None], (8, 8), mode="replicate")
    replica = torch.nn.functional.conv1d(padded, (blur / blur.sum())[None, None])[0, 0]
    energy = (ours[0, 0, 20].diff() ** 2).max()
    assert energy <= 0.25 * (replica.diff() ** 2).max()
    assert ours.diff(dim=-1).abs().max() <= 2.2 * d / overlap


@pytest.mark.parametrize("batch", [2, 4])
def test_tile_batches_change_nothing(batch):
    def mixing(call):
        return torch.tanh(call["x"].mean((1, 2, 3), keepdim=True) + call["x"] * 0.2 + call["c_concat"])

    model, start = oracle(mixing), latent(2, 4, 40, 60)
    known = prompt(canvas=latent(2, 4, 40, 60, seed=4))
    one = sample(tiled(model), start, positive=known, negative=known, cfg=2.0)
    many = sample(tiled(model, batch=batch), start, positive=known, negative=known, cfg=2.0)
    assert (one - many).abs().max() <= 1e-6 * one.abs().max()
    assert max(shape[0] for shape in model.model.calls) == 2 * 2 * batch


def test_rolling_a_wrapped_canvas_rolls_the_result():
    def local(call):
        return torch.tanh(torch.nn.functional.avg_pool2d(call["x"], 3, 1, 1) + call["x"])

    # 48 cells: four tiles, 12 apart. Rolling by 12 moves the grid onto itself.
    model, start = tiled(oracle(local), tile=160, overlap=64, wrap="both"), latent(1, 4, 48, 48)
    noise = latent(1, 4, 48, 48, seed=2)

    def run(move):
        import comfy.sample

        rolled = [t.roll((move, move), (-2, -1)) for t in (noise, start)]
        return comfy.sample.sample(
            model, rolled[0], 4, 1.0, "euler", "normal", prompt(), prompt(), rolled[1], disable_pbar=True
        )

    assert (run(12) - run(0).roll((12, 12), (-2, -1))).abs().max() <= 1e-6 * run(0).abs().max()
    assert [len(axis) for axis in (grid(model, 48, 48).rows, grid(model, 48, 48).columns)] == [4, 4]


def grid(model, height, width):
    return model.model_options["context_handler"].layout(model.model, (1, 4, height, width))


@pytest.mark.parametrize("name", ["SC_B", "SDXL", "Flux2", "LTXV", "Wan21"])
def test_every_latent_ratio_and_video_is_tiled(name):
    import comfy.latent_formats

    form = getattr(comfy.latent_formats, name)
    ratio, video = form.spacial_downscale_ratio, form.latent_dimensions == 3
    assert ratio in (4, 8, 16, 32)
    shape = (1, form.latent_channels, *([3] if video else []), 20, 30)
    model, start = oracle(pointwise, form, flow=True), latent(*shape)
    plain = sample(model, start, steps=2)
    model.model.calls.clear()
    ours = sample(tiled(model, tile=12 * ratio, overlap=4 * ratio), start, steps=2)
    assert (ours - plain).abs().max() <= 1e-6 * plain.abs().max().clamp(min=1)
    assert {shape[-2:] for shape in model.model.calls} == {(12, 12)}


def test_the_host_reserves_memory_for_a_tile():
    model = oracle(pointwise)
    ours = tiled(model, tile=256, overlap=64, batch=2)
    for side in (250, 1000):  # 4 and 64 megapixels
        model.model.calls.clear(), model.model.budget.clear()
        sample(ours, torch.zeros(1, 4, side, side), steps=1)
        assert max(shape[-2:] for shape in model.model.calls) == (32, 32)
        assert max(shape[-2:] for shape in model.model.budget) == (32, 32)


def test_a_region_that_misses_a_tile_costs_no_call_there():
    def seen(call):
        answers.append((call["x"].shape, float(call["c_crossattn"].amax())))
        return pointwise(call)

    answers = []
    model, start = oracle(seen), latent(1, 4, 16, 64)
    region = prompt(2.0, area=(16, 8, 0, 4), strength=1.0)
    mask = torch.zeros(1, 128, 512)
    mask[..., 400:] = 1
    positive = prompt(1.0) + region + prompt(3.0, mask=mask)
    plain = sample(model, start, positive=positive)
    answers.clear()
    ours = sample(tiled(model, tile=256, overlap=32), start, positive=positive)
    assert (ours - plain).abs().max() <= 1e-6 * plain.abs().max()
    assert len(grid(tiled(model, tile=256, overlap=32), 16, 64)) == 3
    # Four steps of three tiles for the global prompt; the area lies in the first tile, the mask in the last.
    assert [value for _, value in answers].count(2.0) == 4
    assert [value for _, value in answers].count(3.0) == 4
    assert len(answers) <= 4 * (3 + 1 + 1) and answers[0][0][-1] <= 32


@pytest.mark.parametrize("area", [(10, 20, 3, 7), (16, 40, 0, 24), (5, 3, 11, 30), (16, 64, 0, 0)])
def test_areas_weigh_the_same_in_tiles(area):
    model, start = oracle(pointwise), latent(1, 4, 16, 64)
    positive = prompt(1.0) + prompt(-2.0, area=area, strength=0.7)
    plain = sample(model, start, positive=positive)
    for settings in ({"tile": 128}, {"tile": 64, "wrap": "horizontal"}):
        ours = sample(tiled(model, **settings), start, positive=positive)
        assert (ours - plain).abs().max() <= 2e-6 * plain.abs().max(), settings


@pytest.mark.parametrize("batch", [1, 2])
def test_coordinates_of_a_tile_are_those_of_the_canvas(batch):
    """Noise, concat channels and reference latents of one cell all say the same place."""
    places = torch.stack(torch.meshgrid(torch.arange(24.0), torch.arange(40.0), indexing="ij"))[None]
    places = torch.cat([places, places], 1)

    def probe(call):
        (same, other) = call["ref_latents"]
        assert torch.equal(same, call["c_concat"])
        assert torch.equal(other[0], elsewhere[0])
        assert (same[:, 0, 1:, :] - same[:, 0, :-1, :]).eq(1).all()
        return call["c_concat"]

    elsewhere = latent(1, 4, 10, 10)
    known = prompt(canvas=places, reference_latents=[places, elsewhere])
    model = oracle(probe)
    out = sample(tiled(model, batch=batch), torch.zeros(1, 4, 24, 40), positive=known, negative=known)
    assert torch.allclose(model.model.process_latent_in(out), places, atol=1e-4)


def test_control_hints_are_cut_to_the_tile():
    import comfy.controlnet

    class Probe(comfy.controlnet.ControlBase):
        def get_control(self, x_noisy, t, cond, batched_number, transformer_options):
            height, width = (side * 8 for side in x_noisy.shape[-2:])
            assert self.cond_hint_original.shape[-2:] == (height, width)
            small = self.cond_hint_original[..., ::8, ::8]
            return {"hint": comfy.controlnet.broadcast_image_to(small, x_noisy.shape[0], batched_number)}

        def get_models(self):
            return []

    def probe(call):
        hint = call["control"]["hint"]
        known = call["c_concat"][:, :1]
        # The host leaves a hint of batch 1 to broadcasting.
        assert hint.shape[0] in (1, call["x"].shape[0])
        assert torch.equal(hint[:, :1].expand_as(known), known)
        return call["c_concat"]

    places = torch.arange(24 * 40.0).reshape(1, 1, 24, 40).expand(2, 4, -1, -1)
    hint = places[:1, :3].repeat_interleave(8, -1).repeat_interleave(8, -2)
    control = Probe().set_cond_hint(hint)
    model, known = oracle(probe), prompt(canvas=places, control=control)
    for batch in (1, 3):
        sample(tiled(model, batch=batch), torch.zeros(2, 4, 24, 40), positive=known, negative=known)
    assert control.cond_hint_original is hint and control.cond_hint is None


def test_gligen_boxes_are_cut_to_the_tile():
    from isi.core.tiles.tiles import fit_layout
    from isi.host.tiles.tile_conds import TileCut, cut_cond

    layout = fit_layout(16, 40, 16, 4)
    embedding = torch.zeros(1, 8)
    boxes = [(embedding, 4, 10, 2, 8), (embedding, 2, 2, 0, 0)]
    cond = {"model_conds": {}, "uuid": 0, "gligen": ("position", None, boxes)}
    first, second, _ = (TileCut(layout, (tile,), 1) for tile in layout)
    cut = [cut_cond(cond, c, torch.Size((1, 4, 16, 40)), 8, {})["gligen"][2] for c in (first, second)]
    start = layout.columns.starts[1]
    assert [box[1:] for box in cut[0]] == [(4, 8, 2, 8), (2, 2, 0, 0)]
    assert [box[1:] for box in cut[1]] == [(4, 18 - start, 2, 0)]


def test_rotary_positions_begin_where_the_tile_lies():
    seen = []

    def probe(call):
        seen.append(call["options"]["rope_options"])
        return call["x"]

    model = oracle(probe, patch_size=2, pe_embedder=None)
    model.set_model_rope_options(2.0, 1.0, 1.0, 0.0, 1.0, 5.0)
    sample(tiled(model, batch=4), torch.zeros(1, 4, 16, 40), steps=1)
    layout = grid(tiled(model), 16, 40)
    assert [rope["shift_x"] for rope in seen] == [1.0 + 2.0 * x / 2 for x in layout.columns.starts]
    assert {rope["shift_y"] for rope in seen} == {0.0} and {rope["shift_t"] for rope in seen} == {5.0}
    assert model.model_options["transformer_options"]["rope_options"]["shift_x"] == 1.0


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_tile_prompts_hold_in_their_tile_with_a_share_of_the_global_one(share):
    def says(call):
        return call["c_crossattn"].mean((1, 2)).reshape(-1, 1, 1, 1).expand_as(call["x"])

    model, start = oracle(says), torch.zeros(1, 4, 16, 40)
    layout = grid(tiled(model, tile=128), 16, 40)
    own = [prompt(float(i)) for i in range(len(layout))]
    ours = tiled(model, prompts=own, share=share)
    out = model.model.process_latent_in(sample(ours, start, positive=prompt(10.0), cfg=1.0))
    for i, tile in enumerate(layout):
        middle = out[..., tile.x + tile.width // 2]
        expected = share * 10 + (1 - share) * i
        assert torch.allclose(middle, torch.full_like(middle, expected), atol=1e-4)


def test_flat_tiles_are_left_alone_at_low_denoise_only():
    model, start = oracle(lambda call: call["x"] * 0), torch.zeros(1, 4, 16, 64)
    start[..., 40:] = latent(1, 4, 16, 24)
    start[..., :40] = 0.5
    ours = tiled(model, tile=128, skip_flat=0.05)
    out = sample(ours, start, denoise=0.3)
    few = len(model.model.calls)
    assert (out[..., :12] - start[..., :12]).abs().max() < 1e-4
    model.model.calls.clear()
    assert (sample(ours, start, denoise=0.8)[..., :12]).abs().max() < 1e-4
    assert few < len(model.model.calls)


def test_bad_input_is_named_before_sampling():
    import comfy.context_windows as host

    model, start = oracle(pointwise), torch.zeros(1, 4, 16, 40)
    with pytest.raises(ValueError, match="at least 64 px"):
        tiled(model, tile=32)
    with pytest.raises(ValueError, match="at least 64 px. Set tile_height"):
        tiled(model, tile_height=32)
    with pytest.raises(ValueError, match="overlap"):
        tiled(model, tile=128, overlap=128)
    with pytest.raises(ValueError, match=r"cells of 8 px, the overlap \(95 px: 12\) .* tile \(96 px: 12\)"):
        tiled(model, tile=96, overlap=95)
    with pytest.raises(ValueError, match="3 tiles .*but 2 prompts"):
        sample(tiled(model, prompts=[prompt(), prompt()]), start)
    windows = host.IndexListContextHandler(None, None)
    held = model.clone()
    held.model_options["context_handler"] = windows
    with pytest.raises(ValueError, match="Context Windows node"):
        tiled(held)
    after = tiled(model)
    after.model_options["context_handler"] = windows
    with pytest.raises(ValueError, match="Context Windows node"):
        sample(after, start)
    with pytest.raises(ValueError, match="pictures and videos"):
        sample(tiled(model), torch.zeros(1, 4, 40))
    assert not model.model.calls


def test_the_hosts_functions_are_its_own_after_a_run():
    import comfy.context_windows
    import comfy.sample
    import comfy.samplers

    def functions():
        rooms = comfy.samplers, comfy.sample, comfy.context_windows
        return {(room.__name__, name): id(value) for room in rooms for name, value in vars(room).items()}

    before = functions()
    sample(tiled(oracle(pointwise), shift=True), latent(1, 4, 40, 56))
    assert functions() == before


def test_the_order_of_the_tiles_changes_nothing(monkeypatch):
    from isi.host.tiles.tiled import TiledHandler

    def mixing(call):
        return torch.tanh(call["x"].mean((1, 2, 3), keepdim=True) + call["x"] * 0.2)

    model, start = oracle(mixing), latent(1, 4, 40, 56)
    forwards = sample(tiled(model), start)
    groups = TiledHandler._groups
    monkeypatch.setattr(TiledHandler, "_groups", lambda *inputs: list(groups(*inputs))[::-1])
    backwards = sample(tiled(model), start)
    assert (backwards - forwards).abs().max() <= 1e-6 * forwards.abs().max()
