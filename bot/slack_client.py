"""Talk to Slack's Web API: one shared session, errors that say what to do, and a pace Slack accepts.

`web_client` points every call at `api_url`; nothing here reads the environment. A call that timed out or met a 5xx
may have been carried out: that is `TransientError`, and whoever posts looks for the message before posting again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.http_retry.async_handler import AsyncRetryHandler
from slack_sdk.http_retry.builtin_async_handlers import (
    AsyncConnectionErrorRetryHandler,
    AsyncRateLimitErrorRetryHandler,
    AsyncServerErrorRetryHandler,
)
from slack_sdk.web.async_client import AsyncWebClient

from core.errors import PermanentError, TransientError

library_log = logging.getLogger("andon.slack.web")
# Below INFO the library writes every call, words of people and all, into the log.
library_log.setLevel(logging.INFO)

API_URL: Final = "https://slack.com/api/"
TIMEOUT: Final = aiohttp.ClientTimeout(total=10, connect=3)
AUTH_PATIENCE: Final = timedelta(seconds=60)

SLACK_TROUBLE: Final = frozenset(
    {"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"}
)
TOKEN_TROUBLE: Final = frozenset(
    {"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "no_permission"}
)

MENDS: Final = {
    "not_in_channel": "Andon is not in this channel: invite it there with /invite @andon.",
    "channel_not_found": "Slack knows no such channel, or Andon is not in it: invite it there with /invite @andon.",
    "is_archived": "The channel is archived: unarchive it, or name another channel in the pipeline file.",
    "restricted_action": "The workspace forbids Andon to post here: ask an administrator of the workspace.",
    "missing_scope": "The app lacks a scope: compare its settings with `andon manifest` and install it again.",
    "invalid_auth": "Slack does not accept the bot token: copy it again from OAuth & Permissions.",
    "not_authed": "No bot token was sent: set it, from OAuth & Permissions.",
    "account_inactive": "The app was removed from the workspace: install it again.",
    "token_revoked": "The bot token was revoked: install the app again and set the new token.",
    "token_expired": "The bot token expired: turn token rotation off for this app and install it again.",
    "msg_too_long": "The message is too long for Slack: this is a mistake in Andon, please report it.",
    "invalid_blocks": "Slack does not accept the message's blocks: this is a mistake in Andon, please report it.",
    "user_not_found": "Slack knows no such user: mend the person's Slack id in the organisation file.",
    "user_disabled": "This person's Slack account is switched off: mend the organisation file.",
    "cannot_dm_bot": "A bot cannot be called by direct message: mend the organisation file.",
    "user_not_in_channel": "This person is not in the channel.",
}


class SlackRefused(PermanentError):
    """Slack said no, and asking again will not help. `code` is Slack's word for it."""

    def __init__(self, code: str, detail: str = "") -> None:
        self.code = code
        mend = MENDS.get(code, "")
        super().__init__(" ".join(part for part in (f"Slack refused: {code}.", detail, mend) if part))


def open_session() -> aiohttp.ClientSession:
    """Open the one session all calls share; its own time-outs hold, because a shared session ignores the client's."""
    return aiohttp.ClientSession(timeout=TIMEOUT)


def web_client(
    token: str,
    *,
    session: aiohttp.ClientSession,
    api_url: str = API_URL,
    proxy: str = "",
    is_patient: bool = False,
) -> AsyncWebClient:
    """Make a client that repeats nothing, or with `is_patient` one for reads, which may be repeated."""
    retries: Sequence[AsyncRetryHandler] = (
        (
            AsyncConnectionErrorRetryHandler(max_retry_count=1),
            AsyncRateLimitErrorRetryHandler(max_retry_count=1),
            AsyncServerErrorRetryHandler(max_retry_count=1),
        )
        if is_patient
        else ()
    )
    client = AsyncWebClient(
        token=token,
        base_url=api_url if api_url.endswith("/") else api_url + "/",
        session=session,
        retry_handlers=list(retries),
        logger=library_log,
    )
    # The library takes HTTP(S)_PROXY from the environment by itself; Andon goes only where its settings say.
    client.proxy = proxy or None
    return client


@contextlib.asynccontextmanager
async def slack_errors() -> AsyncIterator[None]:
    """Turn what the library raises into `TransientError` (unknown or not now) or `SlackRefused` (no)."""
    try:
        yield
    except SlackApiError as error:
        raise _translated(error) from None  # its text can hold the whole response
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise TransientError(f"Slack did not answer ({type(error).__name__}).") from error
    except SlackClientError as error:
        raise TransientError(f"Slack's answer was not understood ({type(error).__name__}).") from error


def _translated(error: SlackApiError) -> TransientError | SlackRefused:
    response = error.response
    status = int(getattr(response, "status_code", 0) or getattr(response, "status", 0) or 0)
    headers = getattr(response, "headers", None) or {}
    body = getattr(response, "data", None)
    code = str(body.get("error", "")) if isinstance(body, dict) else ""
    if status == 429 or code in {"ratelimited", "rate_limited"}:
        return TransientError("Slack asks for a pause.", retry_after=_retry_after(headers.get("Retry-After")))
    if status >= 500 or not code:
        return TransientError(f"Slack has trouble (HTTP {status}).")
    if code in SLACK_TROUBLE:
        return TransientError(f"Slack has trouble ({code}).")
    if code in TOKEN_TROUBLE:
        # Not final: an operator mends the token, and what waits is delivered then.
        return TransientError(f"Slack refused: {code}. {MENDS.get(code, '')}".strip(), retry_after=AUTH_PATIENCE)
    needed = str(body.get("needed", "")) if isinstance(body, dict) else ""
    return SlackRefused(code, f"Needed: {needed}." if needed else "")


def _retry_after(value: object) -> timedelta:
    try:
        seconds = float(str(value))
    except ValueError:
        seconds = 1.0
    return timedelta(seconds=min(max(seconds, 0.0), 3600.0))


class Pace:
    """Lets calls through no faster than Slack takes them: `burst` at once, then one each `every` seconds, per key.

    First come, first served. `hold` stops a key for as long as Slack asked.
    """

    def __init__(
        self,
        every: float = 1.0,
        burst: int = 3,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._every = every
        self._slack = (burst - 1) * every
        self._monotonic = monotonic
        self._sleep = sleep
        self._due: dict[str, float] = {}
        self._held: dict[str, float] = {}

    async def turn(self, key: str) -> None:
        """Wait for this key's next turn."""
        now = self._monotonic()
        due = max(self._due.get(key, now), now)
        self._due[key] = due + self._every
        if len(self._due) > 10_000:
            self._forget(now)
        ready = due - self._slack
        while (wait := max(ready, self._held.get(key, ready)) - self._monotonic()) > 0:
            await self._sleep(wait)

    def wait(self, key: str) -> float:
        """Return in how many seconds a turn asked for now would come."""
        now = self._monotonic()
        ready = max(self._due.get(key, now), now) - self._slack
        return max(ready - now, self._held.get(key, now) - now, 0.0)

    def hold(self, key: str, seconds: float) -> None:
        """Let nothing through for `seconds`; who waits already waits that long as well."""
        self._held[key] = max(self._held.get(key, 0.0), self._monotonic() + seconds)

    def _forget(self, now: float) -> None:
        self._due = {key: due for key, due in self._due.items() if due > now}
        self._held = {key: until for key, until in self._held.items() if until > now}
