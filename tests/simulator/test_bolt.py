"""A real Bolt app, over Socket Mode and over signed HTTP, lives in the workspace as it would in Slack."""

from __future__ import annotations

from typing import Any

import pytest
from slack_bolt.app.async_app import AsyncApp

from simulator.errors import Refused
from simulator.people import Simulator
from simulator.seen import AppSilent

CARD: list[dict[str, Any]] = [
    {"type": "section", "text": {"type": "mrkdwn", "text": "*checkout* 1.4.2 waits for approval"}},
    {
        "type": "actions",
        "block_id": "decide",
        "elements": [
            {
                "type": "button",
                "action_id": "approve",
                "value": "r1",
                "text": {"type": "plain_text", "text": "Approve"},
            },
            {
                "type": "button",
                "action_id": "abort",
                "style": "danger",
                "text": {"type": "plain_text", "text": "Abort"},
                "confirm": {
                    "title": {"type": "plain_text", "text": "Abort?"},
                    "text": {"type": "mrkdwn", "text": "checkout 1.4.2 in *prod*"},
                    "confirm": {"type": "plain_text", "text": "Abort"},
                    "deny": {"type": "plain_text", "text": "Keep"},
                },
            },
            {
                "type": "overflow",
                "action_id": "more",
                "options": [
                    {"text": {"type": "plain_text", "text": "Roll back"}, "value": "roll-back"},
                    {"text": {"type": "plain_text", "text": "Details"}, "value": "details"},
                ],
            },
        ],
    },
]
REASON: dict[str, Any] = {
    "type": "modal",
    "callback_id": "pause",
    "notify_on_close": True,
    "title": {"type": "plain_text", "text": "Pause"},
    "submit": {"type": "plain_text", "text": "Pause"},
    "blocks": [
        {
            "type": "input",
            "block_id": "reason",
            "label": {"type": "plain_text", "text": "Why?"},
            "element": {"type": "plain_text_input", "action_id": "text"},
        }
    ],
}
BOTH = pytest.mark.parametrize("transport", ["socket", "http"])


@BOTH
async def test_a_command_is_answered_in_its_acknowledgement(workspace: Simulator, bolt: AsyncApp, connect, transport):
    heard = {}

    @bolt.command("/release")
    async def release(ack, command):
        heard.update(command)
        await ack(f"Hello <@{command['user_id']}>")

    await connect(workspace, bolt, transport)
    ann, bob = workspace.person("ann"), workspace.person("bob")

    answer = await ann.types("#checkout", "/release why @bob in #checkout & <now>")

    assert str(answer) == "Hello @ann"
    assert answer.message.ephemeral
    assert bob.sees("#checkout") == []
    channel = workspace.channel("#checkout").id
    assert heard["text"] == f"why <@{bob.id}|bob> in <#{channel}|checkout> &amp; &lt;now&gt;"
    assert heard["channel_name"] == "checkout"
    assert heard["response_url"].startswith(workspace.url)


@BOTH
async def test_a_command_may_answer_the_whole_channel(workspace: Simulator, bolt: AsyncApp, connect, transport):
    @bolt.command("/raw")
    async def raw(ack, command):
        await ack(text=command["text"], response_type="in_channel")

    await connect(workspace, bolt, transport)
    await workspace.person("ann").types("#checkout", "/raw look @bob")

    assert [str(message) for message in workspace.person("bob").sees("#checkout")] == ["look @bob"]
    assert workspace.channel("#checkout").messages[0].text == "look @bob", "without should_escape it comes as typed"


async def test_a_command_in_a_thread_is_refused_as_slack_does(workspace: Simulator):
    ann = workspace.person("ann")
    top = await ann.says("#checkout", "a thread")
    with pytest.raises(Refused, match=r"/release is not supported in threads. Sorry!"):
        await ann.types("#checkout", "/release why", thread=top)


async def test_an_unknown_command_never_reaches_the_app(workspace: Simulator):
    with pytest.raises(Refused, match="/nonsense is not a valid command"):
        await workspace.person("ann").types("#checkout", "/nonsense")


