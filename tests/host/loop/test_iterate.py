"""ISI_Iterate on the real host: equal to chained host nodes, nothing lost, nothing done twice."""

import json

import pytest
import torch
from isi.core.loop.lens import Masked
from isi.core.loop.plan import Plan, Step
from PIL import Image

from ..harness import Failed, Host

SCRIPT = "{a tree} spring; (summer:1.2); autumn; snow"
GROUPS = ["a tree, spring", "a tree, summer", "a tree, autumn", "a tree, snow"]


class Bench:
    """The nodes of a run on the tiny models, with few steps."""

    def __init__(self, host: Host, model, clip, vae):
        self.host, self.model, self.clip, self.vae = host, model, clip, vae

    def plan(self, script=SCRIPT, **settings):
        values = {"steps": 2, "cfg": 5.0, "denoise": 0.6, "final_denoise": 0.6, "curve": "constant"}
        values |= {"seed": 7, "seed_mode": "increment"} | settings
        return self.host.call("ISI_Script", script=script, **values)[0]

    def run(self, plan=None, **inputs):
        values = {"negative": "blurry", "sampler_name": "euler", "scheduler": "normal"}
        values |= {"model": self.model, "clip": self.clip, "vae": self.vae}
        return self.host.call("ISI_Iterate", plan=plan or self.plan(), **values | inputs)

    def text(self, text):
        return self.host.call("CLIPTextEncode", clip=self.clip, text=text)[0]

    def chain(self, latent, prompts=GROUPS, weights=(1, 1.2, 1, 1), decode=True, denoise=0.6):
        """The same by the host's own nodes, one after the other."""
        negative = self.text("blurry")
        for k, (prompt, weight) in enumerate(zip(prompts, weights, strict=False)):
            (latent,) = self.host.call(
                "KSampler", model=self.model, positive=self.text(prompt), negative=negative,
                latent_image=latent, seed=7 + k, steps=2, cfg=5.0 * weight, sampler_name="euler",
                scheduler="normal", denoise=denoise,
            )  # fmt: skip
            (image,) = self.host.call("VAEDecode", samples=latent, vae=self.vae)
            if decode:
                (latent,) = self.host.call("VAEEncode", pixels=image, vae=self.vae)
        return image, latent


@pytest.mark.parametrize("batch", [1, 4])
def test_equals_chained_host_nodes_bit_for_bit(bench, picture, batch):
    pictures = torch.cat([picture.roll(k, 1) for k in range(batch)])
    (latent,) = bench.host.call("VAEEncode", pixels=pictures, vae=bench.vae)
    expected, _ = bench.chain(latent)
    image, _, run = bench.run(image=pictures)
    assert torch.equal(image, expected)
    assert len(run) == 4


def test_latent_carry_equals_chained_samplers(bench, picture):
    (latent,) = bench.host.call("VAEEncode", pixels=picture, vae=bench.vae)
    expected, samples = bench.chain(latent, decode=False)
    (memory,) = bench.host.call("ISI_Memory", carry="latent", blend="last", amount=0.5)
    image, latent, _ = bench.run(image=picture, memory=memory)
    assert torch.equal(latent["samples"], samples["samples"])
    assert torch.equal(image, expected)


def test_without_an_image_one_group_is_plain_text_to_image(bench):
    (empty,) = bench.host.call("EmptyLatentImage", width=64, height=48, batch_size=1)
    expected, _ = bench.chain(empty, ["a ship"], [1], denoise=1.0)
    image, _, _ = bench.run(bench.plan("a ship"), width=64, height=48)
    assert torch.equal(image, expected)


@pytest.mark.parametrize("sampler", ["euler_ancestral", "dpmpp_sde", "lcm", "ddpm"])
def test_stochastic_samplers_equal_the_host_and_leave_the_global_rng_alone(bench, picture, sampler):
    (latent,) = bench.host.call("VAEEncode", pixels=picture, vae=bench.vae)
    (latent,) = bench.host.call(
        "KSampler", model=bench.model, positive=bench.text("x"), negative=bench.text("blurry"),
        latent_image=latent, seed=7, steps=2, cfg=5.0, sampler_name=sampler, scheduler="normal", denoise=0.6,
    )  # fmt: skip
    (expected,) = bench.host.call("VAEDecode", samples=latent, vae=bench.vae)
    plan = bench.plan("x")
    before = torch.get_rng_state()
    image, _, _ = bench.run(plan, image=picture, sampler_name=sampler)
    assert torch.equal(image, expected)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("cache", ["classic", "lru", "ram", "none"])
