"""What people read: mrkdwn, blocks and typed names as plain text."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.config import setup_from
from simulator.rendering import plain_blocks, plain_text
from simulator.typing_text import as_escaped_command, as_message
from simulator.workspace import Workspace


@pytest.fixture
def shop() -> Workspace:
    config = {"users": [{"name": "ann", "id": "U1"}], "groups": [{"handle": "ops", "id": "S1"}]}
    return setup_from({**config, "channels": [{"name": "checkout", "id": "C1"}]}, lambda: 0.0)


@pytest.mark.parametrize(
    ("mrkdwn", "plain"),
    [
        ("*bold* _it_ ~gone~ `code`", "bold it gone code"),
        ("snake_case_name 2*3*4", "snake_case_name 2*3*4"),
        ("<@U1> <#C1> <!subteam^S1> <!here>", "@ann #checkout @ops @here"),
        ("<@U9|zoe> <#C9|old> <!subteam^S9|@gone>", "@zoe #old @gone"),
        ("<https://a.test/|the runbook> <https://b.test/>", "the runbook https://b.test/"),
        ("<!date^1700000000^{date_short}|14 Nov>", "14 Nov"),
        ("1 &lt; 2 &amp;&amp; 3 &gt; 2 &amp;lt;", "1 < 2 && 3 > 2 &lt;"),
    ],
)
def test_text_reads_as_people_see_it(shop: Workspace, mrkdwn: str, plain: str):
    assert plain_text(shop, mrkdwn) == plain


@pytest.mark.parametrize(
    ("typed", "message", "command"),
    [
        ("hi @ann", "hi <@U1>", "hi <@U1|ann>"),
        ("#checkout.", "<#C1|checkout>.", "<#C1|checkout>."),
        ("@ops @here", "<!subteam^S1> <!here>", "<!subteam^S1|@ops> <!here>"),
        ("@nobody #nowhere a@ann", "@nobody #nowhere a@ann", "@nobody #nowhere a@ann"),
        ("a<b & <!channel>", "a&lt;b &amp; &lt;!channel&gt;", "a&lt;b &amp; &lt;!channel&gt;"),
        ("see https://a.test/@ann", "see <https://a.test/@ann>", "see <https://a.test/@ann>"),
    ],
)
def test_typed_names_become_ids(shop: Workspace, typed: str, message: str, command: str):
    assert as_message(shop, typed) == message
    assert as_escaped_command(shop, typed) == command


def words(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}


def test_blocks_read_line_by_line(shop: Workspace):
    pieces = [
        {"type": "text", "text": "by "},
        {"type": "user", "user_id": "U1"},
        {"type": "text", "text": " in "},
        {"type": "channel", "channel_id": "C1"},
        {"type": "emoji", "name": "tada"},
        {"type": "link", "url": "https://a.test/"},
    ]
    item = {"type": "rich_text_section", "elements": [{"type": "text", "text": "one"}]}
    button = {"type": "button", "text": words("Approve"), "action_id": "a"}
    menu = {"type": "overflow", "options": [{"text": words("Roll back"), "value": "r"}]}
    select = {"type": "static_select", "placeholder": words("Service"), "options": [{"text": words("A"), "value": "a"}]}
    image = {"type": "image", "image_url": "https://a.test/i.png", "alt_text": "chart"}
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": words("Release")},
        {
            "type": "section",
            "text": {"type": "mrkdwn", "text": "*1.4.2*"},
            "fields": [words("f1")],
            "accessory": select,
        },
        {"type": "divider"},
        {"type": "context", "elements": [words("by ann"), image]},
        {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": pieces}]},
        {"type": "rich_text", "elements": [{"type": "rich_text_list", "style": "bullet", "elements": [item]}]},
        {"type": "markdown", "text": "# Plan"},
        {"type": "table", "rows": [[{"type": "raw_text", "text": "a"}, {"type": "raw_number", "value": 2}]]},
        {**image, "title": words("Errors")},
        {"type": "actions", "elements": [button, menu]},
    ]
    assert plain_blocks(shop, blocks).splitlines() == [
        "Release",
        "1.4.2",
        "f1",
        "[Service: A]",
        "by ann  [image: chart]",
        "by @ann in #checkout:tada:https://a.test/",
        "• one",
        "# Plan",
        "a | 2",
        "Errors",
        "[image: chart]",
        "[Approve] [… Roll back]",
    ]
