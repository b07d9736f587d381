"""ISI_ApplyConditioning against the host's own nodes, chained by hand, step by step."""

import pytest
import torch
from isi.core.loop.plan import Plan, Step
from isi.core.plans.window import Window

from ..harness import Failed
from ..loop.test_iterate import Bench
from ..tiles.transformers import flux
from ..tiny import tiny_clip, tiny_control_net, tiny_vae
from ..tiny_conditions import tiny_clip_vision, tiny_gligen, tiny_unclip

TEXTS = ["a hill", "snow"]


def unclip(bench, positive, negative):
    (seen,) = bench.host.call("CLIPVisionEncode", clip_vision=bench.vision, image=bench.other, crop="center")
    for strength, noise in ((0.7, 0.1), (0.4, 0.6)):
        (positive,) = bench.host.call(
            "unCLIPConditioning", conditioning=positive, clip_vision_output=seen, strength=strength,
            noise_augmentation=noise,
        )  # fmt: skip
    return positive, None


def control(bench, positive, negative):
    for strength in (0.8, 0.3):
        positive, negative = bench.host.call(
            "ControlNetApplyAdvanced", positive=positive, negative=negative, control_net=bench.control,
            image=bench.other, strength=strength, start_percent=0.0, end_percent=1.0,
        )  # fmt: skip
    return positive, negative


def gligen(bench, positive, negative):
    for x in (0, 24):
        (positive,) = bench.host.call(
            "GLIGENTextBoxApply", conditioning_to=positive, clip=bench.clip,
            gligen_textbox_model=bench.boxes, text="a tree", width=32, height=32, x=x, y=8,
        )  # fmt: skip
    return positive, None


def areas(bench, positive, negative):
    sides = []
    for x, strength in ((0.0, 1.0), (0.5, 0.6)):
        (side,) = bench.host.call(
            "ConditioningSetAreaPercentage", conditioning=positive, width=0.5, height=1.0, x=x, y=0.0,
            strength=strength,
        )  # fmt: skip
        sides.append(side)
    (both,) = bench.host.call("ConditioningCombine", conditioning_1=sides[0], conditioning_2=sides[1])
    return both, None


def times(bench, positive, negative):
    found = []
    for given, start, end in ((positive, 0.0, 0.7), (negative, 0.2, 1.0)):
        (given,) = bench.host.call("ConditioningSetTimestepRange", conditioning=given, start=start, end=end)
        found.append(given)
    return found


def hooks(bench, positive, negative):
    (positive,) = bench.host.call(
        "ConditioningSetProperties", cond_NEW=positive, hooks=bench.hook, strength=0.9,
        set_cond_area="default",
    )  # fmt: skip
    return positive, None


def guidance(bench, positive, negative):
    return bench.host.call("FluxGuidance", conditioning=positive, guidance=2.0)[0], None


def references(bench, positive, negative):
    for picture in (bench.other, bench.other.flip(1)):
        (latent,) = bench.host.call("VAEEncode", pixels=picture, vae=bench.vae)
        (positive,) = bench.host.call("ReferenceLatent", conditioning=positive, latent=latent)
    return positive, None


CHAINS = [unclip, control, gligen, areas, times, hooks, guidance, references]


@pytest.fixture
def bench(bench, picture):
    bench.other = picture.flip(2)
    return bench


@pytest.fixture(scope="session")
def parts(booted):
    """What each chain needs besides the bench."""
    import comfy.hooks

    lora = {"lora_unet_middle_block_1_proj_in.diff": torch.ones(64, 64, 1, 1)}
    return {
        "unclip": lambda b: (tiny_unclip(), b.clip, b.vae),
        "guidance": lambda b: (flux(guidance_embed=True), tiny_clip(width=8), tiny_vae(z_channels=16)),
        "references": lambda b: (flux(), tiny_clip(width=8), tiny_vae(z_channels=16)),
        "vision": tiny_clip_vision(),
        "control": tiny_control_net(),
        "boxes": tiny_gligen(),
        "hook": comfy.hooks.create_hook_lora(lora, 1.0, 1.0),
    }


def prepared(bench, parts, chain):
    if chain.__name__ in parts and callable(parts[chain.__name__]):
        models = parts[chain.__name__](bench)
        found = Bench(bench.host, *models)
        found.other = bench.other
        bench = found
    for name in ("vision", "control", "boxes", "hook"):
        setattr(bench, name, parts[name])
    return bench


