"""What must hold when an alarm turns red, and while a watched stage is spared [8, 9]; a part of `safety`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from company.safety_readings import MOVING, covers, run_of
from core.ports import AlarmState
from core.releases.events import AlarmReported
from core.releases.pipeline import OnAlarm, Stage
from core.releases.state import PipelineState, Release, RollingBack, StageRun, Stopped, Watch

CLOCKS_DIFFER = timedelta(seconds=5)


def of_alarm(before: PipelineState, event: AlarmReported, after: PipelineState, now: datetime) -> Iterator[str]:
    """What an alarm that turns red must do to every stage under it."""
    if event.alarm_state is not AlarmState.ALARM:
        return
    reading = before.reading(event.alarm)
    if reading is not None and (reading.firing or event.key in dict(reading.resolved)):
        return
    in_scope = []
    covered = {s.name for s in before.stages if (d := before.stage_definition(s.name)) and covers(event.scope, d)}
    if not any(t.current is not None for t in before.targets if t.stage in covered):
        # Nothing ever ran there: the alarm says nothing of what comes first, but nothing passes while it is red.
        for name in covered:
            run = run_of(after, name)
            if run is not None and isinstance(run.phase, MOVING) and event.alarm not in run.red_at_entry:
                yield f"{name} forgets that {event.alarm} was red over nothing [9]"
        return
    for occupied in before.stages:
        stage = before.stage_definition(occupied.name)
        if stage is None or not covers(event.scope, stage):
            continue
        run, watch = occupied.run, occupied.watch
        entered_at = run.entered_at if run else watch.entered_at if watch else None
        if entered_at and event.started_at and event.started_at < entered_at - CLOCKS_DIFFER:
            continue
        if run is not None:
            if not _is_undecided(run) or event.alarm in run.red_at_entry:
                continue
            yield from _reacted(after, stage, run.release)
            in_scope.append((stage.name, run.release))
        elif watch is not None and now < watch.until and event.alarm not in watch.red_at_entry:
            if stage.on_alarm is OnAlarm.ROLLBACK and _is_spared(after, event, stage, watch):
                continue
            if stage.on_alarm is OnAlarm.ROLLBACK:
                yield from _reacted(after, stage, watch.release)
            in_scope.append((stage.name, watch.release))
    for name, release in in_scope:
        digest = after.released(release).digest
        if not any(mark.digest == digest for mark in after.bad):
            yield f"{after.released(release).version} met an alarm in {name} and is not bad [8, 15]"
        for further in before.stages:
            run = further.run
            if run is None or run.release != release or not before.definition.follows(further.name, name):
                continue
            if _is_undecided(run):
                definition = before.stage_definition(further.name)
                assert definition is not None
                yield from _reacted(after, definition, release)


def _is_undecided(run: StageRun) -> bool:
    """What an alarm still takes back: it moves forward, or a part of it failed and nobody has decided yet."""
    undecided = ("alarm", "target_failed", "test_failed", "test_errored")
    return (
        isinstance(run.phase, MOVING)
        or (isinstance(run.phase, RollingBack) and run.phase.ends_in_stop)
        or (isinstance(run.phase, Stopped) and run.phase.cause in undecided)
    )


def _is_spared(after: PipelineState, event: AlarmReported, stage: Stage, watch: Watch) -> bool:
    """Whether a watched stage may wait: something younger goes back under the same alarm, or did a moment ago."""
    kept = after.stage(stage.name).watch
    if kept is None or event.alarm not in kept.spared:
        return False
    older = after.released(watch.release)
    covered = {s.name for s in after.stages if (d := after.stage_definition(s.name)) and covers(event.scope, d)}
    going = [s.run for s in after.stages if s.name in covered and s.run and isinstance(s.run.phase, RollingBack)]
    return kept.settles_at is not None or any(_is_younger(after.released(run.release), older) for run in going)


def _is_younger(one: Release, other: Release) -> bool:
    if one.ancestors is not None and other.version in one.ancestors:
        return True
    return one.sequence > other.sequence and not (other.ancestors is not None and one.version in other.ancestors)


def of_spared(after: PipelineState, now: datetime) -> Iterator[str]:
    """What is spared is judged in time: it never waits for nothing [8]."""
    for occupied in after.stages:
        watch = occupied.watch
        if watch is None:
            continue
        if not watch.spared and (watch.settles_at is not None or now >= watch.until):
            yield f"the watch of {occupied.name} goes on though it is over [7]"
        if watch.spared and watch.settles_at is not None and now >= watch.settles_at:
            yield f"{occupied.name} is spared for longer than alarms need to settle [8]"
        if watch.spared and watch.settles_at is None:
            going = [s.run for s in after.stages if s.run is not None and isinstance(s.run.phase, RollingBack)]
            older = after.released(watch.release)
            if not any(_is_younger(after.released(run.release), older) for run in going):
                yield f"{occupied.name} is spared, and nothing younger goes back [8]"


def _reacted(after: PipelineState, stage: Stage, release: str) -> Iterator[str]:
    run = run_of(after, stage.name)
    if (
        run is not None
        and run.release != release
        and after.released(release).version in after.released(run.release).fixes
    ):
        return  # It stood still, and what mends it took over at once.
    if run is None or run.release != release:
        digest = after.released(release).digest
        if any(t.current and t.current.digest == digest for t in after.targets_of(stage.name)):
            yield f"{stage.name} did not react to the alarm [8]"
    elif not isinstance(run.phase, RollingBack | Stopped):
        yield f"{stage.name} goes on in alarm [8]"
