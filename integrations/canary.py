"""The HTTP canary: asks an address again and again, and says from a rolling window whether it is well.

A look that fails in whatever way is a bad look; only looks that were not made are unknown. The first episode of a
process that begins red has no start, because it may have begun before: that is for what was known to say.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import aiohttp

from core.errors import AndonError
from core.ports import AlarmState
from core.releases.parts import CanarySettings
from integrations.http_probe import Wanted, look

KEY = "canary"
"""Tells the canary's one alert from others of its alarm."""
MOST_IN_FLIGHT = 32
REPORT_AT_MOST_EVERY = timedelta(seconds=30)
log = logging.getLogger(__name__)


class CanaryConfig(CanarySettings):
    """What is asked, what is good enough, and what follows from it for looking and reporting."""

    @property
    def wanted(self) -> Wanted:
        """One look."""
        return Wanted(
            url=self.url,
            method=self.method,
            statuses=self.expect_status,
            text=self.expect_text or "",
            timeout=self.timeout,
        )

    @property
    def stale_after(self) -> timedelta:
        """How long a reading holds: three looks and what they may take, at least 3 s."""
        return max(3 * self.every + self.timeout, timedelta(seconds=3))

    @property
    def report_every(self) -> timedelta:
        """How often an unchanged reading is repeated; well before it is stale."""
        return min(10 * self.every, REPORT_AT_MOST_EVERY, self.stale_after / 2)


@dataclass(frozen=True, slots=True)
class Probe:
    """One look: when it was over, how long it took, and what was wrong, if anything."""

    at: datetime
    took: timedelta
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a window says. `points` are the looks in it; `success_rate` is in percent; None where there is no figure."""

    state: AlarmState
    points: int
    success_rate: float | None
    latency_p99: timedelta | None
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryReading:
    """What a canary reports; `points` are the looks since the last report that arrived."""

    state: AlarmState
    observed_at: datetime
    stale_after: timedelta
    points: int
    title: str
    """What the window says, as a sentence."""
    started_at: datetime | None = None
    key: str = KEY


def judge(probes: Iterable[Probe], config: CanaryConfig, now: datetime) -> Verdict:
    """What the looks of the last `window` say at `now`."""
    seen = [probe for probe in probes if now - config.window < probe.at <= now]
    if len(seen) < config.minimum:
        return Verdict(
            AlarmState.UNKNOWN, len(seen), None, None, f"only {len(seen)} of {config.minimum} looks needed were made"
        )
    bad = Counter(probe.reason for probe in seen if probe.reason)
    rate = 100 * (len(seen) - bad.total()) / len(seen)
    p99 = percentile([probe.took for probe in seen if not probe.reason], 99)
    wrong: list[str] = []
    if rate < config.success_rate:
        reason, _ = bad.most_common(1)[0]
        wrong.append(f"{bad.total()} of {len(seen)} looks failed: {reason}")
    if config.latency_p99 is not None and p99 is not None and p99 > config.latency_p99:
        wrong.append(f"p99 is {_milliseconds(p99)}, more than {_milliseconds(config.latency_p99)}")
    if wrong:
        return Verdict(AlarmState.ALARM, len(seen), rate, p99, "; ".join(wrong))
    fine = f"{rate:.4g} % of {len(seen)} looks are good" + (f", p99 {_milliseconds(p99)}" if p99 is not None else "")
    return Verdict(AlarmState.OK, len(seen), rate, p99, fine)


def percentile(values: Iterable[timedelta], percent: int) -> timedelta | None:
    """The nearest-rank percentile: a value that occurred; None of nothing."""
    ordered = sorted(values)
    return ordered[math.ceil(len(ordered) * percent / 100) - 1] if ordered else None


def next_tick(done: int, elapsed: float, every: float) -> int:
    """The number of the next look, `elapsed` seconds after the first, when `done` was the last; missed ones are not."""
    return max(done + 1, math.floor(elapsed / every) + 1)


def _milliseconds(span: timedelta) -> str:
    return f"{span / timedelta(milliseconds=1):.0f} ms"


class Canary:
    """Looks on schedule and reports: at once when the state changes, else every `report_every`.

    `report` may raise an AndonError; the reading is then reported again after the next look. The session is shared and
    stays open. `name` is for the log only.
    """

    def __init__(
        self,
        config: CanaryConfig,
        session: aiohttp.ClientSession,
        report: Callable[[CanaryReading], Awaitable[None]],
        *,
        clock: Callable[[], datetime],
        name: str = "canary",
        stale_after: timedelta | None = None,
    ) -> None:
        self._config, self._session, self._report, self._clock, self._name = config, session, report, clock, name
        self._stale_after = stale_after or config.stale_after
        self._report_every = min(config.report_every, self._stale_after / 2)
        self._probes: deque[Probe] = deque()
        self._unreported = 0
        self._reported: CanaryReading | None = None
        self._was_ok = False
        self._started_at: datetime | None = None
        self._told_of: datetime | None = None
        self._looked = asyncio.Event()

    async def run(self) -> None:
        """Look and report until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._report_on())
            loop = asyncio.get_running_loop()
            every, began, tick = self._config.every.total_seconds(), loop.time(), 0
            in_flight: set[asyncio.Task[None]] = set()
            while True:
                if len(in_flight) < MOST_IN_FLIGHT:
                    task = tasks.create_task(self._look())
                    in_flight.add(task)
                    task.add_done_callback(in_flight.discard)
                tick = next_tick(tick, loop.time() - began, every)
                await asyncio.sleep(began + tick * every - loop.time())
                self._looked.set()

    async def _look(self) -> None:
        answer = await look(self._session, self._config.wanted)
        self._probes.append(Probe(self._clock(), answer.took, answer.reason))
        self._unreported += 1
        self._looked.set()

    async def _report_on(self) -> None:
        while True:
            await self._looked.wait()
            self._looked.clear()
            reading = self._due(self._clock())
            if reading is None:
                continue
            try:
                await self._report(reading)
            except AndonError as error:
                log.warning("canary %s could not report %s: %s", self._name, reading.state, error)
                continue
            self._reported = reading
            if reading.state is not AlarmState.UNKNOWN:
                self._told_of = reading.started_at
            self._unreported -= reading.points

    def _due(self, now: datetime) -> CanaryReading | None:
        """The reading to report now, if one is due."""
        while self._probes and self._probes[0].at <= now - self._config.window:
            self._probes.popleft()
        verdict, last = judge(self._probes, self._config, now), self._reported
        if last is None and verdict.state is AlarmState.UNKNOWN:
            # What was known before this process looked stays known until it is stale.
            return None
        if verdict.state is AlarmState.OK:
            self._was_ok = True
        elif verdict.state is AlarmState.ALARM and self._was_ok:
            self._started_at, self._was_ok = now, False
        # An episode that could not be reported while it lasted is reported with its end [9].
        has_changed = last is None or verdict.state is not last.state or self._started_at != self._told_of
        if last is not None and not has_changed and now < last.observed_at + self._report_every:
            return None
        return CanaryReading(
            state=verdict.state,
            observed_at=now,
            stale_after=self._stale_after,
            # The core counts no points of a reading that knows nothing; they go with the next one.
            points=0 if verdict.state is AlarmState.UNKNOWN else self._unreported,
            title=verdict.sentence,
            started_at=None if verdict.state is AlarmState.UNKNOWN else self._started_at,
        )
