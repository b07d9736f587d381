"""The texts in a picture file, and what they say of how it was made."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import suppress
from io import BytesIO

from PIL import Image

from . import a1111
from .graph import from_graph
from .info import Infotext
from .others import from_json

FORMATS = ["PNG", "JPEG", "WEBP"]
LARGEST = 512 << 20
"""Bytes of a file."""
_EXIF_IFD, _USER_COMMENT, _DESCRIPTION = 0x8769, 0x9286, 0x010E
_HOST_TAGS = (0x010F, 0x0110, _DESCRIPTION)
"""Where ComfyUI and its savers put `prompt:{...}` in a WebP."""


def read_picture(data: bytes) -> Infotext:
    """What a PNG, JPEG or WebP file says of how it was made: A1111's, NovelAI's, InvokeAI's or Fooocus' text,
    or ComfyUI's graph. Raises ValueError with a sentence if it is no picture, or says nothing.
    """
    if len(data) > LARGEST:
        raise ValueError(f"This file has {len(data) >> 20} MiB; expected a picture of at most 512.")
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            said = list(_texts(image))
            if not said and image.format == "PNG":
                image.load()  # texts may stand behind the pixels
                said = list(_texts(image))
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError(f"This is no PNG, JPEG or WebP picture that can be read ({error}).") from error
    for text in said:
        if (found := read_text(text)) is not None:
            return found
    raise ValueError(
        "This picture says nothing of how it was made: it was saved without, or a program on the way "
        "took it out."
    )


def read_text(text: str) -> Infotext | None:
    """The infotext of a text of any of the programs, JSON or not; None for a blank text and other JSON."""
    text = text.strip("\0 \n\r\t")
    if text.startswith("{"):
        with suppress(ValueError, RecursionError):
            value = json.loads(text)
            if isinstance(value, Mapping):
                return from_json(value) or from_graph(value)
    return a1111.read(text) if text else None


def _texts(image: Image.Image) -> Iterator[str]:
    """The texts that may tell, best first."""
    info = {key: value for key, value in image.info.items() if isinstance(value, str)}
    for key in ("parameters", "invokeai_metadata", "sd-metadata"):
        if key in info:
            yield info[key]
    if (comment := info.get("Comment", "")).lstrip().startswith("{"):
        yield comment
    exif = image.getexif()
    comment = exif.get_ifd(_EXIF_IFD).get(_USER_COMMENT)
    if isinstance(comment, bytes):
        comment = user_comment(comment)
    if isinstance(comment, str) and comment.strip("\0 "):
        yield comment
    for tag in _HOST_TAGS:
        value = exif.get(tag)
        if isinstance(value, str) and value.lower().startswith("prompt:"):
            yield value[7:]
    if "prompt" in info:
        yield info["prompt"]


def user_comment(data: bytes) -> str:
    """The text of an EXIF UserComment: eight bytes name its kind, UTF-16 comes in either order of bytes.

    The standard says the file's own order; programs write the other one too, so that the text decides. One
    with settings has ASCII in it, which the wrong order turns into characters of other scripts.
    """
    kind, body = data[:8], data[8:]
    if kind == b"UNICODE\0":
        marks = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
        if body[:2] in marks:
            return body[2:].decode(marks[body[:2]], "replace")
        orders = (body.decode(order, "replace") for order in ("utf-16-be", "utf-16-le"))
        return min(orders, key=_oddness)
    if kind in (b"ASCII\0\0\0", b"JIS\0\0\0\0\0", bytes(8)):
        data = body
    with suppress(UnicodeDecodeError):
        return data.decode("utf-8")
    return data.decode("latin-1")


def _oddness(text: str) -> tuple[int, int]:
    """How little of a text is ASCII, then how many of its characters no script has."""
    odd = sum(unicodedata.category(character) in ("Cn", "Co", "Cs", "Cc") for character in text)
    return -sum(" " <= character <= "~" for character in text), odd
