"""The supervisor's process: `python -m integrations.processes.supervisor --root DIR --name NAME`.

It outlives the bot. One at a time per root and name, by a lock the system lets go when the process ends, however it
ends. SIGTERM drains and stops everything. With `--detach` it goes to the background, and the command returns when the
supervisor answers, or says on standard error why it does not.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import logging
import logging.handlers
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from core.errors import PermanentError
from integrations.processes import socket_path
from integrations.processes.config import SUPERVISOR_RUNS_ALREADY
from integrations.processes.control import control
from integrations.processes.state import State
from integrations.processes.supervision import Supervisor

_log = logging.getLogger(__name__)

REFUSED = 1
"""Exit status where it cannot begin."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM, or until a client asks to stop."""
    parser = argparse.ArgumentParser(
        prog="integrations.processes.supervisor", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--root", type=Path, required=True, help="directory of artifacts, state and logs")
    parser.add_argument("--name", required=True, help="of the front")
    parser.add_argument("--detach", action="store_true", help="go to the background once it answers")
    options = parser.parse_args(arguments)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", options.name):
        parser.error("a name is up to 63 letters, digits, dots, dashes and underscores")
    root: Path = options.root.absolute()
    try:
        for directory in (root, root / "logs"):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        _say(f"{root} cannot be used: {error.strerror}.")
        return REFUSED
    if options.detach:
        return _detached(root, options.name)
    return _supervise(root, options.name, lambda status, message: _say(message) if status else None)


def _detached(root: Path, name: str) -> int:
    """Fork, and wait for one line from the child: `STATUS MESSAGE`, where 0 is "it answers"."""
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            status, _, message = pipe.read().decode().partition(" ")
        if status != "0":
            _say(message or "The supervisor ended before it answered.")
        return int(status or REFUSED)
    os.close(reading)
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    rest = os.open(root / "logs" / f"_{name}.out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for source, target in ((null, 0), (rest, 1), (rest, 2)):
        os.dup2(source, target)

    def told(status: int, message: str) -> None:
        os.write(writing, f"{status} {message}".encode())
        os.close(writing)

    return _supervise(root, name, told)


def _supervise(root: Path, name: str, told: Callable[[int, str], None]) -> int:
    os.umask(0o077)
    try:
        lock = (root / f"{name}.lock").open("a+")
    except OSError as error:
        told(REFUSED, f"{root} cannot be written to: {error.strerror}.")
        return REFUSED
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            process = lock.read().strip() or "?"
            told(SUPERVISOR_RUNS_ALREADY, f"A supervisor for {name} in {root} runs already (process {process}).")
            return SUPERVISOR_RUNS_ALREADY
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        _log_to(root / "logs" / f"_{name}.log")
        return asyncio.run(_run(root, name, told))


async def _run(root: Path, name: str, told: Callable[[int, str], None]) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stop.set)
    try:
        supervisor = Supervisor(root, name, State.read(root / f"{name}.json"), clock=lambda: datetime.now(UTC))
        await supervisor.begin()
        runner = web.AppRunner(control(supervisor, stop), access_log=None, shutdown_timeout=5)
        await runner.setup()
        try:
            path = socket_path.for_server(root, name)
            await web.UnixSite(runner, str(path)).start()
            path.chmod(0o600)
        except OSError:
            await runner.cleanup()
            await supervisor.end()
            raise
    except (PermanentError, OSError) as error:
        message = error.message if isinstance(error, PermanentError) else f"{error.strerror or error}."
        _log.error("%s", message)
        told(REFUSED, message)
        return REFUSED
    _log.info("supervising %s as process %s", name, os.getpid())
    told(0, "")
    await stop.wait()
    supervisor.host.changes.notify()
    _log.info("stopping")
    await runner.cleanup()
    socket_path.clear(root, name)
    await supervisor.end()
    return 0


def _log_to(path: Path) -> None:
    writer = logging.handlers.RotatingFileHandler(path, maxBytes=1 << 20, backupCount=1)
    writer.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[writer])


def _say(message: str) -> None:
    print(message, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
