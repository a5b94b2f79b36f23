"""How many targets of a stage change at a time, and which next [5]."""

from __future__ import annotations

from collections.abc import Iterable

from core.releases.pipeline import Stage
from core.releases.state import TargetState


def at_once_forward(stage: Stage, count: int) -> int:
    """How many of `count` targets may be out of service at a time; one at least, or nothing would ever move."""
    by_batch = count * stage.batch.forward_percent // 100
    by_health = count - -(-count * stage.batch.healthy_percent // 100)
    return max(1, min(by_batch, by_health))


def at_once_back(stage: Stage, count: int) -> int:
    """The same on the way back: what runs is bad, so a larger batch may be worth its risk."""
    return max(1, count * stage.batch.back_percent // 100)


def striped(stage: Stage, targets: Iterable[TargetState], left: list[TargetState]) -> list[TargetState]:
    """Those left, in an order which takes one target of each zone in turn, so that no zone is emptied first."""
    if len(left) == 1:
        return left
    zones = {t.name: t.zone for t in stage.targets}
    seen: dict[str, int] = {}
    ranked = []
    for target in sorted(targets, key=lambda t: t.name):
        zone = zones.get(target.name, "")
        seen[zone] = seen.get(zone, 0) + 1
        ranked.append((seen[zone], zone, target.name, target))
    return [target for *_, target in sorted(ranked, key=lambda row: row[:3]) if target in left]
