"""What the fields of a form hold: initial values, what a person chose, and Slack's `state.values` shape."""

from __future__ import annotations

import re
from typing import Any

from simulator.block_kit import elements_of
from simulator.elements import DATE, TIME
from simulator.errors import Refused
from simulator.records import Json
from simulator.workspace import Workspace

TEXT_TYPES = {"plain_text_input", "email_text_input", "url_text_input", "number_input"}
STATELESS = {"button", "overflow", "image", "icon_button", "feedback_buttons"}
Values = dict[str, dict[str, Json]]


def fields_of(blocks: list[Json]) -> list[tuple[Json, Json]]:
    """Return (block, element) for every element that holds a value."""
    return [(block, item) for block in blocks for item in elements_of([block]) if item.get("type") not in STATELESS]


def initial_values(blocks: list[Json], kept: Values | None = None) -> Values:
    """Return the form state of `blocks`; values in `kept` under the same ids and type survive."""
    values: Values = {}
    for block, item in fields_of(blocks):
        before = (kept or {}).get(block["block_id"], {}).get(item["action_id"])
        state = before if before is not None and before["type"] == item["type"] else _initial(item)
        values.setdefault(block["block_id"], {})[item["action_id"]] = state
    return values


def _key(kind: str) -> str:
    """Return the name under which Slack reports the value of an element of `kind`."""
    special = {
        "checkboxes": "selected_options",
        "radio_buttons": "selected_option",
        "datepicker": "selected_date",
        "timepicker": "selected_time",
        "datetimepicker": "selected_date_time",
        "rich_text_input": "rich_text_value",
        "file_input": "files",
    }
    if kind in TEXT_TYPES:
        return "value"
    if kind in special:
        return special[kind]
    noun = kind.removeprefix("multi_").removesuffix("_select")
    singular = {"static": "option", "external": "option"}.get(noun, noun.removesuffix("s"))
    return f"selected_{singular}s" if kind.startswith("multi_") else f"selected_{singular}"


def is_many(kind: str) -> bool:
    """Say whether an element of this type holds a list."""
    return kind.startswith("multi_") or kind in {"checkboxes", "file_input"}


def _initial(item: Json) -> Json:
    kind = item["type"]
    key = _key(kind)
    source = f"initial_{key.removeprefix('selected_').removeprefix('rich_text_')}"
    if kind == "file_input":
        return {"type": kind, key: []}
    return {"type": kind, key: item.get(source, [] if is_many(kind) else None)}


def chosen(workspace: Workspace, item: Json, value: Any, found: list[Json] | None = None) -> Json:
    """Return the state of element `item` once `value` was chosen plainly; raises `Refused` when it cannot be.

    `found` are the options an external select was answered with.
    """
    kind = item["type"]
    key = _key(kind)
    if is_many(kind):
        if value is not None and not isinstance(value, list):
            raise Refused("bad_request", "This takes a list of values.")
        values = value or []
        most = item.get("max_selected_items") or item.get("max_files")
        if most and len(values) > most:
            raise Refused("choice_not_offered", f"At most {most} may be chosen here.")
        return {"type": kind, key: [_one(workspace, item, each, found) for each in values]}
    return {"type": kind, key: None if value is None or value == "" else _one(workspace, item, value, found)}


def _one(workspace: Workspace, item: Json, value: Any, found: list[Json] | None) -> Any:
    kind = item["type"].removeprefix("multi_")
    if kind in {"static_select", "radio_buttons", "checkboxes", "external_select"}:
        offered = found if kind == "external_select" else options_of(item)
        return _option(offered or [], value)
    if kind == "users_select":
        return workspace.user(str(value)).id
    if kind in {"channels_select", "conversations_select"}:
        return workspace.channel(str(value)).id
    patterns = {"datepicker": DATE, "timepicker": TIME, "number_input": r"-?\d+(\.\d+)?"}
    if kind in patterns and not re.fullmatch(patterns[kind], str(value)):
        raise Refused("bad_request", f"{value!r} is not what a {kind} takes.")
    if kind == "datetimepicker":
        return int(value)
    if kind == "rich_text_input":
        section = {"type": "rich_text_section", "elements": [{"type": "text", "text": str(value)}]}
        return {"type": "rich_text", "elements": [section]}
    return value if kind == "file_input" else str(value)


def options_of(item: Json) -> list[Json]:
    """Return all options of an element, those in groups too."""
    groups = item.get("option_groups") or []
    return list(item.get("options") or []) + [option for group in groups for option in group["options"]]


def _option(offered: list[Json], value: Any) -> Json:
    """Find an option by its value, or by the text a person reads."""
    for option in offered:
        if value in {option["value"], option["text"]["text"]}:
            return option
    names = ", ".join(option["text"]["text"] for option in offered) or "nothing"
    raise Refused("choice_not_offered", f"{value!r} is not offered here. There is: {names}.")


def missing(block: Json, item: Json, state: Json) -> str | None:
    """Return what Slack's client says about a field before it sends a form, or None when it is fine."""
    value = state[_key(item["type"])]
    if value in (None, [], ""):
        return None if block.get("optional") else "Please complete this required field."
    if item["type"] in TEXT_TYPES:
        return _text_fault(item, str(value))
    return None


def _text_fault(item: Json, value: str) -> str | None:
    kind = item["type"]
    if len(value) < item.get("min_length", 0):
        return f"Must be at least {item['min_length']} characters."
    if len(value) > item.get("max_length", 3_000):
        return f"Must be at most {item.get('max_length', 3_000)} characters."
    if kind == "email_text_input" and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", value):
        return "Please enter a valid email address."
    if kind == "url_text_input" and not re.fullmatch(r"https?://\S+", value):
        return "Please enter a valid URL."
    if kind == "number_input":
        if not item["is_decimal_allowed"] and "." in value:
            return "Please enter a whole number."
        if "min_value" in item and float(value) < float(item["min_value"]):
            return f"Must be at least {item['min_value']}."
        if "max_value" in item and float(value) > float(item["max_value"]):
            return f"Must be at most {item['max_value']}."
    return None


def with_ids(blocks: list[Json], prefix: str) -> list[Json]:
    """Return `blocks` with a `block_id` and `action_id` made up wherever none was given, as Slack does."""
    filled = []
    for number, block in enumerate(blocks):
        block = {**block, "block_id": block.get("block_id") or f"{prefix}-{number}"}
        for key in ("accessory", "element"):
            if isinstance(block.get(key), dict) and block[key].get("type") != "image":
                block[key] = {**block[key], "action_id": block[key].get("action_id") or f"{prefix}-{number}-a"}
        for key in ("elements", "actions"):
            if block["type"] in {"actions", "context_actions", "card"} and block.get(key):
                block[key] = [
                    {**item, "action_id": item.get("action_id") or f"{prefix}-{number}-{index}"}
                    for index, item in enumerate(block[key])
                ]
        if block["type"] == "carousel":
            block["elements"] = with_ids(block["elements"], f"{prefix}-{number}")
        filled.append(block)
    return filled
