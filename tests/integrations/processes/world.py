"""One host with a supervisor and real units, as a story: `world.deploy("rest", "2", good)`."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp

from core.ports import DeploymentRef, DeploymentRequest, DeploymentStatus
from integrations.processes.artifacts import digest_of
from integrations.processes.deployer import Front, ProcessesConfig, ProcessesDeployer, ProcessesTarget, Timing

QUICK = Timing(
    start_timeout=10,
    ready_for=0.0,
    health_interval=0.1,
    drain_timeout=5,
    stop_timeout=1,
    backoff_first=0.02,
    backoff_most=0.1,
    hold=2,
)
TWO = {"one-box": ProcessesTarget(units=1, share=10), "rest": ProcessesTarget(units=2, share=90)}
ONE = {"all": ProcessesTarget(units=1, share=100)}


class World:
    """A root directory, a deployer for it, and what a test needs to know of both."""

    def __init__(self, tmp_path: Path, targets: Mapping[str, ProcessesTarget] = TWO, timing: Timing = QUICK) -> None:
        self.tmp_path = tmp_path
        self.root = tmp_path / "root"
        self.config = ProcessesConfig(root=self.root, front=Front(name="shop", port=0), timing=timing)
        self.targets = targets
        self.deployer = self.another_deployer()
        self._keys = (f"key-{number}" for number in itertools.count(1))

    def another_deployer(self, targets: Mapping[str, ProcessesTarget] | None = None) -> ProcessesDeployer:
        """As after a restart of the bot: it knows nothing but the configuration."""
        return ProcessesDeployer(self.config, targets or self.targets)

    def artifact(self, name: str = "good", **behaviour: object) -> Path:
        """A directory with the units' program that behaves like this."""
        source = self.tmp_path / "sources" / name
        source.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(__file__).with_name("unit_app.py"), source / "unit_app.py")
        (source / "behaviour.json").write_text(json.dumps({"name": name, **behaviour}))
        (source / "andon-artifact.json").write_text(json.dumps({"command": ["python3", "-I", "-S", "unit_app.py"]}))
        return source

    def request(self, target: str, version: str, source: Path, **more: Any) -> DeploymentRequest:
        return DeploymentRequest(
            **{
                "key": more.pop("key", None) or next(self._keys),
                "service": "shop",
                "pipeline": "shop",
                "stage": "production",
                "target": target,
                "version": version,
                "digest": more.pop("digest", None) or digest_of(source),
                "artifact": str(source),
                "is_rollback": False,
                "batch_percent": 33,
                "healthy_percent": 66,
                "timeout": timedelta(seconds=20),
                **more,
            }
        )

    async def begin(self, target: str, version: str, source: Path, **more: Any) -> DeploymentRef:
        return await self.deployer.start(self.request(target, version, source, **more))

    async def deploy(self, target: str, version: str, source: Path, **more: Any) -> DeploymentStatus:
        """Start and wait until it is over."""
        status = await self.deployer.wait(await self.begin(target, version, source, **more), 30)
        assert status.outcome.is_final, status
        return status

    async def get(self, path: str = "/") -> tuple[int, str, Mapping[str, str]]:
        async with (
            aiohttp.ClientSession() as session,
            session.get((await self.deployer.url()).rstrip("/") + path) as answer,
        ):
            return answer.status, await answer.text(), answer.headers

    async def units(self, target: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.deployer.overview())["targets"][target]["units"]
        return found

    async def until_units(self, target: str, condition: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """Ask until the units of a target are so, for ten seconds at most: they live in another process."""
        until = time.monotonic() + 10
        while not condition(units := await self.units(target)):
            assert time.monotonic() < until, units
            await asyncio.sleep(0.01)
        return units

    def supervisor_pid(self) -> int:
        return int((self.root / "shop.lock").read_text())

    async def kill_supervisor(self, sign: signal.Signals = signal.SIGKILL) -> None:
        pid = self.supervisor_pid()
        os.kill(pid, sign)
        await until(lambda: not is_alive(pid))


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Look until something outside this process is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie nobody has collected yet does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    try:
        return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
