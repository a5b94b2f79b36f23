"""A PostgreSQL database that several replicas work on: its connections, and transactions that tell what came of them.

A decision is made on the state this process knows, and written only if that is still so (`batch.py`): no lock is held
while anybody thinks, and the slower of two replicas decides again. What it gathers goes out as one statement, which
PostgreSQL commits by itself; a BEGIN is said only for work that needs the connection in between.

A connection can be lost between the commit and its answer. Each batch therefore carries the next number of its
replica. When an answer is lost, the number is asked for, and moved on, over a new connection: then it is known whether
the batch was written, and a server that is still busy with it can no longer do so.
"""

from __future__ import annotations

import logging
import secrets
import socket
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from sqlalchemy import Connection, Dialect, Engine, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool

from core.releases.state import PipelineState
from core.releases.world import World
from storage import batch, hot
from storage.codec import Codec
from storage.dialects import looking
from storage.entries import Entry, Head
from storage.errors import KeyReused, OutcomeUnknown, StorageError, VersionConflict
from storage.instants import to_number, to_number_or_none
from storage.journal import Earlier, Gathered, Transaction
from storage.lanes import Lanes
from storage.listening import News, listening
from storage.migrate import migrate
from storage.records import OUTAGES_KEPT
from storage.replicas import Replicas
from storage.shared_lanes import SharedLanes

log = logging.getLogger("andon.storage")

