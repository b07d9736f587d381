"""Films are decoded by other programs' decoders: their frames, times, colours and the graph in them."""

import json
from io import BytesIO
from pathlib import Path

import av
import folder_paths
import numpy as np
import pytest
import torch
from isi.core.film.film import Timing
from isi.host.film.encode import encode
from isi.host.film.film import Pictures, save_film
from PIL import Image, ImageSequence

from ..harness import Failed

RED, GREEN, BLUE = (0.9, 0.2, 0.1), (0.1, 0.6, 0.2), (0.2, 0.3, 0.8)


def flat(colour, height=32, width=48):
    return torch.tensor(colour).expand(height, width, 3).clone()


def decoded(data: bytes, form: str) -> tuple[list[np.ndarray], float]:
    """The frames (0..1), each as often as it is shown in 1/10 s, and the seconds of the film."""
    if form == "mp4":
        with av.open(BytesIO(data)) as film:
            frames = [frame.to_ndarray(format="rgb24") / 255 for frame in film.decode(video=0)]
            return frames, len(frames) / float(film.streams.video[0].average_rate)
    with Image.open(BytesIO(data)) as film:
        found = [
            (np.array(frame.convert("RGB")) / 255, frame.info["duration"])
            for frame in ImageSequence.Iterator(film)
        ]
    return [frame for frame, time in found for _ in range(round(time / 100))], sum(
        time for _, time in found
    ) / 1000


@pytest.mark.parametrize("form", ["webp", "gif", "mp4"])
def test_a_film_shows_its_pictures_for_their_time(booted, form):
    pictures = [flat(RED), flat(GREEN), flat(BLUE)]
    shown = [pictures[at] for at in (0, 0, 0, 1, 1, 2, 2, 2, 2, 2)]
    frames, seconds = decoded(encode(iter(shown), form, 10.0, {}), form)
    assert len(frames) == 10 and seconds == pytest.approx(1.0, abs=0.01)
    for frame, given in zip(frames, shown, strict=True):
        assert np.abs(frame - given.numpy()).max() <= 6 / 255


@pytest.mark.parametrize("form", ["webp", "mp4"])
def test_the_graph_is_in_the_film(booted, form):
    notes = {"prompt": json.dumps({"1": "가"}), "workflow": json.dumps({"nodes": []})}
    data = encode(iter([flat(RED), flat(BLUE)]), form, 12.0, notes)
    if form == "mp4":
        with av.open(BytesIO(data)) as film:
            assert {key: film.metadata[key] for key in notes} == notes
    else:
        exif = Image.open(BytesIO(data)).getexif()
        assert (exif[0x0110], exif[0x010F]) == tuple(f"{key}:{text}" for key, text in notes.items())


def test_pictures_come_one_at_a_time_and_fade(booted):
    asked = []

    def get(number):
        asked.append(number)
        return flat((RED, GREEN, BLUE)[number], 32, (48, 32, 16)[number])

    sizes = [(32, 48), (32, 32), (32, 16)]
    saved = save_film(Pictures(sizes, get), Timing(10, 0.2, 0.1, True), "webp", 0, "isi/film", None, None)
    # Forth and back; the last two are at hand.
    assert asked == [0, 1, 2, 0]
    path = Path(folder_paths.get_output_directory(), saved["subfolder"], saved["filename"])
    frames, _ = decoded(path.read_bytes(), "webp")
    assert len(frames) == 4 * 3
    middle = frames[2][16, 24]
    assert np.abs(middle - (np.array(RED) + GREEN) / 2).max() <= 6 / 255
    assert frames[7][:, :14].max() <= 6 / 255 and frames[6][16, 24] == pytest.approx(BLUE, abs=6 / 255)


def test_a_run_becomes_a_film(host):
    graph = {
        "checkpoint": {"class_type": "ISI_MiniCheckpoint", "inputs": {"kind": "base"}},
        "script": {
            "class_type": "ISI_Script",
            "inputs": {"script": "a; b; c", "steps": 1, "cfg": 2.0, "denoise": 1.0, "final_denoise": 1.0,
                       "curve": "constant", "seed": 1, "seed_mode": "fixed"},
        },
        "loop": {
            "class_type": "ISI_Iterate",
            "inputs": {"model": ["checkpoint", 0], "clip": ["checkpoint", 1], "vae": ["checkpoint", 2],
                       "plan": ["script", 0], "negative": "", "sampler_name": "euler", "scheduler": "normal",
                       "width": 64, "height": 96},
        },
        "film": {
            "class_type": "ISI_Film",
            "inputs": {"run": ["loop", 2], "format": "webp", "fps": 10.0, "hold": 0.2, "cross_fade": 0.0,
                       "ping_pong": False, "longest_side": 48, "filename_prefix": "isi/film"},
        },
    }  # fmt: skip
    shown = host.run(graph)
    (saved,) = shown["film"]["images"]
    film = Path(folder_paths.get_output_directory(), saved["subfolder"], saved["filename"])
    frames, seconds = decoded(film.read_bytes(), "webp")
    assert (len(frames), seconds, frames[0].shape) == (6, 0.6, (48, 32, 3))
    run = shown["loop"]["isi_run"][0]["run"]
    pictures = sorted(Path(folder_paths.get_output_directory(), "isi", run).glob("*.png"))
    for number, path in enumerate(pictures):
        small = np.array(Image.open(path).convert("RGB").resize((32, 48), Image.Resampling.BICUBIC)) / 255
        assert np.abs(frames[2 * number] - small).mean() <= 0.03


def test_no_pictures_and_too_many_frames_are_said(host):
    with pytest.raises(Failed, match="connect one of the two"):
        host.call("ISI_Film", format="gif", fps=12.0, hold=0.5, cross_fade=0.0, ping_pong=False,
                  longest_side=0, filename_prefix="x")  # fmt: skip
    many = Pictures([(8, 8)] * 2000, lambda number: flat(RED, 8, 8))
    with pytest.raises(ValueError, match="at most are made"):
        save_film(many, Timing(60, 60, 0), "gif", 0, "x", None, None)
    with pytest.raises(ValueError, match="no pictures"):
        save_film(Pictures([], lambda number: flat(RED)), Timing(), "gif", 0, "x", None, None)
