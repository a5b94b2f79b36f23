"""What people meet in Slack, over the real face, desk and rules, by Socket Mode and by HTTP."""

from __future__ import annotations

import asyncio

import pytest

from bot.slack import Limits
from core.releases.events import ApproveRequested, PauseRequested, RollbackRequested
from simulator.people import AppSilent
from storage.errors import OutcomeUnknown, StorageUnavailable
from tests import samples
from tests.bot.slack_office import office
from tests.bot.slack_stage import section


@pytest.fixture(params=["socket", "http"])
def by(request):
    """The way in from Slack."""
    return request.param


# ---- commands -------------------------------------------------------------------------------------------------------


async def test_a_question_is_answered_to_the_one_who_asked(by):
    async with office(by=by) as o:
        answer = await o.ann.types("#checkout", "/release why checkout")

        assert "1.4.2" in answer.text
        assert answer.message.ephemeral


async def test_an_act_is_answered_before_everybody(by):
    async with office(by=by) as o:
        answer = await o.ann.types("#checkout", "/release pause checkout prices look wrong")

        assert not answer.message.ephemeral
        assert [act.reason for act in o.floor.acts if isinstance(act, PauseRequested)] == ["prices look wrong"]


async def test_a_refusal_is_between_andon_and_the_one_who_asked(by):
    async with office(by=by) as o:
        answer = await o.simulator.person("zoe").types("#checkout", "/release promote checkout")

        assert answer.message.ephemeral
        assert o.floor.acts == []


async def test_words_that_are_not_understood_get_the_right_form(by):
    async with office(by=by) as o:
        answer = await o.ann.types("#checkout", "/release pause chekout prices")

        assert "checkout" in answer.text
        assert answer.message.ephemeral


async def test_andon_answers_in_channels_it_is_not_in(by):
    async with office(by=by) as o:
        answer = await o.ann.types("#lounge", "/release why checkout")
        assert "1.4.2" in answer.text


async def test_mentions_in_a_command_arrive_as_names(by):
    async with office(by=by) as o:
        await o.ann.types("#checkout", "/release pause checkout @bob saw wrong prices & <odd> totals", wait=False)

        (act,) = o.floor.acts
        assert isinstance(act, PauseRequested)
        assert act.reason == "@bob saw wrong prices & <odd> totals"


@pytest.mark.parametrize("command", ["/ops", "/feedback", "/prfaq"])
async def test_a_command_that_comes_later_says_so(command):
    async with office() as o:
        answer = await o.ann.types("#checkout", f"{command} status")
        assert "later version" in answer.text
        assert answer.message.ephemeral


# ---- nothing is claimed that was not recorded -----------------------------------------------------------------------


async def test_while_the_database_is_down_the_answer_says_that_nothing_happened(by):
    async with office(by=by) as o:
        o.floor.breaks = StorageUnavailable()
        answer = await o.ann.types("#checkout", "/release pause checkout prices look wrong")

        assert answer.text.startswith("Nothing was recorded, nothing was started. Try again (reference ")
        assert answer.message.ephemeral
        assert o.floor.acts == []


async def test_where_nobody_knows_what_was_recorded_the_answer_does_not_say_that_nothing_was(by):
    async with office(by=by) as o:
        o.floor.breaks = OutcomeUnknown()
        answer = await o.ann.types("#checkout", "/release pause checkout prices look wrong")

        assert "it is not known whether this was recorded" in answer.text
        assert "Nothing was recorded" not in answer.text


async def test_what_takes_too_long_is_answered_in_time_and_again_when_it_is_known():
    async with office(limits=Limits(answer=0.05, grace=5)) as o:
        o.floor.gate.clear()
        answer = await o.ann.types("#checkout", "/release pause checkout prices look wrong")
        assert "not known yet whether it was recorded" in answer.text

        o.floor.gate.set()
        await o.face.drain()
        assert len(o.floor.acts) == 1
        later = o.ann.sees("#checkout")[-1]
        assert later.ephemeral
        assert "not known" not in later.text


