"""Where what Andon posted stands: cards, and the protocols by which they are found again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """Where a release's card stands; `fingerprint` is of what was posted last."""

    channel: str
    ts: str
    key: str
    fingerprint: str


class Cards(Protocol):
    """Where cards stand, durably."""

    async def find(self, pipeline: str, release: str) -> Card | None:
        """Return a release's card."""

    async def put(self, pipeline: str, release: str, card: Card) -> None:
        """Remember it; durable before this returns."""
