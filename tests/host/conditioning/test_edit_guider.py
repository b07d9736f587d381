"""The edit guider against InstructPix2Pix's closed formula, and against two-way guidance."""

import pytest
import torch

from ..harness import Failed
from ..tiny import tiny_model, tiny_vae
from ..tiny_concat import concat_model, picture, sample, text, unet_inputs


@pytest.fixture(scope="module")
def vae(booted):
    return tiny_vae()


@pytest.fixture
def edit(host, vae):
    """Model, positive, negative and latent of an edit of two pictures."""
    return host.call(
        "ISI_ConcatConditioning", model=concat_model("instruct-pix2pix"), positive=text(1), negative=text(2),
        vae=vae, kind="instruct-pix2pix", image=picture(2, 40, 56, 3),
    )  # fmt: skip


def guide(host, edit, **scales):
    model, positive, negative, _ = edit
    (guider,) = host.call("ISI_EditGuider", model=model, positive=positive, negative=negative, **scales)
    return guider


def run(host, guider, edit, steps=2, sampler="euler"):
    """The samples of SamplerCustomAdvanced, and what the guider predicted at each call."""
    model, *_, latent = edit
    predictions, plain = [], guider.predict_noise

    def watched(x, timestep, *args, **kwargs):
        out = plain(x, timestep, *args, **kwargs)
        predictions.append((x.clone(), timestep.clone(), out.clone(), guider.cfg))
        return out

    guider.predict_noise = watched
    (noise,) = host.call("RandomNoise", noise_seed=3)
    (sampler,) = host.call("KSamplerSelect", sampler_name=sampler)
    (sigmas,) = host.call("BasicScheduler", model=model, scheduler="simple", steps=steps, denoise=1.0)
    out, _ = host.call(
        "SamplerCustomAdvanced",
        noise=noise,
        guider=guider,
        sampler=sampler,
        sigmas=sigmas,
        latent_image=latent,
    )
    return out["samples"], predictions


def three_predictions(edit, vae, x, sigma):
    """e(I,T), e(I,0) and e(0,0) by calling the UNet itself."""
    model, positive, negative, _ = edit
    base = model.model
    image = vae.encode(picture(2, 40, 56, 3))

    context = torch.cat([c[0][0].expand(2, -1, -1) for c in (negative, positive)])
    # In the batches in which the guider asks, since floats round by batch.
    with torch.no_grad():
        image_only, both = base.apply_model(
            torch.cat([x, x]), torch.cat([sigma, sigma]), c_concat=torch.cat([image, image]),
            c_crossattn=context, transformer_options={},
        ).chunk(2)  # fmt: skip
        null = base.apply_model(
            x, sigma, c_concat=torch.zeros_like(image), c_crossattn=context[:2], transformer_options={}
        )
    return both, image_only, null


@pytest.mark.parametrize(("s_text", "s_image"), [(7.5, 1.5), (3.0, 0.5), (1.0, 2.0), (7.5, 0.0)])
def test_guider_is_the_closed_formula(host, vae, edit, s_text, s_image):
    guider = guide(host, edit, text_cfg=s_text, image_cfg=s_image)
    _, predictions = run(host, guider, edit)
    edit[0].patch_model()
    for x, sigma, got, _ in predictions:
        both, image, null = (e.double() for e in three_predictions(edit, vae, x, sigma))
        closed = null + s_image * (image - null) + s_text * (both - image)
        assert (got - closed).abs().max() <= 1e-6 * closed.abs().max()


def test_image_cfg_of_one_equals_two_way_guidance(host, edit):
    model, positive, negative, _ = edit
    (two_way,) = host.call("CFGGuider", model=model, positive=positive, negative=negative, cfg=7.5)
    expected, _ = run(host, two_way, edit)
    got, _ = run(host, guide(host, edit, text_cfg=7.5, image_cfg=1.0), edit)
    assert torch.equal(got, expected)


