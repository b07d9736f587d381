"""Contact sheets: every picture whole, in its place, beside its label; streamed; no label breaks them."""

import weakref

import pytest
import torch
from isi.core.pictures.contact_sheet import (
    BACKGROUND,
    LARGEST_SHEET,
    MOST_LINES,
    contact_sheet,
    label_font,
    wrapped,
)

COLOURS = [(r, g, b) for r in (0.25, 0.5, 1.0) for g in (0.3, 0.6, 1.0) for b in (0.0, 0.4)]


def flat(height, width, colour):
    return torch.tensor(colour).expand(height, width, 3)


def place(sheet, colour):
    """top, left, height, width of what has this colour."""
    ys, xs = torch.where((sheet - torch.tensor(colour)).abs().amax(-1) < 1e-3)
    top, left = ys.min().item(), xs.min().item()
    height, width = ys.max().item() - top + 1, xs.max().item() - left + 1
    assert len(ys) == height * width, "another picture or a label lies over this one"
    return top, left, height, width


def noise(height, width, channels=3, seed=0):
    return torch.rand(height, width, channels, generator=torch.Generator().manual_seed(seed))


def find(sheet, picture):
    """Where `picture` stands in the sheet bit for bit."""
    height, width = picture.shape[:2]
    corners = (sheet[: 1 - height or None, : 1 - width or None] == picture[0, 0]).all(-1)
    for y, x in corners.nonzero().tolist():
        if torch.equal(sheet[y : y + height, x : x + width], picture):
            return y, x
    raise AssertionError("the picture is not on the sheet")


@pytest.mark.parametrize("columns", [None, 1, 2, 3, 5, 99])
def test_pictures_of_cell_size_are_there_bit_for_bit_in_reading_order(columns):
    pictures = [noise(200, 256, seed=i) for i in range(5)]
    sheet = contact_sheet(iter(pictures), [f"step {i}" for i in range(5)], columns)
    places = [find(sheet, picture) for picture in pictures]
    assert places == sorted(places)
    in_first_row = sum(y == places[0][0] for y, _ in places)
    assert in_first_row == (min(columns, 5) if columns else 2)


def test_any_size_is_shown_whole():
    sizes = [(200, 200), (64, 512), (512, 64), (1, 1), (300, 301), (8, 999)]
    pictures = [flat(*size, colour) for size, colour in zip(sizes, COLOURS, strict=False)]
    sheet = contact_sheet(pictures, ["x"] * len(sizes))
    for (height, width), colour in zip(sizes, COLOURS, strict=False):
        _, _, h, w = place(sheet, colour)
        assert max(h, w) == 200
        assert h == max(1, round(height * 200 / max(height, width)))
        assert w == max(1, round(width * 200 / max(height, width)))


@pytest.mark.parametrize("cell", [64, 300])
def test_cell_sets_the_longer_side(cell):
    sheet = contact_sheet([flat(100, 200, COLOURS[0])] * 2, ["a", "b"], 2, cell)
    assert cell * 2 < sheet.shape[1] < cell * 2 + 40
    with pytest.raises(AssertionError):
        place(sheet, COLOURS[0])  # both have that colour
    top, left, height, width = place(sheet[:, : sheet.shape[1] // 2], COLOURS[0])
    assert (height, width) == (cell // 2, cell)


def test_labels_stand_below_their_picture():
    pictures = [flat(200, 200, c) for c in COLOURS[:3]]
    sheet = contact_sheet(pictures, ["a long label of some words", "", "x"], 3)
    written = []
    for colour in COLOURS[:3]:
        top, left, height, width = place(sheet, colour)
        below = sheet[top + height :, left : left + width]
        written.append((below > BACKGROUND + 0.3).sum().item())
    assert written[0] > written[2] > written[1] == 0


def test_without_any_label_there_is_no_room_for_them():
    pictures = [flat(200, 200, COLOURS[0])]
    bare, labelled = contact_sheet(pictures, [""]), contact_sheet(pictures, ["x"])
    assert bare.shape[0] == bare.shape[1] < labelled.shape[0]


LABELS = [
    "word " * 5000,
    "w" * 100_000,
    "一只红色的猫坐在窗台上" * 100,
    "창가에 앉은 빨간 고양이",
    "mixed 猫 고양이 😀 \x00\t\r\n\n\n\ud800 \\(x\\)",
    "مرحبا",
    "\n" * 50,
]


@pytest.mark.parametrize("label", LABELS)
def test_any_label_fits_and_none_breaks_the_sheet(label):
    sheet = contact_sheet([flat(200, 200, COLOURS[0])], [label])
    place(sheet, COLOURS[0])
    assert sheet.shape[0] < 200 * 1.5


@pytest.mark.parametrize("label", ["", "two words", *LABELS])
@pytest.mark.parametrize("width", [20, 200])
def test_labels_wrap_to_few_lines_that_fit(label, width):
    font = label_font(12, label[:400])
    lines = wrapped(label[:401], font, width)
    assert len(lines) <= MOST_LINES
    assert all(font.getlength(line) <= width for line in lines)
    shown, whole = ("".join("".join(text).split()) for text in (lines, label))
    assert shown == whole or (shown[-1] == "…" and whole.startswith(shown[:-1]))


def test_channels():
    grey = contact_sheet([torch.full((200, 200, 1), 0.5)], [""])
    assert place(grey, (0.5, 0.5, 0.5))[2:] == (200, 200)
    clear = flat(200, 200, COLOURS[0]).clone()
    half = torch.cat([clear, torch.full((200, 200, 1), 0.5)], -1)
    mixed = tuple((c + BACKGROUND) / 2 for c in COLOURS[0])
    assert place(contact_sheet([half], [""]), mixed)[2:] == (200, 200)


def test_values_are_those_of_a_picture_whatever_comes():
    wild = torch.tensor([-5.0, torch.nan, torch.inf]).expand(200, 200, 3)
    sheet = contact_sheet([wild], ["x"])
    assert torch.isfinite(sheet).all()
    assert 0 <= sheet.min() <= sheet.max() <= 1


def test_many_pictures_stay_on_a_sheet_of_bounded_size():
    sheet = contact_sheet((flat(1024, 1536, COLOURS[i]) for i in range(12)), ["x"] * 12)
    assert max(sheet.shape) < 1.6 * LARGEST_SHEET


def test_pictures_are_taken_one_by_one_and_let_go():
    alive: list[weakref.ref] = []

    def stream():
        for i in range(20):
            picture = noise(64, 64, seed=i)
            alive.append(weakref.ref(picture))
            assert sum(ref() is not None for ref in alive) <= 2
            yield picture
            del picture

    contact_sheet(stream(), [str(i) for i in range(20)])
    assert len(alive) == 20


@pytest.mark.parametrize(("pictures", "labels"), [(0, 0), (0, 1), (1, 0), (2, 1), (1, 2)])
def test_pictures_and_labels_must_be_equally_many(pictures, labels):
    with pytest.raises(ValueError, match="contact sheet"):
        contact_sheet([flat(8, 8, COLOURS[0])] * pictures, ["x"] * labels)


def test_control_characters_never_reach_the_font():
    """Fonts with all of Chinese and Pillow's own layout raise RuntimeError for them."""
    font = label_font(16, "海")
    assert wrapped("a\x07b\x00海\ud83d!\r\nc", font, 1000) == wrapped("a b 海 !\nc", font, 1000)
