"""Infotexts of many programs are read as a person reads them, and written so that they are read the same."""

import json
from dataclasses import asdict, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st
from isi.core.infotext import a1111, graph
from isi.core.infotext.emphasis import from_invokeai, from_novelai
from isi.core.infotext.info import Infotext, Values, values
from isi.core.infotext.names import AUTOMATIC, SAMPLERS, SCHEDULES, host_names, infotext_names
from isi.core.infotext.pictures import read_text

from .corpus import CORPUS

KNOWN = {*SAMPLERS.values(), "dpmpp_2m_sde_gpu"}


def said(text: str) -> dict:
    return asdict(values(a1111.read(text), KNOWN, set(SCHEDULES.values())))


@pytest.mark.parametrize("number", range(len(CORPUS)))
def test_a_text_is_read_as_a_person_reads_it(number):
    text, prompt, negative, expected = CORPUS[number]
    info = a1111.read(text)
    assert (info.prompt, info.negative) == (prompt, negative)
    found = said(text)
    found.pop("notes")
    assert found == {
        field.name: expected.get(field.name) for field in fields(Values) if field.name != "notes"
    }


def test_a_text_that_is_written_again_is_read_the_same():
    assert len(CORPUS) >= 60
    for text, *_ in CORPUS:
        info = a1111.read(text)
        assert a1111.read(a1111.write(info)) == info
        assert a1111.write(a1111.read(a1111.write(info))) == a1111.write(info)


def test_every_setting_without_a_widget_is_noted():
    for text, *_ in CORPUS:
        info = a1111.read(text)
        notes = " ".join(values(info, KNOWN, set(SCHEDULES.values())).notes)
        widgets = {
            "steps",
            "seed",
            "cfg scale",
            "size",
            "sampler",
            "schedule type",
            "denoising strength",
            "version",
        }
        for name, _ in info.settings:
            assert name.lower() in widgets or f"{name}: " in notes


def test_values_of_every_form_come_whole():
    read = dict(
        a1111.read(
            f"oak\n{CORPUS[0][0]}, " + 'A: "b: c, \\"d\\"", E: [{"f": "g, H: i"}], J: k, l, M: n'
        ).settings
    )
    assert (read["A"], read["E"], read["J"], read["M"]) == ('b: c, "d"', '[{"f": "g, H: i"}]', "k, l", "n")
    below = dict(a1111.read("cat\nSteps: 5, Seed: 3\nTemplate: {a|b}\nmore\nNegative Template: c").settings)
    assert below == {"Steps": "5", "Seed": "3", "Template": "{a|b}\nmore", "Negative Template": "c"}


WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40)
LINES = st.lists(
    WORDS | st.sampled_from(["Negative prompt: x", "Steps: 3, Seed: 4", '"', "a: b, c: d", "Template: {"])
)
NAMES = st.sampled_from(["Steps", "Seed", "Sampler", "Lora hashes", "ControlNet 0", "A-b/c (d)", "Model"])


@given(LINES)
def test_any_text_is_read_and_settles_at_once(lines):
    info = a1111.read("\n".join(lines))
    assert a1111.read(a1111.write(info)) == info


@given(WORDS, WORDS, st.lists(st.tuples(NAMES, WORDS | LINES.map("\n".join)), max_size=6))
def test_any_settings_come_back(prompt, negative, settings):
    prompt, negative = (" ".join(text.replace(":", ";").split()) for text in (prompt, negative))
    info = Infotext(prompt, negative, (("Steps", "20"), ("Seed", "1"), *settings))
    assert a1111.read(a1111.write(info)) == info


def test_a_long_text_takes_time_in_proportion():
    """Counted, not timed: what is looked at again and again would never end here."""
    for text in (
        "a: " * 300_000,
        'Steps: 1, a: "' * 100_000,
        "Steps: 1, a: [" * 100_000,
        "a, " * 400_000 + "\nSteps: 1, x",
    ):
        a1111.read(text)
    with pytest.raises(ValueError, match="expected the settings of one picture"):
        a1111.read("a" * (a1111.LONGEST + 1))


def test_samplers_and_schedules_come_back_by_their_names():
    for sampler in [*SAMPLERS.values(), "seeds_2"]:
        for schedule in SCHEDULES.values():
            name, kind = infotext_names(sampler, schedule)
            found, scheduler = host_names(name, kind)
            assert scheduler == schedule and found == (None if sampler == "seeds_2" else sampler)
    assert all(
        host_names(name, "Automatic")[1] == AUTOMATIC.get(host, "normal") for name, host in SAMPLERS.items()
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{oak}, tree", "(oak:1.05), tree"),
        ("{{{oak}}} [tree]", "(oak:1.16) (tree:0.952)"),
        ("{a {b} c}", "(a (b:1.05) c:1.05)"),
        ("1.5::red hat::, -1::rain::", "(red hat:1.5), (rain:-1)"),
        ("a (b) {c", r"a \(b\) {c"),
    ],
)
def test_novelais_weights(text, expected):
    assert from_novelai(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("oak++ tree-", "(oak:1.21) (tree:0.9)"),
        ("(old oak)1.3, (a (b)+)--", "(old oak:1.3), (a (b:1.1):0.81)"),
        ("well-known 3-2 (plain) C++11", r"well-known 3-2 \(plain\) C++11"),
        (r"a \(b\)", r"a \(b\)"),
    ],
)
def test_invokeais_weights(text, expected):
    assert from_invokeai(text) == expected


