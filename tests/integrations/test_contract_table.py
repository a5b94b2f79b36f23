"""Every deployer is held to the contract, and its table is green only where everything was run and is well."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from integrations.registry import BUILT_IN, Kind
from tests.integrations.contract_table import CASES, Cell, Table, name_of

ROOT = Path(__file__).parents[2]
NAMED_BY_THE_ISSUE = {
    "no_answer_in_time": "time-out",
    "a_crash_while_it_runs": "crash while it runs",
    "a_crash_while_it_is_cancelled": "crash while it is cancelled",
    "a_crash_after_its_end": "crash after its end",
    "found_by_its_key_after_a_crash": "crash after its start",
    "a_cancel_is_confirmed": "cancel confirmed",
    "what_is_deployed_runs": "running version",
    "it_can_go_back": "rollback",
    "started_twice": "started twice",
    "secrets_show_nowhere": "secrets",
}


@pytest.mark.parametrize("words", NAMED_BY_THE_ISSUE)
def test_the_contract_has_a_case_of_that_name(words: str) -> None:
    assert [case for case in CASES if words in case]


def test_every_deployer_has_its_own_contract() -> None:
    """A class `TestName` that subclasses the contract, for every name of the registry."""
    held = {
        name_of(node.name)
        for path in Path(__file__).parent.rglob("test_contract*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and any(getattr(base, "id", "") == "DeployerContract" for base in node.bases)
    }
    assert set(BUILT_IN[Kind.DEPLOYER]) <= held


def table(**cells: Cell) -> Table:
    return Table({name: dict.fromkeys(CASES, cell) for name, cell in cells.items()})


def test_it_is_green_only_if_everything_was_run_and_is_well() -> None:
    good = Cell(well=2)
    assert table(mine=good, yours=Cell(well=1)).is_green(["mine", "yours"])
    assert not table(mine=good).is_green(["mine", "yours"])
    for bad in (Cell(), Cell(well=1, badly=1), Cell(well=1, skipped=1)):
        assert not table(mine=good, yours=bad).is_green(["mine"])


def test_it_is_readable() -> None:
    out = io.StringIO()
    table(mine=Cell(well=2), yours=Cell(well=1, badly=1)).write(out)
    head, rule, *rows = out.getvalue().splitlines()
    assert head.split() == ["case", "mine", "yours"]
    assert set(rule) == {"-", " "}
    assert rows[0].startswith("what is deployed runs")
    assert rows[0].endswith("ok ×2  RED 1/2")
    assert len(rows) == len(CASES)


def test_it_runs_the_contract_and_nothing_else() -> None:
    """In a process of its own, since pytest is no guest of itself."""
    words = [sys.executable, "-m", "tests.integrations.contract_table"]
    ended = subprocess.run(
        [*words, "tests/integrations/test_contract.py::TestScripted", "--markdown"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.endswith("\nAll green.\n")
    assert re.search(r"^\| it can go back +\| ok ×2 +\|$", ended.stdout, re.MULTILINE)
