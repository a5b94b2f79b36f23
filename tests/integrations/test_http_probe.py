"""One look at an address: good, or bad with a reason that gives nothing away."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st

from integrations.http_probe import MOST_READ, Answer, Wanted, look, matches

Serve = Callable[[bytes], Awaitable[str]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts a server that answers every connection with these bytes and hangs up; gives its address."""
    servers: list[asyncio.Server] = []

    async def start(answer: bytes) -> str:
        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(65_536)
            writer.write(answer)
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(converse, "127.0.0.1", 0)
        servers.append(server)
        return f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

    yield start
    for server in servers:
        server.close()
        await server.wait_closed()


def http(status: str, body: bytes = b"") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


async def asked(url: str, *, connector: aiohttp.BaseConnector | None = None, **more: str) -> Answer:
    async with aiohttp.ClientSession(connector=connector) as session:
        return await look(session, Wanted(url=url, timeout=timedelta(seconds=5), **more))


async def test_a_good_answer_took_its_time(serve):
    answer = await asked(f"http://{await serve(http('204 No Content'))}/")
    assert (answer.is_good, answer.is_heard, answer.reason) == (True, True, "")
    assert timedelta() < answer.took < timedelta(seconds=5)


async def test_a_text_is_found_in_what_is_no_clean_text(serve):
    address = await serve(http("200 OK", b"\xff\xfe all is well"))
    assert (await asked(f"http://{address}/", text="is well")).is_good


async def test_only_the_beginning_of_a_flood_is_read(serve):
    address = await serve(http("200 OK", b"x" * MOST_READ + b"needle"))
    assert (await asked(f"http://{address}/", text="needle")).reason == "its answer lacks the expected text"
    assert (await asked(f"http://{address}/", text="xxx")).is_good


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Le"])
async def test_a_connection_that_breaks_is_a_bad_answer(serve, answer):
    found = await asked(f"http://{await serve(answer)}/?token=secret-word")
    assert found.reason == "the connection broke"
    assert not found.is_good


async def test_an_answer_that_breaks_off_is_bad(serve):
    address = await serve(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nall is well")
    answer = await asked(f"http://{address}/", text="something else")
    assert (answer.reason, answer.is_heard) == ("the connection broke", True)


async def test_nobody_there_is_no_connection():
    answer = await asked("http://127.0.0.1:1/")
    assert (answer.reason, answer.is_heard) == ("no connection", False)


async def test_one_that_speaks_no_tls_is_no_secure_connection(serve):
    answer = await asked(f"https://{await serve(b'what do you mean?')}/")
    assert (answer.reason, answer.is_heard) == ("no secure connection", False)


class NoNames(AbstractResolver):
    """A resolver that knows nobody."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        raise OSError(None, f"nobody knows {host}")

    async def close(self) -> None:
        pass


async def test_a_name_nobody_knows_is_said_without_the_name():
    answer = await asked("http://secret-host.test/", connector=aiohttp.TCPConnector(resolver=NoNames()))
    assert (answer.reason, answer.is_heard) == ("its name could not be resolved", False)


@pytest.mark.parametrize(
    ("status", "statuses", "good"),
    [
        (200, "200", True),
        (201, "200", False),
        (200, "200-399", True),
        (399, "200-399", True),
        (400, "200-399", False),
        (304, "200-299,304", True),
        (303, "200-299,304", False),
        (204, "200, 204", True),
    ],
)
def test_statuses(status, statuses, good):
    assert matches(status, statuses) is good


@given(st.integers(100, 599), st.integers(100, 599), st.integers(100, 599))
def test_a_range_holds_what_lies_in_it(status, first, last):
    assert matches(status, f"{first}-{last}") is (first <= status <= last)
