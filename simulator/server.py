"""Wires one workspace to HTTP: the Web API, Socket Mode, response URLs, OAuth, the page; starts and stops it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from aiohttp import web

from simulator import limits
from simulator.acting import Acting
from simulator.delivery import Delivery
from simulator.doors import Authorize, ResponseUrls
from simulator.events import Events
from simulator.faults import Faults
from simulator.installing import Installing
from simulator.live import Live
from simulator.page_api import PageApi, loopback_only
from simulator.payloads import Payloads
from simulator.pressing import Pressing
from simulator.socket_mode import SocketMode
from simulator.tickets import Tickets
from simulator.web_api import WebApi
from simulator.workspace import Workspace


class Server:
    """One workspace, served.

    `wall_clock` counts the real seconds machines go by (signatures, trigger ids, rate limits), while the
    workspace's own clock dates messages.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        wall_clock: Callable[[], float] = time.time,
        ack_seconds: float = limits.ACK_SECONDS,
        retry_delays: Sequence[float] = (0, 60, 300),
    ) -> None:
        self.workspace = workspace
        self.tickets = Tickets(wall_clock)
        self.faults = Faults(wall_clock)
        self.socket = SocketMode(workspace.app.id, self._connections_changed)
        self.delivery = Delivery(
            workspace.app, self.socket, wall_clock, ack_seconds=ack_seconds, retry_delays=retry_delays
        )
        self.events = Events(workspace, self.delivery)
        payloads = Payloads(workspace, self.tickets)
        self.acting = Acting(workspace, self.delivery, self.events, payloads, self.faults)
        self.pressing = Pressing(self.acting)
        self.live = Live(workspace, self.delivery)
        self.installing = Installing(workspace.app, workspace.clock)
        self._runner: web.AppRunner | None = None
        self._unsubscribe = [workspace.subscribe(self.events.hear), workspace.subscribe(self.live.hear)]

    def _connections_changed(self) -> None:
        self.live.app_changed()

    def application(self) -> web.Application:
        """Return the aiohttp application with all routes."""
        web_api = WebApi(self.workspace, self.tickets, self.socket, self.faults, self.installing)
        authorize = Authorize(self.workspace, self.installing)
        app = web.Application(middlewares=[loopback_only], client_max_size=60_000_000)
        app.add_routes(PageApi(self.acting, self.pressing, self.live, self.socket).routes())
        app.add_routes(
            [
                web.post("/api/{method}", web_api.serve),
                web.get("/api/{method}", web_api.serve),
                web.post("/upload/v1/{file}", web_api.upload),
                web.get("/files-pri/{file}/{name}", web_api.download),
                web.get("/link/", self._link),
                web.get("/archives/{channel}/{message}", self._permalink),
                web.post("/hooks/{key}", ResponseUrls(self.workspace, self.tickets, self.faults).serve),
                web.get("/oauth/v2/authorize", authorize.page),
            ]
        )
        return app

    async def _permalink(self, request: web.Request) -> web.StreamResponse:
        """What chat.getPermalink gives, opened in a browser: the page at that message."""
        channel, message = request.match_info["channel"], request.match_info["message"]
        thread = request.query.get("thread_ts", "").replace(".", "")
        if not (channel.isalnum() and message.isalnum() and (not thread or thread.isdigit())):
            raise web.HTTPNotFound
        raise web.HTTPFound(f"/#/{channel}/{message}" + (f"/t{thread}" if thread else ""))

    async def _link(self, request: web.Request) -> web.StreamResponse:
        if self.faults.paused:
            return web.Response(status=503)
        return await self.socket.serve(request)

    async def start(self, host: str = "127.0.0.1", port: int = 0, url: str | None = None) -> str:
        """Listen, on a free port with `port=0`; returns the address (or `url`, where others reach it by another)."""
        self._runner = web.AppRunner(self.application(), access_log=None, shutdown_timeout=2, handle_signals=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        bound = self._runner.addresses[0][1]
        self.workspace.url = url or f"http://{host}:{bound}/"
        await self.delivery.start()
        return self.workspace.url

    async def stop(self) -> None:
        """Close everything: pages, sockets, retries, the listener."""
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._unsubscribe = []
        await self.delivery.stop()
        await self.live.close()
        await self.socket.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
