"""Rules 19–25, people: approvals, the cord, freezes, overrides, who did what, and every reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from core.releases.decide import next_wake
from core.releases.effects import StartDeployment
from core.releases.events import (
    ApproveRequested,
    CancelRequested,
    DefinitionApplied,
    DeploymentLost,
    DeploymentStarted,
    LiftRequested,
    OverrideRequested,
    PauseRequested,
    PromoteRequested,
    ReconcileRequested,
    RejectRequested,
    ReleaseAnnounced,
    ResumeRequested,
    RetryRequested,
    RunningVersionObserved,
    WorldChanged,
)
from core.releases.pipeline import ApprovalRule, Bake, StageTest
from core.releases.state import Change
from core.releases.world import Actor, Freeze, PeopleGroup, Person, Via
from tests.core.line import ANN, BOB, CAROL, CI, EVE, WORLD, Line, in_other_world, pipeline, stage, with_approval

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def waiting(count: int = 1, **more: object) -> Line:
    """1.1, by Dave, waits for approval at the entry of production."""
    line = Line(with_approval(count))
    line.announces("1.1", **more)  # type: ignore[arg-type]
    line.deploys()
    return line


# ---- 19: approvals ----


def test_rule_19_it_is_asked_once_at_the_entry_of_a_group():
    line = waiting()
    asked = line.said("approval_asked")
    assert len(asked) == 1
    assert (asked[0].asks, asked[0].offers, asked[0].is_broadcast) == (("approvers",), ("approve", "reject"), True)
    line.approves(BOB)
    assert line.occupant("one-box") == ("1.1", "deploying")
    line.deploys()
    line.passes(30 * MINUTE)
    assert line.release("1.1").status.kind == "completed"
    assert len(line.said("approval_asked")) == 1, "one-box and wave-1 are one group"


def test_rule_19_a_stage_may_ask_as_well_as_its_group():
    rule = ApprovalRule(by=("bob",))
    stages = tuple(replace(s, approval=rule) if s.name == "wave-1" else s for s in pipeline().stages)
    line = Line(pipeline(*stages, groups=with_approval().groups))
    line.announces("1.1")
    line.deploys()
    line.approves(ANN)
    line.deploys()
    line.passes(10 * MINUTE)
    assert line.kinds("1.1", "wave-1") == ["approval"]
    assert "asked of bob" in line.refuses(ApproveRequested(by=CAROL))
    line.approves(BOB)
    assert line.occupant("wave-1")[0] == "1.1"


def test_rule_19_several_of_the_named():
    line = waiting(2)
    line.approves(BOB)
    assert line.answer == "Bob approved shop 1.1 for the group production (1 of 2)."
    assert "1 of 2 given" in line.why("1.1")[0].sentence
    assert "You approved this already" in line.refuses(ApproveRequested(by=BOB))
    line.approves(CAROL)
    assert line.occupant("one-box") == ("1.1", "deploying")


def test_rule_19_nobody_is_asked_while_the_question_may_still_change():
    line = waiting()
    line.approves(BOB)
    line.announces("1.2")
    line.deploys(one_at_a_time=True)
    line.deploys(one_at_a_time=True)
    assert line.kinds("1.2", "one-box") == ["occupied", "approval"]
    assert len(line.said("approval_asked")) == 1


PARTS = {
    "author": Change(id="c", authors=("bob@example.com", "dave@example.com")),
    "co-author": Change(id="c", authors=("dave@example.com", "BOB@example.com")),
    "merger": Change(id="c", authors=("dave@example.com",), merger="UBOB"),
}


@pytest.mark.parametrize("part", PARTS)
def test_rule_19_never_one_who_had_a_part_in_a_change(part: str):
    line = waiting(changes=(PARTS[part],))
    assert "You had a part in a change it carries, so somebody else must approve. Ann or Carol may." in line.refuses(
        ApproveRequested(by=BOB)
    )
    assert line.why("1.1")[0].who == "Ann or Carol"
    line.approves(CAROL)
    assert line.occupant("one-box") == ("1.1", "deploying")


def test_rule_19_nor_who_announced_it():
    line = waiting(by=BOB)
    assert "You had a part" in line.refuses(ApproveRequested(by=BOB))


def test_rule_19_nor_one_of_any_change_between_what_runs_and_what_would():
    line = Line(with_approval())
    line.hears(PauseRequested(by=EVE, reason="hold", scope_name="one-box"))
    line.announces("1.1", author="bob@example.com")
    line.deploys()
    line.announces("1.2")
    line.deploys()
    assert line.release("1.1").status.kind == "superseded"
    assert "You had a part" in line.refuses(ApproveRequested(by=BOB))


def test_rule_19_what_runs_already_is_no_part_of_it():
    line = waiting(author="bob@example.com")
    line.approves(CAROL)
    line.deploys()
    line.passes(30 * MINUTE)
    line.announces("1.2")
    line.deploys()
    line.approves(BOB)
    assert line.occupant("one-box")[0] == "1.2"


def test_rule_19_bots_do_not_count():
    bot = Person(key="bob", name="Bob", is_bot=True)
    line = waiting()
    line.world = in_other_world(WORLD, people={**WORLD.people, "bob": bot})
    assert "bots do not count" in line.refuses(ApproveRequested(by=BOB))
    script = Actor("ann", "Ann's script", Via.API, is_person=False)
    assert "bots do not count" in line.refuses(ApproveRequested(by=script))
    assert line.why("1.1")[0].who == "Ann or Carol"


def test_rule_19_nobody_left_is_said():
    line = waiting(changes=(Change(id="c", authors=("ann@example.com", "bob@example.com", "carol@example.com")),))
    assert "Nobody else is left who may: add an approver to org.yaml" in line.refuses(ApproveRequested(by=BOB))
    assert line.why("1.1")[0].who == "approvers"


def test_rule_19_authors_nobody_can_place_are_refused_saying_how_to_mend_it():
    line = waiting(author="stranger@example.org")
    refusal = line.refuses(ApproveRequested(by=BOB))
    assert "stranger@example.org, whom the organisation file does not know; add them to org.yaml" in refusal


def test_rule_19_unknown_authors_are_refused_and_announcing_it_again_mends_it():
    line = waiting(author="")
    assert "announced without the authors" in line.refuses(ApproveRequested(by=BOB))
    line.announces("1.1", author="dave@example.com")
    assert [r.version for r in line.state.releases] == ["1.1"]
    line.approves(BOB)
    assert line.occupant("one-box")[0] == "1.1"


def test_rule_19_what_is_known_of_the_authors_does_not_change():
    line = waiting(author="bob@example.com")
    line.announces("1.1", author="dave@example.com")
    assert "You had a part" in line.refuses(ApproveRequested(by=BOB))


def test_rule_19_unknown_authors_of_a_release_in_between_are_refused_too():
    line = Line(with_approval())
    line.hears(PauseRequested(by=EVE, reason="hold", scope_name="one-box"))
    line.announces("1.1", author="")
    line.deploys()
    line.announces("1.2")
    line.deploys()
    assert "1.1 was announced without the authors" in line.refuses(ApproveRequested(by=BOB))
    line.announces("1.1", author="dave@example.com")
    line.hears(ApproveRequested(by=BOB))


def test_rule_19_a_no_takes_it_off_the_line():
    line = waiting()
    assert "only they may reject it" in line.refuses(RejectRequested(by=EVE, reason="no"))
    line.hears(RejectRequested(by=CAROL, reason="too risky"))
    assert line.release("1.1").status.kind == "rejected"
    assert line.state.approvals == ()
    assert "does not wait for an approval" in line.refuses(ApproveRequested(by=BOB, version="1.1"))


# ---- 20: what voids them ----


def test_rule_20_a_new_definition_voids_it_and_asks_anew():
    line = waiting(2)
    line.approves(BOB)
    line.hears(DefinitionApplied(definition=replace(with_approval(2), revision="r2"), by=ANN))
    assert "is void: the pipeline's definition changed" in line.said("approval_void")[0].sentence
    assert line.state.approvals[0].votes == ()
    assert len(line.said("approval_asked")) == 2


def test_rule_20_so_does_a_change_of_what_it_replaces():
    line = Line(with_approval(2))
    line.announces("1.0")
    line.deploys()
    line.approves(BOB)
    line.approves(CAROL)
    line.deploys()
    line.passes(HOUR)
    line.announces("1.1")
    line.deploys()
    line.approves(BOB)
    line.hears(RunningVersionObserved(target="a", digest="sha256:by-hand"))
    line.hears(ReconcileRequested(by=ANN, choice="keep"))
    assert "is void: what it would replace changed" in line.said("approval_void")[-1].sentence
    assert line.state.approvals[-1].votes == ()


def test_rule_20_so_does_time():
    line = waiting(2)
    line.approves(BOB)
    assert next_wake(line.state, line.world, line.now) == line.now + 7 * DAY
    line.passes(7 * DAY - MINUTE)
    assert line.state.approvals[0].votes
    line.passes(MINUTE)
    assert "is void: it expired" in line.said("approval_void")[0].sentence
    assert line.state.approvals[0].votes == ()


def test_rule_20_an_approver_who_leaves_does_not_count_any_more_and_people_are_told():
    line = waiting(2)
    line.approves(BOB)
    left = {**WORLD.groups, "approvers": PeopleGroup(name="approvers", members=frozenset({"ann", "carol"}))}
    line.world = in_other_world(WORLD, groups=left)
    line.hears(WorldChanged())
    told = line.said("approval_void")[-1]
    assert "Bob's approval" in told.sentence
    assert told.asks == ("approvers",)
    line.approves(CAROL)
    assert line.occupant("one-box") == ("", ""), "one of two"
    line.approves(ANN)
    assert line.occupant("one-box")[0] == "1.1"


def test_rule_20_a_rule_that_is_gone_needs_no_approval():
    line = waiting()
    line.hears(DefinitionApplied(definition=pipeline(revision="r2"), by=ANN))
    assert line.occupant("one-box")[0] == "1.1"
    assert line.state.approvals == ()


# ---- 21: the cord ----


def test_rule_21_anyone_may_pull_it_and_nothing_new_is_entered():
    line = Line()
    line.hears(PauseRequested(by=EVE, reason="smoke in the kitchen"))
    line.announces("1.1")
    assert line.kinds("1.1") == ["paused"]
    assert "Eve paused the whole service: smoke in the kitchen" in line.why("1.1")[0].sentence
    assert line.why("1.1")[0].who == "the team shop: resume"


@pytest.mark.parametrize(
    ("reason", "says"),
    [("", "A pause needs a reason."), (" \n ", "needs a reason"), ("x" * 301, "301 characters; 300 are the most")],
)
def test_rule_21_a_reason_of_1_to_300_characters_is_asked_nothing_else(reason: str, says: str):
    assert says in Line().refuses(PauseRequested(by=EVE, reason=reason))
    Line().hears(PauseRequested(by=EVE, reason="x" * 300))


def test_rule_21_what_is_in_flight_finishes_and_bakes_run_on():
    line = Line()
    line.announces("1.1")
    line.hears(PauseRequested(by=EVE, reason="hold"))
    line.deploys()
    assert line.release("1.1").passed == ("beta",)
    assert line.occupant("one-box") == ("", "")
    line = Line()
    line.announces("1.1")
    line.deploys()
    line.hears(PauseRequested(by=EVE, reason="hold"))
    line.passes(10 * MINUTE)
    assert line.release("1.1").passed == ("beta", "one-box")
    assert line.kinds("1.1") == ["paused"]


def test_rule_21_alarms_stay_live():
    line = Line()
    line.travels("1.0")
    line.passes(2 * HOUR)
    line.announces("1.1")
    line.deploys()
    line.hears(PauseRequested(by=EVE, reason="hold"))
    line.alarm()
    line.deploys()
    assert line.runs("one-box") == "1.0"


@pytest.mark.parametrize(("scope", "held"), [("one-box", True), ("production", True), ("wave-1", False), ("a", False)])
def test_rule_21_a_pause_may_name_a_stage_or_a_group(scope: str, held: bool):
    line = Line()
    line.hears(PauseRequested(by=EVE, reason="hold", scope_name=scope))
    line.announces("1.1")
    line.deploys()
    assert (line.occupant("one-box") == ("", "")) is held
    line.passes(30 * MINUTE)
    assert line.occupant("wave-1") == ("", ""), "all of them hold wave-1"


def test_rule_21_two_pauses_need_two_resumes():
    line = Line()
    line.hears(PauseRequested(by=EVE, reason="one"))
    line.hears(PauseRequested(by=BOB, reason="two"))
    line.announces("1.1")
    line.hears(ResumeRequested(by=BOB))
    assert "The pause by Bob (two) is lifted. 1 more pause still hold it." in line.answer
    assert line.kinds("1.1") == ["paused"]
    line.hears(ResumeRequested(by=BOB))
    assert line.occupant("beta")[0] == "1.1"
    assert "is not paused" in line.refuses(ResumeRequested(by=BOB))


def test_rule_21_one_of_them_can_be_named():
    line = Line()
    line.hears(PauseRequested(by=ANN, reason="one"))
    line.hears(PauseRequested(by=ANN, reason="two", scope_name="wave-1"))
    line.hears(PauseRequested(by=ANN, reason="three", scope_name="one-box"))
    assert "is not paused in beta" in line.refuses(ResumeRequested(by=ANN, scope_name="beta"))
    line.hears(ResumeRequested(by=ANN, scope_name="wave-1"))
    assert [p.reason for p in line.state.pauses] == ["one", "three"]
    line.hears(ResumeRequested(by=ANN, pause_id=line.state.pauses[0].id))
    assert [p.reason for p in line.state.pauses] == ["three"]


def test_rule_21_a_pause_with_an_end_ends_by_itself():
    line = Line()
    line.hears(PauseRequested(by=EVE, reason="hold", duration=2 * HOUR))
    line.announces("1.1")
    assert line.why("1.1")[0].clears_at == line.now + 2 * HOUR
    line.passes(2 * HOUR - timedelta(seconds=1))
    assert line.occupant("beta") == ("", "")
    line.passes(timedelta(seconds=1))
    assert line.release("1.1").passed == ("beta",)
    assert any("ended as planned" in r for r in line.reasons)
    assert "longer than nothing" in line.refuses(PauseRequested(by=EVE, reason="x", duration=timedelta()))


def test_rule_21_forgotten_ones_are_asked_about_daily():
    line = Line()
    line.hears(PauseRequested(by=EVE, reason="hold"))
    line.passes(23 * HOUR)
    assert line.said("pause_reminder") == []
    line.passes(50 * HOUR)
    assert len(line.said("pause_reminder")) == 3
    assert "has been paused for 1 day (Eve: hold). Is it still needed?" in line.said("pause_reminder")[0].sentence
    assert line.state.pauses, "it does not end by itself"


def test_rule_22_a_stop_for_everybody_holds_every_service():
    line = Line(world=in_other_world(WORLD, freezes=(Freeze("f", WORLD_START, WORLD_START + HOUR, "fire", by=BOB),)))
    line.announces("1.1")
    assert line.kinds("1.1") == ["frozen"]
    line.passes(HOUR + line.world.spread)
    assert line.release("1.1").passed == ("beta",)


WORLD_START = Line().now


# ---- 22: freezes ----


@pytest.mark.parametrize(
    ("freeze", "holds"),
    [
        ({}, True),
        ({"services": frozenset({"shop"})}, True),
        ({"services": frozenset({"other"})}, False),
        ({"scopes": frozenset({"production"})}, True),
        ({"scopes": frozenset({"one-box"})}, True),
        ({"scopes": frozenset({"wave-1"})}, False),
        ({"services": frozenset({"shop"}), "scopes": frozenset({"beta"})}, False),
    ],
    ids=str,
)
def test_rule_22_a_freeze_holds_what_it_names(freeze: dict[str, Any], holds: bool):
    line = Line()
    line.announces("1.1")
    line.world = in_other_world(WORLD, freezes=(Freeze("holidays", line.now, line.now + HOUR, "closed", **freeze),))
    line.deploys()
    assert ("frozen" in line.kinds("1.1", "one-box")) is holds
    if holds:
        assert line.why("1.1")[0].clears_at == line.now + HOUR
        line.passes(HOUR + line.world.spread)
    assert line.occupant("one-box")[0] == "1.1"


def test_rule_22_what_began_before_may_finish():
    line = Line()
    line.announces("1.1")
    line.world = in_other_world(WORLD, freezes=(Freeze("f", line.now, line.now + HOUR),))
    line.deploys()
    assert line.release("1.1").passed == ("beta",)


def test_rule_22_a_freeze_to_come_holds_nothing_yet():
    line = Line(world=in_other_world(WORLD, freezes=(Freeze("f", WORLD_START + HOUR, WORLD_START + 2 * HOUR),)))
    line.announces("1.1")
    assert line.occupant("beta")[0] == "1.1"


# ---- 23: override ----


def override(by: Actor, name: str = "one-box", reason: str = "customers wait") -> OverrideRequested:
    return OverrideRequested(by=by, version="1.1", stage=name, reason=reason)


def held() -> Line:
    line = waiting()
    line.hears(PauseRequested(by=EVE, reason="hold"))
    line.world = in_other_world(
        WORLD, freezes=(Freeze("f", line.now, line.now + 10 * DAY, scopes=frozenset({"production"})),)
    )
    return line


def test_rule_23_in_production_a_second_person_is_needed():
    line = held()
    line.hears(override(CAROL))
    assert "in force when a second person of the team shop says so too" in line.answer
    assert line.said("overridden")[0].asks == ("shop",)
    assert line.occupant("one-box") == ("", "")
    assert "stands already, by Carol. A second person" in line.refuses(override(CAROL))
    assert "may second an override" in line.refuses(override(EVE))
    line.hears(override(BOB))
    assert line.occupant("one-box") == ("1.1", "deploying")
    assert "stands already" in line.refuses(override(ANN))


def test_rule_23_elsewhere_one_is_enough():
    line = Line()
    line.hears(PauseRequested(by=EVE, reason="hold"))
    line.announces("1.1")
    line.hears(override(CAROL, "beta"))
    assert line.occupant("beta") == ("1.1", "deploying")
    line.deploys()
    assert line.kinds("1.1") == ["paused"], "one stage, no more"


def test_rule_23_it_expires():
    line = held()
    line.hears(override(CAROL))
    line.passes(DAY)
    assert line.state.overrides == ()
    assert "expired" in line.said("override_expired")[0].sentence
    line.hears(override(CAROL))
    assert line.occupant("one-box") == ("", "")


def test_rule_23_it_is_for_one_release():
    line = held()
    line.hears(override(CAROL))
    line.hears(override(BOB))
    line.deploys()
    line.announces("1.2")
    line.deploys()
    line.hears(ResumeRequested(by=EVE))
    line.deploys()
    line.passes(20 * MINUTE)
    assert "frozen" in line.kinds("1.2", "one-box")


def test_rule_23_it_skips_waiting_but_never_a_stage_a_test_or_the_one_box():
    line = Line()
    line.announces("1.1")
    line.deploys()
    assert line.occupant("one-box") == ("1.1", "baking")
    assert "has not passed one-box" in line.refuses(override(CAROL, "wave-1"))
    assert "has no stage wave-7. Did you mean wave-1?" in line.refuses(override(CAROL, "wave-7"))
    line = Line(
        pipeline(
            stage("beta", tests=(StageTest(name="smoke", uses="command"),)),
            stage("wave-1", after=("beta",)),
            groups=(),
            alarms=(),
        )
    )
    line.announces("1.1")
    line.deploys(one_at_a_time=True)
    assert line.occupant("beta") == ("1.1", "testing")
    assert "has not passed beta" in line.refuses(override(CAROL, "wave-1"))
    line.deploys()
    assert line.occupant("beta") == ("1.1", "baking")
    line.hears(override(CAROL, "wave-1"))
    assert line.occupant("wave-1") == ("1.1", "deploying"), "the rest of the bake was waiting"


def test_rule_23_a_one_box_is_not_cut_short_even_if_the_override_came_first():
    line = Line()
    line.hears(PauseRequested(by=EVE, reason="hold", scope_name="wave-1"))
    line.announces("1.1")
    line.deploys()
    line.passes(10 * MINUTE)
    line.hears(override(CAROL, "wave-1"))
    line.hears(override(BOB, "wave-1"))
    assert line.occupant("wave-1")[0] == "1.1"
    assert line.release("1.1").passed == ("beta", "one-box")


def test_rule_23_nor_the_authority_or_what_is_not_on_the_line():
    line = held()
    assert "Only an owner" in line.refuses(override(ANN))
    assert "needs a reason" in line.refuses(override(CAROL, reason=""))
    line.hears(CancelRequested(by=ANN, version="1.1", reason="no"))
    assert "is not on the line. `promote shop 1.1` first" in line.refuses(override(CAROL))


# ---- 24: who, why, and twice ----


def test_rule_24_every_act_says_who_and_why_in_the_thread():
    line = waiting()
    line.hears(PauseRequested(by=EVE, reason="hold."))
    line.hears(ResumeRequested(by=ANN))
    line.approves(BOB)
    line.effects.clear()
    line.hears(CancelRequested(by=CAROL, version="1.1", reason="enough"))
    said = [tell.sentence for tell in line.told]
    for sentence in (
        "Eve paused shop: hold.",
        "Ann lifted the pause of shop by Eve.",
        "Bob approved shop 1.1 for the group production.",
        "Carol cancelled shop 1.1: enough.",
    ):
        assert any(sentence in s for s in said), sentence


def test_rule_24_clicked_twice_acts_once_and_the_second_is_told_what_is():
    line = waiting(2)
    request = line.state.approvals[0].id
    line.hears(ApproveRequested(by=BOB, request_id=request))
    assert "approved this already" in line.refuses(ApproveRequested(by=BOB, request_id=request))
    line.hears(ApproveRequested(by=CAROL, request_id=request))
    assert "approved already, by Bob and Carol" in line.refuses(ApproveRequested(by=ANN, request_id=request))
    line.deploys()
    line.passes(HOUR)
    assert "not open any more. Look at the card" in line.refuses(ApproveRequested(by=ANN, request_id=request))


def test_rule_24_a_refusal_changes_nothing():
    line = waiting()
    before = line.state
    line.refuses(PromoteRequested(by=EVE))
    line.refuses(LiftRequested(by=ANN, version="1.1", reason="x"))
    assert line.state == before


def test_rule_24_cancel_names_what_it_means():
    line = Line()
    assert "No release of shop is on the line" in line.refuses(CancelRequested(by=ANN, reason="x"))
    line.announces("1.1")
    line.announces("1.2")
    assert "1.1 and 1.2 are on the line. Name the version." in line.refuses(CancelRequested(by=ANN, reason="x"))
    line.hears(CancelRequested(by=ANN, reason="x", version="1.2"))
    line.hears(CancelRequested(by=ANN, reason="x"))
    assert "not on the line any more" in line.refuses(CancelRequested(by=ANN, reason="x", version="1.2"))
    line = Line()
    line.travels("1.0")
    line.passes(3 * HOUR)
    line.announces("1.1")
    line.deploys()
    line.alarm()
    assert "a rollback is not cancelled" in line.refuses(CancelRequested(by=ANN, reason="x", version="1.1"))


def test_rule_24_retry_names_what_it_means():
    line = Line()
    assert "There is no stage wave-9" in line.refuses(RetryRequested(by=ANN, stage="wave-9"))
    assert "Nothing of shop stands still in beta" in line.refuses(RetryRequested(by=ANN, stage="beta"))


# ---- 25: why ----


def test_rule_25_every_reason_at_once_with_who_and_when():
    line = held()
    line.hears(PauseRequested(by=BOB, reason="two", scope_name="one-box", duration=HOUR))
    line.hears(RunningVersionObserved(target="one-box", digest="sha256:x"))
    reasons = line.why("1.1")
    assert [r.kind for r in reasons] == ["paused", "paused", "frozen", "approval"]
    assert [r.who for r in reasons] == [
        "the team shop: resume", "the team shop: resume", "an owner: override", "Ann, Bob or Carol",
    ]  # fmt: skip
    assert [r.clears_at for r in reasons] == [None, line.now + HOUR, line.now + 10 * DAY, None]


def test_rule_25_what_is_under_way_says_how_far_it_is():
    line = Line()
    line.announces("1.1")
    assert line.kinds("1.1") == ["deploying"]
    key = line.pending(StartDeployment)[0].key
    line.hears(DeploymentStarted(key=key, ref="r"))
    line.hears(DeploymentLost(key=key, reason="no answer"))
    assert line.kinds("1.1") == ["deploying", "unknown_outcome"]
    assert line.why("1.1")[1].who == "the team shop: reconcile … dead, if it is surely over"
    line.hears(CancelRequested(by=ANN, reason="x"))
    assert line.kinds("1.1") == ["stopped"]


def test_rule_25_a_bake_says_when_it_ends():
    line = Line()
    line.announces("1.1")
    line.deploys()
    line.now += 3 * MINUTE
    (reason,) = line.why("1.1")
    assert (reason.kind, reason.clears_at) == ("bake", line.now + 7 * MINUTE)
    assert "7 min of 10 min" in reason.sentence
    line = Line(pipeline(stage("beta", bake=Bake(duration=10 * MINUTE, minimum_points=5)), groups=(), alarms=()))
    line.announces("1.1")
    line.deploys()
    assert line.why("1.1")[0].clears_at is None, "points are missing too: nobody knows when"


def test_rule_25_who_goes_first_is_a_reason():
    line = Line(with_approval(2))
    line.announces("1.1")
    line.deploys()
    line.approves(BOB)
    line.announces("1.2")
    line.deploys()
    assert "1.1 goes first" in [r.sentence for r in line.why("1.2")]


def test_rule_19_an_announcement_without_a_person_behind_it_has_no_announcer():
    line = waiting(by=CI)
    line.hears(ReleaseAnnounced(version="1.1", digest="sha256:1.1", artifact="x", by=CI))
    line.approves(BOB)
    assert line.occupant("one-box")[0] == "1.1"
