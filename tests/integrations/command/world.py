"""A host for the deployer `command`: one program in Python that does what the version it is given asks for."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from core.ports import Deployer, DeploymentRequest
from integrations.command.deployer import CommandDeployer

SECRET = "open-sesame"
PROGRAM = """
import json, os, pathlib, subprocess, sys, time
here, target, digest = map(pathlib.Path, sys.argv[1:4])
with (here / "begun").open("a") as begun:
    begun.write(os.environ["ANDON_KEY"] + "\\n")
print("deploying", os.environ["ANDON_VERSION"], "with", os.environ.get("DEPLOY_TOKEN"), flush=True)
match sys.argv[3]:
    case "sha256:failing":
        print("disk full, says", os.environ.get("DEPLOY_TOKEN"), file=sys.stderr)
        sys.exit(3)
    case "sha256:endless":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        (here / "child").write_text(str(child.pid))
        time.sleep(60)
    case "sha256:held":
        while not (here / "go").exists():
            time.sleep(0.01)
record = here / f"runs-{target}"
record.with_suffix(".new").write_text(json.dumps({"digest": sys.argv[3], "version": os.environ["ANDON_VERSION"]}))
record.with_suffix(".new").replace(record)
"""
SAYS = """
import pathlib, sys
record = pathlib.Path(sys.argv[1]) / f"runs-{sys.argv[2]}"
print(record.read_text() if record.exists() else '{"digest": null}')
"""


@dataclass
class World:
    """What outlives every client: the directory, and what the program did there."""

    path: Path
    more: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": os.defpath, "DEPLOY_TOKEN": SECRET})
    targets: dict[str, dict[str, Any]] = field(default_factory=lambda: {"web-1": {}})

    def __post_init__(self) -> None:
        (self.path / "program.py").write_text(PROGRAM)
        (self.path / "says.py").write_text(SAYS)

    @property
    def settings(self) -> dict[str, Any]:
        """The `with:` of the deployer."""
        python = [sys.executable, "-I", "-S"]
        return {
            "state": str(self.path / "state"),
            "run": [*python, str(self.path / "program.py"), str(self.path), "{target}", "{digest}"],
            "running": [*python, str(self.path / "says.py"), str(self.path), "{target}"],
            "env_from": ["DEPLOY_TOKEN"],
            "grace": "2s",
            **self.more,
        }

    def connect(self, **named: Any) -> CommandDeployer:
        """A client that knows nothing but the settings."""
        from integrations.command.config import read

        config, targets, problems = read(
            {key: value for key, value in self.settings.items() if value is not None}, self.targets
        )
        assert config is not None
        assert not problems, problems
        return CommandDeployer(config, targets, environment=self.environment, **named)

    def request(self, key: str, *, digest: str = "sha256:1", **named: Any) -> DeploymentRequest:
        given: Mapping[str, Any] = {
            "service": "shop",
            "pipeline": "shop",
            "stage": "beta",
            "target": "web-1",
            "version": digest.removeprefix("sha256:"),
            "artifact": f"registry.example.com/shop@{digest}",
            "is_rollback": False,
            "batch_percent": 33,
            "healthy_percent": 66,
            "timeout": timedelta(minutes=1),
        }
        return DeploymentRequest(key=key, digest=digest, **{**given, **named})

    @property
    def begun(self) -> list[str]:
        """The keys for which the program really began, in order."""
        record = self.path / "begun"
        return record.read_text().split() if record.exists() else []


class CommandRig:
    """Real programs of this host."""

    secrets = (SECRET,)
    pause = 0.02

    def __init__(self, path: Path, **more: Any) -> None:
        self.world = World(path, more)

    def connect(self) -> Deployer:
        return self.world.connect()

    def hasty(self) -> Deployer:
        return self.world.connect(patience=0.000_001)

    def request(self, key: str, *, version: str = "1", is_rollback: bool = False) -> DeploymentRequest:
        return self.world.request(key, digest=f"sha256:{version}", is_rollback=is_rollback)

    def failing(self, key: str) -> DeploymentRequest:
        return self.world.request(key, digest="sha256:failing")

    def endless(self, key: str) -> DeploymentRequest:
        return self.world.request(key, digest="sha256:endless")

    def refused(self, key: str) -> DeploymentRequest:
        return self.world.request(key, digest="--sudo")
