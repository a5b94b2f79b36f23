"""What is kept beside pipelines: messages, webhooks, the world, signs of life, tokens. None of it is hot."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, select, update

from core.releases.world import Outage, World
from storage import dialects
from storage.errors import VersionConflict
from storage.instants import from_number, from_number_or_none, to_number, to_number_or_none
from storage.tables import inbox, liveness, messages, outages, tokens, world

if TYPE_CHECKING:
    from storage.journal import Transaction

OUTAGES_KEPT = timedelta(days=30)
"""No bake is longer than this; older outages change no decision."""


class _Records:
    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction


# ---- messages -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SentMessage:
    """A message that stands somewhere. `key` is the effect's that posted it; `fingerprint` tells what it shows."""

    pipeline_id: str
    release: str
    purpose: str
    channel: str
    ts: str
    key: str = ""
    fingerprint: str = ""


class Messages(_Records):
    """Where messages can be found again."""

    def find(self, pipeline_id: str, release: str, purpose: str) -> SentMessage | None:
        """The message that serves this purpose, if one was sent."""
        c = messages.c
        return self._one((c.pipeline_id == pipeline_id) & (c.release == release) & (c.purpose == purpose))

    def at(self, channel: str, ts: str) -> SentMessage | None:
        """What stands at this place; a thread is known by its first message."""
        return self._one((messages.c.channel == channel) & (messages.c.ts == ts))

    def of_purpose(self, pipeline_id: str, release: str, prefix: str) -> Sequence[SentMessage]:
        """Those of a release whose purpose begins so."""
        c = messages.c
        where = (c.pipeline_id == pipeline_id) & (c.release == release) & c.purpose.startswith(prefix, autoescape=True)
        rows = self._transaction.connection.execute(select(*(c[name] for name in SentMessage.__slots__)).where(where))
        return tuple(SentMessage(**row._asdict()) for row in rows)

    def put(self, message: SentMessage, now: datetime) -> None:
        """Remember it, in place of an earlier one of the same purpose."""
        statement = dialects.upsert(
            messages, self._transaction.connection.dialect.name, ("pipeline_id", "release", "purpose")
        )
        row = {name: getattr(message, name) for name in SentMessage.__slots__}
        self._transaction.connection.execute(statement, row | {"updated_at": to_number(now)})

    def _one(self, where: object) -> SentMessage | None:
        columns = [messages.c[name] for name in SentMessage.__slots__]
        row = self._transaction.connection.execute(select(*columns).where(where)).first()  # type: ignore[arg-type]
        return None if row is None else SentMessage(**row._asdict())


# ---- webhooks -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A webhook as it came in. `kept` means authentic, but not understood."""

    id: int
    source: str
    received_at: datetime
    headers: Mapping[str, str]
    body: bytes
    state: str
    note: str


class Inbox(_Records):
    """Webhooks, stored before they are answered."""

    def receive(
        self, source: str, headers: Mapping[str, str], body: bytes, now: datetime, *, dedupe: str = ""
    ) -> int | None:
        """Store it; its number, or None if this delivery (`dedupe`, unique for a source) is there already."""
        statement = dialects.insert_or_ignore(inbox, self._transaction.connection.dialect.name).returning(inbox.c.id)
        row = {
            "source": source,
            "received_at": to_number(now),
            "headers": json.dumps(dict(headers), sort_keys=True),
            "body": body,
            "state": "waiting",
            "note": "",
            "dedupe": dedupe or None,
        }
        number: int | None = self._transaction.connection.execute(statement, row).scalar()
        return number

    def waiting(self, limit: int = 100) -> Sequence[Received]:
        """What nobody has looked at yet, oldest first."""
        return self._list("waiting", limit, newest_first=False)

    def kept(self, limit: int = 50) -> Sequence[Received]:
        """What was authentic but not understood, newest first."""
        return self._list("kept", limit, newest_first=True)

    def settle(self, number: int, state: str, note: str = "") -> None:
        """Mark one as `done` or `kept`, with a sentence."""
        self._transaction.connection.execute(update(inbox).where(inbox.c.id == number).values(state=state, note=note))

    def prune(self, before: datetime) -> int:
        """Drop settled ones received before this instant; how many."""
        where = (inbox.c.received_at < to_number(before)) & (inbox.c.state != "waiting")
        return self._transaction.connection.execute(inbox.delete().where(where)).rowcount

    def _list(self, state: str, limit: int, *, newest_first: bool) -> Sequence[Received]:
        order = inbox.c.id.desc() if newest_first else inbox.c.id
        query = select(inbox).where(inbox.c.state == state).order_by(order).limit(limit)
        return tuple(
            Received(
                id=row.id,
                source=row.source,
                received_at=from_number(row.received_at),
                headers=json.loads(row.headers),
                body=bytes(row.body),
                state=row.state,
                note=row.note,
            )
            for row in self._transaction.connection.execute(query)
        )


# ---- the world and signs of life ------------------------------------------------------------------------------------


