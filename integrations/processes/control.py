"""The control API: HTTP and JSON on a private unix socket. 4xx means nothing was begun, 423 and 503 ask again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import PermanentError, TransientError
from integrations.processes.config import Layout
from integrations.processes.manifest import sentence
from integrations.processes.state import Deployment, Order
from integrations.processes.supervision import Supervisor

_LONGEST_WAIT = 60.0


class Prune(BaseModel):
    """Digests to keep."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keep: tuple[str, ...]


def control(supervisor: Supervisor, stop: asyncio.Event) -> web.Application:
    """The application; `stop` is set when a client asks the supervisor to end."""
    routes = _Routes(supervisor, stop)
    app = web.Application(middlewares=[_errors], client_max_size=1 << 22)
    app.add_routes(
        [
            web.get("/overview", routes.overview),
            web.get("/metrics.json", routes.metrics),
            web.post("/configure", routes.configure),
            web.post("/deployments", routes.start),
            web.get("/deployments", routes.find),
            web.get("/deployments/{number}", routes.status),
            web.post("/deployments/{number}/cancel", routes.cancel),
            web.get("/running", routes.running),
            web.post("/prune", routes.prune),
            web.post("/stop", routes.stop),
        ]
    )
    return app


class _Routes:
    def __init__(self, supervisor: Supervisor, stop: asyncio.Event) -> None:
        self._supervisor = supervisor
        self._stop = stop

    async def overview(self, _: web.Request) -> web.Response:
        return web.json_response(self._supervisor.overview())

    async def metrics(self, _: web.Request) -> web.Response:
        return web.json_response(self._supervisor.metrics())

    async def configure(self, request: web.Request) -> web.Response:
        await self._supervisor.configure(Layout.model_validate_json(await request.read()))
        return web.json_response(self._supervisor.overview())

    async def start(self, request: web.Request) -> web.Response:
        return _shown(await self._supervisor.start(Order.model_validate_json(await request.read())))

    async def find(self, request: web.Request) -> web.Response:
        found = self._supervisor.find(request.query.get("key", ""))
        if found is None:
            raise web.HTTPNotFound(text='{"error": "No deployment has this key."}', content_type="application/json")
        return _shown(found)

    async def status(self, request: web.Request) -> web.Response:
        """With `?wait=SECONDS`: when it is over, or after so long."""
        deployment = self._named(request)
        try:
            wait = min(float(request.query.get("wait", "0")), _LONGEST_WAIT)
        except ValueError as error:
            raise PermanentError("wait is a number of seconds.") from error
        await self._supervisor.host.changes.wait_until(lambda: deployment.outcome.is_final or self._stop.is_set(), wait)
        return _shown(deployment)

    async def cancel(self, request: web.Request) -> web.Response:
        deployment = self._named(request)
        await self._supervisor.cancel(deployment)
        return _shown(deployment)

    async def running(self, request: web.Request) -> web.Response:
        target = self._supervisor.target(request.query.get("target", ""))
        usual = target.usual
        return web.json_response(
            {
                "digest": None if usual is None else usual.digest,
                "version": None if usual is None else usual.version,
                "is_mixed": target.is_mixed,
            }
        )

    async def prune(self, request: web.Request) -> web.Response:
        keep = Prune.model_validate_json(await request.read()).keep
        return web.json_response({"removed": await self._supervisor.prune(keep)})

    async def stop(self, _: web.Request) -> web.Response:
        self._stop.set()
        self._supervisor.host.changes.notify()
        return web.json_response({}, status=202)

    def _named(self, request: web.Request) -> Deployment:
        found = self._supervisor.deployment(request.match_info["number"])
        if found is None:
            raise PermanentError("There is no deployment of this name here, or it was long ago and is forgotten.")
        return found


def _shown(deployment: Deployment) -> web.Response:
    return web.json_response(deployment.model_dump(mode="json"))


@web.middleware
async def _errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except ValidationError as error:
        return _refused(400, sentence(error))
    except PermanentError as error:
        return _refused(409, error.message)
    except TransientError as error:
        return _refused(423, error.message)


def _refused(status: int, message: str) -> web.Response:
    body: dict[str, Any] = {"error": message}
    return web.json_response(body, status=status)
