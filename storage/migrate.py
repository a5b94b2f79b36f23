"""Brings a database up to date, by Alembic, from inside the program.

Alembic takes half a second to import, so a database that is up to date is recognised without it.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from storage.errors import StorageError

HEAD = "0006"
"""The newest migration; a test compares it with the folder."""
FOLDER = Path(__file__).parent / "migrations"


def migrate(engine: Engine) -> None:
    """Run the migrations that are missing; raises StorageError for a database of a newer version."""
    with engine.connect() as connection, connection.begin():
        if _revision(connection) != HEAD:
            upgrade(connection)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def upgrade(connection: Connection, to: str = "head") -> None:
    """Run the migrations up to one, on a connection that is within a transaction."""
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, to)
    except CommandError as error:
        msg = f"The database was written by a newer version of Andon; start that one, or restore a backup ({error})."
        raise StorageError(msg) from None
