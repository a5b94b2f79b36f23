"""A pipeline file that says little is careful; one that is wrong is told so, everything at once."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from core.releases.definition import Policy
from core.releases.pipeline import About, ApprovalRule, OnAlarm, Order, Pipeline, Scope, ScopeKind
from core.releases.problems import Problem, path_text
from core.releases.soundness import read_pipeline

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def stage(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "targets": [f"{name}-host"], **more}


def wave(name: str, **more: Any) -> dict[str, Any]:
    return stage(name, group="production", **more)


def line(**more: Any) -> dict[str, Any]:
    """The shortest careful line: ten lines of YAML."""
    return copy.deepcopy(
        {
            "service": "checkout",
            "team": "payments",
            "channel": "#checkout",
            "deployer": "processes",
            "stages": [stage("beta"), stage("gamma"), wave("one-box"), wave("wave-1"), wave("wave-2")],
            **more,
        }
    )


def canary(**more: Any) -> dict[str, Any]:
    return {"name": "canary", "source": "canary", "with": {"url": "http://127.0.0.1:1/", "every": "10s"}, **more}


def built(document: dict[str, Any], **more: Any) -> Pipeline:
    reading = read_pipeline(document, **more)
    assert reading.pipeline is not None, [problem.sentence for problem in reading.problems]
    return reading.pipeline


def wrong(document: object, **more: Any) -> list[Problem]:
    reading = read_pipeline(document, **more)
    assert reading.pipeline is None
    return [problem for problem in reading.problems if not problem.is_warning]


def only(document: object, **more: Any) -> tuple[str, str, str]:
    problems = wrong(document, **more)
    assert len(problems) == 1, [(path_text(p.path), p.sentence) for p in problems]
    return path_text(problems[0].path), problems[0].sentence, problems[0].mend


def warned(document: dict[str, Any]) -> list[str]:
    reading = read_pipeline(document)
    assert reading.pipeline is not None
    assert all(problem.is_warning and problem.mend for problem in reading.problems)
    return [problem.sentence for problem in reading.problems]


# ---- defaults -------------------------------------------------------------------------------------------------------


def test_rule_6_a_short_file_makes_the_cautious_line():
    stages = built(line()).stages
    assert [(s.name, s.after) for s in stages] == [
        ("beta", ()),
        ("gamma", ("beta",)),
        ("one-box", ("gamma",)),
        ("wave-1", ("one-box",)),
        ("wave-2", ("wave-1",)),
    ]
    assert [s.bake.duration for s in stages] == [timedelta(), 15 * MINUTE, HOUR, 12 * HOUR, 2 * HOUR]
    assert [s.is_production for s in stages] == [False, False, True, True, True]
    assert [s.is_one_box for s in stages] == [False, False, True, False, False]


def test_rule_7_the_ceiling_is_four_bakes_and_the_watch_an_hour():
    gamma = built(line()).by_name["gamma"]
    assert (gamma.bake.ceiling, gamma.watch, gamma.bake.minimum_points) == (HOUR, HOUR, 0)


def test_rule_8_beta_stops_on_an_alarm_and_the_rest_rolls_back():
    does = [s.on_alarm for s in built(line()).stages]
    assert does == [OnAlarm.STOP, *[OnAlarm.ROLLBACK] * 4]


def test_rule_5_a_third_at_a_time_two_thirds_healthy():
    batch = built(line()).by_name["wave-2"].batch
    assert (batch.forward_percent, batch.back_percent, batch.healthy_percent) == (33, 33, 66)


def test_going_back_may_be_faster_than_going_forward():
    slow = built(line(batch={"forward": "5 %"})).by_name["wave-2"].batch
    assert (slow.forward_percent, slow.back_percent) == (5, 33)
    half = built(line(batch=50)).by_name["wave-2"].batch
    assert (half.forward_percent, half.back_percent, half.healthy_percent) == (50, 50, 50)


def test_a_stage_says_otherwise():
    document = line(watch="5m", order="queue")
    document["stages"][1] |= {
        "bake": {"for": "1h30m", "points": 0, "ceiling": "3h"},
        "watch": "0s",
        "on_alarm": "stop",
        "siblings": "follow",
        "approval": {"by": ["ann", "bob"], "count": 2, "expires": "1d"},
        "timeout": "90s",
        "tests": [{"name": "smoke", "use": "http", "with": {"b": 1, "a": 2}, "timeout": "2m"}],
    }
    pipeline = built(document)
    gamma = pipeline.by_name["gamma"]
    assert (gamma.bake.duration, gamma.bake.ceiling) == (90 * MINUTE, 3 * HOUR)
    assert (gamma.watch, gamma.on_alarm, gamma.siblings.value) == (timedelta(), OnAlarm.STOP, "follow")
    assert gamma.approval == ApprovalRule(count=2, by=("ann", "bob"), expires=timedelta(days=1))
    assert (gamma.deployment_timeout, gamma.tests[0].settings) == (90 * timedelta(seconds=1), '{"a":2,"b":1}')
    assert (pipeline.by_name["beta"].watch, pipeline.order) == (5 * MINUTE, Order.QUEUE)


def test_a_stage_lays_its_settings_over_the_pipelines():
    document = line(deployer={"use": "processes", "with": {"root": "here", "front": "main"}})
    document["stages"][0]["deployer"] = {"with": {"front": "beta"}}
    document["stages"][1]["deployer"] = {"use": "other", "with": {"x": 1}}
    stages = built(document).stages
    assert stages[0].deployer_settings == '{"front":"beta","root":"here"}'
    assert (stages[1].deployer, stages[1].deployer_settings) == ("other", '{"x":1}')
    assert stages[2].deployer_settings == '{"front":"main","root":"here"}'


def test_branches_and_fan_in():
    document = line()
    document["stages"][1]["after"] = []
    document["stages"][2]["after"] = ["beta", "gamma"]
    document["stages"][3]["after"] = "one-box"
    pipeline = built(document)
    assert pipeline.by_name["one-box"].after == ("beta", "gamma")
    assert pipeline.by_name["gamma"].on_alarm is OnAlarm.STOP
    assert pipeline.upstream["wave-2"] == {"beta", "gamma", "one-box", "wave-1"}


def test_several_pipelines_of_one_service():
    assert built(line(pipeline="configuration")).id == "checkout/configuration"


def test_alarms_are_scoped_by_name():
    alarms = [
        canary(name="a", scope="production"),
        canary(name="b", scope="gamma"),
        canary(name="c", scope="wave-1-host"),
        {"name": "d", "source": "alertmanager", "match": {"x": "1"}, "heartbeat": {"alertname": "Watchdog"}},
        {"name": "e", "source": "webhook", "match": {"x": "1"}, "silence_is": "ok", "evidence": True},
    ]
    found = built(line(alarms=alarms)).alarms
    assert [alarm.scope for alarm in found] == [
        Scope(ScopeKind.GROUP, "production"),
        Scope(ScopeKind.STAGE, "gamma"),
        Scope(ScopeKind.TARGET, "wave-1-host"),
        Scope(ScopeKind.SERVICE),
        Scope(ScopeKind.SERVICE),
    ]
    assert [alarm.counts_as_evidence for alarm in found] == [True, True, True, False, True]
    assert [alarm.stale_after for alarm in found] == [*[35 * timedelta(seconds=1)] * 3, 10 * MINUTE, None]
    assert found[4].silence_is_ok


def test_the_revision_is_the_content():
    first = built(line()).revision
    reordered = dict(reversed(line().items()))
    assert built(reordered).revision == first
    assert built(line(watch="1h")).revision == first, "a default spelled out is no change"
    assert built(line(watch="2h")).revision != first
    assert len(first) == 64


def test_a_company_sets_bakes_and_approvals_for_all():
    rule = ApprovalRule(by=("approvers",))
    policy = Policy(minimum_bake=3 * HOUR, production_approval=rule)
    pipeline = built(line(), policy=policy)
    assert [s.bake.duration for s in pipeline.stages[2:]] == [3 * HOUR, 12 * HOUR, 3 * HOUR]
    assert pipeline.by_name["gamma"].bake.duration == 15 * MINUTE
    assert pipeline.group_by_name["production"].approval == rule
    own = line(groups={"production": {"approval": "ann"}})
    assert built(own, policy=policy).group_by_name["production"].approval == ApprovalRule(by=("ann",))


def test_a_company_approval_where_production_has_no_group():
    document = line()
    for part in document["stages"][2:]:
        del part["group"]
        part["production"] = True
    rule = ApprovalRule(by=("approvers",))
    stages = built(document, policy=Policy(production_approval=rule)).stages
    assert [s.approval for s in stages] == [None, None, rule, None, None], "asked once, where production begins"


def test_a_bake_below_the_companys_is_refused():
    document = line()
    document["stages"][3]["bake"] = "1h"
    path, sentence, mend = only(document, policy=Policy(minimum_bake=2 * HOUR))
    assert path == "stages[3].bake"
    assert "2h" in sentence
    assert mend == "write `bake: 2h`, or more"


# ---- mistakes -------------------------------------------------------------------------------------------------------


def with_stage(index: int, **more: Any) -> dict[str, Any]:
    document = line()
    document["stages"][index] |= more
    return document


HEARD = {"name": "errors", "source": "alertmanager", "match": {"a": "b"}, "silence_is": "ok"}

MISTAKES = {
    "unknown key": (line(teem="x"), "teem", "no key", "did you mean `team`?"),
    "unknown choice": (line(order="neuest"), "order", "one of `newest`", "did you mean `newest`?"),
    "unknown stage": (with_stage(2, after=["gama"]), "stages[2].after[0]", "no stage `gama`", "`gamma`"),
    "follows itself": (with_stage(2, after="one-box"), "stages[2].after[0]", "follow itself", "before it"),
    "a name for chat": (with_stage(2, name="One Box"), "stages[2].name", "small letters", "write `one-box`"),
    "a word of commands": (with_stage(2, name="everywhere"), "stages[2].name", "word of the commands", "-1"),
    "a number for a name": (with_stage(2, name=7), "stages[2].name", "number 7", "begins with a letter"),
    "no unit": (with_stage(1, bake=15), "stages[1].bake", "mapping", ""),
    "no unit of watch": (with_stage(1, watch=15), "stages[1].watch", "its unit", "`15s`, `15m` or `15h`"),
    "odd duration": (with_stage(1, bake="15 min"), "stages[1].bake.for", "no duration", "`15m`"),
    "endless duration": (with_stage(1, watch="999999d"), "stages[1].watch", "a year", "a year at most"),
    "units for percent": (with_stage(1, batch={"forward": "2 units"}), "stages[1].batch.forward", "percentage", "33"),
    "batch of nothing": (with_stage(1, batch=0), "stages[1].batch.forward", "never moves", "`forward: 33`"),
    "over 100": (with_stage(1, batch={"forward": 133}), "stages[1].batch.forward", "between 0 and 100", "33"),
    "no targets": (with_stage(1, targets=[]), "stages[1].targets", "at least 1", ""),
    "not a list": (line(stages="beta"), "stages", "must be a list", "`- item`"),
    "empty key": (with_stage(1, approval=None), "stages[1].approval", "is empty", "leave the key out"),
    "no channel": (line(channel="checkout"), "channel", "no Slack channel", '`"#checkout"`'),
    "a group of nobody": (line(groups={"prodution": {}}), "groups.prodution", "no stage belongs", "`production`"),
    "a target twice": (with_stage(4, targets=["gamma-host"]), "stages[4].targets[0]", "already", "one stage"),
    "a stage twice": (with_stage(4, name="beta"), "stages[4].name", "already the name of stage 1", "rename"),
    "a stage called as its group": (with_stage(4, name="production"), "stages[4].name", "the group", "rename"),
    "ceiling too low": (with_stage(1, bake={"for": "1h", "ceiling": "5m"}), "stages[1].bake.ceiling", "end of", "4h"),
    "points from nowhere": (
        with_stage(1, bake={"for": "1h", "points": 5}),
        "stages[1].bake.points",
        "no alarm of `gamma`",
        "canary",
    ),
    "points without time": (with_stage(1, bake={"for": "0s", "points": 5}), "stages[1].bake", "no time", "`for: 15m`"),
    "too many points": (
        {**with_stage(1, bake={"for": "5m", "points": 1000}), "alarms": [canary(), HEARD]},
        "stages[1].bake.points",
        "1000 points take 2h46m40s; the ceiling is 20m",
        "fewer points",
    ),
    "alarm of no place": (line(alarms=[canary(scope="wave-9")]), "alarms[0].scope", "`wave-9`", "did you mean `wave-"),
    "alarm that matches nothing": (line(alarms=[HEARD | {"match": {}}]), "alarms[0]", "matches no report", "match:"),
    "alarm nobody can clear": (
        line(alarms=[{"name": "errors", "source": "alertmanager", "match": {"a": "b"}}]),
        "alarms[0]",
        "unknown for ever",
        "heartbeat",
    ),
    "webhook nobody can clear": (
        line(alarms=[{"name": "errors", "source": "webhook", "match": {"a": "b"}}]),
        "alarms[0]",
        "unknown for ever",
        "stale_after",
    ),
    "silence is two things": (line(alarms=[HEARD | {"stale_after": "5m"}]), "alarms[0].stale_after", "at once", "one"),
    "heartbeat and silence": (
        line(alarms=[HEARD | {"heartbeat": {"a": "b"}}]),
        "alarms[0].silence_is",
        "pointless",
        "keep one",
    ),
    "heartbeat of nothing": (
        line(alarms=[HEARD | {"heartbeat": {}}]),
        "alarms[0].heartbeat",
        "needs labels",
        "Watchdog",
    ),
    "settings of an alertmanager": (
        line(alarms=[HEARD | {"with": {"url": "http://127.0.0.1/"}}]),
        "alarms[0].with",
        "no settings",
        "take `with` out",
    ),
    "alarms alike": (line(alarms=[HEARD, HEARD]), "alarms[1].name", "another alarm", "rename"),
    "canary with labels": (line(alarms=[canary(match={"a": "b"})]), "alarms[0].match", "no `match`", "take it out"),
    "canary without address": (line(alarms=[canary(**{"with": {}})]), "alarms[0].with.url", "missing", "url: https"),
    "canary without anything": (
        line(alarms=[{"name": "c", "source": "canary"}]),
        "alarms[0]",
        "nothing to look at",
        "url",
    ),
    "canary of a typo": (
        line(alarms=[canary(**{"with": {"url": "http://127.0.0.1/", "succes_rate": 99}})]),
        "alarms[0].with.succes_rate",
        "no key",
        "did you mean `success_rate`?",
    ),
    "canary in fractions": (
        line(alarms=[canary(**{"with": {"url": "http://127.0.0.1/", "success_rate": 0.99}})]),
        "alarms[0].with.success_rate",
        "next to nothing",
        "`99`",
    ),
    "canary with no status": (
        line(alarms=[canary(**{"with": {"url": "http://127.0.0.1/", "expect_status": "2xx"}})]),
        "alarms[0].with.expect_status",
        "no HTTP status",
        "`200-399`",
    ),
    "canary that can never know": (
        line(alarms=[canary(**{"with": {"url": "http://127.0.0.1/", "every": "1m", "window": "2m"}})]),
        "alarms[0].with",
        "3 looks do not fit into a window of 2m",
        "`window: 3m`",
    ),
    "canary too fast": (
        line(alarms=[canary(**{"with": {"url": "http://127.0.0.1/", "every": "0s"}})]),
        "alarms[0].with",
        "that fast",
        "100ms",
    ),
    "address without scheme": (line(runbook="wiki/checkout"), "runbook", "no web address", "https://"),
    "a password in an address": (line(runbook="https://a:b@wiki/"), "runbook", "no user or password", "variable"),
    "a secret in settings": (
        line(deployer={"use": "processes", "with": {"api_token": "hush"}}),
        "deployer.with",
        "seems to hold a secret",
        "`api_token_env: MY_VARIABLE`",
    ),
    "endless settings": (line(deployer={"use": "x", "with": {"a": "b" * 40_000}}), "deployer.with", "larger", "files"),
    "nobody approves": (with_stage(1, approval={"by": []}), "stages[1].approval.by", "at least 1", ""),
    "tests alike": (
        with_stage(0, tests=[{"name": "smoke", "use": "http"}] * 2),
        "stages[0].tests[1].name",
        "another test",
        "rename",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_place_and_its_mend(mistake: str):
    document, where, what, how = MISTAKES[mistake]
    path, sentence, mend = only(document)
    assert path == where
    assert what in sentence
    assert how in mend


def test_a_secret_is_never_repeated():
    problems = wrong(
        line(deployer={"use": "x", "with": {"password": "sesame", "nested": {"url": "http://a:sesame@b/"}}})
    )
    assert problems
    assert "sesame" not in repr(problems)


def test_stages_that_wait_for_each_other():
    document = line()
    document["stages"][1]["after"] = ["wave-1"]
    path, sentence, mend = only(document)
    assert path == "stages[1].after"
    assert "`gamma`, `one-box`, `wave-1`, `wave-2`" in sentence
    assert "circle" in mend


def test_a_group_that_is_nearly_spelled_right():
    document = line(groups={"production": {}})
    document["stages"][3]["group"] = "prodution"
    assert only(document)[0] == "stages[3].group"


def test_everything_that_is_missing_is_listed():
    problems = wrong({})
    assert [path_text(p.path) for p in problems] == ["service", "team", "channel", "deployer", "stages"]
    assert all(p.mend.startswith(f"add `{p.path[0]}: ") for p in problems)


def test_mistakes_of_shape_do_not_hide_mistakes_of_sense():
    document = line(teem="x", alarms=[{"name": "A B"}])
    document["stages"][2]["after"] = "gama"
    document["stages"][3]["bake"] = {"fr": "1h"}
    assert {path_text(p.path) for p in wrong(document)} == {
        "teem",
        "alarms[0].name",
        "alarms[0].source",
        "stages[2].after[0]",
        "stages[3].bake.for",
        "stages[3].bake.fr",
    }


@pytest.mark.parametrize("document", [None, 1, "x" * 40_000, [], [[]], True, 1.5])
def test_a_document_that_is_no_mapping(document: object):
    path, sentence, _ = only(document)
    assert path == "(the file)"
    assert "mapping" in sentence
    assert len(sentence) < 200


def test_settings_nested_without_end():
    deep: Any = {}
    for _ in range(100_000):
        deep = {"a": deep}
    assert "nested" in only(line() | {"deployer": {"use": "x", "with": deep}})[1]
    assert wrong(line() | {"watch": deep})
    while deep:  # CPython would otherwise free it by recursion
        deep = deep.pop("a", None)


# ---- warnings -------------------------------------------------------------------------------------------------------


def test_production_that_begins_without_a_one_box():
    document = line(stages=[stage("beta", tests=[{"name": "t", "use": "http"}]), wave("wave-1"), wave("wave-2")])
    document["alarms"] = [canary()]
    (warning,) = warned(document)
    assert "`wave-1` is the first to serve customers but no one-box" in warning


def test_a_bake_that_nothing_watches():
    document = line(alarms=[canary(scope="production")])
    assert any("nothing watches `gamma`:" in warning for warning in warned(document))


def test_a_line_without_tests_and_without_production():
    warnings = warned(line(stages=[stage("beta")]))
    assert any("no stage is production" in warning for warning in warnings)
    assert any("no stage has a test" in warning for warning in warnings)


def test_customers_before_any_test():
    warnings = warned(line(stages=[wave("one-box"), wave("wave-1"), stage("after-all")]))
    assert any("nothing is tested before `one-box`" in warning for warning in warnings)
    assert any("`after-all` follows production but is none" in warning for warning in warnings)


def test_a_batch_that_needs_a_deployer_with_spare_room():
    warnings = warned(line(batch={"forward": 100, "healthy": 66}))
    assert any("starts the new beside the old" in warning for warning in warnings)


def test_a_careful_line_has_no_warning():
    document = line(alarms=[canary()])
    document["stages"][0]["tests"] = [{"name": "smoke", "use": "http"}]
    assert warned(document) == []


# ---- values ---------------------------------------------------------------------------------------------------------


def test_a_group_says_whether_it_is_production():
    document = line(groups={"production": {"production": False}}, alarms=[canary()])
    assert not any(s.is_production for s in built(document).stages)
    document = with_stage(1, production=True)
    assert built(document).by_name["gamma"].bake.duration == 12 * HOUR


def test_a_stages_only_target_may_bear_its_name():
    assert built(with_stage(1, targets=["gamma"])).by_name["gamma"].targets[0].name == "gamma"
    assert only(with_stage(1, targets=["gamma", "other"]))[0] == "stages[1].targets[0]"


def test_a_webhook_that_reports_all_the_time_may_give_the_points():
    webhook = {"name": "load", "source": "webhook", "match": {"a": "b"}, "stale_after": "1m", "evidence": True}
    document = with_stage(1, bake={"for": "1m", "points": 10**6}) | {"alarms": [webhook]}
    assert built(document).by_name["gamma"].bake.minimum_points == 10**6


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"success_rate": "99.5 %"}, {"success_rate": 99.5}),
        ({"success_rate": 100}, {"success_rate": 100.0}),
        ({"expect_status": 204}, {"expect_status": "204"}),
        ({"expect_status": [200, 204]}, {"expect_status": "200,204"}),
        ({"latency_p99": "1500ms"}, {"latency_p99": "1s500ms"}),
    ],
)
def test_a_canarys_settings_are_kept_as_one_text_for_one_meaning(settings: dict[str, Any], kept: dict[str, Any]):
    alarm = built(line(alarms=[canary(**{"with": {"url": "http://127.0.0.1/", **settings}})])).alarms[0]
    assert json.loads(alarm.settings) == {"url": "http://127.0.0.1/", **kept}


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"a": float("nan")}, "finite"),
        ({"a": 2**64}, "too large"),
        ({"a": "x\0"}, "broken characters"),
        ({"a": {1: 2}}, "a key must be text, not the number 1"),
        ({"a": b"x"}, "cannot hold a value of the kind bytes"),
        ({"url": "https://hooks.slack.com/services/x"}, "seems to hold a secret"),
        ({"a": ["xoxb-test"]}, "seems to hold a secret"),
    ],
)
def test_settings_that_could_not_be_kept(settings: dict[Any, Any], what: str):
    path, sentence, _ = only(line() | {"deployer": {"use": "x", "with": settings}})
    assert path == "deployer.with"
    assert what in sentence


@pytest.mark.parametrize("rate", [-1, 101, True, "most", [99]])
def test_rates_that_are_none(rate: object):
    settings = {"url": "http://127.0.0.1/", "success_rate": rate}
    assert "percentage" in only(line(alarms=[canary(**{"with": settings})]))[1]


@pytest.mark.parametrize("status", [99, "399-200", [], True, "", None, {}])
def test_statuses_that_are_none(status: object):
    settings = {"url": "http://127.0.0.1/", "expect_status": status}
    assert only(line(alarms=[canary(**{"with": settings})]))[0] == "alarms[0].with.expect_status"


@pytest.mark.parametrize(
    "address", ["ftp://x/", "https://", "https://x:0/", "https://x:99999/", "https://[x/", "https://x/ y"]
)
def test_addresses_that_are_none(address: str):
    assert "no web address" in only(line(runbook=address))[1]


def test_a_line_of_text_is_one_line():
    assert "one line" in only(with_stage(1, targets=[{"name": "a", "zone": "x\ny"}]))[1]
    assert "one line" in only(with_stage(1, targets=[{"name": "a", "zone": " "}]))[1]


def test_what_nothing_can_be_offered_for():
    assert only(with_stage(1, name="!!!"))[2] == "choose a word such as `wave-1`"
    assert only(with_stage(1, name=["a"]))[2].startswith("write a word that begins with a letter")
    assert only(line(order=5))[2] == "write one of them, such as `newest`"
    assert only(line() | {7: "x"})[1] == "a key must be text, not the number 7"
    assert only(line(keep_good="3"))[2] == "write digits only, without quotes"
    assert only(line(service={}))[0] == "service"
    assert only(line(team=""))[0] == "team"


def test_what_the_catalogue_is_told_changes_the_revision_and_nothing_else():
    plain = built(line())
    about = {
        "description": "Takes orders", "tier": 1, "links": {"wiki": "https://wiki.example"},
        "interfaces": {"orders API": "https://api.example"}, "depends_on": ["stock", "stock"],
    }  # fmt: skip
    told = built(line(about=about))
    assert told.about == About(
        description="Takes orders",
        tier=1,
        links=(("wiki", "https://wiki.example"),),
        interfaces=(("orders API", "https://api.example"),),
        depends_on=("stock",),
    )
    assert told.revision != plain.revision
    assert replace(told, about=plain.about, revision="") == replace(plain, revision="")
    assert built(line(about={})).revision == plain.revision
