"""A door for new nodes: everything that a node needs, as stubs, and what is still to write in them.

`.venv/bin/python -m tools.new_node ISI_Name family` makes the node in nodes/family.py, a help page, a test
and a row in README. Without arguments it goes over what follows from them, as often as you like: golden
schemas, locale files, README's rows, and English where Chinese and Korean are not written yet (until a
release). Both end with what is still to write.
"""

from __future__ import annotations

import argparse
import ast
import re
import tempfile
from pathlib import Path
from typing import Any

from . import locales

ROOT = Path(__file__).resolve().parents[1]
MARK = "WRITE:"
"""Begins what a stub leaves to be written; no finished file has it."""

NODE = """class {class_name}(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="{node_id}",
            display_name="{title}",
            category={category},
            description="WRITE: what it does, in a sentence or two.",
            search_aliases=["WRITE: what people look for"],
            inputs=[io.Image.Input("image", tooltip="WRITE: what goes in.")],
            outputs=[io.Image.Output("image", tooltip="WRITE: what comes out.")],
        )

    @classmethod
    def execute(cls, image) -> io.NodeOutput:
        # WRITE: a call of a function in core/ or host/
        return io.NodeOutput(image)


"""
FAMILY = '''"""WRITE: what the nodes of this family are for."""

from __future__ import annotations

from comfy_api.latest import io

NODES: list[type[io.ComfyNode]] = []
'''
HELP = """# {title}

**WRITE: what it does.** WRITE: why, and when one takes it.

## Inputs

- **image**: WRITE: what goes in.

## Tips

- WRITE: what to do with it.

## What goes wrong

- WRITE: what one sees, why, and what helps.
"""
TEST = '''"""{node_id}: WRITE: the property that is tested."""

import torch


def test_write_a_name(host):
    (out,) = host.call("{node_id}", image=torch.rand(1, 8, 8, 3))
    assert out is None, "WRITE: compare with something that is not our code"
'''


def snake(node_id: str) -> str:
    """ISI_CropForInpaint -> crop_for_inpaint."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", node_id.removeprefix("ISI_")).lower()


def title_of(node_id: str) -> str:
    """ISI_CropForInpaint -> ISI Crop For Inpaint."""
    return "ISI " + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", node_id.removeprefix("ISI_"))


def node_ids(family: Path) -> list[str]:
    """The literal `node_id`s in a file of nodes/, in its order."""
    return re.findall(r'node_id="(\w+)"', family.read_text("utf-8"))


def make(node_id: str, family: str, root: Path = ROOT) -> list[Path]:
    """Writes the stubs of a new node into the repository at `root`; returns the files to write in by hand.

    Raises ValueError for a name that is none, or taken.
    """
    if not re.fullmatch(r"ISI_[A-Z][A-Za-z0-9]+", node_id) or not re.fullmatch(r"[a-z][a-z0-9_]*", family):
        raise ValueError("Expected names such as ISI_Invert and colour (a file in nodes/, there or new).")
    path = root / "nodes" / f"{family}.py"
    if any(node_id in node_ids(file) for file in (root / "nodes").glob("*.py")):
        raise ValueError(f"There is a node {node_id} already: node ids are for ever, choose another.")
    known = node_ids(path) if path.exists() else []
    if not path.exists():
        path.write_text(FAMILY, "utf-8")
        _list_family(root / "nodes" / "__init__.py", family)
    _add_class(path, node_id)
    page = root / "js" / "docs" / node_id / "en.md"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(HELP.format(title=title_of(node_id)), "utf-8")
    test = root / "tests" / "host" / _room(root, known) / f"test_{snake(node_id)}.py"
    test.write_text(TEST.format(node_id=node_id), "utf-8")
    _add_row(root / "README.md", node_id, known)
    return [path, page, test]


def _list_family(path: Path, family: str) -> None:
    """Adds a module to the imports and to FAMILIES of nodes/__init__.py, at their alphabetical places."""
    text = path.read_text("utf-8")
    for opening in ("from . import (\n", "FAMILIES: list = [\n"):
        start = text.index(opening) + len(opening)
        end = start + re.search(r"^[)\]]", text[start:], re.MULTILINE).start()  # type: ignore[union-attr]
        names = sorted([*text[start:end].split(), f"{family},"])
        text = text[:start] + "".join(f"    {name}\n" for name in names) + text[end:]
    path.write_text(text, "utf-8")


def _add_class(path: Path, node_id: str) -> None:
    """Adds the node before the family's list, and to it."""
    text = path.read_text("utf-8")
    found = re.search(r"category=([^,\n]+),", text)
    category = found[1] if found else f'"ISI/{path.stem.replace("_", " ")}"'
    bare = node_id.removeprefix("ISI_")
    taken = {node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)}
    class_name = f"{bare}Node" if bare in taken else bare
    before, listed, rest = text.rpartition("NODES: list[type[io.ComfyNode]] = [")
    end = rest.index("]")
    names = [name for name in re.split(r"[,\s]+", rest[:end]) if name] + [class_name]
    one_line = f"{listed}{', '.join(names)}]"
    if len(one_line) > 110:
        one_line = listed + "\n" + "".join(f"    {name},\n" for name in names) + "]"
    node = NODE.format(class_name=class_name, node_id=node_id, title=title_of(node_id), category=category)
    path.write_text(before.rstrip() + "\n\n\n" + node + one_line + rest[end + 1 :], "utf-8")