async def test_what_never_ends_is_given_up_with_a_sentence():
    async with office(limits=Limits(answer=0.02, grace=0.02)) as o:
        o.floor.gate.clear()
        await o.ann.types("#checkout", "/release pause checkout prices look wrong")
        await o.face.drain()

        assert "still not known" in o.ann.sees("#checkout")[-1].text
        assert o.floor.acts == []


async def test_a_mistake_in_andon_is_answered_and_logged_without_the_words_of_people(by, caplog):
    async with office(by=by) as o:
        o.floor.breaks = ZeroDivisionError("oops")
        answer = await o.ann.types("#checkout", "/release pause checkout the-secret-words")

        assert "Andon made a mistake here (reference " in answer.text
        assert answer.message.ephemeral
        assert "ZeroDivisionError" in caplog.text
        assert "the-secret-words" not in caplog.text


async def test_one_delivery_acts_once_however_often_it_comes():
    async with office() as o:
        payload = {
            "command": "/release",
            "text": "pause checkout prices look wrong",
            "user_id": o.ann.id,
            "user_name": "ann",
            "team_id": o.found.identity.team_id,
            "channel_id": o.simulator.channel("#checkout").id,
            "trigger_id": "1.2.3",
            "response_url": "",
        }
        for _ in range(5):
            await o.face.dispatch(dict(payload), {})
        assert len(o.floor.acts) == 1


# ---- mentions -------------------------------------------------------------------------------------------------------


async def test_in_a_releases_thread_andon_knows_what_is_meant_and_answers_there(by):
    async with office(by=by) as o:
        card = await o.post("checkout 1.4.2 bakes")
        await o.ann.says("#checkout", "@andon pause prices look wrong", thread=card)
        await o.face.drain()

        assert [type(act) for act in o.floor.acts] == [PauseRequested]
        assert card.replies[-1].author == "andon"
        assert len(o.simulator.channel("#checkout").messages) == 1


async def test_a_question_outside_of_threads_is_answered_to_the_one_who_asked(by):
    async with office(by=by) as o:
        answer = await o.ann.asks("#checkout", "@andon why checkout")

        assert answer.message.ephemeral
        assert answer.message.message.thread_ts is None
        assert "1.4.2" in answer.text


async def test_an_act_outside_of_threads_is_answered_in_the_channel(by):
    async with office(by=by) as o:
        answer = await o.ann.asks("#checkout", "@andon pause checkout prices look wrong")
        assert not answer.message.ephemeral


async def test_a_direct_message_is_as_good_as_a_mention(by):
    async with office(by=by) as o:
        direct = o.simulator.workspace.open_im(o.ann.id, o.simulator.workspace.app.bot_user)
        answer = await o.ann.asks(direct.id, "why checkout")
        assert "1.4.2" in answer.text
        await o.simulator.settle()
        assert len(direct.messages) == 2, "Andon's own answer is not a question"


async def test_an_event_delivered_again_is_answered_once():
    async with office() as o:
        event = {"type": "app_mention", "user": o.ann.id, "text": "<@U0B01> why checkout", "ts": "1.0"}
        event |= {"channel": o.simulator.channel("#checkout").id, "team": o.found.identity.team_id}
        body = {"type": "event_callback", "event_id": "Ev1", "team_id": o.found.identity.team_id, "event": event}
        for number in range(3):
            await o.face.dispatch(dict(body), {"x-slack-retry-num": str(number)} if number else {})
        await o.face.drain()
        assert len([seen for seen in o.ann.sees("#checkout") if seen.author == "andon"]) == 1


async def test_other_bots_are_not_answered():
    async with office() as o:
        event = {"type": "app_mention", "user": "U7", "bot_id": "B7", "text": "<@U0B01> help", "ts": "1.0"}
        event["channel"] = o.simulator.channel("#checkout").id
        await o.face.dispatch({"type": "event_callback", "event_id": "Ev2", "event": event}, {})
        await o.face.drain()
        assert o.simulator.channel("#checkout").messages == []


# ---- buttons --------------------------------------------------------------------------------------------------------


