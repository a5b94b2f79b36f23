"""The one live message of a release, edited in place: what `templates/card.jinja` shows, worked out from the state.

Nothing here depends on when it is drawn more than the state does: instants are absolute, so a card drawn twice from one
state is equal and is not sent again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bot.render import Message, Templates, built_in
from commands.mrkdwn import cut
from commands.standing import NOW, PASSED, Standing, Step, begun, cleared_by, standing, steps
from commands.subjects import Subject, drawn_from
from commands.words import listed
from core.ports import AlarmState
from core.releases.alarms import alarm_state
from core.releases.approvals import eligible, is_granted, rule_of
from core.releases.bake import alarms_over, health
from core.releases.blockers import holding_marks, is_half_made, waits_at
from core.releases.pipeline import Alarm, Stage
from core.releases.rollback import good_for
from core.releases.state import (
    ApprovalRequest,
    Change,
    Override,
    Pause,
    PipelineState,
    Release,
    StopCause,
    Stopped,
)
from core.releases.statuses import Completed
from core.releases.why import why
from core.releases.world import World

CHANGES_SHOWN: Final = 5
STAGES_SHOWN: Final = 12
NAMES_SHOWN: Final = 5
VERSION_LENGTH: Final = 60
SHOWN_ELSEWHERE: Final = frozenset({"bake", "deploying", "testing", "rollback", "paused", "second"})
"""Reasons that the card says in another place, with an absolute time."""


@dataclass(frozen=True, slots=True)
class Links:
    """Where else a release can be read about; empty where there is no such page."""

    page: str = ""


@dataclass(frozen=True, slots=True)
class StripGroup:
    """Neighbouring stages of one group; the name is empty for stages that belong to none."""

    name: str
    steps: tuple[Step, ...]
    passed_before: int = 0
    """Stages left out before these, all passed."""
    left_out_after: int = 0


@dataclass(frozen=True, slots=True)
class Waiting:
    """One thing it waits for."""

    kind: str
    sentence: str
    who: str
    clears_at: datetime | None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Asking:
    """An open request for approval."""

    place: str
    replaces: str
    given: tuple[str, ...]
    count: int
    who: tuple[str, ...]
    expires_at: datetime
    about: Subject
    rejecting: Subject
    first_stage: str


@dataclass(frozen=True, slots=True)
class RedAlarm:
    """An alarm that is red, and where to look."""

    name: str
    title: str
    url: str
    since: datetime
    runbook: str
    dashboard: str


@dataclass(frozen=True, slots=True)
class RedBefore:
    """Alarms that were red when it entered a stage, and count again once they have been ok [9]."""

    stage: str
    alarms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NoWayBack:
    """Targets of a stage that have nothing to go back to."""

    stage: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CardView:
    """All that the template may say."""

    service: str
    version: str
    release: Release
    stands: Standing
    strip: tuple[StripGroup, ...]
    passed: tuple[str, ...]
    next_stages: tuple[str, ...]
    waiting: tuple[Waiting, ...]
    asking: Asking | None
    changes: tuple[Change, ...]
    more_changes: int
    red: tuple[RedAlarm, ...]
    red_before: tuple[RedBefore, ...]
    unknown: tuple[str, ...]
    silent: tuple[str, ...]
    pauses: tuple[Pause, ...]
    overrides: tuple[Override, ...]
    half_made: tuple[Override, ...]
    """Overrides that wait for their second person: not in force [23]."""
    moves_at: datetime | None
    no_way_back: tuple[NoWayBack, ...]
    may_pause: bool
    resume: Subject | None
    rollback: Subject | None
    retry: Subject | None
    reruns_tests: bool
    """Whether trying again means the tests of that stage."""
    lift: Subject | None
    about: Subject
    links: Links


NO_LINKS: Final = Links()


def card(
    state: PipelineState,
    release: Release,
    world: World,
    now: datetime,
    links: Links = NO_LINKS,
    *,
    templates: Templates | None = None,
) -> Message:
    """Draw a release's card."""
    return (templates or built_in()).message("card", world, card=view(state, release, world, now, links))


