"""Customers who never stop asking: `python -m examples.shop.traffic --url … --rate 50 --json-lines`.

Told apart: a request is *failed* when it was lost on its way (no connection, a time-out, or an answer of the front
itself), and an *error* when a unit answered it with 5xx. The first must never happen, the second is what a broken
version does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import stat
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp

_ITEMS = ("tea", "mug", "lamp", "book", "cord", "bell")
_EVERY_NTH_BUYS = 5
_TIMEOUT = 15.0
_GATEWAY = (502, 503, 504)


@dataclass(slots=True)
class Counts:
    """What was asked and what came of it."""

    asked: int = 0
    answered: int = 0
    errors: int = 0
    """Answered with 5xx by a unit of the shop."""
    failed: int = 0
    """Lost: no connection, cut off, no answer in time, or answered with 5xx by the front itself."""
    by_version: Counter[str] = field(default_factory=Counter)
    by_target: Counter[str] = field(default_factory=Counter)
    errors_by_version: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    """Why, by kind."""
    slowest: float = 0.0
    """Seconds."""

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "asked": self.asked,
            "answered": self.answered,
            "errors": self.errors,
            "failed": self.failed,
            "by_version": dict(self.by_version),
            "by_target": dict(self.by_target),
            "errors_by_version": dict(self.errors_by_version),
            "failures": dict(self.failures),
            "slowest_ms": round(self.slowest * 1000, 1),
        }


class Traffic:
    """Asks `rate` times a second, whether or not answers come: `async with Traffic(url, 50) as traffic: …`.

    One in five requests buys something, the others look at the page. `keep_alive=False` makes a connection for each.
    On leaving, requests under way are waited for, so that `counts` holds every one.
    """

    def __init__(self, url: str, rate: float, *, keep_alive: bool = True) -> None:
        self.counts = Counts()
        self._url = url.rstrip("/")
        self._rate = rate
        self._keep_alive = keep_alive
        self._session: aiohttp.ClientSession | None = None
        self._asking: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Begin to ask."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=not self._keep_alive),
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT),
        )
        self._asking = asyncio.create_task(self._ask(self._session))

    async def stop(self) -> None:
        """Ask no more, and wait for the answers under way."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait((self._asking,))
        if self._under_way:
            await asyncio.wait(self._under_way)
        if self._session is not None:
            await self._session.close()

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            task = asyncio.create_task(self._one(session, self.counts.asked))
            self.counts.asked += 1
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            await asyncio.sleep(max(0.0, began + self.counts.asked / self._rate - loop.time()))

    async def _one(self, session: aiohttp.ClientSession, number: int) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        if number % _EVERY_NTH_BUYS == 0:
            question = session.post(f"{self._url}/buy", json={"item": _ITEMS[number % len(_ITEMS)]})
        else:
            question = session.get(f"{self._url}/")
        try:
            async with question as answer:
                await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._lost(type(error).__name__)
            return
        self.counts.slowest = max(self.counts.slowest, loop.time() - began)
        is_of_a_unit = "X-Andon-Error" not in answer.headers and (
            answer.status not in _GATEWAY or "X-Andon-Version" in answer.headers
        )
        if answer.status >= 500 and not is_of_a_unit:
            self._lost(f"{answer.status} of the front")
            return
        version = answer.headers.get("X-Andon-Version", "")
        self.counts.answered += 1
        self.counts.by_version[version] += 1
        self.counts.by_target[answer.headers.get("X-Andon-Target", "")] += 1
        if answer.status >= 500:
            self.counts.errors += 1
            self.counts.errors_by_version[version] += 1

    def _lost(self, why: str) -> None:
        self.counts.failed += 1
        self.counts.failures[why] += 1


async def _run(url: str, rate: float, *, keep_alive: bool, json_lines: bool) -> Counts:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stop.set)
    if stat.S_ISFIFO(os.fstat(0).st_mode) or stat.S_ISSOCK(os.fstat(0).st_mode):
        # Whoever started this has gone when the pipe closes.
        def listen() -> None:
            while os.read(0, 4096):
                pass
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(stop.set)

        threading.Thread(target=listen, daemon=True).start()
    async with Traffic(url, rate, keep_alive=keep_alive) as traffic:
        while not stop.is_set():
            try:
                async with asyncio.timeout(1.0):
                    await stop.wait()
            except TimeoutError:
                if json_lines:
                    print(json.dumps(traffic.counts.as_json()), flush=True)
    return traffic.counts


def main() -> None:
    """Ask until SIGTERM, SIGINT or the end of standard input; then print what came of it."""
    parser = argparse.ArgumentParser(description="customers of the example shop")
    parser.add_argument("--url", required=True)
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second")
    parser.add_argument("--no-keep-alive", action="store_true", help="a connection for each request")
    parser.add_argument("--json-lines", action="store_true", help="also the counts so far, every second")
    options = parser.parse_args()
    counts = asyncio.run(
        _run(options.url, options.rate, keep_alive=not options.no_keep_alive, json_lines=options.json_lines)
    )
    print(json.dumps(counts.as_json()), flush=True)


if __name__ == "__main__":
    main()
