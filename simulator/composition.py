"""Judges the parts which blocks and elements are composed of: texts, options, confirm dialogs, filters."""

from __future__ import annotations

from simulator import limits
from simulator.judge import Node


def text_object(parent: Node, key: str, most: int, *, plain_only: bool, least: int = 1) -> None:
    """Judge the optional text object under `key`, of `least` to `most` code points."""
    if not parent.has(key):
        return
    node = parent.child(key)
    if not node.fields("type text", "emoji verbatim"):
        return
    kind = node.value["type"]
    if kind not in {"plain_text", "mrkdwn"} or (plain_only and kind != "plain_text"):
        node.child("type").fault("must be plain_text" if plain_only else "must be plain_text or mrkdwn")
    if kind == "plain_text" and "verbatim" in node.value:
        node.fault("invalid additional property: verbatim")
    if kind == "mrkdwn" and "emoji" in node.value:
        node.fault("invalid additional property: emoji")
    node.flag("emoji", "verbatim")
    node.string("text", most, least)


def confirm(parent: Node) -> None:
    """Judge the optional confirm dialog of an element."""
    if not parent.has("confirm"):
        return
    node = parent.child("confirm")
    if node.fields("title text confirm deny", "style"):
        text_object(node, "title", limits.CONFIRM_TITLE, plain_only=True)
        text_object(node, "text", limits.CONFIRM_TEXT, plain_only=False)
        text_object(node, "confirm", limits.CONFIRM_BUTTON, plain_only=True)
        text_object(node, "deny", limits.CONFIRM_BUTTON, plain_only=True)
        node.one_of("style", {"primary", "danger"})


def option(node: Node, *, plain_only: bool, url: bool = False) -> None:
    """Judge one option object; `url` is allowed in overflow menus only."""
    if node.fields("text value", "description url" if url else "description"):
        text_object(node, "text", limits.OPTION_TEXT, plain_only=plain_only)
        text_object(node, "description", limits.OPTION_DESCRIPTION, plain_only=plain_only)
        node.string("value", limits.OPTION_VALUE)
        node.string("url", limits.URL)


def options(parent: Node, most: int, *, plain_only: bool, least: int = 1, url: bool = False) -> list[object]:
    """Judge the array of options under `options`; returns them for comparison with initial values."""
    nodes = parent.items("options", most, least)
    for node in nodes:
        option(node, plain_only=plain_only, url=url)
    values = [node.value.get("value") for node in nodes if isinstance(node.value, dict)]
    if len(values) != len(set(map(str, values))):
        parent.child("options").fault("option values must be unique")
    return [node.value for node in nodes]


def option_groups(parent: Node) -> list[object]:
    """Judge `option_groups` and return all options in them."""
    found: list[object] = []
    for group in parent.items("option_groups", limits.OPTION_GROUPS):
        if group.fields("label options"):
            text_object(group, "label", limits.OPTION_GROUP_LABEL, plain_only=True)
            found += options(group, limits.SELECT_OPTIONS, plain_only=True)
    return found


def initial_choice(parent: Node, key: str, offered: list[object]) -> None:
    """Check that an initial option, or each of several, is exactly one of those offered."""
    if not parent.has(key):
        return
    node = parent.child(key)
    if key.endswith("s"):
        for item in node.array(limits.SELECT_OPTIONS):
            if item.value not in offered:
                item.fault("initial_options must be among the options")
    elif node.value not in offered:
        node.fault("initial_option must be among the options")


def conversation_filter(parent: Node) -> None:
    """Judge the optional `filter` of a conversations select."""
    if not parent.has("filter"):
        return
    node = parent.child("filter")
    if node.fields("", "include exclude_external_shared_channels exclude_bot_users"):
        node.flag("exclude_external_shared_channels", "exclude_bot_users")
        for item in node.items("include", 4):
            if item.value not in {"im", "mpim", "private", "public"}:
                item.fault("must be one of: im, mpim, private, public")


def dispatch_config(parent: Node) -> None:
    """Judge the optional `dispatch_action_config` of a text input."""
    if not parent.has("dispatch_action_config"):
        return
    node = parent.child("dispatch_action_config")
    if node.fields("trigger_actions_on"):
        for item in node.items("trigger_actions_on", 2):
            if item.value not in {"on_enter_pressed", "on_character_entered"}:
                item.fault("must be one of: on_character_entered, on_enter_pressed")


def slack_file(parent: Node) -> None:
    """Judge the optional `slack_file` of an image: exactly one of id and url."""
    if not parent.has("slack_file"):
        return
    node = parent.child("slack_file")
    if node.fields("", "id url") and node.has("id") == node.has("url"):
        node.fault("must have either id or url")


def image_source(node: Node) -> None:
    """Judge what image blocks and elements share."""
    if node.has("image_url") == node.has("slack_file"):
        node.fault("must have either image_url or slack_file")
    node.string("image_url", limits.IMAGE_URL, pattern=r"https?://\S+")
    slack_file(node)
    node.string("alt_text", limits.ALT_TEXT)
