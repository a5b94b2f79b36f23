"""Installations by OAuth: one in force, its tokens gone with it, renewed by one at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy.exc import IntegrityError

from storage.installations import Installation
from storage.journal import Store
from tests.storage.shelf import NOON, after

HERE = Installation(
    client_id="1.2", team_id="T1", team="Shop", installed_by="U1", installed_at=NOON, sealed=b"x", expires_at=after(60)
)


def test_one_is_in_force_and_forgets_its_tokens_when_it_is_over(store: Store) -> None:
    with store.transaction() as transaction:
        installations = transaction.installations
        assert installations.newest("1.2") is None
        installations.add(HERE)
        assert installations.newest("1.2") == replace(HERE, id=1)
        assert installations.newest("3.4") is None
    with pytest.raises(IntegrityError), store.transaction() as transaction:
        transaction.installations.add(replace(HERE, team_id="T2"))
    with store.transaction() as transaction:
        installations = transaction.installations
        assert installations.end(1, after(5), "It was removed.")
        assert not installations.end(1, after(6), "Twice.")
        assert not installations.renew(1, b"y", after(90))
        gone = replace(HERE, id=1, sealed=b"", ended_at=after(5), ended_why="It was removed.")
        assert installations.newest("1.2") == gone
        installations.add(HERE)
        newest = installations.newest("1.2")
        assert newest is not None
        assert newest == replace(HERE, id=newest.id), "numbers may be left out"
        assert newest.id > 1


def test_a_token_is_renewed_by_one_at_a_time(store: Store) -> None:
    with store.transaction() as transaction:
        installations = transaction.installations
        installations.add(HERE)
        seen = installations.newest("1.2")
        assert seen is not None
        assert installations.claim_renewal(seen, after(1), after(31))
        assert not installations.claim_renewal(seen, after(2), after(32)), "somebody renews it just now"
        assert installations.claim_renewal(seen, after(32), after(62)), "who began it never came back"
        assert installations.renew(seen.id, b"y", after(120))
        assert not installations.claim_renewal(seen, after(33), after(63)), "it was renewed since it was seen"
        renewed = installations.newest("1.2")
        assert renewed is not None
        assert installations.claim_renewal(renewed, after(33), after(63))


def test_what_was_begun_is_finished_once_and_in_time(store: Store) -> None:
    with store.transaction() as transaction:
        installations = transaction.installations
        one, other, late = ("1" * 64, "2" * 64, "3" * 64)
        installations.begin(one, NOON, after(600))
        installations.begin(other, NOON, after(600))
        installations.begin(late, NOON, after(1))
        assert installations.finish(one, after(10))
        assert not installations.finish(one, after(10))
        assert not installations.finish(late, after(10))
        assert not installations.finish("4" * 64, after(10))
        installations.begin("5" * 64, after(700), after(1300))
        assert not installations.finish(other, after(10)), "those never finished are forgotten"
