"""Runs the canaries that definitions ask for, and brings their readings to the pipelines."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable

import aiohttp

from bot.engine import Engine
from core.releases.events import AlarmReported
from core.releases.pipeline import Alarm
from integrations.canary import KEY, Canary, CanaryConfig, CanaryReading

log = logging.getLogger("andon.canaries")

Name = tuple[str, str, str]
"""Pipeline, alarm, and the alarm's settings: another setting is another canary."""


class Canaries:
    """Keeps one task for each canary in force; `follow` starts and ends them as definitions change."""

    def __init__(
        self, engine: Engine, session: aiohttp.ClientSession, *, broke: Callable[[], None] = lambda: None
    ) -> None:
        """`broke` is called when a canary ends by a fault of ours: silence must not look like health."""
        self._engine = engine
        self._session = session
        self._broke = broke
        self._running: dict[Name, asyncio.Task[None]] = {}

    async def follow(self) -> None:
        """Run exactly the canaries of the definitions in force."""
        wanted = {
            (definition.id, alarm.name, alarm.settings): alarm
            for definition in self._engine.pipelines().with_canaries()
            for alarm in definition.alarms
            if alarm.source == "canary"
        }
        for name in self._running.keys() - wanted.keys():
            await _end(self._running.pop(name))
        for name, alarm in wanted.items():
            if name not in self._running:
                task = asyncio.create_task(self._canary(name[0], alarm).run(), name=f"canary {name[0]}/{name[1]}")
                task.add_done_callback(self._ended)
                self._running[name] = task

    async def close(self) -> None:
        """End all of them."""
        for task in self._running.values():
            await _end(task)
        self._running.clear()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (fault := task.exception()) is not None:
            log.error("%s ended", task.get_name(), exc_info=fault)
            self._broke()

    def _canary(self, pipeline: str, alarm: Alarm) -> Canary:
        async def report(reading: CanaryReading) -> None:
            await self._engine.submit(
                pipeline,
                AlarmReported(
                    alarm=alarm.name,
                    key=KEY,
                    alarm_state=reading.state,
                    observed_at=reading.observed_at,
                    scope=alarm.scope,
                    started_at=reading.started_at,
                    stale_after=reading.stale_after,
                    points=reading.points,
                    title=reading.title,
                    url=alarm.dashboard,
                    runbook=alarm.runbook,
                ),
            )

        config = CanaryConfig.model_validate(json.loads(alarm.settings))
        return Canary(
            config,
            self._session,
            report,
            clock=self._engine.now,
            name=f"{pipeline}/{alarm.name}",
            stale_after=alarm.stale_after,
        )


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
