"""The way in for release sources: nothing is lost, nobody waits for somebody else's slowness, order is kept."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from bot.sources_in import NoSuchSource, SourcesIn
from core.errors import NotAuthentic, TransientError
from core.ports import BuildEvent, Ignored, ReleaseReport
from integrations.sources.eventbridge import EventBridge
from integrations.sources.sns import Envelopes
from storage.source_requests import RequestLine, SourceRequests
from tests.integrations.sources.payloads import DIGEST, TOPIC, raw
from tests.integrations.sources.test_eventbridge import NOW, Amazon, confirmation
from tests.scenarios.kit import Story, story
from tests.scenarios.props import people, shop

IMAGE = {"from": "theirs", "event": "image", "repository": "acme/checkout", "image": "r.example.com/checkout:{tag}"}
ORGANISATION = people(sources={"theirs": {"use": "github", "with": {"secret_env": "HOOK"}}})


class Theirs:
    """A source of somebody else's: the body is the tag; one with a fault in it fails."""

    kept_headers = ()

    async def verify(self, headers: Mapping[str, str], body: bytes, key: str, now: datetime) -> None:
        if key != "let me in":
            raise NotAuthentic

    def delivery(self, headers: Mapping[str, str], body: bytes) -> str:
        return ""

    def parse(self, headers: Mapping[str, str], body: bytes) -> Sequence[ReleaseReport | Ignored]:
        if body == b"fault":
            raise KeyError("tag")
        return (ReleaseReport(event=BuildEvent.IMAGE, repository="acme/checkout", tag=body.decode(), is_hint=True),)


class Registry:
    """Answers when it is let; says what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.held: dict[str, asyncio.Event] = {}
        self.was_asked = asyncio.Event()

    async def digest_of(self, image: str) -> str:
        self.asked.append(image)
        self.was_asked.set()
        if image in self.held:
            await self.held[image].wait()
        return DIGEST[:-2] + f"{len(self.asked):02}"


@contextlib.asynccontextmanager
async def way_in(
    path: Path, registry: Registry, **pipelines: Mapping[str, str]
) -> AsyncIterator[tuple[Story, SourcesIn]]:
    """Andon with pipelines that take these images."""
    files = [shop(service=name, sources=[part]) for name, part in (pipelines or {"shop": IMAGE}).items()]
    environment = {"HOOK": "a-webhook-secret"}
    async with story(path, *files, organisation=ORGANISATION, environment=environment, has_slack=False) as s:
        yield s, SourcesIn(s.app.engine, s.app.deployers, {"theirs": Theirs()}, registries=registry)


async def lines(s: Story) -> Sequence[RequestLine]:
    return await s.app.engine.read(lambda tx: SourceRequests(tx).received())


def versions(s: Story, pipeline: str = "shop") -> list[str]:
    return [r.version for r in s.app.engine.pipelines()[pipeline].releases]


async def test_a_request_is_on_disk_before_it_is_answered_and_worked_on_after(tmp_path: Path) -> None:
    registry = Registry()
    async with way_in(tmp_path, registry) as (s, sources):
        received = await sources.take("theirs", {"X-Secret": "x"}, b"1.0", "let me in")
        assert received.state == "waiting"
        (line,) = await lines(s)
        assert (line.id, line.state, registry.asked, versions(s)) == (received.number, "waiting", [], [])
        await sources.settle()
        assert versions(s) == ["1.0"]
        (line,) = await lines(s)
        assert line.state == "announced"
        with pytest.raises(NotAuthentic):
            await sources.take("theirs", {}, b"1.1", "")
        with pytest.raises(NoSuchSource, match="Did you mean theirs"):
            await sources.take("their", {}, b"1.1", "")
        assert len(await lines(s)) == 1


async def test_what_takes_long_holds_up_its_own_pipeline_in_order_and_no_other(tmp_path: Path) -> None:
    registry = Registry()
    stuck, quick = IMAGE | {"image": "slow.example.com/checkout:{tag}", "tag": "1.*"}, IMAGE | {"tag": "2.*"}
    registry.held["slow.example.com/checkout:1.0"] = asyncio.Event()
    async with way_in(tmp_path, registry, shop=stuck, search=quick) as (s, sources):
        running = asyncio.create_task(sources.run())
        await sources.take("theirs", {}, b"1.0", "let me in")
        await registry.was_asked.wait()
        await sources.take("theirs", {}, b"1.1", "let me in")
        await sources.take("theirs", {}, b"2.0", "let me in")
        while len(sources._in_hand) != 2 or not versions(s, "search"):
            await asyncio.wait([running, *sources._in_hand.values()], timeout=0.01)
        assert versions(s) == []
        registry.held["slow.example.com/checkout:1.0"].set()
        while in_hand := tuple(sources._in_hand.values()):
            await asyncio.gather(*in_hand)
        assert versions(s) == ["1.0", "1.1"], "in the order in which they came"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_what_was_cut_off_is_taken_up_again(tmp_path: Path) -> None:
    registry = Registry()
    registry.held["r.example.com/checkout:1.0"] = asyncio.Event()
    async with way_in(tmp_path, registry) as (s, sources):
        running = asyncio.create_task(sources.run())
        await sources.take("theirs", {}, b"1.0", "let me in")
        await registry.was_asked.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert sources._in_hand == {}
        registry.held.clear()
        again = SourcesIn(s.app.engine, s.app.deployers, {"theirs": Theirs()}, registries=registry)
        await again.settle()
        assert versions(s) == [], "its lease is not over"
        await again.resume()
        await again.settle()
        assert versions(s) == ["1.0"], "but where nobody else can have it, it is taken up at once"


async def test_a_source_that_fails_on_one_request_goes_on_with_the_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with way_in(tmp_path, Registry()) as (s, sources):
        received = await sources.take("theirs", {}, b"fault", "let me in")
        assert (received.state, received.note) == ("kept", "The source theirs failed on it (KeyError).")
        await sources.take("theirs", {}, b"1.0", "let me in")
        await sources.settle()
        assert versions(s) == ["1.0"]
    assert "failed on a request" in caplog.text


async def test_a_source_that_was_taken_out_leaves_its_requests_to_people(tmp_path: Path) -> None:
    async with way_in(tmp_path, Registry()) as (s, sources):
        await sources.take("theirs", {}, b"1.0", "let me in")
        await SourcesIn(s.app.engine, s.app.deployers, {}).settle()
        (line,) = await lines(s)
        assert (line.state, line.note) == ("kept", "There is no release source theirs any more.")


async def test_a_subscription_is_confirmed_once_it_is_stored_and_asked_again_if_amazon_is_away(tmp_path: Path) -> None:
    amazon = Amazon()

    async def away(address: str) -> bytes:
        amazon.asked.append(address)
        if len(amazon.asked) < 3:
            raise TransientError("SNS answered 503.")
        return b""

    async with way_in(tmp_path, Registry()) as (s, _):
        aws = EventBridge("", Envelopes([TOPIC], fetch=Amazon(), confirm=away))
        sources = SourcesIn(s.app.engine, s.app.deployers, {"aws": aws})
        s.clock.advance(NOW - s.clock.now())
        received = await sources.take("aws", {}, raw(confirmation()))
        assert (received.state, amazon.asked) == ("waiting", [])
        for _ in range(3):
            await sources.settle()
            s.clock.advance(timedelta(minutes=1))
        (line,) = await lines(s)
        assert (line.state, line.note) == ("ignored", f"The subscription to {TOPIC} is confirmed.")
        assert len(amazon.asked) == 3
