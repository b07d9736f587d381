"""Texts are found in PNG, JPEG and WebP files of many programs, and a broken file is one sentence."""

import io
import json
import zlib

import pytest
from isi.core.infotext.pictures import read_picture, user_comment
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from .corpus import CORPUS

TEXTS = [CORPUS[at][0] for at in (1, 4, 5, 6, 19)]


def made(form: str, **more) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(file, form, **more)
    return file.getvalue()


def png(compressed=False, **texts) -> bytes:
    info = PngInfo()
    for key, text in texts.items():
        info.add_itxt(key, text, zip=compressed) if not text.isascii() else info.add_text(
            key, text, compressed
        )
    return made("PNG", pnginfo=info)


def with_comment(form: str, comment: bytes) -> bytes:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = comment
    return made(form, exif=exif)


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_found_in_every_format(text):
    expected = read_picture(png(parameters=text))
    assert expected == read_picture(png(compressed=True, parameters=text))
    assert expected.get("Seed") == "1234567890"
    for form in ("JPEG", "WEBP"):
        for body in (
            b"UNICODE\0" + text.encode("utf-16-be"),
            b"UNICODE\0" + text.encode("utf-16-le"),
            b"UNICODE\0" + text.encode("utf-16"),
            b"ASCII\0\0\0" + text.encode(),
            text.encode(),
        ):
            assert read_picture(with_comment(form, body)) == expected, (form, body[:12])


@pytest.mark.parametrize("text", ["晚霞 一只猫，", "고양이", "oak", "Ünï", "東京、夜\nSteps: 9"])
def test_the_order_of_bytes_is_found_in_the_text(text):
    for order in ("utf-16-be", "utf-16-le"):
        assert user_comment(b"UNICODE\0" + text.encode(order)) == text


def test_the_text_behind_the_pixels_is_found():
    whole = made("PNG")
    body = b"parameters\0" + TEXTS[0].encode("latin-1")
    chunk = len(body).to_bytes(4, "big") + b"tEXt" + body + zlib.crc32(b"tEXt" + body).to_bytes(4, "big")
    end = whole.rindex(b"IEND") - 4
    assert read_picture(whole[:end] + chunk + whole[end:]).prompt == "oak"


def test_other_programs_and_graphs():
    novelai = json.dumps({"prompt": "{oak}", "uc": "bad", "seed": 3})
    assert read_picture(png(Software="NovelAI", Comment=novelai)).prompt == "(oak:1.05)"
    graph = {"1": {"inputs": {"text": "birch"}}, "2": {"inputs": {"seed": 1, "positive": ["1", 0]}}}
    assert read_picture(png(prompt=json.dumps(graph), workflow="{}")).prompt == "birch"
    exif = Image.Exif()
    exif[0x0110] = "prompt:" + json.dumps(graph)
    assert read_picture(made("WEBP", exif=exif)).prompt == "birch"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "no PNG, JPEG or WebP"),
        (b"GIF89a" + bytes(20), "no PNG, JPEG or WebP"),
        (made("PNG")[:40], "no PNG, JPEG or WebP"),
        (made("PNG"), "says nothing of how it was made"),
        (made("JPEG"), "says nothing of how it was made"),
        (png(parameters="x" * 5_000_000), "expected the settings of one picture"),
        (png(compressed=True, parameters="x" * 5_000_000), "no PNG, JPEG or WebP"),
    ],
)
def test_what_is_no_picture_or_says_nothing_is_one_sentence(data, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_picture(data)
