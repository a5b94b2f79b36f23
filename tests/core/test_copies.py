"""Copies of frozen values: what `dataclasses.replace` makes, and nothing that was there before is touched."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from core.releases.copies import overwrite, replace
from core.releases.decide import decide
from core.releases.events import PauseRequested
from tests.core.line import ANN, Line


def test_a_copy_is_what_dataclasses_would_make():
    line = Line()
    line.travels("1")
    for value in (line.state, *line.state.targets, *line.state.releases, line.state.releases[0].status):
        assert replace(value) == value
        assert replace(value) is not value
    moved = replace(line.state.targets[0], is_mixed=True)
    assert moved == dataclasses.replace(line.state.targets[0], is_mixed=True)
    assert not line.state.targets[0].is_mixed


def test_a_field_that_does_not_exist_is_no_field():
    with pytest.raises(KeyError, match="colour"):
        replace(Line().state, colour="red")  # type: ignore[call-arg]


def test_only_a_copy_is_overwritten():
    state = Line().state
    copy = replace(state)
    overwrite(copy, "counter", 7)
    assert (state.counter, copy.counter) == (0, 7)


def test_a_decision_leaves_the_state_it_was_made_on_as_it_was():
    line = Line()
    line.announces("1")
    before, parts = dataclasses.replace(line.state), line.state.targets
    line.deploys(one_at_a_time=True)
    state = line.state
    decide(state, PauseRequested(by=ANN, reason="wait"), line.world, line.now + timedelta(minutes=1))
    assert (state.pauses, before.targets) == ((), parts)
