"""The store behind runs on the real host: larger runs than it, strangers' files, settings, leftovers."""

import json

import numpy as np
import pytest
import torch
from isi.core.loop.lens import Masked
from isi.core.loop.plan import Plan, Step, content_hash
from isi.core.store.store import Store
from isi.host.loop import gallery, home, manifest, stars
from PIL import Image

from ...fuzzing import sentence
from ..harness import Failed


def store_files(host):
    return sorted((host.base / "user" / "isi" / "store").glob("*/*.safetensors"))


@pytest.fixture
def small_store(monkeypatch):
    """Room for some three iterations of a 64 px picture."""
    real = Store.__init__
    monkeypatch.setattr(
        Store, "__init__", lambda self, root, limit: real(self, root.parent / "small", 200_000)
    )


def test_an_entry_takes_no_more_than_its_picture_and_latent(bench, picture):
    large = picture.repeat(1, 4, 4, 1)
    before = set(store_files(bench.host))
    image, latent, _ = bench.run(image=large)
    sizes = {path.stat().st_size for path in set(store_files(bench.host)) - before}
    assert max(sizes) <= 1.02 * (image.nbytes + latent["samples"].nbytes)


def test_a_run_larger_than_the_store_gives_its_last_picture_images_and_sheet(
    bench, picture, small_store, caplog
):
    (latent,) = bench.host.call("VAEEncode", pixels=picture, vae=bench.vae)
    expected, _ = bench.chain(latent, [f"p{k}" for k in range(8)], [1] * 8)
    image, _, run = bench.run(bench.plan("; ".join(f"p{k}" for k in range(8))), image=picture)
    assert torch.equal(image, expected)
    with pytest.raises(ValueError, match="redo_from 1"):
        run.load(1)
    caplog.clear()
    (images,) = bench.host.call("ISI_RunImages", run=run, first=1, last=0, every=1)
    assert torch.equal(images[-1:], image)
    said = [record.message for record in caplog.records if "8 bits" in record.message]
    assert len(said) == 1 and "of 8 pictures come from the PNG files" in said[0]
    for shown, saved in zip(gallery.overview(run.name)["iterations"], images, strict=True):
        with Image.open(gallery.picture_path(shown["picture"])) as file:
            assert np.abs(np.array(file) / 255 - saved.clamp(0, 1).numpy()).max() <= 0.51 / 255
    (sheet,) = bench.host.call("ISI_ContactSheet", run=run, columns=4, cell=64, labels=False)
    assert sheet.shape[2] >= 256
    first = gallery.picture_path(gallery.picture_name(run.name, 0, run.keys[0]))
    whole = first.read_bytes()
    for bad in (whole[:300], b"GIF89a", b""):
        first.write_bytes(bad)
        with pytest.raises(Failed, match="queue the run again with redo_from 1"):
            bench.host.call("ISI_RunImages", run=run, first=1, last=1, every=1)
    first.unlink()
    with pytest.raises(Failed, match="Iteration 1 of the run .* neither in the store"):
        bench.host.call("ISI_ContactSheet", run=run, columns=0, cell=64, labels=False)


def test_a_png_of_another_iteration_is_not_taken_for_this_one(bench, picture):
    _, _, run = bench.run(bench.plan("a; b"), image=picture)
    one, two = (gallery.picture_name(run.name, k, run.keys[k]) for k in range(2))
    assert gallery.saved_pictures(one, run.keys[0]) is not None
    gallery.picture_path(one).write_bytes(gallery.picture_path(two).read_bytes())
    assert gallery.saved_pictures(one, run.keys[0]) is None


@pytest.mark.parametrize("batch", [1, 3])
def test_a_saved_batch_is_read_whole(booted, batch):
    pictures = torch.rand(batch, 9, 7, 4).mul(255).round() / 255
    name = gallery.picture_name(f"batch {batch}", 0, "ab" * 16)
    gallery.save_pictures(name, pictures, {})
    assert torch.allclose(gallery.saved_pictures(name, "ab" * 16), pictures, atol=1e-6)


def test_the_next_run_sweeps_what_killed_writers_left(bench, picture):
    _, _, run = bench.run(bench.plan("a"), image=picture, run_name="swept")
    folders = [home.home(), home.home() / "runs", home.home() / "store" / "parts"]
    folders.append(home.home() / "runs" / "versions" / "swept")
    folders.append(gallery.picture_path(gallery.picture_name("swept", 0, run.keys[0])).parent)
    for folder in folders:
        (folder / ".tmpabc.part").write_bytes(b"half")
    bench.host.new_executor()
    bench.run(bench.plan("a"), image=picture, run_name="swept")
    assert not [path for folder in folders for path in folder.glob(".*.part")]