CONNECT_SECONDS = 3
ASK_FOR = 3.0
"""Seconds in which it must be found out what became of a batch; who waits for Slack has no more."""
FORGOTTEN_AFTER = timedelta(days=2)
# Who was frozen in the middle of a transaction must not hold the others up: it is ended.
_PER_CONNECTION = (
    "-c statement_timeout=15s -c lock_timeout=5s -c idle_in_transaction_session_timeout=15s "
    "-c plan_cache_mode=force_generic_plan -c timezone=UTC "
    "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off"
)
CONNECT: dict[str, Any] = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""A server that went away without a word is given up in ten seconds."""


class Shared:
    """The database, opened and brought up to date. Raises SQLAlchemy's errors, StorageError."""

    def __init__(self, url: URL, codec: Codec, replica: str = "") -> None:
        self.replica = replica or f"{socket.gethostname()[:40]}-{secrets.token_hex(4)}"
        """This process, among all that ever worked on this database."""
        self.url = url
        self._codec = codec
        self._number: int | None = None
        self.ask_for = ASK_FOR
        self._writer = _engine(url, "andon writer", most=2)
        self._reader = _engine(url, "andon reader", most=3)
        try:
            self._bring_up_to_date()
            self._statements = SharedStatements(self._writer.dialect)
            self._enlist()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def transaction(self) -> Iterator[SharedTransaction]:
        """Work that is written as a whole when the block ends, or not at all. Raises OutcomeUnknown too."""
        number = self._next_number()
        with self._writer.connect() as connection:
            transaction = SharedTransaction(connection, self._codec, self._statements, self.replica, number)
            try:
                yield transaction
                transaction.finish()
            except BaseException as error:
                if transaction.is_given_up:
                    self._number = None
                if not _undone(connection) and transaction.may_be_written and self._was_written(number):
                    log.warning("The database was lost while it answered; what it wrote is known all the same.")
                    return
                if _is_collision(error):
                    raise VersionConflict from error
                raise
            if transaction.is_marked:
                self._number = number

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A look at what is committed, beside the writer. Raises StorageUnavailable."""
        with looking(), self._reader.connect() as connection:
            connection.exec_driver_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            try:
                yield Transaction(connection, self._codec, self._statements)
            finally:
                _undone(connection)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[AsyncIterator[News]]:
        """What the other replicas commit from now on. Raises StorageUnavailable."""
        _, arguments = self._reader.dialect.create_connect_args(self.url)
        given = {"application_name": "andon listener"} | CONNECT | dict(arguments)
        async with listening(given, self.replica) as news:
            yield news

    def replicas(self, transaction: Transaction) -> Replicas:
        """What replicas agree on, within one transaction."""
        return Replicas(transaction.connection, self.replica)

    def close(self) -> None:
        """Close every connection."""
        for engine in (getattr(self, "_writer", None), getattr(self, "_reader", None)):
            if engine is not None:
                engine.dispose()

    def _bring_up_to_date(self) -> None:
        """Run the migrations that are missing, all in one transaction."""
        engine = create_engine(self.url, poolclass=NullPool, hide_parameters=True, connect_args=dict(CONNECT))
        try:
            migrate(engine)
        finally:
            engine.dispose()

    # ---- this replica's count of batches ----------------------------------------------------------------------------

    def _enlist(self) -> None:
        with self._writer.connect() as connection:
            now = datetime.now(UTC)
            row = {"replica": self.replica, "now": to_number(now), "before": to_number(now - FORGOTTEN_AFTER)}
            connection.execute(text("DELETE FROM commits WHERE at < :before AND replica <> :replica"), row)
            mine = "INSERT INTO commits (replica, number, at) VALUES (:replica, 0, :now) ON CONFLICT DO NOTHING"
            connection.execute(text(mine), row)
            connection.commit()

    def _next_number(self) -> int:
        if self._number is None:
            self._number = self._moved_on()
        return self._number + 1

    def _moved_on(self) -> int:
        """Give up whatever may still be under way; the count from then on."""
        with self._writer.connect() as connection:
            moving = "UPDATE commits SET number = number + 1 WHERE replica = :replica RETURNING number"
            number: int | None = connection.execute(text(moving), {"replica": self.replica}).scalar()
            connection.commit()
        if number is None:
            msg = "The other replicas took this one for gone, and forgot it. It must be started anew."
            raise StorageError(msg)
        return number

    def _was_written(self, number: int) -> bool:
        """Whether the batch of this number was committed. Raises OutcomeUnknown."""
        self._number = None
        give_up_at = time.monotonic() + self.ask_for
        while True:
            try:
                self._number = self._moved_on()
            except SQLAlchemyError as error:
                if time.monotonic() > give_up_at:
                    raise OutcomeUnknown from error
                time.sleep(0.1)
            else:
                return self._number == number + 1


class SharedStatements(hot.Statements):
    """With those that SQLite does not know."""

    def __init__(self, dialect: Dialect) -> None:
        super().__init__(dialect)
        self.claim_among = hot.Prepared(hot.claim_among(dialect.name), dialect, ("now", "until", "most", "lanes"))


class SharedTransaction(Transaction):
    """One unit of work; what it gathers is written by one statement."""

    is_shared = True

    def __init__(
        self, connection: Connection, codec: Codec, statements: SharedStatements, replica: str, number: int
    ) -> None:
        super().__init__(connection, codec, statements)
        self._claim_among = statements.claim_among
        self.is_marked = False
        """Whether this replica's count moves on with it."""
        self.is_given_up = False
        """Whether this replica's count is not what it was taken to be."""
        self.may_be_written = False
        """Whether what would commit it was sent."""
        self._replica = replica
        self._number = number
        self._has_begun = False
        self._expected: dict[tuple[str, str], Earlier] | None = None
        self._hoped: dict[tuple[str, str], None] = {}
        self._confirmed: dict[str, int] = {}
        self._created: list[tuple[str, int]] = []
        self._world: World | None = None

    @property
    def outbox(self) -> Lanes:
        """Effects to be delivered."""
        return SharedLanes(self, self._run, self._claim_among)

    # ---- asking -----------------------------------------------------------------------------------------------------

    @property
    def connection(self) -> Connection:
        """The connection, within a transaction that has everything gathered so far."""
        self._begin()
        self.flush()
        return self._connection

    @property
    def _straight(self) -> Connection:
        self._begin()
        return self._connection

    def _begin(self) -> None:
        if not self._has_begun:
            self._has_begun = True
            self._connection.exec_driver_sql("BEGIN")

    def expect(self, deliveries: Sequence[tuple[str, str]]) -> None:
        """These are about to be asked about by `earlier`."""
        pipelines, keys = ([d[place] for d in deliveries] for place in (0, 1))
        found = self._run(batch.EARLIER, (pipelines, keys, pipelines, keys)) if deliveries else []
        self._expected = {(row[0], row[1]): Earlier(row[2], row[3]) for row in found}

    def earlier(self, pipeline_id: str, key: str, *, leaves_event: bool = False) -> Earlier | None:
        """The answer given when this delivery came first.

        A delivery is taken for new without asking, unless it was expected: repeats are rare, and whether it is one is
        judged by the statement that writes. If it is, the batch is decided again, and then it was expected.
        """
        del leaves_event  # what left none is judged as well
        if self._expected is None:
            self._hoped[pipeline_id, key] = None
            return None
        return self._expected.get((pipeline_id, key))

    def confirm(self, pipeline_id: str, head: Head, world: World) -> None:
        """This must still be so when it is written."""
        self._confirmed.setdefault(pipeline_id, head.version)
        self._world = world

    # ---- writing ----------------------------------------------------------------------------------------------------

    def create(self, state: PipelineState, entry: Entry, wake_at: datetime | None) -> Head:
        """A new pipeline and its first event."""
        head = super().create(state, entry, wake_at)
        self._created.append((state.id, head.version))
        return head

    def flush(self) -> None:
        """Write what was gathered, where a transaction has begun; else it goes out when this one ends."""
        if self._has_begun and self._has_more():
            self._write(self._take())

    def finish(self) -> None:
        """Write what is left and commit."""
        if not self._has_begun:
            if self._has_more():
                self.may_be_written = True
                self._write(self._take())
            return
        self.flush()
        if not self.is_marked:
            self._mark()
        self.may_be_written = True
        self._connection.commit()

    def _has_more(self) -> bool:
        gathered = (self._confirmed, self._changes, self._events, self._seen, self._effects, self._created)
        return any(gathered)

    def _mark(self) -> None:
        if not self._run(batch.MARK, self._mine):
            self.is_given_up = True
            raise VersionConflict(_GIVEN_UP)
        self.is_marked = True

    @property
    def _mine(self) -> dict[str, Any]:
        before = self._number if self.is_marked else self._number - 1
        return {"replica": self._replica, "number": self._number, "before": before}

    def _take(self) -> Gathered:
        gathered = Gathered(self._changes, self._events, self._seen, self._effects, self._objects)
        self._changes, self._events, self._seen, self._effects, self._objects = {}, [], [], [], []
        return gathered

    def _write(self, gathered: Gathered) -> None:
        values = self._values(gathered)
        self._confirmed, self._hoped = {}, {}
        ((is_mine, is_fresh, clash, stale, _),) = self._run(batch.WRITE, values)
        if not is_mine:
            self.is_given_up = True
            raise VersionConflict(_GIVEN_UP)
        if not is_fresh:
            log.info("another replica was faster (%d pipelines); decided again", stale)
            raise VersionConflict
        if clash is not None:
            msg = f"Two different effects of {clash}."
            raise KeyReused(msg)
        self.is_marked = True
        self.born.lanes.update(row[_LANE] for row in gathered.effects)

    def _values(self, gathered: Gathered) -> dict[str, Any]:
        effects, urgent = _cards_once(gathered.effects)
        moved = self._moved(gathered)
        told = [*self._created, *((row[0], row[2]) for row in moved if row[2] is not None)]
        self._created = []
        world = self._world
        hoped = tuple(self._hoped)
        values: dict[str, Any] = self._mine | {
            "world": None if world is None else world.revision,
            "outage": None if world is None else _last_outage(world),
            "hoped_pipelines": batch.array(pipeline for pipeline, _ in hoped),
            "hoped_keys": batch.array(key for _, key in hoped),
            "card_lanes": batch.array(row[_LANE] for row in effects if row[_KIND] == _CARD),
            "urgent_lanes": batch.array(urgent),
            "told": batch.array(batch.notices(self._replica, told, has_effects=bool(effects))),
        }
        places = zip(*moved, strict=True) if moved else ((),) * len(_MOVED)
        values |= {name: batch.array(place) for name, place in zip(_MOVED, places, strict=True)}
        values |= batch.columns("event", hot.EVENT, gathered.events)
        values |= batch.columns("seen", hot.SEEN, gathered.seen)
        return values | batch.columns("outbox", hot.OUTBOX, effects)

    def _moved(self, gathered: Gathered) -> list[hot.Row]:
        """A row for each pipeline that something was decided on, in the order of `_MOVED`."""
        rows: list[hot.Row] = []
        for pipeline_id, change in gathered.changes.items():
            state = change.state
            snapshot = (None, None, None)
            if state is not None:
                snapshot = (self.codec.schema, self.codec.encode_state(state), state.definition.revision)  # type: ignore[assignment]
            head, wake_at = change.head, to_number_or_none(change.wake_at)
            rows.append((pipeline_id, change.old_version, head.version, head.chain, wake_at, *snapshot))
        looked_at = self._confirmed.items()
        rows += [(key, version, *_UNMOVED) for key, version in looked_at if key not in gathered.changes]
        return rows

    def _run(self, sql: str, values: Any = ()) -> list[Any]:
        driver: psycopg.Connection[Any] = self._connection.connection.driver_connection  # type: ignore[assignment]
        try:
            with driver.cursor() as cursor:
                return cursor.execute(sql, values, prepare=True).fetchall()
        except psycopg.errors.UniqueViolation as error:
            # A delivery that another replica recorded a moment ago: it is decided again, and then it is known.
            raise VersionConflict from error
        except psycopg.Error as error:
            raise DBAPIError.instance(None, None, error, psycopg.Error, hide_parameters=True) from error


