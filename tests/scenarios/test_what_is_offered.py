"""What a card and its thread offer where something is wrong: the owner's way past, and what to type."""

from __future__ import annotations

from pathlib import Path

from core.ports import RunningVersion
from tests.scenarios.kit import story


async def test_a_release_held_by_a_bad_version_can_be_let_past_from_its_card(tmp_path: Path) -> None:
    async with story(tmp_path) as s:
        await s.everywhere("1.0.0", s.ann)
        await s.to_production("1.1.0", s.carol)
        await s.alarm()
        await s.advance(minutes=1)
        await s.alarm("ok")
        await s.announce("1.2.0")
        assert "an owner of the team shop (lift)" in s.card("1.2.0").text
        modal = (await s.carol.chooses("Let it past…", on=s.card("1.2.0"))).modal
        assert modal is not None
        assert "a version it contains was rolled back" in modal
        rest = await modal.submits({"Why?": "It carries the revert"})
        assert rest is None, rest.errors
        await s.settle()
        assert "It carries the revert" in "\n".join(s.thread("1.2.0"))
        assert "may still contain" not in s.card("1.2.0").text


async def test_a_change_past_andon_says_what_to_type_and_asks_somebody_to_look(tmp_path: Path) -> None:
    async with story(tmp_path) as s:
        await s.everywhere("1.0.0", s.ann)
        s.outside.running["box-1"] = RunningVersion(digest="sha256:" + "f" * 64, version="9.9.9")
        await s.app.look_at_targets()
        await s.settle()
        told = s.told("1.0.0", "was changed outside Andon")
        assert "`@andon reconcile shop keep` or `@andon reconcile shop restore`" in told
        assert told.endswith("please look.")
