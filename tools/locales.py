"""English of the front end's locale files, taken from where it is written: the node schemas and js/isi.js.

`.venv/bin/python -m tools.locales` rewrites locales/en. The other languages in locales/ are written by hand,
text by text for the same keys; where one lacks a text or a help page, English stands in until a release.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOCALES = ROOT / "locales"
WORDS = ROOT / "js" / "lib" / "words"
REWRITE = ".venv/bin/python -m tools.locales"
LETTERS = {"zh": re.compile(r"[\u4e00-\u9fff]"), "ko": re.compile(r"[\uac00-\ud7a3]")}
"""The languages besides English, and the letters by which a text is seen to be in one."""
SAME = ("name", "display_name")
"""What may be the same in every language."""
MESSAGE_SYNTAX = re.compile(r"[{}@|]")
Texts = dict[str, dict[str, Any]]


def load(language: str, name: str) -> Texts:
    """One locale file: `name` is nodeDefs, settings, commands or main."""
    return json.loads((LOCALES / language / f"{name}.json").read_text("utf-8"))


def load_words(language: str) -> Texts:
    """What our widgets say: js/lib/words/LANGUAGE.json, for English en.js with `export default` before it.
    A text that has plural forms is {"one": text, "other": text}, any other {"other": text}."""
    (file,) = WORDS.glob(f"{language}.*")
    source = file.read_text("utf-8").strip()
    table = json.loads(source.removeprefix("export default").removesuffix(";"))
    return {key: text if isinstance(text, dict) else {"other": text} for key, text in table.items()}


def flat(texts: dict[str, Any], path: str = "") -> dict[str, str]:
    """{"node.inputs.steps.tooltip": text, ...} of a locale file."""
    found: dict[str, str] = {}
    for key, value in texts.items():
        here = f"{path}.{key}" if path else key
        found |= flat(value, here) if isinstance(value, dict) else {here: value}
    return found


def key_of(name: str) -> str:
    """How the front end looks up an id: "ISI.StoreGiB" as "ISI_StoreGiB"."""
    return name.replace(".", "_")


def escaped(text: str) -> str:
    """`text` for the front end's message compiler, which reads { } @ | as syntax."""
    return MESSAGE_SYNTAX.sub(lambda found: f"{{'{found[0]}'}}", text)


def input_texts(inputs: dict[str, dict], parent: str = "") -> Texts:
    """Name and tooltip of each input, those that a dynamic combo's options bring included."""
    texts: Texts = {}
    for group in ("required", "optional"):
        for name, (_, *rest) in inputs.get(group, {}).items():
            options = rest[0] if rest else {}
            key = key_of(f"{parent}.{name}") if parent else name
            texts[key] = {"name": name, "tooltip": options.get("tooltip", "")}
            for option in options.get("options", []):
                if isinstance(option, dict):
                    texts |= input_texts(option["inputs"], key)
    return texts


def node_texts(nodes: dict[str, Any]) -> Texts:
    """All that the front end can translate of our nodes, in the schemas' words."""
    texts: Texts = {}
    for node_id, node in sorted(nodes.items()):
        if not node_id.startswith("ISI_"):
            continue
        info = node.GET_NODE_INFO_V1()
        outputs = zip(info["output_name"], info["output_tooltips"], strict=True)
        texts[node_id] = {
            "display_name": info["display_name"],
            "description": escaped(info["description"]),
            "inputs": input_texts(info["input"]),
            "outputs": {str(i): {"name": name, "tooltip": tip} for i, (name, tip) in enumerate(outputs)},
        }
    return texts


def english(texts: Texts) -> Texts:
    """`texts` without the tooltips that hold message syntax: some front ends compile a tooltip and some
    show it as it is, so that none shows an escaped one right. Without a key they show the schema's own."""
    kept: Texts = {}
    for key, value in texts.items():
        if isinstance(value, dict):
            kept[key] = english(value)
        elif key != "tooltip" or not MESSAGE_SYNTAX.search(value):
            kept[key] = value
    return kept


