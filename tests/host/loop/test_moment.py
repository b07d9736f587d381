"""Conditioners act in a chain, extras by an explicit table, and what either lacks is said before sampling."""

from dataclasses import replace

import pytest
import torch

from ..harness import Failed


def subclasses(cls):
    return {sub for one in cls.__subclasses__() for sub in {one, *subclasses(one)}}


def test_every_value_of_an_extra_has_its_place_in_the_table(booted):
    from isi.core.loop.plan import ExtraValue
    from isi.host.extras import EXTRAS

    ours = ExtraValue.__module__.removesuffix("loop.plan")
    values = {value for value in subclasses(ExtraValue) if value.__module__.startswith(ours)}
    assert {does.value for does in EXTRAS.values()} == values
    assert all(does.value.kind == kind for kind, does in EXTRAS.items())


def run(host, model, clip, vae, plan, **inputs):
    return host.call(
        "ISI_Iterate", model=model, clip=clip, vae=vae, plan=plan, negative="", sampler_name="euler",
        scheduler="normal", width=64, height=64, **inputs,
    )  # fmt: skip


def script(host, text="a"):
    return host.call(
        "ISI_Script", script=text, steps=1, cfg=1.0, denoise=0.5, final_denoise=0.5, curve="constant", seed=0,
        seed_mode="fixed",
    )[0]  # fmt: skip


def test_conditioners_act_in_the_order_in_which_they_are_connected(host, model, clip, vae):
    from isi.host.loop.moment import Conditioner, Needs

    acted = []

    class Notes(Conditioner):
        """A stranger's conditioner: it knows nothing of the one before it."""

        def needs(self, model):
            return Needs("the notes", picture=True)

        def identity(self):
            return type(self).__name__

        def condition(self, moment):
            acted.append(type(self).__name__)
            return replace(moment, step=replace(moment.step, seed=moment.step.seed * 2 + 1))

    class First(Notes):
        pass

    class Second(Notes):
        pass

    plan, image = script(host, "a; b"), torch.rand(1, 64, 64, 3)
    run(host, model, clip, vae, plan, image=image, conditioner=Second(before=First()))
    assert acted == ["First", "Second"] * 2
    acted.clear()
    # Another one before it is another run: nothing of the first may be reused.
    run(host, model, clip, vae, plan, image=image, conditioner=Second())
    assert acted == ["Second"] * 2
    acted.clear()
    with pytest.raises(Failed, match="Expected a picture for the notes.*connect an image to ISI Iterate"):
        run(host, model, clip, vae, plan, conditioner=Second(before=First()))
    assert not acted


def test_what_an_extra_needs_is_said_before_sampling(host, model, clip, vae):
    from isi.core.loop.lens import Resize
    from isi.core.loop.plan import Extra, Plan, Step
    from isi.core.tiles.demofusion import DemoFusion

    fused = Step("a", 1, lens=Resize(64, 64), extras=(DemoFusion(2).to_extra(),))
    with pytest.raises(Failed, match="Expected a picture for DemoFusion"):
        run(host, model, clip, vae, Plan((fused,)))
    run(host, model, clip, vae, Plan((Step("a", 1), fused)))
    with pytest.raises(Failed, match="asks for 'glow', which this version of ISI lacks"):
        run(host, model, clip, vae, Plan((Step("a", 1, extras=(Extra.of("glow"),)),)))


def test_a_vae_of_another_model_is_refused(host, model, clip, vae, monkeypatch):
    monkeypatch.setattr(vae, "latent_channels", 16)
    with pytest.raises(Failed, match="Expected a VAE with 4 latent channels for the model, but.* 16"):
        run(host, model, clip, vae, script(host))
