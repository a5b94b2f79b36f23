"""Alarms: how one stands, what a report turns, and whom it speaks to. Numbers in brackets are rules of releases."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.ports import AlarmReport, AlarmState
from core.releases.alarms import (
    MAX_FIRING,
    MAX_NAME,
    MAX_RESOLVED,
    MAX_TITLE,
    NEVER,
    UNCHANGED,
    Routed,
    Turned,
    alarm_state,
    applied,
    becomes_unknown_at,
    reading_state,
    unknown_from,
)
from core.releases.events import AlarmReported, HeartbeatHeard
from core.releases.pipeline import SERVICE, Alarm, Pipeline, Scope, ScopeKind, Stage, Target
from core.releases.routes import routes_of
from core.releases.state import AlarmReading, PipelineState

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
RED, OK, UNKNOWN = AlarmState.ALARM, AlarmState.OK, AlarmState.UNKNOWN
WATCHDOG = (("alertname", "Watchdog"), ("cluster", "eu"))


def route(report: AlarmReport, pipelines: Iterable[Pipeline], now: datetime) -> tuple[Routed, ...]:
    return routes_of(*pipelines).route(report, now)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def report(
    state: AlarmState, *, heard: float, start: float | None = None, key: str = "a", **more: object
) -> AlarmReported:
    """A report heard `heard` minutes after noon, of an episode that began at `start`."""
    event = AlarmReported(alarm="errors", key=key, alarm_state=state, observed_at=at(heard))
    return replace(event, started_at=None if start is None else at(start), **more)  # type: ignore[arg-type]


def told(*events: AlarmReported) -> tuple[AlarmReading, Turned]:
    """The reading after these reports in this order, and what the last of them turned."""
    reading: AlarmReading | None = None
    turned = UNCHANGED
    for event in events:
        reading, turned = applied(reading, event, at(1000))
    assert reading is not None
    return reading, turned


def a_pipeline(*alarms: Alarm, called: str = "checkout", service: str = "checkout") -> Pipeline:
    return Pipeline(
        id=called,
        service=service,
        team="shop",
        channel="#shop",
        revision="r1",
        stages=(
            Stage(name="beta", targets=(Target(name="beta-1"),)),
            Stage(name="wave-1", group="production", targets=(Target(name="eu-1"), Target(name="eu-2"))),
        ),
        alarms=alarms,
    )


def a_state(alarm: Alarm, reading: AlarmReading | None = None, heartbeat: datetime | None = None) -> PipelineState:
    return PipelineState(
        id="checkout",
        definition=a_pipeline(alarm),
        alarms=() if reading is None else (reading,),
        heartbeats=() if heartbeat is None else ((alarm.name, heartbeat), ("another", at(900))),
    )


PLAIN = Alarm(name="errors", source="alertmanager")
SILENT = replace(PLAIN, silence_is_ok=True)
WATCHED = replace(PLAIN, heartbeat=WATCHDOG, stale_after=timedelta(minutes=3))
CANARY = replace(PLAIN, source="canary")


# ---- how an alarm stands [10] ---------------------------------------------------------------------------------------


def test_an_alarm_is_unknown_until_it_is_heard_of_10():
    state = a_state(PLAIN)
    assert alarm_state(state, PLAIN, NOON) is UNKNOWN
    assert unknown_from(state, PLAIN, NOON) == NEVER
    assert becomes_unknown_at(state, PLAIN, NOON) is None

    reading, _ = told(report(OK, heard=0))
    state = a_state(PLAIN, reading)
    assert alarm_state(state, PLAIN, at(999)) is OK
    assert unknown_from(state, PLAIN, at(999)) is None
    assert becomes_unknown_at(state, PLAIN, at(999)) is None, "nothing was said of how long it holds"


def test_silence_is_ok_where_the_definition_says_so_10():
    state = a_state(SILENT)
    assert alarm_state(state, SILENT, NOON) is OK
    assert becomes_unknown_at(state, SILENT, NOON) is None

    said_so, _ = told(report(UNKNOWN, heard=4))
    assert alarm_state(a_state(SILENT, said_so), SILENT, at(5)) is UNKNOWN, "its source says that it cannot tell"
    assert unknown_from(a_state(SILENT, said_so), SILENT, at(5)) == at(4)


def test_what_fires_is_red_until_it_is_resolved_however_old_the_news():
    firing, _ = told(report(RED, heard=0, stale_after=timedelta(minutes=1)))
    state = a_state(CANARY, firing)
    assert alarm_state(state, CANARY, at(500)) is RED
    assert unknown_from(state, CANARY, at(500)) is None
    assert becomes_unknown_at(state, CANARY, at(0)) is None
    assert reading_state(firing, at(500)) is RED


def test_a_red_alarm_whose_source_falls_silent_stays_red():
    reading, turned = told(report(RED, heard=0, start=0), report(UNKNOWN, heard=1))
    assert turned == UNCHANGED
    assert alarm_state(a_state(PLAIN, reading), PLAIN, at(2)) is RED

    reading, turned = told(report(RED, heard=0, start=0), report(UNKNOWN, heard=1), report(OK, heard=2, start=0))
    assert turned == Turned(to_ok=True)
    assert alarm_state(a_state(PLAIN, reading), PLAIN, at(2)) is OK


def test_a_reading_that_is_too_old_is_unknown_to_the_second_10():
    reading, _ = told(report(OK, heard=10, stale_after=timedelta(minutes=2)))
    state = a_state(CANARY, reading)
    just_before, then = at(12) - timedelta(microseconds=1), at(12)

    assert alarm_state(state, CANARY, just_before) is OK
    assert becomes_unknown_at(state, CANARY, just_before) == then
    assert reading_state(reading, just_before) is OK

    assert alarm_state(state, CANARY, then) is UNKNOWN
    assert unknown_from(state, CANARY, at(60)) == then
    assert becomes_unknown_at(state, CANARY, then) is None
    assert reading_state(reading, then) is UNKNOWN


def test_the_definition_says_better_than_the_source_how_long_a_reading_holds():
    reading, _ = told(report(OK, heard=10, stale_after=timedelta(minutes=2)))
    patient = replace(CANARY, stale_after=timedelta(minutes=7))
    assert becomes_unknown_at(a_state(patient, reading), patient, at(11)) == at(17)


def test_a_heartbeat_makes_silence_ok_for_a_while_10():
    state = a_state(WATCHED)
    assert alarm_state(state, WATCHED, NOON) is UNKNOWN
    assert unknown_from(state, WATCHED, NOON) == NEVER

    state = a_state(WATCHED, heartbeat=at(5))
    assert alarm_state(state, WATCHED, at(7)) is OK
    assert becomes_unknown_at(state, WATCHED, at(7)) == at(8)
    assert alarm_state(state, WATCHED, at(8)) is UNKNOWN
    assert unknown_from(state, WATCHED, at(9)) == at(8)


def test_a_heartbeat_vouches_for_an_old_resolved_but_never_hides_red():
    resolved, _ = told(report(RED, heard=0, start=0), report(OK, heard=1, start=0))
    assert alarm_state(a_state(WATCHED, resolved, at(100)), WATCHED, at(101)) is OK
    assert alarm_state(a_state(WATCHED, resolved, at(100)), WATCHED, at(103)) is UNKNOWN

    firing, _ = told(report(RED, heard=0, start=0))
    assert alarm_state(a_state(WATCHED, firing, at(100)), WATCHED, at(101)) is RED
    assert alarm_state(a_state(WATCHED, firing), WATCHED, at(101)) is RED


def test_without_a_limit_of_its_own_a_heartbeat_holds_ten_minutes():
    alarm = replace(WATCHED, stale_after=None)
    assert becomes_unknown_at(a_state(alarm, heartbeat=NOON), alarm, NOON) == at(10)


def test_a_watchdog_that_ended_makes_unknown_at_once_until_the_next_heartbeat():
    ended, _ = told(report(UNKNOWN, heard=10))
    assert alarm_state(a_state(WATCHED, ended, at(9)), WATCHED, at(10)) is UNKNOWN
    assert unknown_from(a_state(WATCHED, ended, at(9)), WATCHED, at(10)) == at(10)
    assert unknown_from(a_state(WATCHED, ended), WATCHED, at(10)) == at(10)
    assert alarm_state(a_state(WATCHED, ended, at(10)), WATCHED, at(10)) is UNKNOWN, "in one breath with its end"
    assert alarm_state(a_state(WATCHED, ended, at(11)), WATCHED, at(12)) is OK


def test_an_alarm_nobody_defined_is_what_its_source_said():
    assert reading_state(told(report(OK, heard=0))[0], at(9999)) is OK
    assert reading_state(told(report(UNKNOWN, heard=0))[0], at(1)) is UNKNOWN


# ---- what a report turns [8, 9] -------------------------------------------------------------------------------------


def test_an_alert_turns_the_alarm_once_and_its_end_turns_it_back():
    assert told(report(RED, heard=1, start=0))[1] == Turned(to_alarm=True)
    assert told(report(RED, heard=1, start=0), report(RED, heard=2, start=0))[1] == UNCHANGED
    assert told(report(RED, heard=1, start=0), report(OK, heard=2, start=0))[1] == Turned(to_ok=True)
    again = told(report(RED, heard=1, start=0), report(OK, heard=2, start=0), report(OK, heard=3, start=0))
    assert again[1] == UNCHANGED


def test_an_alarm_is_red_while_any_of_its_alerts_fires():
    two = (report(RED, heard=1, start=0), report(RED, heard=2, start=1, key="b"))
    assert told(*two)[1] == UNCHANGED, "it was red already"
    first_over, turned = told(*two, report(OK, heard=3, start=0))
    assert turned == UNCHANGED
    assert first_over.firing == (("b", at(1)),)
    assert told(*two, report(OK, heard=3, start=0), report(OK, heard=4, start=1, key="b"))[1] == Turned(to_ok=True)


def test_a_late_repeat_of_an_episode_that_is_over_does_not_fire_again():
    over = (report(RED, heard=1, start=0), report(OK, heard=2, start=0))
    reading, turned = told(*over, report(RED, heard=9, start=0))
    assert turned == UNCHANGED
    assert reading == told(*over)[0], "late news says nothing of now, so it is not even fresher"


def test_the_next_episode_of_the_same_alert_fires_again():
    over = (report(RED, heard=1, start=0), report(OK, heard=2, start=0))
    reading, turned = told(*over, report(RED, heard=9, start=8))
    assert turned == Turned(to_alarm=True)
    assert reading.firing == (("a", at(8)),)
    assert reading.since == at(9)


def test_red_between_two_looks_counts_9():
    quiet = (report(OK, heard=0),)
    reading, turned = told(*quiet, report(OK, heard=5, start=3))
    assert turned == Turned(to_alarm=True)
    assert reading_state(reading, at(5)) is OK
    assert told(*quiet, report(OK, heard=5, start=3), report(OK, heard=6, start=3))[1] == UNCHANGED, "once"
    assert told(report(OK, heard=5, start=3))[1] == Turned(to_alarm=True), "also as the first that is ever heard"


def test_more_episodes_than_a_few_are_told_apart():
    reports = [
        report(state, heard=n + i / 2, start=n, key=f"pod-{n}") for n in range(20) for i, state in ((0, RED), (1, OK))
    ]
    for late in reports[::2]:
        assert told(*reports, late)[1] == UNCHANGED


def test_a_repeat_of_what_was_forgotten_fires_rather_than_being_missed():
    many = [report(OK, heard=100 + n, start=n, key=f"pod-{n}") for n in range(MAX_RESOLVED + 1)]
    assert told(*many, report(RED, heard=300, start=0, key="pod-0"))[1] == Turned(to_alarm=True)


def test_an_end_of_long_ago_turns_nothing_even_when_it_was_forgotten():
    many = [report(OK, heard=100 + n, start=n, key=f"pod-{n}") for n in range(MAX_RESOLVED + 3)]
    reading, turned = told(*many, report(OK, heard=200, start=0, key="pod-0"))
    assert turned == UNCHANGED
    assert len(reading.resolved) == MAX_RESOLVED
    assert "pod-0" not in dict(reading.resolved)
    assert reading.resolved[-1] == (f"pod-{MAX_RESOLVED + 2}", at(MAX_RESOLVED + 2)), "newest last"


def test_a_newer_episode_means_that_the_alarm_was_ok_in_between_9():
    reading, turned = told(report(RED, heard=1, start=0), report(RED, heard=9, start=8))
    assert turned == Turned(to_alarm=True, to_ok=True)
    assert reading.firing == (("a", at(8)),)

    beside_another = (report(RED, heard=1, start=0), report(RED, heard=2, start=0, key="b"))
    assert told(*beside_another, report(RED, heard=9, start=8))[1] == UNCHANGED, "the other kept it red"


def test_the_end_of_an_episode_that_was_never_heard_of_ends_the_older_one_too():
    reading, turned = told(report(RED, heard=1, start=0), report(OK, heard=9, start=8))
    assert turned == Turned(to_alarm=True, to_ok=True)
    assert reading.firing == ()


def test_the_late_end_of_an_older_episode_leaves_the_newer_one_red():
    reading, turned = told(report(RED, heard=9, start=8), report(OK, heard=10, start=0))
    assert turned == UNCHANGED
    assert reading_state(reading, at(10)) is RED
    assert told(report(RED, heard=9, start=8), report(RED, heard=10, start=0))[0].firing == (("a", at(8)),)


def test_an_end_after_the_known_start_ends_it_though_the_start_was_set_back():
    red, red_earlier = report(RED, heard=6, start=5), report(RED, heard=7, start=0)
    over = report(OK, heard=10, start=0, ended_at=at(9))
    reading, turned = told(red, red_earlier, over)
    assert turned == Turned(to_ok=True)
    assert reading_state(reading, at(10)) is OK
    assert told(red, red_earlier, over, red)[1] == UNCHANGED, "late repeats fire nothing, however they say it began"
    assert told(red, red_earlier, over, red_earlier)[1] == UNCHANGED


def test_the_end_of_an_older_episode_is_told_apart_by_when_it_was():
    older = report(OK, heard=10, start=0, ended_at=at(4))
    assert told(report(RED, heard=6, start=5), older)[0].firing == (("a", at(5)),)


def test_without_starts_messages_count_as_they_come():
    assert told(report(RED, heard=1))[1] == Turned(to_alarm=True)
    assert told(report(RED, heard=1), report(RED, heard=2))[1] == UNCHANGED
    assert told(report(RED, heard=1), report(OK, heard=2))[1] == Turned(to_ok=True)
    assert told(report(OK, heard=1))[1] == UNCHANGED
    assert told(report(RED, heard=1), report(OK, heard=2), report(RED, heard=3))[1] == Turned(to_alarm=True)
    assert told(report(RED, heard=1, start=0), report(OK, heard=2))[1] == Turned(to_ok=True)


def test_an_alert_that_began_before_the_last_ok_without_a_start_still_fires():
    turned = told(report(OK, heard=10), report(RED, heard=11, start=9))[1]
    assert turned == Turned(to_alarm=True), "alert rules wait before they fire"


def test_alerts_beyond_the_limit_are_left_out_without_turning_anything():
    storm = [report(RED, heard=1, start=0, key=f"pod-{n}") for n in range(MAX_FIRING + 1)]
    reading, turned = told(*storm)
    assert turned == UNCHANGED
    assert len(reading.firing) == MAX_FIRING


def test_a_clock_ahead_of_ours_does_not_keep_a_reading_fresh():
    reading, _ = applied(None, report(OK, heard=600, stale_after=timedelta(minutes=1)), NOON)
    assert reading.observed_at == NOON
    assert reading_state(reading, at(1)) is UNKNOWN


def test_late_news_makes_a_reading_neither_fresher_nor_known():
    unknown = (report(OK, heard=1), report(UNKNOWN, heard=10, stale_after=timedelta(minutes=3)))
    reading, _ = told(*unknown, report(OK, heard=9, title="late"))
    assert (reading.is_unknown, reading.observed_at, reading.since) == (True, at(10), at(10))
    assert reading.stale_after == timedelta(minutes=3)
    assert reading.title == ""


def test_words_are_those_of_what_fires():
    red = report(RED, heard=1, start=0, title="5 % errors", url="https://g.test", runbook="https://r.test")
    other_over = report(OK, heard=3, start=1, key="b", title="pod b is fine", url="https://b.test")
    reading, _ = told(red, report(RED, heard=2, start=1, key="b"), other_over)
    assert (reading.title, reading.url, reading.runbook) == ("5 % errors", "https://g.test", "https://r.test")
    reading, _ = told(red, report(OK, heard=2, start=0, title="errors are over"))
    assert (reading.title, reading.url) == ("errors are over", "https://g.test")


def test_a_reading_follows_the_scope_of_the_definition():
    stage = Scope(ScopeKind.STAGE, "beta")
    assert told(report(OK, heard=1), report(OK, heard=2, scope=stage))[0].scope == stage


def history(keys: int, episodes: int, seed: int) -> list[AlarmReported]:
    """What a source says of some alerts that fire and end several times: repeats, and the last may still fire."""
    chance = random.Random(seed)
    messages: list[AlarmReported] = []
    for key in range(keys):
        minute = chance.random()
        for episode in range(episodes):
            start = minute = minute + 1 + chance.random()
            for _ in range(chance.randint(1, 3)):
                minute += 0.1 + chance.random() / 10
                messages.append(report(RED, heard=minute, start=start, key=f"k{key}"))
            if episode == episodes - 1 and chance.random() < 0.5:
                break
            ended = at(minute + 0.05)
            for _ in range(chance.randint(1, 2)):
                minute += 0.1 + chance.random() / 10
                messages.append(
                    report(OK, heard=minute, start=start, key=f"k{key}", ended_at=chance.choice([None, ended]))
                )
    if chance.random() < 0.3:
        messages.append(report(UNKNOWN, heard=chance.random() * 20))
    return sorted(messages, key=lambda message: message.observed_at)


@settings(deadline=None)
@given(st.integers(1, 8), st.integers(1, 4), st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_any_order_and_repetition_of_one_history_ends_in_the_same_reading(keys, episodes, seed, chance):
    messages = history(keys, episodes, seed)
    in_order, _ = told(*messages)
    shuffled = messages + chance.choices(messages, k=len(messages))
    chance.shuffle(shuffled)
    other, _ = told(*shuffled)

    def known(reading: AlarmReading) -> tuple[object, ...]:
        return reading.firing, reading.resolved, reading.is_unknown, reading.observed_at, reading.stale_after

    assert known(other) == known(in_order)


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 10_000))
def test_what_is_turned_is_what_the_states_say(keys, episodes, seed):
    reading: AlarmReading | None = None
    was_red = False
    for message in history(keys, episodes, seed):
        reading, turned = applied(reading, message, at(1000))
        is_red = bool(reading.firing)
        assert turned == Turned(to_alarm=is_red and not was_red, to_ok=was_red and not is_red)
        was_red = is_red


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([RED, OK, UNKNOWN]), st.integers(0, 30), st.integers(0, 9)), max_size=80))
def test_a_reading_stays_small_and_time_never_runs_back(messages):
    reading: AlarmReading | None = None
    for state, start, key in messages:
        before = reading
        reading, _ = applied(reading, report(state, heard=start, start=start, key=str(key)), at(1000))
        assert len(reading.resolved) <= MAX_RESOLVED
        assert before is None or (reading.observed_at >= before.observed_at and reading.since >= before.since)
        assert reading.firing == tuple(sorted(reading.firing, key=lambda episode: (episode[1], episode[0])))


# ---- whom a report speaks to [8] ------------------------------------------------------------------------------------


def said(
    state: AlarmState = RED, *, source: str = "alertmanager", title: str = "Errors", text: str = "", **labels: str
):
    return AlarmReport(
        source=source, key="f1", state=state, labels=labels, title=title, text=text, started_at=at(-3), url=""
    )


ERRORS = Alarm(
    name="errors",
    source="alertmanager",
    scope=Scope(ScopeKind.GROUP, "production"),
    match=(("alertname", "HighErrors"), ("env", "production")),
    dashboard="https://dash.test",
    runbook="https://run.test",
)


def only(routed: tuple[Routed, ...]) -> AlarmReported:
    assert len(routed) == 1
    assert isinstance(routed[0].event, AlarmReported)
    return routed[0].event


def test_a_report_with_all_the_labels_is_the_defined_alarm():
    event = only(route(said(alertname="HighErrors", env="production", pod="p1"), [a_pipeline(ERRORS)], NOON))
    assert event == AlarmReported(
        alarm="errors",
        key="f1",
        alarm_state=RED,
        observed_at=NOON,
        scope=ERRORS.scope,
        started_at=at(-3),
        title="Errors",
        url="https://dash.test",
        runbook="https://run.test",
    )


@pytest.mark.parametrize(
    "labels", [{"alertname": "HighErrors"}, {"alertname": "HighErrors", "env": "beta"}, {"env": "production"}, {}]
)
def test_a_report_that_lacks_a_label_is_not_the_defined_alarm(labels):
    assert route(said(RED, **labels), [a_pipeline(ERRORS)], NOON) == ()


def test_another_source_does_not_speak_for_a_defined_alarm():
    assert route(said(source="webhook", alertname="HighErrors", env="production"), [a_pipeline(ERRORS)], NOON) == ()


def test_one_report_may_speak_to_several_pipelines_and_alarms():
    twin = replace(ERRORS, name="errors too")
    routed = route(
        said(alertname="HighErrors", env="production"),
        [a_pipeline(ERRORS, twin), a_pipeline(ERRORS, called="cart")],
        NOON,
    )
    assert [(r.pipeline_id, r.event.alarm) for r in routed] == [
        ("cart", "errors"),
        ("checkout", "errors"),
        ("checkout", "errors too"),
    ]


def test_the_watchdog_is_a_heartbeat_and_its_end_is_blindness_10():
    labels = {"alertname": "Watchdog", "cluster": "eu", "service": "checkout"}
    routed = route(said(RED, **labels), [a_pipeline(WATCHED)], NOON)
    assert routed == (Routed("checkout", HeartbeatHeard(alarm="errors", at=NOON)),)

    event = only(route(said(OK, title="Watchdog", **labels), [a_pipeline(WATCHED)], NOON))
    assert (event.alarm, event.alarm_state) == ("errors", UNKNOWN)
    assert event.title == "Watchdog is not heard of any more"
    assert route(said(alertname="Watchdog", cluster="us"), [a_pipeline(WATCHED)], NOON) == ()


def test_an_alarm_without_labels_is_meant_by_its_name_in_its_own_pipeline():
    plain = replace(PLAIN, source="webhook")
    pipelines = [a_pipeline(plain), a_pipeline(plain, called="cart", service="cart")]
    by_alarm = route(said(source="webhook", alarm="errors", service="cart"), pipelines, NOON)
    assert [(r.pipeline_id, r.event.alarm) for r in by_alarm] == [("cart", "errors")]
    by_alertname = route(said(source="webhook", alertname="errors", pipeline="checkout"), pipelines, NOON)
    assert [(r.pipeline_id, r.event.alarm) for r in by_alertname] == [("checkout", "errors")]
    assert route(said(source="webhook", alarm="errors"), pipelines, NOON) == (), "of which service?"


def test_a_report_that_names_one_of_several_pipelines_does_not_mean_the_others():
    plain = replace(PLAIN, source="webhook")
    pipelines = [a_pipeline(plain, called="checkout/app"), a_pipeline(plain, called="checkout/config")]
    routed = route(said(source="webhook", alarm="errors", service="checkout", pipeline="config"), pipelines, NOON)
    assert [r.pipeline_id for r in routed] == ["checkout/config"]
    routed = route(said(source="webhook", alarm="errors", service="checkout", pipeline="nightly"), pipelines, NOON)
    assert [r.pipeline_id for r in routed] == ["checkout/app", "checkout/config"], "some other tool's pipeline"


@pytest.mark.parametrize(
    ("labels", "scope", "name"),
    [
        ({}, SERVICE, "Errors"),
        ({"stage": "beta"}, Scope(ScopeKind.STAGE, "beta"), "Errors (stage beta)"),
        ({"target": "eu-2", "stage": "wave-1"}, Scope(ScopeKind.TARGET, "eu-2"), "Errors (target eu-2)"),
        ({"target": "https://x.test", "stage": "beta"}, Scope(ScopeKind.STAGE, "beta"), "Errors (stage beta)"),
        ({"group": "production"}, Scope(ScopeKind.GROUP, "production"), "Errors (group production)"),
        ({"stage": "production"}, Scope(ScopeKind.GROUP, "production"), "Errors (group production)"),
        ({"stage": "elsewhere"}, SERVICE, "Errors"),
    ],
)
def test_a_report_that_names_a_service_but_no_alarm_is_an_alarm_nobody_defined_8(labels: dict[str, str], scope, name):
    event = only(route(said(RED, service="checkout", **labels), [a_pipeline(ERRORS)], NOON))
    assert (event.alarm, event.scope, event.alarm_state) == (name, scope, RED)


def test_an_alarm_nobody_defined_does_not_take_the_name_of_a_defined_one():
    event = only(route(said(title="errors", service="checkout"), [a_pipeline(ERRORS)], NOON))
    assert event.alarm == "errors from alertmanager"
    event = only(route(said(title="", service="checkout"), [a_pipeline()], NOON))
    assert event.alarm == "unnamed alarm"
    event = only(route(said(title="x" * 500, service="checkout"), [a_pipeline()], NOON))
    assert (len(event.alarm), len(event.title)) == (MAX_NAME, MAX_TITLE)


def test_the_title_carries_what_people_should_read_first():
    event = only(route(said(service="checkout", text="8 % of checkouts fail\nmore"), [a_pipeline()], NOON))
    assert event.title == "Errors: 8 % of checkouts fail"
    assert only(route(said(service="checkout", text="Errors"), [a_pipeline()], NOON)).title == "Errors"


def test_a_report_that_matches_nothing_speaks_to_nobody_8():
    assert route(said(alertname="Backups", service="warehouse"), [a_pipeline(ERRORS)], NOON) == ()
    assert route(said(), [], NOON) == ()


def test_an_alarm_of_another_source_is_not_meant_even_by_a_report_that_names_its_service_and_fits_8():
    fits = said(title="errors", service="checkout", alertname="HighErrors", env="production")
    assert only(route(fits, [a_pipeline(ERRORS)], NOON)).alarm == "errors"
    event = only(route(fits, [a_pipeline(replace(ERRORS, source="canary"))], NOON))
    assert (event.alarm, event.scope) == ("errors from alertmanager", SERVICE)
