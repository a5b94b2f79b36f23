"""Durable engines doing the same: a run of five steps, by Andon, by DBOS Transact and by procrastinate.

    python -m bench.engines [--quick] [--results FILE]

Each works in a process of its own on a PostgreSQL database of its own, with synchronous_commit=on. A run of ours is a
real release (`journeys.py`): five durable decisions with their states, chained events and effects. A run of DBOS is a
workflow of five steps that return a number; one of procrastinate is five jobs, each of which defers the next. The
yardsticks are tried with several degrees of concurrency, ours with one (64 releases in flight), and the best counts.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from bench import figures, postgres, transitions
from bench.figures import Figure, over
from bench.journeys import STEPS

IN_FLIGHT: Final = 64
AT_ONCE: Final = (8, 32)
"""How many runs the yardsticks have under way."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How many rounds, and seconds for each cell."""

    rounds: int
    seconds: float


FULL: Final = Plan(rounds=3, seconds=3.0)
QUICK: Final = Plan(rounds=1, seconds=0.8)


# ---- the yardsticks, each in a process of its own -------------------------------------------------------------------


def dbos(url: str, at_once: int, seconds: float) -> dict[str, Any]:
    """Workflows begun from so many threads, each waiting for the end of its own."""
    from dbos import DBOS, DBOSConfig

    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": url.replace("postgresql://", "postgresql+psycopg://"),
        "sys_db_pool_size": at_once,
        "log_level": "ERROR",
    }
    DBOS(config=config)

    @DBOS.step()
    def step(number: int) -> int:
        return number + 1

    @DBOS.workflow()
    def run(number: int) -> int:
        for _ in range(STEPS):
            number = step(number)
        return number

    DBOS.launch()
    run(0)
    begun, cpu = _begin()
    until = begun + seconds

    def caller(_place: int) -> int:
        count = 0
        while time.perf_counter() < until:
            assert run(count) == count + STEPS
            count += 1
        return count

    with ThreadPoolExecutor(at_once) as pool:
        runs = sum(pool.map(caller, range(at_once)))
    told = _told(runs, begun, cpu)
    DBOS.destroy()
    return told


async def procrastinate(url: str, at_once: int, seconds: float) -> dict[str, Any]:
    """Jobs of a worker with so many at once; each of the five defers the next, and a run's last begins a new run."""
    from procrastinate import App, PsycopgConnector

    app = App(connector=PsycopgConnector(conninfo=url, min_size=2, max_size=max(4, at_once)))
    runs = 0
    until = 0.0
    over_now = asyncio.Event()
    live = 0

    @app.task(name="step", queue="bench")
    async def step(number: int, *, is_counted: bool = True) -> None:
        nonlocal runs, live
        if number < STEPS:
            await step.defer_async(number=number + 1, is_counted=is_counted)
            return
        runs += is_counted
        if time.perf_counter() < until:
            await step.defer_async(number=1)
            return
        live -= 1
        if live == 0:
            over_now.set()

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        live = 1
        await step.defer_async(number=1, is_counted=False)
        warm = asyncio.create_task(app.run_worker_async(queues=["bench"], concurrency=at_once, wait=True))
        await over_now.wait()
        over_now.clear()
        begun, cpu = await asyncio.get_running_loop().run_in_executor(None, _begin)
        until, live = begun + seconds, at_once
        await asyncio.gather(*(step.defer_async(number=1) for _ in range(at_once)))
        await over_now.wait()
        told = _told(runs, begun, cpu)
        warm.cancel()
        await asyncio.gather(warm, return_exceptions=True)
    return told


def _begin() -> tuple[float, float]:
    """Say that all is ready, wait for the sign; the time, and the CPU used so far."""
    print("ready", flush=True)
    sys.stdin.readline()
    return time.perf_counter(), time.process_time()


def _told(runs: int, begun: float, cpu: float) -> dict[str, Any]:
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    return {"runs": runs, "count": runs * STEPS, "seconds": seconds, "cpu_us": cpu / (runs * STEPS) * 1e6}


# ---- beside ours ----------------------------------------------------------------------------------------------------

COUNTED: Final = {
    "dbos": "SELECT count(*) FROM dbos.operation_outputs",
    "procrastinate": "SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'",
}
"""How many steps are in a yardstick's database; one run was made to warm up."""


def yardstick(name: str, url: str, at_once: int, seconds: float) -> dict[str, Any]:
    """One of them on a database of its own; every step it counted must be there."""
    (told,) = transitions.together([["bench.engines", "--yardstick", name, url, str(at_once), str(seconds)]])
    found = transitions.ask(url, COUNTED[name])[0][0] - STEPS
    if found < told["count"]:
        raise transitions.Contradicted(f"{name} says {told['count']} steps, {found} are in its database.")
    return told


def main(argv: Sequence[str] | None = None) -> int:
    words = sys.argv[1:] if argv is None else list(argv)
    if words[:1] == ["--yardstick"]:
        name, url, at_once, seconds = words[1], words[2], int(words[3]), float(words[4])
        work = dbos if name == "dbos" else lambda *given: asyncio.run(procrastinate(*given))
        print(json.dumps(work(url, at_once, seconds)), flush=True)
        return 0
    given = figures.asked(__doc__, words)
    load_before, plan = figures.load_average(), QUICK if given.is_quick else FULL
    cells: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="andon-bench-"), postgres.running() as server:
        for _ in range(plan.rounds):
            url = server.fresh()
            (told,) = transitions.ours(url, "release", plan.seconds, in_flight=IN_FLIGHT)
            cells["Andon, 64"].append(told)
            server.drop(url)
            for name in COUNTED:
                for at_once in AT_ONCE:
                    url = server.fresh()
                    cells[f"{name}, {at_once}"].append(yardstick(name, url, at_once, plan.seconds))
                    server.drop(url)
    for cell, told_of in cells.items():
        middle = sorted(told_of, key=lambda one: one["runs"] / one["seconds"])[len(told_of) // 2]
        runs = middle["runs"] / middle["seconds"]
        print(
            f"{cell:<24}{runs:8,.1f} runs a second {runs * STEPS:8,.0f} steps {middle['cpu_us']:8,.0f} µs of CPU each"
        )
    figures.report("engines", found(cells), given.results, load_before=load_before, rounds=plan.rounds, medians=cells)
    return 0


def found(cells: dict[str, list[dict[str, Any]]]) -> list[Figure]:
    """Ours ÷ the best that each yardstick came to, round by round."""

    def rates(name: str, what: str) -> list[float]:
        mine = [[one[what] / one["seconds"] for one in told] for cell, told in cells.items() if cell.startswith(name)]
        return [max(of_round) for of_round in zip(*mine, strict=True)]

    return [
        over("transitions_vs_dbos", rates("Andon", "count"), rates("dbos", "count"), "steps/s"),
        over("runs_vs_procrastinate", rates("Andon", "runs"), rates("procrastinate", "runs"), "runs/s"),
    ]


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    sys.exit(main())
