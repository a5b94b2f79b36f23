"""A real Alertmanager, configured as docs/alarms.md says: what it sends is understood, from firing to resolved."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from core.ports import AlarmReport, AlarmState
from core.releases.alarms import alarm_state, applied
from core.releases.events import AlarmReported, HeartbeatHeard
from core.releases.pipeline import Alarm, Pipeline, Stage, Target
from core.releases.routes import routes_of
from core.releases.state import AlarmReading, PipelineState
from integrations.alertmanager import Alertmanager

PROGRAM = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
DOCS = Path(__file__).parents[2] / "docs" / "alarms.md"

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="needs Alertmanager: apt-get install prometheus-alertmanager")

ERRORS = Alarm(
    name="errors",
    source="alertmanager",
    match=(("alertname", "HighErrors"), ("service", "checkout")),
    heartbeat=(("alertname", "Watchdog"),),
)
CHECKOUT = Pipeline(
    id="checkout",
    service="checkout",
    team="shop",
    channel="#shop",
    revision="r1",
    stages=(Stage(name="beta", targets=(Target(name="beta-1"),)),),
    alarms=(ERRORS,),
)


class Receiver:
    """Andon's door: keeps the alerts of every delivery, and who brought it."""

    def __init__(self) -> None:
        self.reports: list[AlarmReport] = []
        self.came = asyncio.Event()
        self.brought_by: set[str] = set()
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        self.brought_by.add(request.headers.get("Authorization", ""))
        for report in Alertmanager().parse(request.headers, await request.read()):
            self.reports.append(report)
        self.came.set()
        return web.json_response({"understood": True})

    async def report(self, name: str, state: AlarmState) -> AlarmReport:
        """The first report of an alert in this state; alerts come in any order."""
        async with asyncio.timeout(30):
            while True:
                for report in self.reports:
                    if (report.title, report.state) == (name, state):
                        return report
                self.came.clear()
                await self.came.wait()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    place = Receiver()
    app = web.Application()
    app.router.add_post("/api/alarms/alertmanager", place.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    place.url = f"http://127.0.0.1:{runner.addresses[0][1]}/api/alarms/alertmanager"
    yield place
    await runner.cleanup()


def documented(receiver: Receiver, token: Path) -> str:
    """The configuration of the documentation, with this receiver, this token, and less patience."""
    block = re.search(r"```yaml\n(route:.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    text = block[1]
    for documented, here in (
        ("https://andon.example.com/api/alarms/alertmanager", receiver.url),
        ("/etc/alertmanager/andon-token", str(token)),
        ("group_interval: 5s", "group_interval: 1s"),
    ):
        assert documented in text
        text = text.replace(documented, here)
    return text


@pytest.fixture
async def alertmanager(receiver: Receiver, tmp_path: Path) -> AsyncIterator[str]:
    """The address of an Alertmanager that runs."""
    assert PROGRAM is not None
    token, config = tmp_path / "token", tmp_path / "alertmanager.yml"
    token.write_text("alarm-token", encoding="ascii")
    config.write_text(documented(receiver, token), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        f"--config.file={config}",
        f"--storage.path={tmp_path / 'data'}",
        "--web.listen-address=127.0.0.1:0",
        "--cluster.listen-address=",
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    said = bytearray()
    try:
        async with asyncio.timeout(30):
            while not (found := re.search(rb'"?Listening on"? address=(127\.0\.0\.1:\d+)', said)):
                heard = await process.stderr.readline()
                assert heard, said.decode()
                said += heard
        reading = asyncio.create_task(process.stderr.read())
        yield f"http://{found[1].decode()}"
        process.terminate()
        await reading
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def followed(reports: Sequence[AlarmReport]) -> PipelineState:
    """The pipeline after these reports."""
    reading: AlarmReading | None = None
    heartbeats: dict[str, datetime] = {}
    now = datetime.now(UTC)
    for report in reports:
        for to in routes_of(CHECKOUT).route(report, now):
            match to.event:
                case HeartbeatHeard(alarm=name, at=at):
                    heartbeats[name] = at
                case AlarmReported() as event:
                    reading, _ = applied(reading, event, now)
    return PipelineState(
        id="checkout",
        definition=CHECKOUT,
        alarms=() if reading is None else (reading,),
        heartbeats=tuple(heartbeats.items()),
    )


async def test_from_firing_to_resolved_as_documented(receiver, alertmanager):
    alert = {
        "labels": {"alertname": "HighErrors", "service": "checkout", "stage": "beta"},
        "annotations": {"summary": "8 % of checkouts fail", "runbook_url": "https://runbooks.example.test/errors"},
        "generatorURL": "http://prom.example.test/graph",
    }
    async with aiohttp.ClientSession() as session:

        async def post(*alerts: object) -> None:
            async with session.post(f"{alertmanager}/api/v2/alerts", json=alerts) as answer:
                assert answer.status == 200, await answer.text()

        await post(alert, {"labels": {"alertname": "Watchdog"}})
        heartbeat = await receiver.report("Watchdog", AlarmState.ALARM)
        firing = await receiver.report("HighErrors", AlarmState.ALARM)
        ended_at = datetime.now(UTC) - timedelta(milliseconds=1)
        await post({**alert, "endsAt": ended_at.isoformat()})
        resolved = await receiver.report("HighErrors", AlarmState.OK)

    assert receiver.brought_by == {"Bearer alarm-token"}
    assert (firing.text, firing.runbook) == ("8 % of checkouts fail", "https://runbooks.example.test/errors")
    assert firing.url == "http://prom.example.test/graph"
    assert firing.ended_at is None
    assert resolved.ended_at is not None
    assert (resolved.key, resolved.started_at) == (firing.key, firing.started_at), "one episode of one alert"

    now = datetime.now(UTC)
    assert alarm_state(followed([heartbeat]), ERRORS, now) is AlarmState.OK
    assert alarm_state(followed([heartbeat, firing]), ERRORS, now) is AlarmState.ALARM
    assert alarm_state(followed([heartbeat, firing, resolved]), ERRORS, now) is AlarmState.OK
    assert alarm_state(followed([heartbeat, resolved, firing]), ERRORS, now) is AlarmState.OK, "out of order"
