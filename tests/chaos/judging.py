"""What must be so after a storm, judged from outside: by the database, the deployer and the workspace, not by Andon."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.slack_post import AGAIN
from core.releases.why import why
from tests.chaos.company import service
from tests.chaos.crowd import LAST, Crowd
from tests.chaos.storm import Storm, _now
from tests.scenarios.kit import key_of

NEVER = re.compile(r"failed unexpectedly|never retrieved|Task was destroyed|AssertionError")
"""What no log of a replica may hold, whatever happened to it."""


@dataclass
class Verdict:
    """What was found wrong, a sentence each, and the figures of the table."""

    wrong: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)


async def judge(storm: Storm, crowd: Crowd) -> Verdict:
    """Look at everything; replicas must still be up, and at rest."""
    report = await storm.outside("GET", "report")
    await storm.look()
    verdict = Verdict()
    verdict.wrong += storm.troubles
    verdict.wrong += _commands(storm, crowd)
    verdict.wrong += _releases(storm, crowd)
    verdict.wrong += _deployments(storm, report)
    verdict.wrong += _messages(storm, verdict)
    verdict.wrong += await _chains(storm)
    verdict.wrong += _logs(storm)
    outcomes = Counter(storm.outcomes.values())
    verdict.figures = {
        "releases announced": len(crowd.announced),
        "  seen to end as": ", ".join(f"{kind} {count}" for kind, count in sorted(outcomes.items())),
        "commands, alarms": f"{storm.tally['commands']}, {storm.tally['alarms']}",
        "requests asked again": storm.tally["requests asked again"],
        "kills": storm.tally["kills"],
        "freezes": storm.tally["freezes"],
        "database restarts": storm.tally["database restarts"],
        "cut connections": f"{storm.line.torn} of {storm.tally['cut connections']}",
        "replicas started again": storm.tally["replicas started again"],
        "Slack faults": storm.tally["Slack faults"],
        "deployer faults": ", ".join(f"{name} {count}" for name, count in sorted(report["faults"].items())),
        "deployments": sum(report["begun"].values()),
        "  asked for again, found": sum(report["repeated"].values()),
        **verdict.figures,
    }
    return verdict


def _commands(storm: Storm, crowd: Crowd) -> Iterator[str]:
    """Every acknowledged command and announcement is recorded exactly once."""
    counted: Counter[tuple[str, str]] = Counter()
    for table, key in (("events", "dedupe_key"), ("seen", "key")):
        for pipeline, found in storm.server_says(f"SELECT pipeline_id, {key} FROM {table} WHERE {key} IS NOT NULL"):
            counted[pipeline, found] += 1
    for name, key, text in crowd.keyed:
        if counted[name, f"api:{key}"] != 1:
            yield f"{text!r} was accepted, and is recorded {counted[name, f'api:{key}']} times"
    for name, version in crowd.announced:
        if counted[name, f"api:{name}-{version}"] != 1:
            yield f"{name} {version} was announced, and is recorded {counted[name, f'api:{name}-{version}']} times"
    told = "SELECT pipeline_id, body FROM events WHERE kind = 'PauseRequested' AND NOT refused"
    bodies = storm.server_says(told)
    for name, reason in (*crowd.said, *crowd.unsure):
        times = sum(pipeline == name and reason in body for pipeline, body in bodies)
        if times > 1 or (times == 0 and (name, reason) in crowd.said):
            yield f"{reason!r} was said once in Slack, and is recorded {times} times"


def _releases(storm: Storm, crowd: Crowd) -> Iterator[str]:
    """Every release ended, or waits for a reason; the last one is everywhere; nothing is left running."""
    kinds = {kind for kind in storm.outcomes.values() if kind != "live"}
    if not kinds:
        yield "no release ended at all"
    for name, state in storm.states.items():
        reasons = {each.release.id: each.reasons for each in why(state, storm.world, _now())}
        for release in state.releases:
            if release.is_live and not reasons.get(release.id):
                yield f"{name} {release.version} is live, and nothing says why"
        known = {release.id for release in state.releases}
        for (pipeline, release_id), kind in storm.outcomes.items():
            if pipeline == name and kind == "live" and release_id not in known:
                # It was forgotten between two looks; only what has ended is.
                storm.outcomes[pipeline, release_id] = "ended unseen"
        if any(target.deployment is not None for target in state.targets):
            yield f"{name} still has a deployment in flight"
        events = "SELECT body FROM events WHERE kind = 'ReleaseAnnounced' AND NOT refused AND pipeline_id = "
        recorded = len(storm.server_says(f"{events}'{name}'"))
        told = sum(1 for pipeline, _ in crowd.announced if pipeline == name)
        if recorded != told:
            yield f"{name} had {told} announcements acknowledged, and {recorded} recorded"


def _deployments(storm: Storm, report: Mapping[str, Any]) -> Iterator[str]:
    """Each key was begun once, never two on one target at once, and what runs is what is recorded."""
    by_key: Counter[str] = Counter()
    for key, times in report["begun"].items():
        by_key[key.partition("#")[0]] += times
    for key, times in by_key.items():
        if times > 1:
            yield f"deployment {key} was begun {times} times"
    for target, older, newer in report["overlaps"]:
        yield f"on {target}, {newer} was begun while {older} was alive"
    for key in report["alive"]:
        yield f"deployment {key} is still running"
    wanted = storm.server_says("SELECT count(*) FROM outbox WHERE kind = 'StartDeployment' AND state = 'buried'")
    if wanted[0][0]:
        yield f"{wanted[0][0]} deployments were given up"
    for state in storm.states.values():
        for target in state.targets:
            runs = report["running"].get(target.name, {}).get("digest")
            if target.current is None or runs != target.current.digest:
                yield f"{target.name} runs {runs}, recorded is {target.current and target.current.digest}"


def _messages(storm: Storm, verdict: Verdict) -> Iterator[str]:
    """Each message is posted once, unless it says that it is a repeat; none that was delivered is missing."""
    workspace = storm.simulator.workspace
    plain: Counter[tuple[str, str]] = Counter()
    marked: Counter[tuple[str, str]] = Counter()
    for channel in workspace.channels.values():
        for message in channel.messages.values():
            if key := key_of(message):
                (marked if AGAIN in message.text else plain)[channel.name, key] += 1
    for (channel, key), times in plain.items():
        if times > 1:
            yield f"{key} was posted {times} times in #{channel}"
    delivered = storm.server_says("SELECT pipeline_id, key FROM outbox WHERE kind = 'Tell' AND state = 'done'")
    for pipeline, key in delivered:
        if not plain[pipeline, key] and not marked[pipeline, key]:
            yield f"{key} of {pipeline} counts as told, and stands nowhere"
    for number in range(storm.weather.services):
        name = service(number)
        cards = [m.text for m in workspace.channel(name).messages.values() if m.text.startswith(f"{name} {LAST} ")]
        if not any("is everywhere" in text for text in cards):
            yield f"the card of {name} {LAST} does not say that it is everywhere: {cards}"
    verdict.figures |= {"posts": sum(plain.values()), "posts marked as repeats": sum(marked.values())}


async def _chains(storm: Storm) -> Iterator[str]:
    """The audit chain of every pipeline verifies, by whoever is asked."""
    _, told = await storm.ask("GET", "/api/audit")
    broken = {name: at for name, at in told.items() if at is not None}
    broken |= {name: at for name in storm.states if (at := storm.watcher.verify(name)) is not None}
    storm.tally["chains"] = len(told) - len(broken)
    return (f"the chain of {name} is broken at {at}" for name, at in broken.items())


def _logs(storm: Storm) -> Iterator[str]:
    """No replica met anything that nobody expected."""
    for log in sorted(storm.path.glob("replica-*.log")):
        found = [line for line in log.read_text(errors="replace").splitlines() if NEVER.search(line)]
        for line in found[:5]:
            yield f"{log.name}: {line[:300]}"
