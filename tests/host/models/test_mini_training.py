"""How the mini models are made: what training assumes is what the host does, and nothing gets lost."""

import json
import sys
from pathlib import Path

import pytest
import torch

from ...conftest import ROOT


@pytest.fixture(scope="module")
def tools(booted):
    """The training modules; they import the pack's rooms by their top-level names."""
    sys.path.append(str(ROOT))
    from isi.tools.mini import autoencoder, denoiser, export, loop

    yield autoencoder, denoiser, export, loop
    sys.path.remove(str(ROOT))


def test_the_schedule_is_the_hosts(tools, host):
    model, _, _, _ = host.call("ISI_MiniCheckpoint", kind="base")
    abar = tools[1].ALPHA_BAR
    torch.testing.assert_close(model.model.model_sampling.sigmas, ((1 - abar) / abar).sqrt())


def test_the_text_model_is_the_hosts(tools, host):
    from isi.host.models import mini

    _, denoiser, _, _ = tools
    weights = mini.read_weights("text")
    text = denoiser.Text(weights["tokens"].int())
    text.load_state_dict(weights)
    _, clip, _, _ = host.call("ISI_MiniCheckpoint", kind="base")
    tokens = denoiser.Tokens()
    for words in ("a large red circle on a white background", "an unknown zebra", ""):
        (theirs,) = host.call("CLIPTextEncode", clip=clip, text=words)
        ours = text(torch.tensor([tokens(words)]))
        torch.testing.assert_close(ours, theirs[0][0], atol=1e-4, rtol=1e-4)


def test_another_kind_starts_by_drawing_what_base_draws(tools):
    autoencoder, denoiser, _, _ = tools
    words = denoiser.Tokens().vocabulary()
    base, other = denoiser.Denoiser("base", words), denoiser.Denoiser("inpaint", words)
    autoencoder.initialise(base, seed=1)
    autoencoder.initialise(other, seed=2)
    denoiser.start_from_base(other, base.state_dict())
    x, t = torch.randn(2, 4, 8, 8), torch.tensor([10.0, 900.0])
    text = torch.full((2, 77), 49407)
    with torch.no_grad():
        wide = other(torch.cat((x, torch.randn(2, 5, 8, 8)), 1), t, text)
        torch.testing.assert_close(wide, base(x, t, text), atol=1e-5, rtol=1e-5)
    assert not any(p.requires_grad for p in other.unet.time_embed.parameters())
    assert not any(p.requires_grad for p in denoiser.Denoiser("base", words).text.parameters())


def test_a_difference_added_to_base_is_the_kind_itself(tools, tmp_path, monkeypatch):
    from isi.host.models import mini

    _, _, export, _ = tools
    monkeypatch.setattr(export, "ASSETS", tmp_path)
    generator = torch.Generator().manual_seed(0)
    first, second, label = "input_blocks.0.0.weight", "out.2.weight", "label_emb.weight"
    base = {k: torch.randn(4, 4, 3, 3, generator=generator) for k in (first, second)}
    kind = base | {first: torch.randn(4, 12, 3, 3, generator=generator), label: torch.zeros(5, 2)}
    delta = export.difference(kind, base)
    assert set(delta) == {first, label}
    export.write("base", base, 1)
    export.write("ic-light-fbc", delta, 1)
    merged = mini.unet_weights("ic-light-fbc", tmp_path)
    torch.testing.assert_close(merged[first], kind[first], atol=4e-3, rtol=0)
    torch.testing.assert_close(merged[second], base[second].half().float())


def test_kinds_stay_what_they_are_when_base_moves(tools, tmp_path, monkeypatch):
    from isi.host.models import mini

    _, _, export, _ = tools
    monkeypatch.setattr(export, "ASSETS", tmp_path)
    for name in ("base", "inpaint"):
        export.write(name, mini.read_weights(name), 7)
    before = mini.unet_weights("inpaint", tmp_path)
    generator = torch.Generator().manual_seed(0)
    moved = {
        k: v + 0.05 * torch.randn(v.shape, generator=generator) for k, v in mini.read_weights("base").items()
    }
    export.rebase(moved, ["inpaint"])
    export.write("base", moved, 8)
    after = mini.unet_weights("inpaint", tmp_path)
    assert before.keys() == after.keys()
    for key, value in before.items():
        torch.testing.assert_close(after[key], value, atol=1e-3, rtol=1e-3)
    assert not torch.equal(
        mini.unet_weights("base", tmp_path)["out.2.weight"], mini.read_weights("base")["out.2.weight"]
    )
    assert json.loads((tmp_path / "weights.json").read_text("utf-8"))["inpaint.safetensors"]["steps"] == 7


