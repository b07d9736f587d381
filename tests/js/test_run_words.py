"""What the server says of a run, in the page's language: how plans call their steps, and what changed."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from isi.core.loop.changes import changes
from isi.core.plans.brackets import brackets_plan
from isi.core.plans.objects import ACTIONS, ObjectEdits
from isi.core.plans.outpaint import Outpainting
from isi.core.plans.upscale import Upscale, upscale_plan
from isi.tools.locales import LETTERS

NODE = shutil.which("node")
LIBRARY = Path(__file__).parents[2] / "js" / "lib"
PROMPT = "image: $& {prompt} {0}"
"""A user's own words, some of which have translations of their own."""
languages = pytest.mark.parametrize("language", LETTERS)
pytestmark = pytest.mark.skipif(not NODE and not os.environ.get("CI"), reason="needs Node")


def page(tmp_path, language, **texts):
    """What the page makes of each label, change and table: `{kind: [text, ...]}`."""
    asked = tmp_path / "asked.json"
    sentences = json.loads((LIBRARY / f"sentences/{language}.json").read_text("utf-8"))
    words = json.loads((LIBRARY / f"words/{language}.json").read_text("utf-8"))
    asked.write_text(json.dumps({"sentences": sentences, "words": words, "texts": texts}), "utf-8")
    names = ("run_words.mjs", "sentences.mjs", "words/en.js")
    one, two, three = (json.dumps((LIBRARY / name).as_uri()) for name in names)
    code = f"""
        import {{ runWords }} from {one};
        import {{ translator }} from {two};
        import en from {three};
        import {{ readFileSync }} from 'node:fs';
        const {{ sentences, words, texts }} = JSON.parse(readFileSync({json.dumps(str(asked))}, 'utf8'));
        const fill = (text, values) => text.replace(/\\{{(\\w+)\\}}/g, (_, name) => values[name]);
        const {{ label, change }} = runWords(en, (key, values = {{}}) => fill(words[key], values));
        const does = {{ label, change, table: translator(sentences, label) }};
        const said = Object.entries(texts).map(([kind, all]) => [kind, all.map((text) => does[kind](text))]);
        process.stdout.write(JSON.stringify(Object.fromEntries(said)));
    """
    ran = subprocess.run(
        [NODE, "--input-type=module", "-e", code], capture_output=True, encoding="utf-8", check=True
    )
    return json.loads(ran.stdout)


def plans():
    """A plan of each maker that gives its steps names."""
    masks = torch.zeros(3, 64, 96)
    for index in range(3):
        masks[index, 8:24, 8 + 28 * index : 24 + 28 * index] = 1
    yield ObjectEdits(ACTIONS, [PROMPT]).plan(masks)
    yield Outpainting((0, 64, 0, 64), 256, [PROMPT]).plan(256, 256)
    yield Outpainting((0, -16, 0, 0), 256, [PROMPT]).plan(256, 256)
    yield ObjectEdits(ACTIONS, [PROMPT]).plan(0 * masks)
    yield upscale_plan((64, 64), (256, 256), 2, Upscale(PROMPT))
    yield brackets_plan(torch.rand(1, 64, 64, 3), PROMPT, 3, 1.0, 1.0, 4, 7.0, 0.5, 0)


@languages
def test_each_name_of_a_step_is_said_and_what_a_user_wrote_in_it_stays(tmp_path, language):
    for plan in plans():
        labels = [step.label for step in plan.steps]
        assert all(labels)
        said = page(tmp_path, language, label=labels, table=[plan.table()])
        for english, own in zip(labels, said["label"], strict=True):
            assert own != english and LETTERS[language].search(own), english
            assert (PROMPT in own) is (PROMPT in english)
            numbers = [sorted(filter(str.isdigit, text)) for text in (own, english)]
            assert numbers[0] == numbers[1]
        rows = said["table"][0].split("\n")[1:]
        assert [row.split("  ")[-1] for row in rows] == said["label"]


@languages
def test_words_of_a_user_are_no_name_of_a_step(tmp_path, language):
    prompts = [
        "a red circle",
        "upscale 1/2: a x b",
        "exposure of a film",
        "removed 1: a",
        "a [512 x 512 at noon]",
    ]
    assert page(tmp_path, language, label=prompts, change=prompts) == {"label": prompts, "change": prompts}


CHANGES = {
    "zh": ["运行环境: 线程数: 2 -> 4", "漂移锁定: strength: 无 -> 0.5", "模型: LoraLoader 的代码: a -> c"],
    "ko": [
        "실행 환경: 스레드 수: 2 -> 4",
        "드리프트 잠금: strength: 없음 -> 0.5",
        "모델: LoraLoader 코드: a -> c",
    ],
}


@languages
def test_what_changed_is_said_with_names_and_values_as_they_are(tmp_path, language):
    told = changes(
        {"environment": {"threads": 2}}, {"environment": {"threads": 4}, "drift": {"strength": 0.5}}
    )
    told += changes({"model": {"LoraLoader code": "a"}}, {"model": {"LoraLoader code": "c"}})
    assert page(tmp_path, language, change=told)["change"] == CHANGES[language]
