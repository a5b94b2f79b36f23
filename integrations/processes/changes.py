"""Waiting for a condition without asking the clock: whoever changes something says so, whoever waits looks again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Changes:
    """One bell for everything a supervisor's tasks share; all of them run on one event loop."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def notify(self) -> None:
        """Something changed: everybody who waits looks again."""
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    async def wait_until(self, condition: Callable[[], bool], timeout: float | None = None) -> bool:
        """Whether `condition` became true within `timeout` seconds (None: however long it takes)."""
        loop = asyncio.get_running_loop()
        until = None if timeout is None else loop.time() + timeout
        while not condition():
            left = None if until is None else until - loop.time()
            if left is not None and left <= 0:
                return False
            future: asyncio.Future[None] = loop.create_future()
            self._waiting.add(future)
            try:
                await asyncio.wait((future,), timeout=left)
            finally:
                self._waiting.discard(future)
        return True
