"""Many pipelines that wait, made quickly: the product's own engine on a clock that runs ahead, into any database.

Each has version 1.0.0 everywhere and 1.1.0 baking in production under an alarm that is silent: a live release that
waits for time to pass, and goes back when the alarm turns red.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy.engine import make_url

from bench.company import SERVICES, service
from bench.journeys import RULES, Counted, run
from bot.clock import FakeClock
from bot.engine import Engine
from core.releases.events import DefinitionApplied, TimePassed
from core.releases.pipeline import Alarm, Bake, Pipeline, Stage, Target
from core.releases.world import ANDON
from storage.journal import Store

BAKE: Final = timedelta(hours=8)
AT_ONCE: Final = 250


def pipeline(number: int) -> Pipeline:
    """A line of two stages, the second of which bakes for hours under an alarm."""
    name = service(number)
    stages = (
        Stage(name="beta", targets=(Target(name=f"{name}-beta"),), deployer="scripted", watch=timedelta()),
        Stage(
            name="live",
            targets=(Target(name=f"{name}-live"),),
            after=("beta",),
            deployer="scripted",
            is_production=True,
            bake=Bake(duration=BAKE, ceiling=4 * BAKE),
        ),
    )
    match = (("alertname", "Errors"), ("service", name))
    return Pipeline(
        id=name,
        service=name,
        team="shop",
        # The stand-in for Slack knows so many channels.
        channel=f"#{service(number % SERVICES)}",
        revision="r1",
        stages=stages,
        alarms=(Alarm(name="errors", source="alertmanager", match=match, silence_is_ok=True),),
    )


def version(number: int) -> str:
    """The version of a run, as `journeys` names it."""
    return f"1.{number}.0"


def digest(name: str, number: int) -> str:
    """Its digest, as `journeys` makes it."""
    return f"sha256:{name}-{number}"


def fill(url: str, count: int) -> None:
    """Bring so many waiting pipelines into a database, up to this moment."""
    asyncio.run(_fill(url, count))
    end = "UPDATE outbox SET state = 'done' WHERE state = 'pending'"  # as it is when all of it was delivered
    if make_url(url).get_backend_name() == "sqlite":
        with contextlib.closing(sqlite3.connect(str(make_url(url).database))) as database, database:
            database.execute(end)
        return
    import psycopg  # eight megabytes that the process which is measured does without

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(end.encode())
        connection.execute(b"VACUUM ANALYZE")


async def _fill(url: str, count: int) -> None:
    waited = BAKE + timedelta(minutes=10)
    clock = FakeClock(datetime.now(UTC) - waited - timedelta(seconds=30))
    store = Store(url)
    engine = Engine(store, RULES, clock, longest_gap=None)
    try:
        await engine.start()
        names = [service(number) for number in range(count)]
        for number in range(0, count, AT_ONCE):
            new = [pipeline(n) for n in range(number, min(count, number + AT_ONCE))]
            await asyncio.gather(*(engine.submit(p.id, DefinitionApplied(definition=p, by=ANDON)) for p in new))
        await _everywhere(engine, names, 0)
        clock.advance(waited)
        await engine.beat()
        for some in _parts(names):
            await asyncio.gather(*(engine.submit(name, TimePassed()) for name in some))
        await _everywhere(engine, names, 1)
        baking = [s for s in engine.pipelines().values() if any(r.is_live for r in s.releases)]
        assert len(baking) == count, f"{len(baking)} of {count} pipelines hold a release that waits"
    finally:
        await engine.close()
        store.close()


async def _everywhere(engine: Engine, names: Sequence[str], number: int) -> None:
    for some in _parts(names):
        await asyncio.gather(*(run(engine, name, number, Counted()) for name in some))


def _parts(names: Sequence[str]) -> list[Sequence[str]]:
    return [names[place : place + AT_ONCE] for place in range(0, len(names), AT_ONCE)]
