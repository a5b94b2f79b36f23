"""Rules 3 and 15: which version contains which, as announcements tell it."""

from __future__ import annotations

from datetime import timedelta

from core.releases.ancestry import NAMED_MOST
from core.releases.blockers import is_newer
from core.releases.events import ReleaseAnnounced, RollbackRequested
from core.releases.pipeline import Bake
from core.releases.state import Change
from tests.core.line import ANN, CI, Line, pipeline, stage

HOUR = timedelta(hours=1)


def after(bad: str, *good: str, **announced: object) -> Line:
    """The good versions went everywhere, then the bad one did and was rolled back."""
    line = Line(
        pipeline(stage("beta", bake=Bake(), watch=timedelta()), groups=(), alarms=(), rollback_guard=timedelta())
    )
    for version in good:
        line.travels(version, ancestors=())
    line.travels(bad, **announced)
    line.hears(RollbackRequested(by=ANN, reason="wrong prices"))
    line.deploys()
    return line


def test_rule_15_a_bad_version_does_not_hide_behind_a_parent():
    line = after("1.1", "1.0", ancestors=("1.0",))
    child = line.announces("1.2", ancestors=("1.1",))
    assert child.ancestors == ("1.1", "1.0")
    grandchild = line.announces("1.3", ancestors=("1.2",))
    assert grandchild.ancestors == ("1.2", "1.1", "1.0")
    assert line.kinds("1.3") == ["bad"]


def test_rule_15_a_hotfix_beside_it_goes_in():
    line = after("1.1", "1.0", ancestors=("1.0",))
    line.announces("1.0.1", ancestors=("1.0",))
    line.deploys()
    assert line.runs("beta") == "1.0.1"


def test_rule_15_where_a_parents_ancestry_is_unknown_it_may_contain_all_before_it():
    line = after("1.1", "1.0")
    assert line.release("1.1").ancestors is None
    line.announces("1.2", ancestors=None)
    assert line.announces("1.3", ancestors=("1.2",)).ancestors == ("1.2", "1.0", "1.1")
    assert line.kinds("1.3") == ["bad"]


def test_rule_15_a_parent_may_be_announced_after_its_child():
    line = after("1.1", "1.0", ancestors=("1.0",))
    line.announces("1.3", ancestors=("1.2",))
    line.deploys()
    assert line.runs("beta") == "1.3", "nothing was known against it"
    line.announces("1.2", ancestors=("1.1",))
    assert set(line.release("1.3").ancestors or ()) == {"1.2", "1.1", "1.0"}


def test_rule_03_a_second_announcement_tells_what_was_not_known():
    line = Line()
    line.announces("1.0")
    line.announces("1.1")
    assert line.announces("1.1", ancestors=("1.0",)).ancestors == ("1.0",)
    assert line.announces("1.1", ancestors=("0.9",)).ancestors == ("1.0",), "said once it stands"
    assert line.answer == "shop 1.1 is known already."


def test_rule_03_nothing_contains_itself_or_what_is_built_on_it():
    line = Line()
    line.announces("1.0", ancestors=("1.0", "1.1"))
    line.announces("1.1", ancestors=("1.0",))
    one, two = line.release("1.0"), line.release("1.1")
    assert one.ancestors == ("1.1",)
    assert two.ancestors == ()
    assert is_newer(one, two)
    assert not is_newer(two, one)


def test_rule_03_of_very_many_named_those_are_kept_that_matter():
    line = Line()
    line.announces("1.0")
    named = (*(f"0.{n}" for n in range(NAMED_MOST)), "0.x", "1.0")
    assert line.announces("1.1", ancestors=named).ancestors == (*named[:NAMED_MOST], "1.0")


# ---- what carries the revert [15] ----


def reverting(line: Line, *reverts: str) -> None:
    change = Change(id="fffffff", authors=("dave@example.com",))
    line.hears(
        ReleaseAnnounced(version="1.2", digest="sha256:1.2", artifact="x", by=CI, changes=(change,), reverts=reverts)
    )


def test_rule_15_what_carries_the_revert_of_its_commit_goes_in():
    line = after("1.1", "1.0", commit="abcdef0123")
    reverting(line, "abcdef0")
    assert line.release("1.2").fixes == ("1.1",)
    assert any("It fixes 1.1." in reason for reason in line.reasons)
    line.deploys()
    assert line.runs("beta") == "1.2"


def test_rule_15_so_does_what_takes_back_every_change_it_brought():
    changes = (Change(id="aaaaaaa1", authors=("dave@example.com",)), Change(id="bbbbbbb2"))
    line = after("1.1", "1.0", changes=changes)
    reverting(line, "aaaaaaa1")
    assert line.kinds("1.2") == ["bad"], "half of it is in there still"
    line = after("1.1", "1.0", changes=changes)
    reverting(line, "aaaaaaa1", "bbbbbbb2")
    assert line.runs("beta") == "1.0"
    line.deploys()
    assert line.runs("beta") == "1.2"


def test_rule_15_a_few_letters_name_no_commit():
    line = after("1.1", "1.0", commit="abcdef0123")
    reverting(line, "abcdef")
    assert line.kinds("1.2") == ["bad"]
