"""States and events: written together, in a chain that shows whatever was changed afterwards."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import text

from core.releases.world import Actor, Via
from storage.entries import Head
from storage.errors import VersionConflict
from storage.history import HistoryLine
from storage.journal import Store
from storage.tables import events
from tests.storage.shelf import NOON, after, create, entry, new, tell


def write(store: Store, count: int = 5, name: str = "shop") -> Head:
    """A pipeline with so many events after its first."""
    state = new(name)
    with store.transaction() as transaction:
        head = create(transaction, name)
        for number in range(count):
            then = replace(state, counter=number + 1)
            line = entry(
                f"Event {number}.", release="r1" if number % 2 else "", dedupe_key=f"key {number}", at=after(number)
            )
            head = transaction.append(name, head, line, before=state, after=then, wake_at=after(60))
            state = then
    return head


def test_state_and_events_are_written_together(store: Store) -> None:
    head = write(store)

    with store.reading() as transaction:
        loaded = transaction.load("shop")
        assert loaded is not None
        assert (loaded.state, loaded.head, loaded.wake_at) == (replace(new(), counter=5), head, after(60))
        assert transaction.load("cart") is None
        assert transaction.due(after(59)) == ()
        assert transaction.due(after(60)) == ("shop",)
        lines = transaction.history.lines("shop", limit=2)
        assert lines[0] == HistoryLine(6, after(4), "Ann", "slack", "PauseRequested", "Event 4.", "", False)
        assert [line.seq for line in transaction.history.lines("shop", limit=2, before=5)] == [4, 3]
        assert [line.seq for line in transaction.history.lines("shop", release="r1")] == [5, 3]


def test_what_says_nothing_is_recorded_and_not_read_out(store: Store) -> None:
    head = write(store, 2)
    with store.transaction() as transaction:
        for _ in range(30):
            head = transaction.append("shop", head, entry(""), before=new(), after=new(), wake_at=None)
    assert store.verify("shop") is None
    with store.reading() as transaction:
        assert [line.seq for line in transaction.history.lines("shop", limit=2)] == [3, 2]


def test_an_error_in_the_block_leaves_nothing(store: Store) -> None:
    def fail() -> None:
        with store.transaction() as transaction:
            create(transaction)
            transaction.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with store.reading() as transaction:
        assert transaction.load_all() == {}


def test_a_state_that_moved_meanwhile_is_not_overwritten(store: Store) -> None:
    head = write(store, 1)
    stale = replace(head, version=head.version - 1)
    for saved in (new(), replace(new(), counter=9)):
        with pytest.raises(VersionConflict), store.transaction() as transaction:
            transaction.append("shop", stale, entry(), before=new(), after=saved, wake_at=None)
    assert store.verify("shop") is None


def test_earlier_deliveries_are_known_with_or_without_an_event(store: Store) -> None:
    write(store, 1)
    with store.transaction() as transaction:
        transaction.put_seen("shop", "silent", NOON, "Nothing to do.")
    with store.reading() as transaction:
        known = [transaction.earlier("shop", key) for key in ("key 0", "silent", "other")]
        assert [(e.answer, e.refused) if e else None for e in known] == [
            ("Event 0.", False),
            ("Nothing to do.", False),
            None,
        ]
        assert transaction.earlier("cart", "silent") is None


def test_whole_history_verifies(store: Store) -> None:
    write(store)
    write(store, 0, "cart")
    assert store.verify("shop") is None
    assert store.verify("cart") is None
    assert store.verify("nobody") is None


TAMPERED = {
    "id": None,
    "pipeline_id": None,
    "seq": "seq = 99",
    "at": "at = at + 1",
    "actor": "actor = 'bob'",
    "actor_name": "actor_name = 'Bob'",
    "via": "via = 'shell'",
    "kind": "kind = 'ResumeRequested'",
    "schema": "schema = 2",
    "body": "body = '{}'",
    "answer": "answer = 'No.'",
    "sentence": "sentence = 'Nothing happened.'",
    "release": "release = 'r2'",
    "refused": "refused = true",
    "dedupe_key": "dedupe_key = 'another'",
    "world_revision": "world_revision = 7",
    "salt": "salt = :other",
    "digest": f"digest = '{'0' * 64}'",
    "chain": f"chain = '{'0' * 64}'",
}


def test_every_column_is_thought_of() -> None:
    assert set(TAMPERED) == {column.name for column in events.columns}


@pytest.mark.parametrize("change", [c for c in TAMPERED.values() if c], ids=lambda change: change.split()[0])
def test_a_changed_event_is_found(store: Store, change: str) -> None:
    write(store)
    with store.transaction() as transaction:
        statement = text(f"UPDATE events SET {change} WHERE seq = 3")
        transaction.connection.execute(statement, {"other": b"another salt"} if ":other" in change else {})
    assert store.verify("shop") == 3


@pytest.mark.parametrize(("seq", "found"), [(1, 1), (3, 3), (6, 6)], ids=["first", "middle", "last"])
def test_a_removed_event_is_found(store: Store, seq: int, found: int) -> None:
    write(store)
    with store.transaction() as transaction:
        transaction.connection.execute(text(f"DELETE FROM events WHERE seq = {seq}"))
    assert store.verify("shop") == found


def test_an_event_put_in_or_taken_from_elsewhere_is_found(store: Store) -> None:
    write(store)
    write(store, 5, "cart")
    copied = ", ".join(c.name for c in events.columns if c.name not in {"id", "pipeline_id", "seq", "dedupe_key"})
    with store.transaction() as transaction:
        transaction.connection.execute(
            text(f"INSERT INTO events (pipeline_id, seq, {copied}) SELECT 'shop', 7, {copied} FROM events WHERE id = 6")
        )
        transaction.connection.execute(text("UPDATE events SET seq = seq + 10 WHERE pipeline_id = 'cart' AND seq = 4"))
        transaction.connection.execute(text("UPDATE events SET seq = 4 WHERE pipeline_id = 'cart' AND seq = 5"))
    assert store.verify("shop") == 7
    assert store.verify("cart") == 4


def test_words_and_names_can_be_erased_and_the_chain_still_verifies(store: Store) -> None:
    head = write(store, 2)
    with store.transaction() as transaction:
        secret = entry("I am at 12 Garden Street.", actor=Actor("slack:U1", "Eve Example", Via.SLACK))
        transaction.append("shop", head, secret, before=new(), after=new(), wake_at=None)
    with store.transaction() as transaction:
        assert transaction.history.erase_text("shop", [4]) == 1

    assert store.verify("shop") is None
    with store.reading() as transaction:
        row = transaction.connection.execute(text("SELECT * FROM events WHERE seq = 4")).one()
        assert "Garden" not in repr(row)
        assert "Eve" not in repr(row)
        assert transaction.history.lines("shop")[0].actor == "slack:U1", "who acted stays, as an id"

    with store.transaction() as transaction:
        transaction.connection.execute(text("UPDATE events SET sentence = 'I said nothing.' WHERE seq = 4"))
    assert store.verify("shop") == 4, "nothing can be put where words were erased"


def test_what_nobody_asks_for_any_more_is_dropped(store: Store) -> None:
    write(store, 1)
    with store.transaction() as transaction:
        transaction.put_seen("shop", "old", NOON, "")
        transaction.put_seen("shop", "new", after(100), "")
        transaction.put_effects("shop", [tell("delivered")], NOON)
        transaction.put_effects("shop", [tell("open", "r2")], NOON)
        (first, _) = transaction.outbox.claim(NOON, lease=after(60) - NOON, limit=5)
        transaction.outbox.done(first)
        assert transaction.history.prune(after(50)) == 2
        transaction.expect([("shop", "old"), ("shop", "new")])
        assert transaction.earlier("shop", "old") is None
        assert transaction.earlier("shop", "new") is not None
        assert transaction.outbox.count_open() == 1
