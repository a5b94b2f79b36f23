"""The whole bot as a process of its own: `python -m bench.replica quick COUNT FOLDER`, `… waiting COUNT URL`.

What `andon run` runs, wired by `build`, but that its pipelines come from here and its deployer is a scripted one:
lines that have nothing to wait for, or lines whose releases bake for hours. Its settings come from the environment.
SIGTERM ends it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

from bench import waiting
from bench.company import service
from bench.deployers import KeptInFiles, ToldOverHttp
from bot.app import Parts, running
from bot.definitions import Definitions
from bot.lean import begin_logging, rest_collector
from bot.settings import Settings
from core.ports import RunningVersion
from core.releases.pipeline import Pipeline, Stage, Target

STAGES: Final = ("beta", "gamma", "one-box", "wave-1", "wave-2")


def line(number: int) -> Pipeline:
    """A service's line of five stages with one target each, and nothing to wait for."""
    name = service(number)
    stages = tuple(
        Stage(
            name=stage,
            targets=(Target(name=f"{name}-{stage}"),),
            after=STAGES[place - 1 : place] if place else (),
            deployer="scripted",
            watch=timedelta(),
        )
        for place, stage in enumerate(STAGES)
    )
    return Pipeline(id=name, service=name, team="shop", channel=f"#{name}", revision="r1", stages=stages)


def waiting_bot(count: int, url: str) -> tuple[Definitions, Parts]:
    """A bot on a database of pipelines that wait (`waiting.py`), whose deployer calls out to an address."""

    def runs(target: str) -> RunningVersion:
        # Worked out, not kept: what is outside takes none of the memory that is measured.
        return RunningVersion(waiting.digest(target.rpartition("-")[0], 1), waiting.version(1))

    deployer = ToldOverHttp(url, runs)
    definitions = Definitions(pipelines=_Waiting(count))
    return definitions, Parts(build_deployer=lambda *_: deployer, has_canaries=False)


class _Waiting(Mapping[str, Pipeline]):
    """The definitions of the lines that wait, each made when it is asked for: of ten thousand none is kept."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __getitem__(self, name: str) -> Pipeline:
        return waiting.pipeline(int(name.rpartition("-")[2]))

    def __iter__(self) -> Iterator[str]:
        return map(service, range(self._count))

    def __len__(self) -> int:
        return self._count


def quick_bot(count: int, outside: Path) -> tuple[Definitions, Parts]:
    """A bot whose lines have nothing to wait for."""
    definitions = Definitions(pipelines={service(n): line(n) for n in range(count)})
    return definitions, Parts(build_deployer=lambda *_: KeptInFiles(outside), has_canaries=False)


async def main(kind: str, count: int, where: str) -> None:
    begin_logging("WARNING")
    definitions, parts = waiting_bot(count, where) if kind == "waiting" else quick_bot(count, Path(where))
    told_to_end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told_to_end.set)
    bot = running(Settings.from_environment(os.environ), definitions, parts)
    del definitions
    async with bot as app:
        rest_collector()
        print(f"at http://127.0.0.1:{app.port} ", flush=True)
        await told_to_end.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
