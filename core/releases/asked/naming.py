"""What people name and say: versions, places, reasons; refused where they mean nothing."""

from __future__ import annotations

from core.errors import CommandRefused
from core.releases.draft import Draft
from core.releases.pipeline import Scope
from core.releases.state import Release
from core.releases.words import nearest

REASON_LENGTH = 300


def named(draft: Draft, version: str) -> Release:
    """The newest release of this version."""
    found = [r for r in draft.state.releases if r.version == version]
    if not found:
        raise CommandRefused(
            f"{draft.definition.service} has no version {version} that is remembered.",
            mend=nearest(version, (r.version for r in reversed(draft.state.releases))),
        )
    return found[-1]


def known_place(draft: Draft, name: str) -> Scope:
    """The stage, group or target of this name."""
    scope = draft.definition.scope_named(name)
    if scope is None:
        places = [s.name for s in draft.definition.stages] + [g.name for g in draft.definition.groups]
        raise CommandRefused(f"{draft.definition.service} has no stage or group {name}.", mend=nearest(name, places))
    return scope


def reason_given(text: str, verb: str) -> str:
    """A reason as it is kept: one line of 1 to 300 characters, without the full stop of a sentence around it."""
    reason = " ".join(text.split())
    if not reason:
        raise CommandRefused(f"A {verb} needs a reason.", mend="Say it in a few words at the end.")
    if len(reason) > REASON_LENGTH:
        raise CommandRefused(
            f"The reason has {len(reason)} characters; {REASON_LENGTH} are the most.",
            mend="Put the details into the thread.",
        )
    return reason.rstrip(".")
