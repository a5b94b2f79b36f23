"""Durable transitions a second: the product's engine beside the raw driver writing the same rows, in one run.

    python -m bench.transitions [--quick] [--results FILE]

A transition is one durable `decide` by the real rules: the state is read, and state, event and effects are written in
one commit (SQLite: synchronous=FULL; PostgreSQL: synchronous_commit=on). Everybody is a process of its own on the same
two cores, and results count only if the rows in the database are right. `bench/README.md` says what each figure is.
"""

from __future__ import annotations

import contextlib
import json
import pickle
import sqlite3
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy.engine import make_url

from bench import figures, postgres, raw
from bench.figures import Figure, alone, over
from storage.journal import Store, sqlite_url

PIPELINES: Final = 64
CONNECTIONS: Final = 8


@dataclass(frozen=True, slots=True)
class Plan:
    """How many rounds, and seconds for each cell."""

    rounds: int
    seconds: float
    recorded: float
    workloads: tuple[str, ...]


FULL: Final = Plan(rounds=3, seconds=1.5, recorded=3.0, workloads=("release", "pause"))
QUICK: Final = Plan(rounds=1, seconds=0.3, recorded=0.5, workloads=("release",))
Rounds = dict[str, list[float]]


class Contradicted(SystemExit):
    """The rows in the database are not what was acknowledged: there are no results."""


