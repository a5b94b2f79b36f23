"""What a simulated service is made of: its pipeline, its people, and the requests its customers make of each target."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from company.chance import Chance
from company.hours import first_day, kept
from core.releases.pipeline import (
    Alarm,
    ApprovalRule,
    Bake,
    Batch,
    Group,
    OnAlarm,
    Pipeline,
    Scope,
    ScopeKind,
    Stage,
    StageTest,
    Target,
)
from core.releases.world import Actor, PeopleGroup, Person, Team, Via, World

T = TypeVar("T")

HOUR = timedelta(hours=1)
REGIONS = ((30, (1, 3)), (40, (1, 1, 3, 6)), (30, (1, 1, 3, 6, 14)))
"""How many regions the waves of a service take in, and in how many percent of the services."""
ZONES = "abc"
"""A target in each zone of a region."""
TRAFFIC = ((40, 600), (40, 6_000), (20, 60_000))
"""Requests a minute of all customers of a service, and in how many percent of the services."""
ONE_BOX_PERCENT = 2
FIRST_WAVE_PERCENT = 10
REHEARSED = 60
"""Requests a minute that a target before production gets from tests and rehearsals, not from customers."""
ON_CALL = "on-call"
ADMINISTRATOR = "administrator"
START = datetime(2024, 1, 1, 8, tzinfo=UTC)
"""A Monday, eight o'clock."""
TEAM_SIZE = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """One service to be. `customers` are requests a minute by target, whole numbers; `rehearsed` those of nobody."""

    pipeline: Pipeline
    world: World
    customers: Mapping[str, int]
    rehearsed: Mapping[str, int]
    start: datetime = START
    """When its life begins."""


def plan(seed: str, number: int) -> Plan:
    """The service of this number in the company of this seed."""
    chance = Chance(f"{seed}/{number}/shape")
    regions = _weighted(chance, REGIONS)
    waves = tuple(count * len(ZONES) for count in regions)
    line = pipeline(f"service-{number}", waves, gamma=sum(regions), is_approved=chance.once_in(0.5))
    whole = planned(line, _weighted(chance, TRAFFIC))
    start = first_day(chance, START)
    line, world = kept(line, whole.world, chance, start)
    return replace(whole, pipeline=line, world=world, start=start)


def planned(line: Pipeline, requests: int) -> Plan:
    """A pipeline with people who may do what it asks for, and customers who make so many requests a minute in all."""
    return Plan(line, world_of(line), _customers(line, requests), _rehearsed(line))


def pipeline(name: str, waves: tuple[int, ...], *, is_approved: bool, gamma: int = 1) -> Pipeline:
    """The careful line: beta, gamma, a one-box and waves that grow, each watched by an alarm of its own.

    `waves` and `gamma` are counts of targets; those of gamma, where nobody is served, are deployed to all at once.
    """
    stages = [
        Stage(
            name="beta",
            targets=(Target(name="beta"),),
            tests=(StageTest(name="integration", uses="command"),),
            on_alarm=OnAlarm.STOP,
            watch=timedelta(),
        ),
        Stage(
            name="gamma",
            targets=tuple(Target(name="gamma" if gamma == 1 else f"gamma-{n + 1}") for n in range(gamma)),
            batch=Batch(forward_percent=100, back_percent=100, healthy_percent=0),
            after=("beta",),
            tests=(StageTest(name="rehearsal", uses="command"),),
            bake=_bake(HOUR / 4),
        ),
        _production("one-box", "gamma", 1, _bake(HOUR), is_one_box=True),
    ]
    for index, count in enumerate(waves):
        bake = _bake(12 * HOUR if index == 0 else 2 * HOUR)
        stages.append(_production(f"wave-{index + 1}", stages[-1].name, count, bake))
    alarms = tuple(
        Alarm(name=f"{s.name}-errors", source="alertmanager", scope=Scope(ScopeKind.STAGE, s.name), silence_is_ok=True)
        for s in stages[1:]
    )
    approval = ApprovalRule(by=("approvers",)) if is_approved else None
    return Pipeline(
        id=name,
        service=name,
        team="team",
        channel=f"#{name}",
        revision="simulated",
        stages=tuple(stages),
        groups=(Group(name="production", approval=approval),),
        alarms=alarms,
    )


