"""Keeps one place of a target filled with one version: begins its unit, watches it, begins it again."""

from __future__ import annotations

import asyncio
import logging

from core.errors import PermanentError
from integrations.processes.counts import TargetCounts
from integrations.processes.state import Version
from integrations.processes.unit import Host, Unit, UnitPlan
from integrations.processes.unit_log import LastWords, UnitLog

_log = logging.getLogger(__name__)

_STARTING_INTERVAL = 0.05
"""Seconds between two health checks of a unit that is starting."""
_MISSES_UNTIL_OUT = 3
_MISSES_UNTIL_RESTART = 10


class Keeper:
    """One place, one version. `crashes` counts what went wrong since `begin` or `forgive`."""

    def __init__(self, host: Host, plan: UnitPlan, log: UnitLog, counts: TargetCounts) -> None:
        self.plan = plan
        self.crashes = 0
        self.trouble = ""
        """Why the last unit ended, as a clause."""
        self.unit: Unit | None = None
        self._host = host
        self._log = log
        self._counts = counts
        self._words = self._listener()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def version(self) -> Version:
        """What is kept here."""
        return self.plan.version

    @property
    def is_serving(self) -> bool:
        """Whether its unit is healthy and takes requests."""
        return self.unit is not None and self.unit.is_serving

    def begin(self) -> None:
        """Start keeping."""
        self._task = asyncio.create_task(self._keep())

    def forgive(self) -> None:
        """Count crashes anew."""
        self.crashes = 0

    async def stop(self) -> None:
        """Drain the unit and end it; returns when nothing of it is left."""
        self._stopping.set()
        self._host.changes.notify()
        if self._task is not None:
            # Waits without owning: whoever is cancelled here must not cut the draining short.
            await asyncio.wait((self._task,))

    async def _keep(self) -> None:
        while not self._stopping.is_set():
            served_for = await self._one_life()
            if self._stopping.is_set():
                return
            if served_for >= self._host.timing.stable_after:
                self.crashes = 0
            self.crashes += 1
            self._counts.restarts += 1
            _log.warning("%s unit %s %s", self.plan.target, self.plan.place, self.trouble)
            self._host.changes.notify()
            pause = min(
                self._host.timing.backoff_most, self._host.timing.backoff_first * 2 ** min(self.crashes - 1, 20)
            )
            await self._host.changes.wait_until(self._stopping.is_set, pause)

    async def _one_life(self) -> float:
        """From begin to end of one unit; for how many seconds it served."""
        self._words = self._listener()
        try:
            unit = await Unit.begin(self._host, self.plan, self._log, self._words)
        except PermanentError as error:
            self.trouble = f"could not be started: {error.message}"
            return 0.0
        except OSError as error:
            self.trouble = f"could not be started: {error.strerror or error}"
            return 0.0
        loop = asyncio.get_running_loop()
        served_since = None
        self.unit = unit
        try:
            if await self._becomes_healthy(unit):
                served_since = loop.time()
                unit.is_serving = True
                self._host.changes.notify()
                await self._watch(unit)
            if self._stopping.is_set() and not await unit.drain():
                _log.warning(
                    "%s unit %s is stopped with %s requests in flight: they did not finish within %s s",
                    self.plan.target, self.plan.place, unit.in_flight, self._host.timing.drain_timeout,
                )  # fmt: skip
        finally:
            await unit.end()
            self.unit = None
        self.trouble = ": ".join(part for part in (self.trouble, self._words.sentence()) if part)
        return 0.0 if served_since is None else loop.time() - served_since

    def _listener(self) -> LastWords:
        # The target's environment may hold secrets, and a program may print them.
        return LastWords(hide=[value for value in self.plan.env.values() if len(value) >= 6])

    async def _becomes_healthy(self, unit: Unit) -> bool:
        timing = self._host.timing
        loop = asyncio.get_running_loop()
        until = loop.time() + timing.start_timeout
        healthy_since: float | None = None

        def is_over() -> bool:
            return self._stopping.is_set() or unit.has_exited

        while not is_over():
            is_healthy = await unit.is_healthy()
            now = loop.time()
            if is_over():
                break
            if not is_healthy:
                healthy_since = None
            elif healthy_since is None:
                healthy_since = now
            if healthy_since is not None and now - healthy_since >= timing.ready_for:
                return True
            if now >= until:
                self.trouble = f"was not healthy within {timing.start_timeout:g} s"
                return False
            pause = _STARTING_INTERVAL if healthy_since is None else min(_STARTING_INTERVAL, timing.ready_for)
            await self._host.changes.wait_until(is_over, pause)
        self.trouble = unit.ending
        return False

    async def _watch(self, unit: Unit) -> None:
        misses = 0
        while not await self._host.changes.wait_until(
            lambda: self._stopping.is_set() or unit.has_exited, self._host.timing.health_interval
        ):
            if await unit.is_healthy():
                misses = 0
                if not unit.is_serving and not unit.has_exited and not self._stopping.is_set():
                    unit.is_serving = True
                    self._host.changes.notify()
                continue
            misses += 1
            if misses == _MISSES_UNTIL_OUT:
                unit.is_serving = False
                self._host.changes.notify()
            if misses >= _MISSES_UNTIL_RESTART:
                self.trouble = f"stopped answering its health check ({misses} times)"
                return
        self.trouble = unit.ending
