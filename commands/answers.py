"""The four answers that change nothing: status, why, history, help; as text in the reader's dialect, and as facts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain
from typing import Protocol

from commands.dialect import Dialect, Shell
from commands.grammar import FORMS, VERBS
from commands.mrkdwn import cut
from commands.standing import Step, begun, cleared_by, standing, steps
from commands.words import listed, shorten
from core.ports import AlarmState
from core.releases.alarms import alarm_state
from core.releases.blockers import Blocker
from core.releases.freezing import in_sight
from core.releases.gates import concerns, what_is_frozen
from core.releases.state import (
    Pause,
    PipelineState,
    Release,
)
from core.releases.statuses import Completed, RolledBack
from core.releases.why import ReleaseReasons, why
from core.releases.words import place
from core.releases.world import Freeze, World

VERSION_LENGTH = 60
SENTENCE_LENGTH = 400


class Line(Protocol):
    """One line of the history."""

    @property
    def seq(self) -> int:
        """Its number."""

    @property
    def at(self) -> datetime:
        """When."""

    @property
    def actor(self) -> str:
        """Who, by name."""

    @property
    def via(self) -> str:
        """From where."""

    @property
    def kind(self) -> str:
        """What, for programs."""

    @property
    def sentence(self) -> str:
        """What, for people."""

    @property
    def release(self) -> str:
        """Of which release, by id; may be empty."""

    @property
    def refused(self) -> bool:
        """Whether it was asked and refused."""


Facts = dict[str, object]


def status_of_all(states: Sequence[PipelineState], world: World, now: datetime, d: Dialect) -> tuple[str, Facts]:
    """One line for each pipeline: what runs where it matters most, what is on its way, what holds it."""
    if not states:
        return "There is no service yet. Add a pipeline file, or make one with `init`.", {"pipelines": []}
    # Of thousands of services only what fits is worked out; nobody reads facts in Slack.
    stops = [f"Frozen: {_freeze_line(f, now, d)}" for f in in_sight(world, now) if f.is_everything and f.is_on(now)]
    text = joined(chain(stops, (_line(state, now, d) for state in states)), d, len(stops) + len(states))
    return text, {"pipelines": [pipeline_facts(state, world, now) for state in states]} if d.carries_facts else {}


def _line(state: PipelineState, now: datetime, d: Dialect) -> str:
    stages = state.definition.stages
    last = stages[-1]
    parts = [f"{last.name} runs {d.words(_versions(state, last.name))}"]
    live = [release for release in reversed(state.releases) if release.is_live]
    for release in live[:2]:
        stands = standing(state, release, now)
        until = f" until {d.time(stands.until, now)}" if stands.until else ""
        parts.append(f"{d.words(_version(release.version))} is {d.words(_sentence(stands.words))}{until}")
    if len(live) > 2:
        parts.append(f"{len(live) - 2} more on their way")
    if not live and (fate := _fate(state, state.releases[-1] if state.releases else None, now, d)):
        parts.append(fate)
    if pauses := _in_force(state, now):
        parts.append(f"paused by {d.words(shorten(pauses[0].by.name))}: {d.words(_sentence(pauses[0].reason))}")
    if red := _alarms(state, AlarmState.ALARM, now):
        parts.append(f"red: {d.words(listed(red))}")
    return f"• {d.strong(state.id)}: {'; '.join(parts)}."


def status_of(states: Sequence[PipelineState], world: World, now: datetime, d: Dialect) -> tuple[str, Facts]:
    """Each stage of these pipelines: its version, its state, since when, what comes next."""
    lines: list[str] = []
    for state in states:
        lines += _stages(state, world, now, d)
    lines += _frozen(states, world, now, d)
    return joined(lines, d, len(lines)), {"pipelines": [pipeline_facts(state, world, now) for state in states]}


def _stages(state: PipelineState, world: World, now: datetime, d: Dialect) -> Iterable[str]:
    yield f"{d.strong(state.id)} of the team {d.words(state.definition.team)}"
    by_release = {release.id: steps(state, release, now) for release in state.releases}
    for stage in state.definition.stages:
        said = [f"runs {d.words(_versions(state, stage.name))}"]
        occupied = state.stage(stage.name)
        if occupied.run is not None:
            release = state.released(occupied.run.release)
            step = next(s for s in by_release[release.id] if s.stage == stage.name)
            since = d.time(occupied.run.phase.since, now)
            said.append(f"{d.words(_version(release.version))} {_doing(step, now, d)}, since {since}")
        elif occupied.watch is not None and now < occupied.watch.until:
            said.append(f"watched until {d.time(occupied.watch.until, now)}")
        waiting = [
            release.version
            for release in state.releases
            for step in by_release[release.id]
            if step.stage == stage.name and step.words == "waits to enter"
        ]
        if waiting:
            names = d.words(listed([_version(version) for version in waiting]))
            said.append(f"next: {names} {'waits' if len(waiting) == 1 else 'wait'} to enter")
        for target in state.targets_of(stage.name):
            if target.drift:
                said.append(f"{d.words(target.name)}: {d.words(_sentence(target.drift))}")
            elif target.is_mixed:
                said.append(f"{d.words(target.name)} is mixed")
        group = f" ({d.words(stage.group)})" if stage.group else ""
        yield f"• {d.words(stage.name)}{group}: {'; '.join(said)}"
    yield from _paused(state, now, d)
    for how, word in ((AlarmState.ALARM, "red"), (AlarmState.UNKNOWN, "unknown")):
        if alarms := _alarms(state, how, now):
            yield f"Alarms {word}: {d.words(listed(alarms, most=12))}"
    if any(found.reasons for found in why(state, world, now)):
        yield d.words(f"`/release why {state.id}` says what each waits for.")


def _paused(state: PipelineState, now: datetime, d: Dialect) -> Iterable[str]:
    for pause in _in_force(state, now):
        until = f", until {d.time(pause.until, now)}" if pause.until else ""
        reason = d.words(_sentence(pause.reason))
        yield f"Paused by {d.words(shorten(pause.by.name))}, {d.words(place(pause.scope))}{until}: {reason}"


def _doing(step: Step, now: datetime, d: Dialect) -> str:
    until = f" until {d.time(step.until, now)}" if step.until else ""
    return f"{d.words(_sentence(step.words))}{until}"


def why_of(
    states: Sequence[PipelineState], world: World, now: datetime, d: Dialect, release: str = ""
) -> tuple[str, Facts]:
    """Every reason each release does not move, who can clear it, and when it clears by itself.

    `release` is the id of one whose fate is told first where it is not on its way any more.
    """
    lines: list[str] = []
    facts: list[object] = []
    for state in states:
        found = why(state, world, now)
        about = state.release(release) or (state.releases[-1] if state.releases and not found else None)
        if fate := _fate(state, about, now, d):
            lines.append(f"{fate[:1].upper()}{fate[1:]}.")
        if not found:
            last = state.definition.stages[-1].name
            runs = d.words(f"{last} runs {_versions(state, last)}")
            lines.append(f"Nothing of {d.strong(state.id)} is on its way. {runs}.")
        for one in found:
            lines += _reasons(state, one, now, d)
        if not any(reason.kind == "paused" for one in found for reason in one.reasons):
            lines += _paused(state, now, d)
        facts.append({"id": state.id, "releases": [_reason_facts(one) for one in found]})
    return joined(lines, d, len(lines)), {"pipelines": facts}


def _fate(state: PipelineState, release: Release | None, now: datetime, d: Dialect) -> str:
    """What became of a release that ended otherwise than everywhere; empty for all others."""
    if release is None or release.is_live or isinstance(release.status, Completed):
        return ""
    stands = standing(state, release, now)
    when = f", at {d.time(stands.at, now)}" if stands.at else ""
    mend = ""
    if isinstance(release.status, RolledBack) and any(mark.digest == release.digest for mark in state.bad):
        mend = d.words(
            f"; automation does not bring it back: announce a fix, or an owner lifts it with"
            f" `/release lift {state.id} {_version(release.version)} REASON`"
        )
    return f"{d.words(f'{_version(release.version)} is {_sentence(stands.words)}')}{when}{mend}"


def _reasons(state: PipelineState, found: ReleaseReasons, now: datetime, d: Dialect) -> Iterable[str]:
    name = d.strong(f"{state.id} {_version(found.release.version)}")
    if found.doing:
        yield f"{name} in {d.words(found.stage)}: {d.words(found.doing)}."
    elif found.reasons:
        yield f"{name} waits to enter {d.words(found.stage)}:"
    else:
        yield f"{name} enters {d.words(found.stage)} at the next look, in a moment."
    for reason in found.reasons:
        who = f" Who can clear it: {d.words(_sentence(cleared_by(reason.who)))}." if reason.who else ""
        when = f" It clears by itself at {d.time(reason.clears_at, now)}." if reason.clears_at else ""
        yield f"• {d.words(begun(_sentence(reason.sentence), state))}.{who}{when}"
    if found.moves_at is not None:
        yield f"It moves by itself at {d.time(found.moves_at, now)}, if nothing else comes up."


def freezes_of(world: World, now: datetime, d: Dialect) -> tuple[str, Facts]:
    """What is frozen and what will be, those that are on first."""
    freezes = in_sight(world, now)
    lines = [f"• {_freeze_line(freeze, now, d)}" for freeze in freezes] or [
        "Nothing is frozen, and no freeze is planned."
    ]
    facts: list[object] = [
        {
            "name": freeze.name,
            "what": what_is_frozen(freeze),
            "services": sorted(freeze.services),
            "teams": sorted(freeze.teams),
            "places": sorted(freeze.scopes),
            "by": freeze.by.name if freeze.by is not None else None,
            "reason": freeze.reason,
            "from": freeze.starts_at.isoformat(),
            "until": _iso(freeze.ends_at),
            "is_on": freeze.is_on(now),
        }
        for freeze in freezes
    ]
    return joined(lines, d, len(lines)), {"freezes": facts}


def _freeze_line(freeze: Freeze, now: datetime, d: Dialect) -> str:
    begins = "" if freeze.is_on(now) else f" from {d.time(freeze.starts_at, now)}"
    until = f" until {d.time(freeze.ends_at, now)}" if freeze.ends_at is not None else " until somebody lifts it"
    by = f"by {d.words(shorten(freeze.by.name))}" if freeze.by is not None else "planned in the organisation file"
    reason = f": {d.words(_sentence(freeze.reason))}" if freeze.reason else ""
    is_or_will = "is" if freeze.is_on(now) else "will be"
    return (
        f"{d.strong(freeze.name)}: {d.words(what_is_frozen(freeze))} {is_or_will} frozen{begins}{until}, {by}{reason}."
    )


def _frozen(states: Sequence[PipelineState], world: World, now: datetime, d: Dialect) -> Iterable[str]:
    """The freezes that hold any of these."""
    for freeze in in_sight(world, now):
        if freeze.is_on(now) and any(concerns(freeze, state.definition) for state in states):
            yield f"Frozen: {_freeze_line(freeze, now, d)}"


def history_of(lines: Sequence[Line], subject: str, now: datetime, d: Dialect) -> tuple[str, Facts, str]:
    """What happened, newest first; with all of it as plain text where the answer had to be cut."""
    said = _happened(lines, subject, now, d)
    facts = [
        {
            "seq": line.seq,
            "at": line.at.isoformat(),
            "actor": line.actor,
            "via": line.via,
            "kind": line.kind,
            "sentence": line.sentence,
            "release": line.release,
            "refused": line.refused,
        }
        for line in lines
    ]
    text = joined(said, d, len(said))
    is_cut = text != "\n".join(said)
    return text, {"history": facts}, "\n".join(_happened(lines, subject, now, Shell())) if is_cut else ""


def _happened(lines: Sequence[Line], subject: str, now: datetime, d: Dialect) -> list[str]:
    said = [f"{d.strong(subject)}, newest first:"] if lines else [f"Nothing is recorded of {d.strong(subject)}."]
    for line in lines:
        refused = "asked and refused: " if line.refused else ""
        source = f"{line.actor}, {line.via}" if line.via and line.via != line.actor.casefold() else line.actor
        said.append(
            f"• {d.time(line.at, now)}: {refused}{d.words(_sentence(line.sentence))} ({d.words(shorten(source))})"
        )
    return said


def help_with(verb: str, d: Dialect) -> tuple[str, Facts]:
    """The list of forms, or one of them with its example."""
    if verb:
        form = VERBS[verb]
        text = f"{_capital(form.purpose)}. {form.right_form}"
        return d.words(text), {"forms": [_form_facts(verb)]}
    lines = ["This is what you can ask:"]
    lines += [d.words(f"• `/release {form.usage}` – {form.purpose}") for form in FORMS]
    lines.append("In a release's thread mention me and leave the service out: there I know which one is meant.")
    return "\n".join(lines), {"forms": [_form_facts(form.verb) for form in FORMS]}


def _form_facts(verb: str) -> Facts:
    form = VERBS[verb]
    return {"verb": form.verb, "usage": form.usage, "purpose": form.purpose, "example": form.example}


# ---- facts ----------------------------------------------------------------------------------------------------------


def pipeline_facts(state: PipelineState, world: World, now: datetime) -> Facts:
    """A pipeline for programs: names, ids and ISO instants."""
    return {
        "id": state.id,
        "service": state.definition.service,
        "team": state.definition.team,
        "stages": [_stage_facts(state, stage.name, stage.group) for stage in state.definition.stages],
        "releases": [_release_facts(state, release, now) for release in reversed(state.releases)],
        "waiting": [_reason_facts(found) for found in why(state, world, now)],
        "pauses": [
            {
                "id": pause.id,
                "by": pause.by.name,
                "reason": pause.reason,
                "scope": pause.scope.name,
                "at": pause.at.isoformat(),
                "until": _iso(pause.until),
            }
            for pause in _in_force(state, now)
        ],
        "alarms": {alarm.name: str(alarm_state(state, alarm, now)) for alarm in state.definition.alarms},
    }


def _stage_facts(state: PipelineState, name: str, group: str) -> Facts:
    occupied = state.stage(name)
    run = occupied.run
    return {
        "name": name,
        "group": group,
        "targets": {
            target.name: {
                "version": target.current.version if target.current else None,
                "digest": target.current.digest if target.current else None,
                "is_mixed": target.is_mixed,
                "drift": target.drift,
            }
            for target in state.targets_of(name)
        },
        "release": run.release if run else None,
        "phase": run.phase.kind if run else None,
        "since": run.phase.since.isoformat() if run else None,
        "watched_until": _iso(occupied.watch.until if occupied.watch else None),
    }


def _release_facts(state: PipelineState, release: Release, now: datetime) -> Facts:
    stands = standing(state, release, now)
    return {
        "id": release.id,
        "version": release.version,
        "digest": release.digest,
        "status": release.status.kind,
        "standing": stands.kind,
        "words": stands.words,
        "stage": stands.stage,
        "until": _iso(stands.until),
        "passed": list(release.passed),
        "announced_at": release.announced_at.isoformat(),
    }


def _reason_facts(found: ReleaseReasons) -> Facts:
    return {
        "release": found.release.id,
        "version": found.release.version,
        "stage": found.stage,
        "doing": found.doing,
        "moves_at": _iso(found.moves_at),
        "reasons": [_blocker_facts(reason) for reason in found.reasons],
    }


def _blocker_facts(reason: Blocker) -> Facts:
    return {
        "kind": reason.kind,
        "sentence": reason.sentence,
        "who": reason.who,
        "clears_at": _iso(reason.clears_at),
        "subject": reason.subject,
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None


# ---- small words ----------------------------------------------------------------------------------------------------


def joined(lines: Iterable[str], d: Dialect, count: int) -> str:
    """The lines as far as they fit; how many of `count` do not is said."""
    kept: list[str] = []
    length = 0
    for line in lines:
        if length + len(line) + 1 > d.limit - 80:
            kept.append(f"… and {count - len(kept)} more lines; name a service or a smaller number to see them.")
            break
        kept.append(line)
        length += len(line) + 1
    return "\n".join(kept)


def _versions(state: PipelineState, stage: str) -> str:
    """What a stage runs: one version, or each with its targets where they differ."""
    by_version: dict[str, list[str]] = {}
    for target in state.targets_of(stage):
        version = target.current.version if target.current is not None else "nothing known"
        by_version.setdefault(_version(version), []).append(target.name)
    if len(by_version) <= 1:
        return "".join(by_version) or "nothing"
    return listed([f"{version} ({listed(targets)})" for version, targets in by_version.items()])


def _version(version: str) -> str:
    return shorten(" ".join(version.split()), VERSION_LENGTH)


def _sentence(text: str) -> str:
    return cut(" ".join(text.split()), SENTENCE_LENGTH).rstrip(".")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _in_force(state: PipelineState, now: datetime) -> tuple[Pause, ...]:
    return tuple(pause for pause in state.pauses if pause.until is None or now < pause.until)


def _alarms(state: PipelineState, wanted: AlarmState, now: datetime) -> list[str]:
    return [alarm.name for alarm in state.definition.alarms if alarm_state(state, alarm, now) is wanted]