NOVELAI = {
    "prompt": "{oak}", "uc": "bad (hands)", "steps": 28, "scale": 5.0, "seed": 42,
    "sampler": "k_euler_ancestral", "noise_schedule": "karras", "width": 832, "height": 1216,
    "v4_prompt": {"caption": {"char_captions": [{"char_caption": "a girl"}]}},
}  # fmt: skip
INVOKEAI = {
    "positive_prompt": "oak+", "negative_prompt": "bad", "steps": 30, "cfg_scale": 7.5, "seed": 9,
    "scheduler": "dpmpp_2m_k", "width": 640, "height": 512, "model": {"name": "Dreamshaper"}, "strength": 0.6,
}  # fmt: skip
OLD_INVOKEAI = {
    "model_weights": "stable-diffusion-1.5",
    "image": {"prompt": [{"prompt": "oak [bad]", "weight": 1}], "steps": 50, "cfg_scale": 7.5, "seed": 5,
              "sampler": "k_lms", "width": 512, "height": 512},
}  # fmt: skip
FOOOCUS = {
    "prompt": "oak", "negative_prompt": "bad", "steps": 30, "guidance_scale": 4.0, "seed": "8", "sampler":
    "dpmpp_2m_sde_gpu", "scheduler": "karras", "resolution": "(896, 1152)", "base_model": "juggernaut",
}  # fmt: skip


@pytest.mark.parametrize(
    ("value", "prompt", "negative", "expected"),
    [
        (
            NOVELAI,
            "(oak:1.05)",
            r"bad \(hands\)",
            (42, 28, 5.0, None, 832, 1216, "euler_ancestral", "karras"),
        ),
        (INVOKEAI, "(oak:1.1)", "bad", (9, 30, 7.5, 0.6, 640, 512, "dpmpp_2m", "karras")),
        (OLD_INVOKEAI, "oak", "bad", (5, 50, 7.5, None, 512, 512, "lms", "normal")),
        (FOOOCUS, "oak", "bad", (8, 30, 4.0, None, 896, 1152, "dpmpp_2m_sde_gpu", "karras")),
    ],
)
def test_what_other_programs_write(value, prompt, negative, expected):
    info = read_text(json.dumps(value))
    assert (info.prompt, info.negative) == (prompt, negative)
    read = values(info, KNOWN, set(SCHEDULES.values()))
    assert tuple(asdict(read).values())[:8] == expected


def graph_of(sampler: dict, **more) -> dict:
    return {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd\\dream.safetensors"}},
        "2": {
            "class_type": "LoraLoader",
            "inputs": {"model": ["1", 0], "clip": ["1", 1], "lora_name": "x.safetensors"},
        },
        "3": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["2", 1], "text": ["9", 0]}},
        "9": {"class_type": "PrimitiveString", "inputs": {"value": "oak"}},
        "4": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["2", 1], "text": "bad"}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 640, "height": 512, "batch_size": 1}},
        "6": {"class_type": "FluxGuidance", "inputs": {"conditioning": ["3", 0], "guidance": 3.5}},
        "8": {"class_type": "SaveImage", "inputs": {"images": ["7", 0]}},
        "7": sampler,
        **more,
    }


def test_what_a_graph_says():
    sampled = {
        "seed": 5,
        "steps": 12,
        "cfg": 6.5,
        "sampler_name": "dpmpp_2m",
        "scheduler": "karras",
        "denoise": 1.0,
    }
    linked = {"model": ["2", 0], "positive": ["6", 0], "negative": ["4", 0], "latent_image": ["5", 0]}
    info = read_text(json.dumps(graph_of({"class_type": "KSampler", "inputs": {**sampled, **linked}})))
    assert (info.prompt, info.negative, info.get("Model")) == ("oak", "bad", "dream")
    read = values(info, KNOWN, set(SCHEDULES.values()))
    assert tuple(asdict(read).values())[:8] == (5, 12, 6.5, 1.0, 640, 512, "dpmpp_2m", "karras")


def test_what_a_graph_of_parts_says():
    parts = {
        "20": {"class_type": "RandomNoise", "inputs": {"noise_seed": 77}},
        "21": {"class_type": "BasicGuider", "inputs": {"model": ["1", 0], "conditioning": ["6", 0]}},
        "22": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler"}},
        "23": {"class_type": "BasicScheduler", "inputs": {"scheduler": "simple", "steps": 4, "denoise": 0.5}},
    }
    links = {
        "noise": ["20", 0],
        "guider": ["21", 0],
        "sampler": ["22", 0],
        "sigmas": ["23", 0],
        "latent_image": ["5", 0],
    }
    info = graph.from_graph(graph_of({"class_type": "SamplerCustomAdvanced", "inputs": links}, **parts))
    assert (info.prompt, info.negative, info.get("Model")) == ("oak", "", "dream")
    read = values(info, KNOWN, set(SCHEDULES.values()))
    assert tuple(asdict(read).values())[:8] == (77, 4, None, 0.5, 640, 512, "euler", "simple")


def test_no_graph_and_no_json_of_ours_is_nothing():
    circle = {
        "1": {"class_type": "A", "inputs": {"positive": ["2", 0]}},
        "2": {"inputs": {"model": ["1", 0]}},
    }
    for value in (
        {},
        {"a": 1},
        {"1": None, "2": {"inputs": 3}},
        circle,
        {"prompt": "x"},
        {"image": {"prompt": "x"}, "b": 0},
    ):
        found = read_text(json.dumps(value))
        assert found is None or found.prompt == "x"
    assert read_text("  \0 ") is None
    assert read_text("{" * 100_000) is not None  # a text like any other
