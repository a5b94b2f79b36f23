"""What time it is, and waiting for a time or for news: the one place that asks the machine's clock."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Protocol

LONGEST_WAIT = timedelta(minutes=1)
"""Waiters look again at least this often: a wall clock may have been set while they slept."""


class Clock(Protocol):
    """The time, and waiting."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC. May be asked on any thread."""

    async def wait(self, until: datetime | None, news: asyncio.Event) -> None:
        """Return at `until`, or as soon as `news` is set; may return early, never late."""

    async def sleep_until(self, at: datetime) -> None:
        """Return at this instant."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        return datetime.now(UTC)

    async def wait(self, until: datetime | None, news: asyncio.Event) -> None:
        """Return at `until`, after a minute, or as soon as `news` is set."""
        left = LONGEST_WAIT if until is None else min(until - self.now(), LONGEST_WAIT)
        if left <= timedelta():
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(left.total_seconds()):
                await news.wait()
        except TimeoutError:
            return

    async def sleep_until(self, at: datetime) -> None:
        """Return at this instant; a clock that was set back meanwhile is waited for."""
        never = asyncio.Event()
        while self.now() < at:
            await self.wait(at, never)


class FakeClock:
    """A clock that stands still until it is told to go on: for tests, and for stories told faster than they happen."""

    def __init__(self, now: datetime | None = None) -> None:
        self._now = now or datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
        self._moved: set[asyncio.Event] = set()

    def now(self) -> datetime:
        """The instant it was last moved to."""
        return self._now

    def advance(self, by: timedelta) -> None:
        """Go on by this much, and wake whoever waited for it."""
        assert by >= timedelta(), "time does not go back"
        self._now += by
        for moved in self._moved:
            moved.set()

    async def wait(self, until: datetime | None, news: asyncio.Event) -> None:
        """Return once the clock was moved to `until`, or as soon as `news` is set."""
        moved = asyncio.Event()
        self._moved.add(moved)
        try:
            while not news.is_set() and (until is None or self._now < until):
                moved.clear()
                await _first(news, moved)
        finally:
            self._moved.discard(moved)
        await asyncio.sleep(0)

    async def sleep_until(self, at: datetime) -> None:
        """Return once the clock was moved to this instant."""
        await self.wait(at, asyncio.Event())


async def _first(*waited: asyncio.Event) -> None:
    tasks = [asyncio.ensure_future(event.wait()) for event in waited]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
