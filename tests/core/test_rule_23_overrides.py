"""Rule 23: an override goes through windows and freezes, by two people in production, and shows what it waits for."""

from __future__ import annotations

from datetime import timedelta

from core.releases.events import OverrideRequested, WorldChanged
from core.releases.why import why
from core.releases.world import Actor, Freeze
from tests.core.line import ANN, BOB, CAROL, EVE, START, WORLD, Line, in_other_world
from tests.core.test_rule_22_openings import daily, waiting, with_window

HOUR = timedelta(hours=1)


def override(by: Actor) -> OverrideRequested:
    return OverrideRequested(by=by, version="1.1", stage="one-box", reason="the fix")


def shut() -> Line:
    """Outside the window, and frozen by the company as well."""
    line = waiting(with_window(daily("14:00", "16:00")))
    line.world = in_other_world(WORLD, freezes=(Freeze("f", line.now, None, "fire", by=BOB),))
    line.hears(WorldChanged())
    assert line.kinds("1.1") == ["frozen", "window"]
    return line


def test_rule_23_two_people_go_through_freeze_and_window():
    line = shut()
    line.hears(override(CAROL))
    assert line.occupant("one-box") == ("", "")
    line.hears(override(ANN))
    assert line.occupant("one-box")[0] == "1.1"
    assert "It was let in by override." in line.said("entered")[-1].sentence


def test_rule_23_while_it_waits_for_its_second_person_it_is_said_so_and_not_in_force():
    line = shut()
    line.hears(override(CAROL))
    assert line.answer.startswith(
        "shop 1.1 does not enter one-box yet. It is in force when a second person of the team"
    )
    assert "Carol asks to override what keeps shop 1.1 out of one-box: the fix." in line.said("overridden")[0].sentence
    (half,) = [reason for reason in line.why("1.1") if reason.kind == "second"]
    assert half.sentence == "Carol's override (the fix) is not in force: it waits for a second person"
    assert half.who == "the team shop: override 1.1 one-box"
    line.hears(override(BOB))
    assert [reason for reason in line.why("1.1") if reason.kind == "second"] == []


def test_rule_23_half_an_override_delays_nothing():
    line = waiting(with_window(daily("14:00", "16:00")))
    (before,) = why(line.state, line.world, line.now)
    line.hears(override(CAROL))
    (after,) = why(line.state, line.world, line.now)
    assert after.moves_at == before.moves_at is not None
    line.passes(START + 5 * HOUR + line.world.spread - line.now)
    assert line.occupant("one-box")[0] == "1.1"


def test_rule_23_it_does_not_wait_for_its_turn_either():
    line = waiting(with_window(daily("14:00", "16:00")))
    line.passes(5 * HOUR)
    assert line.kinds("1.1") == ["turn"]
    line.hears(override(CAROL))
    line.hears(override(ANN))
    assert line.occupant("one-box")[0] == "1.1"


def test_rule_23_it_is_for_one_stage_the_next_is_frozen_still():
    line = shut()
    line.hears(override(CAROL))
    line.hears(override(ANN))
    line.deploys()
    line.passes(timedelta(minutes=30))
    assert line.release("1.1").passed == ("beta", "one-box")
    assert line.kinds("1.1", "wave-1") == ["frozen", "window"]


def test_rule_23_nobody_but_an_owner_begins_one_and_nobody_seconds_their_own():
    line = shut()
    for by in (ANN, EVE):
        assert "Only an owner of the team shop may override" in line.refuses(override(by))
    line.hears(override(CAROL))
    assert "A second person of the team must give the same command." in line.refuses(override(CAROL))
    assert "Only the team shop may second" in line.refuses(override(EVE))
    line.now += line.state.definition.override_expires
    line.hears(WorldChanged())
    assert line.state.overrides == ()
