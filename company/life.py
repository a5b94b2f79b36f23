"""The life of one service: virtual time, the real `decide`, and everybody who makes something happen.

What happens is kept in one queue, by second. Nothing here decides anything about releases: it says to the core what the
world would say, does what the core asks for, and lets `watching` judge every step.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from company.chance import Chance
from company.customers import Customers
from company.outside import Outside
from company.people import People
from company.shapes import Plan
from company.tally import Tally
from company.watching import Decide, Watching
from core.errors import CommandRefused
from core.releases.decide import decide, new_pipeline, next_wake
from core.releases.effects import CancelDeployment, ObserveTarget, RunStageTest, StartDeployment, Tell
from core.releases.events import Event, TimePassed
from core.releases.state import Baking, PipelineState, RollingBack, Stopped

SECOND = timedelta(seconds=1)
DAY = 86_400
STILL = 180 * DAY
"""A service to which nothing was deployed for so long stands still for ever: versions come every few days."""


@dataclass(frozen=True, slots=True)
class Habits:
    """How often what goes wrong. Shares are of the things named; medians are seconds."""

    versions_a_week: float = 2.0
    bad_share: float = 0.1
    """Of the versions, those that bring in a bad change."""
    false_alarm_days: int = 60
    blind_days: int = 120
    """Between the times at which the monitoring itself is down."""
    pause_days: int = 45
    stop_days: int = 150
    """Between the times at which an administrator stops everything for a while."""
    override_share: float = 0.5
    """Of the versions that mend something and are held by hours or freezes, those that two people let through."""
    by_hand_days: int = 90
    """Between the times at which somebody changes a target outside Andon."""
    flaky_share: float = 0.01
    """Of the tests, those that fail or cannot tell for no reason of the version."""
    fault_share: float = 0.02
    """Of the deployments, those in which the deployer fails, is slow, or says things twice or late."""


USUAL = Habits()


@dataclass(frozen=True, slots=True)
class Limit:
    """When a life is over: after so many deployments, or a while after so many changes; 0 is no limit."""

    deployments: int = 0
    changes: int = 0


class Life:
    """One service, from its first version to its limit."""

    def __init__(self, name: str, plan: Plan, limit: Limit, habits: Habits = USUAL, decide: Decide = decide) -> None:
        """`name` seeds all chance of this life: the same name, plan and limit come to the same counts."""
        self.name = name
        self.plan = plan
        self.limit = limit
        self.habits = habits
        self.tally = Tally(services=1)
        self.state = new_pipeline(plan.pipeline)
        self.clock = 0
        self.start = self.now = plan.start
        self.world = plan.world
        self.moved_at = 0
        self.is_over = False
        self._decide = decide
        self._queue: list[tuple[int, int, Callable[..., object], tuple[object, ...]]] = []
        self._count = 0
        self._wake: int | None = None
        self._watching = Watching(self.tally, decide)
        self.outside = Outside(self, Chance(f"{name}/outside"))
        self.customers = Customers(self, Chance(f"{name}/customers"))
        self.people = People(self, Chance(f"{name}/people"), Chance(f"{name}/changes"))
        self._does: dict[type, Callable[[Any], None]] = {
            StartDeployment: self.outside.start,
            RunStageTest: self.outside.test,
            CancelDeployment: self.outside.cancel,
            ObserveTarget: self.outside.observe,
            Tell: self._is_told,
        }

    def run(self) -> Tally:
        """Live to the end; returns what it came to."""
        self.people.begin()
        self.customers.begin()
        self.outside.begin()
        while not self.is_over:
            self._next()
            if self.clock > self.moved_at + STILL:
                self.violated("nothing moves any more [25]")
                break
        self.customers.end()
        self.tally.virtual_seconds = self.clock
        return self.tally

    def _next(self) -> None:
        at = self._queue[0][0]
        if self._wake is not None and self._wake <= at:
            self._moves_to(self._wake)
            self.hears(TimePassed())
            return
        _, _, act, about = heapq.heappop(self._queue)
        self._moves_to(at)
        act(*about)

    def _moves_to(self, second: int) -> None:
        if second != self.clock:
            self.clock = second
            self.now = self.start + second * SECOND

    def later(self, seconds: int, act: Callable[..., object], *about: object) -> None:
        """Something happens in so many seconds."""
        self._count += 1
        heapq.heappush(self._queue, (self.clock + seconds, self._count, act, about))

    def violated(self, sentence: str) -> None:
        """Count something that must not be, with the place to look at."""
        self.tally.violated(f"{self.name}, day {self.clock // DAY}: {sentence}")

    # ---- deciding ---------------------------------------------------------------------------------------------------

    def hears(self, event: Event) -> bool:
        """Decide an event and do what follows; False if a person was refused."""
        before = self.state
        try:
            decision = self._decide(before, event, self.world, self.now)
        except CommandRefused:
            self.tally.faults["refused"] += 1
            return False
        except AssertionError as broken:
            self.violated(f"the core gave up on {type(event).__name__}: {broken}")
            self.is_over = True
            return False
        self.tally.events += 1
        for sentence in self._watching.step(before, event, decision, self.world, self.now):
            self.violated(sentence)
        after = self.state = decision.state
        wake = next_wake(after, self.world, self.now)
        self._wake = None if wake is None else -(-(wake - self.start) // SECOND)
        for effect in decision.effects:
            does = self._does.get(type(effect))
            if does is not None:
                does(effect)
        if before.stages is not after.stages:
            self._stages_moved(before, after)
        if before.releases is not after.releases:
            self._releases_moved(before, after)
        return True

    def _is_told(self, effect: Tell) -> None:
        if effect.topic == "approval_asked":
            self.people.asked(effect.subject)

    def _stages_moved(self, before: PipelineState, after: PipelineState) -> None:
        was = {s.name: s.run.phase if s.run else None for s in before.stages}
        for stage in after.stages:
            phase = stage.run.phase if stage.run else None
            old = was.get(stage.name)
            if phase is old or stage.run is None:
                continue
            if isinstance(phase, RollingBack) and not isinstance(old, RollingBack):
                self.tally.rollbacks["automatic" if phase.is_automatic else "by people"] += 1
            if isinstance(phase, Stopped) and not isinstance(old, Stopped):
                self.people.stands_still(stage.name, phase)
            if isinstance(phase, Baking) and not isinstance(old, Baking):
                self.customers.bakes(stage.name)

    def _releases_moved(self, before: PipelineState, after: PipelineState) -> None:
        was = {r.id: r.status for r in before.releases}
        for release in after.releases:
            if release.status is was.get(release.id):
                continue
            if release.status.kind == "completed":
                self.tally.lead_seconds.append(int((self.now - release.announced_at).total_seconds()))
            elif release.status.kind == "rolled_back":
                self.people.went_back(release.version)
