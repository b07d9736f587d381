"""ISI_EllaConditioner: the connector against the paper's in torch's own layers, T5 against transformers', and
in a loop at the timestep that the sampler is at."""

import functools

import pytest
import torch
from isi.host.conditioning.ella_connector import connector_from
from safetensors.torch import save_file

from ..harness import Failed
from ..loop.test_iterate import Bench
from ..tiny import tiny_clip, tiny_model, tiny_vae
from ..tiny_ella import REAL, SMALL, ella, t5_weights
from ..tiny_families import family_models

TEXT = "a large red circle to the left of a small blue ring"


@pytest.fixture
def files(host):
    """Small random files in models/ella and models/text_encoders, found under these names."""
    for folder, name, weights in (
        ("ella", "ella.safetensors", ella(**SMALL).state_dict()),
        ("ella", "other.safetensors", ella(seed=9, **SMALL).state_dict()),
        ("text_encoders", "t5.safetensors", t5_weights()),
        ("text_encoders", "wide.safetensors", t5_weights(width=40, layers=1, vocabulary=8)),
    ):
        path = host.base / "models" / folder / name
        path.parent.mkdir(exist_ok=True)
        save_file(weights, path)


@pytest.fixture
def bench(host, files):
    return Bench(host, tiny_model(context=64), tiny_clip(width=64), tiny_vae())


def conditioner(bench, **values):
    given = {"ella": "ella.safetensors", "text_encoder": "t5.safetensors", "clip_tokens": False} | values
    return bench.host.call("ISI_EllaConditioner", **given)[0]


@functools.cache
def words_of(text):
    """The last layer of transformers' T5 encoder on T5's tokens of a text."""
    import comfy.text_encoders.t5
    from transformers import T5Config, T5EncoderModel, T5TokenizerFast

    # The host keeps text encoders in halves.
    weights = {name: weight.half().float() for name, weight in t5_weights().items()}
    config = T5Config(
        vocab_size=32128,
        d_model=32,
        d_kv=64,
        d_ff=48,
        num_layers=2,
        num_heads=1,
        feed_forward_proj="gated-gelu",
    )
    model = T5EncoderModel(config).eval()
    model.load_state_dict(weights, strict=False)
    folder = comfy.text_encoders.t5.__file__.replace("t5.py", "t5_tokenizer")
    ids = T5TokenizerFast.from_pretrained(folder)(text, return_tensors="pt").input_ids
    with torch.no_grad():
        return model(ids).last_hidden_state


def test_the_connector_is_the_papers():
    """In the published configuration, at several timesteps at once, batched."""
    theirs = ella(**REAL)
    ours = connector_from(theirs.state_dict())
    words = torch.randn(3, 11, 2048, generator=torch.Generator().manual_seed(1))
    times = torch.tensor([0.0, 417.25, 999.0])
    with torch.no_grad():
        expected, found = theirs(words, times), ours(words, times)
    assert found.shape == (3, 64, 768)
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()
    assert (expected[0] - expected[1]).abs().max() > 0.1


def test_the_words_are_t5s(bench):
    """`FLAN-T5`'s tokenizer, without padding, and places told in its first layer alone."""
    t5 = conditioner(bench).t5
    for text in (TEXT, "", "<unk> ~ è"):
        found = t5.encode_from_tokens_scheduled(t5.tokenize(text))[0][0]
        expected = words_of(text)
        assert found.shape == expected.shape
        assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.parametrize(("cfg", "clip_tokens"), [(5.0, False), (5.0, True), (1.0, False)])
