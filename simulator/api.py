"""What one Web API method is: its arguments, scope, tier and token; and what it is called with."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from simulator.errors import ApiError
from simulator.installing import Installing
from simulator.records import Channel, Json, Message
from simulator.socket_mode import SocketMode
from simulator.tickets import Tickets
from simulator.workspace import Workspace

ALWAYS_ALLOWED = {"token", "team_id"}
READ_SCOPE = {"channel": "channels:read", "private": "groups:read", "im": "im:read"}
HISTORY_SCOPE = {"channel": "channels:history", "private": "groups:history", "im": "im:history"}
MOST_A_PAGE = 1_000


@dataclass
class Call:
    """One call of a method: the arguments given, and what the method may touch."""

    method: str
    arguments: Json
    workspace: Workspace
    tickets: Tickets
    socket: SocketMode
    installing: Installing

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes granted to the bot token."""
        return self.workspace.app.scopes

    def need(self, scope: str) -> None:
        """Raise `missing_scope` unless the bot token has `scope` (or one of several, split by `|`)."""
        if not self.scopes & set(scope.split("|")):
            raise ApiError("missing_scope", needed=scope.replace("|", ","), provided=",".join(sorted(self.scopes)))

    def text(self, name: str, default: str | None = None) -> str:
        """Return a string argument; without one, `default` or `invalid_arguments`."""
        value = self.arguments.get(name, default)
        if value is None or isinstance(value, dict | list):
            what = "missing required field" if value is None else "must be a string"
            raise ApiError("invalid_arguments", f"[ERROR] {what}: {name}")
        return str(value)

    def flag(self, name: str) -> bool:
        """Return a boolean argument, false by default."""
        value = self.arguments.get(name, False)
        if value in (True, "1", "true", "True", 1):
            return True
        if value in (False, "0", "false", "False", 0, ""):
            return False
        raise ApiError("invalid_arguments", f"[ERROR] must be a boolean: {name}")

    def number(self, name: str, default: int) -> int:
        """Return an integer argument."""
        value = self.arguments.get(name, default)
        try:
            return int(value)
        except (TypeError, ValueError):
            raise ApiError("invalid_arguments", f"[ERROR] must be an integer: {name}") from None

    def structure(self, name: str, wrong: str = "invalid_arguments") -> Any:
        """Return an argument that is JSON, given as such or as a string of it; None without one."""
        value = self.arguments.get(name)
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError:
            raise ApiError(wrong, f"[ERROR] not valid JSON: {name}") from None

    def words(self, name: str) -> list[str]:
        """Return an argument that is a list, or a string split by commas."""
        value = self.arguments.get(name) or []
        return [part for part in value.split(",") if part] if isinstance(value, str) else [str(v) for v in value]

    def channel(self, name: str = "channel", *, member: bool = False) -> Channel:
        """Return the conversation named by id; `channel_not_found` when the bot may not know of it."""
        identity = self.text(name)
        channel = self.workspace.channels.get(identity)
        bot = self.workspace.app.bot_user
        if channel is None or not self.workspace.may_see(bot, channel):
            raise ApiError("channel_not_found")
        if member and bot not in channel.members:
            raise ApiError("not_in_channel")
        return channel

    def message(self, channel: Channel, name: str) -> Message:
        """Return the message of `channel` with the ts under `name`."""
        found = channel.messages.get(self.text(name))
        if found is None:
            raise ApiError("message_not_found")
        return found


Body = Callable[[Call], Awaitable[Json]]


@dataclass(frozen=True)
class Method:
    """One method: what it takes, needs and costs (`tier` 0: no published limit)."""

    name: str
    body: Body
    scope: str | None
    tier: int
    required: frozenset[str]
    arguments: frozenset[str]
    caller: Literal["bot", "app", "nobody"]


METHODS: dict[str, Method] = {}


def method(
    name: str,
    *,
    scope: str | None = None,
    tier: int = 3,
    required: str = "",
    optional: str = "",
    caller: Literal["bot", "app", "nobody"] = "bot",
) -> Callable[[Body], Body]:
    """Register an async function as the Web API method `name`."""

    def register(body: Body) -> Body:
        needed = frozenset(required.split())
        known = needed | frozenset(optional.split()) | ALWAYS_ALLOWED
        METHODS[name] = Method(name, body, scope, tier, needed, known, caller)
        return body

    return register


def check_arguments(found: Method, arguments: Json) -> None:
    """Raise `invalid_arguments` for unknown or missing arguments."""
    unknown = sorted(set(arguments) - found.arguments)
    missing = sorted(name for name in found.required if arguments.get(name) in (None, ""))
    faults = [f"[ERROR] unknown argument: {name}" for name in unknown]
    faults += [f"[ERROR] missing required field: {name}" for name in missing]
    if faults:
        raise ApiError("invalid_arguments", *faults)


def page(call: Call, items: Sequence[Any], default: int = 100) -> tuple[Sequence[Any], Json]:
    """Return the page of `items` asked for by `cursor` and `limit`, and its `response_metadata`."""
    limit = call.number("limit", default)
    if not 1 <= limit <= MOST_A_PAGE:
        raise ApiError("invalid_limit")
    start = 0
    cursor = call.arguments.get("cursor")
    if cursor:
        try:
            start = int(base64.b64decode(str(cursor), validate=True).decode().removeprefix("next:"))
        except (binascii.Error, ValueError):
            raise ApiError("invalid_cursor") from None
    end = start + limit
    following = base64.b64encode(f"next:{end}".encode()).decode() if end < len(items) else ""
    return items[start:end], {"next_cursor": following}
