"""The definition file of a pipeline: its shape, its careful defaults, and the `Pipeline` it makes.

A file that says little gets the pessimistic line of rule 6: tests in the first stage, 15 minutes of bake before
production, an hour for a one-box, twelve for the first wave, two for each later one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, time, timedelta
from typing import Annotated, Any

from pydantic import Field

from core.releases.calendar_parts import CalendarPart, build_calendar
from core.releases.fields import Channel, Duration, Name, Url, json_text
from core.releases.parts import (
    AboutPart,
    AlarmPart,
    ApprovalPart,
    BatchPart,
    DeployerPart,
    GroupPart,
    PagePart,
    StagePart,
)
from core.releases.pipeline import (
    SERVICE,
    UNDESCRIBED,
    About,
    Alarm,
    ApprovalRule,
    Bake,
    Batch,
    Group,
    OnAlarm,
    Order,
    Pipeline,
    Scope,
    ScopeKind,
    Stage,
    StageTest,
    Target,
)
from core.releases.problems import Strict
from core.releases.source_parts import Origin, RepositoryPart, SourcePart

PRODUCTION_NAMES = frozenset({"production", "prod"})
BAKE_BEFORE_PRODUCTION = timedelta(minutes=15)
BAKE_ONE_BOX = timedelta(hours=1)
BAKE_FIRST_WAVE = timedelta(hours=12)
BAKE_LATER_WAVE = timedelta(hours=2)
CEILING = 4
"""Times the bake, after which people are asked [7]."""
HEARTBEAT_STALE = timedelta(minutes=10)
CANARY_STALE_LEAST = timedelta(seconds=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a company sets once for all its pipelines."""

    minimum_bake: timedelta = timedelta()
    """No production stage bakes for less."""
    production_approval: ApprovalRule | None = None
    """Asked at the entry of production where a definition asks nobody."""


class PipelineFile(Strict):
    """One file under `pipelines/`: one pipeline of one service."""

    service: Name = Field(description="The service.", examples=["checkout"])
    pipeline: Name | None = Field(default=None, description="Its name, where a service has several.")
    team: Name = Field(description="Who owns it; a team of the organisation file.", examples=["checkout"])
    channel: Channel = Field(description="Where its cards are posted.", examples=['"#checkout"'])
    deployer: DeployerPart = Field(
        description="What puts versions on targets.", examples=["{use: processes, with: {…}}"]
    )
    stages: list[StagePart] = Field(
        min_length=1, max_length=100, description="In order.", examples=["[{name: beta, targets: [web-1]}]"]
    )
    groups: dict[Name, GroupPart] = Field(default_factory=dict, description="Only where a group has settings.")
    alarms: list[AlarmPart] = Field(default_factory=list, max_length=200, description="What is watched.")
    calendars: dict[Name, CalendarPart] = Field(
        default_factory=dict, max_length=50, description="Of its own, beside those of the organisation file."
    )
    order: Annotated[Order, Field(strict=False)] = Field(default=Order.NEWEST, description="Who goes first [newest].")
    batch: BatchPart = Field(default_factory=BatchPart, description="How much changes at once.")
    watch: Duration = Field(default=timedelta(hours=1), description="Still able to roll back after passing [1h].")
    keep_good: int = Field(default=3, ge=1, le=20, description="Good versions kept for each target [3].")
    rollback_guard: Duration = Field(
        default=timedelta(hours=2), description="No second automatic rollback within [2h]."
    )
    settle: Duration = Field(
        default=timedelta(minutes=5),
        description="After a rollback, how long an alarm may stay red before older releases go back too [5m].",
    )
    override_expires: Duration = Field(default=timedelta(hours=24), description="An override lasts [24h].")
    page: PagePart = Field(default_factory=PagePart, description="How often people are called.")
    sources: list[SourcePart] = Field(
        default_factory=list, max_length=50, description="Where its releases are built; a source of the organisation."
    )
    repository: RepositoryPart | None = Field(
        default=None, description="Its code, from which git tells ancestors, changes and authors."
    )
    dashboard: Url | None = Field(default=None, description="Where to look.")
    runbook: Url | None = Field(default=None, description="What to do.")
    about: AboutPart | None = Field(default=None, description="For the catalogue of services.")

    @property
    def id(self) -> str:
        """`service`, or `service/pipeline`."""
        return f"{self.service}/{self.pipeline}" if self.pipeline else self.service

    def scope_named(self, name: str) -> Scope | None:
        """The part of the line an alarm's `scope:` names."""
        if name == "service":
            return SERVICE
        for stage in self.stages:
            if stage.name == name:
                return Scope(ScopeKind.STAGE, name)
            if stage.group == name:
                return Scope(ScopeKind.GROUP, name)
            if any(target.name == name for target in stage.targets):
                return Scope(ScopeKind.TARGET, name)
        return None

    def deployer_of(self, stage: StagePart) -> tuple[str, dict[str, Any]]:
        """The deployer of a stage and its settings, the pipeline's under its own."""
        use, settings = self.deployer.use, self.deployer.with_
        if stage.deployer is None:
            return use, settings
        is_same = stage.deployer.use in (None, use)
        return stage.deployer.use or use, {**(settings if is_same else {}), **stage.deployer.with_}

    def is_production(self, stage: StagePart) -> bool:
        """Whether a stage serves customers."""
        if stage.production is not None:
            return stage.production
        group = self.groups.get(stage.group or "")
        if group is not None and group.production is not None:
            return group.production
        return (stage.group or stage.name) in PRODUCTION_NAMES

    def after(self, index: int) -> tuple[str, ...]:
        """The names of the stages that stage `index` follows."""
        after = self.stages[index].after
        if after is None:
            return (self.stages[index - 1].name,) if index else ()
        return tuple(after)


