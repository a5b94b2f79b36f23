"""A simulated service: lived through the real decisions, the same whenever it is lived again, watched at every step."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from company.hours import OFFICE, ZONES, office
from company.life import Habits, Life, Limit
from company.running import Company, live_all
from company.safety_readings import is_open_by_the_clock
from company.shapes import START, pipeline, plan, planned
from company.watching import Decide
from core.releases.calendar import Calendar, is_open
from core.releases.decide import Decision, decide
from core.releases.effects import StartDeployment
from core.releases.events import AlarmReported, DeploymentSucceeded, Event
from core.releases.state import PipelineState
from core.releases.world import World

SMALL = planned(pipeline("shop", (1, 3), is_approved=True), 6_000)
STORMY = Habits(
    bad_share=0.5,
    false_alarm_days=20,
    blind_days=30,
    pause_days=10,
    by_hand_days=20,
    flaky_share=0.1,
    fault_share=0.1,
)


GUARDED = replace(
    SMALL,
    pipeline=replace(SMALL.pipeline, groups=tuple(replace(g, windows=(OFFICE,)) for g in SMALL.pipeline.groups)),
    world=replace(SMALL.world, calendars={OFFICE: office("Australia/Sydney")}),
)
"""The same, and production is entered in the office hours of Sydney."""


def life(name: str = "1/0", habits: Habits = STORMY, decide: Decide = decide, deployments: int = 150) -> Life:
    return Life(name, SMALL, Limit(deployments=deployments), habits, decide)


def test_a_stormy_life_has_everything_in_it_and_no_violation():
    tally = life(deployments=400).run()
    assert (tally.deployments, tally.violations, tally.kept) == (400, 0, [])
    assert tally.back > 0
    assert tally.false_alarms > 0
    assert tally.asked > 0
    assert tally.rollbacks["automatic"] > 0
    assert tally.lead(50) > timedelta(hours=15).total_seconds(), "the bakes alone take longer"
    assert tally.bad_changes >= sum(tally.found.values()) > 0
    told = set(tally.faults)
    assert {"pause", "changed by hand", "monitoring down", "flaky test"} <= told
    assert len([kind for kind in told if kind.startswith("deployer")]) >= 5


def test_the_same_seed_is_the_same_life_and_another_is_another():
    once, again, other = life().run(), life().run(), life("2/0").run()
    assert once.as_json() == again.as_json()
    assert once.as_json() != other.as_json()


def test_the_numbers_of_a_seed_stay_what_they_were():
    """Written down: they may change only with the rules or with what is played, never with a machine or a Python."""
    tally = live_all(Company(seed=7, services=2, deployments=120), range(2))[1]
    found = (tally.deployments, tally.services, tally.violations, tally.events, tally.versions, tally.back)
    assert found == (120, 2, 0, 307, 4, 1)


def test_bad_changes_hurt_nobody_where_there_are_none():
    tally = life(habits=replace(STORMY, bad_share=0.0)).run()
    assert (tally.bad_changes, tally.reached, tally.customers_hit) == (0, 0, 0)


def test_changes_come_the_same_whatever_becomes_of_them():
    careful = Life("1/0", SMALL, Limit(changes=6), STORMY).run()
    calm = Life("1/0", SMALL, Limit(changes=6), replace(STORMY, fault_share=0.0, false_alarm_days=9_000)).run()
    assert careful.bad_changes == calm.bad_changes
    assert careful.versions >= 6


def test_services_of_a_company_differ_and_are_the_same_each_time():
    plans = [plan("1", n) for n in range(12)]
    assert plans == [plan("1", n) for n in range(12)]
    assert len({len(p.pipeline.stage_of) for p in plans}) > 1
    assert all(sum(p.customers.values()) > 0 for p in plans)


def test_services_keep_hours_and_quiet_weeks_and_begin_in_any_week():
    plans = [plan("1", n) for n in range(60)]
    zones = {p.world.calendars[OFFICE].zone for p in plans if p.world.calendars}
    assert zones == set(ZONES)
    assert any(p.world.freezes for p in plans)
    assert any(not p.world.freezes and not p.world.calendars for p in plans)
    assert len({p.start for p in plans}) > 20
    assert {p.start.weekday() for p in plans} == {0}


def test_a_life_through_hours_stops_and_overrides_has_no_violation():
    tally = Life("1/2", GUARDED, Limit(deployments=900), replace(STORMY, stop_days=20, pause_days=90)).run()
    assert (tally.deployments, tally.violations, tally.kept) == (900, 0, [])
    assert tally.faults["everything stopped"] > 0
    assert tally.faults["override"] > 0
    assert tally.lead(50) > timedelta(hours=30).total_seconds(), "nights and weekends are waited for"


@pytest.mark.parametrize("zone", ["Australia/Sydney", "America/Los_Angeles", "Europe/Berlin", "UTC"])
def test_hours_are_read_off_the_clock_as_the_core_reads_them(zone: str):
    calendar = office(zone)
    at = START
    for _ in range(4 * 24 * 366):
        at += timedelta(minutes=15)
        assert is_open_by_the_clock(calendar, at) == is_open(calendar, at), at


# ---- bugs that are put in, to see them counted ----


def deaf(state: PipelineState, event: Event, world: World, now: datetime) -> Decision:
    """An alarm turns nothing back."""
    if isinstance(event, AlarmReported):
        return Decision(state, (), "", ())
    return decide(state, event, world, now)


def hasty(state: PipelineState, event: Event, world: World, now: datetime) -> Decision:
    """Bakes are over at once."""
    line = state.definition
    short = tuple(replace(s, bake=replace(s.bake, duration=timedelta())) for s in line.stages)
    made = decide(replace(state, definition=replace(line, stages=short)), event, world, now)
    return replace(made, state=replace(made.state, definition=line))


def generous(state: PipelineState, event: Event, world: World, now: datetime) -> Decision:
    """Approvals are not waited for."""
    line = state.definition
    open_door = tuple(replace(g, approval=None) for g in line.groups)
    made = decide(replace(state, definition=replace(line, groups=open_door)), event, world, now)
    return replace(made, state=replace(made.state, definition=line))


def sleepless(state: PipelineState, event: Event, world: World, now: datetime) -> Decision:
    """Nobody keeps office hours."""
    always = {OFFICE: Calendar(OFFICE, "UTC", (), ())}
    return decide(state, event, replace(world, calendars=always), now)


def unstoppable(state: PipelineState, event: Event, world: World, now: datetime) -> Decision:
    """Nothing that is frozen is."""
    return decide(state, event, replace(world, freezes=()), now)


@pytest.mark.parametrize("broken", [sleepless, unstoppable])
def test_entering_outside_hours_or_in_a_freeze_is_counted(broken: Decide):
    tally = Life("1/0", GUARDED, Limit(deployments=600), replace(STORMY, stop_days=2), broken).run()
    assert any("[22]" in sentence for sentence in tally.kept), tally.kept


def twice(state: PipelineState, event: Event, world: World, now: datetime) -> Decision:
    """Deployments are started twice, and the second does not know of the first."""
    made = decide(state, event, world, now)
    starts = tuple(replace(e, key=f"{e.key}b") for e in made.effects if isinstance(e, StartDeployment))
    return replace(made, effects=(*made.effects, *starts))


def forgetful(state: PipelineState, event: Event, world: World, now: datetime) -> Decision:
    """What arrived is not written down."""
    made = decide(state, event, world, now)
    return Decision(state, (), "", ()) if isinstance(event, DeploymentSucceeded) else made


@pytest.mark.parametrize(
    ("broken", "rule"), [(deaf, "[8]"), (hasty, "[7"), (generous, "[19]"), (twice, "[26]"), (forgetful, "[27]")]
)
def test_a_bug_in_the_core_is_counted_and_said(broken: Decide, rule: str):
    told = life(decide=broken, deployments=400)
    tally = told.run()
    assert tally.violations > 0
    assert any(rule in sentence for sentence in tally.kept), tally.kept
    assert tally.kept[0].startswith("1/0, day ")


def test_a_core_that_gives_up_ends_the_life():
    def broken(state: PipelineState, event: Event, world: World, now: datetime) -> Decision:
        if now > START + timedelta(hours=5):
            raise AssertionError("shop does not come to rest")
        return decide(state, event, world, now)

    tally = life(decide=broken).run()
    assert tally.violations == 1
    assert "does not come to rest" in tally.kept[0]
