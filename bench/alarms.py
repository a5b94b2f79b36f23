"""From an alarm to its roll-back: the webhook in, the call to the deployer out, beside a floor that stores nothing.

    python -m bench.alarms [--quick] [--results FILE]

A thousand pipelines are live, each with a release that bakes in production. Alertmanager's message about one of them
comes in over HTTP; the time runs from when it should have been sent until the deployer is called for that service's
roll-back, in which the alarm is stored, understood, decided on, and state, event and effects are committed. First
alarms come alone, then five hundred at once. The bot (or the floor) has core 0; who sends and who is called, core 1.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from bench import figures, load, postgres, transitions, waiting
from bench.company import ALARM_TOKEN, BOT_TOKEN, SIGNING_SECRET, service
from bench.figures import Figure, alone, over
from bench.processes import LOAD_CORE, SERVER_CORE, Server, pin
from storage.journal import sqlite_url

GIVE_UP_AFTER: Final = 30.0
ROLLED_BACK: Final = "SELECT count(DISTINCT pipeline_id) FROM events WHERE kind = 'AlarmReported'"


@dataclass(frozen=True, slots=True)
class Plan:
    """How many rounds, pipelines, alarms alone and at once, and alone in a second."""

    rounds: int
    pipelines: int
    singles: int
    storm: int
    rate: float


FULL: Final = Plan(rounds=3, pipelines=1_000, singles=300, storm=500, rate=40)
QUICK: Final = Plan(rounds=1, pipelines=120, singles=40, storm=60, rate=20)


@dataclass(slots=True)
class Called:
    """The deployer that is called: when, for each service."""

    at: dict[str, float] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        """A start; only roll-backs count."""
        now = time.perf_counter()
        body = await request.json()
        if body["is_rollback"]:
            self.at.setdefault(body["target"].removesuffix("-live"), now)
            self.news.set()
        return web.json_response({})

    async def all_of(self, names: Sequence[str]) -> None:
        """Return when each of these services was called for."""
        async with asyncio.timeout(GIVE_UP_AFTER):
            while not all(name in self.at for name in names):
                self.news.clear()
                await self.news.wait()


@dataclass(frozen=True, slots=True)
class Taken:
    """Milliseconds from alarm to call: of those alone, and of those at once."""

    alone: Sequence[float]
    at_once: Sequence[float]


def message(port: int, name: str) -> bytes:
    """What Alertmanager sends of one firing alert."""
    labels = {"alertname": "Errors", "service": name, "severity": "page"}
    alert = {
        "status": "firing",
        "labels": labels,
        "annotations": {"summary": f"8 % of the requests to {name} fail", "runbook_url": "https://example.com/errors"},
        "startsAt": datetime.now(UTC).isoformat(),
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "https://example.com/graph",
        "fingerprint": f"{abs(hash(name)):016x}",
    }
    group = {"alertname": "Errors", "service": name}
    body = json.dumps(
        {
            "version": "4", "groupKey": f"{{}}:{{service={name}}}", "truncatedAlerts": 0, "status": "firing",
            "receiver": "andon", "groupLabels": group, "commonLabels": labels, "commonAnnotations": {},
            "externalURL": "https://example.com", "alerts": [alert],
        }
    ).encode()  # fmt: skip
    head = (
        f"POST /api/alarms/alertmanager HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {ALARM_TOKEN}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def measure(start: Callable[[str], Server], plan: Plan) -> Taken:
    """Send all alarms to one process, and wait for all calls. `start` is given the address to call."""
    called = Called()
    application = web.Application()
    application.router.add_post("/call", called.take)
    runner = web.AppRunner(application, access_log=None, handle_signals=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server = await asyncio.to_thread(start, f"http://127.0.0.1:{runner.addresses[0][1]}/call")
    try:
        await asyncio.to_thread(server.wait_until_quiet)
        connections = await load.connected(server.port, plan.storm)
        names = [service(number) for number in range(plan.singles + plan.storm)]
        first = await _alone(connections, names[: plan.singles], server.port, called, plan.rate)
        await asyncio.to_thread(server.wait_until_quiet)
        storm = await _at_once(connections, names[plan.singles :], server.port, called)
        for connection in connections:
            connection.close()
    finally:
        server.kill()
        await runner.cleanup()
    return Taken(first, storm)


async def _alone(
    connections: Sequence[load.Connection], names: Sequence[str], port: int, called: Called, rate: float
) -> list[float]:
    """At a constant rate, whatever becomes of them; milliseconds from when each should have been sent."""
    intended: dict[str, float] = {}
    answers: list[asyncio.Future[bytes]] = []
    begun = time.perf_counter() + 0.05
    for place, name in enumerate(names):
        raw, at = message(port, name), begun + place / rate
        await asyncio.sleep(max(0.0, at - time.perf_counter() - load.SPIN_SECONDS))
        while time.perf_counter() < at:  # noqa: ASYNC110 - see SPIN_SECONDS
            await asyncio.sleep(0)
        intended[name] = at
        answers.append(connections[place % len(connections)].ask(raw))
    return await _until_called(names, intended, answers, called)


async def _at_once(
    connections: Sequence[load.Connection], names: Sequence[str], port: int, called: Called
) -> list[float]:
    """All in one moment; milliseconds from that moment."""
    messages = [message(port, name) for name in names]
    begun = time.perf_counter()
    answers = [connection.ask(raw) for connection, raw in zip(connections, messages, strict=True)]
    return await _until_called(names, dict.fromkeys(names, begun), answers, called)


async def _until_called(
    names: Sequence[str], sent: dict[str, float], answers: Sequence[asyncio.Future[bytes]], called: Called
) -> list[float]:
    for answer in await asyncio.gather(*answers):
        if not answer.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"An alarm was not taken: {answer[:300]!r}")
    await called.all_of(names)
    return [(called.at[name] - sent[name]) * 1000 for name in names]


# ---- rounds ---------------------------------------------------------------------------------------------------------


class Bench:
    """One run: the floor, and ours on both databases."""

    def __init__(self, plan: Plan, folder: Path, server: postgres.Postgres, slack: Server) -> None:
        self.taken: dict[str, list[Taken]] = defaultdict(list)
        self._plan, self._folder, self._server, self._slack = plan, folder, server, slack
        self._prepared = folder / "prepared.db"
        waiting.fill(sqlite_url(self._prepared), plan.pipelines)
        self._prepared_url = server.fresh()
        waiting.fill(self._prepared_url, plan.pipelines)

    def round(self) -> None:
        """Each in its turn."""
        self.taken["floor"].append(asyncio.run(measure(self._floor, self._plan)))
        with self._file() as url:
            self._ours("SQLite", url)
        url = self._server.fresh(like=self._prepared_url)
        self._ours("PostgreSQL", url)
        self._server.drop(url)

    def _floor(self, address: str) -> Server:
        words = ["-m", "bench.servers", "floor"]
        return Server(words, {"ANDON_BENCH_CALL": address}, self._folder / "floor.log", SERVER_CORE)

    def _ours(self, name: str, url: str) -> None:
        environment = {
            "DATABASE_URL": url,
            "ANDON_STATE": str(self._folder),
            "PORT": "0",
            "ANDON_ADMIN_TOKEN": ALARM_TOKEN,
            "SLACK_BOT_TOKEN": BOT_TOKEN,
            "SLACK_SIGNING_SECRET": SIGNING_SECRET,
            "SLACK_API_URL": f"http://127.0.0.1:{self._slack.port}/api/",
        }

        def start(address: str) -> Server:
            words = ["-m", "bench.replica", "waiting", str(self._plan.pipelines), address]
            return Server(words, environment, self._folder / f"{name}.log", SERVER_CORE)

        self.taken[name].append(asyncio.run(measure(start, self._plan)))
        expected, found = self._plan.singles + self._plan.storm, transitions.ask(url, ROLLED_BACK)[0][0]
        if found != expected:
            raise transitions.Contradicted(f"{expected} alarms were acknowledged, {found} are in the database.")

    @contextlib.contextmanager
    def _file(self) -> Iterator[str]:
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            file = Path(name) / "andon.db"
            shutil.copy(self._prepared, file)
            yield sqlite_url(file)


def found(taken: dict[str, list[Taken]], plan: Plan) -> list[Figure]:
    """The figures, SQLite's without a word before them."""

    def share(name: str, part: float) -> list[float]:
        return [load.Measured(1.0, [ms / 1000 for ms in one.alone]).percentile(part) for one in taken[name]]

    def last(name: str) -> list[float]:
        return [max(one.at_once) for one in taken[name]]

    result = []
    for name, suffix in (("SQLite", ""), ("PostgreSQL", "_postgres")):
        result += [
            over(f"alarm_p99_vs_floor{suffix}", share(name, 0.99), share("floor", 0.99), "ms"),
            over(f"alarm_p50_vs_floor{suffix}", share(name, 0.50), share("floor", 0.50), "ms"),
            alone(f"alarm_to_rollback_p99_ms_{plan.pipelines}_pipelines{suffix}", share(name, 0.99), "ms"),
            alone(f"storm_{plan.storm}_last_ms{suffix}", last(name), "ms"),
            over(f"storm_{plan.storm}_vs_floor{suffix}", last(name), last("floor"), "ms"),
        ]
    return result


def main(argv: Sequence[str] | None = None) -> int:
    given = figures.asked(__doc__, argv)
    load_before, plan = figures.load_average(), QUICK if given.is_quick else FULL
    with tempfile.TemporaryDirectory(prefix="andon-bench-") as name, postgres.running() as server:
        folder = Path(name)
        slack = Server(["-m", "bench.servers", "sink"], {}, folder / "sink.log", LOAD_CORE)
        try:
            bench = Bench(plan, folder, server, slack)
            pin(LOAD_CORE)
            for _ in range(plan.rounds):
                bench.round()
        finally:
            slack.kill()
    medians: dict[str, Any] = {
        name: {
            "alone_p50_ms": figures.in_words([sorted(one.alone)[len(one.alone) // 2] for one in taken], ""),
            "at_once_p50_ms": figures.in_words([sorted(one.at_once)[len(one.at_once) // 2] for one in taken], ""),
        }
        for name, taken in bench.taken.items()
    }
    shown = found(bench.taken, plan)
    figures.report("alarms", shown, given.results, load_before=load_before, rounds=plan.rounds, medians=medians)
    return 0


if __name__ == "__main__":
    sys.exit(main())
