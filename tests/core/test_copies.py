"""Copies of frozen values: what `dataclasses.replace` makes, and nothing that was there before is touched."""

from __future__ import annotations

import dataclasses
import inspect
from datetime import timedelta

import pytest

from core.releases.copies import overwrite, quick, replace
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


def test_what_is_made_quickly_is_what_dataclasses_make():
    @quick
    @dataclasses.dataclass(frozen=True, slots=True)
    class Apple:
        colour: str
        weight: int = 100
        is_sweet: bool = dataclasses.field(default=True, kw_only=True)

        def __post_init__(self) -> None:
            assert self.weight > 0, "an apple weighs something"

    apple = Apple("red", is_sweet=False)
    assert (apple.colour, apple.weight, apple.is_sweet) == ("red", 100, False)
    assert apple == Apple(colour="red", weight=100, is_sweet=False)
    assert dataclasses.replace(apple, weight=7) == Apple("red", 7, is_sweet=False)
    assert str(inspect.signature(Apple)) == "(colour: 'str', weight: 'int' = 100, *, is_sweet: 'bool' = True) -> None"
    with pytest.raises(dataclasses.FrozenInstanceError):
        apple.weight = 8  # type: ignore[misc]
    with pytest.raises(TypeError, match=r"Apple\.__init__"):
        Apple()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="positional"):
        Apple("red", 1, True)  # type: ignore[call-arg]
    with pytest.raises(AssertionError, match="weighs something"):
        Apple("red", 0)


def test_a_default_that_is_made_anew_each_time_is_refused():
    @dataclasses.dataclass(frozen=True, slots=True)
    class Basket:
        apples: list[str] = dataclasses.field(default_factory=list)

    with pytest.raises(AssertionError, match="makes its own default"):
        quick(Basket)
