"""Every step is judged as it is taken; how things stand afterwards is looked at in every so many of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from company.safety import standing, stepped
from company.tally import Tally
from core.releases.decide import Decision
from core.releases.events import Event
from core.releases.state import PipelineState
from core.releases.world import World

LOOK_EVERY = 16
"""Steps between two looks at how all releases stand; that costs as much as a decision itself."""


class Watching:
    """Looks for what must never be, in one life."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def step(
        self, before: PipelineState, event: Event, decision: Decision, world: World, now: datetime
    ) -> Iterator[str]:
        """What is unsafe about a step, one sentence each."""
        yield from stepped(before, event, decision, world, now)
        if self._tally.events % LOOK_EVERY == 0:
            yield from standing(decision.state, world, now)
