"""Cards, threads and pages in a strict workspace: posted once, edited in place, whatever Slack does meanwhile."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.slack_client import SlackRefused
from bot.slack_post import AGAIN, Later
from core.errors import TransientError
from core.releases.effects import Page
from storage.errors import StorageUnavailable
from tests.bot.slack_stage import config, first, refresh, repeat, stage, tell


async def test_a_release_is_one_card_with_one_thread():
    async with stage() as s:
        await s.post.refresh_card(refresh(), first())
        await s.post.tell(tell("beta is baking"), first())
        await s.post.tell(tell("beta has passed", key="t2"), first())

        assert s.seen == ["checkout 1.4.2 is deploying to beta", "  beta is baking", "  beta has passed"]


async def test_the_first_sentence_of_a_release_brings_its_card_along():
    async with stage() as s:
        await s.post.tell(tell("beta is baking"), first())
        s.hands.now += 2
        await s.post.refresh_card(refresh(), first())

        assert s.seen == ["checkout 1.4.2 is deploying to beta", "  beta is baking"]


async def test_a_sentence_of_no_release_stands_in_the_channel():
    async with stage() as s:
        await s.post.tell(tell("checkout is frozen until Monday", release=""), first())

        assert s.seen == ["checkout is frozen until Monday"]


async def test_only_a_broadcast_is_shown_in_the_channel_as_well():
    async with stage() as s:
        await s.post.tell(tell("quiet"), first())
        await s.post.tell(tell("rolled back", key="t2", is_broadcast=True), first())

        assert [line for line in s.seen if line.startswith("broadcast")] == ["broadcast: rolled back"]


async def test_a_card_is_edited_in_place_and_keeps_its_text_and_blocks():
    async with stage() as s:
        await s.post.refresh_card(refresh(), first())
        s.script.cards["r1"] = "checkout 1.4.2 bakes in beta"
        await s.post.refresh_card(refresh(at_once=True), first())

        (card,) = s.simulator.channel("#checkout").messages
        assert card.text == "checkout 1.4.2 bakes in beta"
        assert card.blocks[0]["text"]["text"] == "checkout 1.4.2 bakes in beta"


async def test_a_card_that_would_look_the_same_is_not_sent():
    async with stage() as s:
        await s.post.refresh_card(refresh(), first())
        s.hands.now += 60
        await s.post.refresh_card(refresh(), first())
        await s.again().post.refresh_card(refresh(), first())

        assert s.calls("chat.update") == 0


async def test_edits_of_one_card_keep_their_distance_unless_they_are_urgent():
    async with stage() as s:
        await s.post.refresh_card(refresh(), first())
        s.hands.now += 0.5
        s.script.cards["r1"] = "one"
        with pytest.raises(Later) as later:
            await s.post.refresh_card(refresh(), first())
        assert later.value.retry_after == timedelta(seconds=1)
        assert s.script.drawn == 1, "a card that may not be sent yet is not drawn"

        await s.post.refresh_card(refresh(at_once=True), first())
        assert s.seen == ["one"]

        s.script.cards["r1"] = "two"
        s.hands.now += 1.6
        await s.post.refresh_card(refresh(), first())
        assert s.seen == ["two"]


async def test_links_are_not_unfolded_and_the_key_travels_with_the_post():
    async with stage() as s:
        await s.post.tell(tell(), first())

        (card,) = s.simulator.channel("#checkout").messages
        assert card.message.metadata == {"event_type": "andon", "event_payload": {"key": "card:checkout:r1"}}
        assert card.replies[0].message.metadata == {"event_type": "andon", "event_payload": {"key": "t1"}}


# ---- nothing twice --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["drop_after", "drop_before", "server_error", "unavailable"])
async def test_a_post_that_slack_did_not_confirm_stands_there_once(fault):
    async with stage() as s:
        s.simulator.faults.set("chat.postMessage", fault, times=1)
        with pytest.raises(TransientError) as trouble:
            await s.post.refresh_card(refresh(), first())
        assert not isinstance(trouble.value, Later)

        await s.post.refresh_card(refresh(), repeat())
        assert s.seen == ["checkout 1.4.2 is deploying to beta"]


async def test_who_held_a_message_for_too_long_looks_again_before_it_is_posted():
    """Frozen between the look and the post, this process does not know what another one posted meanwhile."""
    async with stage() as s:
        await s.post.refresh_card(refresh(), first())
        held_up = replace(first(), is_held=lambda: False)
        with pytest.raises(TransientError, match="looked for"):
            await s.post.tell(tell(), held_up)
        assert len(s.seen) == 1

        await s.post.tell(tell(), repeat())
        assert len(s.seen) == 2


async def test_a_sentence_that_slack_did_not_confirm_stands_in_the_thread_once():
    async with stage() as s:
        await s.post.refresh_card(refresh(), first())
        s.simulator.faults.set("chat.postMessage", "drop_after", times=1)
        with pytest.raises(TransientError):
            await s.post.tell(tell(), first())

        await s.again().post.tell(tell(), repeat())
        assert s.seen == ["checkout 1.4.2 is deploying to beta", "  beta is baking"]


async def test_a_process_that_died_between_post_and_record_leaves_one_card():
    async with stage() as s:
        s.shelf.breaks = StorageUnavailable()
        with pytest.raises(StorageUnavailable):
            await s.post.refresh_card(refresh(), first())

        after = s.again()
        await after.post.refresh_card(refresh(), repeat())
        await after.post.tell(tell(), repeat())

        assert s.seen == ["checkout 1.4.2 is deploying to beta", "  beta is baking"]
        card = s.shelf.cards[("checkout", "r1")]
        assert card.ts == s.simulator.channel("#checkout").messages[0].ts


async def test_a_card_found_after_a_crash_is_drawn_as_things_are_now():
    async with stage() as s:
        s.shelf.breaks = StorageUnavailable()
        with pytest.raises(StorageUnavailable):
            await s.post.refresh_card(refresh(), first())

        s.script.cards["r1"] = "checkout 1.4.2 bakes in beta"
        after = s.again()
        await after.post.refresh_card(refresh(), repeat())
        await after.post.refresh_card(refresh(at_once=True), first())

        assert s.seen == ["checkout 1.4.2 bakes in beta"]


async def test_the_search_goes_back_no_further_than_the_effect_and_over_pages():
    async with stage() as s:
        s.simulator.faults.set("chat.postMessage", "drop_after", times=1)
        with pytest.raises(TransientError):
            await s.post.tell(tell("frozen", release=""), first())
        ann = s.simulator.person("ann")
        for number in range(450):
            s.simulator.server.acting.says(ann.id, "#checkout", f"chatter {number}")

        await s.again().post.tell(tell("frozen", release=""), repeat())
        assert s.seen.count("frozen") == 1
        assert s.calls("conversations.history") == 3


async def test_where_history_cannot_be_read_the_post_is_repeated_and_says_so():
    async with stage(config(without=("channels:history", "groups:history", "im:history"))) as s:
        s.simulator.faults.set("chat.postMessage", "drop_after", times=1)
        with pytest.raises(TransientError):
            await s.post.tell(tell("frozen", release=""), first())

        await s.post.tell(tell("frozen", release=""), repeat())
        assert s.seen == ["frozen", f"frozen\n{AGAIN}"]
        assert s.simulator.channel("#checkout").messages[1].blocks[-1]["type"] == "context"


async def test_a_pause_slack_asks_for_is_kept_and_is_no_failed_attempt():
    async with stage() as s:
        s.simulator.faults.set("chat.postMessage", "rate_limited", times=1, retry_after=7)
        with pytest.raises(Later) as later:
            await s.post.refresh_card(refresh(), first())
        assert later.value.retry_after == timedelta(seconds=7)

        # Another release of the channel does not run into the same wall: it is told to wait as well.
        with pytest.raises(Later):
            await s.post.tell(tell(release=""), first())
        assert s.calls("chat.postMessage") == 1

        s.hands.now += 7
        await s.post.refresh_card(refresh(), first())
        assert s.seen == ["checkout 1.4.2 is deploying to beta"]


async def test_posts_to_one_channel_go_out_one_a_second_after_a_short_burst():
    from bot.slack_client import Pace

    async with stage() as s:
        pace = Pace(every=1.0, burst=3, monotonic=s.hands.monotonic, sleep=s.hands.sleep)
        for _ in range(6):
            await pace.turn("C1")
        await pace.turn("C2")

        assert s.hands.slept == [1.0, 1.0, 1.0]
        assert pace.wait("C1") == 1.0
        assert pace.wait("C2") == 0.0


async def test_while_slack_is_down_cards_wait_and_then_catch_up():
    async with stage() as s:
        await s.post.refresh_card(refresh(), first())
        s.simulator.faults.paused = True
        s.script.cards["r1"] = "checkout 1.4.2 is in production"
        with pytest.raises(TransientError):
            await s.post.refresh_card(refresh(at_once=True), first())

        s.simulator.faults.paused = False
        await s.post.refresh_card(refresh(at_once=True), repeat())
        assert s.seen == ["checkout 1.4.2 is in production"]


# ---- cards that can be edited no more -------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["edit_window_closed", "cant_update_message", "is_inactive"])
async def test_a_card_that_can_be_edited_no_more_goes_on_in_a_new_one(code):
    async with stage() as s:
        await s.post.tell(tell("beta is baking"), first())
        old = s.simulator.channel("#checkout").messages[0]
        s.simulator.faults.set("chat.update", "error", times=1, code=code)
        s.script.cards["r1"] = "checkout 1.4.2 has passed beta"
        await s.post.refresh_card(refresh(at_once=True), first())
        await s.post.tell(tell("gamma begins", key="t2"), first())

        new = s.simulator.channel("#checkout").messages[-1]
        assert new.text.startswith("checkout 1.4.2 has passed beta\nThis card goes on from <http")
        assert old.ts.replace(".", "") in new.text
        assert [reply.text for reply in new.replies] == ["gamma begins"]
        assert [reply.text for reply in old.replies] == ["beta is baking"]

        s.script.cards["r1"] = "checkout 1.4.2 is in gamma"
        await s.post.refresh_card(refresh(at_once=True), first())
        assert len(s.simulator.channel("#checkout").messages) == 2
        assert s.simulator.channel("#checkout").messages[-1].text == "checkout 1.4.2 is in gamma"


async def test_a_card_somebody_deleted_is_posted_anew():
    async with stage() as s:
        await s.post.refresh_card(refresh(), first())
        (card,) = s.simulator.channel("#checkout").messages
        s.simulator.workspace.delete(card.message)
        s.script.cards["r1"] = "checkout 1.4.2 has passed beta"
        await s.post.refresh_card(refresh(at_once=True), first())

        assert s.seen == ["checkout 1.4.2 has passed beta"]


async def test_what_slack_refuses_says_what_would_help():
    async with stage() as s:
        s.script.channels["checkout"] = "#elsewhere"
        with pytest.raises(SlackRefused, match=r"#elsewhere.*/invite @andon"):
            await s.post.refresh_card(refresh(), first())
        assert s.calls("chat.postMessage") == 0

        s.simulator.server.acting.invites("ann", "#elsewhere", "andon")
        s.hands.now += 60
        await s.post.refresh_card(refresh(), first())
        assert s.simulator.channel("#elsewhere").messages[0].text == "checkout 1.4.2 is deploying to beta"


async def test_a_channel_renamed_is_still_the_channel_of_its_cards():
    async with stage() as s:
        await s.post.refresh_card(refresh(), first())
        s.simulator.workspace.channel("#checkout").name = "payments-checkout"
        await s.post.tell(tell("still here"), first())

        (card,) = s.simulator.channel("#payments-checkout").messages
        assert [reply.text for reply in card.replies] == ["still here"]


async def test_a_pipeline_without_a_channel_is_silent():
    async with stage() as s:
        s.script.channels.clear()
        await s.post.refresh_card(refresh(), first())
        await s.post.tell(tell(), first())
        assert s.calls("chat.postMessage") == 0


# ---- calls to the on-call -------------------------------------------------------------------------------------------


def _page() -> Page:
    return Page(key="p1", page="page-1", release="r1", stage="wave 1", sentence="checkout rolls back", repetition=1)


async def test_the_on_call_hear_of_it_in_the_thread_and_by_direct_message():
    async with stage() as s:
        ann, bob = s.simulator.person("ann"), s.simulator.person("bob")
        s.script.on_call = (ann.id, bob.id)
        await s.post.refresh_card(refresh(), first())
        await s.post.page(_page(), first())

        (card, _) = s.simulator.channel("#checkout").messages
        assert [reply.text for reply in card.replies] == ["checkout rolls back"]
        for person in (ann, bob):
            direct = s.simulator.workspace.open_im(person.id, s.simulator.workspace.app.bot_user)
            assert [message.text for message in direct.messages.values()] == ["You are on call. checkout rolls back"]


async def test_one_who_cannot_be_reached_does_not_keep_the_call_from_the_others():
    async with stage() as s:
        ann, bob = s.simulator.person("ann"), s.simulator.person("bob")
        s.script.on_call = ("U9999", ann.id, bob.id)
        with pytest.raises(SlackRefused, match="organisation file"):
            await s.post.page(_page(), first())

        for person in (ann, bob):
            direct = s.simulator.workspace.open_im(person.id, s.simulator.workspace.app.bot_user)
            assert len(direct.messages) == 1


async def test_a_call_of_which_half_arrived_is_finished_and_not_repeated():
    async with stage() as s:
        ann, bob = s.simulator.person("ann"), s.simulator.person("bob")
        s.script.on_call = (ann.id, bob.id)
        direct = s.simulator.workspace.open_im(bob.id, s.simulator.workspace.app.bot_user)
        s.simulator.faults.set("chat.postMessage", "rate_limited", times=1, retry_after=5, channel=direct.id)
        with pytest.raises(TransientError) as trouble:
            await s.post.page(_page(), first())
        assert not isinstance(trouble.value, Later)

        s.hands.now += 5
        await s.again().post.page(_page(), repeat())
        assert s.seen == ["checkout rolls back"]
        for person in (ann, bob):
            direct = s.simulator.workspace.open_im(person.id, s.simulator.workspace.app.bot_user)
            assert len(direct.messages) == 1
