"""The process groups of this supervisor, and the warden that ends them should the supervisor be killed."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

_log = logging.getLogger(__name__)
_WARDEN = Path(__file__).with_name("warden.py")


class ProcessGroups:
    """Tells the warden which groups are alive; starts another warden should it be killed."""

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._warden: asyncio.subprocess.Process | None = None
        self._tending: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Start the warden."""
        self._warden = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", str(_WARDEN), stdin=asyncio.subprocess.PIPE, start_new_session=True
        )
        for group in self._groups:
            self._say("+", group)
        self._tending = asyncio.create_task(self._tend(self._warden))

    async def end(self) -> None:
        """Let the warden go; whatever is still noted is ended by it."""
        if self._tending is not None:
            self._tending.cancel()
        if self._warden is not None:
            assert self._warden.stdin is not None
            self._warden.stdin.close()
            await self._warden.wait()
            self._warden = None

    def add(self, group: int) -> None:
        """A unit began; its processes are this group."""
        self._groups.add(group)
        self._say("+", group)

    def discard(self, group: int) -> None:
        """Nothing of this group is left."""
        self._groups.discard(group)
        self._say("-", group)

    @staticmethod
    def tell(group: int, what: signal.Signals) -> None:
        """Send a signal to whatever is left of a group."""
        try:
            os.killpg(group, what)
        except ProcessLookupError:
            return
        except PermissionError:
            # macOS says this of a group in which only zombies are left.
            return

    def _say(self, sign: str, group: int) -> None:
        if self._warden is not None and self._warden.stdin is not None:
            self._warden.stdin.write(f"{sign}{group}\n".encode())

    async def _tend(self, warden: asyncio.subprocess.Process) -> None:
        status = await warden.wait()
        _log.warning("the warden ended with status %s; another one begins", status)
        await self.begin()
