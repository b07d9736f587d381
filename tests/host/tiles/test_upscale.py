"""ISI_TiledSampling, ISI_Upscale and ISI_UpscaleCost as a user runs them."""

from dataclasses import replace

import pytest
import torch

from ..harness import Failed
from ..oracles import oracle
from ..tiny import fill, tiny_vae

TILING = {
    "tile_size": 128,
    "overlap": 32,
    "blend": "cosine",
    "shift_grid": False,
    "wrap": "off",
    "tile_batch": 1,
}
NODE = TILING | {"global_share": 0.3, "skip_flat": 0.0}


@pytest.fixture(scope="session")
def pixels(booted):
    """The host's pixel-space VAE: an identity, one pixel a latent cell."""
    import comfy.sd

    return comfy.sd.VAE(sd={"pixel_space_vae": torch.tensor(1.0)})


def identity():
    """A MODEL on pixels, with a conditioner, that always finds the picture that a step starts from."""
    import comfy.latent_formats
    from isi.host.loop.moment import Conditioner

    class Knows(Conditioner):
        def identity(self):
            return "knows"

        def condition(self, moment):
            known = {"canvas": moment.latent["samples"]}
            conds = {
                name: [[text, entries | known] for text, entries in getattr(moment, name)]
                for name in ("positive", "negative")
            }
            return replace(moment, **conds)

    return oracle(lambda call: call["c_concat"], comfy.latent_formats.ChromaRadiance, flow=True), Knows()


def upscale(host, image, **settings):
    values = {"prompt": "stone", "factor": 2.0, "width": 0, "height": 0, "stages": 0, "denoise": "0.4"}
    values |= {"steps": 2, "cfg": 1.0, "seed": 3, "demofusion": False, "skip_residual": 3.0}
    values |= {"dilated_sampling": 1.0, "blur": 1.0, "skip_flat": 0.0, "allow_gigapixel": False}
    return host.call("ISI_Upscale", image=image, **values | TILING | settings)


def iterate(host, model, clip, vae, plan, image, **settings):
    values = {"negative": "", "sampler_name": "euler", "scheduler": "normal"} | settings
    return host.call("ISI_Iterate", model=model, clip=clip, vae=vae, plan=plan, image=image, **values)


def picture(height, width, seed=0):
    return torch.rand(1, height, width, 3, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(37, 61), (58, 100), (41, 40)])
def test_an_identity_gives_the_resized_picture_at_the_exact_size(host, clip, pixels, size):
    from isi.core.loop.lens import resize

    image, (model, conditioner) = picture(29, 50), identity()
    plan, width, height, _ = upscale(
        host, image, width=size[1], height=size[0], tile_size=32, overlap=8, denoise="0.7", stages=1
    )
    assert (height, width) == size
    out = iterate(host, model, clip, pixels, plan, image, conditioner=conditioner)[0]
    assert out.shape == (1, *size, 3)
    assert (out - resize(image, *size).clamp(0, 1)).abs().max() <= 1e-6
    assert {shape[-2:] for shape in model.model.calls} == {(32, 32)}


def layer_inputs(vae, run):
    """What `run()` returns, and the largest input of any convolution of a VAE meanwhile."""
    largest, layers = [0], vae.first_stage_model.modules()

    def watch(module, inputs):
        largest[0] = max(largest[0], inputs[0].numel())

    hooks = [m.register_forward_pre_hook(watch) for m in layers if isinstance(m, torch.nn.Conv2d)]
    try:
        made = run()
        return made, largest[0]
    finally:
        for hook in hooks:
            hook.remove()


def sees_twice():
    """`identity`, whose conditioner has the VAE look at the picture once more, as concat models do."""
    knows = identity()[1]

    class Looks(type(knows)):
        def condition(self, moment):
            seen = moment.vae.encode(moment.pixels[..., :3])
            assert torch.equal(seen, moment.latent["samples"])
            return super().condition(moment)

    import comfy.latent_formats

    return oracle(lambda call: call["c_concat"], comfy.latent_formats.LatentFormat, flow=True), Looks()


