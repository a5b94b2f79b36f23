"""The code of a service: versions, the bad changes in them, and which of those are mended."""

from __future__ import annotations

from dataclasses import dataclass

from company.chance import Chance

HOUR = 3_600
KINDS = (("tests", 40), ("traffic", 40), ("latent", 20))
"""Seen by tests; seen only under traffic; seen only after a while. In percent of the bad changes."""
REHEARSED = 0.3
"""Of the bad changes, those that the requests of a rehearsal would meet."""
CAUGHT = 0.9
"""Of the runs of a stage's test, those that see what tests can see."""


@dataclass(slots=True, eq=False)
class BadChange:
    """Something wrong in the code: requests fail in `per_mille`, once it has run for `after` seconds."""

    kind: str
    per_mille: int
    after: int
    is_rehearsed: bool
    """Whether what is done before production meets it too; most traffic is like nobody's rehearsal."""
    found_in: str = ""
    is_mended: bool = False
    has_reached: bool = False
    """Whether a request of a customer has met it."""


class Code:
    """The head of the code, and what each version holds."""

    def __init__(self) -> None:
        self._head: list[BadChange] = []
        self._held: dict[str, tuple[BadChange, ...]] = {}
        self._cleared: set[str] = set()

    def spoil(self, chance: Chance) -> BadChange:
        """A bad change comes in, unseen."""
        drawn = chance.between(1, 100)
        kind = KINDS[-1][0]
        for name, percent in KINDS:
            if drawn <= percent:
                kind = name
                break
            drawn -= percent
        per_mille = chance.pick((5, 10, 30, 100, 300))
        after = chance.between(HOUR // 2, 20 * HOUR) if kind == "latent" else 60
        change = BadChange(kind, per_mille, after, chance.once_in(REHEARSED))
        self._head.append(change)
        return change

    def cut(self, version: str) -> None:
        """A version is made of what the head holds."""
        self._head = [change for change in self._head if not change.is_mended]
        self._held[version] = tuple(self._head)

    def held(self, version: str) -> tuple[BadChange, ...]:
        """The bad changes in a version."""
        return self._held.get(version, ())

    def caught_by_tests(self, version: str, chance: Chance) -> list[BadChange]:
        """The bad changes that a run of the tests sees."""
        return [c for c in self.held(version) if c.kind == "tests" and chance.once_in(CAUGHT)]

    def clear(self, version: str) -> None:
        """People looked, and find nothing wrong with a version that went back."""
        self._cleared.add(version)

    def is_mended(self, version: str) -> bool:
        """Whether all that is known to be wrong with a version is mended, or nothing is."""
        known = [c for c in self.held(version) if c.found_in]
        return all(c.is_mended for c in known) if known else version in self._cleared
