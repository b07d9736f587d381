"""What Python says to people, as templates: the page says each in the user's language (js/lib/sentences/).

A template is the English text as Python's `str.format` would fill it: `There are {0} masks for {1} pictures.`
Its holes are numbered from 0; one that is written with `!r` in Python is written so here too. It is its own
key in js/lib/sentences/zh.json and ko.json, as in gettext: no program has to name a sentence twice.

`.venv/bin/python -m tools.sentences` lists what a language lacks and what it has too many of.
"""

from __future__ import annotations

import ast
import functools
import json
import re
import string
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from .locales import LETTERS, ROOT, load

SENTENCES = ROOT / "js" / "lib" / "sentences"
ROOMS = ("core", "host", "nodes")
UNSAID_FILES = (
    "core/store/disk.py", "core/store/entries.py", "core/store/store.py",  # the log alone has these
    "core/store/index.py",  # SQL
    "host/keys/",  # names of classes and inputs
)  # fmt: skip
OF_A_FILE = (
    "core/models/gguf_header.py",
    "core/models/pickle_header.py",
    "core/models/safetensors_header.py",
)
"""What a header's reader says ends a sentence: host/models/model_files.py puts the file's name before it."""
FILE_VERBS = ("is ", "has ")
UNSAID_CALLS = re.compile(
    r"log\.|re\.|io\.Schema$|.*\.(?:Input|Output|startswith|endswith|lstrip|removeprefix|split)$|NewType|TypeVar"
)
"""Calls whose texts no one is shown here: locales/ has those of the schemas."""
UNSAID = frozenset({
    "Hiragino Sans GB.ttc", "SD3 or Flux", "PEFT or diffusers", "Flux or Hunyuan Video", "left to right",
    "one for all", "mean and contrast", "files of negative", "DPM++ 2M SDE Heun", "Negative prompt:",
    "ic[-_ ]?light.*(merged|full|checkpoint)", "pix2pix|ip2p|instruct|cosxl[-_ ]?edit",
    "can't allocate memory", "not enough memory", "Storage size calculation overflowed",
    "{0}, strength {1}, {2}", "upscale {0}/{1}: {2} x {3}",
    "{0} has {1}", "a {0}", "global {0}", "{0} GB", "{0} TB", " (-{0} flat)", " + {0}^2 sparse",
})  # fmt: skip
"""Names, patterns, options of widgets, labels of a plan or a table, and other programs' own words."""
WORDS = frozenset({
    "Script", "Axes", "Negative", "The prompt", "noisy latent", "nothing more",
    "mask at latent size, 1 = paint",
    "something long", "none yet", "nothing is masked", "nothing to do", "is a folder", "was not found",
    "The repeat *", "The candidates *n?", "more", "model", "video model", "text encoder", "vision encoder",
    "model patch",
    "unknown", "file name", "metadata", "RAM", "image", "mask", "depth", "background", "picture",
    "sampler", "scheduler", "top", "bottom", "left", "right", "#", "steps", "cfg", "denoise", "seed",
    "prompt", "stage", "tiles", "tile", "calls", "work", " and of ", " and ", " or ", ", ", "channels: {0}",
    "connect: {0}", "kind: {0}",
})  # fmt: skip
"""Texts of one or two words that stand in the holes of sentences, or over the columns of a table."""
FORMATTER = string.Formatter()
Parts = tuple["str | ast.FormattedValue", ...]


def _variants(node: ast.expr) -> list[Parts] | None:
    """What a text can be, as literal pieces and holes: one for each way that its conditions turn out."""
    if isinstance(node, ast.Constant):
        return [(node.value,)] if isinstance(node.value, str) else None
    if isinstance(node, ast.IfExp):
        ways = [_variants(node.body), _variants(node.orelse)]
        return None if None in ways else [each for way in ways for each in way or ()]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        sides = [_variants(node.left), _variants(node.right)]
        if None in sides:
            return None
        return [left + right for left, right in product(*(side or () for side in sides))]
    if isinstance(node, ast.JoinedStr):
        pieces: list[list[Parts]] = []
        for value in node.values:
            hole = value.value if isinstance(value, ast.FormattedValue) else None
            inner = _variants(hole) if isinstance(hole, ast.IfExp) else None
            if isinstance(value, ast.FormattedValue):
                pieces.append(inner or [(value,)])
            else:
                pieces.append(_variants(value) or [])
        return [sum(each, ()) for each in product(*pieces)]
    return None


