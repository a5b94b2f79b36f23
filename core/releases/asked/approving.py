"""`approve` and `reject`: what somebody who is asked says [19, 20]."""

from __future__ import annotations

from core.errors import CommandRefused
from core.releases.approvals import is_granted, rule_of, valid_votes, void_reason, why_not
from core.releases.asked.naming import reason_given
from core.releases.copies import replace
from core.releases.draft import Draft
from core.releases.events import ApproveRequested, RejectRequested
from core.releases.state import (
    ApprovalRequest,
    Vote,
)
from core.releases.statuses import Rejected
from core.releases.words import listed, place, title
from core.releases.world import Actor


def approve(draft: Draft, event: ApproveRequested) -> None:
    """Count one person's approval."""
    request = _request(draft, event.request_id, event.version, event.by)
    refusal = why_not(draft.state, request, event.by, draft.world)
    if refusal:
        raise CommandRefused(refusal)
    if any(v.by.id == event.by.id for v in request.votes):
        raise CommandRefused("You approved this already.", mend="Somebody else must give the next approval.")
    voted = replace(request, votes=(*request.votes, Vote(event.by, draft.now)))
    draft.change(lambda s: replace(s, approvals=tuple(voted if r.id == voted.id else r for r in s.approvals)))
    release = draft.state.released(request.release)
    rule = rule_of(draft.definition, request.scope)
    assert rule is not None, "a request without a rule is void"
    given = valid_votes(draft.state, voted, draft.world)
    more = "" if given >= rule.count else f" ({given} of {rule.count})"
    draft.answer = f"{event.by.name} approved {title(draft.definition, release)} for {place(request.scope)}{more}."
    draft.tell(
        release.id,
        "approved",
        f"{event.by.name} approved {title(draft.definition, release)} for {place(request.scope)}{more}.",
    )


def reject(draft: Draft, event: RejectRequested) -> None:
    """One no of somebody who is asked takes the release off the line."""
    request = _request(draft, event.request_id, event.version)
    rule = rule_of(draft.definition, request.scope)
    assert rule is not None, "a request without a rule is void"
    if event.by.id not in draft.world.expand(rule.by) or not event.by.is_person:
        raise CommandRefused(
            f"This approval is asked of {listed(rule.by, 'or')}, so only they may reject it.",
            mend="You may pause the service instead.",
        )
    reason = reason_given(event.reason, "reject")
    release = draft.state.released(request.release)
    draft.drop_requests(lambda r: r.release == release.id)
    draft.put_release(
        replace(
            release,
            status=Rejected(by=event.by, scope=request.scope.name, reason=reason, at=draft.now),
            goal="",
            picked=(),
        )
    )
    draft.answer = f"{title(draft.definition, release)} is rejected."
    draft.tell(
        release.id,
        "rejected",
        f"{event.by.name} rejected {title(draft.definition, release)} for {place(request.scope)}: {reason}.",
        is_broadcast=True,
    )


def _request(draft: Draft, request_id: str, version: str, by: Actor | None = None) -> ApprovalRequest:
    """The open request that is meant; of several, one that `by` may approve."""
    found = [
        r
        for r in draft.state.approvals
        if (not request_id or r.id == request_id)
        and (not version or draft.state.released(r.release).version == version)
    ]
    void = [because for r in found if (because := void_reason(draft.state, r, draft.now))]
    if found and len(void) == len(found):
        raise CommandRefused(f"This request for approval is void: {void[-1]}.", mend="Whoever is needed is asked anew.")
    open_ones = [r for r in found if not is_granted(draft.state, r, draft.world, draft.now)]
    if open_ones:
        theirs = [r for r in open_ones if by is not None and not why_not(draft.state, r, by, draft.world)]
        return (theirs or open_ones)[-1]
    if found:
        names = listed(v.by.name for v in found[-1].votes)
        raise CommandRefused(f"This is approved already, by {names}.")
    if request_id:
        raise CommandRefused(
            "This request for approval is not open any more.", mend="Look at the card for what is now."
        )
    what = f"{draft.definition.service} {version}".strip()
    raise CommandRefused(f"{what} does not wait for an approval.", mend=f"Ask `why {draft.definition.service}`.")
