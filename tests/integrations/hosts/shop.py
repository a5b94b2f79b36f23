"""A small HTTP service on each host, a front that honours drains, and customers who never stop asking."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from integrations.processes.ports import FreePorts

SERVICE = """
import http.server, os, sys, time

class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(0.01)
        body = os.environ["ANDON_DIGEST"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answers).serve_forever()
"""
START = """
setsid python3 -I -S "$ANDON_RELEASE/service.py" "$1" </dev/null >"$ANDON_ROOT/service.log" 2>&1 &
echo $! >"$ANDON_ROOT/pid"
"""
STOP = """
read -r pid <"$ANDON_ROOT/pid"
kill "$pid"
while grep -qs '^State:.[^ZX]' "/proc/$pid/status"; do sleep 0.02; done
"""
FILES: Mapping[str, str] = {"service.py": SERVICE, "begin.sh": START, "end.sh": STOP}


@dataclass
class Shop:
    """Hosts' addresses and directories, in the order of the front's turns; and what its customers have seen."""

    ports: Mapping[str, int]
    roots: Mapping[str, Path]
    answered: int = 0
    failed: int = 0
    fewest: int = 99
    """Hosts that had traffic at the worst moment."""
    seen: dict[str, int] = field(default_factory=dict)
    """Answers by the digest that gave them."""
    _turn: int = 0

    @classmethod
    def on(cls, roots: Mapping[str, Path]) -> Shop:
        free = FreePorts()
        return cls({name: free.take() for name in roots}, roots)

    def settings(self) -> dict[str, Any]:
        """What the deployer is told."""
        return {
            "start": ["sh", "{release}/begin.sh", "{values.port}"],
            "stop": ["sh", "{release}/end.sh"],
            "drained": "150ms",
            "health": {"url": "http://127.0.0.1:{values.port}/healthz", "within": "20s", "every": "50ms", "times": 2},
            "running": {"url": "http://127.0.0.1:{values.port}/version"},
        }

    @contextlib.asynccontextmanager
    async def open(self, customers: int = 3) -> AsyncIterator[None]:
        """The front, and customers who ask until the block ends."""
        app = web.Application()
        async with aiohttp.ClientSession() as backs, aiohttp.ClientSession() as session:

            async def pass_on(_: web.Request) -> web.Response:
                names = [name for name in self.ports if not (self.roots[name] / "drained").exists()]
                self.fewest = min(self.fewest, len(names))
                self._turn += 1
                name = names[self._turn % len(names)]
                async with backs.get(f"http://127.0.0.1:{self.ports[name]}/") as answer:
                    return web.Response(status=answer.status, text=await answer.text())

            app.router.add_get("/", pass_on)
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            address = f"http://127.0.0.1:{runner.addresses[0][1]}/"
            asking = [asyncio.create_task(self._ask(session, address)) for _ in range(customers)]
            try:
                yield
            finally:
                for task in asking:
                    task.cancel()
                await asyncio.gather(*asking, return_exceptions=True)
                await runner.cleanup()

    async def _ask(self, session: aiohttp.ClientSession, address: str) -> None:
        while True:
            try:
                async with session.get(address) as answer:
                    text = await answer.text()
                    is_good = answer.status == 200
            except aiohttp.ClientError:
                text, is_good = "", False
            if is_good:
                self.answered += 1
                self.seen[text] = self.seen.get(text, 0) + 1
            else:
                self.failed += 1

    def end(self) -> None:
        """End what the hosts run."""
        for root in self.roots.values():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
                os.kill(int((root / "pid").read_text()), signal.SIGKILL)