NO_POLICY = Policy()


def falls_short(line: Pipeline, policy: Policy) -> bool:
    """Whether a line in force is less careful than what the company asks by now, and must be built anew."""
    production = [stage for stage in line.stages if stage.is_production]
    if any(stage.bake.duration < policy.minimum_bake for stage in production):
        return True
    asks = any(line.approvals_of[stage.name] for stage in production)
    return policy.production_approval is not None and bool(production) and not asks


def build(file: PipelineFile, policy: Policy = NO_POLICY) -> Pipeline:
    """The pipeline a sound file means, with every default filled in; `revision` is the digest of all of it.

    The file must have passed `core.releases.soundness.unsound`.
    """
    skeleton = Pipeline(
        id=file.id,
        service=file.service,
        team=file.team,
        channel=file.channel,
        revision="",
        stages=tuple(_stage(file, index) for index in range(len(file.stages))),
        groups=_groups(file, policy),
        alarms=tuple(_alarm(file, alarm) for alarm in file.alarms),
        calendars=tuple(build_calendar(name, part) for name, part in sorted(file.calendars.items())),
        order=file.order,
        keep_good=file.keep_good,
        rollback_guard=file.rollback_guard,
        settle=file.settle,
        override_expires=file.override_expires,
        page_every=file.page.every,
        page_times=file.page.times,
        dashboard=file.dashboard or "",
        runbook=file.runbook or "",
        about=_about(file.about) if file.about else UNDESCRIBED,
        origin=Origin.of(file.sources, file.repository).text,
    )
    # Bakes depend on where a stage stands in the whole line, so the line comes first.
    stages = tuple(
        replace(
            stage,
            bake=_bake(part, skeleton, stage, policy),
            on_alarm=part.on_alarm or (OnAlarm.ROLLBACK if stage.after or stage.is_production else OnAlarm.STOP),
            approval=stage.approval or _policy_approval(skeleton, stage, policy),
        )
        for part, stage in zip(file.stages, skeleton.stages, strict=True)
    )
    whole = replace(skeleton, stages=stages)
    plain = asdict(whole, dict_factory=_plain)
    if whole.about == UNDESCRIBED:
        # Definitions written before there was a catalogue keep their revision.
        del plain["about"]
    if not whole.origin:
        del plain["origin"]
    content = json_text(plain)
    return replace(whole, revision=hashlib.sha256(content.encode()).hexdigest())


