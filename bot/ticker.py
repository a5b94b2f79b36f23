"""Wakes pipelines when they want to be woken, and keeps Andon's sign of life. It holds no truth: a column does.

Whoever wakes a pipeline first records that Andon is looking, because a bake counts no time in which it was not. The
engine knows the earliest wake-up, so it is met to the millisecond; a sweep over the column is the safety net, for what
another replica wrote and for what was missed. Waking twice is harmless: nothing has happened, and nothing follows.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from datetime import UTC, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from bot.engine import Engine, parts
from bot.lean import give_back
from core.errors import AndonError
from core.releases.events import TimePassed

log = logging.getLogger("andon.ticker")

BEAT_EVERY = timedelta(seconds=10)
SWEEP_EVERY = timedelta(seconds=30)
TRY_AGAIN_AFTER = timedelta(seconds=5)
BEATS_APART = timedelta(seconds=1)


class Ticker:
    """Time, for the engine."""

    def __init__(
        self, engine: Engine, *, beat_every: timedelta = BEAT_EVERY, sweep_every: timedelta = SWEEP_EVERY
    ) -> None:
        self._engine = engine
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )
        self.every(beat_every.total_seconds(), "beat", self.beat, everywhere=True)
        self.every(sweep_every.total_seconds(), "sweep", self.sweep, everywhere=True)

    def every(
        self, seconds: float, name: str, job: Callable[[], Awaitable[object]], *, everywhere: bool = False
    ) -> None:
        """Have something done again and again while `run` does; what it raises is logged, and it goes on.

        Once in each period however many replicas there are, unless it is to be done `everywhere`.
        """

        async def named() -> None:
            if everywhere or await self._engine.take_turn(name, timedelta(seconds=seconds)):
                await job()

        self._scheduler.add_job(named, "interval", seconds=seconds, id=name, name=name)

    async def run(self) -> None:
        """Wake whoever wants to be woken, until cancelled (or stopped dead, by whatever did it)."""
        self._scheduler.start()
        try:
            await self.wake(self._engine.pipelines(), whether_due_or_not=True)
            give_back()
            while self._engine.crash is None:
                self._engine.wakes_changed.clear()
                await self.tick()
                await self._engine.clock.wait(self._engine.next_wake(), self._engine.wakes_changed)
            raise self._engine.crash
        finally:
            self._scheduler.shutdown(wait=False)

    async def tick(self) -> None:
        """Wake what is due."""
        due = self._engine.take_due(self._engine.now())
        if due:
            await self.wake(due)

    async def sweep(self) -> None:
        """Wake what the column says is due."""
        now = self._engine.now()
        due = await self._engine.read(lambda transaction: transaction.due(now))
        if self._engine.is_shared:
            await self._engine.catch_up()
        elif due:
            # Memory did not know of these.
            await self._engine.refresh(due)
        if due:
            await self.wake(due)

    async def beat(self) -> None:
        """Record that Andon is looking, unless that was recorded just now."""
        seen = self._engine.world.observed_until
        if seen is None or not timedelta() <= self._engine.now() - seen < BEATS_APART:
            await self._engine.beat()

    async def wake(self, pipelines: Collection[str], *, whether_due_or_not: bool = False) -> None:
        """Record that Andon is looking, then let time pass for these; one that fails is reminded and stops no other.

        What is due is woken by one replica, the one that claims it.
        """
        for some in parts(tuple(pipelines)):
            await self._wake(some, whether_due_or_not=whether_due_or_not)

    async def _wake(self, names: Sequence[str], *, whether_due_or_not: bool) -> None:
        try:
            await self.beat()
            if not whether_due_or_not:
                names = tuple(await self._engine.claim_wakes(names))
        except AndonError as error:
            log.warning("nobody was woken: %s", error.message)
            self._remind(names)
            return
        woken = (self._engine.submit(name, TimePassed()) for name in names)
        outcomes = await asyncio.gather(*woken, return_exceptions=True)
        failed = [(n, e) for n, e in zip(names, outcomes, strict=True) if isinstance(e, BaseException)]
        for name, outcome in failed:
            log.error("%s could not be woken", name, exc_info=outcome)
        self._remind(tuple(name for name, _ in failed))

    def _remind(self, names: Iterable[str]) -> None:
        for name in names:
            self._engine.remind(name, self._engine.now() + TRY_AGAIN_AFTER)
