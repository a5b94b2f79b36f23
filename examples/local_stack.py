"""Andon on one machine: workspace, bot, shop and its customers; what `make up` and `make demo` have in common.

The workspace and the customers live in this process; the bot and the shop's supervisors are processes of their own, as
they would be anywhere. `stop` leaves none of them behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from bot.manifest import manifest
from examples.shop.build import build
from integrations.processes.deployer import ProcessesDeployer
from simulator.people import Simulator

HERE = Path(__file__).resolve().parent
PEOPLE = {"ann": "UANN", "bob": "UBOB", "carol": "UCAROL", "dave": "UDAVE"}
STAGE_FRONTS = ("beta", "gamma", "production")


@dataclass(frozen=True, slots=True)
class Ports:
    """Where everything listens."""

    workspace: int
    bot: int
    beta: int
    gamma: int
    production: int

    @classmethod
    def usual(cls) -> Ports:
        """The ports of `make up`, each replaced by a free one where something else listens."""
        wanted = {"workspace": 8765, "bot": 8080, "beta": 9101, "gamma": 9102, "production": 9103}
        return cls(**{name: port if _is_free(port) else free_port() for name, port in wanted.items()})

    @classmethod
    def free(cls) -> Ports:
        """Ports nobody uses."""
        return cls(*(free_port() for _ in range(5)))


class LocalStack:
    """Starts all of it in `directory` (emptied first), and stops all of it."""

    def __init__(self, directory: Path, ports: Ports, *, bot_log: Path | None = None) -> None:
        self.directory = directory
        self.ports = ports
        self.switch = directory / "switch.json"
        self.admin_token = f"local-{secrets.token_urlsafe(18)}"
        self.bot: asyncio.subprocess.Process | None = None
        self.simulator: Simulator | None = None
        self.ci_token = self.ann_token = ""
        self._bot_log = bot_log or directory / "bot.log"
        self._definition: dict[str, Any] = {}

    @property
    def bot_url(self) -> str:
        """Where the bot's API is."""
        return f"http://127.0.0.1:{self.ports.bot}"

    @property
    def shop_url(self) -> str:
        """Where customers go."""
        return f"http://127.0.0.1:{self.ports.production}/"

    @property
    def workspace(self) -> Simulator:
        """The workspace, which runs."""
        assert self.simulator is not None, "the workspace is not started"
        return self.simulator

    async def start(self) -> None:
        """Begin everything; returns when the bot is connected to the workspace."""
        await self._clear()
        self._write_configuration()
        self.simulator = await Simulator.start(port=self.ports.workspace, config=self.workspace_config())
        await self.start_bot()
        self.ci_token = await self.token("ci", "announce", "alarms")
        self.ann_token = await self.token("ann", "read", "act")
        await self.simulator.until_connected(within=60)

    async def token(self, actor: str, *scopes: str) -> str:
        """A token for a person or a machine, as `andon token create` makes it."""
        headers = {"Authorization": f"Bearer {self.admin_token}"}
        wanted = {"name": f"{actor} in the local workspace", "actor": actor, "scopes": scopes}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(f"{self.bot_url}/api/tokens", json=wanted) as answer,
        ):
            answer.raise_for_status()
            token: str = (await answer.json())["token"]
            return token

    async def start_bot(self) -> None:
        """Begin the bot, and wait until it answers."""
        with self._bot_log.open("ab") as log:
            self.bot = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bot.cli", "run",
                env=self.environment(), cwd=HERE.parent, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        await self._until_healthy(self.bot)

    async def kill_bot(self) -> None:
        """SIGKILL: no chance to tidy up."""
        assert self.bot is not None, "the bot is not started"
        self.bot.kill()
        await self.bot.wait()

    async def stop(self) -> None:
        """End everything; nothing is left running."""
        if self.bot is not None and self.bot.returncode is None:
            self.bot.terminate()
            try:
                async with asyncio.timeout(20):
                    await self.bot.wait()
            except TimeoutError:
                self.bot.kill()
                await self.bot.wait()
        if self.simulator is not None:
            await self.simulator.stop()
        await asyncio.gather(*(self._stop_front(front) for front in STAGE_FRONTS))

    async def announce(self, version: str, *, title: str, author: str, fixes: Sequence[str] = ()) -> None:
        """Build a version of the shop and announce it, as CI would with `andon announce`."""
        artifact = await asyncio.to_thread(build, version, self.directory / "built", [title])
        words = ["announce", "shop", version, "--artifact", str(artifact), "--change", f"{version}: {title} ({author})"]
        for bad in fixes:
            words += ["--fixes", bad]
        await self.andon(*words, token=self.ci_token)

    async def andon(self, *words: str, token: str = "") -> str:
        """Run `andon …` in a shell of its own; returns what it prints. Raises RuntimeError where it fails."""
        environment = self.environment() | {"ANDON_URL": self.bot_url, "ANDON_TOKEN": token or self.admin_token}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bot.cli", *words,
            env=environment, cwd=HERE.parent, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"andon {' '.join(words)} ended with {process.returncode}: {err.decode()}{out.decode()}")
        return out.decode()

    async def flip_switch(self, version: str, *, is_broken: bool) -> None:
        """Press the shop's own switch: break a version, or mend it."""
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.shop_url}_switch", json={"broken": is_broken, "version": version}) as answer,
        ):
            answer.raise_for_status()

    # ---- configuration ----------------------------------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        """The environment of the bot: the real settings, pointed at the local workspace."""
        assert self.simulator is not None, "the workspace is started first"
        app = self.simulator.workspace.app
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        return kept | {
            "ANDON_CONFIG": str(self.directory / "config"),
            "ANDON_STATE": str(self.directory / "state"),
            "ANDON_ADMIN_TOKEN": self.admin_token,
            "PORT": str(self.ports.bot),
            # The local workspace takes more than one message a second, and a story of seconds has many.
            "ANDON_SLACK_EVERY": "0.1",
            "SLACK_BOT_TOKEN": app.bot_token,
            "SLACK_APP_TOKEN": app.app_token,
            "SLACK_SIGNING_SECRET": app.signing_secret,
            "SLACK_API_URL": self.simulator.api_url,
        }

    def workspace_config(self) -> dict[str, Any]:
        """The workspace: people, channels, the app as its manifest describes it, links for the bar on top."""
        names = list(PEOPLE)
        return {
            "team": "Local workspace",
            "users": [
                {"id": user, "name": name, "real_name": name.capitalize(), "email": f"{name}@example.com"}
                for name, user in PEOPLE.items()
            ],
            "channels": [
                {"id": "CSHOP", "name": "shop", "members": [*names, "andon"], "topic": "Releases of the shop"},
                {"id": "CGENERAL", "name": "general", "members": [*names, "andon"]},
            ],
            "groups": [
                {"id": "SAPPROVE", "handle": "shop-approvers", "members": ["ann", "bob", "carol"]},
                {"id": "SONCALL", "handle": "shop-on-call", "members": ["bob", "dave"]},
            ],
            "manifest": manifest(),
            "links": [{"title": "The shop, with its Break it switch", "url": self.shop_url}],
        }

    def _write_configuration(self) -> None:
        """The example's own files, with this run's ports and directories."""
        config = self.directory / "config"
        (config / "pipelines").mkdir(parents=True)
        definition = yaml.safe_load((HERE / "shop" / "andon" / "pipelines" / "shop.yaml").read_text())
        text = json.dumps(definition)
        for port, front in zip((9101, 9102, 9103), STAGE_FRONTS, strict=True):
            text = text.replace(str(port), str(getattr(self.ports, front)))
        definition = json.loads(text)
        definition["deployer"]["with"]["root"] = str(self.directory / "fronts")
        for stage in definition["stages"]:
            for target in stage["targets"]:
                target["with"]["env"] = {"SHOP_SWITCH": str(self.switch)}
        self._definition = definition
        (config / "pipelines" / "shop.yaml").write_text(yaml.safe_dump(definition, sort_keys=False))
        people = yaml.safe_load((HERE / "shop" / "andon" / "org.yaml").read_text())
        for name, user in PEOPLE.items():
            people["people"][name]["slack"] = user
        (config / "org.yaml").write_text(yaml.safe_dump(people, sort_keys=False))

    async def _clear(self) -> None:
        """Begin anew: end what an earlier run may have left, and forget it."""
        if (self.directory / "fronts").is_dir():
            with contextlib.suppress(OSError, KeyError, ValueError):
                self._definition = yaml.safe_load((self.directory / "config" / "pipelines" / "shop.yaml").read_text())
                await asyncio.gather(*(self._stop_front(front) for front in STAGE_FRONTS))
        await asyncio.to_thread(shutil.rmtree, self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True, mode=0o700)

    async def _stop_front(self, front: str) -> None:
        """Stop the supervisor of a front with all its units, whether or not it is there."""
        root = self.directory / "fronts"
        if not (root / f"{front}.lock").exists():
            return
        deployer = ProcessesDeployer.from_settings(
            {"root": str(root), "front": {"name": front, "port": getattr(self.ports, front)}},
            {"any": {"units": 1, "share": 100}},
        )
        await deployer.stop()

    async def _until_healthy(self, process: asyncio.subprocess.Process) -> None:
        async with aiohttp.ClientSession() as session, asyncio.timeout(60):
            while True:
                if process.returncode is not None:
                    raise RuntimeError(f"The bot ended with {process.returncode}:\n{self._bot_log.read_text()[-3000:]}")
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"{self.bot_url}/healthz") as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.05)


def free_port() -> int:
    """A port nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
