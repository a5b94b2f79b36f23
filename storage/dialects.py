"""Where databases differ: one small named function for each difference, and nothing about them anywhere else."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, Table, create_engine, event, literal_column, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from storage.errors import StorageError, StorageUnavailable, StoreLocked
from storage.tables import pipelines

WRITING = "BEGIN IMMEDIATE"
SAYS_BEGIN = "andon_says_begin"
"""An option of connections whose user says BEGIN, where SQLAlchemy believes in one transaction that never ends."""
BUSY_TIMEOUT_MS = 500
"""Only a stranger (a shell on the file) can hold the lock; whoever waits for Slack has three seconds in all."""


def is_sqlite(url: URL) -> bool:
    """Whether the database is a SQLite file."""
    return url.get_backend_name() == "sqlite"


EXAMPLES = "sqlite:////var/lib/andon/andon.db or postgresql://andon:PASSWORD@db.example.com/andon"
DRIVERS = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}


def parse_url(text: str) -> URL:
    """The URL with the driver that Andon brings; raises StorageError, which never repeats the text: passwords.

    Databases that would keep nothing are refused too.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        msg = f"DATABASE_URL is not understood. It looks like {EXAMPLES}; write %40 for an @ in a password."
        raise StorageError(msg) from None
    if url.drivername not in DRIVERS:
        msg = f"DATABASE_URL begins with {url.drivername}, which Andon does not work with. It looks like {EXAMPLES}."
        raise StorageError(msg)
    url = url.set(drivername=DRIVERS[url.drivername])
    if is_sqlite(url) and url.database in (None, "", ":memory:"):
        msg = "A database in memory keeps nothing. Name a file: sqlite:///andon.db"
        raise StorageError(msg)
    if not is_sqlite(url) and not url.database:
        msg = "DATABASE_URL names no database: its name stands after the last slash."
        raise StorageError(msg)
    return url


def writing_engine(url: URL) -> Engine:
    """The one connection that writes to a SQLite file; its transactions take the write lock at once (`WRITING`)."""
    engine = create_engine(
        url, poolclass=QueuePool, pool_size=1, max_overflow=0, pool_reset_on_return=None, hide_parameters=True
    )
    _prepare_sqlite(engine, begin=WRITING, query_only=False)
    return engine


def reading_engine(url: URL) -> Engine:
    """Connections to a SQLite file for long looks at history, beside the writer."""
    engine = create_engine(url, poolclass=QueuePool, pool_size=2, hide_parameters=True)
    _prepare_sqlite(engine, begin="BEGIN", query_only=True)
    return engine


def _prepare_sqlite(engine: Engine, *, begin: str, query_only: bool) -> None:
    def connected(connection: Any, _record: Any) -> None:
        # The driver's own transaction control begins too late and breaks savepoints: we say BEGIN ourselves.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        if not query_only:
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA synchronous = FULL")
            cursor.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            # Copying the log back into the file is done beside the writer (`Store.tidy`); this is for when that fails.
            cursor.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES_MOST}")
        cursor.execute("PRAGMA foreign_keys = ON")
        if query_only:
            cursor.execute("PRAGMA query_only = ON")
            cursor.execute(f"PRAGMA cache_size = -{CACHE_KIB // 4}")
        cursor.close()

    def begun(connection: Connection) -> None:
        if SAYS_BEGIN not in connection.get_execution_options():
            connection.exec_driver_sql(begin)

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)


CACHE_KIB = 2_048
"""SQLite's own, beside the one the system has: of a large history nobody needs more than a few pages at once."""
LOG_PAGES_MOST = 16_000
"""Pages of 4 kB in SQLite's log before the writer itself stops to copy them back."""


class FileLock:
    """Held while a process works on a SQLite file; the kernel lets go of it however the process ends."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + ".lock")
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._descriptor, 32).decode(errors="replace").strip()
            os.close(self._descriptor)
            who = f" (process {holder})" if holder else ""
            msg = (
                f"Another Andon{who} already works on {database.name}. Stop it first; "
                "to run several, give them a PostgreSQL database."
            )
            raise StoreLocked(msg) from None
        os.truncate(self._descriptor, 0)
        os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Let go; the file stays, because removing it would let two processes lock two files of one name."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def lock(url: URL) -> FileLock | None:
    """The lock of a SQLite file, taken; other databases need none. Raises StoreLocked."""
    if not is_sqlite(url):
        return None
    path = Path(str(url.database))
    if not path.parent.is_dir():
        msg = f"The folder of the database, {path.parent}, does not exist. Make it first."
        raise StorageError(msg)
    return FileLock(path)


def insert_or_ignore(table: Table, dialect: str) -> Any:
    """An INSERT that passes over a row which is already there."""
    if dialect == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    return postgresql.insert(table).on_conflict_do_nothing()


def upsert(table: Table, dialect: str, key: tuple[str, ...]) -> Any:
    """An INSERT that overwrites the row of the same key."""
    insert = sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
    changes = {c.name: insert.excluded[c.name] for c in table.columns if c.name not in key}
    return insert.on_conflict_do_update(index_elements=list(key), set_=changes)


def skip_locked(select: Select[Any], dialect: str) -> Select[Any]:
    """Pass over rows that another replica is claiming. SQLite has one writer and would drop the clause silently."""
    return select if dialect == "sqlite" else select.with_for_update(skip_locked=True)


def chosen_once(query: Select[Any], dialect: str) -> Select[Any]:
    """A query within another statement, run once: PostgreSQL may run it for each row, and then locks more each time."""
    if dialect == "sqlite":
        return query
    return select(query.cte("chosen").prefix_with("MATERIALIZED"))


def take_turns(connection: Connection) -> None:
    """Do what follows in this transaction after everybody who is doing it. SQLite has one writer anyway."""
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7236341)")


def each(name: str, kind: str, dialect: str) -> str:
    """The elements of an array that is bound by this name, as a table `each` with one column `value`."""
    if dialect == "sqlite":
        return f"json_each(:b_{name}) AS each"
    return f"unnest(CAST(:b_{name} AS {kind}[])) AS each(value)"


def array(values: Iterable[object], dialect: str) -> object:
    """An array as `each` takes it."""
    return json.dumps(list(values)) if dialect == "sqlite" else list(values)


def version_of(pipeline_id: ColumnElement[str], dialect: str) -> ColumnElement[int]:
    """The version of an effect's pipeline; 0 where nobody else can have changed it."""
    if dialect == "sqlite":
        return literal_column("0")
    return select(pipelines.c.version).where(pipelines.c.id == pipeline_id).scalar_subquery()


def explain(error: Exception) -> StorageError:
    """A database error as one of ours; never carries the statement's values."""
    if isinstance(error, StorageError):
        return error
    if isinstance(error, IntegrityError):
        return StorageError(f"The database refused this as inconsistent ({reason(error)}). Nothing was recorded.")
    return StorageUnavailable(f"The database cannot be written now ({reason(error)}). Nothing was recorded; try again.")


@contextmanager
def looking() -> Iterator[None]:
    """Raise StorageUnavailable where the database does not answer somebody who only looks; a wrong query stays one."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        msg = f"The database cannot be read now ({reason(error)}). Try again in a moment."
        raise StorageUnavailable(msg) from error


def reason(error: Exception) -> str:
    """What the database said, without the statement and its values."""
    if not isinstance(error, DBAPIError):
        return type(error).__name__
    # PostgreSQL adds the row that it refused; its first sentence does without.
    said = getattr(getattr(error.orig, "diag", None), "message_primary", None) or str(error.orig)
    return str(said).strip().rstrip(".")