@pytest.mark.parametrize("moved", [False, True])
def test_isi_home_moves_store_and_runs(bench, picture, tmp_path, monkeypatch, moved):
    if moved:
        monkeypatch.setenv("ISI_HOME", str(tmp_path / "moved"))
    before = store_files(bench.host)
    _, _, run = bench.run(bench.plan("a; b"), image=picture, run_name=f"moved {moved}")
    there = list((tmp_path / "moved" / "store").glob("*/*.safetensors"))
    assert len(there) == (2 if moved else 0) and (store_files(bench.host) == before) == moved
    assert (tmp_path / "moved" / "runs" / "moved True.json").is_file() == moved
    assert gallery.open_run(run.name)[1] == 2


CLEARED = [None, "much", float("nan"), float("inf"), [], {}, True, -1, "2"]


@pytest.mark.parametrize("value", CLEARED)
def test_a_cleared_setting_is_the_default_and_said_once(booted, monkeypatch, caplog, value):
    path = booted.base / "user" / "default" / "comfy.settings.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(home, "_SAID", set())
    try:
        path.write_text(json.dumps({"ISI.StoreGiB": value}))
        for _ in range(3):
            assert gallery.open_store().limit == 2 << 30
        assert len([r for r in caplog.records if "ISI.StoreGiB" in r.message]) == 1
        path.write_text(json.dumps({"ISI.StoreGiB": 1e308}))
        assert gallery.open_store().limit > 1 << 50
        path.write_text(json.dumps({"ISI.StoreGiB": 0.5}))
        assert gallery.open_store().limit == 1 << 29
    finally:
        path.unlink()


def test_stars_are_kept_for_each_user_and_run(booted):
    one, two = "0001-0123abcd.png", "0002-0123abcd.png"
    assert stars.read_stars("starred") is None
    assert stars.write_stars("starred", {"add": [one, two, one]}) == [one, two]
    assert stars.write_stars("starred", {"remove": [one]}) == [two]
    assert stars.read_stars("starred") == [two] and stars.read_stars("starred", "other") is None
    path = home.home() / "stars" / "starred.json"
    for bad in ("", "7", '["../x", 5]', "[" * 100_000):
        path.write_text(bad)
        assert not stars.read_stars("starred")


BAD_STARS = [
    ("../x", {"add": []}), ("a", None), ("a", []), ("a", {"add": 7}), ("a", {"add": ["../x.png"]}),
    ("a", {"add": [f"{k:07}-0123abcd.png" for k in range(10_001)]}), ("a", {"more": []}), ("", {"add": []}),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(BAD_STARS)))
def test_a_star_that_cannot_be_is_one_sentence(booted, case):
    before = sorted(home.home().rglob("*"))
    with pytest.raises(ValueError) as said:
        stars.write_stars(*BAD_STARS[case])
    sentence(said.value)
    assert sorted(home.home().rglob("*")) == before


MASK = torch.zeros(1, 8, 8)
MASK[:, 2:5] = 1
NAME = content_hash(MASK)
PLAN = Plan(tuple(Step(f"p{k}", lens=Masked(NAME, NAME)) for k in range(3)), {NAME: MASK})


def stranger(called, **changes):
    """Saves a run, then writes its manifest anew as a stranger would."""
    run = gallery.Run(called, tuple(f"{k:032x}" for k in range(3)), PLAN)
    run.save(run.keys[-1])
    path = manifest.manifest_path(called)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path


OUTSIDE = ["../../models/checkpoints/x", "/etc/passwd", "..", "", "a/b", "a\\b", "nul", "é" * 200, 7, ["a"]]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("place", ["name", "family", "keys"])
def test_nothing_in_a_manifest_becomes_a_path_outside(booted, place, name):
    stranger("stranger", **{place: [name] if place == "keys" else name})
    for ask in (gallery.open_run, gallery.overview):
        with pytest.raises(ValueError, match="queue the run again") as said:
            ask("stranger")
        sentence(said.value)


def test_masks_beside_a_manifest_are_proven_by_their_names(booted):
    path = stranger("masked stranger").with_suffix(".safetensors")
    run = gallery.open_run("masked stranger", "0" * 32)[0]
    assert torch.equal(run.plan.assets[NAME], MASK)
    data = path.read_bytes()
    for bad in (data[:-1], data[:-1] + b"\1", b"", (1 << 40).to_bytes(8, "little"), b"[]" * 50):
        path.write_bytes(bad)
        with pytest.raises(ValueError, match="mask of this plan is missing or damaged"):
            gallery.open_run("masked stranger", "0" * 32)


def test_a_manifest_of_twenty_gigabytes_is_not_read(booted):
    path = stranger("sparse")
    with path.open("r+b") as file:
        file.truncate(20 << 30)
    with pytest.raises(ValueError, match="queue the run again"):
        gallery.overview("sparse")
    path.unlink()
