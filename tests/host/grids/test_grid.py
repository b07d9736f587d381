"""ISI Grid on the real queue: each cell is the graph run by hand; only what is missing is made."""

import itertools
import json
import shutil
import uuid

import numpy as np
import pytest
from isi.host.choosing.choosing import choose
from isi.host.loop.gallery import open_run
from PIL import Image

from ..harness import CAUGHT, Failed
from .queued import Queue, flat, levels, loop, node

COLOURS = "Paint.color = 0, 255, 65280, 16711680"
RGB = [(0, 0, 0), (0, 0, 255), (0, 255, 0), (255, 0, 0)]


@pytest.fixture
def queue(host):
    yield Queue(host)
    host.server.prompt_queue.wipe_queue()


@pytest.mark.slow
def test_twelve_cells_are_the_graph_run_by_hand(host, queue, calls, monkeypatch, tmp_path):
    """Text, sampler and model, over a loop; by hand in a store of its own."""
    axes = """
    prompt = replace "red": red, blue, "green"
    ISI Iterate.sampler_name = euler, heun | label: Sampler
    Model.kind = base, upscale-x4
    """
    ended, _ = queue.run(loop(axes, "twelve"))
    assert ended == [True] * 13 and len(calls) == 24  # two steps a cell; the sheet's prompt samples nothing
    made = queue.pictures("twelve")
    monkeypatch.setenv("ISI_HOME", str(tmp_path))
    for index, (kind, sampler, colour) in enumerate(
        itertools.product(["base", "upscale-x4"], ["euler", "heun"], ["red", "blue", "green"])
    ):
        graph = loop(sampler_name=sampler)
        del graph["grid"]
        graph["model"]["inputs"]["kind"] = kind
        graph["script"]["inputs"]["script"] = f"a {colour} circle; a {colour} square"
        token = uuid.uuid4().hex
        host.run(graph | {"caught": node("Test_Catch", name=token, value=["run", 0])})
        assert np.array_equal(made[index], levels(CAUGHT.pop(token))), (kind, sampler, colour)
    assert len(calls) == 48


def test_a_server_that_dies_at_the_seventh_cell_makes_five_more(queue):
    graph = flat(f"{COLOURS}\nImageScale.width = 8, 16, 24", "dies")
    assert queue.run(graph, most=7)[0] == [True] * 7
    queue.die()
    before = {path: path.stat().st_mtime_ns for path in (queue.folder("dies") / "cells").glob("*")}
    assert len(before) == 14
    assert queue.run(graph)[0] == [True] * 6  # five cells, and the sheet
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert [picture.shape[1] for picture in queue.pictures("dies")] == [8] * 4 + [16] * 4 + [24] * 4
    assert queue.run(graph)[0] == []


def test_what_was_half_written_or_removed_is_made_again(host, queue):
    graph = flat(COLOURS, "holes")
    queue.run(graph)
    cells = queue.folder("holes") / "cells"
    keys = queue.grid("holes")["keys"]
    (cells / f"{keys[0]}.json").unlink()  # killed after the picture
    (cells / f"{keys[2]}.png").unlink()  # removed by hand
    assert len(queue.run(graph)[0]) == 3
    assert all(picture is not None for picture in queue.pictures("holes"))
    shutil.rmtree(queue.folder("holes"))
    assert len(queue.run(graph)[0]) == 5
    assert [tuple(picture[0, 0]) for picture in queue.pictures("holes")] == RGB


def test_a_cell_is_known_by_its_resolved_graph(queue):
    """Other axes, ids and titles with the same result have the same cells; another file has not."""
    queue.run(flat(COLOURS, "edited"))
    first = queue.grid("edited")["keys"]
    more = flat(f"ImageScale.width = 24, 32\n{COLOURS} | label: Colour", "edited")
    more = json.loads(json.dumps(more).replace('"1"', '"77"'))
    assert len(queue.run(more)[0]) == 5  # the four that are wider, and the sheet
    assert queue.grid("edited")["keys"][::2] == first


def test_a_file_counts_by_its_content(host, queue):
    def paint(colour):
        Image.new("RGB", (8, 8), colour).save(host.base / "input" / "grid.png")

    graph = flat("ImageScale.width = 8", "file") | {"1": node("LoadImage", image="grid.png")}
    keys = []
    for colour in ((9, 9, 9), (200, 0, 0), (9, 9, 9)):
        paint(colour)
        queue.run(graph)
        keys += queue.grid("file")["keys"]
        assert tuple(queue.pictures("file")[0][0, 0]) == colour
    assert keys[0] == keys[2] != keys[1]


