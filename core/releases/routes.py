"""Which pipelines and alarms a report speaks to, found by its labels: thousands are not asked one by one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from sys import intern

from core.ports import AlarmReport
from core.releases.alarms import Routed, implicit_event, meant_event
from core.releases.pipeline import SERVICE, Alarm, Pipeline

Place = tuple[str, int]
"""A pipeline, and the number of one of its alarms."""
Label = tuple[str, str, str]
"""The source of an alarm, and a label with its value that it asks for."""


@dataclass(frozen=True, slots=True)
class _Held:
    """What is kept of a definition; `labels` are those under which its alarms are filed."""

    service: str
    alarms: tuple[Alarm, ...]
    labels: tuple[Label, ...]


class Routes:
    """The alarms of the definitions in force; `put` takes each of them in, in place of the one before."""

    def __init__(self, definition_of: Callable[[str], Pipeline]) -> None:
        """`definition_of` finds a definition in force by id; asked only for what a report names."""
        self._definition_of = definition_of
        self._held: dict[str, _Held] = {}
        self._by_service: dict[str, tuple[str, ...]] = {}
        self._by_label: dict[Label, Place | dict[Place, None]] = {}
        """Mostly one alarm asks for a label, and a dictionary for it alone would be the largest thing here."""

    def put(self, definition: Pipeline) -> None:
        """From now on this is in force."""
        id_ = intern(definition.id)
        if id_ in self._held:
            self._drop(id_)
        for name in {definition.service, id_}:
            self._by_service[name] = (*self._by_service.get(name, ()), id_)
        alarms = tuple([_shared(alarm) for alarm in definition.alarms])
        labels: list[Label] = []
        for at, alarm in enumerate(alarms):
            for asked in _asked(alarm):
                # An alarm asks for all of its labels, so it is found by any; by the rarest, few are looked at in vain.
                rarest = min(asked, key=lambda label: len(self._places(label)))
                self._file(rarest, (id_, at))
                labels.append(rarest)
        self._held[id_] = _Held(intern(definition.service), alarms, tuple(labels))

    def _places(self, label: Label) -> Collection[Place]:
        found = self._by_label.get(label, {})
        return found if isinstance(found, dict) else (found,)

    def _file(self, label: Label, place: Place) -> None:
        found = self._by_label.get(label)
        if found is None:
            self._by_label[label] = place
        elif isinstance(found, dict):
            found[place] = None
        else:
            self._by_label[label] = {found: None, place: None}

    def _drop(self, id_: str) -> None:
        old = self._held.pop(id_)
        for name in {old.service, id_}:
            self._by_service[name] = tuple(other for other in self._by_service[name] if other != id_)
        for label in set(old.labels):
            left = {place: None for place in self._places(label) if place[0] != id_}
            del self._by_label[label]
            if left:
                self._by_label[label] = left

    def route(self, report: AlarmReport, now: datetime) -> tuple[Routed, ...]:
        """The events a report means; empty if it matches no pipeline: it is kept, shown, and acts on nothing [8]."""
        named = self._named(report)
        places = {place for label in report.labels.items() for place in self._places((report.source, *label))}
        places |= {(id_, at) for id_ in named for at in range(len(self._held[id_].alarms))}
        routed: list[Routed] = []
        for id_, at in sorted(places):
            alarm = self._held[id_].alarms[at]
            if alarm.source == report.source:
                event = meant_event(report, alarm, now, is_named=id_ in named)
                routed += [Routed(id_, event)] if event is not None else []
        if routed:
            return tuple(routed)
        return tuple(Routed(id_, implicit_event(report, self._definition_of(id_), now)) for id_ in named)

    def _named(self, report: AlarmReport) -> list[str]:
        """The pipelines that the labels `pipeline` or `service` of a report name, in order."""
        service, name = report.labels.get("service", ""), report.labels.get("pipeline", "")
        exactly = {id_ for id_ in (name, f"{service}/{name}") if name and id_ in self._held}
        return sorted(exactly or (self._by_service.get(service, ()) if service else ()))


def _asked(alarm: Alarm) -> Iterator[list[Label]]:
    """What an alarm asks for: the labels of its alerts, and those of its heartbeat."""
    for wanted in (alarm.match, alarm.heartbeat):
        labels = [(alarm.source, label, value) for label, value in wanted]
        if labels:
            yield labels


def _shared(alarm: Alarm) -> Alarm:
    """The alarm with words that exist once for all alarms: there are thousands, and most of them say the same."""
    return replace(
        alarm,
        name=intern(alarm.name),
        source=intern(alarm.source),
        settings=intern(alarm.settings),
        runbook=intern(alarm.runbook),
        dashboard=intern(alarm.dashboard),
        scope=SERVICE if alarm.scope == SERVICE else alarm.scope,
        match=tuple([(intern(label), intern(value)) for label, value in alarm.match]),
        heartbeat=tuple([(intern(label), intern(value)) for label, value in alarm.heartbeat]),
    )


def routes_of(*definitions: Pipeline) -> Routes:
    """The routes of these definitions and no others."""
    found = Routes({definition.id: definition for definition in definitions}.__getitem__)
    for definition in definitions:
        found.put(definition)
    return found
