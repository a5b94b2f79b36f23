"""The outbox: at least once, in order, each lane alone; and what happens when the other side does not play along."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest

from bot.clock import FakeClock
from bot.engine import Engine
from bot.outbox import AT_ONCE, LONGEST_PAUSE, SURPRISES, Again, Bury, Claimed, Delivered, Done, Outbox, back_off
from core.errors import PermanentError, TransientError
from core.releases.effects import Effect, Tell
from core.releases.events import DeploymentFailed, DeploymentSucceeded
from storage.errors import StorageUnavailable
from storage.journal import Store, sqlite_url
from tests.bot.counting import Killed, engine_on, please

Script = Callable[[Claimed], Awaitable[Delivered]]


class Outside:
    """The other side of every courier: remembers what was asked, and answers as it was told to."""

    def __init__(self, outbox_of: Engine) -> None:
        self.engine = outbox_of
        self.asked: list[tuple[str, int]] = []
        self.answers: dict[str, Script] = {}
        self.buried: list[tuple[str, str]] = []

    async def courier(self, claimed: Claimed) -> Delivered:
        self.asked.append((claimed.key, claimed.attempts))
        script = self.answers.get(claimed.key)
        return Done() if script is None else await script(claimed)

    async def on_buried(self, claimed: Claimed, reason: str) -> None:
        self.buried.append((claimed.key, reason))
        event = DeploymentFailed(key=claimed.key, reason=reason)
        await self.engine.submit(claimed.pipeline_id, event, dedupe=f"buried/{claimed.key}")

    @property
    def keys(self) -> list[str]:
        return [key for key, _ in self.asked]


def outbox_to(outside: Outside, at_once: int = AT_ONCE) -> Outbox:
    kinds: tuple[type[Effect], ...] = get_args(Effect)
    return Outbox(outside.engine, dict.fromkeys(kinds, outside.courier), outside.on_buried, at_once=at_once)


@asynccontextmanager
async def story(
    path: Path,
    checkpoint: Callable[[str], None] = lambda _: None,
    clock: FakeClock | None = None,
    at_once: int = AT_ONCE,
) -> AsyncIterator[tuple[Engine, Outside, Outbox, FakeClock]]:
    clock = clock or FakeClock()
    async with engine_on(path / "andon.db", "shop", checkpoint=checkpoint, clock=clock) as engine:
        outside = Outside(engine)
        yield engine, outside, outbox_to(outside, at_once), clock


def raises(error: Exception) -> Script:
    async def script(_claimed: Claimed) -> Delivered:
        raise error

    return script


async def test_what_was_decided_is_delivered_once_in_order(tmp_path: Path) -> None:
    async with story(tmp_path) as (engine, outside, outbox, _):
        await engine.submit("shop", please("card tell deploy"))
        await engine.submit("shop", please("tell"))
        await outbox.settle()
        assert [k for k in outside.keys if not k.startswith("look")] == ["card1", "tell1", "tell2"]
        assert outside.keys.count("look1") == 1
        assert await outbox.counts() == (0, 0)
        await outbox.settle()
        assert len(outside.keys) == 4


async def test_a_lane_that_hangs_delays_no_other(tmp_path: Path) -> None:
    hangs, reached = asyncio.Event(), asyncio.Event()

    async def hang(_claimed: Claimed) -> Delivered:
        reached.set()
        await hangs.wait()
        return Done()

    async with story(tmp_path) as (engine, outside, outbox, _):
        outside.answers["look1"] = hang
        running = asyncio.create_task(outbox.run())
        await engine.submit("shop", please("deploy"))
        await asyncio.wait_for(reached.wait(), 5)
        told = asyncio.Event()

        async def tell(_claimed: Claimed) -> Delivered:
            told.set()
            return Done()

        outside.answers["tell3"] = tell
        await engine.submit("shop", please("deploy"))
        await engine.submit("shop", please("tell"))
        await asyncio.wait_for(told.wait(), 5)
        assert outside.keys == ["look1", "tell3"], "the target's next one waits for the first"
        hangs.set()
        await asyncio.wait_for(outbox.settle(), 5)
        assert outside.keys == ["look1", "tell3", "look2"]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_no_more_than_so_many_are_under_way_at_once(tmp_path: Path) -> None:
    under_way, most = 0, 0

    async def count(_claimed: Claimed) -> Delivered:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return Done()

    async with story(tmp_path, at_once=3) as (engine, outside, outbox, _):
        effects = [Tell(key=f"t{i}", release=f"r{i}", topic="x", sentence="x") for i in range(10)]
        outside.answers = dict.fromkeys((e.key for e in effects), count)
        await engine.run(lambda t: t.put_effects("shop", effects, engine.now()))
        await outbox.settle()
        assert (len(outside.keys), most) == (10, 3)


async def test_a_transient_error_is_tried_again_later_and_later_for_ever(tmp_path: Path) -> None:
    async with story(tmp_path) as (engine, outside, outbox, clock):
        outside.answers["tell1"] = raises(TransientError("Slack is down."))
        await engine.submit("shop", please("tell"))
        waits: list[float] = []
        for _ in range(12):
            await outbox.settle()
            due = await engine.read(lambda t: t.outbox.next_due())
            assert due is not None
            waits.append((due - clock.now()).total_seconds())
            clock.advance(due - clock.now())
        assert [attempt for _, attempt in outside.asked] == list(range(1, 13))
        for wait, wanted in zip(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300], strict=True):
            assert wanted <= wait <= wanted * 1.25
        outside.answers.clear()
        await outbox.settle()
        assert await outbox.counts() == (0, 0)


async def test_what_the_other_side_asks_for_is_respected(tmp_path: Path) -> None:
    async with story(tmp_path) as (engine, outside, outbox, clock):
        outside.answers["tell1"] = raises(TransientError("Too many.", retry_after=timedelta(seconds=30)))
        await engine.submit("shop", please("tell"))
        await outbox.settle()
        clock.advance(timedelta(seconds=29))
        await outbox.settle()
        assert len(outside.asked) == 1
        clock.advance(timedelta(seconds=10))
        await outbox.settle()
        assert len(outside.asked) == 2


async def test_again_is_progress_and_starts_the_count_anew(tmp_path: Path) -> None:
    async with story(tmp_path) as (engine, outside, outbox, clock):

        async def look(claimed: Claimed) -> Delivered:
            return Again(clock.now() + timedelta(seconds=5), "it runs") if len(outside.asked) < 4 else Done()

        outside.answers["look1"] = look
        await engine.submit("shop", please("deploy"))
        for _ in range(4):
            await outbox.settle()
            clock.advance(timedelta(seconds=5))
        assert outside.asked == [("look1", 1)] * 4
        assert await outbox.counts() == (0, 0)


@pytest.mark.parametrize("how", ["raised", "returned"])
async def test_what_can_never_be_delivered_is_buried_the_core_is_told_and_the_lane_goes_on(
    tmp_path: Path, how: str
) -> None:
    async def bury(_claimed: Claimed) -> Delivered:
        return Bury("No such channel.")

    async with story(tmp_path) as (engine, outside, outbox, _):
        outside.answers["tell1"] = raises(PermanentError("No such channel.")) if how == "raised" else bury
        await engine.submit("shop", please("tell"))
        await engine.submit("shop", please("tell"))
        await outbox.settle()
        assert outside.keys == ["tell1", "tell2"]
        (buried,) = await outbox.buried()
        assert (buried.key, buried.reason, buried.attempts) == ("tell1", "No such channel.", 1)
        assert await outbox.counts() == (0, 1)
        assert (await engine.history("shop"))[0].kind == "DeploymentFailed"


async def test_nothing_is_buried_before_the_core_knows(tmp_path: Path) -> None:
    async with story(tmp_path) as (engine, outside, outbox, clock):
        outside.answers["tell1"] = raises(PermanentError("nobody listens"))
        await engine.submit("shop", please("tell"))
        await outbox.settle()
        assert outside.buried == [("tell1", "nobody listens")]
        assert await outbox.counts() == (1, 0)
        outside.answers["tell1"] = raises(PermanentError("No such channel."))
        clock.advance(timedelta(seconds=2))
        await outbox.settle()
        assert await outbox.counts() == (0, 1)


async def test_a_bug_in_a_courier_is_logged_with_a_reference_and_buried_in_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with story(tmp_path) as (engine, outside, outbox, clock):
        outside.answers["tell1"] = raises(ZeroDivisionError("secret"))
        await engine.submit("shop", please("tell deploy"))
        for _ in range(SURPRISES + 3):
            await outbox.settle()
            clock.advance(LONGEST_PAUSE * 2)
        assert outside.keys.count("tell1") == SURPRISES
        assert outside.keys.count("look1") == 1, "others go on"
        (buried,) = await outbox.buried()
        assert outside.buried == [("tell1", buried.reason)]
        assert "unexpected happened (ref " in buried.reason
        assert "secret" not in buried.reason
        reference = buried.reason.split("ref ")[1][:8]
        assert reference in caplog.text


async def test_a_delivery_that_takes_long_is_not_begun_again(tmp_path: Path) -> None:
    finish = asyncio.Event()

    async def slow(_claimed: Claimed) -> Delivered:
        await finish.wait()
        return Done()

    async with story(tmp_path) as (engine, outside, outbox, clock):
        outside.answers["look1"] = slow
        running = asyncio.create_task(outbox.run())
        await engine.submit("shop", please("deploy"))
        for minute in range(10):
            clock.advance(timedelta(minutes=1))
            # Something else is delivered each minute, which proves that the outbox has looked.
            seen = asyncio.Event()

            async def tell(_claimed: Claimed, seen: asyncio.Event = seen) -> Delivered:
                seen.set()
                return Done()

            outside.answers[f"tell{minute + 2}"] = tell
            await engine.submit("shop", please("tell"))
            await asyncio.wait_for(seen.wait(), 5)
        finish.set()
        await asyncio.wait_for(outbox.settle(), 5)
        assert outside.keys.count("look1") == 1
        assert await outbox.counts() == (0, 0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_run_wakes_for_new_effects_and_for_the_time(tmp_path: Path) -> None:
    async with story(tmp_path) as (engine, outside, outbox, clock):
        outside.answers["tell1"] = raises(TransientError("Slack is down."))
        running = asyncio.create_task(outbox.run())
        await engine.submit("shop", please("tell"))
        await asyncio.wait_for(outbox.settle(), 5)
        assert outside.asked == [("tell1", 1)]
        delivered = asyncio.Event()

        async def tell(_claimed: Claimed) -> Delivered:
            delivered.set()
            return Done()

        outside.answers["tell1"] = tell
        clock.advance(timedelta(seconds=2))
        await asyncio.wait_for(delivered.wait(), 5)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_database_that_is_down_stops_no_outbox(tmp_path: Path) -> None:
    async with story(tmp_path) as (engine, outside, outbox, clock):

        async def submit_to_a_broken_store(_claimed: Claimed) -> Delivered:
            raise StorageUnavailable

        outside.answers["tell1"] = submit_to_a_broken_store
        await engine.submit("shop", please("tell"))
        await outbox.settle()
        outside.answers.clear()
        clock.advance(timedelta(seconds=2))
        await outbox.settle()
        assert outside.asked == [("tell1", 1), ("tell1", 2)]


# ---- the program is stopped -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "asked_before", "asked_after"),
    [
        ("deliver:before:Tell:tell1", [], [("tell1", 2)]),
        ("deliver:after:Tell:tell1", [("tell1", 1)], [("tell1", 2)]),
    ],
)
@pytest.mark.parametrize("by", ["run", "settle"])
async def test_stopped_at_a_delivery_it_is_delivered_after_the_restart_as_a_second_attempt(
    tmp_path: Path, where: str, asked_before: list[object], asked_after: list[object], by: str
) -> None:
    def stop(name: str) -> None:
        if name == where:
            raise Killed(name)

    clock = FakeClock()
    async with story(tmp_path, stop, clock) as (engine, outside, outbox, _):
        await engine.submit("shop", please("tell"))
        with pytest.raises(Killed):
            await asyncio.wait_for(outbox.run() if by == "run" else outbox.settle(), 5)
        assert outside.asked == asked_before
        with pytest.raises(Killed):
            await engine.submit("shop", please("tell"))
        assert len(asyncio.all_tasks()) == 1, "nothing is left running"

    async with story(tmp_path, clock=clock) as (_, outside, outbox, _clock):
        await outbox.settle()
        assert outside.asked == asked_after, "at once: the dead process's lease is not waited for"
        assert await outbox.counts() == (0, 0)


async def play(
    folder: Path, clock: FakeClock, done: set[str], checkpoint: Callable[[str], None] = lambda _: None
) -> None:
    """Two commands, each with two effects, whose couriers report; `done` is what the other side knows."""
    async with story(folder, checkpoint, clock) as (engine, outside, outbox, _):

        async def deliver(claimed: Claimed) -> Delivered:
            assert claimed.key not in done or claimed.attempts > 1, "a repeat is known to be one"
            done.add(claimed.key)
            await engine.submit("shop", DeploymentSucceeded(key="ok"), dedupe=f"{claimed.key}/ok")
            return Done()

        outside.answers = {f"{word}{number}": deliver for word in ("tell", "look") for number in range(20)}
        for number in range(2):
            await engine.submit("shop", please("tell deploy"), dedupe=f"slack:{number}")
            await outbox.settle()
        lines = await engine.history("shop", limit=100)
        assert [line.kind for line in lines].count("PauseRequested") == 2
        assert [line.kind for line in lines].count("DeploymentSucceeded") == 4
        assert len(done) == 4
        assert await outbox.counts() == (0, 0)
        assert await engine.read(lambda t: t.history.verify("shop")) is None


async def test_every_stop_between_decision_and_delivery_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    """Stopped at each point in turn and started again: in the end everything happened once."""
    points: list[str] = []
    empty = tmp_path / "empty.db"
    Store(sqlite_url(empty)).close()
    (tmp_path / "whole").mkdir()
    await play(tmp_path / "whole", FakeClock(), set(), points.append)
    begun = points.index("commit:after", points.index("commit:after") + 1)
    assert len(points) - begun > 25

    for stop_at in range(begun, len(points)):
        folder, clock, done, passed = tmp_path / str(stop_at), FakeClock(), set[str](), itertools.count()
        folder.mkdir()
        shutil.copy(empty, folder / "andon.db")

        def stop(name: str, passed: Iterator[int] = passed, stop_at: int = stop_at) -> None:
            if next(passed) == stop_at:
                raise Killed(name)

        with contextlib.suppress(Killed):
            await play(folder, clock, done, stop)
        await play(folder, clock, done)


def test_the_jitter_is_the_same_on_replay_and_differs_between_effects() -> None:
    def claimed(key: str) -> Claimed:
        now = FakeClock().now()
        effect = Tell(key=key, release="", topic="", sentence="")
        return Claimed(
            seq=1,
            key=key,
            pipeline_id="shop",
            lane="l",
            kind="Tell",
            effect=effect,
            attempts=3,
            fence=3,
            created_at=now,
            claimed_until=now,
        )

    assert back_off(claimed("a")) == back_off(claimed("a"))
    assert len({back_off(claimed(str(i))) for i in range(20)}) > 15


async def test_every_kind_of_effect_needs_a_courier(tmp_path: Path) -> None:
    async with story(tmp_path) as (engine, outside, _, _clock):
        with pytest.raises(AssertionError, match=r"nobody delivers .*StartDeployment"):
            Outbox(engine, {Tell: outside.courier}, outside.on_buried)