def test_the_unet_is_told_at_the_samplers_own_timestep(bench, picture, monkeypatch, cfg, clip_tokens):
    """At every call the UNet's context is the paper's connector at the UNet's own t, of the right text."""
    told, unet = [], bench.model.model.diffusion_model
    real = unet._forward

    def watched(x, timesteps=None, context=None, *args, **kwargs):
        told.append((timesteps.clone(), context.clone()))
        return real(x, timesteps, context, *args, **kwargs)

    monkeypatch.setattr(unet, "_forward", watched)
    plan = bench.plan(TEXT, denoise=0.5, final_denoise=0.5, steps=6, cfg=cfg)
    given = conditioner(bench, clip_tokens=clip_tokens)
    bench.run(plan, image=picture, conditioner=given, scheduler="karras")
    network, texts = ella(**SMALL), {TEXT: None, "blurry": None}
    seen = set()
    for times, contexts in told:
        for time, context in zip(times, contexts, strict=True):
            likely = {}
            for text in texts:
                with torch.no_grad():
                    wanted = network(words_of(text), time[None])[0]
                if clip_tokens:
                    wanted = torch.cat([wanted, bench.text(text)[0][0][0]])
                likely[text] = (context - wanted).abs().max() / wanted.abs().max()
            best = min(likely, key=likely.get)
            assert likely[best] < 1e-4 and context.shape == wanted.shape
            seen.add((best, round(float(time), 3)))
    times = {time for text, time in seen if text == TEXT}
    assert times == {time for text, time in seen if text == "blurry"} or cfg == 1
    model_sampling = bench.model.model.model_sampling
    (sigmas,) = bench.host.call("BasicScheduler", model=bench.model, scheduler="karras", steps=6, denoise=0.5)
    assert times == {round(float(t), 3) for t in model_sampling.timestep(sigmas[:-1]).float()}


def graph(bench, ella_name):
    """One step of a loop with the node itself in the graph, as a user has it."""
    from ..harness import VALUES, name_of

    nodes = {}
    for name in ("model", "clip", "vae"):
        value = getattr(bench, name)
        VALUES[name_of(value)] = value
        nodes[name] = {"class_type": "Test_Value", "inputs": {"name": name_of(value)}}
    plan = bench.plan("a", steps=1)
    VALUES["ella plan"] = plan
    nodes["plan"] = {"class_type": "Test_Value", "inputs": {"name": "ella plan"}}
    nodes["ella"] = {
        "class_type": "ISI_EllaConditioner",
        "inputs": {"ella": ella_name, "text_encoder": "t5.safetensors", "clip_tokens": False},
    }
    links = {name: [name, 0] for name in ("model", "clip", "vae", "plan")} | {"conditioner": ["ella", 0]}
    values = {"negative": "", "sampler_name": "euler", "scheduler": "normal", "width": 64, "height": 64}
    nodes["run"] = {"class_type": "ISI_Iterate", "inputs": values | links}
    nodes["catch"] = {"class_type": "Test_Catch", "inputs": {"name": "ella run", "value": ["run", 2]}}
    return nodes


def test_the_connectors_content_is_in_the_key(bench):
    from ..harness import CAUGHT

    keys = []
    for name in ("ella.safetensors", "other.safetensors"):
        bench.host.run(graph(bench, name), ["catch"])
        keys.append(CAUGHT.pop("ella run").keys[0])
    path = bench.host.base / "models" / "ella"
    save_file(ella(**SMALL).state_dict(), path / "other.safetensors")
    bench.host.new_executor()
    bench.host.run(graph(bench, "other.safetensors"), ["catch"])
    keys.append(CAUGHT.pop("ella run").keys[0])
    assert len(set(keys)) == 3


def test_what_does_not_fit_is_said_before_sampling(host, bench, picture, calls):
    def refused(sentence, bench, **values):
        with pytest.raises(Failed, match=sentence):
            bench.run(bench.plan("a"), image=picture, conditioner=conditioner(bench, **values))

    flux = Bench(host, *family_models("Flux"))
    refused("Expected an SD 1.5 model .texts of 64 values. for ISI ELLA Conditioner, but got Flux", flux)
    narrow = Bench(host, tiny_model(context=32), tiny_clip(width=32), tiny_vae())
    refused("Expected an SD 1.5 model", narrow)
    refused("Expected a text encoder of 32 channels .* got one of 40", bench, text_encoder="wide.safetensors")
    folder = host.base / "models" / "ella"
    save_file({"a": torch.zeros(1)}, folder / "none.safetensors")
    refused("none.safetensors is no connector of ELLA: expected ella-sd1.5", bench, ella="none.safetensors")
    umt5 = t5_weights(vocabulary=8)
    umt5["encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight"] = torch.zeros(32, 1)
    save_file(umt5, host.base / "models" / "text_encoders" / "umt5.safetensors")
    refused("umt5.safetensors is no text encoder for ELLA", bench, text_encoder="umt5.safetensors")
    assert not calls
