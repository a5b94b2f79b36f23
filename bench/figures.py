"""The figures that count: their goals, how a run hands its own in, and the one table of them all.

    python -m bench.figures [FILE]      the table of the last runs, from bench/results.json

Every module of this room measures a few of them and merges them into one file, so that each can be run alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

BUSY: Final = 0.8
"""A load average above which others take part of the two cores."""
RESULTS: Final = Path(__file__).with_name("results.json")


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure should come to: at least, or at most, so much."""

    at_least: float | None = None
    at_most: float | None = None

    def is_met(self, value: float) -> bool:
        """Whether a value is good enough."""
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    def __str__(self) -> str:
        return f"≥ {self.at_least:g}" if self.at_least is not None else f"≤ {self.at_most:g}"


GOALS: Final[Mapping[str, Goal]] = {
    "ack_c16_vs_bolt_ceiling": Goal(at_least=0.6),
    "ack_p50_vs_bolt_default": Goal(at_most=0.25),
    "ack_p99_ms_at_200": Goal(at_most=10),
    "ack_p99_vs_ceiling_at_200": Goal(at_most=2.5),
    "hundred_listeners_cost": Goal(at_most=0.05),
    "sqlite_64_vs_raw1": Goal(at_least=2.5),
    "postgres_64_vs_raw8": Goal(at_least=5),
    "postgres_2_processes_vs_1": Goal(at_least=1.1),
    "transitions_vs_dbos": Goal(at_least=20),
    "runs_vs_procrastinate": Goal(at_least=5),
    "stage_deployments_per_s_2_replicas": Goal(at_least=100),
    "alarm_p99_vs_floor": Goal(at_most=2.5),
    "alarm_to_rollback_p99_ms_1000_pipelines": Goal(at_most=25),
    "storm_500_last_ms": Goal(at_most=1_000),
    "growth_10k_to_10m_events": Goal(at_most=0.15),
    "rss_mb_10k_pipelines": Goal(at_most=120),
    "idle_core_percent_10k_pipelines": Goal(at_most=1),
    "shell_vs_import": Goal(at_most=0.33),
    "help_vs_import": Goal(at_most=0.33),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure, round by round; `ours` and `yardstick` are the medians it came from, in words."""

    name: str
    rounds: tuple[float, ...]
    ours: str = ""
    yardstick: str = ""

    @property
    def median(self) -> float:
        """The one that counts."""
        return statistics.median(self.rounds)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line of a module says."""

    is_quick: bool
    results: Path | None


def over(name: str, ours: Sequence[float], yardstick: Sequence[float], unit: str) -> Figure:
    """Ours ÷ yardstick, each round by itself, because machines drift."""
    rounds = tuple(a / b for a, b in zip(ours, yardstick, strict=True))
    return Figure(name, rounds, in_words(ours, unit), in_words(yardstick, unit))


def alone(name: str, values: Sequence[float], unit: str, yardstick: str = "–") -> Figure:
    """A figure that is measured by itself."""
    return Figure(name, tuple(values), in_words(values, unit), yardstick)


def in_words(values: Sequence[float], unit: str) -> str:
    """The median of some values, with their unit."""
    return f"{_short(statistics.median(values))} {unit}".strip()


def asked(doc: str | None, argv: Sequence[str] | None = None) -> Asked:
    """The command line that all modules share. Says so first where the machine is busy."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one short round: does it work, and roughly how fast")
    parser.add_argument("--results", type=Path, help="where to write them [bench/results.json; with --quick nowhere]")
    given = parser.parse_args(argv)
    for sentence in busy():
        print(sentence, flush=True)
    return Asked(given.quick, given.results or (None if given.quick else RESULTS))


def load_average() -> float:
    """Of the last minute."""
    return round(os.getloadavg()[0], 1)


def busy() -> Iterator[str]:
    """The sentence to begin with where others take part of the cores."""
    if (load := load_average()) > BUSY:
        yield f"The machine was busy before it began (load {load}): these figures say little, see bench/README.md."


def report(
    module: str,
    figures: Sequence[Figure],
    results: Path | None,
    *,
    load_before: float,
    rounds: int,
    medians: Mapping[str, Any] | None = None,
) -> None:
    """Print a module's own figures, and merge them into the file of all."""
    for row in table({figure.name: _entry(figure) for figure in figures}):
        print(row)
    if results is not None:
        merge(results, module, figures, load_before=load_before, rounds=rounds, medians=medians)


def merge(
    results: Path,
    module: str,
    figures: Sequence[Figure],
    *,
    load_before: float,
    rounds: int,
    medians: Mapping[str, Any] | None = None,
) -> None:
    """Put a module's figures in the place of its last ones; those of the others stay."""
    known: dict[str, Any] = json.loads(results.read_text()) if results.exists() else {}
    details, runs = known.pop("details", {}), known.pop("runs", {})
    gone = set(runs.get(module, {}).get("figures", ()))
    details = {name: entry for name, entry in details.items() if name not in gone}
    details |= {figure.name: _entry(figure) for figure in figures}
    runs[module] = {
        "measured_on": f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
        "python": platform.python_version(),
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "load_average_before": load_before,
        "rounds": rounds,
        "figures": [figure.name for figure in figures],
        "medians": medians or {},
    }
    numbers = {name: details[name]["median"] for name in _in_order(details)}
    content = {**numbers, "details": {name: details[name] for name in numbers}, "runs": runs}
    results.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def table(details: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The table, for people: figure, ours, yardstick, figure (lowest–highest), goal, met."""
    yield f"{'figure':<42}{'ours':>16}{'yardstick':>16}{'median (lowest–highest)':>28}{'goal':>9}  met"
    for name in _in_order(details):
        entry = details[name]
        spread = f"{_short(entry['median'])} ({_short(entry['lowest'])}–{_short(entry['highest'])})"
        goal = GOALS.get(name)
        met = "" if goal is None else "yes" if goal.is_met(entry["median"]) else "NO"
        yield f"{name:<42}{entry['ours']:>16}{entry['yardstick']:>16}{spread:>28}{goal or '–'!s:>9}  {met}".rstrip()


def _entry(figure: Figure) -> dict[str, Any]:
    goal = GOALS.get(figure.name)
    return {
        "median": round(figure.median, 4),
        "lowest": round(min(figure.rounds), 4),
        "highest": round(max(figure.rounds), 4),
        "ours": figure.ours,
        "yardstick": figure.yardstick,
        "goal": None if goal is None else str(goal),
        "met": None if goal is None else goal.is_met(figure.median),
    }


def _in_order(names: Mapping[str, Any]) -> list[str]:
    """Those with a goal first, as they are listed."""
    return [name for name in GOALS if name in names] + sorted(set(names) - set(GOALS))


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.figures", description="the table of the last runs")
    parser.add_argument("file", type=Path, nargs="?", default=RESULTS)
    content = json.loads(parser.parse_args(argv).file.read_text())
    for row in table(content["details"]):
        print(row)
    for name, run in content["runs"].items():
        if run["load_average_before"] > BUSY:
            print(f"{name} ran on a busy machine (load {run['load_average_before']}): its figures say little.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
