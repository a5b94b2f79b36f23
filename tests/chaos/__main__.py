"""`make chaos`: voyages, a long storm, a table of what it did, and exit code 1 with the seed if anything is wrong.

From the environment: SEED, STORM (seconds), RELEASES (of the voyages), BLOWS (names of some, to leave the others out).
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests import postgres
from tests.chaos.storm import EVERYTHING, Weather
from tests.chaos.telling import weathered
from tests.chaos.voyage import sailed

A_VOYAGE = 12


def main() -> int:
    """Sail, then let it storm; the exit code."""
    seconds = float(os.environ.get("STORM") or 300)
    seed = os.environ.get("SEED") or str(int(time.time()))
    logging.disable(logging.CRITICAL)
    path = Path(tempfile.mkdtemp(prefix="andon-chaos-"))
    print(f"Two replicas, {seconds:.0f} s, seed {seed}; logs in {path}", flush=True)
    with postgres.running() as server:
        if wrong := _sail(server, seed, int(os.environ.get("RELEASES") or 100), path):
            print(*(f"WRONG: {sentence}" for sentence in wrong), sep="\n")
            print(f"Again with the same dice: make chaos SEED={seed} RELEASES={os.environ.get('RELEASES') or 100}")
            return 1
        blows = {name: EVERYTHING[name] for name in os.environ.get("BLOWS", "").split(",") if name} or EVERYTHING
        weather = Weather(seconds=seconds, seed=seed, blows=blows)
        verdict = asyncio.run(weathered(path, server, weather, lambda line: print(f"  {line}", flush=True)))
    for name, figure in verdict.figures.items():
        print(f"{name:28} {figure}")
    for sentence in verdict.wrong:
        print(f"WRONG: {sentence}")
    if verdict.wrong:
        print(f"Again with the same dice: make chaos SEED={seed} STORM={seconds:.0f}; the logs stay in {path}")
        return 1
    shutil.rmtree(path)
    return 0


def _sail(server: postgres.Server, seed: str, releases: int, path: Path) -> list[str]:
    """So many releases on voyages of a few, in turn on SQLite and on PostgreSQL; what went wrong on the first bad."""
    done: Counter[str] = Counter()
    for number in range(max(1, releases // A_VOYAGE)):
        where = path / f"voyage-{number}"
        where.mkdir()
        database = server.database() if number % 2 else ""
        dice = f"{seed}/{number}"
        replicas = 2 if database else 1
        wrong, figures = asyncio.run(sailed(where, dice, A_VOYAGE, database=database, replicas=replicas))
        if database:
            server.drop(database)
        done.update(figures)
        print(f"  voyage {number}: " + ", ".join(f"{name} {count}" for name, count in done.items()), flush=True)
        if wrong:
            return [f"voyage {number}: {sentence}" for sentence in wrong]
    return []


if __name__ == "__main__":
    sys.exit(main())
