"""What a story is told with: the service and its people, their workspace, and what stands outside of Andon."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from aiohttp import web

from bot.clock import FakeClock
from bot.definitions import Definitions
from bot.manifest import manifest
from bot.slack_client import Pace
from bot.slack_post import Pacing
from core.ports import DeploymentRequest
from core.releases.organisation import read_organisation
from core.releases.pipeline import Pipeline
from core.releases.soundness import read_pipeline
from integrations.scripted import Act, Script

PEOPLE = {"ann": "UANN", "bob": "UBOB", "carol": "UCAROL", "dave": "UDAVE"}


# ---- what is released, and by whom ----------------------------------------------------------------------------------


def people(**more: Any) -> dict[str, Any]:
    """org.yaml as a mapping: Ann, Bob and Carol approve; Ann and Carol own; Bob and Dave are on call."""
    named = {
        name: {"name": name.capitalize(), "slack": user, "emails": [f"{name}@example.com"]}
        for name, user in PEOPLE.items()
    }
    return {
        "people": {**named, "ci": {"name": "CI", "bot": True}},
        "groups": {"approvers": ["ann", "bob", "carol"], "on-call": ["bob", "dave"]},
        "teams": {
            "shop": {"members": ["ann", "bob", "carol", "dave"], "owners": ["ann", "carol"], "on_call": "on-call"}
        },
        **more,
    }


def shop(smoke: str = "", patience: str = "5s", **more: Any) -> dict[str, Any]:
    """pipelines/shop.yaml as a mapping: beta, then one-box and wave-1 of production; beta's test asks `smoke`."""
    beta: dict[str, Any] = {"name": "beta", "targets": ["beta-1"], "bake": "0s"}
    if smoke:
        beta["tests"] = [{"name": "smoke", "use": "http", "with": {"url": smoke, "within": patience}, "timeout": "10s"}]
    return {
        "service": "shop",
        "team": "shop",
        "channel": "#shop",
        "deployer": {"use": "scripted"},
        "runbook": "https://wiki.example.com/shop",
        "watch": "30m",
        "stages": [
            beta,
            {"name": "one-box", "group": "production", "targets": ["box-1"], "bake": {"for": "10m"}},
            {
                "name": "wave-1", "group": "production", "targets": ["web-1", "web-2", "web-3"],
                "bake": {"for": "20m"}, "batch": 50,
            },
        ],
        "groups": {"production": {"approval": {"count": 1, "by": ["approvers"]}}},
        "alarms": [
            {
                "name": "errors", "source": "webhook", "scope": "production", "silence_is": "ok",
                "match": {"alarm": "errors"},
            },
            {
                "name": "latency", "source": "alertmanager", "scope": "wave-1", "silence_is": "ok",
                "match": {"alertname": "ShopSlow"},
            },
        ],
        **more,
    }  # fmt: skip


def pipeline(file: Mapping[str, Any]) -> Pipeline:
    """A definition that must be sound."""
    reading = read_pipeline(file)
    assert reading.pipeline is not None, reading.problems
    return reading.pipeline


def definitions(*files: Mapping[str, Any], organisation: Mapping[str, Any] | None = None) -> Definitions:
    """What a configuration directory with these files would hold."""
    found = [pipeline(file) for file in files]
    reading = read_organisation(organisation or people())
    assert reading.organisation is not None, reading.problems
    return Definitions(organisation=reading.organisation, pipelines={p.id: p for p in found})


def workspace(*, without: Sequence[str] = (), channels: Sequence[str] = ("shop",)) -> dict[str, Any]:
    """A workspace where the app is installed as its manifest says, but for some scopes."""
    plan = manifest()
    granted = plan["oauth_config"]["scopes"]
    plan["oauth_config"]["scopes"] = {key: [s for s in some if s not in without] for key, some in granted.items()}
    names = list(PEOPLE)
    return {
        "users": [{"id": user, "name": name, "email": f"{name}@example.com"} for name, user in PEOPLE.items()]
        + [{"id": "UZOE", "name": "zoe"}],
        "channels": [
            {"id": f"C{name.upper()}", "name": name, "members": [*names, "zoe", "andon"]} for name in channels
        ],
        "manifest": plan,
    }


# ---- what stands outside --------------------------------------------------------------------------------------------


class Played(Script):
    """A script that remembers which deployments were really begun, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[DeploymentRequest] = []

    def __call__(self, request: DeploymentRequest) -> Act:
        self.requests.append(request)
        return super().__call__(request)


@dataclass
class Receiver:
    """A web server of others: takes pages, and answers beta's smoke test. `answers` are statuses to give first."""

    pages: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)
    smoked: int = 0
    smoke_status: int = 200
    answers: list[int] = field(default_factory=list)
    url: str = ""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Receiver]:
        application = web.Application()
        application.add_routes([web.post("/pager", self._page), web.get("/smoke", self._smoke)])
        runner = web.AppRunner(application, access_log=None, handle_signals=False)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            await runner.cleanup()

    async def _page(self, request: web.Request) -> web.Response:
        if self.answers:
            return web.Response(status=self.answers.pop(0))
        self.pages.append((dict(request.headers), await request.read()))
        return web.Response()

    async def _smoke(self, _request: web.Request) -> web.Response:
        self.smoked += 1
        return web.Response(status=self.smoke_status)


def unhurried(clock: FakeClock | None = None) -> Pacing:
    """Slack's pace without the waiting; the pauses that Slack asks for pass on this clock, if there is one."""

    async def sleep(seconds: float) -> None:
        assert clock is not None
        clock.advance(timedelta(seconds=seconds))

    def pace() -> Pace:
        if clock is None:
            return Pace(every=0.0, burst=1_000)
        return Pace(every=0.0, burst=1_000, monotonic=lambda: clock.now().timestamp(), sleep=sleep)

    return Pacing(posts=pace(), edits=pace(), debounce=0.0)


def digest(version: str) -> str:
    """A digest that tells its version, as far as a digest may."""
    return "sha256:" + "".join(c if c.isalnum() or c in "._-" else "-" for c in version)[:60]
