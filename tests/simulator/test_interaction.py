"""What lasts 3 seconds, 30 minutes or five uses; view stacks, hashes and response URLs."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from simulator.people import Simulator
from simulator.tickets import Tickets

Json = dict[str, Any]


def modal(title: str = "Title", *blocks: Json, **fields: Any) -> Json:
    words = {"type": "plain_text", "text": title}
    divider = {"type": "divider"}
    return {"type": "modal", "title": words, "blocks": list(blocks) or [divider], **fields}


def field(block_id: str, action_id: str = "text") -> Json:
    element = {"type": "plain_text_input", "action_id": action_id}
    return {
        "type": "input",
        "block_id": block_id,
        "label": {"type": "plain_text", "text": block_id},
        "element": element,
    }


SEND = {"submit": {"type": "plain_text", "text": "Send"}}


@pytest.fixture
def tickets(workspace: Simulator) -> Tickets:
    return workspace.server.tickets


async def test_a_trigger_serves_once_and_three_seconds(
    client: AsyncWebClient, workspace: Simulator, tickets: Tickets, wall
):
    ann = workspace.person("ann")
    trigger = tickets.trigger(ann.id)
    await client.views_open(trigger_id=trigger, view=modal())
    with pytest.raises(SlackApiError, match="exchanged_trigger_id"):
        await client.views_open(trigger_id=trigger, view=modal())
    late = tickets.trigger(ann.id)
    wall.advance(3.1)
    with pytest.raises(SlackApiError, match="expired_trigger_id"):
        await client.views_open(trigger_id=late, view=modal())
    with pytest.raises(SlackApiError, match="invalid_trigger_id"):
        await client.views_open(trigger_id="made.up", view=modal())
    assert ann.modal is not None


async def test_three_views_are_the_most(client: AsyncWebClient, workspace: Simulator, tickets: Tickets):
    ann = workspace.person("ann")
    opened = await client.views_open(trigger_id=tickets.trigger(ann.id), view=modal("one"))
    await client.views_push(trigger_id=tickets.trigger(ann.id, opened["view"]["id"]), view=modal("two"))
    pushed = await client.views_push(trigger_id=tickets.trigger(ann.id, opened["view"]["id"]), view=modal("three"))
    assert pushed["view"]["root_view_id"] == opened["view"]["id"]
    with pytest.raises(SlackApiError, match="push_limit_reached"):
        await client.views_push(trigger_id=tickets.trigger(ann.id, opened["view"]["id"]), view=modal("four"))
    assert ann.modal is not None
    assert ann.modal.title == "three"
    two = await ann.modal.closes()
    assert two is not None
    assert two.title == "two"
    assert await two.closes(everything=True) is None


async def test_a_stale_hash_is_refused_and_typed_text_survives(
    client: AsyncWebClient, workspace: Simulator, tickets: Tickets
):
    ann = workspace.person("ann")
    opened = (await client.views_open(trigger_id=tickets.trigger(ann.id), view=modal("one", field("a"), **SEND)))[
        "view"
    ]
    assert ann.modal is not None
    workspace.server.pressing.fill(ann.modal.view, {"a": {"text": "typed"}})
    again = modal("two", field("a"), field("b"), **SEND)
    updated = await client.views_update(view_id=opened["id"], hash=opened["hash"], view=again)
    assert updated["view"]["state"]["values"]["a"]["text"]["value"] == "typed"
    assert updated["view"]["state"]["values"]["b"]["text"]["value"] is None
    with pytest.raises(SlackApiError, match="hash_conflict"):
        await client.views_update(view_id=opened["id"], hash=opened["hash"], view=again)
    await ann.modal.closes()
    with pytest.raises(SlackApiError, match="not_found"):
        await client.views_update(view_id=opened["id"], view=again)


async def test_external_ids_are_unique(client: AsyncWebClient, workspace: Simulator, tickets: Tickets):
    ann, bob = workspace.person("ann"), workspace.person("bob")
    await client.views_open(trigger_id=tickets.trigger(ann.id), view=modal("x", external_id="e1"))
    with pytest.raises(SlackApiError, match="duplicate_external_id"):
        await client.views_open(trigger_id=tickets.trigger(bob.id), view=modal("x", external_id="e1"))
    await client.views_update(external_id="e1", view=modal("y", external_id="e1"))
    assert ann.modal is not None
    assert ann.modal.title == "y"


async def test_illegal_views_are_refused(client: AsyncWebClient, workspace: Simulator, tickets: Tickets):
    ann = workspace.person("ann")
    for view in (modal("x" * 25), modal("x", field("a")), {"type": "home", "blocks": []}, modal("x", colour="red")):
        with pytest.raises(SlackApiError, match="invalid_"):
            await client.views_open(trigger_id=tickets.trigger(ann.id), view=view)
    assert ann.modal is None


async def test_a_response_url_serves_five_times(workspace: Simulator, session: aiohttp.ClientSession, wall):
    ann = workspace.person("ann")
    path = workspace.server.tickets.response_url(ann.id, workspace.channel("#quiet").id)
    address = workspace.url + path
    for number in range(5):
        async with session.post(address, json={"text": f"answer {number}"}) as response:
            assert response.status == 200
    async with session.post(address, json={"text": "one too many"}) as response:
        assert response.status == 404
        assert (await response.json())["error"] == "used_url"
    assert len(ann.sees("#quiet")) == 5, "where the bot is not, the URL posts all the same"
    assert workspace.channel("#quiet").messages == []
    late = workspace.url + workspace.server.tickets.response_url(ann.id, workspace.channel("#quiet").id)
    wall.advance(30 * 60 + 1)
    async with session.post(late, json={"text": "late"}) as response:
        assert (await response.json())["error"] == "expired_url"


async def test_a_response_url_replaces_and_deletes_what_was_clicked(
    workspace: Simulator, client: AsyncWebClient, session: aiohttp.ClientSession
):
    ann = workspace.person("ann")
    await client.chat_postEphemeral(channel="#checkout", user=ann.id, text="sure?")
    (shown,) = ann.sees("#checkout")
    url = workspace.url + workspace.server.tickets.response_url(ann.id, shown.channel, shown.ts, ephemeral=True)
    async with session.post(url, json={"replace_original": True, "text": "done"}) as response:
        assert response.status == 200
    assert shown.text == "done"
    async with session.post(url, json={"delete_original": True}) as response:
        assert response.status == 200
    assert ann.sees("#checkout") == []
    command = workspace.url + workspace.server.tickets.response_url(ann.id, shown.channel)
    async with session.post(command, json={"replace_original": True, "text": "x"}) as response:
        assert response.status == 400, "the typed command cannot be replaced"


async def test_a_response_url_in_a_thread_must_be_in_channel(
    workspace: Simulator, client: AsyncWebClient, session: aiohttp.ClientSession
):
    top = await client.chat_postMessage(channel="#checkout", text="card")
    ann = workspace.person("ann")
    url = workspace.url + workspace.server.tickets.response_url(ann.id, top["channel"], top["ts"])
    async with session.post(url, json={"text": "x", "thread_ts": top["ts"]}) as response:
        assert response.status == 400
    answer = {"text": "x", "thread_ts": top["ts"], "response_type": "in_channel", "replace_original": False}
    async with session.post(url, json=answer) as response:
        assert response.status == 200
    assert [message.text for message in workspace.thread(ann.sees("#checkout")[0])] == ["card", "x"]
