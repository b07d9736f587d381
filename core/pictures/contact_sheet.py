"""Contact sheets: many pictures of any size on one labelled grid, without cropping any."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..loop.lens import resize, widened
from ..loop.room import need_room

BACKGROUND, INK = 0.11, 0.92
LARGEST_SHEET = 4096
MOST_PIXELS = 2**27
"""Pixels of all cells together: cells of a larger sheet are smaller than asked for."""
SMALLEST_CELL = 192
"""Pictures are enlarged to this, so that there is room for their labels."""
MOST_LINES = 3
LONGEST_LABEL = 400

# Installed fonts that have what Pillow's own lacks; the first one found serves.
_NOTO = ("NotoSansCJK-Regular.ttc", "NotoSansCJKsc-Regular.otf", "SourceHanSansSC-Regular.otf")
_CHINESE = ("msyh.ttc", "PingFang.ttc", "Hiragino Sans GB.ttc", "wqy-microhei.ttc", "wqy-zenhei.ttc")
_KOREAN = ("malgun.ttf", "AppleSDGothicNeo.ttc", "NanumGothic.ttf")
_HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]")
_LATIN_END = "\u0250"

# A line may break at blanks, and beside any character of scripts that write no blanks.
_PIECES = re.compile(r"\n|[^\S\n]+|[\u2e80-\uffef]|[^\s\u2e80-\uffef]+")


@dataclass(frozen=True)
class _Layout:
    """Pixels: a cell is a picture's `height` x `width`, with `strip` for its label below."""

    columns: int
    rows: int
    height: int
    width: int
    strip: int
    gap: int

    def corner(self, index: int) -> tuple[int, int]:
        row, column = divmod(index, self.columns)
        y = self.gap + row * (self.height + self.strip + self.gap)
        return y, self.gap + column * (self.width + self.gap)

    def size(self) -> tuple[int, int]:
        y, x = self.corner(self.columns * self.rows - 1)
        return y + self.height + self.strip + self.gap, x + self.width + self.gap


def contact_sheet(
    pictures: Iterable[Tensor],
    labels: Sequence[str],
    columns: int | None = None,
    cell: int | None = None,
) -> Tensor:
    """One picture `[H, W, 3]` in 0..1 on the CPU with all `pictures`, in rows, each above its label.

    `pictures` are `[h, w, C]` in 0..1, one for each label, of any size and 1 to 4 channels (alpha shows the
    background). They are taken one by one, so that a generator can load them from disk: only the sheet and
    one picture are held. Cells have the shape of the first picture, and every other picture is fitted into
    its cell whole. Labels wrap to three lines; what is longer ends in an ellipsis.

    `columns`: how many in a row (default: a sheet that is about square). `cell`: the longer side of a cell in
    pixels (default: that of the first picture, at least 192, and less where the sheet would be larger than
    4096); less where the cells together would have more than MOST_PIXELS.

    Raises ValueError without a picture, if pictures and labels are not equally many, or where memory is too
    small for the sheet.
    """
    sheet: Tensor | None = None
    count = 0
    for count, picture in enumerate(pictures, 1):
        if count > len(labels):
            break
        if sheet is None:
            layout = _layout(len(labels), picture.shape[0], picture.shape[1], columns, cell)
            labeller = Labeller(labels, layout)
            layout = replace(layout, strip=labeller.height)
            height, width = layout.size()
            need_room(height * width * 3 * 4, f"A sheet of {width}x{height} pixels", "lower the cell")
            sheet = torch.full((*layout.size(), 3), BACKGROUND)
        y, x = layout.corner(count - 1)
        sheet[y : y + layout.height, x : x + layout.width] = _letterboxed(picture, layout)
        sheet[y + layout.height :][: layout.strip, x : x + layout.width] = labeller.draw(count - 1)
    if sheet is None or count != len(labels):
        raise ValueError(
            f"A contact sheet needs pictures and a label for each, came {len(labels)} labels "
            f"and {'more' if count > len(labels) else count} pictures."
        )
    return sheet


