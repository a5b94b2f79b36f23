"""The outgoing pager webhook: calls somebody outside Slack, and says when it is over.

A page is one POST of JSON (`docs/alarms.md` describes it), signed over its time and its body:

    X-Andon-Timestamp: 1767225600
    X-Andon-Signature: v1=<hex HMAC-SHA256 of "{timestamp}.{body}" under the shared secret>
    Idempotency-Key: <the same for every attempt of one page>
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import aiohttp
from pydantic import Field, SecretStr, field_validator

from core.errors import PermanentError, TransientError
from core.releases.effects import EndPage, Page
from core.releases.problems import Strict, refusal

LONGEST_WAIT = timedelta(hours=1)


class PagerConfig(Strict):
    """Where pages go. The whole address counts as a secret: many pagers carry their key in its path."""

    url: SecretStr
    secret: SecretStr = Field(repr=False)
    timeout: timedelta = timedelta(seconds=10)

    @field_validator("url")
    @classmethod
    def _is_web(cls, url: SecretStr) -> SecretStr:
        try:
            parts = urlsplit(url.get_secret_value())
            is_web = parts.scheme in ("http", "https") and bool(parts.hostname)
        except ValueError:
            is_web = False
        if not is_web:
            raise refusal("the pager's address is no web address", "write the whole address, beginning with `https://`")
        return url

    @field_validator("secret")
    @classmethod
    def _is_given(cls, secret: SecretStr) -> SecretStr:
        if not secret.get_secret_value():
            raise refusal("the pager's secret is empty", "make one up and give it to the receiver as well")
        return secret


class Pager:
    """Sends pages and their ends. The session is shared and stays open; `clock` gives aware instants."""

    def __init__(self, config: PagerConfig, session: aiohttp.ClientSession, *, clock: Callable[[], datetime]) -> None:
        self._config, self._session, self._clock = config, session, clock

    def __repr__(self) -> str:
        return f"Pager({self._host})"

    @property
    def _host(self) -> str:
        return urlsplit(self._config.url.get_secret_value()).hostname or ""

    async def page(self, effect: Page, *, pipeline: str, service: str, url: str = "") -> None:
        """Call somebody; raises TransientError (try again) or PermanentError (the pager refused it)."""
        more = {"stage": effect.stage, "repetition": effect.repetition}
        await self._send("page", effect, {"pipeline": pipeline, "service": service, "url": url, **more})

    async def end(self, effect: EndPage, *, pipeline: str, service: str, url: str = "") -> None:
        """Say that a page is over; raises like `page`."""
        await self._send("end", effect, {"pipeline": pipeline, "service": service, "url": url})

    async def _send(self, kind: str, effect: Page | EndPage, more: dict[str, object]) -> None:
        now = self._clock()
        body = json.dumps(
            {
                "version": 1,
                "kind": kind,
                "page": effect.page,
                "release": effect.release,
                "sentence": effect.sentence,
                "at": now.astimezone(UTC).isoformat(),
                **more,
            },
            ensure_ascii=False,
        ).encode("utf-8", errors="replace")
        timestamp = str(int(now.timestamp()))
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": effect.key,
            "User-Agent": "Andon",
            "X-Andon-Timestamp": timestamp,
            "X-Andon-Signature": signature(self._config.secret.get_secret_value(), timestamp, body),
        }
        try:
            async with self._session.post(
                self._config.url.get_secret_value(),
                data=body,
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=self._config.timeout.total_seconds()),
            ) as response:
                status, retry_after = response.status, response.headers.get("Retry-After")
        except TimeoutError:
            raise TransientError(f"The pager at {self._host} did not answer in time.") from None
        except (aiohttp.ClientError, OSError):
            # Errors of the client name the whole address.
            raise TransientError(f"The pager at {self._host} cannot be reached.") from None
        self._judge(status, wait_asked(retry_after, now))

    def _judge(self, status: int, wait: timedelta | None) -> None:
        said = f"The pager at {self._host} answered {status}"
        if 200 <= status < 300:
            return
        if status >= 500 or status in (408, 429):
            raise TransientError(f"{said}.", retry_after=wait)
        if 300 <= status < 400:
            raise PermanentError(f"{said}, a redirect, which is not followed; configure its final address.")
        raise PermanentError(f"{said}; it does not take pages like this.")


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """What `X-Andon-Signature` must be; receivers compute the same and compare in constant time."""
    digest = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"v1={digest.hexdigest()}"


def wait_asked(header: str | None, now: datetime) -> timedelta | None:
    """How long a `Retry-After` (seconds, or an HTTP date) asks to wait, at most an hour; None where it says nothing."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(timedelta(seconds=int(text[:9])), LONGEST_WAIT)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    aware = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
    return min(max(aware - now, timedelta()), LONGEST_WAIT)
