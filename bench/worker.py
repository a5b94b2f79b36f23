"""One process of ours that decides as fast as it can: the product's engine on a database, asked by so many callers.

    python -m bench.worker URL --workload release --first 0 --pipelines 64 --in-flight 64 --seconds 2

It says `ready`, waits for a line, works, and says in JSON what it did. On PostgreSQL it listens to other replicas, as
`andon run` does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final

from bench import journeys
from bot.engine import Engine
from bot.lean import rest_collector
from bot.listening import Listening
from core.releases.events import PauseRequested, ResumeRequested
from core.releases.world import Actor, Via
from storage.journal import Store

ANN: Final = Actor("ann", "Ann", Via.SHELL)
Turn = Callable[[Engine, str, int, journeys.Counted], Awaitable[None]]


async def release(engine: Engine, name: str, number: int, counted: journeys.Counted) -> None:
    """One release from its announcement to the end of the line: five transitions."""
    await journeys.run(engine, name, number, counted)


async def pause(engine: Engine, name: str, number: int, counted: journeys.Counted) -> None:
    """A person pulls the cord and lets it go: two transitions."""
    for event in (PauseRequested(by=ANN, reason="prices look wrong"), ResumeRequested(by=ANN)):
        begun = time.perf_counter()
        await engine.submit(name, event, dedupe=f"{type(event).__name__}:{number}")
        counted.took.append(time.perf_counter() - begun)


WORKLOADS: Final[dict[str, Turn]] = {"release": release, "pause": pause}


def names(first: int, count: int) -> list[str]:
    """The pipelines of one process."""
    return [f"service-{number}" for number in range(first, first + count)]


async def decided(
    engine: Engine, turn: Turn, mine: Sequence[str], in_flight: int, seconds: float, begin_at: int = 1
) -> journeys.Counted:
    """So many callers, each taking its pipelines in turn, for so long; what was begun is ended."""
    counted, until = journeys.Counted(), time.perf_counter() + seconds

    async def caller(place: int) -> None:
        number = begin_at
        while time.perf_counter() < until:
            for name in mine[place::in_flight]:
                await turn(engine, name, number, counted)
                counted.runs += 1
                if time.perf_counter() >= until:
                    return
            number += 1

    await asyncio.gather(*(caller(place) for place in range(in_flight)))
    return counted


@contextlib.asynccontextmanager
async def listening(store: Store, engine: Engine) -> AsyncIterator[None]:
    """Hear of what other replicas write, where there can be any."""
    if store.shared is None:
        yield
        return
    task = asyncio.create_task(Listening(engine, store.shared).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def work(given: argparse.Namespace) -> dict[str, Any]:
    """Prepare, wait for the sign, work."""
    turn, mine = WORKLOADS[given.workload], names(given.first, given.pipelines)
    store, engine = journeys.opened(given.url)
    try:
        await engine.start()
        async with listening(store, engine):
            missing = [name for name in mine if name not in engine.pipelines()]
            await journeys.define(engine, missing)
            for name in missing:
                await journeys.run(engine, name, 0, journeys.Counted())
            rest_collector()
            print("ready", flush=True)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
            begun, cpu = time.perf_counter(), time.process_time()
            counted = await decided(engine, turn, mine, given.in_flight, given.seconds, given.begin_at)
            took, cpu = time.perf_counter() - begun, time.process_time() - cpu
        return told(counted.took, counted.runs, took, cpu)
    finally:
        await engine.close()
        store.close()


def told(took: Sequence[float], runs: int, seconds: float, cpu: float) -> dict[str, Any]:
    """What a process says of its work; milliseconds, and microseconds of its own CPU for each transition."""
    ordered = sorted(took)
    return {
        "count": len(ordered),
        "runs": runs,
        "seconds": seconds,
        "p50_ms": ordered[len(ordered) // 2] * 1000,
        "p99_ms": ordered[int(len(ordered) * 0.99)] * 1000,
        "cpu_us": cpu / len(ordered) * 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--workload", choices=sorted(WORKLOADS), default="release")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--pipelines", type=int, default=64)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--begin-at", type=int, default=1, help="the number of the first run: no delivery comes twice")
    print(json.dumps(asyncio.run(work(parser.parse_args()))), flush=True)


if __name__ == "__main__":
    main()
