"""Two real replicas on one PostgreSQL in a storm: killed and frozen at random while people and machines go on asking.

What is outside lives outside: the deployer in a process of its own (`outside.py`), Slack and the line to the database
here. Nothing in a replica knows of the storm but its clock, which is off by some seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from bot.clock import SystemClock
from core.releases.state import PipelineState
from core.releases.world import World
from examples.local_stack import free_port
from simulator.people import Simulator
from storage.errors import StorageError
from storage.journal import Store
from tests.chaos import company
from tests.postgres import Server, database_of
from tests.scenarios.kit import ADMIN
from tests.scenarios.props import workspace
from tests.storage.torn import Line, line_to

ROOT = Path(__file__).parents[2]
LEASE = 5
UNANSWERED_MOST = 90.0
"""Seconds that a machine goes on asking before it gives up, and the run fails."""


EVERYTHING: Mapping[str, int] = {"kill": 10, "freeze": 4, "cut": 2, "restart_database": 1, "trouble_slack": 5}


@dataclass(frozen=True, kw_only=True)
class Weather:
    """How long, how bad, and by which dice. `blows`: how often each kind, against the others.

    `looks` is False for a mistake to be caught: a deployer that forgets to look first.
    """

    seconds: float
    seed: str
    services: int = 6
    bake: str = "2s"
    every: tuple[float, float] = (3.0, 6.0)
    """Seconds from one blow to the next."""
    blows: Mapping[str, int] = field(default_factory=lambda: EVERYTHING)
    looks: bool = True


@dataclass
class Replica:
    """One `andon run`, started again whenever it ends."""

    number: int
    port: int
    process: asyncio.subprocess.Process | None = None
    is_frozen: bool = False
    is_wanted: bool = True


@dataclass
class Storm:
    """Everything that runs, and what was done to it so far."""

    path: Path
    weather: Weather
    simulator: Simulator
    server: Server
    database: str
    line: Line
    outside_url: str
    session: aiohttp.ClientSession
    watcher: Store
    dice: random.Random
    replicas: list[Replica]
    states: dict[str, PipelineState] = field(default_factory=dict)
    world: World = field(default_factory=World)
    outcomes: dict[tuple[str, str], str] = field(default_factory=dict)
    """How each release was last seen, by pipeline and id."""
    tally: Counter[str] = field(default_factory=Counter)
    troubles: list[str] = field(default_factory=list)

    # ---- replicas ---------------------------------------------------------------------------------------------------

    async def keep(self, replica: Replica) -> None:
        """What a supervisor of services does: start it, and start it again when it has ended."""
        while replica.is_wanted:
            settings = self.path / f"replica-{replica.number}.json"
            settings.write_text(json.dumps(self._settings(replica)))
            with (self.path / f"replica-{replica.number}.log").open("ab") as log:
                replica.process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "tests.chaos.replica", str(settings),
                    cwd=ROOT, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                )  # fmt: skip
            code = await replica.process.wait()
            replica.is_frozen = False
            if replica.is_wanted:
                self.tally["replicas started again"] += 1
                if code != -signal.SIGKILL:
                    self.tally[f"ended by themselves ({code})"] += 1
                if code not in (-signal.SIGKILL, 75, 1):
                    self.troubles.append(f"replica {replica.number} ended with {code}")
                await asyncio.sleep(self.dice.uniform(0.2, 1))

    def _settings(self, replica: Replica) -> dict[str, Any]:
        app = self.simulator.workspace.app
        return {
            "config": str(self.path / "config"), "state": str(self.path), "port": replica.port, "lease": LEASE,
            "database_url": self.line.url(self.database), "outside": self.outside_url, "admin_token": ADMIN,
            "bot_token": app.bot_token, "app_token": app.app_token, "slack_api_url": self.simulator.api_url,
            "clock_off": round(self.dice.uniform(-1, 1), 2), "looks": self.weather.looks,
        }  # fmt: skip

    def logs(self) -> str:
        """The end of what each replica said."""
        return "\n".join(log.read_text()[-2_000:] for log in sorted(self.path.glob("replica-*.log")))

    async def end_replicas(self) -> None:
        """Have both end as operators do, and see that they do."""
        for replica in self.replicas:
            replica.is_wanted = False
            if replica.process is not None and replica.process.returncode is None:
                replica.process.send_signal(signal.SIGCONT)
                replica.process.terminate()
        for replica in self.replicas:
            if replica.process is None:
                continue
            try:
                async with asyncio.timeout(30):
                    code = await replica.process.wait()
            except TimeoutError:
                replica.process.kill()
                code = await replica.process.wait()
            if code:
                self.troubles.append(f"replica {replica.number} did not end as it should ({code})")

    # ---- blows ------------------------------------------------------------------------------------------------------

    async def rage(self) -> None:
        """One blow after the other, until cancelled."""
        # Of its own, so that which blows fall when does not hang on how often somebody asks.
        dice = random.Random(f"{self.weather.seed}/blows")
        names, shares = list(self.weather.blows), list(self.weather.blows.values())
        while True:
            await asyncio.sleep(dice.uniform(*self.weather.every))
            (name,) = dice.choices(names, shares)
            await getattr(self, name)()

    async def kill(self) -> None:
        """SIGKILL one of them, whatever it does."""
        alive = [r for r in self.replicas if r.process is not None and r.process.returncode is None]
        if alive and (process := self.dice.choice(alive).process) is not None:
            process.kill()
            self.tally["kills"] += 1

    async def freeze(self) -> None:
        """SIGSTOP one of them for longer than a lease; the other one goes on, and then there are two of it."""
        replica = self.dice.choice(self.replicas)
        process = replica.process
        if process is None or process.returncode is not None or replica.is_frozen:
            return
        process.send_signal(signal.SIGSTOP)
        replica.is_frozen = True
        self.tally["freezes"] += 1

        async def thaw() -> None:
            await asyncio.sleep(LEASE + self.dice.uniform(1, 4))
            if replica.process is process:
                self.thaw(replica)

        self._later(thaw())

    def thaw(self, replica: Replica) -> None:
        """Let a frozen one go on as if nothing had been."""
        if replica.process is not None and replica.process.returncode is None:
            replica.process.send_signal(signal.SIGCONT)
        replica.is_frozen = False

    async def cut(self) -> None:
        """Lose the answer to a commit, or the commit itself: whatever writes next carries the replica's name."""
        self.line.reaches = self.dice.random() < 0.7
        self.line.tear = f"{socket.gethostname()[:40]}-".encode()
        self.tally["cut connections"] += 1

    async def restart_database(self) -> None:
        """End the database in the middle of everything, by crash or by order."""
        await asyncio.to_thread(self.server.restart, is_crash=self.dice.random() < 0.5)
        self.tally["database restarts"] += 1

    async def trouble_slack(self) -> None:
        """A few calls are refused, fail, are slow, or are lost before or after they had an effect."""
        method = self.dice.choice(("chat.postMessage", "chat.update", "*"))
        kind = self.dice.choice(("rate_limited", "server_error", "slow", "drop_before", "drop_after", "drop_after"))
        how: dict[str, Any] = {"seconds": 2} if kind == "slow" else {}
        self.simulator.faults.set(method, kind, times=self.dice.randrange(1, 5), **how)  # type: ignore[arg-type]
        self.tally["Slack faults"] += 1

    async def calm(self) -> None:
        """Let everything go on, and nothing go wrong any more."""
        for replica in self.replicas:
            self.thaw(replica)
        self.line.tear = b""
        self.simulator.faults.clear()
        await self.outside("POST", "calm")

    def _later(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    # ---- asking -----------------------------------------------------------------------------------------------------

    async def ask(self, method: str, path: str, body: Any = None, *, key: str = "", token: str = "") -> tuple[int, Any]:
        """A request to one of the replicas, and again, to any, until it is answered for good: not 5xx."""
        headers = {"Authorization": f"Bearer {token or ADMIN}"} | ({"Idempotency-Key": key} if key else {})
        give_up_at = time.monotonic() + UNANSWERED_MOST
        while True:
            port = self.dice.choice(self.replicas).port
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                url = f"http://127.0.0.1:{port}{path}"
                async with self.session.request(method, url, json=body, headers=headers) as answer:
                    if answer.status < 500:
                        return answer.status, await answer.json()
            self.tally["requests asked again"] += 1
            if time.monotonic() > give_up_at:
                self.troubles.append(f"{method} {path} was not answered for {UNANSWERED_MOST:.0f} s")
                raise TimeoutError(path)
            await asyncio.sleep(0.2)

    async def outside(self, method: str, path: str) -> Any:
        """Ask the world outside how things really are."""
        async with self.session.request(method, f"{self.outside_url}/{path}", json={}) as answer:
            return await answer.json()

    @property
    def seed(self) -> str:
        """By which dice."""
        return self.weather.seed

    async def breathe(self) -> None:
        """Let some time pass."""
        await asyncio.sleep(0.7)

    def database_says(self, statement: str) -> list[Any]:
        """What the database holds, past everybody."""
        return self.server.say(statement, database_of(self.database))

    async def watch(self) -> None:
        """Look into the database again and again, past the replicas."""
        while True:
            await self.look()
            await asyncio.sleep(0.7)

    async def look(self) -> None:
        """Read all states as they are recorded."""

        def read() -> tuple[Mapping[str, PipelineState], World]:
            with self.watcher.reading() as transaction:
                found = {name: loaded.state for name, loaded in transaction.load_all().items()}
                return found, transaction.worlds.load(SystemClock().now())

        try:
            states, self.world = await asyncio.to_thread(read)
        except StorageError:
            return  # it is being restarted
        self.states = dict(states)
        for name, state in states.items():
            for release in state.releases:
                self.outcomes[name, release.id] = release.status.kind


@contextlib.asynccontextmanager
async def gathering(path: Path, server: Server, weather: Weather) -> AsyncIterator[Storm]:
    """Everything is up and whole; the storm has not begun. Nothing is left afterwards."""
    company.write(path / "config", weather.services, weather.bake)
    names = [company.service(number) for number in range(weather.services)]
    database = server.database()
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(server.drop, database)
        line = stack.enter_context(line_to(database))
        session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(6))
        await stack.enter_async_context(session)
        simulator = await stack.enter_async_context(
            Simulator.running(config=workspace(channels=names), retry_delays=(0, 2))
        )
        outside = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.chaos.outside", weather.seed,
            cwd=ROOT, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        stack.push_async_callback(outside.wait)
        stack.callback(outside.terminate)
        assert outside.stdout is not None
        watcher = Store(database, replica="the watcher of the storm")
        stack.callback(watcher.close)
        storm = Storm(
            path, weather, simulator, server, database, line, json.loads(await outside.stdout.readline())["url"],
            session, watcher, random.Random(weather.seed), [Replica(number, free_port()) for number in range(2)],
        )  # fmt: skip
        keeping = [asyncio.create_task(storm.keep(replica)) for replica in storm.replicas]
        try:
            is_up = await until(lambda: simulator.server.socket.connections == 2, 60)
            assert is_up, f"the replicas do not come up:\n{storm.logs()}"
            await storm.look()
            yield storm
        finally:
            for task in tuple(storm._tasks):
                task.cancel()
            await storm.end_replicas()
            await asyncio.gather(*keeping, *storm._tasks, return_exceptions=True)


async def until(is_so: Callable[[], object], within: float) -> bool:
    """Look until it is so, in other processes; whether it came to that in time."""
    give_up_at = time.monotonic() + within
    while not is_so():
        if time.monotonic() > give_up_at:
            return False
        await asyncio.sleep(0.05)
    return True
