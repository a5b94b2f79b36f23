"""Lanes: one at a time, in order; leases that run out, fences that hold, cards that cover each other."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from core.releases.effects import RefreshCard
from storage.errors import KeyReused
from storage.journal import Store, sqlite_url
from storage.lanes import Birth, Claimed
from tests.storage.shelf import NOON, after, card, create, look, put, tell

LEASE = timedelta(seconds=60)
HOUR = 3600


def claim(store: Store, seconds: float = 0, limit: int = 10) -> list[Claimed]:
    with store.transaction() as transaction:
        return transaction.outbox.claim(after(seconds), lease=LEASE, limit=limit)


def keys(claims: list[Claimed]) -> list[str]:
    return [claimed.key for claimed in claims]


def test_what_finds_its_lane_free_is_claimed_where_it_is_decided(file: Path) -> None:
    """A repeat is claimed by nobody, so that what stands behind it has to be looked at."""
    store = Store(sqlite_url(file))
    put(store)
    with store.transaction() as transaction:
        transaction.birth = Birth(LEASE, room=5)
        transaction.put_effects("shop", [tell("a1"), tell("a2"), look("c1")], NOON)
    assert keys(transaction.born.claims) == ["a1", "c1"]
    assert transaction.born.lanes == set()
    first = transaction.born.claims[0]
    with store.transaction() as transaction:
        transaction.outbox.done(first)
        (second,) = transaction.outbox.claim(NOON, lease=LEASE, limit=1)
        transaction.outbox.done(second)
    with store.transaction() as transaction:
        transaction.birth = Birth(LEASE, room=5)
        transaction.put_effects("shop", [tell("a1"), tell("a3"), tell("b1", "r2"), tell("b2", "r2")], NOON)
    (other,) = transaction.born.claims
    assert other.key == "b1"
    assert transaction.born.lanes == {first.lane}
    with store.transaction() as transaction:
        stored = transaction.connection.exec_driver_sql("SELECT key FROM outbox WHERE seq = ?", (other.seq,)).scalar()
        assert stored == other.key, "it was taken for another one"
        assert transaction.outbox.done(other)
    assert sorted(keys(claim(store))) == ["a3", "b2"]
    store.close()


def test_only_the_head_of_each_lane_is_handed_out(store: Store) -> None:
    put(store, tell("a1"), tell("b1", "r2"), tell("a2"), look("c1"))

    claims = claim(store)

    assert keys(claims) == ["a1", "b1", "c1"]
    assert [c.lane for c in claims] == ["slack:shop:r1", "slack:shop:r2", "deploy:shop:a"]
    assert (claims[0].effect, claims[0].attempts, claims[0].created_at) == (tell("a1"), 1, NOON)
    assert claims[0].claimed_until == NOON + LEASE
    assert keys(claim(store)) == []
    with store.transaction() as transaction:
        assert transaction.outbox.done(claims[0])
    assert keys(claim(store)) == ["a2"]


def test_no_more_are_handed_out_than_asked_for_and_the_longest_due_come_first(store: Store) -> None:
    put(store, tell("late", "r1"), at=after(2))
    put(store, tell("early", "r2"), at=after(1))
    assert keys(claim(store, 3, limit=1)) == ["early"]
    assert keys(claim(store, 3, limit=1)) == ["late"]


def test_what_is_not_due_holds_its_lane_and_nothing_else(store: Store) -> None:
    put(store, tell("a1"), tell("a2"), tell("b1", "r2"))
    (first, _) = claim(store)
    with store.transaction() as transaction:
        assert transaction.outbox.postpone(first, after(30), "Slack is down.", attempts=1)
        assert transaction.outbox.next_due() == after(30)
    assert keys(claim(store, 29)) == []
    (again,) = claim(store, 30)
    assert (again.key, again.attempts) == ("a1", 2)


def test_a_lease_that_ran_out_is_handed_out_again_and_the_fence_holds(store: Store) -> None:
    put(store, tell("a1"), tell("a2"))
    (zombie,) = claim(store)
    assert keys(claim(store, 59)) == []
    (mine,) = claim(store, 60)
    assert (mine.key, mine.attempts) == ("a1", 2)
    assert mine.fence > zombie.fence
    with store.transaction() as transaction:
        outbox = transaction.outbox
        assert not outbox.done(zombie)
        assert not outbox.bury(zombie, "I am late.")
        assert not outbox.postpone(zombie, NOON, "I am late.", attempts=0)
        outbox.renew([zombie], after(500))
        assert outbox.next_due() == after(120)
        assert outbox.done(mine)
        assert not outbox.done(mine)


def test_leases_can_be_renewed_and_all_ended_after_a_restart(store: Store) -> None:
    put(store, tell("a1"))
    claims = claim(store)
    with store.transaction() as transaction:
        transaction.outbox.renew(claims, after(100))
    assert keys(claim(store, 99)) == []
    with store.transaction() as transaction:
        assert transaction.outbox.expire(after(99)) == 1
    assert keys(claim(store, 99)) == ["a1"]


def test_a_claim_is_counted_before_the_call(store: Store, url: str) -> None:
    put(store, tell("a1"))
    claim(store)
    store.close()
    again = Store(url)
    assert claim(again, 60)[0].attempts == 2
    again.close()


def test_what_is_buried_is_listed_counted_and_holds_nothing(store: Store) -> None:
    put(store, tell("a1"), tell("a2"))
    (first,) = claim(store)
    with store.transaction() as transaction:
        transaction.outbox.bury(first, "The channel is gone.")
        (buried,) = transaction.outbox.buried()
        assert (buried.key, buried.kind, buried.reason) == ("a1", "Tell", "The channel is gone.")
        assert (buried.attempts, buried.created_at, transaction.outbox.count_buried()) == (1, NOON, 1)
    (second,) = claim(store)
    assert second.key == "a2"
    with store.transaction() as transaction:
        transaction.outbox.done(second)
        assert transaction.outbox.dig_up(buried.seq, after(5))
        assert not transaction.outbox.dig_up(buried.seq, after(5))
    assert keys(claim(store, 5)) == ["a1"]


def test_an_effect_this_version_does_not_understand_is_buried_not_lost(store: Store) -> None:
    put(store, tell("a1"), tell("a2"))
    with store.transaction() as transaction:
        transaction.connection.execute(text("UPDATE outbox SET kind = 'Sing' WHERE key = 'a1'"))
    assert keys(claim(store, HOUR)) == []
    with store.reading() as transaction:
        assert "“Sing” is not known" in transaction.outbox.buried()[0].reason
    assert keys(claim(store, HOUR)) == ["a2"]


def test_the_same_effect_twice_is_one_and_two_under_one_key_are_refused(store: Store) -> None:
    put(store, tell("a1"))
    put(store, tell("a1"), tell("a2"))
    put(store, tell("a1"), name="cart")
    with store.reading() as transaction:
        assert transaction.outbox.count_open() == 3
    with pytest.raises(KeyReused, match="a1"):
        put(store, tell("a1", "r9"))


# ---- cards ----------------------------------------------------------------------------------------------------------


def waiting(store: Store) -> list[str]:
    with store.reading() as transaction:
        query = text("SELECT key FROM outbox WHERE state = 'pending' ORDER BY seq")
        return list(transaction.connection.execute(query).scalars())


def test_a_card_that_waits_covers_the_later_ones_and_keeps_its_place(store: Store) -> None:
    put(store, card("c1"), tell("t1"), card("c2"), card("other", "r2"))
    put(store, card("c3"), tell("t2"))
    assert waiting(store) == ["c1", "t1", "other", "t2"]


def test_a_card_that_cannot_wait_takes_the_place_of_one_that_would(store: Store) -> None:
    put(store, card("c1"), tell("t1"))
    (first,) = claim(store)
    with store.transaction() as transaction:
        transaction.outbox.postpone(first, after(300), "A moment.", attempts=0)
    put(store, card("c2", at_once=True), card("c3"), at=after(1))
    assert waiting(store) == ["c2", "t1"]
    (taken,) = claim(store, 1)
    assert taken.effect == RefreshCard(key="c2", release="r1", at_once=True)


def test_urgency_within_one_decision(store: Store) -> None:
    put(store, card("c1"), tell("t1"), card("c2", at_once=True), card("c3"))
    assert waiting(store) == ["c2", "t1"]


def test_a_card_being_drawn_covers_nothing(store: Store) -> None:
    put(store, card("c1"))
    claim(store)
    put(store, card("c2"))
    assert waiting(store) == ["c2"]


# ---- the database refuses what the code must not do -----------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        "state = 'lost'",
        "state = 'claimed'",
        "claimed_until = 5",
        "attempts = -1",
        "lane = ''",
        "pipeline_id = 'nobody'",
        "key = 'a2'",
    ],
)
def test_wrong_rows_are_refused(store: Store, wrong: str) -> None:
    put(store, tell("a1"), tell("a2", "r2"))
    with pytest.raises(IntegrityError), store.transaction() as transaction:
        transaction.connection.execute(text(f"UPDATE outbox SET {wrong} WHERE key = 'a1'"))


def test_two_claims_in_one_lane_are_refused(store: Store) -> None:
    put(store, tell("a1"), tell("a2"))
    with pytest.raises(IntegrityError), store.transaction() as transaction:
        transaction.connection.execute(text("UPDATE outbox SET state = 'claimed', claimed_until = 5"))


def test_the_hot_queries_go_by_index(store: Store, file: Path) -> None:
    """Whatever history grows to."""
    with store.transaction() as transaction:
        create(transaction)
        for name in ("claim", "next_due", "earlier", "save", "end"):
            statement = getattr(transaction.statements, name)
            plan = transaction.connection.exec_driver_sql(
                f"EXPLAIN QUERY PLAN {statement._sql}", tuple(1 for _ in statement._places)
            )
            steps = [row[-1] for row in plan]
            assert not [s for s in steps if s.startswith("SCAN") and "USING INDEX ix_outbox_due" not in s], steps


class Workers(RuleBasedStateMachine):
    """Two workers, a clock, crashes: whatever they do, each lane is delivered in order and nothing is lost."""

    @initialize()
    def begin(self) -> None:
        import tempfile
        from pathlib import Path

        self.folder = tempfile.TemporaryDirectory()
        self.store = Store(sqlite_url(Path(self.folder.name) / "w.db"))
        self.seconds = 0
        self.number = 0
        self.put: dict[str, list[str]] = {}
        self.delivered: dict[str, list[str]] = {}
        self.held: list[Claimed] = []
        put(self.store)

    @rule(lane=st.sampled_from(["r1", "r2", "r3"]))
    def decide(self, lane: str) -> None:
        self.number += 1
        put(self.store, tell(f"t{self.number}", lane), at=after(self.seconds))
        self.put.setdefault(lane, []).append(f"t{self.number}")

    @rule(limit=st.integers(1, 3))
    def work(self, limit: int) -> None:
        claims = claim(self.store, self.seconds, limit)
        live = [h for h in self.held if h.claimed_until > after(self.seconds)]
        assert not {c.lane for c in claims} & {h.lane for h in live}, "two in one lane"
        self.held += claims

    @rule(seconds=st.sampled_from([1, 59, 61]))
    def time(self, seconds: int) -> None:
        self.seconds += seconds

    @rule(index=st.integers(0, 5), outcome=st.sampled_from(["done", "postpone", "forget"]))
    def end(self, index: int, outcome: str) -> None:
        if not self.held:
            return
        claimed = self.held.pop(index % len(self.held))
        with self.store.transaction() as transaction:
            if outcome == "done" and transaction.outbox.done(claimed):
                self.delivered.setdefault(claimed.lane.split(":")[-1], []).append(claimed.key)
            if outcome == "postpone":
                transaction.outbox.postpone(claimed, after(self.seconds + 5), "", attempts=claimed.attempts)

    @invariant()
    def in_order(self) -> None:
        for lane, delivered in getattr(self, "delivered", {}).items():
            assert delivered == self.put[lane][: len(delivered)]

    def teardown(self) -> None:
        if not hasattr(self, "store"):
            return
        self.seconds += 1000
        while claims := claim(self.store, self.seconds, 100):
            with self.store.transaction() as transaction:
                for claimed in claims:
                    assert transaction.outbox.done(claimed)
                    self.delivered.setdefault(claimed.lane.split(":")[-1], []).append(claimed.key)
        assert self.delivered == self.put
        self.store.close()
        self.folder.cleanup()


TestWorkers = Workers.TestCase
TestWorkers.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
