"""Read Slack's payloads: who sent it, where it happened, and what one delivery is called."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Payload = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who sent a payload; `team` is the workspace they belong to, or their organisation in a grid."""

    user: str
    name: str = ""
    team: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where something happened, for the answer. `thread` is empty outside threads; `is_broadcast` is seen in both."""

    channel: str = ""
    thread: str = ""
    message: str = ""
    response_url: str = ""
    is_broadcast: bool = False


def sender(body: Payload, *, home: frozenset[str]) -> Sender:
    """Return who sent a command, an interaction or an event; where a grid's organisation is ours, so is its member."""
    if "event" in body:
        event = body["event"]
        team = event.get("user_team") or event.get("source_team") or event.get("team") or ""
        return Sender(user=_text(event.get("user")), team=_text(team))
    if "user_id" in body:
        enterprise = _text(body.get("enterprise_id"))
        team = enterprise if enterprise in home else _text(body.get("team_id"))
        return Sender(user=_text(body["user_id"]), name=_text(body.get("user_name")), team=team)
    user = body.get("user") or {}
    own_enterprise = _text((body.get("enterprise") or {}).get("id"))
    team = _text(user.get("team_id"))
    if own_enterprise in home and own_enterprise and team == _text((body.get("team") or {}).get("id")):
        team = own_enterprise
    return Sender(user=_text(user.get("id")), name=_text(user.get("username") or user.get("name")), team=team)


def place(body: Payload) -> Place:
    """Return where a payload comes from; a global shortcut and a modal come from nowhere."""
    if "event" in body:
        event = body["event"]
        channel = event.get("channel")
        return Place(
            channel=channel if isinstance(channel, str) else "",
            thread=_text(event.get("thread_ts")),
            message=_text(event.get("ts")),
        )
    if "channel_id" in body:
        return Place(channel=_text(body["channel_id"]), response_url=_text(body.get("response_url")))
    container = body.get("container") or {}
    message = body.get("message") or {}
    thread = _text(container.get("thread_ts") or message.get("thread_ts"))
    ts = _text(container.get("message_ts") or message.get("ts") or body.get("message_ts"))
    return Place(
        channel=_text((body.get("channel") or {}).get("id") or container.get("channel_id")),
        # The first message of a thread carries the thread's own ts: whoever clicks it is in the channel.
        thread=thread if thread != ts else "",
        message=ts,
        response_url=_text(body.get("response_url")),
        is_broadcast=message.get("subtype") == "thread_broadcast",
    )


def delivery(body: Payload) -> str:
    """Return the name of one delivery: the same for Slack's retries of it, another for another click."""
    if "event_id" in body:
        return f"slack:{body['event_id']}"
    if body.get("type") == "view_submission":
        # One modal submitted twice with the same words is one act, however it comes to be sent twice.
        view = body["view"]
        return f"slack:view:{view.get('id', '')}:{_digest(view.get('state', {}))}"
    if trigger := body.get("trigger_id"):
        return f"slack:{trigger}"
    return f"slack:{_digest(body)}"


def reference(key: str) -> str:
    """Return four characters by which somebody's trouble is found in the log."""
    return hashlib.sha256(key.encode()).hexdigest()[:4].upper()


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
