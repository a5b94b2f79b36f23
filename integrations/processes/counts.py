"""What a target is measured by: requests, errors, time taken."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

BOUNDS = (
    0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.035, 0.05, 0.075, 0.1,
    0.15, 0.25, 0.35, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
"""Upper ends of the histogram's buckets, in seconds; one more bucket holds what took longer."""


@dataclass(slots=True)
class Latency:
    """How long answers took, as a histogram that never grows."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0

    @property
    def count(self) -> int:
        """How many answers."""
        return sum(self.buckets)

    def add(self, seconds: float) -> None:
        """Count one answer."""
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds

    def quantile(self, share: float) -> float | None:
        """The time within which `share` of the answers came, in seconds, interpolated; None without answers."""
        wanted = self.count * share
        if not wanted:
            return None
        seen = 0
        for (below, above), inside in zip(pairwise((0.0, *BOUNDS)), self.buckets, strict=False):
            if inside and seen + inside >= wanted:
                return below + (above - below) * (wanted - seen) / inside
            seen += inside
        return BOUNDS[-1]


@dataclass(slots=True)
class TargetCounts:
    """Counted since the supervisor started; only `in_flight` falls."""

    requests: int = 0
    server_errors: int = 0
    """Answers of 500 and above, the front's own 502 and 504 among them."""
    in_flight: int = 0
    retried: int = 0
    """Requests that went to another unit because the first took nothing of them."""
    diverted: int = 0
    """Requests that were this target's turn and went to another, because no unit here was healthy."""
    restarts: int = 0
    latency: Latency = field(default_factory=Latency)

    def as_json(self) -> dict[str, Any]:
        """Plain values; times in milliseconds."""
        p50, p99 = self.latency.quantile(0.5), self.latency.quantile(0.99)
        return {
            "requests": self.requests,
            "server_errors": self.server_errors,
            "in_flight": self.in_flight,
            "retried": self.retried,
            "diverted": self.diverted,
            "restarts": self.restarts,
            "latency_ms": {
                "p50": None if p50 is None else round(p50 * 1000, 3),
                "p99": None if p99 is None else round(p99 * 1000, 3),
                "sum": round(self.latency.total * 1000, 3),
                "count": self.latency.count,
                "bounds": [bound * 1000 for bound in BOUNDS],
                "buckets": list(self.latency.buckets),
            },
        }
