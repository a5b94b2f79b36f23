"""Brings payloads to the app, over Socket Mode or signed HTTP, within Slack's 3 s; retries events as Slack does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode, urljoin

import aiohttp
from slack_sdk.signature import SignatureVerifier

from simulator import limits
from simulator.records import App, Json
from simulator.socket_mode import ConnectionLost, NotConnected, SocketMode

Kind = Literal["slash_commands", "interactive", "events_api"]
NOT_RESPONDING = "This app did not respond"


@dataclass(frozen=True)
class Answer:
    """What came of a delivery: `body` is the app's answer, `reason` why there is none."""

    answered: bool
    body: Json | None = None
    reason: str | None = None
    retry_reason: str | None = None
    no_retry: bool = False

    def outcome(self) -> Json:
        """Return the page protocol's `outcome`."""
        if self.answered:
            return {"answered": True}
        text = f"{NOT_RESPONDING}: it is not connected" if self.reason == "not_connected" else NOT_RESPONDING
        return {"answered": False, "reason": self.reason, "text": text}


class Delivery:
    """Sends to the one app; `retry_delays` are the seconds before each retry of an event."""

    def __init__(
        self,
        app: App,
        socket: SocketMode,
        wall_clock: Callable[[], float],
        *,
        ack_seconds: float = limits.ACK_SECONDS,
        retry_delays: Sequence[float] = (0, 60, 300),
    ) -> None:
        self._app = app
        self._socket = socket
        self._wall_clock = wall_clock
        self._ack_seconds = ack_seconds
        self._retry_delays = tuple(retry_delays)
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._first_tries: set[asyncio.Future[None]] = set()
        self.is_down = False

    @property
    def connected(self) -> bool:
        """Whether payloads have somewhere to go."""
        return self._socket.connections > 0 if self._app.socket_mode else self._app.request_url is not None

    async def start(self) -> None:
        """Open the HTTP client for signed requests."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._ack_seconds), connector=aiohttp.TCPConnector(force_close=True)
        )

    async def stop(self) -> None:
        """Give up pending retries and close the client."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def settle(self) -> None:
        """Wait until every event sent so far was acknowledged or failed its first try."""
        while self._first_tries:
            await asyncio.wait(list(self._first_tries))

    def event(self, payload: Json) -> None:
        """Deliver an event in the background, with retries."""
        first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._first_tries.add(first)
        first.add_done_callback(self._first_tries.discard)
        task = asyncio.create_task(self._deliver_event(payload, first))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver_event(self, payload: Json, first: asyncio.Future[None]) -> None:
        try:
            answer = await self.send("events_api", payload)
        finally:
            if not first.done():
                first.set_result(None)
        for number, delay in enumerate(self._retry_delays, start=1):
            if answer.answered or answer.no_retry:
                return
            await asyncio.sleep(delay)
            answer = await self.send("events_api", payload, retry=(number, answer.retry_reason or "unknown_error"))

    async def send(
        self, kind: Kind, payload: Json, *, accepts: bool = False, retry: tuple[int, str] | None = None, url: str = ""
    ) -> Answer:
        """Deliver one payload and wait for the acknowledgement; never raises for what the app does.

        `url` replaces the app's request URL (a command's own, or the options URL).
        """
        if self.is_down:
            return Answer(False, reason="not_connected", retry_reason="connection_failed")
        if self._app.socket_mode:
            return await self._by_socket(kind, payload, accepts, retry)
        return await self._by_http(kind, payload, retry, url or self._app.request_url)

    async def _by_socket(self, kind: Kind, payload: Json, accepts: bool, retry: tuple[int, str] | None) -> Answer:
        extra: Json = {}
        if kind == "events_api":
            number, reason = retry or (0, "")
            extra = {"retry_attempt": number, "retry_reason": "timeout" if reason == "http_timeout" else reason}
        try:
            # Not `wait_for`: before Python 3.12 it can swallow the cancellation that stops us.
            async with asyncio.timeout(self._ack_seconds):
                frame = await self._socket.send(kind, payload, accepts=accepts, retry=extra)
        except TimeoutError:
            return Answer(False, reason="timeout", retry_reason="http_timeout")
        except NotConnected:
            return Answer(False, reason="not_connected", retry_reason="connection_failed")
        except ConnectionLost:
            return Answer(False, reason="connection_failed", retry_reason="connection_failed")
        body = frame.get("payload")
        if body is not None and (not accepts or not isinstance(body, dict)):
            body = None  # Slack ignores what it did not ask for
        return Answer(True, body)

    async def _by_http(self, kind: Kind, payload: Json, retry: tuple[int, str] | None, url: str | None) -> Answer:
        if url is None or self._session is None:
            return Answer(False, reason="not_connected", retry_reason="connection_failed")
        body, content_type = _encoded(kind, payload)
        headers = {"Content-Type": content_type, "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)"}
        if retry is not None:
            headers |= {"x-slack-retry-num": str(retry[0]), "x-slack-retry-reason": retry[1]}
        try:
            async with asyncio.timeout(self._ack_seconds):
                return await self._request(url, body, headers)
        except TimeoutError:
            return Answer(False, reason="timeout", retry_reason="http_timeout")
        except aiohttp.ClientError:
            return Answer(False, reason="connection_failed", retry_reason="connection_failed")

    async def _request(self, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        assert self._session is not None
        for _ in range(limits.REDIRECTS + 1):
            timestamp = str(int(self._wall_clock()))
            signature = SignatureVerifier(self._app.signing_secret).generate_signature(timestamp=timestamp, body=body)
            signed = {**headers, "x-slack-request-timestamp": timestamp, "x-slack-signature": signature or ""}
            async with self._session.post(url, data=body, headers=signed, allow_redirects=False) as response:
                if response.status in {301, 302, 303, 307, 308}:
                    url = urljoin(url, response.headers.get("Location", ""))
                    continue
                text = await response.text()
                no_retry = response.headers.get("x-slack-no-retry") == "1"
                if not 200 <= response.status < 300:
                    return Answer(False, reason="http_error", retry_reason="http_error", no_retry=no_retry)
                return _answer(text, response.content_type)
        return Answer(False, reason="http_error", retry_reason="too_many_redirects")

    async def verify_url(self) -> bool:
        """Send the `url_verification` challenge to the request URL and say whether it came back."""
        challenge = f"challenge-{int(self._wall_clock())}"
        payload = {"token": self._app.verification_token, "challenge": challenge, "type": "url_verification"}
        answer = await self._by_http("events_api", payload, None, self._app.request_url)
        said = answer.body or {}
        return challenge in {said.get("challenge"), said.get("text")}


def _encoded(kind: Kind, payload: Json) -> tuple[bytes, str]:
    form = "application/x-www-form-urlencoded"
    if kind == "slash_commands":
        return urlencode({key: str(value) for key, value in payload.items()}).encode(), form
    if kind == "interactive":
        return urlencode({"payload": json.dumps(payload)}).encode(), form
    return json.dumps(payload).encode(), "application/json"


def _answer(text: str, content_type: str) -> Answer:
    if not text.strip():
        return Answer(True)
    if content_type != "application/json":
        return Answer(True, {"text": text})
    try:
        body: Any = json.loads(text)
    except ValueError:
        return Answer(False, reason="bad_answer", retry_reason="http_error")
    return Answer(True, body if isinstance(body, dict) else None)
