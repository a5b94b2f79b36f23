"""Whether a definition makes sense as a whole: names that exist, alarms that can clear, gates somebody can pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from core.releases.calendar_parts import unsound_calendars
from core.releases.definition import NO_POLICY, PipelineFile, Policy, build
from core.releases.durations import duration_text
from core.releases.parts import AlarmPart, CanarySettings
from core.releases.pipeline import Alarm, Pipeline, Stage
from core.releases.problems import Path, Problem, nearest, shown, validated


@dataclass(frozen=True, slots=True)
class Reading:
    """What a document came to: the file as far as it was readable, the pipeline if it is right, and the problems."""

    file: PipelineFile | None
    pipeline: Pipeline | None
    problems: tuple[Problem, ...]


def read_pipeline(document: object, policy: Policy = NO_POLICY, today: date | None = None) -> Reading:
    """A document (mappings, lists, texts and numbers) as a pipeline, with all that is wrong or unwise; never raises.

    With `today` calendars with dates are asked whether they still open within a year.
    """
    file, problems = validated(PipelineFile, document)
    if file is None:
        return Reading(None, None, problems)
    # What was left out because it is wrong may be missed by what holds it: that is no problem of its own.
    places = {problem.path[:length] for problem in problems for length in range(len(problem.path) + 1)}
    problems += tuple(problem for problem in unsound(file) if problem.path not in places)
    if problems:
        return Reading(file, None, problems)
    pipeline = build(file, policy)
    problems = (*impossible(file, pipeline, policy), *unwise(pipeline), *unsound_calendars(file.calendars, today=today))
    is_good = all(problem.is_warning for problem in problems)
    return Reading(file, pipeline if is_good else None, problems)


# ---- what cannot be built -------------------------------------------------------------------------------------------


def unsound(file: PipelineFile) -> Iterator[Problem]:
    """Names used twice or missing, lines that run in circles, alarms that cannot work."""
    yield from _names_used_twice(file)
    yield from _broken_line(file)
    yield from _broken_groups(file)
    for index, alarm in enumerate(file.alarms):
        yield from _broken_alarm(file, alarm, ("alarms", index))


def _names_used_twice(file: PipelineFile) -> Iterator[Problem]:
    """Stages, groups and targets share one room of names, because commands name all three."""
    taken = {name: f"the group of `{stage.name}`" for stage in reversed(file.stages) if (name := stage.group)}
    for index, stage in enumerate(file.stages):
        own: list[tuple[Path, str, str]] = [(("stages", index, "name"), stage.name, f"stage {index + 1}")]
        for number, target in enumerate(stage.targets):
            # A stage's only target may bear its name: people then mean the same thing by it.
            if target.name != stage.name or len(stage.targets) > 1:
                own.append((("stages", index, "targets", number), target.name, f"a target of `{stage.name}`"))
        for path, name, what in own:
            if name in taken:
                mend = "rename one: every target belongs to one stage, and a name means one thing in chat"
                yield Problem(path, f"`{name}` is already the name of {taken[name]}", mend)
            taken.setdefault(name, what)
        yield from _twice(("stages", index, "tests"), [test.name for test in stage.tests], "test")
    yield from _twice(("alarms",), [alarm.name for alarm in file.alarms], "alarm")


def _twice(path: Path, names: list[str], what: str) -> Iterator[Problem]:
    counts: Counter[str] = Counter()
    for index, name in enumerate(names):
        if counts[name]:
            yield Problem((*path, index, "name"), f"another {what} is called `{name}`", f"rename one {what}")
        counts[name] += 1


def _broken_line(file: PipelineFile) -> Iterator[Problem]:
    names = [stage.name for stage in file.stages]
    for index, stage in enumerate(file.stages):
        for number, before in enumerate(stage.after or ()):
            path: Path = ("stages", index, "after", number)
            if before == stage.name:
                yield Problem(
                    path, f"`{stage.name}` cannot follow itself", "name the stage before it, or leave `after` out"
                )
            elif before not in names:
                mend = nearest(before, (name for name in names if name != stage.name))
                yield Problem(path, f"there is no stage `{before}`", mend)
    if len(set(names)) < len(names):
        return
    after = {s.name: set(file.after(index)) & set(names) - {s.name} for index, s in enumerate(file.stages)}
    while free := [name for name, before in after.items() if not before]:
        after = {name: before - set(free) for name, before in after.items() if name not in free}
    circle = [name for name in names if name in after and name not in after[name]]
    if circle:
        listed = ", ".join(f"`{name}`" for name in circle[:6])
        index = names.index(circle[0])
        is_said = file.stages[index].after is not None
        path = ("stages", index, "after") if is_said else ("stages", index)
        yield Problem(
            path, f"no release could ever enter {listed}: they wait for each other", "cut the circle in `after`"
        )


def _broken_groups(file: PipelineFile) -> Iterator[Problem]:
    used = {stage.group for stage in file.stages if stage.group}
    for name in file.groups:
        if name not in used:
            mend = nearest(name, used, otherwise=f"add `group: {name}` to its stages")
            yield Problem(("groups", name), f"no stage belongs to the group `{name}`", mend, at_key=True)
    for index, stage in enumerate(file.stages):
        if stage.group and file.groups and stage.group not in file.groups:
            mend = nearest(stage.group, used & set(file.groups))
            if mend.startswith("did"):
                yield Problem(("stages", index, "group"), f"the group `{stage.group}` is not under `groups`", mend)


def _broken_alarm(file: PipelineFile, alarm: AlarmPart, path: Path) -> Iterator[Problem]:
    if file.scope_named(alarm.scope) is None:
        known = ["service", *(s.name for s in file.stages), *(s.group for s in file.stages if s.group)]
        known += [target.name for stage in file.stages for target in stage.targets]
        sentence = f"no stage, group or target is called `{shown(alarm.scope)}`"
        yield Problem((*path, "scope"), sentence, nearest(alarm.scope, known))
    if alarm.source == "canary":
        if alarm.with_ is None:
            yield Problem(path, f"canary `{alarm.name}` has nothing to look at", "add `with: {url: https://…}`")
        for key, value in (("match", alarm.match), ("heartbeat", alarm.heartbeat), ("silence_is", alarm.silence_is)):
            if value:
                mend = "take it out: a canary looks for itself, and its silence is unknown"
                yield Problem((*path, key), f"a canary has no `{key}`", mend, at_key=True)
        return
    if alarm.with_ is not None:
        yield Problem((*path, "with"), f"`{alarm.source}` takes no settings", "take `with` out", at_key=True)
    if not alarm.match:
        mend = "add `match: {alertname: …, service: …}`, the labels its reports carry"
        yield Problem(path, f"alarm `{alarm.name}` matches no report", mend)
    if alarm.heartbeat is not None and not alarm.heartbeat:
        yield Problem((*path, "heartbeat"), "a heartbeat needs labels", "write `heartbeat: {alertname: Watchdog}`")
    if alarm.heartbeat and alarm.silence_is == "ok":
        mend = "keep one: with a heartbeat, silence is ok only while it is heard"
        yield Problem((*path, "silence_is"), "`silence_is: ok` makes the heartbeat pointless", mend)
    if alarm.silence_is == "ok" and alarm.stale_after is not None:
        mend = "keep one of the two"
        yield Problem((*path, "stale_after"), "silence is ok and unknown at once: `stale_after` says unknown", mend)
    reports_on = alarm.source == "webhook" and alarm.stale_after is not None
    if alarm.silence_is != "ok" and not alarm.heartbeat and not reports_on:
        mend = "add `heartbeat: {alertname: Watchdog}`, or `silence_is: ok` if it only calls when something is wrong"
        if alarm.source == "webhook":
            mend += ", or `stale_after: 5m` if it reports all the time"
        yield Problem(path, f"nobody could ever clear `{alarm.name}`: without a report it stays unknown for ever", mend)


# ---- what could never pass ------------------------------------------------------------------------------------------


def impossible(file: PipelineFile, pipeline: Pipeline, policy: Policy) -> Iterator[Problem]:
    """Gates that no release could pass, and settings that contradict each other."""
    for index, (part, stage) in enumerate(zip(file.stages, pipeline.stages, strict=True)):
        path: Path = ("stages", index)
        yield from _impossible_bake(pipeline, stage, (*path, "bake"))
        if part.bake is not None and stage.is_production and stage.bake.duration < policy.minimum_bake:
            least = duration_text(policy.minimum_bake)
            sentence = (
                f"production bakes for {least} at least, says the organisation, not {duration_text(part.bake.for_)}"
            )
            yield Problem((*path, "bake"), sentence, f"write `bake: {least}`, or more")
        if part.batch is not None or index == 0:
            yield from _impossible_batch(stage, (*path, "batch") if part.batch is not None else ("batch",))


def _impossible_bake(pipeline: Pipeline, stage: Stage, path: Path) -> Iterator[Problem]:
    bake = stage.bake
    if bake.ceiling < bake.duration:
        mend = f"write `ceiling: {duration_text(4 * bake.duration)}`, or leave it out"
        yield Problem((*path, "ceiling"), "the ceiling comes before the end of the bake", mend)
    if not bake.minimum_points:
        return
    if not bake.ceiling:
        yield Problem(path, "points are asked for, but no time to gather them", "write `for: 15m`, or a `ceiling`")
        return
    sources = [alarm for alarm in watching(pipeline, stage) if alarm.counts_as_evidence]
    if not sources:
        mend = "add a canary alarm for it, put `evidence: true` on an alarm, or take `points` out"
        yield Problem(
            (*path, "points"), f"no alarm of `{stage.name}` gathers data points; the bake would never end", mend
        )
        return
    needed = time_for_points(pipeline, stage)
    if needed is not None and needed > bake.ceiling:
        takes, ceiling = duration_text(needed), duration_text(bake.ceiling)
        mend = f"ask for fewer points, look more often, or write `ceiling: {duration_text(4 * needed)}`"
        yield Problem((*path, "points"), f"{bake.minimum_points} points take {takes}; the ceiling is {ceiling}", mend)


def _impossible_batch(stage: Stage, path: Path) -> Iterator[Problem]:
    batch = stage.batch
    for key, percent in (("forward", batch.forward_percent), ("back", batch.back_percent)):
        if percent == 0:
            yield Problem((*path, key), "a batch of 0 % never moves", f"write `{key}: 33`")
    if batch.forward_percent + batch.healthy_percent > 100:
        sentence = (
            f"{batch.forward_percent} % can change while {batch.healthy_percent} % stay in service only where the "
            "deployer starts the new beside the old"
        )
        yield _warning(path, sentence, f"write `healthy: {100 - batch.forward_percent}`, or a smaller `forward`")


def watching(pipeline: Pipeline, stage: Stage) -> list[Alarm]:
    """The alarms whose scope covers a stage."""
    return [alarm for alarm in pipeline.alarms if stage in pipeline.stages_in(alarm.scope)]


def time_for_points(pipeline: Pipeline, stage: Stage) -> timedelta | None:
    """How long the asked-for data points take at least; None where that is not known beforehand."""
    rate = 0.0
    for alarm in watching(pipeline, stage):
        if alarm.counts_as_evidence:
            if alarm.source != "canary":
                return None
            settings = CanarySettings.model_validate_json(alarm.settings)
            rate += 1 / max(settings.every, timedelta(milliseconds=1)).total_seconds()
    return timedelta(seconds=stage.bake.minimum_points / rate) if rate else None


# ---- what is unwise -------------------------------------------------------------------------------------------------


def unwise(pipeline: Pipeline) -> Iterator[Problem]:
    """Warnings: the line would run, but less carefully than it could."""
    production = [stage for stage in pipeline.stages if stage.is_production]
    index_of = {stage.name: index for index, stage in enumerate(pipeline.stages)}
    if not production:
        mend = "put the stages that serve customers into `group: production`"
        yield _warning(("stages",), "no stage is production, so nothing here is guarded as production", mend)
    first = [stage for stage in production if not any(s in production for s in _upstream(pipeline, stage))]
    for stage in first:
        if len(production) > 1 and not stage.is_one_box:
            sentence = f"`{stage.name}` is the first to serve customers but no one-box: a bad version meets all of them"
            mend = "put a stage `one-box` with at most 10 % of the traffic before it"
            yield _warning(("stages", index_of[stage.name]), sentence, mend)
    for stage in production:
        if not any(not s.is_production for s in _upstream(pipeline, stage)) and stage in first:
            mend = "put a stage before it, such as `beta`, and test there"
            yield _warning(("stages", index_of[stage.name]), f"nothing is tested before `{stage.name}`", mend)
    for stage in pipeline.stages:
        if not stage.is_production and any(s.is_production for s in _upstream(pipeline, stage)):
            mend = "say `production: true` if it serves customers"
            yield _warning(("stages", index_of[stage.name]), f"`{stage.name}` follows production but is none", mend)
    if not any(stage.tests for stage in pipeline.stages):
        yield _warning(("stages", 0), "no stage has a test", f"add `tests:` to `{pipeline.stages[0].name}`")
    blind = [stage for stage in pipeline.stages if stage.bake.duration and not watching(pipeline, stage)]
    if blind:
        names = ", ".join(f"`{stage.name}`" for stage in blind[:6]) + (" …" if len(blind) > 6 else "")
        sentence = f"nothing watches {names}: the bake only lets time pass, and nothing rolls back by itself"
        mend = "add an alarm, for example a canary on its address"
        yield _warning(("stages", index_of[blind[0].name]), sentence, mend)


def _upstream(pipeline: Pipeline, stage: Stage) -> list[Stage]:
    return [pipeline.by_name[name] for name in pipeline.upstream[stage.name]]


def _warning(path: Path, sentence: str, mend: str) -> Problem:
    return Problem(path, sentence, mend, is_warning=True)
