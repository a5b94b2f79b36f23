"""Alarms from outside: stored first, then understood, then brought to the pipelines they speak of."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bot.engine import Engine
from core.errors import PermanentError
from core.ports import AlarmReport, AlarmSource
from core.releases.routes import Routes

log = logging.getLogger("andon.alarms")

KEPT_HEADERS = ("Content-Type", "User-Agent", "Date")
"""Of the headers only these are stored: what authenticates a request is nobody's business afterwards."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one delivery: how many alarms it spoke of, and how many matched a pipeline."""

    is_understood: bool
    alarms: int = 0
    matched: int = 0
    note: str = ""

    @property
    def facts(self) -> dict[str, Any]:
        """The answer to the sender."""
        return {"understood": self.is_understood, "alarms": self.alarms, "matched": self.matched, "note": self.note}


class AlarmsIn:
    """The way in for all alarm webhooks. `sources` are by name."""

    def __init__(self, engine: Engine, sources: Mapping[str, AlarmSource]) -> None:
        self._engine = engine
        self._sources = sources
        self._routes = Routes(lambda pipeline_id: engine.pipelines()[pipeline_id].definition)
        engine.follow_definitions(self._routes.put)

    async def take(self, name: str, headers: Mapping[str, str], body: bytes) -> Taken:
        """Store a delivery and act on it; durable before this returns. Raises PermanentError for an unknown source."""
        if name not in self._sources:
            raise PermanentError(f"There is no alarm source {name}; there are {', '.join(sorted(self._sources))}.")
        now = self._engine.now()
        kept = {k: headers[k] for k in KEPT_HEADERS if k in headers}
        # Equal bodies are no repeats: an alarm that fires again may look the same. What a repeat is, the core knows.
        number = await self._engine.run(lambda tx: tx.inbox.receive(name, kept, body, now))
        assert number is not None, "a delivery without a dedupe key is always stored"
        return await self._act(number, name, kept, body)

    async def resume(self, *, older_than: timedelta = timedelta()) -> int:
        """Act on what was stored but not acted on when the process ended; how many."""
        before = self._engine.now() - older_than
        waiting = [r for r in await self._engine.read(lambda tx: tx.inbox.waiting()) if r.received_at <= before]
        for received in waiting:
            await self._act(received.id, received.source, received.headers, received.body)
        return len(waiting)

    async def _act(self, number: int, name: str, headers: Mapping[str, str], body: bytes) -> Taken:
        try:
            reports = self._sources[name].parse(headers, body)
        except PermanentError as error:
            note = error.message
            await self._engine.run(lambda tx: tx.inbox.settle(number, "kept", note))
            log.warning("A delivery of %s was not understood and is kept as %d", name, number)
            return Taken(is_understood=False, note=note)
        # Side by side, so that a storm shares a few commits; in the order in which they were sent.
        matched = await asyncio.gather(*(self._bring(report) for report in reports))
        unmatched = [report for report, is_matched in zip(reports, matched, strict=True) if not is_matched]
        note = f"matches no pipeline: {', '.join(sorted({r.title for r in unmatched})[:5])}" if unmatched else ""
        state = "kept" if unmatched else "done"
        await self._engine.run(lambda tx: tx.inbox.settle(number, state, note))
        return Taken(is_understood=True, alarms=len(reports), matched=len(reports) - len(unmatched), note=note)

    async def _bring(self, report: AlarmReport) -> bool:
        routed = self._routes.route(report, self._engine.now())
        await asyncio.gather(*(self._engine.submit(to.pipeline_id, to.event) for to in routed))
        return bool(routed)
