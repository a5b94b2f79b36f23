"""The shape of the organisation file, `org.yaml`; `core.releases.organisation` says what it means."""

from __future__ import annotations

import re
from datetime import datetime, time
from typing import Annotated, ClassVar
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from core.releases.fields import Duration, Line, Name, Names, Shorthand
from core.releases.parts import ApprovalPart
from core.releases.problems import Strict, described, nearest, refusal, shown

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MOMENT = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2})")
MIDNIGHT = time(0, 0)


# ---- what the file is made of ---------------------------------------------------------------------------------------


def _matching(pattern: str, what: str, mend: str) -> AfterValidator:
    """Text that matches a pattern in full."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise refusal(f"`{shown(value, 40)}` is no {what}", mend)
        return value

    return AfterValidator(check)


def _zone(value: str) -> str:
    if value not in available_timezones():
        raise refusal(f"`{shown(value)}` is no time zone", nearest(value.title(), _PLACES) or "write `Europe/Dublin`")
    return value


def _time_of_day(value: object) -> time:
    found = re.fullmatch(r"(\d{2}):(\d{2})", value) if isinstance(value, str) else None
    if found is None or int(found[2]) > 59 or int(found[1]) > 24 or value > "24:00":  # type: ignore[operator]
        raise refusal(f"this must be a time of day, not {described(value)}", 'write it in quotes: "09:00"')
    return MIDNIGHT if value == "24:00" else time(int(found[1]), int(found[2]))


def _moment(value: object) -> datetime:
    """A wall-clock moment, without a zone: the calendar says which."""
    found = _MOMENT.fullmatch(value) if isinstance(value, str) else None
    try:
        return datetime.fromisoformat(f"{found[1]}T{found[2]}")  # type: ignore[index]
    except (TypeError, ValueError):
        raise refusal(
            f"this must be a moment, not {described(value)}", 'write it in quotes: "2030-12-20 18:00"'
        ) from None


def _days(value: object) -> list[int]:
    """Weekdays, Monday is 0: `mon-fri`, `sat`, `[mon, wed]`."""
    parts = value if isinstance(value, list) else str(value).split(",") if isinstance(value, str) else []
    days: set[int] = set()
    for part in parts:
        ends = [end.strip().lower()[:3] for end in str(part).split("-")][:2]
        if not ends or any(end not in DAYS for end in ends):
            raise refusal(f"`{shown(str(part), 30)}` is no day of the week", "write `mon-fri`, `sat` or `[mon, wed]`")
        first, last = DAYS.index(ends[0]), DAYS.index(ends[-1])
        days.update((first + step) % 7 for step in range((last - first) % 7 + 1))
    if not days:
        raise refusal(
            f"this must be days of the week, not {described(value)}", "write `mon-fri`, `sat` or `[mon, wed]`"
        )
    return sorted(days)


_PLACES = sorted(
    zone for zone in available_timezones() if "/" in zone and not zone.startswith(("Etc", "posix", "right"))
)
SlackUser = Annotated[
    str, _matching("[UW][A-Z0-9]{2,20}", "Slack member id", "copy it from the profile: it looks like `U012AB3CD`")
]
SlackGroup = Annotated[
    str, _matching("S[A-Z0-9]{2,20}", "Slack user group id", "copy it from the group: it looks like `S012AB3CD`")
]
Email = Annotated[str, _matching(r"[^\s@]{1,200}@[^\s@]{1,200}", "e-mail address", "write `ann@example.com`")]
Login = Annotated[str, _matching(r"[^\s]{1,100}", "login", "write it without spaces, as the code host shows it")]
Variable = Annotated[
    str,
    _matching("[A-Z][A-Z0-9_]{0,99}", "name of an environment variable", "write its name only: `ANDON_PAGER_URL`"),
]
Zone = Annotated[str, AfterValidator(_zone)]
TimeOfDay = Annotated[
    time, BeforeValidator(_time_of_day), WithJsonSchema({"type": "string", "pattern": r"^\d\d:\d\d$"})
]
Moment = Annotated[datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "pattern": _MOMENT.pattern})]
Days = Annotated[
    list[int],
    BeforeValidator(_days),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


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


class SpanPart(Strict):
    """Hours on days of the week, by the calendar's clock."""

    days: Days = Field(default=list(range(7)), description="`mon-fri`, `sat`, `[mon, wed]` [every day].")
    from_: TimeOfDay = Field(default=MIDNIGHT, alias="from", description='["00:00"]')
    to: TimeOfDay = Field(default=MIDNIGHT, description='Not included; earlier than `from`: the next day ["24:00"].')


class FreezePart(Strict):
    """A time in which nothing it covers is entered [22]."""

    name: Name = Field(description="What people call it.", examples=["year-end"])
    from_: Moment = Field(alias="from", description="First moment.", examples=['"2030-12-20 18:00"'])
    to: Moment = Field(description="First moment after it.", examples=['"2031-01-02 08:00"'])
    zone: Zone = Field(default="UTC", description="Whose clock [UTC].")
    reason: Line | None = Field(default=None, description="Shown to everybody it stops.")
    services: Names = Field(default_factory=list, description="Only these services [all].")
    stages: Names = Field(default_factory=list, description="Only these stages or groups [all].")


class CalendarPart(Strict):
    """When stages that name it may be entered; closed hours beat open ones."""

    zone: Zone = Field(description="IANA time zone.", examples=["Europe/Dublin"])
    open: list[SpanPart] = Field(default_factory=list, max_length=50, description="Open hours [always].")
    closed: list[SpanPart] = Field(default_factory=list, max_length=50, description="Closed hours [never].")


class PolicyPart(Strict):
    """What holds for all pipelines."""

    minimum_bake: Duration | None = Field(default=None, description="No production stage bakes for less.")
    production_approval: ApprovalPart | None = Field(default=None, description="Where a definition asks nobody.")


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
