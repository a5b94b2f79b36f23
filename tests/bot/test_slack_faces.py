"""The two ways in: signatures, forms, reconnects, an end that waits, and nothing that leaves for slack.com."""

from __future__ import annotations

import asyncio
import json
import logging
from urllib.parse import parse_qsl, urlencode

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from slack_bolt.response import BoltResponse
from slack_sdk.signature import SignatureVerifier

from bot.slack_faces import HttpFace, Patience, SocketFace, decoded
from simulator.people import AppSilent
from storage.errors import StorageUnavailable
from tests.bot.slack_office import connected, office, settings
from tests.bot.slack_stage import ALL

SECRET = "signing-secret"
FORM = "application/x-www-form-urlencoded"


class Echo:
    """Answers with what it was given."""

    def __init__(self) -> None:
        self.taken: list[dict[str, object]] = []

    async def dispatch(self, body, headers):
        self.taken.append(body)
        return BoltResponse(status=200, body="ok")


class Door:
    """An HTTP face on loopback at ten o'clock, and somebody who knows the secret."""

    def __init__(self, url: str, echo: Echo, session: aiohttp.ClientSession) -> None:
        self.url, self.echo, self.session = url, echo, session

    async def knock(self, body: bytes, *, at: int = 36_000, secret: str = SECRET, kind: str = FORM, **headers: str):
        text = body.decode(errors="replace")
        signature = SignatureVerifier(secret).generate_signature(timestamp=str(at), body=text) or ""
        signed = {"X-Slack-Request-Timestamp": str(at), "X-Slack-Signature": signature, "Content-Type": kind}
        async with self.session.post(self.url, data=body, headers=signed | headers) as response:
            return response.status, await response.text()


@pytest.fixture
async def door():
    echo = Echo()
    application = web.Application()
    HttpFace(echo, SECRET, epoch=lambda: 36_000.0, body_most=20_000).mount(application)  # type: ignore[arg-type]
    runner = web.AppRunner(application, access_log=None, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as session:
        yield Door(f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events", echo, session)
    await runner.cleanup()


async def test_a_signed_request_comes_in(door):
    assert await door.knock(b"command=%2Frelease&text=why+checkout") == (200, "ok")
    assert door.echo.taken == [{"command": "/release", "text": "why checkout"}]


@pytest.mark.parametrize("at", [36_000 - 301, 36_000 + 301])
async def test_a_request_of_another_time_is_turned_away(door, at):
    status, _ = await door.knock(b"command=%2Frelease", at=at)
    assert status == 401
    assert door.echo.taken == []


async def test_a_request_signed_by_another_is_turned_away_without_its_words_in_the_log(door, caplog):
    with caplog.at_level(logging.DEBUG):
        status, _ = await door.knock(b"text=the-secret-words", secret="another-secret")
    assert status == 401
    assert "the-secret-words" not in caplog.text
    assert "signature" in caplog.text


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Slack-Signature": ""},
        {"X-Slack-Request-Timestamp": ""},
        {"X-Slack-Request-Timestamp": "yesterday"},
        {"X-Slack-Signature": "v0=é"},
    ],
)
async def test_a_request_with_half_a_signature_is_turned_away(door, headers):
    assert (await door.knock(b"text=x", **headers))[0] == 401


async def test_bytes_that_are_no_text_are_turned_away(door):
    assert (await door.knock(b"\xff\xfe"))[0] == 401


@pytest.mark.parametrize("body", [b"[]", b"{", b'"x"'])
async def test_what_is_signed_but_not_understood_is_said_to_be_so(door, body):
    assert (await door.knock(body, kind="application/json"))[0] == 400


async def test_too_much_is_refused(door):
    assert (await door.knock(b"text=" + b"x" * 30_000))[0] == 413


async def test_the_challenge_comes_back(door):
    body = json.dumps({"type": "url_verification", "challenge": "abc"}).encode()
    status, text = await door.knock(body, kind="application/json")
    assert (status, json.loads(text)) == (200, {"challenge": "abc"})


async def test_slacks_check_of_the_certificate_is_answered(door):
    assert await door.knock(b"ssl_check=1&token=x") == (200, "")


def test_http_without_a_secret_is_refused_at_start():
    with pytest.raises(ValueError, match="signing secret"):
        HttpFace(Echo(), " ")  # type: ignore[arg-type]


words = st.text(st.characters(codec="utf-8"), max_size=40)


