"""Freezes and windows as people meet them: placed, seen on cards and in threads, lifted, and gone past by override."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.releases.world import Actor, Freeze, Via
from storage.journal import Store
from tests.scenarios.kit import Story, story
from tests.scenarios.props import people, shop

COMPANY = people(administrators=["dave"])
SPREAD = 5
"""Minutes."""


def windowed(smoke: str) -> dict[str, Any]:
    """The story begins at 09:00 UTC on a Monday; production may be entered from 11:00 in Berlin on, which is 10:00."""
    file = shop(smoke)
    hours = {"zone": "Europe/Berlin", "open": [{"days": "mon-fri", "from": "11:00", "to": "16:00"}]}
    return {**file, "calendars": {"office": hours}, "groups": {"production": {"windows": "office"}}}


async def baking(s: Story) -> None:
    await s.to_production("1.0.0", s.ann)
    assert s.running["box-1"] == "1.0.0"


async def test_one_command_stops_everything_and_lifting_it_lets_what_waited_go_on(tmp_path: Path) -> None:
    async with story(tmp_path, organisation=COMPANY) as s:
        await baking(s)
        refused = await s.ann.types("#shop", "/release freeze everything the bank is down")
        assert "Only administrators may freeze everything. Ask Dave." in refused.text
        said = await s.dave.types("#shop", "/release freeze everything the bank is down")
        assert "Everything is frozen: the bank is down. It holds shop." in said.text
        await s.settle()
        assert "Nothing new is entered" in s.told("1.0.0", "Dave froze everything: the bank is down")
        await s.advance(hours=1)
        assert s.state.release("shop-1").passed == ("beta", "one-box")  # type: ignore[union-attr]
        assert "web-1" not in s.running, "the bake ran on, and nothing was entered"
        assert "Dave froze everything: the bank is down" in s.card("1.0.0").text
        why = (await s.ann.types("#shop", "/release why shop")).text
        assert "Who can clear it: an administrator (unfreeze) or an owner (override)." in why
        refused = await s.ann.types("#shop", "/release promote shop")
        assert "Dave froze everything: the bank is down" in refused.text
        assert "freeze-2: everything is frozen until somebody lifts it, by Dave" in (
            (await s.ann.types("#shop", "/release freezes")).text.replace("*", "")
        )
        await s.dave.types("#shop", "/release unfreeze everything", wait=False)
        await s.settle()
        assert "Dave lifted the freeze of everything" in s.told("1.0.0", "lifted the freeze")
        await s.advance(minutes=SPREAD)
        assert s.running["web-1"] == "1.0.0", "it moved by itself"
        assert await s.app.engine.read(lambda t: t.acts.verify()) is None
        lines = await s.app.engine.read(lambda t: t.acts.lines())
        assert [(line.actor, line.refused) for line in lines[:3]] == [("Dave", False), ("Dave", False), ("Ann", True)]


async def test_a_rollback_goes_on_while_everything_is_frozen(tmp_path: Path) -> None:
    async with story(tmp_path, organisation=COMPANY) as s:
        await s.everywhere("1.0.0", s.ann)
        await s.to_production("1.1.0", s.ann)
        await s.dave.types("#shop", "/release freeze everything the bank is down", wait=False)
        await s.settle()
        await s.alarm()
        assert s.running["box-1"] == "1.0.0"


async def test_a_freeze_survives_a_crash_between_its_record_and_its_telling(tmp_path: Path) -> None:
    async with story(tmp_path, organisation=COMPANY) as s:
        await baking(s)
        await s.stop_bot()
        with contextlib.closing(Store(s.settings.database_url)) as store, store.transaction() as transaction:
            world = transaction.worlds.load(s.clock.now())
            freeze = Freeze("freeze-2", s.clock.now(), None, "look first", by=Actor("dave", "Dave", Via.SLACK))
            transaction.worlds.put(replace(world, freezes=(freeze,)), s.clock.now(), "Dave froze everything.")
        app = await s.start_bot()
        await app.ticker.wake(app.engine.pipelines())
        await s.settle()
        assert "Nothing new is entered" in s.told("1.0.0", "Dave froze everything: look first")
        await s.restart()
        await s.advance(hours=1)
        assert "web-1" not in s.running
        s.told("1.0.0", "Dave froze everything: look first")
        assert "Dave froze everything: look first" in s.card("1.0.0").text


async def test_outside_its_window_it_waits_says_until_when_and_moves_by_itself(tmp_path: Path) -> None:
    async with story(tmp_path, smokes=windowed) as s:
        await s.announce("1.0.0")
        assert "box-1" not in s.running
        assert "The window office is closed" in s.card("1.0.0").text
        assert "It moves by itself at" in s.card("1.0.0").text
        told = (await s.ann.types("#shop", "/release why shop")).text
        assert "It moves by itself at" in told
        refused = await s.ann.types("#shop", "/release promote shop")
        assert "the window office is closed" in refused.text
        await s.advance(minutes=59)
        assert "box-1" not in s.running
        await s.advance(minutes=1 + SPREAD)
        assert s.running["box-1"] == "1.0.0"


async def test_an_override_shows_that_it_waits_for_its_second_person(tmp_path: Path) -> None:
    async with story(tmp_path, smokes=windowed) as s:
        await s.announce("1.0.0")
        said = await s.carol.types("#shop", "/release override shop 1.0.0 one-box the fix for the outage")
        assert "does not enter one-box yet" in said.text
        await s.settle()
        assert "override for one-box is not in force: it waits for a second person" in s.card("1.0.0").text
        assert "box-1" not in s.running
        await s.dave.types("#shop", "/release override shop 1.0.0 one-box the fix for the outage", wait=False)
        await s.settle()
        assert s.running["box-1"] == "1.0.0"
        assert "not in force" not in s.card("1.0.0").text
        start = s.clock.now().replace(hour=0)
        listed = await s.app.engine.read(lambda t: t.history.overrides(start))
        assert [line.actor for _, line in listed] == ["Carol", "Dave"], "for the next ops pack"
