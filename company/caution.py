"""A pipeline without one of its cautions, so that what each is worth can be seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from core.releases.pipeline import Bake, Pipeline, Scope, ScopeKind, Stage

ONE_BOX = "one-box"
WAVES = "waves"
BAKES = "bakes"
ALARMS = "alarms"
CAUTIONS = (ONE_BOX, WAVES, BAKES, ALARMS)


def without(pipeline: Pipeline, cautions: frozenset[str]) -> Pipeline:
    """The same line less the cautions named; it stays one that Andon would run.

    A one-box is a slice of what the stage after it serves, and goes; the targets of waves stay, in one stage.
    """
    if ONE_BOX in cautions:
        for stage in [s for s in pipeline.stages if s.is_one_box]:
            following = next((s for s in pipeline.stages if stage.name in s.after), None)
            pipeline = _merged(pipeline, replace(stage, targets=()), following)
    if WAVES in cautions:
        waves = [s for s in pipeline.stages if s.is_production and not s.is_one_box]
        for wave in waves[1:]:
            pipeline = _merged(pipeline, wave, pipeline.by_name[waves[0].name])
    stages = pipeline.stages
    alarms = pipeline.alarms
    if ALARMS in cautions:
        alarms = ()
        # Nobody counts data points any more, and nothing may wait for them.
        stages = tuple(replace(s, bake=replace(s.bake, minimum_points=0)) for s in stages)
    if BAKES in cautions:
        stages = tuple(replace(s, bake=Bake()) for s in stages)
    revision = "-".join((pipeline.revision, *sorted(cautions)))
    return replace(pipeline, stages=stages, alarms=alarms, revision=revision)


def served_without(pipeline: Pipeline, bare: Pipeline, customers: Mapping[str, int]) -> dict[str, int]:
    """The customers of each target of the bare line: those of a target that is gone go to the next that is left."""
    left: dict[str, int] = {}
    homeless = 0
    for name in pipeline.stage_of:
        if name not in bare.stage_of:
            homeless += customers.get(name, 0)
        elif name in customers:
            left[name] = customers[name] + homeless
            homeless = 0
    return left


def _merged(pipeline: Pipeline, gone: Stage, into: Stage | None) -> Pipeline:
    """The pipeline with the targets of one stage in another; alarms and what followed it speak of that one then."""
    if into is None or into.name == gone.name:
        return pipeline
    stages = []
    for stage in pipeline.stages:
        if stage.name == gone.name:
            continue
        after = [*dict.fromkeys(_after(stage, gone, into))]
        targets = (*gone.targets, *stage.targets) if stage.name == into.name else stage.targets
        stages.append(replace(stage, after=tuple(after), targets=targets))
    of_gone = Scope(ScopeKind.STAGE, gone.name)
    of_into = Scope(ScopeKind.STAGE, into.name)
    alarms = tuple(replace(a, scope=of_into) if a.scope == of_gone else a for a in pipeline.alarms)
    return replace(pipeline, stages=tuple(stages), alarms=alarms)


def _after(stage: Stage, gone: Stage, into: Stage) -> list[str]:
    found: list[str] = []
    for name in stage.after:
        if name != gone.name:
            found.append(name)
        elif stage.name == into.name:
            found.extend(gone.after)
        elif into.name != stage.name:
            found.append(into.name)
    return found