def together(commands: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """Start these processes, have them all work at one time, and collect what they say."""
    processes = [
        subprocess.Popen([sys.executable, "-m", *c], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for c in commands
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise SystemExit("A process did not come up; what it said is above.")
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [process.communicate()[0] for process in processes]
        if any(process.returncode for process in processes):
            raise SystemExit("A process failed; what it said is above.")
        return [json.loads(words) for words in said]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()


def ours(
    url: str, workload: str, seconds: float, *, in_flight: int, processes: int = 1, begin_at: int = 1
) -> list[dict[str, Any]]:
    """So many processes of ours on one database, which share the pipelines and what is in flight."""
    share = PIPELINES // processes
    commands = [
        [
            "bench.worker", url, f"--workload={workload}", f"--seconds={seconds}", f"--first={n * share}",
            f"--pipelines={share}", f"--in-flight={max(1, in_flight // processes)}", f"--begin-at={begin_at}",
        ]
        for n in range(processes)
    ]  # fmt: skip
    told = together(commands)
    check(url, sum(one["count"] for one in told), begin_at)
    return told


def check(url: str, acknowledged: int, begin_at: int = 1) -> None:
    """Raise Contradicted unless each acknowledged transition is one event in an unbroken chain."""
    rows = ask(url, "SELECT pipeline_id, count(*), max(seq), min(seq) FROM events GROUP BY pipeline_id")
    heads = dict(ask(url, "SELECT id, version FROM pipelines"))
    whole = all(count == last == heads[name] and first == 1 for name, count, last, first in rows)
    before = len(heads) * 6  # the definition, and the five transitions of the first release
    found = sum(row[1] for row in rows) - before
    if begin_at == 1 and (not whole or found != acknowledged):
        raise Contradicted(f"{acknowledged} transitions were acknowledged, {found} are in the database.")
    store = Store(url)
    try:
        broken = [name for name in sorted(heads)[:2] if store.verify(name) is not None]
    finally:
        store.close()
    if broken:
        raise Contradicted(f"The chain of {broken[0]} is broken.")


def ask(url: str, statement: str) -> list[Any]:
    """One statement, past Andon; its rows."""
    if make_url(url).get_backend_name() == "sqlite":
        with contextlib.closing(sqlite3.connect(str(make_url(url).database))) as database:
            return database.execute(statement).fetchall()
    return postgres.Postgres.ask(url, statement)


def yardstick(url: str, recording: Path, seconds: float, connections: int) -> list[dict[str, Any]]:
    """The raw driver on a database of its own."""
    told = together([["bench.raw", url, str(recording), f"--connections={connections}", f"--seconds={seconds}"]])
    kept: raw.Recording = pickle.loads(recording.read_bytes())
    found = ask(url, "SELECT count(*) FROM events")[0][0] - len(kept.tables["events"])
    if found != told[0]["count"]:
        raise Contradicted(f"The yardstick says {told[0]['count']} transitions, {found} are in its database.")
    return told


def rate(told: Sequence[dict[str, Any]]) -> float:
    """Transitions a second of all processes together."""
    return sum(float(one["count"]) for one in told) / max(float(one["seconds"]) for one in told)


class Run:
    """All cells, round by round."""

    def __init__(self, plan: Plan, folder: Path, server: postgres.Postgres) -> None:
        self.cells: dict[str, Rounds] = defaultdict(lambda: defaultdict(list))
        self._plan, self._folder, self._server = plan, folder, server
        self._numbers = iter(range(1_000_000))

    def round(self, workload: str, recording: Path) -> None:
        """Everything once. The yardsticks stand between ours: what drifts, drifts for both."""
        seconds = self._plan.seconds
        with self._file() as url:
            self._keep(f"{workload}: SQLite, 1", ours(url, workload, seconds, in_flight=1))
        with self._file() as url:
            self._keep(f"{workload}: SQLite, raw", yardstick(url, recording, seconds, 1))
        with self._file() as url:
            self._keep(f"{workload}: SQLite, 64", ours(url, workload, seconds, in_flight=64))
        for name, connections in (("raw", 1), ("raw, 8 connections", CONNECTIONS)):
            with self._database() as url:
                self._keep(f"{workload}: PostgreSQL, {name}", yardstick(url, recording, seconds, connections))
        for name, in_flight, processes in (("1", 1, 1), ("64", 64, 1), ("64, 2 processes", 64, 2)):
            with self._database() as url:
                told = ours(url, workload, seconds, in_flight=in_flight, processes=processes)
                self._keep(f"{workload}: PostgreSQL, {name}", told)

    def _keep(self, name: str, told: Sequence[dict[str, Any]]) -> None:
        cell = self.cells[name]
        cell["per_second"].append(rate(told))
        for figure in ("p50_ms", "p99_ms", "cpu_us"):
            cell[figure].append(max(float(one[figure]) for one in told))

    @contextlib.contextmanager
    def _file(self) -> Iterator[str]:
        path = self._folder / f"{next(self._numbers)}.db"
        yield sqlite_url(path)
        for left in self._folder.glob(f"{path.name}*"):
            left.unlink()

    @contextlib.contextmanager
    def _database(self) -> Iterator[str]:
        url = self._server.fresh()
        yield url
        self._server.drop(url)


def found(cells: dict[str, Rounds]) -> list[Figure]:
    """The figures. Without a word before them they are those of releases; `pauses_` are the cord pulled and let go."""

    def rates(workload: str, name: str) -> list[float]:
        return cells[f"{workload}: {name}"]["per_second"]

    result = []
    for workload, prefix in (("release", ""), ("pause", "pauses_")):
        if f"{workload}: SQLite, 64" not in cells:
            continue
        pairs = {
            "sqlite_64_vs_raw1": ("SQLite, 64", "SQLite, raw"),
            "sqlite_1_vs_raw1": ("SQLite, 1", "SQLite, raw"),
            "postgres_64_vs_raw8": ("PostgreSQL, 64", "PostgreSQL, raw, 8 connections"),
            "postgres_1_vs_raw1": ("PostgreSQL, 1", "PostgreSQL, raw"),
            "postgres_2_processes_vs_1": ("PostgreSQL, 64, 2 processes", "PostgreSQL, 64"),
        }
        for name, (mine, theirs) in pairs.items():
            result.append(over(f"{prefix}{name}", rates(workload, mine), rates(workload, theirs), "/s"))
        for name in ("SQLite", "PostgreSQL"):
            tails = cells[f"{workload}: {name}, 64"]["p99_ms"]
            result.append(alone(f"{prefix}{name.lower()}_64_p99_ms", tails, "ms"))
    return result


def main(argv: Sequence[str] | None = None) -> int:
    given = figures.asked(__doc__, argv)
    load_before, plan = figures.load_average(), QUICK if given.is_quick else FULL
    with tempfile.TemporaryDirectory(prefix="andon-bench-") as name, postgres.running() as server:
        folder = Path(name)
        run = Run(plan, folder, server)
        recordings = {workload: folder / f"{workload}.recording" for workload in plan.workloads}
        for workload, path in recordings.items():
            path.write_bytes(pickle.dumps(raw.record(workload, PIPELINES, plan.recorded)))
        for _ in range(plan.rounds):
            for workload, path in recordings.items():
                run.round(workload, path)
    for cell, rounds in run.cells.items():
        middle = {name: sorted(values)[len(values) // 2] for name, values in rounds.items()}
        print(
            f"{cell:<40}{middle['per_second']:8,.0f} a second   p50 {middle['p50_ms']:6.2f}"
            f"   p99 {middle['p99_ms']:6.2f} ms   {middle['cpu_us']:5.0f} µs of CPU"
        )
    medians = {
        cell: {name: round(sorted(values)[len(values) // 2], 3) for name, values in rounds.items()}
        for cell, rounds in run.cells.items()
    }
    figures.report(
        "transitions", found(run.cells), given.results, load_before=load_before, rounds=plan.rounds, medians=medians
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
