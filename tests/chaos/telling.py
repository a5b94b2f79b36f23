"""A whole storm, from quiet to quiet: what is done in which order, with progress as it goes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from tests.chaos.crowd import Crowd
from tests.chaos.judging import Verdict, judge
from tests.chaos.storm import Weather, gathering
from tests.postgres import Server

CALM = 120.0
"""Seconds in which everything must have come to rest after a storm."""
SAY_EVERY = 10.0


async def weathered(path: Path, server: Server, weather: Weather, say: Callable[[str], None]) -> Verdict:
    """Tell a storm and judge it. The folder keeps the replicas' logs."""
    async with gathering(path, server, weather) as storm:
        crowd = Crowd(storm)
        await crowd.arrive()
        watching = asyncio.create_task(storm.watch())
        living = [asyncio.create_task(crowd.live(number)) for number in range(weather.services)]
        raging = asyncio.create_task(storm.rage())
        began_at = time.monotonic()
        while (past := time.monotonic() - began_at) < weather.seconds:
            await asyncio.sleep(min(SAY_EVERY, weather.seconds - past))
            said = ", ".join(f"{name} {count}" for name, count in sorted(storm.tally.items()))
            say(f"{time.monotonic() - began_at:4.0f} s: {len(crowd.announced)} releases, {said}")
            for task in (*living, raging, watching):
                if task.done():
                    await task
        raging.cancel()
        await asyncio.gather(raging, return_exceptions=True)
        for replica in storm.replicas:
            storm.thaw(replica)
        storm.line.tear = b""
        storm.simulator.faults.clear()
        await storm.outside("POST", "calm")
        # Whoever is asking gets an answer; nobody begins anything new.
        crowd.is_over = True
        await asyncio.gather(*living)
        say("the storm is over; everything comes to rest")
        await crowd.calm_down(CALM)
        if not await crowd.until_at_rest(CALM):
            storm.troubles.append("something is still waiting to be delivered")
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        verdict = await judge(storm, crowd)
        await storm.end_replicas()
        verdict.wrong += [trouble for trouble in storm.troubles if trouble not in verdict.wrong]
        verdict.figures |= {"chains verified": storm.tally["chains"], "wrong": len(verdict.wrong)}
        return verdict