def test_edits_sample_only_what_changed(bench, picture, calls, cache):
    host = bench.host
    host.new_executor(cache)
    bench.run(image=picture)
    assert len(calls) == 4
    edits = {
        SCRIPT: 0,
        SCRIPT.replace("snow", "fog"): 1,
        SCRIPT.replace("summer", "drought"): 3,
        SCRIPT + "; night": 1,
    }
    for script, expected in edits.items():
        calls.clear()
        host.new_executor(cache)  # a restarted host has no node cache
        bench.run(bench.plan(script), image=picture)
        assert len(calls) == expected, script


def test_a_rerun_shows_every_iteration_again(bench, picture):
    bench.run(image=picture, run_name="again")
    bench.host.events.clear()
    bench.host.new_executor()
    bench.run(image=picture, run_name="again")
    seen = [data for event, data in bench.host.events if event == "isi.iteration"]
    assert [e["iteration"] for e in seen] == [1, 2, 3, 4]
    assert all(e["reused"] for e in seen)
    for event in seen:
        name = event["picture"]
        assert (bench.host.base / name["type"] / name["subfolder"] / name["filename"]).is_file()


def test_interrupt_keeps_what_is_finished_and_goes_on_from_there(bench, picture, calls, monkeypatch):
    import comfy.model_management
    import comfy.samplers

    steps = []
    real = comfy.samplers.sampling_function

    def interrupting(*args, **kwargs):
        steps.append(1)
        if len(steps) == 6:  # two samplers steps an iteration: inside the third
            comfy.model_management.interrupt_current_processing()
        return real(*args, **kwargs)

    # Until the end: another sampling function would be another key.
    monkeypatch.setattr(comfy.samplers, "sampling_function", interrupting)
    with pytest.raises(Failed, match="interrupted"):
        bench.run(image=picture, run_name="stopped")
    assert len(steps) == 6  # not one more model call
    _, _, rest, run = bench.host.call("ISI_OpenRun", run_name="stopped", iteration=0)
    assert len(run) == 2 and len(rest) == 2
    calls.clear()
    image, _, _ = bench.run(image=picture, run_name="stopped")
    assert len(calls) == 2
    (latent,) = bench.host.call("VAEEncode", pixels=picture, vae=bench.vae)
    assert torch.equal(image, bench.chain(latent)[0])


def test_a_damaged_entry_is_made_again_where_it_is_needed(bench, picture, calls):
    """The last one, and those that an edit starts from; one in the middle is shown from its PNG."""
    _, _, run = bench.run(image=picture, run_name="damaged")
    before = run.load(4).tensors["picture"]

    def damage(number):
        path = bench.host.base / "user" / "isi" / "store" / run.keys[number - 1][:2]
        path = path / f"{run.keys[number - 1]}.safetensors"
        data = bytearray(path.read_bytes())
        data[-5] ^= 255
        path.write_bytes(data)

    for damaged, script, cost in ([4], SCRIPT, 1), ([3, 4], SCRIPT, 2), ([2], SCRIPT, 0), (
        [2], SCRIPT.replace("autumn", "fall"), 3
    ):  # fmt: skip
        if damaged == [2] and cost:
            damage_done = bench.run(image=picture, run_name="damaged", redo_from=2)
            assert torch.equal(damage_done[0], before)
        for number in damaged:
            damage(number)
        calls.clear()
        bench.host.new_executor()
        image, _, _ = bench.run(bench.plan(script), image=picture, run_name="damaged")
        assert len(calls) == cost
        if script == SCRIPT:
            assert torch.equal(image, before) and torch.equal(run.load(4).tensors["picture"], before)


