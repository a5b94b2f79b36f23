"""Takes the pieces of a sentence (service, version, stage, length, reason); offers the right one where one is wrong."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from commands.intents import Intent
from commands.words import KEYWORDS, Words, listed, shorten
from core.errors import UsageError
from core.releases.likeness import most_like
from core.releases.roster import Roster, names
from core.releases.state import PipelineState
from core.releases.world import Actor

REASON_LENGTH = 300
LONGEST_PAUSE = timedelta(days=90)
AT_A_TIME = 32
"""Pipelines that are looked at before others have their turn."""
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
"""Where nobody says what time it is."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a thread or button is about, as ids; may be empty."""

    pipeline: str = ""
    release: str = ""


NOWHERE = Context()


@dataclass(frozen=True, slots=True)
class Form:
    """One line of the table: how it is said, what it does, an example, and who takes the words apart."""

    verb: str
    usage: str
    purpose: str
    example: str
    take: Callable[[Hearing], Intent]

    @property
    def right_form(self) -> str:
        """The sentence that helps whoever left something out."""
        return f"It goes `/release {self.usage}`, for example `/release {self.example}`."


@dataclass(slots=True)
class Hearing:
    """One sentence being understood."""

    words: Words
    by: Actor
    pipelines: Mapping[str, PipelineState]
    context: Context
    now: datetime = LONG_AGO
    form: Form = field(init=False)


def subjects(pipelines: Mapping[str, PipelineState]) -> dict[str, str]:
    """What may be typed for a service or pipeline, and its proper name; a channel stands for what it is about."""
    found: dict[str, str] = {}
    known = list(names(pipelines))
    for named in known:
        channel = f"#{named.channel.lstrip('#')}"
        # A channel that several services share stands for none of them.
        is_shared = found.get(channel, named.service) != named.service
        found[channel] = "" if is_shared else named.service
    found = {channel: service for channel, service in found.items() if service}
    for named in known:
        found[f"#{named.service}"] = found[named.service] = named.service
        found[f"#{named.id}"] = found[named.id] = named.id
    return found


def pipelines_named(subject: str, pipelines: Mapping[str, PipelineState]) -> tuple[PipelineState, ...]:
    """The pipelines of a service, or the one pipeline of this id; by id."""
    if subject in pipelines and pipelines[subject].definition.service != subject:
        return (pipelines[subject],)
    # An id is `service` or `service/pipeline`. Comparing ids is a tenth of the work of looking into every state.
    further = f"{subject}/"
    return tuple(pipelines[id_] for id_ in sorted(i for i in pipelines if i == subject or i.startswith(further)))


async def unhurried(pipelines: Mapping[str, PipelineState]) -> AsyncIterator[PipelineState]:
    """Every state by id, letting others have their turn: thousands may have to be unpacked."""
    states = pipelines.items()
    for at, (_, state) in enumerate(states if isinstance(pipelines, Roster) else sorted(states)):
        if at % AT_A_TIME == AT_A_TIME - 1:
            await asyncio.sleep(0)
        yield state


def take_subject(h: Hearing) -> str:
    """A service or one of its pipelines, by its proper name."""
    if named := take_named(h):
        return named
    if not h.words and h.context.pipeline in h.pipelines:
        return h.context.pipeline
    raise _no_such_service(h)


def take_pipeline(h: Hearing) -> PipelineState:
    """The one pipeline meant: named, or that of the thread; asks which where a service has several."""
    here = h.pipelines.get(h.context.pipeline)
    if named := take_named(h):
        found = pipelines_named(named, h.pipelines)
        if len(found) == 1:
            return found[0]
        if here in found and here is not None:
            return here
        ids = [state.id for state in found]
        raise UsageError(
            f"{named} has several pipelines: {listed(ids, most=8)}. Which one?",
            mend=f"For example `/release {h.form.verb} {ids[0]} {h.words.rest}".rstrip()[:200] + "`.",
        )
    if here is not None:
        return here
    raise _no_such_service(h)


def take_named(h: Hearing) -> str:
    """The service or pipeline that stands next, by its proper name; empty if none does."""
    word = h.words.next
    if word in h.pipelines and word not in KEYWORDS:
        # What most people type; building all that may be typed takes long where there are thousands.
        return h.words.take()
    known = subjects(h.pipelines)
    return known.get(h.words.take_name(known), "")


def _no_such_service(h: Hearing) -> UsageError:
    if not h.words:
        return UsageError("Which service?", mend=h.form.right_form)
    near = most_like(h.words.next.strip("#.,;:!?"), sorted(set(subjects(h.pipelines).values())))
    offer = f" Did you mean {listed(near, 'or')}?" if near else ""
    message = f"There is no service “{shorten(h.words.next)}”.{offer}"
    return UsageError(message, mend="`/release status` lists all.")


def versions_of(state: PipelineState) -> tuple[str, ...]:
    """Every version this pipeline still knows, newest first."""
    found = {release.version: release.sequence for release in state.releases}
    for target in state.targets:
        for installed in (target.current, *target.good):
            if installed is not None:
                found.setdefault(installed.version, installed.sequence)
    for mark in state.bad:
        found.setdefault(mark.version, mark.sequence)
    return tuple(sorted(found, key=lambda version: (-found[version], version)))


