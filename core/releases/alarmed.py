"""What alarms do [8–10]: what they turn goes back or stops, the suspect first; what they count is evidence.

An alarm that turns red takes back every release in its scope that is on its way through a stage. A stage that is only
watched is spared while a younger release in the same scope goes back: the younger is the likelier cause, and taking
back what has proved itself would hurt for nothing. When nothing younger goes back any more and alarms had time to
settle, the spared go back too if what spared them is still red.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from core.ports import AlarmState
from core.releases import rollback
from core.releases.alarms import applied
from core.releases.bake import covers, has_anything_running
from core.releases.blockers import is_newer
from core.releases.copies import replace
from core.releases.draft import Draft
from core.releases.events import AlarmReported, HeartbeatHeard
from core.releases.pipeline import OnAlarm, Scope, Stage
from core.releases.state import Baking, Release, RollingBack, StageRun, StopCause, Stopped, Watch
from core.releases.words import duration, listed, place, title
from core.releases.world import ANDON

CLOCK_TOLERANCE = timedelta(seconds=5)
"""How far the clock of an alarm's source may be behind ours."""


def heartbeat_heard(draft: Draft, event: HeartbeatHeard) -> None:
    """The source of an alarm is alive."""
    before = dict(draft.state.heartbeats)
    if event.alarm in before and before[event.alarm] >= event.at:
        return
    before[event.alarm] = event.at
    draft.change(lambda s: replace(s, heartbeats=tuple(sorted(before.items()))))


def alarm_reported(draft: Draft, event: AlarmReported) -> None:
    """Note the reading and its evidence; act if it turned to alarm."""
    before = draft.state.reading(event.alarm)
    reading, turned = applied(before, event, draft.now)
    if reading != before:
        others = tuple(r for r in draft.state.alarms if r.name != event.alarm)
        draft.change(lambda s: replace(s, alarms=tuple(sorted((*others, reading), key=lambda r: r.name))))
    if before is None or event.observed_at > before.observed_at:
        _count_evidence(draft, event)
    if turned.to_ok:
        _count_again_from_now_on(draft, event.alarm)
    if turned.to_alarm:
        _turned_red(draft, event)
    elif turned.to_ok:
        _say_green(draft, event)


def _count_evidence(draft: Draft, event: AlarmReported) -> None:
    """Data points gathered during a bake count for it; a report told twice has been counted already [7]."""
    alarm = next((a for a in draft.definition.alarms if a.name == event.alarm), None)
    if alarm is None or not alarm.counts_as_evidence or not event.points or event.alarm_state is AlarmState.UNKNOWN:
        return
    for occupied in draft.state.stages:
        run = occupied.run
        if run is None or not isinstance(run.phase, Baking) or event.observed_at < run.phase.since:
            continue
        stage = draft.state.definition_of(run).by_name[occupied.name]
        if covers(event.scope, stage):
            draft.put_phase(occupied.name, replace(run.phase, points=run.phase.points + event.points))


def _count_again_from_now_on(draft: Draft, alarm: str) -> None:
    """An alarm that was red at an entry and has been ok since counts like any other."""
    for occupied in draft.state.stages:
        run, watch = occupied.run, occupied.watch
        if run is not None and alarm in run.red_at_entry:
            run = replace(run, red_at_entry=_without(run.red_at_entry, alarm))
        if watch is not None and alarm in watch.red_at_entry:
            watch = replace(watch, red_at_entry=_without(watch.red_at_entry, alarm))
        if (run, watch) != (occupied.run, occupied.watch):
            draft.put_stage(replace(occupied, run=run, watch=watch))


