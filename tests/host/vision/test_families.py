"""ISI_ReferenceConditioner with families that have an encode node of their own, against that very node."""

import pytest
import torch
from isi.core.loop.plan import Plan, Step
from isi.host.loop.moment import Conditioner

from ..harness import Failed
from ..loop.test_iterate import Bench
from ..tiny import tiny_clip
from ..tiny_conditions import tiny_clip_vision
from ..tiny_edit import edit_models, tiny_siglip2

TEXTS = ["make it night"] * 2
"""One text, encoded anew at each step."""


@pytest.fixture(scope="session")
def siglip(booted):
    return tiny_siglip2()


def one(node, **more):
    """By a node that encodes one text with pictures: twice, for the positive and the negative."""

    def encode(bench, text, pictures):
        given = {more.get(f"image{k}", f"image{k}"): image for k, image in enumerate(pictures, 1)}
        values = {"clip": bench.clip, "vae": bench.vae, **given} | more.get("values", lambda b: {})(bench)
        return [bench.host.call(node, prompt=said, **values)[0] for said in (text, "blurry")]

    return encode


def both(node, **values):
    """By a node that encodes both texts at once."""

    def encode(bench, text, pictures):
        given = {f"images.image_{k}": image for k, image in enumerate(pictures, 1)}
        return bench.host.call(
            node, clip=bench.clip, vae=bench.vae, prompt=text, negative_prompt="blurry", **given, **values
        )[:2]

    return encode


def joy(bench, text, pictures):
    given = {f"images.image{k}": image for k, image in enumerate(pictures)}
    values = {"clip": bench.clip, "vae": bench.vae} | given
    return [bench.host.call("TextEncodeJoyImageEdit", prompt=said, **values)[0] for said in (text, "blurry")]


def references(bench, text, pictures):
    """By ReferenceLatent, picture after picture."""
    conds = []
    for conditioning in (bench.text(text), bench.text("blurry")):
        for image in pictures:
            (latent,) = bench.host.call("VAEEncode", pixels=image, vae=bench.vae)
            (conditioning,) = bench.host.call("ReferenceLatent", conditioning=conditioning, latent=latent)
        conds.append(conditioning)
    return conds


def pixels(bench, text, pictures):
    """By the node of HiDream-O1, whose model takes a picture for another that lay at its address."""
    bench.model.model.diffusion_model.clear_kv_cache()
    given = {f"images.image_{k}": image for k, image in enumerate(pictures, 1)}
    return bench.host.call(
        "HiDreamO1ReferenceImages", positive=bench.text(text), negative=bench.text("blurry"), **given
    )


def eyes(bench):
    return {"image_encoder": bench.siglip, "auto_resize_images": False}


QWEN, PLUS = "TextEncodeQwenImageEdit", "TextEncodeQwenImageEditPlus"
CASES = {
    "first qwen": ("qwen", one(QWEN, image1="image"), 0, {"encoder": "Qwen-Image-Edit"}, 0),
    "qwen plus": ("qwen", one(PLUS), 1, {"method": "index"}, 0),
    "longcat": ("longcat", one(QWEN, image1="image"), 0, {}, 0),
    "z-image omni": ("omni", one("TextEncodeZImageOmni", values=eyes), 2, {"scale": False}, 1),
    "joyimage": ("joy", joy, 0, {}, 0),
    "boogu": ("boogu", both("TextEncodeBooguEdit"), 0, {}, 0),
    "mage": ("mage", both("TextEncodeMageFlowEdit", width=0, height=0, batch_size=1), 3, {}, 1),
    "omnigen2": ("omnigen2", references, 1, {}, 1),
    "hidream-o1": ("hidream", pixels, 0, {}, 1),
}


def by_hand(bench, picture, encode, fixed, settings, steps):
    """What a user builds: VAEEncode, the family's encode node, the method's node, KSampler, VAEDecode.

    The conditioning of each step, and the last picture. With no `steps`, one text and no sampling.
    """
    call, found = bench.host.call, []
    for k, text in enumerate(TEXTS if steps else TEXTS[:1]):
        (latent,) = call("VAEEncode", pixels=picture, vae=bench.vae)
        conds = encode(bench, text, (picture, *fixed))
        if "method" in settings:
            name, method = "FluxKontextMultiReferenceLatentMethod", settings["method"]
            conds = [call(name, conditioning=one, reference_latents_method=method)[0] for one in conds]
        if steps:
            (latent,) = call(
                "KSampler", model=bench.model, positive=conds[0], negative=conds[1], latent_image=latent,
                seed=7 + k, steps=steps, cfg=2.0, sampler_name="euler", scheduler="normal", denoise=1.0,
            )  # fmt: skip
        (picture,) = call("VAEDecode", samples=latent, vae=bench.vae)
        found.append(conds)
    return found, picture


