"""Duties: what one replica does for all of them, by a lease that it keeps while it lives.

A replica that has a PostgreSQL to share asks for each duty again and again; where it is alone (SQLite) it has them all.
A duty is given up when its lease could not be kept, before anybody else can have begun: for a moment nobody does it,
never two.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from bot.engine import Engine
from storage.errors import StorageError

log = logging.getLogger("andon.replicas")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How long a duty lasts without being kept, and how often it is asked for."""

    lease: timedelta = timedelta(seconds=20)
    every: timedelta = timedelta(seconds=5)


class Duty:
    """One of `names` is held by each replica that has a turn, so as many do it side by side as there are names.

    `follow` is called when it was got and whenever it was kept, `end` when it is lost.
    """

    def __init__(
        self,
        engine: Engine,
        names: Sequence[str],
        follow: Callable[[], Awaitable[None]],
        end: Callable[[], Awaitable[None]],
        terms: Terms = Terms(),
    ) -> None:
        self._engine = engine
        self._names = tuple(names)
        self._follow = follow
        self._end = end
        self._terms = terms
        self.held = ""
        """The name that is held; empty while it is not."""

    async def run(self) -> None:
        """Hold it whenever it is free, until cancelled; then it is left to the next one."""
        kept_at = time.monotonic()
        try:
            while True:
                asked_at = time.monotonic()
                try:
                    name = await self._ask()
                    kept_at = asked_at if name else kept_at
                    is_lost = not name
                except StorageError as error:
                    log.warning("duties cannot be kept now: %s", error.message)
                    name, is_lost = self.held, asked_at - kept_at > self._until_given_up()
                if self.held and is_lost:
                    log.warning("another replica takes over: %s", self.held)
                    self.held = ""
                    await self._end()
                elif name:
                    self.held = name
                    await self._follow()
                if not self._engine.is_shared:
                    await asyncio.Event().wait()
                await asyncio.sleep(self._terms.every.total_seconds())
        finally:
            if self.held:
                name, self.held = self.held, ""
                await self._end()
                try:
                    await self._engine.drop(name)
                except StorageError as error:
                    log.info("a duty is left to its lease: %s", error.message)

    def _until_given_up(self) -> float:
        return (self._terms.lease - self._terms.every).total_seconds()

    async def _ask(self) -> str:
        """The name that is ours for another lease; empty if none is."""
        for name in (self.held,) if self.held else self._names:
            if await self._engine.hold(name, self._terms.lease):
                return name
        return ""
