"""Slack answers 429, 500 or slowly, or the line drops after the post: cards catch up, and nothing is posted twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.kit import Story, story

TROUBLES: dict[str, dict[str, Any]] = {
    "429": {"fault": "rate_limited", "retry_after": 2},
    "500": {"fault": "server_error"},
    "503": {"fault": "unavailable"},
    "an error of Slack's own": {"fault": "error", "code": "internal_error"},
    "no line": {"fault": "drop_before"},
    "the line drops after the post": {"fault": "drop_after"},
    "slowly": {"fault": "slow", "seconds": 0.05},
}


def said(s: Story) -> Counter[tuple[str, str]]:
    """How often each sentence stands in each thread."""
    channel = s.simulator.channel("#shop").channel
    return Counter((m.thread_ts or "", m.text) for m in channel.messages.values())


@pytest.mark.parametrize("method", ["chat.postMessage", "chat.update"])
@pytest.mark.parametrize("trouble", TROUBLES)
async def test_trouble_for_a_while_costs_nothing_but_time(tmp_path: Path, trouble: str, method: str) -> None:
    async with story(tmp_path) as s:
        for _ in range(3):
            s.simulator.faults.set(method, times=2, **TROUBLES[trouble])
            if trouble == "slowly":
                break
        await s.announce("1.0.0")
        await s.advance(minutes=10, until=lambda: s.cards("1.0.0") and "Approve" in s.card("1.0.0").buttons)
        await s.ann.presses("Approve", on=s.card("1.0.0"), confirm=True)
        await s.advance(hours=2)
        assert "is everywhere" in s.card("1.0.0").text
        assert set(s.keys_posted().values()) == {1}
        assert set(said(s).values()) == {1}, s.simulator.transcript()
        assert await s.counts() == (0, 0)
        assert s.simulator.faults.active() == [], "all of the trouble was met"


async def test_the_line_drops_after_every_single_post_and_still_nothing_is_there_twice(
    tmp_path: Path, database: str
) -> None:
    async with story(tmp_path, database=database) as s:
        await s.everywhere("1.0.0", s.ann)
        s.simulator.faults.set("chat.postMessage", "drop_after")
        s.simulator.faults.set("chat.update", "drop_after")
        await s.announce("1.1.0")
        await s.advance(minutes=30)
        assert "Approve" in s.card("1.1.0").buttons
        assert set(s.keys_posted().values()) == {1}
        assert set(said(s).values()) == {1}
        s.simulator.faults.clear()
        await s.advance(minutes=30)
        assert await s.counts() == (0, 0)


async def test_the_line_drops_and_then_the_program_dies(tmp_path: Path) -> None:
    """What a dead process knew of its posts is lost; what stands in the channel is found by its key."""
    async with story(tmp_path) as s:
        s.simulator.faults.set("chat.postMessage", "drop_after", times=4)
        await s.announce("1.0.0")
        await s.restart()
        await s.advance(minutes=5)
        assert "Approve" in s.card("1.0.0").buttons
        assert set(s.keys_posted().values()) == {1}
        assert set(said(s).values()) == {1}