_GIVEN_UP = "This was given up while the database did not answer. Nothing was recorded; try again."
_MOVED = ("ids", "olds", "news", "chains", "wakes", "schemas", "states", "revisions")
_UNMOVED = (None,) * 6
_KIND, _LANE, _BODY = (hot.OUTBOX.index(name) for name in ("kind", "lane", "body"))
_CARD = "RefreshCard"


def _cards_once(effects: Sequence[hot.Row]) -> tuple[list[hot.Row], list[str]]:
    """Effects with at most one card for each lane, an urgent one if there is any; and the lanes of urgent ones."""
    kept: list[hot.Row] = []
    places: dict[str, int] = {}
    urgent: dict[str, None] = {}
    for row in effects:
        if row[_KIND] != _CARD:
            kept.append(row)
            continue
        lane, is_urgent = row[_LANE], '"at_once":true' in row[_BODY]
        if lane not in places:
            places[lane] = len(kept)
            kept.append(row)
        elif is_urgent:
            kept[places[lane]] = row
        if is_urgent:
            urgent[lane] = None
    return kept, list(urgent)


def _last_outage(world: World) -> int:
    """The end of the last outage this world knows of; older ones than are kept count for nobody."""
    looked = world.observed_until
    known = [to_number(outage.until_at) for outage in world.outages]
    # An hour apart, because memory forgets the oldest one a little earlier than the table.
    return max([0 if looked is None else to_number(looked - OUTAGES_KEPT + timedelta(hours=1)), *known])


