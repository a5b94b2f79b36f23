"""Each rule of `docs/release-rules.md` is kept where its table says, and has stories that bear its number."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from commands.grammar import FORMS
from tests.project.tree import ROOT

DOCUMENT = (ROOT / "docs" / "release-rules.md").read_text(encoding="utf-8")
DEFINITION = (ROOT / "docs" / "definition.md").read_text(encoding="utf-8")
LATER = {18, 30}
"""Rules that are not built yet."""


@dataclass(frozen=True)
class Row:
    rule: int
    files: list[str]
    seen: str
    commands: list[str]
    keys: list[str]
    stories: list[str]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def spoken_of(text: str) -> set[int]:
    """The rules that a file names, as in `[7]`, `[8, 15]` and `[12–17]`."""
    found: set[int] = set()
    for numbers in re.findall(r"\[(\d+(?:(?:, |–)\d+)*)\]", text):
        for part in numbers.split(", "):
            first, _, last = part.partition("–")
            found |= set(range(int(first), int(last or first) + 1))
    return found


def rows() -> list[Row]:
    table = DOCUMENT.split("## Where each rule is kept")[1]
    cells = [[c.strip() for c in line.strip("|").split(" | ")] for line in table.splitlines() if line[:3].strip("| ")]
    return [
        Row(int(rule.strip("| ")), quoted(files), seen, quoted(command), quoted(key), quoted(stories))
        for rule, files, seen, command, key, stories in (c for c in cells if c[0].strip("| ").isdigit())
    ]


def test_every_rule_in_force_has_its_row():
    numbered = {int(n) for n in re.findall(r"^(\d+)\. ", DOCUMENT, re.MULTILINE)}
    assert numbered == set(range(1, 31))
    assert [row.rule for row in rows()] == sorted(numbered - LATER)
    for rule in LATER:
        assert re.search(rf"^{rule}\. \*\(Later", DOCUMENT, re.MULTILINE), f"rule {rule} is built: give it a row"


@pytest.mark.parametrize("row", rows(), ids=lambda row: str(row.rule))
def test_it_is_where_the_table_says(row: Row):
    for file in row.files:
        text = (ROOT / file).read_text(encoding="utf-8")
        assert row.rule in spoken_of(text), f"{file} does not name the rule: [{row.rule}]"
    assert row.seen
    verbs = {form.verb for form in FORMS}
    for command in row.commands:
        assert command.split()[0] in verbs, f"there is no command {command}"
    for key in row.keys:
        assert re.search(rf"^\| (?:`\w+`, )*`{key}`", DEFINITION, re.MULTILINE), f"definitions have no key {key}"


@pytest.mark.parametrize("row", rows(), ids=lambda row: str(row.rule))
def test_it_has_stories(row: Row):
    for file in row.stories:
        text = (ROOT / file).read_text(encoding="utf-8")
        is_general = file == "tests/core/test_walk.py"
        assert is_general or f"def test_rule_{row.rule:02d}_" in text, f"{file} has no test_rule_{row.rule:02d}_…"
    assert row.stories
