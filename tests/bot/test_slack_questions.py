"""A request for approval stands in its thread with buttons, until it is decided; then it says so."""

from __future__ import annotations

import pytest

from core.errors import TransientError
from tests.bot.slack_stage import Stage, first, refresh, repeat, stage, tell

ASKED = "It needs an approval."
FATE = "It needed an approval. Approved by Eve."


def said(s: Stage) -> list[str]:
    """The thread, without its card."""
    return [line.strip() for line in s.seen[1:]]


async def test_a_decided_request_says_so_where_it_was_asked():
    async with stage() as s:
        await s.post.tell(tell(ASKED, request="q7"), first())
        await s.post.refresh_card(refresh(at_once=True), first())
        assert said(s) == [ASKED]

        s.script.fates["q7"] = FATE
        await s.post.refresh_card(refresh(at_once=True), first())
        await s.post.refresh_card(refresh(at_once=True), first())
        assert said(s) == [FATE]
        assert s.calls("chat.update") == 1


async def test_the_process_that_comes_after_finds_it():
    async with stage() as s:
        await s.post.tell(tell(ASKED, request="q7"), first())
        s.script.fates["q7"] = FATE
        s.simulator.faults.set("chat.update", "drop_before", times=1)
        with pytest.raises(TransientError):
            await s.post.refresh_card(refresh(at_once=True), first())
        await s.again().post.refresh_card(refresh(at_once=True), repeat())
        assert said(s) == [FATE]
        await s.again().post.refresh_card(refresh(at_once=True), first())
        assert s.calls("chat.update") == 2


async def test_one_that_is_asked_again_has_its_buttons_in_one_place():
    async with stage() as s:
        await s.post.tell(tell(ASKED, request="q7"), first())
        await s.post.tell(tell(f"{ASKED} Please.", key="t2", request="q7"), first())
        assert said(s) == ["This was asked again below.", f"{ASKED} Please."]
        (older, _) = s.simulator.thread(s.simulator.channel("#checkout").messages[0])[1:]
        assert older.blocks == []

        await s.again().post.tell(tell(f"{ASKED} Please.", key="t2", request="q7"), repeat())
        assert said(s) == ["This was asked again below.", f"{ASKED} Please."]


@pytest.mark.parametrize("code", ["message_not_found", "edit_window_closed"])
async def test_a_request_that_can_be_edited_no_more_is_let_be(code):
    async with stage() as s:
        await s.post.tell(tell(ASKED, request="q7"), first())
        s.script.fates["q7"] = FATE
        s.simulator.faults.set("chat.update", "error", code=code, times=1)
        await s.post.refresh_card(refresh(at_once=True), first())
        await s.post.refresh_card(refresh(at_once=True), first())
        assert said(s) == [ASKED]
        assert s.calls("chat.update") == 1
