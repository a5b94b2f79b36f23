"""The list of bugs to try (`make mutants`) speaks of the rules as they are written now."""

from __future__ import annotations

from tests.core.mutants import MUTANTS, ROOT


def test_each_bug_can_be_put_in():
    for mutant in MUTANTS:
        text = (ROOT / "core" / "releases" / mutant.file).read_text()
        assert text.count(mutant.old) == 1, (
            f"rule {mutant.rule}, {mutant.bug}: change tests/core/mutants.py with the rule"
        )
        assert mutant.new != mutant.old


def test_most_rules_have_one():
    assert len({mutant.rule for mutant in MUTANTS}) >= 20
