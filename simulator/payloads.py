"""The interaction payloads Slack sends: commands, clicks, forms, shortcuts and suggestions, as its reference shows."""

from __future__ import annotations

from typing import Any

from simulator.records import Channel, Json, Message, User, View
from simulator.shapes import message_shape, view_shape
from simulator.tickets import Tickets
from simulator.workspace import Workspace


class Payloads:
    """Builds payloads for one workspace, handing out trigger ids and response URLs on the way."""

    def __init__(self, workspace: Workspace, tickets: Tickets) -> None:
        self._workspace = workspace
        self._tickets = tickets

    def command(self, user: User, channel: Channel, command: str, text: str) -> Json:
        """Return a slash command's form fields."""
        app = self._workspace.app
        return {
            "token": app.verification_token,
            "team_id": self._workspace.team_id,
            "team_domain": self._workspace.domain,
            "channel_id": channel.id,
            "channel_name": _channel_name(channel),
            "user_id": user.id,
            "user_name": user.name,
            "command": command,
            "text": text,
            "api_app_id": app.id,
            "is_enterprise_install": "false",
            "response_url": self._response_url(user.id, channel.id),
            "trigger_id": self._tickets.trigger(user.id),
        }

    def click_on_message(self, user: User, message: Message, action: Json, state: Json) -> Json:
        """Return block_actions for an element of a message; of an ephemeral the message itself is left out."""
        channel = self._workspace.channels[message.channel]
        ephemeral = message.ephemeral_for is not None
        container: Json = {
            "type": "message",
            "message_ts": message.ts,
            "channel_id": channel.id,
            "is_ephemeral": ephemeral,
        }
        if message.is_reply:
            container["thread_ts"] = message.thread_ts
        payload = {
            **self._base("block_actions", user),
            "container": container,
            "trigger_id": self._tickets.trigger(user.id),
            "channel": _channel(channel),
            "state": {"values": state},
            "response_url": self._response_url(user.id, channel.id, message.ts, ephemeral=ephemeral),
            "actions": [self._stamped(action)],
        }
        if not ephemeral:
            payload["message"] = message_shape(self._workspace, message, metadata=True)
        return payload

    def click_on_view(self, user: User, view: View, action: Json) -> Json:
        """Return block_actions for an element of a modal or Home view."""
        modal_id = view.id if view.kind == "modal" else None
        return {
            **self._base("block_actions", user),
            "container": {"type": "view", "view_id": view.id},
            "trigger_id": self._tickets.trigger(user.id, modal_id),
            "view": view_shape(self._workspace, view),
            "actions": [self._stamped(action)],
        }

    def submission(self, user: User, view: View) -> Json:
        """Return view_submission, with response URLs for the selects that asked for one."""
        return {
            **self._base("view_submission", user),
            "trigger_id": self._tickets.trigger(user.id, view.id),
            "view": view_shape(self._workspace, view),
            "response_urls": self._asked_urls(user, view),
        }

    def closed(self, user: User, view: View, *, is_cleared: bool) -> Json:
        """Return view_closed."""
        shape = view_shape(self._workspace, view)
        return {**self._base("view_closed", user), "view": shape, "is_cleared": is_cleared}

    def global_shortcut(self, user: User, callback_id: str) -> Json:
        """Return a global shortcut: no channel and no response URL."""
        return {
            **self._base("shortcut", user),
            "action_ts": self._workspace.next_ts(),
            "callback_id": callback_id,
            "trigger_id": self._tickets.trigger(user.id),
        }

    def message_shortcut(self, user: User, message: Message, callback_id: str) -> Json:
        """Return message_action for a shortcut on a message."""
        channel = self._workspace.channels[message.channel]
        return {
            **self._base("message_action", user),
            "action_ts": self._workspace.next_ts(),
            "callback_id": callback_id,
            "trigger_id": self._tickets.trigger(user.id),
            "response_url": self._response_url(user.id, channel.id, message.ts),
            "channel": _channel(channel),
            "message_ts": message.ts,
            "message": message_shape(self._workspace, message, metadata=True),
        }

    def suggestion(self, user: User, place: Message | View, block_id: str, action_id: str, query: str) -> Json:
        """Return block_suggestion: what was typed into an external select."""
        payload = {
            **self._base("block_suggestion", user),
            "block_id": block_id,
            "action_id": action_id,
            "value": query,
        }
        if isinstance(place, View):
            container = {"type": "view", "view_id": place.id}
            return {**payload, "container": container, "view": view_shape(self._workspace, place)}
        channel = self._workspace.channels[place.channel]
        ephemeral = place.ephemeral_for is not None
        container = {"type": "message", "message_ts": place.ts, "channel_id": channel.id}
        return {
            **payload,
            "container": {**container, "is_ephemeral": ephemeral},
            "channel": _channel(channel),
            "message": message_shape(self._workspace, place),
        }

    def _base(self, kind: str, user: User) -> Json:
        app = self._workspace.app
        return {
            "type": kind,
            "token": app.verification_token,
            "api_app_id": app.id,
            "team": {"id": self._workspace.team_id, "domain": self._workspace.domain},
            "user": {"id": user.id, "username": user.name, "name": user.name, "team_id": user.team_id},
            "enterprise": None,
            "is_enterprise_install": False,
        }

    def _stamped(self, action: Json) -> Json:
        return {**action, "action_ts": self._workspace.next_ts()}

    def _response_url(self, user: str, channel: str, ts: str | None = None, *, ephemeral: bool = False) -> str:
        return self._workspace.url + self._tickets.response_url(user, channel, ts, ephemeral=ephemeral)

    def _asked_urls(self, user: User, view: View) -> list[Json]:
        asked = []
        for block in view.blocks:
            item: Any = block.get("element") or {}
            if not item.get("response_url_enabled"):
                continue
            state = view.values[block["block_id"]][item["action_id"]]
            chosen = state.get("selected_conversation") or state.get("selected_channel")
            if chosen:
                url = self._response_url(user.id, chosen)
                ids = {"block_id": block["block_id"], "action_id": item["action_id"]}
                asked.append({**ids, "channel_id": chosen, "response_url": url})
        return asked


def _channel_name(channel: Channel) -> str:
    return {"channel": channel.name, "private": "privategroup", "im": "directmessage"}[channel.kind]


def _channel(channel: Channel) -> Json:
    return {"id": channel.id, "name": _channel_name(channel)}
