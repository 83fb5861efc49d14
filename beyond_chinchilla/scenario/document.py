"""YAML text as a tree that remembers its lines, and that no file can blow up.

Scalars keep the text that a person wrote (``1e9``, ``50%``, ``1.50 USD/hour``): the schema reads them. The tree is
built from parser events, without recursion, so that depth, size, aliases and cycles are bounded here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from beyond_chinchilla.errors import ScenarioError, printable

MAX_BYTES = 1_000_000
MAX_NODES = 20_000
MAX_DEPTH = 20

Keys = tuple[str | int, ...]
_NULLS = {"", "~", "null", "Null", "NULL"}
_TRUTHS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_MERGE = "<<"
_TAGS = {
    "!",
    *(f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "map", "seq")),
}


@dataclass
class Document:
    """A scenario as written.

    Attributes
    ----------
    name : str
        What messages call it: the path as the user gave it.
    tree : dict
        Keys are text; leaves are text, bool or None.
    lines : dict of tuple to int
        1-based line of each key, or of an item of a list, by path: ``("demand", "requests")``.
    typed : set of tuple
        Paths that ``--set`` gave.
    """

    name: str
    tree: dict[str, Any]
    lines: dict[Keys, int] = field(default_factory=dict)
    typed: set[Keys] = field(default_factory=set)

    def is_typed(self, path: Keys) -> bool:
        """Say whether the person typed what stands at a path, or what it is a part of."""
        return any(path[:end] in self.typed for end in range(len(path) + 1))

    def line(self, path: Keys) -> int | None:
        """Return the line of a path, or of its nearest parent that has one."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return None

    def mistake(self, path: Keys, message: str) -> str:
        """Return ``file:line: key: message``."""
        line = self.line(path)
        where = ".".join(str(part) for part in path)
        place = self.name if line is None else f"{self.name}:{line}" if line else f"{self.name} with --set"
        return f"{place}: {where + ': ' if where else ''}{message}"