def test_a_cell_that_fails_stops_no_other_and_is_tried_once_a_queueing(host, queue):
    (host.base / "input" / "broken.png").write_bytes(b"no picture")
    Image.new("RGB", (8, 8), (1, 2, 3)).save(host.base / "input" / "sound.png")
    graph = flat("LoadImage.image = broken.png, sound.png", "fails") | {
        "1": node("LoadImage", image="sound.png")
    }
    assert queue.run(graph)[0] == [False, True, True]
    assert queue.run(graph)[0] == [False, True]
    assert [picture is None for picture in queue.pictures("fails")] == [True, False]


def test_a_full_disk_at_one_cell_is_said_and_loses_that_cell_alone(host, queue, monkeypatch):
    from isi.host.loop import gallery

    real, written = gallery.write_atomic, []

    def full(path, *data, **given):
        written.append(path)
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        return real(path, *data, **given)

    monkeypatch.setattr(gallery, "write_atomic", full)
    graph = flat(COLOURS, "full")
    assert queue.run(graph)[0] == [True, True, False, True, True]
    errors = [data["exception_message"] for kind, data in host.events if kind == "execution_error"]
    assert len(errors) == 1 and "(No space left on device): make room there" in errors[0]
    assert len(queue.run(graph)[0]) == 2 and all(picture is not None for picture in queue.pictures("full"))


def test_a_cell_is_there_when_its_last_file_is(queue, monkeypatch):
    """Killed between the pictures of a batch: what is there is not taken for the whole."""
    from isi.host.grids import folder

    def killed(path, *data):
        if path.parent.name == "cells":
            raise KeyboardInterrupt

    graph = flat("Paint.batch_size = 3", "half")
    with monkeypatch.context() as patch:
        patch.setattr(folder, "write_atomic", killed)
        with pytest.raises(KeyboardInterrupt):
            queue.run(graph)
    assert len(list((queue.folder("half") / "cells").glob("*.png"))) == 3
    queue.die()
    assert queue.run(graph)[0] == [True, True]


def test_a_picture_that_a_conditioner_holds_counts(booted):
    """A loop's own keys read it live; a cell's key has nothing but the graph."""
    from isi.host.grids.cell_keys import CellKeys
    from isi.host.keys.files import Files

    def graph(colour):
        return {
            "1": node("EmptyImage", width=8, height=8, batch_size=1, color=colour),
            "2": node("ISI_ClipVisionConditioner", image=["1", 0]),
        }

    keys = CellKeys(graph(1), ["2", 0], Files())
    assert keys.key(graph(1)) != keys.key(graph(2)) == keys.key(graph(2))
    assert CellKeys(graph(2), ["2", 0], Files()).key(graph(1)) == keys.key(graph(1))


def test_the_same_nodes_in_the_same_order_linked_otherwise_are_another_cell(booted):
    from isi.host.grids.cell_keys import CellKeys
    from isi.host.keys.files import Files

    def key(first, second):
        graph = {
            "a": node("EmptyImage", width=8, height=8, batch_size=1, color=1),
            "b": node("EmptyImage", width=8, height=8, batch_size=1, color=2),
            "inverted": node("ImageInvert", image=["a", 0]),
            "inner": node("ImageBlend", image1=[first, 0], image2=[second, 0]),
            "outer": node("ImageBlend", image1=["inverted", 0], image2=["inner", 0]),
        }
        return CellKeys(graph, ["outer", 0], Files()).key(graph)

    assert key("a", "b") == key("a", "b") != key("b", "a")


def test_left_out_cells_are_not_made(queue):
    queue.run(flat(f"{COLOURS}\nImageScale.width = 8, 16\nskip = color > 300 and width = 16", "skips"))
    made = queue.pictures("skips")
    assert [picture is None for picture in made] == [False] * 6 + [True] * 2


def test_the_sheet_has_columns_rows_and_tables_in_the_axes_order(host, queue):
    graph = flat(f"{COLOURS}\nImageScale.height = 16, 24\nImageScale.width = 16, 24", "sheet")
    token = uuid.uuid4().hex
    graph["after"] = node("Test_Catch", name=token, value=["grid", 0])
    graph["where"] = node("Test_Catch", name=token + "w", value=["grid", 1])
    queue.run(graph)
    sheet, folder = CAUGHT.pop(token), CAUGHT.pop(token + "w")
    assert folder == str(queue.folder("sheet"))
    rows = []
    for line in levels(sheet):
        colours = [tuple(colour) for colour, _ in itertools.groupby(map(tuple, line)) if tuple(colour) in RGB]
        if len(colours) == 4 and (not rows or rows[-1][0] != "in"):
            rows.append(("in", colours))
        elif len(colours) < 4 and rows and rows[-1][0] == "in":
            rows.append(("out", None))
    assert [colours for kind, colours in rows if kind == "in"] == [RGB] * 4


