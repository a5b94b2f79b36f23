"""Judges block elements: each type's fields and limits, and which types a block may hold."""

from __future__ import annotations

from collections.abc import Callable

from simulator import limits
from simulator.composition import (
    confirm,
    conversation_filter,
    dispatch_config,
    image_source,
    initial_choice,
    option_groups,
    options,
    text_object,
)
from simulator.judge import Node

DATE = r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
TIME = r"([01]\d|2[0-3]):[0-5]\d"
SELECTS = frozenset({"static_select", "external_select", "users_select", "conversations_select", "channels_select"})
MULTI_SELECTS = frozenset(f"multi_{name}" for name in SELECTS)
PICKERS = frozenset({"datepicker", "timepicker"})
IN_SECTION = SELECTS | MULTI_SELECTS | PICKERS | {"button", "checkboxes", "image", "overflow", "radio_buttons"}
IN_ACTIONS = SELECTS | MULTI_SELECTS | PICKERS | {"button", "checkboxes", "datetimepicker", "overflow", "radio_buttons"}
IN_INPUT = (
    SELECTS
    | MULTI_SELECTS
    | PICKERS
    | {"checkboxes", "datetimepicker", "radio_buttons", "plain_text_input", "email_text_input"}
    | {"url_text_input", "number_input", "rich_text_input", "file_input"}
)
IN_CONTEXT_ACTIONS = frozenset({"feedback_buttons", "icon_button"})
MODAL_ONLY = frozenset({"file_input"})


def element(node: Node, allowed: frozenset[str], surface: str) -> None:
    """Judge one element standing where only `allowed` types may stand, on `message`, `modal` or `home`."""
    if not isinstance(node.value, dict):
        node.fault("must be an object")
        return
    kind = node.value.get("type")
    if not isinstance(kind, str) or kind not in JUDGES:
        node.fault(f"unsupported type: {kind}")
    elif kind not in allowed:
        node.fault(f"unsupported type: {kind} in this kind of block")
    elif kind in MODAL_ONLY and surface != "modal":
        node.fault(f"unsupported type: {kind} outside modals")
    else:
        node.string("action_id", limits.ACTION_ID)
        JUDGES[kind](node)