def view(state: PipelineState, release: Release, world: World, now: datetime, links: Links = NO_LINKS) -> CardView:
    """What the card of a release says."""
    all_steps = steps(state, release, now)
    is_under_way = release.is_live or any(s.run is not None and s.run.release == release.id for s in state.stages)
    here = tuple(stage for stage in state.definition.stages if _is_here(stage, all_steps))
    pauses = _pauses(state, now) if release.is_live else ()
    overrides = tuple(o for o in state.overrides if o.release == release.id and now < o.expires_at)
    return CardView(
        service=state.id,
        version=short_version(release.version),
        release=release,
        stands=standing(state, release, now),
        strip=strip(all_steps),
        passed=release.passed,
        next_stages=_next(state, release, all_steps),
        waiting=_waiting(state, release, world, now) if is_under_way else (),
        asking=asking(state, release, world, now) if release.is_live else None,
        changes=release.changes[:CHANGES_SHOWN],
        more_changes=len(release.changes) - CHANGES_SHOWN,
        red=_red(state, now) if is_under_way else (),
        red_before=_red_before(state, release),
        unknown=_unknown(state, here, now) if is_under_way else (),
        silent=_silent(state, here, now) if is_under_way else (),
        pauses=pauses,
        overrides=tuple(o for o in overrides if not is_half_made(state, o, now)),
        half_made=tuple(o for o in overrides if is_half_made(state, o, now)),
        moves_at=_moves_at(state, release, world, now) if release.is_live else None,
        no_way_back=_no_way_back(state, release, here) if release.is_live else (),
        may_pause=release.is_live and not pauses,
        resume=_subject(state, release, "resume", pauses[0].id) if pauses else None,
        rollback=_rollback(state, release),
        retry=_retry(state, release),
        reruns_tests=(again := _retry(state, release)) is not None and tests_stopped(state, again.subject),
        lift=_lift(state, release) if release.is_live else None,
        about=Subject(state.id, release.id),
        links=links,
    )


def short_version(version: str) -> str:
    """A version as it fits into a line."""
    return cut(" ".join(version.split()), VERSION_LENGTH)


def strip(all_steps: tuple[Step, ...]) -> tuple[StripGroup, ...]:
    """The line of stages, neighbours of a group together; of a long line what lies around the present is kept."""
    first = 0
    if len(all_steps) > STAGES_SHOWN:
        present = [number for number, step in enumerate(all_steps) if step.words] or [0]
        first = max(0, min(present[0], len(all_steps) - STAGES_SHOWN))
        # Only stages that need no word may be left out in front.
        first = next((n for n in range(first) if all_steps[n].symbol != PASSED or all_steps[n].words), first)
    shown = all_steps[first : first + STAGES_SHOWN]
    groups: list[StripGroup] = []
    for step in shown:
        if groups and groups[-1].name == step.group and step.group:
            groups[-1] = StripGroup(step.group, (*groups[-1].steps, step), groups[-1].passed_before)
        else:
            groups.append(StripGroup(step.group, (step,), first if not groups else 0))
    if groups and (rest := len(all_steps) - first - len(shown)):
        last = groups[-1]
        groups[-1] = StripGroup(last.name, last.steps, last.passed_before, rest)
    return tuple(groups)


def asking(state: PipelineState, release: Release, world: World, now: datetime) -> Asking | None:
    """The first open request of a release."""
    for request in state.approvals:
        rule = rule_of(state.definition, request.scope)
        if request.release != release.id or rule is None or is_granted(state, request, world, now):
            continue
        # A vote counts while its giver may vote: the card counts as the core does.
        may = eligible(state, request, world)
        given = {vote.by.id: vote.by.name for vote in request.votes if vote.by.id in may}
        names = [world.name_of(key) for key in may if key not in given]
        return Asking(
            place=request.scope.name,
            replaces=_replaced(state, request),
            given=tuple(given.values()),
            count=rule.count,
            who=tuple(names[:NAMES_SHOWN])
            + ((f"{len(names) - NAMES_SHOWN} more",) if len(names) > NAMES_SHOWN else ()),
            expires_at=request.expires_at,
            about=_subject(state, release, "approve", request.id),
            rejecting=_subject(state, release, "reject", request.id),
            first_stage=_first_stage(state, release, request),
        )
    return None


def _first_stage(state: PipelineState, release: Release, request: ApprovalRequest) -> str:
    stages = state.definition.stages_in(request.scope)
    return next((stage.name for stage in stages if stage.name not in release.passed), request.scope.name)


def _replaced(state: PipelineState, request: ApprovalRequest) -> str:
    versions = {
        installed.version: None
        for target in state.targets
        for installed in (target.current, *target.good)
        if installed is not None and installed.digest in request.replaces
    }
    return listed([short_version(version) for version in versions])


def _is_here(stage: Stage, all_steps: tuple[Step, ...]) -> bool:
    """Whether the release is in a stage, watched there, or about to enter it."""
    return any(step.stage == stage.name and step.words for step in all_steps)


def _next(state: PipelineState, release: Release, all_steps: tuple[Step, ...]) -> tuple[str, ...]:
    """The stages that come after those in which something happens."""
    moving = {step.stage for step in all_steps if step.is_now and step.symbol == NOW}
    if not release.is_live:
        return ()
    return tuple(s.name for s in state.definition.stages if moving & set(s.after) and s.name not in release.passed)


