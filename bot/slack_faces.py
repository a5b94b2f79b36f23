"""The two ways in from Slack: signed HTTP mounted on the process's web application, and Socket Mode.

Both hand a decoded payload to `Dispatch` and send its answer back. HTTP checks the signature itself and decodes the
form once, because Bolt's own decoding is two thirds of the cost of a click.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from aiohttp import WSMessage, web
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.adapter.socket_mode.async_internals import send_async_response
from slack_bolt.async_app import AsyncApp
from slack_bolt.response import BoltResponse
from slack_sdk.errors import SlackClientError
from slack_sdk.signature import Clock, SignatureVerifier
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.web.async_client import AsyncWebClient
from yarl import URL

from bot.manifest import EVENTS_PATH

log = logging.getLogger("andon.slack.face")
socket_log = logging.getLogger("andon.slack.socket")
# Below INFO the library writes every payload, words of people and all, into the log.
socket_log.setLevel(logging.INFO)

BODY_MOST: Final = 512 * 1024
FORM: Final = "application/x-www-form-urlencoded"

Headers = Mapping[str, str]


class Dispatch(Protocol):
    """What both faces need of the Slack face."""

    app: AsyncApp

    async def dispatch(self, body: dict[str, Any], headers: Headers) -> BoltResponse:
        """Answer one decoded payload."""


# ---- HTTP -----------------------------------------------------------------------------------------------------------


class HttpFace:
    """Takes Slack's requests over HTTP; `epoch` is the wall clock, for the five minutes a signature lasts."""

    def __init__(
        self,
        dispatch: Dispatch,
        signing_secret: str,
        *,
        epoch: Callable[[], float] = time.time,
        body_most: int = BODY_MOST,
    ) -> None:
        if not signing_secret.strip():
            raise ValueError("HTTP needs the signing secret: it stands under the app's Basic Information.")
        self._dispatch = dispatch
        self._body_most = body_most
        self._verifier = SignatureVerifier(signing_secret, clock=_Epoch(epoch))

    def mount(self, application: web.Application, path: str = EVENTS_PATH) -> None:
        """Add the route; Slack sends events, commands, clicks and options all to this one."""
        application.router.add_post(path, self.take)

    async def take(self, request: web.Request) -> web.StreamResponse:
        """Check, decode, dispatch, answer."""
        if (request.content_length or 0) > self._body_most:
            return web.Response(status=413, text="too large")
        raw = await request.read()
        if len(raw) > self._body_most:
            return web.Response(status=413, text="too large")
        if not self._is_authentic(raw, request.headers):
            log.warning("A request whose signature is missing, wrong or old was turned away.")
            return web.Response(status=401, text="signature")
        body = decoded(raw, request.content_type)
        if body is None:
            return web.Response(status=400, text="not understood")
        if body.get("type") == "url_verification":
            return web.json_response({"challenge": body.get("challenge", "")})
        if body.get("ssl_check") == "1":
            return web.Response()
        answer = await self._dispatch.dispatch(body, request.headers)
        # Bolt's own way (`to_aiohttp_response`) looks for cookies, and has aiohttp look for a way to send text.
        kind = "application/json" if answer.body.startswith("{") else "text/plain"
        return web.Response(status=answer.status, text=answer.body, content_type=kind)

    def _is_authentic(self, raw: bytes, headers: Headers) -> bool:
        timestamp = headers.get("X-Slack-Request-Timestamp", "")
        signature = headers.get("X-Slack-Signature", "")
        if not timestamp.isascii() or not timestamp.isdigit() or not signature.isascii():
            return False
        try:
            return self._verifier.is_valid(raw, timestamp, signature)
        except UnicodeDecodeError:
            return False


class _Epoch(Clock):
    def __init__(self, epoch: Callable[[], float]) -> None:
        self._epoch = epoch

    def now(self) -> float:
        return self._epoch()


def decoded(raw: bytes, content_type: str) -> dict[str, Any] | None:
    """Return the payload of a request body, form or JSON; None where it is neither."""
    try:
        text = raw.decode()
        if content_type != FORM:
            found = json.loads(text)
        else:
            # Forty times as fast as parse_qsl for a click of 9 kB, and the same result. `URL("?…")` would search the
            # text for other parts of a URL, which takes four times as long, and would keep it in a cache.
            form = URL.build(path="/", query_string=text, encoded=True).query
            found = json.loads(form["payload"]) if "payload" in form else dict(form)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


