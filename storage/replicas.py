"""What replicas on one database agree on, within one transaction: wakes, turns of periodic jobs, duties, news.

All of it is a row that one of them changes first. Instants are arguments; replicas' clocks need to agree to a second
or two, which any host that keeps its time does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, select, text, update
from sqlalchemy.dialects.postgresql import insert

from storage import batch
from storage.instants import from_number, to_number
from storage.tables import duties, firings, pipelines


@dataclass(frozen=True, slots=True)
class Wakes:
    """Of pipelines that were due: those that are ours to wake, and when the others want to be looked at again."""

    mine: tuple[str, ...]
    later: Mapping[str, datetime]


class Replicas:
    """What this replica claims and tells."""

    def __init__(self, connection: Connection, replica: str) -> None:
        self._connection = connection
        self._replica = replica

    def claim_wakes(self, names: Collection[str], now: datetime, lease: timedelta) -> Wakes:
        """Take these pipelines' wakes for this replica; each is handed out again if nobody was woken within `lease`."""
        c = pipelines.c
        at = to_number(now)
        due = select(c.id).where(c.id.in_(names), c.wake_at <= at).order_by(c.id).with_for_update(skip_locked=True)
        taken = update(pipelines).where(c.id.in_(due), c.wake_at <= at).values(wake_at=to_number(now + lease))
        mine = tuple(self._connection.execute(taken.returning(c.id)).scalars())
        others = select(c.id, c.wake_at).where(c.id.in_(set(names) - set(mine)), c.wake_at.is_not(None))
        later = {row.id: from_number(row.wake_at) for row in self._connection.execute(others)}
        return Wakes(mine, later)

    def take_turn(self, job: str, every: timedelta, now: datetime) -> bool:
        """Whether this replica is to do a periodic job now: the first of all that asks within a period does."""
        turn = to_number(now) // max(1, int(every.total_seconds() * 1_000_000))
        row = {"job": job, "turn": turn, "at": to_number(now), "replica": self._replica}
        query = insert(firings).values(row)
        changes = {name: query.excluded[name] for name in ("turn", "at", "replica")}
        query = query.on_conflict_do_update(
            index_elements=["job"], set_=changes, where=firings.c.turn < query.excluded.turn
        )
        return self._connection.execute(query.returning(firings.c.job)).first() is not None

    def hold(self, duty: str, now: datetime, lease: timedelta) -> bool:
        """Begin or keep a duty for so long; False while somebody else has it."""
        row = {"name": duty, "holder": self._replica, "until_at": to_number(now + lease)}
        query = insert(duties).values(row)
        taken = {name: query.excluded[name] for name in ("holder", "until_at")}
        is_free = (duties.c.holder == query.excluded.holder) | (duties.c.until_at <= to_number(now))
        query = query.on_conflict_do_update(index_elements=["name"], set_=taken, where=is_free)
        return self._connection.execute(query.returning(duties.c.name)).first() is not None

    def drop(self, duty: str) -> None:
        """Leave a duty to the next one."""
        mine = (duties.c.name == duty) & (duties.c.holder == self._replica)
        self._connection.execute(duties.delete().where(mine))

    def versions(self, names: Collection[str] | None = None) -> Mapping[str, int]:
        """At which version these pipelines are (None: all)."""
        query = select(pipelines.c.id, pipelines.c.version)
        query = query if names is None else query.where(pipelines.c.id.in_(names))
        return {row.id: row.version for row in self._connection.execute(query)}

    def tell_world(self) -> None:
        """Tell the others, when this is committed, that what pipelines share has changed."""
        told = batch.notice(self._replica, is_world=True)
        self._connection.execute(text("SELECT pg_notify(:channel, :told)"), {"channel": batch.CHANNEL, "told": told})

    def lag(self, now: datetime) -> timedelta:
        """How far this clock is ahead of the database's."""
        theirs: float = self._connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one()
        return timedelta(seconds=now.timestamp() - float(theirs))
