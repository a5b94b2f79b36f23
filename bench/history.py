"""Long histories, made quickly: rows as the product writes them, in chains that its own check finds whole.

The product begins: each pipeline gets a definition, a release, and a person who pulls the cord and lets it go. Then
plain SQL goes on with what that person did, again and again, each event chained to the one before (`storage/chain.py`).
Kept in a folder outside the checkout (`ANDON_BENCH_CACHE`, else ~/.cache/andon-bench): ten million take some minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import secrets
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench import journeys, worker
from bench.raw import EVENT
from storage import chain
from storage.journal import Store, sqlite_url

PIPELINES: Final = 64
MADE_AT_ONCE: Final = 20_000
LATER: Final = 1_000_000
"""Microseconds from one event of a pipeline to the next."""
Row = tuple[Any, ...]


def kept(events: int) -> Path:
    """A database with so many events, made now if it was not before."""
    folder = Path(os.environ.get("ANDON_BENCH_CACHE") or Path.home() / ".cache" / "andon-bench")
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / f"history-{events}-{_shape()}.db"
    if not place.exists():
        draft = place.with_suffix(".draft")
        for left in folder.glob(f"{draft.name}*"):
            left.unlink()
        print(f"Preparing {events:,} events in {place}; they are kept for the next time.", flush=True)
        make(draft, events)
        draft.rename(place)
    return place


def _shape() -> str:
    """Changes with the tables, so that an old database is not taken for a new one."""
    from storage.migrate import HEAD

    return f"v{HEAD}"


def make(place: Path, events: int, *, pipelines: int = PIPELINES, processes: int | None = None) -> None:
    """Write a database with so many events, as many for each pipeline; by a process for each core if not said."""
    names = worker.names(0, pipelines)
    asyncio.run(_begin(place, names))
    with contextlib.closing(sqlite3.connect(place, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.execute("PRAGMA cache_size = -262144")
        indexes = database.execute("SELECT name, sql FROM sqlite_master WHERE tbl_name = 'events' AND type = 'index'")
        built = [(name, sql) for name, sql in indexes if sql]
        for name, _ in built:
            database.execute(f"DROP INDEX {name}")
        _lengthen(database, events, processes or os.cpu_count() or 1)
        for _, sql in built:
            database.execute(sql)
        database.execute("ANALYZE")
        database.execute("PRAGMA journal_mode = WAL")
    store = Store(sqlite_url(place))
    try:
        for name in names[:2]:
            if (broken := store.verify(name)) is not None:
                raise SystemExit(f"The history made for {name} is broken at {broken}.")
    finally:
        store.close()


async def _begin(place: Path, names: Sequence[str]) -> None:
    store, engine = journeys.opened(sqlite_url(place))
    try:
        await engine.start()
        await journeys.define(engine, names)
        for name in names:
            await journeys.run(engine, name, 0, journeys.Counted())
            await worker.pause(engine, name, 0, journeys.Counted())
    finally:
        await engine.close()
        store.close()


def _lengthen(database: sqlite3.Connection, events: int, processes: int) -> None:
    columns = ", ".join(f'"{name}"' for name in EVENT)
    insert = f"INSERT INTO events ({columns}) VALUES ({', '.join('?' * len(EVENT))})"
    heads = database.execute("SELECT id, version FROM pipelines ORDER BY id").fetchall()
    patterns = []
    for name, version in heads:
        last = f"SELECT {columns} FROM events WHERE pipeline_id = ? AND seq > ? ORDER BY seq"
        patterns.append((database.execute(last, (name, version - 2)).fetchall(), events // len(heads)))
    with _workers(processes) as made_by:
        for (name, _), pattern in zip(heads, patterns, strict=True):
            database.execute("BEGIN")
            # Salts are of no consequence here; the order of the rows of one pipeline is.
            for rows in _made(made_by, *pattern):
                database.executemany(insert, rows)
            seq, link = database.execute(
                "SELECT seq, chain FROM events WHERE pipeline_id = ? ORDER BY seq DESC LIMIT 1", (name,)
            ).fetchone()
            database.execute("UPDATE pipelines SET version = ?, chain = ? WHERE id = ?", (seq, link, name))
            database.execute("COMMIT")


@contextlib.contextmanager
def _workers(processes: int) -> Iterator[Any]:
    """What maps a function over parts, in their order."""
    if processes == 1:
        yield map
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield pool.imap


def _made(made_by: Any, pattern: Sequence[Row], until: int) -> Iterator[list[Row]]:
    """The rows after `pattern`, up to this number. What is not chained is made side by side, the chain in order."""
    first = pattern[-1][EVENT.index("seq")] + 1
    parts = [range(start, min(until + 1, start + MADE_AT_ONCE)) for start in range(first, until + 1, MADE_AT_ONCE)]
    link = pattern[-1][EVENT.index("chain")]
    for half in made_by(partial(_unchained, pattern), parts):
        rows = []
        for row, facts in half:
            link = facts.chained(link, row[-1])
            rows.append((*row, link))
        yield rows


def _unchained(pattern: Sequence[Row], numbers: range) -> list[tuple[Row, chain.Link]]:
    """Rows but for their links, and what is linked."""
    made = []
    places = {name: place for place, name in enumerate(EVENT)}
    words = [places[name] for name in ("actor_name", "body", "answer", "sentence")]
    linked = [field for field in chain.Link._fields if field != "refused"]
    for number in numbers:
        # The pattern ends with a pause and its end; the next event is a pause again.
        old = pattern[(number - pattern[0][places["seq"]]) % 2]
        row = list(old)
        row[places["seq"]] = number
        row[places["at"]] = old[places["at"]] + LATER * number
        row[places["dedupe_key"]] = f"history:{number}"
        row[places["salt"]] = secrets.token_bytes(16)
        row[places["digest"]] = chain.digest_of(row[places["salt"]], tuple(row[place] for place in words))
        facts = chain.Link(**{name: row[places[name]] for name in linked}, refused=bool(row[places["refused"]]))
        made.append((tuple(row[: places["chain"]]), facts))
    return made


if __name__ == "__main__":
    print(kept(int(sys.argv[1])))
