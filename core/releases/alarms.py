"""What alarms say: how one stands now [10], what a report changes in it [8, 9], and which pipelines a report speaks to.

An alarm is red while any of its alerts fires. An alert is told apart by the source's `key`, its episodes by when they
began; episodes of one alert follow one another. So of every alert only the newest start that fired and the newest
that is over need to be known, and messages may come twice, late and in any order [28]: an episode that is over does not
fire again, and a word about an older episode says nothing about a newer one. Where a source sends no starts, messages
count in the order in which they arrive.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from core.ports import AlarmReport, AlarmState
from core.releases.events import AlarmReported, HeartbeatHeard
from core.releases.pipeline import SERVICE, Alarm, Pipeline, Scope, ScopeKind
from core.releases.state import AlarmReading, PipelineState

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""Since when an alarm is unknown that was never heard of."""
HEARTBEAT_STALE_AFTER = timedelta(minutes=10)
"""How old a heartbeat may be where the definition does not say."""
MAX_RESOLVED = 64
"""Episodes already over that are remembered, for late repeats; a repeat of an older one fires: rather too red."""
MAX_FIRING = 512
"""Alerts of one alarm that are told apart; sources repeat what fires, so that one left out comes again."""
MAX_TITLE = 200
MAX_NAME = 80


# ---- how an alarm stands --------------------------------------------------------------------------------------------


def alarm_state(state: PipelineState, alarm: Alarm, now: datetime) -> AlarmState:
    """How a defined alarm stands at `now`; unknown never passes as ok."""
    reading = state.reading(alarm.name)
    if reading is not None and reading.firing:
        return AlarmState.ALARM
    return AlarmState.OK if unknown_from(state, alarm, now) is None else AlarmState.UNKNOWN


def unknown_from(state: PipelineState, alarm: Alarm, now: datetime) -> datetime | None:
    """Since when an alarm is unknown (`NEVER`: always was), or None if it is known at `now`; red is known."""
    reading = state.reading(alarm.name)
    if reading is not None and reading.firing:
        return None
    since, until = _known(state, alarm, reading)
    if since is not None:
        return since
    return until if until is not None and until <= now else None


def becomes_unknown_at(state: PipelineState, alarm: Alarm, now: datetime) -> datetime | None:
    """When an alarm that is ok becomes unknown if nothing more is heard; None: never, or it is not ok now."""
    reading = state.reading(alarm.name)
    if reading is not None and reading.firing:
        return None
    since, until = _known(state, alarm, reading)
    return until if since is None and until is not None and until > now else None


def reading_state(reading: AlarmReading, now: datetime) -> AlarmState:
    """How an alarm stands that nobody defined; only what its source said of it counts."""
    if reading.firing:
        return AlarmState.ALARM
    is_stale = reading.stale_after is not None and now >= reading.observed_at + reading.stale_after
    return AlarmState.UNKNOWN if reading.is_unknown or is_stale else AlarmState.OK


def _known(state: PipelineState, alarm: Alarm, reading: AlarmReading | None) -> tuple[datetime | None, datetime | None]:
    """Of an alarm that is not red: since when it is unknown whatever the time; else until when it is ok."""
    if alarm.heartbeat:
        heard = next((at for name, at in state.heartbeats if name == alarm.name), None)
        if reading is not None and reading.is_unknown and (heard is None or heard <= reading.observed_at):
            return reading.since, None
        if heard is None:
            return NEVER, None
        # The heartbeat vouches for what was said before it, so the age of the reading does not matter.
        return None, heard + (alarm.stale_after or HEARTBEAT_STALE_AFTER)
    if reading is None:
        return (None if alarm.silence_is_ok else NEVER), None
    if reading.is_unknown:
        return reading.since, None
    stale_after = alarm.stale_after or reading.stale_after
    return None, None if stale_after is None else reading.observed_at + stale_after


# ---- what a report changes ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Turned:
    """What a report turned. Both: it was ok and red again unseen, between two looks; act on `to_ok` first [9].

    `to_alarm` may be true of an alarm that is ok again: the report is of an episode (begun at its `started_at`) of
    which nothing was heard while it lasted.
    """

    to_alarm: bool = False
    to_ok: bool = False


UNCHANGED = Turned()


def applied(reading: AlarmReading | None, event: AlarmReported, now: datetime) -> tuple[AlarmReading, Turned]:
    """What is known of an alarm after a report, and what that turned; repeats and stale messages turn nothing."""
    # A source whose clock is ahead of ours must not keep a reading fresh for longer than it is.
    observed = min(event.observed_at, now)
    before = reading or AlarmReading(name=event.alarm, scope=event.scope, since=observed, observed_at=observed)
    firing, resolved = dict(before.firing), dict(before.resolved)
    turned: Turned | None = UNCHANGED
    if event.alarm_state is AlarmState.ALARM:
        turned = _fire(firing, resolved, event, observed)
    elif event.alarm_state is AlarmState.OK:
        turned = _resolve(firing, resolved, event)
    if turned is None:
        return before, UNCHANGED
    is_newest = observed >= before.observed_at
    is_unknown = event.alarm_state is AlarmState.UNKNOWN if is_newest else before.is_unknown
    is_described = is_newest and (event.alarm_state is AlarmState.ALARM or not firing)
    has_changed = turned != UNCHANGED or is_unknown != before.is_unknown
    after = AlarmReading(
        name=before.name,
        scope=event.scope,
        firing=_sorted(firing),
        resolved=_sorted(resolved)[-MAX_RESOLVED:],
        is_unknown=is_unknown,
        since=max(before.since, observed) if has_changed else before.since,
        observed_at=max(before.observed_at, observed),
        stale_after=event.stale_after if is_newest else before.stale_after,
        title=(event.title if is_described else "") or before.title,
        url=(event.url if is_described else "") or before.url,
        runbook=(event.runbook if is_described else "") or before.runbook,
    )
    return after, turned