async def test_a_button_acts_and_tells_the_one_who_pressed(by):
    async with office(samples.waiting_for_approval(), by=by) as o:
        card = await o.card("approve", subject="q7")
        await o.carol.presses("Approve", on=card)
        await o.face.drain()

        assert [type(act) for act in o.floor.acts] == [ApproveRequested]
        answer = o.carol.sees("#checkout")[-1]
        assert answer.ephemeral
        assert all(seen.text != answer.text for seen in o.ann.sees("#checkout"))


async def test_a_visible_button_is_no_permission(by):
    async with office(samples.waiting_for_approval(), by=by) as o:
        card = await o.card("approve", subject="q7")
        await o.ann.presses("Approve", on=card)
        await o.face.drain()

        assert o.floor.acts == []
        assert o.ann.sees("#checkout")[-1].ephemeral


async def test_ten_clicks_are_one_act_and_each_gets_an_answer():
    async with office(samples.waiting_for_approval()) as o:
        card = await o.card("approve", subject="q7")
        await asyncio.gather(*(o.carol.presses("Approve", on=card) for _ in range(10)))
        await o.face.drain()

        assert len(o.floor.acts) == 1
        assert len([seen for seen in o.carol.sees("#checkout") if seen.ephemeral]) == 10


async def test_a_stale_button_does_nothing_and_shows_how_things_stand(by):
    async with office(samples.waiting_for_approval(), by=by) as o:
        card = await o.card("approve", subject="q7")
        o.floor.states["checkout"] = samples.baking()
        await o.carol.presses("Approve", on=card)
        await o.face.drain()

        assert o.floor.acts == []
        answer = o.carol.sees("#checkout")[-1]
        assert "nothing was done" in answer.text
        assert "Now: checkout 1.4.2 is in one-box" in answer.text


@pytest.mark.parametrize(("action_id", "value"), [("rel:old", "17"), ("andon:gone:1", "not json"), ("andon:x", "{}")])
async def test_a_button_nobody_knows_any_more_is_answered(action_id, value):
    async with office() as o:
        button = {"type": "button", "action_id": action_id, "text": {"type": "plain_text", "text": "Old"}}
        card = await o.post("old", [{"type": "actions", "elements": [button | {"value": value}]}])
        await o.ann.presses("Old", on=card)
        await o.face.drain()
        assert "from another time" in o.ann.sees("#checkout")[-1].text


async def test_a_link_button_is_acknowledged_without_a_word(by):
    async with office(by=by) as o:
        button: dict[str, object] = {
            "type": "button",
            "action_id": "andon:link:1",
            "url": "https://runbooks.example/checkout",
        }
        button["text"] = {"type": "plain_text", "text": "Runbook"}
        card = await o.post("card", [{"type": "actions", "elements": [button]}])
        answer = await o.ann.presses("Runbook", on=card)
        await o.face.drain()
        assert answer.url == "https://runbooks.example/checkout"
        assert len(o.ann.sees("#checkout")) == 1


async def test_a_button_in_a_thread_is_answered_in_that_thread(by):
    async with office(samples.red(), by=by) as o:
        card = await o.post("checkout 1.4.2 bakes")
        value = '{"p":"checkout","r":"r2","s":"g5"}'
        button: dict[str, object] = {"type": "button", "action_id": "andon:acknowledge:1", "value": value}
        button["text"] = {"type": "plain_text", "text": "Acknowledge"}
        told = await o.post("red", [section("red"), {"type": "actions", "elements": [button]}], thread=card.ts)
        await o.ann.presses("Acknowledge", on=told)
        await o.face.drain()

        answers = [seen for seen in o.ann.sees("#checkout", thread=card) if seen.ephemeral]
        assert len(answers) == 1
        assert not [seen for seen in o.ann.sees("#checkout") if seen.ephemeral]


