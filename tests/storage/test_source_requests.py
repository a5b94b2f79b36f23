"""Requests of release sources: stored once, worked on by one, and gone after a while."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from storage.journal import Store
from storage.source_requests import RequestLine, SourceRequest, SourceRequests
from tests.storage.shelf import NOON

LEASE = timedelta(minutes=1)


@pytest.fixture
def requests(store: Store) -> Iterator[SourceRequests]:
    with store.transaction() as transaction:
        yield SourceRequests(transaction)


def received(requests: SourceRequests, dedupe: str = "", body: bytes = b"{}") -> SourceRequest:
    found = requests.receive("github", {"X-GitHub-Event": "push"}, body, NOON, dedupe=dedupe)
    assert isinstance(found, SourceRequest)
    return found


def test_a_request_is_stored_whole_and_handed_to_one(requests: SourceRequests) -> None:
    stored = received(requests, body=b"\x00\xff")
    assert requests.next_due() == NOON
    (mine,) = requests.claim(NOON, LEASE)
    assert (mine.id, mine.headers, mine.body, mine.attempts) == (
        stored.id, {"X-GitHub-Event": "push"}, b"\x00\xff", 0,
    )  # fmt: skip
    assert requests.claim(NOON, LEASE) == ()
    assert requests.claim(NOON + LEASE, LEASE) == (mine,), "whoever had it may have died"


def test_a_repeat_is_known_and_one_that_was_kept_is_taken_up_again(requests: SourceRequests) -> None:
    stored = received(requests, "d-1")
    again = requests.receive("github", {}, b"else", NOON, dedupe="d-1")
    assert isinstance(again, RequestLine)
    assert (again.id, again.state) == (stored.id, "waiting")
    assert isinstance(requests.receive("gitlab", {}, b"{}", NOON, dedupe="d-1"), SourceRequest), "of another source"
    requests.settle(stored.id, "kept", "nobody takes it")
    assert [line.note for line in requests.kept()] == ["nobody takes it"]
    assert received(requests, "d-1").id == stored.id
    assert requests.kept() == ()
    requests.settle(stored.id, "announced", "done")
    assert isinstance(requests.receive("github", {}, b"{}", NOON, dedupe="d-1"), RequestLine)
    assert received(requests).id != received(requests).id, "what carries no number is never taken for a repeat"


def test_one_that_must_wait_is_due_later_and_keeps_its_reason(requests: SourceRequests) -> None:
    stored = received(requests)
    later = NOON + timedelta(minutes=7)
    requests.claim(NOON, LEASE)
    requests.again(stored.id, later, "the registry is away")
    assert requests.next_due() == later
    requests.free(NOON)
    assert requests.next_due() == later, "a pause that somebody asked for is kept"
    assert requests.claim(NOON, LEASE) == ()
    (mine,) = requests.claim(later, LEASE)
    assert mine.attempts == 1
    assert [(line.state, line.note) for line in requests.received()] == [("waiting", "the registry is away")]


def test_what_was_in_hand_when_the_process_ended_is_due_at_once(requests: SourceRequests) -> None:
    received(requests)
    requests.claim(NOON, LEASE)
    requests.free(NOON)
    assert len(requests.claim(NOON, LEASE)) == 1


def test_old_ones_go_but_not_those_that_wait(requests: SourceRequests) -> None:
    stored, _waiting = received(requests), received(requests)
    requests.settle(stored.id, "ignored", "a ping")
    assert requests.prune(NOON) == 0
    assert requests.prune(NOON + timedelta(days=30)) == 1
    assert [line.state for line in requests.received()] == ["waiting"]
