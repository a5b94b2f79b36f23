"""Whether a state has come to rest: a decision made it, and it is as it was left.

What follows by itself has followed in such a state, so the next decision looks again only at what its event and the
time have changed. The knowledge is a tuple of the state's own parts and of the people it was decided with, compared by
identity: whatever is changed by other hands, loaded or copied with a difference is not at rest, and is looked at whole.
A decision is the same with this knowledge and without; tests and `andon simulate` hold it to that.
"""

from __future__ import annotations

from operator import attrgetter, is_
from typing import cast

from core.releases.copies import overwrite, replace
from core.releases.state import PipelineState, Release
from core.releases.world import World

_parts = attrgetter(
    "definition", "pinned", "releases", "stages", "targets", "bad", "missing_artifacts", "approvals", "overrides"
)
_people = attrgetter("people", "groups", "teams")


Waiting = dict[str, list[Release]]


def lay(state: PipelineState, world: World, waiting: Waiting) -> None:
    """Note of a state that nobody else has seen yet that it has come to rest, and who waits at which entry."""
    overwrite(state, "rest", (*_parts(state), *_people(world), waiting))


def known_of(state: PipelineState, world: World) -> Waiting | None:
    """Who waits at which entry of a state that is as a decision left it, for the same people; None of any other."""
    if state.rest and all(map(is_, state.rest, (*_parts(state), *_people(world)))):
        return cast("Waiting", state.rest[-1])
    return None


def shaken(state: PipelineState) -> PipelineState:
    """The same state, of which nothing is known."""
    return replace(state, rest=())
