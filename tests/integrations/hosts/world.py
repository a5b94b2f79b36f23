"""Some hosts as a story: `await world.deploy("2", world.artifact("good"))`. What they run are files, not processes."""

from __future__ import annotations

import asyncio
import hashlib
import io
import itertools
import json
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from core.errors import TransientError
from core.ports import DeploymentRef, DeploymentRequest, DeploymentStatus
from integrations.contract import PATIENCE
from integrations.hosts.config import HostsConfig, HostsTarget, read
from integrations.hosts.deployer import HostsDeployer
from tests.integrations.hosts.servers import USER, Servers

QUICK = {"within": "200ms", "every": "20ms", "times": 1}
STARTS = 'printf "%s\\n" "$ANDON_DIGEST" >"$ANDON_ROOT/runs"\n'


def archive(path: Path, files: Mapping[str, str | bytes]) -> Path:
    """A .tar.gz with these files, the same bytes each time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for name, text in files.items():
            content = text.encode() if isinstance(text, str) else text
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    return path


def digest_of(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


class World:
    """Directories on the servers' hosts, a deployer for them, and what a test needs to know of both."""

    def __init__(self, tmp_path: Path, servers: Servers, zones: Mapping[str, str] | None = None) -> None:
        self.tmp_path = tmp_path
        self.servers = servers
        self.zones = dict(zones or {})
        self.values: dict[str, dict[str, str]] = {}
        self._open: list[HostsDeployer] = []
        self._keys = (f"key-{number}" for number in itertools.count(1))
        self.deployer = self.another_deployer()

    def settings(self, **more: Any) -> dict[str, Any]:
        settings = {
            "user": USER,
            "known_hosts": str(self.servers.known_hosts),
            "key_file": str(self.servers.open_key_file),
            "root": f"{self.tmp_path}/{{host}}",
            "start": ["sh", "{release}/start.sh"],
            "stop": ["rm", "-f", "{root}/runs"],
            "drain": ["touch", "{root}/drained"],
            "undrain": ["rm", "-f", "{root}/drained"],
            "health": {"command": ["test", "-e", "{root}/runs"], **QUICK},
            "running": {"command": ["cat", "{root}/runs"]},
            "patience": {"answer": "10s"},
            **more,
        }
        return {key: value for key, value in settings.items() if value is not None}

    def targets(self, *names: str) -> dict[str, Any]:
        hosts = [
            {
                "name": server.name,
                "address": "127.0.0.1",
                "port": server.port,
                "values": self.values.get(server.name, {}),
                **({"zone": self.zones[server.name]} if server.name in self.zones else {}),
            }
            for server in self.servers.by_name.values()
            if not names or server.name in names
        ]
        return {"all": {"hosts": hosts}}

    def another_deployer(
        self, *names: str, traced: Callable[[str, str], None] | None = None, **more: Any
    ) -> HostsDeployer:
        """As after a restart of the bot: it knows nothing but the definition."""
        understood = self.understood(self.settings(**more), *names)
        deployer = HostsDeployer(*understood, environ=self.servers.environ, traced=traced)
        self._open.append(deployer)
        return deployer

    def understood(self, settings: Mapping[str, Any], *names: str) -> tuple[HostsConfig, dict[str, HostsTarget]]:
        """Settings, and those of the target, as a deployer takes them."""
        config, targets, problems = read(settings, self.targets(*names))
        assert config is not None, problems
        return config, targets

    def root(self, host: str) -> Path:
        return self.tmp_path / host

    def artifact(self, name: str = "good", start: str = STARTS, **files: str | bytes) -> Path:
        """An archive of files that start the service; made once under a name."""
        path = self.tmp_path / "artifacts" / f"{name}.tar.gz"
        return path if path.exists() else archive(path, {"name": name, "start.sh": start, **files})

    def request(self, version: str, source: Path, **more: Any) -> DeploymentRequest:
        return DeploymentRequest(
            **{
                "key": more.pop("key", None) or next(self._keys),
                "service": "shop",
                "pipeline": "shop",
                "stage": "production",
                "target": "all",
                "version": version,
                "digest": more.pop("digest", None) or digest_of(source),
                "artifact": str(source),
                "is_rollback": False,
                "batch_percent": 33,
                "healthy_percent": 66,
                "timeout": timedelta(seconds=60),
                **more,
            }
        )

    def as_text(self, request: DeploymentRequest) -> str:
        """All that another process needs to carry a deployment on."""
        asked = {name: value for name, value in asdict(request).items() if name != "timeout"}
        return json.dumps({"settings": self.settings(), "targets": self.targets(), "request": asked})

    async def deploy(self, version: str, source: Path, **more: Any) -> DeploymentStatus:
        return await self.over(await self.deployer.start(self.request(version, source, **more)))

    async def over(self, ref: DeploymentRef, deployer: HostsDeployer | None = None) -> DeploymentStatus:
        """How it ended; a host that is silent for a while is asked again."""
        return await self.until(ref, lambda status: status.outcome.is_final, deployer)

    async def until(
        self, ref: DeploymentRef, is_enough: Callable[[DeploymentStatus], bool], deployer: HostsDeployer | None = None
    ) -> DeploymentStatus:
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    status = await (deployer or self.deployer).status(ref)
                except TransientError:
                    continue
                if is_enough(status):
                    return status
                await asyncio.sleep(0.02)  # the hosts are processes of their own

    async def end(self) -> None:
        for deployer in self._open:
            await deployer.close()
