"""What a workspace is made of: people, channels, groups, messages, files and views, as plain records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]


@dataclass
class User:
    """A member: a person or an app's bot user; `id` is U…."""

    id: str
    name: str
    real_name: str = ""
    email: str | None = None
    is_bot: bool = False
    is_guest: bool = False
    is_external: bool = False
    is_admin: bool = False
    deleted: bool = False
    tz: str = "Etc/UTC"
    team_id: str = ""


@dataclass
class Message:
    """One message of a channel; `ephemeral_for` names the only person who sees it."""

    channel: str
    ts: str
    user: str
    text: str
    blocks: list[Json] = field(default_factory=list)
    attachments: list[Json] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    thread_ts: str | None = None
    broadcast: bool = False
    subtype: str | None = None
    bot_id: str | None = None
    app_id: str | None = None
    metadata: Json | None = None
    edited: Json | None = None
    reactions: dict[str, list[str]] = field(default_factory=dict)
    replies: list[str] = field(default_factory=list)
    ephemeral_for: str | None = None
    from_slackbot: bool = False
    username: str | None = None
    client_msg_id: str | None = None

    @property
    def is_reply(self) -> bool:
        """Whether this stands in a thread below another message."""
        return self.thread_ts is not None and self.thread_ts != self.ts


@dataclass
class Channel:
    """A public or private channel (C…) or a direct message (D…); messages by ts, in order."""

    id: str
    name: str
    kind: Literal["channel", "private", "im"] = "channel"
    members: list[str] = field(default_factory=list)
    created: int = 0
    creator: str = ""
    topic: str = ""
    purpose: str = ""
    is_ext_shared: bool = False
    is_archived: bool = False
    messages: dict[str, Message] = field(default_factory=dict)
    pins: list[str] = field(default_factory=list)
    bookmarks: list[Json] = field(default_factory=list)

    @property
    def event_kind(self) -> str:
        """The channel type as events name it: `channel`, `group` or `im`."""
        return {"channel": "channel", "private": "group", "im": "im"}[self.kind]


@dataclass
class Group:
    """A user group, S…."""

    id: str
    handle: str
    name: str
    members: list[str] = field(default_factory=list)


@dataclass
class File:
    """An uploaded file, F…; private until shared in a channel."""

    id: str
    name: str
    title: str
    user: str
    mimetype: str
    content: bytes
    created: int
    channels: list[str] = field(default_factory=list)
    is_complete: bool = True


@dataclass
class View:
    """A modal or Home view, V…; `values` is its form state, keyed by block and action."""

    id: str
    user: str
    definition: Json
    hash: str
    values: dict[str, dict[str, Json]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    root_id: str = ""
    previous_id: str | None = None
    external_id: str = ""

    @property
    def kind(self) -> str:
        """`modal` or `home`."""
        return str(self.definition["type"])

    @property
    def blocks(self) -> list[Json]:
        """Its blocks, each with a `block_id`."""
        return list(self.definition["blocks"])


@dataclass
class Command:
    """A slash command of the app; `should_escape` turns mentions in its text into ids."""

    command: str
    description: str = ""
    usage_hint: str = ""
    should_escape: bool = False
    url: str | None = None


@dataclass
class Shortcut:
    """A shortcut of the app, `global` or on a `message`."""

    name: str
    callback_id: str
    type: Literal["global", "message"] = "global"
    description: str = ""


@dataclass
class App:
    """The one app installed: its bot user, credentials, scopes and what it subscribed to."""

    id: str = "A0001"
    name: str = "app"
    bot_user: str = "U0B01"
    bot_id: str = "B0001"
    bot_token: str = field(default="xoxb-test", repr=False)
    app_token: str = field(default="xapp-test", repr=False)
    signing_secret: str = field(default="signing-secret", repr=False)
    client_id: str = "1000.2000"
    client_secret: str = field(default="client-secret", repr=False)
    verification_token: str = field(default="verification", repr=False)
    scopes: frozenset[str] = frozenset()
    commands: list[Command] = field(default_factory=list)
    shortcuts: list[Shortcut] = field(default_factory=list)
    events: frozenset[str] = frozenset()
    interactivity: bool = True
    socket_mode: bool = True
    request_url: str | None = None
    options_url: str | None = None
    redirect_urls: list[str] = field(default_factory=list)
    installed: bool = True
    """Whether the bot token works from the beginning; else it does once somebody allows it."""
    token_rotation: bool = False
