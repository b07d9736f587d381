"""ISI_ControlNetConditioner against Apply ControlNet, by hand before each step."""

import pytest
import torch

from ..harness import Failed
from ..loop.test_iterate import Bench
from ..tiny import tiny_clip, tiny_control_net, tiny_model
from ..tiny_controls import control_net_of
from ..tiny_families import family_models

SPAN = {"start_percent": 0.0, "end_percent": 1.0}


def conditioner(bench, net, hint="picture", strength=0.8, **more):
    values = {"control_net": net, "hint": hint, "strength": strength} | SPAN | more
    return bench.host.call("ISI_ControlNetConditioner", **values)[0]


def by_hand(bench, picture, net, hint, strengths=(0.8, 0.8)):
    """The last picture of two steps, each with the hint `hint(k, picture)`."""
    for k, (text, strength) in enumerate(zip("ab", strengths, strict=True)):
        positive, negative = bench.host.call(
            "ControlNetApplyAdvanced", positive=bench.text(text), negative=bench.text("blurry"),
            control_net=net, image=hint(k, picture), strength=strength, vae=bench.vae, **SPAN,
        )  # fmt: skip
        (latent,) = bench.host.call("VAEEncode", pixels=picture, vae=bench.vae)
        (latent,) = bench.host.call(
            "KSampler", model=bench.model, positive=positive, negative=negative, latent_image=latent,
            seed=7 + k, steps=2, cfg=5.0, sampler_name="euler", scheduler="normal", denoise=0.6,
        )  # fmt: skip
        (picture,) = bench.host.call("VAEDecode", samples=latent, vae=bench.vae)
    return picture


def edges(bench, picture):
    return bench.host.call("Canny", image=picture, low_threshold=0.1, high_threshold=0.3)[0]


@pytest.mark.parametrize("hint", ["picture", "edges"])
def test_it_follows_the_moving_picture(bench, picture, hint):
    net = tiny_control_net()
    made = by_hand(bench, picture, net, lambda k, at: edges(bench, at) if hint == "edges" else at)
    image, *_ = bench.run(bench.plan("a; b"), image=picture, conditioner=conditioner(bench, net, hint))
    assert torch.equal(image, made)
    plain, *_ = bench.run(bench.plan("a; b"), image=picture)
    assert not torch.equal(image, plain)


def test_a_steps_own_control_is_its_strength(bench, picture):
    net = tiny_control_net()
    expected = by_hand(bench, picture, net, lambda k, at: at, (0.3, 0.0))
    given = conditioner(bench, net)
    image, _, run = bench.run(bench.plan("a @control=.3; b @control=0"), image=picture, conditioner=given)
    assert torch.equal(image, expected)
    *_, other = bench.run(bench.plan("a @control=.3; b"), image=picture, conditioner=given)
    assert run.keys[0] == other.keys[0] and run.keys[1] != other.keys[1]


def test_a_control_of_nothing_is_said_before_sampling(bench, picture, calls):
    with pytest.raises(Failed, match="Step 2 of the plan sets @control, and no ISI ControlNet Conditioner"):
        bench.run(bench.plan("a; b @control=.5"), image=picture)
    assert not calls


# The tiny SDXL has texts as wide as SD 1's, and a ControlNet of SD 1 fits it.
FITS = {"SD1": {"SD1", "SDXL"}, "T2I-Adapter": {"SD1"}}


@pytest.mark.parametrize("made_for", ["SD1", "SD3", "Flux", "Qwen-Image", "T2I-Adapter"])
def test_a_control_net_of_another_family_is_said(host, made_for):
    net = control_net_of(made_for)
    for family in ("SD1", "SDXL", "SD3", "Flux", "Flux.2", "Qwen-Image", "Wan 2.1"):
        bench = Bench(host, *family_models(family))
        given, plan = conditioner(bench, net), bench.plan("a")
        if family in FITS.get(made_for, {made_for}):
            given.check(bench.model, bench.vae, plan)
            continue
        with pytest.raises(ValueError, match="for another family of models than .*: load one that belongs"):
            given.check(bench.model, bench.vae, plan)


