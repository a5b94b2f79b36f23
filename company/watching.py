"""Every step is judged as it is taken; in every so many, how things stand afterwards, and it is decided once more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from company.safety import standing, stepped
from company.tally import Tally
from core.releases.decide import Decision
from core.releases.events import Event
from core.releases.rest import shaken
from core.releases.state import PipelineState
from core.releases.world import World

LOOK_EVERY = 16
"""Steps between two looks at how all releases stand; that costs as much as a decision itself."""


DECIDE_AGAIN_EVERY = 64
"""Steps between two that are decided a second time, with nothing taken as known: it must come to the same."""

Decide = Callable[[PipelineState, Event, World, datetime], Decision]


class Watching:
    """Looks for what must never be, in one life."""

    def __init__(self, tally: Tally, decide: Decide) -> None:
        self._tally = tally
        self._decide = decide

    def step(
        self, before: PipelineState, event: Event, decision: Decision, world: World, now: datetime
    ) -> Iterator[str]:
        """What is unsafe about a step, one sentence each."""
        yield from stepped(before, event, decision, world, now)
        if self._tally.events % LOOK_EVERY == 0:
            self._tally.looks += 1
            yield from standing(decision.state, world, now)
        if self._tally.events % DECIDE_AGAIN_EVERY == 0:
            self._tally.again += 1
            if decision != self._decide(shaken(before), event, world, now):
                yield "what was at rest was not: looked at whole it comes to something else"
