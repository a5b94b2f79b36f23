"""What a long history costs: transitions a second over ten thousand events, and over ten million.

    python -m bench.growth [--quick] [--results FILE]

Both databases hold the same 64 pipelines, with their histories in valid chains (`history.py`); SQLite, sixty-four
releases in flight. The figure is how much longer a transition takes over the long history. The long one is kept from
one run to the next, so it grows a little with each.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import figures, history, transitions
from bench.figures import Figure, in_words
from bench.history import PIPELINES
from storage.journal import sqlite_url

IN_FLIGHT: Final = 64


@dataclass(frozen=True, slots=True)
class Plan:
    """How many rounds, seconds for each, and events in the two histories."""

    rounds: int
    seconds: float
    short: int
    long: int


FULL: Final = Plan(rounds=5, seconds=2.0, short=10_000, long=10_000_000)
QUICK: Final = Plan(rounds=1, seconds=0.5, short=1_000, long=50_000)


def measured(url: str, seconds: float) -> float:
    """Transitions a second; each one acknowledged must be a row."""
    before, after = ("SELECT sum(version), (SELECT max(id) FROM events) FROM pipelines",) * 2
    first = transitions.ask(url, before)[0]
    # No delivery comes twice, in however many runs.
    words = [
        "bench.worker",
        url,
        f"--seconds={seconds}",
        f"--pipelines={PIPELINES}",
        f"--in-flight={IN_FLIGHT}",
        f"--begin-at={time.time_ns() // 1000}",
    ]
    told = transitions.together([words])
    last = transitions.ask(url, after)[0]
    count = told[0]["count"]
    if last[0] - first[0] != count or last[1] - first[1] != count:
        raise transitions.Contradicted(f"{count} transitions were acknowledged, {last[1] - first[1]} are there.")
    return transitions.rate(told)


def main(argv: Sequence[str] | None = None) -> int:
    given = figures.asked(__doc__, argv)
    load_before, plan = figures.load_average(), QUICK if given.is_quick else FULL
    short: list[float] = []
    long: list[float] = []
    with tempfile.TemporaryDirectory(prefix="andon-bench-") as name:
        files = [Path(name) / "short.db", history.kept(plan.long) if not given.is_quick else Path(name) / "long.db"]
        history.make(files[0], plan.short, processes=1)
        if given.is_quick:
            history.make(files[1], plan.long)
        for _ in range(plan.rounds):
            for file, rates in zip(files, (short, long), strict=True):
                rates.append(measured(sqlite_url(file), plan.seconds))
    slower = tuple(a / b - 1 for a, b in zip(short, long, strict=True))
    shown = Figure(_name(plan), slower, in_words(long, "/s"), in_words(short, "/s"))
    figures.report("growth", [shown], given.results, load_before=load_before, rounds=plan.rounds)
    return 0


def _name(plan: Plan) -> str:
    def short(events: int) -> str:
        return f"{events // 1_000_000}m" if events >= 1_000_000 else f"{events // 1_000}k"

    return f"growth_{short(plan.short)}_to_{short(plan.long)}_events"


if __name__ == "__main__":
    sys.exit(main())
