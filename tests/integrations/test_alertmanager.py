"""What Alertmanager says, alert by alert, whatever odd shape it comes in."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from core.errors import PermanentError
from core.ports import AlarmReport, AlarmState
from integrations.alertmanager import Alertmanager

YEAR_ONE = "0001-01-01T00:00:00Z"


def alert(status: object = "firing", **more: Any) -> dict[str, Any]:
    return {
        "status": status,
        "labels": {"alertname": "HighErrors", "service": "checkout"},
        "annotations": {"summary": "8 % of checkouts fail"},
        "startsAt": "2026-03-02T12:00:00.5Z",
        "endsAt": YEAR_ONE,
        "generatorURL": "http://prom.test/graph?g0.expr=up",
        "fingerprint": "b101b9f3beb3192e",
        **more,
    }


def message(*alerts: object, **more: Any) -> bytes:
    return json.dumps(
        {"version": "4", "status": "firing", "alerts": list(alerts), "truncatedAlerts": 0, **more}
    ).encode()


def parsed(body: bytes) -> list[AlarmReport]:
    return list(Alertmanager().parse({"Content-Type": "application/json"}, body))


def test_an_alert_that_fires():
    assert parsed(message(alert())) == [
        AlarmReport(
            source="alertmanager",
            key="b101b9f3beb3192e",
            state=AlarmState.ALARM,
            labels={"alertname": "HighErrors", "service": "checkout"},
            title="HighErrors",
            text="8 % of checkouts fail",
            url="http://prom.test/graph?g0.expr=up",
            runbook="",
            started_at=datetime(2026, 3, 2, 12, 0, 0, 500_000, UTC),
            ended_at=None,
        )
    ]


def test_the_state_is_that_of_each_alert_and_not_of_the_message():
    over = alert("resolved", fingerprint="22", endsAt="2026-03-02T12:05:00Z")
    for top in ("firing", "resolved", "nonsense", None):
        first, second = parsed(message(alert(), over, status=top))
        assert (first.state, second.state) == (AlarmState.ALARM, AlarmState.OK)
        assert second.ended_at == datetime(2026, 3, 2, 12, 5, tzinfo=UTC)


@pytest.mark.parametrize("status", [None, "suppressed", 7, ["firing"]])
def test_a_status_nobody_knows_is_unknown(status):
    assert parsed(message(alert(status)))[0].state is AlarmState.UNKNOWN


def test_an_alert_without_a_name_is_called_the_same_in_every_message():
    labels = {"job": "checkout", "instance": "h1", "zone": "a", "rack": "7"}
    first = parsed(message(alert(labels=labels, annotations={"summary": "5 %"})))[0]
    later = parsed(message(alert("resolved", labels=dict(reversed(labels.items())), annotations={"summary": "0 %"})))[0]
    assert first.title == later.title == "alert without a name (instance=h1, job=checkout, rack=7)"
    assert parsed(message(alert(labels={})))[0].title == "alert without a name (no labels)"


def test_what_is_missing_is_empty():
    report = parsed(message({"status": "firing", "annotations": {}, "generatorURL": ""}))[0]
    assert (report.text, report.url, report.runbook, report.started_at) == ("", "", "", None)
    assert len(report.key) == 16


def test_nulls_everywhere_are_survived():
    body = json.dumps(
        {
            "version": "4",
            "receiver": None,
            "truncatedAlerts": None,
            "alerts": [
                None,
                {"status": None, "labels": None, "annotations": None, "startsAt": None, "fingerprint": None},
            ],
        }
    ).encode()
    (report,) = parsed(body)
    assert report.state is AlarmState.UNKNOWN
    assert report.labels == {}


def test_links_come_from_the_annotations_and_only_web_links_are_kept():
    annotations = {
        "summary": "s",
        "dashboard": "https://graphs.example.test/d/abc",
        "runbook_url": "https://runbooks.example.test/x",
    }
    report = parsed(message(alert(annotations=annotations)))[0]
    assert (report.url, report.runbook) == (annotations["dashboard"], annotations["runbook_url"])

    hostile = {
        "dashboard": "javascript:alert(1)",
        "runbook_url": "file:///etc/passwd",
        "runbook": "https://ok.example.test",
    }
    report = parsed(message(alert(annotations=hostile, generatorURL="javascript:alert(2)")))[0]
    assert (report.url, report.runbook) == ("", "https://ok.example.test")


def test_hostile_text_is_cleaned_and_cut():
    report = parsed(
        message(
            alert(
                labels={"alertname": "x\x00y\u202e", "pod": "a\x1b[31mb"},
                annotations={"summary": "<!channel> \u202edne", "description": "A" * 9000},
            )
        )
    )[0]
    assert report.title == "xy"
    assert report.labels["pod"] == "a[31mb"
    assert report.text.startswith("<!channel> dne\nAAA"), "mark-up is escaped where it is shown, not here"
    assert len(report.text) == 1000


def test_words_said_twice_are_said_once():
    assert parsed(message(alert(annotations={"summary": "s", "description": "s", "message": "m"})))[0].text == "s\nm"


def test_alerts_that_were_left_out_are_spoken_of():
    report = parsed(message(alert(), alert(), alert(), truncatedAlerts=4))[0]
    assert report.text.endswith("Alertmanager left out 4 of 7 alerts; raise `max_alerts` to see them all.")
    assert "left out" not in parsed(message(alert(), truncatedAlerts=True))[0].text


def test_version_3_is_understood_and_told_apart_by_its_labels():
    old = {
        "version": "3",
        "groupKey": 5615590933959184469,
        "status": "firing",
        "alerts": [
            {
                "status": "firing",
                "labels": {"alertname": "failedConnect", "instance": host},
                "annotations": {"description": f"Connect to {host} fails"},
                "startsAt": "2016-08-01T13:27:08.008+03:00",
                "endsAt": YEAR_ONE,
            }
            for host in ("h1", "h2", "h1")
        ],
    }
    first, second, again = parsed(json.dumps(old).encode())
    assert first.key == again.key != second.key
    assert first.started_at == datetime(2016, 8, 1, 10, 27, 8, 8000, UTC)
    assert first.ended_at is None


def test_fields_of_tomorrow_do_no_harm():
    body = message(alert(silencedBy=[{"id": 1}], status2="x"), receiverIntegration="webhook", notification_reason="new")
    assert parsed(body)[0].state is AlarmState.ALARM


def test_an_empty_message_says_nothing():
    assert parsed(message()) == []


@pytest.mark.parametrize("body", [b"[]", b"null", b"7", b'{"version": "4"}', b'{"alerts": {}}', b'[{"labels": {}}]'])
def test_what_is_no_message_is_refused_with_the_mend(body):
    with pytest.raises(PermanentError, match=r"no list `alerts`.*Point a `webhook_configs` receiver here"):
        parsed(body)


def test_a_message_of_which_nothing_is_understood_is_refused():
    with pytest.raises(PermanentError, match="None of the alerts"):
        parsed(message(None, 7))


def test_a_group_of_250_alerts_with_long_texts_is_understood_whole():
    filler = {"summary": "x" * 200, "description": "Lorem ipsum dolor sit amet. " * 50}
    body = message(*(alert(fingerprint=f"{n:016x}", annotations=filler) for n in range(250)))
    assert len(body) > 400_000
    assert len({report.key for report in parsed(body)}) == 250