def _fire(
    firing: dict[str, datetime], resolved: Mapping[str, datetime], event: AlarmReported, observed: datetime
) -> Turned | None:
    """An alert fires; None if the message is stale."""
    start, known = event.started_at or observed, firing.get(event.key)
    if event.key in resolved and start <= resolved[event.key]:
        return None
    if known is not None:
        if event.started_at is None or start == known:
            return UNCHANGED
        if start < known:
            return None
        firing[event.key] = start
        # The older episode must have ended for a newer one to begin; the alarm was ok if nothing else fired.
        return Turned(to_alarm=True, to_ok=True) if len(firing) == 1 else UNCHANGED
    was_red = bool(firing)
    if len(firing) < MAX_FIRING:
        firing[event.key] = start
    return UNCHANGED if was_red else Turned(to_alarm=True)


def _resolve(firing: dict[str, datetime], resolved: dict[str, datetime], event: AlarmReported) -> Turned:
    """An alert is over, or is said to be fine."""
    known = firing.get(event.key)
    start = event.started_at or known
    if start is None:
        return UNCHANGED
    newest_seen = max([*firing.values(), *resolved.values()], default=NEVER)
    was_red = bool(firing)
    resolved[event.key] = max(start, resolved.get(event.key, start))
    if known is not None and event.ended_at is not None and known < event.ended_at:
        resolved[event.key] = max(known, resolved[event.key])
    # A source may set the start of what fires back (Alertmanager does, where alerts overlap); an end after the start
    # that is known is the end of that episode all the same.
    if known is not None and (start >= known or (event.ended_at is not None and event.ended_at > known)):
        del firing[event.key]
    if firing:
        return UNCHANGED
    return Turned(to_alarm=start > newest_seen, to_ok=was_red)


def _sorted(episodes: Mapping[str, datetime]) -> tuple[tuple[str, datetime], ...]:
    return tuple(sorted(episodes.items(), key=lambda episode: (episode[1], episode[0])))


# ---- whom a report speaks to ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Routed:
    """An event for one pipeline."""

    pipeline_id: str
    event: AlarmReported | HeartbeatHeard


def meant_event(
    report: AlarmReport, alarm: Alarm, now: datetime, *, is_named: bool
) -> AlarmReported | HeartbeatHeard | None:
    """What a report says of one defined alarm of its source; `is_named` if its labels name the alarm's pipeline."""
    if alarm.heartbeat and _carries(report, alarm.heartbeat):
        if report.state is AlarmState.ALARM:
            return HeartbeatHeard(alarm=alarm.name, at=now)
        # A watchdog fires always; one that is over means that nobody watches, however fresh the last heartbeat.
        return AlarmReported(
            alarm=alarm.name,
            key=report.key,
            alarm_state=AlarmState.UNKNOWN,
            observed_at=now,
            scope=alarm.scope,
            title=f"{report.title} is not heard of any more"[:MAX_TITLE],
        )
    # An alarm that asks for no labels is meant by its name, within its own pipeline.
    is_meant = _carries(report, alarm.match) if alarm.match else is_named and _name(report) == alarm.name
    if not is_meant:
        return None
    return _reported(report, alarm.name, alarm.scope, now, url=alarm.dashboard, runbook=alarm.runbook)


def _carries(report: AlarmReport, wanted: Iterable[tuple[str, str]]) -> bool:
    return all(report.labels.get(label) == value for label, value in wanted)


def _name(report: AlarmReport) -> str:
    return report.labels.get("alarm") or report.labels.get("alertname", "")


def implicit_event(report: AlarmReport, pipeline: Pipeline, now: datetime) -> AlarmReported:
    """The report as an alarm nobody defined. Its name tells scopes apart and is never that of a defined alarm."""
    scope = _scope(report, pipeline)
    name = report.title[:MAX_NAME] or "unnamed alarm"
    if scope != SERVICE:
        name = f"{name} ({scope.kind} {scope.name})"
    if any(alarm.name == name for alarm in pipeline.alarms):
        name = f"{name} from {report.source}"
    return _reported(report, name, scope, now)


def _scope(report: AlarmReport, pipeline: Pipeline) -> Scope:
    """The narrowest part of the pipeline that the labels name, else the whole service."""
    for kind in (ScopeKind.TARGET, ScopeKind.STAGE, ScopeKind.GROUP):
        name = report.labels.get(kind.value, "")
        scope = Scope(kind, name)
        if name and pipeline.stages_in(scope):
            return scope
        # `stage="production"` may well be the name of a group.
        named = pipeline.scope_named(name) if name else None
        if named is not None:
            return named
    return SERVICE


def _reported(
    report: AlarmReport, name: str, scope: Scope, now: datetime, *, url: str = "", runbook: str = ""
) -> AlarmReported:
    first_line = report.text.strip().partition("\n")[0]
    title = f"{report.title}: {first_line}" if first_line and first_line != report.title else report.title
    return AlarmReported(
        alarm=name,
        key=report.key,
        alarm_state=report.state,
        observed_at=now,
        scope=scope,
        started_at=report.started_at,
        ended_at=report.ended_at,
        title=title if len(title) <= MAX_TITLE else f"{title[: MAX_TITLE - 1]}…",
        url=report.url or url,
        runbook=report.runbook or runbook,
    )
