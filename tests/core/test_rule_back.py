"""Rules 13–17, going back: to which version, against what, what is bad from then on, and when not by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from core.releases.effects import CancelDeployment, EndPage, Page, StartDeployment
from core.releases.events import (
    AcknowledgeRequested,
    CancelRequested,
    DeploymentCancelled,
    DeploymentFailed,
    DeploymentLost,
    DeploymentStarted,
    DeploymentSucceeded,
    LiftRequested,
    OverrideRequested,
    PauseRequested,
    PromoteRequested,
    ReconcileRequested,
    ResumeRequested,
    RetryRequested,
    RollbackRequested,
)
from core.releases.pipeline import SERVICE, Alarm, ApprovalRule, Bake, Group, OnAlarm
from core.releases.world import Freeze
from tests.core.line import ANN, BOB, CAROL, DAVE, EVE, PRODUCTION, WORLD, Line, in_other_world, pipeline, stage

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def short(**more: object) -> Line:
    """beta (a free passage) → wave-1 on a and b, with an alarm over production."""
    values: dict[str, object] = {}
    return Line(
        pipeline(
            stage("beta", bake=Bake(), on_alarm=OnAlarm.STOP, watch=timedelta()),
            stage("wave-1", "a", "b", after=("beta",), group="production", is_production=True),
            **(values | more),
        )
    )


def grown(*versions: str, **more: object) -> Line:
    """That line after some releases, the last one still watched."""
    line = short(**more)
    for version in versions:
        line.passes(3 * HOUR)
        line.travels(version)
    return line


def asks_back(line: Line, **more: object) -> None:
    values: dict[str, object] = {"by": ANN, "reason": "slow", "scope_name": "wave-1"}
    line.hears(RollbackRequested(**(values | more)))  # type: ignore[arg-type]


def end_badly(line: Line, target: str, **more: object) -> None:
    at = line.state.target(target).deployment
    assert at is not None
    line.effects = [e for e in line.effects if getattr(e, "target", "") != target]
    line.hears(DeploymentFailed(key=at.key, reason="it does not start", **more))  # type: ignore[arg-type]


def goals(line: Line) -> dict[str, str]:
    """Which version each target is being given."""
    return {t.name: t.deployment.what.version for t in line.state.targets if t.deployment is not None}


# ---- 13: to which version ----


def test_rule_13_each_target_goes_to_the_newest_other_version_that_finished_its_bake_there():
    line = grown("1.0", "1.1", "1.2")
    asks_back(line)
    line.deploys()
    assert (line.runs("a"), line.runs("b")) == ("1.1", "1.1")


def test_rule_13_what_was_only_deployed_there_is_not_good():
    line = grown("1.0")
    line.announces("1.1")
    line.deploys()
    assert line.occupant("wave-1") == ("1.1", "baking")
    line.announces("1.2")
    line.alarm()
    line.deploys()
    assert (line.runs("a"), line.runs("b")) == ("1.0", "1.0")
    assert [g.version for g in line.state.target("a").good] == ["1.0"]


def test_rule_13_a_bake_cut_short_by_override_makes_nothing_good():
    line = Line(
        pipeline(
            stage("beta", bake=Bake(duration=HOUR)),
            stage("wave-1", after=("beta",), bake=Bake(duration=HOUR)),
            groups=(),
            alarms=(),
        )
    )
    line.announces("1.1")
    line.deploys()
    line.hears(OverrideRequested(by=CAROL, version="1.1", stage="wave-1", reason="urgent"))
    assert line.release("1.1").passed == ("beta",)
    assert line.state.target("beta").good == ()


def test_rule_13_never_to_a_version_that_is_bad():
    line = grown("1.0", "1.1")
    asks_back(line)
    line.deploys()
    assert line.runs("a") == "1.0"
    line.travels("1.2", fixes=("1.1",))
    asks_back(line)
    line.deploys()
    assert line.runs("a") == "1.0", "1.1 is newer, but bad"


def test_rule_13_never_to_one_whose_artifact_is_gone():
    line = grown("1.0", "1.1", "1.2")
    asks_back(line)
    assert goals(line)["a"] == "1.1"
    end_badly(line, "a", nothing_begun=True, artifact_missing=True)
    assert goals(line)["a"] == "1.0"
    line.deploys()
    assert (line.runs("a"), line.runs("b")) == ("1.0", "1.0")
    assert any("The artifact of 1.1 is gone" in r for r in line.reasons)


def test_rule_13_gone_and_nothing_else_left_is_a_failed_rollback():
    line = grown("1.0", "1.1")
    asks_back(line)
    end_badly(line, "a", nothing_begun=True, artifact_missing=True)
    assert line.occupant("wave-1") == ("1.1", "stopped")
    assert len(line.state.pages) == 1


def test_rule_13_three_are_kept_besides_the_one_that_runs():
    line = grown("1.0", "1.1", "1.2", "1.3", "1.4")
    assert [g.version for g in line.state.target("a").good] == ["1.4", "1.3", "1.2", "1.1"]
    line = grown("1.0", "1.1", "1.2", keep_good=1)
    assert [g.version for g in line.state.target("a").good] == ["1.2", "1.1"]


def test_rule_13_none_is_said_before_the_deployment_starts():
    line = short()
    line.announces("1.0")
    line.deploys()
    assert "cannot be rolled back on a and b" in line.said("entered")[-1].sentence
    line.passes(HOUR)
    line.announces("1.1")
    line.deploys()
    assert "cannot be rolled back" not in line.said("entered")[-1].sentence


def test_rule_13_none_left_in_alarm_stands_still_and_pages():
    line = short()
    line.announces("1.0")
    line.deploys()
    line.alarm()
    assert line.occupant("wave-1") == ("1.0", "stopped")
    page = line.pending(Page)
    assert len(page) == 1
    assert "there is no known good version on a and b" in page[0].sentence


def test_rule_13_a_target_that_has_none_keeps_the_stage_standing_still():
    line = grown("1.0", "1.1")
    b = line.state.target("b")
    line.state = replace(
        line.state, targets=tuple(replace(t, good=t.good[:1]) if t.name == "b" else t for t in line.state.targets)
    )
    assert b.good
    line.alarm()
    assert any("b in wave-1 cannot go back" in p.reason for p in line.state.pages)
    line.deploys()
    assert (line.runs("a"), line.runs("b")) == ("1.0", "1.1")
    assert line.occupant("wave-1") == ("1.1", "stopped"), "b still runs the bad version"
    assert line.state.pages


def test_rule_13_a_person_may_name_the_version():
    line = grown("1.0", "1.1", "1.2")
    asks_back(line, to_version="1.0")
    line.deploys()
    assert (line.runs("a"), line.runs("b")) == ("1.0", "1.0")


def test_rule_13_a_person_is_told_what_there_is():
    line = grown("1.0", "1.1", "1.2")
    refusal = line.refuses(RollbackRequested(by=ANN, scope_name="wave-1", to_version="0.9", reason="slow"))
    assert "0.9 did not finish its bake in wave-1. Known good there: 1.0 and 1.1." in refusal
    line = grown("1.0")
    assert "no known good version in wave-1" in line.refuses(
        RollbackRequested(by=ANN, scope_name="wave-1", reason="slow")
    )
    refusal = line.refuses(RollbackRequested(by=ANN, scope_name="wave-1", to_version="0.9", reason="slow"))
    assert "No other known good version is there" in refusal
    assert "Nothing that Andon deployed runs in" in short().refuses(RollbackRequested(by=ANN, reason="slow"))
    assert "has no stage or group wave-7. Did you mean wave-1?" in line.refuses(
        RollbackRequested(by=ANN, scope_name="wave-7", reason="slow")
    )
    assert "needs a reason" in line.refuses(RollbackRequested(by=ANN, reason="  "))


def test_rule_13_without_a_place_it_means_what_moves_in_production():
    line = grown("1.0", "1.1")
    line.hears(RollbackRequested(by=ANN, reason="slow"))
    assert line.occupant("wave-1") == ("1.1", "rolling_back")
    assert line.occupant("beta") == ("", "")
    line = grown("1.0", "1.1")
    line.passes(5 * HOUR)
    line.hears(RollbackRequested(by=ANN, reason="slow"))
    assert line.occupant("wave-1") == ("1.1", "rolling_back"), "nothing moves: production is meant"


def test_rule_13_everywhere_means_beta_as_well():
    line = grown("1.0", "1.1")
    line.hears(RollbackRequested(by=ANN, everywhere=True, reason="slow"))
    line.deploys()
    assert [line.runs(t.name) for t in line.state.targets] == ["1.0", "1.0", "1.0"]


def test_rule_13_stages_that_cannot_go_back_are_named():
    line = grown("1.0", "1.1")
    line.state = replace(
        line.state, targets=tuple(replace(t, good=()) if t.stage == "beta" else t for t in line.state.targets)
    )
    line.hears(RollbackRequested(by=ANN, everywhere=True, reason="slow"))
    assert "beta cannot go back" in line.answer


# ---- 14: nothing blocks it ----


def blocked_in_every_way(line: Line) -> None:
    line.hears(PauseRequested(by=EVE, reason="hold"))
    line.world = in_other_world(
        WORLD,
        freezes=(
            Freeze("holidays", line.now - HOUR, line.now + 10 * HOUR),
            Freeze("stop", line.now, None, "stop", by=BOB),
        ),
    )


def test_rule_14_no_pause_freeze_missing_approval_or_alarm_blocks_a_rollback():
    rule = ApprovalRule(by=("approvers",))
    line = Line(
        pipeline(
            stage("beta", bake=Bake(), watch=timedelta()),
            stage("wave-1", "a", after=("beta",), group="production"),
            groups=(Group(name="production", approval=rule),),
            alarms=(Alarm(name="other", source="webhook", scope=PRODUCTION),),
        )
    )
    line.alarm("other", is_red=False)
    for version in ("1.0", "1.1"):
        line.announces(version)
        line.deploys()
        line.approves(BOB)
        line.deploys()
        line.passes(11 * MINUTE)
    assert line.runs("a") == "1.1"
    blocked_in_every_way(line)
    line.alarm("other")
    assert line.occupant("wave-1") == ("1.1", "rolling_back")
    assert goals(line) == {"a": "1.0"}
    line.deploys()
    assert line.runs("a") == "1.0"


def test_rule_14_neither_do_they_block_a_persons():
    line = grown("1.0", "1.1")
    blocked_in_every_way(line)
    asks_back(line)
    line.deploys()
    assert line.runs("a") == "1.0"


def deploying() -> Line:
    line = grown("1.0")
    line.passes(3 * HOUR)
    line.announces("1.1")
    beta = line.pending(StartDeployment)[0]
    line.effects.clear()
    line.hears(DeploymentSucceeded(key=beta.key))
    wave = line.pending(StartDeployment)[0]
    line.effects.clear()
    line.hears(DeploymentStarted(key=wave.key, ref="r1"))
    line.effects.clear()
    return line


def test_rule_14_it_is_recorded_at_once_and_starts_when_what_was_in_flight_has_ended():
    line = deploying()
    asks_back(line)
    assert line.occupant("wave-1") == ("1.1", "rolling_back")
    cancel = line.pending(CancelDeployment)
    assert [c.ref for c in cancel] == ["r1"]
    assert line.pending(StartDeployment) == []
    assert "is being stopped first" in next(r.sentence for r in line.why("1.1") if r.kind == "cancelling")
    assert "under way" in line.refuses(RollbackRequested(by=ANN, reason="again", scope_name="wave-1"))
    line.hears(DeploymentCancelled(key=line.state.target("a").deployment.key))  # type: ignore[union-attr]
    assert goals(line) == {"a": "1.0"}


def test_rule_14_what_ended_in_success_after_all_goes_back_too():
    line = deploying()
    asks_back(line)
    line.hears(DeploymentSucceeded(key=line.state.target("a").deployment.key))  # type: ignore[union-attr]
    assert goals(line) == {"a": "1.0"}


def test_rule_14_or_when_a_person_declares_it_dead():
    line = deploying()
    asks_back(line)
    line.hears(DeploymentLost(key=line.state.target("a").deployment.key, reason="no answer"))  # type: ignore[union-attr]
    assert line.pending(StartDeployment) == []
    assert "unknown" not in [t.deployment.phase for t in line.state.targets if t.deployment]
    line.hears(ReconcileRequested(by=ANN, choice="dead", target="a", reason="the host is gone"))
    assert goals(line) == {"a": "1.0"}
    assert "declared the deployment on a dead. the host is gone" in line.said("declared_dead")[0].sentence


def test_rule_14_a_start_that_arrives_late_is_cancelled_too():
    line = grown("1.0")
    line.passes(3 * HOUR)
    line.announces("1.1")
    line.hears(DeploymentSucceeded(key=line.pending(StartDeployment)[0].key))
    at = line.state.target("a").deployment
    assert at is not None
    asks_back(line)
    line.effects.clear()
    line.hears(DeploymentStarted(key=at.key, ref="late"))
    assert [c.ref for c in line.pending(CancelDeployment)] == ["late"]


# ---- 15: bad versions ----


def test_rule_15_a_version_rolled_back_is_bad_and_automation_never_brings_it_back():
    line = grown("1.0", "1.1")
    asks_back(line)
    line.deploys()
    assert [(m.version, m.stage) for m in line.state.bad] == [("1.1", "wave-1")]
    assert line.release("1.1").status.kind == "rolled_back"
    line.announces("1.1")
    line.passes(50 * HOUR)
    assert line.runs("a") == "1.0"
    assert "is bad" in line.refuses(PromoteRequested(by=ANN, version="1.1"))


def test_rule_15_it_is_bad_from_that_stage_on_not_before():
    line = Line()
    line.travels("1.0")
    line.passes(3 * HOUR)
    line.announces("1.1")
    line.deploys()
    line.alarm()
    line.deploys()
    line.alarm(is_red=False)
    assert line.runs("beta") == "1.1"
    line.announces("1.2")
    line.deploys()
    assert line.release("1.2").passed == ("beta",)
    assert line.kinds("1.2", "one-box") == ["bad"]


def test_rule_15_the_earliest_stage_counts():
    line = Line()
    for version in ("1.0", "1.1"):
        line.travels(version)
        line.passes(3 * HOUR)
    line.hears(RollbackRequested(by=ANN, scope_name="wave-1", reason="slow"))
    line.deploys()
    line.hears(RollbackRequested(by=ANN, scope_name="one-box", reason="slow"))
    line.deploys()
    assert [(m.version, m.stage) for m in line.state.bad] == [("1.1", "one-box")]


def rolled_back() -> Line:
    line = grown("1.0", "1.1")
    asks_back(line)
    line.deploys()
    return line


def test_rule_15_a_newer_one_that_may_contain_it_waits():
    line = rolled_back()
    line.announces("1.2")
    line.deploys()
    assert line.kinds("1.2") == ["bad"]
    assert "announce it with fixes 1.1, or lift it" in line.why("1.2")[0].sentence
    assert "may not enter wave-1" in line.refuses(PromoteRequested(by=ANN))


@pytest.mark.parametrize(
    ("more", "waits"),
    [
        ({"ancestors": ("1.0", "1.1")}, True),
        ({"ancestors": ("1.0",)}, False),
        ({"fixes": ("1.1",)}, False),
        ({"ancestors": ("1.0", "1.1"), "fixes": ("1.1",)}, False),
        ({"fixes": ("1.0",)}, True),
    ],
    ids=str,
)
def test_rule_15_unless_ancestry_or_the_announcement_says_otherwise(more: dict[str, object], waits: bool):
    line = rolled_back()
    line.announces("1.2", **more)  # type: ignore[arg-type]
    line.deploys()
    assert (line.occupant("wave-1")[0] == "1.2") is not waits


def test_rule_15_a_person_lifts_it_with_a_reason():
    line = rolled_back()
    line.announces("1.2")
    line.deploys()
    assert "needs a reason" in line.refuses(LiftRequested(by=CAROL, version="1.2", reason=" "))
    line.hears(LiftRequested(by=CAROL, version="1.2", reason="looked at"))
    assert line.occupant("wave-1")[0] == "1.2"
    line.hears(CancelRequested(by=ANN, version="1.2", reason="no"))
    line.deploys()
    line.announces("1.3")
    line.deploys()
    assert line.kinds("1.3") == ["bad"], "it was lifted for 1.2 alone"
    assert "nothing bad is known in it" in line.refuses(LiftRequested(by=CAROL, version="1.0", reason="x"))


def test_rule_15_the_bad_version_itself_can_be_lifted_and_goes_in_again():
    line = rolled_back()
    line.hears(LiftRequested(by=CAROL, version="1.1", reason="it was the network"))
    assert line.occupant("wave-1") == ("1.1", "deploying")
    line.deploys()
    line.passes(10 * MINUTE)
    assert line.release("1.1").status.kind == "completed"
    assert line.release("1.1").passed == ("beta", "wave-1")


def test_rule_15_what_is_being_rolled_back_is_lifted_afterwards():
    line = grown("1.0", "1.1")
    asks_back(line)
    assert "being rolled back" in line.refuses(LiftRequested(by=CAROL, version="1.1", reason="it was the network"))


def test_rule_15_a_newer_release_that_passes_heals():
    line = rolled_back()
    line.travels("1.2", fixes=("1.1",))
    assert line.state.bad[0].is_healed
    line.announces("1.3")
    line.deploys()
    assert line.occupant("wave-1") == ("1.3", "baking"), "it follows 1.2, which passed"
    line.announces("1.1")
    assert line.release("1.1").status.kind == "rolled_back", "itself stays bad"


def test_rule_15_one_held_back_does_not_hold_up_what_is_older_and_sound():
    line = rolled_back()
    line.hears(PauseRequested(by=ANN, scope_name="wave-1", reason="look"))
    line.announces("1.2", fixes=("1.1",))
    line.deploys()
    line.announces("1.3")
    line.deploys()
    assert line.release("1.2").is_live
    line.hears(ResumeRequested(by=ANN))
    assert line.occupant("wave-1")[0] == "1.2"


def test_rule_15_a_person_who_rolls_a_stage_back_takes_the_version_off_further_down_as_well():
    line = Line()
    line.travels("1.0")
    line.passes(3 * HOUR)
    line.announces("1.1")
    line.deploys()
    line.now += 10 * MINUTE
    line.hears(PauseRequested(by=ANN, reason="look", scope_name="wave-1", duration=MINUTE))
    line.passes(MINUTE)
    assert line.occupant("wave-1")[0] == "1.1"
    line.hears(RollbackRequested(by=ANN, scope_name="one-box", reason="slow"))
    line.deploys()
    assert [line.runs(t) for t in ("one-box", "a", "b", "c")] == ["1.0"] * 4
    assert line.release("1.1").status.kind == "rolled_back"


# ---- 16: when not again by itself ----


def test_rule_16_a_rollback_that_fails_pages_and_stops():
    line = grown("1.0", "1.1")
    line.alarm()
    line.effects.clear()
    end_badly(line, "a")
    assert line.occupant("wave-1") == ("1.1", "stopped")
    pages = line.pending(Page)
    assert len(pages) == 1
    assert "the rollback failed on a" in pages[0].sentence
    line.passes(10 * HOUR)
    assert line.occupant("wave-1") == ("1.1", "stopped")


def test_rule_16_a_person_retries_it():
    line = grown("1.0", "1.1")
    line.alarm()
    end_badly(line, "a")
    line.hears(RetryRequested(by=ANN, stage="wave-1"))
    assert line.pending(EndPage)
    line.deploys()
    assert (line.runs("a"), line.runs("b")) == ("1.0", "1.0")


def test_rule_16_a_rollback_declared_dead_pages_too():
    line = grown("1.0", "1.1")
    line.alarm()
    at = line.state.target("a").deployment
    assert at is not None
    line.hears(DeploymentLost(key=at.key, reason="no answer"))
    line.hears(ReconcileRequested(by=ANN, choice="dead"))
    assert line.occupant("wave-1") == ("1.1", "stopped")
    assert any("declared its deployment dead" in p.reason for p in line.state.pages)


def again(wait: timedelta) -> Line:
    """1.2 was rolled back by itself; some time later 1.3, which mends it, turns an alarm red as well."""
    line = grown("1.0", "1.1", "1.2")
    line.alarm()
    line.deploys()
    line.alarm(is_red=False)
    line.now += wait
    line.announces("1.3", fixes=("1.2",))
    line.deploys()
    assert line.occupant("wave-1") == ("1.3", "baking")
    line.alarm()
    return line


def test_rule_16_a_second_automatic_rollback_within_the_guard_does_not_start_and_pages():
    line = again(2 * HOUR - MINUTE)
    assert line.occupant("wave-1") == ("1.3", "stopped")
    assert "rolled back automatically 1 h 59 min ago" in line.state.pages[0].reason
    assert [m.version for m in line.state.bad] == ["1.2", "1.3"]


def test_rule_16_after_the_guard_it_does():
    line = again(2 * HOUR)
    assert line.occupant("wave-1") == ("1.3", "rolling_back")


def test_rule_16_a_persons_rollback_is_never_cut_off():
    line = again(MINUTE)
    asks_back(line)
    line.deploys()
    assert (line.runs("a"), line.runs("b")) == ("1.1", "1.1")
    line = grown("1.0", "1.1", "1.2")
    asks_back(line)
    line.deploys()
    asks_back(line)
    line.deploys()
    assert line.runs("a") == "1.0"


def test_rule_16_nothing_automatic_follows_a_rollback_in_alarm():
    line = grown("1.0", "1.1", "1.2")
    line.alarm()
    line.alarm("another", scope=SERVICE)
    line.deploys()
    assert line.runs("a") == "1.1"
    line.alarm("a third", scope=SERVICE)
    line.passes(3 * HOUR)
    assert line.runs("a") == "1.1"


# ---- pages ----


def test_pages_are_repeated_so_often_and_then_no_more():
    line = short()
    line.announces("1.0")
    line.deploys()
    line.alarm()
    line.passes(10 * HOUR)
    pages = [e for e in line.effects if isinstance(e, Page)]
    assert pages == []
    line = short()
    line.announces("1.0")
    line.deploys()
    sent = [e for e in line.alarm().effects if isinstance(e, Page)]
    for _ in range(30):
        line.now += 5 * MINUTE
        sent += [e for e in line.hears(PauseRequested(by=EVE, reason="x")).effects if isinstance(e, Page)]
    assert [p.repetition for p in sent] == [1, 2, 3, 4, 5]
    assert len({p.key for p in sent}) == 5


def test_pages_end_when_somebody_takes_them():
    line = short()
    line.announces("1.0")
    line.deploys()
    line.alarm()
    assert "may acknowledge" in line.refuses(AcknowledgeRequested(by=EVE))
    line.hears(AcknowledgeRequested(by=DAVE))
    assert line.state.pages == ()
    assert line.pending(EndPage)
    assert line.said("acknowledged")[0].sentence == "Dave takes it."
    assert "no open page" in line.refuses(AcknowledgeRequested(by=DAVE))


def test_pages_end_when_the_stage_is_free_again():
    line = short()
    line.announces("1.0")
    line.deploys()
    line.alarm()
    line.hears(CancelRequested(by=ANN, version="1.0", reason="no"))
    assert line.state.pages == ()


def test_whoever_looks_into_an_automatic_rollback_says_so():
    line = grown("1.0", "1.1")
    line.alarm()
    line.hears(AcknowledgeRequested(by=DAVE, page_id="wave-1"))
    assert line.said("acknowledged")[0].release == line.release("1.1").id


# ---- 17: one-way ----


def test_rule_17_a_one_way_version_is_never_rolled_back_by_itself():
    line = grown("1.0")
    line.passes(3 * HOUR)
    line.announces("1.1", is_one_way=True)
    line.deploys()
    line.alarm()
    assert line.occupant("wave-1") == ("1.1", "stopped")
    assert "fix it forward" in line.state.pages[0].reason
    line.deploys()
    assert line.runs("a") == "1.1"


def test_rule_17_neither_does_a_failed_target():
    line = grown("1.0")
    line.passes(3 * HOUR)
    line.announces("1.1", is_one_way=True)
    line.hears(DeploymentSucceeded(key=line.pending(StartDeployment)[0].key))
    end_badly(line, "a")
    assert line.occupant("wave-1") == ("1.1", "stopped")
    assert line.state.pages


def test_rule_17_the_forward_fix_takes_over():
    line = grown("1.0")
    line.passes(3 * HOUR)
    line.announces("1.1", is_one_way=True)
    line.deploys()
    line.alarm()
    line.alarm(is_red=False)
    line.announces("1.2", fixes=("1.1",))
    line.deploys()
    assert line.runs("a") == "1.2"
    assert line.state.pages == ()


def test_rule_17_a_person_may_roll_it_back():
    line = grown("1.0")
    line.passes(3 * HOUR)
    line.announces("1.1", is_one_way=True)
    line.deploys()
    asks_back(line)
    line.deploys()
    assert line.runs("a") == "1.0"


def test_rule_13_bad_versions_push_out_no_good_one():
    line = Line()
    line.travels("good")
    for number in range(6):
        line.announces(f"{number}", fixes=tuple(f"{n}" for n in range(number)))
        line.deploys()
        line.hears(RollbackRequested(by=ANN, reason="slow", scope_name="beta"))
        line.deploys()
        assert line.runs("beta") == "good", "it is kept, however many have passed there and turned out bad"
    assert len(line.state.target("beta").good) == line.state.definition.keep_good + 1
