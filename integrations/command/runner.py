"""Runs one deployment's program to its end, whatever becomes of Andon: `python -I -S runner.py DIRECTORY LOCK`.

It needs nothing but the standard library, goes to a session of its own, and holds the run's lock (an open file it
inherits) until it ends, however it ends. In the directory it reads `order.json` and writes, each in one step:
`started.json` before the program begins, `program.json` when it has, `output` while it runs (secrets hidden, its end
kept where it is long), and `result.json` when it is over. Who wants it ended makes a file `cancel`.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

KEPT = 1 << 20
"""Bytes of output that are kept at least: its end."""
LOOK_EVERY = 0.1
DRAINED_FOR = 2.0
"""Seconds in which output may still come after the program's end; what it left running may hold it open for ever."""
GROUP_GONE_WITHIN = 5.0
HIDDEN = "•••".encode()
SHORTEST_SECRET = 4
LONGEST_LINE = 1 << 16


def main() -> int:
    """Go to the background, then run; the launching process returns at once."""
    directory = Path(sys.argv[1])
    if os.fork():
        return 0
    os.setsid()
    # A handler, not SIG_IGN: what is ignored would stay so in the program.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _go_on)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    run(directory)
    return 0


def run(directory: Path) -> None:
    """Run the program of an order to its end."""
    order = json.loads((directory / "order.json").read_text())
    write(directory / "started.json", mark(os.getpid()))
    secrets = [os.environ[name] for name in order["hidden"] if name in os.environ]
    output = Output(directory / "output", secrets)
    try:
        program = subprocess.Popen(
            order["argv"],
            cwd=order["cwd"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "its arguments are wrong"
        _end(directory, {"how": "not_run", "code": 0, "error": why})
        return
    write(directory / "program.json", mark(program.pid))
    how = _followed(program, output, directory / "cancel", order["limit"], order["grace"])
    is_silent = output.drain(program, DRAINED_FOR)
    output.close()
    _end(directory, {"how": how, "code": program.wait(), "error": ""})
    if not is_silent:
        # Were the pipe closed, what the program left running would die of its next word.
        output.swallow(program)


def mark(pid: int) -> dict[str, object]:
    """What tells a process from every other that had, or will have, its number."""
    return {"pid": pid, "boot": boot(), "ticks": ticks(pid), "space": space(), "host": os.uname().nodename}


def boot() -> str:
    """Which start of the machine this is."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def space() -> str:
    """In which numbering of processes this is: containers have their own."""
    return str(Path("/proc/self/ns/pid").readlink())


def ticks(pid: int) -> int:
    """When a process began, in ticks since the machine did; 0 if there is none, or only its remains."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    # The name of the program stands in brackets and may hold anything, also brackets.
    state, *rest = told.rpartition(")")[2].split()
    return 0 if state in ("Z", "X") else int(rest[18])


def write(path: Path, value: dict[str, object]) -> None:
    """A file of JSON, whole or not at all, on the disk before this returns."""
    fresh = path.with_suffix(".new")
    with fresh.open("w") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


class Output:
    """What a program prints, in a file: without secrets, and no longer than twice what is kept."""

    def __init__(self, path: Path, secrets: Sequence[str], kept: int = KEPT) -> None:
        self._path, self._kept = path, kept
        self._hidden = hidden_forms(secrets)
        self._longest = max(map(len, self._hidden), default=1)
        self._pending = b""
        self._size = 0
        self._is_silent = False

    def read(self, program: subprocess.Popen[bytes], seconds: float) -> bool:
        """Take what was printed, waiting so long for it; False when there will be no more."""
        assert program.stdout is not None
        if self._is_silent:
            time.sleep(min(seconds, LOOK_EVERY / 2))
            return False
        with selectors.DefaultSelector() as selector:
            selector.register(program.stdout, selectors.EVENT_READ)
            if not selector.select(seconds):
                return True
        piece = os.read(program.stdout.fileno(), 1 << 16)
        self._is_silent = not piece
        self.add(piece)
        return bool(piece)

    def drain(self, program: subprocess.Popen[bytes], seconds: float) -> bool:
        """Take what is still under way after the program's end; whether nothing holds its output open any more."""
        until = time.monotonic() + seconds
        while not self._is_silent and time.monotonic() < until:
            self.read(program, LOOK_EVERY)
        return self._is_silent

    def swallow(self, program: subprocess.Popen[bytes]) -> None:
        """Read what is left running until it is silent for good, and keep nothing of it."""
        assert program.stdout is not None
        while os.read(program.stdout.fileno(), 1 << 16):
            pass

    def add(self, piece: bytes) -> None:
        """Write what surely holds no part of a secret: whole lines, since no secret goes over their ends."""
        self._pending += piece
        whole = self._pending.rfind(b"\n") + 1
        if len(self._pending) - whole > LONGEST_LINE:
            clean = self._clean(self._pending)
            self._write(clean[: -self._longest])
            self._pending = clean[-self._longest :]
            return
        self._write(self._clean(self._pending[:whole]))
        self._pending = self._pending[whole:]

    def close(self) -> None:
        """Write what is left."""
        self._write(self._clean(self._pending))
        self._pending = b""

    def _clean(self, text: bytes) -> bytes:
        for secret in self._hidden:
            text = text.replace(secret, HIDDEN)
        return text

    def _write(self, text: bytes) -> None:
        """Append; a full disk loses output, never the deployment."""
        if not text:
            return
        try:
            with self._path.open("ab") as file:
                file.write(text)
            self._size += len(text)
            if self._size > 2 * self._kept:
                end = self._path.read_bytes()[-self._kept :]
                fresh = self._path.with_suffix(".new")
                fresh.write_bytes("… what came before is not kept\n".encode() + end.partition(b"\n")[2])
                fresh.replace(self._path)
                self._size = self._kept
        except OSError:
            return


def hidden_forms(secrets: Sequence[str]) -> list[bytes]:
    """What must not be seen: each line of each secret, also as JSON and as addresses write it; the longest first."""
    forms: set[str] = set()
    for secret in secrets:
        for line in secret.splitlines():
            forms |= {line, quote(line, safe=""), json.dumps(line)[1:-1]} if len(line) >= SHORTEST_SECRET else set()
    return sorted((form.encode("utf-8", "surrogateescape") for form in forms), key=len, reverse=True)


def _followed(program: subprocess.Popen[bytes], output: Output, cancel: Path, limit: float, grace: float) -> str:
    """Wait for its end; how it came: `exited` by itself, `cancelled`, or `late`."""
    began = time.monotonic()
    while program.poll() is None:
        output.read(program, LOOK_EVERY)
        if cancel.exists() or time.monotonic() - began > limit:
            if program.poll() is not None:
                break
            how = "cancelled" if cancel.exists() else "late"
            _stop(program, output, grace)
            return how
    return "exited"


def _stop(program: subprocess.Popen[bytes], output: Output, grace: float) -> None:
    """Ask the whole group to end, then kill it; returns when nothing of it is left."""
    tell(program.pid, signal.SIGTERM)
    until = time.monotonic() + grace
    while (program.poll() is None or not is_gone(program.pid)) and time.monotonic() < until:
        output.read(program, LOOK_EVERY)
    if not is_gone(program.pid):
        tell(program.pid, signal.SIGKILL)
    program.wait()
    until = time.monotonic() + GROUP_GONE_WITHIN
    while not is_gone(program.pid) and time.monotonic() < until:
        time.sleep(LOOK_EVERY / 5)


def tell(group: int, number: signal.Signals) -> None:
    """Send a signal to whatever is left of a group."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return


def is_gone(group: int) -> bool:
    """Whether nothing of a process group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _end(directory: Path, result: dict[str, object]) -> None:
    """Write down how it ended; a full disk is waited for, since nobody else knows, but not a directory that is gone."""
    result["at"] = time.time()
    while directory.is_dir():
        try:
            write(directory / "result.json", result)
        except OSError:
            time.sleep(1)
        else:
            return


def _go_on(_number: int, _frame: object) -> None:
    """Only `cancel` ends a deployment."""


if __name__ == "__main__":
    sys.exit(main())
