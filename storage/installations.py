"""Where the Slack app was installed by OAuth, and installations that were begun. Tokens come and go sealed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, select, update

from storage.instants import from_number, from_number_or_none, to_number, to_number_or_none
from storage.tables import install_states, installations

if TYPE_CHECKING:
    from storage.journal import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """One installation in one workspace. `sealed` is empty once it is over; `expires_at` is of its token."""

    id: int = 0
    client_id: str
    team_id: str
    team: str
    installed_by: str
    installed_at: datetime
    sealed: bytes
    expires_at: datetime | None = None
    ended_at: datetime | None = None
    ended_why: str = ""


class Installations:
    """Installations of one app, which its client id names: at most one is in force."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def newest(self, client_id: str) -> Installation | None:
        """The one in force, or the last one that was."""
        c = installations.c
        query = select(installations).where(c.client_id == client_id).order_by(c.id.desc()).limit(1)
        row = self._transaction.connection.execute(query).first()
        if row is None:
            return None
        return Installation(
            id=row.id,
            client_id=row.client_id,
            team_id=row.team_id,
            team=row.team,
            installed_by=row.installed_by,
            installed_at=from_number(row.installed_at),
            sealed=bytes(row.sealed),
            expires_at=from_number_or_none(row.expires_at),
            ended_at=from_number_or_none(row.ended_at),
            ended_why=row.ended_why,
        )

    def add(self, new: Installation) -> None:
        """Put a new one in force; the database refuses a second."""
        row = {
            "client_id": new.client_id,
            "team_id": new.team_id,
            "team": new.team,
            "installed_by": new.installed_by,
            "installed_at": to_number(new.installed_at),
            "sealed": new.sealed,
            "expires_at": to_number_or_none(new.expires_at),
            "ended_why": "",
        }
        self._transaction.connection.execute(installations.insert(), row)

    def end(self, number: int, now: datetime, why: str) -> bool:
        """End one, and forget its tokens; False if it was over already."""
        values = {"ended_at": to_number(now), "ended_why": why, "sealed": b""}
        return self._change(self._in_force(number), values)

    def claim_renewal(self, seen: Installation, now: datetime, until: datetime) -> bool:
        """Whether the caller, and nobody else until then, renews the token that was `seen`."""
        c = installations.c
        is_same = c.expires_at == to_number_or_none(seen.expires_at)
        is_free = c.renewing_until.is_(None) | (c.renewing_until < to_number(now))
        return self._change(self._in_force(seen.id) & is_same & is_free, {"renewing_until": to_number(until)})

    def renew(self, number: int, sealed: bytes, expires_at: datetime | None) -> bool:
        """Store renewed tokens; False if the installation is over."""
        values = {"sealed": sealed, "expires_at": to_number_or_none(expires_at), "renewing_until": None}
        return self._change(self._in_force(number), values)

    def begin(self, hashed: str, now: datetime, until: datetime) -> None:
        """Remember an installation that was begun; forget those that were never finished."""
        connection = self._transaction.connection
        connection.execute(install_states.delete().where(install_states.c.expires_at < to_number(now)))
        connection.execute(install_states.insert(), {"hash": hashed, "expires_at": to_number(until)})

    def finish(self, hashed: str, now: datetime) -> bool:
        """Whether such an installation was begun, not long ago; it can be finished once."""
        c = install_states.c
        gone = install_states.delete().where((c.hash == hashed) & (c.expires_at >= to_number(now)))
        return self._transaction.connection.execute(gone).rowcount == 1

    @staticmethod
    def _in_force(number: int) -> ColumnElement[bool]:
        return (installations.c.id == number) & installations.c.ended_at.is_(None)

    def _change(self, where: ColumnElement[bool], values: Mapping[str, object]) -> bool:
        return self._transaction.connection.execute(update(installations).where(where).values(**values)).rowcount == 1
