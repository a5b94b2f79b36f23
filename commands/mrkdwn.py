"""Slack's mrkdwn, safe by construction: text is escaped unless one of these functions made it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

# Control characters, and the marks that turn the direction of everything after them.
_UNSHOWN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]|[\ud800-\udfff]"
)
_IS_LINK = re.compile(r"https?://[^\s<>|\"`]+", re.IGNORECASE)


class Mrkdwn(str):
    """Text that is already mrkdwn and is not escaped again."""

    __slots__ = ()


def clean(text: str) -> str:
    """Text without characters that nobody can see or that turn the rest of the line around."""
    return _UNSHOWN.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def escape(text: str) -> Mrkdwn:
    """Anybody's text, so that it mentions nobody and links nowhere."""
    if isinstance(text, Mrkdwn):
        return text
    return Mrkdwn(clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def code(text: str) -> Mrkdwn:
    """A word to be typed or copied."""
    inner = " ".join(escape(text).split()).replace("`", "ˋ")
    return Mrkdwn(f"`{inner}`") if inner else Mrkdwn("")


def strong(text: str) -> Mrkdwn:
    """A word that matters. Stars inside it would end the emphasis."""
    inner = " ".join(escape(text).split()).replace("*", "∗")
    return Mrkdwn(f"*{inner}*") if inner else Mrkdwn("")


def is_url(url: str) -> bool:
    """Whether this is an address that may stand behind a link."""
    return len(url) <= 2_000 and _IS_LINK.fullmatch(url) is not None


def link(text: str, url: str) -> Mrkdwn:
    """Text that leads somewhere; only the text where `url` is none we follow."""
    if not is_url(url):
        return escape(text)
    label = " ".join(escape(text).split()).replace("|", "¦")
    return Mrkdwn(f"<{url.replace('&', '&amp;')}|{label}>") if label else Mrkdwn("")


def date(at: datetime) -> Mrkdwn:
    """An instant in the reader's own zone; in UTC where it cannot be. It follows `at`, `until` or `since`.

    The day stands last because Slack begins with a capital letter where it stands first: "until Today at 14:00".
    """
    return Mrkdwn(f"<!date^{int(at.timestamp())}^{{time}}, {{date_short_pretty}}|{utc(at)}>")


def utc(at: datetime) -> str:
    """An instant for people, in UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def user(slack_id: str) -> Mrkdwn:
    """A mention of one person."""
    return Mrkdwn(f"<@{slack_id}>")


def channel(name: str) -> Mrkdwn:
    """A channel to press, by its id; a name as it is written."""
    return Mrkdwn(f"<#{name}>") if re.fullmatch(r"[CG][A-Z0-9]{2,20}", name) else escape(name)


def user_group(slack_id: str) -> Mrkdwn:
    """A mention of a Slack user group."""
    return Mrkdwn(f"<!subteam^{slack_id}>")


def join(parts: Iterable[str], between: str = ", ", last: str = "") -> Mrkdwn:
    """Parts in a row, each escaped unless it is mrkdwn; `last` stands before the last one."""
    safe = [escape(part) for part in parts]
    if last and len(safe) > 1:
        return Mrkdwn(f"{escape(between).join(safe[:-1])}{escape(last)}{safe[-1]}")
    return Mrkdwn(escape(between).join(safe))


def cut(text: str, length: int, more: str = "…") -> str:
    """At most `length` code points, `more` showing that some are missing; never inside an entity or a `<…>`."""
    if len(text) <= length:
        return text
    kept = text[: max(0, length - len(more))]
    for opening, closing in (("<", ">"), ("&", ";")):
        start = kept.rfind(opening)
        if start > kept.rfind(closing) and (opening == "<" or len(kept) - start < len("&amp;")):
            kept = kept[:start]
    return kept.rstrip() + more
