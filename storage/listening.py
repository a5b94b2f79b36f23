"""What other replicas wrote, told by PostgreSQL: a connection of its own that listens, on the loop."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg

from storage import batch
from storage.errors import StorageUnavailable

STILL_THERE_EVERY = 10.0
"""Seconds of silence after which the connection is tried: one that died says nothing either."""


@dataclass(frozen=True, slots=True)
class News:
    """What another replica committed: pipelines and the versions they are at, and what else there is to look at."""

    pipelines: Mapping[str, int] = field(default_factory=dict)
    has_effects: bool = False
    is_world: bool = False


@asynccontextmanager
async def listening(arguments: Mapping[str, Any], replica: str) -> AsyncIterator[AsyncIterator[News]]:
    """News from now on, until the block ends; what came before must be read afterwards. Raises StorageUnavailable."""
    try:
        connection = await psycopg.AsyncConnection.connect(**arguments, autocommit=True)
        async with connection:
            await connection.execute(f"LISTEN {batch.CHANNEL}")
            yield _news(connection, replica)
    except psycopg.Error as error:
        msg = f"The database tells no news now ({type(error).__name__})."
        raise StorageUnavailable(msg) from None


async def _news(connection: psycopg.AsyncConnection[Any], replica: str) -> AsyncIterator[News]:
    while True:
        async for told in connection.notifies(timeout=STILL_THERE_EVERY):
            news = understood(told.payload, replica)
            if news is not None:
                yield news
        await connection.execute("SELECT 1")


def understood(text: str, replica: str) -> News | None:
    """One notice; None for our own. What is not understood means that anything may have changed: look at everything."""
    try:
        raw = json.loads(text)
        if raw.get("from") == replica:
            return None
        pipelines = {str(name): int(version) for name, version in raw.get("pipelines", {}).items()}
    except (ValueError, TypeError, AttributeError):
        return News(has_effects=True, is_world=True)
    return News(pipelines, bool(raw.get("effects")), bool(raw.get("world")))
