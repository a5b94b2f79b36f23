"""Many lives at once, on every core; the same result whatever their number, and what is done so far if it is ended."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Generator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field, replace
from multiprocessing import get_context

from company.caution import served_without, without
from company.life import USUAL, Habits, Life, Limit
from company.shapes import Plan, plan, planned, watched_from_afar
from company.tally import Tally
from core.releases.pipeline import Pipeline

A_LIFE = 2_000
"""Deployments in one life, where nothing else is asked for."""
MOST_SERVICES = 20_000
AHEAD = 2
"""Pieces of work that wait for each process, so that none is idle; few, so that an end is soon."""

Progress = Callable[[int, int], None]
Parts = Generator[tuple[int, Tally], None, None]


@dataclass(frozen=True, slots=True)
class Company:
    """What is simulated: services by number, each with its limit; `line` for one team's own pipeline, lived many times.

    `cautions` are the ones left out. `changes` ends each life after so many changes, so that runs with other cautions
    see the same ones; otherwise `deployments` are shared out.
    """

    seed: int = 1
    services: int = 1
    deployments: int = 0
    changes: int = 0
    line: Pipeline | None = None
    requests: int = 6_000
    cautions: frozenset[str] = frozenset()
    habits: Habits = field(default=USUAL)

    def limit(self, number: int) -> Limit:
        """The share of one service: all the same, the first few one more."""
        if self.changes:
            return Limit(changes=self.changes)
        share, rest = divmod(self.deployments, self.services)
        return Limit(deployments=share + (number < rest))

    def plan(self, number: int) -> Plan:
        """What one service is made of."""
        if self.line is not None:
            whole = planned(watched_from_afar(self.line), self.requests)
        else:
            whole = plan(str(self.seed), number)
        if not self.cautions:
            return whole
        bare = without(whole.pipeline, self.cautions)
        served = served_without(whole.pipeline, bare, whole.customers)
        return replace(whole, pipeline=bare, customers=served)

    def live(self, number: int) -> Tally:
        """One service, from its first version to its limit."""
        return Life(f"{self.seed}/{number}", self.plan(number), self.limit(number), self.habits).run()


def services_for(deployments: int) -> int:
    """How many services share so many deployments, where nobody said."""
    return max(1, min(MOST_SERVICES, deployments // A_LIFE))


def simulate(company: Company, processes: int = 0, progress: Progress | None = None) -> tuple[Tally, bool]:
    """Live all lives; returns the counts, and whether they are all there. Ctrl-C ends it with those that are."""
    whole = Tally()
    done = 0
    pieces = _pieces(company)
    tallies = _alone(company, pieces) if processes == 1 else _shared(company, pieces, processes or os.cpu_count() or 1)
    try:
        for count, part in tallies:
            whole.add(part)
            done += count
            if progress is not None:
                progress(done, company.services)
    except KeyboardInterrupt:
        tallies.close()
        return whole, False
    return whole, True


def _pieces(company: Company) -> list[range]:
    """Services in runs of a second of work each."""
    share = max(1, company.deployments // company.services if company.deployments else 20 * company.changes)
    length = max(1, min(company.services // 8, 1_000 // share))
    return [range(n, min(n + length, company.services)) for n in range(0, company.services, length)]


def live_all(company: Company, numbers: range) -> tuple[int, Tally]:
    """One piece of work."""
    whole = Tally()
    # A life is one knot of objects that is dropped at its end; looking for knots all the while costs a tenth.
    # What is there already is no part of it, and is not walked through at the end.
    gc.freeze()
    gc.disable()
    try:
        for number in numbers:
            whole.add(company.live(number))
    finally:
        gc.enable()
        gc.collect()
        gc.unfreeze()
    return len(numbers), whole


def _alone(company: Company, pieces: list[range]) -> Parts:
    for piece in pieces:
        yield live_all(company, piece)


def _shared(company: Company, pieces: list[range], processes: int) -> Parts:
    # Started anew, not forked: whoever calls this may have threads.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_leave_interrupts) as pool:
        left = list(reversed(pieces))
        under_way: set[Future[tuple[int, Tally]]] = set()
        try:
            while left or under_way:
                while left and len(under_way) < processes * AHEAD:
                    under_way.add(pool.submit(live_all, company, left.pop()))
                ended, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                for future in ended:
                    yield future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _leave_interrupts() -> None:
    """Ctrl-C goes to all processes of a terminal; the first one ends the others when their piece is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
