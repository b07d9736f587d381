"""Context help in every language: a page for each node, built as the English one, naming the same things."""

import json
import re
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from tools.locales import LETTERS, releasing

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "js" / "docs"
NODES = json.loads((ROOT / "tests" / "golden" / "schemas.json").read_text("utf-8"))
CODE = re.compile(r"`([^`]+)`")
BOLD = re.compile(r"\*\*([^*]+)\*\*")
PICTURE = re.compile(r"!\[[^]]+\]\(([^)]+)\)")
MARKS = re.compile(r"\*+")
MENTION = re.compile(r"\*+(ISI [^*]+?)\*+")
ENGLISH = re.compile(r"\b[a-z]{3,} [a-z]{3,}\b")
languages = pytest.mark.parametrize("language", LETTERS)


def page(node_id: str, language: str) -> str:
    return (DOCS / node_id / f"{language}.md").read_text("utf-8")


def names_of(value: object) -> set[str]:
    """Every input and output name in a part of the schemas."""
    if isinstance(value, list):
        return set().union(*map(names_of, value))
    if isinstance(value, dict):
        return set(value).union(*map(names_of, value.values()))
    return {value} if isinstance(value, str) else set()


KNOWN = names_of(NODES)


def shape(text: str) -> Counter:
    """How many headings of each level, table rows of each width, list items and code lines a page has."""
    found: Counter = Counter()
    for line in text.splitlines():
        if heading := re.match(r"#+ ", line):
            found[heading[0]] += 1
        elif line.startswith("|"):
            found[f"row of {line.count('|') - 1}"] += 1
        elif item := re.match(r" *(-|\d+\.) ", line):
            found[f"item {item[1]}"] += 1
        elif line.startswith("    "):
            found[line] += 1
    return found


def things(text: str) -> set[str]:
    """What a page calls by its own name: code, and the inputs and outputs in bold."""
    bold = {name for part in BOLD.findall(text) for name in part.split(", ")}
    return set(CODE.findall(text)) | (bold & KNOWN)


def names_in(language: str) -> dict[str, str]:
    """What each node is called in the page, by its id."""
    words = json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text("utf-8"))
    return {node_id: node["display_name"] for node_id, node in words.items()}


@languages
def test_pages_are_all_there(language):
    assert {path.parent.name for path in DOCS.glob(f"*/{language}.md")} == set(NODES)


@languages
@pytest.mark.parametrize("part", [shape, things])
def test_pages_say_what_the_english_ones_say(part, language):
    told = {node_id: part(page(node_id, language)) for node_id in NODES}
    wanted = {node_id: part(page(node_id, "en")) for node_id in NODES}
    assert {
        node_id: (told[node_id], wanted[node_id]) for node_id in NODES if told[node_id] != wanted[node_id]
    } == {}


@languages
def test_nodes_have_the_names_that_the_page_gives_them(language):
    names = names_in(language)
    assert {node_id: page(node_id, language).splitlines()[0] for node_id in NODES} == {
        node_id: f"# {names[node_id]}" for node_id in NODES
    }
    mentioned = {name for node_id in NODES for name in MENTION.findall(page(node_id, language))}
    assert mentioned <= set(names.values())


@languages
def test_pages_are_translated(language):
    """English sentences are left only in code and in what a server says."""
    # English stands in for a whole page until a release.
    told = [n for n in NODES if releasing() or page(n, language) != page(n, "en")]
    lines = (line for node_id in told for line in page(node_id, language).splitlines())
    left = [
        line for line in lines if ENGLISH.search(CODE.sub("", line)) and not LETTERS[language].search(line)
    ]
    assert {line for line in left if not line.startswith("    ")} == set()


@languages
def test_emphasis_ends_where_it_should(language):
    """CommonMark ends no emphasis between punctuation and a letter; CJK text alone has these side by side."""

    def kind(text: str, at: int) -> str:
        return unicodedata.category(text[at])[0] if 0 <= at < len(text) else "Z"

    for line in (line for node_id in NODES for line in page(node_id, language).splitlines()):
        if line.startswith("    "):
            continue
        text = CODE.sub("`x`", line)
        opened: list[str] = []
        for mark in MARKS.finditer(text):
            before, after = kind(text, mark.start() - 1), kind(text, mark.end())
            closes = bool(opened) and opened[-1] == mark[0]
            inner, outer = (before, after) if closes else (after, before)
            assert inner != "Z" and (inner not in "PS" or outer in "PSZ"), line
            opened.pop() if closes else opened.append(mark[0])
        assert not opened, line


@pytest.mark.parametrize("language", ["en", *LETTERS])
def test_pictures_lie_where_the_page_looks_for_them(language):
    """ComfyUI's page resolves them against `docs/`, whatever folder the text lies in."""
    shown = set()
    for path in DOCS.glob(f"*/{language}.md"):
        shown |= {DOCS / name for name in PICTURE.findall(path.read_text("utf-8"))}
    assert shown == {path for path in DOCS.glob("*/*") if path.suffix != ".md"}
    assert all(path.stat().st_size < 40_000 for path in shown)
