"""IC-Light on a standard model, against a checkpoint that was merged by hand."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ..harness import Failed
from ..tiny import fill, tiny_model, tiny_vae
from ..tiny_concat import concat_model, picture, sample, text, unet_inputs

CONV_IN = "input_blocks.0.0.weight"
CHANNELS = {"fc": 8, "fbc": 12}


def differences(kind, seed=5):
    """Small random differences for every weight of the tiny UNet."""
    unet = tiny_model(in_channels=CHANNELS[kind], seed=seed).model.diffusion_model
    fill(unet, seed)
    return {
        k: 0.05 * v * (0.0 if "norm" in k or k == "out.0.weight" else 1.0)
        for k, v in unet.state_dict().items()
    }


def merged(kind, base, delta):
    """A model with IC-Light's channels whose weights are the sum, made without the host's patches."""
    model = tiny_model(in_channels=CHANNELS[kind])
    state = {name: value.clone() for name, value in base.model.diffusion_model.state_dict().items()}
    padded = torch.zeros_like(delta[CONV_IN])
    padded[:, :4] = state[CONV_IN]
    state[CONV_IN] = padded
    model.model.diffusion_model.load_state_dict({k: v + delta[k] for k, v in state.items()})
    return model


@pytest.fixture(scope="module")
def files(booted):
    import folder_paths

    folder = Path(folder_paths.get_folder_paths("diffusion_models")[0])
    folder.mkdir(parents=True, exist_ok=True)
    for kind in CHANNELS:
        save_file(
            {k: v.contiguous() for k, v in differences(kind).items()}, folder / f"iclight_{kind}.safetensors"
        )
    yield {kind: f"diffusion_models/iclight_{kind}.safetensors" for kind in CHANNELS}
    # Other tests look at the lists of files that nodes offer.
    for written in folder.glob("iclight_*.safetensors"):
        written.unlink()


@pytest.fixture(scope="module")
def vae(booted):
    return tiny_vae()


def relight(host, model, file, vae, **inputs):
    return host.call(
        "ISI_ICLight", model=model, positive=text(1), negative=text(2), vae=vae, file=file,
        **{"foreground": picture(1, 48, 64, 3)} | inputs,
    )  # fmt: skip


def inputs_of(kind, batch=1):
    pictures = {"foreground": picture(batch, 48, 64, 3), "mask": picture(batch, 48, 64, seed=2)}
    return pictures | ({"background": picture(1, 40, 70, 3, seed=3)} if kind == "fbc" else {})


def test_fc_fbc_and_plain_in_any_order_equal_merged_checkpoints(host, files, vae):
    base = tiny_model()
    before = {name: value.clone() for name, value in base.model.state_dict().items()}
    config = dict(base.model.model_config.unet_config)
    expected, runs = {}, {}
    for kind in CHANNELS:
        model = merged(kind, base, differences(kind))
        out = host.call(
            "ISI_ConcatConditioning", model=model, positive=text(1), negative=text(2), vae=vae,
            kind=f"ic-light-{kind}", image=inputs_of(kind)["foreground"],
            **{k: v for k, v in inputs_of(kind).items() if k != "foreground"},
        )  # fmt: skip
        expected[kind] = sample(host, *out)
        runs[kind] = relight(host, base, files[kind], vae, **inputs_of(kind))
    runs["plain"] = base, text(1), text(2), {"samples": torch.zeros(1, 4, 6, 8)}
    expected["plain"] = sample(host, *runs["plain"])
    for kind in ("fc", "fbc", "plain", "fbc", "fc", "plain", "fc"):
        assert torch.equal(sample(host, *runs[kind]), expected[kind]), kind
    base.unpatch_model()
    after = base.model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert base.model.model_config.unet_config == config and not base.patches and not base.object_patches


def test_unet_gets_foreground_then_background_scaled(host, files, vae):
    base = tiny_model()
    inputs = inputs_of("fbc", batch=2)
    out = relight(host, base, files["fbc"], vae, **inputs)
    with unet_inputs(base) as seen:
        sample(host, *out, steps=1)
    matte = inputs["mask"][..., None]
    foreground = vae.encode(0.5 + (inputs["foreground"] - 0.5) * matte) * 0.18215
    import comfy.utils

    background = comfy.utils.common_upscale(inputs["background"].movedim(-1, 1), 64, 48, "bicubic", "center")
    background = vae.encode(background.movedim(1, -1)) * 0.18215
    for chunk in seen[0]["sample"].chunk(2):
        assert torch.allclose(chunk[:, 4:8], foreground, atol=1e-6)
        assert torch.allclose(chunk[:, 8:], background.expand(2, -1, -1, -1), atol=1e-6)


def test_high_resolution_pass_resizes_the_concat(host, files, vae):
    base = tiny_model()
    model, positive, negative, latent = relight(host, base, files["fc"], vae, **inputs_of("fc"))
    first = sample(host, model, positive, negative, latent)
    larger = {"samples": torch.nn.functional.interpolate(first, (9, 12), mode="bilinear")}
    assert sample(host, model, positive, negative, larger, denoise=0.5).shape == (1, 4, 9, 12)


def test_light_source_is_the_latent_to_start_from(host, files, vae):
    base, side = tiny_model(), torch.linspace(1, 0, 64).reshape(1, 1, 64, 1).repeat(1, 48, 1, 3)
    inputs = inputs_of("fc", batch=2)
    *_, left = relight(host, base, files["fc"], vae, light_source="left", **inputs)
    assert torch.allclose(left["samples"], vae.encode(side).expand(2, -1, -1, -1), atol=1e-5)
    *_, shown = relight(
        host, base, files["fc"], vae, light_source="image", light_image=side.clone(), **inputs
    )
    assert torch.allclose(shown["samples"], left["samples"], atol=1e-5)
    *_, none = relight(host, base, files["fc"], vae, **inputs)
    assert not none["samples"].any()


def test_diffusers_names_mean_the_same(host, files, vae):
    import comfy.utils
    import folder_paths

    base = tiny_model()
    names = {v: k for k, v in comfy.utils.unet_to_diffusers(base.model.model_config.unet_config).items()}
    renamed = {names[key]: value for key, value in differences("fc").items()}
    assert len(renamed) == len(differences("fc"))
    folder = folder_paths.get_folder_paths("diffusion_models")[0]
    save_file(renamed, Path(folder) / "iclight_diffusers.safetensors")
    outs = [
        sample(host, *relight(host, base, file, vae, **inputs_of("fc")))
        for file in (files["fc"], "diffusion_models/iclight_diffusers.safetensors")
    ]
    assert torch.equal(*outs)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"light_source": "image"}, "light_image"),
        ({"model": lambda: tiny_model(in_channels=9)}, "inpainting model"),
        ({"model": lambda: concat_model("instruct-pix2pix")}, "4 input channels"),
        ({"vae": lambda: tiny_vae(levels=3)}, "VAE"),
        ({"model": lambda: tiny_model(num_res_blocks=[1, 2], transformer_depth=[1, 1, 1],
                                      transformer_depth_output=[1] * 5)}, "don't fit"),
    ],
)  # fmt: skip
def test_errors_say_what_to_connect(host, files, vae, inputs, message):
    given = {"model": tiny_model, "vae": lambda: vae} | inputs
    given = {k: v() if callable(v) else v for k, v in given.items()}
    with pytest.raises(Failed, match=message):
        relight(host, file=files["fc"], **given)


def test_fbc_without_background_and_double_patches_and_whole_models_are_refused(host, files, vae):
    base = tiny_model()
    with pytest.raises(Failed, match="background"):
        relight(host, base, files["fbc"], vae)
    model, *_ = relight(host, base, files["fc"], vae)
    with pytest.raises(Failed, match="4 input channels"):
        relight(host, model, files["fc"], vae)
    import folder_paths

    folder = Path(folder_paths.get_folder_paths("diffusion_models")[0])
    whole = tiny_model(in_channels=8).model.diffusion_model.state_dict()
    save_file(whole, folder / "whole.safetensors")
    save_file({"lora_up.weight": torch.zeros(2, 2)}, folder / "lora.safetensors")
    for name, message in (("whole", "whole model"), ("lora", "no first convolution")):
        with pytest.raises(Failed, match=message):
            relight(host, base, f"diffusion_models/{name}.safetensors", vae)


def concat_seen(host, base, out, latent=None):
    """The channels that the UNet gets beside the noisy latent, at the size of `latent`."""
    model, positive, negative, own = out
    with unet_inputs(base) as seen:
        sample(host, model, positive, negative, own if latent is None else latent, steps=1, cfg=1.0)
    return seen[0]["sample"][:, 4:]


def test_alpha_is_the_matte(host, files, vae):
    inputs = inputs_of("fc")
    rgba = torch.cat([inputs["foreground"], inputs["mask"][..., None]], -1)
    base = tiny_model()
    expected = concat_seen(host, base, relight(host, base, files["fc"], vae, **inputs))
    made = concat_seen(host, base, relight(host, base, files["fc"], vae, foreground=rgba))
    assert torch.equal(made, expected)
    # With a mask too, both count.
    half = torch.full((1, 48, 64), 0.5)
    both = concat_seen(host, base, relight(host, base, files["fc"], vae, foreground=rgba, mask=half))
    product = {"foreground": inputs["foreground"], "mask": inputs["mask"] * 0.5}
    assert torch.equal(both, concat_seen(host, base, relight(host, base, files["fc"], vae, **product)))


@pytest.mark.parametrize("kind", CHANNELS)
def test_a_larger_pass_encodes_the_pictures_again(host, files, vae, kind):
    """As IC-Light's own code does: the foreground at the new size, not its stretched latent."""
    from PIL import Image

    base, inputs = tiny_model(), inputs_of(kind)
    out = relight(host, base, files[kind], vae, **inputs)
    made = concat_seen(host, base, out, {"samples": torch.zeros(1, 4, 9, 12)})
    matte = inputs["mask"][..., None]
    grey = 0.5 + (inputs["foreground"] - 0.5) * matte
    planes = [
        Image.fromarray(grey[0, ..., c].numpy()).resize((96, 72), Image.Resampling.LANCZOS) for c in range(3)
    ]
    import numpy

    larger = torch.stack([torch.from_numpy(numpy.array(plane)) for plane in planes], -1)[None]
    expected = vae.encode(larger.clamp(grey.min(), grey.max())) * 0.18215
    assert torch.allclose(made[:, :4], expected, atol=1e-5)
    stretched = torch.nn.functional.interpolate(vae.encode(grey) * 0.18215, (9, 12), mode="bilinear")
    assert (made[:, :4] - stretched).square().mean() > 1e-4


