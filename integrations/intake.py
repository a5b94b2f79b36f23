"""What comes from outside, made harmless: text without tricks, links that are links, instants one can reckon with."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from urllib.parse import urlsplit

from core.errors import PermanentError

MAX_LINK = 2000

# Control characters but line breaks, marks that turn the direction of writing, broken surrogates, invisible tags.
_HARMFUL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_ESCAPES = str.maketrans({" ": "%20", '"': "%22", "<": "%3C", ">": "%3E", "|": "%7C", "`": "%60"})


def clean(value: object, limit: int) -> str:
    """Untrusted text without control and direction characters, cut to `limit`; empty for what is no text or number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    # Cutting first keeps a huge text cheap; a second cut keeps the promise.
    text = _HARMFUL.sub("", str(value)[: 4 * limit].replace("\r\n", "\n").replace("\r", "\n")).strip()
    return text if len(text) <= limit else f"{text[: limit - 1].rstrip()}…"


def line(value: object, limit: int) -> str:
    """Like `clean`, on one line."""
    return clean(" ".join(clean(value, 4 * limit).split()), limit)


def link(value: object) -> str:
    """An http or https address that is safe to show, else empty: no other schemes, no credentials, no tricks."""
    if not isinstance(value, str) or len(value) > MAX_LINK or _HARMFUL.search(value) or "\n" in value or "\t" in value:
        return ""
    address = value.strip()
    try:
        parts = urlsplit(address)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
    except ValueError:
        return ""
    return address.translate(_ESCAPES) if is_web else ""


def instant(value: object) -> datetime | None:
    """An RFC 3339 instant in UTC; None for what is none, and for the year 1, which Go programs send for "not yet"."""
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value.strip())
        if parsed.year <= 1:
            return None
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def document(body: bytes, sender: str) -> object:
    """The JSON of a request; raises PermanentError saying what is wrong with it."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        where = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise PermanentError(f"The request of {sender} is not JSON{where}; it must send a JSON document.") from None
