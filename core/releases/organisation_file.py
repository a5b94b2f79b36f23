"""The shape of the organisation file, `org.yaml`; `core.releases.organisation` says what it means."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, ClassVar

from pydantic import Field

from core.releases.calendar_parts import CalendarPart, Moment, Zone
from core.releases.fields import Duration, Line, Name, Names, Shorthand, Variable, matching
from core.releases.parts import ApprovalPart
from core.releases.problems import Strict
from core.releases.source_parts import RegistryPart, SourceConnectionPart

# ---- what the file is made of ---------------------------------------------------------------------------------------


SlackUser = Annotated[
    str, matching("[UW][A-Z0-9]{2,20}", "Slack member id", "copy it from the profile: it looks like `U012AB3CD`")
]
SlackGroup = Annotated[
    str, matching("S[A-Z0-9]{2,20}", "Slack user group id", "copy it from the group: it looks like `S012AB3CD`")
]
Email = Annotated[str, matching(r"[^\s@]{1,200}@[^\s@]{1,200}", "e-mail address", "write `ann@example.com`")]
Login = Annotated[str, matching(r"[^\s]{1,100}", "login", "write it without spaces, as the code host shows it")]


class PersonPart(Shorthand):
    """Somebody, and how other systems know them."""

    short_key: ClassVar[str] = "name"
    name: Line = Field(description="What people call them.", examples=["Ann"])
    slack: SlackUser | None = Field(default=None, description="Slack member id.")
    emails: list[Email] = Field(default_factory=list, max_length=50, description="Addresses on commits.")
    logins: list[Login] = Field(default_factory=list, max_length=50, description="Names at code hosts and CI.")
    bot: bool = Field(default=False, description="Machines approve nothing [false].")


class PeopleGroupPart(Shorthand):
    """People under one name."""

    short_key: ClassVar[str] = "members"
    short_is_list: ClassVar[bool] = True
    members: Names = Field(default_factory=list, description="Keys of people.", examples=["[ann, bob]"])
    slack: SlackGroup | None = Field(default=None, description="Slack user group: mentioned, and its members are read.")


class TeamPart(Strict):
    """Owns services."""

    members: Names = Field(description="Keys of people.", examples=["[ann, bob]"])
    owners: Names = Field(default_factory=list, description="Members who may override and lift.")
    on_call: Name | None = Field(default=None, description="A group; it is called when something is wrong.")


class FreezePart(Strict):
    """A time in which nothing it covers is entered [22]."""

    name: Name = Field(description="What people call it.", examples=["year-end"])
    from_: Moment = Field(alias="from", description="First moment.", examples=['"2030-12-20 18:00"'])
    to: Moment = Field(description="First moment after it.", examples=['"2031-01-02 08:00"'])
    zone: Zone = Field(default="UTC", description="Whose clock [UTC].")
    reason: Line | None = Field(default=None, description="Shown to everybody it stops.")
    services: Names = Field(default_factory=list, description="Only these services [all].")
    teams: Names = Field(default_factory=list, description="Only services of these teams [all].")
    stages: Names = Field(default_factory=list, description="Only these stages or groups [all].")


class SelfServicePart(Strict):
    """What definitions may use that teams apply themselves; files on Andon's machine may use everything."""

    deployers: Names | None = Field(
        default=None, description="These only [all but those that run programs on Andon's machine]."
    )
    tests: Names | None = Field(
        default=None, description="These only [all but those that run programs on Andon's machine]."
    )
    variables: list[Line] = Field(
        default_factory=lambda: ["{SERVICE}_*", "{TEAM}_*"],
        max_length=50,
        description="Environment variables they may name [those that begin with the service or team].",
    )
    files: list[Line] = Field(
        default_factory=lambda: ["/etc/andon/{service}/*", "/etc/andon/{team}/*"],
        max_length=50,
        description="Files on Andon's machine they may name: keys, kubeconfigs [their own under /etc/andon].",
    )
    values: dict[Name, dict[Line, list[Line]]] = Field(
        default_factory=dict,
        max_length=50,
        description="By deployer and key: what its settings may say.",
        examples=['{kubernetes: {namespace: ["{team}"]}}'],
    )


class PolicyPart(Strict):
    """What holds for all pipelines."""

    minimum_bake: Duration | None = Field(default=None, description="No production stage bakes for less.")
    production_approval: ApprovalPart | None = Field(default=None, description="Where a definition asks nobody.")
    spread_openings: Duration = Field(
        default=timedelta(minutes=5),
        description="After a window or freeze pipelines go on one by one within this [5m].",
    )
    self_service: SelfServicePart = Field(
        default_factory=SelfServicePart, description="What teams may use without an administrator."
    )


class PagerPart(Strict):
    """Whom else to tell when somebody is called."""

    webhook_env: Variable = Field(description="Name of the variable with the address.", examples=["ANDON_PAGER_URL"])


class OrganisationFile(Strict):
    """`org.yaml`."""

    people: dict[Name, PersonPart] = Field(default_factory=dict, description="By key.")
    groups: dict[Name, PeopleGroupPart] = Field(default_factory=dict, description="By name.")
    teams: dict[Name, TeamPart] = Field(default_factory=dict, description="By name.")
    administrators: Names = Field(default_factory=list, description="May stop and start everything.")
    calendars: dict[Name, CalendarPart] = Field(default_factory=dict, description="By name.")
    freezes: list[FreezePart] = Field(default_factory=list, max_length=200, description="Planned ones.")
    policy: PolicyPart = Field(default_factory=PolicyPart, description="For all pipelines.")
    pager: PagerPart | None = Field(default=None, description="A pager's webhook.")
    sources: dict[Name, SourceConnectionPart] = Field(
        default_factory=dict, max_length=50, description="Where releases are built, by name."
    )
    registries: dict[Line, RegistryPart] = Field(
        default_factory=dict, max_length=50, description="Credentials of image registries, by host."
    )
