"""What a run sends to the front end: a preview a step, a picture an iteration, and not much else."""

import json

import pytest
import torch
from isi.host.loop import progress

from .test_iterate import Bench


def size(event) -> int:
    """Bytes of a message as the server's socket would send it, pictures aside."""
    name, data = event
    return len(json.dumps({"type": name, "data": data})) if isinstance(name, str) else 0


def previews(host) -> int:
    return sum(1 for name, _ in host.events if not isinstance(name, str))


@pytest.fixture
def picture():
    return torch.rand(1, 16, 16, 3, generator=torch.Generator().manual_seed(11))


@pytest.fixture
def previewing(monkeypatch):
    """The server's default where a browser is connected: pictures from the latent."""
    import latent_preview

    method = latent_preview.LatentPreviewMethod.Latent2RGB
    monkeypatch.setattr(latent_preview, "default_preview_method", method)


def test_forty_iterations_of_twenty_steps_cost_less_than_400_kilobytes(host, model, clip, vae, picture):
    still = model.clone()
    still.set_model_unet_function_wrapper(
        lambda apply, args: args["input"] * 0.1
    )  # 800 calls in half a second
    bench = Bench(host, still, clip, vae)
    plan = bench.plan("a *40", steps=20, denoise=0.1, final_denoise=0.1)
    host.events.clear()
    bench.run(plan, image=picture)
    assert sum(size(event) for event in host.events) <= 400_000
    assert sum(1 for name, _ in host.events if name == "isi.iteration") == 40
    values = [data["value"] for name, data in host.events if name == "progress"]
    assert values == sorted(values) and values[-1] == 800
    assert all(data["max"] == 800 for name, data in host.events if name == "progress")


@pytest.mark.parametrize("updates", [400, 3])
def test_a_preview_for_every_sampler_step(host, model, clip, vae, picture, previewing, monkeypatch, updates):
    monkeypatch.setattr(progress, "UPDATES", updates)
    bench = Bench(host, model, clip, vae)
    plan = bench.plan("a; b; c", steps=4, seed=updates)
    host.events.clear()
    bench.run(plan, image=picture)
    assert previews(host) == 12


def test_a_reused_run_ends_at_its_full_progress(host, model, clip, vae, picture):
    bench = Bench(host, model, clip, vae)
    plan = bench.plan("a; b; c", steps=4, seed=5)
    bench.run(plan, image=picture)
    host.new_executor()
    host.events.clear()
    bench.run(plan, image=picture)
    values = [data["value"] for name, data in host.events if name == "progress"]
    assert values[-1] == 12 and previews(host) == 0
