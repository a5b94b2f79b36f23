"""What Slack's message box does with typed text: names become ids, and & < > are escaped."""

from __future__ import annotations

import re

from simulator.workspace import Workspace

WORD = re.compile(r"(?<![\w@#/])([@#])([\w.-]*\w)")
LINK = re.compile(r"(?<![<|\w])(https?://[^\s<>|]+)")
BROADCASTS = {"here", "channel", "everyone"}


def escape(text: str) -> str:
    """Escape the three characters Slack escapes."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def as_message(workspace: Workspace, typed: str) -> str:
    """Return a message's text: `@ann`, `#checkout`, `@group` and links in Slack's angle brackets."""
    return _convert(workspace, escape(typed), labels=False)


def as_escaped_command(workspace: Workspace, typed: str) -> str:
    """Return a command's text with `should_escape` on: ids with names, links in brackets."""
    return _convert(workspace, escape(typed), labels=True)


def _convert(workspace: Workspace, text: str, *, labels: bool) -> str:
    def name(match: re.Match[str]) -> str:
        sign, word = match.groups()
        if sign == "#":
            channel = workspace.find_channel(f"#{word}")
            return f"<#{channel.id}|{channel.name}>" if channel else match.group()
        user = next((user for user in workspace.users.values() if user.name == word), None)
        if user is not None:
            return f"<@{user.id}|{user.name}>" if labels else f"<@{user.id}>"
        group = next((group for group in workspace.groups.values() if group.handle == word), None)
        if group is not None:
            return f"<!subteam^{group.id}|@{group.handle}>" if labels else f"<!subteam^{group.id}>"
        return f"<!{word}>" if word in BROADCASTS else match.group()

    pieces = LINK.split(text)  # every second piece is a link: names inside links stay as they are
    return "".join(f"<{piece}>" if index % 2 else WORD.sub(name, piece) for index, piece in enumerate(pieces))
