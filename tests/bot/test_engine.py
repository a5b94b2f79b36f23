"""The engine: on disk before it is answered, each piece alone, and nothing left of what was not written."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest
from sqlalchemy import text

import core.releases.decide as core
from bot.clock import FakeClock
from bot.engine import Engine, Rules, UnknownPipeline
from bot.outbox import Claimed, Delivered, Done, Outbox
from bot.ticker import Ticker
from core.errors import CommandRefused
from core.releases.effects import Effect, FollowDeployment, StartDeployment
from core.releases.events import (
    DefinitionApplied,
    DeploymentFailed,
    DeploymentStarted,
    DeploymentSucceeded,
    ReleaseAnnounced,
    TimePassed,
)
from core.releases.state import Change
from core.releases.world import Freeze, World
from storage.dialects import BUSY_TIMEOUT_MS
from storage.errors import StorageError, StorageUnavailable
from storage.journal import Store, Transaction, sqlite_url
from tests.bot.counting import ANN, RULES, Counted, Killed, decide, definition, engine_on, next_wake, please
from tests.core.line import CI, WORLD, pipeline


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "andon.db"


async def count_rows(engine: Engine, table: str) -> int:
    return await engine.read(lambda t: t.connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


async def test_what_was_answered_is_there_after_a_restart(file: Path) -> None:
    async with engine_on(file, "shop") as engine:
        answer = await engine.submit("shop", please("tell"))
        assert (answer.text, answer.is_repeat, answer.state.counter) == ("Counted 1.", False, 1)
        assert engine.pipelines()["shop"] is answer.state

    async with engine_on(file) as engine:
        assert engine.pipelines()["shop"] == answer.state
        (line, first) = await engine.history("shop")
        assert (line.seq, line.actor, line.via, line.kind) == (2, "Ann", "slack", "PauseRequested")
        assert (line.sentence, line.release, line.refused) == ("1: tell.", "r1", False)
        assert first.sentence == "shop has a pipeline now."
        assert await count_rows(engine, "outbox") == 1


async def test_a_pipeline_begins_with_its_definition_and_others_are_unknown(file: Path) -> None:
    async with engine_on(file, "shop") as engine:
        with pytest.raises(UnknownPipeline, match="There is no pipeline called cart"):
            await engine.submit("cart", please())
        await engine.submit("cart", DefinitionApplied(definition=definition("cart"), by=ANN))
        assert list(engine.pipelines()) == ["cart", "shop"]


async def test_a_definition_that_changes_is_kept_beside_the_old_one(file: Path) -> None:
    def pin(state, event, world, now):
        new = replace(state, definition=event.definition, pinned=(state.definition,))
        return Counted(new, (), "Pinned.", ("Pinned.",))

    rules = Rules(pin, next_wake, RULES.new_pipeline)
    async with engine_on(file, "shop", rules=rules) as engine:
        await engine.submit("shop", DefinitionApplied(definition=definition("shop", "2"), by=ANN))

    async with engine_on(file) as engine:
        state = engine.pipelines()["shop"]
        assert (state.definition.revision, [p.revision for p in state.pinned]) == ("2", ["1"])


async def test_a_refusal_changes_nothing_and_is_recorded_with_who_and_why(file: Path) -> None:
    async with engine_on(file, "shop") as engine:
        before = engine.pipelines()["shop"]
        with pytest.raises(CommandRefused, match=r"No: refuse me\. Ask nicely\."):
            await engine.submit("shop", please("refuse me"), dedupe="slack:1")
        assert engine.pipelines()["shop"] == before
        (line, _) = await engine.history("shop")
        assert (line.actor, line.sentence, line.refused) == ("Ann", "No: refuse me. Ask nicely.", True)
        with pytest.raises(CommandRefused, match=r"No: refuse me\. Ask nicely\."):
            await engine.submit("shop", please("refuse me"), dedupe="slack:1")
        assert await count_rows(engine, "events") == 2


async def test_a_delivery_that_comes_twice_acts_once_and_gets_the_first_answer(file: Path) -> None:
    """Rule 28, also within one commit, and after a restart."""
    async with engine_on(file, "shop", "cart") as engine:
        twice = [engine.submit("shop", please("tell"), dedupe="slack:1") for _ in range(3)]
        first, second, third = await asyncio.gather(*twice)
        assert [a.text for a in (first, second, third)] == ["Counted 1."] * 3
        assert [a.is_repeat for a in (first, second, third)] == [False, True, True]
        assert not (await engine.submit("cart", please(), dedupe="slack:1")).is_repeat, "keys are a pipeline's own"

    async with engine_on(file) as engine:
        again = await engine.submit("shop", please("tell"), dedupe="slack:1")
        assert (again.text, again.is_repeat, again.state.counter) == ("Counted 1.", True, 1)


async def test_a_repeat_that_shares_a_commit_costs_the_others_nothing(file: Path) -> None:
    async with engine_on(file, "shop", "cart") as engine:
        await engine.submit("shop", please("tell"), dedupe="slack:1")
        new, repeat, again = await asyncio.gather(
            engine.submit("cart", please("tell"), dedupe="slack:2"),
            engine.submit("shop", please("tell"), dedupe="slack:1"),
            engine.submit("cart", please("tell"), dedupe="slack:2"),
        )
        assert [answer.is_repeat for answer in (new, repeat, again)] == [False, True, True]
        assert (repeat.text, repeat.state.counter) == ("Counted 1.", 1)
        assert (await engine.submit("cart", please("tell"), dedupe="slack:3")).text == "Counted 2."
        assert await count_rows(engine, "events") == 5


async def test_a_report_that_changes_nothing_leaves_its_key_and_no_event(file: Path) -> None:
    async with engine_on(file, "shop") as engine:
        await engine.submit("shop", DeploymentSucceeded(key="stale"), dedupe="effect:stale")
        await engine.submit("shop", TimePassed())
        assert await count_rows(engine, "events") == 1
        assert await count_rows(engine, "seen") == 1
        assert (await engine.submit("shop", DeploymentSucceeded(key="stale"), dedupe="effect:stale")).is_repeat


async def test_everything_that_waits_goes_into_one_commit_in_order(file: Path) -> None:
    commits: list[str] = []
    async with engine_on(file, "shop", checkpoint=commits.append) as engine:
        commits.clear()
        asked = [engine.submit("shop", please(f"number {i}")) for i in range(100)]
        answers = await asyncio.gather(*asked)
        assert [a.text for a in answers] == [f"Counted {i + 1}." for i in range(100)]
        assert commits.count("commit:after") <= 3
        lines = await engine.history("shop", limit=200)
        assert [line.seq for line in lines] == list(range(101, 0, -1))
        assert await engine.read(lambda t: t.history.verify("shop")) is None


async def test_pieces_fail_alone(file: Path) -> None:
    """A refusal, a bug, a work that raises after it has written: the others are recorded all the same."""

    def written_then_raised(transaction: Transaction) -> None:
        transaction.inbox.receive("ci", {}, b"lost", transaction_now)
        raise ValueError("changed my mind")

    async with engine_on(file, "shop", "cart") as engine:
        transaction_now = engine.now()
        outcomes = await asyncio.gather(
            engine.submit("shop", please("one")),
            engine.submit("shop", please("refuse")),
            engine.run(written_then_raised),
            engine.submit("shop", please("two")),
            engine.submit("cart", please("crash here")),
            engine.run(lambda t: t.inbox.receive("ci", {}, b"kept", transaction_now)),
            engine.submit("shop", please("three")),
            return_exceptions=True,
        )
        kinds = [type(o).__name__ for o in outcomes]
        assert kinds == ["Answer", "CommandRefused", "ValueError", "Answer", "KeyError", "int", "Answer"]
        assert engine.pipelines()["shop"].counter == 3
        assert await engine.read(lambda t: [w.body for w in t.inbox.waiting()]) == [b"kept"]
        assert await engine.read(lambda t: (t.history.verify("shop"), t.history.verify("cart"))) == (None, None)


async def test_work_sees_what_was_decided_before_it_in_the_same_commit(file: Path) -> None:
    async with engine_on(file, "shop") as engine:
        _, lines = await asyncio.gather(
            engine.submit("shop", please("first")), engine.run(lambda t: t.history.lines("shop"))
        )
        assert lines[0].sentence == "1: first."


async def test_text_that_cannot_be_stored_is_mended_before_it_is_decided_on(file: Path) -> None:
    heard: list[str] = []

    def listen(state, event, world, now):
        if not isinstance(event, DeploymentFailed):
            return RULES.decide(state, event, world, now)
        heard.append(event.reason)
        return Counted(replace(state, counter=1), (), "", (event.reason,))

    async with engine_on(file, "shop", rules=Rules(listen, next_wake, RULES.new_pipeline)) as engine:
        await engine.submit("shop", DeploymentFailed(key="d", reason="exit \ud83d\0"))
        assert heard == ["exit ?\0"]
        assert (await engine.history("shop"))[0].sentence == "exit ?\N{REPLACEMENT CHARACTER}"


# ---- the database fails ---------------------------------------------------------------------------------------------


async def test_a_full_disk_acknowledges_nothing_and_work_goes_on_afterwards(file: Path) -> None:
    """Rule 29."""
    async with engine_on(file, "shop") as engine:
        pages = await engine.run(lambda t: t.connection.exec_driver_sql("PRAGMA page_count").scalar_one())
        await engine.run(lambda t: t.connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}").scalar_one())
        before = engine.pipelines()["shop"]
        long = [engine.submit("shop", please("tell " + "x" * 9000), dedupe=f"slack:{i}") for i in range(5)]
        outcomes = await asyncio.gather(*long, return_exceptions=True)
        assert {type(o) for o in outcomes} == {StorageUnavailable}
        assert "full" in str(outcomes[0])
        assert "Nothing was recorded" in str(outcomes[0])
        assert engine.pipelines()["shop"] == before

        await engine.run(lambda t: t.connection.exec_driver_sql("PRAGMA max_page_count = 100000").scalar_one())
        answer = await engine.submit("shop", please("tell"), dedupe="slack:0")
        assert (answer.text, answer.is_repeat) == ("Counted 1.", False)
        assert await engine.read(lambda t: t.history.verify("shop")) is None


async def test_a_locked_database_refuses_everybody_within_a_bounded_time(file: Path) -> None:
    async with engine_on(file, "shop") as engine:
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        started = asyncio.get_running_loop().time()
        outcomes = await asyncio.gather(*(engine.submit("shop", please()) for _ in range(50)), return_exceptions=True)
        assert {type(o) for o in outcomes} == {StorageUnavailable}
        # The batch, then the pieces until patience ends; not fifty waits.
        assert asyncio.get_running_loop().time() - started < 5 * BUSY_TIMEOUT_MS / 1000
        other.rollback()
        other.close()
        assert (await engine.submit("shop", please())).text == "Counted 1."


async def test_one_row_the_database_refuses_fails_alone(file: Path) -> None:
    async with engine_on(file, "shop", "cart") as engine:
        await engine.run(
            lambda t: t.connection.exec_driver_sql(
                "CREATE TRIGGER no_cart BEFORE INSERT ON events WHEN NEW.pipeline_id = 'cart' "
                "BEGIN SELECT RAISE(ABORT, 'carts are forbidden'); END"
            )
        )
        asked = (engine.submit(name, please()) for name in ("shop", "cart", "shop"))
        first, refused, third = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(refused, StorageError)
        assert "carts are forbidden" in refused.message
        assert (first.text, third.text) == ("Counted 1.", "Counted 2.")  # type: ignore[union-attr]
        assert engine.pipelines()["cart"].counter == 0


async def test_somebody_elses_change_is_read_and_decided_on_anew(file: Path) -> None:
    """What another replica wrote meanwhile is not overwritten."""
    store, other = Store(sqlite_url(file)), None
    engine = Engine(store, RULES, FakeClock(), longest_gap=None)
    try:
        await engine.start()
        await engine.submit("shop", DefinitionApplied(definition=definition(), by=ANN))
        store._lock.release()  # type: ignore[union-attr]
        other = Store(sqlite_url(file))
        rival = Engine(other, RULES, FakeClock(), longest_gap=None)
        await rival.start()
        await rival.submit("shop", please("by the rival"))
        await rival.close()

        answer = await engine.submit("shop", please("by us"))

        assert answer.text == "Counted 2."
        assert [line.sentence for line in await engine.history("shop", limit=2)] == ["2: by us.", "1: by the rival."]
        assert store.verify("shop") is None
    finally:
        await engine.close()
        store.close()
        if other is not None:
            other.close()


# ---- the program is stopped -----------------------------------------------------------------------------------------


def stop_at(wanted: str) -> Callable[[str], None]:
    """Stops the program the first time it comes by, once armed."""

    def checkpoint(name: str) -> None:
        if armed and name == wanted:
            raise Killed(name)

    armed: list[bool] = []
    checkpoint.arm = lambda: armed.append(True)  # type: ignore[attr-defined]
    return checkpoint


@pytest.mark.parametrize(("where", "survives"), [("commit:before", False), ("commit:after", True)])
async def test_a_program_that_is_stopped_around_a_commit_answers_nobody(file: Path, where: str, survives: bool) -> None:
    checkpoint = stop_at(where)
    threads = set(threading.enumerate())
    async with engine_on(file, "shop", checkpoint=checkpoint) as engine:
        checkpoint.arm()  # type: ignore[attr-defined]
        asked = [engine.submit("shop", please("tell"), dedupe=f"slack:{i}") for i in range(3)]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(o) for o in outcomes} == {Killed}
        assert isinstance(engine.crash, Killed)
        with pytest.raises(Killed):
            await engine.submit("shop", please())
    assert set(threading.enumerate()) == threads

    async with engine_on(file) as engine:
        again = await engine.submit("shop", please("tell"), dedupe="slack:0")
        assert again.is_repeat == survives
        assert await engine.read(lambda t: t.history.verify("shop")) is None


async def test_a_halted_engine_writes_nothing_more(file: Path) -> None:
    async with engine_on(file, "shop") as engine:
        engine.halt(Killed("now"))
        with pytest.raises(Killed):
            await engine.submit("shop", please())
    async with engine_on(file) as engine:
        assert engine.pipelines()["shop"].counter == 0


async def test_closing_records_what_waits_and_takes_nothing_more(file: Path) -> None:
    async with engine_on(file, "shop") as engine:
        asked = [asyncio.ensure_future(engine.submit("shop", please())) for _ in range(20)]
        await asyncio.sleep(0)
        await engine.close()
        assert [(await a).text for a in asked][-1] == "Counted 20."
        with pytest.raises(StorageUnavailable, match="stopping"):
            await engine.submit("shop", please())


# ---- the world and outages ------------------------------------------------------------------------------------------


async def test_a_changed_world_is_numbered_and_every_pipeline_looks_at_its_gates(file: Path) -> None:
    freeze = Freeze("f1", FakeClock().now(), None, "the bank is down", by=ANN)
    async with engine_on(file, "shop", "cart") as engine:
        before = engine.world.revision
        world = await engine.change_world(
            lambda w: replace(w, freezes=(*w.freezes, freeze)), what="Everything is frozen."
        )
        assert world.revision == before + 1
        assert engine.world.freezes == (freeze,)
        assert {state.counter for state in engine.pipelines().values()} == {1}
        revisions = await engine.read(
            lambda t: t.connection.execute(text("SELECT seq, world_revision FROM events ORDER BY seq")).all()
        )
        assert [tuple(r) for r in revisions] == [(1, 0), (1, 0), (2, 1), (2, 1)]

        def refuse(_world: World) -> World:
            raise CommandRefused("Not you.")

        with pytest.raises(CommandRefused, match="Not you"):
            await engine.change_world(refuse, what="")
        assert engine.world.revision == 1

    async with engine_on(file) as engine:
        assert engine.world.freezes == (freeze,)


async def test_a_time_in_which_nobody_looked_is_an_outage(file: Path) -> None:
    """Rule 7."""
    clock = FakeClock()
    begun = clock.now()
    gap = timedelta(minutes=1)
    async with engine_on(file, "shop", clock=clock, longest_gap=gap) as engine:
        clock.advance(timedelta(seconds=60))
        assert await engine.beat() is None
        assert engine.world.observed_until == clock.now()

    clock.advance(timedelta(hours=2))
    async with engine_on(file, clock=clock, longest_gap=gap) as engine:
        (outage,) = engine.world.outages
        assert (outage.from_at, outage.until_at) == (begun + gap, clock.now())
        assert await engine.beat() is None

    clock.advance(timedelta(days=31))
    async with engine_on(file, clock=clock, longest_gap=None) as engine:
        assert engine.world.outages == ()


async def test_readers_may_walk_the_pipelines_while_new_ones_come(file: Path) -> None:
    async with engine_on(file, "a", "b") as engine:
        walk = iter(engine.pipelines())
        assert next(walk) == "a"
        await engine.submit("c", DefinitionApplied(definition=definition("c"), by=ANN))
        assert list(walk) == ["b"]
        assert list(engine.pipelines()) == ["a", "b", "c"]


# ---- the real rules -------------------------------------------------------------------------------------------------


class Workshop:
    """Couriers that let everything come true at once, and report it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.deployed: list[tuple[str, str]] = []

    async def deliver(self, claimed: Claimed) -> Delivered:
        match claimed.effect:
            case StartDeployment(key=key, target=target, what=what):
                self.deployed.append((target, what.version))
                await self.engine.submit(claimed.pipeline_id, DeploymentStarted(key=key, ref="ref"), dedupe=f"{key}/s")
            case FollowDeployment(deployment=key):
                await self.engine.submit(claimed.pipeline_id, DeploymentSucceeded(key=key), dedupe=f"{key}/ok")
            case _:
                pass
        return Done()

    async def on_buried(self, claimed: Claimed, reason: str) -> None:
        raise AssertionError((claimed, reason))


