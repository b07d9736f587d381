"""The page finds Python's sentences again, whatever stands in their holes, and says them in each language."""

import json
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from isi.core.language.script import ScriptError, parse
from isi.core.models.kinds import KINDS, ModelKind, report
from isi.core.plans.cost import Geometry, stage_cost
from isi.core.plans.cost import report as cost_report
from isi.core.tiles.tiling import Tiling
from isi.tools.locales import LETTERS
from isi.tools.sentences import FORMATTER, literals, translations

NODE = shutil.which("node")
AROUND = "It can't be loaded: it {0}."
SHORT = 6
"""A text of fewer letters of our own is only looked for inside of a sentence."""
PIECES = [
    "{", "}", "{0}", "{{", "'", '"', "\\", "\n", "$&", "$1", "%s", "猫", "배", "é", "𝒳", " ", "7", "-1.5",
    "q", "/", "zz", "[3, 4]", "\\n", "&amp;", "<b>",
]  # fmt: skip
languages = pytest.mark.parametrize("language", LETTERS)
pytestmark = pytest.mark.skipif(not NODE and not os.environ.get("CI"), reason="needs Node")


def page(tmp_path: Path, language: str, texts: list[str]) -> list[str]:
    """What the page makes of each text."""
    asked = tmp_path / "asked.json"
    asked.write_text(json.dumps({"table": translations(language), "texts": texts}), "utf-8")
    module = (Path(__file__).parents[2] / "js/lib/sentences.mjs").as_uri()
    code = (
        f"import {{ translator }} from {json.dumps(module)};"
        "import { readFileSync } from 'node:fs';"
        f"const {{ table, texts }} = JSON.parse(readFileSync({json.dumps(str(asked))}, 'utf8'));"
        "process.stdout.write(JSON.stringify(texts.map(translator(table))));"
    )
    ran = subprocess.run(
        [NODE, "--input-type=module", "-e", code], capture_output=True, encoding="utf-8", check=True
    )
    return json.loads(ran.stdout)


def drawn(chance: random.Random, template: str) -> list[str]:
    """A value for each hole, of any signs. One without quotes around it ends where the next literal begins,
    so it does not hold that; and a sentence that begins with one is one line, as the names of things are."""
    values = {}
    pieces = list(FORMATTER.parse(template))
    lines = pieces[0][0] or pieces[0][3]
    for i, (_, name, _, conversion) in enumerate(pieces):
        if name is None:
            continue
        after = pieces[i + 1][0] if i + 1 < len(pieces) else ""
        signs = PIECES if lines or conversion else [each for each in PIECES if each != "\n"]
        value = ""
        while not value or not (conversion or not after or (value + after).find(after) == len(value)):
            value = "".join(chance.choices(signs, k=chance.randint(1, 6))).strip()
        values[int(name)] = value
    return [values[i] for i in sorted(values)]


@languages
def test_a_filled_template_becomes_its_filled_translation(tmp_path, language):
    chance = random.Random(5)
    texts, wanted = [], []
    table = translations(language)
    for template, translation in table.items():
        for _ in range(5):
            values = drawn(chance, template)
            text, said = template.format(*values), translation.format(*values)
            if len("".join(literals(template))) < SHORT or text != text.strip():
                text, said = AROUND.format(text), table[AROUND].format(said)
            texts.append(text)
            wanted.append(said)
    wrong = [
        (text, said, want)
        for text, said, want in zip(texts, page(tmp_path, language, texts), wanted, strict=True)
        if said != want
    ]
    assert wrong == []


@languages
def test_other_texts_stay(tmp_path, language):
    texts = [
        "",
        "model",
        "a photo of a lighthouse, and a boat",
        "seed or steps",
        "There is no",
        "{0}",
        "\n \n",
    ]
    texts += ["mat1 and mat2 shapes cannot be multiplied (77x768 and 1024x320)", "x" * 30_000]
    assert page(tmp_path, language, texts) == texts


@languages
def test_the_host_may_put_lines_around_a_sentence(tmp_path, language):
    """The host ends an error with a line's end and its tips."""
    text = "The mask has NaN values: check the node that made it (a division by zero?)."
    said = translations(language)[text]
    tips = "TIPS: If the workflow worked before you might have set the batch_size to a large number."
    asked = [f"{text}\n", f"{text}\n{tips}", f"  {text}"]
    assert page(tmp_path, language, asked) == [f"{said}\n", f"{said}\n{tips}", f"  {said}"]


@languages
def test_a_mistake_is_said_in_full_and_its_excerpt_stays(tmp_path, language):
    with pytest.raises(ScriptError) as caught:
        parse("a @steps=1.5;\nb")
    table = translations(language)
    values = "@steps", table["a whole number"], 1, 10000, "1.5"
    reason = table["{0} takes {1} from {2} to {3}, not {4}."].format(*values)
    first, *excerpt = str(caught.value).split("\n")
    where = table["{0}, line {1}, column {2}: {3}\n{4}"].format(
        table["Script"], 1, 10, reason, "\n".join(excerpt)
    )
    assert page(tmp_path, language, [str(caught.value)]) == [where]


@languages
def test_what_a_user_wrote_stays_in_its_quotes(tmp_path, language):
    table = translations(language)
    template, name = "{0!r} is no name of a run.", "vae to the node KSampler, and it is a folder"
    assert page(tmp_path, language, [template.format(name)]) == [table[template].format(name)]


@languages
def test_several_things_of_ours_in_a_hole_are_each_said(tmp_path, language):
    table = translations(language)
    words = "a LoRA", "an inpainting model"
    asked = f"Holds names of {words[0]} and of {words[1]} (SD1, 9 input channels)."
    channels = table["{0} input channels"].format(9)
    both = table[" and of "].join([table[words[0]], f"{table[words[1]]} (SD1, {channels})"])
    assert page(tmp_path, language, [asked]) == [table["Holds names of {0}."].format(both)]


@languages
def test_each_line_of_what_a_model_is_has_letters_of_the_language(tmp_path, language):
    texts = [report(ModelKind(name, facts.channels, family="SD1")) for name, facts in KINDS.items()]
    left = [
        line
        for said in page(tmp_path, language, texts)
        for line in said.split("\n")
        if not LETTERS[language].search(line)
    ]
    assert left == []


@languages
def test_headings_stand_over_their_columns(tmp_path, language):
    """A letter of Chinese or Korean is two columns wide; the rows stay as they are."""
    cost = stage_cost("picture of tiles", (512, 768), 4, 7.0, Tiling(256, 64), Geometry(8, 4, 768))
    text = cost_report([cost], [2, 4, 32, 32], 2**30, 2.0)
    (said,) = page(tmp_path, language, [text])
    english, lines = text.split("\n"), said.split("\n")
    wide = "".join(letter * (2 if LETTERS[language].match(letter) else 1) for letter in lines[0])
    table = translations(language)
    for name in english[0].split():
        word = table[name]
        found = wide.index("".join(letter * (2 if LETTERS[language].match(letter) else 1) for letter in word))
        assert found >= english[0].index(name)
    assert lines[1] == english[1]
    assert all(LETTERS[language].search(line) for line in lines[3:])
