"""Corners of rule 25: reasons, answers and lanes that the stories of the other rules seldom meet."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from core.ports import AlarmState
from core.releases.authority import called
from core.releases.blockers import blockers, leader
from core.releases.decide import decide
from core.releases.effects import (
    CancelDeployment,
    EndPage,
    FollowDeployment,
    ObserveTarget,
    Page,
    RefreshCard,
    RunStageTest,
    StartDeployment,
    Tell,
    is_for_readers,
    lane,
)
from core.releases.events import (
    AlarmReported,
    CancelRequested,
    DefinitionApplied,
    DeploymentFailed,
    DeploymentStarted,
    DeploymentSucceeded,
    LiftRequested,
    PauseRequested,
    PromoteRequested,
    ReconcileRequested,
    ResumeRequested,
    RetryRequested,
    RollbackRequested,
    RunningVersionObserved,
)
from core.releases.pipeline import (
    SERVICE,
    Alarm,
    ApprovalRule,
    Bake,
    Batch,
    Group,
    OnAlarm,
    Order,
    Pipeline,
    Scope,
    ScopeKind,
)
from core.releases.words import clock, place
from tests.core.line import ANN, CAROL, DAVE, EVE, PRODUCTION, WORLD, Line, in_other_world, pipeline, stage

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def test_the_gate_itself_names_what_is_before_and_what_is_newer():
    line = Line()
    line.travels("1.1")
    line.announces("1.2")
    ahead = line.state.definition.by_name["wave-1"]
    assert [b.kind for b in blockers(line.state, line.release("1.2"), ahead, line.world, line.now)] == ["upstream"]
    older = replace(line.release("1.1"), id="shop-0", version="1.0", sequence=0)
    kinds = [b.sentence for b in blockers(line.state, older, ahead, line.world, line.now)]
    assert "wave-1 runs 1.1, which is newer" in kinds
    nobody = replace(line.state, releases=())
    assert leader(nobody, ahead, line.world, line.now) is None


def test_a_goal_that_is_no_place_any_more_holds_and_says_who_goes_on():
    line = Line()
    line.hears(PauseRequested(by=ANN, reason="look", scope_name="wave-1"))
    line.announces("1.1")
    line.state = replace(line.state, releases=tuple(replace(r, goal="gone") for r in line.state.releases))
    assert "goal" in [
        b.kind
        for b in blockers(
            line.state, line.release("1.1"), line.state.definition.by_name["wave-1"], line.world, line.now
        )
    ]


def test_a_bake_in_alarm_and_unknown_says_so_when_it_is_promoted():
    alarms = (
        Alarm(name="errors", source="webhook", scope=SERVICE, silence_is_ok=True),
        Alarm(name="canary", source="canary", scope=SERVICE),
    )
    line = Line(pipeline(stage("beta"), groups=(), alarms=alarms))
    line.announces("1.1")
    line.deploys()
    line.now += MINUTE
    line.hears(
        AlarmReported(
            alarm="errors", key="k", alarm_state=AlarmState.ALARM, observed_at=line.now, started_at=line.now - HOUR
        )
    )
    refusal = line.refuses(PromoteRequested(by=ANN))
    assert "the alarm canary is unknown" in refusal
    assert "the alarm errors is red" in refusal
    line.passes(HOUR)
    assert "the alarm errors is red" in line.said("bake_asked")[-1].sentence


def test_a_release_with_nothing_left_is_not_revived():
    line = Line(pipeline(stage("beta", bake=Bake()), stage("wave-1", after=("beta",)), groups=(), alarms=()))
    line.hears(PauseRequested(by=EVE, reason="hold", scope_name="wave-1"))
    line.announces("1.1")
    line.deploys()
    line.hears(CancelRequested(by=ANN, version="1.1", reason="no"))
    shorter = pipeline(stage("beta", bake=Bake()), groups=(), alarms=(), revision="r2")
    line.hears(DefinitionApplied(definition=shorter, by=ANN))
    assert "has no stage left to enter" in line.refuses(PromoteRequested(by=ANN, version="1.1"))


def test_two_approvals_that_are_asked_again_are_only_asked_where_they_lack():
    rule = ApprovalRule(by=("approvers",))
    line = Line(
        pipeline(
            stage("beta", group="production", approval=ApprovalRule(by=("bob",))),
            groups=(Group(name="production", approval=rule),),
            alarms=(),
        )
    )
    line.announces("1.1")
    line.approves(CAROL)
    before = len(line.said("approval_asked"))
    line.hears(PromoteRequested(by=ANN))
    assert len(line.said("approval_asked")) == before + 1


# ---- what becomes bad while it stands still ----


def standing_downstream() -> Line:
    """1.1 stands still in wave-1, one target having failed, when one-box, watched, turns red."""
    alarm = Alarm(name="errors", source="webhook", scope=Scope(ScopeKind.STAGE, "one-box"), silence_is_ok=True)
    line = Line(
        pipeline(
            stage("one-box", watch=5 * HOUR),
            stage("wave-1", "a", "b", after=("one-box",)),
            groups=(),
            alarms=(alarm,),
        )
    )
    line.travels("1.0")
    line.passes(6 * HOUR)
    line.announces("1.1")
    line.deploys()
    line.now += 10 * MINUTE
    line.hears(PauseRequested(by=EVE, reason="x", scope_name="one-box", duration=MINUTE))
    line.hears(DeploymentFailed(key=key_of(line, "a"), reason="no"))
    line.effects = [e for e in line.effects if getattr(e, "is_rollback", False)]
    line.deploys()
    assert line.occupant("wave-1") == ("1.1", "stopped")
    line.alarm(scope=Scope(ScopeKind.STAGE, "one-box"))
    line.deploys()
    return line


def test_what_stands_still_goes_back_when_its_version_goes_bad_before_it():
    line = standing_downstream()
    assert line.occupant("wave-1") == ("", "")
    assert [line.runs(t) for t in ("one-box", "a", "b")] == ["1.0", "1.0", "1.0"]
    assert "stands still in wave-1" in line.refuses(RetryRequested(by=ANN, stage="wave-1"))


def test_a_bad_release_that_is_taken_off_the_line_keeps_how_its_journey_ended():
    line = Line()
    line.travels("1.0")
    line.passes(2 * HOUR)
    line.announces("1.1")
    line.deploys()
    line.passes(10 * MINUTE)
    assert line.occupant("wave-1") == ("1.1", "baking")
    line.alarm()
    line.deploys(fail=("a", "b", "c"))
    assert line.occupant("wave-1") == ("1.1", "stopped")
    assert line.release("1.1").status.kind == "rolled_back", "in one-box"
    line.hears(CancelRequested(by=ANN, version="1.1", reason="it is gone"))
    assert line.occupant("wave-1") == ("", "")
    assert line.release("1.1").status.kind == "rolled_back"
    assert "not on the line" in line.refuses(CancelRequested(by=ANN, version="1.1", reason="again"))
    assert "is bad" in line.refuses(PromoteRequested(by=ANN, version="1.1"))
    line.hears(LiftRequested(by=CAROL, version="1.1", reason="it was the network"))
    assert line.release("1.1").is_live


def test_lifted_while_the_failed_rollback_stands_still_a_retry_goes_forward():
    line = Line()
    line.announces("1.0")
    line.deploys()
    line.alarm()
    assert line.occupant("one-box") == ("1.0", "stopped")
    line.hears(LiftRequested(by=CAROL, version="1.0", reason="a false alarm"))
    assert line.release("1.0").is_live
    assert "still red" in line.refuses(RetryRequested(by=ANN))
    line.alarm(is_red=False)
    line.hears(RetryRequested(by=ANN))
    assert line.occupant("one-box") == ("1.0", "baking")


# ---- several targets that fail ----


def two_at_once(**more: Any) -> Line:
    batch = Batch(forward_percent=100, back_percent=100, healthy_percent=0)
    line = Line(pipeline(stage("beta", "a", "b", batch=batch, **more), groups=(), alarms=()))
    line.announces("1.1")
    return line


def key_of(line: Line, target: str) -> str:
    at = line.state.target(target).deployment
    assert at is not None
    return at.key


def test_a_second_that_fails_without_a_good_version_pages_as_well():
    line = two_at_once()
    line.hears(DeploymentFailed(key=key_of(line, "a"), reason="no"))
    line.hears(DeploymentFailed(key=key_of(line, "b"), reason="no"))
    assert line.occupant("beta") == ("1.1", "stopped")
    assert len(line.state.pages) == 2


def test_one_that_goes_back_and_one_that_cannot():
    line = two_at_once()
    line.hears(DeploymentSucceeded(key=key_of(line, "a")))
    line.hears(DeploymentSucceeded(key=key_of(line, "b")))
    line.passes(10 * MINUTE)
    line.state = replace(
        line.state, targets=tuple(replace(t, good=()) if t.name == "b" else t for t in line.state.targets)
    )
    line.effects.clear()
    line.announces("1.2")
    line.hears(DeploymentFailed(key=key_of(line, "a"), reason="no"))
    assert line.occupant("beta") == ("1.2", "rolling_back")
    line.hears(DeploymentFailed(key=key_of(line, "b"), reason="no"))
    assert any("failed on b in beta as well" in p.reason for p in line.state.pages)
    line.effects.clear()
    line.hears(DeploymentSucceeded(key=key_of(line, "a")))
    assert line.occupant("beta") == ("1.2", "stopped")
    assert (line.runs("a"), line.state.target("b").is_mixed) == ("1.1", True)


def test_one_refused_while_another_goes_back_needs_nothing():
    line = two_at_once()
    line.deploys()
    line.passes(10 * MINUTE)
    line.announces("1.2")
    line.hears(DeploymentFailed(key=key_of(line, "a"), reason="no"))
    line.hears(DeploymentFailed(key=key_of(line, "b"), reason="busy", nothing_begun=True))
    line.effects = [e for e in line.effects if getattr(e, "is_rollback", False)]
    line.deploys()
    assert (line.runs("a"), line.runs("b")) == ("1.1", "1.1")
    assert line.occupant("beta") == ("1.2", "stopped")


def test_what_fails_while_left_for_diagnosis_is_left_too():
    line = two_at_once(on_alarm=OnAlarm.STOP)
    line.deploys()
    line.passes(10 * MINUTE)
    line.announces("1.2")
    line.alarm("odd", scope=SERVICE)
    assert line.occupant("beta") == ("1.2", "stopped")
    line.hears(DeploymentFailed(key=key_of(line, "a"), reason="no"))
    assert line.occupant("beta") == ("1.2", "stopped")
    assert line.state.target("a").is_mixed


def test_two_rollbacks_that_fail_page_once_for_each():
    line = two_at_once()
    line.deploys()
    line.passes(10 * MINUTE)
    line.announces("1.2")
    line.deploys()
    line.hears(RollbackRequested(by=ANN, reason="slow"))
    line.effects.clear()
    keys = key_of(line, "a"), key_of(line, "b")
    line.hears(DeploymentFailed(key=keys[0], reason="no"))
    line.hears(DeploymentFailed(key=keys[1], reason="no"))
    assert line.occupant("beta") == ("1.2", "stopped")
    assert len(line.state.pages) == 1, "the second finds it standing still"


def test_an_artifact_that_is_gone_is_asked_for_no_more():
    line = Line(pipeline(stage("beta", "a", "b", "c"), groups=(), alarms=()))
    for version in ("1.0", "1.1", "1.2"):
        line.travels(version)
    line.hears(RollbackRequested(by=ANN, reason="slow"))
    line.effects.clear()
    line.hears(DeploymentSucceeded(key=key_of(line, "a")))
    assert line.runs("a") == "1.1"
    line.effects.clear()
    line.hears(DeploymentFailed(key=key_of(line, "b"), reason="gone", nothing_begun=True, artifact_missing=True))
    line.deploys()
    assert [line.runs(t) for t in "abc"] == ["1.1", "1.0", "1.0"], "a has it already"


# ---- small words ----


def test_without_a_team_nobody_is_called():
    assert called(in_other_world(WORLD, teams={}), pipeline()) == ()
    assert called(WORLD, pipeline()) == ("on-call",)


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        (SERVICE, "the whole service"),
        (PRODUCTION, "the group production"),
        (Scope(ScopeKind.STAGE, "beta"), "beta"),
        (Scope(ScopeKind.TARGET, "a"), "the target a"),
    ],
)
def test_places_have_names(scope: Scope, words: str):
    assert place(scope) == words


def test_people_and_moments_have_names():
    assert str(DAVE) == "Dave"
    assert clock(Line().now) == "2026-03-02 09:00 UTC"
    assert WORLD.expand(("shop", "dave", "nobody")) == {"ann", "bob", "dave"}


def test_each_effect_has_its_lane():
    line = Line(pipeline(stage("beta"), groups=(), alarms=()))
    seen = {}
    line.announces("1.1")
    key = line.pending(StartDeployment)[0].key
    line.hears(DeploymentStarted(key=key, ref="r"))
    line.hears(CancelRequested(by=ANN, version="1.1", reason="no"))
    for effect in line.effects:
        seen[type(effect)] = lane("shop", effect)
    assert seen[StartDeployment] == "deploy:shop:beta"
    assert seen[CancelDeployment] == "cancel:shop:beta", "not behind the start it cancels"
    assert seen[FollowDeployment] == f"follow:{key}"
    assert seen[RefreshCard] == seen[Tell] == "slack:shop:shop-1"
    page = Page(key="p/1", page="p", release="r", stage="s", sentence="x", repetition=1)
    end = EndPage(key="p/end", page="p", release="r", sentence="x")
    assert lane("shop", page) == lane("shop", end) == "page:shop:p"
    look = ObserveTarget(key="l", stage="beta", target="beta", deployer="d", deployer_settings="{}")
    assert lane("shop", look) == "deploy:shop:beta"
    test = RunStageTest(key="t", stage="s", test="x", uses="u", settings="{}", timeout=MINUTE, version="1", digest="d")
    assert lane("shop", test) == "test:t"
    patient = {lane("shop", effect) for effect in (*line.effects, page, end, look, test)}
    assert {name for name in patient if is_for_readers(name)} == {"slack:shop:shop-1"}, "nothing else can wait"


def test_a_queue_and_a_manual_line_know_who_is_next():
    for order in (Order.QUEUE, Order.MANUAL):
        definition: Pipeline = pipeline(order=order)
        line = Line(definition)
        line.hears(PauseRequested(by=ANN, reason="x"))
        line.announces("1.1")
        line.announces("1.2")
        first = leader(line.state, definition.by_name["beta"], line.world, line.now)
        assert (first.version if first else "") == ("1.1" if order is Order.QUEUE else "")
        assert decide(line.state, ResumeRequested(by=ANN), line.world, line.now).state.pauses == ()


def test_restoring_what_was_never_deployed_by_us_is_refused():
    line = Line()
    line.hears(RunningVersionObserved(target="beta", digest="sha256:old", version="0.1"))
    line.hears(RunningVersionObserved(target="beta", digest="sha256:other", version="0.2"))
    assert "cannot be restored now" in line.refuses(ReconcileRequested(by=ANN, choice="restore"))
