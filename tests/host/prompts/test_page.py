"""What the page is told of a script: the plan's words, the tokens that the encoder gets, and all names."""

import pytest
import torch
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from safetensors.torch import load_file, save_file

ASKED = {"seed": 5, "seed_mode": "increment", "choices": "random", "steps": 20, "file": "mini/base"}


@pytest.fixture
def ask(host):
    """Sends what the page asks of a script, or any other bytes: the status and the JSON of the answer."""

    async def answer(method, path, given):
        app = web.Application()
        app.add_routes([route for route in host.server.routes if route.path in ("/isi/script", "/isi/names")])
        async with TestClient(TestServer(app)) as client:
            response = await client.request(method, path, **given)
            return response.status, await response.json()

    def script(text, **asked):
        given = text if isinstance(text, dict) else {"json": {**ASKED, "script": text, **asked}}
        return host.loop.run_until_complete(answer("POST", "/isi/script", given))

    script.names = lambda: host.loop.run_until_complete(answer("GET", "/isi/names", {}))[1]
    return script


@pytest.fixture
def wildcards(host):
    folder = host.base / "models" / "wildcards"
    folder.mkdir(parents=True, exist_ok=True)
    made = []

    def write(name, text):
        made.append(folder / name)
        made[-1].write_text(text, "utf-8")

    yield write
    for path in made:
        path.unlink()


def plan(host, script, **inputs):
    asked = {name: ASKED[name] for name in ("seed", "seed_mode", "choices")} | inputs
    given = {"steps": 20, "cfg": 5.0, "denoise": 0.5, "final_denoise": 0.5, "curve": "constant"}
    return host.call("ISI_Script", script=script, **given, **asked)[0].steps


@pytest.mark.parametrize("choices", ["random", "all"])
@pytest.mark.parametrize("mode", ["increment", "fixed", "hashed"])
def test_the_words_are_those_of_the_plan(host, ask, wildcards, choices, mode):
    wildcards("beast.txt", "cat\ndog\nowl\n")
    text = '{oil, {old|new}} a {red|green|blue} __beast__ *3; b; c {x|y|z|w} @seed=9 @negative="{u|v}"'
    steps = plan(host, text, choices=choices, seed_mode=mode)
    status, told = ask(text, choices=choices, seed_mode=mode)
    assert (status, told["count"], told["error"]) == (200, len(steps), None)
    assert [(row["text"], row["prompt"]) for row in told["steps"]] == [(s.label, s.prompt) for s in steps][
        :100
    ]
    groups = [row["group"] for row in told["steps"]]
    assert groups == sorted(groups) and set(groups) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize(
    "text",
    [
        "a cat",
        "a " * 74,
        "a " * 75,
        "a " * 76,
        "a BREAK " + "b " * 80,
        "(a:1.2) \\(b\\) [c]",
        "猫 𝒳 supercalifragilistic",
    ],
)
def test_tokens_are_those_that_the_text_encoder_gets(host, ask, text):
    _, clip, _, _ = host.call("ISI_MiniCheckpoint", kind="base")
    chunks = [chunk for piece in text.split(" BREAK ") for chunk in clip.tokenize(piece)["l"]]
    end = 49407
    used = 75 * (len(chunks) - 1) + [token for token, _ in chunks[-1]].index(end) - 1
    (row,) = ask(text)[1]["steps"]
    assert row["tokens"] == [used, 75 * len(chunks)]


@pytest.fixture
def encoder(host):
    """Writes a text encoder of this width, and for so many tokens, without its weights."""
    folder = host.base / "models" / "text_encoders"
    folder.mkdir(parents=True, exist_ok=True)
    made = []

    def write(width, layers, places):
        made.append(folder / f"{width} {places}.safetensors")
        names = {
            "embeddings.token_embedding.weight": (4, width),
            "embeddings.position_embedding.weight": (places, width),
            "final_layer_norm.weight": (width,),
        }
        for layer in range(layers):
            names[f"encoder.layers.{layer}.self_attn.k_proj.weight"] = (1, 1)
            names[f"encoder.layers.{layer}.mlp.fc1.weight"] = (1, 1)
        save_file({f"text_model.{name}": torch.zeros(shape) for name, shape in names.items()}, made[-1])
        return made[-1]

    yield write
    for path in made:
        path.unlink()