def test_a_stage_goes_on_from_what_is_shipped(tools, tmp_path):
    from isi.host.models import mini
    from isi.tools.mini import stages

    _, denoiser, _, loop = tools
    of = loop.Settings(tmp_path, 0, "cpu", 1, 1, simple=False)
    words = mini.read_weights("text")["tokens"].int()
    net = denoiser.Denoiser("depth", words)
    stages.begin(net, "depth", of)
    for key, value in mini.unet_weights("depth").items():
        assert torch.equal(net.unet.state_dict()[key], value)
    base = tools[1].shipped("base")
    torch.save({"ema": base | {"unet.out.2.bias": base["unet.out.2.bias"] + 1}}, tmp_path / "base.pt")
    stages.begin(net, "depth", of)
    expected = mini.unet_weights("depth")["out.2.bias"] + 1
    torch.testing.assert_close(net.unet.state_dict()["out.2.bias"], expected)


@pytest.mark.parametrize("kind", ["base", "depth", "upscale-x4"])
@pytest.mark.parametrize("fresh", [False, True])
def test_a_stage_has_the_whole_network_to_learn(tools, tmp_path, kind, fresh):
    from isi.host.models import mini
    from isi.tools.mini import stages

    _, denoiser, _, loop = tools
    of = loop.Settings(tmp_path, 0, "cpu", 1, 1, simple=False, fresh=fresh)
    words = mini.read_weights("text")["tokens"].int()
    torch.save({"ema": tools[1].shipped("base")}, tmp_path / "base.pt")
    text = {k: v for k, v in tools[1].shipped("base").items() if k.startswith("text.")}
    torch.save({"ema": text}, tmp_path / "text.pt")
    net = denoiser.Denoiser(kind, words)
    stages.begin(net, kind, of)
    still = {name for name, part in net.named_parameters() if not part.requires_grad}
    time = {name for name in still if "time_embed" in name or "emb_layers" in name}
    assert all(name.startswith("text.") for name in still - time)
    # Kinds keep base's, and need not store it again; so it may not move once there are kinds.
    assert bool(time) == (kind == "depth" or (kind == "base" and not fresh))


def test_from_nothing_means_every_file(tools):
    """Each file that is shipped is made by a stage of `all --fresh`, and after what it starts from."""
    from isi.host.models import mini
    from isi.tools.mini import control, lora, stages

    made = {control.NAME: control.FILE, lora.NAME: lora.FILE}
    order = [made.get(stage, stage) for stage in stages.FRESH]
    files = json.loads((mini.ASSETS / mini.MANIFEST).read_text("utf-8"))
    assert {Path(name).stem for name in files} <= set(order)
    starts = {"base": "text", "unclip": "clip-vision", "clip-vision": "base", "mini_control": "base"}
    assert all(order.index(later) > order.index(earlier) for later, earlier in starts.items())


def test_scenes_of_several_shapes_come_with_their_colours_swapped(tools, tmp_path):
    from isi.tools.mini import lessons

    of = tools[3].Settings(tmp_path, 0, "cpu", 200, 1, simple=False)
    drawn = lessons.scenes(of, seed=1, crowded=1.0)
    assert len(drawn) == 200
    pairs = sum(b == lessons.swapped(a) for a, b in zip(drawn, drawn[1:], strict=False))
    assert pairs > 60
    for scene in drawn[:20]:
        other = lessons.swapped(scene)
        assert [s.kind for s in other.shapes] == [s.kind for s in scene.shapes]
        assert all(a.colour != b.colour for a, b in zip(scene.shapes, other.shapes, strict=True))


def test_a_decoder_trained_on_leaves_its_latents_as_they_are(tools, tmp_path, monkeypatch):
    from isi.host.models import mini

    autoencoder, _, _, loop = tools
    monkeypatch.setattr(autoencoder, "WHOLES", ((1, 64, 64),))
    autoencoder.train_decoder(loop.Settings(tmp_path, 2, "cpu", 1, 1, simple=True), "vae")
    made, shipped = autoencoder.finished(tmp_path, "vae").state_dict(), mini.read_weights("vae")
    changed = {key.split(".")[0] for key, value in shipped.items() if not torch.equal(made[key], value)}
    assert changed == {"decoder", "post_quant_conv"}


def test_standardising_changes_the_latents_and_not_the_pictures(tools):
    autoencoder, _, _, _ = tools
    vae = autoencoder.build("vae").eval()
    autoencoder.initialise(vae, seed=3)
    data = torch.randint(0, 256, (8, 3, 64, 64), generator=torch.Generator().manual_seed(1)).byte()
    with torch.no_grad():
        before = vae.decode(autoencoder.encode(vae, data, "cpu"))
        autoencoder.standardise(vae, data, 0.18215, "cpu")
        z = autoencoder.encode(vae, data, "cpu")
        torch.testing.assert_close(vae.decode(z), before, atol=1e-3, rtol=1e-3)
    assert (z.mean((0, 2, 3)).abs() * 0.18215 < 1e-3).all()
    torch.testing.assert_close(z.std((0, 2, 3)) * 0.18215, torch.ones(4), atol=1e-3, rtol=0)


