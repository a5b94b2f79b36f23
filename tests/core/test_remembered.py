"""What a pipeline remembers: bounded, shed once, and written anew only when something is to be forgotten."""

from __future__ import annotations

from datetime import timedelta

from core.ports import AlarmState
from core.releases.decide import next_wake
from core.releases.events import AlarmReported, PauseRequested, RollbackRequested, TimePassed
from core.releases.rollback import BAD_MARKS_KEPT
from tests.core.line import ANN, PRODUCTION, Line


def test_releases_that_nothing_names_are_forgotten_and_the_rest_is_left_as_it_is():
    line = Line()
    for number in range(16):
        line.travels(f"{number}")
        line.passes(timedelta(hours=2))
    remembered = line.state.releases
    assert len(remembered) < 16
    assert [r for r in remembered if r.version == "0"] == []
    line.hears(PauseRequested(by=ANN, reason="wait"))
    line.hears(TimePassed())
    assert line.state.releases is remembered, "nothing was to be forgotten, so nothing is written anew"


def test_what_may_not_be_forgotten_yet_is_shed_once_and_then_left_as_it_is():
    line = Line()
    line.hears(PauseRequested(by=ANN, reason="wait", scope_name="one-box"))
    for number in range(16):
        line.announces(f"{number}")
        line.deploys()
    remembered = line.state.releases
    assert len(remembered) == 16, "nothing runs in one-box yet, so none is older than what runs everywhere"
    assert remembered[0].changes == () != remembered[-1].changes
    line.hears(TimePassed())
    assert line.state.releases is remembered


def test_rule_15_what_is_bad_is_remembered_while_anything_could_bring_it_back():
    line = Line()
    line.travels("good")
    for number in range(BAD_MARKS_KEPT + 5):
        line.announces(f"{number}", fixes=tuple(f"{n}" for n in range(number)))
        line.deploys()
        line.hears(RollbackRequested(by=ANN, reason="slow", scope_name="beta"))
        line.deploys()
    assert len(line.state.bad) == BAD_MARKS_KEPT + 5, (
        "nothing newer has passed: what comes next may contain any of them"
    )
    line.travels("mended", fixes=tuple(f"{n}" for n in range(BAD_MARKS_KEPT + 5)))
    line.announces("last")
    line.deploys()
    line.hears(RollbackRequested(by=ANN, reason="slow", scope_name="beta"))
    line.deploys()
    assert len(line.state.bad) == BAD_MARKS_KEPT
    left = {mark.version for mark in line.state.bad}
    assert {release.version for release in line.state.releases} - {"good", "mended"} <= left


def test_an_undefined_silence_that_a_source_named_is_woken_for():
    line = Line()
    line.announces("1")
    soon = line.now + timedelta(minutes=5)
    line.hears(
        AlarmReported(
            alarm="errors",
            key="k",
            alarm_state=AlarmState.OK,
            observed_at=line.now,
            scope=PRODUCTION,
            stale_after=timedelta(minutes=5),
        )
    )
    assert next_wake(line.state, line.world, line.now) == soon
