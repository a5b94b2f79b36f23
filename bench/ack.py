"""How fast Andon acknowledges: beside Bolt and beside nothing at all, in one run on one machine.

    python -m bench.ack [--quick] [--results FILE]

A command or click goes through the real signed HTTP of the real process, and is answered after its event, state and
effects are on disk (SQLite, synchronous=FULL). Machines differ and drift, so only ratios within one run mean anything;
`bench/README.md` says what each figure is and how it is taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench import company, load
from bench.figures import Figure, asked, load_average, merge
from bench.processes import LOAD_CORE, SERVER_CORE, Server, pin

AT_200: Final = "200/s"
CELLS: Final = {AT_200: 0, "c=1": 1, "c=16": 16, "c=64": 64}
"""Callers. From light to heavy: what a heavy cell leaves to be posted in Slack burdens no lighter one."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table: what is asked of a server."""

    name: str
    kind: str
    cells: tuple[str, ...] = tuple(CELLS)


BARE: Final = Line("bare, command", "pause")
BARE_CLICK: Final = Line("bare, click", "click")
DEFAULT: Final = Line("Bolt default, command", "pause")
DEFAULT_CLICK: Final = Line("Bolt default, click", "click")
CEILING: Final = Line("Bolt ceiling, command", "pause")
CEILING_CLICK: Final = Line("Bolt ceiling, click", "click")
CEILING_HUNDRED: Final = Line("Bolt ceiling, 100 more", "pause", ("c=16",))
READS: Final = Line("Andon, why (reads)", "why")
ANDON: Final = Line("Andon, pause and resume", "pause")
HUNDRED: Final = Line("Andon, the same, 100 more", "pause")
CLICK: Final = Line("Andon, click", "click")

Processes = tuple[tuple[str, tuple[Line, ...]], ...]
PROCESSES: Final[Processes] = (
    ("bare", (BARE, BARE_CLICK)),
    ("bolt", (DEFAULT, DEFAULT_CLICK)),
    ("andon", (CLICK,)),
    ("ceiling", (CEILING, CEILING_CLICK)),
    ("andon", (READS, ANDON)),
    ("andon-100", (HUNDRED,)),
    ("ceiling-100", (CEILING_HUNDRED,)),
)
"""A round: each process in its turn, and what it is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How many rounds, and seconds for each cell."""

    rounds: int
    callers: float
    at_rate: float


FULL: Final = Plan(rounds=3, callers=1.2, at_rate=3.0)
QUICK: Final = Plan(rounds=1, callers=0.3, at_rate=0.7)


@dataclass(slots=True)
class Cell:
    """What one cell came to, round by round: answers a second, milliseconds, and microseconds of CPU an answer."""

    rate: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def add(self, measured: load.Measured, cpu: float | None) -> None:
        """One more round."""
        self.rate.append(measured.rate)
        self.p50.append(measured.percentile(0.50))
        self.p99.append(measured.percentile(0.99))
        if cpu is not None:
            self.cpu.append(cpu / max(1, len(measured.latencies)) * 1e6)


