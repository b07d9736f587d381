"""Candidates of a step on the real host: the same as single runs, nothing lost, nothing done twice."""

import json

import pytest
import torch
from isi.core.choosing.course import candidates
from isi.core.choosing.rules import distance, sharpness
from isi.core.loop.plan import Step
from isi.host.choosing.choosing import choose
from isi.host.loop.gallery import open_run, overview
from PIL import Image

from ..harness import Failed

SCRIPT = "a tree; a ship *3?; snow *2?; night"
SAMPLINGS = 1 + 3 + 2 + 1


def seeds_of(run) -> list[int]:
    return [step.seed for step in run.plan.steps]


def plain(bench, seeds, picture, **inputs):
    """The run of the chosen seeds, written into the script by hand."""
    texts = ("a tree", "a ship", "snow", "night")
    script = "; ".join(f"{text} @seed={seed}" for text, seed in zip(texts, seeds, strict=True))
    return bench.run(bench.plan(script), image=picture, **inputs)


def test_first_is_bit_equal_to_none_and_is_the_same_iterations(bench, picture, calls):
    without, _, run = bench.run(bench.plan("a tree; a ship; snow; night"), image=picture)
    assert len(calls) == 4
    chosen, latent, same = bench.run(bench.plan(SCRIPT), image=picture, choose="first")
    assert torch.equal(chosen, without) and same.keys == run.keys
    # The first candidates and what follows were there; only the others are made.
    assert len(calls) == 4 + 2 + 1
    bench.run(bench.plan("a tree; a ship; snow; night"), image=picture, choose="first", candidates=2)
    assert len(calls) == 4 + 3 + 2  # the second of step 3 and the one of step 2 are known, too


@pytest.mark.parametrize("rule", ["sharpest", "least change", "most change"])
def test_a_rule_chooses_what_is_best_of_the_single_runs(bench, picture, rule):
    chosen, _, run = bench.run(bench.plan(SCRIPT), image=picture, choose=rule)
    start, seeds, script = picture, [], ""
    for text, count, seed in (("a tree", 1, 7), ("a ship", 3, 8), ("snow", 2, 9), ("night", 1, 10)):
        made = {}
        for one in candidates(Step(text, seed=seed, candidates=count)):
            single = bench.plan(f"{script}{text} @seed={one.seed}")
            made[one.seed] = bench.run(single, image=picture)[0]
        good = {
            "sharpest": lambda seed, made=made: sharpness(made[seed]),
            "least change": lambda seed, made=made, start=start: -distance(start, made[seed]),
            "most change": lambda seed, made=made, start=start: distance(start, made[seed]),
        }[rule]
        seeds.append(max(made, key=good))
        start, script = made[seeds[-1]], f"{script}{text} @seed={seeds[-1]}; "
    assert torch.equal(chosen, start)
    assert seeds_of(run) == seeds
    assert plain(bench, seeds, picture)[2].keys == run.keys


class Redness:
    """A scorer of a pack: what it says of each picture, as a list."""

    INPUT_TYPES = classmethod(
        lambda cls: {"required": {"image": ("IMAGE",), "channel": ("INT", {"default": 0, "max": 2})}}
    )
    RETURN_TYPES = ("STRING", "FLOAT")
    OUTPUT_IS_LIST = (False, True)
    FUNCTION = "say"
    CATEGORY = "test"

    def say(self, image, channel):
        torch.rand(1)  # it draws from the global state
        return "", [one[..., channel].mean().item() for one in image]


class Nan(Redness):
    def say(self, image, channel):
        return "", [float("nan")]


@pytest.fixture
def scorers(booted, monkeypatch):
    import nodes

    for name, kind in {"TestRedness": Redness, "TestNan": Nan}.items():
        monkeypatch.setitem(nodes.NODE_CLASS_MAPPINGS, name, kind)


@pytest.mark.parametrize("best", ["highest", "lowest"])
def test_a_node_of_a_pack_chooses(bench, picture, calls, scorers, best):
    made = {
        one.seed: bench.run(bench.plan(f"a tree @seed={one.seed}"), image=picture)[0]
        for one in candidates(Step("a tree", seed=7, candidates=4))
    }
    wanted = {"highest": max, "lowest": min}[best](made, key=lambda seed: made[seed][..., 2].mean().item())
    (score,) = bench.host.call("ISI_Score", node="TestRedness", settings="channel = 2", best=best)
    before, sampled = torch.get_rng_state(), len(calls)
    chosen, _, run = bench.run(bench.plan("a tree *4?"), image=picture, choose="best score", score=score)
    assert torch.equal(torch.get_rng_state(), before)
    assert seeds_of(run) == [wanted] and torch.equal(chosen, made[wanted])
    assert len(calls) == sampled  # all were known as single runs


