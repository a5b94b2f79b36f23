"""Reads the description of a workspace (JSON, see README.md) into a `Workspace`; wrong ones are refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from simulator.events import ALL_EVENTS
from simulator.records import App, Command, Json, Shortcut
from simulator.workspace import Clock, Workspace

ALL_SCOPES = frozenset(
    [
        "app_mentions:read",
        "bookmarks:write",
        "channels:history",
        "channels:join",
        "channels:read",
        "chat:write",
        "commands",
        "files:read",
        "files:write",
        "groups:history",
        "groups:read",
        "im:history",
        "im:read",
        "im:write",
        "pins:write",
        "reactions:read",
        "reactions:write",
        "team:read",
        "usergroups:read",
        "users:read",
        "users:read.email",
    ]
)
TOP = {"team", "users", "channels", "groups", "app", "manifest", "links"}
APP = {
    "id",
    "name",
    "bot_token",
    "app_token",
    "signing_secret",
    "client_id",
    "client_secret",
    "scopes",
    "events",
    "commands",
    "shortcuts",
    "interactivity",
    "socket_mode",
    "request_url",
    "options_url",
    "redirect_urls",
    "installed",
    "token_rotation",
}
USER = {"id", "name", "real_name", "email", "is_guest", "is_external", "is_admin", "tz"}
CHANNEL = {"id", "name", "kind", "members", "topic", "purpose", "is_ext_shared"}
GROUP = {"id", "handle", "name", "members"}
DEFAULT_USERS: list[Json] = [{"name": "ann"}, {"name": "bob"}, {"name": "cleo"}]


class ConfigError(Exception):
    """The description of the workspace is wrong; the message says where and what would do."""


def read_config(path: Path) -> Json:
    """Read a JSON file; `manifest` in it may name another JSON file beside it."""
    try:
        config: Any = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(config, dict) and isinstance(config.get("manifest"), str):
            config["manifest"] = json.loads((path.parent / config["manifest"]).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{error.filename}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(config, dict):
        raise ConfigError(f"{path}: must be a JSON object")
    return config


def setup_from(config: Json, clock: Clock) -> Workspace:
    """Return the workspace `config` describes; without users or channels, three people in #general."""
    _known(config, TOP, "the workspace")
    workspace = Workspace(clock, _app(config), str(config.get("team") or "Example Shop"))
    for user in config.get("users") or DEFAULT_USERS:
        _known(user, USER, "a user", "name")
        workspace.add_user(**user)
    people = [user.name for user in workspace.users.values() if not user.is_external]
    for channel in config.get("channels") or [{"name": "general"}]:
        _known(channel, CHANNEL, "a channel", "name")
        if channel.get("kind", "channel") not in {"channel", "private"}:
            raise ConfigError(f"channel {channel['name']}: `kind` must be channel or private")
        workspace.add_channel(**{"members": people, **channel})
    for link in config.get("links") or []:
        _known(link, {"title", "url"}, "a link", "url")
        workspace.links.append({"title": link.get("title") or link["url"], "url": link["url"]})
    for group in config.get("groups") or []:
        _known(group, GROUP, "a group", "handle")
        members, name = group.get("members", []), group.get("name", "")
        workspace.add_group(group["handle"], members, name, group.get("id"))
    return workspace


def _known(given: Any, keys: set[str], what: str, needed: str | None = None) -> None:
    if not isinstance(given, dict):
        raise ConfigError(f"{what} must be a JSON object, not {given!r}")
    unknown = sorted(set(given) - keys)
    if unknown:
        raise ConfigError(f"{what} does not take {', '.join(unknown)}; it takes {', '.join(sorted(keys))}")
    if needed is not None and not given.get(needed):
        raise ConfigError(f"{what} needs `{needed}`")


def _app(config: Json) -> App:
    given = {**_from_manifest(config.get("manifest") or {}), **(config.get("app") or {})}
    _known(given, APP, "the app")
    app = App(scopes=ALL_SCOPES, events=ALL_EVENTS)
    plain = APP - {"scopes", "events", "commands", "shortcuts"}
    for key in plain & set(given):
        setattr(app, key, given[key])
    for key in {"scopes", "events"} & set(given):
        setattr(app, key, frozenset(given[key]))
    unknown = app.events - ALL_EVENTS - {"channel_id_changed"}
    unknown -= {"channel_shared", "channel_unshared"}
    if unknown:
        raise ConfigError(f"the app subscribes to events not simulated: {', '.join(sorted(unknown))}")
    if app.request_url and "socket_mode" not in given:
        app.socket_mode = False
    app.commands = [_command(each) for each in given.get("commands", [])]
    app.shortcuts = [_shortcut(each) for each in given.get("shortcuts", [])]
    return app


def _command(given: Any) -> Command:
    if isinstance(given, str):
        given = {"command": given}
    _known(given, {"command", "description", "usage_hint", "should_escape", "url"}, "a command", "command")
    if not given["command"].startswith("/"):
        raise ConfigError(f"command {given['command']!r} must start with /")
    return Command(**given)


def _shortcut(given: Any) -> Shortcut:
    _known(given, {"name", "callback_id", "type", "description"}, "a shortcut", "callback_id")
    kind: Literal["global", "message"] = given.get("type", "global")
    if kind not in {"global", "message"}:
        raise ConfigError(f"shortcut {given['callback_id']!r}: `type` must be global or message")
    return Shortcut(given.get("name") or given["callback_id"], given["callback_id"], kind, given.get("description", ""))


def _from_manifest(manifest: Any) -> Json:
    """Return the app's settings from a Slack app manifest (as JSON)."""
    if not isinstance(manifest, dict):
        raise ConfigError("`manifest` must be an object, or the name of a JSON file")
    if not manifest:
        return {}
    features, settings = manifest.get("features", {}), manifest.get("settings", {})
    subscriptions, interactivity = settings.get("event_subscriptions", {}), settings.get("interactivity", {})
    oauth = manifest.get("oauth_config", {})
    found: Json = {
        "name": features.get("bot_user", {}).get("display_name", "app"),
        "commands": features.get("slash_commands", []),
        "shortcuts": features.get("shortcuts", []),
        "scopes": oauth.get("scopes", {}).get("bot", []),
        "events": subscriptions.get("bot_events", []),
        "interactivity": bool(interactivity.get("is_enabled")),
        "socket_mode": bool(settings.get("socket_mode_enabled")),
        "redirect_urls": oauth.get("redirect_urls", []),
        "token_rotation": bool(settings.get("token_rotation_enabled")),
    }
    if subscriptions.get("request_url"):
        found["request_url"] = subscriptions["request_url"]
    if interactivity.get("message_menu_options_url"):
        found["options_url"] = interactivity["message_menu_options_url"]
    return found
