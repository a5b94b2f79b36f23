"""Rules 6–10, caution: defaults, bakes, watches, alarms, and what is unknown."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
import yaml

from core.ports import AlarmState
from core.releases.definition import PipelineFile, build
from core.releases.effects import StartDeployment
from core.releases.events import (
    AlarmReported,
    DeploymentStarted,
    HeartbeatHeard,
    OverrideRequested,
    PauseRequested,
    RetryRequested,
    TimePassed,
    WorldChanged,
)
from core.releases.pipeline import (
    SERVICE,
    Alarm,
    Bake,
    Batch,
    OnAlarm,
    Scope,
    ScopeKind,
)
from core.releases.state import Baking
from core.releases.world import Outage
from tests.core.line import ANN, CAROL, PRODUCTION, WORLD, Line, in_other_world, pipeline, stage

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def bake(line: Line, name: str = "beta") -> Baking:
    """The bake under way in a stage."""
    run = line.state.stage(name).run
    assert run is not None
    assert isinstance(run.phase, Baking)
    return run.phase


def one_stage(**more: object) -> Line:
    """A line of one stage that bakes for ten minutes, four times that at most."""
    values: dict[str, object] = {"alarms": (), "groups": ()}
    return Line(pipeline(stage("beta"), **(values | more)))


# ---- 6: the generated pipeline ----

SAYS_LITTLE = """
service: shop
team: shop
channel: "#shop"
deployer: {use: processes}
stages:
  - {name: beta, targets: [b]}
  - {name: gamma, targets: [g]}
  - {name: one-box, group: production, targets: [o]}
  - {name: wave-1, group: production, targets: [w1]}
  - {name: wave-2, group: production, targets: [w2, w3, w4]}
  - {name: wave-3, group: production, targets: [w5, w6]}
