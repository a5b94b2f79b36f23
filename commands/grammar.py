"""The grammar: one table of what people can say, and a small function for each line of it.

The same for `/release …` in Slack, `@andon …` in a thread and `andon …` in a shell. `parse` takes plain words
(`commands.words` made them plain) and raises nothing but `UsageError`. Versions are opaque: they are looked up, never
interpreted. A word in quotes is never taken for `in`, `to` or `for`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from commands.freezing import freeze, unfreeze
from commands.intents import HISTORY_LINES, Act, Freezes, Help, History, Init, Intent, Owner, Services, Status, Why
from commands.pieces import (
    LONG_AGO,
    NOWHERE,
    Context,
    Form,
    Hearing,
    peek_version,
    subjects,
    take_length,
    take_pipeline,
    take_reason,
    take_scope,
    take_stage,
    take_subject,
    take_version,
    take_version_before_reason,
    unknown,
    version_of_thread,
    versions_of,
)
from commands.words import Words, listed, shorten
from core.errors import UsageError
from core.releases.events import (
    AcknowledgeRequested,
    ApproveRequested,
    CancelRequested,
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
from core.releases.likeness import most_like
from core.releases.state import PipelineState
from core.releases.world import Actor

HISTORY_MOST = 100


def parse(
    text: str,
    by: Actor,
    pipelines: Mapping[str, PipelineState],
    context: Context = NOWHERE,
    now: datetime = LONG_AGO,
) -> Intent:
    """What somebody asks for; raises `UsageError` with the right form or the nearest right words.

    `now` is what a time of day without a date counts from.
    """
    words = Words(text)
    if not words:
        return Help()
    hearing = Hearing(words, by, pipelines, context, now)
    hearing.form = _form(hearing)
    intent = hearing.form.take(hearing)
    if words:
        message = f"I did not expect “{shorten(words.rest)}” there."
        raise UsageError(message, mend=hearing.form.right_form)
    return intent


# ---- one function for each line -------------------------------------------------------------------------------------


def _status(h: Hearing) -> Intent:
    if not h.words and h.context.pipeline not in h.pipelines:
        return Status()
    return Status(take_subject(h))


def _why(h: Hearing) -> Intent:
    return Why(take_subject(h))


def _promote(h: Hearing) -> Intent:
    state = take_pipeline(h)
    # Without a version or a thread it is the newest on its way: the core knows which.
    version = "" if _at_keyword(h, "to") else take_version(h, state) if h.words else version_of_thread(h, state)
    to_stage = take_stage(h, state) if h.words.take_keyword("to") else ""
    return Act(state.id, PromoteRequested(by=h.by, version=version or version_of_thread(h, state), to_stage=to_stage))


def _pause(h: Hearing) -> Intent:
    state = take_pipeline(h)
    scope, duration = "", None
    while True:
        if not scope and h.words.take_keyword("in"):
            scope = take_scope(h, state)
        elif duration is None and (length := take_length(h)):
            duration = length
        else:
            break
    return Act(state.id, PauseRequested(by=h.by, reason=take_reason(h), scope_name=scope, duration=duration))


def _resume(h: Hearing) -> Intent:
    state = take_pipeline(h)
    return Act(
        state.id, ResumeRequested(by=h.by, scope_name=take_scope(h, state) if h.words.take_keyword("in") else "")
    )


def _rollback(h: Hearing) -> Intent:
    state = take_pipeline(h)
    scope, everywhere, version = "", False, ""
    while True:
        in_question = not scope and not everywhere
        if in_question and h.words.take_keyword("everywhere"):
            everywhere = True
        elif in_question and h.words.take_keyword("in"):
            everywhere = bool(h.words.take_keyword("everywhere"))
            scope = "" if everywhere else take_scope(h, state)
        elif not version and h.words.take_keyword("to"):
            version = take_version(h, state)
        else:
            break
    if not version and (named := peek_version(h, state)):
        raise UsageError(
            f"I am not sure whether to roll back from {named} or to it.",
            mend=f"To go to it: `/release rollback {state.id} to {named} REASON`. Without it: to the last good one.",
        )
    event = RollbackRequested(
        by=h.by, reason=take_reason(h), scope_name=scope, everywhere=everywhere, to_version=version
    )
    return Act(state.id, event)


def _approve(h: Hearing) -> Intent:
    state = take_pipeline(h)
    version = take_version(h, state) if h.words else version_of_thread(h, state)
    return Act(state.id, ApproveRequested(by=h.by, version=version))


def _reject(h: Hearing) -> Intent:
    state = take_pipeline(h)
    version = take_version_before_reason(h, state)
    return Act(state.id, RejectRequested(by=h.by, version=version, reason=take_reason(h)))


def _cancel(h: Hearing) -> Intent:
    state = take_pipeline(h)
    version = take_version_before_reason(h, state)
    return Act(state.id, CancelRequested(by=h.by, version=version, reason=take_reason(h)))


def _override(h: Hearing) -> Intent:
    state = take_pipeline(h)
    version = h.words.take_name(versions_of(state)) or version_of_thread(h, state) or take_version(h, state)
    stage = take_stage(h, state)
    return Act(state.id, OverrideRequested(by=h.by, version=version, stage=stage, reason=take_reason(h)))


def _lift(h: Hearing) -> Intent:
    state = take_pipeline(h)
    version = take_version_before_reason(h, state) or take_version(h, state)
    return Act(state.id, LiftRequested(by=h.by, version=version, reason=take_reason(h)))


def _reconcile(h: Hearing) -> Intent:
    state = take_pipeline(h)
    choice = h.words.take_keyword("keep", "restore", "dead")
    if not choice:
        said = f"“{shorten(h.words.next)}” is none of keep, restore and dead." if h.words else "Keep, restore or dead?"
        raise UsageError(said, mend=h.form.right_form)
    names = [target.name for target in state.targets]
    target = h.words.take_name(names)
    if not target and h.words and " " not in h.words.rest and (near := most_like(h.words.rest, names)):
        # One word alone that is almost a target is a slip, not a reason.
        raise unknown("target", h.words.rest, near, listed(names, most=8), state.id)
    reason = take_reason(h) if h.words else ""
    return Act(state.id, ReconcileRequested(by=h.by, choice=choice, target=target, reason=reason))


def _retry(h: Hearing) -> Intent:
    state = take_pipeline(h)
    return Act(state.id, RetryRequested(by=h.by, stage=take_stage(h, state) if h.words.take_keyword("in") else ""))


def _ack(h: Hearing) -> Intent:
    return Act(take_pipeline(h).id, AcknowledgeRequested(by=h.by))


def _history(h: Hearing) -> Intent:
    state = take_pipeline(h)
    version = h.words.take_name(versions_of(state))
    word = h.words.take_keyword("last")
    if not word and h.words and not re.fullmatch(r"\d{1,3}", h.words.next):
        version = take_version(h, state)
    count = HISTORY_LINES
    if word or h.words:
        number = h.words.take()
        if not re.fullmatch(r"[0-9]{1,3}", number) or not 1 <= int(number) <= HISTORY_MOST:
            raise UsageError(f"How many lines? Between 1 and {HISTORY_MOST}.", mend=h.form.right_form)
        count = int(number)
    return History(state.id, version or version_of_thread(h, state), count)


def _services(h: Hearing) -> Intent:
    return Services(h.words.take().strip("#").casefold() if h.words else "")


def _owner(h: Hearing) -> Intent:
    return Owner(take_subject(h).partition("/")[0])


def _init(h: Hearing) -> Intent:
    if h.words:
        h.words.take()  # the service, which the window asks for as well
    return Init()


def _freezes(_h: Hearing) -> Intent:
    return Freezes()


def _help(h: Hearing) -> Intent:
    return Help(_form(h).verb if h.words else "")


FORMS = (
    Form("status", "status [SERVICE]", "what runs where, what is on its way", "status checkout", _status),
    Form("why", "why SERVICE", "every reason it does not move, and who can clear it", "why checkout", _why),
    Form(
        "promote",
        "promote SERVICE [VERSION] [to STAGE]",
        "move it on where a person may",
        "promote checkout 1.4.2 to wave-1",
        _promote,
    ),
    Form(
        "pause",
        "pause SERVICE [in STAGE|GROUP] [for 2h] REASON",
        "pull the cord: nothing new starts, alarms and rollbacks stay live",
        "pause checkout prices look wrong",
        _pause,
    ),
    Form("resume", "resume SERVICE [in STAGE|GROUP]", "take one pause away", "resume checkout", _resume),
    Form(
        "rollback",
        "rollback SERVICE [in STAGE or everywhere] [to VERSION] REASON",
        "go back to the last known good version",
        "rollback checkout in wave-1 orders fail",
        _rollback,
    ),
    Form("approve", "approve SERVICE [VERSION]", "say yes, as the button does", "approve checkout 1.4.2", _approve),
    Form(
        "reject",
        "reject SERVICE [VERSION] REASON",
        "say no, with the reason",
        "reject checkout 1.4.2 not before the sale",
        _reject,
    ),
    Form(
        "override",
        "override SERVICE VERSION STAGE REASON",
        "let one release past what holds it at one stage",
        "override checkout 1.4.2 wave-1 the fix for the outage",
        _override,
    ),
    Form(
        "lift",
        "lift SERVICE VERSION REASON",
        "let a version past a rollback that marked it bad",
        "lift checkout 1.4.2 the alarm was wrong",
        _lift,
    ),
    Form(
        "reconcile",
        "reconcile SERVICE keep|restore|dead [TARGET] [REASON]",
        "say what is right where something else runs than was recorded",
        "reconcile checkout restore eu-1",
        _reconcile,
    ),
    Form(
        "retry",
        "retry SERVICE [in STAGE]",
        "try what failed once more",
        "retry checkout in gamma",
        _retry,
    ),
    Form(
        "cancel",
        "cancel SERVICE [VERSION] REASON",
        "take a release off the line; what is deployed stays",
        "cancel checkout 1.4.2 we ship 1.4.3 instead",
        _cancel,
    ),
    Form(
        "freeze",
        "freeze SERVICE|TEAM|everything [in STAGE|GROUP] [from T] [until T or for 2h] REASON",
        "let nothing new in, of a team or of all; rollbacks stay live",
        "freeze everything until 2030-01-02 08:00 Europe/Berlin the year ends",
        freeze,
    ),
    Form(
        "unfreeze",
        "unfreeze SERVICE|TEAM|everything|NAME [in STAGE|GROUP]",
        "lift a freeze; what waited goes on spaced out",
        "unfreeze everything",
        unfreeze,
    ),
    Form("freezes", "freezes", "what is frozen, and what will be", "freezes", _freezes),
    Form("ack", "ack SERVICE", "take the page: you look after it", "ack checkout", _ack),
    Form("history", "history SERVICE [VERSION] [N]", "what happened, newest first", "history checkout 10", _history),
    Form("services", "services [TEAM or WORD]", "the catalogue: what there is, and whose", "services shop", _services),
    Form(
        "owner",
        "owner SERVICE",
        "whose it is, who is on call, what it uses and who uses it",
        "owner checkout",
        _owner,
    ),
    Form("init", "init [SERVICE]", "write a careful first pipeline for a service", "init checkout", _init),
    Form("help", "help [VERB]", "this list, or more of one verb", "help rollback", _help),
)
VERBS: Mapping[str, Form] = {form.verb: form for form in FORMS}
ALIASES = {"roll-back": "rollback", "acknowledge": "ack", "unpause": "resume"}
MEANT = {
    "stop": "pause",
    "halt": "pause",
    "hold": "pause",
    "deploy": "promote",
    "ship": "promote",
    "release": "promote",
    "revert": "rollback",
    "undo": "rollback",
    "abort": "cancel",
    "continue": "resume",
    "thaw": "unfreeze",
    "log": "history",
    "list": "status",
    "yes": "approve",
    "no": "reject",
}
"""Words of other tools: only ever offered, never obeyed."""


def _form(h: Hearing) -> Form:
    typed = h.words.next
    word = typed.casefold().strip(".,;:!?`'\"")
    if re.match(r"roll\s+back\b", h.words.rest, re.IGNORECASE):
        h.words.take()
        h.words.take()
        return VERBS["rollback"]
    verb = ALIASES.get(word, word)
    if verb in VERBS:
        h.words.take()
        return VERBS[verb]
    if word in MEANT:
        form = VERBS[MEANT[word]]
        raise UsageError(f"I do not know “{shorten(typed)}”. Did you mean {form.verb}?", mend=form.right_form)
    if service := h.words.take_name(subjects(h.pipelines)):
        mend = f"Try `/release status {service}` or `/release why {service}`; `/release help` lists all."
        raise UsageError(f"What about {service}?", mend=mend)
    near = most_like(word, VERBS)
    offer = f" Did you mean {listed(near, 'or')}?" if near else ""
    raise UsageError(f"I do not know “{shorten(typed)}”.{offer}", mend="`/release help` lists what I understand.")


def _at_keyword(h: Hearing, keyword: str) -> bool:
    return h.words.next.casefold() == keyword
