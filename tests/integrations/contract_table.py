"""Runs the contract of every deployer and prints it as a table, deployers × cases: `make contract`, or

    python -m tests.integrations.contract_table [PATHS…] [--markdown]

Each cell says how many of its runs were well (a rig may come in several forms), or that one was not. The exit code is
0 only if every case was run and went well and, where no paths are given, every deployer that is built in is there.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import pytest

from integrations.contract import DeployerContract
from integrations.registry import BUILT_IN, Kind

HERE = Path(__file__).parent
CASES = tuple(name for name in vars(DeployerContract) if name.startswith("test_"))


@dataclass
class Cell:
    """The runs of one case of one deployer."""

    well: int = 0
    badly: int = 0
    skipped: int = 0

    def __str__(self) -> str:
        if self.badly:
            return f"RED {self.badly}/{self.badly + self.well}"
        if self.skipped or not self.well:
            return "not run"
        return "ok" if self.well == 1 else f"ok ×{self.well}"

    @property
    def is_green(self) -> bool:
        """Whether it was run and nothing was wrong."""
        return self.well > 0 and not self.badly and not self.skipped


@dataclass(eq=False)
class Table:
    """A plugin of pytest's that keeps to the contract's tests, and counts."""

    cells: dict[str, dict[str, Cell]] = field(default_factory=dict)
    _at: dict[str, tuple[str, str]] = field(default_factory=dict)

    def pytest_collection_modifyitems(self, config: Any, items: list[pytest.Item]) -> None:
        """Keep to the tests that the contract brings."""
        kept = []
        for item in items:
            of = getattr(item, "cls", None)
            case = getattr(item, "originalname", item.name)
            if of is not None and issubclass(of, DeployerContract) and case in CASES:
                name = name_of(of.__name__)
                self.cells.setdefault(name, {case: Cell() for case in CASES})
                self._at[item.nodeid] = (name, case)
                kept.append(item)
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count: a test that was set up, run and put away well is well."""
        name, case = self._at[report.nodeid]
        cell = self.cells[name][case]
        if report.failed:
            cell.badly += 1
        elif report.skipped:
            cell.skipped += 1
        elif report.when == "call":
            cell.well += 1

    def is_green(self, wanted: Sequence[str]) -> bool:
        """Whether everybody who is wanted is there, and nothing is missing or wrong."""
        rows = self.cells.values()
        return set(wanted) <= self.cells.keys() and all(cell.is_green for row in rows for cell in row.values())

    def write(self, out: TextIO, *, as_markdown: bool = False) -> None:
        """Cases down, deployers across."""
        names = sorted(self.cells)
        rows = [["case", *names]]
        rows += [[_said(case), *(str(self.cells[name][case]) for name in names)] for case in CASES]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        edge, joint = ("| ", " | ") if as_markdown else ("", "  ")
        for number, row in enumerate(rows):
            padded = joint.join(word.ljust(width) for word, width in zip(row, widths, strict=True))
            out.write(f"{edge}{padded}{edge[::-1]}".rstrip() + "\n")
            if number == 0:
                out.write(f"{edge}{joint.join('-' * width for width in widths)}{edge[::-1]}".rstrip() + "\n")


def name_of(test: str) -> str:
    """The deployer that a class of tests is for: `TestGitHubActions` is about `github-actions`."""
    plain = test.removeprefix("Test").lower()
    return next((name for name in BUILT_IN[Kind.DEPLOYER] if name.replace("-", "") == plain), plain)


def _said(case: str) -> str:
    return case.removeprefix("test_").replace("_", " ")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and judge."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    as_markdown = "--markdown" in given
    paths = [word for word in given if word != "--markdown"]
    wanted = [] if paths else sorted(BUILT_IN[Kind.DEPLOYER])
    table = Table()
    plain = ["-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--no-header"]
    code = pytest.main([*plain, *(paths or sorted(map(str, HERE.rglob("test_contract.py"))))], plugins=[table])
    sys.stdout.write("\n")
    table.write(sys.stdout, as_markdown=as_markdown)
    if missing := sorted(set(wanted) - table.cells.keys()):
        sys.stdout.write(f"\nNot in the table: {', '.join(missing)}.\n")
    is_green = code == 0 and table.is_green(wanted)
    sys.stdout.write("\nAll green.\n" if is_green else "\nNot all green.\n")
    return 0 if is_green else 1


if __name__ == "__main__":
    sys.exit(main())
