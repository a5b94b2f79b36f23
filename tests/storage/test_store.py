"""Opening a database: brought up to date, locked against a second process, refused in plain words."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import DBAPIError

from storage.errors import StorageError, StorageUnavailable, StoreLocked
from storage.instants import from_number, to_number
from storage.journal import Store, sqlite_url
from storage.migrate import FOLDER, HEAD
from storage.tables import metadata
from tests.storage.shelf import NOON, create


def test_the_migrations_make_exactly_the_tables(store: Store, file: Path, tmp_path: Path) -> None:
    made = create_engine(sqlite_url(file))
    written = create_engine(sqlite_url(tmp_path / "written.db"))
    metadata.create_all(written)
    try:
        with made.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, metadata) == []
        # Alembic does not compare these.
        here, there = inspect(made), inspect(written)
        for table in metadata.tables:
            for look in (
                "get_check_constraints",
                "get_unique_constraints",
                "get_foreign_keys",
                "get_columns",
            ):
                ours, theirs = (sorted(map(repr, getattr(i, look)(table))) for i in (here, there))
                assert ours == theirs, (table, look)
        assert indexes(file) == indexes(tmp_path / "written.db") != []
    finally:
        made.dispose()
        written.dispose()


def indexes(file: Path) -> list[tuple[str, str]]:
    """What SQLite was told of its indexes, conditions included."""
    connection = sqlite3.connect(file)
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND name NOT LIKE '%alembic%'")
    found = sorted((name, " ".join((sql or "").split())) for name, sql in rows)
    connection.close()
    return found


def test_the_newest_migration_is_the_one_the_program_knows() -> None:
    assert ScriptDirectory(str(FOLDER)).get_heads() == [HEAD]


def test_migrations_import_nothing_of_andon() -> None:
    for script in (FOLDER / "versions").glob("*.py"):
        lines = script.read_text().splitlines()
        imported = [line.split()[1].split(".")[0] for line in lines if line.startswith(("import ", "from "))]
        assert set(imported) <= {"__future__", "typing", "sqlalchemy", "alembic"}, script


def test_the_file_is_written_the_careful_way(store: Store, file: Path) -> None:
    with store.transaction() as transaction:
        settings = [
            transaction.connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert settings == ["wal", 2, 1]


def test_readers_cannot_write(store: Store) -> None:
    with pytest.raises(DBAPIError, match=r"read-?only"), store.reading() as transaction:
        create(transaction)


def test_a_second_process_is_refused_in_plain_words(store: Store, file: Path) -> None:
    program = "import sys; from storage.journal import Store; Store(sys.argv[1])"
    second = subprocess.run(
        [sys.executable, "-c", program, sqlite_url(file)], capture_output=True, text=True, check=False
    )
    assert second.returncode != 0
    assert "already works on andon.db. Stop it first" in second.stderr
    with pytest.raises(StoreLocked):
        Store(sqlite_url(file))


def test_a_process_that_was_killed_leaves_no_lock(file: Path) -> None:
    program = "import os, sys; from storage.journal import Store; Store(sys.argv[1]); os.kill(os.getpid(), 9)"
    killed = subprocess.run([sys.executable, "-c", program, sqlite_url(file)], check=False)
    assert killed.returncode == -9
    Store(sqlite_url(file)).close()


def test_a_database_of_a_newer_version_is_refused(file: Path) -> None:
    Store(sqlite_url(file)).close()
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(StorageError, match="newer version of Andon"):
        Store(sqlite_url(file))


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_that_keeps_nothing_is_refused(url: str) -> None:
    with pytest.raises(StorageError, match="Name a file"):
        Store(url)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        Store(sqlite_url(tmp_path / "nowhere" / "andon.db"))


def test_a_file_that_is_no_database_is_refused_and_let_go(file: Path) -> None:
    file.write_text("This is a letter, not a database. " * 100)
    with pytest.raises(StorageUnavailable, match="not a database"):
        Store(sqlite_url(file))
    file.unlink()
    Store(sqlite_url(file)).close()


def test_awkward_file_names_are_no_trouble(tmp_path: Path) -> None:
    store = Store(sqlite_url(tmp_path / "a b%20c?d#e.db"))
    store.close()
    assert (tmp_path / "a b%20c?d#e.db").exists()


@given(st.datetimes(timezones=st.timezones()))
def test_instants_come_back_and_compare_as_they_were(at: datetime) -> None:
    # In UTC, because Python calls no hour that exists twice equal to anything in another zone.
    assert from_number(to_number(at)) == at.astimezone(UTC)
    assert (to_number(at) < to_number(NOON)) == (at.astimezone(UTC) < NOON)


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        to_number(NOON.replace(tzinfo=None))
