"""LoRAs of a prompt: as the host's own loader puts them, for a step or a part of it, and gone afterwards."""

from dataclasses import replace

import pytest
import torch
from isi.core.loop.plan import Plan

from ..harness import Failed
from ..tiny import tiny_clip, tiny_model
from .conftest import Seen


def weights(*models):
    return [{name: t.clone() for name, t in model.state_dict().items()} for model in models]


def same(before, after):
    return all(torch.equal(a[name], b[name]) for a, b in zip(before, after, strict=True) for name in a)


def chain(bench, picture, steps):
    """The host's own nodes: Load LoRA, text, KSampler for each of `steps`: (text, [(file, model, clip)])."""
    (latent,) = bench.host.call("VAEEncode", pixels=picture, vae=bench.vae)
    for seed, (text, loras) in enumerate(steps, 7):
        model, clip = bench.model, bench.clip
        for name, on_model, on_clip in loras:
            model, clip = bench.host.call(
                "LoraLoader", model=model, clip=clip, lora_name=name, strength_model=on_model,
                strength_clip=on_clip,
            )  # fmt: skip
        positive, negative = (
            bench.host.call("CLIPTextEncode", clip=clip, text=words)[0] for words in (text, "blurry")
        )
        (latent,) = bench.host.call(
            "KSampler", model=model, positive=positive, negative=negative, latent_image=latent, seed=seed,
            steps=2, cfg=5.0, sampler_name="euler", scheduler="normal", denoise=0.6,
        )  # fmt: skip
        (image,) = bench.host.call("VAEDecode", samples=latent, vae=bench.vae)
        (latent,) = bench.host.call("VAEEncode", pixels=image, vae=bench.vae)
    return image


def test_a_lora_in_a_group_is_the_hosts_own_at_that_step_alone(bench, picture, loras, monkeypatch):
    import comfy.utils

    loras("ink.safetensors", bench.model, bench.clip, 1)
    loras("styles/fog.safetensors", bench.model, bench.clip, 2)
    steps = [
        ("x", []),
        ("y ", [("ink.safetensors", 0.8, 0.8)]),
        ("z ", [("ink.safetensors", 0.5, -1.0), ("styles/fog.safetensors", 1.0, 1.0)]),
        ("y ", [("ink.safetensors", 0.8, 0.8)]),
        ("x", []),
    ]
    script = "x; y <lora:ink:.8>; z <lora:ink.safetensors:.5:-1><lora:fog>; y <lora:ink:.8>; x"
    before = weights(bench.model.model, bench.clip.cond_stage_model)
    expected = chain(bench, picture, steps)
    reads, real = [], comfy.utils.load_torch_file

    def counted(path, *args, **kwargs):
        reads.append(path)
        return real(path, *args, **kwargs)

    monkeypatch.setattr(comfy.utils, "load_torch_file", counted)
    image, *_ = bench.run(bench.plan(script), image=picture)
    assert torch.equal(image, expected)
    assert len(reads) == 2
    monkeypatch.undo()
    plain, *_ = bench.run(bench.plan("x"), image=picture.flip(2))
    assert torch.equal(plain, chain(bench, picture.flip(2), [("x", [])]))
    bench.model.detach()
    bench.clip.patcher.detach()
    assert same(before, weights(bench.model.model, bench.clip.cond_stage_model))


def test_a_lora_for_a_part_of_the_steps(bench, picture, loras):
    """Against two samplers of the host, one after the other, the first with the LoRA."""
    loras("ink.safetensors", bench.model, bench.clip, 1)
    before = weights(bench.model.model)
    plan = bench.plan("x [<lora:ink:.8>::2]", steps=5, denoise=1.0)
    _, latent, _ = bench.run(plan, image=picture)
    inked = bench.host.call(
        "LoraLoader", model=bench.model, clip=bench.clip, lora_name="ink.safetensors", strength_model=0.8,
        strength_clip=0.8,
    )  # fmt: skip
    (now,) = bench.host.call("VAEEncode", pixels=picture, vae=bench.vae)
    for (model, clip), first, last in ((inked, 0, 2), ((bench.model, bench.clip), 2, 5)):
        positive, negative = (
            bench.host.call("CLIPTextEncode", clip=clip, text=words)[0] for words in ("x ", "blurry")
        )
        (now,) = bench.host.call(
            "KSamplerAdvanced", model=model, positive=positive, negative=negative, latent_image=now, steps=5,
            cfg=5.0, sampler_name="euler", scheduler="normal", noise_seed=7, start_at_step=first,
            end_at_step=last, add_noise="disable" if first else "enable",
            return_with_leftover_noise="disable" if first else "enable",
        )  # fmt: skip
    assert torch.allclose(latent["samples"], now["samples"], rtol=1e-4, atol=1e-4)
    plain = bench.run(bench.plan("x", steps=5, denoise=1.0), image=picture)[1]["samples"]
    whole = bench.run(bench.plan("x <lora:ink:.8>", steps=5, denoise=1.0), image=picture)[1]["samples"]
    for other in (plain, whole):
        assert (latent["samples"] - other).abs().max() > 0.05
    bench.model.detach()
    assert same(before, weights(bench.model.model))