def _production(name: str, after: str, count: int, bake: Bake, *, is_one_box: bool = False) -> Stage:
    targets = tuple(Target(name=f"{name}-{n + 1}", zone=ZONES[n % len(ZONES)]) for n in range(count))
    return Stage(
        name=name,
        targets=targets,
        after=(after,),
        group="production",
        bake=bake,
        is_production=True,
        is_one_box=is_one_box,
    )


def _bake(span: timedelta) -> Bake:
    return Bake(duration=span, ceiling=4 * span)


def watched_from_afar(line: Pipeline) -> Pipeline:
    """The pipeline with alarms that are ok until they say otherwise.

    What a canary or a heartbeat says every few seconds is not played look by look; data points are told in one go.
    """
    alarms = tuple(replace(a, silence_is_ok=True, heartbeat=(), stale_after=None) for a in line.alarms)
    return replace(line, alarms=alarms)


# ---- people ---------------------------------------------------------------------------------------------------------


def world_of(line: Pipeline) -> World:
    """A team of five, an on-call, and for each name that approvals ask for a group of three."""
    members = [f"dev-{n + 1}" for n in range(TEAM_SIZE)]
    asked_of = [*(group.approval for group in line.groups), *(stage.approval for stage in line.stages)]
    rules = [rule for rule in asked_of if rule is not None]
    groups = {ON_CALL: PeopleGroup(name=ON_CALL, members=frozenset({"pager"}))}
    people = [*members, "pager", ADMINISTRATOR]
    for name in sorted({name for rule in rules for name in rule.by}):
        if name != line.team:
            asked = [f"{name}-{n + 1}" for n in range(max(3, max(rule.count for rule in rules) + 1))]
            people += asked
            groups[name] = PeopleGroup(name=name, members=frozenset(asked))
    owners = frozenset(members[:2])
    team = Team(name=line.team, members=frozenset(members), owners=owners, on_call=ON_CALL)
    known = {key: Person(key=key, name=key, slack=f"U-{key}") for key in people}
    return World(
        revision=1,
        people=known,
        groups=groups,
        teams={line.team: team},
        administrators=frozenset({ADMINISTRATOR}),
    )


def person(key: str) -> Actor:
    """Somebody, as they act."""
    return Actor(key, key, Via.SLACK)


# ---- customers ------------------------------------------------------------------------------------------------------


def _customers(line: Pipeline, requests: int) -> dict[str, int]:
    """Who serves how many: by the `share` or `units` of the targets where the file says so, else most in late waves."""
    production = [s for s in line.stages if s.is_production] or [line.stages[-1]]
    shares = {t.name: _share(t) for s in production for t in s.targets}
    if all(share is None for share in shares.values()):
        shares = _usual_shares(production)
    whole = sum(share or 1 for share in shares.values())
    return {name: requests * (share or 1) // whole for name, share in shares.items()}


def _share(target: Target) -> int | None:
    settings = json.loads(target.settings)
    for key in ("share", "units"):
        if isinstance(settings.get(key), int) and settings[key] > 0:
            return int(settings[key])
    return None


def _usual_shares(production: list[Stage]) -> dict[str, int | None]:
    """In thousandths: a one-box and a first wave take little, the waves after them the rest, target by target alike."""
    shares: dict[str, int | None] = {}
    boxes = [s for s in production if s.is_one_box]
    waves = [s for s in production if not s.is_one_box] or boxes
    small = [(s, ONE_BOX_PERCENT) for s in boxes] + ([(waves[0], FIRST_WAVE_PERCENT)] if len(waves) > 1 else [])
    for stage, percent in small:
        for target in stage.targets:
            shares[target.name] = max(1, 10 * percent // len(stage.targets))
    rest = [t for s in waves for t in s.targets if t.name not in shares]
    left = max(1, 1000 - sum(share or 0 for share in shares.values()))
    for target in rest:
        shares[target.name] = max(1, left // len(rest))
    return shares


def _rehearsed(line: Pipeline) -> dict[str, int]:
    """Nobody rehearses on the first stage: tests alone look there."""
    return {t.name: REHEARSED for s in line.stages if not s.is_production and s.after for t in s.targets}


def _weighted(chance: Chance, among: tuple[tuple[int, T], ...]) -> T:
    drawn = chance.between(1, sum(weight for weight, _ in among))
    for weight, value in among:
        drawn -= weight
        if drawn <= 0:
            return value
    raise AssertionError("the weights are whole numbers above zero")
