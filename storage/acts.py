"""What was done to the organisation, not to one pipeline: freezes placed and lifted, refusals, the file applied.

A chain of its own, as each pipeline has one (`chain.py`). Every revision of the world has its act, so that a missing
end is found: the last act that changed the world names its newest revision.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from storage import chain, dialects
from storage.errors import VersionConflict
from storage.history import HistoryLine
from storage.instants import from_number, to_number
from storage.tables import acts, world

if TYPE_CHECKING:
    from storage.entries import Entry
    from storage.journal import Transaction

NOBODYS = ""
"""What stands for the pipeline in a link of this chain."""


class Acts:
    """The organisation's own events, within one transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def append(self, entry: Entry) -> None:
        """Record one after the last; VersionConflict where another replica was first."""
        connection = self._transaction.connection
        last = connection.execute(select(acts.c.seq, acts.c.chain).order_by(acts.c.seq.desc()).limit(1)).first()
        link = chain.Link(
            pipeline_id=NOBODYS,
            seq=1 if last is None else last.seq + 1,
            at=to_number(entry.at),
            actor=chain.plain(entry.actor.id),
            via=entry.actor.via.value,
            kind=entry.kind,
            schema=self._transaction.codec.schema,
            release="",
            refused=entry.refused,
            dedupe_key=entry.dedupe_key or None,
            world_revision=entry.world_revision,
        )
        words = (chain.plain(entry.actor.name), entry.body, chain.plain(entry.answer), chain.plain(entry.sentence))
        salt = secrets.token_bytes(16)
        digest = chain.digest_of(salt, words)
        name, body, answer, sentence = words
        row = {
            "seq": link.seq,
            "at": link.at,
            "actor": link.actor,
            "actor_name": name,
            "via": link.via,
            "kind": link.kind,
            "schema": link.schema,
            "body": body,
            "answer": answer,
            "sentence": sentence,
            "refused": link.refused,
            "dedupe_key": link.dedupe_key,
            "world_revision": link.world_revision,
            "salt": salt,
            "digest": digest,
            "chain": link.chained(chain.START if last is None else last.chain, digest),
        }
        insert = dialects.insert_or_ignore(acts, connection.dialect.name).returning(acts.c.seq)
        if connection.execute(insert, row).first() is None:
            raise VersionConflict

    def earlier(self, key: str) -> tuple[str, bool] | None:
        """What was answered when this delivery came first, and whether it was refused."""
        query = select(acts.c.answer, acts.c.refused).where(acts.c.dedupe_key == key)
        row = self._transaction.connection.execute(query).first()
        return None if row is None else (row.answer, bool(row.refused))

    def lines(self, *, limit: int = 20) -> Sequence[HistoryLine]:
        """What was done, newest first."""
        query = select(acts).order_by(acts.c.seq.desc()).limit(limit)
        rows = self._transaction.connection.execute(query)
        return tuple(
            HistoryLine(r.seq, from_number(r.at), r.actor_name or r.actor, r.via, r.kind, r.sentence, "", r.refused)
            for r in rows
        )

    def verify(self) -> int | None:
        """The number of the first act that was changed, removed or put in; None if all is whole."""
        connection = self._transaction.connection
        previous, expected, revision = chain.START, 1, 0
        names = [name for name in chain.Link._fields if name not in ("pipeline_id", "release")]
        for row in connection.execute(select(acts).order_by(acts.c.seq)).all():
            link = chain.Link(pipeline_id=NOBODYS, release="", **{name: getattr(row, name) for name in names})
            words = (row.actor_name, row.body, row.answer, row.sentence)
            is_whole = chain.digest_of(row.salt, words) == row.digest
            if row.seq != expected or not is_whole or link.chained(previous, row.digest) != row.chain:
                return expected
            previous, expected = row.chain, expected + 1
            revision = revision if row.refused else row.world_revision
        newest = connection.execute(select(func.max(world.c.revision))).scalar() or 0
        # Revisions from before this chain was kept have no act.
        return expected if expected > 1 and newest > revision else None
