"""The order of the house: nodes -> host -> core, the rooms within core and host, small rooms and files."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
COMFY = {"comfy", "comfy_api", "comfy_extras", "comfy_execution", "nodes", "server", "folder_paths"}
COMFY |= {"execution", "latent_preview", "node_helpers", "comfy_config", "app"}
FORBIDDEN = {
    "core": COMFY | {"isi.host", "isi.nodes", "isi.service"},
    "host": {"isi.nodes", "isi.service"},
    "nodes": COMFY - {"comfy_api"} | {"isi.service"},
    # The service runs without torch: of the pack it knows the language of scripts alone.
    "service": COMFY | {"isi.host", "isi.nodes", "torch", "numpy"},
}
# Which rooms of its own hall a room may import.
ROOMS = {
    "core": {
        "language": set(),
        "store": set(),
        "film": {"loop"},
        "infotext": {"language"},
        "loop": {"language", "store"},
        "choosing": {"loop", "vision"},
        "models": set(),
        "fills": {"loop"},
        "pictures": {"loop", "fills"},
        "edits": {"loop", "pictures"},
        "frames": {"loop", "edits", "fills", "picking", "pictures"},
        "picking": {"loop"},
        "inside": {"loop"},
        "tiles": {"loop"},
        "plans": {"loop", "fills", "frames", "inside", "pictures", "tiles"},
        "grids": {"language"},
    },
    "service": {"jobs": set(), "door": {"jobs"}, "client": set(), "deploy": set()},
    "host": {
        "keys": set(),
        "prompts": {"keys"},
        "loop": {"keys", "prompts"},
        "models": {"loop"},
        "inside": {"loop", "prompts"},
        "tiles": {"inside", "loop", "models"},
        "vision": {"keys", "loop"},
        "conditioning": {"loop", "models", "prompts", "vision"},
        "choosing": {"loop", "vision"},
        "film": {"loop"},
        "frames": {"keys", "loop", "models"},
        "grids": {"keys", "loop"},
        "runs": {"loop"},
    },
}
FILES_OF_A_ROOM = 12
LINES_OF_A_FILE = 400


def imported(path: Path) -> set[str]:
    """Every module that a file imports anywhere, in full; ours start with `isi.`."""
    package = ["isi", *path.relative_to(ROOT).parent.parts]
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base += [node.module] if node.module else []
            names |= {".".join([*base, alias.name]) for alias in node.names}
    return names


def starts(name: str, prefixes: set[str]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


@pytest.mark.parametrize("hall", FORBIDDEN)
def test_imports_run_one_way(hall):
    bad = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / hall).rglob("*.py")
        for name in imported(path)
        if starts(name, FORBIDDEN[hall])
    }
    assert not bad


def test_the_service_reads_scripts_and_nothing_else_of_core():
    found = {name for path in (ROOT / "service").rglob("*.py") for name in imported(path)}
    assert {name.split(".")[2] for name in found if name.startswith("isi.core.")} == {"language"}


@pytest.mark.parametrize(("hall", "room"), [(hall, room) for hall in ROOMS for room in ROOMS[hall]])
def test_rooms_depend_one_way(hall, room):
    others = {f"isi.{hall}.{other}" for other in ROOMS[hall].keys() - ROOMS[hall][room] - {room}}
    bad = {
        f"{path.name}: {name}"
        for path in (ROOT / hall / room).rglob("*.py")
        for name in imported(path)
        if starts(name, others)
    }
    assert not bad


@pytest.mark.parametrize("hall", ROOMS)
def test_every_room_is_listed_and_small(hall):
    found = {path.parent.name for path in (ROOT / hall).glob("*/*.py")}
    assert found == ROOMS[hall].keys()
    for room in found:
        files = [path for path in (ROOT / hall / room).glob("*.py") if path.name != "__init__.py"]
        assert len(files) <= FILES_OF_A_ROOM, f"{hall}/{room} has {len(files)} files"
    for path in (ROOT / hall).rglob("*.py"):
        assert len(path.read_text("utf-8").splitlines()) <= LINES_OF_A_FILE, path


def test_a_class_or_type_has_one_name_and_a_name_one_class():
    places: dict[str, list[str]] = {}
    for path in [path for hall in ROOMS for path in (ROOT / hall).rglob("*.py")]:
        for node in ast.parse(path.read_text("utf-8")).body:
            names = [node.name] if isinstance(node, ast.ClassDef) else []
            if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("Literal["):
                names = [ast.unparse(target) for target in node.targets]
            for name in (name for name in names if not name.startswith("_")):
                places.setdefault(name, []).append(str(path.relative_to(ROOT)))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}
