"""Many releases in one process and on clocks of their own: halted at random points, on clocks that jump.

One bot on SQLite, or several on one PostgreSQL. Nothing waits: time is moved, and each bot does what is due by its own
clock, which is set forward and back now and then. A bot that was halted is thrown away, and another one goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
from sqlalchemy import text

from bot.app import App, build
from bot.clock import FakeClock
from core.ports import Deployer, Outcome
from core.releases.state import PipelineState
from integrations.scripted import OutsideWorld, ScriptedDeployer
from simulator.people import Simulator
from tests.chaos import company
from tests.chaos.crowd import Crowd
from tests.chaos.judging import Evidence, problems
from tests.chaos.outside import Moods
from tests.crashes.line import Trap
from tests.scenarios.kit import ADMIN, Story, story

SERVICES = 3
MOST_STEPS = 400
CLOCKS_APART = 20.0
"""Seconds that a clock is set forward or back."""


class JumpingClock(FakeClock):
    """Another machine's view of a clock that is moved by hand."""

    def __init__(self, true: FakeClock, off: timedelta) -> None:
        super().__init__()
        self._true = true
        self.off = off

    def now(self) -> datetime:
        """The present instant as this machine sees it."""
        return self._true.now() + self.off


@dataclass
class Berth:
    """A place for one bot; who is halted is followed by another one."""

    clock: JumpingClock
    bot: App
    trap: Trap


@dataclass
class Voyage:
    """The bots and what was done to them; people stand in front of it."""

    s: Story
    seed: str
    dice: random.Random
    session: aiohttp.ClientSession
    database: str
    berths: list[Berth] = field(default_factory=list)
    states: dict[str, PipelineState] = field(default_factory=dict)
    outcomes: dict[tuple[str, str], str] = field(default_factory=dict)
    tally: Counter[str] = field(default_factory=Counter)
    troubles: list[str] = field(default_factory=list)
    is_calm: bool = False

    @property
    def simulator(self) -> Simulator:
        """The workspace."""
        return self.s.simulator

    # ---- bots -------------------------------------------------------------------------------------------------------

    async def embark(self) -> Berth:
        """Another bot, on a clock that may be off."""
        off = 0.0 if self.is_calm else self.dice.uniform(-CLOCKS_APART, CLOCKS_APART)
        clock, trap = JumpingClock(self.s.clock, timedelta(seconds=off)), Trap()
        if not self.database:
            clock.off = timedelta()
        settings = replace(self.s.settings, port=0)
        bot = build(settings, self.s.files, replace(self.s.parts, clock=clock, checkpoint=trap))
        berth = Berth(clock, bot, trap)
        try:
            await bot.start()
        except BaseException:
            await bot.close()
            raise
        self.berths.append(berth)
        return berth

    async def _bury(self, berth: Berth) -> None:
        self.tally["halts"] += 1
        self.berths.remove(berth)
        await berth.bot.close()
        await self.embark()

    async def safely(self, berth: Berth, work: Any) -> tuple[bool, Any]:
        """Do it; False if the bot was halted over it, and is replaced."""
        doing = asyncio.ensure_future(work)
        dying = asyncio.ensure_future(berth.trap.dead.wait())
        await asyncio.wait({doing, dying}, return_when=asyncio.FIRST_COMPLETED)
        is_dead = berth.trap.dead.is_set()
        dying.cancel()
        if is_dead:
            doing.cancel()
        await asyncio.gather(doing, dying, return_exceptions=True)
        if is_dead:
            await self._bury(berth)
            return False, None
        return True, doing.result()

    # ---- what people stand in front of ------------------------------------------------------------------------------

    async def ask(self, method: str, path: str, body: Any = None, *, key: str = "", token: str = "") -> tuple[int, Any]:
        """A request to one of the bots, and again until one answers; keyed ones now and then once more."""
        times = 2 if key and self.dice.random() < 0.2 else 1
        answer: tuple[int, Any] = (0, None)
        while times:
            berth = self.dice.choice(self.berths)
            is_done, found = await self.safely(berth, self._sent(berth, method, path, body, key, token))
            if is_done and found[0] < 500:
                times -= 1
                answer = found
                continue
            self.tally["asked again"] += 1
        return answer

    async def _sent(self, berth: Berth, method: str, path: str, body: Any, key: str, token: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token or ADMIN}"} | ({"Idempotency-Key": key} if key else {})
        url = f"http://127.0.0.1:{berth.bot.port}{path}"
        try:
            async with self.session.request(method, url, json=body, headers=headers) as answer:
                said = await answer.text()
                return answer.status, json.loads(said) if answer.status < 500 else said
        except aiohttp.ClientError:
            return 599, ""

    async def look(self) -> None:
        """Bring `states` up to date."""
        await self.settle()
        self.states = dict(self.berths[0].bot.engine.pipelines())
        for name, state in self.states.items():
            for release in state.releases:
                self.outcomes[name, release.id] = release.status.kind

    async def breathe(self) -> None:
        """Let some minutes pass, in steps."""
        for _ in range(4):
            self.s.clock.advance(timedelta(seconds=self.dice.uniform(1, 90)))
            await self.settle()

    def database_says(self, statement: str) -> Sequence[Any]:
        """What the database answers to a statement."""
        with self.berths[0].bot.store.reading() as transaction:
            return list(transaction.connection.execute(text(statement)))

    # ---- time -------------------------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Every bot does what is due by its own clock."""
        for berth in tuple(self.berths):
            if berth in self.berths:
                await self.safely(berth, self._settled(berth.bot))

    async def _settled(self, bot: App) -> None:
        await bot.engine.catch_up()
        for _ in range(MOST_STEPS):
            await self.simulator.settle()
            due = await bot.engine.read(lambda transaction: transaction.outbox.next_due())
            wake, now = bot.engine.next_wake(), bot.engine.now()
            is_effect_due = due is not None and due <= now
            is_wake_due = wake is not None and wake <= now
            if not is_effect_due and not is_wake_due:
                return
            if is_effect_due:
                await bot.outbox.settle()
            if is_wake_due:
                await bot.ticker.tick()
            claimed = await bot.engine.read(lambda transaction: transaction.outbox.next_due())
            if claimed == due and not is_wake_due:
                return  # its lane waits for what another bot holds
        self.troubles.append("a bot never came to rest")

    async def blow(self) -> None:
        """Something goes wrong, or is about to."""
        berth, drawn = self.dice.choice(self.berths), self.dice.random()
        if drawn < 0.5:
            berth.trap.at = len(berth.trap.names) + self.dice.randrange(40)
        elif drawn < 0.65 and self.database:
            berth.clock.off = timedelta(seconds=self.dice.uniform(-CLOCKS_APART, CLOCKS_APART))
            self.tally["clock jumps"] += 1
        else:
            kind = self.dice.choice(("rate_limited", "server_error", "drop_before", "drop_after", "drop_after"))
            self.simulator.faults.set("*", kind, times=self.dice.randrange(1, 4))  # type: ignore[arg-type]
            self.tally["Slack faults"] += 1


