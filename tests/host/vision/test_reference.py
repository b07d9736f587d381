"""ISI_ReferenceConditioner against the host's own nodes, chained by hand, on small Flux models."""

import pytest
import torch
from isi.core.loop.plan import Step
from isi.host.loop.moment import Moment

from ..harness import Failed
from ..loop.test_iterate import Bench
from ..tiny_edit import edit_models, small_latents

TEXTS = ["make it night", "add snow"]


def by_hand(bench, picture, fixed, scale, method):
    """What a user builds: VAEEncode, ReferenceLatent for each picture, the method's node, KSampler."""
    call = bench.host.call
    for k, text in enumerate(TEXTS):
        (start,) = call("VAEEncode", pixels=picture, vae=bench.vae)
        conds = []
        for conditioning in (bench.text(text), bench.text("blurry")):
            for image in (picture, *fixed):
                if scale:
                    (image,) = call("FluxKontextImageScale", image=image)
                (latent,) = call("VAEEncode", pixels=image, vae=bench.vae)
                (conditioning,) = call("ReferenceLatent", conditioning=conditioning, latent=latent)
            if method != "auto":
                (conditioning,) = call(
                    "FluxKontextMultiReferenceLatentMethod", conditioning=conditioning,
                    reference_latents_method=method,
                )  # fmt: skip
            conds.append(conditioning)
        (latent,) = call(
            "KSampler", model=bench.model, positive=conds[0], negative=conds[1], latent_image=start,
            seed=7 + k, steps=1, cfg=2.0, sampler_name="euler", scheduler="normal", denoise=1.0,
        )  # fmt: skip
        (picture,) = call("VAEDecode", samples=latent, vae=bench.vae)
    return picture


def plan(bench, texts=TEXTS):
    return bench.plan("; ".join(texts), steps=1, cfg=2.0, denoise=1.0, final_denoise=1.0)


CASES = [
    ("flux", "auto", False, 0, 1),
    ("flux", "uxo/uno", False, 1, 1),
    ("flux", "index", False, 2, 2),
    ("flux2", "auto", True, 1, 1),
    ("flux2", "index_timestep_zero", True, 0, 2),
]


@pytest.mark.parametrize(("family", "method", "scale", "fixed", "batch"), CASES)
def test_each_step_equals_the_hosts_nodes(host, picture, family, method, scale, fixed, batch):
    bench = Bench(host, *edit_models(family))
    start = torch.cat([picture.roll(k, 1) for k in range(batch)])
    others = [torch.rand(1, 48, 80, 3), torch.rand(1, 64, 32, 3)][:fixed]
    expected = by_hand(bench, start, others, scale and family == "flux", method)
    images = {f"image{k}": image for k, image in enumerate(others, 2)}
    (conditioner,) = host.call("ISI_ReferenceConditioner", method=method, scale=scale, **images)
    image, *_, run = bench.run(plan(bench), image=start, conditioner=conditioner)
    assert torch.equal(image, expected)
    plain, *_, other = bench.run(plan(bench), image=start)
    assert not torch.equal(image, plain) and run.keys != other.keys


def test_kontext_gets_the_sizes_of_its_own_node(host, picture):
    model, clip, _ = edit_models("flux")
    bench = Bench(host, model, clip, small_latents())
    (scaled,) = host.call("FluxKontextImageScale", image=picture[:, :40])
    (latent,) = host.call("VAEEncode", pixels=scaled, vae=bench.vae)
    (conditioner,) = host.call("ISI_ReferenceConditioner", method="auto", scale=True)
    text = bench.text("a")
    moment = Moment(0, Step("a"), bench.model, bench.vae, text, text, {}, picture[:, :40])
    with torch.inference_mode():  # as nodes run
        positive = conditioner.condition(moment).positive
    assert torch.equal(positive[0][1]["reference_latents"][0], latent["samples"])
    assert scaled.shape[1:3] != picture.shape[1:3]


def test_what_is_missing_is_said_before_sampling(host, bench, picture, calls):
    (conditioner,) = host.call("ISI_ReferenceConditioner", method="auto", scale=False)
    with pytest.raises(Failed, match="edit model .*Flux.2.* but got BaseModel"):
        bench.run(bench.plan("a"), image=picture, conditioner=conditioner)
    bench = Bench(host, *edit_models("flux"))
    with pytest.raises(Failed, match="Expected a picture for an edit model.*connect an image to ISI Iterate"):
        bench.run(bench.plan("a"), conditioner=conditioner)
    (zero,) = host.call("ISI_ReferenceConditioner", method="index_timestep_zero", scale=False)
    with pytest.raises(Failed, match="index_timestep_zero is not for models that take a pooled text"):
        bench.run(bench.plan("a"), image=picture, conditioner=zero)
    (conditioner,) = host.call(
        "ISI_ReferenceConditioner", method="auto", scale=False, image3=torch.full((1, 8, 8, 3), torch.nan)
    )
    with pytest.raises(Failed, match="Expected pictures in image2 to image4 of ISI Reference"):
        bench.run(bench.plan("a"), image=picture, conditioner=conditioner)
    assert not calls
