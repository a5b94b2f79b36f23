"""Approvals [19, 20]: who may give one, what it is bound to, and when it is void.

An approval says: these people saw *this* artifact, for *this* stage or group, under *this* definition, in place of what
runs there. Whoever had a part in any change between what runs and what would run cannot give it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from core.releases.copies import quick
from core.releases.pipeline import ApprovalRule, Pipeline, Scope, ScopeKind, Stage
from core.releases.state import ApprovalRequest, PipelineState, Release, Vote
from core.releases.words import listed
from core.releases.world import Actor, Person, World


def scopes_of(definition: Pipeline, stage: Stage) -> tuple[tuple[Scope, ApprovalRule], ...]:
    """The approvals a stage needs at its entry: its group's, then its own."""
    return definition.approvals_of[stage.name]


def rule_of(definition: Pipeline, scope: Scope) -> ApprovalRule | None:
    """The rule that asks for approval of a scope, if it still does."""
    if scope.kind is ScopeKind.GROUP:
        group = definition.group_by_name.get(scope.name)
        return group.approval if group else None
    stage = definition.by_name.get(scope.name)
    return stage.approval if stage else None


def running_digests(state: PipelineState, scope: Scope, except_digest: str) -> frozenset[str]:
    """The digests that run on the targets of a scope, other than one."""
    stages = state.definition.names_in(scope)
    return frozenset(
        [
            t.current.digest
            for t in state.targets
            if t.stage in stages and t.current is not None and t.current.digest != except_digest
        ]
    )


@quick
@dataclass(frozen=True, slots=True)
class Contributors:
    """Everyone behind the changes between what runs and what would: known people, and identities nobody can place.

    `silent` are versions among them that were announced without authors.
    """

    people: frozenset[str]
    unplaced: tuple[str, ...]
    silent: tuple[str, ...]


def contributors(state: PipelineState, release: Release, scope: Scope, world: World) -> Contributors:
    """Authors, co-authors, mergers and announcers of every release after the oldest that runs in `scope`."""
    stages = state.definition.names_in(scope)
    newest = release.sequence
    running = [t.current.sequence for t in state.targets if t.stage in stages and t.current is not None]
    oldest = min([n for n in running if n < newest], default=0)
    known = world.people
    people: set[str] = set()
    unplaced: set[str] = set()
    silent: list[str] = []
    for other in state.releases:
        if not oldest < other.sequence <= newest:
            continue
        if not other.contributors:
            silent.append(other.version)
        if other.announced_by.is_person:
            people.add(other.announced_by.id)
        for identity in other.contributors:
            if identity in known:
                people.add(identity)
                continue
            person = world.person_known_as(identity)
            if person is None:
                unplaced.add(identity)
            else:
                people.add(person.key)
    return Contributors(frozenset(people), tuple(sorted(unplaced)), tuple(silent))


def why_not(state: PipelineState, request: ApprovalRequest, by: Actor, world: World) -> str:
    """Why `by` may not approve this request, as a sentence; empty if they may."""
    rule = rule_of(state.definition, request.scope)
    assert rule is not None, "a request without a rule is void"
    asked = world.expand(rule.by)
    names = listed(sorted(world.name_of(key) for key in asked)) or listed(rule.by)
    person = world.people.get(by.id)
    if not by.is_person or (person is not None and person.is_bot):
        return "Approvals are given by people; bots do not count."
    if by.id not in asked:
        return f"This approval is asked of {listed(rule.by, 'or')}; that is {names}."
    behind = contributors(state, state.released(request.release), request.scope, world)
    if by.id in behind.people:
        others = sorted(world.name_of(key) for key in asked - behind.people if not _is_bot(world, key))
        who = f"{listed(others, 'or')} may" if others else "Nobody else is left who may: add an approver to org.yaml"
        return f"You had a part in a change it carries, so somebody else must approve. {who}."
    if behind.silent:
        was, it, its = ("was", "it", "its") if len(behind.silent) == 1 else ("were", "them", "their")
        return (
            f"{listed(behind.silent)} {was} announced without the authors of {its} changes; "
            f"announce {it} again with --change and --author."
        )
    if behind.unplaced:
        return (
            f"It carries changes by {listed(behind.unplaced)}, whom the organisation file does not know; "
            "add them to org.yaml (emails or logins), so that it is known who may approve."
        )
    return ""


def eligible(state: PipelineState, request: ApprovalRequest, world: World) -> tuple[str, ...]:
    """The keys of the people who may approve a request, sorted."""
    return tuple(sorted(_may_approve(state, request, world)))


def _may_approve(state: PipelineState, request: ApprovalRequest, world: World) -> set[str]:
    rule = rule_of(state.definition, request.scope)
    assert rule is not None, "a request without a rule is void"
    behind = contributors(state, state.released(request.release), request.scope, world)
    return {k for k in world.expand(rule.by) - behind.people if not _is_bot(world, k)}


def votes_that_lapsed(state: PipelineState, request: ApprovalRequest, world: World) -> list[Vote]:
    """The votes of people who are not asked any more, or had a part in the changes [20]."""
    if not request.votes:
        return []
    rule = rule_of(state.definition, request.scope)
    asked = world.expand(rule.by) if rule is not None else frozenset()
    behind = contributors(state, state.released(request.release), request.scope, world).people
    return [v for v in request.votes if v.by.id not in asked or v.by.id in behind or _is_bot(world, v.by.id)]


def valid_votes(state: PipelineState, request: ApprovalRequest, world: World) -> int:
    """How many of the votes still count: the voter is still asked, and had no part in the changes."""
    if not request.votes:
        return 0
    lapsed = votes_that_lapsed(state, request, world)
    return len({vote.by.id for vote in request.votes if vote not in lapsed})


def is_granted(state: PipelineState, request: ApprovalRequest, world: World, now: datetime) -> bool:
    """Whether enough valid approvals are in, and none of what they were bound to has changed."""
    rule = rule_of(state.definition, request.scope)
    if rule is None or now >= request.expires_at or void_reason(state, request, now):
        return False
    return valid_votes(state, request, world) >= rule.count


def void_reason(state: PipelineState, request: ApprovalRequest, now: datetime) -> str:
    """What makes a request void, as words after "because"; empty if nothing does [20]."""
    release = state.release(request.release)
    if release is None or not release.is_live:
        return "the release is off the line"
    if request.digest != release.digest:
        return "the artifact changed"
    if request.revision != state.definition.revision:
        return "the pipeline's definition changed"
    if not running_digests(state, request.scope, release.digest) <= set(request.replaces):
        return "what it would replace changed"
    if now >= request.expires_at:
        return "it expired"
    return ""


def _is_bot(world: World, key: str) -> bool:
    person: Person | None = world.people.get(key)
    return person is not None and person.is_bot
