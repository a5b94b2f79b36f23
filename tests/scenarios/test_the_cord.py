"""The andon cord: pulled by command, by button and by mention; lifted again; alarms and rollbacks go on meanwhile."""

from __future__ import annotations

from pathlib import Path

from tests.scenarios.kit import Story, story


async def baking(s: Story) -> None:
    await s.to_production("1.0.0", s.ann)
    assert s.running["box-1"] == "1.0.0"


async def test_pulled_by_command_nothing_new_starts_until_it_is_lifted(tmp_path: Path) -> None:
    async with story(tmp_path) as s:
        await baking(s)
        said = await s.dave.types("#shop", "/release pause shop prices look wrong")
        assert "shop is paused" in said.text
        await s.advance(hours=1)
        assert "web-1" not in s.running, "the bake ran on, and nothing was entered"
        assert "prices look wrong" in s.card("1.0.0").text
        assert "prices look wrong" in (await s.ann.types("#shop", "/release why shop")).text
        await s.dave.types("#shop", "/release resume shop", wait=False)
        await s.settle()
        assert s.running["web-3"] == "1.0.0", "it waited for nothing else"


async def test_pulled_and_lifted_by_button(tmp_path: Path) -> None:
    async with story(tmp_path) as s:
        await baking(s)
        opened = await s.bob.presses("Pause", on=s.card("1.0.0"))
        assert opened.modal is not None
        assert opened.modal.labels == [opened.modal.labels[0]], "a reason is asked, and nothing more"
        await opened.modal.submits({"reason": "a customer called"})
        await s.settle()
        assert "Pause" not in s.card("1.0.0").buttons
        await s.advance(hours=1)
        assert "web-1" not in s.running
        await s.bob.presses("Resume", on=s.card("1.0.0"))
        await s.settle()
        assert s.running["web-1"] == "1.0.0"
        s.told("1.0.0", "Bob paused")


async def test_pulled_and_lifted_by_mention_in_the_thread(tmp_path: Path) -> None:
    async with story(tmp_path) as s:
        await baking(s)
        card = s.card("1.0.0")
        said = await s.carol.asks("#shop", "@andon pause let us look first", thread=card)
        assert "paused" in said
        await s.advance(hours=1)
        assert "web-1" not in s.running
        await s.carol.asks("#shop", "@andon resume", thread=card)
        await s.settle()
        assert s.running["web-1"] == "1.0.0"


async def test_two_pauses_need_two_resumes(tmp_path: Path, database: str) -> None:
    async with story(tmp_path, database=database) as s:
        await baking(s)
        await s.bob.types("#shop", "/release pause shop one reason", wait=False)
        await s.dave.types("#shop", "/release pause shop in wave-1 another reason", wait=False)
        await s.advance(hours=1)
        await s.bob.types("#shop", "/release resume shop", wait=False)
        await s.settle()
        assert "web-1" not in s.running
        await s.dave.types("#shop", "/release resume shop in wave-1", wait=False)
        await s.settle()
        assert s.running["web-1"] == "1.0.0"


async def test_a_pause_with_an_end_ends_by_itself(tmp_path: Path, database: str) -> None:
    async with story(tmp_path, database=database) as s:
        await baking(s)
        await s.bob.types("#shop", "/release pause shop for 2h lunch", wait=False)
        await s.advance(minutes=110)
        assert "web-1" not in s.running
        await s.advance(minutes=11)
        assert s.running["web-1"] == "1.0.0"


async def test_no_pause_holds_up_a_rollback(tmp_path: Path) -> None:
    async with story(tmp_path) as s:
        await s.everywhere("1.0.0", s.ann)
        await s.advance(hours=1)
        await s.to_production("1.1.0", s.ann)
        await s.bob.types("#shop", "/release pause shop wait", wait=False)
        await s.settle()
        assert s.running["box-1"] == "1.1.0"
        await s.alarm()
        assert s.running["box-1"] == "1.0.0"
