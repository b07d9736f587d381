"""Iterations carry an infotext that says how they were made, and one from elsewhere fills the widgets."""

import io
import json
from pathlib import Path

import folder_paths
import pytest
from isi.core.infotext.pictures import read_picture
from isi.host.prompts.infotext import read_dropped
from PIL import Image
from PIL.PngImagePlugin import PngInfo

TEXT = (
    "a (red) circle {x};\nNegative prompt: grey\n"
    "Steps: 3, Sampler: Heun Karras, CFG scale: 4, Seed: 9, Size: 64x128"
)


def graph(**more) -> dict:
    return {
        "checkpoint": {"class_type": "ISI_MiniCheckpoint", "inputs": {"kind": "base"}},
        "script": {
            "class_type": "ISI_Script",
            "inputs": {"script": "a {circle|circle}; a star @seed=5 @cfg=3 @sampler=heun", "steps": 2,
                       "cfg": 6.5, "denoise": 0.5, "final_denoise": 0.5, "curve": "constant",
                       "seed": 4, "seed_mode": "increment"},
        },
        "loop": {
            "class_type": "ISI_Iterate",
            "inputs": {"model": ["checkpoint", 0], "clip": ["checkpoint", 1], "vae": ["checkpoint", 2],
                       "plan": ["script", 0], "negative": "grey, (dull:1.2)", "sampler_name": "dpmpp_2m",
                       "scheduler": "karras", "width": 64, "height": 96, **more},
        },
    }  # fmt: skip


def iterations(host, given: dict) -> list:
    shown = host.run(given)["loop"]
    folder = Path(folder_paths.get_output_directory(), "isi", shown["isi_run"][0]["run"])
    return [read_picture(path.read_bytes()) for path in sorted(folder.glob("*.png"))]


def test_an_iteration_says_how_it_was_made(host):
    """The words that were drawn, not the choice, and the settings that the step really had."""
    first, second = iterations(host, graph())
    assert (first.prompt, second.prompt, first.negative) == ("a circle", "a star", "grey, (dull:1.2)")
    same = {"Schedule type": "Karras", "Size": "64x96", "Model": None, "Version": "ComfyUI"}
    for name, value in same.items():
        assert first.get(name) == second.get(name) == value
    names = ("Steps", "Sampler", "CFG scale", "Seed", "Denoising strength")
    # The first has no picture to start from, so that all of it is noise.
    assert [first.get(name) for name in names] == ["2", "DPM++ 2M", "6.5", "4", None]
    assert [second.get(name) for name in names] == ["2", "Heun", "3", "5", "0.5"]


def picture_of(text: str) -> bytes:
    info, file = PngInfo(), io.BytesIO()
    info.add_text("parameters", text)
    Image.new("RGB", (16, 16)).save(file, "PNG", pnginfo=info)
    return file.getvalue()


EXPECTED = [
    "a (red) circle {x};",
    "grey",
    r"a (red) circle \{x\}\;",
    9,
    3,
    4.0,
    1.0,
    64,
    128,
    "heun",
    "karras",
]


def test_the_node_reads_pictures_and_texts(host, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_paths, "input_directory", str(tmp_path))
    Path(tmp_path, "infotext.png").write_bytes(picture_of(TEXT + ", Clip skip: 2"))
    for image, text in (("infotext.png", ""), ("infotext.png", TEXT + ", Clip skip: 2")):
        *said, notes = host.call("ISI_ReadInfotext", image=image, text=text)
        assert said == EXPECTED
        assert notes == "Clip skip: 2 has no widget here."
    *said, notes = host.call("ISI_ReadInfotext", image="infotext.png", text="only words")
    assert said[3:] == [0, 20, 7.0, 1.0, 512, 512, "euler", "normal"] and notes == ""


def test_what_is_dropped_is_a_picture_or_a_text():
    told = read_dropped(picture_of(TEXT), False)
    assert told == read_dropped(TEXT.encode(), True) and told["script"] == EXPECTED[2]
    json.dumps(told)
    for data in (b"", b"\x89PNG\r\n\x1a\n", bytes(1000), b"\xff\xd8\xff" + bytes(100), b"{}"):
        with pytest.raises(ValueError, match="picture"):
            read_dropped(data, False)
    with pytest.raises(ValueError, match="no infotext"):
        read_dropped(b" ", True)