@BOTH
async def test_a_click_edits_the_card_and_everybody_sees_it(workspace: Simulator, bolt: AsyncApp, connect, transport):
    clicks = []

    @bolt.action("approve")
    async def approve(ack, body, client):
        await ack()
        clicks.append(body)
        await client.chat_update(
            channel=body["channel"]["id"], ts=body["container"]["message_ts"], text="Approved by bob", blocks=CARD[:1]
        )
        await client.chat_postEphemeral(channel=body["channel"]["id"], user=body["user"]["id"], text="Noted")

    await connect(workspace, bolt, transport)
    posted = await bolt.client.chat_postMessage(channel="#checkout", text="checkout 1.4.2 waits", blocks=CARD)
    card = workspace.channel("#checkout").messages[0]
    assert card.buttons == ["Approve", "Abort", "Roll back / Details"]

    answer = await workspace.person("bob").presses("Approve", on=card)

    assert [str(message) for message in answer.messages] == ["Noted"]
    assert card.text == "Approved by bob"
    assert card.buttons == []
    (body,) = clicks
    assert body["actions"][0]["value"] == "r1"
    assert body["message"]["ts"] == posted["ts"] == body["container"]["message_ts"]
    assert body["user"]["username"] == "bob"


async def test_dangerous_buttons_want_their_dialog_confirmed(workspace: Simulator, bolt: AsyncApp, connect):
    @bolt.action("abort")
    async def abort(ack, say):
        await ack()
        await say("Aborted")

    await connect(workspace, bolt)
    await bolt.client.chat_postMessage(channel="#checkout", text="card", blocks=CARD)
    card, bob = workspace.channel("#checkout").messages[0], workspace.person("bob")

    with pytest.raises(Refused, match=r"checkout 1\.4\.2 in") as refused:
        await bob.presses("Abort", on=card)
    assert refused.value.code == "confirmation_needed"
    assert "Aborted" in await bob.presses("Abort", on=card, confirm=True)


async def test_pressing_what_is_not_there_lists_what_is(workspace: Simulator, bolt: AsyncApp):
    await bolt.client.chat_postMessage(channel="#checkout", text="card", blocks=CARD)
    card = workspace.channel("#checkout").messages[0]
    with pytest.raises(Refused, match=r"There is no button 'Promote'.*'Approve', 'Abort'"):
        await workspace.person("bob").presses("Promote", on=card)
    with pytest.raises(Refused, match="Roll back / Details"):
        await workspace.person("bob").chooses("Pause", on=card, menu="less")


@BOTH
async def test_a_menu_opens_a_modal_which_is_corrected_then_submitted(
    workspace: Simulator, bolt: AsyncApp, connect, transport
):
    @bolt.action("more")
    async def more(ack, body, client):
        await ack()
        assert body["actions"][0]["selected_option"]["value"] == "roll-back"
        await client.views_open(trigger_id=body["trigger_id"], view=REASON)

    @bolt.view("pause")
    async def submitted(ack, view, client):
        reason = view["state"]["values"]["reason"]["text"]["value"]
        if len(reason) < 5:
            await ack(response_action="errors", errors={"reason": "Say more."})
            return
        await ack()
        await client.chat_postMessage(channel="#checkout", text=f"Paused: {reason}")

    await connect(workspace, bolt, transport)
    await bolt.client.chat_postMessage(channel="#checkout", text="card", blocks=CARD)
    card, ann = workspace.channel("#checkout").messages[0], workspace.person("ann")

    opened = await ann.chooses("Roll back", on=card)

    modal = opened.modal
    assert modal is not None
    assert (modal.title, modal.labels) == ("Pause", ["Why?"])
    assert await modal.submits({}) is not None
    assert modal.errors == {"reason": "Please complete this required field."}
    assert await modal.submits({"Why?": "no"}) is not None
    assert modal.errors == {"reason": "Say more."}
    assert await modal.submits({"reason": "error rate rises"}) is None
    assert workspace.channel("#checkout").messages[-1].text == "Paused: error rate rises"


async def test_closing_a_modal_is_heard_when_asked_for(workspace: Simulator, bolt: AsyncApp, connect):
    closed = []

    @bolt.shortcut("release_actions")
    async def shortcut(ack, shortcut, client):
        await ack()
        assert "channel" not in shortcut
        assert "response_url" not in shortcut
        await client.views_open(trigger_id=shortcut["trigger_id"], view=REASON)

    @bolt.view_closed("pause")
    async def gone(ack, body):
        await ack()
        closed.append(body["is_cleared"])

    await connect(workspace, bolt)
    ann = workspace.person("ann")
    opened = await ann.uses("Release actions")
    assert opened.modal is not None
    await opened.modal.closes()
    assert ann.modal is None
    assert closed == [False]