@pytest.mark.parametrize(
    ("width", "layers", "kind", "key"),
    [(768, 12, "CLIP_L", "l"), (1024, 24, "CLIP_H", "h"), (1280, 32, "CLIP_G", "g")],
)
def test_tokens_of_a_text_encoder_alone_are_those_of_the_hosts_tokenizer_for_it(
    host, ask, encoder, width, layers, kind, key
):
    import comfy.sd
    from comfy import sd1_clip, sdxl_clip
    from comfy.text_encoders import sd2_clip

    tokenizer = {"l": sd1_clip.SD1Tokenizer, "h": sd2_clip.SD2Tokenizer, "g": sdxl_clip.SDXLTokenizer}[key]
    file = encoder(width, layers, 77)
    assert comfy.sd.detect_te_model(load_file(file)).name == kind
    text = "supercalifragilistic moss " * 20
    chunks = tokenizer().tokenize_with_weights(text)[key]
    used = 75 * (len(chunks) - 1) + [token for token, _ in chunks[-1]].index(49407) - 1
    (row,) = ask(text, file=f"text_encoders/{file.name}")[1]["steps"]
    assert row["tokens"] == [used, 75 * len(chunks)]


def test_of_a_long_clip_no_tokens_are_said(ask, encoder):
    (row,) = ask("a cat", file=f"text_encoders/{encoder(768, 12, 248).name}")[1]["steps"]
    assert row["tokens"] is None


def test_the_longest_text_of_a_step_counts_and_a_lora_is_none(ask):
    (row,) = ask("a [b:c d e:.5] AND f", file="mini/base")[1]["steps"]
    assert row["tokens"] == [4, 75]


def test_of_an_unknown_text_encoder_no_tokens_are_said(ask):
    for file in ("", "checkpoints/none.safetensors", "mini", "/etc/passwd"):
        status, told = ask("a cat", file=file)
        assert (status, told["steps"][0]["tokens"]) == (200, None)


def test_mistakes_have_their_place(ask, wildcards):
    wildcards("beast.txt", "cat\n")
    error = ask("𝒳;\n__beats__")[1]["error"]
    assert (error["line"], error["column"], error["offset"]) == (2, 1, 3) and "__beast__" in error["reason"]
    assert "There is no LoRA 'x'" in ask("a <lora:x:1>")[1]["error"]["reason"]
    assert ask("a; <lora:{b|c}:q>")[1]["error"]["reason"].startswith(
        "Step 2, line 1, column 1: A LoRA's strength"
    )


def test_what_no_page_asks_is_refused_in_a_sentence(ask):
    bad = [
        {"data": b"{"}, {"data": b"[" * 5000}, {"json": []}, {"data": b" " * (1 << 21)},
        *({"json": {**ASKED, "script": "a", **one}} for one in (
            {"script": "a" * 100_001}, {"script": 1}, {"seed": -1}, {"seed": 2**64}, {"seed": True},
            {"seed": 1.5}, {"seed_mode": "x"}, {"choices": []}, {"steps": 0}, {"file": None},
        )),
    ]  # fmt: skip
    for given in bad:
        status, told = ask(given)
        assert 400 <= status < 500 and told["error"].endswith("."), given


def test_rows_are_bounded_and_the_count_is_true(ask):
    told = ask("a *50000; {b|c} *50000")[1]
    assert (told["count"], len(told["steps"])) == (100_000, 100)


def test_names_are_those_that_a_prompt_may_use(ask, wildcards, host):
    import folder_paths

    wildcards("beast.txt", "cat\n")
    wildcards("deep.yaml", "colours: {warm: [red]}\n")
    wildcards("broken.yaml", "a: [\n")
    names = ask.names()
    assert {"beast", "colours/warm"} <= set(names["wildcard"])
    listed = [name.rpartition(".")[0] for name in folder_paths.get_filename_list("loras")]
    assert names["lora"] == sorted(listed, key=str.lower)
