"""What an environment of GitHub runs, as its deployments tell: the newest that succeeded, whoever made it."""

from __future__ import annotations

from core.ports import RunningVersion
from integrations.github.records import Record, Records, Status, begun, ended
from integrations.github.runs import Runs


async def seen_running(
    records: Records, runs: Runs, environment: str, target: str, *, sees_others: bool
) -> RunningVersion:
    """What runs on a target; with `sees_others`, a newer success of somebody else's counts as well.

    A deployment that GitHub made of one of our own runs is ours. Nothing is said of what a failed one left behind.
    """
    strangers: list[tuple[Record, frozenset[int]]] = []
    ours: set[int] = set()
    own: RunningVersion | None = None
    for record in await records.of(environment):
        if not record.told:
            if sees_others and (statuses := await records.statuses(record.id)) and _succeeded(statuses):
                strangers.append((record, frozenset(s.run for s in statuses if s.run is not None)))
            continue
        if record.told.get("target") != target:
            continue
        statuses = await records.statuses(record.id)
        run = begun(statuses)
        if run is not None:
            ours.add(run[0])
        if await _brought(runs, statuses):
            own = RunningVersion(record.told.get("digest"), record.told.get("version"))
            break
    for record, theirs in strangers:
        if not theirs & ours:
            return RunningVersion(f"git:{record.sha}", f"{record.ref} ({record.sha[:9]})")
    return own or RunningVersion(None)


async def _brought(runs: Runs, statuses: list[Status]) -> bool:
    """Whether it succeeded: by itself, or because a person ran it again after it had failed."""
    state = ended(statuses)
    if state == "success":
        return True
    run = begun(statuses)
    if not state or run is None:
        return False
    again = await runs.look(run[0])
    return again.attempt > 1 and again.is_over and again.conclusion == "success"


def _succeeded(statuses: list[Status]) -> bool:
    return any(status.state == "success" for status in statuses)