def test_a_resumed_run_ends_where_an_unbroken_one_does(tools, tmp_path):
    _, _, _, loop = tools

    def run(work, steps):
        torch.manual_seed(0)
        module = torch.nn.Linear(3, 3)

        def loss(step, generator):
            return module(torch.randn(4, 3, generator=generator)).pow(2).mean(), {}

        made = loop.Run("line", module, loss, work, steps)
        made.rate = 1e-2
        return made, module

    for folder in ("whole", "broken"):
        (tmp_path / folder).mkdir()
    whole, expected = run(tmp_path / "whole", 10)
    whole.train()
    broken, _ = run(tmp_path / "broken", 10)
    learn = broken.loss

    def interrupted(step, generator):
        if step == 5:
            raise KeyboardInterrupt
        return learn(step, generator)

    broken.loss, broken.save_every = interrupted, 0
    with pytest.raises(KeyboardInterrupt):
        broken.train()
    again, resumed = run(tmp_path / "broken", 10)
    again.train()
    assert again.step == 10
    assert torch.equal(resumed.weight, expected.weight) and torch.equal(again.ema["bias"], whole.ema["bias"])


def test_what_a_text_says_is_told_as_it_is_written(tools):
    from isi.tools.mini import text, world

    scene = world.Scene(
        (world.Shape("star", "red", "small", "left"), world.Shape("ring", "blue", "large", "top", "dotted")),
        "white", "bottom",
    )  # fmt: skip
    heads = [
        f"{kind}.{head}" for kind in world.SHAPES for head in ("colour", "size", "place", "texture", "named")
    ]
    heads += ["background", "gradient", "light"]
    options = {"colour": world.COLOURS, "size": world.SIZES, "place": world.PLACES, "texture": world.TEXTURES}
    options |= {"background": world.COLOURS, "light": world.LIGHTS, "named": ["yes"], "gradient": ["yes"]}

    def said(labels):
        assert len(labels) == len(heads) == len(text.HEADS)
        return {
            head: list(options[head.split(".")[-1]])[label - 1]
            for head, label in zip(heads, labels, strict=True)
            if label
        }

    words = "a red star on the left and a dotted blue ring at the top on a white background"
    assert said(text.told(scene, words)) == {
        "star.colour": "red", "star.place": "left", "star.named": "yes", "ring.colour": "blue",
        "ring.place": "top", "ring.texture": "dotted", "ring.named": "yes", "background": "white",
    }  # fmt: skip
    words, after = world.move(scene, 0, "bottom")
    assert said(text.instructed(scene, words, after)) == {"star.place": "bottom", "star.named": "yes"}
    words, after = world.repaint(scene, "green")
    assert said(text.instructed(scene, words, after)) == {"background": "green"}


def test_x4_is_shown_mostly_little_noise_and_told_how_much(tools):
    from isi.tools.mini import stages

    small = torch.zeros(2000, 3, 16, 16)
    shown, level = stages.channels("upscale-x4", small, torch.ones(2000), torch.Generator().manual_seed(0))
    assert level.min() == 0 and 300 < level.max() <= 350 and level.median() < 60
    told = (1 - tools[1].ALPHA_BAR_X4[level]).sqrt()
    torch.testing.assert_close(shown.std((1, 2, 3)), told, atol=0.01, rtol=0.15)


def test_what_a_lora_learns_is_what_the_hosts_loader_puts_on_base(tools, host):
    from isi.host.models import mini
    from isi.tools.mini import lora

    _, denoiser, _, _ = tools
    net = denoiser.Denoiser("base", denoiser.Tokens().vocabulary())
    net.unet.load_state_dict(mini.unet_weights("base"))
    x, t, context = torch.randn(2, 4, 16, 16), torch.tensor([10.0, 900.0]), torch.randn(2, 77, mini.CONTEXT)
    with torch.no_grad():
        plain = net.unet(x, t, context=context)
        adapters = lora.Lora(net)
        assert torch.equal(net.unet(x, t, context=context), plain)
        for part in adapters.up.values():
            torch.nn.init.normal_(part.weight, std=0.05)
        learned = net.unet(x, t, context=context)
    assert (learned - plain).abs().max() > 0.1
    assert {name for name, p in net.named_parameters() if p.requires_grad} == set()
    model, clip, _, _ = host.call("ISI_MiniCheckpoint", kind="base")
    import comfy.model_management
    import comfy.sd

    patched, _ = comfy.sd.load_lora_for_models(model, clip, lora.kohya(adapters.state_dict()), 1.0, 1.0)
    comfy.model_management.load_models_gpu([patched])
    with torch.no_grad():
        theirs = patched.model.diffusion_model(x, t, context=context)
    patched.unpatch_model()
    torch.testing.assert_close(theirs, learned, atol=2e-4, rtol=1e-3)
