"""The outbox table: effects in lanes, claimed by lease, each lane in order and one at a time.

A claim is a lease with a fencing number. Whoever ends a claim must hold its number: a worker that came back from the
dead cannot mark another's work. Attempts are counted when a claim is made, in a commit before the call goes out, so an
attempt that was cut short is known to have been one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, select, tuple_, update

from core.releases.effects import Effect, RefreshCard, lane
from storage import hot
from storage.codec import Codec
from storage.errors import CodecError, KeyReused
from storage.instants import from_number, to_number
from storage.tables import outbox

if TYPE_CHECKING:
    from storage.journal import Transaction


_CARD = RefreshCard.__name__
_KEY, _PIPELINE, _LANE, _KIND, _SCHEMA, _BODY, _DUE = (
    hot.OUTBOX.index(name) for name in ("key", "pipeline_id", "lane", "kind", "schema", "body", "due_at")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """An effect to deliver now. From the second attempt on, an earlier one may have reached the other side."""

    seq: int
    key: str
    pipeline_id: str
    lane: str
    kind: str
    effect: Effect
    attempts: int
    fence: int
    created_at: datetime
    claimed_until: datetime
    version: int = 0
    """Of its pipeline, when it was claimed: who delivers it must know at least as much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Buried:
    """An effect that was given up."""

    seq: int
    key: str
    pipeline_id: str
    kind: str
    attempts: int
    created_at: datetime
    reason: str