def by_hand(bench, picture, chain, texts=TEXTS):
    """The host's own chain: each step encoded, conditioned, sampled, decoded."""
    for k, text in enumerate(texts):
        (latent,) = bench.host.call("VAEEncode", pixels=picture, vae=bench.vae)
        positive, negative = bench.text(text), bench.text("blurry")
        positive, changed = chain(bench, positive, negative)
        (latent,) = bench.host.call(
            "KSampler", model=bench.model, positive=positive, negative=changed or negative,
            latent_image=latent, seed=7 + k, steps=2, cfg=5.0, sampler_name="euler", scheduler="normal",
            denoise=0.6,
        )  # fmt: skip
        (picture,) = bench.host.call("VAEDecode", samples=latent, vae=bench.vae)
    return picture


def conditioner(bench, chain, mode="keep text", text="nothing of this", **more):
    positive, negative = chain(bench, bench.text(text), bench.text("nor of this"))
    negative = {} if negative is None else {"negative": negative}
    return bench.host.call("ISI_ApplyConditioning", positive=positive, mode=mode, **negative, **more)[0]


@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: chain.__name__)
def test_each_step_equals_the_hosts_chain(bench, parts, picture, chain):
    bench = prepared(bench, parts, chain)
    expected = by_hand(bench, picture, chain)
    plan = bench.plan("; ".join(TEXTS))
    given = conditioner(bench, chain)
    image, *_, run = bench.run(plan, image=picture, conditioner=given)
    assert torch.equal(image, expected)
    plain, *_, other = bench.run(plan, image=picture)
    assert not torch.equal(image, plain) and run.keys != other.keys
    # What the host notes on hooks and ControlNets while it samples makes no new key.
    assert bench.run(plan, image=picture, conditioner=given)[2].keys == run.keys


def test_with_replace_text_the_given_words_are_sampled(bench, parts, picture):
    bench = prepared(bench, parts, areas)
    expected = by_hand(bench, picture, areas, ["moss", "moss"])
    plan = bench.plan("; ".join(TEXTS))
    given = conditioner(bench, areas, "replace text", "moss")
    image, *_ = bench.run(plan, image=picture, conditioner=given)
    assert torch.equal(image, expected)


def test_several_are_a_chain_of_all_their_nodes(bench, parts, picture):
    def both(bench, positive, negative):
        positive, negative = control(bench, positive, negative)
        positive, _ = gligen(bench, positive, negative)
        positive, _ = hooks(bench, positive, negative)
        (positive, _), (_, negative) = control(bench, positive, negative), control(bench, positive, negative)
        return gligen(bench, positive, negative)[0], negative

    bench = prepared(bench, parts, both)
    first = conditioner(bench, control)
    for chain in (gligen, hooks, control, gligen):
        first = conditioner(bench, chain, conditioner=first)
    expected = by_hand(bench, picture, both)
    image, *_ = bench.run(bench.plan("; ".join(TEXTS)), image=picture, conditioner=first)
    assert torch.equal(image, expected)


def test_texts_of_several_parts_each_get_the_values(bench, parts, picture):
    bench = prepared(bench, parts, times)
    given = conditioner(bench, areas)
    one, *_ = bench.run(bench.plan("a hill AND snow :.5"), image=picture, conditioner=given)
    other, *_ = bench.run(bench.plan("a hill AND snow :.5"), image=picture)
    assert one.isfinite().all() and not torch.equal(one, other)


def test_what_can_not_be_put_on_a_step_is_said_before_sampling(bench, parts, picture, calls):
    bench = prepared(bench, parts, areas)

    def refused(sentence, plan="a", image=picture, **given):
        (made,) = bench.host.call("ISI_ApplyConditioning", mode="keep text", **given)
        with pytest.raises(Failed, match=sentence):
            bench.run(bench.plan(plan) if isinstance(plan, str) else plan, image=image, conditioner=made)

    refused("positive of ISI Apply Conditioning is empty", positive=[])
    refused("negative of ISI Apply Conditioning is empty", positive=bench.text("a"), negative=[])
    sigmas = torch.tensor([9.0, 2.0, 0.0])
    changing, *_ = bench.host.call(
        "ISI_Prompt", text="[a:b:1]", clip=bench.clip, model=bench.model, sigmas=sigmas, seed=0
    )
    refused("prompts that change while they are sampled", positive=changing)
    placed, _ = areas(bench, bench.text("a"), None)
    part = Plan((Step("a", 1), Step("b", 1, lens=Window(0, 0, 32, 32, (0, 0, 64, 64), 0, 0))))
    refused("with its area is for whole pictures, and step 2", plan=part, positive=placed)
    assert not calls
