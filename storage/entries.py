"""An event on its way into a pipeline's chain: what is recorded of it, and the row that holds it and its link."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime

from core.releases.world import Actor
from storage import chain, hot
from storage.instants import to_number


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a pipeline's chain: the number of its last event, and that event's link."""

    version: int
    chain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An event to be recorded. `body` is the codec's text; `answer` is for who asked, `sentence` for the history."""

    at: datetime
    actor: Actor
    kind: str
    body: str
    answer: str
    sentence: str
    release: str
    refused: bool
    dedupe_key: str
    world_revision: int


def linked(pipeline_id: str, head: Head, entry: Entry, schema: int) -> tuple[Head, hot.Row]:
    """Chain an event to the one before; returns the new end, and the row in the order of `hot.EVENT`."""
    at = to_number(entry.at)
    words = (chain.plain(entry.actor.name), entry.body, chain.plain(entry.answer), chain.plain(entry.sentence))
    link = chain.Link(
        pipeline_id=pipeline_id,
        seq=head.version + 1,
        at=at,
        actor=chain.plain(entry.actor.id),
        via=entry.actor.via.value,
        kind=entry.kind,
        schema=schema,
        release=entry.release,
        refused=entry.refused,
        dedupe_key=entry.dedupe_key or None,
        world_revision=entry.world_revision,
    )
    salt = secrets.token_bytes(16)
    digest = chain.digest_of(salt, words)
    chained = link.chained(head.chain, digest)
    name, body, answer, sentence = words
    row = (
        pipeline_id, link.seq, at, link.actor, name, link.via, link.kind, link.schema, body, answer, sentence,
        link.release, link.refused, link.dedupe_key, link.world_revision, salt, digest, chained,
    )  # fmt: skip
    return Head(link.seq, chained), row
