"""What was done to the organisation: a chain of its own, and every revision of the world has its act."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text

from core.releases.freezing import Covered, FreezeRequested, UnfreezeRequested
from core.releases.world import World
from storage.journal import Store
from tests.storage.shelf import ANN, NOON, after, create, entry, new


def three_acts(store: Store) -> None:
    with store.transaction() as transaction:
        for n in range(3):
            world = transaction.worlds.put(World(revision=n), NOON, "Ann froze everything.")
            transaction.acts.append(entry(f"Act {n + 1}.", world_revision=world.revision, dedupe_key=f"d{n}"))
        transaction.acts.append(entry("Not you.", refused=True, world_revision=3))


def test_acts_are_found_again_and_known_by_their_delivery(store: Store) -> None:
    three_acts(store)
    with store.transaction() as transaction:
        said = [(line.seq, line.sentence, line.actor, line.refused) for line in transaction.acts.lines(limit=2)]
        assert said == [(4, "Not you.", "Ann", True), (3, "Act 3.", "Ann", False)]
        assert transaction.acts.earlier("d1") == ("Act 2.", False)
        assert transaction.acts.earlier("d9") is None
        assert transaction.acts.verify() is None


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        ("UPDATE acts SET sentence = 'Bob did it.' WHERE seq = 2", 2),
        ("UPDATE acts SET actor = 'bob' WHERE seq = 1", 1),
        ("DELETE FROM acts WHERE seq = 2", 2),
        ("DELETE FROM acts WHERE seq >= 3", 3),
    ],
)
def test_what_was_changed_or_is_missing_is_found(store: Store, harm: str, found: int) -> None:
    three_acts(store)
    with store.transaction() as transaction:
        transaction.connection.execute(text(harm))
        assert transaction.acts.verify() == found


def test_what_is_asked_comes_back_as_it_was(store: Store) -> None:
    what = Covered("shop", scope_name="wave-1")
    for command in (
        FreezeRequested(by=ANN, what=what, reason="x", from_at=NOON, duration=timedelta(hours=2)),
        UnfreezeRequested(by=ANN, name="freeze-3"),
    ):
        kind, body = store.codec.encode_act(command)
        assert store.codec.decode_act(kind, body, store.codec.schema) == command


def test_overrides_of_all_pipelines_are_found_by_their_time(store: Store) -> None:
    with store.transaction() as transaction:
        for name in ("shop", "cart"):
            head = create(transaction, name)
            for n, kind in enumerate(("OverrideRequested", "PauseRequested", "OverrideRequested")):
                told = entry(f"{name} {n}", kind=kind, at=after(n), refused=name == "cart" and n == 0)
                state = new(name)
                head = transaction.append(name, head, told, before=state, after=state, wake_at=None)
    with store.transaction() as transaction:
        found = [(name, line.sentence) for name, line in transaction.history.overrides(NOON)]
        assert found == [("shop", "shop 0"), ("cart", "cart 2"), ("shop", "shop 2")]
        assert [name for name, _ in transaction.history.overrides(after(1))] == ["cart", "shop"]
