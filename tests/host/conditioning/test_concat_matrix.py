"""Every kind of model against everything that users do wrong: the right result, or one clear sentence.

No case may end in an error of torch's own, and none may fail after sampling has begun.
"""

import pytest
import torch
from torch.nn import functional

from ..harness import Failed
from ..tiny import tiny_model, tiny_vae
from ..tiny_concat import CHANNELS, concat_model, picture, text, unet_inputs
from ..tiny_concat import sample as sample_steps

KINDS = [kind for kind in CHANNELS if kind != "marigold"]
CONV_IN = "diffusion_model.input_blocks.0.0.weight"
HEIGHT, WIDTH = 24, 40


@pytest.fixture(scope="module")
def vaes(booted):
    return {8: tiny_vae(), 4: tiny_vae(levels=3)}


def sample(*args, **settings):
    return sample_steps(*args, **{"steps": 1} | settings)


def inputs_of(kind, batch=1, height=HEIGHT, width=WIDTH):
    """Every input that a kind takes. The upscaler works at the size of its picture, so that is small."""
    if kind == "upscale-x4":
        height, width = height // 3, width // 3
    inputs = {"image": picture(batch, height, width, 3)}
    if kind == "depth":
        inputs["depth"] = picture(batch, height, width, 3, seed=1)
    if kind in ("inpaint", "ic-light-fc", "ic-light-fbc"):
        inputs["mask"] = picture(batch, height, width, seed=2).round()
    if kind == "ic-light-fbc":
        inputs["background"] = picture(batch, height, width, 3, seed=3)
    return inputs


def condition(host, vaes, kind, model=None, vae=None, **inputs):
    return host.call(
        "ISI_ConcatConditioning", model=concat_model(kind) if model is None else model, positive=text(1),
        negative=text(2), vae=vae or vaes[4 if kind == "upscale-x4" else 8], kind=kind,
        **inputs,
    )  # fmt: skip


def channels(made):
    """What is concatenated to the latent that a node gave."""
    from isi.host.conditioning.concat_patch import KEY

    batch, _, height, width = made[3]["samples"].shape
    return made[1][0][1][KEY].at(batch, height, width)


def refused(host, model, act, message):
    """`act` must raise ValueError with `message` before the UNet of `model` is called once."""
    with unet_inputs(model) as seen, pytest.raises(Failed) as caught:
        act()
    assert not seen
    assert caught.value.details["exception_type"] == "ValueError"
    text_ = caught.value.details["exception_message"].strip()
    assert message in text_
    assert text_.endswith(".") and "\n" not in text_


@pytest.mark.parametrize("kind", KINDS)
def test_missing_inputs(host, vaes, kind):
    required = {"depth": ["depth"], "inpaint": ["image", "mask"], "ic-light-fbc": ["image", "background"]}
    for name in required.get(kind, ["image"]):
        inputs = {key: value for key, value in inputs_of(kind).items() if key != name}
        model = concat_model(kind)
        refused(host, model, lambda m=model, i=inputs: condition(host, vaes, kind, m, **i), f"connect {name}")


@pytest.mark.parametrize("kind", KINDS)
def test_latents_of_other_sizes(host, vaes, kind, deleted_model):
    """Encoded again while the model is sampled, beside models that are gone but listed."""
    model = concat_model(kind)
    out = condition(host, vaes, kind, model, **inputs_of(kind))
    *ready, latent = out
    larger = {"samples": functional.interpolate(latent["samples"], scale_factor=2)}
    with unet_inputs(model) as seen:
        sample(host, *ready, larger)
    assert seen[0]["sample"].shape[1] == CHANNELS[kind]
    assert seen[0]["sample"].shape[-2:] == larger["samples"].shape[-2:]
    square = {"samples": torch.zeros(1, 4, 14, 14)}
    refused(host, model, lambda: sample(host, *ready, square), "aspect ratio")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(25, 43), (31, 34)])
