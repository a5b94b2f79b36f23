"""The page's calls and live updates, as PAGE_PROTOCOL.md writes them down."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

import simulator.page_api
from simulator.people import Simulator
from tests.simulator.test_bolt import CARD, REASON

Json = dict[str, Any]
PROTOCOL = Path(simulator.page_api.__file__).parent / "PAGE_PROTOCOL.md"


class Page:
    """A browser page of one person, without the browser."""

    def __init__(self, session: aiohttp.ClientSession, url: str, me: str) -> None:
        self.session = session
        self.url = f"{url}_sim/"
        self.me = me
        self.live: aiohttp.ClientWebSocketResponse | None = None

    async def get(self, call: str, status: int = 200, **query: str) -> Any:
        async with self.session.get(self.url + call, params={"as": self.me, **query}) as response:
            assert response.status == status, await response.text()
            return await response.json()

    async def post(self, call: str, status: int = 200, **body: Any) -> Any:
        async with self.session.post(self.url + call, json={"as": self.me, **body}) as response:
            assert response.status == status, await response.text()
            return await response.json()

    async def hears(self, kind: str) -> Any:
        """Return the next live frame of this kind."""
        assert self.live is not None
        while True:
            frame = await asyncio.wait_for(self.live.receive_json(), 5)
            if frame["type"] == kind:
                return frame


Open = Callable[[str], Awaitable[Page]]


@pytest.fixture
async def page(workspace: Simulator, session: aiohttp.ClientSession) -> AsyncIterator[Open]:
    opened: list[Page] = []

    async def for_person(name: str) -> Page:
        one = Page(session, workspace.url, name)
        one.live = await session.ws_connect(f"{one.url}live?as={name}")
        assert (await one.hears("hello"))["me"] == workspace.person(name).id
        opened.append(one)
        return one

    yield for_person
    for one in opened:
        assert one.live is not None
        await one.live.close()


def section(title: str) -> str:
    """Return the protocol from `title` to the next headline of its kind."""
    return PROTOCOL.read_text(encoding="utf-8").split(title, 1)[1]


def keys_of(example: str) -> set[str]:
    """Return the outermost keys of a JSON example."""
    depth, keys = 0, set()
    for match in re.finditer(r'"((?:[^"\\]|\\.)*)"\s*(:)?|([{\[])|([}\]])', example):
        text, colon, opening, closing = match.groups()
        depth += 1 if opening else -1 if closing else 0
        if colon and depth == 1:
            keys.add(text)
    return keys


async def test_the_snapshot_has_the_documented_keys(page: Open):
    snapshot = await (await page("ann")).get("workspace")
    example = section("### `GET /_sim/workspace").split("```json")[1].split("```")[0]
    assert set(snapshot) == keys_of(example)
    names = {channel["name"] for channel in snapshot["channels"]}
    assert names == {"checkout", "quiet", "secret", "ops"}
    assert snapshot["commands"][0] == {"command": "/release", "description": "", "usage_hint": "[why]"}
    assert snapshot["app"]["connected"] is False
    bobs = await (await page("bob")).get("workspace")
    assert {channel["name"] for channel in bobs["channels"]} == {"checkout", "quiet"}


async def test_a_message_has_the_documented_keys_and_comes_live(page: Open):
    ann, bob = await page("ann"), await page("bob")
    said = await ann.post("type", channel="#checkout", text="hello @bob & *all*")
    example = section("### A message").split("```json")[1].split("```")[0]
    assert set(said["message"]) == keys_of(example)
    assert said["message"]["plain"] == "hello @bob & all"
    assert "&amp;" in said["message"]["text"]
    frame = await bob.hears("message")
    assert frame["message"]["author"]["name"] == "ann"
    shown = await bob.get("history", channel="#checkout")
    assert shown["messages"] == [frame["message"]]


async def test_a_view_has_the_documented_keys(workspace: Simulator, bolt: AsyncApp, connect, page: Open):
    @bolt.shortcut("release_actions")
    async def opens(ack, shortcut, client):
        await ack()
        await client.views_open(trigger_id=shortcut["trigger_id"], view=REASON)

    @bolt.view("pause")
    async def submitted(ack):
        await ack()

    await connect(workspace, bolt)
    ann = await page("ann")
    assert (await ann.post("shortcut", callback_id="release_actions"))["outcome"] == {"answered": True}
    frame = await ann.hears("modal")
    (view,) = frame["stack"]
    assert frame["reason"] == "opened"
    assert set(view) == keys_of(section("### Views").split("```json")[1].split("```")[0])
    empty = await ann.post("submit", view_id=view["id"], values={})
    assert (empty["result"], list(empty["errors"])) == ("errors", ["reason"])
    assert (await ann.hears("modal"))["stack"][0]["errors"] == empty["errors"]
    done = await ann.post("submit", view_id=view["id"], values={"reason": {"text": "because"}})
    assert (done["result"], done["modal"]) == ("closed", [])
    assert (await ann.hears("modal"))["stack"] == []
    gone = await ann.post("close", 404, view_id=view["id"])
    assert gone["error"] == "no_such_view"


async def test_clicks_with_confirm_failure_and_success(
    workspace: Simulator, client: AsyncWebClient, bolt: AsyncApp, connect, page: Open
):
    ann = await page("ann")
    posted = await client.chat_postMessage(channel="#checkout", text="card", blocks=CARD)
    place = {"channel": posted["channel"], "ts": posted["ts"], "block_id": "decide"}
    silent = await ann.post("click", **place, action_id="approve")
    assert silent["outcome"]["reason"] == "not_connected"
    assert (await ann.hears("notice"))["where"]["action_id"] == "approve"
    asked = await ann.post("click", 409, **place, action_id="abort")
    assert asked["error"] == "confirmation_needed"
    assert asked["confirm"]["title"]["text"] == "Abort?"

    @bolt.action("abort")
    async def abort(ack):
        await ack()

    await connect(workspace, bolt)
    assert (await ann.hears("app"))["connected"] is True
    assert (await ann.post("click", **place, action_id="abort", confirmed=True))["outcome"] == {"answered": True}
    missing = await ann.post("click", 404, **place, action_id="promote")
    assert missing["message"] == "That is not there (any more). There is: Approve, Abort, Roll back / Details."


async def test_commands_and_their_refusals(page: Open):
    ann = await page("ann")
    failed = await ann.post("type", channel="#checkout", text="/release why")
    assert failed["outcome"]["answered"] is False
    assert failed["messages"][0]["author"]["kind"] == "slackbot"
    top = await ann.post("type", channel="#checkout", text="top")
    refused = await ann.post("type", 400, channel="#checkout", text="/release", thread_ts=top["message"]["ts"])
    assert refused["error"] == "command_in_thread"
    assert (await ann.post("type", 400, channel="#checkout", text="/what"))["error"] == "unknown_command"
    assert (await ann.post("type", 400, channel="#checkout", text=""))["error"] == "bad_request"
    assert (await ann.get("history", 404, channel="#nowhere"))["error"] == "no_such_channel"


async def test_ephemerals_stay_private_and_die_with_a_reload(client: AsyncWebClient, workspace: Simulator, page: Open):
    ann, bob = await page("ann"), await page("bob")
    await client.chat_postEphemeral(channel="#checkout", user=workspace.person("ann").id, text="psst")
    frame = await ann.hears("message")
    assert frame["message"]["ephemeral"] is True
    assert (await bob.get("history", channel="#checkout"))["messages"] == []
    await ann.post("reload")
    await ann.hears("reloaded")
    assert (await ann.get("history", channel="#checkout"))["messages"] == []


async def test_threads_reactions_edits_and_deletes_live(page: Open):
    ann, bob = await page("ann"), await page("bob")
    top = (await ann.post("type", channel="#checkout", text="top"))["message"]
    place = {"channel": top["channel"], "ts": top["ts"]}
    await bob.post("type", channel="#checkout", text="reply", thread_ts=top["ts"])
    assert (await ann.hears("message_changed"))["message"]["reply_count"] == 1
    thread = await ann.get("thread", **place)
    assert [message["text"] for message in thread["messages"]] == ["top", "reply"]
    await bob.post("react", **place, name="eyes")
    assert (await ann.hears("message_changed"))["message"]["reactions"][0]["name"] == "eyes"
    await ann.post("edit", **place, text="top!")
    assert (await bob.hears("message_changed"))["message"]["text"] in {"top", "top!"}
    assert (await bob.post("edit", 403, **place, text="mine"))["error"] == "not_yours"
    reply = thread["messages"][1]
    await bob.post("delete", channel=reply["channel"], ts=reply["ts"])
    assert (await ann.hears("message_deleted"))["ts"] == reply["ts"]


async def test_buttons_for_others_are_not_shown(client: AsyncWebClient, workspace: Simulator, page: Open):
    words = {"type": "plain_text", "text": "Approve"}
    button = {"type": "button", "text": words, "action_id": "a", "visible_to_user_ids": [workspace.person("bob").id]}
    other = {"type": "button", "text": {"type": "plain_text", "text": "Details"}, "action_id": "d"}
    await client.chat_postMessage(
        channel="#checkout", text="card", blocks=[{"type": "actions", "block_id": "b", "elements": [button, other]}]
    )
    counts, place = {}, {}
    for name in ("ann", "bob"):
        (shown,) = (await (await page(name)).get("history", channel="#checkout"))["messages"]
        counts[name] = len(shown["blocks"][0]["elements"])
        place = {"channel": shown["channel"], "ts": shown["ts"]}
    assert counts == {"ann": 1, "bob": 2}
    refused = await (await page("ann")).post("click", 404, **place, block_id="b", action_id="a")
    assert refused["error"] == "no_such_element"


async def test_files_go_up_and_come_down(workspace: Simulator, session: aiohttp.ClientSession, page: Open):
    ann = await page("ann")
    form = aiohttp.FormData({"as": "ann", "channel": "#secret", "text": "see"})
    form.add_field("file", b"it broke", filename="log.txt")
    async with session.post(f"{workspace.url}_sim/upload", data=form) as response:
        (file,) = (await response.json())["message"]["files"]
    async with session.get(workspace.url.rstrip("/") + file["url"], params={"as": "ann"}) as response:
        assert await response.read() == b"it broke"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    async with session.get(workspace.url.rstrip("/") + file["url"], params={"as": "bob"}) as response:
        assert response.status == 404
    assert (await ann.hears("message"))["message"]["files"] == [file]


async def test_joining_inviting_and_direct_messages(workspace: Simulator, page: Open):
    cleo = await page("cleo")
    refused = await cleo.post("type", 403, channel="#checkout", text="hello")
    assert refused["error"] == "not_a_member"
    await cleo.post("join", channel="#checkout")
    await cleo.hears("workspace")
    await cleo.post("type", channel="#checkout", text="hello")
    await cleo.post("invite", channel="#checkout", user="guest")
    direct = (await cleo.post("dm", user="ann"))["channel"]
    await cleo.post("type", channel=direct, text="psst")
    assert workspace.person("ann").sees(direct)[0].text == "psst"
    assert await (await page("bob")).get("history", 404, channel=direct)
    await cleo.post("leave", channel="#checkout")
    assert (await cleo.post("type", 403, channel="#checkout", text="x"))["error"] == "not_a_member"


@pytest.mark.parametrize("headers", [{"Host": "evil.test"}, {"Origin": "https://evil.test"}, {"Origin": "null"}])
async def test_foreign_pages_are_refused(workspace: Simulator, session: aiohttp.ClientSession, headers: Json):
    for address in ("", "_sim/workspace?as=ann", "page/index.html"):
        async with session.get(workspace.url + address, headers=headers) as response:
            assert response.status == 403
    async with session.post(f"{workspace.url}_sim/reload", json={"as": "ann"}, headers=headers) as response:
        assert response.status == 403


async def test_only_json_and_only_the_pages_own_files(workspace: Simulator, session: aiohttp.ClientSession):
    async with session.post(f"{workspace.url}_sim/reload", data="as=ann") as response:
        assert response.status == 400
    async with session.get(f"{workspace.url}page/..%2fserver.py") as response:
        assert response.status == 404
