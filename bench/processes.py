"""Processes that are measured: started on a core of their own, watched, and ended as by a power cut."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

SERVER_CORE: Final = 0
LOAD_CORE: Final = 1
READY_SECONDS: Final = 60.0
QUIET_SECONDS: Final = 10.0


class Server:
    """A process that says at which port of this machine it answers."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path, core: int | None) -> None:
        """`core`: the only one it may use; None: any."""
        self._log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                env={**_without_settings(), **environment},
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        if core is not None:
            pin(core, self._process.pid)
        try:
            self.port = self._port()
        except BaseException:
            self.kill()
            raise

    def _port(self) -> int:
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            if found := re.search(r"at http://127\.0\.0\.1:(\d+)\s", self._log.read_text(errors="replace")):
                return int(found[1])
            time.sleep(0.02)
        raise SystemExit(f"A server did not come up:\n{self._log.read_text(errors='replace')[-2000:]}")

    def wait_until_quiet(self) -> None:
        """Wait until it has done what it does at its start."""
        until, before = time.monotonic() + QUIET_SECONDS, self.cpu_seconds()
        while before is not None and time.monotonic() < until:
            time.sleep(0.2)
            now = self.cpu_seconds()
            if now is None or now - before < 0.03:
                return
            before = now

    def cpu_seconds(self) -> float | None:
        """CPU used so far, all threads; None where the platform does not say."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mb(self) -> float:
        """Memory it holds now, as `ps` counts it; nan where the platform does not say."""
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text()
        except OSError:
            return float("nan")
        found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
        return int(found[1]) / 1024 if found else float("nan")

    def kill(self) -> None:
        """End it without a farewell: what was acknowledged must be on disk."""
        self._process.kill()
        self._process.wait()


def pin(core: int, pid: int = 0) -> bool:
    """Keep a process on one core; False where the platform does not allow it."""
    if not hasattr(os, "sched_setaffinity"):
        return False
    with contextlib.suppress(OSError):
        os.sched_setaffinity(pid, {core})
        return True
    return False


def seconds_to_run(arguments: Sequence[str], environment: Mapping[str, str]) -> float:
    """How long one run of a short program takes."""
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments],
        env={**_without_settings(), **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - begun


def _without_settings() -> dict[str, str]:
    """The environment without anything Andon or Bolt would read."""
    ours = ("SLACK_", "ANDON_", "DATABASE_URL", "PORT", "HOST")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}