def _room(root: Path, known: list[str]) -> str:
    """The room of tests/host that looks at the family's other nodes."""
    for test in sorted((root / "tests" / "host").glob("*/test_*.py")):
        if any(f'"{node_id}"' in test.read_text("utf-8") for node_id in known):
            return test.parent.name
    return "pictures"


def _add_row(readme: Path, node_id: str, known: list[str]) -> None:
    """A row after the family's last one in README, or after the last node of all."""
    lines = readme.read_text("utf-8").splitlines()
    rows = [i for i, line in enumerate(lines) if line.startswith("|") and "`ISI_" in line]
    own = [i for i in rows if any(f"`{one}`" in lines[i] for one in known)]
    lines.insert((own or rows)[-1] + 1, f"| {title_of(node_id)} `{node_id}` | {MARK} what it does |")
    readme.write_text("\n".join(lines) + "\n", "utf-8")


def fill_rows(readme: Path, nodes: dict[str, Any]) -> None:
    """Gives README's unwritten rows the first sentence of their node's description, once there is one."""
    lines = readme.read_text("utf-8").splitlines()
    for i, line in enumerate(lines):
        found = re.fullmatch(rf"\| .* `(ISI_\w+)` \| {MARK} .*\|", line)
        said = nodes[found[1]].GET_NODE_INFO_V1()["description"] if found and found[1] in nodes else MARK
        if found and MARK not in said:
            sentence = re.split(r"(?<=\w)\.(?:\s|$)", said)[0]
            lines[i] = line.replace(line[line.index(MARK) :], f"{sentence[0].lower()}{sentence[1:]} |")
    readme.write_text("\n".join(lines) + "\n", "utf-8")


def refresh(host: Any, root: Path = ROOT) -> None:
    """All that follows from the schemas: the golden file, README's rows, the locale files, the stand-ins."""
    from tests.host import test_schemas

    current = test_schemas.described(host)
    if losses := test_schemas.broken(test_schemas.golden(), current):
        raise ValueError("Saved graphs hold these:\n" + "\n".join(losses))
    test_schemas.write(current)
    fill_rows(root / "README.md", host.nodes)
    locales.write(host.nodes)


def left(root: Path = ROOT) -> list[str]:
    """What is still to be written: `file:line: what`."""
    files = [root / "README.md", *(root / "nodes").glob("*.py"), *(root / "js" / "docs").glob("*/en.md")]
    files += [*(root / "tests" / "host").glob("*/test_*.py")]
    return [
        f"{path.relative_to(root).as_posix()}:{number}: {line[line.index(MARK) :].strip()}"
        for path in files
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if MARK in line
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("node_id", nargs="?", help="such as ISI_Invert")
    parser.add_argument("family", nargs="?", help="a file of nodes/, such as colour")
    args = parser.parse_args()
    if args.node_id:
        if not args.family:
            parser.error("name the family too: a file of nodes/, such as colour")
        try:
            files = make(args.node_id, args.family)
        except ValueError as error:
            raise SystemExit(str(error)) from error
        print("To write by hand:", *(f"  {path.relative_to(ROOT)}" for path in files), sep="\n")
    # After the stubs are written: the host loads them.
    from tests.host.harness import Host

    with tempfile.TemporaryDirectory() as base:
        refresh(Host(Path(base)))
    print("\nStill to write:", *left(), sep="\n  ") if left() else print("Nothing is left to write.")


if __name__ == "__main__":
    main()
