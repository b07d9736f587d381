"""A film shows each picture for its time and whole; the frames are worked out by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from isi.core.film.film import Timing, box_of, frame_count, framed, timeline


def told(count, *timing):
    return [(frame.first, frame.second, round(frame.mix, 3)) for frame in timeline(count, Timing(*timing))]


@pytest.mark.parametrize(
    ("count", "timing", "frames"),
    [
        (1, (4, 0.5, 1.0), [(0, 0, 0)] * 2),
        (2, (4, 0.5, 0.0), [(0, 0, 0)] * 2 + [(1, 1, 0)] * 2),
        (2, (4, 0.0, 0.5), [(0, 0, 0), (0, 1, 0.333), (0, 1, 0.667), (1, 1, 0)]),
        (3, (1, 1.0, 0.0, True), [(0, 0, 0), (1, 1, 0), (2, 2, 0), (1, 1, 0)]),
        (2, (2, 0.0, 0.5, True), [(0, 0, 0), (0, 1, 0.5), (1, 1, 0), (1, 0, 0.5)]),
        (1, (4, 0.0, 1.0, True), [(0, 0, 0)]),
    ],
)
def test_frames_by_hand(count, timing, frames):
    assert told(count, *timing) == frames


@given(st.integers(1, 9), st.integers(1, 60), st.floats(0, 2), st.floats(0, 2), st.booleans())
def test_every_picture_stays_its_time_and_nothing_jumps(count, fps, hold, fade, ping_pong):
    frames = list(timeline(count, Timing(fps, hold, fade, ping_pong)))
    assert len(frames) == frame_count(count, Timing(fps, hold, fade, ping_pong))
    shown = [frame.first for frame in frames if frame.mix == 0]
    for number in range(count):
        twice = ping_pong and 0 < number < count - 1
        assert shown.count(number) == max(1, round(hold * fps)) * (2 if twice else 1)
    for a, b in zip(frames, [*frames[1:], frames[0]] if ping_pong else frames[1:], strict=False):
        assert abs(a.first - b.first) <= 1 and 0 <= b.mix < 1


@given(
    st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=1, max_size=5), st.integers(0, 200)
)
def test_every_picture_fits_and_none_is_cropped(sizes, longest):
    box = box_of(sizes, longest)
    assert all(side % 2 == 0 and side >= 2 for side in box)
    assert not longest or max(box) <= max(longest + 1, 2)
    for height, width in sizes:
        seen = framed(torch.ones(height, width, 3), box).mean(-1) > 0.5
        rows, columns = int(seen.any(1).sum()), int(seen.any(0).sum())
        assert int(seen.sum()) == rows * columns  # one whole rectangle
        assert rows == box[0] or columns == box[1]
        assert abs(rows / box[0] - min(1, height / width * box[1] / box[0])) <= 1 / box[0] + 1e-6


def test_a_picture_of_the_films_size_is_shown_as_it_is():
    picture = torch.rand(6, 8, 3)
    assert torch.equal(framed(picture, (6, 8)), picture)
    see_through = torch.cat([picture, torch.full((6, 8, 1), 0.5)], -1)
    assert torch.allclose(framed(see_through, (6, 8)), picture / 2)
