"""The front passes requests on as they are, and asks again only where that is safe."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from integrations.processes.deployer import ProcessesDeployer
from tests.integrations.processes.world import ONE, TWO, World


@pytest.fixture(scope="module")
def one_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, str]]:
    """One front with one unit, for all tests of this file."""
    world = World(tmp_path_factory.mktemp("front"), ONE)

    async def begin() -> str:
        await world.deploy("all", "1", world.artifact())
        return (await world.deployer.url()).rstrip("/")

    url = asyncio.run(begin())
    yield world, url
    asyncio.run(world.another_deployer().stop())


@pytest.fixture
async def front(one_host: tuple[World, str]) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session, one_host[1]


async def test_requests_and_answers_pass_as_they_are(front: tuple[aiohttp.ClientSession, str]) -> None:
    session, url = front
    body = b"0123456789" * 300_000

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    for sent in (io.BytesIO(body), pieces()):
        async with session.post(f"{url}/a%2Fb/%C3%A9?x=%20+y&x=2", data=sent, headers={"X-Mine": "1"}) as answer:
            told = json.loads(await answer.read())
        assert told["size"] == len(body)
        assert told["body"] == hashlib.sha256(body).hexdigest()
        assert told["path"] == "/a%2Fb/%C3%A9?x=%20+y&x=2"
        assert ["X-Mine", "1"] in told["headers"]
    # Nor is a packed body unpacked on its way.
    async with session.post(url, data=b"not really gzip", headers={"Content-Encoding": "gzip"}) as answer:
        assert json.loads(await answer.read())["size"] == len(b"not really gzip")


async def test_what_is_between_neighbours_stays_there(front: tuple[aiohttp.ClientSession, str]) -> None:
    session, url = front
    headers = {
        "Connection": "keep-alive, X-Secret",
        "X-Secret": "1",
        "Proxy-Authorization": "Basic x",
        "TE": "trailers",
    }
    async with session.get(url, headers={**headers, "X-Forwarded-For": "10.0.0.1"}) as answer:
        told = {name.lower(): value for name, value in json.loads(await answer.read())["headers"]}
    assert not told.keys() & {"x-secret", "proxy-authorization", "te"}
    assert told["x-forwarded-for"] == "10.0.0.1, 127.0.0.1"
    assert told["host"] == url.removeprefix("http://")
    assert answer.headers.getall("Set-Cookie") == ["one=1", "two=2"]
    # What a unit claims to be does not count.
    assert answer.headers.getall("X-Andon-Target") == ["all"]


async def test_cookies_of_one_customer_are_not_sent_for_another(front: tuple[aiohttp.ClientSession, str]) -> None:
    _, url = front
    for _ in range(2):
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            told = json.loads(await answer.read())
        assert "cookie" not in {name.lower() for name, _ in told["headers"]}


async def test_head_has_the_length_and_no_body(front: tuple[aiohttp.ClientSession, str]) -> None:
    session, url = front
    async with session.head(f"{url}/healthz") as answer:
        assert (answer.status, answer.headers["Content-Length"], await answer.read()) == (200, "6", b"")


async def test_a_post_is_never_sent_twice(front: tuple[aiohttp.ClientSession, str], tmp_path: Path) -> None:
    session, url = front
    log = tmp_path / "log"
    async with session.post(f"{url}/die?log={log}", data=b"buy") as answer:
        assert answer.status == 502
        assert answer.headers["X-Andon-Error"] == "502"
        assert "may have done" in await answer.text()
    assert log.read_text() == "x"


async def test_half_an_answer_does_not_look_like_a_whole_one(front: tuple[aiohttp.ClientSession, str]) -> None:
    session, url = front
    with pytest.raises(aiohttp.ClientError):
        async with session.get(f"{url}/half") as answer:
            await answer.read()


async def test_where_a_target_has_no_unit_the_others_answer(host: Callable[..., World]) -> None:
    world = host(TWO)
    await world.deploy("rest", "1", world.artifact())
    answers = await asyncio.gather(*(world.get() for _ in range(20)))
    assert {headers["X-Andon-Target"] for _, _, headers in answers} == {"rest"}
    assert (await world.deployer.metrics())["targets"]["one-box"]["diverted"] == 2


async def test_a_body_is_asked_for_when_it_waits_to_be(one_host: tuple[World, str]) -> None:
    address, port = one_host[1].removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(address, int(port))
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"body")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
    writer.close()
    await writer.wait_closed()


async def test_a_customer_who_leaves_is_no_error_of_the_unit(one_host: tuple[World, str]) -> None:
    world, url = one_host
    deployer = world.another_deployer()
    before = (await deployer.metrics())["targets"]["all"]
    address, port = url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(address, int(port))
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\nhalf")
    await writer.drain()
    await until_in_flight(deployer, 1)
    writer.close()
    await writer.wait_closed()
    after = await until_in_flight(deployer, 0)
    assert after["server_errors"] == before["server_errors"]


async def until_in_flight(deployer: ProcessesDeployer, count: int) -> dict[str, Any]:
    """Ask until so many requests are in flight, for ten seconds at most; the counts of then."""
    until = time.monotonic() + 10
    while True:
        found: dict[str, Any] = (await deployer.metrics())["targets"]["all"]
        if found["in_flight"] == count:
            return found
        assert time.monotonic() < until, found
        await asyncio.sleep(0.005)