@contextlib.asynccontextmanager
async def _aboard(
    path: Path, seed: str, database: str, replicas: int, deployer: Callable[[OutsideWorld], Deployer]
) -> AsyncIterator[Voyage]:
    names = [company.service(number) for number in range(SERVICES)]
    files = [company.pipeline(name, "10m") for name in names]
    async with (
        story(
            path, *files, organisation=company.organisation(), channels=names, start=False, deployer=deployer,
            has_pager=False, database=database,
        ) as s,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as session,
    ):  # fmt: skip
        s.outside.play = Moods(seed)
        voyage = Voyage(s, seed, random.Random(seed), session, database)
        try:
            for _ in range(replicas):
                await voyage.embark()
            yield voyage
        finally:
            for berth in voyage.berths:
                await berth.bot.close()


async def sailed(
    path: Path,
    seed: str,
    releases: int,
    *,
    database: str = "",
    replicas: int = 1,
    deployer: Callable[[OutsideWorld], Deployer] = ScriptedDeployer,
    mistake: str = "",
) -> tuple[list[str], Mapping[str, Any]]:
    """A voyage of so many releases; what was wrong at its end, and the figures.

    `mistake` is SQL that spoils the SQLite database, for a mistake to be caught.
    """
    async with _aboard(path, seed, database, replicas, deployer) as voyage:
        if mistake:
            with contextlib.closing(sqlite3.connect(path / "andon.db")) as connection:
                connection.executescript(mistake)
        crowd = Crowd(voyage, in_slack=0)
        await crowd.arrive()
        await voyage.look()
        while len(crowd.told.announced) < releases:
            name = voyage.dice.choice(sorted(voyage.states))
            await crowd.act(name, voyage.states[name], voyage.dice)
            if voyage.dice.random() < 0.4:
                await voyage.blow()
            if voyage.dice.random() < 0.5:
                voyage.s.clock.advance(timedelta(seconds=voyage.dice.uniform(0, 600)))
            await voyage.look()
        await _calm(voyage, crowd)
        return _judged(voyage, crowd)


async def _calm(voyage: Voyage, crowd: Crowd) -> None:
    voyage.is_calm = True
    voyage.simulator.faults.clear()
    voyage.s.outside.play.is_calm = True  # type: ignore[attr-defined]
    for berth in voyage.berths:
        berth.trap.at, berth.clock.off = -1, timedelta()
    await crowd.calm_down(60)
    for _ in range(60):
        if not voyage.database_says("SELECT count(*) FROM outbox WHERE state IN ('pending', 'claimed')")[0][0]:
            break
        await voyage.breathe()
    else:
        voyage.troubles.append("something is still waiting to be delivered")
    await voyage.look()


def _judged(voyage: Voyage, crowd: Crowd) -> tuple[list[str], Mapping[str, Any]]:
    outside, bot = voyage.s.outside, voyage.berths[0].bot
    begun = dict.fromkeys(outside._deployments, 1)
    broken = {name: at for name in voyage.states if (at := bot.store.verify(name)) is not None}
    evidence = Evidence(
        says=voyage.database_says,
        states=voyage.states,
        world=bot.engine.world,
        now=bot.engine.now(),
        workspace=voyage.simulator.workspace,
        told=crowd.told,
        outcomes=voyage.outcomes,
        begun=begun,
        overlaps=outside.overlaps,
        alive=[key for key in begun if not (outside.outcome(key) or Outcome.FAILED).is_final],
        running={target: runs.digest for target, runs in outside.running.items()},
        broken=broken,
    )
    wrong = [*voyage.troubles, *problems(evidence)]
    figures = {"releases": len(crowd.told.announced), "deployments": len(begun), **voyage.tally}
    return wrong, figures
