"""The same answer for two readers: Slack (mrkdwn, times in the reader's zone) and a shell (plain, times in UTC)."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final, Protocol

from commands import mrkdwn
from commands.grammar import VERBS
from core.releases.words import duration
from core.releases.world import Actor, Via

# The core writes `why checkout`; how that is typed depends on where it is read.
_COMMAND: Final = re.compile(rf"`(?:/release )?(?=(?:{'|'.join(VERBS)})\b)")


class Dialect(Protocol):
    """How an answer is written down."""

    limit: int
    """The most characters an answer may have."""
    carries_facts: bool
    """Whether programs read along."""

    def words(self, text: str) -> str:
        """Anybody's text, made harmless; commands in it as they are typed here."""

    def strong(self, text: str) -> str:
        """A word that matters."""

    def code(self, text: str) -> str:
        """A word to be typed or copied."""

    def link(self, text: str, url: str) -> str:
        """A word that leads somewhere."""

    def channel(self, name: str) -> str:
        """A channel, by its name or id."""

    def time(self, at: datetime, now: datetime) -> str:
        """An instant, past or to come."""


class Slack:
    """Mrkdwn. In a thread no slash command can be typed: there it says `@andon` instead."""

    limit = 3_900
    carries_facts = False

    def __init__(self, *, in_thread: bool) -> None:
        self._command = "`@andon " if in_thread else "`/release "

    def words(self, text: str) -> str:
        """Escaped, so that it mentions nobody."""
        return mrkdwn.escape(self.typed(text))

    def typed(self, text: str) -> str:
        """The text with its commands as they are typed here; nothing is escaped."""
        return _COMMAND.sub(self._command, text)

    def strong(self, text: str) -> str:
        """Bold."""
        return mrkdwn.strong(text)

    def code(self, text: str) -> str:
        """In backticks."""
        return mrkdwn.code(text)

    def link(self, text: str, url: str) -> str:
        """One to press."""
        return mrkdwn.link(text, url)

    def channel(self, name: str) -> str:
        """One to press."""
        return mrkdwn.channel(name)

    def time(self, at: datetime, now: datetime) -> str:
        """In the reader's zone."""
        del now
        return mrkdwn.date(at)


class Shell:
    """Plain text for a terminal: nothing in it can move the cursor."""

    limit = 100_000
    carries_facts = True

    def words(self, text: str) -> str:
        """Without control characters."""
        return mrkdwn.clean(_COMMAND.sub("`andon ", text))

    def strong(self, text: str) -> str:
        """As it is."""
        return mrkdwn.clean(text)

    def code(self, text: str) -> str:
        """As it is."""
        return mrkdwn.clean(text)

    def link(self, text: str, url: str) -> str:
        """The word, and the address behind it."""
        return mrkdwn.clean(f"{text} ({url})")

    def channel(self, name: str) -> str:
        """As it is."""
        return mrkdwn.clean(name)

    def time(self, at: datetime, now: datetime) -> str:
        """UTC, and how far from now."""
        span = at - now
        distance = f"in {duration(span)}" if at >= now else f"{duration(-span)} ago"
        return f"{mrkdwn.utc(at)} ({distance})"


def dialect_of(actor: Actor, *, in_thread: bool) -> Dialect:
    """How to answer whoever asked."""
    return Slack(in_thread=in_thread) if actor.via is Via.SLACK else Shell()
