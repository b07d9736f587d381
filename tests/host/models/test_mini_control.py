"""The mini ControlNet and the mini unCLIP: the host loads what was trained, and it does what it is for."""

from random import Random

import pytest
import torch
from isi.tools.mini import judge, world

from ..studio import Studio, hint, pixels


def scenes(count, seed):
    rng = Random(seed)
    return [world.sample_scene(rng, 1, textured=0, gradient=0) for _ in range(count)]


def other(scene):
    """Words for the same kind of shape in two other colours."""
    shape = scene.shapes[0]
    colour, ground = [
        c for c in ("red", "blue", "green", "white") if c not in (shape.colour, scene.background)
    ][:2]
    return colour, ground, f"a {colour} {shape.kind} on a {ground} background"


def overlap(picture, wanted):
    """IoU of what is drawn with a mask `[H, W]`."""
    found = [shape.mask for shape in judge.read(picture).shapes] or [torch.zeros_like(wanted)]
    drawn = torch.stack(found).any(0)
    return float((drawn & wanted).sum() / (drawn | wanted).sum())


@pytest.mark.parametrize(("kind", "least"), [("edges", 0.8), ("depth", 0.8), ("bones", 0.6)])
def test_the_control_net_draws_where_its_hint_says_and_what_the_words_say(host, kind, least):
    """A ring's bones are a point: its size is not said."""

    studio, told, free, right = Studio(host), [], [], 0
    (net,) = host.call("ControlNetLoader", control_net_name="mini_control.safetensors")
    for of in [s for s in scenes(9, 17) if s.shapes[0].kind != "ring"][:4]:
        colour, ground, words = other(of)
        mask, given = world.render(of).masks[0] > 0.5, hint(host, kind, of)
        picture = studio.controlled(words, 3, net, given)
        seen = judge.read(picture)
        right += (seen.background, *(s.colour for s in seen.shapes)) == (ground, colour)
        told.append(overlap(picture, mask))
        free.append(overlap(studio.controlled(words, 3, net, given, strength=0.0), mask))
    assert sum(told) / 4 > least and sum(free) / 4 < 0.3 and right == 4, (told, free, right)


def test_what_the_control_net_learned_is_what_the_hosts_loader_adds(host):
    import comfy.controlnet
    import comfy.ldm.modules.diffusionmodules.openaimodel as host_unet
    from isi.host.models import mini
    from isi.tools.mini import control, denoiser

    net = denoiser.Denoiser("base", denoiser.Tokens().vocabulary())
    net.unet.load_state_dict(mini.unet_weights("base"))
    learns = control.Control(net.requires_grad_(False))
    for up in learns.up.values():
        torch.nn.init.normal_(up.weight, std=0.05)
    loaded = comfy.controlnet.load_controlnet_state_dict(control.control_lora(learns.state_dict()))
    model = mini.load_model("base").model
    loaded.pre_run(model, model.model_sampling.percent_to_sigma)
    x, t, context = torch.randn(2, 4, 16, 16), torch.tensor([10.0, 900.0]), torch.randn(2, 77, mini.CONTEXT)
    hint = torch.rand(2, 3, 128, 128)
    with torch.no_grad():
        mine = learns(x, hint, t, context)
        theirs = loaded.control_model(x=x, hint=hint, timesteps=t, context=context)
        for part in ("middle", "output"):
            for a, b in zip(mine[part], theirs[part], strict=True):
                torch.testing.assert_close(a, b, atol=2e-4, rtol=1e-3)
        parts = {name: [each.clone() for each in mine[name]] for name in mine}
        by_host = net.unet(x, t, context=context, control={k: list(v) for k, v in parts.items()})
        before, host_unet.apply_control = host_unet.apply_control, control.add_control
        try:
            by_us = net.unet(x, t, context=context, control={k: list(v) for k, v in mine.items()})
        finally:
            host_unet.apply_control = before
    assert torch.equal(by_host, by_us)
    assert {n.split(".")[0] for n, p in learns.net.named_parameters() if p.requires_grad} == set(control.NEW)


def test_the_vision_that_learns_is_the_hosts(host):
    from isi.host.models import mini
    from isi.tools.mini import unclip

    vision = unclip.Vision()
    vision.net.load_state_dict(mini.read_weights(unclip.FILE))
    picture = pixels(scenes(1, 5)[0])
    theirs = mini.load_vision().encode_image(picture)["image_embeds"]
    from comfy.clip_model import clip_preprocess

    with torch.no_grad():
        mine = vision(clip_preprocess(picture, size=mini.VISION["image_size"]))
    torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-3)


def test_unclip_has_the_colours_and_the_light_of_a_picture_and_noise_lets_them_go(host):
    studio, kept = Studio(host, "unclip"), {0.0: 0, 1.0: 0}
    for of in scenes(8, 23):
        for noise in kept:
            seen = judge.read(studio.varied(pixels(of), 3, noise))
            shown = (of.background, of.light, {of.shapes[0].colour})
            kept[noise] += (seen.background, seen.light, {shape.colour for shape in seen.shapes}) == shown
    assert kept[0.0] >= 6 and kept[1.0] <= 2, kept
