"""Slack's own JSON shapes of users, channels, messages, files and views, as the Web API and payloads show them."""

from __future__ import annotations

from simulator.records import Channel, File, Group, Json, Message, User, View
from simulator.workspace import Workspace


def user_shape(user: User, *, with_email: bool = True) -> Json:
    """Return a user object; the address only for tokens with `users:read.email`."""
    profile: Json = {
        "real_name": user.real_name,
        "real_name_normalized": user.real_name,
        "display_name": user.name,
        "display_name_normalized": user.name,
        "team": user.team_id,
    }
    if with_email and user.email is not None:
        profile["email"] = user.email
    return {
        "id": user.id,
        "team_id": user.team_id,
        "name": user.name,
        "real_name": user.real_name,
        "deleted": user.deleted,
        "tz": user.tz,
        "tz_label": user.tz,
        "tz_offset": 0,
        "profile": profile,
        "is_admin": user.is_admin,
        "is_owner": False,
        "is_primary_owner": False,
        "is_restricted": user.is_guest,
        "is_ultra_restricted": False,
        "is_stranger": user.is_external,
        "is_bot": user.is_bot,
        "is_app_user": False,
        "updated": 0,
    }


def channel_shape(workspace: Workspace, channel: Channel, reader: str) -> Json:
    """Return a conversation object as `reader` sees it."""
    if channel.kind == "im":
        other = next((member for member in channel.members if member != reader), reader)
        return {
            "id": channel.id,
            "created": channel.created,
            "is_im": True,
            "is_archived": channel.is_archived,
            "is_org_shared": False,
            "user": other,
            "is_user_deleted": workspace.users[other].deleted,
            "priority": 0,
        }
    private = channel.kind == "private"
    return {
        "id": channel.id,
        "name": channel.name,
        "name_normalized": channel.name,
        "is_channel": not private,
        "is_group": private,
        "is_im": False,
        "is_mpim": False,
        "is_private": private,
        "is_archived": channel.is_archived,
        "is_general": channel.name == "general",
        "is_shared": channel.is_ext_shared,
        "is_ext_shared": channel.is_ext_shared,
        "is_org_shared": False,
        "is_pending_ext_shared": False,
        "is_member": reader in channel.members,
        "created": channel.created,
        "creator": channel.creator,
        "context_team_id": workspace.team_id,
        "topic": {"value": channel.topic, "creator": "", "last_set": 0},
        "purpose": {"value": channel.purpose, "creator": "", "last_set": 0},
        "num_members": len(channel.members),
    }


def message_shape(workspace: Workspace, message: Message, *, metadata: bool = False) -> Json:
    """Return a message object; `metadata` only where the caller asked for it."""
    shape: Json = {"type": "message", "user": message.user, "text": message.text, "ts": message.ts}
    if message.subtype:
        shape["subtype"] = message.subtype
    if message.bot_id:
        shape |= {"bot_id": message.bot_id, "app_id": message.app_id, "bot_profile": bot_shape(workspace)}
    if message.client_msg_id:
        shape["client_msg_id"] = message.client_msg_id
    author = workspace.users.get(message.user)
    shape["team"] = author.team_id if author else workspace.team_id
    for key in ("blocks", "attachments", "edited", "username"):
        if getattr(message, key):
            shape[key] = getattr(message, key)
    if message.files:
        shape |= {"files": [file_shape(workspace, workspace.files[file]) for file in message.files], "upload": False}
    if message.thread_ts:
        shape["thread_ts"] = message.thread_ts
    if message.replies:
        shape |= thread_counts(workspace, message)
    if message.is_reply:
        parent = workspace.channels[message.channel].messages.get(message.thread_ts or "")
        shape["parent_user_id"] = parent.user if parent else ""
    if message.reactions:
        shape["reactions"] = [
            {"name": name, "users": list(users), "count": len(users)} for name, users in message.reactions.items()
        ]
    if message.metadata and metadata:
        shape["metadata"] = message.metadata
    return shape


def thread_counts(workspace: Workspace, message: Message) -> Json:
    """Return the reply fields of a thread's top message."""
    replies = [workspace.channels[message.channel].messages[ts] for ts in message.replies]
    users = list(dict.fromkeys(reply.user for reply in replies))
    return {
        "reply_count": len(replies),
        "reply_users_count": len(users),
        "latest_reply": replies[-1].ts,
        "reply_users": users,
        "is_locked": False,
        "subscribed": False,
    }


def bot_shape(workspace: Workspace) -> Json:
    """Return the `bot_profile` of the app's messages."""
    app = workspace.app
    return {
        "id": app.bot_id,
        "app_id": app.id,
        "user_id": app.bot_user,
        "name": app.name,
        "deleted": False,
        "updated": 0,
        "team_id": workspace.team_id,
    }


def file_shape(workspace: Workspace, file: File) -> Json:
    """Return a file object."""
    link = f"{workspace.url}files-pri/{file.id}/{file.name}"
    return {
        "id": file.id,
        "created": file.created,
        "timestamp": file.created,
        "name": file.name,
        "title": file.title,
        "mimetype": file.mimetype,
        "filetype": file.name.rpartition(".")[2] if "." in file.name else "binary",
        "user": file.user,
        "size": len(file.content),
        "mode": "hosted",
        "is_external": False,
        "is_public": any(workspace.channels[channel].kind == "channel" for channel in file.channels),
        "url_private": link,
        "url_private_download": link,
        "permalink": f"{workspace.url}files/{file.user}/{file.id}/{file.name}",
        "channels": [c for c in file.channels if workspace.channels[c].kind == "channel"],
        "groups": [c for c in file.channels if workspace.channels[c].kind == "private"],
        "ims": [c for c in file.channels if workspace.channels[c].kind == "im"],
    }


def group_shape(workspace: Workspace, group: Group, *, users: bool) -> Json:
    """Return a user group object."""
    shape: Json = {
        "id": group.id,
        "team_id": workspace.team_id,
        "is_usergroup": True,
        "name": group.name,
        "handle": group.handle,
        "description": "",
        "is_external": False,
        "date_create": 0,
        "date_update": 0,
        "date_delete": 0,
        "auto_type": None,
        "created_by": "",
        "user_count": len(group.members),
    }
    if users:
        shape["users"] = list(group.members)
    return shape


def view_shape(workspace: Workspace, view: View) -> Json:
    """Return a view object with its state, as answers and payloads carry it."""
    shown = view.definition
    return {
        "id": view.id,
        "team_id": workspace.team_id,
        "type": view.kind,
        "blocks": view.blocks,
        "private_metadata": shown.get("private_metadata", ""),
        "callback_id": shown.get("callback_id", ""),
        "state": {"values": view.values},
        "hash": view.hash,
        "title": shown.get("title"),
        "submit": shown.get("submit"),
        "close": shown.get("close"),
        "clear_on_close": shown.get("clear_on_close", False),
        "notify_on_close": shown.get("notify_on_close", False),
        "submit_disabled": shown.get("submit_disabled", False),
        "external_id": view.external_id,
        "previous_view_id": view.previous_id,
        "root_view_id": view.root_id,
        "app_id": workspace.app.id,
        "app_installed_team_id": workspace.team_id,
        "bot_id": workspace.app.bot_id,
    }
