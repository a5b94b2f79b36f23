"""Two replicas on one PostgreSQL: whatever both do at once, each thing is decided once, on what is really so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import get_args

import pytest
from sqlalchemy import text

from bot.clock import FakeClock
from bot.duties import Duty, Terms
from bot.engine import Engine
from bot.listening import OTHERS_EFFECTS
from bot.outbox import LEASE, Claimed, Delivered, Done, Outbox
from bot.ticker import Ticker
from core.errors import CommandRefused
from core.releases.effects import Effect
from core.releases.events import DefinitionApplied, DeploymentSucceeded
from core.releases.world import Outage, Person, World
from storage.lanes import Born
from tests.bot.counting import ANN, definition, engine_at, hearing, please
from tests.postgres import Server, database_of
from tests.storage.torn import line_to


async def until(is_so: Callable[[], object]) -> None:
    """Wait for what the database, another process, tells in its own time."""
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def count_rows(engine: Engine, table: str) -> int:
    return await engine.read(lambda t: t.connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


async def test_both_decide_on_what_is_really_so(shared_url: str) -> None:
    """Neither hears of the other here; the database tells whoever decided on something old."""
    async with engine_at(shared_url, "shop", "cart") as one, engine_at(shared_url) as other:
        for _ in range(3):
            await one.submit("shop", please())
            assert (await other.submit("shop", please())).state.counter == one.pipelines()["shop"].counter + 1
            await one.submit("cart", please())
        assert one._store.verify("shop") is None
        assert other.pipelines()["shop"].counter == 6


async def test_many_at_once_lose_nothing_and_double_nothing(shared_url: str) -> None:
    names = [f"p{number}" for number in range(8)]
    async with engine_at(shared_url, *names) as one, engine_at(shared_url) as other:
        asked = [
            engine.submit(name, please("tell"), dedupe=f"{turn}")
            for turn in range(10)
            for name in names
            for engine in (one, other)
        ]
        answers = await asyncio.gather(*asked)
        assert len(answers) == 160
        assert sum(answer.is_repeat for answer in answers) == 80, "each delivery came to both, and acted once"
        await one.catch_up()
        for name in names:
            assert one.pipelines()[name].counter == 10
            assert one._store.verify(name) is None
        assert await count_rows(one, "outbox") == 80


async def test_a_silent_report_is_decided_again_where_it_was_not_known_to_matter(shared_url: str) -> None:
    """A replica that has not heard of a deployment must not take the report of its end for a stale one."""
    async with engine_at(shared_url, "shop") as one, engine_at(shared_url) as other:
        await one.submit("shop", please("tell"))
        stale = await other.submit("shop", DeploymentSucceeded(key="stale"), dedupe="k")
        assert stale.state.counter == 1, "it looked again before it called it stale"


async def test_a_refusal_is_repeated_by_the_other_replica(shared_url: str) -> None:
    async with engine_at(shared_url, "shop") as one, engine_at(shared_url) as other:
        for engine in (one, other):
            with pytest.raises(CommandRefused, match="Ask nicely"):
                await engine.submit("shop", please("refuse me"), dedupe="slack:1")
        assert await count_rows(one, "events") == 2


class Told:
    """Who would deliver here, and notes that it is asked to look."""

    birth = None

    def __init__(self) -> None:
        self.within: list[timedelta] = []

    def take(self, born: Born) -> None:
        raise AssertionError("nothing was decided here")

    def look(self, *, within: timedelta = timedelta()) -> None:
        self.within.append(within)


async def test_the_others_hear_at_once(shared_url: str) -> None:
    async with engine_at(shared_url, "shop") as one, engine_at(shared_url) as other:
        other.deliverer = told = Told()
        async with hearing(other):
            await until(lambda: told.within == [timedelta()])
            await one.submit("shop", please("tell"))
            await until(lambda: other.version("shop") >= 2)
            assert other.pipelines()["shop"] == one.pipelines()["shop"]
            await until(lambda: OTHERS_EFFECTS in told.within)
            other.deliverer = None
            await one.submit("cart", DefinitionApplied(definition=definition("cart"), by=ANN))
            await until(lambda: other.version("cart") >= 1)


async def test_what_was_missed_while_nobody_listened_is_caught_up_with(shared_url: str, postgres: Server) -> None:
    async with engine_at(shared_url, "shop") as one, engine_at(shared_url) as other, hearing(other):
        await one.submit("shop", please())
        await until(lambda: other.version("shop") >= 2)
        postgres.say(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE application_name = 'andon listener' AND datname = '{database_of(shared_url)}'"
        )
        await one.submit("shop", please())
        await until(lambda: other.version("shop") >= 3)


async def test_what_pipelines_share_is_changed_by_both_and_nothing_is_overwritten(shared_url: str) -> None:
    def with_person(name: str) -> Callable[[World], World]:
        return lambda world: replace(
            world, people={**world.people, name: Person(key=name, name=name, identities=frozenset({name}))}
        )

    async with engine_at(shared_url, "shop") as one, engine_at(shared_url) as other, hearing(one):
        names = [f"person {number}" for number in range(6)]
        changes = [
            e.change_world(with_person(n), what=f"{n} came.") for n, e in zip(names, [one, other] * 3, strict=True)
        ]
        await asyncio.gather(*changes)
        assert other.world.revision == 6 or one.world.revision == 6
        await until(lambda: set(one.world.people) == set(names))
        # Whoever has not heard decides on what is so all the same.
        await other.submit("shop", please())
        assert other.world.revision == 6


async def test_an_outage_is_found_once_and_counts_for_both(shared_url: str) -> None:
    clock, gap = FakeClock(), timedelta(seconds=60)
    async with (
        engine_at(shared_url, "shop", clock=clock, longest_gap=gap) as one,
        engine_at(shared_url, clock=clock, longest_gap=gap) as other,
    ):
        down_from = clock.now()
        clock.advance(timedelta(minutes=5))
        found = await asyncio.gather(one.beat(), other.beat())
        outage = Outage(down_from, clock.now())
        assert sorted(map(repr, found)) == sorted(map(repr, (outage, None)))
        for engine in (one, other):
            await engine.submit("shop", please())
            assert engine.world.outages == (outage,)


# ---- what is delivered ----------------------------------------------------------------------------------------------


def outbox_of(engine: Engine, delivered: list[tuple[str, str, int]], lease: timedelta = LEASE) -> Outbox:
    """An outbox that writes down who delivered what, and what was known of the pipeline then."""

    async def deliver(claimed: Claimed) -> Delivered:
        delivered.append((engine._replica, claimed.key, engine.pipelines()[claimed.pipeline_id].counter))
        return Done()

    async def never(_claimed: Claimed, _reason: str) -> None:
        raise AssertionError

    return Outbox(engine, dict.fromkeys(get_args(Effect), deliver), never, lease=lease)


async def test_each_effect_is_delivered_by_one_that_knows_what_was_decided(shared_url: str) -> None:
    """The other replica never heard of these pipelines' changes; who claims an effect reads them first."""
    delivered: list[tuple[str, str, int]] = []
    names = [f"p{number}" for number in range(20)]
    async with engine_at(shared_url, *names, replica="one") as one, engine_at(shared_url, replica="two") as two:
        for turn, workers in ((1, (two,)), (2, (two, one))):
            await asyncio.gather(*(one.submit(name, please("tell deploy")) for name in names))
            await asyncio.gather(*(outbox_of(engine, delivered).settle() for engine in workers))
            assert len(delivered) == 40 * turn
            assert {known for _, key, known in delivered if key.endswith(str(turn))} == {turn}


