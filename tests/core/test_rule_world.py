"""Rules 26–29, the world: unknown outcomes, changes by other hands, deliveries twice and late, what is down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from core.ports import AlarmState, TestOutcome
from core.releases.decide import decide
from core.releases.effects import (
    CancelDeployment,
    FollowDeployment,
    ObserveTarget,
    RunStageTest,
    StartDeployment,
    Tell,
)
from core.releases.events import (
    AlarmReported,
    CancelRequested,
    DeploymentCancelled,
    DeploymentFailed,
    DeploymentLost,
    DeploymentProgressed,
    DeploymentStarted,
    DeploymentSucceeded,
    Event,
    HeartbeatHeard,
    PauseRequested,
    ReconcileRequested,
    RollbackRequested,
    RunningVersionObserved,
    StageTestReported,
    TimePassed,
    WorldChanged,
)
from core.releases.pipeline import Bake, StageTest
from core.releases.state import PipelineState
from tests.core.line import ANN, EVE, PRODUCTION, Line, pipeline, stage

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def taken() -> tuple[Line, str]:
    """1.0 runs everywhere; 1.1 is being given to beta, and the deployer has taken it."""
    line = Line()
    line.travels("1.0")
    line.passes(3 * HOUR)
    line.announces("1.1")
    start = line.pending(StartDeployment)[0]
    line.effects.clear()
    line.hears(DeploymentStarted(key=start.key, ref="r1", url="https://ci.example/1"))
    return line, start.key


# ---- 26: unknown outcomes ----


def test_rule_26_what_was_taken_is_followed_to_its_end():
    line, key = taken()
    (follow,) = line.pending(FollowDeployment)
    assert isinstance(follow, FollowDeployment)
    assert (follow.deployment, follow.ref, follow.target) == (key, "r1", "beta")


def test_rule_26_lost_is_neither_success_nor_failure_and_nothing_is_started_on_top():
    line, key = taken()
    line.effects.clear()
    line.hears(DeploymentLost(key=key, reason="time-out"))
    assert line.occupant("beta") == ("1.1", "deploying")
    assert [type(e) for e in line.effects if isinstance(e, ObserveTarget | StartDeployment)] == [ObserveTarget]
    (told,) = line.said("deployment_lost")
    assert told.asks == ("on-call",)
    line.passes(10 * HOUR)
    line.announces("1.2")
    assert line.pending(StartDeployment) == []
    assert line.kinds("1.2", "beta") == ["occupied", "busy"]


@pytest.mark.parametrize("alive", ["started", "progressed"])
def test_rule_26_a_sign_of_life_takes_it_back(alive: str):
    line, key = taken()
    line.hears(DeploymentLost(key=key, reason="time-out"))
    if alive == "started":
        line.hears(DeploymentStarted(key=key, ref="r1"))
    else:
        line.hears(DeploymentProgressed(key=key, done_units=1, all_units=3))
    deployment = line.state.target("beta").deployment
    assert deployment is not None
    assert deployment.phase == "running"
    line.hears(DeploymentSucceeded(key=key))
    assert line.runs("beta") == "1.1"


def test_rule_26_what_waits_for_somebody_elsewhere_says_so_once():
    line, key = taken()
    line.hears(DeploymentStarted(key=key, ref="r1"))
    waiting = DeploymentProgressed(key=key, done_units=0, all_units=0, note="it waits for ann: https://…", waits=True)
    line.hears(waiting)
    line.hears(waiting)
    (told,) = line.said("deployment_waits")
    assert (
        told.sentence == "The deployment of 1.1 to beta waits for somebody outside Andon: it waits for ann: https://…"
    )
    assert told.asks == ("on-call",)
    assert [r.sentence for r in line.why("1.1", "beta")] == [
        "the deployment to beta (it waits for ann: https://…) runs"
    ]
    line.hears(DeploymentProgressed(key=key, done_units=0, all_units=0, note="Apply"))
    assert [r.sentence for r in line.why("1.1", "beta")] == ["the deployment to beta (Apply) runs"]
    assert len(line.said("deployment_waits")) == 1


def test_rule_26_found_again_it_simply_ends():
    line, key = taken()
    line.hears(DeploymentLost(key=key, reason="time-out"))
    line.hears(DeploymentFailed(key=key, reason="it does not start"))
    line.deploys()
    assert line.runs("beta") == "1.0"


def test_rule_26_a_person_declares_it_dead_and_the_target_goes_back():
    line, key = taken()
    assert "No deployment is lost or being stopped there" in line.refuses(ReconcileRequested(by=ANN, choice="dead"))
    line.hears(DeploymentLost(key=key, reason="time-out"))
    assert "has no target web-9" in line.refuses(ReconcileRequested(by=ANN, choice="dead", target="web-9"))
    line.hears(ReconcileRequested(by=ANN, choice="dead", target="beta"))
    line.deploys()
    assert line.runs("beta") == "1.0"
    assert line.occupant("beta") == ("1.1", "stopped")


def test_rule_26_of_a_cancelled_release_it_is_left_mixed():
    line, key = taken()
    line.hears(CancelRequested(by=ANN, version="1.1", reason="no"))
    assert line.pending(CancelDeployment)
    assert line.occupant("beta") == ("1.1", "stopped")
    line.hears(DeploymentLost(key=key, reason="time-out"))
    line.hears(ReconcileRequested(by=ANN, choice="dead"))
    assert line.state.target("beta").is_mixed
    assert line.occupant("beta") == ("", "")


def test_rule_12_cancelled_half_way_is_said_and_a_rollback_levels_it():
    line, key = taken()
    line.hears(CancelRequested(by=ANN, version="1.1", reason="no"))
    line.hears(DeploymentCancelled(key=key))
    assert line.occupant("beta") == ("", "")
    told = line.said("left_uneven")[0].sentence
    assert (
        told == "beta is mixed now: beta is half way. `rollback shop in beta` levels it, and so does the next release."
    )
    line.hears(RollbackRequested(by=ANN, scope_name="beta", reason="level it"))
    assert [mark.version for mark in line.state.bad] == ["1.1"], "not 1.0, which ran there before"
    line.effects.clear()
    at = line.state.target("beta").deployment
    assert at is not None
    line.hears(DeploymentSucceeded(key=at.key))
    assert line.runs("beta") == "1.0"
    assert line.state.target("beta").mixed_with is None


def test_rule_12_cancelled_between_targets_says_which_runs_what():
    line = Line(pipeline(stage("wave-1", "a", "b"), groups=(), alarms=()))
    line.travels("1.0")
    line.announces("1.1")
    line.deploys(one_at_a_time=True)
    assert (line.runs("a"), line.runs("b")) == ("1.1", "1.0")
    line.hears(CancelRequested(by=ANN, version="1.1", reason="no"))
    at = line.state.target("b").deployment
    assert at is not None
    line.hears(DeploymentFailed(key=at.key, reason="refused", nothing_begun=True))
    assert "wave-1 is mixed now: 1.1 runs on a and 1.0 runs on b." in line.said("left_uneven")[0].sentence
    line.hears(RollbackRequested(by=ANN, scope_name="wave-1", reason="level it"))
    line.effects = [e for e in line.effects if getattr(e, "is_rollback", False)]
    line.deploys()
    assert (line.runs("a"), line.runs("b")) == ("1.0", "1.0")


def test_rule_26_cancelled_by_another_hand_is_a_failure():
    line, key = taken()
    line.hears(DeploymentCancelled(key=key))
    assert line.occupant("beta") == ("1.1", "rolling_back")
    assert "cancelled outside Andon" in line.said("rolling_back")[-1].sentence


# ---- 27: out-of-band changes ----


def changed(target: str = "a") -> Line:
    line = Line()
    line.travels("1.0")
    line.passes(3 * HOUR)
    line.hears(RunningVersionObserved(target=target, digest="sha256:by-hand", version="0.9-hotfix"))
    return line


def test_rule_27_a_difference_blocks_and_is_shown_until_somebody_reconciles():
    line = changed()
    (told,) = line.said("drift")
    assert "a was changed outside Andon: 0.9-hotfix runs there, but 1.0 is recorded" in told.sentence
    line.announces("1.1")
    line.deploys()
    line.passes(11 * MINUTE)
    assert line.kinds("1.1", "wave-1") == ["drift"]
    assert line.why("1.1", "wave-1")[0].who == "the team shop: reconcile"
    line.hears(RunningVersionObserved(target="a", digest="sha256:by-hand", version="0.9-hotfix"))
    assert len(line.said("drift")) == 1


def test_rule_27_keep_records_what_runs():
    line = changed()
    line.hears(ReconcileRequested(by=ANN, choice="keep"))
    assert line.state.target("a").drift == ""
    assert line.state.target("a").current is not None
    line.announces("1.1")
    line.deploys()
    line.passes(20 * MINUTE)
    assert line.runs("a") == "1.1"


def test_rule_27_keep_knows_a_version_that_is_remembered():
    line = Line()
    line.travels("1.0")
    line.travels("1.1")
    line.hears(RunningVersionObserved(target="a", digest="sha256:1.0"))
    line.hears(ReconcileRequested(by=ANN, choice="keep", target="wave-1"))
    assert line.runs("a") == "1.0"
    line.hears(RunningVersionObserved(target="a", digest=None))
    line.hears(ReconcileRequested(by=ANN, choice="keep"))
    assert line.runs("a") == "", "nothing runs there, and that is right"


def test_rule_27_restore_puts_the_recorded_version_back():
    line = changed()
    line.effects.clear()
    line.hears(ReconcileRequested(by=ANN, choice="restore"))
    assert line.occupant("wave-1") == ("1.0", "rolling_back")
    line.deploys()
    assert line.runs("a") == "1.0"
    assert not line.state.target("a").is_mixed
    assert line.state.bad == ()
    assert line.release("1.0").status.kind == "completed"
    assert "was restored" in line.said("rolled_back")[-1].sentence


def test_rule_27_a_restore_that_fails_is_tried_again_forward():
    line = changed()
    line.hears(ReconcileRequested(by=ANN, choice="restore"))
    line.deploys(fail=("a",))
    assert line.occupant("wave-1") == ("1.0", "stopped")


def test_rule_27_while_it_bakes_nothing_passes_and_restoring_deploys_and_bakes_again():
    line = Line()
    line.travels("1.0")
    line.passes(3 * HOUR)
    line.announces("1.1")
    line.deploys()
    line.passes(10 * MINUTE)
    line.hears(RunningVersionObserved(target="b", digest="sha256:by-hand"))
    line.passes(HOUR)
    assert line.occupant("wave-1") == ("1.1", "baking")
    assert line.kinds("1.1") == ["drift"]
    line.hears(ReconcileRequested(by=ANN, choice="restore"))
    assert line.occupant("wave-1") == ("1.1", "deploying")
    line.deploys()
    assert line.kinds("1.1") == ["bake"]
    line.passes(10 * MINUTE)
    assert line.release("1.1").status.kind == "completed"


def test_rule_27_kept_while_it_bakes_it_stands_still():
    line = Line()
    line.announces("1.1")
    line.deploys()
    line.hears(RunningVersionObserved(target="one-box", digest="sha256:by-hand"))
    line.hears(ReconcileRequested(by=ANN, choice="keep"))
    assert line.occupant("one-box") == ("1.1", "stopped")
    assert "one-box was changed outside Andon, and it was kept" in line.why("1.1")[0].sentence


def test_rule_27_refusals_say_what_would_help():
    line = changed()
    assert "`undo` is no way to reconcile. Say keep" in line.refuses(ReconcileRequested(by=ANN, choice="undo"))
    assert "Nothing of shop differs" in line.refuses(ReconcileRequested(by=ANN, choice="keep", target="b"))
    line.hears(ReconcileRequested(by=ANN, choice="keep"))
    line.hears(RunningVersionObserved(target="a", digest="sha256:again"))
    assert "wave-1 cannot be restored now" in line.refuses(ReconcileRequested(by=ANN, choice="restore"))


def test_rule_27_as_recorded_again_by_itself():
    line = changed()
    line.hears(RunningVersionObserved(target="a", digest="sha256:1.0"))
    assert line.state.target("a").drift == ""
    assert line.said("drift_over")
    line.hears(RunningVersionObserved(target="a", digest="sha256:1.0", is_mixed=True))
    assert "a mix of versions runs there" in line.state.target("a").drift


def test_rule_27_what_runs_before_the_first_deployment_is_adopted():
    line = Line()
    line.hears(RunningVersionObserved(target="beta", digest="sha256:old", version="0.1"))
    assert line.runs("beta") == "0.1"
    line.hears(RunningVersionObserved(target="one-box", digest=None))
    assert line.runs("one-box") == ""
    line.travels("1.0")
    assert line.runs("beta") == "1.0"
    assert "Nothing that Andon deployed" in changed_before_any().refuses(
        RollbackRequested(by=ANN, reason="x", scope_name="beta")
    )


def changed_before_any() -> Line:
    line = Line()
    line.hears(RunningVersionObserved(target="beta", digest="sha256:old", version="0.1"))
    return line


def test_rule_27_nothing_is_compared_while_it_is_deployed_to():
    line, _ = taken()
    line.hears(RunningVersionObserved(target="beta", digest="sha256:half"))
    line.hears(RunningVersionObserved(target="nowhere", digest="sha256:half"))
    assert line.state.target("beta").drift == ""


# ---- 28: twice, late, out of order ----


def same(one: PipelineState, other: PipelineState) -> bool:
    """Whether nothing changed but the numbers given to messages."""
    return replace(one, counter=0) == replace(other, counter=0)


def in_beta(line: Line) -> str:
    return line.pending(StartDeployment)[0].key


REPEATED: dict[str, Callable[[str], Event]] = {
    "started": lambda key: DeploymentStarted(key=key, ref="r1"),
    "progressed": lambda key: DeploymentProgressed(key=key, done_units=1, all_units=3),
    "succeeded": lambda key: DeploymentSucceeded(key=key),
    "failed": lambda key: DeploymentFailed(key=key, reason="no", nothing_begun=True),
    "cancelled": lambda key: DeploymentCancelled(key=key),
    "lost": lambda key: DeploymentLost(key=key, reason="time-out"),
    "observed": lambda key: RunningVersionObserved(target="wave-1", digest="sha256:x"),
    "time": lambda key: TimePassed(),
    "world": lambda key: WorldChanged(),
}


@pytest.mark.parametrize("what", REPEATED)
def test_rule_28_what_is_reported_twice_changes_nothing(what: str):
    line = Line()
    line.announces("1.1")
    event = REPEATED[what](in_beta(line))
    line.hears(event)
    once = line.state
    decision = line.hears(event)
    assert same(line.state, once)
    assert [e for e in decision.effects if not isinstance(e, Tell)] == []
    assert decision.reasons == ()


@pytest.mark.parametrize("what", [w for w in REPEATED if w not in ("observed", "time", "world")])
def test_rule_28_what_is_reported_of_a_deployment_long_over_changes_nothing(what: str):
    line = Line()
    line.announces("1.1")
    key = in_beta(line)
    line.deploys()
    before = line.state
    decision = line.hears(REPEATED[what](key))
    assert line.state == before
    assert decision.effects == ()


def test_rule_28_success_may_be_heard_before_the_start():
    line = Line()
    line.announces("1.1")
    key = in_beta(line)
    line.hears(DeploymentSucceeded(key=key))
    line.hears(DeploymentStarted(key=key, ref="late"))
    assert line.release("1.1").passed == ("beta",)


def test_rule_28_an_alarm_heard_twice_acts_once():
    line = Line()
    line.travels("1.0")
    line.passes(3 * HOUR)
    line.announces("1.1")
    line.deploys()
    red, at = AlarmState.ALARM, line.now
    report = AlarmReported(alarm="errors", key="k", alarm_state=red, observed_at=at, scope=PRODUCTION, started_at=at)
    line.hears(report)
    before = line.state
    line.hears(report)
    assert same(line.state, before)
    line.deploys()
    line.hears(replace(report, alarm_state=AlarmState.OK))
    line.hears(report)
    reading = line.state.reading("errors")
    assert reading is not None
    assert reading.firing == (), "the episode is over; it was only delivered late"


def test_rule_28_a_heartbeat_out_of_order_is_not_the_newest():
    line = Line()
    line.hears(HeartbeatHeard(alarm="errors", at=line.now))
    line.hears(HeartbeatHeard(alarm="errors", at=line.now - MINUTE))
    assert line.state.heartbeats == (("errors", line.now),)


def test_rule_28_a_test_that_ends_twice_ended_as_it_ended_first():
    line = Line(pipeline(stage("beta", tests=(StageTest(name="smoke", uses="command"),)), groups=(), alarms=()))
    line.announces("1.1")
    line.hears(DeploymentSucceeded(key=in_beta(line)))
    key = line.pending(RunStageTest)[0].key
    line.hears(StageTestReported(key=key, outcome=TestOutcome.PASSED))
    line.hears(StageTestReported(key=key, outcome=TestOutcome.FAILED))
    assert line.occupant("beta") == ("1.1", "baking")


def test_rule_28_a_timer_missed_while_down_fires_once():
    line = Line()
    line.hears(PauseRequested(by=EVE, reason="hold"))
    line.now += timedelta(days=5)
    line.hears(TimePassed())
    line.hears(TimePassed())
    assert len(line.said("pause_reminder")) == 1


def test_rule_28_the_same_event_decides_the_same():
    line, key = taken()
    event = DeploymentSucceeded(key=key)
    assert decide(line.state, event, line.world, line.now) == decide(line.state, event, line.world, line.now)


def test_rule_28_what_is_over_is_forgotten_when_nothing_names_it():
    line = Line(pipeline(stage("beta", bake=Bake(), watch=timedelta()), groups=(), alarms=()))
    for n in range(30):
        line.announces(f"1.{n}")
        line.deploys()
    assert len(line.state.releases) <= 8 + 4
    assert line.runs("beta") == "1.29"
    assert line.state.releases[0].version != "1.0"


# ---- 29: what is down ----


def test_rule_29_what_cannot_be_said_holds_nothing_up():
    line = Line()
    line.announces("1.1")
    for _ in range(3):
        line.effects = [e for e in line.effects if isinstance(e, StartDeployment)]
        line.deploys()
        line.passes(10 * MINUTE)
    assert line.release("1.1").status.kind == "completed", "no message was ever delivered"


def test_rule_29_messages_are_effects_that_depend_on_no_answer():
    line = Line()
    line.announces("1.1")
    decision = line.hears(PauseRequested(by=EVE, reason="hold"))
    assert {type(e).__name__ for e in decision.effects} == {"RefreshCard", "Tell"}
    assert len({e.key for e in decision.effects}) == len(decision.effects)
