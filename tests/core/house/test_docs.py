"""Nothing ships half: a help page for every node, and three files for every workflow."""

import ast
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
WORKFLOWS = ROOT / "workflows"
API_FORMS = sorted(path for path in (WORKFLOWS / "api").glob("*.json") if "." not in path.stem)


def node_ids() -> list[str]:
    """The literal `node_id`s in the schemas of nodes/."""
    return sorted(
        keyword.value.value
        for path in (ROOT / "nodes").glob("*.py")
        for call in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(call, ast.Call)
        for keyword in call.keywords
        if keyword.arg == "node_id" and isinstance(keyword.value, ast.Constant)
    )


def test_node_ids_are_ours_and_unique():
    ids = node_ids()
    assert len(ids) == len(set(ids))
    assert all(node_id.startswith("ISI_") for node_id in ids)


@pytest.mark.parametrize("node_id", node_ids())
def test_every_node_has_a_help_page(node_id):
    page = (ROOT / "js" / "docs" / node_id / "en.md").read_text("utf-8")
    assert len(page.split()) > 25


def test_the_readme_names_every_node():
    readme = (ROOT / "README.md").read_text("utf-8")
    assert [node_id for node_id in node_ids() if f"`{node_id}`" not in readme] == []


def test_help_pages_belong_to_nodes():
    assert {path.name for path in (ROOT / "js" / "docs").glob("*")} <= set(node_ids())


def test_workflows_are_whole():
    names = {path.stem for path in API_FORMS}
    assert {path.stem for path in WORKFLOWS.glob("*.json")} == names
    assert {path.stem for path in WORKFLOWS.glob("*.jpg")} == names
    assert {path.stem for path in (WORKFLOWS / "api").glob("*.md")} <= names
    assert {path.name for path in (WORKFLOWS / "api").glob("*.expect.json")} == {
        f"{name}.expect.json" for name in names
    }


@pytest.mark.parametrize("path", API_FORMS, ids=lambda path: path.stem)
def test_workflows_run_anywhere(path):
    graph = json.loads(path.read_text("utf-8"))
    for node in graph.values():
        assert node["_meta"]["title"]
        assert node["class_type"] not in {"CheckpointLoaderSimple", "UNETLoader", "VAELoader", "CLIPLoader"}
        if node["class_type"].startswith("LoadImage"):
            assert (ROOT / "assets" / "examples" / node["inputs"]["image"]).is_file()