def test_it_is_said_before_sampling(host, picture, calls):
    """A ControlNet of SD 3 has latents as Flux has."""
    bench, sd3, flux = Bench(host, *family_models("Flux")), control_net_of("SD3"), control_net_of("Flux")
    with pytest.raises(Failed, match="for another family of models than Flux: load one that belongs"):
        bench.run(bench.plan("a"), image=picture, conditioner=conditioner(bench, sd3))
    assert not calls
    made = by_hand(bench, picture, flux, lambda k, at: at)
    image, *_ = bench.run(bench.plan("a; b"), image=picture, conditioner=conditioner(bench, flux))
    assert torch.equal(image, made)


def test_a_control_lora_for_other_texts_is_said(bench, picture, calls):
    """It has no network before it is sampled, but its weights say what it is for."""
    import comfy.controlnet

    weights = {"input_blocks.4.1.transformer_blocks.0.attn2.to_k.down": torch.zeros(2, 2048)}
    net = comfy.controlnet.ControlLora(weights | {"input_hint_block.0.weight": torch.zeros(16, 3, 3, 3)})
    with pytest.raises(Failed, match="for another family of models than BaseModel"):
        bench.run(bench.plan("a"), image=picture, conditioner=conditioner(bench, net))
    assert not calls


@pytest.mark.parametrize("kind", ["depth", "instruct-pix2pix", "inpaint", "upscale-x4"])
def test_a_control_lora_for_a_model_of_more_channels_is_said(host, picture, calls, kind):
    model, clip, vae, _ = host.call("ISI_MiniCheckpoint", kind=kind)
    (net,) = host.call("ControlNetLoader", control_net_name="mini_control.safetensors")
    mini = Bench(host, model, clip, vae)
    with pytest.raises(Failed, match="Control-LoRA copies .* takes . channels, not the 4 of"):
        mini.run(mini.plan("a"), image=picture, conditioner=conditioner(mini, net))
    assert not calls


def test_a_control_net_for_other_texts_is_said(bench, picture):
    other = Bench(bench.host, tiny_model(context=32), tiny_clip(width=32), bench.vae)
    with pytest.raises(Failed, match="for another family of models than BaseModel"):
        other.run(other.plan("a"), image=picture, conditioner=conditioner(other, tiny_control_net()))


@pytest.mark.parametrize("count", [1, 2])
def test_it_follows_hints_of_ones_own(bench, picture, count):
    """One image at every step, of a batch another one at each."""
    net = tiny_control_net()
    hints = torch.rand(count, 64, 64, 3, generator=torch.Generator().manual_seed(count))
    for given in (hints, hints.flip(1)):
        made = conditioner(bench, net, hint_image=given)
        known = [value for value in made.identity() if isinstance(value, torch.Tensor)]
        assert len(known) == 1 and torch.equal(known[0], given), "the key holds the hints' content"
        image, *_ = bench.run(bench.plan("a; b"), image=picture, conditioner=made)
        at = given if count > 1 else given.repeat(2, 1, 1, 1)
        assert torch.equal(image, by_hand(bench, picture, net, lambda k, _, at=at: at[k : k + 1]))


def test_a_first_step_without_a_picture_has_a_hint_of_ones_own(bench):
    net, made = tiny_control_net(), []
    for given in (torch.zeros(1, 64, 64, 3), torch.ones(1, 64, 64, 3)):
        conditioned = conditioner(bench, net, hint_image=given)
        made.append(bench.run(bench.plan("a"), conditioner=conditioned, width=64, height=64)[0])
    assert not torch.equal(*made)


@pytest.mark.parametrize("count", [0, 3])
def test_hints_that_are_no_one_and_not_one_a_step_are_said(bench, picture, count):
    given = conditioner(bench, tiny_control_net(), hint_image=torch.zeros(count, 64, 64, 3))
    with pytest.raises(Failed, match=f"has {count} images, and the plan has 2 steps"):
        bench.run(bench.plan("a; b"), image=picture, conditioner=given)
