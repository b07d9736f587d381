"""Nothing is written that nothing reads: each name of core, host and nodes is used by pack or tools."""

import ast
from collections.abc import Iterator
from pathlib import Path

from .test_house import ROOT

HALLS = ("core", "host", "nodes")
READERS = (*HALLS, "tools", "bench")
# What ComfyUI, torch and Python call by name.
CALLED = {
    "define_schema", "execute", "validate_inputs", "fingerprint_inputs", "on_load", "get_node_list", "NODES",
    "WEB_DIRECTORY", "comfy_entrypoint", "generate_noise",
}  # fmt: skip


def files(halls: tuple[str, ...]) -> list[Path]:
    return [path for hall in halls for path in (ROOT / hall).rglob("*.py")] + [ROOT / "__init__.py"]


def defined(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Functions, classes, constants; methods and fields as `.name`, unless their class extends the host's."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.ClassDef):
            yield node.name, node.lineno
            if not any("." in ast.unparse(base) or base_is_hosts(base) for base in node.bases):
                yield from ((f".{name}", line) for name, line in defined(node) if not name.startswith("."))
        elif isinstance(node, ast.Assign):
            yield from ((t.id, node.lineno) for t in node.targets if isinstance(t, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node.lineno


def base_is_hosts(base: ast.expr) -> bool:
    return ast.unparse(base) in ("CFGGuider", "ComfyExtension") or ast.unparse(base).startswith("Mini")


def read(tree: ast.AST) -> Iterator[str]:
    """Every name that is read, passed as a keyword, imported, or written as a whole string."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield from (node.attr, f".{node.attr}")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from (node.value, f".{node.value}")


def test_every_name_is_read_somewhere():
    trees = {path: ast.parse(path.read_text("utf-8")) for path in files(READERS)}
    used = {name for tree in trees.values() for name in read(tree)}
    used |= CALLED | {f".{name}" for name in CALLED}
    dead = [
        f"{path.relative_to(ROOT).as_posix()}:{line}: {name}"
        for path in files(HALLS)
        for name, line in defined(trees[path])
        if name not in used and not name.strip(".").startswith("__")
    ]
    assert not dead
