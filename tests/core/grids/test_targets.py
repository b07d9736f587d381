"""What axes mean in a graph: the widget, the values as its class takes them, and the graph of each cell."""

import copy

import pytest
from isi.core.grids.axes import read_axes
from isi.core.grids.cells import cells
from isi.core.grids.targets import NodeKind, find_targets
from isi.core.language.mistakes import ScriptError

MODELS = ["sd/dream.safetensors", "sd/Real.safetensors", "xl/base.safetensors", "other/base.ckpt"]
TEXT = ("STRING", {"multiline": True})
CFG = ("FLOAT", {"min": 0.0, "max": 100.0, "step": 0.1})


def node(kind, title="", **inputs):
    return {"class_type": kind, "inputs": inputs} | ({"_meta": {"title": title}} if title else {})


KINDS = {
    "Loader": NodeKind("Load Checkpoint", {"ckpt_name": (MODELS, {})}),
    "CLIPTextEncode": NodeKind("CLIP Text Encode", {"text": TEXT, "clip": ("CLIP", {})}),
    "ISI_Script": NodeKind("ISI Script", {"script": TEXT, "cfg": CFG}),
    "KSampler": NodeKind(
        "KSampler",
        {
            "seed": ("INT", {"min": 0, "max": 2**64 - 1}), "steps": ("INT", {"min": 1, "max": 10000}),
            "cfg": CFG,
            "sampler_name": ("COMBO", {"options": ["euler", "dpmpp_2m"]}), "add_noise": ("BOOLEAN", {}),
            "positive": ("CONDITIONING", {}), "width": ("INT", {"min": 16, "max": 4096, "step": 8}),
        },
    ),
    "Save": NodeKind("Save Image", {"images": ("IMAGE", {}), "filename_prefix": ("STRING", {})}),
    "Grid": NodeKind("ISI Grid", {"image": ("IMAGE", {}), "axes": ("STRING", {"multiline": True})}),
}  # fmt: skip
GRAPH = {
    "1": node("Loader", ckpt_name=MODELS[0]),
    "2": node("CLIPTextEncode", "Good", text="an oak by an oak", clip=["1", 1]),
    "3": node("CLIPTextEncode", "v1.5 bad", text="blurry oak", clip=["1", 1]),
    "4": node(
        "KSampler", seed=5, steps=8, cfg=5.0, sampler_name="euler", add_noise=True, width=64,
        positive=["2", 0], negative=["3", 0], model=["1", 0],
    ),
    "5": node("KSampler", "Refiner", seed=6, cfg=2.0, latent=["4", 0]),
    "6": node("Save", images=["5", 0], filename_prefix="oak"),
    "g": node("Grid", image=["5", 0], axes="oak"),
}  # fmt: skip


def targets(text, graph=GRAPH):
    return find_targets(read_axes(text), graph, "g", KINDS.__getitem__)


def changed(text, graph=GRAPH):
    """Per cell, what differs from the graph: (node, input) -> value."""
    axes = read_axes(text)
    found = targets(text, graph)
    return [
        {
            (node, name): value
            for node, each in found.graph_of(cell).items()
            for name, value in each["inputs"].items()
            if value != graph[node]["inputs"].get(name, graph)
        }
        for cell in cells(axes)
    ]


@pytest.mark.parametrize(
    ("line", "place", "wanted"),
    [
        ("Refiner.cfg = 3, 4", ("5", "cfg"), [3.0, 4.0]),
        ("refiner.seed = 18446744073709551615", ("5", "seed"), [2**64 - 1]),
        ("KSampler#4.steps = 2 .. 4", ("4", "steps"), [2, 3, 4]),
        ("#5.cfg = 7", ("5", "cfg"), [7.0]),
        ("steps = 1, 3", ("4", "steps"), [1, 3]),
        ("KSampler.sampler_name = DPMPP_2M", ("4", "sampler_name"), ["dpmpp_2m"]),
        ("KSampler#4.add_noise = no", ("4", "add_noise"), [False]),
        (
            "Load Checkpoint.ckpt_name = real, base.ckpt, xl/base.safetensors",
            ("1", "ckpt_name"),
            [MODELS[1], MODELS[3], MODELS[2]],
        ),
        ("v1.5 bad.text = a, b", ("3", "text"), ["a", "b"]),
        ('Good.text = replace "oak": elm', ("2", "text"), ["an elm by an elm"]),
        ("width = 128", ("4", "width"), [128]),
    ],
)
def test_a_widget_by_title_class_id_or_alone_and_its_values_typed(line, place, wanted):
    before = copy.deepcopy(GRAPH)
    told = changed(line)
    assert told == [{place: value} for value in wanted]
    assert [type(each[place]) for each in told] == [type(value) for value in wanted]
    assert before == GRAPH


def test_a_title_counts_before_a_class_of_that_name():
    graph = copy.deepcopy(GRAPH)
    graph["4"]["_meta"] = {"title": "KSampler"}
    assert changed("KSampler.seed = 9", graph) == [{("4", "seed"): 9}]