def _layout(count: int, height: int, width: int, columns: int | None, cell: int | None) -> _Layout:
    """The grid, yet without room for labels."""
    longer = max(height, width)
    if columns is None:
        columns = math.ceil(math.sqrt(count * height / width))
    columns = max(1, min(columns, count))
    rows = math.ceil(count / columns)
    room = LARGEST_SHEET / max(columns * width, rows * height)
    scale = cell / longer if cell else min(max(1.0, SMALLEST_CELL / longer), room)
    scale = min(scale, math.sqrt(MOST_PIXELS / (columns * width * rows * height)))
    height, width = (max(1, round(side * scale)) for side in (height, width))
    return _Layout(columns, rows, height, width, 0, max(6, max(height, width) // 40))


def _letterboxed(picture: Tensor, layout: _Layout) -> Tensor:
    """`[height, width, 3]`: the whole picture, as large as the cell takes it, right above its label."""
    picture = picture.detach().float().cpu().nan_to_num(0.0)
    height, width, channels = picture.shape
    colours, alpha = picture, None
    if channels in (2, 4):
        colours, alpha = picture[..., :-1], picture[..., -1:].clamp(0, 1)
    colours = colours[..., :3].expand(height, width, 3)
    if alpha is not None:
        colours = torch.lerp(torch.full_like(colours, BACKGROUND), colours, alpha)
    scale = min(layout.height / height, layout.width / width)
    height, width = (max(1, round(side * scale)) for side in (height, width))
    fitted = resize(widened(colours)[None], height, width)[0].clamp(0, 1)
    cell = torch.full((layout.height, layout.width, 3), BACKGROUND)
    x = (layout.width - width) // 2
    cell[layout.height - height :, x : x + width] = fitted
    return cell


class Labeller:
    """Draws the labels of one sheet, all at one size: `height` is what the longest of them takes."""

    def __init__(self, labels: Sequence[str], layout: _Layout):
        labels = [label[: LONGEST_LABEL + 1] for label in labels]
        size = min(max(layout.width // 20, 11), 32)
        self.font = label_font(size, "".join(labels))
        self.width, self.pad = layout.width, size // 4
        self.lines = [wrapped(label, self.font, layout.width) for label in labels]
        most = max(len(lines) for lines in self.lines)
        ascent, descent = self.font.getmetrics()
        self.line_height = ascent + descent
        self.height = most * self.line_height + 2 * self.pad if most else 0

    def draw(self, index: int) -> Tensor:
        """`[height, width, 1]`"""
        strip = Image.new("L", (self.width, self.height))
        pen = ImageDraw.Draw(strip)
        for i, line in enumerate(self.lines[index]):
            pen.text((0, self.pad + i * self.line_height), line, fill=255, font=self.font)
        ink = torch.from_numpy(np.asarray(strip).copy()).unsqueeze(-1) / 255
        return BACKGROUND + (INK - BACKGROUND) * ink


def printable(label: str) -> str:
    """`label` without what fonts may refuse: control characters but line ends, and halves of characters."""
    lines = "\n".join(label.splitlines())
    return "".join(" " if unicodedata.category(one) in ("Cc", "Cs") and one != "\n" else one for one in lines)


def label_font(size: int, text: str) -> ImageFont.FreeTypeFont:
    """Pillow's own font, or an installed one where the text has characters beyond Latin."""
    if any(character >= _LATIN_END for character in text):
        scripts = _KOREAN + _CHINESE if _HANGUL.search(text) else _CHINESE + _KOREAN
        for name in _NOTO + scripts:
            with suppress(OSError):
                return ImageFont.truetype(name, size)
    return ImageFont.load_default(size)  # type: ignore[return-value]


def wrapped(label: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """At most MOST_LINES lines that fit into `width` pixels; an ellipsis ends a label that does not."""
    label, lines = printable(label), [""]
    for piece in _pieces(label, font, width):
        if piece != "\n" and font.getlength(lines[-1] + piece) <= width:
            lines[-1] += piece
        else:
            lines.append(piece.strip())
    if len(lines) > MOST_LINES or len(label) > LONGEST_LABEL:
        lines = lines[:MOST_LINES]
        while lines[-1] and font.getlength(lines[-1] + "…") > width:
            lines[-1] = lines[-1][:-1]
        lines[-1] += "…"
    return lines if any(lines) else []


def _pieces(label: str, font: ImageFont.FreeTypeFont, width: int) -> Iterator[str]:
    """What a line may break between; a word that is too wide for any line falls apart."""
    for piece in _PIECES.findall(label.strip()):
        yield from [piece] if font.getlength(piece.replace("\n", " ")) <= width else piece
