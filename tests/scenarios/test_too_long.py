"""What is too long for a message is attached: a failed test's output, and a history asked for in a release's thread."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tests.scenarios.kit import Story, story
from tests.scenarios.props import shop

PRINTS = "import sys; print('\\n'.join(f'line {n}: the cart of <!channel>' for n in range(400))); sys.exit(3)"


def with_a_talking_test() -> dict[str, Any]:
    file = shop()
    file["stages"][0]["tests"] = [{"name": "cart", "use": "command", "with": {"run": [sys.executable, "-c", PRINTS]}}]
    return file


def attached(s: Story, version: str) -> list[tuple[str, str]]:
    """What is attached in a release's thread: the words it comes with, and its content."""
    files = s.simulator.workspace.files
    return [
        (message.text, files[file].content.decode())
        for message in s.simulator.thread(s.card(version))
        for file in message.message.files
    ]


async def test_the_output_of_a_failed_test_is_attached_in_its_thread(tmp_path: Path) -> None:
    async with story(tmp_path, with_a_talking_test()) as s:
        await s.announce("1.0.0")
        ((words, content),) = attached(s, "1.0.0")
        assert words == "The test cart of beta failed.\nWhat it printed is attached."
        assert content.splitlines()[0] == "line 0: the cart of <!channel>"
        assert content.splitlines()[-1] == "line 399: the cart of <!channel>"
        assert s.told("1.0.0", "it ended with status 3")


async def test_a_long_history_asked_for_in_the_thread_is_attached_whole(tmp_path: Path) -> None:
    async with story(tmp_path) as s:
        await s.announce("1.0.0")
        for _ in range(40):
            await s.bob.presses("Approve", on=s.card("1.0.0"), confirm=True)
        await s.settle()
        await s.ann.asks("#shop", "@andon history last 90", thread=s.card("1.0.0"))
        await s.settle()
        ((words, content),) = attached(s, "1.0.0")
        assert words.splitlines()[-1].startswith("… and ")
        assert len(words) < 4_000
        lines = content.splitlines()
        assert lines[0] == "shop 1.0.0, newest first:"
        assert sum("asked and refused" in line for line in lines) == 40
        assert "was announced by" in lines[-1]
        assert "<!date" not in content
