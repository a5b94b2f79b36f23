"""A pipeline as a picture in text: the stages from top to bottom, what guards each, and the shortest way through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from textwrap import wrap

from core.releases.calendar import Calendar, hours_text
from core.releases.gates import windows_of
from core.releases.pipeline import Alarm, ApprovalRule, Bake, Group, OnAlarm, Order, Pipeline, Scope, Stage
from core.releases.soundness import time_for_points
from core.releases.words import duration, listed

WIDTH = 100
_ORDERS = {
    Order.NEWEST: "the newest release goes first",
    Order.QUEUE: "releases go in the order they came",
    Order.MANUAL: "a person picks who goes",
}


def picture(pipeline: Pipeline, calendars: Mapping[str, Calendar] | None = None, width: int = WIDTH) -> str:
    """The line as text, `width` columns at most, readable without colour; `calendars` are the organisation's."""
    known = {**(calendars or {}), **{calendar.name: calendar for calendar in pipeline.calendars}}
    lines = [
        f"{pipeline.id} — team {pipeline.team}, {pipeline.channel}, {_ORDERS[pipeline.order]}",
        f"revision {pipeline.revision[:12]}",
        "",
    ]
    groups = pipeline.group_by_name
    before: Stage | None = None
    for stage in pipeline.stages:
        if before is not None and before.group and before.group != stage.group:
            lines.append(f"  └{'─' * (width - 3)}")
        if before is not None:
            lines.append("  │" if stage.group and stage.group == before.group else "")
        if stage.group and (before is None or stage.group != before.group):
            lines += _group_head(groups[stage.group], width)
        edge = "  │ " if stage.group else "  "
        lines += [edge + line for line in _stage(pipeline, stage, before, width - len(edge))]
        before = stage
    if before is not None and before.group:
        lines.append(f"  └{'─' * (width - 3)}")
    lines += ["", *_hours(pipeline, known, width), *_alarms(pipeline, width), *_shortest(pipeline, width)]
    return "\n".join(lines)


def minimum_time(pipeline: Pipeline) -> timedelta:
    """The least a release takes from announcement to done: the bakes along the longest way, nothing else."""
    return _bakes(pipeline, _longest_way(pipeline))


def minimum_bake(pipeline: Pipeline, stage: Stage) -> timedelta:
    """The least a stage bakes: its time, or as long as its data points take."""
    return max(stage.bake.duration, time_for_points(pipeline, stage) or timedelta())


def _longest_way(pipeline: Pipeline) -> list[Stage]:
    """The way through the line that bakes longest."""
    best: dict[str, list[Stage]] = {}
    waiting = list(pipeline.stages)
    while waiting:
        stage = next(s for s in waiting if all(name in best for name in s.after))
        waiting.remove(stage)
        ways = [best[name] for name in stage.after]
        best[stage.name] = [*max(ways, key=lambda way: _bakes(pipeline, way), default=[]), stage]
    return max(best.values(), key=lambda way: (_bakes(pipeline, way), len(way)))


def _bakes(pipeline: Pipeline, way: list[Stage]) -> timedelta:
    return sum((minimum_bake(pipeline, stage) for stage in way), timedelta())


def _group_head(group: Group, width: int) -> list[str]:
    head = f"  ┌─ {group.name} "
    lines = [head + "─" * (width - len(head))]
    facts = [fact for fact in (_approval(group.approval), _windows(group.windows)) if fact]
    lines += [f"  │ {line}" for line in _wrapped("; ".join(facts), width - 4)]
    return [*lines, "  │"] if facts else lines


def _stage(pipeline: Pipeline, stage: Stage, before: Stage | None, width: int) -> Iterator[str]:
    """One stage: a line of its name and targets, then a line for each thing it does, in order."""
    usual = (before.name,) if before is not None else ()
    kinds = ["one-box"] if stage.is_one_box and stage.name != "one-box" else []
    kinds += ["production"] if stage.is_production and stage.group != "production" else []
    head = f"{'▼ ' if stage.after else '● '}{stage.name}" + (f" ({', '.join(kinds)})" if kinds else "")
    if stage.after != usual:
        head += f"   after {listed(stage.after)}" if stage.after else "   a first stage: follows nothing"
    yield from _wrapped(head, width)
    for label, fact in _facts(pipeline, stage):
        if fact:
            indent = " " * 4 + label.ljust(9)
            yield from _wrapped(fact, width, indent, " " * len(indent))