def test_another_score_chooses_anew_and_a_broken_one_loses_nothing(bench, picture, calls, scorers):
    plan = bench.plan("a tree *4?; night")

    def run(node, best="highest"):
        (score,) = bench.host.call("ISI_Score", node=node, settings="", best=best)
        return seeds_of(bench.run(plan, image=picture, choose="best score", score=score)[2])

    with pytest.raises(Failed, match="finite number of the node TestNan of ISI Score"):
        run("TestNan")
    assert calls
    highest = run("TestRedness")
    assert len(calls) == 4 + 1
    assert run("TestRedness", "lowest") != highest
    assert len(calls) == 5 + 1


@pytest.mark.parametrize(
    ("node", "settings", "words"),
    [
        ("TestRednes", "", "write the name of one into ISI Score, such as TestRedness"),
        ("ImageInvert", "", "makes no number of a picture"),
        ("TestRedness", "channel = 3", "from -inf to 2"),
    ],
)
def test_a_score_that_there_is_not_is_said(bench, scorers, node, settings, words):
    with pytest.raises(Failed, match=words):
        bench.host.call("ISI_Score", node=node, settings=settings, best="highest")


def test_no_score_is_said_before_sampling(bench, picture, calls):
    with pytest.raises(Failed, match="connect ISI Score to score of ISI Iterate"):
        bench.run(bench.plan("a tree *4?"), image=picture, choose="best score")
    assert not calls
    bench.run(bench.plan("a tree"), image=picture, choose="best score")  # nothing is asked


def waits(bench, picture, **inputs):
    """The node's `ui` after a run that may wait, on the executor: without what follows in the graph."""
    from .. import harness

    values = {"model": bench.model, "clip": bench.clip, "vae": bench.vae, "picture": picture}
    harness.VALUES |= values
    script = {"script": SCRIPT, "steps": 2, "cfg": 5.0, "denoise": 0.6, "final_denoise": 0.6}
    script |= {"curve": "constant", "seed": 7, "seed_mode": "increment"}
    links = {name: [name, 0] for name in ("model", "clip", "vae")}
    settings = {"negative": "blurry", "sampler_name": "euler", "scheduler": "normal", "run_name": "asks"}
    prompt = {name: {"class_type": "Test_Value", "inputs": {"name": name}} for name in values} | {
        "script": {"class_type": "ISI_Script", "inputs": script | inputs.pop("script", {})},
        "run": {
            "class_type": "ISI_Iterate",
            "inputs": links | {"image": ["picture", 0], "plan": ["script", 0]} | settings | inputs,
        },
        "out": {"class_type": "Test_Catch", "inputs": {"name": "out", "value": ["run", 0]}},
    }
    harness.CAUGHT.pop("out", None)
    return bench.host.run(prompt)["run"], harness.CAUGHT.get("out")


def test_by_hand_it_waits_goes_on_and_another_choice_redoes_what_follows(bench, picture, calls):
    told, out = waits(bench, picture)
    (state,) = told["isi_run"]
    assert out is None and len(calls) == 1 + 3  # what follows in the graph waits as well
    assert state["count"] == 1 and state["waiting"]["iteration"] == 2
    assert len(told["images"]) == 1 + 3
    for name in told["images"]:
        assert (bench.host.base / "output" / name["subfolder"] / name["filename"]).is_file()
    assert open_run("asks")[1] == 1
    # Asked again, with the host's cache and without, it still waits and makes nothing.
    for again in range(2):
        assert waits(bench, picture)[0]["isi_run"] == [state], again
        bench.host.new_executor()
    assert len(calls) == 4
    shown = overview("asks")
    assert shown["of"] == 4 and [one["iteration"] for one in shown["iterations"]] == [1]
    assert [(c["iteration"], c["chosen"], len(c["candidates"])) for c in shown["choices"]] == [(2, None, 3)]

    answer = choose("asks", {"iteration": 2, "candidate": 3})
    assert overview("asks")["choices"][0]["chosen"] == 3
    (state,) = waits(bench, picture)[0]["isi_run"]
    assert state["waiting"]["iteration"] == 3 and len(calls) == 4 + 2
    choose("asks", {"iteration": 3, "candidate": 1})
    _, out = waits(bench, picture)
    assert len(calls) == 4 + 2 + 1 and out is not None
    (run, number) = open_run("asks")
    assert number == 4 and str(seeds_of(run)[1]) == answer["seed"]
    assert torch.equal(plain(bench, seeds_of(run), picture)[0], out)
    made = len(calls)

    # Nothing to do: the host's own cache has it.
    waits(bench, picture)
    assert len(calls) == made
    # Another one of step 3: all its candidates are there, and the last step alone is made anew.
    choose("asks", {"iteration": 3, "candidate": 2})
    _, other = waits(bench, picture)
    assert len(calls) == made + 1 and not torch.equal(other, out)
    # And back: nothing at all.
    choose("asks", {"iteration": 3, "candidate": 1})
    assert torch.equal(waits(bench, picture)[1], out) and len(calls) == made + 1
    # Another one of step 2: step 3 asks anew.
    choose("asks", {"iteration": 2, "candidate": 1})
    assert waits(bench, picture)[0]["isi_run"][0]["waiting"]["iteration"] == 3
    assert len(calls) == made + 1 + 2