def read(path: str | Path) -> Document:
    """Read a scenario file.

    Raises
    ------
    ScenarioError
        No such file, a directory, too large, not text, not YAML, empty, or not a mapping.
    """
    # A line break in it would make two messages of one.
    name = printable(str(path))
    path = Path(path)
    if not name:
        raise ScenarioError(["'': no such file; 'bc-opt new NAME' writes a scenario to start from"])
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ScenarioError([f"{name}: no such file; 'bc-opt new NAME' writes a scenario to start from"]) from None
    except IsADirectoryError:
        raise ScenarioError([f"{name}: is a directory; give a scenario file such as {name}/my-plan.yaml"]) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ScenarioError([f"{name}: cannot be read: {reason}"]) from None
    if len(data) > MAX_BYTES:
        raise ScenarioError(
            [f"{name}: larger than {MAX_BYTES // 1000:,} kB, which no scenario is; is it the right file?"]
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ScenarioError([f"{name}: not UTF-8 text (byte {error.start}); a scenario is a YAML file"]) from None
    return parse(text, name)


def parse(text: str, name: str = "scenario") -> Document:
    """Read a scenario from its text; see `read`."""
    document = Document(name=name, tree={})
    try:
        tree = _Builder(document).build(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}" if mark else name
        problem = " ".join(str(error.problem or error.context or "cannot be read").split())
        raise ScenarioError([f"{where}: not valid YAML: {problem}"]) from None
    except UnicodeEncodeError:
        raise ScenarioError([f"{name}: holds characters that are no text"]) from None
    except yaml.YAMLError as error:
        reason = str(getattr(error, "reason", None) or str(error).split("\n", 1)[0])
        raise ScenarioError([f"{name}: not valid YAML: {reason}"]) from None
    if tree is None:
        raise ScenarioError([f"{name}: empty; 'bc-opt new NAME' writes a scenario to start from"])
    if not isinstance(tree, dict):
        raise ScenarioError([f"{name}: holds no keys; a scenario is lines such as 'law: sardana-2024'"])
    document.tree = tree
    return document


_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass
class _Open:
    """A mapping or list that is still being filled."""

    value: dict[str, Any] | list[Any]
    path: Keys
    anchor: str | None
    key: str | None = None
    nodes: int = 1
    depth: int = 1
    merged: set[str] = field(default_factory=set)


class _Builder:
    """Turns parser events into a tree."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.stack: list[_Open] = []
        # Value, number of nodes and depth of each anchor.
        self.anchors: dict[str, tuple[Any, int, int]] = {}
        self.nodes = 0
        self.root: Any = None
        self.documents = 0

    def build(self, events: Iterator[Any]) -> Any:
        for event in events:
            self.line = event.start_mark.line + 1
            if isinstance(event, yaml.DocumentStartEvent):
                self.documents += 1
                if self.documents > 1:
                    self.refuse("a second document ('---') begins; one file holds one scenario")
            elif isinstance(event, yaml.AliasEvent):
                self.alias(str(event.anchor))
            elif isinstance(event, yaml.ScalarEvent):
                self.scalar(event)
            elif isinstance(event, yaml.CollectionStartEvent):
                self.open(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self.close()
        return self.root

    def refuse(self, message: str) -> None:
        raise ScenarioError([f"{self.document.name}:{self.line}: {message}"])

    def path(self) -> Keys:
        """Return the path at which the next value will stand."""
        if not self.stack:
            return ()
        top = self.stack[-1]
        return (*top.path, len(top.value) if isinstance(top.value, list) else top.key or "")

    def open(self, event: Any) -> None:
        self.check_depth(1)
        self.check_tag(event.tag)
        top = self.stack[-1] if self.stack else None
        if top is not None and isinstance(top.value, dict) and top.key is None:
            self.refuse("a key must be a single word, not a list or mapping")
        path = self.path()
        self.document.lines.setdefault(path, self.line)
        value: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
        self.stack.append(_Open(value, path, event.anchor))

    def close(self) -> None:
        done = self.stack.pop()
        if done.anchor:
            self.anchors[done.anchor] = (done.value, done.nodes, done.depth)
        self.place(done.value, done.nodes, done.depth)

    def scalar(self, event: Any) -> None:
        self.check_tag(event.tag)
        # Nothing in a scenario needs a second line, and a message must not.
        text = " ".join(event.value.split())
        if not text.isprintable():
            self.refuse("control characters; use printable text")
        top = self.stack[-1] if self.stack else None
        if top is not None and isinstance(top.value, dict) and top.key is None:
            if text in top.value and text not in top.merged:
                self.refuse(f"'{_shorten(text)}' stands twice; keep one of them")
            top.key = text
            self.document.lines[(*top.path, text)] = self.line
            return
        value: Any = text
        # `style` is None or "" for a plain scalar, depending on the parser.
        plain = not event.style and event.tag is None
        if plain and text in _NULLS:
            value = None
        elif plain and text in _TRUTHS:
            value = _TRUTHS[text]
        if event.anchor:
            self.anchors[event.anchor] = (value, 1, 0)
        self.document.lines.setdefault(self.path(), self.line)
        self.place(value, 1, 0)

    def alias(self, anchor: str) -> None:
        if anchor not in self.anchors:
            self.refuse(f"alias *{_shorten(anchor)} stands for nothing, or for a value that it is part of")
        value, nodes, depth = self.anchors[anchor]
        self.check_depth(depth)
        top = self.stack[-1] if self.stack else None
        if top is not None and isinstance(top.value, dict) and top.key is None:
            self.refuse("a key must be written out, not an alias")
        self.document.lines.setdefault(self.path(), self.line)
        self.place(value, nodes, depth)

    def place(self, value: Any, nodes: int, depth: int) -> None:
        """Put a finished value into its parent; an alias counts as often as it is used."""
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            self.refuse(f"more than {MAX_NODES:,} values once its aliases are written out, which no scenario has")
        if not self.stack:
            self.root = value
            return
        top = self.stack[-1]
        top.nodes += nodes
        top.depth = max(top.depth, depth + 1)
        if isinstance(top.value, list):
            top.value.append(value)
        elif top.key == _MERGE:
            if not isinstance(value, dict):
                self.refuse("'<<' merges a mapping; write <<: *name of one")
            new = {key: item for key, item in value.items() if key not in top.value}
            top.value |= new
            top.merged |= new.keys()
            top.key = None
        else:
            assert top.key is not None
            top.value[top.key] = value
            top.merged.discard(top.key)
            top.key = None

    def check_depth(self, more: int) -> None:
        if len(self.stack) + more > MAX_DEPTH:
            self.refuse(f"nested deeper than {MAX_DEPTH} levels, which no scenario is")

    def check_tag(self, tag: str | None) -> None:
        if tag is not None and tag not in _TAGS:
            self.refuse(f"tag {_shorten(tag)} is not allowed; write the value alone")


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 40 else text[:37] + "..."


def override(document: Document, assignments: list[str]) -> None:
    """Apply ``--set key.key=value`` in place; the value is read as YAML.

    Setting one way to state the target (``target.loss=1.9``) or the demand (``demand.requests_per_day=1M``) replaces
    the other. A number is the place in a list: ``demand.table.0.requests=2B``.

    Raises
    ------
    ScenarioError
        Not of that form; all such mistakes at once.
    """
    mistakes = []
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        parts = key.strip().split(".")
        if not equals or not all(parts) or len(parts) > MAX_DEPTH:
            mistakes.append(f"--set {_shorten(assignment)}: write it like --set demand.requests=2B")
            continue
        try:
            tree = parse(f"value: {text}").tree
        except ScenarioError as error:
            # The line within one value says nothing.
            problem = error.mistakes[0].split(": ", 1)[1]
            mistakes.append(f"--set {_shorten(assignment)}: {problem}")
            continue
        if set(tree) != {"value"}:
            mistakes.append(f"--set {_shorten(assignment)}: more than one value; give --set once for each")
            continue
        _put(document, parts, tree["value"])
    if mistakes:
        raise ScenarioError(mistakes)


# Each of these says the whole of its section; with a rate go its growth and months, which stay.
_ONE_OF = {
    "target": ("chinchilla", "loss", "model", "error", "score"),
    "demand": (
        "requests",
        "requests_per_month",
        "requests_per_day",
        "users",
        "requests_per_user_per_day",
        "table",
        "file",
    ),
}
_TOGETHER = {"users", "requests_per_user_per_day"}
# What goes with some of the ways alone.
_BESIDE = {"suite": ("error", "score")}


def _put(document: Document, parts: list[str], value: Any) -> None:
    """Set one value in the tree; mappings and lists on the way are copied, as an alias may share them."""
    node: Any = document.tree
    for depth, part in enumerate(parts[:-1], start=1):
        place: Any = int(part) if isinstance(node, list) else part
        below = node[place] if isinstance(node, list) else node.get(part)
        if isinstance(below, list) and parts[depth].isdecimal() and int(parts[depth]) < len(below):
            node[place] = list(below)
        elif isinstance(below, dict):
            node[place] = dict(below)
        else:
            node[place] = {}
            document.lines[_keys(document, parts[:depth])] = 0
        node = node[place]
    node[int(parts[-1]) if isinstance(node, list) else parts[-1]] = value
    ways = _ONE_OF.get(parts[0], ())
    if len(parts) > 1 and parts[1] in ways:
        kept = _TOGETHER if parts[1] in _TOGETHER else {parts[1]}
        section = document.tree[parts[0]]
        stays = (set(section) - set(ways)) | kept
        stays -= {key for key, beside in _BESIDE.items() if parts[1] not in beside}
        document.tree[parts[0]] = {key: item for key, item in section.items() if key in stays}
    keys = _keys(document, parts)
    # What stood below it in the file is gone.
    for stale in [path for path in document.lines if len(path) > len(keys) and path[: len(keys)] == keys]:
        del document.lines[stale]
    document.lines[keys] = 0
    document.typed.add(keys)


def _keys(document: Document, parts: list[str]) -> Keys:
    """Return the path of a place as `Document.lines` has it: numbers for the items of lists."""
    node: Any = document.tree
    keys: list[str | int] = []
    for part in parts:
        key: Any = int(part) if isinstance(node, list) else part
        keys.append(key)
        node = node[key] if isinstance(node, list) else node.get(part) if isinstance(node, dict) else None
    return tuple(keys)
