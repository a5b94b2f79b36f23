"""Socket Mode's server side: tickets, hello, envelopes in turn over up to ten connections, acks, disconnects."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import WSMsgType, web

from simulator import limits
from simulator.records import Json


class NotConnected(Exception):
    """No Socket Mode connection of the app is open."""


class ConnectionLost(Exception):
    """The connection closed before it acknowledged the envelope."""


class SocketMode:
    """The open connections of the app; `changed` is called when one opens or closes."""

    def __init__(self, app_id: str, changed: Callable[[], None]) -> None:
        self._app_id = app_id
        self._changed = changed
        self._tickets: set[str] = set()
        self._connections: list[web.WebSocketResponse] = []
        self._transports: dict[web.WebSocketResponse, asyncio.Transport | None] = {}
        self._turn = 0
        self.opened = asyncio.Event()
        self._waiting: dict[str, tuple[web.WebSocketResponse, asyncio.Future[Json]]] = {}

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    def ticket(self) -> str:
        """Return a one-use ticket for a connection URL."""
        ticket = secrets.token_hex(16)
        self._tickets.add(ticket)
        return ticket

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serve one connection from hello to its end."""
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets:
            return web.Response(status=408, text="unknown or used ticket")
        self._tickets.discard(ticket)
        socket = web.WebSocketResponse(heartbeat=30)
        await socket.prepare(request)
        if self.connections >= limits.SOCKET_CONNECTIONS:
            await self._say_goodbye(socket, "too_many_websockets")
            return socket
        self._connections.append(socket)
        self._transports[socket] = request.transport
        lifetime = 360 if request.query.get("debug_reconnects") == "true" else 18_060
        await socket.send_json(self._hello(request.host, lifetime))
        self.opened.set()
        self._changed()
        try:
            async for frame in socket:
                if frame.type is WSMsgType.TEXT:
                    self._hear(frame.data)
        finally:
            self._forget(socket)
        return socket

    def _hello(self, host: str, lifetime: int) -> Json:
        started = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        debug = {"host": host, "started": started, "build_number": 1, "approximate_connection_time": lifetime}
        return {
            "type": "hello",
            "connection_info": {"app_id": self._app_id},
            "num_connections": self.connections,
            "debug_info": debug,
        }

    def _hear(self, data: str) -> None:
        try:
            frame: Any = json.loads(data)
        except ValueError:
            return
        envelope_id = frame.get("envelope_id") if isinstance(frame, dict) else None
        _, future = self._waiting.get(str(envelope_id), (None, None))
        if future is not None and not future.done():
            future.set_result(frame)

    def _forget(self, socket: web.WebSocketResponse) -> None:
        if socket in self._connections:
            self._connections.remove(socket)
        if not self._connections:
            self.opened.clear()
        self._transports.pop(socket, None)
        for owner, future in list(self._waiting.values()):
            if owner is socket and not future.done():
                future.set_exception(ConnectionLost())
        self._changed()

    async def send(self, kind: str, payload: Json, *, accepts: bool, retry: Json | None = None) -> Json:
        """Send one envelope over the next connection in turn and return the app's ack frame.

        Waits without limit: the caller sets one. Raises NotConnected or ConnectionLost.
        """
        if not self._connections:
            raise NotConnected
        socket = self._connections[self._turn % len(self._connections)]
        self._turn += 1
        envelope_id = secrets.token_hex(16)
        future: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._waiting[envelope_id] = (socket, future)
        envelope = {"envelope_id": envelope_id, "type": kind, "accepts_response_payload": accepts, "payload": payload}
        try:
            await socket.send_json({**envelope, **(retry or {})})
            return await future
        except ConnectionResetError as lost:
            raise ConnectionLost from lost
        finally:
            del self._waiting[envelope_id]

    async def disconnect(self, reason: str) -> None:
        """Ask the oldest connection to go (`warning`, `refresh_requested`, `link_disabled`) or `drop` them all."""
        if reason == "drop":
            for socket in list(self._connections):
                transport = self._transports.get(socket)
                if transport is not None:
                    transport.abort()
                self._forget(socket)
        elif self._connections:
            oldest = self._connections[0]
            if reason == "warning":
                await oldest.send_json(self._goodbye(reason))
            else:
                self._connections.remove(oldest)
                if not self._connections:
                    self.opened.clear()
                self._changed()
                await self._say_goodbye(oldest, reason)

    def _goodbye(self, reason: str) -> Json:
        return {"type": "disconnect", "reason": reason, "debug_info": {"host": "localhost"}}

    async def _say_goodbye(self, socket: web.WebSocketResponse, reason: str) -> None:
        try:
            await socket.send_json(self._goodbye(reason))
            async with asyncio.timeout(2):
                await socket.close()
        except (ConnectionResetError, TimeoutError):
            return

    async def close(self) -> None:
        """Close every connection."""
        for socket in list(self._connections):
            await self._say_goodbye(socket, "refresh_requested")
            self._forget(socket)