async def test_a_menu_entry_asks_for_a_reason_like_a_button(by):
    async with office(by=by) as o:
        value = '{"a":"rollback","p":"checkout","r":"r2","s":"*"}'
        option = {"text": {"type": "plain_text", "text": "Roll back everywhere"}, "value": value}
        menu = {"type": "overflow", "action_id": "andon:menu:3", "options": [option]}
        card = await o.post("card", [section("card"), {"type": "actions", "elements": [menu]}])
        answer = await o.carol.chooses("Roll back everywhere", on=card)

        assert answer.modal is not None
        await answer.modal.submits({"Why?": "prices are wrong"})
        (act,) = o.floor.acts
        assert isinstance(act, RollbackRequested)
        assert act.everywhere


# ---- modals ---------------------------------------------------------------------------------------------------------


async def test_pausing_asks_for_a_reason_and_nothing_else(by):
    async with office(by=by) as o:
        card = await o.card("pause", "why")
        answer = await o.ann.presses("Pause", on=card)
        assert answer.modal is not None
        assert answer.modal.labels == ["Why?"]
        assert o.floor.acts == []

        assert await answer.modal.submits({"Why?": "prices look wrong"}) is None
        await o.face.drain()
        assert [act.reason for act in o.floor.acts if isinstance(act, PauseRequested)] == ["prices look wrong"]
        assert o.ann.sees("#checkout")[-1].ephemeral


async def test_a_refused_modal_keeps_what_was_typed(by):
    async with office(samples.waiting_for_approval(), by=by) as o:
        card = await o.card("reject", subject="q7")
        answer = await o.ann.presses("Reject", on=card)
        assert answer.modal is not None
        left = await answer.modal.submits({"reason": "not today"})

        assert left is not None
        assert left.errors["reason"]
        assert "<!date" not in left.errors["reason"]
        assert o.floor.acts == []


async def test_a_modal_says_when_nothing_was_recorded_and_can_be_sent_again(by):
    async with office(by=by) as o:
        card = await o.card("pause")
        answer = await o.ann.presses("Pause", on=card)
        assert answer.modal is not None
        o.floor.breaks = StorageUnavailable()
        left = await answer.modal.submits({"Why?": "prices look wrong"})
        assert left is not None
        assert left.errors["reason"].startswith("Nothing was recorded")

        o.floor.breaks = None
        assert await left.submits({"Why?": "prices look wrong"}) is None
        assert len(o.floor.acts) == 1


async def test_a_window_that_slack_does_not_open_is_said_and_the_way_around_it():
    async with office() as o:
        o.simulator.faults.set("views.open", "rate_limited", times=1)
        card = await o.card("pause")
        await o.ann.presses("Pause", on=card)
        await o.face.drain()
        assert "type it" in o.ann.sees("#checkout")[-1].text


# ---- shortcuts ------------------------------------------------------------------------------------------------------


async def test_release_actions_finds_a_service_and_asks(by):
    async with office(by=by) as o:
        answer = await o.ann.uses("Release actions")
        assert answer.modal is not None
        assert await o.ann.searches("check", menu="andon:service", on=answer.modal) == ["checkout"]
        left = await answer.modal.submits({"Service": "checkout", "What to do": "why"})

        assert left is not None
        assert "1.4.2" in str(left)


async def test_release_actions_on_a_card_knows_the_service(by):
    async with office(by=by) as o:
        card = await o.post("checkout 1.4.2 bakes")
        answer = await o.ann.uses("Act on this release", on=card)
        assert answer.modal is not None
        left = await answer.modal.submits({"What to do": "pause"})
        assert left is not None
        assert "reason" in left.errors["reason"].lower()

        left = await left.submits({"Reason": "prices look wrong"})
        assert [act.reason for act in o.floor.acts if isinstance(act, PauseRequested)] == ["prices look wrong"]


async def test_promoting_from_release_actions_finds_what_waits(by):
    async with office(samples.start(), by=by) as o:
        answer = await o.ann.uses("Release actions")
        assert answer.modal is not None
        await o.ann.searches("", menu="andon:service", on=answer.modal)
        left = await answer.modal.submits({"Service": "checkout", "What to do": "promote"})
        assert left is not None
        assert "1.4.2" in str(left) or "1.4.2" in str(left.errors)


