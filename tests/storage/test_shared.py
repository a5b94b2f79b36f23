"""PostgreSQL alone: what is lost on the way is known all the same, and replicas meet without harm."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from storage import batch
from storage.errors import KeyReused, OutcomeUnknown, StorageError, StorageUnavailable, VersionConflict
from storage.journal import Store
from storage.lanes import Claimed, Ending
from storage.listening import News, understood
from storage.shared import SharedTransaction
from tests.postgres import Server, database_of
from tests.storage.shelf import NOON, after, card, create, entry, put, tell
from tests.storage.torn import line_to

LEASE = timedelta(seconds=60)


def append(store: Store, sentence: str, **more: object) -> None:
    """One event more, in a transaction of its own."""
    with store.reading() as transaction:
        loaded = transaction.load("shop")
    assert loaded is not None
    with store.transaction() as transaction:
        then = replace(loaded.state, counter=loaded.state.counter + 1)
        line = entry(sentence, **more)
        transaction.append("shop", loaded.head, line, before=loaded.state, after=then, wake_at=None)


def sentences(store: Store) -> list[str]:
    with store.reading() as transaction:
        return [line.sentence for line in reversed(transaction.history.lines("shop"))][1:]


def claim(store: Store, seconds: float = 0, limit: int = 10) -> list[Claimed]:
    with store.transaction() as transaction:
        return transaction.outbox.claim(after(seconds), lease=LEASE, limit=limit)


# ---- lost on the way ------------------------------------------------------------------------------------------------


def test_what_was_written_is_known_though_its_answer_was_lost(shared_url: str) -> None:
    with line_to(shared_url) as line:
        store = Store(line.url(shared_url))
        put(store)
        line.tear = b"Torn after."
        append(store, "Torn after.")
        append(store, "And on.")
        assert line.torn == 1
        assert sentences(store) == ["Torn after.", "And on."]
        store.close()


def test_who_only_looks_is_told_that_the_database_is_away_and_sees_it_again_when_it_is_back(
    shared_url: str, postgres: Server
) -> None:
    """A courier takes this for something that passes; anything else would bury what it brings after some attempts."""
    store = Store(shared_url)
    put(store)

    def look_while_it_goes_away() -> None:
        with store.reading() as transaction:
            postgres.say(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                f"WHERE application_name = 'andon reader' AND datname = '{database_of(shared_url)}'"
            )
            transaction.load("shop")

    for _ in range(2):
        with pytest.raises(StorageUnavailable, match="cannot be read now"):
            look_while_it_goes_away()
        assert sentences(store) == []
    store.close()


def test_what_never_arrived_is_said_not_to_be_written(shared_url: str) -> None:
    with line_to(shared_url) as line:
        store = Store(line.url(shared_url))
        put(store)
        line.tear, line.reaches = b"Torn before.", False
        with pytest.raises(Exception, match="server closed the connection"):
            append(store, "Torn before.")
        append(store, "And on.")
        assert sentences(store) == ["And on."]
        store.close()


def test_a_commit_of_work_in_between_is_known_too(shared_url: str) -> None:
    with line_to(shared_url) as line:
        store = Store(line.url(shared_url))
        put(store, tell("a1"))
        line.tear = b"COMMIT"
        assert [claimed.key for claimed in claim(store)] == ["a1"]
        assert line.torn == 1
        assert claim(store) == [], "it was claimed, once"
        store.close()


def test_a_server_that_is_still_busy_with_what_was_given_up_can_no_longer_write_it(
    shared_url: str, postgres: Server
) -> None:
    """Its statement waits for a lock when the line breaks; when it goes on, its number is no longer the next one."""
    store = Store(shared_url)
    put(store)
    shared = store.shared
    assert shared is not None
    with shared.transaction() as given_up:
        given_up.put_seen("shop", "k", NOON, "Too late.")
        # Somebody asks what became of it, as after a lost answer, before it gets to write.
        assert not shared._was_written(given_up._number)
        with pytest.raises(VersionConflict, match="given up"):
            given_up.finish()
        given_up._seen.clear()
    with store.reading() as transaction:
        assert transaction.earlier("shop", "k") is None
    store.close()


def test_when_nobody_can_say_it_is_said_that_it_is_unknown(shared_url: str) -> None:
    with line_to(shared_url) as line:
        store = Store(line.url(shared_url))
        put(store)
        shared = store.shared
        assert shared is not None
        shared.ask_for = 0.3

        def torn() -> None:
            line.tear = b"Torn for good."
            line.is_cut = True
            append_only(store, "Torn for good.")

        with store.reading() as transaction:
            loaded = transaction.load("shop")
        assert loaded is not None

        def append_only(store: Store, sentence: str) -> None:
            with store.transaction() as transaction:
                then = replace(loaded.state, counter=1)
                transaction.append("shop", loaded.head, entry(sentence), before=loaded.state, after=then, wake_at=None)

        with pytest.raises(OutcomeUnknown, match="not known yet"):
            torn()
        line.is_cut = False
        assert sentences(store) == ["Torn for good."], "a look shows it"
        append(store, "And on.")
        store.close()


# ---- two at once ----------------------------------------------------------------------------------------------------


def test_two_that_decide_on_the_same_state_do_not_both_write(shared_url: str) -> None:
    one, other = Store(shared_url), Store(shared_url)
    put(one)
    start = threading.Barrier(2)

    def decide(store: Store) -> bool:
        with store.reading() as transaction:
            loaded = transaction.load("shop")
        assert loaded is not None
        start.wait()
        try:
            with store.transaction() as transaction:
                then = replace(loaded.state, counter=loaded.state.counter + 1)
                transaction.append("shop", loaded.head, entry(), before=loaded.state, after=then, wake_at=None)
        except VersionConflict:
            return False
        return True

    with ThreadPoolExecutor(2) as threads:
        for _ in range(20):
            assert sorted(threads.map(decide, (one, other))) == [False, True]
    assert one.verify("shop") is None
    for store in (one, other):
        store.close()


def test_each_effect_is_claimed_by_one_and_lanes_keep_their_order(shared_url: str) -> None:
    stores = [Store(shared_url) for _ in range(3)]
    wanted = {f"r{lane}": [f"{lane}.{number}" for number in range(6)] for lane in range(8)}
    put(stores[0], *(tell(key, lane) for lane, keys in wanted.items() for key in keys))
    delivered: dict[str, list[str]] = {lane: [] for lane in wanted}
    open_lanes: set[str] = set()
    watch = threading.Lock()

    def work(store: Store) -> None:
        idle = 0
        while idle < 3:
            claims = claim(store, limit=3)
            idle = 0 if claims else idle + 1
            with watch:
                lanes = {claimed.lane for claimed in claims}
                assert not lanes & open_lanes, "two in one lane"
                open_lanes.update(lanes)
            for claimed in claims:
                with watch:
                    delivered[claimed.lane.rpartition(":")[2]].append(claimed.key)
                    open_lanes.discard(claimed.lane)
                with store.transaction() as transaction:
                    assert transaction.outbox.done(claimed)

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(work, stores))
    assert delivered == wanted
    for store in stores:
        store.close()


def test_a_card_that_comes_due_beside_what_is_being_delivered_is_no_mishap(shared_url: str) -> None:
    """Two replicas meet in one lane: one holds a sentence, the other sees the card before it come due."""
    one, other = Store(shared_url), Store(shared_url)
    put(one, card("c1"), tell("t1"))
    (first,) = claim(one)
    with one.transaction() as transaction:
        transaction.outbox.postpone(first, after(10), "A moment.", attempts=0)
    with one.transaction() as transaction:
        (sentence,) = transaction.outbox.claim(after(5), lease=LEASE, limit=5)
        assert sentence.key == "t1"
        # Not committed yet: the other one does not see that the lane is held.
        with ThreadPoolExecutor(1) as threads:
            claiming = threads.submit(claim, other, 10)
            transaction.connection.exec_driver_sql("SELECT pg_sleep(0.2)")
            transaction.finish()
            with pytest.raises(VersionConflict):
                claiming.result()
    assert [claimed.key for claimed in claim(other, 10)] == []
    with other.transaction() as transaction:
        assert transaction.outbox.done(sentence)
    assert [claimed.key for claimed in claim(other, 10)] == ["c1"]
    for store in (one, other):
        store.close()


def test_a_card_that_is_being_taken_covers_no_later_change(shared_url: str) -> None:
    """Whoever draws it looked already; what changes now needs a card of its own."""
    one, other = Store(shared_url), Store(shared_url)
    put(one, card("c1"))
    with one.transaction() as transaction:
        (taken,) = transaction.outbox.claim(NOON, lease=LEASE, limit=5)
        assert taken.key == "c1"
        put(other, card("c2"))
    with one.reading() as transaction:
        rows = transaction.connection.execute(text("SELECT key, state FROM outbox ORDER BY seq")).all()
    assert [tuple(row) for row in rows] == [("c1", "claimed"), ("c2", "pending")]
    for store in (one, other):
        store.close()


def test_an_effect_of_a_newer_version_is_left_to_a_newer_replica(shared_url: str) -> None:
    """While replicas are replaced one by one, both versions work; an old one must not give up what it cannot read."""
    old, newer = Store(shared_url), Store(shared_url)
    put(old, tell("a1"))
    with newer.transaction() as transaction:
        transaction.connection.execute(text("UPDATE outbox SET kind = 'Sing' WHERE key = 'a1'"))
    assert claim(old) == []
    with newer.transaction() as transaction:
        assert transaction.outbox.count_buried() == 0
        # The newer one knows what it is to sing.
        transaction.connection.execute(text("UPDATE outbox SET kind = 'Tell' WHERE key = 'a1'"))
    assert [(claimed.key, claimed.attempts) for claimed in claim(newer, 60)] == [("a1", 1)]
    for store in (old, newer):
        store.close()


def test_a_key_that_means_two_things_stops_the_whole_batch(shared_url: str) -> None:
    store = Store(shared_url)
    put(store, tell("a1"))

    def write() -> None:
        with store.transaction() as transaction:
            transaction.put_seen("shop", "k", NOON, "")
            transaction.put_effects("shop", [tell("a1", "r9")], NOON)

    with pytest.raises(KeyReused, match="shop carry the key a1"):
        write()
    with store.reading() as transaction:
        assert transaction.earlier("shop", "k") is None, "nothing of it was written"
    store.close()


def test_pipelines_are_locked_in_one_order(shared_url: str) -> None:
    """Batches over the same pipelines, named in opposite orders, never wait for each other in a circle."""
    stores = [Store(shared_url), Store(shared_url)]
    names = [f"p{number}" for number in range(6)]
    with stores[0].transaction() as transaction:
        for name in names:
            create(transaction, name)

    def rewake(store: Store, order: list[str]) -> None:
        for _ in range(40):
            with store.reading() as transaction:
                heads = {name: loaded.head for name, loaded in transaction.load_some(order).items()}
            with store.transaction() as transaction:
                for name in order:
                    transaction.rewake(name, heads[name], None)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(rewake, stores, (names, names[::-1])))
    for store in stores:
        store.close()


# ---- opening it -----------------------------------------------------------------------------------------------------


def test_several_that_start_at_once_on_an_empty_database_make_it_once(postgres: Server) -> None:
    url = postgres.empty()
    program = "import sys; from storage.journal import Store; Store(sys.argv[1]).close()"
    starting = [subprocess.Popen([sys.executable, "-c", program, url], stderr=subprocess.PIPE) for _ in range(3)]
    assert [(process.communicate()[1], process.returncode) for process in starting] == [(b"", 0)] * 3
    store = Store(url)
    put(store)
    assert store.verify("shop") is None
    store.close()
    postgres.drop(url)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_usual_way_to_write_the_url_is_understood(shared_url: str, scheme: str) -> None:
    Store(shared_url.replace("postgresql", scheme, 1)).close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://andon:hush@127.0.0.1:1/andon?connect_timeout=1", "cannot be opened"),
        ("postgresql://andon:hush@", "names no database"),
        ("mysql://andon:hush@db/andon", "mysql, which Andon does not work with"),
        ("postgresql+asyncpg://andon:hush@db/andon", "does not work with"),
        ("andon:hush", "not understood"),
        ("", "not understood"),
        ("postgresql://andon:hush@db:port/andon", "not understood"),
    ],
)
def test_a_url_that_does_not_work_is_explained_without_its_password(url: str, says: str) -> None:
    with pytest.raises(StorageError, match=says) as refused:
        Store(url)
    told = f"{refused.value!r} {refused.value} {refused.value.__cause__!r}"
    assert "hush" not in told


def test_errors_carry_no_values(shared_url: str) -> None:
    from storage.dialects import explain

    store = Store(shared_url)
    put(store)
    with pytest.raises(Exception, match="ck_pipelines_version") as refused, store.transaction() as transaction:
        transaction.connection.execute(text("UPDATE pipelines SET version = 0, definition_revision = 'my words'"))
    assert "my words" not in explain(refused.value).message
    store.close()


def test_a_replica_that_was_forgotten_says_that_it_must_start_anew(shared_url: str, postgres: Server) -> None:
    store = Store(shared_url)
    put(store)
    postgres.say("DELETE FROM commits", database_of(shared_url))
    for says in ("Nothing was recorded", "started anew", "started anew"):
        with pytest.raises(StorageError, match=says):
            append(store, "Who am I?")
    assert sentences(store) == []
    store.close()


# ---- news -----------------------------------------------------------------------------------------------------------


def test_notices_stay_small_and_say_who_and_what() -> None:
    moved = [(f"a-rather-long-name-of-a-pipeline-{number:05}", 10**9) for number in range(500)]
    told = batch.notices("one", moved, has_effects=True)
    assert max(len(notice.encode()) for notice in told) < 8000
    heard = [understood(notice, "other") for notice in told]
    assert {name: v for news in heard if news for name, v in news.pipelines.items()} == dict(moved)
    assert all(news is not None and news.has_effects and not news.is_world for news in heard)
    assert understood(told[0], "one") is None, "our own"


@pytest.mark.parametrize("strange", ["", "[]", '"x"', '{"pipelines": {"shop": "new"}}', '{"pipelines": []}'])
def test_a_notice_of_a_newer_version_means_look_at_everything(strange: str) -> None:
    assert understood(strange, "one") == News(has_effects=True, is_world=True)


def test_values_of_every_kind_arrive_as_they_were(shared_url: str) -> None:
    store = Store(shared_url)
    awkward = ['"', "\\", "{}", "NULL", "null", "", " a, b ", "é ☃ 🚦", "'; --", "\\x41", "a\nb\tc", "%s %(x)s"]
    with store.transaction() as transaction:
        assert isinstance(transaction, SharedTransaction)
        sql = "SELECT %(t)s::text[], %(n)s::bigint[], %(b)s::bytea[], %(y)s::boolean[]"
        ((texts, numbers, raw, truths),) = transaction._run(
            sql,
            {
                "t": batch.array([*awkward, None]),
                "n": batch.array([0, -1, None, 2**62]),
                "b": batch.array([b"", b"\x00\xff\\", None]),
                "y": batch.array([True, False, None]),
            },
        )
    assert (texts, numbers, truths) == ([*awkward, None], [0, -1, None, 2**62], [True, False, None])
    assert [None if value is None else bytes(value) for value in raw] == [b"", b"\x00\xff\\", None]
    store.close()


# ---- many lanes at once ---------------------------------------------------------------------------------------------


def test_lanes_are_looked_at_and_claims_ended_together(shared_url: str) -> None:
    store = Store(shared_url)
    put(store, tell("a1"), tell("a2"), tell("b1", "r2"), tell("c1", "r3"), tell("d1", "r4"))
    lanes = [f"slack:shop:r{number}" for number in (1, 2, 3)]
    with store.transaction() as transaction:
        claims, later, left = transaction.outbox.claim_in(lanes, NOON, lease=LEASE, limit=2)
        assert [claimed.key for claimed in claims] == ["a1", "b1"]
        assert (later, left) == ({}, ["slack:shop:r3"])
    zombie = replace(claims[1], fence=0)
    with store.transaction() as transaction:
        endings = [
            Ending(claims[0], "pending", "A moment.", after(5), 0),
            Ending(zombie, "done"),
        ]
        assert transaction.outbox.end_all(endings) == [zombie]
        assert transaction.outbox.end_all([]) == []
        claims, later, left = transaction.outbox.claim_in(lanes, NOON, lease=LEASE, limit=9)
        assert ([claimed.key for claimed in claims], later, left) == (["c1"], {"slack:shop:r1": after(5)}, [])
    with store.transaction() as transaction:
        claims, _, _ = transaction.outbox.claim_in(lanes, after(5), lease=LEASE, limit=9)
        assert [(claimed.key, claimed.attempts, claimed.version) for claimed in claims] == [("a1", 1, 1)]
        assert transaction.outbox.end_all([Ending(claims[0], "buried", "It is gone.")]) == []
        assert [buried.reason for buried in transaction.outbox.buried()] == ["It is gone."]
    store.close()
