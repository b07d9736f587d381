"""What the pack imports is what its pyproject names: no more, no less."""

import ast
import re
import sys
from pathlib import Path

from .test_house import COMFY, ROOT, imported

# torch is ComfyUI's own choice: a pack that names it may have pip replace the one for the user's card.
HOSTS = COMFY | {"isi", "torch", "protocol", "comfyui_version"}
DISTRIBUTIONS = {"PIL": "Pillow", "yaml": "pyyaml"}


def declared() -> set[str]:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    names = ast.literal_eval(re.search(r"^dependencies = (\[.*?\])", text, re.MULTILINE | re.DOTALL)[1])
    return {re.match(r"[\w-]+", name)[0] for name in names}


def files() -> list[Path]:
    return [path for hall in ("core", "host", "nodes") for path in (ROOT / hall).rglob("*.py")]


def test_dependencies_are_what_is_imported():
    found = {name.partition(".")[0] for path in files() for name in imported(path)}
    ours = found - HOSTS - sys.stdlib_module_names
    assert {DISTRIBUTIONS.get(name, name) for name in ours} == declared()


def test_packages_that_a_host_may_lack_are_imported_where_they_are_used():
    early = []
    for path in files():
        for node in ast.parse(path.read_text("utf-8")).body:
            names = (
                {alias.name for alias in getattr(node, "names", [])}
                if isinstance(node, ast.Import)
                else set()
            )
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = {node.module or ""}
            early += [
                f"{path.relative_to(ROOT)}: {n}"
                for n in names
                if n.partition(".")[0] in ("kornia", "spandrel", "nodes")
            ]
    assert not early
