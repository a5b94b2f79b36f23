"""What a definition file is made of: stages, targets, gates, alarms; each with its defaults in brackets."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from core.releases.durations import duration_text
from core.releases.fields import (
    Duration,
    Labels,
    Line,
    Name,
    Names,
    Percent,
    Rate,
    Settings,
    Shorthand,
    Statuses,
    Url,
)
from core.releases.pipeline import OnAlarm, Siblings
from core.releases.problems import Strict, refusal

FASTEST_LOOK = timedelta(milliseconds=100)


class AboutPart(Strict):
    """What the catalogue of services says of it."""

    description: Line | None = Field(default=None, description="What it is for, in a line.")
    tier: int | None = Field(
        default=None, ge=1, le=3, description="1: everybody depends on it; 2, 3: fewer do.", examples=["1"]
    )
    links: dict[Line, Url] = Field(
        default_factory=dict, max_length=20, description="Words and where they lead.", examples=["{wiki: https://…}"]
    )
    interfaces: dict[Line, Url] = Field(
        default_factory=dict,
        max_length=50,
        description="What others use of it, and where that is described.",
        examples=["{orders API: https://…}"],
    )
    depends_on: Names = Field(default_factory=list, description="Services that it uses.", examples=["[payments]"])


class DeployerPart(Shorthand):
    """Which deployer, and its settings."""

    short_key: ClassVar[str] = "use"
    use: Name = Field(description="Name of the deployer.", examples=["processes"])
    with_: Settings = Field(default_factory=dict, alias="with", description="The deployer's own settings.")


class StageDeployerPart(Shorthand):
    """What a stage does differently; settings are laid over the pipeline's where the deployer is the same."""

    short_key: ClassVar[str] = "use"
    use: Name | None = Field(default=None, description="Another deployer than the pipeline's.")
    with_: Settings = Field(default_factory=dict, alias="with", description="Settings laid over the pipeline's.")


class ApprovalPart(Shorthand):
    """People who must agree [19]."""

    short_key: ClassVar[str] = "by"
    short_is_list: ClassVar[bool] = True
    by: Names = Field(min_length=1, description="People, groups or teams.", examples=["[approvers]"])
    count: int = Field(default=1, ge=1, le=20, description="How many of them [1].")
    expires: Duration = Field(default=timedelta(days=7), description="When an unanswered request lapses [7d].")


class BakePart(Shorthand):
    """Time and evidence [7]."""

    short_key: ClassVar[str] = "for"
    for_: Duration = Field(alias="for", description="How long.", examples=["15m"])
    points: int = Field(default=0, ge=0, le=10**9, description="Data points from alarms that count as evidence [0].")
    ceiling: Duration | None = Field(default=None, description="When people are asked [4 × the bake].")


class BatchPart(Shorthand):
    """How much of a stage changes at once, in percent [5]."""

    short_key: ClassVar[str] = "forward"
    short_is_number: ClassVar[bool] = True
    forward: Percent = Field(default=33, description="Going forward [33].")
    back: Percent | None = Field(default=None, description="Going back [as forward, at least 33].")
    healthy: Percent | None = Field(default=None, description="Must stay in service [66, less if forward is over 34].")


class TargetPart(Shorthand):
    """A place that runs one version."""

    short_key: ClassVar[str] = "name"
    name: Name = Field(description="What people call it.", examples=["web-1"])
    zone: Line | None = Field(default=None, description="Batches are striped across zones.")
    region: Line | None = Field(default=None, description="Where it is.")
    with_: Settings = Field(default_factory=dict, alias="with", description="The deployer's settings for this target.")


class TestPart(Strict):
    """A test that binds [11]."""

    __test__ = False

    name: Name = Field(description="What people call it.", examples=["smoke"])
    use: Name = Field(description="What runs it.", examples=["http"])
    with_: Settings = Field(default_factory=dict, alias="with", description="Its own settings.")
    timeout: Duration = Field(default=timedelta(minutes=30), description="Errored after this long [30m].")


