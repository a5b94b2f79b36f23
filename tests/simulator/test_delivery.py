"""How payloads reach an app: Socket Mode frames, signed requests, retries; and that nothing is sent unasked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient

from simulator.people import Simulator
from simulator.seen import AppSilent


class Link:
    """A Socket Mode connection spoken by hand."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def hears(self) -> Any:
        return await asyncio.wait_for(self.socket.receive_json(), 5)

    async def acknowledges(self, envelope: Any, payload: Any = None) -> None:
        frame = {"envelope_id": envelope["envelope_id"]}
        await self.socket.send_json(frame if payload is None else {**frame, "payload": payload})


Dial = Callable[..., Awaitable[Link]]


@pytest.fixture
async def dial(workspace: Simulator, session: aiohttp.ClientSession) -> AsyncIterator[Dial]:
    """Open Socket Mode connections that last until the test ends."""
    links: list[Link] = []

    async def connected(extra: str = "") -> Link:
        client = AsyncWebClient(base_url=workspace.api_url, session=session)
        url = (await client.apps_connections_open(app_token="xapp-test"))["url"]
        links.append(Link(await session.ws_connect(url + extra)))
        return links[-1]

    yield connected
    for link in links:
        await link.socket.close()


async def test_hello_then_an_envelope_for_a_command(workspace: Simulator, session: aiohttp.ClientSession, dial: Dial):
    link = await dial()
    hello = await link.hears()
    assert (hello["type"], hello["num_connections"]) == ("hello", 1)
    assert hello["connection_info"] == {"app_id": "A0001"}
    assert hello["debug_info"]["approximate_connection_time"] > 360

    ann = workspace.person("ann")
    typing = asyncio.create_task(ann.types("#checkout", "/release why"))
    envelope = await link.hears()
    assert envelope["type"] == "slash_commands"
    assert envelope["accepts_response_payload"] is True
    assert set(envelope["payload"]) == {
        *("token", "team_id", "team_domain", "channel_id", "channel_name", "user_id", "user_name"),
        *("command", "text", "api_app_id", "is_enterprise_install", "response_url", "trigger_id"),
    }
    await link.acknowledges(envelope, {"text": "because"})
    assert str(await typing) == "because"


async def test_a_ticket_opens_one_connection_only(workspace: Simulator, session: aiohttp.ClientSession):
    client = AsyncWebClient(base_url=workspace.api_url, session=session)
    url = (await client.apps_connections_open(app_token="xapp-test"))["url"]
    async with session.ws_connect(url):
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(url)


async def test_envelopes_go_round_the_connections(workspace: Simulator, session: aiohttp.ClientSession, dial: Dial):
    links = [await dial() for _ in range(2)]
    assert [(await link.hears())["num_connections"] for link in links] == [1, 2]
    ann = workspace.person("ann")
    for link in links:
        typing = asyncio.create_task(ann.types("#checkout", "/raw x", wait=False))
        await link.acknowledges(await link.hears())
        await typing


async def test_the_eleventh_connection_is_sent_away(workspace: Simulator, session: aiohttp.ClientSession, dial: Dial):
    for _ in range(10):
        await (await dial()).hears()
    eleventh = await (await dial()).hears()
    assert (eleventh["type"], eleventh["reason"]) == ("disconnect", "too_many_websockets")
    assert workspace.server.socket.connections == 10


async def test_ping_is_answered_and_refresh_asked_for(workspace: Simulator, session: aiohttp.ClientSession, dial: Dial):
    link = await dial("&debug_reconnects=true")
    assert (await link.hears())["debug_info"]["approximate_connection_time"] == 360
    await link.socket.ping(b"are you there")
    async with session.post(f"{workspace.url}_sim/socket", json={"disconnect": "warning"}) as response:
        assert (await response.json())["connections"] == 1
    assert (await link.hears())["reason"] == "warning"
    refreshing = asyncio.create_task(workspace.server.socket.disconnect("refresh_requested"))
    assert (await link.hears())["reason"] == "refresh_requested"
    message = await asyncio.wait_for(link.socket.receive(), 5)
    assert message.type is aiohttp.WSMsgType.CLOSE or message.type is aiohttp.WSMsgType.CLOSING
    await refreshing
    assert workspace.server.socket.connections == 0


async def test_a_lost_connection_is_no_acknowledgement(
    workspace: Simulator, session: aiohttp.ClientSession, dial: Dial
):
    link = await dial()
    await link.hears()
    typing = asyncio.create_task(workspace.person("ann").types("#checkout", "/release why"))
    await link.hears()
    await workspace.server.socket.disconnect("drop")
    with pytest.raises(AppSilent, match="connection_failed"):
        await typing


async def test_an_unacknowledged_event_is_retried_three_times(
    workspace: Simulator, session: aiohttp.ClientSession, dial: Dial
):
    link = await dial()
    await link.hears()
    saying = asyncio.create_task(workspace.person("ann").says("#checkout", "hello"))
    envelopes = [await link.hears() for _ in range(4)]
    await saying
    assert [envelope["retry_attempt"] for envelope in envelopes] == [0, 1, 2, 3]
    assert {envelope["retry_reason"] for envelope in envelopes[1:]} == {"timeout"}
    assert len({envelope["payload"]["event_id"] for envelope in envelopes}) == 1
    payload = envelopes[0]["payload"]
    assert payload["type"] == "event_callback"
    assert payload["authorizations"][0]["user_id"] == "U0B01"
    assert payload["event"]["channel_type"] == "channel"
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(link.socket.receive_json(), 0.7)