def _plain(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {key: _plain_value(value) for key, value in pairs}


def _plain_value(value: Any) -> Any:
    """What JSON lacks, written so that one definition is always one text."""
    match value:
        case timedelta():
            return value / timedelta(seconds=1)
        case date() | time():
            return value.isoformat()
        case tuple():
            return [_plain_value(inner) for inner in value]
    return value


def _about(part: AboutPart) -> About:
    return About(
        description=part.description or "",
        tier=part.tier or 0,
        links=tuple(part.links.items()),
        interfaces=tuple(part.interfaces.items()),
        depends_on=tuple(dict.fromkeys(part.depends_on)),
    )


def _stage(file: PipelineFile, index: int) -> Stage:
    part = file.stages[index]
    use, settings = file.deployer_of(part)
    batch = part.batch or file.batch
    return Stage(
        name=part.name,
        targets=tuple(
            Target(name=t.name, zone=t.zone or "", region=t.region or "", settings=json_text(t.with_))
            for t in part.targets
        ),
        after=file.after(index),
        group=part.group or "",
        deployer=use,
        deployer_settings=json_text(settings),
        approval=_approval(part.approval),
        tests=tuple(
            StageTest(name=test.name, uses=test.use, settings=json_text(test.with_), timeout=test.timeout)
            for test in part.tests
        ),
        watch=file.watch if part.watch is None else part.watch,
        siblings=part.siblings,
        batch=Batch(
            forward_percent=batch.forward,
            back_percent=max(33, batch.forward) if batch.back is None else batch.back,
            healthy_percent=min(66, 100 - batch.forward) if batch.healthy is None else batch.healthy,
        ),
        is_production=file.is_production(part),
        is_one_box="one-box" in part.name if part.one_box is None else part.one_box,
        deployment_timeout=part.timeout,
        windows=tuple(part.windows),
    )


def _bake(part: StagePart, line: Pipeline, stage: Stage, policy: Policy) -> Bake:
    """What the file says, else by place: nothing, 15 min, 1 h, 12 h or 2 h [6]."""
    if part.bake is not None:
        duration = part.bake.for_
        ceiling = CEILING * duration if part.bake.ceiling is None else part.bake.ceiling
        return Bake(duration=duration, minimum_points=part.bake.points, ceiling=ceiling)
    if stage.is_production:
        before = [line.by_name[name] for name in line.upstream[stage.name]]
        is_later = any(s.is_production and not s.is_one_box for s in before)
        duration = BAKE_ONE_BOX if stage.is_one_box else BAKE_LATER_WAVE if is_later else BAKE_FIRST_WAVE
        duration = max(duration, policy.minimum_bake)
    else:
        duration = BAKE_BEFORE_PRODUCTION if stage.after else timedelta()
    return Bake(duration=duration, ceiling=CEILING * duration)


def _approval(part: ApprovalPart | None) -> ApprovalRule | None:
    return ApprovalRule(count=part.count, by=tuple(part.by), expires=part.expires) if part else None


def _groups(file: PipelineFile, policy: Policy) -> tuple[Group, ...]:
    """Every group in the order of the line, whether or not it has settings of its own."""
    groups = []
    for name in dict.fromkeys(stage.group for stage in file.stages if stage.group):
        part = file.groups.get(name, GroupPart())
        members = [stage for stage in file.stages if stage.group == name]
        approval = _approval(part.approval)
        if approval is None and any(map(file.is_production, members)) and not any(s.approval for s in members):
            approval = policy.production_approval
        groups.append(Group(name=name, approval=approval, windows=tuple(part.windows)))
    return tuple(groups)


def _policy_approval(line: Pipeline, stage: Stage, policy: Policy) -> ApprovalRule | None:
    """The company's approval for production that stands in no group: asked once, where production begins."""
    is_first = not any(line.by_name[name].is_production for name in line.upstream[stage.name])
    return policy.production_approval if stage.is_production and not stage.group and is_first else None


def _alarm(file: PipelineFile, part: AlarmPart) -> Alarm:
    is_canary = part.source == "canary"
    stale_after = part.stale_after
    if stale_after is None and part.with_ is not None:
        stale_after = max(3 * part.with_.every + part.with_.timeout, CANARY_STALE_LEAST)
    elif stale_after is None and part.heartbeat:
        stale_after = HEARTBEAT_STALE
    return Alarm(
        name=part.name,
        source=part.source,
        scope=file.scope_named(part.scope) or SERVICE,
        match=_labels(part.match),
        silence_is_ok=part.silence_is == "ok",
        heartbeat=_labels(part.heartbeat or {}),
        stale_after=stale_after,
        counts_as_evidence=is_canary if part.evidence is None else part.evidence,
        settings=json_text(part.with_.model_dump(mode="json", exclude_unset=True) if part.with_ else {}),
        runbook=part.runbook or "",
        dashboard=part.dashboard or "",
    )


def _labels(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))
