"""One deployment on one target, batch by batch: new units come up first, old ones are drained after.

Because a batch's new units serve before its old ones leave, the target never serves with fewer units than it had.
The next batch begins when at least `healthy_percent` of the units serve, those not yet replaced aside that were
in trouble before. Whatever goes wrong, places not yet replaced keep what they had.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable

from core.ports import Outcome
from integrations.processes.changes import Changes
from integrations.processes.config import Timing
from integrations.processes.keeper import Keeper
from integrations.processes.state import Deployment
from integrations.processes.target import Target

Ending = tuple[Outcome, str]


class Rollout:
    """Brings `target` to what `deployment` wants; `run` returns how it ended."""

    def __init__(
        self,
        target: Target,
        deployment: Deployment,
        *,
        changes: Changes,
        timing: Timing,
        save: Callable[[], Awaitable[None]],
    ) -> None:
        self._target = target
        self._deployment = deployment
        self._order = deployment.order
        self._changes = changes
        self._timing = timing
        self._save = save
        self._until = math.inf

    async def run(self) -> Ending:
        """Until the target runs what is wanted, it fails, time is over, or somebody cancels it."""
        self._until = asyncio.get_running_loop().time() + self._order.timeout
        for keeper in self._replaced():
            keeper.forgive()
        self._count()
        if not self._waiting_places() and all(keeper.is_serving for keeper in self._replaced()):
            return Outcome.SUCCEEDED, "It ran already."
        while places := self._waiting_places()[: self._batch_size]:
            ending = await self._wait(self._may_go_on, self._replaced) or await self._replace(places)
            if ending is not None:
                return ending
        ending = await self._wait(lambda: all(keeper.is_serving for keeper in self._replaced()), self._replaced)
        return ending or (Outcome.SUCCEEDED, "")

    @property
    def _batch_size(self) -> int:
        return max(1, len(self._target.places) * self._order.batch_percent // 100)

    def _waiting_places(self) -> list[int]:
        """Places still to be replaced; those that do not serve come first."""
        places = self._target.places
        waiting = [place for place, version in enumerate(self._target.versions) if version != self._order.wanted]
        return sorted(waiting, key=lambda place: (keeper := places[place]) is not None and keeper.is_serving)

    def _replaced(self) -> list[Keeper]:
        return [keeper for keeper in self._target.places if keeper is not None and keeper.version == self._order.wanted]

    def _may_go_on(self) -> bool:
        needed = math.ceil(len(self._target.places) * self._order.healthy_percent / 100)
        return len(self._target.serving) >= needed or all(keeper.is_serving for keeper in self._replaced())

    async def _replace(self, places: list[int]) -> Ending | None:
        fresh = {place: self._target.keeper(place, self._order.wanted) for place in places}
        self._target.aside.update(fresh.values())
        try:
            for keeper in fresh.values():
                keeper.begin()
            ending = await self._wait(lambda: all(keeper.is_serving for keeper in fresh.values()), fresh.values)
            leaving = [] if ending is not None else self._target.swap(fresh)
        finally:
            # Also where the supervisor itself is stopped in the middle; what took a place is not among these.
            await self._target.dismiss(self._target.aside.intersection(fresh.values()))
        self._count()
        # Saved before the old ones go: after a crash here the new ones are begun, and none is missed.
        await self._save()
        await self._target.dismiss(leaving)
        return ending

    async def _wait(self, condition: Callable[[], bool], watched: Callable[[], Iterable[Keeper]]) -> Ending | None:
        """None when `condition` holds; how the deployment ended if something else came first."""

        def looping() -> Keeper | None:
            return next((keeper for keeper in watched() if keeper.crashes >= self._timing.crash_limit), None)

        left = self._until - asyncio.get_running_loop().time()
        await self._changes.wait_until(
            lambda: self._deployment.is_cancelled or condition() or looping() is not None, max(0.0, left)
        )
        if self._deployment.is_cancelled:
            return Outcome.CANCELLED, f"Stopped when asked to.{self._standing()}"
        if (keeper := looping()) is not None:
            name = f"Unit {keeper.plan.place} of {self._target.name}"
            return Outcome.FAILED, f"{name} {keeper.trouble} ({keeper.crashes} attempts).{self._standing()}"
        if condition():
            return None
        return Outcome.FAILED, f"It did not finish within {self._order.timeout:g} s.{self._standing()}"

    def _count(self) -> None:
        self._deployment.done_units = len(self._replaced())
        self._deployment.all_units = len(self._target.places)

    def _standing(self) -> str:
        self._count()
        done, all_units = self._deployment.done_units, self._deployment.all_units
        if done == 0:
            return " No unit was replaced; the old ones serve." if self._target.serving else " No unit was replaced."
        return f" {done} of {all_units} units run {self._order.wanted.version}."
