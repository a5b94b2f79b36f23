"""What one definition changes against another, in sentences, and which of the changes make the line less careful."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from core.releases.pipeline import Alarm, ApprovalRule, OnAlarm, Pipeline, Stage
from core.releases.words import duration, listed

NOBODY = ApprovalRule(count=0)
LONGEST = timedelta.max


@dataclass(frozen=True, slots=True)
class Changed:
    """One change. `place` is a stage, group or alarm, or empty; `sentence` says from what to what."""

    place: str
    sentence: str
    is_less_careful: bool = False

    def __str__(self) -> str:
        place = f"{self.place}: " if self.place else ""
        return f"{place}{self.sentence}{' (less careful)' if self.is_less_careful else ''}"


def difference(old: Pipeline, new: Pipeline) -> tuple[Changed, ...]:
    """All that differs, in the order of the line; empty where both have one revision."""
    if old.revision == new.revision:
        return ()
    found = [*_whole(old, new), *_stages(old, new), *_groups(old, new), *_alarms(old, new)]
    return tuple(found) or (Changed("", "something in its settings changes"),)


# ---- the line as a whole --------------------------------------------------------------------------------------------


def _whole(old: Pipeline, new: Pipeline) -> Iterator[Changed]:
    yield from _told("", "it belongs to the team {}", old.team, new.team)
    yield from _told("", "its cards are posted in {}", old.channel, new.channel)
    yield from _told("", "who goes first at an entry: {}", str(old.order), str(new.order))
    yield from _less("", "good versions kept", old.keep_good, new.keep_good, str)
    yield from _less("", "no second rollback within", old.rollback_guard, new.rollback_guard, duration)
    yield from _more("", "alarms may stay red after a rollback", old.settle, new.settle, duration)
    yield from _more("", "an override lasts", old.override_expires, new.override_expires, duration)
    yield from _more("", "people are called every", old.page_every, new.page_every, duration)
    yield from _less("", "times people are called", old.page_times, new.page_times, str)
    yield from _told("", "dashboard {}", old.dashboard, new.dashboard)
    yield from _told("", "runbook {}", old.runbook, new.runbook)
    if old.calendars != new.calendars:
        names = sorted({c.name for c in old.calendars} ^ {c.name for c in new.calendars})
        yield Changed("", f"its calendars change{f' ({listed(names)})' if names else ''}")
    if old.about != new.about:
        yield Changed("", "what the catalogue says of it changes")
    if old.origin != new.origin:
        yield Changed("", "where its releases come from changes")


# ---- stages and groups ----------------------------------------------------------------------------------------------


def _stages(old: Pipeline, new: Pipeline) -> Iterator[Changed]:
    for name in [s.name for s in old.stages if s.name not in new.by_name]:
        yield Changed(name, "the stage goes", is_less_careful=True)
    for stage in new.stages:
        before = old.by_name.get(stage.name)
        if before is None:
            yield Changed(stage.name, f"a new stage, after {listed(stage.after) or 'nothing'}")
        else:
            yield from _stage(before, stage)
    common = [s.name for s in old.stages if s.name in new.by_name]
    if common != [s.name for s in new.stages if s.name in old.by_name]:
        yield Changed("", f"the stages stand in another order: {listed([s.name for s in new.stages])}")


def _stage(old: Stage, new: Stage) -> Iterator[Changed]:
    name = new.name
    if old.after != new.after:
        lost = bool(set(old.after) - set(new.after))
        after = f"it follows {listed(old.after) or 'nothing'} → {listed(new.after) or 'nothing'}"
        yield Changed(name, after, is_less_careful=lost)
    yield from _names(name, "target", [t.name for t in old.targets], [t.name for t in new.targets])
    kept = {t.name: t for t in old.targets}
    changed = [t.name for t in new.targets if t.name in kept and kept[t.name] != t]
    if changed:
        yield Changed(name, f"settings of {listed(changed)} change")
    yield from _told(name, "it is in the group {}", old.group, new.group)
    yield from _told(name, "deployed by {}", old.deployer, new.deployer)
    if old.deployer == new.deployer and old.deployer_settings != new.deployer_settings:
        yield Changed(name, f"the settings of {new.deployer} change")
    if old.is_production != new.is_production:
        yield Changed(
            name, "it is production" if new.is_production else "it is no production any more", old.is_production
        )
    if old.is_one_box != new.is_one_box:
        yield Changed(name, "it is a one-box" if new.is_one_box else "it is no one-box any more", old.is_one_box)
    yield from _approval(name, old.approval, new.approval)
    yield from _names(name, "test", [t.name for t in old.tests], [t.name for t in new.tests], is_guard=True)
    tests = {t.name: t for t in old.tests}
    changed = [t.name for t in new.tests if t.name in tests and tests[t.name] != t]
    if changed:
        yield Changed(name, f"{listed(changed)} {'tests' if len(changed) > 1 else 'test'} otherwise")
    yield from _less(name, "bake", old.bake.duration, new.bake.duration, duration)
    yield from _less(name, "data points asked", old.bake.minimum_points, new.bake.minimum_points, str)
    yield from _less(name, "watch", old.watch, new.watch, duration)
    if old.on_alarm != new.on_alarm:
        loose = new.on_alarm is OnAlarm.STOP
        yield Changed(name, f"on an alarm: {old.on_alarm} → {new.on_alarm}", is_less_careful=loose)
    yield from _told(name, "when a target fails the others {}", str(old.siblings), str(new.siblings))
    yield from _more(name, "changed at once, percent", old.batch.forward_percent, new.batch.forward_percent, str)
    yield from _told(
        name, "changed at once going back, percent: {}", str(old.batch.back_percent), str(new.batch.back_percent)
    )
    yield from _less(name, "in service, percent", old.batch.healthy_percent, new.batch.healthy_percent, str)
    yield from _more(name, "time for one deployment", old.deployment_timeout, new.deployment_timeout, duration)
    yield from _names(name, "window", old.windows, new.windows, is_guard=True)


def _groups(old: Pipeline, new: Pipeline) -> Iterator[Changed]:
    for name, group in new.group_by_name.items():
        before = old.group_by_name.get(name)
        if before is None:
            continue
        yield from _approval(name, before.approval, group.approval)
        yield from _names(name, "window", before.windows, group.windows, is_guard=True)
    for name, group in old.group_by_name.items():
        if name not in new.group_by_name and group.approval is not None:
            yield Changed(name, "the group goes, and with it its approval", is_less_careful=True)


def _approval(place: str, old: ApprovalRule | None, new: ApprovalRule | None) -> Iterator[Changed]:
    if old == new:
        return
    before, after = old or NOBODY, new or NOBODY
    loose = after.count < before.count or bool(set(after.by) - set(before.by) and before.by)
    yield Changed(place, f"approval: {_who(before)} → {_who(after)}", is_less_careful=loose)


def _who(rule: ApprovalRule) -> str:
    if not rule.count:
        return "nobody is asked"
    return f"{rule.count} of {listed(rule.by)}, within {duration(rule.expires)}"


# ---- alarms ---------------------------------------------------------------------------------------------------------


def _alarms(old: Pipeline, new: Pipeline) -> Iterator[Changed]:
    before, after = ({a.name: a for a in line.alarms} for line in (old, new))
    for name in before.keys() - after.keys():
        yield Changed(name, "the alarm goes", is_less_careful=True)
    for name, alarm in after.items():
        if name not in before:
            yield Changed(name, f"a new alarm from {alarm.source}, for {alarm.scope}")
        elif before[name] != alarm:
            yield _alarm(before[name], alarm)


def _alarm(old: Alarm, new: Alarm) -> Changed:
    if old.silence_is_ok != new.silence_is_ok:
        said = "its silence is ok" if new.silence_is_ok else "its silence is unknown"
        return Changed(new.name, said, is_less_careful=new.silence_is_ok)
    if old.scope != new.scope:
        return Changed(new.name, f"the alarm speaks of {old.scope} → {new.scope}")
    return Changed(new.name, "the alarm changes")


# ---- from what to what ----------------------------------------------------------------------------------------------


def _told(place: str, words: str, old: str, new: str) -> Iterator[Changed]:
    if old != new:
        yield Changed(place, words.format(f"{old or 'none'} → {new or 'none'}"))


def _less(place: str, words: str, old: Any, new: Any, shown: Callable[[Any], str]) -> Iterator[Changed]:
    """Less of it is less careful."""
    if old != new:
        yield Changed(place, f"{words} {shown(old)} → {shown(new)}", is_less_careful=new < old)


def _more(place: str, words: str, old: Any, new: Any, shown: Callable[[Any], str]) -> Iterator[Changed]:
    """More of it is less careful."""
    if old != new:
        yield Changed(place, f"{words} {shown(old)} → {shown(new)}", is_less_careful=new > old)


def _names(
    place: str, what: str, old: Sequence[str], new: Sequence[str], *, is_guard: bool = False
) -> Iterator[Changed]:
    gone, come = [n for n in old if n not in new], [n for n in new if n not in old]
    if gone:
        many = "s" if len(gone) > 1 else ""
        goes = "go" if many else "goes"
        yield Changed(place, f"the {what}{many} {listed(gone)} {goes}", is_less_careful=is_guard)
    if come:
        yield Changed(place, f"new {what}{'s' if len(come) > 1 else ''} {listed(come)}")
