"""Requests for approval in a thread: remembered while they are open, and edited in place once they are decided.

A message with buttons stays for ever. When its request is not open any more, by whatever hand, it says what became of
it, and its buttons are gone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Protocol

from bot.slack_places import Card

CLOSED: Final = "closed"
REMEMBERED: Final = 10_000


class StoredQuestions(Protocol):
    """Where requests stand, durably."""

    async def questions(self, pipeline: str, release: str) -> Mapping[str, Card]:
        """Return those of a release, by request; closed ones have the fingerprint `CLOSED`."""

    async def put_question(self, pipeline: str, release: str, request: str, card: Card) -> None:
        """Remember one; durable before this returns."""


class Questions:
    """The open ones of each release, looked up once and then known: a release's messages have one lane."""

    def __init__(self, stored: StoredQuestions) -> None:
        self._stored = stored
        self._open: OrderedDict[tuple[str, str], dict[str, Card]] = OrderedDict()

    async def open(self, pipeline: str, release: str) -> Mapping[str, Card]:
        """Return the open ones by request."""
        return dict(await self._of(pipeline, release))

    async def asked(self, pipeline: str, release: str, request: str, card: Card) -> Card | None:
        """Remember one that was posted; returns the older message of the same request, if that still has buttons."""
        known = await self._of(pipeline, release)
        older = known.get(request)
        if older is not None and older.ts == card.ts:
            return None
        await self._stored.put_question(pipeline, release, request, card)
        known[request] = card
        return older

    async def closed(self, pipeline: str, release: str, request: str) -> None:
        """Note that it says what became of it."""
        known = await self._of(pipeline, release)
        if request in known:
            await self._stored.put_question(pipeline, release, request, replace(known[request], fingerprint=CLOSED))
            del known[request]

    async def _of(self, pipeline: str, release: str) -> dict[str, Card]:
        key = (pipeline, release)
        if key not in self._open:
            stored = await self._stored.questions(pipeline, release)
            self._open[key] = {request: card for request, card in stored.items() if card.fingerprint != CLOSED}
            if len(self._open) > REMEMBERED:
                self._open.popitem(last=False)
        return self._open[key]
