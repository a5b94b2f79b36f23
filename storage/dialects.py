"""Where databases differ: one small named function for each difference, and nothing about them anywhere else."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Select, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.pool import QueuePool

from storage.errors import StorageError, StorageUnavailable, StoreLocked

BUSY_TIMEOUT_MS = 500
"""Only a stranger (a shell on the file) can hold the lock; whoever waits for Slack has three seconds in all."""


def is_sqlite(url: URL) -> bool:
    """Whether the database is a SQLite file."""
    return url.get_backend_name() == "sqlite"


def parse_url(text: str) -> URL:
    """The URL; raises StorageError for a database that would keep nothing."""
    url = make_url(text)
    if is_sqlite(url) and url.database in (None, "", ":memory:"):
        msg = "A database in memory keeps nothing. Name a file: sqlite:///andon.db"
        raise StorageError(msg)
    return url


def writing_engine(url: URL) -> Engine:
    """Connections that may write. SQLite has one, whose transactions take the write lock at once."""
    if not is_sqlite(url):
        return create_engine(url, hide_parameters=True)
    engine = create_engine(
        url, poolclass=QueuePool, pool_size=1, max_overflow=0, pool_reset_on_return=None, hide_parameters=True
    )
    _prepare_sqlite(engine, begin="BEGIN IMMEDIATE", query_only=False)
    return engine


def reading_engine(url: URL) -> Engine:
    """Connections for long looks at history, beside the writer."""
    if not is_sqlite(url):
        return create_engine(url, hide_parameters=True, execution_options={"postgresql_readonly": True})
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
        cursor.execute("PRAGMA foreign_keys = ON")
        if query_only:
            cursor.execute("PRAGMA query_only = ON")
        cursor.close()

    def begun(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)


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


def explain(error: Exception) -> StorageError:
    """A database error as one of ours; never carries the statement's values."""
    if isinstance(error, StorageError):
        return error
    if isinstance(error, IntegrityError):
        return StorageError(f"The database refused this as inconsistent ({reason(error)}). Nothing was recorded.")
    return StorageUnavailable(f"The database cannot be written now ({reason(error)}). Nothing was recorded; try again.")


def reason(error: Exception) -> str:
    """What the database said, without the statement and its values."""
    return str(error.orig).strip() if isinstance(error, DBAPIError) else type(error).__name__