def test_untouched_pixels_stay_bit_for_bit_and_sizes_and_alpha_are_kept(bench):
    generator = torch.Generator().manual_seed(5)
    image = torch.rand(2, 61, 75, 4, generator=generator) * 1.5
    mask = torch.zeros(2, 61, 75)
    mask[0, 10:30, 20:50] = 1
    mask[1, 5, :] = 0.5
    result, _, _ = bench.run(image=image, mask=mask)
    assert result.shape == image.shape
    assert torch.equal(result[..., 3], image[..., 3])
    outside = (mask == 0).unsqueeze(-1).expand_as(image)
    assert torch.equal(result[outside], image[outside])
    assert not torch.equal(result, image)


def test_png_metadata_rebuilds_an_iteration(bench, picture, tmp_path):
    """The prompt in a picture, queued again with an empty store, gives the same picture."""
    host = bench.host
    host.call("SaveImage", images=picture, filename_prefix="rebuild")
    source = next((host.base / "output").glob("rebuild*.png"))
    (host.base / "input" / "rebuild.png").write_bytes(source.read_bytes())
    prompt = {
        "image": {"class_type": "LoadImage", "inputs": {"image": "rebuild.png"}},
        "script": {
            "class_type": "ISI_Script",
            "inputs": {"script": SCRIPT, "steps": 2, "cfg": 5.0, "denoise": 0.6, "final_denoise": 0.6,
                       "curve": "constant", "seed": 7, "seed_mode": "increment"},
        },
        "run": {
            "class_type": "ISI_Iterate",
            "inputs": {"plan": ["script", 0], "image": ["image", 0], "negative": "", "sampler_name": "euler",
                       "scheduler": "normal", "run_name": "rebuild"},
        },
    }  # fmt: skip
    from .. import harness

    for name in ("model", "clip", "vae"):
        harness.VALUES[name] = getattr(bench, name)
        prompt[name] = {"class_type": "Test_Value", "inputs": {"name": name}}
        prompt["run"]["inputs"][name] = [name, 0]
    host.run(prompt)
    folder = host.base / "output" / "isi" / "rebuild"
    second = sorted(folder.glob("0002-*.png"))[0]
    with Image.open(second) as file:
        embedded, story = json.loads(file.text["prompt"]), json.loads(file.text["isi"])
        pixels = file.tobytes()
    assert story["iteration"] == 2 and story["step"]["prompt"] == GROUPS[1]
    second.unlink()
    for entry in (host.base / "user" / "isi" / "store").glob("*/*"):
        entry.unlink()
    host.new_executor()
    host.run(embedded)
    with Image.open(second) as file:
        assert file.tobytes() == pixels


def test_nan_from_the_sampler_names_the_iteration_and_keeps_the_others(bench, picture, monkeypatch):
    import comfy.sample

    real, count = comfy.sample.sample, []

    def broken(*args, **kwargs):
        count.append(1)
        out = real(*args, **kwargs)
        return out * float("nan") if len(count) == 3 else out

    with monkeypatch.context() as patch:
        patch.setattr(comfy.sample, "sample", broken)
        with pytest.raises(Failed, match="Iteration 3"):
            bench.run(image=picture, run_name="nan")
    assert len(bench.host.call("ISI_OpenRun", run_name="nan", iteration=0)[3]) == 2


