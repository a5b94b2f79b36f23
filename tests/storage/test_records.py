"""What is kept beside pipelines."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from core.releases.world import Outage, Person, World
from storage.errors import VersionConflict
from storage.journal import Store
from storage.records import SentMessage, Token
from tests.storage.shelf import NOON, after


def test_a_message_is_found_by_its_purpose_and_by_its_place(store: Store) -> None:
    message = SentMessage(
        pipeline_id="shop", release="r1", purpose="card", channel="C1", ts="1.1", key="k", fingerprint="f"
    )
    with store.transaction() as transaction:
        messages = transaction.messages
        assert messages.find("shop", "r1", "card") is None
        messages.put(message, NOON)
        assert messages.find("shop", "r1", "card") == message
        assert messages.at("C1", "1.1") == message
        moved = replace(message, ts="2.2", fingerprint="g")
        messages.put(moved, NOON)
        assert messages.find("shop", "r1", "card") == moved
        assert messages.at("C1", "1.1") is None


def test_a_webhook_is_kept_until_somebody_settles_it(store: Store) -> None:
    with store.transaction() as transaction:
        inbox = transaction.inbox
        number = inbox.receive("ci", {"X-Event": "push"}, b"\x00\xff", NOON, dedupe="delivery 1")
        assert number is not None
        assert inbox.receive("ci", {}, b"again", NOON, dedupe="delivery 1") is None
        other = inbox.receive("alarms", {}, b"{}", NOON, dedupe="delivery 1")
        assert other is not None
        (first, second) = inbox.waiting()
        assert (first.source, first.headers, first.body, first.received_at) == (
            "ci",
            {"X-Event": "push"},
            b"\x00\xff",
            NOON,
        )
        inbox.settle(number, "done")
        inbox.settle(other, "kept", "No pipeline listens to this.")
        assert (inbox.waiting(), [(k.id, k.note) for k in inbox.kept()]) == (
            (),
            [(second.id, "No pipeline listens to this.")],
        )
        assert inbox.prune(NOON) == 0
        assert inbox.prune(after(1)) == 2


def test_every_revision_of_the_world_is_kept(store: Store) -> None:
    ann = Person(key="ann", name="Ann", identities=frozenset({"ann@example.com"}))
    with store.transaction() as transaction:
        assert transaction.worlds.load(NOON) == World()
        first = transaction.worlds.put(World(people={"ann": ann}), NOON, "Ann came.")
        second = transaction.worlds.put(replace(first, people={}), NOON, "Ann left.")
        assert transaction.worlds.load(NOON) == second
        assert (first.revision, second.revision) == (1, 2)
    with pytest.raises(VersionConflict), store.transaction() as transaction:
        transaction.worlds.put(first, NOON, "Written on an old one.")


def test_only_a_long_silence_of_all_replicas_is_an_outage(store: Store) -> None:
    gap = timedelta(seconds=30)
    with store.transaction() as transaction:
        signs = transaction.liveness
        assert signs.beat("one", NOON, gap=gap) is None
        assert signs.beat("two", after(30), gap=gap) is None
        assert signs.beat("one", after(60), gap=gap) is None, "the other one looked meanwhile"
        assert signs.beat("two", after(91), gap=gap) == Outage(after(60), after(91))
        assert signs.beat("one", after(500), gap=None) is None
        world = transaction.worlds.load(after(500))
        assert (world.outages, world.observed_until) == ((Outage(after(60), after(91)),), after(500))
        month = timedelta(days=31)
        signs.beat("one", after(500) + month, gap=gap)
        assert transaction.worlds.load(after(500) + month).outages == (Outage(after(500), after(500) + month),)


def test_tokens_open_doors_until_they_end(store: Store) -> None:
    token = Token(
        id="t1",
        hash="a" * 64,
        name="ci",
        actor="ci",
        scopes=frozenset({"announce", "read"}),
        created_at=NOON,
        expires_at=after(9),
    )
    with store.transaction() as transaction:
        tokens = transaction.tokens
        tokens.add(token)
        assert tokens.find("a" * 64) == token
        assert tokens.find("b" * 64) is None
        assert (token.is_valid(after(8)), token.is_valid(after(9))) == (True, False)
        assert (tokens.revoke("t1", after(1)), tokens.revoke("t1", after(2))) == (True, False)
        (revoked,) = tokens.every()
        assert revoked == replace(token, revoked_at=after(1))
        assert not revoked.is_valid(after(1))
