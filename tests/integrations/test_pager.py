"""The pager webhook: signed, told apart, and honest about what the other side answered."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from core.errors import PermanentError, TransientError
from core.releases.effects import EndPage, Page
from integrations.pager import Pager, PagerConfig, signature, wait_asked

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
PAGE = Page(
    key="checkout:page-3:1",
    page="page-3",
    release="r-7",
    stage="wave-1",
    sentence="The rollback of checkout 1.4 in wave-1 failed “twice”.",
    repetition=1,
)
END = EndPage(key="checkout:page-3:end", page="page-3", release="r-7", sentence="Ann took it.")


class Receiver:
    """A pager's door: keeps what it got, answers what a test wants."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status = 202
        self.headers: dict[str, str] = {}
        self.url = ""
        self.hold: asyncio.Event | None = None

    async def answer(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.headers), await request.read()))
        if self.hold is not None:
            await self.hold.wait()
        return web.Response(status=self.status, headers=self.headers)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    place = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", place.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    place.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hooks/path-word"
    yield place
    await runner.cleanup()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


def config(url: str, **more: Any) -> PagerConfig:
    return PagerConfig.model_validate({"url": url, "secret": "pager-secret", **more}, strict=False)


def pager(receiver: Receiver, session: aiohttp.ClientSession, **more: Any) -> Pager:
    return Pager(config(receiver.url, **more), session, clock=lambda: NOON)


async def test_a_page_says_what_happened_and_is_signed(receiver, session):
    await pager(receiver, session).page(PAGE, pipeline="checkout", service="checkout", url="https://chat.test/p1")
    headers, body = receiver.got[0]
    assert json.loads(body) == {
        "version": 1,
        "kind": "page",
        "page": "page-3",
        "pipeline": "checkout",
        "service": "checkout",
        "release": "r-7",
        "stage": "wave-1",
        "sentence": PAGE.sentence,
        "repetition": 1,
        "at": "2026-03-02T12:00:00+00:00",
        "url": "https://chat.test/p1",
    }
    assert headers["Idempotency-Key"] == PAGE.key
    timestamp = headers["X-Andon-Timestamp"]
    assert timestamp == str(int(NOON.timestamp()))
    expected = hmac.new(b"pager-secret", timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers["X-Andon-Signature"] == f"v1={expected}"


async def test_the_end_of_a_page_names_the_same_page(receiver, session):
    await pager(receiver, session).end(END, pipeline="checkout", service="checkout")
    headers, body = receiver.got[0]
    sent = json.loads(body)
    assert (sent["kind"], sent["page"], sent["sentence"]) == ("end", "page-3", "Ann took it.")
    assert headers["Idempotency-Key"] == END.key


def test_the_signature_covers_time_and_body():
    whole = {signature("s", "1", b"a"), signature("s", "2", b"a"), signature("s", "1", b"b"), signature("t", "1", b"a")}
    assert len(whole) == 4


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
async def test_what_may_pass_is_tried_again_when_the_receiver_says(receiver, session, status):
    receiver.status, receiver.headers = status, {"Retry-After": "17"}
    with pytest.raises(TransientError, match=str(status)) as caught:
        await pager(receiver, session).page(PAGE, pipeline="p", service="s")
    assert caught.value.retry_after == timedelta(seconds=17)


@pytest.mark.parametrize("status", [400, 401, 404, 410, 422])
async def test_what_is_refused_is_not_tried_again(receiver, session, status):
    receiver.status = status
    with pytest.raises(PermanentError, match=str(status)):
        await pager(receiver, session).page(PAGE, pipeline="p", service="s")


async def test_a_redirect_is_not_followed(receiver, session):
    receiver.status, receiver.headers = 307, {"Location": f"{receiver.url}/elsewhere"}
    with pytest.raises(PermanentError, match="redirect"):
        await pager(receiver, session).page(PAGE, pipeline="p", service="s")
    assert len(receiver.got) == 1


async def test_no_answer_in_time_is_unknown_and_tried_again(receiver, session):
    receiver.hold = asyncio.Event()
    with pytest.raises(TransientError, match="did not answer in time"):
        await pager(receiver, session, timeout=timedelta(milliseconds=100)).page(PAGE, pipeline="p", service="s")
    assert len(receiver.got) == 1, "it got there all the same: the key tells the repeat"
    receiver.hold.set()


async def test_nobody_there_is_tried_again(session):
    nobody = Pager(config("http://127.0.0.1:1/hooks/path-word"), session, clock=lambda: NOON)
    with pytest.raises(TransientError, match="cannot be reached") as caught:
        await nobody.page(PAGE, pipeline="p", service="s")
    assert "path-word" not in str(caught.value)


async def test_secrets_show_nowhere(receiver, session, caplog):
    caplog.set_level("DEBUG")
    receiver.status = 400
    caller = pager(receiver, session)
    with pytest.raises(PermanentError) as caught:
        await caller.page(PAGE, pipeline="p", service="s")
    shown = [repr(caller), str(caller), repr(config(receiver.url)), repr(caught.value), caplog.text]
    assert not any(word in text for text in shown for word in ("pager-secret", "path-word"))
    assert repr(caller) == "Pager(127.0.0.1)"


@pytest.mark.parametrize("url", ["ftp://x.test", "path-word", "http://[broken", ""])
def test_an_address_that_is_none_is_refused_without_repeating_it(url):
    with pytest.raises(ValueError, match="no web address") as caught:
        config(url)
    assert "path-word" not in str(caught.value)


def test_an_empty_secret_is_refused():
    with pytest.raises(ValueError, match="secret is empty"):
        PagerConfig.model_validate({"url": "https://x.test", "secret": ""}, strict=False)


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("30", timedelta(seconds=30)),
        (" 0 ", timedelta()),
        ("999999999999999", timedelta(hours=1)),
        ("Mon, 02 Mar 2026 12:01:00 GMT", timedelta(minutes=1)),
        ("Mon, 02 Mar 2026 12:01:00 -0000", timedelta(minutes=1)),
        ("Mon, 02 Mar 2026 11:00:00 GMT", timedelta()),
        ("Mon, 02 Mar 2099 11:00:00 GMT", timedelta(hours=1)),
    ],
)
def test_retry_after_in_seconds_or_as_a_date(header, wait):
    assert wait_asked(header, NOON) == wait
