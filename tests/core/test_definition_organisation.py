"""The organisation file: who people are, who may approve, when the gates are open."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest

from core.releases.calendar import Span
from core.releases.limits import OWN_ONLY
from core.releases.organisation import Organisation, read_organisation, unknown_to_organisation
from core.releases.pipeline import ApprovalRule
from core.releases.problems import path_text
from core.releases.soundness import read_pipeline
from core.releases.world import Actor, Freeze, Via, World

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def company(**more: Any) -> dict[str, Any]:
    return copy.deepcopy(
        {
            "people": {
                "ann": {"name": "Ann", "slack": "U0ANN", "emails": ["Ann@Example.com"], "logins": ["ann-codes"]},
                "bob": "Bob",
                "carol": "Carol",
                "ci": {"name": "CI", "bot": True},
            },
            "groups": {"approvers": ["ann", "bob"], "callers": {"members": "carol", "slack": "S0CALL"}},
            "teams": {"payments": {"members": ["ann", "bob"], "owners": ["ann"], "on_call": "callers"}},
            **more,
        }
    )


def read(document: object) -> Organisation:
    reading = read_organisation(document)
    assert reading.organisation is not None, [problem.sentence for problem in reading.problems]
    return reading.organisation


def only(document: object) -> tuple[str, str, str]:
    reading = read_organisation(document)
    (problem,) = [problem for problem in reading.problems if not problem.is_warning]
    assert reading.organisation is None
    return path_text(problem.path), problem.sentence, problem.mend


def test_people_are_found_by_every_name_they_go_by():
    world = read(company(administrators=["carol"])).applied_to(World(revision=7), NOW)
    ann = world.people["ann"]
    found = [world.person_known_as(name) for name in ("ann", "ann@example.com", "ANN-codes", "u0ann")]
    assert found == [ann] * 4
    assert world.people["ci"].is_bot
    assert world.administrators == {"carol"}
    assert world.expand(("approvers", "callers")) == {"ann", "bob", "carol"}
    assert (world.groups["callers"].slack, world.teams["payments"].on_call) == ("S0CALL", "callers")
    assert world.revision == 7


def test_freezes_of_the_file_replace_those_of_their_names_only():
    def at(hour: int) -> datetime:
        return datetime(2030, 12, 20, hour, tzinfo=UTC)

    by_hand = Freeze("incident", at(1), at(2), by=Actor("ann", "Ann", Via.SLACK))
    old = Freeze("year-end", at(3), at(4))
    document = company(freezes=[{"name": "year-end", "from": "2030-12-20 18:00", "to": "2031-01-02 08:00"}])
    world = read(document).applied_to(World(freezes=(by_hand, old)), NOW)
    assert [(freeze.name, freeze.starts_at) for freeze in world.freezes] == [("year-end", at(18)), ("incident", at(1))]


def test_rule_22_a_freeze_at_a_moment_that_exists_twice_or_never_is_the_longer():
    def frozen(start: str, end: str) -> Freeze:
        part = {"name": "f", "from": start, "to": end, "zone": "Europe/Dublin", "services": "checkout"}
        return read(company(freezes=[part])).freezes[0]

    autumn = frozen("2030-10-27 01:30", "2030-10-27 01:45")
    assert autumn.ends_at is not None
    assert autumn.ends_at - autumn.starts_at == timedelta(hours=1, minutes=15)
    spring = frozen("2030-03-31 01:30", "2030-03-31 03:00")
    assert (spring.starts_at.hour, spring.starts_at.minute) == (1, 0), "the instant at which the clock jumps"
    assert spring.services == {"checkout"}


def test_calendars_are_days_and_hours_of_a_zone():
    spans = [
        {"days": "mon-wed, fri", "from": "09:00", "to": "16:00"},
        {"days": ["sat"], "from": "22:00", "to": "24:00"},
    ]
    document = company(calendars={"office": {"zone": "Europe/Dublin", "open": spans, "closed": [{"days": "sun-mon"}]}})
    office = read(document).calendars["office"]
    assert office.opens[0] == Span((0, 1, 2, 4), time(9), time(16))
    assert office.opens[1].until == time(0)
    assert office.closed[0].days == (0, 6)


def test_the_company_sets_policy_and_pager():
    document = company(
        policy={"minimum_bake": "30m", "production_approval": {"by": "approvers", "count": 2}},
        pager={"webhook_env": "ANDON_PAGER_URL"},
    )
    organisation = read(document)
    assert organisation.policy.minimum_bake == timedelta(minutes=30)
    assert organisation.policy.production_approval == ApprovalRule(count=2, by=("approvers",))
    assert organisation.pager_variable == "ANDON_PAGER_URL"


def with_person(key: str, **more: Any) -> dict[str, Any]:
    document = company()
    document["people"][key] = {"name": key.title(), **more}
    return document


MISTAKES = {
    "unknown member": (company(groups={"callers": ["anne"]}), "groups.callers.members[0]", "no person", "`ann`"),
    "unknown caller": (
        company(teams={"payments": {"members": ["ann"], "on_call": "caller"}}),
        "teams.payments.on_call",
        "no group `caller`",
        "`callers`",
    ),
    "owner from outside": (
        company(teams={"payments": {"members": ["ann"], "owners": ["bob"], "on_call": "callers"}}),
        "teams.payments.owners[0]",
        "no member",
        "`ann`",
    ),
    "unknown administrator": (company(administrators=["zoe"]), "administrators[0]", "no person `zoe`", "there is"),
    "one name for two": (
        company(groups={"ann": ["ann"], "callers": ["bob"]}),
        "groups.ann",
        "already a person",
        "rename",
    ),
    "nobody in a group": (company(groups={"callers": []}), "groups.callers", "nobody is in", "members"),
    "an address of two people": (
        with_person("dora", emails=["ann@example.com"]),
        "people.dora.emails[0]",
        "belongs to `ann`",
        "one person",
    ),
    "a login that is another's key": (
        with_person("dora", logins=["bob"]),
        "people.dora.logins[0]",
        "the key",
        "rename",
    ),
    "a name for an id": (with_person("dora", slack="@dora"), "people.dora.slack", "no Slack member id", "U012"),
    "an address without at": (with_person("dora", emails=["dora"]), "people.dora.emails[0]", "no e-mail", "@"),
    "a freeze backwards": (
        company(freezes=[{"name": "f", "from": "2031-01-01 00:00", "to": "2030-01-01 00:00"}]),
        "freezes[0].to",
        "before it begins",
        "swap",
    ),
    "two freezes of one name": (
        company(freezes=[{"name": "f", "from": "2030-01-01 00:00", "to": f"2030-01-0{day} 00:00"} for day in (2, 3)]),
        "freezes[1].name",
        "another freeze is called `f`",
        "rename one",
    ),
    "a freeze of a team that is none": (
        company(
            freezes=[
                {"name": "f", "from": "2030-01-01 00:00", "to": "2030-01-02 00:00", "teams": ["payments", "payment"]}
            ]
        ),
        "freezes[0].teams[1]",
        "no team `payment`",
        "`payments`",
    ),
    "a day that is none": (
        company(freezes=[{"name": "f", "from": "2031-02-30 00:00", "to": "2031-03-01 00:00"}]),
        "freezes[0].from",
        "a moment",
        "quotes",
    ),
    "a city for a zone": (
        company(calendars={"office": {"zone": "europe/dubln"}}),
        "calendars.office.zone",
        "no time zone",
        "`Europe/Dublin`",
    ),
    "hours as a number": (
        company(calendars={"office": {"zone": "UTC", "open": [{"from": 9}]}}),
        "calendars.office.open[0].from",
        "time of day",
        '"09:00"',
    ),
    "an hour too many": (
        company(calendars={"office": {"zone": "UTC", "open": [{"to": "24:30"}]}}),
        "calendars.office.open[0].to",
        "time of day",
        '"09:00"',
    ),
    "a day of no week": (
        company(calendars={"office": {"zone": "UTC", "open": [{"days": "mo-fr"}]}}),
        "calendars.office.open[0].days",
        "no day",
        "`mon-fri`",
    ),
    "an address for a variable": (
        company(pager={"webhook_env": "https://pager.example.com/x"}),
        "pager.webhook_env",
        "environment variable",
        "ANDON_PAGER_URL",
    ),
    "an approval nobody can give": (
        company(policy={"production_approval": {"by": ["ann", "ci"], "count": 2}}),
        "policy.production_approval",
        "2 must approve, but only 1 can",
        "more people",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_place_and_its_mend(mistake: str):
    document, where, what, how = MISTAKES[mistake]
    path, sentence, mend = only(document)
    assert path == where
    assert what in sentence
    assert how in mend


def against(**more: Any) -> list[tuple[str, str, str]]:
    """What the company says of a pipeline."""
    document = {
        "service": "checkout",
        "team": "payments",
        "channel": "#checkout",
        "deployer": "processes",
        "stages": [{"name": "one-box", "group": "production", "targets": ["a"], **more.pop("stage", {})}],
        **more,
    }
    office = {"office-hours": {"zone": "Europe/Dublin", "open": [{"days": "mon-fri", "from": "09:00", "to": "17:00"}]}}
    file, known = read_pipeline(document).file, read_organisation(company(calendars=office)).file
    assert file is not None
    assert known is not None
    return [(path_text(p.path), p.sentence, p.mend) for p in unknown_to_organisation(file, known)]


def test_a_pipeline_of_known_people_is_fine():
    assert against(groups={"production": {"approval": ["approvers", "carol"]}}) == []
    assert against(stage={"approval": "callers"}) == [], "Slack knows more members of this group"


def test_names_the_company_does_not_know():
    assert against(team="paymnts")[0][::2] == ("team", "did you mean `payments`?")
    ((path, _, mend),) = against(stage={"approval": "aprovers", "windows": []})
    assert (path, mend) == ("stages[0].approval.by[0]", "did you mean `approvers`?")
    ((path, _, mend),) = against(stage={"windows": "office"})
    assert path == "stages[0].windows[0]"
    assert "office-hours" in mend
    assert against(stage={"windows": "office-hours"}) == []


def test_rule_22_a_calendar_of_ones_own_may_not_take_the_name_of_one_of_the_company():
    ((path, sentence, mend),) = against(calendars={"office-hours": {"zone": "UTC", "open": [{"days": "mon"}]}})
    assert path == "calendars.office-hours"
    assert "a calendar of the organisation file already" in sentence
    assert "rename this one" in mend


def test_rule_19_an_approval_that_the_team_alone_could_never_give():
    ((path, sentence, mend),) = against(groups={"production": {"approval": {"by": "approvers", "count": 2}}})
    assert path == "groups.production.approval"
    assert "a change by `ann` could never be approved" in sentence
    assert "one more person" in mend
    assert against(groups={"production": {"approval": {"by": ["approvers", "carol"], "count": 2}}}) == []
    assert against(groups={"production": {"approval": "carol"}}) == [], "she is not of the team"
    assert "only 0 can" in against(groups={"production": {"approval": "ci"}})[0][1]


def test_what_is_unwise_is_a_warning():
    document = company(teams={"payments": {"members": ["ann", "ann"]}})
    reading = read_organisation(document)
    assert reading.organisation is not None
    assert [problem.sentence for problem in reading.problems] == [
        "`ann` is named twice",
        "nobody is called when `payments` needs help",
    ]


def test_a_team_may_approve_for_the_company():
    organisation = read(company(policy={"production_approval": "payments"}))
    assert organisation.policy.production_approval == ApprovalRule(by=("payments",))


def test_days_must_be_some():
    document = company(calendars={"office": {"zone": "UTC", "open": [{"days": []}]}})
    assert "days of the week, not a list" in only(document)[1]


def test_what_teams_may_use_themselves_is_the_organisations_to_say():
    assert read(company()).limits == OWN_ONLY
    part = {"deployers": ["hosts"], "tests": [], "variables": ["X_*"], "values": {"hosts": {"user": ["{team}"]}}}
    limits = read(company(policy={"self_service": part})).limits
    assert limits.deployers == frozenset({"hosts"})
    assert limits.tests == frozenset()
    assert limits.variables == ("X_*",)
    assert limits.values == {**OWN_ONLY.values, "hosts": {"user": ("{team}",)}}
