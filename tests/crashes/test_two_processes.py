"""Two real `andon run` on one PostgreSQL, started at once on an empty database; one of them is killed in the middle."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from examples.local_stack import free_port
from integrations.processes.deployer import ProcessesDeployer
from simulator.people import NotSeen, Seen, Simulator
from simulator.seen import AppSilent
from tests.crashes.stack import ROOT, TARGETS, definition
from tests.crashes.test_sigkill import artifact
from tests.postgres import Server
from tests.project.processes import started, until_it_answers
from tests.scenarios.kit import ADMIN, AS_OPERATOR, key_of
from tests.scenarios.props import people, workspace

LEASE = 5
ANDON = (sys.executable, "-c", "from bot.cli import main; raise SystemExit(main(['run']))")


@dataclass
class Pair:
    """Two replicas, the workspace, and the real units beneath."""

    path: Path
    simulator: Simulator
    deployer: ProcessesDeployer
    processes: list[asyncio.subprocess.Process]
    ports: list[int]

    async def ask(self, replica: int, method: str, path: str, body: Any = None) -> Any:
        url = f"http://127.0.0.1:{self.ports[replica]}{path}"
        async with (
            aiohttp.ClientSession(headers=AS_OPERATOR) as session,
            session.request(method, url, json=body) as answer,
        ):
            assert answer.status < 300, await answer.text()
            return await answer.json()

    async def announce(self, replica: int, version: str) -> None:
        change = {"id": f"c-{version}", "title": "Prices", "authors": ["bob@example.com"]}
        body = {
            "service": "shop",
            "version": version,
            "artifact": str(self.path / version / "artifact"),
            "changes": [change],
        }
        await self.ask(replica, "POST", "/api/releases", body)

    def card(self, version: str) -> Seen | None:
        found = [
            m
            for m in self.simulator.channel("#shop").messages
            if key_of(m.message).startswith("card:") and m.text.startswith(f"shop {version} ")
        ]
        assert len(found) <= 1, self.simulator.transcript()
        return found[0] if found else None

    def says(self, version: str, words: str) -> bool:
        card = self.card(version)
        return card is not None and words in card.text

    async def approve(self, version: str) -> None:
        """Ann presses Approve when she sees it, and again while it stays."""

        def asks() -> bool:
            card = self.card(version)
            return card is not None and "Approve" in card.buttons

        await self.simulator.until(asks, 30)
        while asks():
            card = self.card(version)
            assert card is not None
            with contextlib.suppress(AppSilent):
                await self.simulator.person("ann").presses("Approve", on=card, confirm=True)
            with contextlib.suppress(NotSeen):
                await self.simulator.until(lambda: not asks(), 5)

    def shown(self) -> str:
        return f"{self.simulator.transcript()}\n{self.logs()}"

    def logs(self) -> str:
        return "\n".join(log.read_text() for log in sorted(self.path.glob("bot-*.log")))


@contextlib.asynccontextmanager
async def pair(path: Path, url: str) -> AsyncIterator[Pair]:
    """Both, started at the same moment."""
    file = definition(path, 1)
    file["deployer"]["with"]["timing"]["ready_for"] = 1.5
    for name, content in {"org.yaml": people(), "pipelines/shop.yaml": file}.items():
        (path / "config" / name).parent.mkdir(parents=True, exist_ok=True)
        (path / "config" / name).write_text(json.dumps(content))
    for version in ("1.0.0", "1.1.0"):
        (path / version).mkdir()
        with (artifact(path / version) / "unit.py").open("a") as unit:
            unit.write(f"# {version}\n")
    targets = {target["name"]: target["with"] for stage in file["stages"] for target in stage["targets"]}
    deployer = ProcessesDeployer.from_settings(file["deployer"]["with"], targets)
    async with contextlib.AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(Simulator.running(config=workspace(), retry_delays=(0,)))
        stack.push_async_callback(deployer.stop)
        made = Pair(path, simulator, deployer, [], [free_port(), free_port()])
        app = simulator.workspace.app
        for number, port in enumerate(made.ports):
            environment = {
                "ANDON_CONFIG": str(path / "config"), "ANDON_STATE": str(path / f"state-{number}"), "DATABASE_URL": url,
                "ANDON_ADMIN_TOKEN": ADMIN, "ANDON_LEASE": str(LEASE), "ANDON_SLACK_EVERY": "0.02", "PORT": str(port),
                "SLACK_BOT_TOKEN": app.bot_token, "SLACK_APP_TOKEN": app.app_token, "SLACK_API_URL": simulator.api_url,
            }  # fmt: skip
            log = path / f"bot-{number}.log"
            process = await stack.enter_async_context(started(*ANDON, cwd=ROOT, log=log, environment=environment))
            made.processes.append(process)
        for number, process in enumerate(made.processes):
            log = path / f"bot-{number}.log"
            await until_it_answers(f"http://127.0.0.1:{made.ports[number]}/healthz", process, log)
        await until(lambda: simulator.server.socket.connections == 2)
        yield made


async def until(true: Callable[[], object], within: float = 30, *, or_show: Callable[[], str] = str) -> None:
    """Look until it is so: it happens in other processes."""
    give_up_at = time.monotonic() + within
    while not true():
        assert time.monotonic() < give_up_at, or_show()
        await asyncio.sleep(0.02)


@pytest.mark.slow
async def test_one_is_killed_and_the_other_goes_on_within_the_lease(tmp_path: Path, postgres: Server) -> None:
    url = postgres.empty()
    async with asyncio.timeout(120), pair(tmp_path, url) as both:
        await both.announce(0, "1.0.0")
        await both.approve("1.0.0")
        await until(lambda: both.says("1.0.0", "is everywhere"), or_show=both.shown)

        # While the other is frozen, everything is in the hands of the first; then that one dies, and the other wakes.
        first, other = both.processes
        other.send_signal(signal.SIGSTOP)
        await both.announce(0, "1.1.0")
        approving = asyncio.create_task(both.approve("1.1.0"))
        await until(lambda: both.says("1.1.0", "is in web"), or_show=both.shown)
        first.kill()
        killed_at = time.monotonic()
        other.send_signal(signal.SIGCONT)
        await approving
        await until(lambda: both.says("1.1.0", "is everywhere"), or_show=both.shown)
        took = time.monotonic() - killed_at

        assert {t: (await both.deployer.running_version(t)).version for t in TARGETS} == dict.fromkeys(TARGETS, "1.1.0")
        tally = Counter((tmp_path / "tally").read_text().split())
        assert tally == dict.fromkeys(TARGETS, 2), "each version was deployed once on each target"
        messages = [m for c in both.simulator.workspace.channels.values() for m in c.messages.values()]
        keys = Counter(key_of(m) for m in messages if key_of(m))
        assert set(keys.values()) == {1}, both.simulator.transcript()
        assert await both.ask(1, "GET", "/api/audit") == {"shop": None, "(organisation)": None}
        # Two deployments one after the other may each have to wait for the dead one's lease.
        assert took < 3 * LEASE + 10, both.logs()
        print(f"\neverywhere {took:.1f} s after the kill")
    assert not re.search(r"Traceback|ERROR", both.logs()), both.logs()
    postgres.drop(url)
