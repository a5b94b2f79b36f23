"""The Web API through slack_sdk's own client: answers, refusals, scopes, pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from simulator.api import METHODS
from simulator.people import Simulator

DIVIDERS = [{"type": "divider"}]


class Refusal:
    """What a refused call was answered with."""

    answer: Any = None


@asynccontextmanager
async def refused(code: str) -> AsyncIterator[Refusal]:
    """Expect a Slack error."""
    refusal = Refusal()
    with pytest.raises(SlackApiError) as raised:
        yield refusal
    refusal.answer = raised.value.response
    assert refusal.answer["error"] == code


def grant(workspace: Simulator, *, without: str) -> None:
    app = workspace.workspace.app
    app.scopes -= {without}


async def test_who_am_i(client: AsyncWebClient, workspace: Simulator):
    answer = await client.auth_test()
    assert (answer["user_id"], answer["bot_id"], answer["team_id"]) == ("U0B01", "B0001", "T0001")
    assert "chat:write" in answer.headers["x-oauth-scopes"]
    assert (await client.api_test())["ok"]
    assert (await client.team_info())["team"]["name"] == "Example Shop"
    assert (await client.bots_info(bot="B0001"))["bot"]["app_id"] == "A0001"


async def test_tokens_are_checked(workspace: Simulator, session: aiohttp.ClientSession):
    for token, code in (("", "not_authed"), ("xoxb-wrong", "invalid_auth"), ("xapp-test", "not_allowed_token_type")):
        async with refused(code):
            await AsyncWebClient(token, base_url=workspace.api_url, session=session).auth_test()


async def test_a_token_in_the_address_is_refused(workspace: Simulator, session: aiohttp.ClientSession):
    async with session.post(f"{workspace.api_url}auth.test?token=xoxb-test") as response:
        assert await response.json() == {"ok": False, "error": "invalid_auth"}


async def test_unknown_methods_and_arguments_are_refused(client: AsyncWebClient):
    async with refused("unknown_method"):
        await client.api_call("chat.shout")
    async with refused("invalid_arguments") as refusal:
        await client.chat_postMessage(channel="#checkout", text="x", colour="red")
    assert refusal.answer["response_metadata"]["messages"] == ["[ERROR] unknown argument: colour"]
    async with refused("invalid_arguments"):
        await client.api_call("chat.postMessage", json={"text": "where?"})


async def test_bodies_that_are_not_json_are_refused(workspace: Simulator, session: aiohttp.ClientSession):
    headers = {"Authorization": "Bearer xoxb-test", "Content-Type": "application/json"}
    for body, code in ((b"{", "invalid_json"), (b"[]", "json_not_object")):
        async with session.post(f"{workspace.api_url}auth.test", data=body, headers=headers) as response:
            assert (await response.json())["error"] == code


async def test_a_missing_scope_is_named(client: AsyncWebClient, workspace: Simulator):
    grant(workspace, without="chat:write")
    async with refused("missing_scope") as refusal:
        await client.chat_postMessage(channel="#checkout", text="x")
    assert refusal.answer["needed"] == "chat:write"
    assert "chat:write" not in refusal.answer["provided"].split(",")
    assert refusal.answer.headers["x-accepted-oauth-scopes"] == "chat:write"


async def test_posting_editing_and_deleting(client: AsyncWebClient, workspace: Simulator):
    posted = await client.chat_postMessage(channel="#checkout", text="one", blocks=DIVIDERS)
    message = workspace.channel("#checkout").messages[0]
    assert message.blocks[0]["block_id"], "Slack makes up ids"
    again = await client.chat_update(channel=posted["channel"], ts=posted["ts"], text="two")
    assert again["ts"] == posted["ts"]
    assert (message.text, message.blocks) == ("two", []), "text alone removes the blocks"
    assert message.message.edited is not None
    link = (await client.chat_getPermalink(channel=posted["channel"], message_ts=posted["ts"]))["permalink"]
    assert link == f"{workspace.url}archives/{posted['channel']}/p{posted['ts'].replace('.', '')}"
    await client.chat_delete(channel=posted["channel"], ts=posted["ts"])
    assert workspace.channel("#checkout").messages == []
    async with refused("message_not_found"):
        await client.chat_update(channel=posted["channel"], ts=posted["ts"], text="three")


async def test_timestamps_never_repeat_nor_go_back(client: AsyncWebClient):
    stamps = [(await client.chat_postMessage(channel="#checkout", text="x"))["ts"] for _ in range(5)]
    assert sorted(set(stamps)) == stamps
    assert all(len(stamp.split(".")[1]) == 6 for stamp in stamps)


async def test_only_own_messages_can_be_edited(client: AsyncWebClient, workspace: Simulator):
    said = await workspace.person("ann").says("#checkout", "mine")
    async with refused("cant_update_message"):
        await client.chat_update(channel=said.channel, ts=said.ts, text="yours")
    async with refused("cant_delete_message"):
        await client.chat_delete(channel=said.channel, ts=said.ts)


@pytest.mark.parametrize(
    ("channel", "code"),
    [("#quiet", "not_in_channel"), ("#secret", "channel_not_found"), ("C9999", "channel_not_found")],
)
async def test_the_bot_posts_only_where_it_is(client: AsyncWebClient, channel: str, code: str):
    async with refused(code):
        await client.chat_postMessage(channel=channel, text="x")


async def test_public_posting_needs_its_scope(client: AsyncWebClient, workspace: Simulator):
    workspace.workspace.app.scopes |= {"chat:write.public"}
    await client.chat_postMessage(channel="#quiet", text="x")
    async with refused("missing_scope") as refusal:
        await client.chat_postMessage(channel="#quiet", text="x", username="somebody")
    assert refusal.answer["needed"] == "chat:write.customize"


async def test_text_limits_of_post_and_update(client: AsyncWebClient, workspace: Simulator):
    posted = await client.chat_postMessage(channel="#checkout", text="x" * 40_001)
    assert len(workspace.channel("#checkout").messages[0].text) == 40_000
    place = {"channel": posted["channel"], "ts": posted["ts"]}
    await client.chat_update(**place, text="🚀" * 4_000)
    async with refused("msg_too_long"):
        await client.chat_update(**place, text="x" * 4_001)
    async with refused("no_text"):
        await client.api_call("chat.postMessage", json={"channel": "#checkout"})
    async with refused("markdown_text_conflict"):
        await client.chat_postMessage(channel="#checkout", text="x", markdown_text="y")
    async with refused("msg_blocks_too_long"):
        section = {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 2_700}}
        await client.chat_postMessage(channel="#checkout", text="x", blocks=[section] * 5)


async def test_illegal_blocks_say_where(client: AsyncWebClient):
    async with refused("invalid_blocks") as refusal:
        await client.chat_postMessage(channel="#checkout", text="x", blocks=DIVIDERS * 51)
    assert refusal.answer["response_metadata"]["messages"] == [
        "[ERROR] no more than 50 items allowed [json-pointer:/blocks]"
    ]
    async with refused("invalid_blocks_format"):
        await client.api_call("chat.postMessage", json={"channel": "#checkout", "text": "x", "blocks": "{"})
    async with refused("invalid_blocks"):
        await client.blocks_validate(blocks=[{"type": "nonsense"}])
    assert (await client.blocks_validate(blocks=DIVIDERS))["ok"]


async def test_without_text_slack_reads_the_blocks(client: AsyncWebClient, workspace: Simulator):
    header: dict[str, Any] = {"type": "header", "text": {"type": "plain_text", "text": "Promoted"}}
    with pytest.warns(UserWarning, match="top-level `text` argument is missing"):
        await client.chat_postMessage(channel="#checkout", blocks=[header])
    assert workspace.channel("#checkout").messages[0].text == "Promoted"


async def test_threads_and_broadcasts(client: AsyncWebClient, workspace: Simulator):
    top = await client.chat_postMessage(channel="#checkout", text="card")
    place = {"channel": top["channel"], "thread_ts": top["ts"]}
    reply = await client.chat_postMessage(**place, text="one")
    await client.chat_postMessage(**place, text="two", reply_broadcast=True)
    replies = await client.conversations_replies(channel=top["channel"], ts=top["ts"])
    assert [message["text"] for message in replies["messages"]] == ["card", "one", "two"]
    assert replies["messages"][0]["reply_count"] == 2
    history = await client.conversations_history(channel=top["channel"])
    assert [message["text"] for message in history["messages"]] == ["two", "card"]
    async with refused("thread_not_found"):
        await client.chat_postMessage(channel=top["channel"], thread_ts="1.000001", text="x")
    async with refused("cannot_reply_to_message"):
        await client.chat_postMessage(channel=top["channel"], thread_ts=reply["ts"], text="x")
    await client.chat_delete(channel=top["channel"], ts=top["ts"])
    assert workspace.channel("#checkout").messages[0].message.subtype == "tombstone"


async def test_metadata_comes_back_only_when_asked_for(client: AsyncWebClient):
    metadata = {"event_type": "card", "event_payload": {"key": "k1"}}
    posted = await client.chat_postMessage(channel="#checkout", text="x", metadata=metadata)
    place = {"channel": posted["channel"]}
    assert "metadata" not in (await client.conversations_history(**place))["messages"][0]
    shown = await client.conversations_history(**place, include_all_metadata=True)
    assert shown["messages"][0]["metadata"] == metadata
    await client.chat_update(**place, ts=posted["ts"], text="y")
    shown = await client.conversations_replies(**place, ts=posted["ts"], include_all_metadata=True)
    assert shown["messages"][0]["metadata"] == metadata, "an update keeps it"
    await client.chat_update(**place, ts=posted["ts"], text="z", metadata={})
    shown = await client.conversations_history(**place, include_all_metadata=True)
    assert "metadata" not in shown["messages"][0]
    async with refused("invalid_metadata_format"):
        await client.chat_postMessage(**place, text="x", metadata={"event_type": "card"})


async def test_ephemerals_reach_one_member_and_die_with_a_reload(client: AsyncWebClient, workspace: Simulator):
    ann, bob, cleo = (workspace.person(name) for name in ("ann", "bob", "cleo"))
    shown = await client.chat_postEphemeral(channel="#checkout", user=ann.id, text="only you")
    assert [message.plain for message in ann.sees("#checkout")] == ["only you"]
    assert bob.sees("#checkout") == []
    async with refused("user_not_in_channel"):
        await client.chat_postEphemeral(channel="#checkout", user=cleo.id, text="x")
    channel = workspace.channel("#checkout").id
    async with refused("message_not_found"):
        await client.chat_update(channel=channel, ts=shown["message_ts"], text="x")
    ann.reloads()
    assert ann.sees("#checkout") == []


async def test_conversations_by_page_and_type(client: AsyncWebClient, workspace: Simulator):
    first = await client.conversations_list(limit=1)
    second = await client.conversations_list(limit=1, cursor=first["response_metadata"]["next_cursor"])
    assert [first["channels"][0]["name"], second["channels"][0]["name"]] == ["checkout", "quiet"]
    assert second["response_metadata"]["next_cursor"] == ""
    private = await client.conversations_list(types="private_channel")
    assert [channel["name"] for channel in private["channels"]] == ["ops"]
    names = [page["channels"][0]["name"] async for page in await client.conversations_list(limit=1)]
    assert names == ["checkout", "quiet"]
    async with refused("invalid_cursor"):
        await client.conversations_list(cursor="!")
    async with refused("invalid_types"):
        await client.conversations_list(types="secret")
    grant(workspace, without="groups:read")
    async with refused("missing_scope"):
        await client.conversations_list(types="private_channel")


async def test_history_by_page_and_time(client: AsyncWebClient):
    stamps = [(await client.chat_postMessage(channel="#checkout", text=str(number)))["ts"] for number in range(5)]
    channel = (await client.conversations_list())["channels"][0]["id"]
    texts = [
        message["text"]
        async for page in await client.conversations_history(channel=channel, limit=2)
        for message in page["messages"]
    ]
    assert texts == ["4", "3", "2", "1", "0"]
    some = await client.conversations_history(channel=channel, oldest=stamps[1], latest=stamps[3])
    assert [message["text"] for message in some["messages"]] == ["2"]
    some = await client.conversations_history(channel=channel, oldest=stamps[1], latest=stamps[3], inclusive=True)
    assert [message["text"] for message in some["messages"]] == ["3", "2", "1"]


async def test_joining_and_opening(client: AsyncWebClient, workspace: Simulator):
    quiet, ops = workspace.channel("#quiet").id, workspace.channel("#ops").id
    assert (await client.conversations_join(channel=quiet))["channel"]["is_member"]
    assert (await client.conversations_join(channel=quiet))["warning"] == "already_in_channel"
    async with refused("method_not_supported_for_channel_type"):
        await client.conversations_join(channel=ops)
    ann = workspace.person("ann")
    opened = await client.conversations_open(users=[ann.id])
    assert (await client.chat_postMessage(channel=ann.id, text="psst"))["channel"] == opened["channel"]["id"]
    assert (await client.conversations_info(channel=opened["channel"]["id"]))["channel"]["is_im"]
    async with refused("user_not_found"):
        await client.conversations_open(users="U9999")


async def test_people_and_groups(client: AsyncWebClient, workspace: Simulator):
    ann, bob = workspace.person("ann"), workspace.person("bob")
    found = await client.users_lookupByEmail(email="ann@example.test")
    assert found["user"]["id"] == ann.id
    assert (await client.users_info(user=ann.id))["user"]["real_name"] == "Ann Archer"
    async with refused("users_not_found"):
        await client.users_lookupByEmail(email="nobody@example.test")
    members = [user["name"] async for page in await client.users_list(limit=2) for user in page["members"]]
    assert members == ["app", "ann", "bob", "cleo", "guest"]
    (group,) = (await client.usergroups_list(include_users=True))["usergroups"]
    assert (group["handle"], group["users"]) == ("approvers", [bob.id])
    assert (await client.usergroups_users_list(usergroup=group["id"]))["users"] == [bob.id]
    grant(workspace, without="users:read.email")
    assert "email" not in (await client.users_info(user=ann.id))["user"]["profile"]


async def test_reactions_pins_and_bookmarks(client: AsyncWebClient, workspace: Simulator):
    said = await workspace.person("ann").says("#checkout", "look")
    place = {"channel": said.channel, "timestamp": said.ts}
    await client.reactions_add(**place, name="eyes")
    async with refused("already_reacted"):
        await client.reactions_add(**place, name="eyes")
    await client.pins_add(**place)
    async with refused("already_pinned"):
        await client.pins_add(**place)
    made = await client.bookmarks_add(channel_id=said.channel, title="Runbook", type="link", link="https://a.test/")
    assert made["bookmark"]["title"] == "Runbook"
    assert said.message.reactions == {"eyes": ["U0B01"]}
    assert workspace.channel("#checkout").channel.pins == [said.ts]


async def test_files_go_up_in_three_steps(client: AsyncWebClient, workspace: Simulator):
    top = await client.chat_postMessage(channel="#checkout", text="card")
    answer = await client.files_upload_v2(
        channel=top["channel"], thread_ts=top["ts"], filename="log.txt", content="it broke", initial_comment="the log"
    )
    reply = workspace.thread(workspace.channel("#checkout").messages[0])[1]
    assert reply.plain == "the log\n[file log.txt]"
    file = (await client.files_info(file=answer["files"][0]["id"]))["file"]
    assert (file["size"], file["mimetype"]) == (8, "text/plain")
    async with refused("file_not_found"):
        await client.files_completeUploadExternal(files=[{"id": "F9999"}])


async def test_every_method_the_client_needs_is_there():
    needed = """api.test auth.test apps.connections.open bots.info blocks.validate chat.postMessage chat.update
        chat.delete chat.postEphemeral chat.getPermalink conversations.list conversations.info conversations.members
        conversations.open conversations.history conversations.replies conversations.join users.list users.info
        users.lookupByEmail usergroups.list usergroups.users.list views.open views.push views.update views.publish
        reactions.add files.getUploadURLExternal files.completeUploadExternal files.info team.info oauth.v2.access
        pins.add bookmarks.add"""
    assert set(needed.split()) <= set(METHODS)
