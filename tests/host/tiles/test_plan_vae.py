"""The VAE of a plan's tiled steps: exact tiles, and what they cost."""

import torch

from ..oracles import oracle
from ..tiny import fill, tiny_vae
from .test_upscale import identity, iterate, picture, upscale


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