class Notes(Conditioner):
    """Keeps what the step is conditioned by."""

    def __init__(self, before):
        super().__init__(before=before)
        object.__setattr__(self, "found", [])

    def identity(self):
        return id(self)

    def condition(self, moment):
        self.found.append((moment.positive, moment.negative))
        return moment


def conditioner(bench, fixed=(), **settings):
    images = {f"image{k}": image for k, image in enumerate(fixed, 2)}
    values = {"method": "auto", "scale": True} | settings | images
    return bench.host.call("ISI_ReferenceConditioner", **values)[0]


def same(one, other):
    """Whether two values of conditionings are bit-equal."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other if isinstance(one, str | int | None) else same(vars(one), vars(other))


MEGAPIXELS = [name for name, case in CASES.items() if not case[-1]]
"""Families whose node makes references of a megapixel: their conditioning is compared, nothing is sampled."""


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[pytest.mark.slow] * (case in MEGAPIXELS)) for case in CASES]
)
def test_each_step_equals_the_node_of_its_family(host, picture, siglip, case):
    family, encode, count, settings, steps = CASES[case]
    bench = Bench(host, *edit_models(family))
    bench.siglip = siglip
    fixed = [torch.rand(1, 48, 80, 3), torch.rand(1, 64, 32, 3), torch.rand(1, 32, 32, 3)][:count]
    conds, expected = by_hand(bench, picture, encode, fixed, settings, steps)
    looks = {"clip_vision": siglip} if family == "omni" else {}
    notes = Notes(conditioner(bench, fixed, **settings, **looks))
    denoise = 1.0 if steps else 0.0
    plan = Plan(tuple(Step(TEXTS[k], max(1, steps), 2.0, denoise, seed=7 + k) for k in range(len(conds))))
    image, *_ = bench.run(plan, image=picture, conditioner=notes)
    assert torch.equal(image, expected)
    assert same(notes.found, [tuple(pair) for pair in conds])
    assert not same(conds[0], conds[-1]) or not steps


def test_what_does_not_fit_the_family_is_said_before_sampling(host, picture, siglip, calls):
    def refused(sentence, family, image=picture, fixed=(), clip=None, **settings):
        bench = Bench(host, *edit_models(family))
        bench.clip = clip or bench.clip
        with pytest.raises(Failed, match=sentence):
            bench.run(bench.plan("a"), image=image, conditioner=conditioner(bench, fixed, **settings))

    others = [torch.rand(1, 8, 8, 3) for _ in range(3)]
    refused("2509 takes 3 pictures at most, and .* has 4", "qwen", fixed=others)
    refused("Qwen-Image-Edit takes 1 pictures at most", "qwen", fixed=others[:1], encoder="Qwen-Image-Edit")
    refused("looks at pictures for Boogu-Image Edit, but the CLIP", "boogu", clip=tiny_clip(width=8))
    refused("one picture for JoyImage Edit, but got a batch of 2", "joy", torch.cat([picture] * 2))
    refused("one picture in each of image2 to image4", "joy", fixed=[torch.rand(2, 8, 8, 3)])
    refused("OmniGen2 tells references apart in one way", "omnigen2", method="index")
    refused("encoder Qwen-Image-Edit .* this model is Boogu", "boogu", encoder="Qwen-Image-Edit")
    refused("Mage-Flow-Edit looks at pictures without a CLIP vision", "mage", clip_vision=siglip)
    refused("SigLIP 2 of 32 channels .* but got clip_vision_model", "omni", clip_vision=tiny_clip_vision())
    bench = Bench(host, *edit_models("mage"))
    regions, *_ = host.call(
        "ISI_Regions", clip=bench.clip, ratios="1", base=0.0, feather=0.0, text="", seed=0,
        conditioner=conditioner(bench),
    )  # fmt: skip
    with pytest.raises(Failed, match="Two of the conditioners of ISI Iterate encode the text"):
        bench.run(bench.plan("a"), image=picture, conditioner=regions)
    assert not calls