BAD = {
    "mask of another size": ({"mask": torch.ones(1, 32, 32)}, "mask"),
    "mask of another batch": ({"mask": torch.ones(3, 64, 64)}, "mask"),
    "two channels": ({"image": torch.ones(1, 64, 64, 2)}, "channels"),
    "nan": ({"image": torch.full((1, 64, 64, 3), torch.nan)}, "NaN"),
    "nan in the mask": ({"mask": torch.full((1, 64, 64), torch.nan)}, "NaN"),
    "mask without image": ({"image": None, "mask": torch.ones(1, 64, 64)}, "image"),
    "leaves the folder": ({"run_name": "../../etc"}, "run_name"),
    "absolute": ({"run_name": "/tmp/x"}, "run_name"),
    "reserved on windows": ({"run_name": "nul"}, "run_name"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_before_sampling(bench, picture, calls, case):
    inputs, match = BAD[case]
    inputs = {"image": picture} | inputs
    with pytest.raises(Failed, match=match):
        bench.run(**{k: v for k, v in inputs.items() if v is not None})
    assert not calls


def test_wrong_vae_is_refused_before_sampling(bench, picture, calls):
    from ..tiny import tiny_vae

    with pytest.raises(Failed, match="4 latent channels.*16"):
        bench.run(image=picture, vae=tiny_vae(z_channels=16))
    assert not calls


def test_prompts_are_encoded_once(bench, picture, monkeypatch):
    seen = []
    real = bench.clip.tokenize
    monkeypatch.setattr(bench.clip, "tokenize", lambda text: (seen.append(text), real(text))[1])
    bench.run(bench.plan("a; b; a; b; a"), image=picture)
    assert sorted(seen) == ["a", "b", "blurry"]


def test_unwritable_store_warns_once_and_goes_on(bench, picture, monkeypatch, caplog):
    def full(path, *data, parts):
        raise OSError(28, "No space left on device")

    from isi.core.store import store

    monkeypatch.setattr(store, "write_atomic", full)
    image, _, _ = bench.run(image=picture)
    (latent,) = bench.host.call("VAEEncode", pixels=picture, vae=bench.vae)
    assert torch.equal(image, bench.chain(latent)[0])
    assert len([r for r in caplog.records if "can't be written" in r.message]) == 1


def test_host_keeps_few_pictures_however_long_the_run(bench, picture):
    """The node's outputs are one picture and handles: what the host's caches hold does not grow with N."""
    import gc

    def pictures_alive():
        gc.collect()
        return sum(1 for o in gc.get_objects() if isinstance(o, torch.Tensor) and o.shape == (1, 64, 64, 3))

    before = pictures_alive()
    held = bench.run(bench.plan("a *30", steps=1), image=picture)
    assert pictures_alive() - before <= 3
    assert len(held[2]) == 30


def test_grey_pictures_become_colour(bench, picture):
    grey = picture[..., :1]
    image, _, _ = bench.run(image=grey)
    expected, _, _ = bench.run(image=grey.repeat(1, 1, 1, 3))
    assert torch.equal(image, expected)


@pytest.mark.parametrize("reference", ["initial image", "first result", "given image"])
def test_drift_lock_holds_the_reference_through_real_models(bench, picture, reference):
    """Random models drift wildly: with the lock each saved picture has the reference's mean and spread."""
    given = picture * 0.5 + 0.1
    extra = {"image": given} if reference == "given image" else {}
    (drift,) = bench.host.call(
        "ISI_DriftLock", reference=reference, strength=1.0, save_corrected=True, **extra
    )
    _, _, run = bench.run(image=picture, drift=drift)
    first = run.load(1).tensors["picture"]
    wanted = {"initial image": picture, "first result": first, "given image": given}[reference]
    for number in (2, 3, 4):
        result = run.load(number).tensors["picture"]
        assert torch.allclose(result.mean((1, 2)), wanted.mean((1, 2)), atol=2e-3)
        assert torch.allclose(result.std((1, 2)), wanted.std((1, 2)), rtol=0.02)


def test_settled_runs_are_shorter_and_say_so(bench, picture):
    (stop,) = bench.host.call("ISI_StopWhenSettled", threshold=1.0, patience=2)
    image, _, run = bench.run(image=picture, stop=stop, run_name="settled")
    assert len(run) == 2 and torch.equal(image, run.load(2).tensors["picture"])
    assert len(bench.host.call("ISI_OpenRun", run_name="settled", iteration=0)[3]) == 2


def test_a_plan_with_a_mask_of_another_size_is_one_sentence_before_sampling(bench, picture, calls):
    plan = Plan((Step("a", 1, lens=Masked("m", "m")),), {"m": torch.ones(1, 8, 16)})
    with pytest.raises(Failed, match="A mask of this plan is 16x8, but the picture is then 64x64"):
        bench.run(plan, image=picture)
    assert not calls
