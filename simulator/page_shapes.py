"""What the page is told of messages, views and the workspace: the shapes of PAGE_PROTOCOL.md."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from simulator.delivery import Delivery
from simulator.records import App, Channel, Json, Message, User, View
from simulator.rendering import plain_message
from simulator.shapes import thread_counts
from simulator.workspace import Workspace


def page_message(workspace: Workspace, message: Message, reader: str) -> Json:
    """Return a message as `reader` sees it."""
    channel = workspace.channels[message.channel]
    counts = thread_counts(workspace, message) if message.replies else {}
    return {
        "channel": message.channel,
        "ts": message.ts,
        "thread_ts": message.thread_ts,
        "author": _author(workspace, message),
        "text": message.text,
        "blocks": [visible_block(block, reader) for block in message.blocks],
        "attachments": message.attachments,
        "files": [_file(workspace, file) for file in message.files],
        "plain": plain_message(workspace, message),
        "edited": message.edited,
        "reply_count": counts.get("reply_count", 0),
        "reply_users": counts.get("reply_users", []),
        "latest_reply": counts.get("latest_reply"),
        "broadcast": message.broadcast,
        "ephemeral": message.ephemeral_for is not None,
        "subtype": message.subtype,
        "pinned": message.ts in channel.pins,
        "reactions": [{"name": name, "users": users} for name, users in message.reactions.items()],
    }


def _author(workspace: Workspace, message: Message) -> Json:
    if message.user == "USLACKBOT":
        return {"kind": "slackbot", "id": "USLACKBOT", "name": "slackbot", "real_name": "Slackbot"}
    user = workspace.users[message.user]
    kind = "bot" if user.is_bot else "user"
    return {"kind": kind, "id": user.id, "name": user.name, "real_name": user.real_name}


def _file(workspace: Workspace, identity: str) -> Json:
    file = workspace.files[identity]
    return {
        "id": file.id,
        "name": file.name,
        "mimetype": file.mimetype,
        "size": len(file.content),
        "url": f"/_sim/files/{file.id}/{quote(file.name)}",
    }


def visible_block(block: Json, reader: str) -> Json:
    """Return a block without the buttons meant for other people."""

    def seen(item: Any) -> bool:
        return not isinstance(item, dict) or reader in (item.get("visible_to_user_ids") or [reader])

    shown = {key: value for key, value in block.items() if key != "accessory" or seen(value)}
    for key in ("elements", "actions"):
        if isinstance(shown.get(key), list):
            shown[key] = [item for item in shown[key] if seen(item)]
    return shown


def page_view(view: View) -> Json:
    """Return a modal or Home view with what its fields hold."""
    shown = view.definition

    def words(key: str) -> str | None:
        return str(shown[key]["text"]) if shown.get(key) else None

    return {
        "id": view.id,
        "type": view.kind,
        "title": words("title"),
        "submit": words("submit"),
        "close": words("close"),
        "callback_id": shown.get("callback_id", ""),
        "blocks": [visible_block(block, view.user) for block in view.blocks],
        "hash": view.hash,
        "values": view.values,
        "errors": view.errors,
        "submit_disabled": bool(shown.get("submit_disabled")),
    }


def page_stack(workspace: Workspace, user: str) -> list[Json]:
    """Return a person's open modals, the visible one last."""
    return [page_view(view) for view in workspace.modals.get(user, [])]


def page_workspace(workspace: Workspace, delivery: Delivery, me: User) -> Json:
    """Return the snapshot a page starts from."""
    channels = [channel for channel in workspace.channels.values() if workspace.may_see(me.id, channel)]
    home = workspace.homes.get(me.id)
    return {
        "team": {"id": workspace.team_id, "name": workspace.name, "domain": workspace.domain},
        "me": me.id,
        "users": [_user(user) for user in workspace.users.values()],
        "channels": [page_channel(workspace, channel, me.id) for channel in channels],
        "groups": [vars(group) for group in workspace.groups.values()],
        "app": page_app(workspace.app, delivery),
        "commands": page_commands(workspace.app),
        "shortcuts": [vars(shortcut) for shortcut in workspace.app.shortcuts],
        "modal": page_stack(workspace, me.id),
        "home": page_view(home) if home else None,
        "links": workspace.links,
    }


def page_app(app: App, delivery: Delivery) -> Json:
    """Return what the page shows of the app."""
    transport = "socket" if app.socket_mode else "http"
    known = {"id": app.id, "name": app.name, "bot_user": app.bot_user}
    return {**known, "transport": transport, "connected": delivery.connected}


def page_commands(app: App) -> list[Json]:
    """Return the commands offered for completion."""
    return [
        {"command": one.command, "description": one.description, "usage_hint": one.usage_hint} for one in app.commands
    ]


def _user(user: User) -> Json:
    keys = ("id", "name", "real_name", "email", "is_bot", "is_guest", "is_external", "deleted")
    return {key: getattr(user, key) for key in keys}


def page_channel(workspace: Workspace, channel: Channel, me: str) -> Json:
    """Return a channel of the list; a direct message bears the other person's name."""
    other = next((member for member in channel.members if member != me), me) if channel.kind == "im" else None
    return {
        "id": channel.id,
        "name": workspace.users[other].name if other else channel.name,
        "kind": channel.kind,
        "members": channel.members,
        "is_member": me in channel.members,
        "topic": channel.topic,
        "is_ext_shared": channel.is_ext_shared,
        "is_archived": channel.is_archived,
        "with_user": other,
        "pins": channel.pins,
        "bookmarks": [{key: mark[key] for key in ("id", "title", "link", "emoji")} for mark in channel.bookmarks],
    }
