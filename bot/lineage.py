"""What a code repository tells of a build: what it contains, what changed in it, and who is behind that."""

from __future__ import annotations

from dataclasses import dataclass

from bot.releases_in import AnnouncedChange
from core.ports import CodeHistory, Commit
from core.releases import sourcing
from core.releases.state import PipelineState
from core.releases.world import World

COMMITS_MOST = 300
MESSAGE_MOST = 20_000


@dataclass(frozen=True, slots=True)
class Lineage:
    """What was found. `ancestors` None: nothing is known of them."""

    commit: str = ""
    ancestors: tuple[str, ...] | None = None
    changes: tuple[AnnouncedChange, ...] = ()
    url: str = ""


async def traced(
    history: CodeHistory, state: PipelineState, world: World, *, version: str, commit: str, tag: str
) -> Lineage:
    """Ask a repository about a build. Changes are counted from the newest release that it contains.

    With no such release only the commit itself is: nobody wants to hear of the whole history. Raises what the
    repository raises.
    """
    commit = commit or (await history.commit_of(tag) if tag else "")
    if not commit:
        return Lineage()
    contained = await history.contained(commit, sourcing.commits_asked(state, commit))
    base = sourcing.base_of(state, commit, contained)
    commits = await history.between(base, commit, COMMITS_MOST)
    return Lineage(
        commit=commit,
        ancestors=sourcing.ancestors(state, version, commit, contained),
        changes=tuple(_change(one, world) for one in commits),
        url=history.compare_link(base, commit) if base else "",
    )


def _change(commit: Commit, world: World) -> AnnouncedChange:
    authors = [_known(names, world) for names in commit.authors if names]
    return AnnouncedChange(
        id=commit.id,
        title=commit.message[:MESSAGE_MOST],
        authors=list(dict.fromkeys(authors))[:100],
        merger=_known(commit.merger, world) if commit.merger else "",
        url=commit.url,
    )


def _known(names: tuple[str, ...], world: World) -> str:
    """Of the names somebody goes by the first that the organisation knows, else the first."""
    return next((name for name in names if world.person_known_as(name) is not None), names[0])[:320]
