"""The outbox table: effects in lanes, claimed by lease, each lane in order and one at a time.

A claim is a lease with a fencing number. Whoever ends a claim must hold its number: a worker that came back from the
dead cannot mark another's work. Attempts are counted when a claim is made, in a commit before the call goes out, so an
attempt that was cut short is known to have been one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from core.releases.effects import Effect, RefreshCard, lane
from storage import dialects, hot
from storage.codec import Codec
from storage.errors import CodecError, KeyReused, VersionConflict
from storage.instants import from_number, to_number
from storage.tables import outbox

if TYPE_CHECKING:
    from storage.journal import Transaction


LEFT_TO_NEWER = timedelta(hours=1)
"""How long an effect that is not understood is left to other replicas: longer than a rolling upgrade takes."""
HANDOVER = timedelta(seconds=2)
"""The end of a lease, in which nothing is begun any more: clocks differ, and another replica may be faster."""
_CARD = RefreshCard.__name__
_KEY, _PIPELINE, _LANE, _KIND, _SCHEMA, _BODY, _DUE = (
    hot.OUTBOX.index(name) for name in ("key", "pipeline_id", "lane", "kind", "schema", "body", "due_at")
)
_STATE = hot.OUTBOX.index("state")
assert hot.OUTBOX[_STATE : _STATE + 5] == ("state", "attempts", "due_at", "claimed_until", "fence")


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

    def is_held(self, now: datetime) -> bool:
        """Whether nobody else can have claimed it since: what was frozen for longer must not go on as if nothing were.

        Renewals do not count, which errs on the side of looking again.
        """
        return now < self.claimed_until - HANDOVER


@dataclass(frozen=True, slots=True)
class Birth:
    """What is claimed in the commit that decides it: up to `room` effects whose lane is free, each for `lease`."""

    lease: timedelta
    room: int


@dataclass(slots=True)
class Born:
    """What came of the effects of a transaction: those that were claimed at once, and the lanes to look at."""

    claims: list[Claimed] = field(default_factory=list)
    lanes: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a claim ends: `done`, `buried`, or `pending` again at `due_at` with this count of attempts."""

    claimed: Claimed
    state: str
    reason: str = ""
    due_at: datetime | None = None
    attempts: int | None = None


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


