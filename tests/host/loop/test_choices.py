"""Choices and wildcards of ISI Script, and settings of a step's own, on the real host."""

import json
import os
from pathlib import Path

import pytest
import torch
from isi.core.loop.plan import Plan

from ..harness import Failed

SETTINGS = {"steps": 2, "cfg": 5.0, "denoise": 0.6, "final_denoise": 0.6, "curve": "constant"}
SETTINGS |= {"seed": 7, "seed_mode": "increment"}


@pytest.fixture
def wildcards(host):
    """Writes a wildcard file of the host's models folder."""
    import folder_paths

    folder = Path(folder_paths.models_dir, "wildcards")
    folder.mkdir(exist_ok=True)

    def write(name, text):
        (folder / name).write_text(text, "utf-8")
        # Clocks of file systems are coarse, and the test is fast.
        write.clock += 10**9
        os.utime(folder / name, ns=(write.clock, write.clock))

    write.clock = 10**18
    yield write
    for path in folder.iterdir():
        path.unlink()


def script(host, text, **settings):
    return host.call("ISI_Script", script=text, **SETTINGS | settings)


def graph(text, **settings):
    """ISI Script alone; its plan is caught as the value `plan`."""
    inputs = {"script": text, **SETTINGS, **settings}
    catch = {"name": "plan", "value": ["script", 0]}
    return {
        "script": {"class_type": "ISI_Script", "inputs": inputs},
        "out": {"class_type": "Test_Catch", "inputs": catch},
    }


def test_plan_count_table_and_labels_have_what_was_drawn(host, wildcards):
    wildcards("animal.txt", "cat\ndog\n")
    plan, count, table = script(host, "{big {red|blue}} __animal__; {a|b} fish *3")
    assert count == 4 and "{" not in table and "__" not in table
    assert plan.steps[0].label in ("cat", "dog")
    assert plan.steps[0].prompt in [f"big {c}, {a}" for c in ("red", "blue") for a in ("cat", "dog")]
    assert [step.label[1:] for step in plan.steps[1:]] == [" fish"] * 3
    assert script(host, "{big {red|blue}} __animal__; {a|b} fish *3")[0] == plan
    text = "{big {red|blue}} __animal__"
    words = {script(host, text, seed=seed)[0].steps[0].prompt for seed in range(40)}
    assert len(words) == 4


def test_all_makes_a_step_of_every_combination(host, wildcards):
    wildcards("c.txt", "x\ny\nz\n")
    plan, count, _ = script(host, "{a|b} __c__", choices="all")
    assert [step.prompt for step in plan.steps] == ["a x", "a y", "a z", "b x", "b y", "b z"]
    assert [step.seed for step in plan.steps] == [7, 8, 9, 10, 11, 12] and count == 6


def test_mistakes_are_shown_when_the_graph_is_queued(host, wildcards):
    wildcards("animal.txt", "cat\n")
    for text, says in (
        ("a;\n__animals__", "line 2, column 1: There is no wildcard __animals__"),
        ("a; {0::b|0::c}", "line 1, column 4: All options"),
        ("a @sampler=eulr", "line 1, column 12: There is no sampler eulr. Near: euler"),
    ):
        with pytest.raises(Failed, match=says):
            host.run(graph(text))


def test_a_changed_wildcard_file_runs_the_node_again(host, wildcards):
    from ..harness import CAUGHT

    def words(text):
        host.run(graph(text))
        return CAUGHT.pop("plan", None)

    wildcards("animal.txt", "cat\n")
    assert words("__animal__").steps[0].prompt == "cat"
    assert words("__animal__") is None, "the host had it in its cache"
    wildcards("animal.txt", "dog\n")
    assert words("__animal__").steps[0].prompt == "dog"
    assert words("plain").steps[0].prompt == "plain"
    wildcards("animal.txt", "bear\n")
    assert words("plain") is None, "a script without wildcards is not run again"


def test_a_folder_of_extra_model_paths_is_read_too(host, wildcards, tmp_path, monkeypatch):
    import folder_paths

    (tmp_path / "metal.txt").write_text("iron\n", "utf-8")
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", dict(folder_paths.folder_names_and_paths))
    folder_paths.add_model_folder_path("wildcards", str(tmp_path))
    wildcards("animal.txt", "cat\n")
    assert script(host, "__metal__ __animal__")[0].steps[0].prompt == "iron cat"