def _template(parts: Parts, start: int = 0) -> str:
    text, hole = "", start
    for part in parts:
        if isinstance(part, str):
            text += part.replace("{", "{{").replace("}", "}}")
        else:
            text += f"{{{hole}!r}}" if part.conversion == ord("r") else f"{{{hole}}}"
            hole += 1
    return text


def literals(template: str) -> list[str]:
    """The text between the holes of a template, braces unescaped."""
    return [literal for literal, *_ in FORMATTER.parse(template)]


def holes(template: str) -> list[str]:
    """The holes of a template, in order: `0`, `1!r`."""
    return [
        f"{name}!{conversion}" if conversion else name
        for _, name, _, conversion in FORMATTER.parse(template)
        if name is not None
    ]


def _is_sentence(template: str) -> bool:
    """Whether a text is words for people: three words, an article and a word, or a word and a hole."""
    if re.match(r"(?:an?|the) [\w{]", template):
        return True
    if re.fullmatch(r"\w+(?: \| \w+)+", template):
        return False  # a type
    words = re.findall(r"(?<![\w_{])[A-Za-z][A-Za-z'-]+(?![\w_}(=])", " ".join(literals(template)))
    names = re.findall(r"\w+_\w+", template)
    blank = any(
        " " in literal.strip() or re.search(r"\w \Z|\A \w", literal) for literal in literals(template)
    )
    return blank and len(names) < 3 and len(words) >= (1 if holes(template) else 3)


class _Collector(ast.NodeVisitor):
    """Gathers all texts of a module that are neither documentation nor of a schema nor of the log."""

    def __init__(self) -> None:
        self.found: list[tuple[int, Parts]] = []
        self.schema: set[str] = set()

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.expr) and (ways := _variants(node)) is not None:
            self.found += [(node.lineno, way) for way in ways]
            node = ast.Tuple(
                [hole.value for way in ways for hole in way if not isinstance(hole, str)], ast.Load()
            )
        super().visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if not UNSAID_CALLS.match(ast.unparse(node.func)):
            self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if not ast.unparse(node.value).endswith("Literal"):
            self.generic_visit(node)

    def visit_Module(self, node: ast.Module) -> None:
        """What a schema names is in locales/, and what is a label goes into a plan."""
        for each in ast.walk(node):
            shown = isinstance(each, ast.keyword) and each.arg in ("tooltip", "default")
            if shown or (isinstance(each, ast.Call) and ast.unparse(each.func) == "io.Schema"):
                self.schema |= {name.id for name in ast.walk(each) if isinstance(name, ast.Name)}
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        if ast.unparse(node.targets[0]) not in self.schema:
            self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg != "label":
            self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        """What is compared is no text for people."""


def _module_texts(path: Path, name: str) -> Iterator[tuple[int, str]]:
    collector = _Collector()
    collector.visit(ast.parse(path.read_text("utf-8")))
    for line, parts in collector.found:
        template = _template(parts)
        if name in OF_A_FILE and template.startswith(FILE_VERBS):
            template = f"{{0}} {_template(parts, 1)}."
        yield line, template


@functools.cache
def _texts() -> list[tuple[str, str]]:
    """Every text of our Python, `(template, "file:line")`."""
    found = []
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(UNSAID_FILES):
                found += [(template, f"{name}:{line}") for line, template in _module_texts(path, name)]
    return found


def all_texts() -> set[str]:
    """Every text of our Python, of one word too."""
    return {template for template, _ in _texts()}


def templates() -> dict[str, str]:
    """{template: "file:line" of the place that says it} of all that Python says to people."""
    found = {name: "the display_name of a node" for name in node_names("en")}
    for template, where in _texts():
        if template in WORDS or (_is_sentence(template) and template not in UNSAID):
            found.setdefault(template, where)
    return found


def node_names(language: str) -> list[str]:
    """What our nodes are called in a language, in the order of their ids: sentences name them."""
    return [node["display_name"] for _, node in sorted(load(language, "nodeDefs").items())]


def translations(language: str) -> dict[str, str]:
    """{template: translation} of a language, as the page reads it."""
    return json.loads((SENTENCES / f"{language}.json").read_text("utf-8"))


def main() -> None:
    said = templates()
    for language in LETTERS:
        known = translations(language)
        file = (SENTENCES / f"{language}.json").relative_to(ROOT)
        for template in said.keys() - known.keys():
            print(f"{file}: add {json.dumps(template)} ({said[template]})")
        for template in known.keys() - said.keys():
            print(f"{file}: remove {json.dumps(template, ensure_ascii=False)}")


if __name__ == "__main__":
    main()