def test_pictures_of_odd_sizes(host, vaes, kind, size):
    model = concat_model(kind)
    out = condition(host, vaes, kind, model, **inputs_of(kind, 1, *size))
    cells = [side // (3 if kind == "upscale-x4" else 8) for side in size]
    assert list(out[3]["samples"].shape[-2:]) == cells
    assert torch.isfinite(sample(host, *out)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_masks_depths_and_backgrounds_of_other_sizes(host, vaes, kind):
    inputs = inputs_of(kind)
    others = {
        name: functional.interpolate(value.reshape(1, -1, HEIGHT, WIDTH), (64, 64)).reshape(
            1, 64, 64, *value.shape[3:]
        )
        for name, value in inputs.items()
        if name != "image"
    }
    out = condition(host, vaes, kind, **inputs | others)
    assert torch.isfinite(sample(host, *out)).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 4])
def test_grey_and_rgba_pictures(host, vaes, kind, channels):
    inputs = inputs_of(kind)
    grey = inputs["image"][..., :1].expand(-1, -1, -1, 3)
    image, same = grey[..., :1], inputs | {"image": grey}
    if channels == 4:
        image = torch.cat([grey, inputs["image"][..., :1]], -1)
        if kind.startswith("ic-light"):  # alpha is a matte
            same["mask"] = same["mask"] * image[..., 3]
    expected = sample(host, *condition(host, vaes, kind, **same))
    got = sample(host, *condition(host, vaes, kind, **inputs | {"image": image}))
    assert (got - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize("kind", KINDS)
def test_batches_pair_pictures_and_latents(host, vaes, kind):
    inputs = inputs_of(kind, 3)
    model = concat_model(kind)
    *ready, latent = condition(host, vaes, kind, model, **inputs)
    assert latent["samples"].shape[0] == 3

    def concat_of(*prepared, latent):
        with unet_inputs(model) as seen:
            sample(host, *prepared, latent, cfg=1.0)
        return seen[0]["sample"][:, 4:]

    together = concat_of(*ready, latent=latent)
    for i in range(3) if kind != "upscale-x4" else ():  # its noise differs by place in the batch
        alone = condition(
            host, vaes, kind, model, **{name: value[i : i + 1] for name, value in inputs.items()}
        )
        one = {"samples": latent["samples"][i : i + 1]}
        assert torch.allclose(concat_of(*alone[:3], latent=one)[0], together[i], atol=1e-5)
    single = condition(host, vaes, kind, model, **inputs_of(kind))
    four = {"samples": single[3]["samples"].repeat(4, 1, 1, 1)}
    out = concat_of(*single[:3], latent=four)
    assert all(torch.equal(out[0], other) for other in out)
    two = {"samples": latent["samples"][:2]}
    refused(host, model, lambda: sample(host, *ready, two), "batch")


@pytest.mark.parametrize("kind", ["depth", "inpaint", "ic-light-fc"])
def test_batches_that_do_not_match(host, vaes, kind):
    inputs = inputs_of(kind, 3)
    name = "depth" if kind == "depth" else "mask"
    inputs[name] = inputs[name][:2]
    model = concat_model(kind)
    refused(host, model, lambda: condition(host, vaes, kind, model, **inputs), "3 and 2")


@pytest.mark.parametrize("kind", KINDS)
def test_negative_from_elsewhere_gets_the_same_concat(host, vaes, kind):
    model, positive, negative, latent = condition(host, vaes, kind, **inputs_of(kind))
    expected = sample(host, model, positive, negative, latent)
    assert torch.equal(sample(host, model, positive, text(2), latent), expected)
    assert torch.equal(sample(host, model, text(1), text(2), latent), expected)


def lora_patch(channels, seed=9):
    """A LoRA of the first convolution for a number of input channels, as the host's loader makes it."""
    from comfy.weight_adapter.lora import LoRAAdapter

    generator = torch.Generator().manual_seed(seed)
    down = 0.1 * torch.randn(2, channels, 3, 3, generator=generator)
    up = torch.randn(32, 2, 1, 1, generator=generator)
    return {CONV_IN: LoRAAdapter(set(), (up, down, 2.0, None, None, None))}, torch.einsum(
        "or,rikl->oikl", up[..., 0, 0], down
    )


def with_lora(model, patch):
    clone = model.clone()
    clone.add_patches(patch)
    return clone


@pytest.mark.parametrize("kind", KINDS)
def test_lora_on_conv_in_before_and_after(host, vaes, kind):
    patch, delta = lora_patch(CHANNELS[kind])
    by_hand = concat_model(kind)
    with torch.no_grad():
        by_hand.model.get_parameter(CONV_IN).add_(delta)
    expected = sample(host, *condition(host, vaes, kind, by_hand, **inputs_of(kind)))
    before = condition(host, vaes, kind, with_lora(concat_model(kind), patch), **inputs_of(kind))
    assert torch.allclose(sample(host, *before), expected, atol=1e-4)
    model, *rest = condition(host, vaes, kind, **inputs_of(kind))
    assert torch.allclose(sample(host, with_lora(model, patch), *rest), expected, atol=1e-4)
    # A LoRA for 4 channels: its layer is skipped, as in the host.
    expected = sample(host, model, *rest)
    assert torch.equal(sample(host, with_lora(model, lora_patch(4)[0]), *rest), expected)


def test_the_hosts_recipe_for_an_inpaint_model(host, vaes):
    """ModelMergeSubtract(inpaint, base), ModelMergeAdd(that, other): all but the first convolution is
    inpaint - base + other, by hand."""
    inpaint, base, other = concat_model("inpaint", seed=3), tiny_model(seed=4), tiny_model(seed=5)
    by_hand = concat_model("inpaint")
    parts = [model.model.diffusion_model.state_dict() for model in (inpaint, base, other)]
    summed = {
        name: weight if name == "input_blocks.0.0.weight" else weight - parts[1][name] + parts[2][name]
        for name, weight in parts[0].items()
    }
    by_hand.model.diffusion_model.load_state_dict(summed)
    expected = sample(host, *condition(host, vaes, "inpaint", by_hand, **inputs_of("inpaint")))
    (difference,) = host.call("ModelMergeSubtract", model1=inpaint, model2=base, multiplier=1.0)
    (merged_model,) = host.call("ModelMergeAdd", model1=difference, model2=other)
    made = sample(host, *condition(host, vaes, "inpaint", merged_model, **inputs_of("inpaint")))
    assert torch.allclose(made, expected, atol=1e-4)
    # The other way round the host's result takes 4 channels, which is what ISI sees.
    (plain,) = host.call("ModelMergeAdd", model1=other, model2=difference)
    refused(
        host, plain, lambda: condition(host, vaes, "inpaint", plain, **inputs_of("inpaint")), "but this is"
    )


def test_lora_on_conv_in_before_and_after_ic_light(host, vaes):
    from .test_ic_light import differences, merged

    patch, delta = lora_patch(4)
    base = tiny_model()
    by_hand = tiny_model()
    with torch.no_grad():
        by_hand.model.get_parameter(CONV_IN).add_(delta)
    expected_model = merged("fc", by_hand, differences("fc"))
    expected = sample(host, *condition(host, vaes, "ic-light-fc", expected_model, **inputs_of("ic-light-fc")))
    from isi.host.conditioning.ic_light import add_differences

    lit, _ = add_differences(with_lora(base, patch), differences("fc"))
    out = condition(host, vaes, "ic-light-fc", lit, **inputs_of("ic-light-fc"))
    assert torch.allclose(sample(host, *out), expected, atol=1e-4)
    lit, _ = add_differences(base, differences("fc"))
    model, *rest = condition(host, vaes, "ic-light-fc", lit, **inputs_of("ic-light-fc"))
    after = with_lora(model, patch)
    refused(host, after, lambda: sample(host, after, *rest), "before ISI IC-Light")


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_base(host, vaes, kind):
    for base in (tiny_model(), concat_model("depth" if kind != "depth" else "inpaint")):
        refused(host, base, lambda b=base: condition(host, vaes, kind, b, **inputs_of(kind)), "but this is")


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_vae(host, vaes, kind):
    model = concat_model(kind)
    wrong = vaes[8 if kind == "upscale-x4" else 4]
    refused(host, model, lambda: condition(host, vaes, kind, model, wrong, **inputs_of(kind)), "VAE")
    wide = tiny_vae(z_channels=16)
    refused(host, model, lambda: condition(host, vaes, kind, model, wide, **inputs_of(kind)), "VAE")


def test_auto_on_a_standard_model_and_on_an_ambiguous_one(host, vaes):
    for model, message in ((tiny_model(), "standard text-to-image"), (concat_model("ic-light-fc"), "`kind`")):
        with unet_inputs(model) as seen, pytest.raises(Failed, match=message):
            host.call(
                "ISI_ConcatConditioning", model=model, positive=text(1), negative=text(2), vae=vaes[8],
                kind="auto", image=picture(1, HEIGHT, WIDTH, 3),
            )  # fmt: skip
        assert not seen


def test_conditioning_of_another_kind(host, vaes):
    model, *_ = condition(host, vaes, "inpaint", **inputs_of("inpaint"))
    _, positive, negative, latent = condition(host, vaes, "depth", **inputs_of("depth"))
    refused(host, model, lambda: sample(host, model, positive, negative, latent), "5 input channels")


def test_a_latent_of_another_family(host, vaes):
    model, positive, negative, _ = condition(host, vaes, "inpaint", **inputs_of("inpaint"))
    flux = {"samples": picture(1, 16, 3, 5)}
    refused(host, model, lambda: sample(host, model, positive, negative, flux), "4 channels")


def test_patches_go_with_their_clone(host, vaes):
    model = concat_model("inpaint")
    plain = sample(host, model, text(1), text(2), {"samples": torch.zeros(1, 4, 3, 5)})
    out = condition(host, vaes, "inpaint", model, **inputs_of("inpaint"))
    assert not torch.equal(sample(host, *out), plain)
    assert torch.equal(sample(host, model, text(1), text(2), {"samples": torch.zeros(1, 4, 3, 5)}), plain)
    assert not model.object_patches and not model.wrappers


def test_marigold_sees_the_picture_first(host, vaes):
    model = concat_model("marigold")
    image = picture(2, HEIGHT, WIDTH, 3)
    out = condition(host, vaes, "marigold", model, image=image)
    with unet_inputs(model) as seen:
        sample(host, *out, cfg=1.0)
    expected = vaes[8].encode(image) * 0.18215
    assert torch.allclose(seen[0]["sample"][:, :4], expected, atol=1e-5)


def test_cosxl_takes_the_picture_scaled(host, vaes):
    from dataclasses import replace

    from isi.host.conditioning.concat import Sources, prepare
    from isi.host.models.model_kind import kind_of_model

    model, image = concat_model("instruct-pix2pix"), picture(1, HEIGHT, WIDTH, 3)
    found = kind_of_model(model).decided("instruct-pix2pix")
    plain = prepare(found, model, vaes[8], Sources(image)).concat.at(1, 3, 5)
    scaled = prepare(replace(found, scaled_concat=True), model, vaes[8], Sources(image)).concat.at(1, 3, 5)
    assert torch.allclose(scaled, plain * 0.18215, rtol=1e-6)


@pytest.mark.parametrize("kind", ["inpaint", "upscale-x4"])
def test_tiles_get_their_part_of_the_concat(host, vaes, kind):
    model = concat_model(kind)
    size = (8 * 20, 8 * 32) if kind == "inpaint" else (3 * 20, 3 * 32)
    tiled, positive, negative, latent = condition(host, vaes, kind, model, **inputs_of(kind, 1, *size))
    with unet_inputs(model) as whole:
        sample(host, tiled, positive, negative, latent, cfg=1.0)
    (tiled,) = host.call(
        "ISI_TiledSampling", model=tiled, tile_size=128, overlap=32, blend="cosine", wrap="off",
        tile_batch=1, global_share=0.3, skip_flat=0.0, shift_grid=False,
    )  # fmt: skip
    with unet_inputs(model) as tiles:
        sample(host, tiled, positive, negative, latent, cfg=1.0)
    full = whole[0]["sample"][:, 4:]
    assert len(tiles) > 1
    for tile in tiles:
        concat = tile["sample"][:, 4:]
        h, w = concat.shape[-2:]
        windows = full.unfold(2, h, 1).unfold(3, w, 1).movedim(1, -1).flatten(0, 2)
        assert any(torch.equal(window.movedim(-1, 0), concat[0]) for window in windows)


@pytest.mark.parametrize("kind", ["instruct-pix2pix", "inpaint", "ic-light-fbc", "marigold"])
def test_a_larger_latent_gets_its_pictures_encoded_anew(host, vaes, kind):
    """What a stretched latent has lost: the channels at twice the size are those of the enlarged picture."""
    from isi.core.pictures.resize import lanczos

    inputs = inputs_of(kind)
    inputs = {
        name: value.new_full(value.shape, 0.6) if value.ndim == 3 else value for name, value in inputs.items()
    }
    model = concat_model(kind)
    ready = condition(host, vaes, kind, model, **inputs)
    larger = {
        name: lanczos(value, 2 * HEIGHT, 2 * WIDTH) if value.ndim == 4 else value.repeat(1, 2, 2)
        for name, value in inputs.items()
    }
    expected = condition(host, vaes, kind, model, **larger)

    def seen_with(ready):
        with unet_inputs(model) as seen:
            size = HEIGHT // 4, WIDTH // 4
            sample(host, *ready[:3], {"samples": torch.zeros(1, 4, *size)}, cfg=1.0)
        return seen[0]["sample"]

    assert torch.allclose(seen_with(ready), seen_with(expected), atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "name"), [("depth", "depth"), ("inpaint", "mask"), ("instruct-pix2pix", "image")]
)
def test_nan_in_a_picture_is_said(host, vaes, kind, name):
    inputs = inputs_of(kind)
    inputs[name] = inputs[name].clone()
    inputs[name][0, 3, 5] = float("nan")
    model = concat_model(kind)
    refused(host, model, lambda: condition(host, vaes, kind, model, **inputs), f"every pixel of {name}")


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_no_pictures_is_said_and_one_of_no_masks_is_a_mask_of_zeros(host, vaes, kind):
    inputs = inputs_of(kind)
    for name in inputs:
        none = inputs | {name: inputs[name][:0]}
        if name != "mask":
            model = concat_model(kind)
            refused(host, model, lambda m=model, g=none: condition(host, vaes, kind, m, **g), f"in {name} of")
            continue
        zeros = condition(host, vaes, kind, **inputs | {name: torch.zeros(1, HEIGHT, WIDTH)})
        for size in ((HEIGHT, WIDTH), (64, 64)):
            made = condition(host, vaes, kind, **inputs | {name: torch.zeros(0, *size)})
            assert all(torch.equal(made[3][key], value) for key, value in zeros[3].items())
            assert torch.equal(channels(made), channels(zeros))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_is_widened_first(host, vaes, kind, dtype):
    half = {name: value.to(dtype) for name, value in inputs_of(kind).items()}
    made, wide = (
        condition(host, vaes, kind, **given)
        for given in (half, {name: value.float() for name, value in half.items()})
    )
    assert torch.equal(made[3]["samples"], wide[3]["samples"]) and torch.equal(channels(made), channels(wide))