def _facts(pipeline: Pipeline, stage: Stage) -> Iterator[tuple[str, str]]:
    targets = [target.name + (f" ({target.zone})" if target.zone else "") for target in stage.targets]
    more = f" and {len(targets) - 8} more" if len(targets) > 8 else ""
    yield "entry", "; ".join(fact for fact in (_approval(stage.approval), _windows(stage.windows)) if fact)
    batch = stage.batch
    places = f"{', '.join(targets[:8])}{more} by {stage.deployer}"
    pace = f"{batch.forward_percent} % at a time ({batch.back_percent} % back)"
    yield "deploy", f"{places}, {pace}, {batch.healthy_percent} % stay in service"
    yield "tests", ", ".join(f"{test.name} ({test.uses})" for test in stage.tests)
    yield "bake", _bake(stage.bake)
    watch = f", and {duration(stage.watch)} after it" if stage.watch else ""
    names = [alarm.name for alarm in pipeline.alarms if stage in pipeline.stages_in(alarm.scope)]
    does = "rolls back" if stage.on_alarm is OnAlarm.ROLLBACK else "stops, left as it is for diagnosis"
    yield "alarms", f"{listed(names, 'or')}: {does}, until the end of the bake{watch}" if names else "none"


def _bake(bake: Bake) -> str:
    if not bake.duration and not bake.minimum_points:
        return ""
    points = f" and {bake.minimum_points} data points" if bake.minimum_points else ""
    return f"{duration(bake.duration)}{points}; people are asked after {duration(bake.ceiling)}"


def _approval(rule: ApprovalRule | None) -> str:
    if rule is None:
        return ""
    return f"approval by {rule.count} of {listed(rule.by, 'or')}, within {duration(rule.expires)}"


def _windows(windows: tuple[str, ...]) -> str:
    return f"only while {listed(windows)} is open" if windows else ""


def _hours(pipeline: Pipeline, known: Mapping[str, Calendar], width: int) -> Iterator[str]:
    """The windows the line uses, each with its hours."""
    used = dict.fromkeys(name for stage in pipeline.stages for name in windows_of(pipeline, stage))
    if used:
        yield "Windows"
        for name in used:
            hours = hours_text(known[name]) if name in known else "not known: it stands in no organisation file here"
            yield from _wrapped(f"{name}: {hours}", width, "  ", "    ")
        yield ""


def _alarms(pipeline: Pipeline, width: int) -> Iterator[str]:
    if not pipeline.alarms:
        yield "Alarms: none. Nothing rolls back by itself."
        return
    yield "Alarms"
    for alarm in pipeline.alarms:
        yield from _wrapped(f"{alarm.name}: {_alarm(alarm)}", width, "  ", "    ")


def _alarm(alarm: Alarm) -> str:
    labels = ", ".join(f"{key}={value}" for key, value in alarm.match)
    scope = f"of {_place(alarm.scope)}"
    if alarm.source == "canary":
        silence = "silence is unknown"
    elif alarm.silence_is_ok:
        silence = "silence is ok"
    elif alarm.heartbeat:
        heartbeat = ", ".join(f"{key}={value}" for key, value in alarm.heartbeat)
        silence = f"silence is ok while {heartbeat} is heard"
    else:
        silence = "silence is unknown"
    stale = f" after {duration(alarm.stale_after)}" if alarm.stale_after and "unknown" in silence else ""
    return f"{alarm.source} {labels}{' ' if labels else ''}{scope}; {silence}{stale}"


def _place(scope: Scope) -> str:
    return f"the {scope.kind.value} {scope.name}" if scope.name else "the whole service"


def _shortest(pipeline: Pipeline, width: int) -> Iterator[str]:
    way = _longest_way(pipeline)
    parts = [f"{s.name} {duration(minimum_bake(pipeline, s))}" for s in way if minimum_bake(pipeline, s)]
    total = duration(minimum_time(pipeline))
    yield ""
    yield from _wrapped(
        f"From announcement to done: at least {total}" + (f" ({', '.join(parts)})" if parts else ""), width
    )
    yield "Deployments, tests, approvals and waiting for others come on top."


def _wrapped(text: str, width: int, first: str = "", rest: str = "") -> list[str]:
    return wrap(text, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False) if text else []
