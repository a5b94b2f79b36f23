"""The shop's customers: what is lost is told apart from what a broken version answers."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from examples.shop.traffic import Traffic


@asynccontextmanager
async def front(*answers: tuple[int, dict[str, str]]) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A front that gives these answers in turn; the event is set when all were given."""
    left = list(answers)
    done = asyncio.Event()

    async def answer(request: web.BaseRequest) -> web.Response:
        status, headers = left.pop(0) if left else (200, {"X-Andon-Version": "1", "X-Andon-Target": "rest"})
        if not left:
            done.set()
        return web.Response(status=status, headers=headers)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/", done
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("keep_alive", [True, False])
async def test_errors_of_the_shop_are_not_failures_of_the_way(keep_alive: bool) -> None:
    well, broken = (
        {"X-Andon-Version": "1", "X-Andon-Target": "rest"},
        {"X-Andon-Version": "2", "X-Andon-Target": "one-box"},
    )
    async with (
        front(
            (200, well),
            (500, broken),
            (503, broken),
            (503, {"X-Andon-Error": "503"}),
            (502, {"X-Andon-Error": "502", **well}),
            (504, {}),
        ) as (url, done),
        Traffic(url, 200, keep_alive=keep_alive) as traffic,
    ):
        async with asyncio.timeout(10):
            await done.wait()
    counts = traffic.counts
    assert counts.asked == counts.answered + counts.failed
    assert counts.failed == 3
    assert counts.failures == {"503 of the front": 1, "502 of the front": 1, "504 of the front": 1}
    assert counts.errors == counts.errors_by_version["2"] == counts.by_target["one-box"] == 2
    assert counts.by_version["1"] == counts.answered - 2


async def test_no_connection_is_a_failure() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    traffic = Traffic(f"http://127.0.0.1:{port}", 200)
    await traffic.start()
    async with asyncio.timeout(10):
        while traffic.counts.failed < 3:  # noqa: ASYNC110
            await asyncio.sleep(0)
    await traffic.stop()
    assert traffic.counts.failed == traffic.counts.asked
    assert traffic.counts.answered == 0


@pytest.mark.parametrize("end", ["terminate", "close"])
async def test_the_command_sums_up_when_it_is_told_to_end(end: str) -> None:
    async with front((200, {})) as (url, done):
        command = ("-m", "examples.shop.traffic", "--url", url, "--rate", "100", "--json-lines")
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdin is not None
        async with asyncio.timeout(20):
            await done.wait()
            if end == "terminate":
                process.terminate()
                told, _ = await process.communicate()
            else:
                process.stdin.close()
                assert process.stdout is not None
                told = await process.stdout.read()
                await process.wait()
    summary = json.loads(told.splitlines()[-1])
    assert summary["failed"] == summary["errors"] == 0
    assert summary["asked"] == summary["answered"] >= 1
    assert process.returncode == 0
