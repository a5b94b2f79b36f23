"""What Slack hands out for a short while: trigger ids (3 s, once) and response URLs (30 min, five times)."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from simulator import limits
from simulator.errors import ApiError


@dataclass
class Trigger:
    """Who acted, when, and in which modal, if any."""

    user: str
    issued_at: float
    view_id: str | None = None
    spent: bool = False


@dataclass
class ResponseUrl:
    """Where an answer sent to a response URL goes: `source_ts` is the message acted on, None for a command."""

    user: str
    channel: str
    issued_at: float
    source_ts: str | None = None
    source_is_ephemeral: bool = False
    uses: int = 0


class Tickets:
    """Issues and checks both kinds; `wall_clock` counts real seconds."""

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        self._wall_clock = wall_clock
        self._triggers: dict[str, Trigger] = {}
        self._response_urls: dict[str, ResponseUrl] = {}

    def trigger(self, user: str, view_id: str | None = None) -> str:
        """Return a fresh `trigger_id` for what `user` just did."""
        now = self._wall_clock()
        trigger_id = f"{int(now * 1000)}.{secrets.randbelow(10**12)}.{secrets.token_hex(16)}"
        self._triggers[trigger_id] = Trigger(user, now, view_id)
        return trigger_id

    def spend_trigger(self, trigger_id: str) -> Trigger:
        """Use up a trigger id; raises ApiError as views.open does."""
        trigger = self._triggers.get(trigger_id)
        if trigger is None:
            raise ApiError("invalid_trigger_id")
        if trigger.spent:
            raise ApiError("exchanged_trigger_id")
        if self._wall_clock() - trigger.issued_at > limits.TRIGGER_SECONDS:
            raise ApiError("expired_trigger_id")
        trigger.spent = True
        return trigger

    def response_url(self, user: str, channel: str, source_ts: str | None = None, *, ephemeral: bool = False) -> str:
        """Return the path of a fresh response URL."""
        key = secrets.token_hex(12)
        self._response_urls[key] = ResponseUrl(user, channel, self._wall_clock(), source_ts, ephemeral)
        return f"hooks/{key}"

    def spend_response_url(self, key: str) -> ResponseUrl:
        """Use a response URL once; raises ApiError `expired_url` or `used_url`."""
        found = self._response_urls.get(key)
        if found is None or self._wall_clock() - found.issued_at > limits.RESPONSE_URL_SECONDS:
            raise ApiError("expired_url")
        if found.uses >= limits.RESPONSE_URL_USES:
            raise ApiError("used_url")
        found.uses += 1
        return found
