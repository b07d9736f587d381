"""Runs that stay: names that belong to what a run does, its earlier versions, keys, and doing it again."""

import json

import pytest
import torch
from isi.core.loop.plan import Plan, Step
from isi.host.loop import gallery, manifest
from isi.host.loop.gallery import Run, open_run, overview

from ..harness import Failed


def output(host, shown):
    return host.base / shown["type"] / shown["subfolder"] / shown["filename"]


def test_two_scripts_on_one_picture_share_no_name_and_no_folder(bench, picture, calls):
    _, _, first = bench.run(bench.plan("a; b; c"), image=picture)
    _, _, second = bench.run(bench.plan("a; b; d"), image=picture)
    assert len(calls) == 4  # what they have in common is made once
    assert first.name != second.name
    for run in (first, second):
        shown = overview(run.name)["iterations"]
        assert [output(bench.host, s["picture"]).is_file() for s in shown] == [True] * 3
        assert {s["picture"]["subfolder"] for s in shown} == {f"isi/{run.name}"}
    assert not {s["picture"]["subfolder"] for s in overview(first.name)["iterations"]} & {
        s["picture"]["subfolder"] for s in overview(second.name)["iterations"]
    }


@pytest.mark.parametrize("run_name", ["", "edited"])
def test_an_edit_changes_nothing_that_an_earlier_open_run_shows(bench, picture, run_name):
    bench.run(bench.plan("a; b; c"), image=picture, run_name=run_name)
    events = [data for event, data in bench.host.events if event == "isi.iteration"]
    before, _, _, _ = bench.host.call("ISI_OpenRun", run_name=events[2]["run"], iteration=3)
    bench.run(bench.plan("a; b; x; y"), image=picture, run_name=run_name)
    for name in ("", run_name):
        image, _, rest, run = bench.host.call("ISI_OpenRun", run_name=name, iteration=1, key=events[2]["key"])
        assert torch.equal(image, before) and not rest.steps
        assert [s.prompt for s in run.plan.steps] == ["a", "b", "c"]
    shown = overview(run_name or bench.host.events[-1][1]["run"]) if run_name else None
    if shown:
        assert [i["label"] for i in shown["iterations"]] == ["a", "b", "x", "y"]


@pytest.mark.parametrize("run_name", ["", "versions"])
def test_the_strip_can_show_what_was_there_before_the_edit(bench, picture, run_name):
    runs = [
        bench.run(bench.plan(text), image=picture, run_name=run_name)[2] for text in ("a; b", "a; c", "d")
    ]
    shown = overview(runs[-1].name)
    assert [i["label"] for i in shown["iterations"]] == ["d"]
    assert [[i["label"] for i in v["iterations"]] for v in shown["versions"]] == [["a", "c"], ["a", "b"]]
    assert [[i["key"] for i in v["iterations"]] for v in shown["versions"]] == [
        list(runs[1].keys), list(runs[0].keys),
    ]  # fmt: skip
    times = [v["saved"] for v in shown["versions"]]
    assert times == sorted(times, reverse=True)
    for version in shown["versions"]:
        assert all(output(bench.host, i["picture"]).is_file() for i in version["iterations"])
    # Going back makes the old version the present one; nothing is listed twice.
    bench.host.new_executor()
    bench.run(bench.plan("a; b"), image=picture, run_name=run_name)
    again = overview(runs[0].name)
    assert [i["key"] for i in again["iterations"]] == list(runs[0].keys)
    assert [len(v["iterations"]) for v in again["versions"]] == [1, 2]


def run_of(name, count, seed=0):
    plan = Plan(tuple(Step(f"p{k}", seed=seed) for k in range(count)))
    return Run(name, tuple(f"{seed:016x}{k:016x}" for k in range(count)), plan)


def seeds_before(name):
    """The seeds of the versions before the present one, which are the first half of their keys."""
    index = manifest.run_index()
    found = manifest.versions(index.read(manifest.manifest_path(name)), index)
    return [int(index.keys(each.path)[0][:16], 16) for each in found]


def test_versions_are_bounded(booted):
    for seed in range(30):
        run = run_of("many", 2, seed)
        run.save(run.keys[-1])
    assert seeds_before("many") == list(range(28, 8, -1))
    assert len(list((manifest.home() / "runs" / "versions" / "many").iterdir())) == 21


def test_a_clock_set_back_keeps_versions_in_order(booted, monkeypatch):
    for seed, now in enumerate([5_000, 9_000, 2_000, 3_000]):
        monkeypatch.setattr(manifest.time, "time_ns", lambda now=now: now * 10**9)
        run = run_of("clock", 1, seed)
        run.save(run.keys[-1])
    assert seeds_before("clock") == [2, 1, 0]


def test_a_long_run_is_shown_page_by_page(booted, monkeypatch):
    run = run_of("long", 5000)
    run.save(run.keys[-1])
    looked = []
    real = gallery.picture_path
    monkeypatch.setattr(gallery, "picture_path", lambda name: looked.append(name) or real(name))
    for number in (1, 1500, 4999):
        path = real(gallery.picture_name("long", number - 1, run.keys[number - 1]))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    pages, following = [], 1
    while following:
        looked.clear()
        page = overview("long", following, 700)
        assert len(looked) <= 700 and page["of"] == 5000
        pages += [i["iteration"] for i in page["iterations"]]
        following = page["next"]
    assert pages == [1, 1500, 4999]


