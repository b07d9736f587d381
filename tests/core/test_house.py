"""The direction of imports: nodes -> host -> core; core never sees the host; nodes see only comfy_api."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMFY = {"comfy", "comfy_api", "comfy_extras", "comfy_execution", "nodes", "server", "folder_paths"}
COMFY |= {"execution", "latent_preview", "node_helpers", "comfy_config", "app"}
FORBIDDEN = {"core": COMFY | {"..host", "..nodes"}, "host": {"..nodes"}, "nodes": COMFY - {"comfy_api"}}


def imported(path: Path) -> set[str]:
    """Top-level names that a module imports anywhere, relative ones as `..room`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            first = (node.module or "").split(".")[0]
            if node.level == 0:
                names.add(first)
            elif node.level > 1:
                names |= {f"..{first}"} if first else {f"..{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("room", FORBIDDEN)
def test_imports_run_one_way(room):
    bad = {
        f"{path.name}: {name}"
        for path in (ROOT / room).rglob("*.py")
        for name in imported(path) & FORBIDDEN[room]
    }
    assert not bad
