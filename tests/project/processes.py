"""Processes of ours, started by tests as people start them: waited for by what they answer, and seen to end whole."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp


def clean_environment() -> dict[str, str]:
    """This process's environment without what would lead Python back to the checkout, and without our settings."""
    ours = ("PYTHON", "PYTEST", "VIRTUAL_ENV", "ANDON_", "SLACK_", "COV_", "MAKE", "MFLAGS")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


@asynccontextmanager
async def started(
    *words: str, cwd: Path, log: Path, environment: dict[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process until the block ends; whatever the test did not end itself is asked to end, and then must."""
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *words,
            cwd=cwd,
            env=clean_environment() | environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(40):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise


async def until_it_answers(url: str, process: asyncio.subprocess.Process, log: Path, *, within: float = 60) -> None:
    """Wait until an address answers 200; a process that ends before is a failure, shown with its log."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(within):
        while not await _answers(session, url):
            assert process.returncode is None, _text(log)
            await asyncio.sleep(0.1)


async def until_it_says(pattern: str, process: asyncio.subprocess.Process, log: Path, *, within: float = 60) -> str:
    """Wait until the log of a process holds something; returns the first group of it."""
    async with asyncio.timeout(within):
        while (found := re.search(pattern, _text(log))) is None:
            assert process.returncode is None, _text(log)
            await asyncio.sleep(0.1)
    return found[1]


async def until_none_is_left(directory: Path, *, within: float = 10) -> None:
    """Wait until what was told to end has gone; fails with what stays."""
    loop = asyncio.get_running_loop()
    until = loop.time() + within
    while left := left_running(directory):
        assert loop.time() < until, left
        await asyncio.sleep(0.1)


def left_running(directory: Path) -> list[str]:
    """Command lines of the processes that were started in or with a directory, and are alive."""
    found = []
    for place in Path("/proc").iterdir():
        if not place.name.isdigit() or int(place.name) == os.getpid():
            continue
        try:
            words = (place / "cmdline").read_bytes()
            where = (place / "cwd").readlink()
            state = (place / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z" and (os.fsencode(directory) in words or where.is_relative_to(directory)):
            found.append(words.replace(b"\0", b" ").decode(errors="replace"))
    return found


def _text(log: Path) -> str:
    return log.read_text()


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientConnectionError:
        return False
