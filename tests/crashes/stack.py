"""The bot as a real process over real units, beside a workspace in this process; started again whenever it dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from examples.local_stack import free_port
from integrations.command.deployer import CommandDeployer
from integrations.processes.deployer import ProcessesDeployer
from simulator.errors import Refused
from simulator.people import NotSeen, Seen, Simulator
from simulator.seen import AppSilent
from storage.journal import sqlite_url
from tests.scenarios.kit import ADMIN, AS_OPERATOR, key_of
from tests.scenarios.props import people, workspace

ROOT = Path(__file__).parents[2]
TARGETS = ("beta-1", "web-1", "web-2")


@dataclass
class Stack:
    """The bot as a process, started again whenever it dies; everything else as it would be."""

    path: Path
    simulator: Simulator
    deployer: ProcessesDeployer | CommandDeployer
    port: int = field(default_factory=free_port)
    deaths: int = 0
    process: asyncio.subprocess.Process | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def running(
        cls, path: Path, point: int = -1, *, units: int = 1, file: dict[str, Any] | None = None
    ) -> AsyncIterator[Stack]:
        """Everything, with a bot that kills itself at a point (-1: never); `file` is another pipeline than ours."""
        file = file or definition(path, units)
        for name, content in {"org.yaml": people(), "pipelines/shop.yaml": file}.items():
            (path / "config" / name).parent.mkdir(parents=True, exist_ok=True)
            (path / "config" / name).write_text(json.dumps(content))
        targets = {target["name"]: target["with"] for stage in file["stages"] for target in stage["targets"]}
        use = ProcessesDeployer if file["deployer"]["use"] == "processes" else CommandDeployer
        deployer = use.from_settings(file["deployer"]["with"], targets)
        async with Simulator.running(config=workspace(), retry_delays=(0,)) as simulator:
            stack = cls(path, simulator, deployer)
            stack.write_settings()
            keeping = asyncio.create_task(stack.keep(point))
            try:
                yield stack
            finally:
                keeping.cancel()
                await asyncio.gather(keeping, return_exceptions=True)
                await stack.end()
                if isinstance(deployer, ProcessesDeployer):
                    await deployer.stop()

    def write_settings(self) -> None:
        app = self.simulator.workspace.app
        given = {
            "config": str(self.path / "config"),
            "state": str(self.path),
            "database_url": sqlite_url(self.path / "andon.db"),
            "points": str(self.path / "points"),
            "port": self.port,
            "bot_token": app.bot_token,
            "app_token": app.app_token,
            "slack_api_url": self.simulator.api_url,
            "admin_token": ADMIN,
        }
        (self.path / "settings.json").write_text(json.dumps(given))

    async def keep(self, point: int) -> None:
        """What a supervisor of services does: start it again when it has died."""
        with (self.path / "bot.log").open("ab") as log:
            while True:
                self.process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "tests.crashes.victim", str(self.path / "settings.json"), str(point),
                    cwd=ROOT, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                )  # fmt: skip
                code = await self.process.wait()
                assert code == -9, f"it ended with {code}, not by SIGKILL:\n{(self.path / 'bot.log').read_text()}"
                self.deaths += 1
                point = -1

    async def kill(self) -> None:
        """SIGKILL the bot; `keep` starts it again."""
        assert self.process is not None, "it was not started"
        dying = self.process
        dying.kill()
        await dying.wait()

    async def end(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            await self.process.wait()

    async def ask(self, method: str, path: str, body: Any = None, *, key: str = "") -> Any:
        """A request to the bot, made again until it is answered: it may be dead at the moment."""
        headers = AS_OPERATOR | ({"Idempotency-Key": key} if key else {})
        async with aiohttp.ClientSession(headers=headers) as session:
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    url = f"http://127.0.0.1:{self.port}{path}"
                    async with session.request(method, url, json=body) as answer:
                        assert answer.status < 300, await answer.text()
                        return await answer.json()
                # Another process is waited for, which nothing tells of.
                await asyncio.sleep(0.05)

    def card(self, version: str) -> Seen | None:
        """The one card of a version, once it is there."""
        found = [
            m
            for m in self.simulator.channel("#shop").messages
            if key_of(m.message).startswith("card:") and m.text.startswith(f"shop {version} ")
        ]
        assert len(found) <= 1, self.simulator.transcript()
        return found[0] if found else None

    def says(self, version: str, words: str) -> bool:
        """Whether a version's card says so."""
        card = self.card(version)
        return card is not None and words in card.text

    async def announce(self, version: str, artifact: Path | str, **more: Any) -> None:
        """CI announces a version, until it is told that this is recorded."""
        change = {"id": f"c-{version}", "title": "Prices", "authors": ["bob@example.com"]}
        body = {"service": "shop", "version": version, "artifact": str(artifact), "changes": [change], **more}
        await self.ask("POST", "/api/releases", body, key=f"announce-{version}")

    async def approve(self, version: str) -> None:
        """Ann presses Approve when she sees it, and again while it stays."""

        def asks() -> bool:
            card = self.card(version)
            return card is not None and "Approve" in card.buttons

        await self.simulator.until(asks, 30)
        while asks():
            card = self.card(version)
            assert card is not None
            with contextlib.suppress(AppSilent, Refused):
                await self.simulator.person("ann").presses("Approve", on=card, confirm=True)
            with contextlib.suppress(NotSeen):
                await self.simulator.until(lambda: not asks(), 5)

    async def everywhere(self, version: str) -> None:
        """Wait until its card says so."""
        await self.simulator.until(lambda: self.says(version, "is everywhere"), 40)

    async def what_runs(self) -> dict[str, str | None]:
        """The versions that really run, by target."""
        return {target: (await self.deployer.running_version(target)).version for target in TARGETS}


def definition(path: Path, units: int) -> dict[str, Any]:
    """Beta, and two targets of production after an approval; real units."""

    def target(name: str, share: int) -> dict[str, Any]:
        env = {"TALLY": str(path / "tally"), "PLACE": name, "SHOP_SWITCH": str(path / "switch.json")}
        return {"name": name, "with": {"units": units, "share": share, "env": env}}

    timing = {"ready_for": 0, "stop_timeout": 1, "health_interval": 0.2}
    return {
        "service": "shop",
        "team": "shop",
        "channel": "#shop",
        "deployer": {
            "use": "processes",
            "with": {"root": str(path / "units"), "front": {"name": "shop", "port": 0}, "timing": timing},
        },
        "watch": "0s",
        "stages": [
            {"name": "beta", "targets": [target("beta-1", 0)], "bake": "0s"},
            {
                "name": "web", "group": "production", "targets": [target("web-1", 50), target("web-2", 50)],
                "bake": "0s", "batch": 50, "approval": {"count": 1, "by": ["approvers"]},
            },
        ],
    }  # fmt: skip
