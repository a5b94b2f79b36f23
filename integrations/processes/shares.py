"""Sharing requests out by weight: smooth and exact, never by chance."""

from __future__ import annotations

from collections.abc import Collection, Mapping


class SmoothShares:
    """Smooth weighted round robin: in every run of `sum(weights) / gcd(weights)` choices each has exactly its share.

    Each choice adds its weight to everybody's credit, takes whoever has most and charges them the sum, so that
    a share of 10 % is every tenth request and not a burst.
    """

    def __init__(self, weights: Mapping[str, int]) -> None:
        self._weights = {name: weight for name, weight in weights.items() if weight > 0}
        self._credit = dict.fromkeys(self._weights, 0)

    def choose(self, among: Collection[str] | None = None) -> str | None:
        """Whose turn it is (of `among`, where given), or None where nobody there has a share."""
        names = [name for name in self._weights if among is None or name in among]
        if not names:
            return None
        for name in names:
            self._credit[name] += self._weights[name]
        chosen = max(names, key=self._credit.__getitem__)
        self._credit[chosen] -= sum(self._weights[name] for name in names)
        return chosen
