"""The yardstick of transitions: the raw driver writing the very rows that the product wrote, one transition a commit.

    python -m bench.raw URL RECORDING --connections 8 --seconds 2

`record` lets the product work on a file and keeps each row it wrote, with the state of each version. The yardstick
begins on the same tables and indexes, and only writes: no lookup, no decision, no chain, no codec. On SQLite it is one
connection of `sqlite3` (WAL, synchronous=FULL); on PostgreSQL so many of psycopg's asynchronous ones, with prepared
statements: BEGIN, the state, the event, the effects as one statement, COMMIT.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import pickle
import sqlite3
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from sqlalchemy import Boolean, Table
from sqlalchemy.engine import make_url

from bench import journeys, worker
from storage.dialects import CACHE_KIB, LOG_PAGES_MOST
from storage.journal import Store, sqlite_url
from storage.tables import definitions, events, outbox, pipelines

Row = tuple[Any, ...]
EVENT: Final = tuple(c.name for c in events.columns if c.name != "id")
EFFECT: Final = tuple(c.name for c in outbox.columns if c.name != "seq")
TRIGGER: Final = """\
CREATE TABLE versions (pipeline_id TEXT, version INTEGER, chain TEXT, state TEXT);
CREATE TRIGGER each_version AFTER UPDATE ON pipelines
BEGIN INSERT INTO versions VALUES (new.id, new.version, new.chain, new.state); END;
"""


@dataclass(frozen=True, slots=True)
class Step:
    """What one transition wrote."""

    state: Row
    """(version, chain, state, id), as the UPDATE takes them."""
    event: Row
    effects: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Recording:
    """The tables at the beginning, and the transitions in their order."""

    tables: Mapping[str, Sequence[Row]]
    steps: Sequence[Step]


# ---- recording ------------------------------------------------------------------------------------------------------


def record(workload: str, pipelines_count: int, seconds: float) -> Recording:
    """What the product writes when it works for so long."""
    with tempfile.TemporaryDirectory(prefix="andon-bench-") as name:
        file = Path(name) / "recorded.db"
        return asyncio.run(_record(file, worker.WORKLOADS[workload], worker.names(0, pipelines_count), seconds))


async def _record(file: Path, turn: worker.Turn, mine: Sequence[str], seconds: float) -> Recording:
    store, engine = journeys.opened(sqlite_url(file))
    try:
        await engine.start()
        await journeys.define(engine, mine)
        for name in mine:
            await journeys.run(engine, name, 0, journeys.Counted())
        with contextlib.closing(sqlite3.connect(file)) as database:
            database.executescript(TRIGGER)
            tables = {table.name: _rows(database, table) for table in (definitions, pipelines, events, outbox)}
            last = database.execute("SELECT max(id) FROM events").fetchone()[0]
        counted = await worker.decided(engine, turn, mine, len(mine), seconds)
    finally:
        await engine.close()
        store.close()
    with contextlib.closing(sqlite3.connect(file)) as database:
        steps = _steps(database, last)
    assert len(steps) == len(counted.took), f"{len(counted.took)} transitions left {len(steps)} events"
    return Recording(tables, steps)


def _rows(database: sqlite3.Connection, table: Table) -> list[Row]:
    return [_typed(table, row) for row in database.execute(f"SELECT * FROM {table.name}")]


def _typed(table: Table, row: Row) -> Row:
    """A row as either database takes it: SQLite keeps truth as a number."""
    return tuple(
        bool(value) if isinstance(column.type, Boolean) else value
        for column, value in zip(table.columns, row, strict=True)
    )


def _steps(database: sqlite3.Connection, after: int) -> list[Step]:
    states = {(row[0], row[1]): row for row in database.execute("SELECT * FROM versions")}
    effects: dict[tuple[str, int], list[Row]] = defaultdict(list)
    at = EFFECT.index("created_at"), EFFECT.index("pipeline_id")
    for row in database.execute("SELECT * FROM outbox ORDER BY seq"):
        effects[row[1:][at[1]], row[1:][at[0]]].append(row[1:])
    steps = []
    for row in database.execute("SELECT * FROM events WHERE id > ? ORDER BY id", (after,)):
        event = _typed(events, row)[1:]
        named = dict(zip(EVENT, event, strict=True))
        name, version, chain, state = states[named["pipeline_id"], named["seq"]]
        steps.append(Step((version, chain, state, name), event, tuple(effects[name, named["at"]])))
    return steps


# ---- writing it again -----------------------------------------------------------------------------------------------


def fill(url: str, recording: Recording) -> None:
    """The product's own tables, as they were when the recording began."""
    Store(url).close()
    tables = (definitions, pipelines, events, outbox)
    if make_url(url).get_backend_name() == "sqlite":
        with contextlib.closing(sqlite3.connect(str(make_url(url).database))) as file, file:
            for table in tables:
                file.executemany(_insert(table, "?"), recording.tables[table.name])
        return
    with psycopg.connect(url) as database, database.cursor() as cursor:
        for table in tables:
            if rows := recording.tables[table.name]:
                cursor.executemany(_insert(table, "%s").encode(), rows)
        for table in (events, outbox):
            key = table.primary_key.columns.keys()[0]
            cursor.execute(
                f"SELECT setval(pg_get_serial_sequence('{table.name}', '{key}'), max({key})) FROM {table.name}".encode()
            )


