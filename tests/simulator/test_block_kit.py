"""Block Kit's limits, each one inside and one over; what slack_sdk builds is accepted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from slack_sdk.models import blocks as sdk
from slack_sdk.models.blocks.block_elements import FileInputElement
from slack_sdk.models.views import View

from simulator.block_kit import judge_blocks, judge_view

Json = dict[str, Any]


def plain(text: str = "words") -> Json:
    return {"type": "plain_text", "text": text}


def mrkdwn(text: str = "words") -> Json:
    return {"type": "mrkdwn", "text": text}


def option(number: int = 0, **fields: Any) -> Json:
    return {"text": plain(f"option {number}"), "value": f"v{number}", **fields}


def options(count: int) -> list[Json]:
    return [option(number) for number in range(count)]


def actions(*elements: Json) -> Json:
    return {"type": "actions", "elements": list(elements)}


def button(**fields: Any) -> Json:
    return {"type": "button", "text": plain(), **fields}


def section(**fields: Any) -> Json:
    return {"type": "section", "text": mrkdwn(), **fields}


def input_of(element: Json, **fields: Any) -> Json:
    return {"type": "input", "label": plain(), "element": element, **fields}


def confirm(**fields: Any) -> Json:
    return {"title": plain(), "text": mrkdwn(), "confirm": plain(), "deny": plain(), **fields}


def modal(*blocks: Json, **fields: Any) -> Json:
    return {"type": "modal", "title": plain(), "submit": plain(), "blocks": list(blocks), **fields}


def emoji(length: int) -> str:
    """Text of `length` code points, each two UTF-16 units and four bytes."""
    return "🚀" * length


Build = Callable[[int], Json]
LIMITS: dict[str, tuple[int, Build]] = {
    "section text": (3000, lambda n: section(text=mrkdwn(emoji(n)))),
    "header": (150, lambda n: {"type": "header", "text": plain(emoji(n))}),
    "fields": (10, lambda n: {"type": "section", "fields": [mrkdwn()] * n}),
    "field text": (2000, lambda n: {"type": "section", "fields": [mrkdwn("x" * n)]}),
    "context elements": (10, lambda n: {"type": "context", "elements": [mrkdwn()] * n}),
    "actions elements": (25, lambda n: actions(*[button() for _ in range(n)])),
    "block_id": (255, lambda n: {"type": "divider", "block_id": "x" * n}),
    "action_id": (255, lambda n: actions(button(action_id="x" * n))),
    "button text": (75, lambda n: actions(button(text=plain(emoji(n))))),
    "button value": (2000, lambda n: actions(button(value="x" * n))),
    "button url": (3000, lambda n: actions(button(url="https://a.test/".ljust(n, "x")))),
    "accessibility_label": (75, lambda n: actions(button(accessibility_label="x" * n))),
    "confirm title": (100, lambda n: actions(button(confirm=confirm(title=plain("x" * n))))),
    "confirm text": (300, lambda n: actions(button(confirm=confirm(text=mrkdwn("x" * n))))),
    "confirm button": (30, lambda n: actions(button(confirm=confirm(confirm=plain("x" * n))))),
    "confirm deny": (30, lambda n: actions(button(confirm=confirm(deny=plain("x" * n))))),
    "overflow options": (5, lambda n: actions({"type": "overflow", "options": options(n)})),
    "select options": (100, lambda n: actions({"type": "static_select", "options": options(n)})),
    "option groups": (
        100,
        lambda n: actions(
            {"type": "static_select", "option_groups": [{"label": plain(), "options": [option(i)]} for i in range(n)]}
        ),
    ),
    "option text": (75, lambda n: actions({"type": "static_select", "options": [option(text=plain("x" * n))]})),
    "option value": (150, lambda n: actions({"type": "static_select", "options": [option(value="x" * n)]})),
    "option description": (
        75,
        lambda n: actions({"type": "static_select", "options": [option(description=plain("x" * n))]}),
    ),
    "placeholder": (
        150,
        lambda n: actions({"type": "static_select", "options": options(1), "placeholder": plain("x" * n)}),
    ),
    "radio buttons": (10, lambda n: actions({"type": "radio_buttons", "options": options(n)})),
    "checkboxes": (10, lambda n: actions({"type": "checkboxes", "options": options(n)})),
    "image url": (
        3000,
        lambda n: {"type": "image", "alt_text": "x", "image_url": "https://a.test/".ljust(n, "x")},
    ),
    "alt text": (2000, lambda n: {"type": "image", "alt_text": "x" * n, "image_url": "https://a.test/x.png"}),
    "markdown": (12000, lambda n: {"type": "markdown", "text": "x" * n}),
    "table rows": (100, lambda n: {"type": "table", "rows": [[{"type": "raw_text", "text": "x"}]] * n}),
    "table columns": (20, lambda n: {"type": "table", "rows": [[{"type": "raw_text", "text": "x"}] * n]}),
    "table text": (10000, lambda n: {"type": "table", "rows": [[{"type": "raw_text", "text": "x" * n}]]}),
    "input label": (2000, lambda n: input_of({"type": "plain_text_input"}, label=plain("x" * n))),
    "input hint": (2000, lambda n: input_of({"type": "plain_text_input"}, hint=plain("x" * n))),
    "input max_length": (3000, lambda n: input_of({"type": "plain_text_input", "max_length": n})),
    "visible_to_user_ids": (10, lambda n: actions(button(visible_to_user_ids=["U1"] * n))),
}


@pytest.mark.parametrize("name", LIMITS)
def test_each_limit_holds_to_the_last_one(name: str):
    most, build = LIMITS[name]
    assert judge_blocks([build(most)], "message") == []
    (fault, *_) = judge_blocks([build(most + 1)], "message")
    assert fault.startswith("[ERROR] ")
    assert "[json-pointer:/blocks/0" in fault


@pytest.mark.parametrize(("surface", "most"), [("message", 50), ("modal", 100), ("home", 100)])
def test_blocks_are_counted_by_surface(surface: str, most: int):
    divider = {"type": "divider"}
    assert judge_blocks([divider] * most, surface) == []
    assert judge_blocks([divider] * (most + 1), surface) == [
        f"[ERROR] no more than {most} items allowed [json-pointer:/blocks]"
    ]


VIEW_LIMITS: dict[str, tuple[int, Build]] = {
    "title": (24, lambda n: modal(title=plain(emoji(n)))),
    "submit": (24, lambda n: modal(submit=plain("x" * n))),
    "close": (24, lambda n: modal(close=plain("x" * n))),
    "private_metadata": (3000, lambda n: modal(private_metadata="x" * n)),
    "callback_id": (255, lambda n: modal(callback_id="x" * n)),
    "alert": (200, lambda n: modal({"type": "alert", "text": mrkdwn("x" * n)})),
    "file input": (10, lambda n: modal(input_of({"type": "file_input", "max_files": n}))),
}


@pytest.mark.parametrize("name", VIEW_LIMITS)
def test_each_limit_of_views_holds_to_the_last_one(name: str):
    most, build = VIEW_LIMITS[name]
    assert judge_view(build(most)) == []
    assert judge_view(build(most + 1)) != []


WRONG: dict[str, tuple[Any, str]] = {
    "not a list": ({"type": "divider"}, "must be an array"),
    "not an object": (["divider"], "must be an object"),
    "no type": ([{"text": "x"}], "unsupported type: None"),
    "unknown block": ([{"type": "sektion"}], "unsupported type: sektion"),
    "unknown element": ([actions({"type": "knob"})], "unsupported type: knob"),
    "misplaced element": ([actions({"type": "plain_text_input"})], "unsupported type: plain_text_input"),
    "button as an input": ([input_of(button())], "unsupported type: button"),
    "extra property": ([{"type": "divider", "colour": "red"}], "invalid additional property: colour"),
    "empty text": ([section(text=mrkdwn(""))], "must be more than 0 characters"),
    "section of nothing": ([{"type": "section"}], "text or fields"),
    "header in mrkdwn": ([{"type": "header", "text": mrkdwn()}], "must be plain_text"),
    "button in mrkdwn": ([actions(button(text=mrkdwn()))], "must be plain_text"),
    "button of another style": ([actions(button(style="loud"))], "must be one of: danger, primary"),
    "half a confirm": ([actions(button(confirm={"title": plain()}))], "missing required field: text"),
    "no elements": ([actions()], "at least 1 item"),
    "block_id twice": ([{"type": "divider", "block_id": "a"}] * 2, "`block_id` 'a' already exists"),
    "action_id twice": ([actions(button(action_id="a"), button(action_id="a"))], "`action_id` 'a' already exists"),
    "alert in a message": ([{"type": "alert", "text": mrkdwn()}], "alert is not allowed on this surface (message)"),
    "options and groups": (
        [actions({"type": "static_select", "options": options(1), "option_groups": []})],
        "either options or option_groups",
    ),
    "initial option not offered": (
        [actions({"type": "static_select", "options": options(1), "initial_option": option(7)})],
        "among the options",
    ),
    "option values twice": ([actions({"type": "overflow", "options": [option(1), option(1)]})], "must be unique"),
    "a day that is none": ([actions({"type": "datepicker", "initial_date": "2026-13-01"})], "required pattern"),
    "image of no source": ([{"type": "image", "alt_text": "x"}], "either image_url or slack_file"),
    "cell of another type": ([{"type": "table", "rows": [[{"type": "text"}]]}], "unsupported type: text"),
    "flag in words": ([input_of({"type": "plain_text_input", "multiline": "yes"})], "must be a boolean"),
    "rich text piece": (
        [{"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [{"type": "smell"}]}]}],
        "unsupported type: smell",
    ),
    "two long markdown blocks": (
        [{"type": "markdown", "text": "x" * 7000}, {"type": "markdown", "text": "x" * 7000}],
        "markdown blocks together",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(name: str):
    blocks, words = WRONG[name]
    assert any(words in fault for fault in judge_blocks(blocks, "message")), judge_blocks(blocks, "message")


def test_faults_point_at_their_place():
    faults = judge_blocks([section(), actions(button(text=plain("x" * 76)))], "message")
    assert faults == ["[ERROR] must be less than 76 characters [json-pointer:/blocks/1/elements/0/text/text]"]


def test_a_view_with_an_input_needs_a_submit():
    view = modal(input_of({"type": "plain_text_input"}))
    assert judge_view(view) == []
    del view["submit"]
    assert judge_view(view) != []


def test_a_table_stays_out_of_modals_and_file_inputs_in_them():
    table = {"type": "table", "rows": [[{"type": "raw_text", "text": "x"}]]}
    assert judge_view(modal(table)) != []
    assert judge_view({"type": "home", "blocks": [table]}) == []
    assert judge_blocks([input_of({"type": "file_input"})], "message") != []


def test_only_one_field_takes_the_focus():
    field = {"type": "plain_text_input", "focus_on_load": True}
    assert judge_view(modal(input_of(field))) == []
    assert judge_view(modal(input_of(field), input_of(field))) != []


def sdk_option() -> sdk.Option:
    return sdk.Option(text="One", value="1", description="first")


SDK_BLOCKS = [
    sdk.DividerBlock(),
    sdk.HeaderBlock(text="Header", block_id="h"),
    sdk.SectionBlock(text="*bold*", fields=["a", "b"], accessory=sdk.ButtonElement(text="Go", action_id="go")),
    sdk.SectionBlock(
        text="pick", accessory=sdk.OverflowMenuElement(options=[sdk_option(), sdk.Option(text="2", value="2")])
    ),
    sdk.ContextBlock(
        elements=[sdk.MarkdownTextObject(text="x"), sdk.ImageElement(image_url="https://a.test/i.png", alt_text="i")]
    ),
    sdk.ImageBlock(image_url="https://a.test/i.png", alt_text="i", title="Title"),
    sdk.MarkdownBlock(text="# Title"),
    sdk.TableBlock(rows=[[sdk.RawTextObject(text="a").to_dict(), {"type": "raw_number", "value": 1}]]),
    sdk.ActionsBlock(
        elements=[
            sdk.ButtonElement(
                text="Roll back",
                style="danger",
                value="v",
                confirm=sdk.ConfirmObject(title="Sure?", text="Really", confirm="Yes", deny="No"),
            ),
            sdk.LinkButtonElement(text="Docs", url="https://a.test/"),
            sdk.StaticSelectElement(
                placeholder="p", action_id="s", options=[sdk_option()], initial_option=sdk_option()
            ),
            sdk.ExternalDataSelectElement(placeholder="p", action_id="e", min_query_length=2),
            sdk.UserSelectElement(placeholder="p", action_id="u", initial_user="U1"),
            sdk.ConversationSelectElement(placeholder="p", action_id="c", default_to_current_conversation=True),
            sdk.ChannelSelectElement(placeholder="p", action_id="ch"),
            sdk.DatePickerElement(action_id="d", initial_date="2026-01-31"),
            sdk.TimePickerElement(action_id="t", initial_time="23:59"),
            sdk.DateTimePickerElement(action_id="dt", initial_date_time=1_700_000_000),
            sdk.RadioButtonsElement(action_id="r", options=[sdk_option()]),
            sdk.CheckboxesElement(action_id="k", options=[sdk_option()]),
        ]
    ),
    *[
        sdk.InputBlock(label="Label", hint="Hint", optional=True, element=element)
        for element in [
            sdk.PlainTextInputElement(action_id="p", multiline=True, min_length=1, max_length=3000),
            sdk.EmailInputElement(action_id="m"),
            sdk.UrlInputElement(action_id="w"),
            sdk.NumberInputElement(action_id="n", is_decimal_allowed=False, min_value="1", max_value="9"),
            sdk.StaticMultiSelectElement(placeholder="p", action_id="ms", options=[sdk_option()], max_selected_items=2),
            sdk.UserMultiSelectElement(placeholder="p", action_id="mu", initial_users=["U1"]),
            sdk.ChannelMultiSelectElement(placeholder="p", action_id="mc"),
            sdk.ConversationMultiSelectElement(
                placeholder="p",
                action_id="mv",
                filter=sdk.ConversationFilter(include=["public"], exclude_bot_users=True),
            ),
            sdk.ExternalDataMultiSelectElement(placeholder="p", action_id="me"),
            sdk.RichTextInputElement(action_id="rt"),
        ]
    ],
    sdk.RichTextBlock(
        elements=[
            sdk.RichTextSectionElement(
                elements=[
                    sdk.RichTextElementParts.Text(text="hi", style=sdk.RichTextElementParts.TextStyle(bold=True)),
                    sdk.RichTextElementParts.Link(url="https://a.test/"),
                    sdk.RichTextElementParts.User(user_id="U1"),
                    sdk.RichTextElementParts.Emoji(name="wave"),
                ]
            ),
            sdk.RichTextListElement(
                style="bullet",
                elements=[sdk.RichTextSectionElement(elements=[sdk.RichTextElementParts.Text(text="a")])],
            ),
        ]
    ),
]


@pytest.mark.parametrize("block", SDK_BLOCKS, ids=lambda block: f"{block.type}")
def test_what_the_sdk_builds_is_legal(block: sdk.Block):
    block.validate_json()
    assert judge_blocks([block.to_dict()], "message") == []


def test_a_view_of_the_sdk_is_legal():
    view = View(
        type="modal",
        title="Title",
        submit="Send",
        close="Cancel",
        callback_id="c",
        private_metadata="",
        notify_on_close=True,
        blocks=[
            sdk.AlertBlock(text="careful", level="warning"),
            sdk.InputBlock(label="L", element=FileInputElement(max_files=2)),
        ],
    )
    assert judge_view(view.to_dict()) == []