def test_the_chosen_seed_is_what_pictures_say(bench, picture):
    bench.run(bench.plan(SCRIPT), image=picture, choose="most change", run_name="said")
    run, _ = open_run("said")
    shown = overview("said")
    for one, step in zip(shown["iterations"], run.plan.steps, strict=True):
        path = bench.host.base / "output" / one["picture"]["subfolder"] / one["picture"]["filename"]
        said = Image.open(path).info
        assert f"Seed: {step.seed}," in said["parameters"]
        assert json.loads(said["isi"])["step"] == step.to_json() and step.candidates is None


def test_interrupted_candidates_are_kept(bench, picture, calls, monkeypatch):
    import comfy.model_management
    import comfy.samplers

    real, count = comfy.samplers.sampling_function, []

    def interrupting(*args, **kwargs):
        count.append(1)
        if len(count) == 8:  # two a sampling: in the third candidate of the second step
            comfy.model_management.interrupt_current_processing()
        return real(*args, **kwargs)

    monkeypatch.setattr(comfy.samplers, "sampling_function", interrupting)
    with pytest.raises(Failed, match="interrupted"):
        bench.run(bench.plan(SCRIPT), image=picture, choose="sharpest", run_name="cut")
    assert len(calls) == 4 and overview("cut")["choices"][0]["chosen"] is None
    bench.run(bench.plan(SCRIPT), image=picture, choose="sharpest", run_name="cut")
    assert len(calls) == SAMPLINGS + 1  # the one that was cut short


@pytest.mark.parametrize("asked", [
    {"iteration": 1, "candidate": 1}, {"iteration": 2, "candidate": 4}, {"iteration": 2, "candidate": 0},
    {"iteration": 2}, {"iteration": True, "candidate": 1}, {"iteration": "2", "candidate": 1.0}, [], None,
])  # fmt: skip
def test_choices_that_there_are_not_are_refused(bench, picture, asked):
    waits(bench, picture)
    before = overview("asks")["choices"]
    with pytest.raises(ValueError, match=r"candidates|Expected"):
        choose("asks", asked)
    assert overview("asks")["choices"] == before


@pytest.mark.parametrize("name", ["", "..", "../asks", "/etc/passwd", "versions/asks", "@0123456789abcdef"])
def test_names_that_lead_elsewhere_are_refused(bench, picture, name):
    from isi.host.loop.home import home

    waits(bench, picture)
    written = (home() / "runs" / "asks.json").read_bytes()
    for elsewhere in (home() / "asks.json", home() / "runs" / "versions" / "asks.json"):
        elsewhere.write_bytes(written)
    with pytest.raises(ValueError, match="There is no run named"):
        choose(name, {"iteration": 2, "candidate": 1})
    assert overview("asks")["choices"][0]["chosen"] is None


def test_a_store_that_is_off_can_not_keep_what_is_to_be_chosen(bench, picture, monkeypatch, calls):
    from isi.core.store.store import Store
    from isi.host.loop import run

    monkeypatch.setattr(run, "open_store", lambda: Store(bench.host.base / "none", 0))
    with pytest.raises(Failed, match="the store is off"):
        bench.run(bench.plan(SCRIPT), image=picture)
    assert not calls
    bench.run(bench.plan(SCRIPT), image=picture, choose="sharpest")
    assert len(calls) == SAMPLINGS
