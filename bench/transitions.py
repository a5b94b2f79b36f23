"""Durable transitions a second: the engine beside the bare driver, in one run on one disk.

    python -m bench.transitions [turns]

A transition is: look up the delivery, decide, update the state, insert the event and one effect, commit with
synchronous=FULL. The yardstick (raw) is one connection of `sqlite3` doing the same three writes, one transition a
commit, without codec, chain, decision or threads. Only the ratios mean anything.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from bot.clock import SystemClock
from bot.engine import Engine, Rules
from core.releases.effects import Effect, Tell
from core.releases.events import DefinitionApplied, Event, ResumeRequested
from core.releases.pipeline import Pipeline, Stage, Target
from core.releases.state import PipelineState
from core.releases.world import Actor, Via, World
from storage.journal import Store, sqlite_url

ANN = Actor("ann", "Ann", Via.SHELL)
PIPELINES = 64
SECONDS = 1.0
RAW = "raw sqlite3, one by one"


@dataclass(frozen=True, slots=True)
class Counted:
    """What the stand-in for `decide` returns."""

    state: PipelineState
    effects: tuple[Effect, ...]
    answer: str = "Counted."
    reasons: tuple[str, ...] = ("Counted.",)


def count(state: PipelineState, _event: Event, _world: World, _now: datetime) -> Counted:
    """The least that can be decided: one state change, one effect."""
    number = state.counter + 1
    tell = Tell(key=f"{state.id}:{number}", release="", topic="counted", sentence="Counted.")
    return Counted(replace(state, counter=number), (tell,))


def new(definition: Pipeline) -> PipelineState:
    return PipelineState(id=definition.id, definition=definition)


def raw(folder: Path, seconds: float) -> list[float]:
    """How long each transition takes with the bare driver."""
    connection = sqlite3.connect(folder / "raw.db", isolation_level=None)
    for statement in (
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        "CREATE TABLE pipelines (id TEXT PRIMARY KEY, version INTEGER, state TEXT)",
        "CREATE TABLE events (pipeline_id TEXT, seq INTEGER, at INTEGER, body TEXT, dedupe TEXT UNIQUE)",
        "CREATE UNIQUE INDEX by_seq ON events (pipeline_id, seq)",
        "CREATE TABLE outbox (seq INTEGER PRIMARY KEY, key TEXT UNIQUE, lane TEXT, body TEXT)",
    ):
        connection.execute(statement)
    connection.executemany("INSERT INTO pipelines VALUES (?, 0, '')", [(str(i),) for i in range(PIPELINES)])
    took: list[float] = []
    number, end = 0, time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end:
        number += 1
        name, version = str(number % PIPELINES), number // PIPELINES
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("SELECT 1 FROM events WHERE dedupe = ?", (f"d{number}",)).fetchone()
        connection.execute("UPDATE pipelines SET version = ?, state = ? WHERE id = ?", (version, "s" * 300, name))
        connection.execute(
            "INSERT INTO events VALUES (?, ?, ?, ?, ?)", (name, version, number, "e" * 190, f"d{number}")
        )
        connection.execute("INSERT INTO outbox VALUES (NULL, ?, ?, ?)", (f"k{number}", name, "o" * 100))
        connection.execute("COMMIT")
        took.append(time.perf_counter() - begun)
    connection.close()
    return took


async def engine(folder: Path, seconds: float, in_flight: int, decide: Callable[..., Counted]) -> list[float]:
    """How long each transition takes through the engine, from `submit` to the answer."""
    store = Store(sqlite_url(folder / f"engine{in_flight}.db"))
    ours = Engine(store, Rules(decide, lambda *_: None, new), SystemClock())
    await ours.start()
    for number in range(PIPELINES):
        stages = (Stage(name="beta", targets=(Target(name="beta"),)),)
        definition = Pipeline(id=f"p{number}", service="s", team="t", channel="c", revision="r", stages=stages)
        await ours.submit(definition.id, DefinitionApplied(definition=definition, by=ANN))
    took: list[float] = []
    end = time.perf_counter() + seconds

    async def caller(first: int) -> None:
        number = first
        while (begun := time.perf_counter()) < end:
            number += in_flight
            await ours.submit(f"p{number % PIPELINES}", ResumeRequested(by=ANN), dedupe=f"d{number}")
            took.append(time.perf_counter() - begun)

    await asyncio.gather(*(caller(first) for first in range(in_flight)))
    await ours.close()
    assert store.verify("p0") is None
    store.close()
    return took


def measured(seconds: float) -> dict[str, list[float]]:
    """One short turn of everything, on fresh files."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        turn = {RAW: raw(folder, seconds)}
        for in_flight in (1, 8, 64):
            turn[f"engine, {in_flight} in flight"] = asyncio.run(engine(folder, seconds, in_flight, count))
    return turn


def main() -> None:
    """Take turns, because machines drift: each ratio is to the yardstick of its own turn."""
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(f"SQLite, WAL, FULL; {datetime.now(UTC):%Y-%m-%d}; {turns} turns of {SECONDS:g} s; median (lowest–highest)")
    taken = [measured(SECONDS) for _ in range(turns)]
    for name in taken[0]:
        rates = sorted(len(turn[name]) / SECONDS for turn in taken)
        ratios = sorted(len(turn[name]) / len(turn[RAW]) for turn in taken)
        p99 = median(sorted(turn[name])[int(len(turn[name]) * 0.99)] * 1000 for turn in taken)
        ratio = f"{median(ratios):5.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f}) × raw"
        print(f"{name:<26}{median(rates):7.0f} a second   p99 {p99:6.2f} ms   {ratio}")


if __name__ == "__main__":
    main()