@dataclass(frozen=True, slots=True)
class Ratio:
    """A figure round by round; its median is what counts."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.rounds)

    def __str__(self) -> str:
        return f"{self.median:.3f} ({min(self.rounds):.3f}–{max(self.rounds):.3f})"


Cells = dict[tuple[str, str], Cell]


# ---- measuring ------------------------------------------------------------------------------------------------------


class Bench:
    """One run."""

    def __init__(
        self, plan: Plan, processes: Processes, folder: Path, sink: Server, releases: Mapping[str, str]
    ) -> None:
        self.cells: Cells = defaultdict(Cell)
        self.acknowledged = self.refused = 0
        self._plan = plan
        self._processes = processes
        self._folder = folder
        self._releases = releases
        self._slack = {
            "SLACK_API_URL": f"http://127.0.0.1:{sink.port}/api/",
            "SLACK_BOT_TOKEN": company.BOT_TOKEN,
            "SLACK_SIGNING_SECRET": company.SIGNING_SECRET,
        }
        self._respond_url = f"http://127.0.0.1:{sink.port}/api/response"

    def round(self, number: int) -> None:
        """Every process in its turn, so that what drifts drifts for all."""
        for place, (name, lines) in enumerate(self._processes):
            state = self._folder / f"state-{number}-{place}"
            settings = company.copy(self._folder, state) if name.startswith("andon") else {}
            server = Server(
                ["-m", "bench.servers", name], self._slack | settings, self._folder / f"{name}.log", SERVER_CORE
            )
            try:
                server.wait_until_quiet()
                acknowledged = asyncio.run(self._measure(server, lines))
            finally:
                server.kill()
            if name.startswith("andon"):
                count, refused = look_for(acknowledged, state)
                self.acknowledged += count
                self.refused += refused

    async def _measure(self, server: Server, lines: Sequence[Line]) -> list[str]:
        """All cells of one process; returns the deliveries that were acknowledged as recorded."""
        acknowledged: list[str] = []
        for line in lines:
            asker = load.Asker(server.port, line.kind, respond_url=self._respond_url, releases=self._releases)
            connections = await load.connected(server.port)
            # Every service is asked about, so that its card stands in Slack before anything is measured.
            warm = await load.by_count(asker, connections, company.SERVICES)
            acknowledged += warm.acknowledged if line.kind != "why" else []
            await asyncio.to_thread(server.wait_until_quiet)
            for cell in line.cells:
                before = server.cpu_seconds()
                if cell == AT_200:
                    measured = await load.at_rate(asker, connections, 200, self._plan.at_rate)
                else:
                    measured = await load.by_callers(asker, connections, CELLS[cell], self._plan.callers)
                after = server.cpu_seconds()
                if measured.failed:
                    raise SystemExit(f"{line.name}, {cell}: {len(measured.failed)} failed, as {measured.failed[0]!r}")
                cpu = after - before if after is not None and before is not None else None
                self.cells[line.name, cell].add(measured, cpu)
                acknowledged += measured.acknowledged if line.kind != "why" else []
            for connection in connections:
                connection.close()
            await asyncio.sleep(0)
        return acknowledged


def look_for(acknowledged: Sequence[str], state: Path) -> tuple[int, int]:
    """How many acts were acknowledged, and how many of these as refused; all are in the killed process's database.

    At a constant rate two acts on one service can meet where a machine stalls, and the later one may be refused: that
    is recorded and answered like any other.
    """
    with contextlib.closing(sqlite3.connect(state / "andon.db")) as database:
        rows = database.execute("SELECT dedupe_key, refused FROM events WHERE dedupe_key LIKE 'slack:%'").fetchall()
    refused = [key for key, was_refused in rows if was_refused]
    recorded = {key for key, _ in rows}
    missing = [trigger for trigger in acknowledged if f"slack:{trigger}" not in recorded]
    if missing or len(rows) != len(recorded):
        raise SystemExit(
            f"Of {len(acknowledged)} acknowledged acts {len(missing)} are not in the database,"
            f" {len(rows) - len(recorded)} are there twice."
        )
    return len(acknowledged), len(refused)


# ---- what it came to ------------------------------------------------------------------------------------------------


def ratios(cells: Cells) -> dict[str, Ratio]:
    """The figures that count, as far as their lines were measured. Rates: more is better; times: less."""

    def figures(line: Line, cell: str) -> Cell:
        return cells.get((line.name, cell), Cell())

    def rates(ours: Line, yardstick: Line, cell: str) -> tuple[float, ...]:
        return _over(figures(ours, cell).rate, figures(yardstick, cell).rate)

    def halves(ours: Line, yardstick: Line) -> tuple[float, ...]:
        return _over(figures(ours, "c=1").p50, figures(yardstick, "c=1").p50)

    def tails(ours: Line, yardstick: Line) -> tuple[float, ...]:
        return _over(figures(ours, AT_200).p99, figures(yardstick, AT_200).p99)

    found = {
        "ack_c16_vs_bolt_ceiling": rates(ANDON, CEILING, "c=16"),
        "ack_c64_vs_bolt_ceiling": rates(ANDON, CEILING, "c=64"),
        "ack_p50_vs_bolt_default": halves(ANDON, DEFAULT),
        "ack_p99_ms_at_200": tuple(figures(ANDON, AT_200).p99),
        "ack_p99_vs_ceiling_at_200": tails(ANDON, CEILING),
        "ack_c16_vs_bare": rates(ANDON, BARE, "c=16"),
        "ack_cpu_vs_ceiling_c16": _over(figures(ANDON, "c=16").cpu, figures(CEILING, "c=16").cpu),
        "read_c16_vs_bolt_ceiling": rates(READS, CEILING, "c=16"),
        "click_c16_vs_bolt_ceiling": rates(CLICK, CEILING_CLICK, "c=16"),
        "click_p50_vs_bolt_default": halves(CLICK, DEFAULT_CLICK),
        "click_p99_ms_at_200": tuple(figures(CLICK, AT_200).p99),
        "click_p99_vs_ceiling_at_200": tails(CLICK, CEILING_CLICK),
        "hundred_listeners_cost": tuple(1 - kept for kept in rates(HUNDRED, ANDON, "c=16")),
        "hundred_listeners_cost_bolt": tuple(1 - kept for kept in rates(CEILING_HUNDRED, CEILING, "c=16")),
    }
    return {name: Ratio(rounds) for name, rounds in found.items() if rounds}


def _over(ours: Sequence[float], yardstick: Sequence[float]) -> tuple[float, ...]:
    """Round by round; nothing where one of the two was not measured, or took less CPU than the system counts."""
    return tuple(a / b for a, b in zip(ours, yardstick, strict=False) if b)


def table(cells: Cells, processes: Processes = PROCESSES) -> Iterator[str]:
    """The table, for people."""
    yield f"{'':<28}" + "".join(f"{cell:>26}" for cell in CELLS) + f"{'CPU µs, c=16':>14}"
    yield f"{'':<28}" + f"{'p50 / p99 ms':>26}" + f"{'a second, p50 / p99 ms':>26}" * 3
    for _, lines in processes:
        for line in lines:
            yield f"{line.name:<28}" + "".join(_in_table(cells, line, cell) for cell in CELLS) + _cpu(cells, line)


def _in_table(cells: Cells, line: Line, name: str) -> str:
    if name not in line.cells:
        return f"{'–':>26}"
    cell = cells[line.name, name]
    times = f"{statistics.median(cell.p50):.2f} / {statistics.median(cell.p99):.1f}"
    return f"{times if name == AT_200 else f'{statistics.median(cell.rate):,.0f}, {times}':>26}"


def _cpu(cells: Cells, line: Line) -> str:
    used = cells[line.name, "c=16"].cpu
    return f"{statistics.median(used):14,.0f}" if used else f"{'–':>14}"


def medians(cells: Cells) -> dict[str, dict[str, float | None]]:
    """What each cell came to, for the results."""
    return {
        f"{line}, {cell}": {
            "per_second": round(statistics.median(figures.rate)),
            "p50_ms": round(statistics.median(figures.p50), 3),
            "p99_ms": round(statistics.median(figures.p99), 3),
            "cpu_us": round(statistics.median(figures.cpu)) if figures.cpu else None,
        }
        for (line, cell), figures in cells.items()
    }


def run(
    plan: Plan, results: Path | None, say: Callable[[str], None] = print, processes: Processes = PROCESSES
) -> dict[str, Ratio]:
    """Measure everything, print the table, write the results; returns the ratios."""
    is_pinned, load_before = pin(LOAD_CORE), load_average()
    with tempfile.TemporaryDirectory(prefix="andon-bench-") as name:
        folder = Path(name)
        releases = company.prepare(folder)
        sink = Server(["-m", "bench.servers", "sink"], {}, folder / "sink.log", LOAD_CORE)
        try:
            bench = Bench(plan, processes, folder, sink, releases)
            for number in range(plan.rounds):
                bench.round(number)
        finally:
            sink.kill()
    found = ratios(bench.cells)
    say(f"{plan.rounds} rounds; servers on core {SERVER_CORE}, load on core {LOAD_CORE}" if is_pinned else "not pinned")
    for row in table(bench.cells, processes):
        say(row)
    say(f"\nAll {bench.acknowledged:,} acknowledged acts are in the databases of the killed processes.")
    say(f"Of them {bench.refused:,} were refused, having met another on the same service.")
    say("")
    for key, ratio in found.items():
        say(f"{key:<30}{ratio}")
    if results is not None:
        shown = [Figure(name, ratio.rounds) for name, ratio in found.items()]
        merge(results, "ack", shown, load_before=load_before, rounds=plan.rounds, medians=medians(bench.cells))
    return found


def main(argv: Sequence[str] | None = None) -> int:
    given = asked(__doc__, argv)
    run(QUICK if given.is_quick else FULL, given.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
