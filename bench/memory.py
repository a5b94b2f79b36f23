"""Memory and idle CPU of the whole process while ten thousand pipelines wait; how long it takes to come up with them.

    python -m bench.memory [--quick] [--results FILE]

Each pipeline holds a release that bakes in production (`waiting.py`). The process is the bot as `andon run` runs it, on
SQLite and without a workspace; its definitions come from code, because reading ten thousand files is no part of this.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import figures, waiting
from bench.figures import alone, over
from bench.processes import Server, seconds_to_run
from storage.journal import Store, sqlite_url

NOWHERE: Final = "http://127.0.0.1:9/call"
WHOLE_BOT: Final = ("-c", "import bot.run, bot.app, bot.cli")


@dataclass(frozen=True, slots=True)
class Plan:
    """How many rounds and pipelines, and for how many seconds idle CPU is watched: what is done each minute counts."""

    rounds: int
    pipelines: int
    seconds: float


FULL: Final = Plan(rounds=2, pipelines=10_000, seconds=62.0)
QUICK: Final = Plan(rounds=1, pipelines=300, seconds=3.0)


def main(argv: Sequence[str] | None = None) -> int:
    given = figures.asked(__doc__, argv)
    load_before, plan = figures.load_average(), QUICK if given.is_quick else FULL
    cells: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="andon-bench-") as name:
        folder = Path(name)
        file = folder / "andon.db"
        waiting.fill(sqlite_url(file), plan.pipelines)
        Store(sqlite_url(folder / "empty.db")).close()
        environment = {"DATABASE_URL": sqlite_url(file), "ANDON_STATE": name, "PORT": "0"}
        for _ in range(plan.rounds):
            cells["import"].append(seconds_to_run(WHOLE_BOT, {}))
            for many in (plan.pipelines, 0):
                # Without pipelines it works on an empty database: what the bot itself takes.
                given_url = environment if many else environment | {"DATABASE_URL": sqlite_url(folder / "empty.db")}
                begun = time.perf_counter()
                words = ["-m", "bench.replica", "waiting", str(many), NOWHERE]
                server = Server(words, given_url, folder / "bot.log", None)
                try:
                    cells[f"up {many}"].append(time.perf_counter() - begun)
                    server.wait_until_quiet()
                    time.sleep(2)
                    before, since = server.cpu_seconds() or 0.0, time.perf_counter()
                    time.sleep(plan.seconds if many else 0.1)
                    used = (server.cpu_seconds() or 0.0) - before
                    cells[f"idle {many}"].append(used / (time.perf_counter() - since) * 100)
                    cells[f"rss {many}"].append(server.rss_mb())
                finally:
                    server.kill()
    many, size = plan.pipelines, f"{plan.pipelines // 1000}k" if plan.pipelines >= 1000 else str(plan.pipelines)
    per_pipeline = [(a - b) * 1024 / many for a, b in zip(cells[f"rss {many}"], cells["rss 0"], strict=True)]
    shown = [
        alone(f"rss_mb_{size}_pipelines", cells[f"rss {many}"], "MB", figures.in_words(cells["rss 0"], "MB empty")),
        alone("kb_per_pipeline", per_pipeline, "kB"),
        alone(f"idle_core_percent_{size}_pipelines", cells[f"idle {many}"], "%"),
        over(f"ready_with_{size}_pipelines_vs_import", cells[f"up {many}"], cells["import"], "s"),
        over("ready_without_pipelines_vs_import", cells["up 0"], cells["import"], "s"),
    ]
    figures.report("memory", shown, given.results, load_before=load_before, rounds=plan.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