async def test_a_shortcut_of_another_version_is_not_met_with_silence():
    async with office() as o:
        trigger = o.simulator.server.tickets.trigger(o.ann.id)
        body = {"type": "shortcut", "callback_id": "gone", "trigger_id": trigger, "user": {"id": o.ann.id}}
        answer = await o.face.dispatch(body, {})
        assert answer.status == 200
        assert o.ann.modal is not None
        assert "does not know this shortcut" in str(o.ann.modal)


# ---- who may --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("who", "says"), [("eve", "another company"), ("guest", "a guest")])
async def test_people_from_outside_see_the_card_but_do_not_act(who, says, by):
    async with office(samples.waiting_for_approval(), by=by) as o:
        card = await o.card("approve", subject="q7")
        outsider = o.simulator.person(who)
        await outsider.presses("Approve", on=card)
        await o.face.drain()

        assert o.floor.acts == []
        assert says in outsider.sees("#checkout")[-1].text


async def test_somebody_known_by_e_mail_only_is_who_the_file_says():
    async with office() as o:
        people = dict(o.floor.world.people)
        people["zoe"] = type(people["ann"])(key="zoe", name="Zoe Z.", identities=frozenset({"zoe@example.test"}))
        o.floor.world = type(o.floor.world)(
            revision=2, people=people, groups=o.floor.world.groups, teams=o.floor.world.teams
        )
        await o.simulator.person("zoe").types("#checkout", "/release pause checkout odd prices", wait=False)
        (act,) = o.floor.acts
        assert act.by.id == "zoe"
        assert act.by.name == "Zoe Z."


async def test_people_the_file_knows_by_slack_id_cost_no_call():
    async with office() as o:
        await o.ann.types("#checkout", "/release why checkout")
        assert o.simulator.faults.calls["users.info"] == 0
        assert o.simulator.faults.calls["auth.test"] == 1, "asked once, at the start"


# ---- App Home -------------------------------------------------------------------------------------------------------


async def test_home_shows_what_waits_for_me_and_how_services_stand(by):
    async with office(samples.waiting_for_approval(), by=by) as o:
        for person, waiting in ((o.carol, "asks for your approval"), (o.bob, "Nothing."), (o.ann, "Nothing.")):
            await person.opens_home()
            await o.face.drain()
            shown = await person.opens_home()
            assert waiting in shown, "Bob merged a change and Ann wrote it: neither may approve"
            assert "1.4.2 is past gamma, waiting to enter one-box" in shown


# ---- nothing is left without an answer ------------------------------------------------------------------------------


async def test_payloads_of_unknown_kinds_are_acknowledged():
    async with office() as o:
        for body in (
            {"type": "dialog_submission", "callback_id": "x", "user": {"id": "U1"}},
            {"type": "event_callback", "event_id": "Ev9", "event": {"type": "reaction_added", "user": "U1"}},
            {"type": "view_closed", "view": {"callback_id": "andon:act"}, "user": {"id": "U1"}},
            {"type": "block_suggestion", "action_id": "gone", "block_id": "b", "value": "x", "user": {"id": "U1"}},
            {"something": "else"},
            {"type": "view_submission", "view": {"id": "V1"}, "user": {"id": "U1"}},
            {"type": "block_actions", "user": {"id": "U1"}},
        ):
            assert (await o.face.dispatch(body, {})).status == 200


async def test_a_form_of_another_version_says_so():
    async with office() as o:
        view = {"id": "V1", "type": "modal", "callback_id": "gone", "blocks": [], "state": {"values": {}}}
        user = {"id": o.ann.id, "team_id": o.found.identity.team_id}
        answer = await o.face.dispatch({"type": "view_submission", "view": view, "user": user}, {})
        assert "another time" in answer.body


async def test_a_face_that_is_gone_leaves_slack_saying_so():
    async with office() as o:
        o.simulator.server.delivery.is_down = True
        with pytest.raises(AppSilent):
            await o.ann.types("#checkout", "/release help")