class Lanes:
    """The outbox within one transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    @staticmethod
    def rows(codec: Codec, pipeline_id: str, effects: Sequence[Effect], at: int) -> list[hot.Row]:
        """Effects as rows in the order of `hot.OUTBOX`, due at `at` microseconds."""
        rows: list[hot.Row] = []
        for effect in effects:
            kind, body = codec.encode_effect(effect)
            where = lane(pipeline_id, effect)
            rows.append((effect.key, pipeline_id, where, kind, codec.schema, body, "pending", 0, at, None, 0, "", at))
        return rows

    def insert(self, rows: Sequence[hot.Row]) -> None:
        """Add effects. One that is there already, word for word, is a repeat; the same key for another is KeyReused."""
        new = self._without_covered(rows)
        if not new:
            return
        connection = self._transaction.connection
        if self._transaction.statements.insert_effect.many(connection, new) == len(new):
            return
        wanted = {(row[_PIPELINE], row[_KEY]): (row[_KIND], row[_BODY]) for row in new}
        stored = connection.execute(
            select(outbox.c.pipeline_id, outbox.c.key, outbox.c.kind, outbox.c.body).where(
                tuple_(outbox.c.pipeline_id, outbox.c.key).in_(list(wanted))
            )
        )
        for pipeline_id, key, kind, body in stored:
            if wanted[pipeline_id, key] != (kind, body):
                msg = f"Two different effects of {pipeline_id} carry the key {key}."
                raise KeyReused(msg)

    def _without_covered(self, rows: Sequence[hot.Row]) -> list[hot.Row]:
        """The effects that say something new.

        A card is drawn as things are when it is delivered, so one that still waits in its lane covers every later
        one. Its place is kept, which matters: what is told in a thread needs the card it hangs on.
        """
        lanes = {row[_LANE] for row in rows if row[_KIND] == _CARD}
        if not lanes:
            return list(rows)
        statements, connection = self._transaction.statements, self._transaction.connection
        found = {where: statements.waiting_card.rows(connection, (where,)) for where in lanes}
        waiting = {where: rows_of[0][0] for where, rows_of in found.items() if rows_of}
        new: list[hot.Row] = []
        places: dict[str, int] = {}
        for row in rows:
            where = row[_LANE]
            if row[_KIND] != _CARD or where not in waiting.keys() | places.keys():
                places |= {where: len(new)} if row[_KIND] == _CARD else {}
                new.append(row)
            elif json.loads(row[_BODY])["at_once"]:
                if where in places:
                    new[places[where]] = row
                else:
                    self._supersede(waiting[where], row)
        return new

    def _supersede(self, seq: int, row: hot.Row) -> None:
        """A card that cannot wait takes the place of one that would have."""
        changed = (row[_KEY], row[_BODY], row[_SCHEMA], row[_DUE], seq)
        self._transaction.statements.supersede.many(self._transaction.connection, [changed])

    def claim(self, now: datetime, *, lease: timedelta, limit: int) -> list[Claimed]:
        """Lease up to `limit` heads of lanes that are due, oldest first; those whose lease ran out are due again."""
        until = now + lease
        row = (to_number(now), to_number(until), limit)
        rows = self._transaction.statements.claim.rows(self._transaction.connection, row)
        claims: list[Claimed] = []
        for seq, key, pipeline_id, where, kind, schema, body, attempts, fence, created_at, _, version in sorted(rows):
            try:
                effect = self._transaction.codec.decode_effect(kind, body, schema)
            except CodecError as error:
                self.end(seq, fence, "buried", error.message)
                continue
            claims.append(
                Claimed(
                    seq=seq,
                    key=key,
                    pipeline_id=pipeline_id,
                    lane=where,
                    kind=kind,
                    effect=effect,
                    attempts=attempts,
                    fence=fence,
                    created_at=from_number(created_at),
                    claimed_until=until,
                    version=version,
                )
            )
        return claims

    def renew(self, claims: Iterable[Claimed], until: datetime) -> None:
        """Keep these claims longer, while their deliveries take longer; those that were lost stay lost."""
        at = to_number(until)
        for claimed in claims:
            held = (outbox.c.seq == claimed.seq) & (outbox.c.state == "claimed") & (outbox.c.fence == claimed.fence)
            query = update(outbox).where(held).values(claimed_until=at, due_at=at)
            self._transaction.connection.execute(query)

    def expire(self, now: datetime) -> int:
        """End every lease: for a process that has just begun and is alone, they are a dead one's. How many."""
        at = to_number(now)
        query = update(outbox).where(outbox.c.state == "claimed").values(claimed_until=at, due_at=at)
        return self._transaction.connection.execute(query).rowcount

    def end(self, seq: int, fence: int, state: str, reason: str = "") -> bool:
        """End a claim as `done` or `buried`; False if it is no longer ours."""
        row = (state, reason, seq, fence)
        return self._transaction.statements.end.many(self._transaction.connection, [row]) == 1

    def done(self, claimed: Claimed) -> bool:
        """It was delivered; False if the claim is no longer ours."""
        return self.end(claimed.seq, claimed.fence, "done")

    def bury(self, claimed: Claimed, reason: str) -> bool:
        """It will never be delivered; its lane goes on. False if the claim is no longer ours."""
        return self.end(claimed.seq, claimed.fence, "buried", reason)

    def postpone(self, claimed: Claimed, due_at: datetime, reason: str, *, attempts: int) -> bool:
        """Try again at `due_at`, with this count of attempts; its lane waits. False if the claim is no longer ours."""
        row = (reason, to_number(due_at), attempts, claimed.seq, claimed.fence)
        return self._transaction.statements.postpone.many(self._transaction.connection, [row]) == 1

    def next_due(self) -> datetime | None:
        """When the next head of a lane is due (or its lease ends); None if nothing is open."""
        found = self._transaction.statements.next_due.rows(self._transaction.connection, ())
        return from_number(found[0][0]) if found else None

    def count_open(self) -> int:
        """How many wait or are being delivered."""
        query = select(func.count()).where(outbox.c.state.in_(["pending", "claimed"]))
        return self._transaction.connection.execute(query).scalar_one()

    def count_buried(self) -> int:
        """How many were given up."""
        return self._transaction.connection.execute(select(func.count()).where(outbox.c.state == "buried")).scalar_one()

    def buried(self, limit: int = 50) -> Sequence[Buried]:
        """What was given up, newest first."""
        query = select(outbox).where(outbox.c.state == "buried").order_by(outbox.c.seq.desc()).limit(limit)
        return tuple(
            Buried(
                seq=row.seq,
                key=row.key,
                pipeline_id=row.pipeline_id,
                kind=row.kind,
                attempts=row.attempts,
                created_at=from_number(row.created_at),
                reason=row.last_error,
            )
            for row in self._transaction.connection.execute(query)
        )

    def dig_up(self, seq: int, now: datetime) -> bool:
        """Have a buried effect delivered after all; False if it is not buried."""
        query = (
            update(outbox)
            .where(outbox.c.seq == seq, outbox.c.state == "buried")
            .values(state="pending", attempts=0, due_at=to_number(now))
        )
        return self._transaction.connection.execute(query).rowcount == 1
