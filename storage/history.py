"""A pipeline's past: lines for people, erasing of words, and the proof that nothing else was changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import or_, select, text, update

from core.releases.events import DefinitionApplied
from storage import chain
from storage.instants import from_number, to_number
from storage.tables import events, outbox, pipelines, seen

if TYPE_CHECKING:
    from storage.journal import Transaction


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One event, for people."""

    seq: int
    at: datetime
    actor: str
    via: str
    kind: str
    sentence: str
    release: str
    refused: bool


@dataclass(frozen=True, slots=True)
class Revision:
    """A definition that was applied; `text` is the file as it was written, empty where it was erased or not given."""

    seq: int
    at: datetime
    actor: str
    actor_name: str
    revision: str
    text: str


class History:
    """Events that were recorded, within one transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def lines(
        self, pipeline_id: str, *, limit: int = 20, before: int | None = None, release: str = ""
    ) -> Sequence[HistoryLine]:
        """Events that say something, newest first; `before` is a number to go on from.

        Readings of an alarm that change nothing come every second and say nothing; erased words leave their line.
        """
        e = events.c
        query = select(e.seq, e.at, e.actor_name, e.actor, e.via, e.kind, e.sentence, e.release, e.refused)
        query = (
            query.where(e.pipeline_id == pipeline_id, or_(e.sentence != "", e.salt == b""))
            .order_by(e.seq.desc())
            .limit(limit)
        )
        if before is not None:
            query = query.where(e.seq < before)
        if release:
            query = query.where(e.release == release)
        return tuple(
            HistoryLine(
                r.seq, from_number(r.at), r.actor_name or r.actor, r.via, r.kind, r.sentence, r.release, r.refused
            )
            for r in self._transaction.connection.execute(query)
        )

    def overrides(self, since: datetime) -> Sequence[tuple[str, HistoryLine]]:
        """What was overridden or seconded since, of all pipelines, oldest first, each with its pipeline's id [23]."""
        e = events.c
        query = select(
            e.pipeline_id, e.seq, e.at, e.actor_name, e.actor, e.via, e.kind, e.sentence, e.release, e.refused
        )
        # Said in so many words, so that the partial index is used.
        query = query.where(text("kind = 'OverrideRequested'"), e.at >= to_number(since), ~e.refused)
        return tuple(
            (
                r.pipeline_id,
                HistoryLine(
                    r.seq, from_number(r.at), r.actor_name or r.actor, r.via, r.kind, r.sentence, r.release, r.refused
                ),
            )
            for r in self._transaction.connection.execute(query.order_by(e.at, e.pipeline_id, e.seq))
        )

    def revisions(self, pipeline_id: str, limit: int = 20) -> Sequence[Revision]:
        """The definitions that were applied to a pipeline, newest first; what was refused is not among them."""
        e = events.c
        query = select(e.seq, e.at, e.actor, e.actor_name, e.body, e.schema, e.kind, e.refused)
        query = query.where(e.pipeline_id == pipeline_id, text("kind = 'DefinitionApplied'"), ~e.refused, e.body != "")
        found = []
        for row in self._transaction.connection.execute(query.order_by(e.seq.desc()).limit(limit)):
            applied = self._transaction.codec.decode_event(row.kind, row.body, row.schema)
            assert isinstance(applied, DefinitionApplied)
            revision = applied.definition.revision
            found.append(Revision(row.seq, from_number(row.at), row.actor, row.actor_name, revision, applied.text))
        return tuple(found)

    def erase_text(self, pipeline_id: str, seqs: Sequence[int]) -> int:
        """Forget what was written in these events, for ever; the chain still verifies. Returns how many were erased."""
        forgotten = {"body": "", "answer": "", "sentence": "", "actor_name": "", "salt": b""}
        which = (events.c.pipeline_id == pipeline_id) & events.c.seq.in_(seqs)
        return self._transaction.connection.execute(update(events).where(which).values(forgotten)).rowcount

    def verify(self, pipeline_id: str) -> int | None:
        """The number of the first event that was changed, removed or put in; None if history is whole."""
        end = self._transaction.connection.execute(
            select(pipelines.c.version, pipelines.c.chain).where(pipelines.c.id == pipeline_id)
        ).first()
        previous, expected = chain.START, 1
        query = select(events).where(events.c.pipeline_id == pipeline_id).order_by(events.c.seq)
        with self._transaction.connection.execute(query.execution_options(yield_per=500)) as rows:
            for row in rows:
                link = chain.Link(**{name: getattr(row, name) for name in chain.Link._fields})
                words = (row.actor_name, row.body, row.answer, row.sentence)
                is_whole = _is_erased(row.salt, words) or chain.digest_of(row.salt, words) == row.digest
                if row.seq != expected or not is_whole or link.chained(previous, row.digest) != row.chain:
                    return expected
                previous, expected = row.chain, expected + 1
        if end is None:
            return None if expected == 1 else 1
        return None if (end.version, end.chain) == (expected - 1, previous) else min(expected, end.version + 1)

    def prune(self, before: datetime) -> int:
        """Drop what nobody asks for any more (delivered effects, silent deliveries, settled webhooks); how many."""
        at = to_number(before)
        gone = self._transaction.connection.execute(
            outbox.delete().where(outbox.c.state == "done", outbox.c.created_at < at)
        ).rowcount
        gone += self._transaction.connection.execute(seen.delete().where(seen.c.at < at)).rowcount
        return gone + self._transaction.inbox.prune(before)


def _is_erased(salt: bytes, words: Sequence[str]) -> bool:
    return not salt and not any(words)
