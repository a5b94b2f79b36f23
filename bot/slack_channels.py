"""Know which channel a pipeline's `#name` means, and whether Andon is in it.

Ids are kept: a channel renamed after it was found is still the same channel. Only channels Andon is a member of count,
because it can post nowhere else.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from slack_sdk.web.async_client import AsyncWebClient

from bot.slack_client import SlackRefused, slack_errors

PAGE: Final = 1000
LOOK_AGAIN_AFTER: Final = 15.0


class Channels:
    """The channels Andon is in, by name and by id. `client` may repeat its reads."""

    def __init__(self, client: AsyncWebClient, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._monotonic = monotonic
        self._ids: dict[str, str] = {}
        self._joined: set[str] = set()
        self._shared: set[str] = set()
        self._looked_at = float("-inf")

    async def id_of(self, name: str) -> str:
        """Return a channel's id by name or id; raises `SlackRefused` where Andon is not in it."""
        wanted = name.strip().removeprefix("#")
        if is_channel_id(wanted):
            return wanted
        if wanted not in self._ids and self._monotonic() - self._looked_at >= LOOK_AGAIN_AFTER:
            await self.look()
        if wanted not in self._ids:
            raise SlackRefused("not_in_channel", f"#{wanted}.")
        return self._ids[wanted]

    async def look(self) -> None:
        """Read anew which channels Andon is in; names known before keep their ids."""
        self._looked_at = self._monotonic()
        joined: set[str] = set()
        shared: set[str] = set()
        cursor = ""
        while True:
            async with slack_errors():
                page = await self._client.conversations_list(
                    types="public_channel,private_channel", exclude_archived=True, limit=PAGE, cursor=cursor
                )
            listed: list[dict[str, Any]] = page.get("channels", [])
            for channel in (listing for listing in listed if listing.get("is_member")):
                joined.add(channel["id"])
                self._ids.setdefault(channel["name"], channel["id"])
                if channel.get("is_ext_shared"):
                    shared.add(channel["id"])
            cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                break
        self._ids = {name: id_ for name, id_ in self._ids.items() if id_ in joined}
        self._joined, self._shared = joined, shared

    async def missing(self, names: set[str]) -> list[str]:
        """Return those of `names` whose channels Andon is not in, sorted."""
        await self.look()
        return sorted(
            name
            for name in (given.strip().removeprefix("#") for given in names if given)
            if (name not in self._joined if is_channel_id(name) else name not in self._ids)
        )

    def is_shared(self, channel: str) -> bool:
        """Whether people of another company are in a channel, as far as was seen."""
        return channel in self._shared

    def hear(self, event: dict[str, Any], *, me: str) -> None:
        """Take note of what Slack says of channels: renamed, another id, joined, left, archived."""
        kind = event.get("type", "")
        channel = event.get("channel")
        if kind in {"channel_rename", "group_rename"} and isinstance(channel, dict):
            self._ids[str(channel["name"])] = str(channel["id"])  # the old name keeps leading to it as well
        elif kind == "channel_id_changed":
            old, new = str(event.get("old_channel_id")), str(event.get("new_channel_id"))
            self._ids = {name: new if id_ == old else id_ for name, id_ in self._ids.items()}
            self._joined = {new if id_ == old else id_ for id_ in self._joined}
        elif (kind == "member_joined_channel" and event.get("user") == me) or kind == "channel_unarchive":
            self._looked_at = float("-inf")
        elif kind in {"channel_left", "group_left", "channel_archive"}:
            self._ids = {name: id_ for name, id_ in self._ids.items() if id_ != channel}
            self._joined.discard(str(channel))
        elif kind in {"channel_shared", "channel_unshared"}:
            (self._shared.add if kind == "channel_shared" else self._shared.discard)(str(channel))


def is_channel_id(name: str) -> bool:
    """Whether this is an id (`C0123ABCD`, `G…`, `D…`) and no name: names have no capitals."""
    return len(name) >= 5 and name[0] in "CGD" and name.isalnum() and name.isupper()