def _button(node: Node) -> None:
    fields = "action_id url value style confirm accessibility_label visible_to_user_ids"
    if not node.fields("text", fields):
        return
    text_object(node, "text", limits.BUTTON_TEXT, plain_only=True)
    node.string("url", limits.URL, pattern=r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
    node.string("value", limits.BUTTON_VALUE)
    node.string("accessibility_label", limits.ACCESSIBILITY_LABEL)
    node.one_of("style", {"primary", "danger"})
    _visible_to(node)
    confirm(node)


def _visible_to(node: Node) -> None:
    for item in node.items("visible_to_user_ids", limits.VISIBLE_TO):
        if not isinstance(item.value, str):
            item.fault("must be a string")


def _icon_button(node: Node) -> None:
    if node.fields("icon text", "action_id accessibility_label value visible_to_user_ids confirm"):
        node.one_of("icon", {"trash"})
        text_object(node, "text", limits.BUTTON_TEXT, plain_only=True)
        node.string("value", limits.BUTTON_VALUE)
        node.string("accessibility_label", limits.ACCESSIBILITY_LABEL)
        _visible_to(node)
        confirm(node)


def _feedback_buttons(node: Node) -> None:
    if node.fields("positive_button negative_button", "action_id"):
        for key in ("positive_button", "negative_button"):
            button = node.child(key)
            if button.fields("text value", "accessibility_label"):
                text_object(button, "text", limits.BUTTON_TEXT, plain_only=True)
                button.string("value", limits.BUTTON_VALUE)


def _image(node: Node) -> None:
    if node.fields("alt_text", "image_url slack_file"):
        image_source(node)


def _overflow(node: Node) -> None:
    if node.fields("options", "action_id confirm"):
        options(node, limits.OVERFLOW_MOST, plain_only=True, least=limits.OVERFLOW_LEAST, url=True)
        confirm(node)


def _checkboxes(node: Node) -> None:
    if node.fields("options", "action_id initial_options confirm focus_on_load"):
        offered = options(node, limits.CHOICES, plain_only=False)
        initial_choice(node, "initial_options", offered)
        _focus_and_confirm(node)


def _radio_buttons(node: Node) -> None:
    if node.fields("options", "action_id initial_option confirm focus_on_load"):
        offered = options(node, limits.CHOICES, plain_only=False)
        initial_choice(node, "initial_option", offered)
        _focus_and_confirm(node)


def _focus_and_confirm(node: Node) -> None:
    node.flag("focus_on_load")
    text_object(node, "placeholder", limits.PLACEHOLDER, plain_only=True)
    confirm(node)


def _static(node: Node) -> None:
    multi = node.value["type"].startswith("multi_")
    initial = "initial_options" if multi else "initial_option"
    extra = " max_selected_items" if multi else ""
    fields = f"options option_groups action_id placeholder confirm focus_on_load {initial}{extra}"
    if not node.fields("", fields):
        return
    if node.has("options") == node.has("option_groups"):
        node.fault("must have either options or option_groups")
    offered = options(node, limits.SELECT_OPTIONS, plain_only=True) + option_groups(node)
    initial_choice(node, initial, offered)
    node.whole("max_selected_items", 1, limits.SELECT_OPTIONS)
    _focus_and_confirm(node)


def _external(node: Node) -> None:
    multi = node.value["type"].startswith("multi_")
    extra = " initial_options max_selected_items" if multi else " initial_option"
    if node.fields("", f"action_id placeholder min_query_length confirm focus_on_load{extra}"):
        node.whole("min_query_length", 0, 1_000)
        node.whole("max_selected_items", 1, limits.SELECT_OPTIONS)
        _focus_and_confirm(node)


def _picker_of(noun: str) -> Callable[[Node], None]:
    def judge(node: Node) -> None:
        multi = node.value["type"].startswith("multi_")
        extra = f"initial_{noun}s max_selected_items" if multi else f"initial_{noun}"
        if noun == "conversation":
            extra += " default_to_current_conversation filter"
        if noun != "user" and not multi:
            extra += " response_url_enabled"
        if node.fields("", f"action_id placeholder confirm focus_on_load {extra}"):
            node.flag("default_to_current_conversation", "response_url_enabled")
            node.string(f"initial_{noun}", 255)
            node.items(f"initial_{noun}s", limits.SELECT_OPTIONS)
            node.whole("max_selected_items", 1, limits.SELECT_OPTIONS)
            conversation_filter(node)
            _focus_and_confirm(node)

    return judge


def _datepicker(node: Node) -> None:
    if node.fields("", "action_id placeholder initial_date confirm focus_on_load"):
        node.string("initial_date", 10, pattern=DATE)
        _focus_and_confirm(node)


def _timepicker(node: Node) -> None:
    if node.fields("", "action_id placeholder initial_time confirm focus_on_load timezone"):
        node.string("initial_time", 5, pattern=TIME)
        _focus_and_confirm(node)


def _datetimepicker(node: Node) -> None:
    if node.fields("", "action_id initial_date_time confirm focus_on_load"):
        node.whole("initial_date_time", 1_000_000_000, 9_999_999_999)
        _focus_and_confirm(node)


def _text_input(node: Node) -> None:
    fields = "action_id placeholder initial_value dispatch_action_config focus_on_load"
    if node.value["type"] == "plain_text_input":
        fields += " multiline min_length max_length"
    if not node.fields("", fields):
        return
    node.flag("multiline", "focus_on_load")
    least = node.whole("min_length", 0, limits.TEXT_INPUT)
    most = node.whole("max_length", 1, limits.TEXT_INPUT)
    if least is not None and most is not None and least > most:
        node.fault("min_length must not exceed max_length")
    node.string("initial_value", most or limits.TEXT_INPUT, least=0)
    text_object(node, "placeholder", limits.PLACEHOLDER, plain_only=True)
    dispatch_config(node)


def _number_input(node: Node) -> None:
    optional = "action_id placeholder initial_value min_value max_value dispatch_action_config focus_on_load"
    if node.fields("is_decimal_allowed", optional):
        node.flag("is_decimal_allowed", "focus_on_load")
        for key in ("initial_value", "min_value", "max_value"):
            node.string(key, 255, pattern=r"-?\d+(\.\d+)?")
        text_object(node, "placeholder", limits.PLACEHOLDER, plain_only=True)
        dispatch_config(node)


def _rich_text_input(node: Node) -> None:
    if node.fields("", "action_id placeholder initial_value dispatch_action_config focus_on_load"):
        node.flag("focus_on_load")
        text_object(node, "placeholder", limits.PLACEHOLDER, plain_only=True)
        dispatch_config(node)


def _file_input(node: Node) -> None:
    if node.fields("", "action_id filetypes max_files"):
        node.items("filetypes", 100)
        node.whole("max_files", 1, limits.FILE_INPUT)


JUDGES: dict[str, Callable[[Node], None]] = {
    "button": _button,
    "icon_button": _icon_button,
    "feedback_buttons": _feedback_buttons,
    "image": _image,
    "overflow": _overflow,
    "checkboxes": _checkboxes,
    "radio_buttons": _radio_buttons,
    "static_select": _static,
    "multi_static_select": _static,
    "external_select": _external,
    "multi_external_select": _external,
    "users_select": _picker_of("user"),
    "multi_users_select": _picker_of("user"),
    "conversations_select": _picker_of("conversation"),
    "multi_conversations_select": _picker_of("conversation"),
    "channels_select": _picker_of("channel"),
    "multi_channels_select": _picker_of("channel"),
    "datepicker": _datepicker,
    "timepicker": _timepicker,
    "datetimepicker": _datetimepicker,
    "plain_text_input": _text_input,
    "email_text_input": _text_input,
    "url_text_input": _text_input,
    "number_input": _number_input,
    "rich_text_input": _rich_text_input,
    "file_input": _file_input,
}
