"""Found under the load of the bench: a put-off card comes due while another effect has the turn of its lane."""

from __future__ import annotations

from datetime import timedelta

from storage.journal import Store, sqlite_url
from storage.lanes import Claimed
from tests.storage.shelf import after, card, look, put, tell

LEASE = timedelta(seconds=60)


def claimed_at(store: Store, seconds: float) -> list[Claimed]:
    with store.transaction() as transaction:
        return transaction.outbox.claim(after(seconds), lease=LEASE, limit=10)


def with_card_put_off_and_sentence_under_way(store: Store) -> tuple[Claimed, Claimed]:
    put(store, card("card"), tell("sentence"))
    (drawn,) = claimed_at(store, 0)
    with store.transaction() as transaction:
        assert transaction.outbox.postpone(drawn, after(5), "Edited a moment ago.", attempts=0)
    (sentence,) = claimed_at(store, 1)
    assert sentence.key == "sentence"
    return drawn, sentence


def test_a_card_that_comes_due_while_its_lane_is_held_waits_and_stops_no_other_lane(tmp_path):
    store = Store(sqlite_url(tmp_path / "andon.db"))
    _, sentence = with_card_put_off_and_sentence_under_way(store)
    put(store, look("elsewhere"))

    assert [c.key for c in claimed_at(store, 6)] == ["elsewhere"]

    with store.transaction() as transaction:
        assert transaction.outbox.done(sentence)
    assert [c.key for c in claimed_at(store, 7)] == ["card"]
    store.close()


def test_a_lease_that_ran_out_is_taken_up_again_before_the_card_that_came_due(tmp_path):
    store = Store(sqlite_url(tmp_path / "andon.db"))
    with_card_put_off_and_sentence_under_way(store)

    (again,) = claimed_at(store, 62)

    assert (again.key, again.attempts) == ("sentence", 2)
    with store.transaction() as transaction:
        assert transaction.outbox.next_due() == after(62) + LEASE
    store.close()
