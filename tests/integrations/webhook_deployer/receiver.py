"""A strict receiver of the deployer `webhook`: believes nobody without a signature, and moves on with every look.

It computes signatures by itself, from the words of docs/deployers/webhook.md, and refuses what it does not expect.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from core.ports import Deployer, DeploymentRequest
from integrations.webhook_deployer.config import read
from integrations.webhook_deployer.deployer import WebhookDeployer

SECRET, TOKEN = "open-sesame", "knock-knock"
FIELDS = {
    "protocol", "kind", "key", "service", "pipeline", "stage", "target", "values", "version", "digest", "artifact",
    "batch_percent", "healthy_percent", "timeout_seconds",
}  # fmt: skip


@dataclass
class Job:
    """One deployment over there."""

    number: int
    order: dict[str, Any]
    polls: int = 0
    state: str = "queued"
    is_cancelling: bool = False


@dataclass
class WebhookReceiver:
    """What is over there: jobs by key, what each target runs, and what it is told to do wrong."""

    jobs: dict[str, Job] = field(default_factory=dict)
    running: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    answers: list[Callable[[], web.Response]] = field(default_factory=list)
    """Given instead of an answer, one each, before anything is done."""
    after: list[Callable[[], web.Response]] = field(default_factory=list)
    """Given instead of the answer to a start, one each, when it has begun."""
    hangs: str = ""
    """`before` or `after` the next start has begun, its answer does not come."""
    has_status_url: bool = True
    leads_to: str = ""
    said: dict[str, Any] = field(default_factory=dict)
    """Laid over what is said of jobs."""
    url: str = ""
    _free: asyncio.Event = field(default_factory=asyncio.Event)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[WebhookReceiver]:
        application = web.Application(middlewares=[self._believed])
        application.add_routes(
            [
                web.post("/deployments", self._start),
                web.get("/deployments", self._find),
                web.get("/deployments/{number}", self._status),
                web.post("/deployments/{number}/cancel", self._cancel),
                web.get("/running/{target}", self._running),
            ]
        )
        runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            self._free.set()
            await runner.cleanup()

    @web.middleware
    async def _believed(self, request: web.Request, handler: Any) -> web.StreamResponse:
        body = await request.read()
        self.asked.append(f"{request.method} {request.path_qs}")
        if self.answers:
            return self.answers.pop(0)()
        timestamp = request.headers["X-Andon-Timestamp"]
        signed = body if request.method == "POST" else f"GET {request.raw_path}".encode()
        wanted = hmac.new(SECRET.encode(), timestamp.encode() + b"." + signed, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(f"v1={wanted}", request.headers["X-Andon-Signature"]):
            return web.json_response({"detail": "This is not signed by whom I know."}, status=401)
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"detail": "No token."}, status=401)
        response: web.StreamResponse = await handler(request)
        return response

    async def _start(self, request: web.Request) -> web.Response:
        order = json.loads(await request.read())
        hangs, self.hangs = self.hangs, ""
        if hangs == "before":
            await self._free.wait()
            return web.Response(status=503)
        if set(order) - {"callback"} != FIELDS or order["protocol"] != 1:
            return web.json_response({"detail": f"odd fields: {sorted(set(order) ^ FIELDS)}"}, status=422)
        key = order["key"]
        if request.headers["Idempotency-Key"] != key:
            return web.json_response({"detail": "two keys"}, status=422)
        if order["digest"] == "sha256:refused":
            return web.json_response(
                {"detail": f"There is no image sha256:refused; who are you, {SECRET}?"}, status=422
            )
        if key not in self.jobs:
            self.jobs[key] = Job(len(self.jobs) + 1, order)
        if hangs == "after":
            await self._free.wait()
        if self.after:
            return self.after.pop(0)()
        return web.json_response(self._told(self.jobs[key]), status=202)

    async def _find(self, request: web.Request) -> web.Response:
        job = self.jobs.get(request.query["key"])
        return web.json_response({"detail": "never heard of it"}, status=404) if job is None else self._answer(job)

    async def _status(self, request: web.Request) -> web.Response:
        job = self._job(request)
        self.move(job)
        return self._answer(job)

    async def _cancel(self, request: web.Request) -> web.Response:
        job = self._job(request)
        if job.state in ("queued", "running"):
            job.is_cancelling = True
        return web.json_response({})

    async def _running(self, request: web.Request) -> web.Response:
        return web.json_response(self.running.get(request.match_info["target"], {"digest": None}))

    def move(self, job: Job) -> None:
        """One step on."""
        if job.state not in ("queued", "running"):
            return
        job.polls += 1
        digest = job.order["digest"]
        if job.is_cancelling:
            job.state = "cancelled"
        elif job.polls > 1 and digest != "sha256:endless":
            job.state = "failed" if digest == "sha256:failing" else "succeeded"
        else:
            job.state = "running"
        if job.state == "succeeded":
            self.running[job.order["target"]] = {"digest": digest, "version": job.order["version"]}

    def _job(self, request: web.Request) -> Job:
        return next(job for job in self.jobs.values() if str(job.number) == request.match_info["number"])

    def _told(self, job: Job) -> dict[str, Any]:
        here = f"{self.leads_to or self.url}/deployments/{job.number}"
        told: dict[str, Any] = {
            "protocol": 1,
            "key": job.order["key"],
            "state": job.state,
            "done": min(job.polls, 2),
            "all": 2,
            "cancel_url": f"{here}/cancel",
            "url": f"https://ci.example.com/{job.number}",
        }
        if self.has_status_url:
            told["status_url"] = here
        if job.state == "failed":
            told |= {"message": f"It does not start with {SECRET}.", "output": f"log in with {SECRET}\nno"}
        return {**told, **self.said}

    def _answer(self, job: Job) -> web.Response:
        return web.json_response(self._told(job))


@dataclass
class WebhookRig:
    """The receiver, and clients of it."""

    receiver: WebhookReceiver
    late: str = "after"
    more: dict[str, Any] = field(default_factory=dict)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    secrets = (SECRET, TOKEN)
    pause = 0.0

    def connect(self, **more: Any) -> Deployer:
        return self.client(**more)

    def client(self, **more: Any) -> WebhookDeployer:
        config, targets, problems = read(self.settings(**more), {"web-1": {"values": {"zone": "a b"}}})
        assert config is not None
        assert not problems, problems
        environment = {"DEPLOY_SECRET": SECRET, "DEPLOY_TOKEN": TOKEN}
        return WebhookDeployer(config, targets, environment=environment, clock=self.now)

    def settings(self, **more: Any) -> dict[str, Any]:
        return {
            "url": f"{self.receiver.url}/deployments",
            "running_url": f"{self.receiver.url}/running/{{target}}?zone={{values.zone}}",
            "secret_env": "DEPLOY_SECRET",
            "token_env": "DEPLOY_TOKEN",
            **self.more,
            **more,
        }

    def hasty(self) -> Deployer:
        self.receiver.hangs = self.late
        return self.client(timeout="50ms")

    def request(self, key: str, *, version: str = "1", is_rollback: bool = False) -> DeploymentRequest:
        return DeploymentRequest(
            key=key,
            service="shop",
            pipeline="shop",
            stage="beta",
            target="web-1",
            version=version,
            digest=f"sha256:{version}",
            artifact=f"registry.example.com/shop:{version}",
            is_rollback=is_rollback,
            batch_percent=33,
            healthy_percent=66,
            timeout=timedelta(minutes=1),
        )

    def failing(self, key: str) -> DeploymentRequest:
        return self.request(key, version="failing")

    def endless(self, key: str) -> DeploymentRequest:
        return self.request(key, version="endless")

    def refused(self, key: str) -> DeploymentRequest:
        return self.request(key, version="refused")
