"""Which pipelines and alarms a report speaks to, found by its labels: thousands are not asked one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime

from core.ports import AlarmReport
from core.releases.alarms import Routed, implicit_event, meant_event
from core.releases.pipeline import Alarm, Pipeline

Place = tuple[int, int]
"""A pipeline's number, and that of one of its alarms."""
Label = tuple[str, str, str]
"""The source of an alarm, and a label with its value that it asks for."""


class Routes:
    """Made once of the definitions in force; immutable."""

    def __init__(self, definitions: Iterable[Pipeline]) -> None:
        self._pipelines = tuple(definitions)
        self._by_id = {pipeline.id: number for number, pipeline in enumerate(self._pipelines)}
        self._by_service: dict[str, list[int]] = {}
        self._by_label: dict[Label, list[Place]] = {}
        for number, pipeline in enumerate(self._pipelines):
            for name in dict.fromkeys((pipeline.service, pipeline.id)):
                self._by_service.setdefault(name, []).append(number)
        # An alarm asks for all of its labels, so it is found by any; by the rarest, fewest are looked at in vain.
        how_many = Counter(label for _, alarm in self._alarms() for labels in _asked(alarm) for label in labels)
        for place, alarm in self._alarms():
            for labels in _asked(alarm):
                self._by_label.setdefault(min(labels, key=how_many.__getitem__), []).append(place)

    def route(self, report: AlarmReport, now: datetime) -> tuple[Routed, ...]:
        """The events a report means; empty if it matches no pipeline: it is kept, shown, and acts on nothing [8]."""
        named = self._named(report)
        places = {place for label in report.labels.items() for place in self._by_label.get((report.source, *label), ())}
        places |= {(number, at) for number in named for at in range(len(self._pipelines[number].alarms))}
        routed: list[Routed] = []
        for number, at in sorted(places):
            pipeline = self._pipelines[number]
            alarm = pipeline.alarms[at]
            if alarm.source == report.source:
                event = meant_event(report, alarm, now, is_named=number in named)
                routed += [Routed(pipeline.id, event)] if event is not None else []
        if routed:
            return tuple(routed)
        pipelines = [self._pipelines[number] for number in named]
        return tuple(Routed(pipeline.id, implicit_event(report, pipeline, now)) for pipeline in pipelines)

    def _alarms(self) -> Iterator[tuple[Place, Alarm]]:
        for number, pipeline in enumerate(self._pipelines):
            for at, alarm in enumerate(pipeline.alarms):
                yield (number, at), alarm

    def _named(self, report: AlarmReport) -> list[int]:
        """The pipelines that the labels `pipeline` or `service` of a report name, in order."""
        service, name = report.labels.get("service", ""), report.labels.get("pipeline", "")
        exactly = {self._by_id[id_] for id_ in (name, f"{service}/{name}") if name and id_ in self._by_id}
        return sorted(exactly) or (self._by_service.get(service, []) if service else [])


def _asked(alarm: Alarm) -> Iterator[list[Label]]:
    """What an alarm asks for: the labels of its alerts, and those of its heartbeat."""
    for wanted in (alarm.match, alarm.heartbeat):
        labels = [(alarm.source, label, value) for label, value in wanted]
        if labels:
            yield labels
