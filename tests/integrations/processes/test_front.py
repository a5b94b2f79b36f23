"""The front passes requests on as they are, and asks again only where that is safe."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from tests.integrations.processes.world import ONE, TWO, World


@pytest.fixture
async def front(host: Callable[..., World]) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    world = host(ONE)
    await world.deploy("all", "1", world.artifact())
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session, (await world.deployer.url()).rstrip("/")


async def test_requests_and_answers_pass_as_they_are(front: tuple[aiohttp.ClientSession, str]) -> None:
    session, url = front
    body = b"0123456789" * 300_000

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    for sent in (body, pieces()):
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
