"""What a simulation comes to: counts that can be added up in any order, and what they mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

VIOLATIONS_KEPT = 20
EXPOSURE_UNIT = 60_000
"""Exposure is counted in requests a minute × seconds × thousandths that fail."""


@dataclass(slots=True)
class Tally:
    """Counts of one life or of many. All whole numbers, so that adding them up in another order is the same."""

    services: int = 0
    deployments: int = 0
    """One version reaching one target; also on the way back."""
    back: int = 0
    """Of those, the ones that took a target back."""
    events: int = 0
    looks: int = 0
    """Steps after which it was looked at how every release stands."""
    again: int = 0
    """Steps that were decided a second time."""
    versions: int = 0
    virtual_seconds: int = 0
    violations: int = 0
    kept: list[str] = field(default_factory=list)
    """The first few violations, as sentences that say where."""
    lead_seconds: list[int] = field(default_factory=list)
    """From the announcement to everywhere, for each version that arrived."""
    bad_changes: int = 0
    found: Counter[str] = field(default_factory=Counter)
    """Bad changes by where they were found: a stage, or `customers`."""
    reached: int = 0
    """Bad changes that reached customers."""
    rollbacks: Counter[str] = field(default_factory=Counter)
    """Stages that began to go back, by `automatic` and `by people`."""
    false_alarms: int = 0
    exposure: int = 0
    """Failed requests × EXPOSURE_UNIT."""
    asked: int = 0
    """Approvals that were asked for."""
    faults: Counter[str] = field(default_factory=Counter)
    """What went wrong around the pipeline, by kind."""

    @property
    def customers_hit(self) -> int:
        """Requests of customers that failed for a bad change."""
        return self.exposure // EXPOSURE_UNIT

    def add(self, other: Tally) -> None:
        """Take another one's counts in."""
        for name in (
            "services", "deployments", "back", "events", "looks", "again", "versions", "virtual_seconds", "violations",
            "bad_changes",
            "reached", "false_alarms", "exposure", "asked",
        ):  # fmt: skip
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.kept = sorted([*self.kept, *other.kept])[:VIOLATIONS_KEPT]
        self.lead_seconds.extend(other.lead_seconds)
        self.found.update(other.found)
        self.rollbacks.update(other.rollbacks)
        self.faults.update(other.faults)

    def violated(self, sentence: str) -> None:
        """Something happened that must not."""
        self.violations += 1
        if len(self.kept) < VIOLATIONS_KEPT:
            self.kept.append(sentence)

    def lead(self, percent: int) -> int:
        """The lead time, in seconds, that so many percent of the versions did not exceed; 0 if none arrived."""
        ordered = sorted(self.lead_seconds)
        return ordered[(len(ordered) - 1) * percent // 100] if ordered else 0

    def as_json(self) -> dict[str, object]:
        """The counts by the names that programs read; everything in it is the same for the same seed."""
        return {
            "deployments": self.deployments,
            "violations": self.violations,
            "back": self.back,
            "services": self.services,
            "versions": self.versions,
            "events": self.events,
            "checked": {"steps": self.events, "standing": self.looks, "decided_again": self.again},
            "virtual_days": self.virtual_seconds // 86_400,
            "arrived": len(self.lead_seconds),
            "lead_seconds_p50": self.lead(50),
            "lead_seconds_p90": self.lead(90),
            "bad_changes": self.bad_changes,
            "found": dict(sorted(self.found.items())),
            "reached_customers": self.reached,
            "customers_hit": self.customers_hit,
            "rollbacks": dict(sorted(self.rollbacks.items())),
            "false_alarms": self.false_alarms,
            "approvals_asked": self.asked,
            "faults": dict(sorted(self.faults.items())),
            "first_violations": self.kept,
        }


def total(parts: Iterable[Tally]) -> Tally:
    """All of them in one."""
    whole = Tally()
    for part in parts:
        whole.add(part)
    return whole