def test_a_batch_and_a_list_are_kept_whole(queue):
    graph = flat("Paint.batch_size = 1, 3", "batch")
    queue.run(graph)
    cells = queue.folder("batch") / "cells"
    keys = queue.grid("batch")["keys"]
    assert [len(list(cells.glob(f"{key}*.png"))) for key in keys] == [1, 3]


def test_a_round_is_short_and_a_long_grid_ends(host, queue):
    graph = flat("Paint.color = 1 .. 70", "long")
    queue.send(graph)
    waiting = host.server.prompt_queue.get_tasks_remaining()
    assert waiting == 33
    assert queue.drain() == [True] * 73  # 70 cells; two rounds more, and the sheet


@pytest.mark.parametrize("cache", ["classic", "lru", "ram", "none"])
def test_a_grid_that_is_queued_twice_is_made_once(host, queue, monkeypatch, cache):
    host.new_executor(cache)
    made = []
    kind = host.nodes["ImageScale"]
    real = kind.upscale
    monkeypatch.setattr(kind, "upscale", lambda *given, **named: made.append(1) or real(*given, **named))
    graph = flat(COLOURS, f"twice {cache}")
    for _ in range(2):
        queue.send(graph)
    assert queue.drain() == [True] * 10 and len(made) == 4
    assert queue.run(graph)[0] == [] and len(made) == 4
    host.new_executor()


@pytest.mark.parametrize(
    ("axes", "says"),
    [
        ("Paint.colour = 3", "Axes, line 1, column 1: 'Paint' has no widget 'colour'; it has color"),
        ("\nEmptyImage.color = 16777216", "line 2, column 20: Paint.color takes a whole number from 0 to"),
        ("ImageScale.upscale_method = bilnear", "has no choice 'bilnear'; there is bilinear"),
        ("LoadImage.image = gone.png", "No node is called 'LoadImage'"),
        ("Paint.color = 1 .. 1000\nPaint.width = 1 .. 1000", "1000 x 1000 = 1,000,000 cells"),
        ("Paint.color = 1\nskip = color = 1", "The skip rules leave out every cell."),
    ],
)  # fmt: skip
def test_a_slip_is_said_before_anything_is_queued(host, queue, axes, says):
    with pytest.raises(Failed) as caught:
        queue.run(flat(axes, "slip"))
    assert says in str(caught.value)
    assert queue.drain() == [] and not queue.folder("slip").exists()


def test_a_slip_of_the_pen_is_said_when_it_is_queued(host):
    with pytest.raises(Failed) as caught:
        host.run(flat("Paint.color = 1\nskip = color >"))
    (error,) = caught.value.details["node_errors"]["grid"]["errors"][:1]
    assert error["type"] == "custom_validation_failed" and "line 2, column 15" in error["details"]


def test_what_the_host_refuses_is_said_with_its_place(queue):
    """ISI Script checks its own text; no schema says what is wrong with it."""
    with pytest.raises(Failed, match=r"line 1, column 26: ComfyUI refuses this value: ISI_Script: .*denoise"):
        queue.run(loop('ISI Script.script = red, "red @denoise=7"'))


def test_cells_that_wait_for_a_choice_come_when_it_is_made(queue, calls):
    """By hand in each cell's own run: another candidate in each is the seed that differs."""
    graph = loop("ISI Iterate.run_name = one, two", "asked")
    own = {"script": "a red circle *2?; a red square", "seed": 61}  # which no other test has made
    graph["script"]["inputs"] |= own
    ended, _ = queue.run(graph)
    assert ended == [True, True, False]  # the sheet's prompt says why there is none
    assert queue.pictures("asked") == [None, None]
    assert len(calls) == 2  # the candidates, which both cells share; what follows them waits
    for number, name in enumerate(("one", "two"), 1):
        choose(name, {"iteration": 1, "candidate": number})
    assert all(queue.run(graph)[0])
    one, two = queue.pictures("asked")
    assert len(calls) == 2 + 2 and not np.array_equal(one, two)
    (seed,) = (step.seed for step in open_run("two")[0].plan.steps[:1])
    assert seed != 61
    plain = loop("ISI Iterate.run_name = alone", "alone")
    plain["script"]["inputs"]["script"] = f"a red circle @seed={seed}; a red square @seed=62"
    queue.run(plain)
    assert np.array_equal(queue.pictures("alone")[0], two) and len(calls) == 4
