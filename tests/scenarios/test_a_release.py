"""A release walks the line: announced, tested, approved by somebody who did not write it, baked, everywhere."""

from __future__ import annotations

from pathlib import Path

from tests.scenarios.kit import story

EVERYWHERE = ("beta-1", "box-1", "web-1", "web-2", "web-3")


async def test_a_release_walks_to_the_end_with_one_approval(tmp_path: Path, database: str) -> None:
    async with story(tmp_path, database=database) as s:
        await s.announce("1.0.0", title="Open the shop")
        assert s.receiver.smoked == 1
        assert s.running == {"beta-1": "1.0.0"}
        assert "Open the shop" in s.card("1.0.0").plain
        await s.ann.presses("Approve", on=s.card("1.0.0"), confirm=True)
        await s.settle()
        assert s.running == {"beta-1": "1.0.0", "box-1": "1.0.0"}
        await s.advance(minutes=11)
        assert s.running == dict.fromkeys(EVERYWHERE, "1.0.0")
        assert "is everywhere" not in s.card("1.0.0").text, "wave-1 bakes"
        await s.advance(minutes=20)
        assert "is everywhere" in s.card("1.0.0").text
        assert s.outside.overlaps == []
        assert set(s.keys_posted().values()) == {1}
        assert await s.counts() == (0, 0)


async def test_somebody_asks_why_and_is_told_what_and_whom_it_waits_for(tmp_path: Path) -> None:
    async with story(tmp_path) as s:
        await s.announce("1.0.0")
        why = await s.dave.types("#shop", "/release why shop")
        assert "waits for an approval" in why.text
        assert "Ann or Carol" in why.text
        assert why.message.ephemeral, "a question is nobody else's business"
        await s.ann.presses("Approve", on=s.card("1.0.0"), confirm=True)
        await s.settle()
        assert "bake" in (await s.dave.types("#shop", "/release why shop")).text
        await s.dave.chooses("Why?", on=s.card("1.0.0"))
        await s.settle()
        assert "bake" in s.privately(s.dave)[-1]


async def test_its_author_may_not_approve_and_somebody_else_may(tmp_path: Path) -> None:
    async with story(tmp_path) as s:
        await s.announce("1.0.0", author="bob@example.com")
        await s.bob.presses("Approve", on=s.card("1.0.0"), confirm=True)
        await s.dave.presses("Approve", on=s.card("1.0.0"), confirm=True)
        await s.settle()
        assert "You had a part in a change it carries" in s.privately(s.bob)[-1]
        assert "is asked of approvers; that is Ann, Bob and Carol" in s.privately(s.dave)[-1]
        assert "box-1" not in s.running
        await s.carol.presses("Approve", on=s.card("1.0.0"), confirm=True)
        await s.settle()
        assert s.running["box-1"] == "1.0.0"
        s.told("1.0.0", "Carol approved")
        (asked,) = [seen for seen in s.simulator.thread(s.card("1.0.0")) if "needed an approval" in seen.text]
        assert "for production. Approved by Carol at " in asked.text
        assert asked.buttons == [], "what is decided is not asked any more"


async def test_ten_clicks_act_once(tmp_path: Path, database: str) -> None:
    async with story(tmp_path, database=database) as s:
        await s.announce("1.0.0")
        card = s.card("1.0.0")
        for _ in range(10):
            await s.ann.presses("Approve", on=card, confirm=True)
        await s.settle()
        assert s.running["box-1"] == "1.0.0"
        s.told("1.0.0", "Ann approved")
        assert len(s.privately(s.ann)) <= 10
        assert set(s.starts().values()) == {1}


async def test_a_release_is_rejected_and_the_next_one_goes(tmp_path: Path) -> None:
    async with story(tmp_path) as s:
        await s.announce("1.0.0")
        opened = await s.ann.presses("Reject", on=s.card("1.0.0"))
        assert opened.modal is not None
        await opened.modal.submits({"reason": "the prices are wrong"})
        await s.settle()
        assert "rejected" in s.card("1.0.0").text
        await s.advance(hours=1)
        assert "box-1" not in s.running
        await s.to_production("1.0.1", s.ann)
        assert s.running["box-1"] == "1.0.1"


async def test_a_release_is_cancelled_and_what_is_deployed_stays(tmp_path: Path) -> None:
    async with story(tmp_path) as s:
        await s.announce("1.0.0")
        await s.dave.types("#shop", "/release cancel shop 1.0.0 a newer one is near", wait=False)
        await s.settle()
        assert "cancelled" in s.card("1.0.0").text
        assert s.running == {"beta-1": "1.0.0"}
        assert "Approve" not in s.card("1.0.0").buttons


async def test_a_newer_release_takes_the_place_of_one_that_waits(tmp_path: Path, database: str) -> None:
    async with story(tmp_path, database=database) as s:
        await s.announce("1.0.0")
        await s.announce("1.0.1")
        assert "Approve" not in s.card("1.0.0").buttons
        assert "Approve" in s.card("1.0.1").buttons
        assert s.running == {"beta-1": "1.0.1"}
