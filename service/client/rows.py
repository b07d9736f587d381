"""The rows of a batch: one graph, and the values that each of its jobs has there."""

from __future__ import annotations

import copy
import csv
import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PICTURES = {".png", ".jpg", ".jpeg", ".webp"}
RANGE = re.compile(r"(-?[0-9]+)\.\.(-?[0-9]+)")
MOST_ROWS = 100_000

Graph = dict[str, dict[str, Any]]


class BatchError(Exception):
    """What is wrong with a batch, in one sentence."""


@dataclass(frozen=True)
class Column:
    """A widget of the graph: what the user called it, its node's id, its input's name."""

    title: str
    node: str
    widget: str


@dataclass(frozen=True)
class Row:
    """The values of one job, in the order of the columns; a picture is a Path."""

    values: tuple[Any, ...]


def load_graph(path: Path) -> Graph:
    """A graph in API form. Raises BatchError."""
    try:
        graph = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BatchError(f"{path} can't be read as JSON: {error}.") from error
    nodes = list(graph.values()) if isinstance(graph, dict) else []
    if not nodes or not all(isinstance(node, dict) and "class_type" in node for node in nodes):
        raise BatchError(f"{path} is no graph in API form: export it with File > Export (API) in ComfyUI.")
    return graph


def find_column(graph: Graph, title: str) -> Column:
    """The widget that `Title.widget` means; the title is a node's title, class or id. Raises BatchError."""
    name, dot, widget = title.strip().rpartition(".")
    named = [
        node
        for node, each in graph.items()
        if name in (node, each["class_type"], (each.get("_meta") or {}).get("title"))
    ]
    found = [node for node in named if widget in graph[node].get("inputs", {})]
    if len(found) == 1:
        return Column(title.strip(), found[0], widget)
    if not dot or not named:
        titles = sorted(
            {(each.get("_meta") or {}).get("title") or each["class_type"] for each in graph.values()}
        )
        raise BatchError(
            f"{title!r} names no widget: write Title.widget, with a title of {', '.join(titles)}."
        )
    if not found:
        inputs = ", ".join(graph[named[0]].get("inputs", {}))
        raise BatchError(f"{name!r} has no input {widget!r}; it has: {inputs}.")
    raise BatchError(
        f"{title!r} may be several nodes ({', '.join(found)}): write the node's id for its title."
    )


def like(text: str, column: Column, graph: Graph) -> Any:
    """`text` as the type that the graph has there. Raises BatchError."""
    now = graph[column.node]["inputs"][column.widget]
    try:
        if isinstance(now, bool):
            return {"true": True, "1": True, "false": False, "0": False}[text.strip().lower()]
        if isinstance(now, int):
            return int(text)
        if isinstance(now, float):
            return float(text)
    except (ValueError, KeyError) as error:
        raise BatchError(f"{column.title} is {text!r}; expected a value like {now!r}.") from error
    return text


def values_of(text: str, column: Column, graph: Graph) -> list[Any]:
    """The values of `--set`: `1..500` counts, `a|b|c` are themselves."""
    if match := RANGE.fullmatch(text.strip()):
        first, last = int(match[1]), int(match[2])
        step = 1 if last >= first else -1
        if abs(last - first) >= MOST_ROWS:
            raise BatchError(f"{column.title}={text} makes over {MOST_ROWS:,} jobs.")
        texts = [str(number) for number in range(first, last + step, step)]
    else:
        texts = text.split("|")
    return [like(each, column, graph) for each in texts]


def read_csv(path: Path, graph: Graph) -> tuple[list[Column], list[list[Any]]]:
    """The columns and rows of a CSV file, whose first line names widgets. Raises BatchError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head, *lines = [line for line in csv.reader(file) if line]
    except (OSError, ValueError, csv.Error) as error:
        raise BatchError(
            f"{path} can't be read as CSV with a line of Title.widget at its top: {error}."
        ) from error
    columns = [find_column(graph, title) for title in head]
    for number, line in enumerate(lines, 2):
        if len(line) != len(head):
            raise BatchError(f"Line {number} of {path} has {len(line)} values; its top has {len(head)}.")
    return columns, [[like(each, c, graph) for each, c in zip(line, columns, strict=True)] for line in lines]


def picture_column(graph: Graph, title: str | None) -> Column:
    """The widget that takes the pictures of a folder: of the LoadImage that is named, or the only one."""
    if title:
        return find_column(graph, f"{title}.image")
    found = [node for node, each in graph.items() if each["class_type"] == "LoadImage"]
    if len(found) != 1:
        text = (
            f"The graph has {len(found)} LoadImage nodes: say with --picture TITLE which takes the pictures."
        )
        raise BatchError(text)
    return Column("picture", found[0], "image")


def all_rows(
    graph: Graph, table: Path | None, folder: Path | None, picture: str | None, sets: Sequence[str]
) -> tuple[list[Column], list[Row]]:
    """Every combination of a table's lines, a folder's pictures, and what is set. Raises BatchError."""
    columns: list[Column] = []
    parts: list[list[list[Any]]] = []
    if table:
        columns, lines = read_csv(table, graph)
        parts.append(lines)
    if folder:
        columns = [*columns, picture_column(graph, picture)]
        files = sorted(path for path in folder.glob("*") if path.suffix.lower() in PICTURES)
        if not files:
            raise BatchError(f"{folder} has no PNG, JPEG or WebP pictures.")
        parts.append([[path] for path in files])
    for each in sets:
        title, equals, text = each.partition("=")
        if not equals:
            raise BatchError(
                f"--set {each!r} has no value: write --set 'Title.widget=1..500' or 'Title.widget=a|b'."
            )
        column = find_column(graph, title)
        columns = [*columns, column]
        parts.append([[value] for value in values_of(text, column, graph)])
    places = [(column.node, column.widget) for column in columns]
    if len(set(places)) < len(places):
        raise BatchError("One widget has its values from two places: name each once.")
    count = 1
    for part in parts:
        count *= len(part)
    if count > MOST_ROWS:
        raise BatchError(f"These make {count:,} jobs; a batch has at most {MOST_ROWS:,}.")
    return columns, [Row(tuple(itertools.chain(*each))) for each in itertools.product(*parts)]


def filled(graph: Graph, columns: Sequence[Column], values: Sequence[Any]) -> Graph:
    """The graph with a row's values in it."""
    own = copy.deepcopy(graph)
    for column, value in zip(columns, values, strict=True):
        own[column.node]["inputs"][column.widget] = value
    return own