def test_redo_makes_the_steps_again_and_gives_the_same_bits(bench, picture, calls):
    first, _, run = bench.run(image=picture)
    files = {p: p.read_bytes() for p in (bench.host.base / "user" / "isi" / "store").glob("*/*.safetensors")}
    calls.clear()
    image, _, again = bench.run(image=picture, redo_from=3)
    assert len(calls) == 2 and again.keys == run.keys
    assert torch.equal(image, first)
    assert {p: p.read_bytes() for p in files} == files
    calls.clear()
    bench.run(image=picture, redo_from=3)  # the host's own cache must not answer
    assert len(calls) == 2
    with pytest.raises(Failed, match="redo_from is 5, but the plan has 4 steps"):
        bench.run(image=picture, redo_from=5)


def test_redo_takes_the_place_of_another_picture(bench, picture, monkeypatch):
    """As after a driver that computes otherwise: the key is the same, the bits are not."""
    real = torch.nn.functional.silu  # in no key: a key knows torch by its version
    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.functional, "silu", lambda *a, **k: real(*a, **k) * 1.25)
        _, _, run = bench.run(image=picture, run_name="other driver")
    path = output(bench.host, overview("other driver")["iterations"][-1]["picture"])
    old, seen = run.load(4).tensors["picture"], path.read_bytes()
    image, _, _ = bench.run(image=picture, run_name="other driver", redo_from=1)
    assert not torch.equal(image, old) and overview("other driver")["iterations"][-1]["key"] == run.keys[-1]
    assert torch.equal(run.load(4).tensors["picture"], image)
    assert path.read_bytes() != seen


BAD_KEYS = ["../../models/checkpoints/x", "0" * 31, "g" * 32, "0" * 33, "f" * 32]


@pytest.mark.parametrize("key", BAD_KEYS)
def test_a_key_that_names_nothing_is_said_in_one_sentence(bench, key):
    with pytest.raises(Failed, match="32 hex digits|no run with the iteration"):
        bench.host.call("ISI_OpenRun", run_name="", iteration=0, key=key)


SPOILT = {
    "cut short": lambda text: text[: len(text) // 2],
    "empty": lambda text: "",
    "a list": lambda text: "[]",
    "deep": lambda text: "[" * 100_000,
    "a newer version": lambda text: json.dumps(json.loads(text) | {"version": 99}),
    "no keys": lambda text: json.dumps({k: v for k, v in json.loads(text).items() if k != "keys"}),
    "a key that is a path": lambda text: json.dumps(json.loads(text) | {"keys": ["../../x"]}),
    "more keys than steps": lambda text: json.dumps(json.loads(text) | {"keys": ["0" * 32] * 9}),
    "a plan that is a number": lambda text: json.dumps(json.loads(text) | {"plan": 7}),
    "not text": lambda text: text.encode().replace(b"p0", b"\xff\xfe").decode("latin-1"),
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_manifest_that_cannot_be_believed_is_one_sentence(booted, how):
    run = run_of("spoilt", 2)
    run.save(run.keys[-1])
    path = manifest.manifest_path("spoilt")
    path.write_bytes(SPOILT[how](path.read_text()).encode("latin-1"))
    for ask in (open_run, overview):
        with pytest.raises(
            ValueError, match="newer ISI" if "newer" in how else "queue the run again"
        ) as said:
            ask("spoilt")
        assert "\n" not in str(said.value) and len(str(said.value)) < 300


def test_an_earlier_version_keeps_its_masks(booted):
    from isi.core.loop.lens import Masked
    from isi.core.loop.plan import content_hash

    keys, masks = [f"{n:032x}" for n in range(30)], torch.eye(30).view(30, 1, 1, 30).expand(30, 1, 40, 30)
    for key, mask in zip(keys, masks, strict=True):
        name = content_hash(mask)
        step = Step("a", 1, 1.0, 0.5, 0, lens=Masked(name, name))
        Run("many-masks", (key,), Plan((step,), {name: mask})).save(key)
    for key, mask in zip(keys[-10:], masks[-10:], strict=True):
        run, number = open_run("", key)
        assert number == 1 and torch.equal(run.plan.assets[content_hash(mask)], mask)
    file = manifest.manifest_path("many-masks").with_suffix(".safetensors")
    assert file.stat().st_size < 26 * masks[0].numel() * 4  # those of dropped versions are gone


def test_a_file_of_masks_that_no_memory_holds_is_written_anew(booted):
    from isi.core.loop.lens import Masked
    from isi.core.loop.plan import content_hash

    mask = torch.ones(1, 4, 4)
    name = content_hash(mask)
    file = manifest.manifest_path("endless-masks").with_suffix(".safetensors")
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as endless:
        endless.truncate(1 << 42)  # takes no room on the disk
    plan = Plan((Step("a", 1, 1.0, 0.5, 0, lens=Masked(name, name)),), {name: mask})
    Run("endless-masks", ("0" * 31 + "1",), plan).save("0" * 31 + "1")
    assert torch.equal(open_run("endless-masks", "0" * 31 + "1")[0].plan.assets[name], mask)
