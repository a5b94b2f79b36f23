"""Reports find the alarms of the definitions in force, whichever were in force before."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from core.ports import AlarmReport, AlarmState
from core.releases.pipeline import Alarm, Pipeline
from core.releases.routes import Routes, routes_of
from tests.core.line import pipeline

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def line(id_: str, *alarms: Alarm) -> Pipeline:
    return replace(pipeline(), id=id_, service=id_, revision=f"r-{id_}", alarms=alarms)


def alarm(name: str, **labels: str) -> Alarm:
    return Alarm(name=name, source="webhook", match=tuple(sorted(labels.items())), silence_is_ok=True)


def heard(routes: Routes, **labels: str) -> list[tuple[str, str]]:
    """The pipelines and alarms that a report with these labels speaks to."""
    report = AlarmReport(source="webhook", key="k", state=AlarmState.ALARM, labels=labels, title="red")
    return [(routed.pipeline_id, routed.event.alarm) for routed in routes.route(report, NOW)]


def test_one_label_may_speak_to_many_and_still_to_those_that_are_left():
    errors = alarm("errors", alert="errors")
    routes = routes_of(line("shop", errors), line("stock", errors), line("books", errors))
    assert heard(routes, alert="errors") == [("books", "errors"), ("shop", "errors"), ("stock", "errors")]
    routes.put(line("stock", alarm("latency", alert="slow")))
    assert heard(routes, alert="errors") == [("books", "errors"), ("shop", "errors")]
    assert heard(routes, alert="slow") == [("stock", "latency")]
    routes.put(line("shop"))
    routes.put(line("books"))
    assert heard(routes, alert="errors") == []


def test_a_definition_takes_the_place_of_the_one_before_and_keeps_its_name():
    first = line("shop", alarm("errors", alert="errors", tier="web"), alarm("latency", alert="errors", tier="db"))
    routes = routes_of(first)
    assert heard(routes, alert="errors", tier="db") == [("shop", "latency")]
    routes.put(first)
    assert heard(routes, alert="errors", tier="db") == [("shop", "latency")], "nothing is filed twice"
    routes.put(line("shop", alarm("latency", alert="errors", tier="db")))
    assert heard(routes, alert="errors", tier="web") == []
    assert heard(routes, alert="errors", tier="db") == [("shop", "latency")]
    assert [name for name, _ in heard(routes, service="shop", alert="other")] == ["shop"], "an alarm nobody defined"