def test_texts_seeds_and_a_matrix():
    assert changed('prompt = replace "oak": elm, oak') == [
        {("2", "text"): "an elm by an elm", ("3", "text"): "blurry elm"}, {},
    ]  # fmt: skip
    assert changed("seeds = 1, 2") == [{("4", "seed"): n, ("5", "seed"): n} for n in (1, 2)]
    assert changed("matrix = snow | fog") == [
        {}, *({("2", "text"): f"an oak by an oak, {each}"} for each in ("snow", "fog", "snow, fog")),
    ]  # fmt: skip
    both = changed('prompt = replace "oak": "elm, by me"\nGood.text = replace "by": on')
    assert both == [{("2", "text"): "an elm, on me on an elm, on me", ("3", "text"): "blurry elm, by me"}]


def test_a_matrix_joins_every_step_of_a_script():
    graph = {
        "s": {"class_type": "ISI_Script", "inputs": {"script": "red; blue *2", "cfg": 5.0}},
        "g": {"class_type": "Grid", "inputs": {"image": ["s", 0], "axes": ""}},
    }
    from isi.core.language.script import parse

    told = [each.get(("s", "script"), "red; blue *2") for each in changed("matrix = snow | fog", graph)]
    prompts = [[group.prompt(script.global_prompt) for group in script.groups] for script in map(parse, told)]
    assert prompts == [
        [f"{part}{word}" for word in ("red", "blue", "blue")]
        for part in ("", "snow, ", "fog, ", "snow, fog, ")
    ]


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ("Refinr.cfg = 3", 1, 1, "No node is called 'Refinr'; there is Refiner"),
        ("Refiner.cgf = 3", 1, 1, "'Refiner' has no widget 'cgf'; it has cfg"),
        ("samplr_name = euler", 1, 1, "has a widget 'samplr_name'; there is sampler_name"),
        ("Good.text = a\nKSampler.cfg = 3", 2, 1, "'KSampler.cfg' may be 2 widgets: write one of KSampler#4"),
        ("cfg = 3", 1, 1, "'cfg' may be 2 widgets: write one of KSampler#4.cfg, Refiner#5.cfg"),
        ("Refiner.latent = 3", 1, 1, "'Refiner.latent' is connected"),
        ("Save Image.filename_prefix = a", 1, 1, "'Save Image' is not behind the picture"),
        (
            "KSampler#4.steps = 3, 2.5",
            1,
            23,
            "KSampler.steps takes a whole number from 1 to 10000, not '2.5'",
        ),
        ("KSampler#4.steps = 0", 1, 20, "from 1 to 10000, not '0'"),
        ("Refiner.cfg = 5, 100.5", 1, 18, "a number from 0.0 to 100.0, not '100.5'"),
        ("Refiner.cfg = high", 1, 15, "not 'high'"),
        ("width = 100", 1, 9, "goes by 8 from 16, which never comes to '100'"),
        ("sampler_name = euler, dpmp_2m", 1, 23, "no choice 'dpmp_2m'; there is dpmpp_2m"),
        ("Load Checkpoint.ckpt_name = base", 1, 29, "no choice 'base'; there is"),
        ("add_noise = maybe", 1, 13, "true or false, not 'maybe'"),
        ('prompt = replace "elm": oak', 1, 1, "No text behind the picture has 'elm'"),
        ('Good.text = replace "elm": oak', 1, 1, "Good.text has no 'elm'"),
        ("Refiner.cfg = 3\n#5.cfg = 4", 2, 1, "Refiner.cfg is varied by the axis 'Refiner.cfg' already"),
    ],
)
def test_what_names_nothing_two_or_no_value_is_said_with_its_place(text, line, column, says):
    with pytest.raises(ScriptError) as caught:
        targets(text)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert says in str(caught.value)


def test_a_matrix_without_one_prompt_says_where_words_may_stand():
    graph = copy.deepcopy(GRAPH)
    graph["4"]["inputs"]["negative"] = graph["4"]["inputs"]["positive"]
    with pytest.raises(ScriptError, match=r"there are 0 \(none\): write"):
        targets("matrix = a | b", graph)
    graph["4"]["inputs"]["negative"], graph["4"]["inputs"]["positive2"] = ["1", 0], ["3", 0]
    with pytest.raises(ScriptError, match=r"there are 2 \(Good.text, v1.5 bad.text\): write"):
        targets("matrix = a | b", graph)


def test_what_lies_furthest_behind_the_picture_changes_seldomest():
    found = targets("Refiner.cfg = 1, 2\nLoad Checkpoint.ckpt_name = dream, real\nsteps = 3, 4")
    assert found.order("g") == [1, 2, 0]


def test_a_circle_of_links_ends():
    graph = copy.deepcopy(GRAPH)
    graph["1"]["inputs"]["model"] = ["5", 0]
    assert changed("steps = 1", graph) == [{("4", "steps"): 1}]
    assert targets("steps = 1", graph).order("g") == [0]
