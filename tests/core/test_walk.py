"""Everything that can happen to small pipelines is safe, and nothing is ever stuck; and the walk can tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, time, timedelta
from typing import Any

import pytest

from core.errors import CommandRefused
from core.ports import AlarmState
from core.releases.calendar import ALL_DAYS, Calendar, Span
from core.releases.decide import Decision, decide, new_pipeline
from core.releases.events import (
    AlarmReported,
    Event,
    HeartbeatHeard,
    OverrideRequested,
    ResumeRequested,
    TimePassed,
)
from core.releases.pipeline import (
    ApprovalRule,
    Bake,
    Batch,
    Group,
    OnAlarm,
    Order,
    Pipeline,
    StageTest,
)
from core.releases.state import (
    AlarmReading,
    Baking,
    Deploying,
    PipelineState,
    RollingBack,
    StageRun,
    StageState,
    Stopped,
    TargetState,
    Watch,
)
from core.releases.state import (
    Testing as InTests,
)
from core.releases.world import World
from tests.core.line import START, pipeline, stage
from tests.core.walk import Walk, canonical, walk

TEN = timedelta(minutes=10)
BETA = stage("beta", bake=Bake(), on_alarm=OnAlarm.STOP, watch=timedelta())
WAVE = stage("wave-1", after=("beta",), group="production", is_production=True, watch=TEN)
UNWATCHED = replace(WAVE, watch=timedelta())
ALONE = replace(UNWATCHED, after=())
ALL_AT_ONCE = Batch(forward_percent=100, back_percent=100, healthy_percent=0)
PAIR = stage("wave-1", "a", "b", watch=timedelta(), batch=ALL_AT_ONCE)
ONE_BOX = stage("one-box", after=("beta",), group="production", is_production=True, is_one_box=True, watch=timedelta())
AFTER_ONE_BOX = replace(UNWATCHED, after=("one-box",))


# Shorter than a bake, and closed when the walk begins: what one release leaves, the next finds shut.
OFFICE = Calendar("office", "UTC", (Span(ALL_DAYS, time(10, 0), time(10, 8)),), ())
IN_WINDOW = replace(UNWATCHED, windows=("office",))


def small(*stages: object, **more: object) -> Pipeline:
    """A pipeline whose clocks are short, so that few moments need to be told apart."""
    values: dict[str, object] = {"page_times": 1, "rollback_guard": 2 * TEN, "override_expires": 2 * TEN}
    return pipeline(*stages, **(values | more))  # type: ignore[arg-type]


def approved(count: int) -> dict[str, object]:
    rule = ApprovalRule(count=count, by=("approvers",), expires=6 * TEN)
    return {"groups": (Group(name="production", approval=rule),)}


@dataclass(frozen=True)
class Trip:
    """One walk: over what, and what can happen on it."""

    definition: Pipeline
    more: dict[str, object] = field(default_factory=dict)
    phases: frozenset[str] = frozenset({"deploying", "baking", "rolling_back", "stopped"})

    def goes(self, **more: object) -> Walk:
        """Walk it."""
        return walk(self.definition, **(self.more | more))  # type: ignore[arg-type]


def people(*what: str) -> frozenset[str]:
    return frozenset(what)


FORWARD = frozenset({"deploying", "baking", "stopped"})
QUIET = FORWARD | {"rolling_back"}
TRIPS = {
    "alarms": Trip(small(BETA, WAVE)),
    "failures and what gets lost": Trip(small(BETA, UNWATCHED, alarms=()), {"with_failures": True}, QUIET),
    "failures and alarms": Trip(small(BETA, UNWATCHED), {"with_failures": True}),
    "failures, told when taken": Trip(small(ALONE), {"with_failures": True, "with_starts": True}),
    "unknown": Trip(small(BETA, WAVE), {"with_unknown": True}),
    "three releases in a queue": Trip(small(BETA, UNWATCHED, order=Order.QUEUE), {"versions": 3}),
    "a person picks": Trip(small(BETA, UNWATCHED, order=Order.MANUAL), {"with_people": people("promote")}),
    "pauses": Trip(small(BETA, UNWATCHED), {"with_people": people("pause")}),
    "approvals": Trip(small(BETA, WAVE, **approved(1)), {"with_people": people("reject")}),
    "two approvals": Trip(small(BETA, UNWATCHED, **approved(2)), {"with_people": people("second approver", "cancel")}),
    "overrides": Trip(
        small(BETA, ONE_BOX, AFTER_ONE_BOX, **approved(1)), {"versions": 1, "with_people": people("override")}, FORWARD
    ),
    "people roll back": Trip(small(BETA, WAVE), {"with_people": people("rollback")}),
    "people lift": Trip(small(BETA, WAVE), {"with_people": people("lift")}),
    "a group of two stages": Trip(small(BETA, ONE_BOX, AFTER_ONE_BOX)),
    "tests": Trip(
        small(replace(BETA, tests=(StageTest(name="smoke", uses="command"),)), UNWATCHED),
        {"with_people": people("cancel")},
        frozenset({"deploying", "testing", "baking", "rolling_back", "stopped"}),
    ),
    "two targets fail": Trip(small(PAIR, alarms=()), {"with_failures": True, "versions": 2}, QUIET),
    "changed by hand": Trip(small(ALONE), {"with_drift": True}),
    "a freeze of everything": Trip(small(ALONE), {"with_people": people("freeze")}),
    "a window": Trip(small(BETA, IN_WINDOW, calendars=(OFFICE,)), {"versions": 2}),
    "the suspect first": Trip(
        small(
            replace(ONE_BOX, after=(), bake=Bake(), watch=TEN),
            replace(AFTER_ONE_BOX, bake=Bake(), watch=2 * TEN),
            settle=TEN / 2,
        )
    ),
    "all at once": Trip(
        small(replace(ONE_BOX, after=(), bake=Bake()), AFTER_ONE_BOX, **approved(1)),
        {"with_unknown": True, "with_people": people("pause", "rollback")},
    ),
    "one-way": Trip(small(BETA, UNWATCHED), {"one_way": frozenset({"v2"})}),
}


@pytest.mark.parametrize("name", TRIPS)
def test_nothing_is_unsafe_and_nothing_is_ever_stuck(name: str):
    trip = TRIPS[name]
    found = trip.goes(limit=20_000)
    print(f"{name}: {found}")
    assert found.unsafe == []
    assert found.stuck == []
    assert found.seen_phases == trip.phases
    assert found.states > 50
    assert found.transitions > found.states


# ---- the walk can tell ----

Decide = Callable[[PipelineState, Event, World, datetime], Decision]


def asks_nobody(state: PipelineState, event: Event, world: World, now: datetime) -> Decision:
    """Approvals are dropped."""
    open_to_all = replace(state.definition, groups=(Group(name="production"),))
    decision = decide(replace(state, definition=open_to_all), event, world, now)
    return replace(decision, state=replace(decision.state, definition=state.definition))


def ignores_pauses(state: PipelineState, event: Event, world: World, now: datetime) -> Decision:
    if isinstance(event, ResumeRequested):
        return decide(state, event, world, now)
    decision = decide(replace(state, pauses=()), event, world, now)
    return replace(decision, state=replace(decision.state, pauses=(*state.pauses, *decision.state.pauses)))


def ignores_freezes(state: PipelineState, event: Event, world: World, now: datetime) -> Decision:
    return decide(state, event, replace(world, freezes=()), now)


def ignores_windows(state: PipelineState, event: Event, world: World, now: datetime) -> Decision:
    """The calendar is always open."""
    open_to_all = replace(state.definition, calendars=(replace(OFFICE, opens=()),))
    decision = decide(replace(state, definition=open_to_all), event, world, now)
    return replace(decision, state=replace(decision.state, definition=state.definition))


def loses_a_target(state: PipelineState, event: Event, world: World, now: datetime) -> Decision:
    """A deployment in flight is forgotten, so that another is started on top."""
    if isinstance(event, TimePassed):
        state = replace(state, targets=tuple(replace(t, deployment=None) for t in state.targets))
    return decide(state, event, world, now)


def hears_no_alarm(state: PipelineState, event: Event, world: World, now: datetime) -> Decision:
    """What is deployed goes on in alarm."""
    if isinstance(event, AlarmReported) and event.alarm_state is AlarmState.ALARM:
        event = HeartbeatHeard(alarm=event.alarm, at=event.observed_at)
    return decide(state, event, world, now)


def enters_in_alarm(state: PipelineState, event: Event, world: World, now: datetime) -> Decision:
    decision = decide(replace(state, alarms=()), event, world, now)
    return replace(decision, state=replace(decision.state, alarms=decision.state.alarms or state.alarms))


def forgets_what_is_bad(state: PipelineState, event: Event, world: World, now: datetime) -> Decision:
    decision = decide(state, event, world, now)
    return replace(decision, state=replace(decision.state, bad=()))


def forgets_the_guard(state: PipelineState, event: Event, world: World, now: datetime) -> Decision:
    decision = decide(
        replace(state, targets=tuple(replace(t, rolled_back_at=None) for t in state.targets)), event, world, now
    )
    before = {t.name: t.rolled_back_at for t in state.targets}
    kept = tuple(replace(t, rolled_back_at=t.rolled_back_at or before[t.name]) for t in decision.state.targets)
    return replace(decision, state=replace(decision.state, targets=kept))


def goes_back_to_the_oldest(state: PipelineState, event: Event, world: World, now: datetime) -> Decision:
    turned = replace(state, targets=tuple(replace(t, good=t.good[::-1]) for t in state.targets))
    decision = decide(turned, event, world, now)
    good = {t.name: t.good for t in state.targets}
    kept = tuple(
        replace(t, good=good[t.name] if set(t.good) == set(good[t.name]) else t.good) for t in decision.state.targets
    )
    return replace(decision, state=replace(decision.state, targets=kept))


def waits_for_the_pause_to_roll_back(state: PipelineState, event: Event, world: World, now: datetime) -> Decision:
    decision = decide(state, event, world, now)
    if state.pauses and any(s.run and isinstance(s.run.phase, RollingBack) for s in decision.state.stages):
        held = tuple(replace(t, deployment=None) for t in decision.state.targets)
        return replace(decision, state=replace(decision.state, targets=held), effects=())
    return decision


def skips_a_stage_by_override(state: PipelineState, event: Event, world: World, now: datetime) -> Decision:
    if isinstance(event, OverrideRequested):
        skipping = tuple(replace(r, passed=("beta", "one-box")) if r.is_live else r for r in state.releases)
        state = replace(state, releases=skipping)
    return decide(state, event, world, now)


def rolls_back_what_is_one_way(state: PipelineState, event: Event, world: World, now: datetime) -> Decision:
    both = replace(state, releases=tuple(replace(r, is_one_way=False) for r in state.releases))
    decision = decide(both, event, world, now)
    one_way = {r.id for r in state.releases if r.is_one_way}
    marked = tuple(replace(r, is_one_way=r.is_one_way or r.id in one_way) for r in decision.state.releases)
    return replace(decision, state=replace(decision.state, releases=marked))


def bakes_no_time(state: PipelineState, event: Event, world: World, now: datetime) -> Decision:
    hurried = tuple(
        replace(s, run=replace(s.run, phase=replace(s.run.phase, credited=timedelta(days=1))))
        if s.run and isinstance(s.run.phase, Baking)
        else s
        for s in state.stages
    )
    return decide(replace(state, stages=hurried), event, world, now)


def overtakes_what_bakes(state: PipelineState, event: Event, world: World, now: datetime) -> Decision:
    still = tuple(
        replace(s, run=replace(s.run, phase=Stopped(since=now, cause="alarm", reason="")))
        if s.run and isinstance(s.run.phase, Baking) and len(state.releases) > 1
        else s
        for s in state.stages
    )
    return decide(replace(state, stages=still), event, world, now)


THREE_GOOD = Trip(small(ALONE), {"versions": 4})

SEEDED: dict[str, tuple[Decide, Trip, str]] = {
    "approvals are dropped": (asks_nobody, TRIPS["approvals"], "[19]"),
    "pauses are ignored": (ignores_pauses, TRIPS["pauses"], "[21]"),
    "freezes are ignored": (ignores_freezes, TRIPS["a freeze of everything"], "[22]"),
    "windows are ignored": (ignores_windows, TRIPS["a window"], "[22]"),
    "a target is lost": (loses_a_target, TRIPS["alarms"], "[26]"),
    "it goes on in alarm": (hears_no_alarm, TRIPS["alarms"], "[8]"),
    "it enters in alarm": (enters_in_alarm, TRIPS["alarms"], "[9, 10]"),
    "bad versions are forgotten": (forgets_what_is_bad, TRIPS["people roll back"], "[15]"),
    "the guard is forgotten": (forgets_the_guard, TRIPS["people lift"], "[16]"),
    "it goes back to the oldest": (goes_back_to_the_oldest, THREE_GOOD, "[13]"),
    "a pause holds a rollback": (waits_for_the_pause_to_roll_back, TRIPS["pauses"], "[14]"),
    "an override skips a stage": (skips_a_stage_by_override, TRIPS["overrides"], "[7, 23]"),
    "one-way is rolled back": (rolls_back_what_is_one_way, TRIPS["one-way"], "[17]"),
    "no bake time is needed": (bakes_no_time, TRIPS["alarms"], "[7, 23]"),
    "what bakes is overtaken": (overtakes_what_bakes, TRIPS["alarms"], "[3]"),
}


@pytest.mark.parametrize("bug", SEEDED)
def test_the_walk_finds_a_seeded_bug(bug: str):
    decider, trip, rule = SEEDED[bug]
    found = trip.goes(decide=decider, stop_at=rule, limit=20_000)
    assert any(rule in problem for problem in found.unsafe), found


def test_the_walk_finds_what_is_stuck():
    def never_resumes(state: PipelineState, event: Event, world: World, now: datetime) -> Decision:
        if isinstance(event, ResumeRequested):
            raise CommandRefused("no")
        return decide(state, event, world, now)

    found = TRIPS["pauses"].goes(decide=never_resumes, versions=1)
    assert found.stuck
    assert "PauseRequested" in found.stuck[0]


# ---- telling states apart ----

TOLD_APART = {
    TargetState: {
        "stage",  # given by the name, as definitions do not change on a walk
        "drift",  # words for drift_digest
    },
    StageState: {"name"},
    Watch: {"entered_at"},
    StageRun: {
        "revision",
        "entered_at",  # only matters where alarms have starts
        "override",  # as a yes or no
        "reached",  # told only
    },
    Deploying: {"since"},
    InTests: {"since"},
    Baking: set(),
    Stopped: {"since", "reason"},
    RollingBack: {"since", "reason", "by"},
    AlarmReading: {
        "scope", "resolved", "since", "observed_at", "stale_after", "title", "url", "runbook",
    },
}  # fmt: skip
"""What `canonical` leaves out of each value; a field that is new must be put into one of the two."""

KEPT = {
    TargetState: {"name", "current", "good", "deployment", "is_mixed", "mixed_with", "drift_digest", "rolled_back_at"},
    StageState: {"run", "watch"},
    Watch: {"release", "until", "red_at_entry", "spared", "settles_at"},
    StageRun: {"release", "phase", "red_at_entry"},
    Deploying: {"failed", "kind"},
    InTests: {"tests", "kind"},
    Baking: {"since", "credited", "credited_until", "points", "asked", "kind"},
    Stopped: {"cause", "alarm", "kind"},
    RollingBack: {"is_automatic", "ends_in_stop", "plan", "kind"},
    AlarmReading: {"name", "firing", "is_unknown"},
}


@pytest.mark.parametrize("kind", KEPT, ids=lambda kind: kind.__name__)
def test_every_field_is_told_apart_or_left_out_on_purpose(kind: Any):
    assert set(kind.__dataclass_fields__) == TOLD_APART[kind] | KEPT[kind]


def test_the_same_later_is_the_same():
    early = new_pipeline(small(BETA, WAVE))
    assert canonical(early, START) == canonical(early, START + TEN)
