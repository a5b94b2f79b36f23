"""Turns what happens in the workspace into the Events API payloads the app subscribed to and may see."""

from __future__ import annotations

import itertools

from simulator.delivery import Delivery
from simulator.records import Channel, File, Group, Json, Message
from simulator.shapes import group_shape, message_shape
from simulator.workspace import Change, Workspace

HISTORY = {"channel": "channels:history", "group": "groups:history", "im": "im:history"}
MESSAGE_NAMES = {"channel": "message.channels", "group": "message.groups", "im": "message.im"}
READ = {"channel": "channels:read", "group": "groups:read", "im": "im:read"}
ALL_EVENTS = frozenset(
    {
        *MESSAGE_NAMES.values(),
        "app_mention",
        "app_home_opened",
        "reaction_added",
        "reaction_removed",
        "member_joined_channel",
        "member_left_channel",
        "channel_left",
        "group_left",
        "channel_archive",
        "channel_unarchive",
        "channel_rename",
        "subteam_updated",
        "subteam_members_changed",
        "file_shared",
        "app_uninstalled",
        "tokens_revoked",
    }
)


class Events:
    """Listens to a workspace and delivers; `attach` starts it."""

    def __init__(self, workspace: Workspace, delivery: Delivery) -> None:
        self._workspace = workspace
        self._delivery = delivery
        self._numbers = itertools.count(1)

    def hear(self, change: Change) -> None:
        """Send what the app should know of this change."""
        match change.kind:
            case "message" | "message_changed" | "message_deleted":
                self._message(change)
            case "reaction_added" | "reaction_removed":
                self._reaction(change)
            case "member_joined" | "member_left":
                self._membership(change)
            case "group_changed":
                self._group(change.detail["group"], change.detail["previous"])
            case "workspace" if "event" in change.detail and change.channel is not None:
                event = change.detail["event"]
                self._send(event["type"], event, READ[change.channel.event_kind], change.channel)
            case "file_shared" if change.channel is not None:
                self._file(change.channel, change.detail["file"])

    def home_opened(self, user: str, channel: Channel, event: Json) -> None:
        """Send `app_home_opened`."""
        base = {"type": "app_home_opened", "user": user, "channel": channel.id}
        self._send("app_home_opened", {**base, **event, "event_ts": self._workspace.next_ts()}, None, None)

    def uninstalled(self) -> None:
        """Send `tokens_revoked` and `app_uninstalled`, in the order which Slack does not promise."""
        bot = self._workspace.app.bot_user
        revoked = {"type": "tokens_revoked", "tokens": {"oauth": [], "bot": [bot]}}
        for event in (revoked, {"type": "app_uninstalled"}):
            self._send(str(event["type"]), {**event, "event_ts": self._workspace.next_ts()}, None, None)

    def _send(self, name: str, event: Json, scope: str | None, channel: Channel | None) -> None:
        app = self._workspace.app
        if name not in app.events or (scope is not None and scope not in app.scopes):
            return
        if channel is not None and app.bot_user not in channel.members and event.get("user") != app.bot_user:
            return
        now = int(self._workspace.clock())
        authorization = {
            "enterprise_id": None,
            "team_id": self._workspace.team_id,
            "user_id": app.bot_user,
            "is_bot": True,
            "is_enterprise_install": False,
        }
        self._delivery.event(
            {
                "token": app.verification_token,
                "team_id": self._workspace.team_id,
                "context_team_id": self._workspace.team_id,
                "context_enterprise_id": None,
                "api_app_id": app.id,
                "event": event,
                "type": "event_callback",
                "event_id": f"Ev{next(self._numbers):08d}",
                "event_time": now,
                "authorizations": [authorization],
                "is_ext_shared_channel": channel.is_ext_shared if channel else False,
                "event_context": f"4-{name}",
            }
        )

    def _message(self, change: Change) -> None:
        message, channel = change.message, change.channel
        if message is None or channel is None or message.ephemeral_for is not None:
            return
        name, scope = MESSAGE_NAMES[channel.event_kind], HISTORY[channel.event_kind]
        place: Json = {"channel": channel.id, "channel_type": channel.event_kind}
        shape = message_shape(self._workspace, message, metadata=True)
        if change.kind == "message":
            if message.broadcast:
                shape["subtype"] = "thread_broadcast"
            self._send(name, {**shape, **place, "event_ts": message.ts}, scope, channel)
            self._mention(message, channel, shape)
            return
        stamp = self._workspace.next_ts()
        base = {"type": "message", "hidden": True, "ts": stamp, "event_ts": stamp, **place}
        if change.kind == "message_changed":
            previous = message_shape(self._workspace, change.detail["previous"])
            changed = {"subtype": "message_changed", "message": shape, "previous_message": previous}
            self._send(name, {**base, **changed}, scope, channel)
        else:
            deleted = {"subtype": "message_deleted", "deleted_ts": message.ts, "previous_message": shape}
            self._send(name, {**base, **deleted}, scope, channel)

    def _mention(self, message: Message, channel: Channel, shape: Json) -> None:
        bot = self._workspace.app.bot_user
        if f"<@{bot}" in message.text and message.user != bot and channel.kind != "im":
            event = {**shape, "type": "app_mention", "channel": channel.id, "event_ts": message.ts}
            self._send("app_mention", event, "app_mentions:read", channel)

    def _reaction(self, change: Change) -> None:
        if change.message is None or change.channel is None:
            return
        event = {
            "type": change.kind,
            "user": change.user,
            "reaction": change.detail["name"],
            "item_user": change.message.user,
            "item": {"type": "message", "channel": change.channel.id, "ts": change.message.ts},
            "event_ts": self._workspace.next_ts(),
        }
        self._send(change.kind, event, "reactions:read", change.channel)

    def _membership(self, change: Change) -> None:
        channel = change.channel
        if channel is None:
            return
        scope, stamp = READ[channel.event_kind], self._workspace.next_ts()
        letter = {"channel": "C", "group": "G", "im": "D"}[channel.event_kind]
        event: Json = {"user": change.user, "channel": channel.id, "channel_type": letter, "event_ts": stamp}
        event["team"] = self._workspace.team_id
        if change.kind == "member_joined":
            if change.detail.get("inviter"):
                event["inviter"] = change.detail["inviter"]
            self._send("member_joined_channel", {"type": "member_joined_channel", **event}, scope, channel)
        elif change.user == self._workspace.app.bot_user:
            name = "group_left" if channel.kind == "private" else "channel_left"
            left = {"type": name, "channel": channel.id, "event_ts": stamp}
            self._send(name, {**left, "user": change.user}, scope, None)
        else:
            self._send("member_left_channel", {"type": "member_left_channel", **event}, scope, channel)

    def _group(self, group: Group, previous: list[str]) -> None:
        added = [user for user in group.members if user not in previous]
        removed = [user for user in previous if user not in group.members]
        stamp = self._workspace.next_ts()
        members = {
            "type": "subteam_members_changed",
            "subteam_id": group.id,
            "team_id": self._workspace.team_id,
            "date_previous_update": 0,
            "date_update": int(self._workspace.clock()),
            "added_users": added,
            "added_users_count": len(added),
            "removed_users": removed,
            "removed_users_count": len(removed),
            "event_ts": stamp,
        }
        self._send("subteam_members_changed", members, "usergroups:read", None)
        subteam = group_shape(self._workspace, group, users=True)
        updated = {"type": "subteam_updated", "subteam": subteam, "event_ts": stamp}
        self._send("subteam_updated", updated, "usergroups:read", None)

    def _file(self, channel: Channel, file: File) -> None:
        event = {
            "type": "file_shared",
            "channel_id": channel.id,
            "file_id": file.id,
            "user_id": file.user,
            "file": {"id": file.id},
            "event_ts": self._workspace.next_ts(),
        }
        self._send("file_shared", event, "files:read", channel)