"""


def test_rule_06_a_file_that_says_little_gets_the_careful_line():
    made = build(PipelineFile.model_validate(yaml.safe_load(SAYS_LITTLE)))
    bakes = {s.name: s.bake.duration for s in made.stages}
    assert bakes == {
        "beta": timedelta(),
        "gamma": 15 * MINUTE,
        "one-box": HOUR,
        "wave-1": 12 * HOUR,
        "wave-2": 2 * HOUR,
        "wave-3": 2 * HOUR,
    }
    assert [s.after for s in made.stages] == [(), ("beta",), ("gamma",), ("one-box",), ("wave-1",), ("wave-2",)]
    assert [s.name for s in made.stages if s.is_production] == ["one-box", "wave-1", "wave-2", "wave-3"]
    assert [s.name for s in made.stages if s.is_one_box] == ["one-box"]
    assert [s.on_alarm for s in made.stages][:2] == [OnAlarm.STOP, OnAlarm.ROLLBACK]
    assert all(s.bake.ceiling == 4 * s.bake.duration for s in made.stages)
    assert {s.watch for s in made.stages} == {HOUR}
    assert {s.batch for s in made.stages} == {Batch(forward_percent=33, back_percent=33, healthy_percent=66)}
    assert (made.keep_good, made.rollback_guard, made.page_every, made.page_times) == (3, 2 * HOUR, 15 * MINUTE, 5)


def test_rule_06_and_that_line_takes_a_release_everywhere():
    line = Line(build(PipelineFile.model_validate(yaml.safe_load(SAYS_LITTLE))))
    line.announces("1.1")
    line.deploys()
    assert line.occupant("gamma") == ("1.1", "baking")
    line.passes(15 * MINUTE)
    assert line.occupant("one-box") == ("1.1", "baking")
    line.passes(HOUR)
    assert line.occupant("wave-1") == ("1.1", "baking")
    line.passes(12 * HOUR + 4 * HOUR)
    assert line.release("1.1").status.kind == "completed"


# ---- 7: bake and watch ----


def test_rule_07_a_bake_is_time():
    line = one_stage()
    line.announces("1.1")
    line.deploys()
    line.passes(10 * MINUTE - timedelta(seconds=1))
    assert line.occupant("beta") == ("1.1", "baking")
    line.passes(timedelta(seconds=1))
    assert line.release("1.1").passed == ("beta",)


def evidence(points: int) -> Line:
    alarm = Alarm(name="canary", source="canary", silence_is_ok=True, counts_as_evidence=True)
    line = Line(
        pipeline(
            stage("beta", bake=Bake(duration=10 * MINUTE, minimum_points=points, ceiling=40 * MINUTE)),
            groups=(),
            alarms=(alarm,),
        )
    )
    line.announces("1.1")
    line.deploys()
    return line


def counts(line: Line, points: int, alarm_state: AlarmState = AlarmState.OK, alarm: str = "canary") -> None:
    line.hears(AlarmReported(alarm=alarm, key="c", alarm_state=alarm_state, observed_at=line.now, points=points))


def test_rule_07_a_bake_is_evidence_as_well():
    line = evidence(100)
    line.passes(10 * MINUTE)
    assert line.kinds("1.1") == ["points"]
    counts(line, 60)
    counts(line, 10, alarm="another")
    counts(line, 10, AlarmState.UNKNOWN)
    assert "60 of 100" in line.why("1.1")[0].sentence
    line.now += MINUTE
    counts(line, 40)
    assert line.release("1.1").passed == ("beta",)


def test_rule_07_at_the_ceiling_people_are_asked_once():
    line = evidence(100)
    line.passes(39 * MINUTE)
    assert line.said("bake_asked") == []
    line.passes(MINUTE)
    told = line.said("bake_asked")
    assert len(told) == 1
    assert told[0].asks == ("on-call",)
    assert "100 data points are missing" in told[0].sentence
    line.passes(10 * HOUR)
    assert len(line.said("bake_asked")) == 1
    assert line.occupant("beta") == ("1.1", "baking"), "it neither passes nor rolls back by itself"


def test_rule_07_time_in_which_andon_was_down_is_no_bake_time():
    line = one_stage()
    line.announces("1.1")
    line.deploys()
    began = line.now
    line.world = in_other_world(
        WORLD,
        outages=(
            Outage(began + 2 * MINUTE, began + 5 * MINUTE),
            Outage(began - HOUR, began),
            Outage(began + 9 * MINUTE, began + 11 * MINUTE),
        ),
    )
    line.now = began + 10 * MINUTE
    line.hears(WorldChanged())
    assert bake(line).credited == 6 * MINUTE
    line.passes(5 * MINUTE - timedelta(seconds=1))
    assert line.occupant("beta") == ("1.1", "baking")
    line.passes(timedelta(seconds=1))
    assert line.release("1.1").passed == ("beta",)


def test_rule_07_nothing_is_credited_beyond_the_last_sign_of_life():
    line = one_stage()
    line.announces("1.1")
    line.deploys()
    began = line.now
    line.world = in_other_world(WORLD, observed_until=began + 4 * MINUTE)
    line.now = began + 20 * MINUTE
    line.hears(TimePassed())
    assert bake(line).credited == 4 * MINUTE
    line.hears(TimePassed())
    assert bake(line).credited == 4 * MINUTE
    line.world = WORLD
    line.hears(TimePassed())
    assert line.release("1.1").passed == ("beta",)


def test_rule_07_time_in_which_an_alarm_was_blind_is_no_bake_time():
    alarm = Alarm(name="errors", source="alertmanager", heartbeat=(("alertname", "Watchdog"),), stale_after=5 * MINUTE)
    line = Line(pipeline(stage("beta"), groups=(), alarms=(alarm,)))
    line.hears(HeartbeatHeard(alarm="errors", at=line.now))
    line.announces("1.1")
    line.deploys()
    line.now += 9 * MINUTE
    line.hears(HeartbeatHeard(alarm="errors", at=line.now))
    assert bake(line).credited == 5 * MINUTE, "four minutes nobody watched"
    line.now += 5 * MINUTE
    line.hears(TimePassed())
    assert line.occupant("beta") == ("1.1", "baking"), "ten minutes, but the last word is five minutes old"
    line.hears(HeartbeatHeard(alarm="errors", at=line.now))
    assert line.release("1.1").passed == ("beta",)


def test_rule_07_the_watch_after_the_bake_can_still_roll_back():
    line = Line()
    line.travels("1.0")
    line.passes(HOUR)
    line.travels("1.1")
    assert line.state.stage("wave-1").watch is not None
    line.passes(59 * MINUTE)
    line.alarm()
    assert line.occupant("wave-1") == ("1.1", "rolling_back")
    line.deploys()
    assert line.runs("a") == "1.0"
    assert line.release("1.1").status.kind == "rolled_back"


def test_rule_07_after_the_watch_an_alarm_rolls_nothing_back():
    line = Line()
    line.travels("1.0")
    line.travels("1.1")
    line.passes(HOUR)
    assert line.state.stage("wave-1").watch is None
    line.alarm()
    assert line.occupant("wave-1") == ("", "")
    assert "Nothing is being deployed, baking or watched in the group production" in line.reasons[-1]


def test_rule_07_the_next_entry_ends_the_watch():
    line = Line()
    line.travels("1.0")
    line.announces("1.1")
    line.deploys()
    assert line.occupant("one-box") == ("1.1", "baking")
    assert line.state.stage("one-box").watch is None
    assert line.state.stage("wave-1").watch is not None


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


def test_rule_08_in_beta_it_stops_and_is_left_as_it_is():
    line = Line(
        pipeline(
            stage("beta", on_alarm=OnAlarm.STOP),
            stage("wave-1", after=("beta",)),
            groups=(),
            alarms=(Alarm(name="errors", source="webhook", scope=SERVICE, silence_is_ok=True),),
        )
    )
    line.travels("1.0")
    line.passes(2 * HOUR)
    line.announces("1.1")
    line.deploys()
    line.alarm(scope=SERVICE)
    assert line.occupant("beta") == ("1.1", "stopped")
    assert line.runs("beta") == "1.1"
    assert "for diagnosis" in line.reasons[-1] or any("for diagnosis" in r for r in line.reasons)
    assert "still red" in line.refuses(RetryRequested(by=ANN))
    line.alarm(scope=SERVICE, is_red=False)
    line.hears(RetryRequested(by=ANN))
    assert line.occupant("beta") == ("1.1", "baking")


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
    assert line.kinds("1.2") == ["alarm"]
    line.announces("1.3", fixes=("1.1",))
    line.deploys()
    assert line.occupant("beta") == ("1.3", "baking")
    assert line.kinds("1.3") == ["bake", "alarm"]
    line.alarm(scope=Scope(ScopeKind.STAGE, "beta"), is_red=False)
    line.passes(10 * MINUTE)
    assert line.release("1.3").passed == ("beta",)


def test_rule_08_a_stage_in_beta_that_is_only_watched_does_nothing():
    line = Line(pipeline(stage("beta", on_alarm=OnAlarm.STOP), groups=(), alarms=()))
    line.travels("1.0")
    line.alarm(scope=SERVICE)
    assert line.occupant("beta") == ("", "")


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
    assert bake(line, "one-box").credited == timedelta()
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
    assert bake(line, "one-box").credited == 3 * MINUTE
    assert "unknown" in line.kinds("1.1")