@BOTH
async def test_a_mention_in_a_thread_is_answered_there(workspace: Simulator, bolt: AsyncApp, connect, transport):
    @bolt.event("app_mention")
    async def mention(event, say):
        await say(text=f"You said {event['text']}", thread_ts=event.get("thread_ts", event["ts"]))

    @bolt.event("message")
    async def message():
        return None

    await connect(workspace, bolt, transport)
    ann = workspace.person("ann")
    top = await ann.says("#checkout", "how is it going?")
    await ann.says("#checkout", "@app status", thread=top)

    assert [str(message) for message in workspace.thread(top)] == [
        "how is it going?",
        "@app status",
        "You said @app status",
    ]


async def test_a_message_shortcut_carries_the_message(workspace: Simulator, bolt: AsyncApp, connect):
    @bolt.shortcut("feedback_add")
    async def add(ack, shortcut, respond):
        await ack()
        await respond(f"Logged: {shortcut['message']['text']}")

    await connect(workspace, bolt)
    ann = workspace.person("ann")
    message = await workspace.person("bob").says("#checkout", "the button is too small")
    assert "Logged: the button is too small" in await ann.uses("Log as feedback", on=message)


async def test_app_home_is_published_when_opened(workspace: Simulator, bolt: AsyncApp, connect):
    @bolt.event("app_home_opened")
    async def opened(event, client):
        blocks = [{"type": "section", "text": {"type": "plain_text", "text": f"Welcome {event['tab']}"}}]
        await client.views_publish(user_id=event["user"], view={"type": "home", "blocks": blocks})

    await connect(workspace, bolt)
    assert await workspace.person("ann").opens_home() == "Welcome home"
    assert workspace.person("bob").home is None


@BOTH
async def test_silence_shows_as_in_slack(workspace: Simulator, bolt: AsyncApp, connect, transport):
    await connect(workspace, bolt, transport)
    await bolt.client.chat_postMessage(channel="#checkout", text="card", blocks=CARD)
    card, ann = workspace.channel("#checkout").messages[0], workspace.person("ann")
    reason = "timeout" if transport == "socket" else "http_error"

    with pytest.raises(AppSilent, match=reason):
        await ann.presses("Approve", on=card)
    assert ann.notices == ["This app did not respond"]
    with pytest.raises(AppSilent, match=reason):
        await ann.types("#checkout", "/release why")
    last = ann.sees("#checkout")[-1]
    assert last.ephemeral
    assert '/release failed with the error "' in last


async def test_without_any_connection_people_are_told(workspace: Simulator):
    with pytest.raises(AppSilent, match="not_connected"):
        await workspace.person("ann").types("#checkout", "/release why")
    assert "dispatch_failed" in workspace.person("ann").sees("#checkout")[-1]


async def test_an_external_select_asks_the_app(workspace: Simulator, bolt: AsyncApp, connect):
    @bolt.options("service")
    async def look_up(ack, payload):
        names = ["checkout", "checkin", "search"]
        found = [name for name in names if name.startswith(payload["value"])]
        await ack(options=[{"text": {"type": "plain_text", "text": name.upper()}, "value": name} for name in found])

    chosen = []

    @bolt.action("service")
    async def picked(ack, action):
        await ack()
        chosen.append(action["selected_option"]["value"])

    await connect(workspace, bolt)
    block = {
        "type": "section",
        "text": {"type": "mrkdwn", "text": "Which service?"},
        "accessory": {"type": "external_select", "action_id": "service", "min_query_length": 2},
    }
    await bolt.client.chat_postMessage(channel="#checkout", text="Which service?", blocks=[block])
    card, ann = workspace.channel("#checkout").messages[0], workspace.person("ann")

    assert await ann.searches("c", menu="service", on=card) == []
    assert await ann.searches("check", menu="service", on=card) == ["CHECKOUT", "CHECKIN"]
    await ann.chooses("CHECKIN", on=card, menu="service")
    assert chosen == ["checkin"]
    with pytest.raises(Refused, match="CHECKOUT, CHECKIN"):
        await ann.chooses("search", on=card, menu="service")