def _engine(url: URL, name: str, *, most: int) -> Engine:
    """Connections on which we say BEGIN ourselves, as on SQLite."""
    options = dict(url.query)
    given = CONNECT | {"application_name": name, "options": _PER_CONNECTION}
    return create_engine(
        url,
        poolclass=QueuePool,
        pool_size=most,
        max_overflow=0,
        pool_reset_on_return=None,
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,
        connect_args={key: value for key, value in given.items() if key not in options},
    )


def _undone(connection: Connection) -> bool:
    """Undo what was not committed; False if the connection was lost, and nobody knows."""
    try:
        if not _is_lost(connection):
            connection.rollback()
    except SQLAlchemyError:
        log.info("the connection was lost while it was rolled back")
    if _is_lost(connection):
        connection.invalidate()
        return False
    return True


def _is_lost(connection: Connection) -> bool:
    if connection.invalidated or connection.closed:
        return True
    driver: Any = connection.connection.driver_connection
    return bool(driver is None or driver.closed)


def _is_collision(error: BaseException) -> bool:
    """Whether two replicas stood in each other's way, and trying again helps."""
    told = error.orig if isinstance(error, DBAPIError) else None
    return isinstance(told, psycopg.errors.DeadlockDetected | psycopg.errors.SerializationFailure)
