"""Which version contains which [3, 15], as far as announcements tell it.

CI names the versions that a release was built upon, all of them or only the nearest; what those contain is added here,
so that a bad version does not hide behind a parent. Where a parent's own ancestry is not known, whatever was announced
before it counts as contained in it: too many are suspected rather than too few.
"""

from __future__ import annotations

from core.releases.copies import replace
from core.releases.state import Change, PipelineState, Release

NAMED_MOST = 200
"""Versions named by one announcement that are kept beside those the pipeline remembers; the nearest come first."""


def complete(state: PipelineState, version: str, named: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The versions that `version` contains, given those its announcement names; None where it says nothing of them.

    Nothing contains itself, nor what was said to contain it: the first word stands.
    """
    if named is None:
        return None
    known = {r.version: r for r in state.releases}
    built_on_it = {version, *(r.version for r in state.releases if r.ancestors is not None and version in r.ancestors)}
    remembered = known.keys() | {mark.version for mark in state.bad}
    found = dict.fromkeys([*named[:NAMED_MOST], *(v for v in named[NAMED_MOST:] if v in remembered)])
    for parent in tuple(found):
        if parent in known:
            found |= dict.fromkeys(_contained(state, known[parent]))
    return tuple(parent for parent in found if parent not in built_on_it)


def _contained(state: PipelineState, release: Release) -> tuple[str, ...]:
    if release.ancestors is not None:
        return release.ancestors
    older = [(r.version, r.sequence) for r in state.releases] + [(m.version, m.sequence) for m in state.bad]
    return tuple(version for version, sequence in older if sequence < release.sequence)


def with_parent(state: PipelineState, parent: Release) -> PipelineState:
    """The state in which every release that contains `parent` contains what `parent` does: it may be announced late."""
    if parent.ancestors is None:
        return state
    gained = tuple(
        replace(r, ancestors=tuple(v for v in dict.fromkeys((*r.ancestors, *parent.ancestors)) if v != r.version))
        if r.ancestors is not None and parent.version in r.ancestors
        else r
        for r in state.releases
    )
    return replace(state, releases=gained)


def fixed(state: PipelineState, fixes: tuple[str, ...], reverts: tuple[str, ...]) -> tuple[str, ...]:
    """The versions an announcement mends: those it names, and those whose change it takes back [15]."""
    carried = tuple(r.version for r in state.releases if reverts and _is_reverted(r, reverts))
    return tuple(dict.fromkeys((*fixes, *carried)))


def _is_reverted(release: Release, reverts: tuple[str, ...]) -> bool:
    """Whether all that a release brought is taken back: its commit, or each of its changes."""
    if _is_among(release.commit, reverts):
        return True
    changes: tuple[Change, ...] = release.changes
    return bool(changes) and all(_is_among(change.id, reverts) for change in changes)


def _is_among(commit: str, reverts: tuple[str, ...]) -> bool:
    """Commits may be cut short on either side; seven characters tell them apart."""
    return len(commit) >= 7 and any(
        len(other) >= 7 and (commit.startswith(other) or other.startswith(commit)) for other in reverts
    )
