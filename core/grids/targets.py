"""Which widgets of a graph the axes mean, whether these take the values, and the graph of each cell."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from ..language.places import short
from .axes import Axes, GridAxis
from .cells import Cell
from .values import Value, mistake, number

Graph = Mapping[str, Mapping[str, Any]]
"""A graph in API form: node ids, and `class_type`, `inputs`, `_meta` of each node."""
SEEDS = ("seed", "noise_seed")
SCRIPT = "ISI_Script"
MOST_NAMES = 8
TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@dataclass(frozen=True)
class NodeKind:
    """What a node class is called, and its inputs: a type (or a list of choices) and options for each."""

    title: str
    inputs: Mapping[str, tuple[Any, Mapping[str, Any]]]


NodeKinds = Callable[[str], NodeKind]
"""The kind of a node class. Raises KeyError where there is none."""


@dataclass(frozen=True)
class Change:
    """What an axis does to one widget: it is set to the value, or its text is changed by it."""

    node: str
    widget: str
    values: tuple[Any, ...]
    act: Callable[[Any, Any], Any] | None = None


@dataclass(frozen=True)
class Targets:
    """The graph behind a grid's picture, and for each axis its changes."""

    graph: Graph
    changes: tuple[tuple[Change, ...], ...]

    def graph_of(self, cell: Cell) -> dict[str, Any]:
        """The graph with a cell's values; nodes that do not change are shared."""
        graph = dict(self.graph)
        for value, changes in zip(cell, self.changes, strict=True):
            for change in changes:
                node = graph[change.node]
                to = change.values[value]
                if change.act is not None:
                    to = change.act(node["inputs"][change.widget], to)
                graph[change.node] = {**node, "inputs": {**node["inputs"], change.widget: to}}
        return graph

    def order(self, output: str) -> list[int]:
        """The axes from the one that changes seldomest: what lies furthest behind `output` is made once."""
        far = {output: 0}
        for node, _, link in _links(self.graph, output):
            far[link[0]] = max(far.get(link[0], 0), far[node] + 1)
        depth = [max((far.get(change.node, 0) for change in changes), default=0) for changes in self.changes]
        return sorted(range(len(depth)), key=lambda axis: -depth[axis])


def is_link(value: Any) -> bool:
    """Whether an input is a link `[node, output]`."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int)
    )


def _links(graph: Graph, start: str) -> Iterator[tuple[str, str, list]]:
    """Every link behind a node, each node's once: who has it, in which input, and the link."""
    waiting = [start]
    seen = {start}
    for node in waiting:  # grows while it is read
        for name, value in graph[node].get("inputs", {}).items():
            if is_link(value) and value[0] in graph:
                yield node, name, value
                if value[0] not in seen:
                    seen.add(value[0])
                    waiting.append(value[0])


def behind(graph: Graph, node: str) -> dict[str, Any]:
    """The part of a graph that a node depends on, the node included, in the graph's order."""
    found = {node, *(link[0] for *_, link in _links(graph, node))}
    return {each: value for each, value in graph.items() if each in found}


def find_targets(axes: Axes, graph: Graph, output: str, kinds: NodeKinds) -> Targets:
    """What `axes` change in what lies behind the node `output`. Raises ScriptError."""
    return _Finder(axes, graph, output, kinds).targets()


