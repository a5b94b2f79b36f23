"""Forms: every kind of field arrives in Slack's `state.values`, and views follow the app's response_action."""

from __future__ import annotations

from typing import Any

import pytest
from slack_bolt.app.async_app import AsyncApp

from simulator.errors import Refused
from simulator.people import Modal, Simulator
from simulator.seen import AppSilent

Json = dict[str, Any]


def words(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def option(value: str) -> Json:
    return {"text": words(value.capitalize()), "value": value}


def field(kind: str, **more: Any) -> Json:
    return {
        "type": "input",
        "block_id": kind,
        "label": words(kind),
        "optional": True,
        "element": {"type": kind, "action_id": "it", **more},
    }


OPTIONS = [option("red"), option("blue")]
FIELDS = [
    field("plain_text_input", initial_value="as before", max_length=20),
    field("number_input", is_decimal_allowed=False, min_value="1"),
    field("email_text_input"),
    field("url_text_input"),
    field("static_select", options=OPTIONS, initial_option=OPTIONS[0]),
    field("multi_static_select", options=OPTIONS, max_selected_items=1),
    field("radio_buttons", options=OPTIONS),
    field("checkboxes", options=OPTIONS),
    field("users_select"),
    field("multi_users_select"),
    field("channels_select"),
    field("conversations_select", response_url_enabled=True),
    field("datepicker"),
    field("timepicker"),
    field("datetimepicker"),
]


def view(*blocks: Json, title: str = "Form", **more: Any) -> Json:
    return {
        "type": "modal",
        "callback_id": "form",
        "title": words(title),
        "submit": words("Send"),
        "blocks": list(blocks) or [{"type": "divider"}],
        **more,
    }


async def opened(workspace: Simulator, bolt: AsyncApp, connect: Any, shown: Json) -> Modal:
    @bolt.shortcut("release_actions")
    async def opens(ack, shortcut, client):
        await ack()
        await client.views_open(trigger_id=shortcut["trigger_id"], view=shown)

    await connect(workspace, bolt)
    answer = await workspace.person("ann").uses("release_actions")
    assert answer.modal is not None
    return answer.modal


async def test_every_kind_of_field_arrives_in_slacks_shape(workspace: Simulator, bolt: AsyncApp, connect):
    bodies = []

    @bolt.view("form")
    async def submitted(ack, body):
        await ack()
        bodies.append(body)

    modal = await opened(workspace, bolt, connect, view(*FIELDS))
    bob, channel = workspace.person("bob").id, workspace.channel("#checkout").id
    assert "as before" in modal
    await modal.submits(
        {
            "number_input": "3",
            "email_text_input": "ann@example.test",
            "url_text_input": "https://a.test/",
            "multi_static_select": ["blue"],
            "radio_buttons": "Blue",
            "checkboxes": ["red", "blue"],
            "users_select": "bob",
            "multi_users_select": ["bob"],
            "channels_select": "#checkout",
            "conversations_select": "#checkout",
            "datepicker": "2026-01-31",
            "timepicker": "14:05",
            "datetimepicker": 1_700_000_000,
        }
    )
    (body,) = bodies
    values = body["view"]["state"]["values"]
    held = {kind: next(value for key, value in state["it"].items() if key != "type") for kind, state in values.items()}
    assert all(state["it"]["type"] == kind for kind, state in values.items())
    assert held == {
        "plain_text_input": "as before",
        "number_input": "3",
        "email_text_input": "ann@example.test",
        "url_text_input": "https://a.test/",
        "static_select": OPTIONS[0],
        "multi_static_select": [OPTIONS[1]],
        "radio_buttons": OPTIONS[1],
        "checkboxes": OPTIONS,
        "users_select": bob,
        "multi_users_select": [bob],
        "channels_select": channel,
        "conversations_select": channel,
        "datepicker": "2026-01-31",
        "timepicker": "14:05",
        "datetimepicker": 1_700_000_000,
    }
    names = {kind: next(key for key in state["it"] if key != "type") for kind, state in values.items()}
    assert names["multi_static_select"] == names["checkboxes"] == "selected_options"
    assert (names["users_select"], names["multi_users_select"]) == ("selected_user", "selected_users")
    assert (names["datepicker"], names["datetimepicker"]) == ("selected_date", "selected_date_time")
    (asked,) = body["response_urls"]
    assert asked["channel_id"] == channel


WRONG: list[tuple[str, Any, str]] = [
    ("plain_text_input", "x" * 21, "at most 20"),
    ("number_input", "1.5", "whole number"),
    ("number_input", "0", "at least 1"),
    ("email_text_input", "ann", "valid email"),
    ("url_text_input", "a.test", "valid URL"),
]


@pytest.mark.parametrize(("name", "value", "sentence"), WRONG)
async def test_slacks_client_checks_before_it_sends(
    workspace: Simulator, bolt: AsyncApp, connect, name: str, value: Any, sentence: str
):
    modal = await opened(workspace, bolt, connect, view(*FIELDS))
    assert await modal.submits({name: value}) is not None
    assert sentence in modal.errors[name]


async def test_what_is_not_offered_cannot_be_chosen(workspace: Simulator, bolt: AsyncApp, connect):
    modal = await opened(workspace, bolt, connect, view(*FIELDS))
    for name, value in (
        ("static_select", "green"),
        ("multi_static_select", ["red", "blue"]),
        ("users_select", "nobody"),
        ("datepicker", "31.1.2026"),
        ("no_such_field", "x"),
    ):
        with pytest.raises(Refused):
            await modal.submits({name: value})


async def test_a_view_follows_update_push_and_clear(workspace: Simulator, bolt: AsyncApp, connect):
    answers: list[dict[str, Any]] = [
        {"response_action": "update", "view": view(title="Second")},
        {"response_action": "push", "view": view(title="Third")},
        {"response_action": "clear"},
    ]

    @bolt.view("form")
    async def submitted(ack):
        await ack(**answers.pop(0))

    modal: Modal | None = await opened(workspace, bolt, connect, view())
    titles = []
    while modal is not None:
        modal = await modal.submits()
        titles.append((modal.title if modal else None, len(workspace.workspace.modals[workspace.person("ann").id])))
    assert titles == [("Second", 1), ("Third", 2), (None, 0)]


@pytest.mark.parametrize(
    "answer",
    [
        {"response_action": "errors", "errors": {"nowhere": "x"}},
        {"response_action": "update", "view": view(title="x" * 25)},
    ],
)
async def test_an_answer_slack_refuses_keeps_the_view(workspace: Simulator, bolt: AsyncApp, connect, answer: Json):
    @bolt.view("form")
    async def submitted(ack):
        await ack(**answer)

    modal = await opened(workspace, bolt, connect, view(field("plain_text_input")))
    with pytest.raises(AppSilent, match="bad_answer"):
        await modal.submits({"plain_text_input": "x"})
    ann = workspace.person("ann")
    assert ann.modal is not None
    assert "trouble connecting" in ann.notices[-1]


async def test_a_field_tells_the_app_only_when_it_dispatches(workspace: Simulator, bolt: AsyncApp, connect):
    heard = []

    @bolt.action("it")
    async def chosen(ack, body):
        await ack()
        heard.append((body["container"], body["actions"][0]["selected_option"]["value"]))
        assert body["view"]["state"]["values"]["radio_buttons"]["it"]["selected_option"]["value"] == "blue"

    loud = {**field("radio_buttons", options=OPTIONS), "dispatch_action": True}
    modal = await opened(workspace, bolt, connect, view(loud, field("static_select", options=OPTIONS)))
    await modal.chooses("Red", menu="static_select")
    assert heard == []
    await modal.chooses("Blue", menu="radio_buttons")
    assert heard == [({"type": "view", "view_id": modal.view.id}, "blue")]


async def test_a_card_keeps_what_each_person_chose(workspace: Simulator, bolt: AsyncApp, connect):
    states = []

    @bolt.action("go")
    async def go(ack, body):
        await ack()
        states.append(body["state"]["values"]["row"]["pick"]["selected_option"])

    @bolt.action("pick")
    async def pick(ack):
        await ack()

    await connect(workspace, bolt)
    select = {"type": "static_select", "action_id": "pick", "options": OPTIONS}
    button = {"type": "button", "action_id": "go", "text": words("Go")}
    blocks = [{"type": "actions", "block_id": "row", "elements": [select, button]}]
    await bolt.client.chat_postMessage(channel="#checkout", text="card", blocks=blocks)
    card = workspace.channel("#checkout").messages[0]
    await workspace.person("ann").chooses("Blue", on=card)
    for name in ("ann", "bob"):
        await workspace.person(name).presses("Go", on=card)
    assert states == [OPTIONS[1], None]


async def test_outsiders_have_no_commands_but_may_press(workspace: Simulator, bolt: AsyncApp, connect):
    @bolt.action("go")
    async def go(ack, body, say):
        await ack()
        await say(f"Not for {body['user']['team_id']}")

    await connect(workspace, bolt)
    guest = workspace.person("guest")
    workspace.workspace.join(guest.id, workspace.workspace.channel("#checkout"))
    with pytest.raises(Refused, match="not a valid command"):
        await guest.types("#checkout", "/release why")
    button = {"type": "button", "action_id": "go", "text": words("Go")}
    await bolt.client.chat_postMessage(
        channel="#checkout", text="card", blocks=[{"type": "actions", "elements": [button]}]
    )
    assert "Not for T0999" in await guest.presses("Go", on=workspace.channel("#checkout").messages[0])