def test_only_zero_and_one_in_cond_or_uncond(host, edit):
    with unet_inputs(edit[0]) as seen:
        run(host, guide(host, edit, text_cfg=7.5, image_cfg=1.5), edit)
    assert {which for call in seen for which in call["cond_or_uncond"]} == {0, 1}
    assert sum(len(call["cond_or_uncond"]) for call in seen) == 6


@pytest.mark.parametrize("sampler", ["euler", "heun"])
def test_scales_follow_the_curve_over_steps(host, vae, edit, sampler):
    guider = guide(
        host, edit, text_cfg=9.0, image_cfg=1.0, curve="linear", final_text_cfg=3.0, final_image_cfg=2.0
    )
    _, predictions = run(host, guider, edit, steps=4, sampler=sampler)
    seen = {}
    for x, sigma, got, cfg in predictions:
        seen.setdefault(float(sigma[0]), []).append((x, sigma, got, cfg))
    edit[0].patch_model()
    assert len(seen) == 4
    for i, calls in enumerate(seen[key] for key in sorted(seen, reverse=True)):
        s_text, s_image = 9 - 2 * i, 1 + i / 3
        for x, sigma, got, cfg in calls:
            assert abs(cfg - s_text) < 1e-9
            both, image, null = (e.double() for e in three_predictions(edit, vae, x, sigma))
            closed = null + s_image * (image - null) + s_text * (both - image)
            assert (got - closed).abs().max() <= 1e-6 * closed.abs().max()


def samplers():
    import comfy.samplers

    return [name for name in comfy.samplers.KSampler.SAMPLERS if not name.endswith("_gpu")]


@pytest.mark.parametrize("sampler", samplers())
def test_every_sampler_has_the_scale_of_the_step_it_is_in(host, edit, sampler):
    guider = guide(host, edit, text_cfg=9.0, image_cfg=1.0, curve="linear", final_text_cfg=3.0,
                   final_image_cfg=1.0)  # fmt: skip
    _, predictions = run(host, guider, edit, steps=4, sampler=sampler)
    (sigmas,) = host.call("BasicScheduler", model=edit[0], scheduler="simple", steps=4, denoise=1.0)
    for _, sigma, _, cfg in predictions:
        at = float(sigma[0])
        begun = [
            i for i, start in enumerate(sigmas.tolist()[:-1]) if start > at or abs(start / at - 1) < 1e-3
        ]
        assert cfg == pytest.approx(9 - 2 * (begun[-1] if begun else 0)), at


@pytest.mark.parametrize("sampler", ["dpm_2", "dpmpp_sde"])
def test_a_midpoint_has_the_scale_of_its_own_step(host, edit, sampler):
    guider = guide(host, edit, text_cfg=9.0, image_cfg=1.0, curve="linear", final_text_cfg=3.0,
                   final_image_cfg=1.0)  # fmt: skip
    _, predictions = run(host, guider, edit, steps=4, sampler=sampler)
    assert [round(cfg) for *_, cfg in predictions] == [9, 9, 7, 7, 5, 5, 3]


def test_the_hosts_own_conditioning_works_too(host, vae, edit):
    model = concat_model("instruct-pix2pix")
    positive, negative, latent = host.call(
        "InstructPixToPixConditioning", positive=text(1), negative=text(2), vae=vae,
        pixels=picture(2, 40, 56, 3),
    )  # fmt: skip
    other = (model, positive, negative, latent)
    theirs, _ = run(host, guide(host, other, text_cfg=7.5, image_cfg=1.5), other)
    ours, _ = run(host, guide(host, edit, text_cfg=7.5, image_cfg=1.5), edit)
    assert torch.equal(theirs, ours)


def test_guider_leaves_the_model_alone(host, edit):
    model, positive, negative, latent = edit
    before = sample(host, model, positive, negative, latent)
    run(host, guide(host, edit, text_cfg=7.5, image_cfg=1.5), edit)
    assert torch.equal(sample(host, model, positive, negative, latent), before)


def test_other_models_are_refused(host, edit):
    _, positive, negative, latent = edit
    with pytest.raises(Failed, match="instruct-pix2pix model"):
        guide(host, (tiny_model(), positive, negative, latent), text_cfg=7.5, image_cfg=1.5)