def _insert(table: Table, mark: str, columns: Sequence[str] | None = None, rows: int = 1) -> str:
    given = columns or [c.name for c in table.columns]
    values = ", ".join([f"({', '.join([mark] * len(given))})"] * rows)
    return f"INSERT INTO {table.name} ({', '.join(f'{name}' for name in map(_quoted, given))}) VALUES {values}"


def _quoted(name: str) -> str:
    return f'"{name}"'


def _save(mark: str) -> str:
    return f"UPDATE pipelines SET version = {mark}, chain = {mark}, state = {mark} WHERE id = {mark}"


def on_sqlite(url: str, steps: Sequence[Step], seconds: float) -> list[float]:
    """Seconds that each transition took, one after the other."""
    database = sqlite3.connect(str(make_url(url).database), isolation_level=None)
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        f"cache_size = -{CACHE_KIB}",
        f"wal_autocheckpoint = {LOG_PAGES_MOST}",
        "foreign_keys = ON",
    ):
        database.execute(f"PRAGMA {pragma}")
    save, insert = _save("?"), (_insert(events, "?", EVENT), _insert(outbox, "?", EFFECT))
    took: list[float] = []
    until = time.perf_counter() + seconds
    for step in steps:
        begun = time.perf_counter()
        database.execute("BEGIN IMMEDIATE")
        database.execute(save, step.state)
        database.execute(insert[0], step.event)
        database.executemany(insert[1], step.effects)
        database.execute("COMMIT")
        now = time.perf_counter()
        took.append(now - begun)
        if now >= until:
            break
    database.close()
    return took


async def on_postgres(url: str, steps: Sequence[Step], connections: int, seconds: float) -> list[float]:
    """The same over so many connections, each with pipelines of its own."""
    mine: list[list[Step]] = [[] for _ in range(connections)]
    places: dict[str, int] = {}
    for step in steps:
        mine[places.setdefault(step.event[0], len(places) % connections)].append(step)
    opened = [await psycopg.AsyncConnection.connect(url, autocommit=True, prepare_threshold=0) for _ in mine]
    took: list[float] = []
    until = time.perf_counter() + seconds

    async def write(connection: psycopg.AsyncConnection[Any], some: Sequence[Step]) -> None:
        save, insert = _save("%s").encode(), _insert(events, "%s", EVENT).encode()
        async with connection.cursor() as cursor:
            for step in some:
                begun = time.perf_counter()
                await cursor.execute(b"BEGIN")
                await cursor.execute(save, step.state)
                await cursor.execute(insert, step.event)
                if step.effects:
                    together = _insert(outbox, "%s", EFFECT, rows=len(step.effects)).encode()
                    await cursor.execute(together, [value for row in step.effects for value in row])
                await cursor.execute(b"COMMIT")
                now = time.perf_counter()
                took.append(now - begun)
                if now >= until:
                    return

    await asyncio.gather(*(write(connection, some) for connection, some in zip(opened, mine, strict=True)))
    for connection in opened:
        await connection.close()
    return took


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("recording", type=Path)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2.0)
    given = parser.parse_args()
    recording: Recording = pickle.loads(given.recording.read_bytes())
    fill(given.url, recording)
    print("ready", flush=True)
    sys.stdin.readline()
    begun, cpu = time.perf_counter(), time.process_time()
    if make_url(given.url).get_backend_name() == "sqlite":
        took = on_sqlite(given.url, recording.steps, given.seconds)
    else:
        took = asyncio.run(on_postgres(given.url, recording.steps, given.connections, given.seconds))
    print(json.dumps(worker.told(took, 0, time.perf_counter() - begun, time.process_time() - cpu)), flush=True)


if __name__ == "__main__":
    main()
