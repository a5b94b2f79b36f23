"""What a button is about: ids, and a fingerprint of what it was drawn from, so that a stale one can be told.

Only what makes an act mean something else counts: an approval goes stale when its request is gone, a roll-back when
other versions would go or come; pulling the cord never does.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace

from core.errors import UsageError
from core.releases.state import PipelineState

EVERYWHERE = "*"


@dataclass(frozen=True, slots=True)
class Subject:
    """Pipeline and release by id; `subject` is a request, pause, page, stage or `EVERYWHERE`; `drawn_from` of what."""

    pipeline: str
    release: str = ""
    subject: str = ""
    drawn_from: str = ""

    def encoded(self, verb: str = "", limit: int = 2_000) -> str:
        """Compact JSON for a button's value; `verb` where a menu's entries share one action. Empty if it cannot fit."""
        for attempt in (self, replace(self, subject="", drawn_from="")):
            fields = {
                "a": verb,
                "p": attempt.pipeline,
                "r": attempt.release,
                "s": attempt.subject,
                "v": attempt.drawn_from,
            }
            value = json.dumps({k: v for k, v in fields.items() if v}, separators=(",", ":"), ensure_ascii=False)
            if len(value) <= limit:
                return value
        return ""


def decode(value: str) -> tuple[str, Subject]:
    """Verb (of menus, else empty) and subject of a button's value; raises `UsageError` for a value Andon never made."""
    try:
        fields = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            "This button is from another time.", mend="The release's card has the present ones."
        ) from error
    if (
        not isinstance(fields, dict)
        or not all(isinstance(fields.get(k, ""), str) for k in "aprsv")
        or not fields.get("p")
    ):
        raise UsageError("This button is from another time.", mend="The release's card has the present ones.")
    a, p, r, s, v = (fields.get(key, "") for key in "aprsv")
    return a, Subject(p, r, s, v)


def drawn_from(state: PipelineState, verb: str, release: str, subject: str = "") -> str:
    """The fingerprint of all that an act by this button depends on; empty for acts that never go stale."""
    facts: object
    match verb:
        case "approve" | "reject":
            facts = [(r.id, r.digest, r.revision) for r in state.approvals if r.id == subject]
        case "resume":
            facts = [pause.id for pause in state.pauses if pause.id == subject]
        case "rollback":
            facts = sorted(
                (t.name, t.current.digest if t.current else "", [good.digest for good in t.good]) for t in state.targets
            )
        case "retry":
            facts = [
                (s.name, s.run.release, s.run.phase.kind) for s in state.stages if s.run and _is_about(s.name, subject)
            ]
        case "lift" | "override" | "cancel" | "promote":
            facts = [(r.id, r.status.kind) for r in state.releases if r.id == release]
        case _:
            return ""
    return hashlib.sha256(f"{verb}{facts!r}".encode()).hexdigest()[:8]


def _is_about(stage: str, subject: str) -> bool:
    return not subject or stage == subject