class Door:
    """An app's request URL, answering by script and keeping what came."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[web.Response] = []
        self.came = asyncio.Event()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((dict(request.headers), await request.read()))
        self.came.set()
        return self.answers.pop(0) if self.answers else web.Response()


@pytest.fixture
async def door(workspace: Simulator) -> AsyncIterator[Door]:
    door = Door()
    app = web.Application()
    app.router.add_post("/{path:.*}", door.serve)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    workspace.workspace.app.socket_mode = False
    workspace.workspace.app.request_url = f"http://127.0.0.1:{runner.addresses[0][1]}/events"
    yield door
    await runner.cleanup()


async def test_requests_are_signed(workspace: Simulator, door: Door):
    await workspace.person("ann").types("#checkout", "/raw a&b=c", wait=False)
    headers, body = door.requests[0]
    assert SignatureVerifier("signing-secret").is_valid_request(body, headers)
    assert not SignatureVerifier("another-secret").is_valid_request(body, headers)
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert b"text=a%26b%3Dc" in body


async def test_failed_events_come_again_with_their_reason(workspace: Simulator, door: Door):
    door.answers = [web.Response(status=500), web.Response(status=404), web.Response()]
    await workspace.person("ann").says("#checkout", "hello")
    while len(door.requests) < 3:
        door.came.clear()
        await asyncio.wait_for(door.came.wait(), 5)
    retries = [(headers.get("x-slack-retry-num"), headers.get("x-slack-retry-reason")) for headers, _ in door.requests]
    assert retries == [(None, None), ("1", "http_error"), ("2", "http_error")]


async def test_an_app_may_decline_retries(workspace: Simulator, door: Door):
    door.answers = [web.Response(status=500, headers={"x-slack-no-retry": "1"})]
    ann = workspace.person("ann")
    await ann.says("#checkout", "first")
    await ann.says("#checkout", "second")
    events = [json.loads(body)["event"]["text"] for _, body in door.requests]
    assert events == ["first", "second"]


@pytest.mark.parametrize(("hops", "fine"), [(2, True), (3, False)])
async def test_two_redirects_are_followed(workspace: Simulator, door: Door, hops: int, fine: bool):
    door.answers = [web.Response(status=307, headers={"Location": "/next"}) for _ in range(hops)]
    door.answers.append(web.json_response({"text": "here"}))
    if fine:
        assert "here" in await workspace.person("ann").types("#checkout", "/release why")
    else:
        with pytest.raises(AppSilent, match="http_error"):
            await workspace.person("ann").types("#checkout", "/release why")


async def test_an_answer_slack_refuses_is_shown_as_a_failure(workspace: Simulator, door: Door):
    door.answers = [web.json_response({"blocks": [{"type": "nonsense"}]})]
    with pytest.raises(AppSilent, match="bad_answer"):
        await workspace.person("ann").types("#checkout", "/release why")
    assert "invalid_blocks" in workspace.person("ann").sees("#checkout")[-1]


async def test_the_challenge_of_a_request_url(workspace: Simulator, door: Door):
    assert not await workspace.server.delivery.verify_url()
    door.answers = [web.json_response({"challenge": "no idea"})]
    assert not await workspace.server.delivery.verify_url()
    challenge = json.loads(door.requests[-1][1])["challenge"]
    door.answers = [web.json_response({"challenge": challenge})]
    assert await workspace.server.delivery.verify_url()


def heard(door: Door) -> list[tuple[str, str | None]]:
    events = [json.loads(body)["event"] for headers, body in door.requests if "json" in headers["Content-Type"]]
    return [(event["type"], event.get("subtype")) for event in events]


async def test_events_of_a_channels_life(workspace: Simulator, door: Door):
    ann, cleo = workspace.person("ann"), workspace.person("cleo")
    channel = workspace.workspace.channel("#checkout")
    said = await ann.says("#checkout", "hi")
    workspace.server.acting.edits("ann", channel.id, said.ts, "hi there")
    await ann.reacts("eyes", on=said)
    workspace.server.acting.deletes("ann", channel.id, said.ts)
    workspace.workspace.join(cleo.id, channel)
    workspace.workspace.leave(cleo.id, channel)
    workspace.workspace.set_group_members("approvers", ["ann"])
    workspace.workspace.archive(channel, ann.id)
    await workspace.settle()
    assert sorted(heard(door), key=str) == sorted(
        [
            ("message", None),
            ("message", "message_changed"),
            ("reaction_added", None),
            ("message", "message_deleted"),
            ("member_joined_channel", None),
            ("member_left_channel", None),
            ("subteam_members_changed", None),
            ("subteam_updated", None),
            ("channel_archive", None),
        ],
        key=str,
    )
    changed = next(json.loads(body)["event"] for _, body in door.requests if b"subteam_members_changed" in body)
    assert changed["added_users"] == [ann.id]
    assert changed["removed_users"] == [workspace.person("bob").id]


async def test_the_bot_hears_only_channels_it_is_in_and_scopes_it_has(workspace: Simulator, door: Door):
    ann = workspace.person("ann")
    await ann.says("#quiet", "@app are you here?")
    await ann.says("#secret", "@app or here?")
    workspace.workspace.app.scopes -= {"channels:history"}
    await ann.says("#checkout", "@app hear me")
    assert heard(door) == [("app_mention", None)]


async def test_inviting_the_bot_makes_it_hear(workspace: Simulator, door: Door):
    ann = workspace.person("ann")
    await ann.types("#quiet", "/invite @app", wait=False)
    await ann.says("#quiet", "hello")
    assert heard(door) == [("member_joined_channel", None), ("message", None)]


async def test_events_not_subscribed_to_stay_away(workspace: Simulator, door: Door):
    workspace.workspace.app.events = frozenset({"app_mention"})
    ann = workspace.person("ann")
    await ann.says("#checkout", "hello")
    await ann.says("#checkout", "hello @app")
    assert heard(door) == [("app_mention", None)]