class _Finder:
    def __init__(self, axes: Axes, graph: Graph, output: str, kinds: NodeKinds):
        self.axes, self.whole, self.kinds = axes, graph, kinds
        self.graph = behind(graph, output)
        self.output = output
        self.nodes = [node for node in self.graph if node != output]

    def targets(self) -> Targets:
        taken: dict[tuple[str, str], GridAxis] = {}
        found = []
        for axis in self.axes.axes:
            changes = self._changes(axis)
            for change in changes:
                before = taken.setdefault((change.node, change.widget), axis) if change.act is None else axis
                if before is not axis:
                    where = f"{self._name(change.node)}.{change.widget}"
                    reason = f"{where} is varied by the axis {before.title!r} already."
                    raise self._wrong(axis, "axis_twice", reason)
            found.append(tuple(changes))
        return Targets(self.graph, tuple(found))

    def _wrong(self, axis: GridAxis, key: str, reason: str, value: Value | None = None) -> Exception:
        return mistake(self.axes.source, value.offset if value else axis.offset, key, reason)

    def _changes(self, axis: GridAxis) -> list[Change]:
        texts = tuple(value.text for value in axis.values)
        if axis.way == "matrix":
            return [self._matrix(axis, texts)]
        if axis.way == "seeds":
            places = [(node, name) for name in SEEDS for node in self.nodes if self._is_widget(node, name)]
            if not places:
                raise self._wrong(axis, "no_seed", "No node behind the picture has a seed.")
            return [Change(*place, self._values(axis, *place)) for place in places]
        if axis.way == "replace" and axis.name == "prompt":
            places = [place for place in self._texts() if axis.old in self._now(*place)]
            if not places:
                raise self._wrong(
                    axis, "no_text", f"No text behind the picture has {short(axis.old)!r} in it."
                )
        else:
            places = [self._place(axis)]
        if axis.way == "widget":
            return [Change(*places[0], self._values(axis, *places[0]))]
        for place in places:
            now = self._now(*place)
            if not isinstance(now, str) or axis.old not in now:
                reason = f"{self._name(place[0])}.{place[1]} has no {short(axis.old)!r} in its text."
                raise self._wrong(axis, "no_text", reason)
        return [Change(*place, texts, lambda now, to: now.replace(axis.old, to)) for place in places]

    # Which widget

    def _place(self, axis: GridAxis) -> tuple[str, str]:
        name = axis.name
        if "." not in name:
            found = [(node, name) for node in self.nodes if self._is_widget(node, name)]
        else:
            cuts = [(name[:at], name[at + 1 :]) for at, letter in enumerate(name) if letter == "."]
            may = [(node, widget) for left, widget in cuts for node in self._called(left, self.nodes)]
            found = [(node, widget) for node, widget in may if widget in self.graph[node].get("inputs", {})]
            # An optional widget may be missing from a graph that a program wrote.
            found = found or [(node, widget) for node, widget in may if self._type(node, widget)[0]]
        if len(found) > 1:
            ways = ", ".join(f"{self._name(node)}#{node}.{widget}" for node, widget in found[:MOST_NAMES])
            reason = f"{short(name)!r} may be {len(found)} widgets: write one of {ways}."
            raise self._wrong(axis, "two_nodes", reason)
        if not found:
            raise self._missing(axis)
        node, widget = found[0]
        if is_link(self._now(node, widget)):
            reason = f"{name!r} is connected, so it takes no value: name a widget of the node behind it."
            raise self._wrong(axis, "connected", reason)
        return found[0]

    def _missing(self, axis: GridAxis) -> Exception:
        name = axis.name
        left, _, widget = name.rpartition(".")
        nodes = self._called(left, self.nodes) if left else []
        if nodes:
            here = [each for node in nodes for each in self._widgets(node)]
            near = _nearest(widget, here)
            reason = f"{left!r} has no widget {short(widget)!r}; it has {near}."
            return self._wrong(axis, "no_widget", reason)
        if left and self._called(left, [node for node in self.whole if node != self.output]):
            reason = f"{left!r} is not behind the picture of this grid, so it changes nothing there."
            return self._wrong(axis, "not_behind", reason)
        if left:
            near = _nearest(left, [self._name(node) for node in self.nodes])
            reason = f"No node is called {short(left)!r}; there is {near}."
            return self._wrong(axis, "no_node", reason)
        every = [each for node in self.nodes for each in self._widgets(node)]
        reason = f"No node behind the picture has a widget {short(name)!r}; there is {_nearest(name, every)}."
        return self._wrong(axis, "no_widget", reason)

    def _called(self, name: str, nodes: Sequence[str]) -> list[str]:
        """The nodes of that title; of that class where no title is so; `name#id` and `#id` are one node."""
        bare, mark, node = name.rpartition("#")
        if mark and node in nodes and (not bare.strip() or bare.strip().casefold() in self._names(node)):
            return [node]
        wanted = name.casefold()
        titled = [node for node in nodes if self._title(node).casefold() == wanted]
        return titled or [node for node in nodes if wanted in self._names(node)]

    def _title(self, node: str) -> str:
        meta = self.whole[node].get("_meta")
        title = meta.get("title") if isinstance(meta, dict) else None
        return title if isinstance(title, str) else ""

    def _names(self, node: str) -> set[str]:
        kind = self._kind(node)
        names = {self._title(node), str(self.whole[node].get("class_type"))} | (
            {kind.title} if kind else set()
        )
        return {name.casefold() for name in names if name}

    def _name(self, node: str) -> str:
        kind = self._kind(node)
        return self._title(node) or (kind.title if kind else str(self.whole[node].get("class_type")))

    def _kind(self, node: str) -> NodeKind | None:
        try:
            return self.kinds(self.whole[node]["class_type"])
        except KeyError:
            return None

    def _now(self, node: str, widget: str) -> Any:
        return self.graph[node].get("inputs", {}).get(widget)

    def _type(self, node: str, widget: str) -> tuple[Any, Mapping[str, Any]]:
        """An input's type and options; those of its value where the class does not tell."""
        kind = self._kind(node)
        if kind and widget in kind.inputs:
            return kind.inputs[widget]
        now = self._now(node, widget)
        return {bool: "BOOLEAN", int: "INT", float: "FLOAT", str: "STRING"}.get(type(now), ""), {}

    def _is_widget(self, node: str, widget: str) -> bool:
        return widget in self.graph[node].get("inputs", {}) and not is_link(self._now(node, widget))

    def _widgets(self, node: str) -> list[str]:
        return [name for name in self.graph[node].get("inputs", {}) if self._is_widget(node, name)]

    def _texts(self) -> list[tuple[str, str]]:
        """Every widget that holds free text."""
        return [
            (node, name)
            for node in self.nodes
            for name in self._widgets(node)
            if self._type(node, name)[0] == "STRING" and isinstance(self._now(node, name), str)
        ]

    # Which values

    def _matrix(self, axis: GridAxis, texts: tuple[str, ...]) -> Change:
        places = [place for place in self._texts() if self._is_prompt(*place)]
        if len(places) != 1:
            names = (
                ", ".join(f"{self._name(node)}.{widget}" for node, widget in places[:MOST_NAMES]) or "none"
            )
            reason = (
                f"matrix adds to the prompt, and there are {len(places)} ({names}): write "
                'prompt = replace "WORD": matrix a | b, with WORD where the parts shall stand.'
            )
            raise self._wrong(axis, "matrix_prompt", reason)
        (node, widget) = places[0]
        script = self.graph[node]["class_type"] == SCRIPT
        # A global group joins every step of a script.
        return Change(node, widget, texts, _add_to_script if script else _add)

    def _is_prompt(self, node: str, widget: str) -> bool:
        multiline = self._type(node, widget)[1].get("multiline")
        return bool(multiline) and "negative" not in widget and "negative" not in self._ends(node, set())

    def _ends(self, node: str, seen: set[str]) -> set[str]:
        """Which of positive and negative a node's outputs come to first."""
        found: set[str] = set()
        for user, values in self.graph.items():
            for name, value in values.get("inputs", {}).items():
                if not is_link(value) or value[0] != node:
                    continue
                side = next((one for one in ("positive", "negative") if one in name), "")
                if side:
                    found.add(side)
                elif user not in seen:
                    found |= self._ends(user, seen | {user})
        return found

    def _values(self, axis: GridAxis, node: str, widget: str) -> tuple[Any, ...]:
        kind, options = self._type(node, widget)
        where = f"{self._name(node)}.{widget}"
        return tuple(self._value(axis, value, where, kind, options) for value in axis.values)

    def _value(self, axis: GridAxis, value: Value, where: str, kind: Any, options: Mapping[str, Any]) -> Any:
        choices = kind if isinstance(kind, list | tuple) else options.get("options")
        text = value.text.strip()
        if isinstance(choices, list | tuple) and choices:
            return self._choice(axis, value, where, choices)
        if kind in ("INT", "FLOAT"):
            return self._number(axis, value, where, kind, options)
        if kind == "BOOLEAN":
            if text.casefold() in TRUE + FALSE:
                return text.casefold() in TRUE
            raise self._wrong(axis, "no_boolean", f"{where} takes true or false, not {short(text)!r}.", value)
        if kind == "STRING" or kind == "COMBO":
            return value.text
        raise self._wrong(axis, "no_value", f"{where} takes a connection, not a value.", value)

    def _number(self, axis: GridAxis, value: Value, where: str, kind: str, options: Mapping[str, Any]) -> Any:
        low, high = options.get("min"), options.get("max")
        found, whole = number(value.text), kind == "INT"
        name = "a whole number" if whole else "a number"
        limits = f" from {low} to {high}" if low is not None and high is not None else ""
        bad = (
            found is None
            or whole
            and found % 1
            or low is not None
            and found < low
            or high is not None
            and found > high
        )
        if found is None or bad:
            reason = f"{where} takes {name}{limits}, not {short(value.text)!r}."
            raise self._wrong(axis, "bad_number", reason, value)
        step = options.get("step")
        if whole and isinstance(step, int) and step > 1 and (int(found) - (low or 0)) % step:
            reason = f"{where} goes by {step} from {low or 0}, which never comes to {short(value.text)!r}."
            raise self._wrong(axis, "off_step", reason, value)
        return int(found) if whole else float(found)

    def _choice(self, axis: GridAxis, value: Value, where: str, choices: Sequence[Any]) -> Any:
        """The choice that a text means: itself, or the only one so but for case, folder and ending."""
        every = {str(one.get("key", one) if isinstance(one, dict) else one): one for one in choices}
        same: tuple[Callable[[str], str], ...] = (
            lambda text: text,
            str.casefold,
            lambda text: PurePosixPath(text.replace("\\", "/")).name.casefold(),
            lambda text: PurePosixPath(text.replace("\\", "/")).stem.casefold(),
        )
        for way in same:
            found = [one for one in every if way(one) == way(value.text)]
            if len(found) == 1:
                return found[0] if isinstance(every[found[0]], dict) else every[found[0]]
        reason = f"{where} has no choice {short(value.text)!r}; there is {_nearest(value.text, list(every))}."
        raise self._wrong(axis, "no_choice", reason, value)


def _add(text: str, part: str) -> str:
    return ", ".join(filter(None, (text.rstrip().rstrip(","), part)))


def _add_to_script(text: str, part: str) -> str:
    return f"{text} {{{part}}}" if part else text


def _nearest(name: str, known: Sequence[str]) -> str:
    """The names most like `name`, best first; some of them where none is."""
    every = list(dict.fromkeys(known))
    folded = {one.casefold(): one for one in reversed(every)}
    near = difflib.get_close_matches(name.casefold(), list(folded), 3, 0.4)
    return ", ".join([folded[one] for one in near] or every[:MOST_NAMES]) or "none"
