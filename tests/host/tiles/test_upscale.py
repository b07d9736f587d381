"""ISI_TiledSampling, ISI_Upscale and ISI_UpscaleCost as a user runs them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ..harness import Failed
from ..oracles import oracle

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


@pytest.mark.parametrize("name", ["lanczos", "mini/upscaler"])
def test_a_stage_starts_from_what_its_upscale_model_makes(host, clip, pixels, name):
    from isi.host.models.upscale_models import MINI

    name = MINI if name.startswith("mini") else name
    image, (model, conditioner) = picture(29, 50), identity()
    settings = {"tile_size": 32, "overlap": 8, "denoise": "0.7", "steps": 1}
    plan = upscale(host, image, width=110, height=64, stages=2, model_name=name, **settings)[0]
    expected = image
    for height, width in ((step.lens.height, step.lens.width) for step in plan.steps):
        scaling = {"factor": 2.0, "width": width, "height": height, "tile_size": 512, "overlap": 32}
        (expected,) = host.call(
            "ISI_UpscaleImage", image=expected, model_name=name, allow_gigapixel=False, **scaling
        )
        expected = expected.clamp(0, 1)
    out = iterate(host, model, clip, pixels, plan, image, conditioner=conditioner)[0]
    assert len(plan) == 2 and (out - expected).abs().max() <= 2e-6
    plain = upscale(host, image, width=110, height=64, stages=2, **settings)[0]
    assert all(len(step.extras) == 1 for step in plain.steps)
    other = iterate(host, model, clip, pixels, plain, image, conditioner=conditioner)[0]
    assert (out - other).abs().max() > 1e-3


def test_an_upscale_model_counts_by_its_content_and_is_checked_before_sampling(host, model, clip, vae):
    import folder_paths
    from isi.host.models import mini
    from safetensors.torch import save_file

    folder = Path(folder_paths.get_folder_paths("upscale_models")[0])
    folder.mkdir(parents=True, exist_ok=True)
    image, weights = picture(24, 32, seed=8), mini.read_weights(mini.UPSCALER)

    def write(weights):
        folder_paths.filename_list_cache.clear()
        save_file(weights, folder / "ours.safetensors")
        folder_paths.filename_list_cache.clear()

    write(weights)
    plan = upscale(host, image, stages=1, steps=1, model_name="ours.safetensors", tile_size=64)[0]
    first = iterate(host, model, clip, vae, plan, image)[2]
    assert iterate(host, model, clip, vae, plan, image)[2].keys == first.keys
    write({name: weight * 0.9 for name, weight in weights.items()})
    assert iterate(host, model, clip, vae, plan, image)[2].keys != first.keys
    (folder / "ours.safetensors").unlink()
    folder_paths.filename_list_cache.clear()
    with pytest.raises(Failed, match="enlarges by ours.safetensors, which is not in models/upscale_models"):
        iterate(host, model, clip, vae, plan, image)


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


def test_a_tile_size_that_wastes_work_is_hinted_at(host, model):
    costs = {"model": model, "steps": 20, "cfg": 7.0, "image": picture(256, 256)}
    wasteful = upscale(host, costs["image"], factor=2.0, stages=1, tile_size=256, overlap=64)[0]
    said = host.call("ISI_UpscaleCost", plan=wasteful, **costs)[0]
    assert (
        "Hint: tile_size 288 would take 2 x 2 tiles instead of 3 x 3: 1.27x the work instead of 2.25x."
        in said
    )
    better = upscale(host, costs["image"], factor=2.0, stages=1, tile_size=288, overlap=64)[0]
    assert "Hint" not in host.call("ISI_UpscaleCost", plan=better, **costs)[0]
    assert "Hint" not in host.call("ISI_UpscaleCost", **costs)[0]


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