@given(st.dictionaries(words.filter(lambda name: name not in ("", "payload")), words, max_size=6))
def test_forms_are_read_as_the_standard_library_reads_them(form):
    raw = urlencode(form)
    assert decoded(raw.encode(), FORM) == dict(parse_qsl(raw, keep_blank_values=True))


@given(st.dictionaries(words, words, max_size=4))
def test_payloads_are_read_as_they_were_written(payload):
    assert decoded(urlencode({"payload": json.dumps(payload)}).encode(), FORM) == payload


# ---- Socket Mode ----------------------------------------------------------------------------------------------------


async def test_a_connection_that_slack_ends_is_replaced():
    async with office() as o:
        await o.simulator.server.socket.disconnect("refresh_requested")
        # The library closes the old socket before it opens the new one, at times twice: people see
        # "did not respond" for a moment and type it again.
        async with asyncio.timeout(10):
            while True:
                try:
                    assert "1.4.2" in (await o.ann.types("#checkout", "/release why checkout")).text
                    break
                except AppSilent:
                    await asyncio.sleep(0.01)


async def test_the_end_waits_for_what_was_taken_in():
    async with office() as o:
        door = SocketFace(o.face, "xapp-test", o.pair.reader, lost=lambda: None)
        door.start()
        await connected(door)
        o.floor.gate.clear()
        asked = [
            asyncio.create_task(o.ann.types("#checkout", f"/release pause checkout {n}", wait=False)) for n in "12"
        ]
        async with asyncio.timeout(5):
            while len(o.floor.waiting) < 2:  # noqa: ASYNC110 - both are taken in
                await asyncio.sleep(0.001)
        closing = asyncio.create_task(door.close())
        await asyncio.sleep(0)
        o.floor.gate.set()
        await closing
        await asyncio.gather(*asked)
        assert len(o.floor.acts) == 2


async def test_a_connection_that_stays_away_is_reported_once():
    async with office() as o:
        lost = asyncio.Event()
        patience = Patience(until_lost=0.02, between_looks=0.005, between_pings=0.05)
        app_token = "xapp-wrong"
        logging.getLogger("andon.slack.socket").setLevel(logging.CRITICAL)
        door = SocketFace(o.face, app_token, o.pair.reader, lost=lost.set, patience=patience)
        door.start()
        try:
            await asyncio.wait_for(lost.wait(), 5)
            assert not await door.is_connected()
        finally:
            await door.close()
            logging.getLogger("andon.slack.socket").setLevel(logging.INFO)


# ---- everything goes where the settings say -------------------------------------------------------------------------


async def test_environment_variables_of_slack_change_nothing(monkeypatch, tmp_path):
    for name in ("SLACK_CLIENT_ID", "SLACK_CLIENT_SECRET", "SLACK_BOT_TOKEN", "SLACK_SIGNING_SECRET"):
        monkeypatch.setenv(name, "from-the-environment")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("HOME", str(tmp_path))
    async with office() as o:
        assert o.face.app.oauth_flow is None
        assert o.face.app.installation_store is None
        answer = await o.ann.types("#checkout", "/release why checkout")
        assert "1.4.2" in answer.text
        assert list(tmp_path.iterdir()) == []


async def test_nothing_is_asked_of_slack_com():
    hosts: set[str] = set()

    async def note(session, context, parameters):
        hosts.add(parameters.url.host or "")

    async with office(setting=settings(scopes=[*ALL, "files:write"])) as o:
        trace = aiohttp.TraceConfig()
        trace.on_request_start.append(note)
        trace.freeze()
        o.pair.session.trace_configs.append(trace)
        card = await o.card("pause", "why")
        answer = await o.ann.presses("Pause", on=card)
        assert answer.modal is not None
        await answer.modal.submits({"reason": "prices look wrong"})
        await o.simulator.person("zoe").presses("Why", on=card)
        await o.ann.asks("#checkout", "@andon why checkout")
        await o.ann.opens_home()
        await o.face.drain()
        await o.pair.client.files_upload_v2(content="x", filename="x.txt", channel=o.simulator.channel("#checkout").id)
    assert hosts == {"127.0.0.1"}


async def test_tokens_and_words_stay_out_of_the_log(caplog):
    with caplog.at_level(logging.INFO):
        async with office() as o:
            await o.ann.types("#checkout", "/release pause checkout the-secret-words", wait=False)
            o.floor.breaks = StorageUnavailable()
            await o.ann.types("#checkout", "/release pause checkout the-secret-words")
            assert "xoxb-test" not in repr(o.face)
    for secret in ("xoxb-test", "xapp-test", SECRET, "the-secret-words"):
        assert secret not in caplog.text
