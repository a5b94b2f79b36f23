"""The list of bugs to try (`make mutants`) speaks of the rules as they are written now."""

from __future__ import annotations

from tests.core.mutants import MUTANTS, ROOT, TABLE


def test_each_bug_can_be_put_in():
    for mutant in MUTANTS:
        text = (ROOT / "core" / "releases" / mutant.file).read_text()
        assert text.count(mutant.old) == 1, (
            f"rule {mutant.rule}, {mutant.bug}: change tests/core/mutants.py with the rule"
        )
        assert mutant.new != mutant.old


def test_most_rules_have_one():
    assert len({mutant.rule for mutant in MUTANTS}) >= 20


def test_the_table_tells_of_each_which_story_noticed_it():
    """`make mutants` writes it; a bug or a story that is new or gone makes it stale."""
    rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in TABLE.read_text().splitlines()[8:]]
    assert [(int(rule), bug) for rule, bug, _ in rows] == [(mutant.rule, mutant.bug) for mutant in MUTANTS]
    stories = "".join(file.read_text() for file in (ROOT / "tests" / "core").glob("test_*.py"))
    for _, bug, story in rows:
        assert f"def {story}(" in stories, f"{bug}: there is no {story}; run `make mutants` again"
