"""Rules 8–10: what alarms turn, what was red before, and what is unknown."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from core.ports import AlarmState
from core.releases.effects import StartDeployment
from core.releases.events import (
    AlarmReported,
    DeploymentStarted,
    DeploymentSucceeded,
    HeartbeatHeard,
    LiftRequested,
    OverrideRequested,
    PauseRequested,
    PromoteRequested,
    RetryRequested,
    TimePassed,
)
from core.releases.pipeline import (
    SERVICE,
    Alarm,
    OnAlarm,
    Scope,
    ScopeKind,
)
from tests.core.line import ANN, CAROL, PRODUCTION, Line, baking, pipeline, stage

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


# ---- 8: alarms ----


def two_waves(*alarms: Alarm) -> Line:
    """gamma → wave-1 (a, b) → wave-2 (c); 1.0 is good everywhere, 1.1 bakes in wave-2 and wave-1 is watched."""
    line = Line(
        pipeline(
            stage("gamma"),
            stage("wave-1", "a", "b", after=("gamma",), group="production", is_production=True),
            stage("wave-2", "c", after=("wave-1",), group="production", is_production=True),
            alarms=alarms,
        )
    )
    line.travels("1.0")
    line.passes(2 * HOUR)
    line.announces("1.1")
    line.deploys()
    line.passes(20 * MINUTE)
    assert line.occupant("wave-2") == ("1.1", "baking")
    return line


@pytest.mark.parametrize(
    ("scope", "reacting"),
    [
        (Scope(ScopeKind.TARGET, "c"), {"wave-2"}),
        (Scope(ScopeKind.STAGE, "wave-2"), {"wave-2"}),
        (Scope(ScopeKind.TARGET, "b"), {"wave-1", "wave-2"}),
        (PRODUCTION, {"wave-1", "wave-2"}),
        (SERVICE, {"gamma", "wave-1", "wave-2"}),
        (Scope(ScopeKind.STAGE, "gamma"), {"gamma", "wave-2"}),
    ],
    ids=lambda given: str(given) if isinstance(given, Scope) else " and ".join(sorted(given)),
)
def test_rule_08_each_stage_in_the_scope_rolls_back_and_where_the_version_is_further_down(
    scope: Scope, reacting: set[str]
):
    line = two_waves(Alarm(name="errors", source="webhook", scope=scope, silence_is_ok=True))
    line.alarm(scope=scope)
    going = {s.name for s in line.state.stages if s.run is not None and s.run.phase.kind == "rolling_back"}
    assert going == reacting
    line.deploys()
    assert line.runs("c") == "1.0"
    assert (line.runs("a") == "1.0") == ("wave-1" in reacting)
    assert line.release("1.1").status.kind == "rolled_back"
    assert [m.version for m in line.state.bad] == ["1.1"]


def test_rule_08_an_alarm_nobody_defined_acts_by_its_scope():
    line = two_waves()
    line.alarm("something odd", scope=SERVICE)
    assert line.occupant("wave-2") == ("1.1", "rolling_back")


def test_rule_09_an_alarm_nobody_defined_holds_the_entries_it_speaks_of():
    line = two_waves()
    line.alarm("something odd", scope=Scope(ScopeKind.STAGE, "wave-2"))
    line.deploys()
    line.announces("1.2")
    line.deploys()
    line.passes(HOUR)
    assert "the alarm something odd is red for 1 h" in [r.sentence for r in line.why("1.2", "wave-2")]


def test_rule_08_an_alarm_over_nothing_acts_on_nothing():
    line = two_waves()
    line.alarm("something odd", scope=Scope(ScopeKind.STAGE, "elsewhere"))
    assert line.state.reading("something odd") is not None
    assert line.occupant("wave-2") == ("1.1", "baking")


def test_rule_08_during_the_deployment_it_stops_what_is_in_flight_first():
    line = Line()
    line.travels("1.0")
    line.passes(2 * HOUR)
    line.announces("1.1")
    line.deploys()
    line.now += 10 * MINUTE
    line.hears(TimePassed())
    assert line.occupant("wave-1") == ("1.1", "deploying")
    start = line.pending(StartDeployment)[0]
    line.effects.clear()
    line.hears(DeploymentStarted(key=start.key, ref="r"))
    line.alarm()
    assert line.occupant("wave-1") == ("1.1", "rolling_back")
    target = line.state.target("a")
    assert target.deployment is not None
    assert target.deployment.phase == "cancelling"
    assert [e for e in line.pending(StartDeployment) if e.stage == "wave-1"] == []
    line.deploys()
    assert [line.runs(t) for t in "abc"] == ["1.0", "1.0", "1.0"]


def in_beta() -> Line:
    """beta, which is left as it is in alarm, and wave-1; one alarm over the whole service."""
    return Line(
        pipeline(
            stage("beta", on_alarm=OnAlarm.STOP),
            stage("wave-1", after=("beta",)),
            groups=(),
            alarms=(Alarm(name="errors", source="webhook", scope=SERVICE, silence_is_ok=True),),
        )
    )


def stopped_in_beta() -> Line:
    line = in_beta()
    line.travels("1.0")
    line.passes(2 * HOUR)
    line.announces("1.1")
    line.deploys()
    line.alarm(scope=SERVICE)
    return line


def test_rule_08_in_beta_it_stops_and_is_left_as_it_is():
    line = stopped_in_beta()
    assert line.occupant("beta") == ("1.1", "stopped")
    assert line.runs("beta") == "1.1"
    assert any("for diagnosis" in reason for reason in line.reasons)


def test_rule_08_what_stopped_in_alarm_is_bad_until_it_is_lifted():
    line = stopped_in_beta()
    assert [(mark.version, mark.stage) for mark in line.state.bad] == [("1.1", "beta")]
    line.alarm(scope=SERVICE, is_red=False)
    refused = line.refuses(RetryRequested(by=ANN))
    assert "1.1 is bad: the alarm errors turned red" in refused
    assert "ask an owner to lift it" in refused
    assert "It is bad" in line.refuses(PromoteRequested(by=ANN))
    assert "an owner may lift it" in line.why("1.1")[0].who
    line.hears(LiftRequested(by=CAROL, version="1.1", reason="it was the network"))
    line.now += MINUTE
    line.alarm(scope=SERVICE)
    assert line.state.bad != (), "an alarm that turns again makes it bad again"
    line.alarm(scope=SERVICE, is_red=False)
    line.hears(LiftRequested(by=CAROL, version="1.1", reason="it was the network again"))
    line.hears(RetryRequested(by=ANN))
    assert line.occupant("beta") == ("1.1", "baking")


def test_rule_08_what_is_lifted_is_not_retried_while_the_alarm_is_red():
    line = stopped_in_beta()
    line.hears(LiftRequested(by=CAROL, version="1.1", reason="looked at"))
    assert "still red" in line.refuses(RetryRequested(by=ANN))


def test_rule_08_a_second_alarm_over_what_stopped_is_told():
    line = stopped_in_beta()
    line.alarm("latency", scope=SERVICE)
    assert line.occupant("beta") == ("1.1", "stopped")
    assert "latency turned red over beta too, where shop 1.1 stands still" in line.reasons[-1]


def test_rule_08_what_went_bad_in_beta_goes_back_further_down():
    scope = Scope(ScopeKind.STAGE, "beta")
    alarm = Alarm(name="errors", source="webhook", scope=scope, silence_is_ok=True)
    line = Line(
        pipeline(stage("beta", on_alarm=OnAlarm.STOP), stage("wave-1", after=("beta",)), groups=(), alarms=(alarm,))
    )
    line.travels("1.0")
    line.passes(3 * HOUR)
    line.announces("1.1")
    line.deploys()
    line.passes(11 * MINUTE)
    assert line.occupant("wave-1") == ("1.1", "baking"), "beta is only watched by now"
    line.alarm(scope=scope)
    assert line.occupant("wave-1") == ("1.1", "rolling_back")
    assert line.occupant("beta") == ("", "")
    assert line.state.stage("beta").watch is None
    assert [(mark.version, mark.stage) for mark in line.state.bad] == [("1.1", "beta")]
    line.deploys()
    assert (line.runs("beta"), line.runs("wave-1")) == ("1.1", "1.0")
    assert "it is bad from beta on" in line.said("went_bad")[0].sentence.replace("shop 1.1", "it")


def test_rule_08_what_waits_to_go_on_from_beta_is_bad_as_well():
    line = in_beta()
    line.travels("1.0")
    line.passes(3 * HOUR)
    line.hears(PauseRequested(by=ANN, scope_name="wave-1", reason="look"))
    line.announces("1.1")
    line.deploys()
    line.passes(11 * MINUTE)
    assert line.kinds("1.1") == ["paused"]
    line.alarm(scope=SERVICE)
    assert line.kinds("1.1") == ["bad", "paused", "alarm"]


def test_rule_08_a_fix_may_enter_where_its_forerunner_stopped_in_alarm():
    line = Line(
        pipeline(
            stage("beta", on_alarm=OnAlarm.STOP),
            stage("wave-1", after=("beta",)),
            groups=(),
            alarms=(Alarm(name="errors", source="webhook", scope=Scope(ScopeKind.STAGE, "beta"), silence_is_ok=True),),
        )
    )
    line.announces("1.1")
    line.deploys()
    line.alarm(scope=Scope(ScopeKind.STAGE, "beta"))
    line.announces("1.2")
    assert line.kinds("1.2") == ["bad", "alarm"]
    line.announces("1.3", fixes=("1.1",))
    line.deploys()
    assert line.occupant("beta") == ("1.3", "baking")
    assert line.kinds("1.3") == ["bake", "alarm"]
    line.alarm(scope=Scope(ScopeKind.STAGE, "beta"), is_red=False)
    line.passes(10 * MINUTE)
    assert line.release("1.3").passed == ("beta",)


# ---- 9: red before ----


def waiting_in_alarm() -> Line:
    line = Line()
    line.travels("1.0")
    line.passes(2 * HOUR)
    line.alarm()
    line.announces("1.1")
    line.deploys()
    return line


def test_rule_09_already_in_alarm_blocks_the_entry():
    line = waiting_in_alarm()
    assert line.kinds("1.1", "one-box") == ["alarm"]
    line.alarm(is_red=False)
    assert line.occupant("one-box") == ("1.1", "deploying")


def forced_in() -> Line:
    line = waiting_in_alarm()
    line.hears(OverrideRequested(by=CAROL, version="1.1", stage="one-box", reason="it mends it"))
    line.hears(OverrideRequested(by=ANN, version="1.1", stage="one-box", reason="yes"))
    line.deploys()
    return line


def test_rule_09_forced_in_only_what_turns_afterwards_counts_and_the_card_says_so():
    line = forced_in()
    assert line.occupant("one-box") == ("1.1", "baking")
    entered = line.said("entered")[-1].sentence
    assert "let in by override" in entered
    assert "errors was red before: only what turns red from now on counts" in entered
    line.alarm()
    assert line.occupant("one-box") == ("1.1", "baking"), "it was red before"
    line.alarm(is_red=False)
    line.now += MINUTE
    line.alarm()
    assert line.occupant("one-box") == ("1.1", "rolling_back"), "it has been ok since"


def test_rule_09_forced_in_the_old_alarm_does_not_hold_the_bake():
    line = forced_in()
    line.passes(10 * MINUTE)
    assert "one-box" in line.release("1.1").passed
    watch = line.state.stage("one-box").watch
    assert watch is not None
    assert watch.red_at_entry == ("errors",)
    line.hears(PauseRequested(by=ANN, reason="look"))
    line.alarm()
    line.alarm(is_red=False)
    watch = line.state.stage("one-box").watch
    assert watch is not None
    assert watch.red_at_entry == ()


def report(line: Line, alarm_state: AlarmState, started_at: datetime, key: str = "k") -> None:
    line.hears(
        AlarmReported(
            alarm="errors", key=key, alarm_state=alarm_state, observed_at=line.now, scope=PRODUCTION,
            started_at=started_at,
        )
    )  # fmt: skip


def test_rule_09_ok_alarm_ok_between_two_looks_counts():
    line = Line()
    line.travels("1.0")
    line.passes(2 * HOUR)
    line.announces("1.1")
    line.deploys()
    line.now += 2 * MINUTE
    report(line, AlarmState.OK, line.now - MINUTE)
    assert line.occupant("one-box") == ("1.1", "rolling_back")


def test_rule_09_an_episode_that_began_before_the_entry_says_nothing_about_it():
    line = Line()
    line.travels("1.0")
    line.passes(2 * HOUR)
    before = line.now
    line.now += 5 * MINUTE
    line.announces("1.1")
    line.deploys()
    line.now += MINUTE
    report(line, AlarmState.ALARM, before)
    assert line.occupant("one-box") == ("1.1", "baking"), "heard late"
    assert "alarm" in line.kinds("1.1"), "but the bake does not end while it is red"
    line.passes(10 * MINUTE)
    assert line.occupant("one-box") == ("1.1", "baking")
    report(line, AlarmState.OK, before)
    assert line.occupant("one-box") == ("", "")


def test_rule_09_an_old_episode_heard_late_leaves_a_watch_alone():
    line = Line()
    line.travels("1.0")
    began = line.now - 3 * HOUR
    report(line, AlarmState.ALARM, began)
    assert line.occupant("wave-1") == ("", "")


def test_rule_09_clocks_may_differ_a_little():
    line = Line()
    line.travels("1.0")
    line.passes(2 * HOUR)
    line.announces("1.1")
    line.deploys()
    report(line, AlarmState.ALARM, line.now - timedelta(seconds=4))
    assert line.occupant("one-box") == ("1.1", "rolling_back")


# ---- 9: the first release of all: nothing ran before it, so no alarm can have been about it yet ----


def test_rule_09_an_alarm_over_what_never_ran_does_not_stop_the_first_release():
    line = Line()
    line.announces("1.0")
    (beta,) = line.pending(StartDeployment)
    line.effects.clear()
    line.hears(DeploymentStarted(key=beta.key, ref="r"))
    line.hears(DeploymentSucceeded(key=beta.key))
    line.alarm()
    assert line.occupant("one-box") == ("1.0", "deploying")

    line.deploys()
    line.passes(20 * MINUTE)
    assert line.occupant("one-box") == ("1.0", "baking"), "nothing passes while its alarm is red"

    line.alarm(is_red=False)
    assert line.runs("one-box") == "1.0"
    assert "one-box" in line.release("1.0").passed, "its time and evidence are in"


def test_rule_09_once_it_has_been_ok_the_alarm_counts_like_any_other():
    line = Line()
    line.announces("1.0")
    line.alarm()
    line.deploys()
    line.passes(1)
    line.alarm(is_red=False)
    line.passes(1)
    line.alarm()
    assert line.occupant("one-box") == ("1.0", "stopped"), "there is no known good version to go back to"


# ---- 10: unknown ----


def watched_by(**alarm: object) -> Line:
    values: dict[str, object] = {"name": "errors", "source": "webhook", "scope": PRODUCTION}
    return Line(pipeline(alarms=(Alarm(**(values | alarm)),)))  # type: ignore[arg-type]


def test_rule_10_unknown_stops_the_clock_and_asks_people_once():
    line = watched_by()
    line.announces("1.1")
    line.deploys()
    line.passes(5 * MINUTE)
    assert line.occupant("one-box") == ("1.1", "baking")
    assert baking(line, "one-box").credited == timedelta()
    assert line.kinds("1.1") == ["bake", "unknown"]
    assert len(line.said("bake_asked")) == 1
    assert "its clock stands still: the alarm errors is unknown" in line.said("bake_asked")[0].sentence
    line.alarm(is_red=False)
    line.passes(9 * MINUTE)
    line.hears(AlarmReported(alarm="errors", key="", alarm_state=AlarmState.UNKNOWN, observed_at=line.now))
    line.passes(5 * HOUR)
    assert line.occupant("one-box") == ("1.1", "baking"), "it neither passes nor rolls back by itself"
    assert len(line.said("bake_asked")) == 1
    line.alarm(is_red=False)
    line.passes(MINUTE)
    assert "one-box" in line.release("1.1").passed


def test_rule_10_silence_is_ok_where_the_definition_says_so():
    line = watched_by(silence_is_ok=True)
    line.announces("1.1")
    line.deploys()
    line.passes(10 * MINUTE)
    assert "one-box" in line.release("1.1").passed


def test_rule_10_a_heartbeat_vouches_for_silence():
    line = watched_by(heartbeat=(("alertname", "Watchdog"),), stale_after=5 * MINUTE)
    line.announces("1.1")
    line.deploys()
    assert "unknown" in line.kinds("1.1")
    for _ in range(10):
        line.hears(HeartbeatHeard(alarm="errors", at=line.now))
        line.passes(MINUTE)
    assert "one-box" in line.release("1.1").passed


def test_rule_10_unknown_blocks_an_entry_where_something_runs():
    line = watched_by()
    line.announces("1.0")
    line.deploys()
    line.alarm(is_red=False)
    line.passes(10 * MINUTE)
    line.hears(AlarmReported(alarm="errors", key="", alarm_state=AlarmState.UNKNOWN, observed_at=line.now))
    line.announces("1.1")
    line.deploys()
    assert "unknown" in line.kinds("1.1", "one-box")


def test_rule_10_a_reading_grows_old():
    line = watched_by(stale_after=3 * MINUTE)
    line.announces("1.1")
    line.deploys()
    line.alarm(is_red=False)
    line.passes(10 * MINUTE)
    assert baking(line, "one-box").credited == 3 * MINUTE
    assert "unknown" in line.kinds("1.1")
