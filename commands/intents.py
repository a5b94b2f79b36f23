"""What somebody can mean: an act on one pipeline or on all, or a question; and how each is spelled."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import assert_never

from commands.words import KEYWORDS
from core.releases.events import (
    AcknowledgeRequested,
    ApproveRequested,
    CancelRequested,
    Command,
    LiftRequested,
    OverrideRequested,
    PauseRequested,
    PromoteRequested,
    ReconcileRequested,
    RejectRequested,
    ResumeRequested,
    RetryRequested,
    RollbackRequested,
)
from core.releases.freezing import FreezeRequested, OrganisationCommand, UnfreezeRequested

HISTORY_LINES = 20


@dataclass(frozen=True, slots=True)
class Act:
    """Something to do to one pipeline."""

    pipeline: str
    event: Command


@dataclass(frozen=True, slots=True)
class ForAll:
    """Something to do to what pipelines share."""

    command: OrganisationCommand


@dataclass(frozen=True, slots=True)
class Freezes:
    """What is frozen, and what will be."""


@dataclass(frozen=True, slots=True)
class Status:
    """What runs where; `subject` is a service, one of its pipelines, or empty for all."""

    subject: str = ""


@dataclass(frozen=True, slots=True)
class Why:
    """Why it does not move; `subject` is a service or one of its pipelines."""

    subject: str


@dataclass(frozen=True, slots=True)
class History:
    """The last `count` things that happened, to one version if it is named."""

    pipeline: str
    version: str = ""
    count: int = HISTORY_LINES


@dataclass(frozen=True, slots=True)
class Services:
    """The catalogue; `subject` is a team, a part of a name, or empty for all."""

    subject: str = ""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who owns a service and what belongs to it."""

    service: str


@dataclass(frozen=True, slots=True)
class Init:
    """To write a first pipeline: a window in Slack, a command in a shell."""


@dataclass(frozen=True, slots=True)
class Help:
    """What can be asked; of one verb if it is named."""

    verb: str = ""


Intent = Act | ForAll | Freezes | Status | Why | History | Services | Owner | Init | Help


def spell(intent: Intent) -> str:
    """The words that mean this: `parse(spell(intent)) == intent`. Ids that only buttons carry have no words."""
    match intent:
        case Status():
            return _join("status", intent.subject)
        case Why():
            return _join("why", intent.subject)
        case History():
            count = "" if intent.count == HISTORY_LINES else f"last {intent.count}"
            return _join("history", intent.pipeline, _name(intent.version), count)
        case Help():
            return _join("help", intent.verb)
        case Freezes():
            return "freezes"
        case Init():
            return "init"
        case Services():
            return _join("services", intent.subject)
        case Owner():
            return _join("owner", intent.service)
        case ForAll():
            return _join(*_for_all(intent.command))
        case Act():
            verb, *rest = _act(intent.event)
            return _join(verb, intent.pipeline, *rest)
    assert_never(intent)


def _act(event: Command) -> tuple[str, ...]:
    match event:
        case PromoteRequested():
            return "promote", _name(event.version), _option("to", event.to_stage)
        case PauseRequested():
            length = f"for {_length(event.duration)}" if event.duration else ""
            return "pause", _option("in", event.scope_name), length, _reason(event.reason)
        case ResumeRequested():
            return "resume", _option("in", event.scope_name)
        case RollbackRequested():
            where = "everywhere" if event.everywhere else _option("in", event.scope_name)
            return "rollback", where, _option("to", event.to_version), _reason(event.reason)
        case ApproveRequested():
            return "approve", _name(event.version)
        case RejectRequested():
            return "reject", _name(event.version), _reason(event.reason)
        case OverrideRequested():
            return "override", _name(event.version), _name(event.stage), _reason(event.reason)
        case LiftRequested():
            return "lift", _name(event.version), _reason(event.reason)
        case ReconcileRequested():
            return "reconcile", event.choice, _name(event.target), _reason(event.reason)
        case RetryRequested():
            return "retry", _option("in", event.stage)
        case CancelRequested():
            return "cancel", _name(event.version), _reason(event.reason)
        case AcknowledgeRequested():
            return ("ack",)
    assert_never(event)


def _for_all(command: OrganisationCommand) -> tuple[str, ...]:
    what = command.what
    named = _name(what.service) or (f"team {_name(what.team)}" if what.team else "everything")
    where = _option("in", what.scope_name)
    match command:
        case FreezeRequested():
            length = f"for {_length(command.duration)}" if command.duration else ""
            times = (_moment("from", command.from_at), _moment("until", command.until_at), length)
            return "freeze", named, where, *times, _reason(command.reason)
        case UnfreezeRequested():
            return "unfreeze", _name(command.name) or named, where
    assert_never(command)


def _moment(word: str, at: datetime | None) -> str:
    return f"{word} {at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if at is not None else ""


def _join(*words: str) -> str:
    return " ".join(filter(None, words))


def _name(name: str) -> str:
    typed = " ".join(name.split())
    plain = re.fullmatch(r"\w[\w.+-]*", typed) and typed not in KEYWORDS
    return typed if plain or not typed else f'"{typed}"'


def _reason(reason: str) -> str:
    """The reason in quotes that it does not itself contain, so that none of it is taken for something else."""
    pairs = (('"', '"'), ("“", "”"), ("«", "»"), ("‘", "’"))
    opening, closing = next((pair for pair in pairs if not set(pair) & set(reason)), pairs[0])
    return f"{opening}{reason}{closing}" if reason else ""


def _option(word: str, name: str) -> str:
    return f"{word} {_name(name)}" if name else ""


def _length(length: timedelta) -> str:
    return f"{int(length.total_seconds() // 60)}m"
