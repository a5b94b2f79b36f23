"""Asks like Slack and takes the time: signed requests over kept connections, by callers or at a constant rate.

Written on asyncio's bare protocols, so that asking costs less than answering and nothing needs to be installed.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import hmac
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

from bench.company import PEOPLE, SERVICES, SIGNING_SECRET, TEAM, person, service
from bot.manifest import EVENTS_PATH

CONNECTIONS = 64
SPIN_SECONDS = 0.0015
"""Before an intended time the loop is polled instead of slept through: timers are a millisecond late."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `trigger` is the id by which what it did is found in the database."""

    trigger: str
    raw: bytes


@dataclass(slots=True)
class Measured:
    """What came of one cell: seconds from the (intended) sending to the answer, and the triggers that were answered."""

    seconds: float
    latencies: list[float] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    refused: int = 0
    failed: list[bytes] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds if self.latencies else 0.0

    def percentile(self, share: float) -> float:
        """Milliseconds that this share of the answers took at most."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 if ordered else float("nan")


# ---- what is asked --------------------------------------------------------------------------------------------------


class Asker:
    """Makes the requests of one kind for one server process; it remembers what is paused there."""

    def __init__(self, port: int, kind: str, *, respond_url: str, releases: Mapping[str, str]) -> None:
        """`releases`: the id of the release that waits, by service."""
        self._port = port
        self._respond_url = respond_url
        self._releases = releases
        self._make: Callable[[int], tuple[str, dict[str, str]]] = {
            "pause": self._pause,
            "why": self._why,
            "click": self._click,
        }[kind]
        self._paused: set[int] = set()
        self._numbers = itertools.count()
        self._blocks = _card_blocks()

    def caller(self, first: int, of: int) -> Iterator[Request]:
        """What one of several callers asks, for ever; no two of them ask about one service."""
        mine = range(first, SERVICES, of) if first < SERVICES else range(first % SERVICES, SERVICES, SERVICES)
        return (self._request(about) for about in itertools.cycle(mine))

    def _request(self, about: int) -> Request:
        trigger, form = self._make(about)
        body = urlencode(form).encode()
        at = str(int(time.time()))
        signed = hmac.new(SIGNING_SECRET.encode(), f"v0:{at}:".encode() + body, hashlib.sha256).hexdigest()
        head = (
            f"POST {EVENTS_PATH} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\nUser-Agent: Slackbot 1.0\r\nAccept: */*\r\n"
            f"X-Slack-Request-Timestamp: {at}\r\nX-Slack-Signature: v0={signed}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return Request(trigger, head.encode() + body)

    def _pause(self, about: int) -> tuple[str, dict[str, str]]:
        if about in self._paused:
            self._paused.discard(about)
            return self._command(about, f"resume {service(about)}")
        self._paused.add(about)
        return self._command(about, f"pause {service(about)} prices look wrong")

    def _why(self, about: int) -> tuple[str, dict[str, str]]:
        return self._command(about, f"why {service(about)}")

    def _command(self, about: int, text: str) -> tuple[str, dict[str, str]]:
        trigger = self._trigger()
        form = {
            "token": "unused",
            "team_id": TEAM,
            "team_domain": "bench",
            "channel_id": f"C0BENCH{about}",
            "channel_name": service(about),
            "user_id": person(about % PEOPLE),
            "user_name": f"person.{about % PEOPLE}",
            "command": "/release",
            "text": text,
            "api_app_id": "A0BENCH",
            "is_enterprise_install": "false",
            "response_url": self._respond_url,
            "trigger_id": trigger,
        }
        return trigger, form

    def _click(self, about: int) -> tuple[str, dict[str, str]]:
        """A press of “promote” on a release that waits for approval: it is asked for again, and that is recorded."""
        trigger, user = self._trigger(), person(about % PEOPLE)
        channel, ts = f"C0BENCH{about}", "1700000000.000100"
        payload: dict[str, object] = {
            "type": "block_actions",
            "user": {"id": user, "username": "person", "name": "person", "team_id": TEAM},
            "api_app_id": "A0BENCH",
            "token": "unused",
            "container": {"type": "message", "message_ts": ts, "channel_id": channel, "is_ephemeral": False},
            "trigger_id": trigger,
            "team": {"id": TEAM, "domain": "bench"},
            "enterprise": None,
            "is_enterprise_install": False,
            "channel": {"id": channel, "name": service(about)},
            "message": {
                "type": "message",
                "user": "U0ANDON",
                "bot_id": "B0ANDON",
                "ts": ts,
                "team": TEAM,
                "text": f"{service(about)} 1.2.0 waits for approval.",
                "blocks": self._blocks,
            },
            "state": {"values": {}},
            "response_url": self._respond_url,
            "actions": [
                {
                    "type": "button",
                    "action_id": "andon:promote:1",
                    "block_id": "b40",
                    "action_ts": ts,
                    "text": {"type": "plain_text", "text": "Promote", "emoji": True},
                    "value": json.dumps({"p": service(about), "r": self._releases[service(about)]}),
                }
            ],
        }
        return trigger, {"payload": json.dumps(payload, separators=(",", ":"))}

    def _trigger(self) -> str:
        return f"{time.time_ns()}.{next(self._numbers)}.bench"


def _card_blocks() -> list[dict[str, object]]:
    """The blocks of a card as Slack sends them back with a click: about six kilobytes."""
    blocks: list[dict[str, object]] = []
    for number in range(20):
        said = (
            f"*Stage {number}* is baking: 12 minutes left, 340 of 1000 data points, all alarms are quiet :white_circle:"
        )
        text = {"type": "mrkdwn", "text": said, "verbatim": False}
        blocks.append({"type": "section", "block_id": f"b{number}", "text": text})
        blocks.append({"type": "divider", "block_id": f"d{number}"})
    buttons = [
        {
            "type": "button",
            "action_id": f"andon:{verb}:{n}",
            "text": {"type": "plain_text", "text": verb, "emoji": True},
        }
        for n, verb in enumerate(("approve", "reject", "pause"))
    ]
    blocks.append({"type": "actions", "block_id": "b40", "elements": buttons})
    return blocks


# ---- asking ---------------------------------------------------------------------------------------------------------


class Connection(asyncio.Protocol):
    """One kept connection; one request at a time."""

    def __init__(self) -> None:
        self._received = b""
        self._whole = -1
        self._answer: asyncio.Future[bytes] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self, raw: bytes) -> asyncio.Future[bytes]:
        """Send a request; the answer, headers and all."""
        assert self._transport is not None
        self._received, self._whole = b"", -1
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(raw)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._whole < 0 and (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].lower()
            at = head.index(b"content-length:")
            self._whole = end + 4 + int(head[at + 15 :].split(b"\r\n", 1)[0])
        if self._answer is not None and 0 <= self._whole <= len(self._received):
            self._answer.set_result(self._received)
            self._answer = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("the server closed the connection"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def connected(port: int, count: int = CONNECTIONS) -> list[Connection]:
    """So many connections to a server on this machine."""
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(Connection, "127.0.0.1", port))[1] for _ in range(count)]


async def by_callers(asker: Asker, connections: Sequence[Connection], callers: int, seconds: float) -> Measured:
    """So many callers, each asking again as soon as it is answered (a closed loop)."""
    measured = Measured(seconds)
    begun = time.perf_counter()
    until = begun + seconds

    async def call(connection: Connection, requests: Iterator[Request]) -> None:
        while True:
            await _ask(connection, next(requests), time.perf_counter, measured)
            if time.perf_counter() >= until:
                return

    with _no_garbage_collection():
        await asyncio.gather(*(call(connections[n], asker.caller(n, callers)) for n in range(callers)))
    measured.seconds = time.perf_counter() - begun
    return measured


async def by_count(asker: Asker, connections: Sequence[Connection], count: int) -> Measured:
    """So many requests, one after the other."""
    measured, requests = Measured(0.0), asker.caller(0, 1)
    for _ in range(count):
        await _ask(connections[0], next(requests), time.perf_counter, measured)
    return measured


async def at_rate(asker: Asker, connections: Sequence[Connection], rate: float, seconds: float) -> Measured:
    """So many requests a second whatever the server does; times count from when each should have been sent."""
    measured = Measured(seconds)
    free = list(connections)
    requests = asker.caller(0, 1)
    running: set[asyncio.Task[None]] = set()
    waiting = asyncio.Condition()

    async def one(request: Request, intended: float) -> None:
        async with waiting:
            await waiting.wait_for(lambda: free)
            connection = free.pop()
        await _ask(connection, request, lambda: intended, measured)
        async with waiting:
            free.append(connection)
            waiting.notify()

    with _no_garbage_collection():
        begun = time.perf_counter() + 0.01
        for number in range(int(rate * seconds)):
            request, intended = next(requests), begun + number / rate
            await asyncio.sleep(max(0.0, intended - time.perf_counter() - SPIN_SECONDS))
            while time.perf_counter() < intended:  # noqa: ASYNC110 - see SPIN_SECONDS
                await asyncio.sleep(0)
            task = asyncio.create_task(one(request, intended))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.gather(*running)
        measured.seconds = time.perf_counter() - begun
    return measured


async def _ask(connection: Connection, request: Request, since: Callable[[], float], measured: Measured) -> None:
    begun = since()
    answer = await connection.ask(request.raw)
    measured.latencies.append(time.perf_counter() - begun)
    if not answer.startswith(b"HTTP/1.1 200"):
        measured.failed.append(answer[:200])
        return
    measured.acknowledged.append(request.trigger)
    if b'"ephemeral"' in answer:
        measured.refused += 1


class _no_garbage_collection:  # noqa: N801 - reads as what it does
    """The one who takes the time must not pause."""

    def __enter__(self) -> None:
        gc.collect()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        gc.enable()