def test_a_background_at_an_fc_file_is_named(host, files, vae):
    with pytest.raises(Failed, match="sees only the foreground: disconnect the background"):
        relight(host, tiny_model(), files["fc"], vae, background=picture(1, 48, 64, 3))


def test_grey_light_and_corners_and_colours(host, files, vae):
    base, across = tiny_model(), torch.linspace(1, 0, 64).reshape(1, 1, 64, 1).repeat(1, 48, 1, 3)
    down = torch.linspace(1, 0, 48).reshape(1, 48, 1, 1)

    def start(**light):
        return relight(host, base, files["fc"], vae, **inputs_of("fc"), **light)[3]["samples"]

    grey = start(light_source="image", light_image=across[..., :1])
    assert torch.equal(grey, start(light_source="image", light_image=across))
    assert torch.allclose(grey, start(light_source="left"), atol=1e-5)
    corner = start(light_source="top left")
    assert torch.allclose(corner, vae.encode((across + down) / 2), atol=1e-5)
    warm = torch.tensor([1.0, 204 / 255, 136 / 255])
    tinted = start(light_source="left", light_color="#ffcc88")
    assert torch.allclose(tinted, vae.encode(across * warm), atol=1e-5)
    tinted = start(light_source="image", light_image=across, light_color="#ffcc88")
    assert torch.allclose(tinted, vae.encode(across * warm), atol=1e-5)
    with pytest.raises(Failed, match="#ffcc88"):
        start(light_source="left", light_color="warmish")


def test_detail_transfer_is_a_node(host):
    target, source = picture(1, 24, 32, 3), picture(1, 24, 32, 3, seed=1)
    (off,) = host.call("ISI_DetailTransfer", target=target, source=source, mode="add", blur=2.0, blend=0.0)
    assert torch.equal(off, target)
    (made,) = host.call("ISI_DetailTransfer", target=target, source=source, mode="add", blur=2.0, blend=1.0)
    assert not torch.equal(made, target)
