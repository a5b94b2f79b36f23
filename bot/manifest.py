"""Print the Slack app manifest: what Andon asks of a workspace, and not one scope more.

`andon manifest` gives the Socket Mode form, which needs no public address; `andon manifest --http URL` the HTTP form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from core.errors import UsageError

EVENTS_PATH: Final = "/slack/events"
INSTALL_PATH: Final = "/slack/install"
REDIRECT_PATH: Final = "/slack/oauth_redirect"


@dataclass(frozen=True, slots=True)
class Scope:
    """A right asked of the workspace. `why` says what it is for, `without` what is lost where it is declined."""

    name: str
    why: str
    without: str = ""

    @property
    def is_optional(self) -> bool:
        """Whether an administrator may decline it and Andon still runs."""
        return bool(self.without)


SCOPES: Final = (
    Scope("commands", "the four slash commands and the shortcuts"),
    Scope("chat:write", "cards, threads and answers, in channels Andon was invited to"),
    Scope("app_mentions:read", "hearing @andon, the only typed way into a thread"),
    Scope("channels:read", "finding the public channels it was invited to"),
    Scope("groups:read", "finding the private channels it was invited to"),
    Scope("users:read", "telling members from guests and people of other companies"),
    Scope("im:write", "calling the on-call by direct message"),
    Scope(
        "usergroups:read",
        "reading the members of the Slack user groups your organisation file names",
        "groups have only the members written in the organisation file",
    ),
    Scope(
        "users:read.email",
        "knowing people by the e-mail address in your organisation file",
        "each person needs their Slack id in the organisation file",
    ),
    Scope(
        "channels:history",
        "looking whether a message arrived, after Slack did not confirm it",
        "such a message may appear twice in public channels, the second one marked so",
    ),
    Scope(
        "groups:history",
        "the same in private channels",
        "such a message may appear twice in private channels, the second one marked so",
    ),
    Scope(
        "files:write",
        "attaching what is too long for a message: the output of a test that failed, a long history",
        "only the end of such an output is shown, and a long history is cut",
    ),
    Scope(
        "im:history",
        "answering direct messages, and the same looking there",
        "Andon does not hear direct messages, and one it sends may appear twice, the second one marked so",
    ),
)

COMMANDS: Final = (
    (
        "/release",
        "Show, promote, pause, resume or roll back a release",
        "[status|why|promote|pause|resume|rollback|approve|reject|history|help] [service]",
    ),
    ("/ops", "Alarms, the ops meeting and the numbers", "[status|alarms|pack|wheel|help]"),
    ("/feedback", "What customers say", "[add|list|theme|link|help]"),
    ("/prfaq", "New ideas, as a press release and an FAQ", "[new|show|ask|answer|decide|help]"),
)

EVENTS: Final = (
    "app_home_opened",
    "app_mention",
    "app_uninstalled",
    "channel_archive",
    "channel_id_changed",
    "channel_left",
    "channel_rename",
    "channel_unarchive",
    "group_left",
    "member_joined_channel",
    "message.im",
    "subteam_members_changed",
    "subteam_updated",
    "tokens_revoked",
)

LONG_DESCRIPTION: Final = (
    "Andon runs each service's release pipeline the careful way: one box first, then one zone, one region, the rest,"
    " with the service's own alarms watched throughout and a rollback the moment one turns red. Each release is one"
    " card with one thread. Anyone can pull the cord, and anyone can ask why a release does not move."
    " Every act is checked on the server and written to an audit log."
)


def manifest(*, public_url: str = "", install_url: str = "", name: str = "Andon") -> dict[str, Any]:
    """Return the manifest as plain data.

    `public_url` (https) chooses HTTP instead of Socket Mode; `install_url` has the app installed by OAuth there.
    """
    address = _address(public_url, EVENTS_PATH) if public_url else ""
    redirect = {"redirect_urls": [_address(install_url, REDIRECT_PATH)]} if install_url else {}
    commands: list[dict[str, Any]] = [
        {"command": command, "description": description, "usage_hint": hint, "should_escape": True}
        for command, description, hint in COMMANDS
    ]
    subscriptions: dict[str, Any] = {"bot_events": list(EVENTS)}
    interactivity: dict[str, Any] = {"is_enabled": True}
    if address:
        for command in commands:
            command["url"] = address
        subscriptions = {"request_url": address, **subscriptions}
        interactivity |= {"request_url": address, "message_menu_options_url": address}
    return {
        "_metadata": {"major_version": 2, "minor_version": 1},
        "display_information": {
            "name": name,
            "description": "Releases step by step, watched by their alarms, with a cord for everyone.",
            "long_description": LONG_DESCRIPTION,
            "background_color": "#1d3557",
        },
        "features": {
            "app_home": {
                "home_tab_enabled": True,
                "messages_tab_enabled": True,
                "messages_tab_read_only_enabled": False,
            },
            "bot_user": {"display_name": name.lower(), "always_online": True},
            "slash_commands": commands,
            "shortcuts": [
                {
                    "name": "Release actions",
                    "type": "global",
                    "callback_id": "release_actions",
                    "description": "Pick a service and act on its release",
                },
                {
                    "name": "Act on this release",
                    "type": "message",
                    "callback_id": "release_actions_here",
                    "description": "Act on the release this message speaks of",
                },
            ],
        },
        "oauth_config": {
            **redirect,
            "scopes": {
                "bot": [scope.name for scope in SCOPES],
                "bot_optional": [scope.name for scope in SCOPES if scope.is_optional],
            },
        },
        "settings": {
            "event_subscriptions": subscriptions,
            "interactivity": interactivity,
            "org_deploy_enabled": False,
            "socket_mode_enabled": not address,
            "token_rotation_enabled": False,
        },
    }


def as_yaml(content: dict[str, Any]) -> str:
    """Return a manifest as the YAML that api.slack.com/apps takes."""
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)
    return text


def _address(public_url: str, path: str) -> str:
    parts = urlsplit(public_url)
    if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment:
        raise UsageError(
            f"{public_url!r} cannot be Slack's way in.",
            mend="Give an https address that Slack can reach, such as https://andon.example.com.",
        )
    base = public_url.rstrip("/")
    return base if base.endswith(path) else base + path