class StagePart(Strict):
    """Targets deployed together, with what they must pass."""

    name: Name = Field(description="What people type.", examples=["beta"])
    targets: list[TargetPart] = Field(min_length=1, max_length=500, description="Its targets.", examples=["[web-1]"])
    after: Names | None = Field(
        default=None, description="Stages a release must have passed [the one above]; `[]` for a first stage."
    )
    group: Name | None = Field(default=None, description="The group it belongs to; `production` makes it production.")
    production: bool | None = Field(default=None, description="Whether customers are served here [by its group].")
    one_box: bool | None = Field(default=None, description="Whether it is a one-box [if its name says so].")
    deployer: StageDeployerPart | None = Field(default=None, description="Another deployer, or other settings.")
    approval: ApprovalPart | None = Field(default=None, description="Asked at its entry [nobody].")
    tests: list[TestPart] = Field(default_factory=list, max_length=50, description="Run after the deployment.")
    bake: BakePart | None = Field(default=None, description="Time and evidence after the tests [by place].")
    watch: Duration | None = Field(default=None, description="Still able to roll back after passing [the pipeline's].")
    on_alarm: Annotated[OnAlarm, Field(strict=False)] | None = Field(
        default=None, description="[`stop` in a first stage before production, else `rollback`]"
    )
    siblings: Annotated[Siblings, Field(strict=False)] = Field(
        default=Siblings.STAY, description="What other targets do when one fails [stay]."
    )
    batch: BatchPart | None = Field(default=None, description="Another batch than the pipeline's.")
    timeout: Duration = Field(default=timedelta(minutes=30), description="Of one deployment on one target [30m].")
    windows: Names = Field(default_factory=list, description="Calendars that must be open when it is entered.")


class GroupPart(Strict):
    """Stages that are spoken of together."""

    approval: ApprovalPart | None = Field(default=None, description="Asked once, at the entry of the group.")
    production: bool | None = Field(default=None, description="Whether its stages serve customers [by its name].")
    windows: Names = Field(default_factory=list, description="Calendars that must be open when it is entered.")


class CanarySettings(Strict):
    """`with:` of a canary: what is asked, and what is good enough."""

    url: Url = Field(description="What is asked.", examples=["https://checkout.example.com/health"])
    method: Literal["GET", "HEAD", "POST"] = Field(default="GET", description="[GET]")
    every: Duration = Field(default=timedelta(seconds=10), description="One look, one data point [10s].")
    timeout: Duration = Field(default=timedelta(seconds=5), description="A look that takes longer has failed [5s].")
    expect_status: Statuses = Field(default="200-399", description="Good answers [200-399].")
    expect_text: Line | None = Field(default=None, description="Must occur in the answer.")
    success_rate: Rate = Field(default=99.0, description="Percent of the looks that must be good [99].")
    latency_p99: Duration | None = Field(default=None, description="At most.")
    window: Duration = Field(default=timedelta(minutes=1), description="What the rates are taken over [1m].")
    minimum: int = Field(default=3, ge=1, le=10_000, description="Looks it takes to know anything [3].")

    @model_validator(mode="after")
    def _can_know(self) -> Self:
        """A canary whose window is too short for its looks would be unknown for ever."""
        if self.every < FASTEST_LOOK or self.timeout < FASTEST_LOOK:
            raise refusal(
                "a canary cannot look that fast", "write `every: 100ms` or more, and `timeout: 100ms` or more"
            )
        if self.window < self.minimum * self.every:
            needed = duration_text(self.minimum * self.every)
            sentence = (
                f"{self.minimum} looks do not fit into a window of {duration_text(self.window)}: it would stay unknown"
            )
            raise refusal(sentence, f"write `window: {needed}` or more, or look more often")
        return self


class AlarmPart(Strict):
    """An alarm the pipeline watches [8–10]."""

    name: Name = Field(description="What people call it.", examples=["errors"])
    source: Literal["alertmanager", "webhook", "canary"] = Field(
        description="Who reports it.", examples=["alertmanager"]
    )
    scope: str = Field(default="service", description="A target, a stage, a group, or `service` [service].")
    match: Labels = Field(default_factory=dict, description="Labels a report must carry.")
    silence_is: Literal["ok", "unknown"] | None = Field(default=None, description="What silence means [unknown].")
    heartbeat: Labels | None = Field(default=None, description="Labels of the alert that proves the source alive.")
    stale_after: Duration | None = Field(default=None, description="When a reading or heartbeat is too old [10m].")
    evidence: bool | None = Field(default=None, description="Whether its readings are data points [canaries: true].")
    with_: CanarySettings | None = Field(default=None, alias="with", description="A canary's settings.")
    runbook: Url | None = Field(default=None, description="What to do when it is red.")
    dashboard: Url | None = Field(default=None, description="Where to look.")


class PagePart(Strict):
    """How often somebody is called until they acknowledge."""

    every: Duration = Field(default=timedelta(minutes=15), description="[15m]")
    times: int = Field(default=5, ge=1, le=50, description="[5]")