def _waiting(state: PipelineState, release: Release, world: World, now: datetime) -> tuple[Waiting, ...]:
    found: dict[str, Waiting] = {}
    for one in why(state, world, now):
        if one.release.id != release.id:
            continue
        for reason in one.reasons:
            if reason.kind in SHOWN_ELSEWHERE:
                continue
            sentence, since = reason.sentence, None
            if reason.kind == "alarm":
                # The core says for how long; a card that is not drawn anew says since when.
                reading = state.reading(reason.subject)
                sentence, since = f"the alarm {reason.subject} is red", reading.since if reading else None
            elif reason.kind == "stopped" and one.doing:
                sentence = f"it stands still in {one.stage} until somebody decides"
            found.setdefault(
                sentence, Waiting(reason.kind, begun(sentence, state), cleared_by(reason.who), reason.clears_at, since)
            )
    return tuple(found.values())


def _moves_at(state: PipelineState, release: Release, world: World, now: datetime) -> datetime | None:
    """When it enters its next stage if nothing but time passes."""
    return min(
        (one.moves_at for one in why(state, world, now) if one.release.id == release.id and one.moves_at), default=None
    )


def _pauses(state: PipelineState, now: datetime) -> tuple[Pause, ...]:
    return tuple(p for p in state.pauses if p.until is None or now < p.until)


def _red(state: PipelineState, now: datetime) -> tuple[RedAlarm, ...]:
    defined: dict[str, Alarm] = {alarm.name: alarm for alarm in state.definition.alarms}
    names = dict.fromkeys(name for stage in state.definition.stages for name in _red_over(state, stage, now))
    shown = []
    for name in names:
        reading, alarm = state.reading(name), defined.get(name)
        if reading is not None:
            shown.append(
                RedAlarm(
                    name=name,
                    title=reading.title if reading.title != name else "",
                    url=reading.url,
                    since=reading.since,
                    runbook=reading.runbook or (alarm.runbook if alarm else ""),
                    dashboard=alarm.dashboard if alarm else "",
                )
            )
    return tuple(shown)


def _red_before(state: PipelineState, release: Release) -> tuple[RedBefore, ...]:
    """Where it is, or is watched, though alarms were red when it entered."""
    found = []
    for stage in state.stages:
        for here in (stage.run, stage.watch):
            if here is not None and here.release == release.id and here.red_at_entry:
                found.append(RedBefore(stage.name, here.red_at_entry))
    return tuple(found)


def _red_over(state: PipelineState, stage: Stage, now: datetime) -> tuple[str, ...]:
    return health(state, state.definition, stage, now).red


def _unknown(state: PipelineState, here: tuple[Stage, ...], now: datetime) -> tuple[str, ...]:
    return tuple(sorted({name for stage in here for name in health(state, state.definition, stage, now).unknown}))


def _silent(state: PipelineState, here: tuple[Stage, ...], now: datetime) -> tuple[str, ...]:
    """Alarms that count as ok only because nothing was heard of them [10]."""
    return tuple(
        sorted(
            {
                alarm.name
                for stage in here
                for alarm in alarms_over(state.definition, stage)
                if alarm.silence_is_ok and alarm_state(state, alarm, now) is AlarmState.OK
            }
        )
    )


def _no_way_back(state: PipelineState, release: Release, here: tuple[Stage, ...]) -> tuple[NoWayBack, ...]:
    found = []
    for stage in here:
        lost = tuple(t.name for t in state.targets_of(stage.name) if good_for(state, t, release.digest) is None)
        if lost:
            found.append(NoWayBack(stage.name, lost))
    return tuple(found)


def runs_somewhere(state: PipelineState, release: Release) -> bool:
    """Whether a rollback would have something to take away."""
    return any(
        (target.current is not None and target.current.digest == release.digest)
        or (target.deployment is not None and target.deployment.what.digest == release.digest)
        for target in state.targets
    )


def _rollback(state: PipelineState, release: Release) -> Subject | None:
    is_wanted = release.is_live or isinstance(release.status, Completed)
    # No fingerprint: the modal it opens shows what would go where at that moment, and carries that.
    return Subject(state.id, release.id) if is_wanted and runs_somewhere(state, release) else None


def _retry(state: PipelineState, release: Release) -> Subject | None:
    for occupied in state.stages:
        run = occupied.run
        if run is not None and run.release == release.id and isinstance(run.phase, Stopped):
            return _subject(state, release, "retry", occupied.name)
    return None


def tests_stopped(state: PipelineState, stage: str) -> bool:
    """Whether a stage stands still because of its tests, so that trying again runs them again."""
    run = next((s.run for s in state.stages if s.name == stage), None)
    return (
        run is not None
        and isinstance(run.phase, Stopped)
        and run.phase.cause in (StopCause.TEST_FAILED, StopCause.TEST_ERRORED)
    )


def _lift(state: PipelineState, release: Release) -> Subject | None:
    """Offered where a version that was rolled back holds it; only owners may, which is checked when they do."""
    stages = state.definition.stages
    is_held = any(waits_at(state, release, stage) and holding_marks(state, release, stage) for stage in stages)
    return Subject(state.id, release.id) if is_held else None


def _subject(state: PipelineState, release: Release, verb: str, subject: str = "") -> Subject:
    return Subject(state.id, release.id, subject, drawn_from(state, verb, release.id, subject))
