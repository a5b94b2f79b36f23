"""YAML read strictly, with the place of everything: plain values only, no key twice, nothing that grows when read.

Words mean what YAML 1.2 says, as in editors: `on`, `yes`, `10:30`, `0777` and dates are text, not booleans or numbers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from core.releases.problems import Path, shown

LARGEST = 1_000_000
"""Characters."""
MOST_NODES = 50_000
DEEPEST = 30


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Line and column, from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Flaw:
    """What makes a text no readable YAML."""

    place: Place
    path: Path
    sentence: str
    mend: str


@dataclass(slots=True)
class Located:
    """A document and where its parts stand. `bare` holds, as written, what was read as a number, `true` or nothing."""

    value: object = None
    keys: dict[Path, Place] = field(default_factory=dict)
    values: dict[Path, Place] = field(default_factory=dict)
    bare: dict[Path, str] = field(default_factory=dict)
    flaws: list[Flaw] = field(default_factory=list)


def read_yaml(text: str) -> Located:
    """The document of a text; with `flaws`, all that could be found, it must not be used."""
    located = Located()
    if len(text) > LARGEST:
        located.flaws.append(Flaw(Place(1, 1), (), "this file is larger than 1 MB", "split it: one pipeline a file"))
        return located
    try:
        root = _composed(text, located)
    except yaml.MarkedYAMLError as error:
        located.flaws.append(_explained(error))
        return located
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = Place(before.count("\n") + 1, error.position - before.rfind("\n"))
        located.flaws.append(Flaw(place, (), "this character cannot be printed", "take it out"))
        return located
    if root is not None:
        _Expansion(located).expand(root)
    return located


class _Loader(yaml.SafeLoader):
    """PyYAML's parser with the words of YAML 1.2, less what surprises people."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - replaces, for this class only, the words of YAML 1.1


for _kind, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"null|Null|NULL|~|", ["n", "N", "~", ""]),
    ("int", r"[-+]?(?:0|[1-9][0-9]{0,17})", "-+0123456789"),
    ("float", r"[-+]?(?:0|[1-9][0-9]{0,17})\.[0-9]{1,18}", "-+0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(f"^(?:{_pattern})$"), list(_first))


def _composed(text: str, located: Located) -> yaml.Node | None:
    """The tree of nodes; size, depth and number of documents are looked at before it is built."""
    depth = documents = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        if depth > DEEPEST or count > 2 * MOST_NODES:
            sentence = f"this is nested more than {DEEPEST} deep" if depth > DEEPEST else "this file has too many parts"
            located.flaws.append(Flaw(_place(event.start_mark), (), sentence, "make it simpler"))
            return None
        if documents > 1:
            mend = "put each document in a file of its own"
            located.flaws.append(Flaw(_place(event.start_mark), (), "a second document begins here", mend))
            return None
    root = yaml.compose(text, Loader=_Loader)
    if root is None:
        located.flaws.append(Flaw(Place(1, 1), (), "this file is empty", "see docs/definition.md for the shortest one"))
    return root


class _Expansion:
    """Turns nodes into values; an alias is read again at each use, so uses are counted."""

    def __init__(self, located: Located) -> None:
        self._located = located
        self._left = MOST_NODES
        self._open: list[yaml.Node] = []

    def expand(self, root: yaml.Node) -> None:
        self._located.value = self._value(root, ())

    def _value(self, node: yaml.Node, path: Path) -> object:
        self._left -= 1
        if self._left < 0 or len(self._open) > DEEPEST or any(node is outer for outer in self._open):
            if self._left >= 0 or self._left == -1:
                self._flaw(node, path, "aliases make this grow without end", "write it out, without `*`")
            return None
        self._located.values[path] = _place(node.start_mark)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if node.tag not in ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
            self._flaw(node, path, f"the tag `{shown(node.tag, 40)}` is not read", "take the tag out")
            return None
        self._open.append(node)
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
            return self._mapping(node, path)
        finally:
            self._open.pop()

    def _mapping(self, node: yaml.Node, path: Path) -> dict[str, object]:
        found: dict[str, object] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._flaw(key_node, path, "a key must be one word", "write `key: value`")
                continue
            key = key_node.value
            here = (*path, key)
            if key == "<<" and key_node.style is None:
                self._flaw(key_node, here, "merging with `<<` is not read", "write the keys out")
            elif key in found:
                line = self._located.keys[here].line
                self._flaw(
                    key_node, here, f"`{shown(key)}` is here twice, first in line {line}", "take one of them out"
                )
            else:
                self._located.keys[here] = _place(key_node.start_mark)
                found[key] = self._value(value_node, here)
        return found

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> object:
        text: str = node.value
        if any("\ud800" <= char <= "\udfff" for char in text):
            self._flaw(node, path, "this text holds half a character", "write the character itself, as UTF-8")
            return ""
        match node.tag.removeprefix("tag:yaml.org,2002:"):
            case "str":
                return text
            case "null" if node.style is None:
                self._located.bare[path] = text
                return None
            case "bool" if node.style is None:
                self._located.bare[path] = text
                return text.lower() == "true"
            case "int" if re.fullmatch(r"[-+]?[0-9]{1,18}", text):
                self._located.bare[path] = text
                return int(text)
            case "float" if re.fullmatch(r"[-+]?[0-9]{1,18}\.[0-9]{1,18}", text):
                self._located.bare[path] = text
                return float(text)
            case _:
                self._flaw(node, path, f"the tag `{shown(node.tag, 40)}` is not read", "take the tag out")
                return None

    def _flaw(self, node: yaml.Node, path: Path, sentence: str, mend: str) -> None:
        if len(self._located.flaws) < 50:
            self._located.flaws.append(Flaw(_place(node.start_mark), path, sentence, mend))


def _place(mark: Any) -> Place:
    """Of either kind of mark that PyYAML has; the counts of both begin at 0."""
    return Place(mark.line + 1, mark.column + 1)


_EXPLANATIONS = (
    (r"'\\t'", "a tab stands where spaces belong", "indent with spaces"),
    (
        r"mapping values are not allowed",
        "a `:` stands where none can",
        "put the text in quotes, or mend the indentation",
    ),
    (
        r"could not find expected ':'",
        "this line is no `key: value`",
        "write `key: value`, with a space after the colon",
    ),
    (
        r"expected <block end>",
        "this does not line up with what is above it",
        "let keys of one mapping begin in one column",
    ),
    (r"undefined alias", "this alias has no anchor", "write the value out, or put text with `*` in quotes"),
    (r"unexpected end of stream", "quotes or brackets are not closed", "close them"),
    (r"expected ',' or", "quotes or brackets are not closed, or a comma is missing", "close them, or add the comma"),
    (r"cannot start any token", "no text can begin with this character", "put the text in quotes"),
)


def _explained(error: yaml.MarkedYAMLError) -> Flaw:
    mark = error.problem_mark or error.context_mark
    place = _place(mark) if mark is not None else Place(1, 1)
    problem = error.problem or "this is no YAML"
    for pattern, sentence, mend in _EXPLANATIONS:
        if re.search(pattern, problem):
            return Flaw(place, (), sentence, mend)
    return Flaw(place, (), shown(problem, 120), "see docs/definition.md for how files are written")
