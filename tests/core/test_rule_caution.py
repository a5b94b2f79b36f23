"""Rules 6 and 7, caution: defaults, bakes and watches."""

from __future__ import annotations

from datetime import timedelta

import yaml

from core.ports import AlarmState
from core.releases.definition import PipelineFile, build
from core.releases.events import (
    AlarmReported,
    HeartbeatHeard,
    TimePassed,
    WorldChanged,
)
from core.releases.pipeline import (
    Alarm,
    Bake,
    Batch,
    OnAlarm,
)
from core.releases.world import Outage
from tests.core.line import WORLD, Line, baking, in_other_world, one_stage, pipeline, stage

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


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


def test_rule_07_a_report_told_twice_counts_once():
    line = evidence(100)
    line.now += MINUTE
    counts(line, 60)
    counts(line, 60)
    assert baking(line).points == 60
    line.now += MINUTE
    counts(line, 30)
    assert baking(line).points == 90


def test_rule_07_what_was_seen_before_the_bake_is_no_evidence_for_it():
    line = evidence(100)
    line.hears(
        AlarmReported(alarm="canary", key="c", alarm_state=AlarmState.OK, observed_at=line.now - MINUTE, points=100)
    )
    assert baking(line).points == 0


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
    assert baking(line).credited == 6 * MINUTE
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
    assert baking(line).credited == 4 * MINUTE
    line.hears(TimePassed())
    assert baking(line).credited == 4 * MINUTE
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
    assert baking(line).credited == 5 * MINUTE, "four minutes nobody watched"
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
