"""Webhooks of release sources: stored before they are answered, worked on until it is known what came of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, select, update

from storage import dialects
from storage.instants import from_number, to_number
from storage.tables import source_requests as table

if TYPE_CHECKING:
    from storage.journal import Transaction

SHOWN = (table.c.id, table.c.source, table.c.received_at, table.c.state, table.c.note, table.c.attempts)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRequest:
    """A request as it came in. State: `waiting`, `announced`, `ignored` (no release), `kept` (people should look)."""

    id: int
    source: str
    received_at: datetime
    headers: Mapping[str, str]
    body: bytes
    attempts: int
    state: str = "waiting"
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLine:
    """What became of a request."""

    id: int
    source: str
    received_at: datetime
    state: str
    note: str
    attempts: int


class SourceRequests:
    """The requests of all sources."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def receive(
        self, source: str, headers: Mapping[str, str], body: bytes, now: datetime, *, dedupe: str
    ) -> SourceRequest | RequestLine:
        """Store a request, due at once; or what is known of it already.

        One that was kept is taken up again: whoever sends it anew may have mended what was wrong.
        """
        connection = self._transaction.connection
        row = {
            "source": source,
            "received_at": to_number(now),
            "headers": json.dumps(dict(headers), sort_keys=True),
            "body": body,
            "state": "waiting",
            "note": "",
            "dedupe": dedupe or None,
            "attempts": 0,
            "due_at": to_number(now),
        }
        number = connection.execute(
            dialects.insert_or_ignore(table, connection.dialect.name).returning(table.c.id), row
        ).scalar()
        if number is None:
            same = (table.c.source == source) & (table.c.dedupe == dedupe)
            again = update(table).where(same & (table.c.state == "kept"))
            again = again.values(state="waiting", note="", attempts=0, due_at=to_number(now))
            number = connection.execute(again.returning(table.c.id)).scalar()
            if number is None:
                return _line(connection.execute(select(*SHOWN).where(same)).one())
        return SourceRequest(id=number, source=source, received_at=now, headers=headers, body=body, attempts=0)

    def claim(self, now: datetime, lease: timedelta, most: int = 10) -> Sequence[SourceRequest]:
        """Requests that wait and are due, oldest first, each handed to one caller until its lease ends."""
        connection = self._transaction.connection
        due = (table.c.state == "waiting") & (table.c.due_at <= to_number(now))
        found = connection.execute(select(table).where(due).order_by(table.c.due_at).limit(most)).all()
        mine = []
        for row in found:
            still = (table.c.id == row.id) & (table.c.due_at == row.due_at) & (table.c.state == "waiting")
            taken = update(table).where(still).values(due_at=to_number(now + lease))
            if connection.execute(taken).rowcount == 1:
                mine.append(_request(row))
        return tuple(mine)

    def free(self, now: datetime) -> None:
        """Nobody has anything in hand: what was claimed and not tried again is due at once."""
        where = (table.c.state == "waiting") & (table.c.note == "")
        self._transaction.connection.execute(update(table).where(where).values(due_at=to_number(now)))

    def next_due(self) -> datetime | None:
        """When the first of those that wait is due."""
        query = select(table.c.due_at).where(table.c.state == "waiting").order_by(table.c.due_at).limit(1)
        found = self._transaction.connection.execute(query).scalar()
        return None if found is None else from_number(found)

    def again(self, number: int, at: datetime, note: str) -> None:
        """Look at it once more at that time; `note` says why."""
        self._set(number, note=note, attempts=table.c.attempts + 1, due_at=to_number(at))

    def settle(self, number: int, state: str, note: str) -> None:
        """Write down what became of it."""
        self._set(number, state=state, note=note)

    def kept(self, most: int = 50) -> Sequence[RequestLine]:
        """What people should look at, newest first."""
        return self._lines(table.c.state == "kept", most)

    def received(self, most: int = 50) -> Sequence[RequestLine]:
        """The newest requests, whatever became of them."""
        return self._lines(table.c.id > 0, most)

    def find(self, number: int) -> SourceRequest | None:
        """One request, whole."""
        row = self._transaction.connection.execute(select(table).where(table.c.id == number)).first()
        return None if row is None else _request(row)

    def prune(self, before: datetime) -> int:
        """Drop settled ones received before this instant; how many."""
        where = (table.c.received_at < to_number(before)) & (table.c.state != "waiting")
        return self._transaction.connection.execute(table.delete().where(where)).rowcount

    def _set(self, number: int, **values: Any) -> None:
        self._transaction.connection.execute(update(table).where(table.c.id == number).values(**values))

    def _lines(self, where: ColumnElement[bool], most: int) -> Sequence[RequestLine]:
        query = select(*SHOWN).where(where).order_by(table.c.id.desc()).limit(most)
        return tuple(_line(row) for row in self._transaction.connection.execute(query))


def _request(row: Any) -> SourceRequest:
    return SourceRequest(
        id=row.id,
        source=row.source,
        received_at=from_number(row.received_at),
        headers=json.loads(row.headers),
        body=bytes(row.body),
        attempts=row.attempts,
        state=row.state,
        note=row.note,
    )


def _line(row: Any) -> RequestLine:
    return RequestLine(
        id=row.id,
        source=row.source,
        received_at=from_number(row.received_at),
        state=row.state,
        note=row.note,
        attempts=row.attempts,
    )