def test_the_key_and_the_png_hold_the_words_that_were_drawn(bench, picture, wildcards):
    wildcards("animal.txt", "cat\n")
    plan = bench.plan("a __animal__", steps=1)
    *_, run = bench.run(plan, image=picture)
    (plain,) = [bench.run(bench.plan("a cat", steps=1), image=picture)[2]]
    assert run.keys == plain.keys
    wildcards("animal.txt", "dog\n")
    *_, other = bench.run(bench.plan("a __animal__", steps=1), image=picture)
    assert other.keys != run.keys
    assert '"a cat"' in json.dumps(run.plan.to_json())


def test_settings_of_a_step_are_sampled_as_a_chain_of_the_hosts_nodes(bench, picture):
    own = '@negative="grey, flat" @sampler=heun @scheduler=karras'
    image, _, run = bench.run(bench.plan(f"x; y {own}"), image=picture)
    (latent,) = bench.host.call("VAEEncode", pixels=picture, vae=bench.vae)
    for seed, text, negative, sampler, scheduler in (
        (7, "x", "blurry", "euler", "normal"),
        (8, "y", "grey, flat", "heun", "karras"),
    ):
        (latent,) = bench.host.call(
            "KSampler", model=bench.model, positive=bench.text(text), negative=bench.text(negative),
            latent_image=latent, seed=seed, steps=2, cfg=5.0, sampler_name=sampler, scheduler=scheduler,
            denoise=0.6,
        )  # fmt: skip
        (expected,) = bench.host.call("VAEDecode", samples=latent, vae=bench.vae)
        (latent,) = bench.host.call("VAEEncode", pixels=expected, vae=bench.vae)
    assert torch.equal(image, expected)
    keys = {run.keys[-1]}
    for other in ("", "@negative=grey", "@sampler=heun", "@scheduler=karras", '@negative=""'):
        keys.add(bench.run(bench.plan(f"x; y {other}"), image=picture)[2].keys[-1])
    assert len(keys) == 6


def test_a_plan_of_a_step_without_settings_is_written_as_before():
    step = {"prompt": "a", "steps": 20, "cfg": 7.0, "denoise": 0.75, "seed": 0, "label": ""}
    step |= {"lens": {"kind": "whole"}, "extras": []}
    old = {"version": 1, "steps": [step]}
    assert Plan.from_json(old).to_json() == old
    new = {"version": 1, "steps": [step | {"negative": "", "sampler": "heun"}]}
    assert Plan.from_json(new).to_json() == new


def test_a_sampler_that_this_host_lacks_is_said_before_sampling(bench, picture, calls):
    from dataclasses import replace

    plan = bench.plan("a; b")
    plan = Plan((plan.steps[0], replace(plan.steps[1], sampler="dreamt_up")))
    with pytest.raises(Failed, match="Step 2 of the plan asks for the sampler 'dreamt_up'"):
        bench.run(plan, image=picture)
    assert not calls


def test_a_negative_draws_by_each_steps_seed_and_a_steps_own_stays(bench, picture, wildcards):
    wildcards("bad.txt", "grey\n")
    text = "{a|b|c|d|e|f}, __bad__"
    plan = bench.plan("x; y @negative=flat; z", steps=1)
    *_, run = bench.run(plan, image=picture, negative=text)
    drawn = [step.negative for step in run.plan.steps]
    assert drawn[1] == "flat"
    for words, seed in ((drawn[0], 7), (drawn[2], 9)):
        assert words == script(bench.host, text, seed=seed)[0].steps[0].prompt
        assert words[0] in "abcdef" and words[1:] == ", grey"
    written = bench.plan(f'x @negative="{drawn[0]}"; y @negative=flat; z @negative="{drawn[2]}"', steps=1)
    same, *_ = bench.run(written, image=picture)
    assert torch.equal(same, bench.run(plan, image=picture, negative=text)[0])
    wildcards("bad.txt", "dull\n")
    assert bench.run(plan, image=picture, negative=text)[2].keys[0] != run.keys[0]
    with pytest.raises(Failed, match="Negative, line 1, column 3: There is no wildcard __worse__"):
        bench.run(plan, image=picture, negative="a __worse__")