def version_of_thread(h: Hearing, state: PipelineState) -> str:
    """The version the thread is about, if the thread is this pipeline's."""
    if state.id != h.context.pipeline:
        return ""
    return next((release.version for release in state.releases if release.id == h.context.release), "")


def peek_version(h: Hearing, state: PipelineState) -> str:
    """The version that stands next, without quotes and not taken."""
    if h.words.quoted():
        return ""
    return Words(h.words.rest).take_name(versions_of(state))


def take_version(h: Hearing, state: PipelineState) -> str:
    """A version that must be named."""
    known = versions_of(state)
    if not h.words:
        raise UsageError("Which version?", mend=h.form.right_form)
    if version := h.words.take_name(known):
        return version
    typed = h.words.quoted() or h.words.next
    raise unknown("version", typed, most_like(typed, known), listed(known) or "none yet", state.id)


def take_version_before_reason(h: Hearing, state: PipelineState) -> str:
    """The version, if one is named; a first word that is surely meant for one but is none is not taken for a reason."""
    before, known = h.words.rest, versions_of(state)
    version = h.words.take_name(known)
    if version and not h.words and before[:1] not in (version[:1], ""):
        h.words.rest = before  # in quotes and alone, it is the reason
        version = ""
    if not version and not h.words.quoted() and _looks_like_a_version(h.words.next, known):
        raise unknown("version", h.words.next, most_like(h.words.next, known), listed(known) or "none yet", state.id)
    return version or version_of_thread(h, state)


def _looks_like_a_version(word: str, known: tuple[str, ...]) -> bool:
    if not any(letter.isdigit() for letter in word):
        return False
    shape = re.fullmatch(r"v?\d+(\.\d+)+[\w.+-]*|(?=\w*\d)[0-9a-f]{7,64}", word, re.IGNORECASE)
    return shape is not None or bool(most_like(word, known, 1))


def take_stage(h: Hearing, state: PipelineState) -> str:
    """A stage that must be named; for a group its stages are offered."""
    names = [stage.name for stage in state.definition.stages]
    if not h.words:
        raise UsageError(f"Which stage? {state.id} has {listed(names, most=12)}.", mend=h.form.right_form)
    if stage := h.words.take_name(names):
        return stage
    typed = h.words.next
    waves = [stage.name for stage in state.definition.stages if stage.group == typed]
    raise unknown("stage", typed, tuple(waves) or most_like(typed, names), listed(names, most=12), state.id)


def take_scope(h: Hearing, state: PipelineState) -> str:
    """A stage, group or target that must be named."""
    stages = state.definition.stages
    names = list(dict.fromkeys([s.name for s in stages] + [s.group for s in stages if s.group]))
    if not h.words:
        raise UsageError(f"In which stage or group? {state.id} has {listed(names, most=12)}.", mend=h.form.right_form)
    if scope := h.words.take_name([*names, *(target.name for s in stages for target in s.targets)]):
        return scope
    error = unknown("stage or group", h.words.next, most_like(h.words.next, names), listed(names, most=12), state.id)
    error.mend += " If “in” begins your reason, put the reason in quotes."
    raise error


def unknown(kind: str, typed: str, near: tuple[str, ...], all_: str, pipeline: str) -> UsageError:
    """There is none of that name; these come near, and these there are."""
    offer = f" Did you mean {listed(near, 'or')}?" if near else ""
    return UsageError(f"{pipeline} has no {kind} “{shorten(typed)}”.{offer}", mend=f"It has {all_}.")


_LENGTH = re.compile(r"for\s+((?:\d{1,6}\s*(?:minutes?|mins?|hours?|days?|weeks?|[mhdw])\s*)+)(?=\s|$)", re.IGNORECASE)
_UNITS = {"m": 1, "h": 60, "d": 1440, "w": 10080}


def take_length(h: Hearing, what: str = "A pause") -> timedelta | None:
    """A length after `for`: 30m, 2h, 1h30m, 3 days. None where `for` begins something else."""
    found = _LENGTH.match(h.words.rest)
    if found is None:
        if re.match(r"for\s+\d+[^\W\d]+(\s|$)", h.words.rest, re.IGNORECASE):
            raise UsageError(
                f"I did not understand how long “{shorten(h.words.rest.split()[1])}” is.",
                mend="Say it like 30m, 2h, 1d or 1h30m.",
            )
        return None
    h.words.rest = h.words.rest[found.end() :].lstrip()
    minutes = sum(int(n) * _UNITS[u.lower()] for n, u in re.findall(r"(\d+)\s*([mhdw])", found[1], re.IGNORECASE))
    if not 1 <= minutes <= LONGEST_PAUSE.total_seconds() / 60:
        raise UsageError(
            f"{what} lasts between a minute and {LONGEST_PAUSE.days} days.", mend="Without “for” it has no end."
        )
    return timedelta(minutes=minutes)


def take_reason(h: Hearing) -> str:
    """All that is left, 1 to 300 characters."""
    reason = h.words.take_all()
    if not reason:
        raise UsageError("A reason is missing: a few words that others will read.", mend=h.form.right_form)
    if len(reason) > REASON_LENGTH:
        raise UsageError(
            f"The reason has {len(reason)} characters; {REASON_LENGTH} is the most.",
            mend="Say it shorter here and write the rest into the thread.",
        )
    return reason
