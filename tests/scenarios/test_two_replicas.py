"""Two bots on one PostgreSQL in one workspace: people notice nothing but that one of them may be gone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from bot.app import App, build
from tests.scenarios.kit import Story, story

EVERYWHERE = ("beta-1", "box-1", "web-1", "web-2", "web-3")


@contextlib.asynccontextmanager
async def two(path: Path, url: str) -> AsyncIterator[tuple[Story, list[App]]]:
    """A story told by two bots that run; `s.bot` is the first."""
    async with story(path, database=url, start=False) as s:
        bots: list[App] = []
        try:
            for _ in range(2):
                bot = build(replace(s.settings, port=0), s.files, s.parts)
                bots.append(bot)
                await bot.start()
                bot.run()
            s.bot = bots[0]
            await until(lambda: s.simulator.server.socket.connections == 2)
            yield s, bots
        finally:
            s.bot = None
            for bot in bots:
                await bot.close()


async def until(is_so: Callable[[], object]) -> None:
    """Wait for what the database, another process, tells in its own time."""
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def come_to(s: Story, bots: list[App], is_so: Callable[[], object]) -> None:
    """Let them work, and go on to the next due instant when nothing is left to do, until it is so."""
    for _ in range(600):
        await rest(s, bots)
        if is_so():
            return
        due = min((at for bot in bots if (at := bot.engine.next_wake()) is not None), default=s.clock.now())
        await asyncio.sleep(0.002)
        if due > s.clock.now():
            s.clock.advance(min(due - s.clock.now(), timedelta(minutes=1)))
    raise AssertionError(f"it did not come to that:\n{s.simulator.transcript()}")


async def rest(s: Story, bots: list[App]) -> None:
    """Let them deliver what is due, and hear of each other."""
    await s.simulator.settle()
    await asyncio.gather(*(bot.outbox.settle() for bot in bots))
    await asyncio.gather(*(bot.listening.settle() for bot in bots))


async def test_a_release_walks_to_the_end_and_each_thing_is_done_once(tmp_path: Path, shared_url: str) -> None:
    async with two(tmp_path, shared_url) as (s, bots):
        await s.announce("1.0.0", settle=False)
        await come_to(s, bots, lambda: s.cards("1.0.0") and "Approve" in s.card("1.0.0").buttons)
        await s.ann.presses("Approve", on=s.card("1.0.0"), confirm=True)
        await come_to(s, bots, lambda: "is everywhere" in s.card("1.0.0").text)
        assert s.running == dict.fromkeys(EVERYWHERE, "1.0.0")
        assert set(s.starts().values()) == {1}
        assert s.outside.overlaps == []
        assert set(s.keys_posted().values()) == {1}
        async with asyncio.timeout(10):
            while await bots[1].outbox.counts() != (0, 0):
                await rest(s, bots)
        await until(lambda: bots[0].engine.pipelines()["shop"] == bots[1].engine.pipelines()["shop"])


async def test_one_is_gone_and_the_other_goes_on(tmp_path: Path, shared_url: str) -> None:
    async with two(tmp_path, shared_url) as (s, bots):
        await s.announce("1.0.0", settle=False)
        await come_to(s, bots, lambda: s.cards("1.0.0") and "Approve" in s.card("1.0.0").buttons)
        await bots[0].close()
        s.bot = bots[1]
        await s.ann.presses("Approve", on=s.card("1.0.0"), confirm=True)
        await come_to(s, bots[1:], lambda: "is everywhere" in s.card("1.0.0").text)
        assert s.running == dict.fromkeys(EVERYWHERE, "1.0.0")
        assert set(s.keys_posted().values()) == {1}


async def test_what_is_said_to_one_is_known_to_the_other(tmp_path: Path, shared_url: str) -> None:
    async with two(tmp_path, shared_url) as (s, bots):
        for bot in bots:
            s.bot = bot
            status, _ = await s.call("POST", "/api/commands", {"text": "pause shop prices look wrong"})
            assert status == 200
        await until(lambda: all(len(bot.engine.pipelines()["shop"].pauses) == 2 for bot in bots))
        for bot in bots:
            s.bot = bot
            _, why = await s.call("POST", "/api/commands", {"text": "why shop"})
            assert "prices look wrong" in why["text"]
