"""Signed requests to the receiver of the deployer `webhook`, and its answers, read carefully.

    X-Andon-Timestamp: 1767225600
    X-Andon-Signature: v1=<hex HMAC-SHA256 of "{timestamp}.{body}" under the shared secret>
    Idempotency-Key: <the key of the deployment>

A GET has no body; there, `GET {path and query}` is signed in its place.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from core.errors import PermanentError, TransientError
from integrations.intake import line
from integrations.pager import signature, wait_asked

SPOKEN = 1
"""The protocol that is spoken here; others are not guessed at."""
MOST_READ = 1_000_000
SHOWN = 300
FRESH = timedelta(minutes=5)
"""How far the time of a signed callback may be from ours."""
TRY_AGAIN = frozenset({408, 423, 425, 429})


@dataclass(frozen=True, slots=True)
class Secrets:
    """What requests are signed with, and a token; shown nowhere."""

    key: str
    token: str = ""

    def __repr__(self) -> str:
        return "Secrets(…)"

    def hidden(self, text: str) -> str:
        """A text without them."""
        for secret in (self.key, self.token):
            if len(secret) >= 4:
                text = text.replace(secret, "•••")
        return text

    def callback_token(self, key: str) -> str:
        """What a callback about one deployment is authorised by; it is good for no other."""
        return hmac.new(
            self.key.encode(), b"callback." + key.encode(errors="surrogatepass"), hashlib.sha256
        ).hexdigest()


class Receiver:
    """One receiver; `clock` gives aware instants. Each request has a connection of its own."""

    def __init__(
        self, url: str, allowed: tuple[str, ...], secrets: Secrets, timeout: timedelta, clock: Callable[[], datetime]
    ) -> None:
        self._home = _origin_of(url)
        self._allowed = {_origin_of(each) for each in allowed}
        self._host = urlsplit(url).hostname or ""
        self._secrets, self._timeout, self._clock = secrets, timeout, clock

    def __str__(self) -> str:
        return self._host

    def led_to(self, value: object, what: str) -> str:
        """An address that an answer names, if it may be asked; empty where it names none.

        Raises TransientError for one that leads elsewhere: nothing is sent there.
        """
        if value in (None, ""):
            return ""
        try:
            origin = _origin_of(value) if isinstance(value, str) and value.isprintable() else None
        except ValueError:
            origin = None
        if origin is None or (origin != self._home and origin not in self._allowed):
            raise TransientError(
                f"The `{what}` that {self._host} gave leads elsewhere, and nothing is sent there; "
                "if that is meant, name its origin under `allow`."
            )
        return str(value)

    async def post(self, url: str, told: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        """Ask for something; its answer. Raises TransientError (perhaps it happened) or PermanentError (it did not)."""
        body = json.dumps({"protocol": SPOKEN, **told}, ensure_ascii=False).encode("utf-8", errors="replace")
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        found = await self._request("POST", url, body, headers)
        assert found is not None, "only a look may find nothing"
        return found

    async def get(self, url: str, *, may_miss: bool = False) -> Mapping[str, Any] | None:
        """Look at something; None where `may_miss` and it is not there. Raises as `post` does."""
        return await self._request("GET", url, None, {}, may_miss=may_miss)

    async def _request(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], *, may_miss: bool = False
    ) -> Mapping[str, Any] | None:
        now = self._clock()
        timestamp = str(int(now.timestamp()))
        parts = urlsplit(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        signed = f"{method} {path}".encode() if body is None else body
        sent = {
            "Accept": "application/json",
            "User-Agent": "Andon",
            "X-Andon-Timestamp": timestamp,
            "X-Andon-Signature": signature(self._secrets.key, timestamp, signed),
            **({"Authorization": f"Bearer {self._secrets.token}"} if self._secrets.token else {}),
            **headers,
        }
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._timeout.total_seconds())) as session,
                session.request(
                    method, URL(url, encoded=True), data=body, headers=sent, allow_redirects=False
                ) as response,
            ):
                status, wait = response.status, wait_asked(response.headers.get("Retry-After"), now)
                text = await _text(response)
        except TimeoutError:
            raise TransientError(f"{self._host} did not answer within {self._timeout.total_seconds():g} s.") from None
        except (aiohttp.ClientError, OSError, ValueError):
            # Errors of the client name the whole address.
            raise TransientError(f"{self._host} cannot be reached, or broke off.") from None
        if status == 404 and may_miss:
            return None
        self._judge(status, text, wait)
        return self._understood(text)

    def _judge(self, status: int, text: bytes | None, wait: timedelta | None) -> None:
        if 200 <= status < 300:
            return
        said = f"{self._host} answered {status}"
        reason = self._secrets.hidden(_reason(text))
        because = f": {reason}" if reason else ""
        if status >= 500 or status in TRY_AGAIN:
            raise TransientError(f"{said}{because}; it is asked again.", retry_after=wait)
        if 300 <= status < 400:
            raise PermanentError(f"{said}, a redirect, which is not followed; name its final address.")
        mend = {
            401: "It does not know Andon's signature or token: look at `secret_env` and `token_env`.",
            403: "It does not permit this to Andon.",
            404: "There is nothing at this address, or no such deployment.",
            409: "It sees a conflict with something else.",
        }.get(status, "It does not take this.")
        raise PermanentError(f"{said}{because}. {mend}")

    def _understood(self, text: bytes | None) -> Mapping[str, Any]:
        if text is None:
            raise TransientError(f"The answer of {self._host} is larger than {MOST_READ} bytes; it is not read.")
        try:
            told: Any = json.loads(text)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            raise TransientError(
                f"The answer of {self._host} is not a JSON object, so it cannot be told what it means."
            )
        return spoken(told, f"The answer of {self._host}")


def spoken(told: Mapping[str, Any], what: str) -> Mapping[str, Any]:
    """What was said, if it is in a protocol that is understood; raises TransientError if it is another."""
    spoke = told.get("protocol", SPOKEN)
    if spoke != SPOKEN or isinstance(spoke, bool):
        raise TransientError(f"{what} speaks protocol {line(spoke, 20) or '?'}; this Andon understands {SPOKEN}.")
    return told


def is_signed(secret: str, headers: Mapping[str, str], body: bytes, now: datetime) -> str:
    """Why a callback is not believed; empty where it is signed with the secret, lately."""
    timestamp, given = headers.get("X-Andon-Timestamp", ""), headers.get("X-Andon-Signature", "")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 13):
        return "its X-Andon-Timestamp is no instant"
    wanted = signature(secret, timestamp, body)
    if not any(hmac.compare_digest(wanted.encode(), each.strip().encode()) for each in given.split(",")):
        return "its X-Andon-Signature is not ours"
    if abs(now.timestamp() - int(timestamp)) > FRESH.total_seconds():
        return "it was signed more than five minutes ago, or its clock is wrong"
    return ""


def _origin_of(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise ValueError("this is no web address")
    return parts.scheme, parts.hostname.lower(), parts.port or (443 if parts.scheme == "https" else 80)


async def _text(response: aiohttp.ClientResponse) -> bytes | None:
    """What was answered; None where it is too much."""
    body = bytearray()
    async for piece in response.content.iter_chunked(65_536):
        body += piece
        if len(body) > MOST_READ:
            return None
    return bytes(body)


def _reason(text: bytes | None) -> str:
    """The sentence of an error: of a problem document, or of what many make of one."""
    try:
        told = json.loads(text or b"")
    except (ValueError, RecursionError):
        return ""
    if not isinstance(told, dict):
        return ""
    return next((line(told[name], SHOWN) for name in ("detail", "message", "error") if line(told.get(name), SHOWN)), "")