@torch.no_grad()
def test_the_vae_of_a_plans_step_sees_no_more_than_a_tile(host, clip):
    from isi.core.loop.lens import resize

    vae, (model, conditioner) = host.call("ISI_MiniCheckpoint", kind="base")[2], sees_twice()
    settings = {"tile_size": 64, "overlap": 16, "stages": 1, "steps": 1}
    most = []
    for size in (192, 256):
        image = picture(40, 56, seed=size)
        plan = upscale(host, image, width=size + 64, height=size, **settings)[0]

        def run(plan=plan, image=image):
            return iterate(host, model, clip, vae, plan, image, conditioner=conditioner)

        (out, latent, _), largest = layer_inputs(vae, run)
        most.append(largest)
        start = vae.encode(resize(image, size, size + 64))
        assert (latent["samples"] - start).abs().max() <= 1e-5 * start.abs().max()
        # One pixel of the tiles' decode is that of the whole latent's.
        assert (out - vae.decode(latent["samples"])).abs().max() <= 1e-5
    assert most[0] == most[1] > 0


@torch.no_grad()
def test_a_picture_of_one_tile_goes_through_the_hosts_own_vae(host, clip, vae):
    from isi.core.loop.lens import resize

    image, (model, conditioner) = picture(40, 56), sees_twice()
    for settings in ({"tile_size": 128, "overlap": 16}, {"tile_size": 0}):
        plan = upscale(host, image, width=112, height=80, stages=1, steps=1, **settings)[0]
        out, latent, _ = iterate(host, model, clip, vae, plan, image, conditioner=conditioner)
        assert torch.equal(out, vae.decode(latent["samples"]))
        start = vae.encode(resize(image, 80, 112))
        assert (latent["samples"] - start).abs().max() <= 1e-6 * start.abs().max()


@torch.no_grad()
def test_a_vae_that_has_no_exact_tiles_is_the_hosts_own(host, clip):
    import comfy.sd
    from comfy.taesd.taesd import TAESD

    small = TAESD(latent_channels=4)
    fill(small, 0)
    small.vae_scale.fill_(1.0)
    vae, (model, conditioner), image = comfy.sd.VAE(sd=small.state_dict()), sees_twice(), picture(40, 56)
    plan = upscale(host, image, stages=1, steps=1, tile_size=64, overlap=16)[0]
    out, latent, _ = iterate(host, model, clip, vae, plan, image, conditioner=conditioner)
    assert torch.equal(out, vae.decode(latent["samples"]))