def registered(part: str) -> list[dict[str, str]]:
    """The texts of the `settings` or `commands` that js/isi.js registers."""
    source = (ROOT / "js" / "isi.js").read_text("utf-8")
    size_id = re.search(
        r'export const STRIP_SIZE = ("[^"]+")', (ROOT / "js" / "lib" / "run_view.js").read_text("utf-8")
    )
    assert size_id, "js/lib/run_view.js no longer exports STRIP_SIZE"
    block = re.search(rf"^  {part}: \[\n(.*?)^  \],", source, re.MULTILINE | re.DOTALL)
    assert block, f"js/isi.js no longer registers {part}"
    text = block[1].replace("id: STRIP_SIZE", f"id: {size_id[1]}")
    pairs = re.findall(r'\b(id|name|tooltip|label): "([^"]+)"', text)
    items: list[dict[str, str]] = []
    for name, value in pairs:
        if name == "id":
            items.append({})
        items[-1][name] = value
    return items


def page_texts(part: str) -> Texts:
    """English of the settings or commands, by the front end's keys."""
    return {
        key_of(item["id"]): {name: text for name, text in item.items() if name != "id"}
        for item in registered(part)
    }


def category_texts(nodes: dict[str, Any]) -> Texts:
    """Names of the folders that our nodes and settings lie in. They are shared by all packs."""
    paths = [node.GET_NODE_INFO_V1()["category"] for key, node in nodes.items() if key.startswith("ISI_")]
    source = (ROOT / "js" / "isi.js").read_text("utf-8")
    groups = re.findall(r'category: \["ISI", "([^"]+)"', source)
    return {
        "nodeCategories": {part: part for part in sorted({p for path in paths for p in path.split("/")[1:]})},
        "settingsCategories": {group: group for group in sorted(set(groups))},
    }


def releasing() -> bool:
    """Whether a release is tested (`run.py test --release`): English stands in for nothing any more."""
    return os.environ.get("ISI_RELEASE") == "1"


def untranslated(language: str, text: str) -> bool:
    """Whether a text has no letter of its language: English stands in for it until a release."""
    return not LETTERS[language].search(text)


def stood_in(full: Texts, translated: Texts, language: str) -> Texts:
    """`translated` in the order of `full` English, which stands in for what is not translated yet."""
    texts: Texts = {}
    for key, value in full.items():
        known = translated.get(key)
        if isinstance(value, dict):
            texts[key] = stood_in(value, known if isinstance(known, dict) else {}, language)
        elif known is None or (key not in SAME and untranslated(language, known)):
            texts[key] = MESSAGE_SYNTAX.sub("", value) if key == "tooltip" else value
        else:
            texts[key] = known
    return texts


def stand_in_pages(docs: Path = ROOT / "js" / "docs") -> None:
    """English help pages for those that no one has translated yet."""
    for page in docs.glob("*/en.md"):
        text = page.read_text("utf-8")
        for language in LETTERS:
            other = page.with_name(f"{language}.md")
            if not other.exists() or untranslated(language, other.read_text("utf-8")):
                other.write_text(text, "utf-8")


def write(nodes: dict[str, Any]) -> None:
    """Writes locales/en, and English into what Chinese and Korean lack."""
    nodes_in_full = node_texts(nodes)
    files = {
        "nodeDefs": english(nodes_in_full),
        "settings": page_texts("settings"),
        "commands": page_texts("commands"),
        "main": category_texts(nodes),
    }
    for name, texts in files.items():
        save("en", name, texts)
    for language in LETTERS:
        for name, texts in (files | {"nodeDefs": nodes_in_full}).items():
            save(language, name, stood_in(texts, load(language, name), language))
    stand_in_pages()


def save(language: str, name: str, texts: Texts) -> None:
    text = json.dumps(texts, indent=2, ensure_ascii=False) + "\n"
    (LOCALES / language / f"{name}.json").write_text(text, "utf-8")


def main() -> None:
    from tests.host.harness import Host

    with tempfile.TemporaryDirectory() as base:
        nodes = Host(Path(base)).nodes
        write(nodes)


if __name__ == "__main__":
    main()
