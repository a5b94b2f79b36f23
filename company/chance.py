"""Chance that can be had again: one stream for each purpose of each service, the same on every machine.

Only `random()` is used, whose numbers Python promises to keep, and arithmetic that every machine does alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")

LONGEST = 20
"""A delay is at most so many times its median."""


class Chance:
    """A stream of draws, named by the text it is seeded with."""

    def __init__(self, seed: str) -> None:
        self._next = Random(seed).random

    def once_in(self, share: float) -> bool:
        """True in this share of the draws."""
        return self._next() < share

    def draw(self) -> float:
        """Anything from 0 up to 1."""
        return self._next()

    def between(self, least: int, most: int) -> int:
        """A whole number, the bounds among them."""
        return least + int(self._next() * (most - least + 1))

    def pick(self, among: Sequence[T]) -> T:
        """One of several."""
        return among[int(self._next() * len(among))]

    def delay(self, median: int) -> int:
        """Whole seconds around a median: half take less, a few take many times as long, as people do."""
        u = self._next()
        return max(1, int(median * min(LONGEST, u / (1 - u))))