def _without(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return tuple(n for n in names if n != name)


# ---- turned red [8, 9] ----------------------------------------------------------------------------------------------


def _turned_red(draft: Draft, event: AlarmReported) -> None:
    said = f"the alarm {event.alarm} turned red" + (f" ({event.title})" if event.title not in ("", event.alarm) else "")
    if not has_anything_running(draft.state, event.scope, draft.definition):
        _was_red_over_nothing(draft, event)
        return
    acted = False
    for name, stage in _covered(draft, event.scope):
        run = draft.state.stage(name).run
        if run is not None:
            acted = _act_on_run(draft, name, stage, run, event, said) or acted
    for name, stage, watch in _watched_youngest_first(draft, event):
        _act_on_watch(draft, name, stage, watch, event, said)
        acted = True
    if not acted:
        draft.tell(
            "",
            "alarm",
            f"{said[0].upper()}{said[1:]}. Nothing is being deployed, baking or watched in {place(event.scope)}, "
            "so nothing is rolled back for it.",
        )
    for release in draft.state.releases:
        if release.is_live:
            draft.touch(release.id)


def _covered(draft: Draft, scope: Scope) -> list[tuple[str, Stage]]:
    """The stages under a scope, each as its run is pinned."""
    stages = ((s.name, draft.state.stage_definition(s.name)) for s in draft.state.stages)
    return [(name, stage) for name, stage in stages if stage is not None and covers(scope, stage)]


def _was_red_over_nothing(draft: Draft, event: AlarmReported) -> None:
    """Where nothing ran yet an alarm says nothing of the release that comes first; its bake does not end in alarm."""
    for name, _ in _covered(draft, event.scope):
        run = draft.state.stage(name).run
        if run is not None and event.alarm not in run.red_at_entry:
            draft.put_run(name, replace(run, red_at_entry=(*run.red_at_entry, event.alarm)))


def _began_before(event: AlarmReported, entered_at: datetime | None) -> bool:
    """Whether an episode came before the deployment that it would undo [9]."""
    return event.started_at is not None and entered_at is not None and event.started_at < entered_at - CLOCK_TOLERANCE


def _act_on_run(draft: Draft, name: str, stage: Stage, run: StageRun, event: AlarmReported, said: str) -> bool:
    alarm = event.alarm
    if _began_before(event, run.entered_at):
        if event.alarm_state is AlarmState.ALARM:
            # Heard late: it was red when the release entered. The bake does not end while it is.
            draft.put_run(name, replace(run, red_at_entry=(*run.red_at_entry, alarm)))
        return False
    if alarm in run.red_at_entry or not rollback.is_undecided(run):
        return False
    release = draft.state.released(run.release)
    if stage.on_alarm is OnAlarm.ROLLBACK:
        rollback.roll_back(draft, name, release, reason=said, by=ANDON, alarm=alarm)
    elif isinstance(run.phase, Stopped):
        rollback.mark_bad(draft, release, name, said)
        draft.tell(
            release.id,
            "alarm",
            f"{said[0].upper()}{said[1:]} over {name} too, where {title(draft.definition, release)} stands still.",
        )
    else:
        rollback.mark_bad(draft, release, name, said)
        rollback.stand_still(
            draft, name, release, StopCause.ALARM, f"{said}; it is left as it is, for diagnosis", alarm=alarm
        )
    _take_back_further_down(draft, name, release, event, said)
    return True


def _take_back_further_down(draft: Draft, name: str, release: Release, event: AlarmReported, said: str) -> None:
    for further in rollback.stages_rolled_back_with(draft.state, name, release):
        because = f"{said}, and it went bad in {name}"
        rollback.roll_back(draft, further, release, reason=because, by=ANDON, alarm=event.alarm)


# ---- watched, and spared [8] ----------------------------------------------------------------------------------------


def _watched_youngest_first(draft: Draft, event: AlarmReported) -> list[tuple[str, Stage, Watch]]:
    """The stages under an alarm whose watch it turns, the youngest release first: it is the likeliest cause."""
    found: list[tuple[Release, str, Stage, Watch]] = []
    for name, stage in _covered(draft, event.scope):
        run, watch = draft.state.stage(name).run, draft.state.stage(name).watch
        if run is not None or watch is None or draft.now >= watch.until:
            continue
        if event.alarm not in watch.red_at_entry and not _began_before(event, watch.entered_at):
            found.append((draft.state.released(watch.release), name, stage, watch))
    found.sort(key=lambda one: sum(is_newer(one[0], other) for other, *_ in found), reverse=True)
    return [(name, stage, watch) for _, name, stage, watch in found]


def _act_on_watch(draft: Draft, name: str, stage: Stage, watch: Watch, event: AlarmReported, said: str) -> None:
    release = draft.state.released(watch.release)
    if stage.on_alarm is OnAlarm.STOP:
        _goes_bad_in_place(draft, name, release, event, said)
        return
    younger = _younger_going_back(draft, [event.scope], release)
    if not younger and not watch.spared:
        rollback.roll_back(draft, name, release, reason=said, by=ANDON, alarm=event.alarm)
        _take_back_further_down(draft, name, release, event, said)
        return
    is_new = event.alarm not in watch.spared
    spared = (*watch.spared, event.alarm) if is_new else watch.spared
    draft.put_stage(replace(draft.state.stage(name), watch=replace(watch, spared=spared)))
    if is_new and younger:
        draft.tell(
            release.id,
            "spared",
            f"{said[0].upper()}{said[1:]}. {title(draft.definition, release)} stays in {name} for now: "
            f"{listed(younger)} is younger and goes back first. If the alarm is still red "
            f"{duration(draft.definition.settle)} after that, {release.version} goes back as well.",
        )


def _goes_bad_in_place(draft: Draft, name: str, release: Release, event: AlarmReported, said: str) -> None:
    """What passed a stage that is left for diagnosis is bad all the same: it goes no further [8]."""
    draft.put_stage(replace(draft.state.stage(name), watch=None))
    rollback.mark_bad(draft, release, name, said)
    draft.tell(
        release.id,
        "went_bad",
        f"{said[0].upper()}{said[1:]}. {title(draft.definition, release)} is bad from {name} on; {name} is left as it "
        "is, for diagnosis.",
        is_broadcast=True,
    )
    _take_back_further_down(draft, name, release, event, said)


def _younger_going_back(draft: Draft, scopes: Iterable[Scope], release: Release) -> list[str]:
    """The versions younger than `release` that go back in one of these scopes now."""
    covered = {name for scope in scopes for name, _ in _covered(draft, scope)}
    found = []
    for occupied in draft.state.stages:
        run = occupied.run
        if run is not None and occupied.name in covered and isinstance(run.phase, RollingBack):
            other = draft.state.released(run.release)
            if other.id != release.id and is_newer(other, release):
                found.append(other.version)
    return list(dict.fromkeys(found))


def judge_spared(draft: Draft) -> bool:
    """Go on with watches that were spared; returns whether anything moved."""
    moved = False
    for occupied in draft.state.stages:
        if occupied.watch is not None and occupied.watch.spared:
            moved = _judge(draft, occupied.name, occupied.watch) or moved
    return moved


def _judge(draft: Draft, name: str, watch: Watch) -> bool:
    release = draft.state.released(watch.release)
    readings = [r for r in draft.state.alarms if r.name in watch.spared]
    if _younger_going_back(draft, [r.scope for r in readings], release):
        settles_at = None
    else:
        settles_at = watch.settles_at or draft.now + draft.definition.settle
    if settles_at is None or draft.now < settles_at:
        if settles_at == watch.settles_at:
            return False
        draft.put_stage(replace(draft.state.stage(name), watch=replace(watch, settles_at=settles_at)))
        return True
    red = [r.name for r in readings if r.firing]
    over = replace(watch, spared=(), settles_at=None) if draft.now < watch.until else None
    draft.put_stage(replace(draft.state.stage(name), watch=over))
    if red:
        still = (
            f"the alarm {listed(red)} is still red {duration(draft.definition.settle)} after what is younger went back"
        )
        rollback.roll_back(draft, name, release, reason=still, by=ANDON, alarm=red[0])
        for further in rollback.stages_rolled_back_with(draft.state, name, release):
            rollback.roll_back(draft, further, release, reason=still, by=ANDON, alarm=red[0])
    else:
        draft.tell(
            release.id,
            "spared",
            f"{listed(watch.spared)} is ok again since what is younger went back: "
            f"{title(draft.definition, release)} stays in {name}.",
        )
    return True


# ---- ok again -------------------------------------------------------------------------------------------------------


def _say_green(draft: Draft, event: AlarmReported) -> None:
    runs = (draft.state.stage(name).run for name, _ in _covered(draft, event.scope))
    about = next((run.release for run in runs if run is not None), "")
    draft.tell(about, "alarm_over", f"The alarm {event.alarm} is ok again.")