async def test_what_a_dead_replica_had_in_hand_is_done_after_its_lease(shared_url: str) -> None:
    clock, lease = FakeClock(), timedelta(seconds=20)
    delivered: list[tuple[str, str, int]] = []
    async with engine_at(shared_url, "shop", clock=clock, replica="one") as one:
        await one.submit("shop", please("tell"))
        (zombie,) = await one.run(lambda t: t.outbox.claim(clock.now(), lease=lease, limit=5))
        async with engine_at(shared_url, clock=clock, replica="two") as two:
            await outbox_of(two, delivered, lease=lease).settle()
            assert delivered == [], "a lease is respected, also by who has just begun"
            clock.advance(lease)
            await outbox_of(two, delivered, lease=lease).settle()
            assert delivered == [("two", "tell1", 1)]
        assert not await one.run(lambda t: t.outbox.done(zombie)), "the fence holds"


async def test_who_was_frozen_for_longer_than_its_lease_does_not_go_on_as_if_nothing_were(shared_url: str) -> None:
    clock, lease = FakeClock(), timedelta(seconds=20)
    delivered: list[tuple[str, str, int]] = []
    async with (
        engine_at(shared_url, "shop", clock=clock, replica="one") as one,
        engine_at(shared_url, clock=clock, replica="two") as two,
    ):
        await one.submit("shop", please("tell"))
        claims = await one.run(lambda t: t.outbox.claim(clock.now(), lease=lease, limit=5))
        clock.advance(lease)
        await outbox_of(two, delivered, lease=lease).settle()
        thawed = outbox_of(one, delivered, lease=lease)
        thawed.take(Born(claims=claims))
        await thawed.settle()
        assert delivered == [("two", "tell1", 1)]


# ---- time -----------------------------------------------------------------------------------------------------------


