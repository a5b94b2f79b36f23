"""How many targets of a stage change at a time, and which next [5]."""

from __future__ import annotations

from core.releases.pipeline import Pipeline, Stage
from core.releases.state import TargetState


def at_once_forward(stage: Stage, count: int) -> int:
    """How many of `count` targets may be out of service at a time; one at least, or nothing would ever move."""
    by_batch = count * stage.batch.forward_percent // 100
    by_health = count - -(-count * stage.batch.healthy_percent // 100)
    return max(1, min(by_batch, by_health))


def at_once_back(stage: Stage, count: int) -> int:
    """The same on the way back: what runs is bad, so a larger batch may be worth its risk."""
    return max(1, count * stage.batch.back_percent // 100)


def striped(definition: Pipeline, stage: str, left: list[TargetState], most: int) -> list[TargetState]:
    """The first `most` of those left in an order which takes one of each zone in turn, so that no zone is emptied."""
    if len(left) <= 1:
        return left
    ranks = definition.striped[stage]
    last = len(ranks)

    def rank(target: TargetState) -> int:
        return ranks.get(target.name, last)

    return [min(left, key=rank)] if most == 1 else sorted(left, key=rank)[:most]
