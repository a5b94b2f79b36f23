"""Alarms of anything that can send JSON; what is wrong is said with its place and its mend."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from core.errors import PermanentError
from core.ports import AlarmReport, AlarmState
from integrations.webhook import MAX_REPORTS, Webhook


def parsed(sent: object) -> list[AlarmReport]:
    return list(Webhook().parse({}, json.dumps(sent).encode()))


def refusal(sent: object) -> str:
    with pytest.raises(PermanentError) as caught:
        parsed(sent)
    return caught.value.message


def test_the_least_that_can_be_said():
    assert parsed({"alarm": "errors", "state": "ok"}) == [
        AlarmReport(
            source="webhook",
            key="errors",
            state=AlarmState.OK,
            labels={"alarm": "errors"},
            title="errors",
        )
    ]


def test_all_that_can_be_said():
    sent = {
        "alarm": "errors",
        "state": "alarm",
        "service": "checkout",
        "stage": "wave-1",
        "labels": {"pod": "p1", "service": "other"},
        "key": "k1",
        "started_at": "2026-03-02T13:00:00+01:00",
        "title": "8 % of\ncheckouts fail",
        "text": "since noon",
        "url": "https://graphs.example.test",
        "runbook": "https://runbooks.example.test",
    }
    assert parsed(sent) == [
        AlarmReport(
            source="webhook",
            key="k1",
            state=AlarmState.ALARM,
            labels={"pod": "p1", "service": "checkout", "stage": "wave-1", "alarm": "errors"},
            title="8 % of checkouts fail",
            text="since noon",
            url="https://graphs.example.test",
            runbook="https://runbooks.example.test",
            started_at=datetime(2026, 3, 2, 12, tzinfo=UTC),
        )
    ]


def test_a_list_is_several_reports_and_parts_of_the_pipeline_are_told_apart():
    one, two = parsed(
        [
            {"alarm": "errors", "state": "alarm", "service": "checkout", "stage": "wave-1"},
            {"alarm": "errors", "state": "unknown", "service": "checkout", "stage": "wave-2"},
        ]
    )
    assert (one.key, two.key) == ("errors/checkout/wave-1", "errors/checkout/wave-2")
    assert two.state is AlarmState.UNKNOWN
    assert parsed([]) == []


def test_a_bad_link_costs_the_link_and_not_the_alarm():
    (report,) = parsed({"alarm": "errors", "state": "alarm", "url": "javascript:alert(1)", "runbook": "see the wiki"})
    assert (report.url, report.runbook) == ("", "")


def test_hostile_text_is_cleaned():
    (report,) = parsed({"alarm": "er\x00rors", "state": "alarm", "title": "\u202etxt", "labels": {"a\x1b": "b\u2066"}})
    assert report.labels == {"a": "b", "alarm": "errors"}
    assert report.title == "txt"


@pytest.mark.parametrize(
    ("wrong", "sentences"),
    [
        ({"state": None}, ["`state` is missing"]),
        ({"state": "firing"}, ["state: ", "`ok`", "`alarm`", "`unknown`"]),
        ({"alarm": ""}, ["alarm: this must not be empty", "name the alarm as the pipeline's definition does"]),
        ({"alarm": 7}, ["alarm: ", "text"]),
        ({"stagge": "beta"}, ["stagge", "did you mean `stage`?"]),
        ({"labels": {"pod": 7}}, ["labels.pod: ", "in quotes"]),
        ({"labels": "pod=7"}, ["labels: ", "mapping"]),
        ({"started_at": "noon"}, ["started_at: this is no instant", "2026-03-02T12:00:00Z"]),
        ({"started_at": "2026-03-02T12:00:00"}, ["started_at: this instant has no time zone", "Z"]),
        ({"started_at": 1700000000}, ["started_at: an instant must be text"]),
        ({"started_at": "9999-12-31T23:59:59-08:00"}, ["started_at: this instant is out of reach"]),
    ],
)
def test_what_is_wrong_is_said_with_its_field_and_mend(wrong: dict[str, Any], sentences):
    said = refusal({"alarm": "errors", "state": "alarm", **wrong})
    for sentence in sentences:
        assert sentence in said


def test_what_is_missing_is_named_with_an_example():
    said = refusal({"alarm": "errors"})
    assert "`state` is missing" in said
    assert "state: alarm" in said


def test_in_a_list_the_place_is_named_and_nothing_of_it_is_taken():
    said = refusal([{"alarm": "a", "state": "ok"}, {"alarm": "b", "state": "red"}])
    assert said.startswith("[1].state: ")


def test_no_instant_is_no_start():
    assert parsed({"alarm": "errors", "state": "ok", "started_at": None})[0].started_at is None


@pytest.mark.parametrize("sent", [None, 7, "errors", [["errors"]], [None]])
def test_what_is_no_report_is_refused(sent):
    assert "mapping" in refusal(sent)


def test_a_flood_of_problems_is_counted_and_one_of_reports_refused():
    assert "; and 15 more." in refusal([{}] * 10)
    assert "at most 1000" in refusal([{"alarm": "a", "state": "ok"}] * (MAX_REPORTS + 1))