def test_a_run_that_is_killed_goes_on_bit_equal(host, model, clip, vae, tmp_path, monkeypatch, request):
    import comfy.sample
    import folder_paths

    real, calls = comfy.sample.sample, []

    def dying(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("killed")
        return real(*args, **kwargs)

    image = picture(32, 48, seed=5)
    plan, width, height, _ = upscale(
        host, image, stages=2, demofusion=True, tile_size=64, overlap=16, factor=2.0, steps=1
    )
    before = folder_paths.get_user_directory()
    request.addfinalizer(lambda: folder_paths.set_user_directory(before))

    folder_paths.set_user_directory(str(tmp_path / "whole"))
    whole, _, run = iterate(host, model, clip, vae, plan, image)
    assert whole.shape == (1, 64, 96, 3) == (1, height, width, 3) and len(run) == 2

    folder_paths.set_user_directory(str(tmp_path / "killed"))
    monkeypatch.setattr(comfy.sample, "sample", dying)
    with pytest.raises(Failed, match="killed"):
        iterate(host, model, clip, vae, plan, image)
    assert torch.equal(iterate(host, model, clip, vae, plan, image)[0], whole)
    assert len(calls) == 3


def ksampler(host, model, latent, steps=3):
    text = host.call("ISI_TiledSampling", model=model, **NODE)[0]
    prompt = [[torch.zeros(1, 4, 64), {}]]
    settings = {"seed": 1, "steps": steps, "cfg": 1.0, "sampler_name": "euler", "scheduler": "normal"}
    return host.call(
        "KSampler", model=text, positive=prompt, negative=prompt, latent_image={"samples": latent},
        denoise=1.0, **settings,
    )  # fmt: skip


def test_progress_counts_the_model_calls_that_are_made(booted, host):
    import comfy.utils

    model = oracle(lambda call: call["x"] * 0.5)
    host.events.clear()
    seen = []
    real = comfy.utils.PROGRESS_BAR_HOOK

    def hook(value, total, preview, **where):
        seen.append((value, total))
        return real(value, total, preview, **where)

    comfy.utils.set_progress_bar_global_hook(hook)
    try:
        ksampler(host, model, torch.zeros(1, 4, 16, 40))
    finally:
        comfy.utils.set_progress_bar_global_hook(real)
    calls = len(model.model.calls)
    assert calls == 9
    assert seen[0] == (1, calls) and (calls, calls) in seen
    shares = [value / total for value, total in seen]
    assert shares == sorted(shares)


def test_an_interrupt_stops_within_one_model_call(host):
    import comfy.model_management

    def interrupted(call):
        if len(model.model.calls) == 2:
            comfy.model_management.interrupt_current_processing()
        return call["x"] * 0.5

    model = oracle(interrupted)
    with pytest.raises(Failed, match="execution_interrupted"):
        ksampler(host, model, torch.zeros(1, 4, 16, 80))
    assert len(model.model.calls) == 2


def test_the_host_is_as_it_was(host, model):
    import comfy.context_windows
    import comfy.sample
    import comfy.sampler_helpers
    import comfy.samplers
    from comfy.k_diffusion import sampling

    def functions():
        modules = (comfy.samplers, comfy.sample, comfy.sampler_helpers, comfy.context_windows, sampling)
        return {
            (module.__name__, name): id(value)
            for module in modules
            for name, value in vars(module).items()
            if callable(value)
        } | {name: id(value) for name, value in vars(comfy.samplers.CFGGuider).items()}

    before, state = functions(), torch.random.get_rng_state()
    options = dict(model.model_options)
    tiled = host.call("ISI_TiledSampling", model=model, **NODE)[0]
    assert functions() == before and torch.equal(torch.random.get_rng_state(), state)
    assert model.model_options == options and tiled is not model
    assert not any("isi" in str(key) for kind in model.wrappers.values() for key in kind)


def test_the_cost_node_says_what_a_run_will_take(host, model, clip):
    image = picture(64, 96)
    plan = upscale(host, image, factor=4.0, demofusion=True, steps=5, cfg=7.0)[0]
    positive = host.call("CLIPTextEncode", clip=clip, text="stone")[0]
    report, grid, tiles, calls, seconds = host.call(
        "ISI_UpscaleCost", model=model, image=image, steps=20, cfg=7.0, plan=plan, positive=positive
    )
    # 128 x 192 in tiles of 128 with 32 shared: 1 x 2. 256 x 384: 3 x 4. Sparse pictures: 2 x 2 and 4 x 4.
    assert tiles == 12 and calls == 5 * (2 + 4) + 5 * (12 + 16)
    assert seconds > 0 and "Time: about" in report and "stone" not in report
    assert grid.shape[0] == 1 and grid.shape[-1] == 3


@torch.no_grad()
def test_the_cost_of_the_vae_is_what_a_run_keeps(host, model, clip, monkeypatch):
    """Features that live at once while a plan's pictures are made, against what the cost says before."""
    import weakref

    from isi.host.loop.scratch import Scratch
    from isi.host.tiles import tiled_vae
    from isi.host.tiles.vae_cost import working_memory

    alive, peak, real = [0], [0], Scratch.new

    def watched(self, *shape):
        made = real(self, *shape)
        alive[0] += made.nbytes
        peak[0] = max(peak[0], alive[0])
        weakref.finalize(made, lambda size=made.nbytes: alive.__setitem__(0, alive[0] - size))
        return made

    monkeypatch.setattr(Scratch, "new", watched)
    for vae in (tiny_vae(), tiny_vae(levels=3), host.call("ISI_MiniCheckpoint", kind="base")[2]):
        peak[0] = 0
        unit = vae.spacial_compression_decode()
        tiled_vae.decode(vae, torch.randn(1, 4, 24, 17), 64, 0)
        assert working_memory(vae, 24 * unit, 17 * unit) == peak[0] > 0 and alive[0] == 0


@torch.no_grad()
def test_the_report_counts_the_tiles_of_the_vae(host, model, clip, vae, monkeypatch):
    from isi.host.tiles.tiled_vae import Sweeps

    image = picture(72, 96)
    plan = upscale(host, image, factor=2.0, stages=1, steps=1, tile_size=64)[0]
    costs = {"model": model, "image": image, "steps": 20, "cfg": 7.0}
    said = host.call("ISI_UpscaleCost", plan=plan, vae=vae, **costs)[0]
    made, real = [], Sweeps.__init__
    monkeypatch.setattr(
        Sweeps, "__init__", lambda self, *given: (made.append(given[0]), real(self, *given))[1]
    )
    iterate(host, model, clip, vae, plan, image)
    assert len(made) == 2
    assert f"in {sum(map(len, made))} tiles of at most 64 px" in said and "VAE: about 0." in said
    assert "VAE" not in host.call("ISI_UpscaleCost", plan=plan, **costs)[0]
    assert "VAE" not in host.call("ISI_UpscaleCost", vae=vae, **costs)[0]
    whole = upscale(host, image, factor=2.0, stages=1, steps=1, tile_size=0)[0]
    said = host.call("ISI_UpscaleCost", plan=whole, vae=vae, **costs)[0]
    assert "VAE: about" in said and "tiles of at most" not in said


def test_the_cost_of_a_patched_model_is_counted_by_a_run(host):
    model = oracle(lambda call: call["x"] * 0.5)
    tiled = host.call("ISI_TiledSampling", model=model, **NODE)[0]
    image = picture(128, 320)
    _, _, tiles, calls, seconds = host.call("ISI_UpscaleCost", model=tiled, image=image, steps=3, cfg=1.0)
    ksampler(host, model, torch.zeros(1, 4, 16, 40))
    assert calls == len(model.model.calls) == 3 * tiles and seconds == 0


def test_a_list_of_prompts_is_one_for_each_tile(host, clip):
    import nodes

    model = oracle(lambda call: call["x"] * 0.5)
    encoded = [host.call("CLIPTextEncode", clip=clip, text=text)[0] for text in ("a", "b")]
    node = nodes.NODE_CLASS_MAPPINGS["ISI_TiledSampling"]
    assert node.INPUT_IS_LIST
    lists = {name: [value] for name, value in NODE.items()}
    tiled = node.execute(model=[model], tile_prompts=encoded, **lists).args[0]
    assert len(tiled.model_options["context_handler"].prompts) == 2
    lists["shift_grid"] = [True]
    with pytest.raises(ValueError, match="shift_grid off"):
        node.execute(model=[model], tile_prompts=encoded, **lists)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"factor": 0.0}, "larger than 0"),
        ({"factor": 64.0, "width": 100000, "height": 100000}, "allow_gigapixel"),
        ({"denoise": "a lot"}, "from 0 to 1"),
    ],
)
def test_bad_input_of_a_plan(host, settings, message):
    with pytest.raises(Failed, match=message):
        upscale(host, picture(32, 32), **settings)


def test_a_plan_with_impossible_tiles_stops_before_sampling(host, model, clip, vae):
    image = picture(64, 64)
    plan = upscale(host, image, tile_size=32)[0]
    with pytest.raises(Failed, match="at least 64 px"):
        iterate(host, model, clip, vae, plan, image)
