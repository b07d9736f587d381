"""Nothing new slips past the tests: every node is called, every lens keeps the laws, no stub is left."""

import ast

from tools.new_node import left

from .test_docs import node_ids
from .test_house import ROOT


def lenses() -> set[str]:
    """The classes of core, host and nodes that are lenses."""
    files = [path for hall in ("core", "host", "nodes") for path in (ROOT / hall).rglob("*.py")]
    classes = {
        node.name: {ast.unparse(base).rpartition(".")[2] for base in node.bases}
        for path in files
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
    }
    found = {"Lens"}
    while more := {name for name, bases in classes.items() if bases & found} - found:
        found |= more
    return found - {"Lens"}


def test_every_node_is_called_in_a_test():
    source = "".join(path.read_text("utf-8") for path in (ROOT / "tests" / "host").rglob("*.py"))
    assert [node_id for node_id in node_ids() if f'"{node_id}"' not in source] == []


def test_every_lens_keeps_the_laws():
    """A test that names it holds it to `laws.hold`, or it is one of those in test_lens."""
    tests = [path.read_text("utf-8") for path in (ROOT / "tests" / "core").rglob("test_*.py")]
    held = [text for text in tests if "laws import hold" in text]
    known = [node for text in held for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
    assert lenses() <= {alias.name for node in known for alias in node.names}


def test_no_stub_is_left_unwritten():
    assert left() == []
