"""CONTRIBUTING's recipes, word by word, in a copy of the repository: files are written, commands run."""

import ast
import os
import re
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest

from .harness import ROOT

BLOCK = re.compile(r"^( *)```(\w+) ?(\S*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
LINKED = (".venv", ".host", "assets", "workflows")


@pytest.fixture
def copy(tmp_path) -> Path:
    """The repository as a newcomer has it; what is large and only read is linked."""
    root = tmp_path / "isi-nodes"
    left_out = shutil.ignore_patterns(".*", *LINKED)
    shutil.copytree(ROOT, root, ignore=left_out)
    for name in LINKED:
        (root / name).symlink_to((ROOT / name).resolve(), target_is_directory=True)
    return root


def recipe(title: str) -> list[tuple[str, str, str]]:
    """(language, file, text) of each block in a part of CONTRIBUTING.md."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    part = re.search(rf"^## {title}\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    assert part
    return [(lang, file, textwrap.dedent(body)) for _, lang, file, body in BLOCK.findall(part[1])]


def write(path: Path, text: str) -> None:
    """What a person does with a block: a file of its own, or imports, functions, a class for the stub."""
    if path.suffix != ".py" or "def test_" in text or not path.exists():
        path.write_text(text, "utf-8")
        return
    there = path.read_text("utf-8")
    for node in ast.parse(text).body:
        part = ast.get_source_segment(text, node) or ""
        if isinstance(node, ast.ImportFrom):
            at = there.index("\nfrom ..") + 1
            there = there[:at] + part + "\n" + there[at:]
            continue
        if isinstance(node, ast.FunctionDef):
            there = f"{there}\n\n{part}\n"
            continue
        assert isinstance(node, ast.ClassDef)
        (old,) = (o for o in ast.parse(there).body if isinstance(o, ast.ClassDef) and o.name == node.name)
        there = there.replace(ast.get_source_segment(there, old) or "", part)
    path.write_text(there, "utf-8")


def run(command: str, root: Path, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command, shell=True, cwd=root, capture_output=True, text=True,
        env={**os.environ, "PYTHONUTF8": "1", **environment},
    )  # fmt: skip


def follow(title: str, root: Path) -> tuple[list[str], set[str]]:
    """Does what a recipe says; returns what its commands said, and the files it had written by hand."""
    said, files = [], set()
    for language, file, text in recipe(title):
        if language != "sh":
            write(root / file, text)
            files.add(file)
            continue
        for command in text.splitlines():
            done = run(command, root)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
            said.append(done.stdout)
    return said, files


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_node_is_added_as_the_recipe_says(copy):
    said, files = follow("Add a node", copy)
    assert "WRITE: what it does" in said[0] and "js/docs/ISI_Invert/en.md" in said[0]
    assert said[1].rstrip().endswith("Nothing is left to write.")
    assert len(files) <= 4
    readme = (copy / "README.md").read_text("utf-8")
    assert "| ISI Invert `ISI_Invert` | turns a picture into its negative |" in readme
    # Until a release.
    house = "tests/core/house/test_help.py tests/core/house/test_locales.py"
    done = run(f".venv/bin/python -m pytest -q {house}", copy, ISI_RELEASE="1")
    assert "test_pages_are_translated[zh]" in done.stdout and "test_everything_is_translated" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_plan_maker_is_added_as_the_recipe_says(copy):
    _, files = follow("Add a plan maker", copy)
    assert {file for file in files if not file.startswith("tests/")} == {"core/plans/zoom.py"}
