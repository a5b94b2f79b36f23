"""What Andon is measured beside, each a process of its own: `python -m bench.servers NAME`, which prints its port.

bare          aiohttp and the check of the signature, nothing else
bolt          a Bolt handler as its manual has it, in its default mode
ceiling       the same with `process_before_response=True`: as fast as Bolt can answer
ceiling-100   that with a hundred listeners before the one that is asked
andon         what `andon run` runs, but for the deployer
andon-100     the same with a hundred more commands and actions on its switchboard
sink          a Slack that takes everything at once
floor         an alarm in, understood and answered, and a roll-back called for at ANDON_BENCH_CALL: nothing is stored
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import itertools
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import aiohttp
from aiohttp import web
from pydantic import BaseModel
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient

from bench import company
from bench.company import BOT_TOKEN, SERVICES, SIGNING_SECRET, TEAM, service
from bench.deployers import CALLS_AT_ONCE
from bot.manifest import EVENTS_PATH

SAID = (
    "service-12 is paused. Nothing new is entered; what is in flight finishes, bakes run on, alarms and rollbacks"
    " stay live."
)
MORE = 50
"""So many commands and so many actions make the hundred."""


def bare() -> web.Application:
    """The least that answers Slack at all."""
    verifier = SignatureVerifier(SIGNING_SECRET)
    answer = {"response_type": "in_channel", "text": SAID}

    async def take(request: web.Request) -> web.Response:
        raw = await request.read()
        if not verifier.is_valid_request(raw, dict(request.headers)):
            return web.Response(status=401)
        return web.json_response(answer)

    application = web.Application()
    application.router.add_post(EVENTS_PATH, take)
    return application


def bolt(*, in_response: bool, more: int = 0) -> web.Application:
    """A command and an action that answer at once."""
    client = AsyncWebClient(token=BOT_TOKEN, base_url=os.environ["SLACK_API_URL"])
    app = AsyncApp(client=client, signing_secret=SIGNING_SECRET, process_before_response=in_response)

    async def nothing(ack: AsyncAck) -> None:
        await ack()

    for number in range(more):
        app.command(f"/other-{number}")(nothing)
        app.action(re.compile(f"^other:{number}$"))(nothing)

    async def said(ack: AsyncAck) -> None:
        await ack(SAID, response_type="in_channel")

    app.command("/release")(said)
    app.action(re.compile("^andon:"))(nothing)
    return app.web_app(EVENTS_PATH)


@contextlib.asynccontextmanager
async def andon(more: int = 0) -> AsyncIterator[int]:
    """The process that `andon run` runs, wired by `build`; with so many more commands and actions."""
    from bot.adapter_settings import deployer_problems, test_problems
    from bot.app import running
    from bot.definitions import load_directory
    from bot.lean import begin_logging, rest_collector, take_short_turns
    from bot.settings import Settings
    from bot.slack_dispatch import nothing

    begin_logging("INFO")
    take_short_turns()
    settings = Settings.from_environment(os.environ)
    definitions = load_directory(settings.config, deployer_problems, test_problems)
    async with running(settings, definitions, company.parts(company.outside())) as app:
        assert app.slack is not None
        for number in range(more):
            app.slack.switchboard.commands.by_name[f"/other-{number}"] = nothing
            app.slack.switchboard.actions.by_name[f"other-{number}"] = nothing
        rest_collector()
        yield app.port


def sink() -> web.Application:
    """A Slack that takes everything at once and keeps nothing."""
    numbers = itertools.count(1)
    channels = [{"id": f"C0BENCH{n}", "name": service(n), "is_member": True} for n in range(SERVICES)]
    myself = {"team_id": TEAM, "team": "Bench", "user_id": "U0ANDON", "bot_id": "B0ANDON", "url": "http://localhost/"}

    async def call(request: web.Request) -> web.Response:
        await request.read()
        said: dict[str, object] = {"ok": True}
        match request.match_info["method"]:
            case "auth.test":
                said |= myself
            case "conversations.list":
                said["channels"] = channels
            case "commands":  # what `andon status` asks, so that its start can be timed
                said |= {"text": "All is quiet.", "refused": False}
            case _:
                said |= {"ts": f"1700000000.{next(numbers):06}", "channel": "C0BENCH0", "messages": []}
        return web.json_response(said)

    application = web.Application()
    application.router.add_post("/api/{method}", call)
    application.router.add_get("/api/{method}", call)
    return application


class _Alert(BaseModel):
    status: str
    fingerprint: str
    labels: dict[str, str]


class _Message(BaseModel):
    alerts: list[_Alert]


def floor(url: str) -> web.Application:
    """The least that hears an alarm and calls for a roll-back: a token, a model, a queue, a call out."""
    wanted = hashlib.sha256(company.ALARM_TOKEN.encode()).hexdigest()
    waiting: asyncio.Queue[str] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(hashlib.sha256(given.encode()).hexdigest(), wanted):
            return web.Response(status=401)
        for alert in _Message.model_validate_json(await request.read()).alerts:
            waiting.put_nowait(alert.labels["service"])
        return web.json_response({"understood": True})

    async def call(session: aiohttp.ClientSession, name: str) -> None:
        body = {"target": f"{name}-live", "version": "1.0.0", "is_rollback": True}
        async with session.post(url, json=body) as response:
            await response.read()

    async def working(_: web.Application) -> AsyncIterator[None]:
        calls: set[asyncio.Task[None]] = set()

        async def dispatch(session: aiohttp.ClientSession) -> None:
            while True:
                task = asyncio.create_task(call(session, await waiting.get()))
                calls.add(task)
                task.add_done_callback(calls.discard)

        connector = aiohttp.TCPConnector(limit=CALLS_AT_ONCE)
        async with aiohttp.ClientSession(connector=connector) as session:
            dispatching = asyncio.create_task(dispatch(session))
            yield
            dispatching.cancel()

    application = web.Application()
    application.router.add_post("/api/alarms/alertmanager", take)
    application.cleanup_ctx.append(working)
    return application


@contextlib.asynccontextmanager
async def served(application: web.Application) -> AsyncIterator[int]:
    """An application on a port of its own."""
    runner = web.AppRunner(application, access_log=None, handle_signals=False)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


SERVERS: dict[str, Callable[[], AbstractAsyncContextManager[int]]] = {
    "bare": lambda: served(bare()),
    "bolt": lambda: served(bolt(in_response=False)),
    "ceiling": lambda: served(bolt(in_response=True)),
    "ceiling-100": lambda: served(bolt(in_response=True, more=MORE)),
    "andon": andon,
    "andon-100": lambda: andon(MORE),
    "sink": lambda: served(sink()),
    "floor": lambda: served(floor(os.environ["ANDON_BENCH_CALL"])),
}


async def main(name: str) -> None:
    told_to_end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told_to_end.set)
    async with SERVERS[name]() as port:
        print(f"at http://127.0.0.1:{port}", flush=True)
        await told_to_end.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