class Worlds(_Records):
    """What pipelines share. Every revision stays: events name the one they were decided with."""

    def load(self, now: datetime) -> World:
        """The newest, with the outages of the last 30 days and the last sign of life."""
        query = select(world).order_by(world.c.revision.desc()).limit(1)
        row = self._transaction.connection.execute(query).first()
        stored = World() if row is None else self._transaction.codec.decode_world(row.body, row.schema)
        signs = self._transaction.liveness
        return replace(
            stored,
            revision=0 if row is None else row.revision,
            outages=signs.outages(now - OUTAGES_KEPT),
            observed_until=signs.last_beat(),
        )

    def put(self, changed: World, now: datetime, what: str) -> World:
        """Store it as the next revision after its own; VersionConflict where somebody else did."""
        stored = replace(changed, revision=changed.revision + 1)
        row = {
            "revision": stored.revision,
            "at": to_number(now),
            "what": what,
            "schema": self._transaction.codec.schema,
            "body": self._transaction.codec.encode_world(stored),
        }
        connection = self._transaction.connection
        insert = dialects.insert_or_ignore(world, connection.dialect.name).returning(world.c.revision)
        if connection.execute(insert, row).first() is None:
            raise VersionConflict
        return stored


class Liveness(_Records):
    """When Andon was looking, and when not."""

    def beat(self, replica: str, now: datetime, *, gap: timedelta | None) -> Outage | None:
        """Record a sign of life; an outage, if no replica had given one for longer than `gap` (None: never one)."""
        last = self.last_beat()
        if last is not None and gap is not None and now - last > gap:
            # Several may come back at once: the first of them finds the outage, and the others that it was looked.
            dialects.take_turns(self._transaction.connection)
            last = self.last_beat()
        statement = dialects.upsert(liveness, self._transaction.connection.dialect.name, ("replica",))
        self._transaction.connection.execute(statement, {"replica": replica, "beat_at": to_number(now)})
        if last is None or gap is None or now - last <= gap:
            return None
        self._transaction.connection.execute(
            liveness.delete().where(liveness.c.beat_at < to_number(now - OUTAGES_KEPT))
        )
        row = {"from_at": to_number(last), "until_at": to_number(now)}
        self._transaction.connection.execute(outages.insert(), row)
        too_old = outages.c.until_at < to_number(now - OUTAGES_KEPT)
        self._transaction.connection.execute(outages.delete().where(too_old))
        return Outage(last, now)

    def last_beat(self) -> datetime | None:
        """The last sign of life of any replica."""
        return from_number_or_none(self._transaction.connection.execute(select(func.max(liveness.c.beat_at))).scalar())

    def outages(self, since: datetime) -> tuple[Outage, ...]:
        """Outages that ended after this instant, oldest first."""
        query = select(outages).where(outages.c.until_at >= to_number(since)).order_by(outages.c.from_at)
        rows = self._transaction.connection.execute(query)
        return tuple(Outage(from_number(row.from_at), from_number(row.until_at)) for row in rows)


# ---- tokens ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """Permission to use the HTTP API; `hash` is the SHA-256 of the secret, in hex. The secret is nowhere."""

    id: str
    hash: str
    name: str
    actor: str
    scopes: frozenset[str]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        """Whether it still opens anything."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class Tokens(_Records):
    """Who may use the HTTP API."""

    def add(self, token: Token) -> None:
        """Store a new one."""
        row = {
            "id": token.id,
            "hash": token.hash,
            "name": token.name,
            "actor": token.actor,
            "scopes": json.dumps(sorted(token.scopes)),
            "created_at": to_number(token.created_at),
            "expires_at": to_number_or_none(token.expires_at),
            "revoked_at": to_number_or_none(token.revoked_at),
        }
        self._transaction.connection.execute(tokens.insert(), row)

    def find(self, hashed: str) -> Token | None:
        """The token with this hash, valid or not."""
        return next(iter(self._list(tokens.c.hash == hashed)), None)

    def every(self) -> Sequence[Token]:
        """All of them, by name."""
        return self._list(tokens.c.id == tokens.c.id)

    def revoke(self, token_id: str, now: datetime) -> bool:
        """End it for good; False if there is none that could be ended."""
        where = (tokens.c.id == token_id) & tokens.c.revoked_at.is_(None)
        statement = update(tokens).where(where).values(revoked_at=to_number(now))
        return self._transaction.connection.execute(statement).rowcount == 1

    def _list(self, where: object) -> Sequence[Token]:
        query = select(tokens).where(where).order_by(tokens.c.name, tokens.c.id)  # type: ignore[arg-type]
        return tuple(
            Token(
                id=row.id,
                hash=row.hash,
                name=row.name,
                actor=row.actor,
                scopes=frozenset(json.loads(row.scopes)),
                created_at=from_number(row.created_at),
                expires_at=from_number_or_none(row.expires_at),
                revoked_at=from_number_or_none(row.revoked_at),
            )
            for row in self._transaction.connection.execute(query)
        )
