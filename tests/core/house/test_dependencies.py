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


def test_the_services_extra_is_what_it_imports_and_installs():
    modules = {"PIL": "Pillow", "multipart": "python-multipart"}
    # Those that others bring: FastAPI its parts, uvicorn its protocol.
    brought = {"isi", "starlette", "pydantic", "h11"}
    paths = (ROOT / "service").rglob("*.py")
    found = {name.partition(".")[0] for path in paths for name in imported(path)} | {"python-multipart"}
    used = {modules.get(name, name.replace("_", "-")) for name in found - brought - sys.stdlib_module_names}
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    line = re.search(r"^optional-dependencies = \{(.*)\}", text, re.MULTILINE)[1]
    for name, only in (("service", used - {"ray"}), ("ray", used & {"ray"})):
        extra = ast.literal_eval(re.search(rf"\b{name} = (\[.*?\])", line)[1])
        lines = (ROOT / f"requirements-{name}.txt").read_text("utf-8").splitlines()
        installed = {re.split("[=> ]", line)[0] for line in lines if not line.startswith("#")}
        assert only == {re.split("[=> ]", each)[0] for each in extra} == installed


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
