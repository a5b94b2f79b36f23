"""One process of one version: begun without a shell, heard, asked for its health, ended with all its children."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from integrations.processes.artifacts import ArtifactStore
from integrations.processes.changes import Changes
from integrations.processes.config import Timing
from integrations.processes.groups import ProcessGroups
from integrations.processes.manifest import Manifest
from integrations.processes.ports import FreePorts
from integrations.processes.state import Version
from integrations.processes.unit_log import LastWords, UnitLog

ADDRESS = "127.0.0.1"
"""Units listen on loopback; the front is what others reach."""

_INHERITED = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "USER", "LOGNAME", "SSL_CERT_FILE", "SSL_CERT_DIR")


@dataclass(slots=True)
class Host:
    """What all units of one supervisor share."""

    store: ArtifactStore
    logs: Path
    client: aiohttp.ClientSession
    """For health checks; no connection is kept."""
    timing: Timing
    changes: Changes = field(default_factory=Changes)
    groups: ProcessGroups = field(default_factory=ProcessGroups)
    ports: FreePorts = field(default_factory=FreePorts)


@dataclass(frozen=True, slots=True)
class UnitPlan:
    """What a unit is to be."""

    target: str
    place: int
    version: Version
    env: Mapping[str, str] = field(repr=False)

    def environment(self, manifest: Manifest, port: int) -> dict[str, str]:
        """Nothing of the supervisor's own but what every program needs, then the artifact's, the target's, ours.

        `python3` is the interpreter that runs Andon, whatever else the host has.
        """
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
        return {
            **{name: os.environ[name] for name in _INHERITED if name in os.environ},
            "PATH": path,
            # Byte code beside the source would alter the artifact.
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            **manifest.env,
            **self.env,
            "PORT": str(port),
            "ANDON_TARGET": self.target,
            "ANDON_UNIT": str(self.place),
            "ANDON_VERSION": self.version.version,
            "ANDON_DIGEST": self.version.digest,
        }


class Unit:
    """A running process. `is_serving` says whether it may be given requests, `in_flight` how many it has."""

    def __init__(self, host: Host, plan: UnitPlan, manifest: Manifest, port: int) -> None:
        self.plan = plan
        self.port = port
        self.in_flight = 0
        self.is_serving = False
        self._host = host
        self._manifest = manifest
        self._process: asyncio.subprocess.Process | None = None
        self._waiting: asyncio.Task[None] | None = None
        self._ears: list[_Ear] = []
        self._status: int | None = None

    @classmethod
    async def begin(cls, host: Host, plan: UnitPlan, log: UnitLog, words: LastWords) -> Unit:
        """Start the process; raises `PermanentError` for the artifact's faults and OSError for the system's."""
        directory = host.store.path(plan.version.digest)
        manifest = await asyncio.to_thread(Manifest.read, directory)
        unit = cls(host, plan, manifest, host.ports.take())
        arguments = manifest.arguments(
            port=unit.port, target=plan.target, version=plan.version.version, digest=plan.version.digest
        )
        writing: list[int] = []
        try:
            for heeded in (None, words):
                pipe, write = os.pipe()
                writing.append(write)
                unit._ears.append(_Ear(pipe, log, heeded))
            unit._process = await asyncio.create_subprocess_exec(
                *arguments,
                cwd=directory,
                env=plan.environment(manifest, unit.port),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing[0],
                stderr=writing[1],
                start_new_session=True,
                umask=0o022,
            )
        except OSError:
            unit._stop_hearing()
            raise
        finally:
            for write in writing:
                os.close(write)
        host.groups.add(unit._process.pid)
        unit._waiting = asyncio.create_task(unit._wait(unit._process))
        return unit

    @property
    def pid(self) -> int | None:
        """Of the process, while it lives."""
        return None if self._process is None or self.has_exited else self._process.pid

    @property
    def has_exited(self) -> bool:
        """Whether the process is over."""
        return self._status is not None

    @property
    def ending(self) -> str:
        """How it ended, as the middle of a sentence."""
        if self._status is None:
            return "is running"
        if self._status < 0:
            return f"was ended by {signal.Signals(-self._status).name}"
        return f"exited with status {self._status}"

    async def is_healthy(self) -> bool:
        """Whether it answers its health check with 2xx, or at all where it has none."""
        timing = self._host.timing
        try:
            if self._manifest.health is None:
                async with asyncio.timeout(timing.health_timeout):
                    _, writer = await asyncio.open_connection(ADDRESS, self.port)
                    writer.close()
                return True
            async with self._host.client.get(
                f"http://{ADDRESS}:{self.port}{self._manifest.health}",
                timeout=aiohttp.ClientTimeout(total=timing.health_timeout),
                allow_redirects=False,
            ) as answer:
                return 200 <= answer.status < 300
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def drain(self) -> bool:
        """Take no new request and let those in flight finish; whether they did in time."""
        self.is_serving = False
        self._host.changes.notify()
        return await self._host.changes.wait_until(
            lambda: self.in_flight == 0 or self.has_exited, self._host.timing.drain_timeout
        )

    async def end(self) -> None:
        """SIGTERM, a while later SIGKILL, for the process and all its children."""
        self.is_serving = False
        assert self._process is not None
        assert self._waiting is not None
        group = self._process.pid
        if not self.has_exited:
            self._host.groups.tell(group, signal.SIGTERM)
            await self._host.changes.wait_until(lambda: self.has_exited, self._host.timing.stop_timeout)
        # Also what the process left behind; where it is over with all its children this reaches nobody.
        self._host.groups.tell(group, signal.SIGKILL)
        await asyncio.wait((self._waiting,))
        self._host.groups.discard(group)
        self._stop_hearing()

    def finished_one(self) -> None:
        """A request is over."""
        self.in_flight -= 1
        if self.in_flight == 0 and not self.is_serving:
            self._host.changes.notify()

    async def _wait(self, process: asyncio.subprocess.Process) -> None:
        self._status = await process.wait()
        self.is_serving = False
        self._host.changes.notify()

    def _stop_hearing(self) -> None:
        for ear in self._ears:
            ear.close()


class _Ear:
    """Reads one pipe of a unit as it comes.

    Not by asyncio's own subprocess pipes: with those a grandchild that keeps one open delays the news of the end.
    """

    def __init__(self, pipe: int, log: UnitLog, words: LastWords | None) -> None:
        self._pipe = pipe
        self._log = log
        self._words = words
        self._is_open = True
        os.set_blocking(pipe, False)
        asyncio.get_running_loop().add_reader(pipe, self._read)

    def close(self) -> None:
        """Read what is there, then no more."""
        while self._is_open and self._read():
            pass
        self._shut()

    def _read(self) -> bool:
        try:
            piece = os.read(self._pipe, 65536)
        except BlockingIOError:
            return False
        if not piece:
            self._shut()
            return False
        self._log.write(piece)
        if self._words is not None:
            self._words.add(piece)
        return True

    def _shut(self) -> None:
        if self._is_open:
            self._is_open = False
            asyncio.get_running_loop().remove_reader(self._pipe)
            os.close(self._pipe)
