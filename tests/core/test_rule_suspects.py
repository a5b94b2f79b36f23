"""Rule 8, closely: what stands still or is half back in alarm, and which of several releases is suspected first."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from core.ports import TestOutcome
from core.releases.effects import RunStageTest, StartDeployment
from core.releases.events import (
    CancelRequested,
    DeploymentFailed,
    DeploymentSucceeded,
    PauseRequested,
    RetryRequested,
    RollbackRequested,
    StageTestReported,
)
from core.releases.pipeline import SERVICE, Bake, Batch, OnAlarm, StageTest
from tests.core.line import ANN, Line, pipeline, stage

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


# ---- what stands still, or goes back in part ----


def half_way(*, on_alarm: OnAlarm = OnAlarm.ROLLBACK, **more: object) -> Line:
    """wave-1 has four targets, two at a time: b runs 1.1, a failed and goes back to 1.0 alone."""
    batch = Batch(forward_percent=50, healthy_percent=50)
    line = Line(
        pipeline(
            stage("beta", bake=Bake(), watch=timedelta()),
            stage("wave-1", "a", "b", "c", "d", after=("beta",), batch=batch, on_alarm=on_alarm),
            groups=(),
            alarms=(),
            **more,
        )
    )
    line.travels("1.0")
    line.passes(3 * HOUR)
    line.announces("1.1")
    line.effects = [e for e in line.effects if not isinstance(e, StartDeployment)]
    line.hears(DeploymentSucceeded(key=key_of(line, "beta")))
    line.effects.clear()
    line.hears(DeploymentSucceeded(key=key_of(line, "b")))
    line.hears(DeploymentFailed(key=key_of(line, "a"), reason="it does not start"))
    line.hears(DeploymentFailed(key=key_of(line, "c"), reason="refused", nothing_begun=True))
    assert line.occupant("wave-1") == ("1.1", "rolling_back")
    return line


def key_of(line: Line, target: str) -> str:
    at = line.state.target(target).deployment
    assert at is not None
    return at.key


def test_rule_08_the_whole_stage_joins_one_target_that_goes_back_alone():
    line = half_way()
    line.alarm(scope=SERVICE)
    assert line.occupant("wave-1") == ("1.1", "rolling_back")
    line.deploys()
    assert [line.runs(t) for t in "abcd"] == ["1.0"] * 4
    assert line.release("1.1").status.kind == "rolled_back"
    assert line.state.pages == (), "it is one rollback, so nothing was within the guard"


def test_rule_14_neither_does_one_target_that_goes_back_alone_hold_up_a_person():
    line = half_way()
    line.hears(RollbackRequested(by=ANN, scope_name="wave-1", reason="all of it"))
    line.deploys()
    assert [line.runs(t) for t in "abcd"] == ["1.0"] * 4
    assert line.release("1.1").status.kind == "rolled_back"


def test_rule_08_what_stands_still_after_a_failed_target_goes_back_too():
    line = half_way()
    line.deploys()
    assert line.occupant("wave-1") == ("1.1", "stopped")
    assert line.runs("b") == "1.1"
    line.alarm(scope=SERVICE)
    line.deploys()
    assert [line.runs(t) for t in "abcd"] == ["1.0"] * 4
    assert line.occupant("wave-1") == ("", "")


def test_rule_08_where_the_rest_may_not_go_back_the_one_goes_on_and_people_are_paged():
    line = half_way()
    release = line.release("1.1")
    one_way = tuple(replace(r, is_one_way=True) if r.id == release.id else r for r in line.state.releases)
    line.state = replace(line.state, releases=one_way)
    line.alarm(scope=SERVICE)
    assert line.occupant("wave-1") == ("1.1", "rolling_back")
    assert any("1.1 is one-way" in page.reason for page in line.state.pages)
    line.deploys()
    assert line.occupant("wave-1") == ("1.1", "stopped")
    assert (line.runs("a"), line.runs("b")) == ("1.0", "1.1")


def test_rule_08_a_failed_test_that_stands_still_goes_back_in_alarm():
    test = StageTest(name="smoke", uses="command")
    line = Line(pipeline(stage("wave-1", tests=(test,)), groups=(), alarms=()))
    line.travels("1.0")
    line.passes(3 * HOUR)
    line.announces("1.1")
    line.hears(DeploymentSucceeded(key=key_of(line, "wave-1")))
    line.hears(StageTestReported(key=line.pending(RunStageTest)[-1].key, outcome=TestOutcome.FAILED))
    line.effects.clear()
    assert line.occupant("wave-1") == ("1.1", "stopped")
    line.alarm(scope=SERVICE)
    line.deploys()
    assert line.runs("wave-1") == "1.0"


def test_rule_08_what_was_cancelled_stays_as_people_left_it():
    line = half_way()
    line.effects.clear()
    line.hears(DeploymentSucceeded(key=key_of(line, "a")))
    line.hears(RetryRequested(by=ANN))
    line.hears(CancelRequested(by=ANN, version="1.1", reason="not today"))
    assert line.occupant("wave-1") == ("1.1", "stopped"), "until what is in flight has ended"
    line.alarm(scope=SERVICE)
    assert line.occupant("wave-1") == ("1.1", "stopped")
    assert line.state.bad == ()


# ---- the suspect first ----


def two_suspects(*, watch: timedelta = HOUR, younger: dict[str, object] | None = None, **more: object) -> Line:
    """1.1 is watched in wave-1 and 1.2 bakes in one-box: an alarm over production speaks of both."""
    line = Line(
        pipeline(
            stage("one-box", group="production", is_production=True, is_one_box=True),
            stage("wave-1", "a", "b", after=("one-box",), group="production", is_production=True, watch=watch),
            **more,
        )
    )
    line.travels("1.0")
    line.passes(3 * HOUR)
    line.travels("1.1")
    line.announces("1.2", **(younger or {}))  # type: ignore[arg-type]
    line.deploys()
    assert line.occupant("one-box") == ("1.2", "baking")
    return line


def spared(line: Line) -> tuple[str, ...]:
    watch = line.state.stage("wave-1").watch
    return watch.spared if watch is not None else ()


def test_rule_08_what_is_watched_is_spared_while_a_younger_release_goes_back():
    line = two_suspects()
    line.alarm()
    assert line.occupant("one-box") == ("1.2", "rolling_back")
    assert line.occupant("wave-1") == ("", "")
    assert spared(line) == ("errors",)
    told = line.said("spared")[0]
    assert told.release == line.release("1.1").id
    assert "1.1 stays in wave-1 for now: 1.2 is younger and goes back first" in told.sentence
    assert "If the alarm is still red 5 min after that, 1.1 goes back as well" in told.sentence
    line.deploys()
    line.alarm(is_red=False)
    line.passes(5 * MINUTE)
    assert spared(line) == ()
    assert "1.1 stays in wave-1" in line.said("spared")[-1].sentence
    assert [line.runs(t) for t in "ab"] == ["1.1", "1.1"]
    assert [mark.version for mark in line.state.bad] == ["1.2"]
    line.alarm()
    assert line.occupant("wave-1") == ("1.1", "rolling_back"), "it is watched still, and nothing younger is there"


def test_rule_08_still_red_when_alarms_had_time_to_settle_the_older_goes_back_too():
    line = two_suspects()
    line.alarm()
    line.deploys()
    line.passes(5 * MINUTE - timedelta(seconds=1))
    assert line.occupant("wave-1") == ("", "")
    line.passes(timedelta(seconds=1))
    assert "errors is still red 5 min after what is younger went back" in line.said("rolling_back")[-1].sentence
    line.deploys()
    assert [line.runs(t) for t in "ab"] == ["1.0", "1.0"]
    assert [mark.version for mark in line.state.bad] == ["1.2", "1.1"]


def test_rule_08_red_again_before_they_settled_the_older_goes_back_too():
    line = two_suspects()
    line.alarm()
    line.deploys()
    line.alarm(is_red=False)
    line.passes(4 * MINUTE)
    line.alarm()
    assert line.occupant("wave-1") == ("", "")
    line.passes(MINUTE)
    line.deploys()
    assert line.runs("a") == "1.0"


def test_rule_08_another_alarm_is_judged_with_the_first():
    line = two_suspects()
    line.alarm()
    line.deploys()
    line.alarm(is_red=False)
    line.passes(4 * MINUTE)
    line.alarm("latency", key="l")
    assert spared(line) == ("errors", "latency")
    line.passes(MINUTE)
    line.deploys()
    assert line.runs("a") == "1.0"


def test_rule_08_the_settling_begins_when_the_younger_is_back():
    line = two_suspects()
    line.alarm()
    line.effects.clear()
    line.passes(HOUR - MINUTE)
    assert line.occupant("one-box") == ("1.2", "rolling_back")
    assert spared(line) == ("errors",)
    line.hears(DeploymentSucceeded(key=key_of(line, "one-box")))
    line.passes(5 * MINUTE - timedelta(seconds=1))
    assert line.occupant("wave-1") == ("", "")
    line.passes(timedelta(seconds=1))
    assert line.runs("a") == "1.0"


def test_rule_08_a_watch_that_ends_meanwhile_is_judged_all_the_same():
    line = two_suspects(watch=2 * MINUTE)
    line.alarm()
    line.deploys()
    line.passes(4 * MINUTE)
    assert line.state.stage("wave-1").watch is not None
    line.passes(MINUTE)
    line.deploys()
    assert line.runs("a") == "1.0"


def test_rule_08_and_ends_when_it_is_judged_innocent():
    line = two_suspects(watch=2 * MINUTE)
    line.alarm()
    line.deploys()
    line.alarm(is_red=False)
    line.passes(5 * MINUTE)
    assert line.state.stage("wave-1").watch is None
    assert line.runs("a") == "1.1"


def test_rule_08_a_watch_that_was_over_when_it_turned_is_over():
    line = two_suspects(watch=2 * MINUTE)
    line.now += 2 * MINUTE
    line.alarm()
    line.deploys()
    line.passes(HOUR)
    assert line.runs("a") == "1.1"


def test_rule_08_where_the_younger_cannot_go_back_nothing_is_spared():
    line = two_suspects(younger={"is_one_way": True})
    line.alarm()
    assert line.occupant("one-box") == ("1.2", "stopped")
    assert line.occupant("wave-1") == ("1.1", "rolling_back")


def test_rule_08_a_rollback_that_failed_spares_no_longer_than_one_that_is_done():
    line = two_suspects()
    line.alarm()
    line.hears(DeploymentFailed(key=key_of(line, "one-box"), reason="no"))
    line.effects.clear()
    assert line.occupant("one-box") == ("1.2", "stopped")
    line.passes(5 * MINUTE)
    line.deploys()
    assert line.runs("a") == "1.0"


def test_rule_08_a_person_who_takes_the_younger_back_spares_the_older_too():
    line = two_suspects()
    line.hears(RollbackRequested(by=ANN, scope_name="one-box", reason="looks wrong"))
    line.alarm()
    assert spared(line) == ("errors",)


def test_rule_08_an_episode_older_than_the_younger_release_is_the_older_ones():
    line = two_suspects()
    entered = line.state.stage("one-box").run
    assert entered is not None
    line.now += 5 * MINUTE
    line.alarm(started_at=entered.entered_at - MINUTE, is_red=True)
    assert line.occupant("one-box") == ("1.2", "baking")
    assert line.occupant("wave-1") == ("1.1", "rolling_back")


def test_rule_08_of_two_that_are_watched_the_younger_goes_first():
    line = two_suspects()
    line.hears(PauseRequested(by=ANN, scope_name="wave-1", reason="look"))
    line.passes(10 * MINUTE)
    assert line.occupant("one-box") == ("", "")
    line.alarm()
    assert line.occupant("one-box") == ("1.2", "rolling_back")
    assert line.occupant("wave-1") == ("", "")
    assert spared(line) == ("errors",)


def test_rule_08_without_time_to_settle_the_older_follows_at_once():
    line = two_suspects(settle=timedelta())
    line.alarm()
    assert line.occupant("wave-1") == ("", "")
    line.hears(DeploymentSucceeded(key=key_of(line, "one-box")))
    assert line.occupant("wave-1") == ("1.1", "rolling_back")


def test_rule_08_a_fix_may_enter_elsewhere_while_they_settle():
    line = two_suspects()
    line.alarm()
    line.deploys()
    line.alarm(is_red=False)
    line.announces("1.3", fixes=("1.2",))
    line.deploys()
    assert line.occupant("one-box") == ("1.3", "baking")
    assert spared(line) == ("errors",)
    line.passes(5 * MINUTE)
    assert spared(line) == ()
