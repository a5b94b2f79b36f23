"""Stage deployments a second: the whole bot, from the announcement to the last effect, one process and two replicas.

    python -m bench.stages [--quick] [--results FILE]

A stage deployment is a stage from its entry to having passed, with all its events and effects: the scripted deployer
asked to start, followed to its end, what runs compared, cards drawn and sentences posted to a Slack that takes
everything at once. Releases are announced over HTTP; each service gets its next one when the last is through. The time
runs from the first announcement until the last effect is delivered.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from bench import figures, postgres, transitions
from bench.company import ALARM_TOKEN, BOT_TOKEN, SIGNING_SECRET, service
from bench.figures import Figure, alone
from bench.processes import Server
from bench.replica import STAGES
from storage.journal import sqlite_url

SERVICES: Final = 64
LOOK_EVERY: Final = 0.03
GIVE_UP_AFTER: Final = 60.0
PASSED: Final = "SELECT pipeline_id, count(*) FROM events WHERE kind = 'DeploymentSucceeded' GROUP BY pipeline_id"
OPEN: Final = "SELECT count(*) FROM outbox WHERE state IN ('pending', 'claimed')"
BURIED: Final = "SELECT count(*) FROM outbox WHERE state = 'buried'"


@dataclass(frozen=True, slots=True)
class Plan:
    """How many rounds, and for how many seconds releases are announced."""

    rounds: int
    seconds: float


FULL: Final = Plan(rounds=3, seconds=6.0)
QUICK: Final = Plan(rounds=1, seconds=1.0)


@contextlib.contextmanager
def bots(url: str, count: int, slack: Server | None, folder: Path) -> Iterator[list[Server]]:
    """So many replicas on one database; without `slack` they have no workspace."""
    outside = folder / "outside"
    outside.mkdir()
    environment = {"DATABASE_URL": url, "ANDON_STATE": str(folder), "PORT": "0", "ANDON_ADMIN_TOKEN": ALARM_TOKEN}
    if slack is not None:
        environment |= {
            "SLACK_BOT_TOKEN": BOT_TOKEN,
            "SLACK_SIGNING_SECRET": SIGNING_SECRET,
            "SLACK_API_URL": f"http://127.0.0.1:{slack.port}/api/",
            "ANDON_SLACK_EVERY": "0.0001",
        }
    started: list[Server] = []
    try:
        for number in range(count):
            words = ["-m", "bench.replica", "quick", str(SERVICES), str(outside)]
            started.append(Server(words, environment, folder / f"replica-{number}.log", None))
        yield started
    finally:
        for server in started:
            server.kill()


async def released(url: str, ports: Sequence[int], seconds: float) -> tuple[int, float]:
    """Announce for so long; how many stage deployments came of it, and the seconds until nothing was left to do."""
    announced = dict.fromkeys(map(service, range(SERVICES)), 0)
    headers = {"Authorization": f"Bearer {ALARM_TOKEN}"}
    connector = aiohttp.TCPConnector(limit=8)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:

        async def announce(name: str) -> None:
            announced[name] += 1
            number = announced[name]
            body = {"service": name, "version": f"1.{number}.0", "artifact": f"sha256:{name}-{number}"}
            port = ports[int(name.rpartition("-")[2]) % len(ports)]
            async with session.post(f"http://127.0.0.1:{port}/api/releases", json=body) as response:
                if response.status != 201:
                    raise SystemExit(f"{name} could not be announced: {await response.text()}")

        begun = time.perf_counter()
        await asyncio.gather(*map(announce, announced))
        while True:
            await asyncio.sleep(LOOK_EVERY)
            passed = dict(await asyncio.to_thread(transitions.ask, url, PASSED))
            ready = [name for name, count in announced.items() if passed.get(name, 0) >= count * len(STAGES)]
            elapsed = time.perf_counter() - begun
            if elapsed < seconds:
                await asyncio.gather(*map(announce, ready))
            elif len(ready) == SERVICES and not (await asyncio.to_thread(transitions.ask, url, OPEN))[0][0]:
                break
            elif elapsed > seconds + GIVE_UP_AFTER:
                raise SystemExit(f"Only {len(ready)} of {SERVICES} services came to the end of their releases.")
    return sum(announced.values()) * len(STAGES), time.perf_counter() - begun


def measured(url: str, count: int, slack: Server | None, seconds: float) -> float:
    """Stage deployments a second of so many replicas; what is in the database must agree."""
    with tempfile.TemporaryDirectory(prefix="andon-bench-") as name, bots(url, count, slack, Path(name)) as servers:
        deployments, took = asyncio.run(released(url, [server.port for server in servers], seconds))
    found = sum(row[1] for row in transitions.ask(url, PASSED))
    started = transitions.ask(url, "SELECT count(*) FROM events WHERE kind = 'DeploymentStarted'")[0][0]
    buried = transitions.ask(url, BURIED)[0][0]
    if found != deployments or started != deployments or buried:
        raise transitions.Contradicted(
            f"{deployments} stage deployments were expected; {started} began, {found} succeeded, {buried} were buried."
        )
    return deployments / took


def main(argv: Sequence[str] | None = None) -> int:
    given = figures.asked(__doc__, argv)
    load_before, plan = figures.load_average(), QUICK if given.is_quick else FULL
    rates: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="andon-bench-") as name, postgres.running() as server:
        folder = Path(name)
        slack = Server(["-m", "bench.servers", "sink"], {}, folder / "sink.log", None)
        try:
            for number in range(plan.rounds):
                for cell, count, workspace in (
                    ("stage_deployments_per_s_1_replica", 1, slack),
                    ("stage_deployments_per_s_2_replicas", 2, slack),
                    ("stage_deployments_per_s_2_replicas_no_slack", 2, None),
                ):
                    url = server.fresh()
                    rates[cell].append(measured(url, count, workspace, plan.seconds))
                    server.drop(url)
                url = sqlite_url(folder / f"{number}.db")
                rates["stage_deployments_per_s_sqlite"].append(measured(url, 1, slack, plan.seconds))
        finally:
            slack.kill()
    found: list[Figure] = [alone(cell, values, "/s") for cell, values in rates.items()]
    figures.report("stages", found, given.results, load_before=load_before, rounds=plan.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