async def test_what_is_due_is_woken_by_one_of_them(shared_url: str) -> None:
    clock = FakeClock()
    names = [f"p{number}" for number in range(6)]
    async with engine_at(shared_url, *names, clock=clock) as one, engine_at(shared_url, clock=clock) as two:
        for name in names:
            await one.submit(name, please(minutes=5))
        await two.catch_up()
        clock.advance(timedelta(minutes=5))
        due = [engine.take_due(clock.now()) for engine in (one, two)]
        assert [sorted(names_due) for names_due in due] == [names, names]
        mine, theirs = await asyncio.gather(one.claim_wakes(due[0]), two.claim_wakes(due[1]))
        assert sorted([*mine, *theirs]) == names, "each is woken by one"
        reminded = [engine for engine, woken in ((one, mine), (two, theirs)) if len(woken) < 6]
        assert all(engine.next_wake() is not None for engine in reminded), "who does not wake it looks again later"


async def test_a_wake_whose_replica_died_is_made_by_the_other_one(shared_url: str) -> None:
    clock = FakeClock()
    async with engine_at(shared_url, "shop", clock=clock) as one, engine_at(shared_url, clock=clock) as two:
        await one.submit("shop", please(minutes=5))
        await two.catch_up()
        clock.advance(timedelta(minutes=5))
        assert await one.claim_wakes(one.take_due(clock.now())) == ("shop",)
        ticker = Ticker(two)
        await ticker.tick()
        assert two.pipelines()["shop"].heartbeats, "one has it"
        clock.advance(timedelta(seconds=31))
        await ticker.tick()
        assert not two.pipelines()["shop"].heartbeats


async def test_a_periodic_job_is_done_once_in_each_turn(shared_url: str) -> None:
    clock, minute = FakeClock(), timedelta(minutes=1)
    async with engine_at(shared_url, clock=clock) as one, engine_at(shared_url, clock=clock) as two:
        for _ in range(3):
            turns = await asyncio.gather(*(e.take_turn("prune", minute) for e in (one, two, two, one)))
            assert sum(turns) == 1
            assert sum([await two.take_turn("look", minute), await one.take_turn("look", minute)]) == 1
            clock.advance(minute)


async def test_a_duty_goes_over_when_it_is_dropped_or_runs_out(shared_url: str) -> None:
    clock, lease = FakeClock(), timedelta(seconds=20)
    async with engine_at(shared_url, clock=clock) as one, engine_at(shared_url, clock=clock) as two:
        assert [await e.hold("canaries", lease) for e in (one, two, one)] == [True, False, True]
        clock.advance(lease)
        assert [await e.hold("canaries", lease) for e in (two, one)] == [True, False]
        await two.drop("canaries")
        assert await one.hold("canaries", lease)


async def test_as_many_hold_a_duty_as_it_has_names(shared_url: str) -> None:
    begun: list[str] = []
    terms = Terms(lease=timedelta(seconds=20), every=timedelta(milliseconds=5))

    def duty(engine: Engine, name: str) -> Duty:
        async def follow() -> None:
            begun.append(name)

        async def end() -> None:
            begun.append(f"{name} ended")

        return Duty(engine, ("a", "b"), follow, end, terms)

    async with AsyncExitStack() as stack:
        tasks = []
        for name in ("one", "two", "three"):
            engine = await stack.enter_async_context(engine_at(shared_url, replica=name))
            tasks.append(asyncio.create_task(duty(engine, name).run()))
        await until(lambda: len(set(begun)) >= 2)
        first, waiting = sorted(set(begun)), {"one", "two", "three"} - set(begun)
        assert len(first) == 2
        assert len(waiting) == 1
        tasks[("one", "two", "three").index(first[0])].cancel()
        await until(lambda: waiting & set(begun))
        assert f"{first[0]} ended" in begun
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_an_answer_that_is_lost_on_the_way_is_given_all_the_same_and_nothing_twice(shared_url: str) -> None:
    with line_to(shared_url) as line:
        async with engine_at(line.url(shared_url), "shop") as one:
            line.tear = b"slack:torn"
            answer = await one.submit("shop", please("tell"), dedupe="slack:torn")
            assert (line.torn, answer.text, answer.is_repeat) == (1, "Counted 1.", False)
            again = await one.submit("shop", please("tell"), dedupe="slack:torn")
            assert (again.text, again.is_repeat, again.state.counter) == ("Counted 1.", True, 1)
            assert await count_rows(one, "outbox") == 1


async def test_what_never_arrived_is_decided_again(shared_url: str) -> None:
    with line_to(shared_url) as line:
        async with engine_at(line.url(shared_url), "shop") as one:
            line.tear, line.reaches = b"slack:torn", False
            answer = await one.submit("shop", please("tell"), dedupe="slack:torn")
            assert (line.torn, answer.text, answer.is_repeat) == (1, "Counted 1.", False)
            assert await count_rows(one, "outbox") == 1