def test_a_lora_that_fades_in_is_another_picture_at_each_step(bench, picture, loras):
    loras("ink.safetensors", bench.model, bench.clip, 1)
    keys = [
        bench.run(bench.plan(f"x <lora:ink:{strength}>", steps=1), image=picture)[2].keys[0]
        for strength in ("0", ".3", ".6", "1:.6")
    ]
    assert len(set(keys)) == 4


def test_the_key_knows_a_lora_by_its_content(bench, picture, loras):
    def key(text="x <lora:ink:.8>", **inputs):
        return bench.run(bench.plan(text, steps=1), image=picture, **inputs)[2].keys[0]

    loras("ink.safetensors", bench.model, bench.clip, 1)
    first = key()
    assert key() == first
    loras("ink.safetensors", bench.model, bench.clip, 5)
    second = key()
    assert second != first
    loras("ink.safetensors", bench.model, bench.clip, 1)
    assert key() == first
    assert key("x", negative="<lora:ink:1>") != key("x", negative="<lora:ink:.5>")


WRONG = [
    (
        "a <lora:inc:1>",
        "Prompt of step 2, line 1, column 3: There is no LoRA 'inc' in .* Near: ink",
    ),
    ("a [<lora:twice:1>:3]", "line 1, column 4: Several LoRAs are called 'twice'"),
    ("a <lora:ink:x>", "line 1, column 3: A LoRA's strength is a number"),
    ("a <lora:wide:1>", "The LoRA 'wide' was made for another model: its .* and this model .SD15. has"),
    ("a <lora:other:1>", "The LoRA 'other' has no weights for this model .SD15."),
    ("a [<lora:xl:1>::2]", "The LoRA 'xl' was made for SDXL, and this model is SD15: name one of its family"),
    ("a <lora:flux:1>", "The LoRA 'flux' was made for Flux or Hunyuan Video, and this model is SD15"),
]


@pytest.mark.parametrize(("text", "says"), WRONG)
def test_what_is_wrong_is_said_before_anything_is_sampled(bench, picture, loras, text, says):
    from pathlib import Path

    import folder_paths
    from safetensors.torch import save_file

    loras("ink.safetensors", bench.model, bench.clip, 1)
    for folder in "ab":
        loras(f"{folder}/twice.safetensors", bench.model, bench.clip, 1)
    loras("wide.safetensors", bench.model, bench.clip, 1, width=8)
    loras("other.safetensors", bench.model, bench.clip, 1)
    path = Path(folder_paths.models_dir, "loras", "other.safetensors")
    save_file({"transformer.blocks.0.attn.to_q.lora_A.weight": torch.zeros(2, 4)}, path)
    for name, key, columns in (
        ("xl", "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k", 2048),
        ("flux", "lora_unet_double_blocks_0_img_attn_qkv", 3072),
    ):
        loras(f"{name}.safetensors", bench.model, bench.clip, 1)
        weights = {"lora_up.weight": torch.zeros(640, 2), "lora_down.weight": torch.zeros(2, columns)}
        save_file({f"{key}.{part}": tensor for part, tensor in weights.items()}, path.with_stem(name))
    seen = Seen(bench.model)
    with pytest.raises(Failed, match=says):
        # As a plan from elsewhere: ISI Script would have said it when the graph was queued.
        steps = bench.plan("first; second").steps
        plan = Plan((steps[0], replace(steps[1], prompt=text)))
        bench.run(plan, image=picture, model=seen.model)
    assert not seen.calls


def test_other_models_of_the_family_take_it_too(bench, picture, loras):
    """The same file on models with other weights: nothing of the first ones is kept."""
    loras("ink.safetensors", bench.model, bench.clip, 1)
    plan = bench.plan("x <lora:ink:.8>", steps=1)
    bench.run(plan, image=picture)
    model, clip = tiny_model(seed=9), tiny_clip(seed=8)
    image, *_ = bench.run(plan, image=picture, model=model, clip=clip)
    bench.model, bench.clip = model, clip
    inked = bench.host.call(
        "LoraLoader", model=model, clip=clip, lora_name="ink.safetensors", strength_model=0.8,
        strength_clip=0.8,
    )  # fmt: skip
    bench.model, bench.clip = inked
    (latent,) = bench.host.call("VAEEncode", pixels=picture, vae=bench.vae)
    (out,) = bench.host.call(
        "KSampler", model=bench.model, positive=bench.text("x "), negative=bench.text("blurry"),
        latent_image=latent, seed=7, steps=1, cfg=5.0, sampler_name="euler", scheduler="normal", denoise=0.6,
    )  # fmt: skip
    assert torch.equal(image, bench.host.call("VAEDecode", samples=out, vae=bench.vae)[0])


def test_a_script_with_a_lora_that_is_missing_is_said_when_it_is_queued(bench, loras):
    loras("ink.safetensors", bench.model, bench.clip, 1)
    bench.plan("a <lora:ink:1>; <lora:{ink|none}:1>")
    with pytest.raises(Failed, match="Script, line 2, column 3: There is no LoRA 'ick'.* Near: ink"):
        bench.plan("a;\nb <lora:ick:1>")


def test_the_mini_models_own_lora_is_found_unless_another_has_its_name(loras, bench):
    from isi.host.prompts.loras import find

    own = find("mini-stripes")
    assert own == find("mini-stripes.safetensors") and own.endswith("mini-stripes.safetensors")
    loras("mini-stripes.safetensors", bench.model, bench.clip, 1)
    assert find("mini-stripes") != own
