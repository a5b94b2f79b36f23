"""What scenario tests start from: a workspace running in this process, its people and channels."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

from simulator import limits
from simulator.config import setup_from
from simulator.person import PATIENCE, Answered, Modal, Person
from simulator.records import Channel, Json
from simulator.seen import AppSilent, NotSeen, Seen
from simulator.server import Server
from simulator.workspace import Change, Clock

__all__ = ["Answered", "AppSilent", "Modal", "NotSeen", "Person", "Place", "Seen", "Simulator"]


class Place:
    """A channel, for tests to look at."""

    def __init__(self, simulator: Simulator, channel: Channel) -> None:
        self._workspace = simulator.workspace
        self.channel = channel

    @property
    def id(self) -> str:
        """The channel id."""
        return self.channel.id

    @property
    def messages(self) -> list[Seen]:
        """Top messages and broadcast replies, without anybody's ephemerals."""
        return [Seen(self._workspace, message) for message in self._workspace.history(self.channel)]


class Simulator:
    """A workspace running on loopback in this process."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.workspace = server.workspace
        self.faults = server.faults
        self.notices: dict[str, list[str]] = {}
        self._unsubscribe = self.workspace.subscribe(self._hear)

    @classmethod
    async def start(
        cls,
        *,
        port: int = 0,
        config: Json | None = None,
        clock: Clock = time.time,
        wall_clock: Callable[[], float] = time.time,
        ack_seconds: float = limits.ACK_SECONDS,
        retry_delays: Sequence[float] = (0, 60, 300),
    ) -> Self:
        """Start a workspace described by `config` (see README.md) and serve it on `port` (0: any free one)."""
        workspace = setup_from(config or {}, clock)
        server = Server(workspace, wall_clock=wall_clock, ack_seconds=ack_seconds, retry_delays=retry_delays)
        await server.start(port=port)
        return cls(server)

    @classmethod
    @asynccontextmanager
    async def running(cls, **how: Any) -> AsyncIterator[Self]:
        """Start, and stop at the end of the `async with`."""
        simulator = await cls.start(**how)
        try:
            yield simulator
        finally:
            await simulator.stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Stop; nothing is left running."""
        self._unsubscribe()
        await self.server.stop()

    @property
    def url(self) -> str:
        """The address of the workspace, `http://127.0.0.1:…/`."""
        return self.workspace.url

    @property
    def api_url(self) -> str:
        """What `AsyncWebClient(base_url=…)` takes."""
        return f"{self.url}api/"

    def person(self, name: str) -> Person:
        """Return somebody by name or id."""
        return Person(self.server, self.workspace.user(name), self.notices)

    def channel(self, name: str) -> Place:
        """Return a channel by #name or id."""
        return Place(self, self.workspace.channel(name))

    def thread(self, card: Seen) -> list[Seen]:
        """Return a thread's messages, the top one first."""
        channel = self.workspace.channels[card.channel]
        found = self.workspace.thread(channel, card.message.thread_ts or card.ts)
        return [Seen(self.workspace, message) for message in found]

    async def until_connected(self, within: float = PATIENCE) -> None:
        """Wait until the app has a Socket Mode connection."""
        try:
            async with asyncio.timeout(within):
                await self.server.socket.opened.wait()
        except TimeoutError:
            raise NotSeen(f"The app did not connect within {within:g} s.") from None

    def uninstall(self) -> None:
        """Somebody removes the app from the workspace: its tokens end, and it is told."""
        self.server.installing.end()
        self.server.events.uninstalled()

    async def settle(self) -> None:
        """Wait until the app has acknowledged every event so far."""
        await self.server.delivery.settle()

    async def until(self, true: Callable[[], Any], within: float = PATIENCE) -> Any:
        """Wait until `true()` holds, looking again at each change of the workspace, and return its value."""
        moved = asyncio.Event()
        unsubscribe = self.workspace.subscribe(lambda _: moved.set())
        try:
            async with asyncio.timeout(within):
                while not (value := true()):
                    await moved.wait()
                    moved.clear()
                return value
        except TimeoutError:
            raise NotSeen(f"It did not come within {within:g} s. There is:\n{self.transcript()}") from None
        finally:
            unsubscribe()

    def transcript(self) -> str:
        """Return all that was said, for failing tests to print."""
        lines = []
        for channel in self.workspace.channels.values():
            lines.append(f"#{channel.name or channel.id}")
            for message in channel.messages.values():
                seen, indent = Seen(self.workspace, message), "    " if message.is_reply else "  "
                lines.append(f"{indent}{seen.author}: {seen.plain}".replace("\n", f"\n{indent}  "))
        return "\n".join(lines)

    def _hear(self, change: Change) -> None:
        if change.kind == "notice" and change.user is not None:
            self.notices.setdefault(change.user, []).append(str(change.detail["text"]))
