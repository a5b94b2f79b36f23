"""A pipeline as it is defined: frozen values that a stage run can be pinned to.

Made from a definition file by `core.releases.definition`; nothing here knows YAML. Rules in brackets are those of
`docs/release-rules.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from typing import assert_never

from core.releases.calendar import Calendar


class Order(StrEnum):
    """Who goes first when two releases wait at one entry [3]."""

    NEWEST = "newest"
    QUEUE = "queue"
    MANUAL = "manual"


class OnAlarm(StrEnum):
    """What an alarm does to a stage that is deploying, baking or watched [8]."""

    ROLLBACK = "rollback"
    STOP = "stop"


class Siblings(StrEnum):
    """What the other targets of a stage do when one fails [12]."""

    STAY = "stay"
    FOLLOW = "follow"


class ScopeKind(StrEnum):
    """What an alarm, pause or approval speaks of."""

    TARGET = "target"
    STAGE = "stage"
    GROUP = "group"
    SERVICE = "service"


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """A named part of the pipeline; `name` is empty for the whole service."""

    kind: ScopeKind
    name: str = ""

    def __str__(self) -> str:
        return self.name or "the whole service"


NOTHING: frozenset[str] = frozenset()
MOST_JOURNEYS = 256
"""Ways through a pipeline that are remembered; a line has as many as stages, branches have more."""

SERVICE = Scope(ScopeKind.SERVICE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A place that runs one version. `settings` is the deployer's `with:` for it, as canonical JSON."""

    name: str
    zone: str = ""
    region: str = ""
    settings: str = "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRule:
    """`count` of the people and groups named in `by` must approve [19]; a request lapses after `expires` [20]."""

    count: int = 1
    by: tuple[str, ...] = ()
    expires: timedelta = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bake:
    """Time and evidence [7]. `ceiling` counts from the start of the bake; after it people are asked."""

    duration: timedelta = timedelta()
    minimum_points: int = 0
    ceiling: timedelta = timedelta()


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTest:
    """A test that binds [11]. `uses` names the adapter, `settings` its `with:` as canonical JSON."""

    name: str
    uses: str
    settings: str = "{}"
    timeout: timedelta = timedelta(minutes=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Percentages of the targets (or of a target's units) [5]."""

    forward_percent: int = 33
    back_percent: int = 33
    healthy_percent: int = 66


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A set of targets deployed together, with its entry, tests, bake and watch."""

    name: str
    targets: tuple[Target, ...]
    after: tuple[str, ...] = ()
    """Names of the stages a release must have passed; empty for a first stage."""
    group: str = ""
    deployer: str = "processes"
    deployer_settings: str = "{}"
    approval: ApprovalRule | None = None
    tests: tuple[StageTest, ...] = ()
    bake: Bake = Bake()
    watch: timedelta = timedelta(hours=1)
    on_alarm: OnAlarm = OnAlarm.ROLLBACK
    siblings: Siblings = Siblings.STAY
    batch: Batch = Batch()
    is_production: bool = False
    is_one_box: bool = False
    deployment_timeout: timedelta = timedelta(minutes=30)
    windows: tuple[str, ...] = ()
    """Names of calendars that must be open, the pipeline's own or the organisation's [22]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Stages that are spoken of together; its stages are called waves."""

    name: str
    approval: ApprovalRule | None = None
    windows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """An alarm the pipeline watches [8, 9, 10].

    `source` names who reports it (`alertmanager`, `webhook`, `canary`); `match` are labels a report must carry.
    Unknown until heard of, except with `silence_is_ok`, or while a heartbeat of its source is younger than
    `stale_after`. A reading older than `stale_after` is unknown as well (canaries report on and on).
    """

    name: str
    source: str
    scope: Scope = SERVICE
    match: tuple[tuple[str, str], ...] = ()
    silence_is_ok: bool = False
    heartbeat: tuple[tuple[str, str], ...] = ()
    """Labels of the watchdog alert that proves its source alive; empty if it has none."""
    stale_after: timedelta | None = None
    counts_as_evidence: bool = False
    settings: str = "{}"
    """A canary's `with:` as canonical JSON."""
    runbook: str = ""
    dashboard: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the catalogue says of a service; nothing here changes what a release may do."""

    description: str = ""
    tier: int = 0
    """1 for what everybody depends on, 2 or 3 for what fewer do; 0: not said."""
    links: tuple[tuple[str, str], ...] = ()
    """Words and web address."""
    interfaces: tuple[tuple[str, str], ...] = ()
    """What others use of it: a name, and the web address of its description."""
    depends_on: tuple[str, ...] = ()
    """Services that it uses."""


UNDESCRIBED = About()


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """One definition of one pipeline. `revision` is the digest of its content; `stages` stand as in the file."""

    id: str
    """`service` for its only pipeline, `service/name` for one of several."""
    service: str
    team: str
    channel: str
    revision: str
    stages: tuple[Stage, ...]
    groups: tuple[Group, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    calendars: tuple[Calendar, ...] = ()
    """Its own; a name found here is not looked up in the organisation file."""
    order: Order = Order.NEWEST
    keep_good: int = 3
    rollback_guard: timedelta = timedelta(hours=2)
    settle: timedelta = timedelta(minutes=5)
    """How long an alarm may stay red after a younger release went back, before older ones in its scope follow [8]."""
    override_expires: timedelta = timedelta(hours=24)
    page_every: timedelta = timedelta(minutes=15)
    page_times: int = 5
    dashboard: str = ""
    runbook: str = ""
    about: About = UNDESCRIBED
    origin: str = ""
    """Where its releases are built, as canonical JSON (`source_parts.Origin`); empty where CI announces them."""

    @cached_property
    def by_name(self) -> dict[str, Stage]:
        """The stages by name."""
        return {stage.name: stage for stage in self.stages}

    @cached_property
    def ranks(self) -> dict[str, int]:
        """For each stage, where it stands in the line."""
        return {stage.name: rank for rank, stage in enumerate(self.stages)}

    @cached_property
    def group_by_name(self) -> dict[str, Group]:
        """The groups by name."""
        return {group.name: group for group in self.groups}

    @cached_property
    def upstream(self) -> dict[str, frozenset[str]]:
        """For each stage, all the stages before it."""
        known: dict[str, frozenset[str]] = {}

        def of(name: str) -> frozenset[str]:
            if name not in known:
                direct = self.by_name[name].after
                known[name] = frozenset(direct).union(*(of(before) for before in direct))
            return known[name]

        for stage in self.stages:
            of(stage.name)
        return known

    @cached_property
    def downstream(self) -> dict[str, frozenset[str]]:
        """For each stage, all the stages after it."""
        return {name: frozenset(s for s, before in self.upstream.items() if name in before) for name in self.by_name}

    @cached_property
    def _entries(self) -> dict[tuple[str, ...], frozenset[str]]:
        return {}

    def entries(self, passed: tuple[str, ...]) -> frozenset[str]:
        """The stages at whose entry a release stands that has passed these: all before passed, nothing after it."""
        known = self._entries.get(passed)
        if known is None:
            known = frozenset(
                stage.name
                for stage in self.stages
                if stage.name not in passed
                and not self.missing_before(stage, passed)
                and self.downstream[stage.name].isdisjoint(passed)
            )
            if len(self._entries) > MOST_JOURNEYS:
                self._entries.clear()
            self._entries[passed] = known
        return known

    def missing_before(self, stage: Stage, passed: tuple[str, ...]) -> list[str]:
        """The stages before this one that are yet to pass; not those put in before one that was passed [4]."""
        return [
            name for name in stage.after if name not in passed and self.downstream.get(name, NOTHING).isdisjoint(passed)
        ]

    @cached_property
    def last_stages(self) -> frozenset[str]:
        """Stages that nothing follows; a release that passed them all is complete."""
        followed = {name for stage in self.stages for name in stage.after}
        return frozenset(self.by_name) - followed

    @cached_property
    def layout(self) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
        """The names of the stages, and each target with the name of its stage, in order."""
        return tuple(self.by_name), tuple(self.stage_of.items())

    @cached_property
    def has_windows(self) -> bool:
        """Whether any stage may be entered at some hours only."""
        return any(stage.windows for stage in self.stages) or any(group.windows for group in self.groups)

    @cached_property
    def place_of(self) -> dict[str, int]:
        """For each target, where it stands among all targets."""
        return {name: place for place, name in enumerate(self.stage_of)}

    @cached_property
    def spans(self) -> dict[str, tuple[int, int]]:
        """For each stage, from where to where its targets stand among all targets."""
        found: dict[str, tuple[int, int]] = {}
        for place, name in enumerate(self.stage_of.values()):
            found[name] = (found.get(name, (place, 0))[0], place + 1)
        return found

    @cached_property
    def stage_of(self) -> dict[str, str]:
        """For each target, in the order of the stages, the name of its stage."""
        return {target.name: stage.name for stage in self.stages for target in stage.targets}

    @cached_property
    def approvals_of(self) -> dict[str, tuple[tuple[Scope, ApprovalRule], ...]]:
        """For each stage, the approvals it needs at its entry: its group's, then its own."""
        needed: dict[str, tuple[tuple[Scope, ApprovalRule], ...]] = {}
        for stage in self.stages:
            group = self.group_by_name.get(stage.group)
            of_group = group.approval if group is not None else None
            asked = (
                (Scope(ScopeKind.GROUP, stage.group), of_group),
                (Scope(ScopeKind.STAGE, stage.name), stage.approval),
            )
            needed[stage.name] = tuple((scope, rule) for scope, rule in asked if rule is not None)
        return needed

    @cached_property
    def alarm_names(self) -> frozenset[str]:
        """The names of the alarms."""
        return frozenset(alarm.name for alarm in self.alarms)

    @cached_property
    def fading_alarms(self) -> tuple[Alarm, ...]:
        """The alarms that become unknown by themselves if nothing is heard of them."""
        return tuple(a for a in self.alarms if a.heartbeat or a.stale_after is not None)

    @cached_property
    def striped(self) -> dict[str, dict[str, int]]:
        """For each stage, the ranks of its targets: one of each zone in turn, so that no zone is emptied first [5]."""
        ranks: dict[str, dict[str, int]] = {}
        for stage in self.stages:
            seen: dict[str, int] = {}
            ranked = []
            for target in sorted(stage.targets, key=lambda t: t.name):
                seen[target.zone] = seen.get(target.zone, 0) + 1
                ranked.append((seen[target.zone], target.zone, target.name))
            ranks[stage.name] = {name: rank for rank, (_, _, name) in enumerate(sorted(ranked))}
        return ranks

    @cached_property
    def watched_by(self) -> dict[str, tuple[Alarm, ...]]:
        """For each stage, the alarms whose scope covers it."""
        return {s.name: tuple(a for a in self.alarms if s.name in self.names_in(a.scope)) for s in self.stages}

    @cached_property
    def _in_scope(self) -> dict[Scope, tuple[tuple[Stage, ...], frozenset[str]]]:
        return {}

    def stages_in(self, scope: Scope) -> tuple[Stage, ...]:
        """The stages a scope covers, in order; a target's scope covers its stage."""
        return self._covered(scope)[0]

    def names_in(self, scope: Scope) -> frozenset[str]:
        """The names of the stages a scope covers."""
        return self._covered(scope)[1]

    def _covered(self, scope: Scope) -> tuple[tuple[Stage, ...], frozenset[str]]:
        known = self._in_scope.get(scope)
        if known is None:
            stages = self._stages_in(scope)
            known = (stages, frozenset(s.name for s in stages))
            if stages:  # Anybody may ask for a name that does not exist; those are not kept.
                self._in_scope[scope] = known
        return known

    def _stages_in(self, scope: Scope) -> tuple[Stage, ...]:
        match scope.kind:
            case ScopeKind.SERVICE:
                return self.stages
            case ScopeKind.STAGE:
                return tuple(s for s in self.stages if s.name == scope.name)
            case ScopeKind.GROUP:
                return tuple(s for s in self.stages if s.group == scope.name)
            case ScopeKind.TARGET:
                return tuple(s for s in self.stages if any(t.name == scope.name for t in s.targets))
            case _:
                assert_never(scope.kind)

    def scope_named(self, name: str) -> Scope | None:
        """The stage, group or target of this name; stages first."""
        if name in self.by_name:
            return Scope(ScopeKind.STAGE, name)
        if any(stage.group == name for stage in self.stages):
            return Scope(ScopeKind.GROUP, name)
        if any(target.name == name for stage in self.stages for target in stage.targets):
            return Scope(ScopeKind.TARGET, name)
        return None

    def follows(self, later: str, earlier: str) -> bool:
        """Whether `later` comes somewhere after `earlier`."""
        return later in self.upstream and earlier in self.upstream[later]
