"""Rule 22 on a line: windows and freezes at the entry of stages, and what waited going on by itself, spaced out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.releases import gates
from core.releases.calendar import ALL_DAYS, Calendar, Span
from core.releases.decide import next_wake
from core.releases.events import PauseRequested, PromoteRequested, TimePassed, WorldChanged
from core.releases.pipeline import Group, Pipeline
from core.releases.why import moves_at, why
from core.releases.world import Freeze, World
from tests.core.line import ANN, BOB, EVE, START, WORLD, Line, in_other_world, pipeline

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
MOMENT = timedelta(microseconds=1)
EVERYTHING = Freeze("f1", START, None, "the bank is down", by=BOB)


def daily(since: str, until: str, name: str = "office", zone: str = "UTC") -> Calendar:
    return Calendar(name, zone, (Span(ALL_DAYS, time.fromisoformat(since), time.fromisoformat(until)),), ())


def with_window(*calendars: Calendar, **more: Any) -> Pipeline:
    """The usual pipeline, whose production has these windows; the line begins on a Monday at 09:00 UTC."""
    groups = (Group(name="production", windows=tuple(c.name for c in calendars)),)
    return pipeline(groups=groups, calendars=calendars, **more)


def waiting(definition: Pipeline, world: World = WORLD) -> Line:
    line = Line(definition, world)
    line.announces("1.1")
    line.deploys()
    return line


def frozen(*freezes: Freeze, **more: object) -> World:
    return in_other_world(WORLD, freezes=freezes, **more)


# ---- windows --------------------------------------------------------------------------------------------------------


def test_rule_22_outside_its_window_a_stage_is_not_entered_and_then_by_itself():
    line = waiting(with_window(daily("14:00", "16:00")))
    assert line.occupant("one-box") == ("", "")
    (reason,) = line.why("1.1")
    assert (reason.kind, reason.sentence) == ("window", "the window office is closed")
    assert (reason.who, reason.clears_at) == ("an owner: override", START + 5 * HOUR)
    (found,) = why(line.state, line.world, line.now)
    assert found.moves_at is not None
    assert timedelta(0) <= found.moves_at - (START + 5 * HOUR) < WORLD.spread
    line.passes(found.moves_at - MOMENT - line.now)
    assert line.occupant("one-box") == ("", "")
    line.passes(MOMENT)
    assert line.occupant("one-box")[0] == "1.1"


def test_rule_22_what_began_inside_its_window_may_finish():
    line = waiting(with_window(daily("08:00", "09:05")))
    assert line.occupant("one-box")[0] == "1.1"
    line.deploys()
    line.passes(30 * MINUTE)
    assert line.release("1.1").passed == ("beta", "one-box"), "the bake ran on"
    assert line.kinds("1.1") == ["window"], "but wave-1 is of the same group"


def test_rule_22_all_windows_must_be_open_and_deny_beats_allow():
    line = waiting(with_window(daily("10:00", "16:00"), daily("12:00", "13:00", "quiet")))
    assert line.kinds("1.1") == ["window", "window"]
    line.passes(2 * HOUR)
    assert line.kinds("1.1") == ["window"]
    line.passes(HOUR + WORLD.spread)
    assert line.occupant("one-box")[0] == "1.1"


def test_rule_22_a_window_nobody_knows_is_not_open():
    definition = pipeline(groups=(Group(name="production", windows=("office",)),))
    line = waiting(definition)
    (reason,) = line.why("1.1")
    assert "its window office is not known" in reason.sentence
    assert reason.clears_at is None
    assert next_wake(line.state, line.world, line.now) is None, "time alone does not mend it"
    line.world = in_other_world(WORLD, calendars={"office": daily("09:00", "10:00")})
    line.hears(WorldChanged())
    assert line.kinds("1.1") == ["turn"]


def test_rule_22_windows_that_are_never_open_together_say_when_each_opens_and_never_that_it_moves():
    line = waiting(with_window(daily("10:00", "12:00"), daily("12:00", "13:00", "quiet")))
    (found,) = why(line.state, line.world, line.now)
    assert [reason.clears_at for reason in found.reasons] == [START + HOUR, START + 3 * HOUR]
    assert found.moves_at is None
    assert next_wake(line.state, line.world, line.now) is None
    assert line.refuses(PromoteRequested(by=ANN)).endswith(
        "can clear it. That clears by itself at 2026-03-02 10:00 UTC."
    )


def test_rule_22_a_stage_without_a_window_is_not_woken_for_that_of_another():
    line = Line(with_window(daily("14:00", "16:00")))
    line.hears(PauseRequested(by=EVE, reason="look", duration=9 * HOUR))
    line.announces("1.1")
    assert line.occupant("beta") == ("", "")
    assert next_wake(line.state, line.world, line.now) == START + 9 * HOUR


def test_rule_22_a_move_that_takes_more_looks_than_may_be_is_not_promised():
    line = waiting(with_window(daily("14:00", "16:00")))
    asked = (line.state, line.release("1.1"), line.state.definition.by_name["one-box"], line.world, line.now)
    assert moves_at(*asked, looks=1) is None, "the window opens at 14:00, but then it is not its turn yet"
    assert moves_at(*asked, looks=3) == moves_at(*asked) is not None


def test_rule_22_a_rollback_is_never_held_by_a_window():
    line = Line(with_window(daily("08:00", "10:00")))
    line.travels("1.0")
    line.announces("1.1")
    line.deploys()
    line.passes(START + 65 * MINUTE - line.now)
    line.world = frozen(EVERYTHING)
    line.alarm()
    assert line.occupant("one-box") == ("1.1", "rolling_back")
    line.deploys()
    assert line.runs("one-box") == "1.0"


# ---- spaced out -----------------------------------------------------------------------------------------------------


def test_rule_22_pipelines_go_on_spaced_out_over_the_spread():
    definitions = [pipeline(id=f"shop/p{n}") for n in range(200)]
    turns = sorted(gates.turn_after(d, START, WORLD) - START for d in definitions)
    assert turns[0] >= timedelta(0)
    assert turns[-1] < WORLD.spread
    crowd = max(sum(t <= turn < t + 10 * timedelta(seconds=1) for turn in turns) for t in turns)
    assert crowd < 25, "not all at once"
    assert gates.turn_after(definitions[7], START, WORLD) == gates.turn_after(definitions[7], START, WORLD)


def test_rule_22_the_blocker_says_when_its_turn_comes_and_a_person_is_told_so():
    line = waiting(with_window(daily("14:00", "16:00")))
    line.passes(5 * HOUR)
    (reason,) = line.why("1.1")
    assert reason.kind == "turn"
    assert "what waited for the opening at 2026-03-02 14:00 UTC goes on spaced out" in reason.sentence
    assert f"It moves by itself at {reason.clears_at:%Y-%m-%d %H:%M} UTC." in line.refuses(PromoteRequested(by=ANN))


def test_rule_22_a_short_opening_is_no_trap():
    for name in ("shop", "cart", "search", "mail", "a", "b", "c", "d"):
        line = waiting(with_window(daily("14:00", "14:01"), id=name))
        line.passes(5 * HOUR + MINUTE)
        assert line.occupant("one-box")[0] == "1.1", name


def test_rule_22_a_company_may_let_all_go_at_once():
    line = waiting(with_window(daily("14:00", "16:00")), in_other_world(WORLD, spread=timedelta(0)))
    line.passes(5 * HOUR)
    assert line.occupant("one-box")[0] == "1.1"


# ---- freezes --------------------------------------------------------------------------------------------------------


def test_rule_22_a_freeze_of_everything_is_told_once_in_each_thread_and_lifted_in_words():
    line = waiting(pipeline(), frozen())
    assert line.occupant("one-box")[0] == "1.1"
    line.world = frozen(EVERYTHING)
    line.hears(WorldChanged(by=BOB))
    line.hears(TimePassed())
    (said,) = line.said("frozen")
    assert said.sentence.startswith("Bob froze everything: the bank is down. Nothing new is entered; ")
    line.deploys()
    line.passes(30 * MINUTE)
    assert line.release("1.1").passed == ("beta", "one-box"), "what is in flight finishes, bakes run on"
    (reason,) = line.why("1.1")
    assert reason.sentence == "Bob froze everything: the bank is down"
    assert reason.who == "an administrator: unfreeze; an owner: override"
    assert reason.clears_at is None
    line.world = frozen(replace(EVERYTHING, ends_at=line.now, lifted_by=ANN))
    line.hears(WorldChanged(by=ANN))
    (said,) = line.said("unfrozen")
    assert said.sentence.startswith("Ann lifted the freeze of everything. What waited goes on by itself, spaced out")
    assert line.kinds("1.1") == ["turn"]
    line.passes(WORLD.spread)
    assert line.occupant("wave-1")[0] == "1.1"


def test_rule_22_a_planned_freeze_is_told_when_it_begins_and_when_it_is_over():
    planned = Freeze("year-end", START + HOUR, START + 2 * HOUR, "closed")
    line = waiting(pipeline(), frozen(planned))
    line.hears(PauseRequested(by=EVE, reason="look", duration=3 * HOUR))
    line.passes(HOUR - MOMENT)
    assert line.said("frozen") == []
    line.passes(MOMENT)
    (said,) = line.said("frozen")
    assert said.sentence.startswith("The freeze year-end is on: closed until 2026-03-02 11:00 UTC.")
    line.passes(HOUR + WORLD.spread)
    (said,) = line.said("unfrozen")
    assert said.sentence.startswith("The freeze year-end is over.")


def test_rule_22_a_release_that_comes_during_a_freeze_is_told_and_not_of_its_past():
    line = Line(world=frozen(EVERYTHING))
    line.announces("1.0")
    assert [t.release for t in line.said("frozen")] == [line.release("1.0").id]
    line.world = frozen(replace(EVERYTHING, ends_at=line.now, lifted_by=BOB))
    line.now += HOUR
    line.announces("1.1")
    assert line.said("unfrozen") == []


@pytest.mark.parametrize(
    ("freeze", "holds"),
    [
        ({"teams": frozenset({"shop"})}, True),
        ({"teams": frozenset({"other"})}, False),
        ({"services": frozenset({"shop"}), "scopes": frozenset({"production"})}, True),
        ({"teams": frozenset({"shop"}), "scopes": frozenset({"wave-1"})}, False),
    ],
    ids=str,
)
def test_rule_22_a_freeze_of_a_team_or_a_part_holds_that(freeze: dict[str, Any], holds: bool):
    line = waiting(pipeline(), frozen(Freeze("f", START, None, **freeze)))
    assert ("frozen" in line.kinds("1.1")) is holds


def test_rule_22_a_freeze_of_others_wakes_nobody_here():
    line = waiting(pipeline(), frozen())
    line.hears(PauseRequested(by=EVE, reason="look", duration=9 * HOUR))
    before = next_wake(line.state, line.world, line.now)
    of_others = Freeze("f", START + MINUTE, START + 2 * MINUTE, teams=frozenset({"other"}))
    assert next_wake(line.state, frozen(of_others), line.now) == before
    assert next_wake(line.state, frozen(replace(of_others, teams=frozenset())), line.now) == START + MINUTE


def test_rule_22_when_the_freeze_ends_outside_the_window_it_waits_for_the_window():
    freeze = Freeze("f", START, START + 9 * HOUR, scopes=frozenset({"production"}))
    line = waiting(with_window(daily("14:00", "16:00")), frozen(freeze))
    assert line.kinds("1.1") == ["frozen", "window"]
    (found,) = why(line.state, line.world, line.now)
    assert found.moves_at is not None
    assert found.moves_at - WORLD.spread < START + 29 * HOUR <= found.moves_at, "the next day's window"


def test_rule_22_nothing_is_woken_for_gates_that_nobody_waits_at():
    line = Line(with_window(daily("14:00", "16:00")), frozen(EVERYTHING))
    assert next_wake(line.state, line.world, line.now) is None


# ---- "moves by itself at T" comes true at T -------------------------------------------------------------------------

hours = st.integers(0, 47).map(lambda n: time(n // 2, 30 * (n % 2)))
some_spans = st.builds(Span, st.frozensets(st.integers(0, 6), min_size=1).map(sorted).map(tuple), hours, hours)
some_calendars = st.builds(
    Calendar,
    st.sampled_from(["c1", "c2"]),
    st.sampled_from(["Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu"]),
    st.lists(some_spans, min_size=1, max_size=2).map(tuple),
    st.lists(some_spans, max_size=1).map(tuple),
)


@st.composite
def some_freezes(draw: st.DrawFn, since: datetime) -> Freeze:
    starts = since + draw(st.integers(-5, 60)) * HOUR
    return Freeze(f"f{draw(st.integers(0, 10**6))}", starts, starts + draw(st.integers(1, 3_000)) * MINUTE)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_rule_22_moves_by_itself_at_is_true_to_the_instant(data: st.DataObject):
    calendars = data.draw(st.lists(some_calendars, max_size=2, unique_by=lambda c: c.name))
    line = Line(with_window(*calendars, id=data.draw(st.sampled_from(["shop", "cart", "mail"]))))
    # Around the last Sunday of March and the first of April, when two of these clocks jump.
    line.now = datetime(2030, 3, 30, tzinfo=UTC) + data.draw(st.integers(0, 12 * 24)) * HOUR
    line.announces("1.1")
    freezes = tuple(data.draw(st.lists(some_freezes(line.now), max_size=3)))
    line.world = frozen(*freezes)
    if data.draw(st.booleans()):
        length = data.draw(st.integers(1, 9)) * HOUR
        line.hears(PauseRequested(by=EVE, reason="look", scope_name="one-box", duration=length))
    line.deploys()
    line.hears(TimePassed())
    found = next((f for f in why(line.state, line.world, line.now) if f.stage in ("beta", "one-box")), None)
    if found is None or found.doing:
        return
    if found.moves_at is None:
        stage = line.state.definition.by_name[found.stage]
        assert gates.opens_at(line.state.definition, stage, line.world, line.now) is None, found.reasons
        return
    line.passes(found.moves_at - line.now - MOMENT)
    assert line.occupant(found.stage) == ("", ""), "not before"
    line.deploys()
    line.passes(MOMENT)
    assert line.occupant(found.stage)[0] == "1.1" or found.stage in line.release("1.1").passed, "to the instant"