# ---- Socket Mode ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds, and how many payloads are answered at once."""

    until_lost: float = 120.0
    between_looks: float = 5.0
    between_pings: float = 10.0
    to_finish: float = 5.0
    at_once: int = 64


class SocketFace:
    """Holds a Socket Mode connection; make it inside the running loop.

    `lost` is called once when nothing came through for `until_lost` seconds: the process should then end and be
    started anew, which is surer than mending a connection in place.
    """

    def __init__(
        self,
        dispatch: Dispatch,
        app_token: str,
        client: AsyncWebClient,
        *,
        lost: Callable[[], None],
        proxy: str = "",
        patience: Patience = Patience(),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._handler = _Envelopes(dispatch, app_token, client, patience)
        self._handler.client.proxy = proxy or None
        self._handler.client.on_message_listeners.append(self._heard)
        self._lost = lost
        self._patience = patience
        self._monotonic = monotonic
        self._alive_at = monotonic()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to connect, and to watch; Slack being away does not hold up the start of the process."""
        for work in (self._connect(), self._watch()):
            task = asyncio.create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def is_connected(self) -> bool:
        """Whether payloads come through at present."""
        return await self._handler.client.is_connected()

    async def close(self) -> None:
        """Take nothing more in, let what was taken finish, then close."""
        self._handler.is_open = False
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._handler.finish(self._patience.to_finish)
        client = self._handler.client
        await client.close()  # type: ignore[no-untyped-call]
        library = (client.message_processor, client.current_session_monitor, client.message_receiver)
        await asyncio.gather(*(task for task in library if task is not None), return_exceptions=True)

    async def _connect(self) -> None:
        await self._handler.client.connect()  # type: ignore[no-untyped-call]

    async def _heard(self, _: WSMessage) -> None:
        self._alive_at = self._monotonic()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._patience.between_looks)
            if await self._handler.client.is_connected():
                self._alive_at = self._monotonic()
            elif self._monotonic() - self._alive_at >= self._patience.until_lost:
                log.error("Slack could not be reached over Socket Mode for %d seconds.", self._patience.until_lost)
                self._lost()
                return


class _Envelopes(AsyncSocketModeHandler):
    """Bolt's handler with a bound on what runs at once, and an end that waits for it."""

    def __init__(
        self,
        dispatch: Dispatch,
        app_token: str,
        client: AsyncWebClient,
        patience: Patience,
    ) -> None:
        super().__init__(
            dispatch.app, app_token, logger=socket_log, web_client=client, ping_interval=patience.between_pings
        )
        self.is_open = True
        self._dispatch = dispatch
        self._turns = asyncio.Semaphore(patience.at_once)
        self._running: set[asyncio.Task[Any]] = set()

    async def handle(self, client: AsyncBaseSocketModeClient, req: SocketModeRequest) -> None:
        """Answer one envelope; after `close` has begun it is left to another connection, or to Slack's retry."""
        task = asyncio.current_task()
        if not self.is_open or task is None:
            return
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        async with self._turns:
            started = time.time()
            headers = {}
            if req.retry_attempt:
                headers = {"x-slack-retry-num": str(req.retry_attempt), "x-slack-retry-reason": req.retry_reason or ""}
            answer = await self._dispatch.dispatch(dict(req.payload), headers)
            try:
                await send_async_response(client, req, answer, started)
            except (OSError, SlackClientError) as error:
                # What was asked is done and recorded; Slack sends it again, and it is known then.
                log.warning("An answer could not be sent over Socket Mode (%s).", type(error).__name__)

    async def finish(self, within: float) -> None:
        """Wait for what runs, but not for ever: an answer cannot be sent over a connection that will not come back."""
        until = time.monotonic() + within
        while self._running and (left := until - time.monotonic()) > 0:
            await asyncio.wait(set(self._running), timeout=left)
        for task in self._running:
            task.cancel()