async def test_a_release_travels_the_whole_line_and_is_there_after_a_restart(file: Path) -> None:
    clock = FakeClock()
    rules = Rules(core.decide, core.next_wake, core.new_pipeline)
    kinds: tuple[type[Effect], ...] = get_args(Effect)
    async with engine_on(file, clock=clock, rules=rules) as engine:
        workshop = Workshop(engine)
        outbox = Outbox(engine, dict.fromkeys(kinds, workshop.deliver), workshop.on_buried)
        ticker = Ticker(engine)
        await engine.change_world(lambda _: WORLD, what="The organisation file was read.")
        await engine.submit("shop", DefinitionApplied(definition=pipeline(), by=ANN))
        change = Change(id="c1", title="Cheaper", authors=("dave@example.com",))
        announced = ReleaseAnnounced(version="1.0", digest="sha256:1", artifact="a", by=CI, changes=(change,))
        await engine.submit("shop", announced, dedupe="ci:1")
        await engine.submit("shop", announced, dedupe="ci:1")
        for _ in range(200):
            await outbox.settle()
            wake = engine.next_wake()
            if engine.pipelines()["shop"].releases[0].status.kind == "completed" or wake is None:
                break
            clock.advance(wake - clock.now())
            await ticker.tick()
        state = engine.pipelines()["shop"]
        assert state.releases[0].status.kind == "completed"
        assert workshop.deployed == [("beta", "1.0"), ("one-box", "1.0"), ("a", "1.0"), ("b", "1.0"), ("c", "1.0")]
        assert [await engine.read(lambda t: t.history.verify("shop")), await outbox.counts()] == [None, (0, 0)]

    async with engine_on(file, clock=clock, rules=rules) as engine:
        assert engine.pipelines()["shop"] == state


def test_the_stand_in_rules_are_pure() -> None:
    state = RULES.new_pipeline(definition())
    now = FakeClock().now()
    assert decide(state, please("tell"), World(), now) == decide(state, please("tell"), World(), now)
