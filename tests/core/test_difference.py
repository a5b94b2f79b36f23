"""What one definition changes against another, and who may put it in force."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from core.errors import CommandRefused
from core.releases.calendar import Calendar
from core.releases.definition import Policy, falls_short
from core.releases.difference import difference
from core.releases.events import DefinitionApplied
from core.releases.pipeline import (
    SERVICE,
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
    Siblings,
    Stage,
    StageTest,
    Target,
)
from core.releases.redefined import may_define
from core.releases.world import ANDON, Actor, Team, Via
from tests.core.line import ANN, EVE, WORLD, Line, pipeline, stage

HOURS = Calendar(name="office", zone="UTC", opens=(), closed=())
CI = Actor("ci", "CI", Via.API, is_person=False)
RULE = ApprovalRule(count=2, by=("approvers",))


def line(*stages: Stage, revision: str = "r2", **more: Any) -> Pipeline:
    return replace(pipeline(*stages) if stages else pipeline(), revision=revision, **more)


def said(old: Pipeline, new: Pipeline) -> list[str]:
    return [str(change) for change in difference(replace(old, revision="r1"), new)]


def changed(**more: Any) -> list[str]:
    """What is said of a change to the whole line."""
    return said(line(), line(**more))


def staged(before: Stage, **more: Any) -> list[str]:
    """What is said of a change to one stage."""
    return said(line(before), line(replace(before, **more)))


def test_one_revision_differs_in_nothing():
    assert difference(line(), line(channel="#other")) == ()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"channel": "#else"}, "its cards are posted in #shop → #else"),
        ({"order": Order.QUEUE}, "who goes first at an entry: newest → queue"),
        ({"keep_good": 1}, "good versions kept 3 → 1 (less careful)"),
        ({"rollback_guard": timedelta(hours=4)}, "no second rollback within 2 h → 4 h"),
        ({"settle": timedelta(minutes=9)}, "alarms may stay red after a rollback 5 min → 9 min (less careful)"),
        ({"override_expires": timedelta(hours=1)}, "an override lasts 1 day → 1 h"),
        ({"page_every": timedelta(hours=1)}, "people are called every 15 min → 1 h (less careful)"),
        ({"page_times": 9}, "times people are called 5 → 9"),
        ({"dashboard": "https://charts.example"}, "dashboard none → https://charts.example"),
        ({"runbook": "https://wiki.example"}, "runbook none → https://wiki.example"),
        ({"calendars": (HOURS,)}, "its calendars change (office)"),
        ({"about": About(tier=1)}, "what the catalogue says of it changes"),
        ({}, "something in its settings changes"),
    ],
)
def test_what_changes_for_the_whole_line(more: dict[str, Any], words: str):
    assert changed(**more) == [words]


def test_a_calendar_that_only_says_other_hours_is_not_named():
    other = replace(HOURS, zone="Europe/Dublin")
    assert said(line(calendars=(HOURS,)), line(calendars=(other,))) == ["its calendars change"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"targets": (Target(name="a"),)}, ["beta: the target b goes"]),
        (
            {"targets": (Target(name="a"), Target(name="b"), Target(name="c"), Target(name="d"))},
            ["beta: new targets c and d"],
        ),
        ({"targets": (Target(name="a", zone="z1"), Target(name="b"))}, ["beta: settings of a change"]),
        ({"group": "production"}, ["beta: it is in the group none → production"]),
        ({"deployer": "hosts"}, ["beta: deployed by processes → hosts"]),
        ({"deployer_settings": '{"a":1}'}, ["beta: the settings of processes change"]),
        ({"is_production": True}, ["beta: it is production"]),
        ({"is_one_box": True}, ["beta: it is a one-box"]),
        ({"approval": RULE}, ["beta: approval: nobody is asked → 2 of approvers, within 7 days"]),
        ({"tests": (StageTest(name="smoke", uses="http"),)}, ["beta: new test smoke"]),
        ({"bake": Bake(duration=timedelta(minutes=1))}, ["beta: bake 10 min → 1 min (less careful)"]),
        (
            {"bake": Bake(duration=timedelta(minutes=10), minimum_points=9)},
            ["beta: data points asked 0 → 9"],
        ),
        ({"watch": timedelta(hours=5)}, ["beta: watch 1 h → 5 h"]),
        ({"on_alarm": OnAlarm.STOP}, ["beta: on an alarm: rollback → stop (less careful)"]),
        ({"siblings": Siblings.FOLLOW}, ["beta: when a target fails the others stay → follow"]),
        ({"batch": Batch(forward_percent=50)}, ["beta: changed at once, percent 33 → 50 (less careful)"]),
        ({"batch": Batch(back_percent=100)}, ["beta: changed at once going back, percent: 33 → 100"]),
        ({"batch": Batch(healthy_percent=10)}, ["beta: in service, percent 66 → 10 (less careful)"]),
        ({"deployment_timeout": timedelta(hours=1)}, ["beta: time for one deployment 30 min → 1 h (less careful)"]),
        ({"windows": ("office", "week")}, ["beta: new windows office and week"]),
    ],
)
def test_what_changes_in_a_stage(more: dict[str, Any], words: list[str]):
    bake = Bake(duration=timedelta(minutes=10))
    assert staged(stage("beta", "a", "b", bake=bake, watch=timedelta(hours=1)), **more) == words


def test_what_a_stage_loses_makes_it_less_careful():
    tests = (StageTest(name="smoke", uses="http"), StageTest(name="load", uses="command"))
    guarded = stage("beta", "a", tests=tests, windows=("office",), is_production=True, is_one_box=True, approval=RULE)
    assert staged(guarded, tests=(), windows=(), is_production=False, is_one_box=False, approval=None) == [
        "beta: it is no production any more (less careful)",
        "beta: it is no one-box any more (less careful)",
        "beta: approval: 2 of approvers, within 7 days → nobody is asked (less careful)",
        "beta: the tests smoke and load go (less careful)",
        "beta: the window office goes (less careful)",
    ]
    assert staged(guarded, approval=replace(RULE, by=("everybody",))) == [
        "beta: approval: 2 of approvers, within 7 days → 2 of everybody, within 7 days (less careful)"
    ]
    assert staged(guarded, tests=(replace(tests[0], settings='{"a":1}'), tests[1])) == ["beta: smoke test otherwise"]


def test_stages_that_come_go_and_change_places():
    beta, gamma, prod = stage("beta"), stage("gamma", after=("beta",)), stage("prod", after=("gamma",))
    assert said(line(beta, gamma), line(beta, gamma, prod)) == ["prod: a new stage, after gamma"]
    assert said(line(beta), line(beta, stage("other"))) == ["other: a new stage, after nothing"]
    early = replace(prod, after=("beta",))
    assert said(line(beta, gamma, prod), line(beta, early)) == [
        "gamma: the stage goes (less careful)",
        "prod: it follows gamma → beta (less careful)",
    ]
    first = replace(gamma, after=())
    assert said(line(beta, gamma), line(first, replace(beta, after=("gamma",)))) == [
        "gamma: it follows beta → nothing (less careful)",
        "beta: it follows nothing → gamma",
        "the stages stand in another order: gamma and beta",
    ]
    assert said(line(beta), line(prod)) == ["beta: the stage goes (less careful)", "prod: a new stage, after gamma"]


def test_groups_with_their_approvals_and_windows():
    group = Group(name="production", approval=RULE, windows=("office",))
    assert said(line(groups=(group,)), line(groups=(replace(group, windows=()),))) == [
        "production: the window office goes (less careful)"
    ]
    assert said(line(groups=(group,)), line(groups=())) == [
        "production: the group goes, and with it its approval (less careful)"
    ]
    plain = replace(group, approval=None)
    assert said(line(groups=(plain,)), line(groups=())) == ["something in its settings changes"]
    assert said(line(groups=()), line(groups=(plain,))) == ["something in its settings changes"]


def test_alarms():
    red = Alarm(name="errors", source="webhook")
    assert said(line(alarms=(red,)), line(alarms=())) == ["errors: the alarm goes (less careful)"]
    assert said(line(alarms=()), line(alarms=(red,))) == ["errors: a new alarm from webhook, for the whole service"]
    cases: list[tuple[dict[str, Any], str]] = [
        ({"silence_is_ok": True}, "errors: its silence is ok (less careful)"),
        ({"scope": Scope(ScopeKind.STAGE, "beta")}, "errors: the alarm speaks of the whole service → beta"),
        ({"match": (("a", "b"),)}, "errors: the alarm changes"),
    ]
    for more, words in cases:
        assert said(line(alarms=(red,)), line(alarms=(replace(red, **more), Alarm(name="x", source="y"))))[0] == words
    quiet = replace(red, silence_is_ok=True)
    assert said(line(alarms=(quiet,)), line(alarms=(red,))) == ["errors: its silence is unknown"]
    assert red.scope == SERVICE


# ---- who may -------------------------------------------------------------------------------------------------------


def test_the_team_defines_its_service_and_the_thread_hears_what_changes():
    running = Line()
    running.announces("1.1")
    definition = replace(running.state.definition, revision="r2", keep_good=1, channel="#else")
    running.hears(DefinitionApplied(definition=definition, by=ANN))
    (tell,) = running.said("definition_applied")
    assert tell.sentence == (
        f"A new definition of {definition.id}, applied by Ann, is in force from the next entry on: "
        "good versions kept 3 → 1 (less careful); its cards are posted in #shop → #else."
    )


def test_of_many_changes_the_thread_hears_the_first_and_how_many_more():
    running = Line()
    running.announces("1.1")
    stages = tuple(replace(s, watch=timedelta(days=2), siblings=Siblings.FOLLOW) for s in pipeline().stages)
    definition = replace(running.state.definition, revision="r2", stages=stages, keep_good=1, page_times=9)
    running.hears(DefinitionApplied(definition=definition, by=ANDON))
    assert "; and 2 more." in running.said("definition_applied")[0].sentence


def test_where_nothing_is_on_its_way_the_history_alone_keeps_it():
    running = Line()
    definition = replace(running.state.definition, revision="r2", keep_good=1)
    decision = running.hears(DefinitionApplied(definition=definition, by=CI))
    assert running.said("definition_applied") == []
    assert "applied by CI" in decision.reasons[0]


def test_a_stranger_is_refused_and_so_is_a_team_there_is_not():
    running = Line()
    definition = replace(running.state.definition, revision="r2")
    assert "may change the definition of" in running.refuses(DefinitionApplied(definition=definition, by=EVE))
    elsewhere = replace(definition, team="books")
    refusal = running.refuses(DefinitionApplied(definition=elsewhere, by=ANN))
    assert "no team books" in refusal


def test_a_service_changes_its_team_by_whoever_is_in_both():
    old = pipeline()
    new = replace(old, team="books", revision="r2")
    both = replace(WORLD, teams={**WORLD.teams, "books": Team(name="books", members=frozenset({"ann"}))})
    may_define(both, old, new, ANN)
    only_one = replace(WORLD, teams={**WORLD.teams, "books": Team(name="books", members=frozenset({"eve"}))})
    with pytest.raises(CommandRefused, match="Only the team books may take"):
        may_define(only_one, old, new, ANN)
    no_team = replace(WORLD, teams={})
    administrator = replace(no_team, administrators=frozenset({"ann"}))
    with pytest.raises(CommandRefused, match="no team"):
        may_define(administrator, old, old, ANN)


def test_a_line_falls_short_of_a_stricter_policy():
    early = stage("beta", bake=Bake(duration=timedelta(minutes=1)))
    shop = line(
        early, replace(stage("prod", after=("beta",), bake=Bake(duration=timedelta(hours=1))), is_production=True)
    )
    assert not falls_short(shop, Policy(minimum_bake=timedelta(hours=1)))
    assert falls_short(shop, Policy(minimum_bake=timedelta(hours=2)))
    assert falls_short(shop, Policy(production_approval=RULE))
    assert not falls_short(line(early), Policy(production_approval=RULE)), "nothing of it is production"
    asked = line(early, replace(shop.stages[1], approval=RULE))
    assert not falls_short(asked, Policy(production_approval=RULE))
