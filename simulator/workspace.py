"""The workspace's state as a plain object: who is there, what was said, which views are open; and who hears of changes.

No network and no rules of the Web API: those callers check first. Time comes from the `clock` given.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from simulator.errors import Refused
from simulator.records import App, Channel, File, Group, Json, Message, User, View

Clock = Callable[[], float]


@dataclass(frozen=True)
class Change:
    """Something that happened; listeners pick what concerns them by `kind`."""

    kind: Literal[
        "message",
        "message_changed",
        "message_deleted",
        "member_joined",
        "member_left",
        "reaction_added",
        "reaction_removed",
        "group_changed",
        "file_shared",
        "modal",
        "home",
        "notice",
        "workspace",
        "reloaded",
    ]
    channel: Channel | None = None
    message: Message | None = None
    user: str | None = None
    detail: Json = field(default_factory=dict)


class Workspace:
    """One team with its users, channels, groups, files and open views; `url` is where it is served."""

    def __init__(self, clock: Clock, app: App | None = None, name: str = "Example Shop") -> None:
        self.clock = clock
        self.app = app or App()
        self.team_id = "T0001"
        self.name = name
        self.domain = name.lower().replace(" ", "-")
        self.url = "http://127.0.0.1/"
        self.users: dict[str, User] = {}
        self.channels: dict[str, Channel] = {}
        self.groups: dict[str, Group] = {}
        self.files: dict[str, File] = {}
        self.links: list[Json] = []
        """Shown in the bar on top of the page: `title` and `url`."""
        self.ephemerals: dict[str, list[Message]] = {}
        self.modals: dict[str, list[View]] = {}
        self.homes: dict[str, View] = {}
        self.drafts: dict[tuple[str, str, str], dict[str, dict[str, Json]]] = {}
        self._counters = {prefix: itertools.count(1) for prefix in ("U", "C", "D", "S", "F", "V", "Bk", "h")}
        self._last_ts = 0
        self._listeners: list[Callable[[Change], None]] = []
        bot = User(self.app.bot_user, self.app.name, self.app.name.capitalize(), is_bot=True)
        bot.team_id = self.team_id
        self.users[bot.id] = bot

    # -- listening ---------------------------------------------------------------------------------------------

    def subscribe(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Call `listener` at each change from now on; returns what ends it (calling that twice does no harm)."""
        self._listeners.append(listener)

        def unsubscribe() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return unsubscribe

    def tell(self, change: Change) -> None:
        """Tell all listeners."""
        for listener in list(self._listeners):
            listener(change)

    # -- identity ----------------------------------------------------------------------------------------------

    def next_id(self, prefix: str) -> str:
        """Return a fresh id such as `C0007`."""
        return f"{prefix}{next(self._counters[prefix]):04d}"

    def next_ts(self) -> str:
        """Return a message timestamp, unique and later than all before."""
        self._last_ts = max(self._last_ts + 1, int(self.clock() * 1_000_000))
        return f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}"

    def user(self, name_or_id: str) -> User:
        """Return a user by id or name (with or without @)."""
        wanted = name_or_id.removeprefix("@")
        for user in self.users.values():
            if wanted in {user.id, user.name}:
                return user
        known = ", ".join(user.name for user in self.users.values())
        raise Refused("no_such_user", f"There is no user {name_or_id!r}. There are: {known}.", 404)

    def channel(self, name_or_id: str) -> Channel:
        """Return a channel by id or #name."""
        found = self.find_channel(name_or_id)
        if found is None:
            known = ", ".join(f"#{channel.name}" for channel in self.channels.values() if channel.kind != "im")
            raise Refused("no_such_channel", f"There is no channel {name_or_id!r}. There are: {known}.", 404)
        return found

    def find_channel(self, name_or_id: str) -> Channel | None:
        """Return a channel by id or #name, or None."""
        if name_or_id in self.channels:
            return self.channels[name_or_id]
        wanted = name_or_id.removeprefix("#")
        named = (channel for channel in self.channels.values() if channel.kind != "im")
        return next((channel for channel in named if channel.name == wanted), None)

    def may_see(self, user: str, channel: Channel) -> bool:
        """Say whether `user` may read `channel`."""
        return channel.kind == "channel" or user in channel.members

    # -- people and places -------------------------------------------------------------------------------------

    def add_user(self, name: str, **fields: Any) -> User:
        """Add a person; `fields` are those of `User`."""
        identity = fields.pop("id", None) or self.next_id("U")
        real_name = fields.pop("real_name", "") or name.capitalize()
        user = User(identity, name, real_name, **fields)
        user.email = user.email or f"{name}@example.test"
        user.team_id = "T0999" if user.is_external else self.team_id
        self.users[user.id] = user
        self.tell(Change("workspace"))
        return user

    def add_channel(self, name: str, members: list[str], **fields: Any) -> Channel:
        """Add a channel with `members` (names or ids); `fields` are those of `Channel`."""
        identity = fields.pop("id", None) or self.next_id("C")
        ids = [self.user(member).id for member in members]
        channel = Channel(identity, name.removeprefix("#"), members=ids, created=int(self.clock()), **fields)
        self.channels[channel.id] = channel
        self.tell(Change("workspace"))
        return channel

    def add_group(self, handle: str, members: list[str], name: str = "", identity: str | None = None) -> Group:
        """Add a user group with `members` (names or ids)."""
        ids = [self.user(member).id for member in members]
        group = Group(identity or self.next_id("S"), handle, name or handle, ids)
        self.groups[group.id] = group
        self.tell(Change("workspace"))
        return group

    def set_group_members(self, handle: str, members: list[str]) -> Group:
        """Replace a group's members; the app hears `subteam_members_changed`."""
        group = next((group for group in self.groups.values() if handle in {group.id, group.handle}), None)
        if group is None:
            raise Refused("no_such_group", f"There is no user group {handle!r}.", 404)
        previous, group.members = group.members, [self.user(member).id for member in members]
        self.tell(Change("group_changed", detail={"group": group, "previous": previous}))
        return group

    def open_im(self, first: str, second: str) -> Channel:
        """Return the direct message between two users, opening it when there is none."""
        for channel in self.channels.values():
            if channel.kind == "im" and set(channel.members) == {first, second}:
                return channel
        channel = Channel(self.next_id("D"), "", "im", [first, second], int(self.clock()))
        self.channels[channel.id] = channel
        self.tell(Change("workspace"))
        return channel

    def join(self, user: str, channel: Channel, inviter: str | None = None) -> bool:
        """Make `user` a member; False when already one."""
        if user in channel.members:
            return False
        channel.members.append(user)
        self.tell(Change("member_joined", channel, user=user, detail={"inviter": inviter}))
        return True

    def leave(self, user: str, channel: Channel) -> None:
        """End a membership."""
        if user in channel.members:
            channel.members.remove(user)
            self.tell(Change("member_left", channel, user=user))

    def channel_changed(self, channel: Channel, event: Json | None = None) -> None:
        """Tell that a channel's bookmarks, pins, name or state changed; `event` is what the app hears of it."""
        self.tell(Change("workspace", channel, detail={"event": event} if event else {}))

    def pinned(self, channel: Channel, message: Message) -> None:
        """Tell that a message was pinned: in the channel's list and on the message."""
        self.tell(Change("workspace", channel, message))

    def archive(self, channel: Channel, user: str, *, undo: bool = False) -> None:
        """Archive a channel, or bring it back."""
        channel.is_archived = not undo
        kind = "channel_unarchive" if undo else "channel_archive"
        event = {"type": kind, "channel": channel.id, "user": user, "event_ts": self.next_ts()}
        self.channel_changed(channel, event)

    def rename(self, channel: Channel, name: str) -> None:
        """Rename a channel; its id stays."""
        channel.name = name.removeprefix("#")
        renamed = {"id": channel.id, "name": channel.name, "created": channel.created}
        self.channel_changed(channel, {"type": "channel_rename", "channel": renamed, "event_ts": self.next_ts()})

    # -- messages ----------------------------------------------------------------------------------------------

    def post(self, message: Message) -> Message:
        """Put a message into its channel, or before its one reader when ephemeral, and tell all."""
        channel = self.channels[message.channel]
        if message.ephemeral_for is not None:
            self.ephemerals.setdefault(message.ephemeral_for, []).append(message)
        else:
            channel.messages[message.ts] = message
            parent = channel.messages.get(message.thread_ts or "")
            if message.is_reply and parent is not None:
                parent.thread_ts = parent.ts
                parent.replies.append(message.ts)
        self.tell(Change("message", channel, message))
        return message

    def edit(self, message: Message, editor: str, **fields: Any) -> Message:
        """Change a message's fields; `edited` is set when its text changed."""
        previous = Message(**vars(message))
        for key, value in fields.items():
            setattr(message, key, value)
        message.edited = {"user": editor, "ts": self.next_ts()}
        channel = self.channels[message.channel]
        self.tell(Change("message_changed", channel, message, detail={"previous": previous}))
        return message

    def delete(self, message: Message) -> None:
        """Remove a message; the top message of a thread stays as a tombstone while replies stand."""
        channel = self.channels[message.channel]
        if message.ephemeral_for is not None:
            self.ephemerals[message.ephemeral_for].remove(message)
        elif message.replies:
            previous = Message(**vars(message))
            message.text, message.blocks, message.files = "This message was deleted.", [], []
            message.subtype, message.user, message.bot_id = "tombstone", "USLACKBOT", None
            self.tell(Change("message_changed", channel, message, detail={"previous": previous}))
            return
        else:
            del channel.messages[message.ts]
            parent = channel.messages.get(message.thread_ts or "")
            if parent is not None and message.ts in parent.replies:
                parent.replies.remove(message.ts)
                parent.thread_ts = parent.ts if parent.replies else None
        self.tell(Change("message_deleted", channel, message))

    def find_message(self, channel: Channel, ts: str, reader: str | None = None) -> Message | None:
        """Return a message by ts, an ephemeral of `reader` included."""
        if ts in channel.messages:
            return channel.messages[ts]
        for message in self.ephemerals.get(reader or "", []):
            if message.ts == ts and message.channel == channel.id:
                return message
        return None

    def history(self, channel: Channel, reader: str | None = None) -> list[Message]:
        """Return top messages and broadcast replies of a channel by ts, with `reader`'s ephemerals."""
        shown = [m for m in channel.messages.values() if not m.is_reply or m.broadcast]
        own = [m for m in self.ephemerals.get(reader or "", []) if m.channel == channel.id and not m.is_reply]
        return sorted(shown + own, key=lambda message: message.ts)

    def thread(self, channel: Channel, ts: str, reader: str | None = None) -> list[Message]:
        """Return the top message and its replies by ts, with `reader`'s ephemerals in the thread."""
        shown = [m for m in channel.messages.values() if ts in {m.ts, m.thread_ts}]
        own = [m for m in self.ephemerals.get(reader or "", []) if m.channel == channel.id and m.thread_ts == ts]
        return sorted(shown + own, key=lambda message: message.ts)

    def react(self, message: Message, user: str, name: str, *, remove: bool = False) -> bool:
        """Add or remove a reaction; False when nothing changed."""
        users = message.reactions.setdefault(name, [])
        if (user in users) is not remove:
            return False
        if remove:
            users.remove(user)
        else:
            users.append(user)
        if not users:
            del message.reactions[name]
        kind: Literal["reaction_removed", "reaction_added"] = "reaction_removed" if remove else "reaction_added"
        self.tell(Change(kind, self.channels[message.channel], message, user, {"name": name}))
        return True

    def permalink(self, message: Message) -> str:
        """Return the address of a message on this server."""
        link = f"{self.url}archives/{message.channel}/p{message.ts.replace('.', '')}"
        return f"{link}?thread_ts={message.thread_ts}&cid={message.channel}" if message.is_reply else link

    # -- views -------------------------------------------------------------------------------------------------

    def new_hash(self) -> str:
        """Return a view hash; it changes at each update."""
        number = next(self._counters["h"])
        return f"{int(self.clock())}.{hashlib.sha256(str(number).encode()).hexdigest()[:8]}"

    def find_view(self, view_id: str) -> View | None:
        """Return an open modal or published Home view by id."""
        everything = [view for stack in self.modals.values() for view in stack] + list(self.homes.values())
        return next((view for view in everything if view.id == view_id), None)

    def stack_changed(self, user: str, reason: str) -> None:
        """Tell that a person's modals changed."""
        self.tell(Change("modal", user=user, detail={"reason": reason}))

    def home_changed(self, user: str) -> None:
        """Tell that a person's Home view changed."""
        self.tell(Change("home", user=user))

    def notice(self, user: str, text: str, where: Json) -> None:
        """Show a person a passing notice near where they acted."""
        self.tell(Change("notice", user=user, detail={"text": text, "where": where}))

    def reload(self, user: str) -> None:
        """Do what reloading Slack does: ephemerals and modals are gone."""
        self.ephemerals.pop(user, None)
        if self.modals.pop(user, None):
            self.stack_changed(user, "closed")
        self.tell(Change("reloaded", user=user))
