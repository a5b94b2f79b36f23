"""Which of the known names somebody probably meant by one that is none."""

from __future__ import annotations

import heapq
import re
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache

COMPARED = 100
"""Of more names than these only the likeliest are compared letter by letter."""
LENGTH = 80
"""Names are told apart by their beginning."""
QUOTES = "\"'“”„‟«»‘’‚`"
_DASHES = re.compile("[‐‑‒–—―−﹘﹣－]")


@lru_cache(maxsize=32_768)
def fold(name: str) -> str:
    """A name without what keyboards and phones change: case, dashes, quotes, width."""
    return _DASHES.sub("-", unicodedata.normalize("NFKC", name)).casefold().strip(QUOTES)


def most_like(word: str, names: Iterable[str], count: int = 3) -> tuple[str, ...]:
    """The names most like a word, best first; empty where none is."""
    wanted = fold(word[:LENGTH])
    by_fold: dict[str, str] = {}
    for name in names:
        by_fold.setdefault(fold(name), name)
    likely: Iterable[str] = by_fold
    if len(by_fold) > COMPARED:
        # Comparing letter by letter is slow; among thousands only those that share pairs of letters are compared.
        pairs = _pairs(wanted)
        likely = heapq.nlargest(COMPARED, by_fold, key=lambda name: len(pairs & _pairs(name)) - len(name) / 100)
    return tuple(by_fold[found] for found in get_close_matches(wanted, likely, n=count, cutoff=0.6))


def _pairs(name: str) -> set[str]:
    return {name[at : at + 2] for at in range(len(name) - 1)}
