"""Keeps this replica up to date with what the others write: hears of it, reads it, and wakes what waits for it.

Nothing depends on being told: what is decided on is checked when it is written, and who claims an effect knows of which
version it is. News keep what people are shown fresh, and let a waiting replica wake at once. After a gap (at start, or
when the connection was lost) all versions are compared.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from bot.engine import Engine
from storage.errors import StorageError

if TYPE_CHECKING:
    # They bring PostgreSQL's driver: nine megabytes that whoever works on a file does without.
    from storage.listening import News
    from storage.shared import Shared

log = logging.getLogger("andon.replicas")

AGAIN_AFTER = 1.0
OTHERS_EFFECTS = timedelta(seconds=1)
TOGETHER = 0.05
"""Seconds after a look in which news gather for the next one: under load they are many, and one read serves all."""


class Listening:
    """One task that hears, and one that reads."""

    def __init__(self, engine: Engine, shared: Shared) -> None:
        self._engine = engine
        self._shared = shared
        self.hears = asyncio.Event()
        """Set while it is connected, and has caught up with what came before."""
        self._behind: dict[str, int] = {}
        self._is_world_behind = False
        self._waiting = asyncio.Event()
        self._at_rest = asyncio.Event()
        self._at_rest.set()

    async def run(self) -> None:
        """Listen until cancelled; a database that is away is asked again every second."""
        reading = asyncio.create_task(self._read(), name="read news")
        try:
            while True:
                try:
                    async with self._shared.listening() as news:
                        await self._engine.catch_up()
                        self._engine.look_for_effects()
                        self.hears.set()
                        async for heard in news:
                            self._hear(heard)
                except StorageError as error:
                    self.hears.clear()
                    log.warning("%s Trying again; decisions are checked against the database meanwhile.", error.message)
                    await asyncio.sleep(AGAIN_AFTER)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def settle(self) -> None:
        """Return when everything heard so far was read."""
        await self._at_rest.wait()

    def _hear(self, news: News) -> None:
        for name, version in news.pipelines.items():
            if version > max(self._engine.version(name), self._behind.get(name, 0)):
                self._behind[name] = version
        self._is_world_behind |= news.is_world
        if news.has_effects:
            # Whoever decided delivers it, as a rule; this is for what it has no room for.
            self._engine.look_for_effects(within=OTHERS_EFFECTS)
        if self._behind or self._is_world_behind:
            self._at_rest.clear()
            self._waiting.set()

    async def _read(self) -> None:
        while True:
            await self._waiting.wait()
            self._waiting.clear()
            behind, self._behind = self._behind, {}
            is_world, self._is_world_behind = self._is_world_behind, False
            try:
                await self._engine.catch_up(behind, is_world=is_world)
            except StorageError as error:
                # Reading everything, once the database is back, catches up with this too.
                log.warning("what other replicas wrote cannot be read now: %s", error.message)
            if not self._waiting.is_set():
                self._at_rest.set()
            await asyncio.sleep(TOGETHER)