@dataclass(slots=True)
class _Stand:
    """How a lane stands as effects are added to it; `card` is the place of one that waits."""

    is_claimed: bool
    is_free: bool
    card: int | None


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

    def insert(self, rows: Sequence[hot.Row], effects: Sequence[Effect], birth: Birth | None) -> Born:
        """Add effects. One that is there already, word for word, is a repeat; the same key for another is KeyReused.

        With a `birth`, what stands first in its lane is claimed at once: whoever decided it delivers it, and no second
        commit is needed before the call goes out.

        A card is drawn as things are when it is delivered, so one that still waits in its lane covers every later
        one. Its place is kept, which matters: what is told in a thread needs the card it hangs on.
        """
        born = Born()
        waiting: list[hot.Row] = []
        cards: dict[str, int] = {}
        drawn: dict[str, bool] = {}
        room = birth.room if birth is not None else 0
        taken: list[tuple[hot.Row, Effect]] = []
        stands = self._stands(sorted({row[_LANE] for row in rows}))
        for row, effect in zip(rows, effects, strict=True):
            where = row[_LANE]
            stand = stands[where]
            is_at_once = isinstance(effect, RefreshCard) and effect.at_once
            if row[_KIND] == _CARD:
                if drawn.get(where) is not None and drawn[where] >= is_at_once:
                    continue
                if where in cards or stand.card is not None:
                    if is_at_once and where in cards:
                        waiting[cards[where]] = row
                    elif is_at_once and stand.card is not None:
                        self._supersede(stand.card, row)
                        born.lanes.add(where)
                    continue
            if room > len(taken) and stand.is_free:
                stand.is_free = False
                stand.is_claimed = True
                if row[_KIND] == _CARD:
                    drawn[where] = is_at_once
                taken.append((row, effect))
                continue
            if not stand.is_claimed:
                born.lanes.add(where)
            stand.is_free = False
            if row[_KIND] == _CARD:
                cards[where] = len(waiting)
            waiting.append(row)
        if birth is not None and taken:
            born.claims.extend(self._insert_claimed(taken, waiting, birth))
            # One that was there before is claimed by nobody here: what stands behind it must be looked at.
            born.lanes |= {row[_LANE] for row, _ in taken} - {claimed.lane for claimed in born.claims}
        else:
            self._insert(waiting)
        return born

    def _stands(self, lanes: Sequence[str]) -> dict[str, _Stand]:
        transaction = self._transaction
        connection = transaction.connection
        found = transaction.statements.stands.rows(connection, (dialects.array(lanes, connection.dialect.name),))
        return {
            where: _Stand(is_claimed=bool(is_claimed), is_free=not is_open, card=card)
            for where, is_claimed, is_open, card in found
        }

    def _insert_claimed(
        self, taken: Sequence[tuple[hot.Row, Effect]], waiting: Sequence[hot.Row], birth: Birth
    ) -> Iterator[Claimed]:
        """Insert all of these, those that are taken as claimed; what was there before is left as it is."""
        until = from_number(taken[0][0][_DUE]) + birth.lease
        at = to_number(until)
        rows = [(*row[:_STATE], "claimed", 1, at, at, 1, *row[_STATE + 5 :]) for row, _ in taken]
        seqs = self._inserted([*rows, *waiting])
        for row, effect in taken:
            seq = seqs.get((row[_PIPELINE], row[_KEY]))
            if seq is None:
                continue
            yield Claimed(
                seq=seq,
                key=row[_KEY],
                pipeline_id=row[_PIPELINE],
                lane=row[_LANE],
                kind=row[_KIND],
                effect=effect,
                attempts=1,
                fence=1,
                created_at=from_number(row[_DUE]),
                claimed_until=until,
            )

    def _inserted(self, new: Sequence[hot.Row]) -> dict[tuple[str, str], int]:
        """Insert these; returns (pipeline, key) → seq of those that were not there before.

        Each by itself, because then the driver tells its number; to be told all by one statement takes longer.
        """
        seqs = self._transaction.statements.insert_effect.each(self._transaction.connection, new)
        if None in seqs:
            self._refuse_reused(new)
        return {(row[_PIPELINE], row[_KEY]): seq for row, seq in zip(new, seqs, strict=True) if seq is not None}

    def _insert(self, new: Sequence[hot.Row]) -> None:
        if new and self._transaction.statements.insert_effect.many(self._transaction.connection, new) != len(new):
            self._refuse_reused(new)

    def _refuse_reused(self, rows: Sequence[hot.Row]) -> None:
        """Some of these were there before: nothing is lost where they are the same, word for word."""
        stored = self._stored(rows)
        for row in rows:
            pipeline_id, key = row[_PIPELINE], row[_KEY]
            if stored[pipeline_id, key] != (row[_KIND], row[_BODY]):
                msg = f"Two different effects of {pipeline_id} carry the key {key}."
                raise KeyReused(msg)

    def _stored(self, rows: Sequence[hot.Row]) -> dict[tuple[str, str], tuple[str, str]]:
        """What is stored under the keys of these rows: (kind, body)."""
        keys = {(row[_PIPELINE], row[_KEY]) for row in rows}
        wanted = tuple_(outbox.c.pipeline_id, outbox.c.key).in_(list(keys))
        query = select(outbox.c.pipeline_id, outbox.c.key, outbox.c.kind, outbox.c.body).where(wanted)
        return {(r[0], r[1]): (r[2], r[3]) for r in self._transaction.connection.execute(query)}

    def _supersede(self, seq: int, row: hot.Row) -> None:
        """A card that cannot wait takes the place of one that would have."""
        changed = (row[_KEY], row[_BODY], row[_SCHEMA], row[_DUE], seq)
        self._transaction.statements.supersede.many(self._transaction.connection, [changed])

    def claim(self, now: datetime, *, lease: timedelta, limit: int) -> list[Claimed]:
        """Lease up to `limit` heads of lanes that are due, oldest first; those whose lease ran out are due again."""
        until = now + lease
        row = (to_number(now), to_number(until), limit)
        rows = self._claim(self._transaction.statements.claim, row)
        found = (self._read(claimed, until) for claimed in sorted(rows))
        return [claimed for claimed in found if claimed is not None]

    def claim_in(
        self, lanes: Iterable[str], now: datetime, *, lease: timedelta, limit: int
    ) -> tuple[list[Claimed], dict[str, datetime], list[str]]:
        """Lease the heads of these lanes, up to `limit`.

        Returns the claims, when to look again at lanes whose turn comes later, and the lanes left out by the limit.
        """
        names = list(lanes)
        if not names or limit <= 0:
            return [], {}, names
        connection, statements = self._transaction.connection, self._transaction.statements
        dialect, at, until = connection.dialect.name, to_number(now), now + lease
        found: dict[str, dict[int, tuple[int, int]]] = {}
        for where, rank, seq, due_at in statements.turns.rows(connection, (at, dialects.array(names, dialect))):
            found.setdefault(where, {})[rank] = (seq, due_at)
        ready: list[int] = []
        later: dict[str, datetime] = {}
        left: list[str] = []
        for where, turn in found.items():
            candidates = [turn[0]] if 0 in turn else [turn[rank] for rank in (1, 2) if rank in turn]
            now_due = [seq for seq, due_at in candidates if due_at <= at]
            waits = [due_at for _, due_at in candidates if due_at > at]
            if waits and 0 not in turn:
                later[where] = from_number(min(waits))
            if now_due and len(ready) < limit:
                ready.append(now_due[0])
            elif now_due:
                left.append(where)
        if not ready:
            return [], later, left
        row = (at, to_number(until), dialects.array(ready, dialect))
        taken = (self._read(claimed, until) for claimed in sorted(self._claim(statements.take, row)))
        return [claimed for claimed in taken if claimed is not None], later, left

    def _claim(self, claiming: hot.Prepared, row: hot.Row) -> list[hot.Row]:
        try:
            return claiming.rows(self._transaction.connection, row)
        except IntegrityError as error:
            # Another replica took a sentence of a lane while the card before it came due here: look again.
            raise VersionConflict from error

    def _read(self, row: hot.Row, until: datetime) -> Claimed | None:
        """A claimed row; None if it cannot be read, and is buried."""
        seq, key, pipeline_id, where, kind, schema, body, attempts, fence, created_at, _, version = row
        try:
            effect = self._transaction.codec.decode_effect(kind, body, schema)
        except CodecError as error:
            at = from_number(created_at)
            if self._transaction.is_shared and until - at < LEFT_TO_NEWER:
                # A replica of a newer version decided it, while this one is about to be replaced.
                again = (error.message, to_number(until), attempts - 1, seq, fence)
                self._transaction.statements.postpone.many(self._transaction.connection, [again])
            else:
                self.end(seq, fence, "buried", error.message)
            return None
        return Claimed(
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

    def end_all(self, endings: Sequence[Ending]) -> list[Claimed]:
        """End these claims; returns those that are no longer ours."""
        lost = self.done_all([ending.claimed for ending in endings if ending.state == "done"])
        return lost + [e.claimed for e in endings if e.state != "done" and not self._end_one(e)]

    def _end_one(self, ending: Ending) -> bool:
        claimed = ending.claimed
        if ending.due_at is None or ending.attempts is None:
            return self.end(claimed.seq, claimed.fence, ending.state, ending.reason)
        return self.postpone(claimed, ending.due_at, ending.reason, attempts=ending.attempts)

    def done(self, claimed: Claimed) -> bool:
        """It was delivered; False if the claim is no longer ours."""
        return self.end(claimed.seq, claimed.fence, "done")

    def done_all(self, claims: Sequence[Claimed]) -> list[Claimed]:
        """All of these were delivered; returns those that are no longer ours."""
        if not claims:
            return []
        connection = self._transaction.connection
        dialect = connection.dialect.name
        row = (
            dialects.array((c.seq for c in claims), dialect),
            dialects.array((f"{c.seq}/{c.fence}" for c in claims), dialect),
        )
        ended = {seq for (seq,) in self._transaction.statements.end_all.rows(connection, row)}
        return [claimed for claimed in claims if claimed.seq not in ended]

    def bury(self, claimed: Claimed, reason: str) -> bool:
        """It will never be delivered; its lane goes on. False if the claim is no longer ours."""
        return self.end(claimed.seq, claimed.fence, "buried", reason)

    def postpone(self, claimed: Claimed, due_at: datetime, reason: str, *, attempts: int) -> bool:
        """Try again at `due_at`, with this count of attempts; its lane waits. False if the claim is no longer ours."""
        row = (reason, to_number(due_at), attempts, claimed.seq, claimed.fence)
        return self._transaction.statements.postpone.many(self._transaction.connection, [row]) == 1

    def postponed(self, now: datetime) -> dict[str, datetime]:
        """The lanes in which something waits for its time, and that time."""
        waits = (outbox.c.state == "pending") & (outbox.c.due_at > to_number(now))
        query = select(outbox.c.lane, func.min(outbox.c.due_at)).where(waits).group_by(outbox.c.lane)
        return {where: from_number(due_at) for where, due_at in self._transaction.connection.execute(query)}

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
