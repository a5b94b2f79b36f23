"""Time: wakes come when they were asked for, after a sign of life; what was missed comes once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from bot.clock import FakeClock, SystemClock
from bot.engine import Engine, Rules
from bot.ticker import Ticker
from core.releases.events import Event, TimePassed
from core.releases.state import PipelineState
from core.releases.world import World
from tests.bot.counting import RULES, WOKEN, Counted, Killed, decide, engine_on, please


class Witness:
    """Rules that note when, and with which world, time passed."""

    def __init__(self) -> None:
        self.woken: list[tuple[str, datetime, datetime | None]] = []
        self.news = asyncio.Event()

    def decide(self, state: PipelineState, event: Event, world: World, now: datetime) -> Counted:
        if isinstance(event, TimePassed):
            self.woken.append((state.id, now, world.observed_until))
            self.news.set()
        return decide(state, event, world, now)

    @property
    def rules(self) -> Rules:
        return Rules(self.decide, RULES.next_wake, RULES.new_pipeline)


@asynccontextmanager
async def ticking(engine: Engine) -> AsyncIterator[Ticker]:
    ticker = Ticker(engine)
    running = asyncio.create_task(ticker.run())
    try:
        yield ticker
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def sentence_of(engine: Engine, wanted: str) -> None:
    """Return once the newest event of the shop says this."""
    async with asyncio.timeout(5):
        found = ""
        while found != wanted:
            found = (await engine.history("shop", limit=1))[0].sentence


async def test_a_pipeline_is_woken_when_it_asked_to_be_after_a_sign_of_life(tmp_path: Path) -> None:
    witness, clock = Witness(), FakeClock()
    async with (
        engine_on(tmp_path / "a.db", "shop", "cart", clock=clock, rules=witness.rules) as engine,
        ticking(engine),
    ):
        await engine.submit("shop", please(minutes=10))
        assert engine.next_wake() == clock.now() + timedelta(minutes=10)
        await asyncio.sleep(0)
        witness.woken.clear()
        clock.advance(timedelta(minutes=9, seconds=59))
        clock.advance(timedelta(seconds=1))
        await sentence_of(engine, WOKEN)
        assert witness.woken == [("shop", clock.now(), clock.now())]
        assert engine.next_wake() is None


async def test_an_earlier_wish_is_heard_at_once(tmp_path: Path) -> None:
    clock = FakeClock()
    async with engine_on(tmp_path / "a.db", "shop", "cart", clock=clock) as engine, ticking(engine):
        await engine.submit("cart", please(minutes=60))
        await engine.submit("shop", please(minutes=1))
        clock.advance(timedelta(minutes=1))
        await sentence_of(engine, WOKEN)
        assert engine.next_wake() == clock.now() + timedelta(minutes=59)


async def test_a_wish_that_was_withdrawn_wakes_nobody(tmp_path: Path) -> None:
    witness, clock = Witness(), FakeClock()
    async with engine_on(tmp_path / "a.db", "shop", clock=clock, rules=witness.rules) as engine:
        ticker = Ticker(engine)
        await engine.submit("shop", please(minutes=1))
        await engine.submit("shop", please(minutes=30))
        clock.advance(timedelta(minutes=1))
        await ticker.tick()
        assert witness.woken == []
        clock.advance(timedelta(minutes=29))
        await ticker.tick()
        await ticker.tick()
        assert len(witness.woken) == 1


async def test_what_was_missed_while_down_comes_once_and_the_time_down_is_an_outage(tmp_path: Path) -> None:
    """Rule 28: a timer missed while down fires once."""
    clock = FakeClock()
    async with engine_on(tmp_path / "a.db", "shop", clock=clock) as engine:
        await engine.submit("shop", please(minutes=10))
        down_at = clock.now()

    clock.advance(timedelta(days=2))
    gap = timedelta(minutes=1)
    async with engine_on(tmp_path / "a.db", clock=clock, longest_gap=gap) as engine, ticking(engine):
        await sentence_of(engine, WOKEN)
        assert [line.sentence for line in await engine.history("shop")].count(WOKEN) == 1
        assert [(o.from_at, o.until_at) for o in engine.world.outages] == [(down_at, clock.now())]


async def test_the_sweep_finds_what_the_column_says_and_memory_does_not(tmp_path: Path) -> None:
    witness, clock = Witness(), FakeClock()
    async with engine_on(tmp_path / "a.db", "shop", clock=clock, rules=witness.rules) as engine:
        await engine.run(lambda t: t.connection.execute(text("UPDATE pipelines SET wake_at = 1")))
        ticker = Ticker(engine)
        await ticker.tick()
        assert witness.woken == []
        await ticker.sweep()
        await ticker.sweep()
        assert [name for name, _, _ in witness.woken] == ["shop"], "and woken, it is due no more"


async def test_a_wish_for_the_past_is_no_busy_loop(tmp_path: Path) -> None:
    clock = FakeClock()
    rules = Rules(decide, lambda _state, _world, now: now - timedelta(hours=1), RULES.new_pipeline)
    async with engine_on(tmp_path / "a.db", "shop", clock=clock, rules=rules) as engine:
        await engine.submit("shop", please())
        assert engine.next_wake() == clock.now() + timedelta(seconds=1)


async def test_one_pipeline_that_cannot_be_woken_stops_no_other_and_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    woken: list[str] = []

    def fragile(state: PipelineState, event: Event, world: World, now: datetime) -> Counted:
        if isinstance(event, TimePassed):
            woken.append(state.id)
            # Once in the batch, once alone.
            if state.id == "cart" and woken.count("cart") <= 2:
                raise ZeroDivisionError
        return decide(state, event, world, now)

    rules = Rules(fragile, RULES.next_wake, RULES.new_pipeline)
    clock = FakeClock()
    async with engine_on(tmp_path / "a.db", "cart", "shop", clock=clock, rules=rules) as engine:
        ticker = Ticker(engine)
        await engine.submit("cart", please(minutes=1))
        await engine.submit("shop", please(minutes=1))
        clock.advance(timedelta(minutes=1))
        await ticker.tick()
        assert (await engine.history("shop", limit=1))[0].sentence == WOKEN
        assert "cart could not be woken" in caplog.text
        clock.advance(timedelta(seconds=5))
        await ticker.tick()
        assert (await engine.history("cart", limit=1))[0].sentence == WOKEN


async def test_the_sign_of_life_is_not_written_twice_a_second(tmp_path: Path) -> None:
    clock = FakeClock()
    commits: list[str] = []
    async with engine_on(tmp_path / "a.db", "shop", clock=clock, checkpoint=commits.append) as engine:
        ticker = Ticker(engine)
        commits.clear()
        await ticker.beat()
        assert commits == []
        clock.advance(timedelta(seconds=1))
        await ticker.beat()
        assert commits == ["commit:before", "commit:after"]


async def test_other_jobs_can_be_added_and_one_that_fails_goes_on(tmp_path: Path) -> None:
    ran, twice = 0, asyncio.Event()

    async def job() -> None:
        nonlocal ran
        ran += 1
        if ran == 2:
            twice.set()
        raise ZeroDivisionError

    async with engine_on(tmp_path / "a.db", "shop") as engine:
        ticker = Ticker(engine)
        ticker.every(0.01, "job", job)
        running = asyncio.create_task(ticker.run())
        await asyncio.wait_for(twice.wait(), 5)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_stopped_dead_it_stops(tmp_path: Path) -> None:
    async with engine_on(tmp_path / "a.db", "shop") as engine:
        running = asyncio.create_task(Ticker(engine).run())
        await asyncio.sleep(0)
        engine.halt(Killed("now"))
        with pytest.raises(Killed):
            await asyncio.wait_for(running, 5)


async def test_the_real_clock_wakes_on_time_and_on_news() -> None:
    clock = SystemClock()
    news = asyncio.Event()
    at = clock.now() + timedelta(milliseconds=20)
    await asyncio.wait_for(clock.wait(at, news), 5)
    assert clock.now() >= at
    waiting = asyncio.create_task(clock.wait(None, news))
    news.set()
    await asyncio.wait_for(waiting, 5)
    await asyncio.wait_for(clock.sleep_until(clock.now()), 5)
