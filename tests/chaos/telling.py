"""A whole storm, from quiet to quiet: what is done in which order, with progress as it goes, and the verdict."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.clock import SystemClock
from tests.chaos.crowd import Crowd
from tests.chaos.judging import Evidence, in_logs, posts, problems
from tests.chaos.storm import Storm, Weather, gathering
from tests.postgres import Server

CALM = 120.0
"""Seconds in which everything must have come to rest after a storm."""
SAY_EVERY = 10.0


@dataclass
class Verdict:
    """What was found wrong, a sentence each, and the figures of the table."""

    wrong: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)


async def weathered(path: Path, server: Server, weather: Weather, say: Callable[[str], None]) -> Verdict:
    """Tell a storm and judge it. The folder keeps the replicas' logs."""
    async with gathering(path, server, weather) as storm:
        crowd = Crowd(storm)
        await crowd.arrive()
        watching = asyncio.create_task(storm.watch())
        living = [asyncio.create_task(crowd.live(number)) for number in range(weather.services)]
        raging = asyncio.create_task(storm.rage())
        try:
            await _until_it_is_over(storm, crowd, say, (*living, raging, watching))
            raging.cancel()
            await asyncio.gather(raging, return_exceptions=True)
            await storm.calm()
            # Whoever is asking gets an answer; nobody begins anything new.
            crowd.is_over = True
            await asyncio.gather(*living)
            say("the storm is over; everything comes to rest")
            await crowd.calm_down(CALM)
            if not await crowd.until_at_rest(CALM):
                storm.troubles.append("something is still waiting to be delivered")
        finally:
            for task in (watching, raging, *living):
                task.cancel()
            await asyncio.gather(watching, raging, *living, return_exceptions=True)
        return await _judged(storm, crowd)


async def _until_it_is_over(
    storm: Storm, crowd: Crowd, say: Callable[[str], None], tasks: tuple[asyncio.Task[None], ...]
) -> None:
    began_at = time.monotonic()
    while (past := time.monotonic() - began_at) < storm.weather.seconds:
        await asyncio.wait(tasks, timeout=min(SAY_EVERY, storm.weather.seconds - past))
        for task in tasks:
            if task.done():
                await task
        said = ", ".join(f"{name} {count}" for name, count in sorted(storm.tally.items()))
        say(f"{time.monotonic() - began_at:4.0f} s: {len(crowd.told.announced)} releases, {said}")


async def _judged(storm: Storm, crowd: Crowd) -> Verdict:
    report = await storm.outside("GET", "report")
    await storm.look()
    _, chains = await storm.ask("GET", "/api/audit")
    broken = {name: at for name, at in chains.items() if at is not None}
    broken |= {name: at for name in storm.states if (at := storm.watcher.verify(name)) is not None}
    evidence = Evidence(
        says=storm.database_says,
        states=storm.states,
        world=storm.world,
        now=SystemClock().now(),
        workspace=storm.simulator.workspace,
        told=crowd.told,
        outcomes=storm.outcomes,
        begun=report["begun"],
        overlaps=report["overlaps"],
        alive=report["alive"],
        running={target: runs["digest"] for target, runs in report["running"].items()},
        broken=broken,
    )
    found = list(problems(evidence))
    plain, marked = posts(storm.simulator.workspace)
    await storm.end_replicas()
    logs = sorted(storm.path.glob("replica-*.log"))
    tally, outcomes = storm.tally, Counter(storm.outcomes.values())
    figures = {
        "releases announced": len(crowd.told.announced),
        "  seen to end as": ", ".join(f"{kind} {count}" for kind, count in sorted(outcomes.items())),
        "commands": tally["commands"],
        "alarms reported": tally["alarms"],
        "requests asked again": tally["requests asked again"],
        "kills": tally["kills"],
        "freezes": tally["freezes"],
        "database restarts": tally["database restarts"],
        "cut connections": storm.line.torn,
        "replicas started again": tally["replicas started again"],
        "Slack faults": tally["Slack faults"],
        "deployer faults": ", ".join(f"{name} {count}" for name, count in sorted(report["faults"].items())),
        "deployments": sum(report["begun"].values()),
        "  asked for again, found": sum(report["repeated"].values()),
        "posts": sum(plain.values()),
        "  marked as repeats": sum(marked.values()),
        "chains verified": len(storm.states) - len(broken),
    }
    wrong = [*storm.troubles, *found, *in_logs(logs)]
    return Verdict(wrong, {**figures, "wrong": len(wrong)})
