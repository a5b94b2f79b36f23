"""What must be so after a storm, judged from outside: by the database, the deployer and the workspace, not by Andon."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from bot.slack_post import AGAIN
from core.releases.state import PipelineState
from core.releases.why import why
from core.releases.world import World
from simulator.workspace import Workspace
from tests.scenarios.kit import key_of

LAST = "999.0.0"
"""The version that goes everywhere when the storm is over."""
NEVER = re.compile(r"failed unexpectedly|never retrieved|Task was destroyed|AssertionError")
"""What no log of a replica may hold, whatever happened to it."""


@dataclass(kw_only=True)
class Told:
    """What was acknowledged, written down by whoever was told. All by service."""

    announced: list[tuple[str, str]] = field(default_factory=list)
    keyed: list[tuple[str, str, str]] = field(default_factory=list)
    """Key and words of commands that were accepted."""
    said: list[tuple[str, str]] = field(default_factory=list)
    """The unique reason of what was acknowledged in Slack."""
    unsure: list[tuple[str, str]] = field(default_factory=list)
    """The same for what Slack said the app did not respond to."""


@dataclass(kw_only=True)
class Evidence:
    """How things are once everything has come to rest. `says`: what the database answers to a statement."""

    says: Callable[[str], Sequence[Any]]
    states: Mapping[str, PipelineState]
    world: World
    now: datetime
    workspace: Workspace
    told: Told
    outcomes: Mapping[tuple[str, str], str]
    """How each release was last seen, by pipeline and id."""
    begun: Mapping[str, int]
    """Deployments by key; what stands behind a # tells those of one key apart."""
    overlaps: Iterable[Sequence[str]]
    alive: Sequence[str]
    running: Mapping[str, str | None]
    """The digest that each target really runs."""
    broken: Mapping[str, int]
    """Where the chain of a pipeline is broken."""


def problems(seen: Evidence) -> Iterator[str]:
    """Everything that is wrong, a sentence each."""
    yield from _commands(seen)
    yield from _releases(seen)
    yield from _deployments(seen)
    yield from _messages(seen)
    for name, at in seen.broken.items():
        yield f"the chain of {name} is broken at {at}"


def posts(workspace: Workspace) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
    """How often each key was posted in each channel, and how often with the remark that it is a repeat."""
    plain: Counter[tuple[str, str]] = Counter()
    marked: Counter[tuple[str, str]] = Counter()
    for channel in workspace.channels.values():
        for message in channel.messages.values():
            if key := key_of(message):
                (marked if AGAIN in message.text else plain)[channel.name or channel.id, key] += 1
    return plain, marked


def in_logs(logs: Iterable[Path]) -> Iterator[str]:
    """What a replica met and nobody expected."""
    for log in logs:
        found = [line for line in log.read_text(errors="replace").splitlines() if NEVER.search(line)]
        for line in found[:5]:
            yield f"{log.name}: {line[:300]}"


def _commands(seen: Evidence) -> Iterator[str]:
    """Every acknowledged command and announcement is recorded exactly once."""
    counted: Counter[tuple[str, str]] = Counter()
    for table, key in (("events", "dedupe_key"), ("seen", "key")):
        for pipeline, found in seen.says(f"SELECT pipeline_id, {key} FROM {table} WHERE {key} IS NOT NULL"):
            counted[pipeline, found] += 1
    for name, key, text in seen.told.keyed:
        if counted[name, f"api:{key}"] != 1:
            yield f"{text!r} was accepted, and is recorded {counted[name, f'api:{key}']} times"
    for name, version in seen.told.announced:
        if counted[name, f"api:{name}-{version}"] != 1:
            yield f"{name} {version} was announced, and is recorded {counted[name, f'api:{name}-{version}']} times"
    bodies = seen.says("SELECT pipeline_id, body FROM events WHERE kind = 'PauseRequested' AND NOT refused")
    for name, reason in (*seen.told.said, *seen.told.unsure):
        times = sum(pipeline == name and reason in body for pipeline, body in bodies)
        if times > 1 or (times == 0 and (name, reason) in seen.told.said):
            yield f"{reason!r} was said once in Slack, and is recorded {times} times"


def _releases(seen: Evidence) -> Iterator[str]:
    """Every release ended, or waits for a reason; the last one is everywhere; nothing is left running."""
    ended = Counter(kind for kind in seen.outcomes.values() if kind != "live")
    if not ended:
        yield "no release ended at all"
    for name, state in seen.states.items():
        reasons = {each.release.id: each.reasons for each in why(state, seen.world, seen.now)}
        for release in state.releases:
            if release.is_live and not reasons.get(release.id):
                yield f"{name} {release.version} is live, and nothing says why"
            if release.version == LAST and release.status.kind != "completed":
                yield f"{name} {LAST} is {release.status.kind}, though the storm is over"
        if any(target.deployment is not None for target in state.targets):
            yield f"{name} still has a deployment in flight"
        events = "SELECT count(*) FROM events WHERE kind = 'ReleaseAnnounced' AND NOT refused AND pipeline_id = "
        recorded = seen.says(f"{events}'{name}'")[0][0]
        told = sum(1 for pipeline, _ in seen.told.announced if pipeline == name)
        if recorded != told:
            yield f"{name} had {told} announcements acknowledged, and {recorded} recorded"


def _deployments(seen: Evidence) -> Iterator[str]:
    """Each key was begun once, never two on one target at once, and what runs is what is recorded."""
    by_key: Counter[str] = Counter()
    for key, times in seen.begun.items():
        by_key[key.partition("#")[0]] += times
    for key, times in by_key.items():
        if times > 1:
            yield f"deployment {key} was begun {times} times"
    for where, older, newer in seen.overlaps:
        yield f"on {where}, {newer} was begun while {older} was alive"
    for key in seen.alive:
        yield f"deployment {key} is still running"
    for pipeline, key, reason in seen.says(
        "SELECT pipeline_id, key, last_error FROM outbox WHERE state = 'buried' AND kind NOT IN ('Page', 'EndPage')"
    ):
        yield f"{key} of {pipeline} was given up: {reason}"
    for state in seen.states.values():
        for target in state.targets:
            runs = seen.running.get(target.name)
            if target.current is None or runs != target.current.digest:
                yield f"{target.name} runs {runs}, recorded is {target.current and target.current.digest}"


def _messages(seen: Evidence) -> Iterator[str]:
    """Each message is posted once, unless it says that it is a repeat; none that was delivered is missing."""
    plain, marked = posts(seen.workspace)
    for (channel, key), times in plain.items():
        if times > 1:
            yield f"{key} was posted {times} times in #{channel}"
    for pipeline, key in seen.says("SELECT pipeline_id, key FROM outbox WHERE kind = 'Tell' AND state = 'done'"):
        if not plain[pipeline, key] and not marked[pipeline, key]:
            yield f"{key} of {pipeline} counts as told, and stands nowhere"
    for name in seen.states:
        messages = seen.workspace.channel(name).messages.values()
        cards = [m.text for m in messages if key_of(m).startswith("card:") and m.text.startswith(f"{name} {LAST} ")]
        if not any("is everywhere" in text for text in cards):
            yield f"the card of {name} {LAST} does not say that it is everywhere: {cards}"
