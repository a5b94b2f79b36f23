"""Sentences of the thread, calls to the on-call, and the modals that ask for a reason."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bot.messages import paged, paged_directly, people_to_call, told
from bot.modals import CALLBACK, goes_back, modal, renewed
from bot.preview import SampleLine, main, preview
from bot.render import built_in
from commands.desk import NEEDS_REASON
from commands.subjects import EVERYWHERE, Subject, decode, drawn_from
from core.errors import UsageError
from core.releases.effects import Page, Tell
from core.releases.state import PipelineState
from core.releases.world import World
from tests import samples
from tests.bot.drawn import Moment, judge
from tests.bot.test_cards import pressable, sections, small_print, verbs
from tests.samples import MOMENTS, WORLD

RED = Tell(
    key="say1",
    release="r2",
    topic="rolling_back",
    sentence="checkout 1.4.2 is being rolled back in wave-1 to 1.4.1: the alarm orders-5xx turned red.",
    asks=("payments-oncall",),
    offers=("acknowledge", "pause", "rollback"),
    subject="wave-1",
)
ASKED = replace(
    RED, sentence="It needs an approval.", asks=("reviewers",), offers=("approve", "reject"), subject="q7"
)  # fmt: skip
CALL = Page(key="g5/2", page="g5", release="r2", stage="wave-1", sentence="wave-1 is rolling back.", repetition=2)


def test_a_sentence_of_the_core_is_said_as_it_is_and_mentions_whom_it_asks():
    message = told(RED, samples.red(), WORLD)
    assert message.text == f"{RED.sentence} <!subteam^S0ONCALL>: please look."
    assert sections(message) == f"{RED.sentence}\n<!subteam^S0ONCALL>: please look."


def test_a_fact_without_a_question_has_nothing_to_press():
    message = told(replace(RED, asks=(), offers=()), samples.red(), WORLD)
    assert [block["type"] for block in message.blocks] == ["section"]


def test_who_is_only_told_is_not_asked_to_look():
    assert told(replace(RED, offers=()), samples.red(), WORLD).text.endswith("<!subteam^S0ONCALL>: so that you know.")


def test_rolling_back_stands_one_thought_further_away_in_the_menu():
    message = told(RED, samples.red(), WORLD)
    assert verbs(message) == ["acknowledge", "pause", "why", "rollback", "history"]
    subjects = {verb: about.subject for verb, about, _ in pressable(message)}
    assert subjects["rollback"] == "wave-1"
    assert subjects["pause"] == "", "the cord stops the whole service"


def test_buttons_in_a_thread_stay_good_while_the_release_moves_on():
    for verb, about, _ in pressable(told(RED, samples.red(), WORLD)):
        assert not about.drawn_from, verb


def test_a_request_shows_what_is_to_be_approved():
    message = told(ASKED, samples.waiting_for_approval(), WORLD)
    assert "It would replace 1.4.1." in sections(message)
    assert "• <https://code.example/c/a1b2c3d|Round prices half to even>, by Ann" in sections(message)
    assert "It lapses at <!date^" in small_print(message)
    assert verbs(message) == ["approve", "reject", "why", "history"]
    assert "reviewers (<@U0BOB>, Carol, <@U0EVE>): please approve or reject." in message.text


def test_a_request_that_is_over_when_it_is_delivered_is_a_sentence_still():
    message = told(ASKED, samples.baking(), WORLD)
    assert message.text.startswith("It needs an approval.")


def test_what_is_told_of_no_release_needs_none():
    tell = replace(RED, release="", offers=(), asks=(), sentence="The pause ended as planned.")
    assert told(tell, samples.baking(), WORLD).text == "The pause ended as planned."


def test_a_call_says_who_what_since_when_and_where_to_look():
    message = paged(CALL, samples.red(), WORLD)
    assert message.text.startswith("wave-1 is rolling back. Since <!date^1772459940^")
    assert "<!subteam^S0ONCALL>: somebody is needed." in message.text
    said = small_print(message)
    assert "call 2 of 5" in said
    assert "<https://runbooks.example/orders-5xx|runbook of orders-5xx>" in said
    assert "<https://charts.example/checkout|dashboard of checkout>" in said
    assert verbs(message) == ["acknowledge", "pause", "why", "rollback", "history"]


def test_a_direct_call_names_the_service_and_mentions_nobody():
    message = paged_directly(CALL, samples.red(), WORLD)
    assert message.text.startswith("You are on call for checkout.")
    assert "<!subteam" not in message.text


def test_a_call_nobody_can_hear_says_so():
    message = paged(CALL, samples.red(), World())
    assert "Nobody is on call for this service" in sections(message)


def test_everybody_on_call_with_a_slack_id_gets_a_direct_message():
    assert people_to_call(samples.red(), WORLD) == ("U0DORA",)
    team = replace(WORLD.teams["payments"], on_call="")
    assert people_to_call(samples.red(), replace(WORLD, teams={"payments": team})) == ("U0ANN", "U0BOB")


# ---- modals ---------------------------------------------------------------------------------------------------------


def opened(verb: str, state: PipelineState, subject: str = "") -> dict[str, object]:
    return modal(verb, Subject("checkout", "r2", subject, "stale"), state, Moment())


@pytest.mark.parametrize("verb", sorted(NEEDS_REASON))
@pytest.mark.parametrize("moment", MOMENTS)
def test_every_act_that_needs_a_reason_has_a_modal_that_slack_takes(verb: str, moment: str):
    view = opened(verb, MOMENTS[moment](), "one-box")
    assert judge(view) == []
    assert view["callback_id"] == CALLBACK


def test_pulling_the_cord_asks_for_the_reason_and_nothing_else():
    view = modal("pause", Subject("checkout", "r2"), samples.baking(), Moment())
    assert [block["block_id"] for block in view["blocks"]] == ["reason"]


def test_a_modal_is_checked_against_what_it_shows_not_against_the_old_button():
    state = samples.baking()
    verb, about = decode(str(opened("rollback", state, "one-box")["private_metadata"]))
    assert (verb, about.subject) == ("rollback", "one-box")
    assert about.drawn_from == drawn_from(state, "rollback", "r2")
    assert about == renewed(Subject("checkout", "r2", "one-box"), "rollback", state)


def test_rolling_back_shows_what_would_go_where_and_offers_the_place():
    view = modal("rollback", Subject("checkout", "r2"), samples.completed(), Moment())
    scope, preview_of_it, _ = view["blocks"]
    values = [option["value"] for option in scope["element"]["options"]]
    assert values == ["beta", "gamma", "one-box", "wave-1", "wave-2", EVERYWHERE]
    assert scope["element"]["initial_option"]["value"] == "wave-2"
    assert "• wave-2: eu-2 1.4.2 → 1.4.1, us-1 1.4.2 → 1.4.1" in preview_of_it["text"]["text"]


def test_a_stage_that_goes_back_already_or_cannot_is_said_and_not_offered():
    by_stage = {one.stage: one for one in goes_back(samples.red())}
    assert by_stage["wave-1"].is_under_way
    view = modal("rollback", Subject("checkout", "r2", "wave-1"), samples.red(), Moment())
    assert "wave-1" not in [option["value"] for option in view["blocks"][0]["element"]["options"]]
    nowhere = modal("rollback", Subject("checkout", "r2"), samples.nowhere_to_go_back(), Moment())
    assert "• one-box runs 1.4.2, with no known good version to go back to" in nowhere["blocks"][1]["text"]["text"]


def test_overriding_lists_what_holds_it():
    view = modal("override", Subject("checkout", "r2", "one-box"), samples.waiting_for_approval(), Moment())
    assert "• It waits for an approval for the group production." in view["blocks"][0]["text"]["text"]


def test_what_asks_for_nothing_has_no_modal():
    with pytest.raises(UsageError):
        opened("why", samples.baking())


# ---- preview --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", built_in().names())
def test_every_template_can_be_previewed(name: str, capsys: pytest.CaptureFixture[str]):
    assert main([name]) == 0
    drawn = json.loads(capsys.readouterr().out)
    assert drawn == preview(name, built_in())
    assert judge(drawn) == []


def test_the_sample_is_led_there_by_the_rules():
    line = SampleLine().to_bake("one-box").to_alarm()
    run = line.state.stage("one-box").run
    assert run is not None
    assert run.phase.kind == "rolling_back"


def test_an_operators_words_are_previewed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "told.jinja").write_text(
        "{% call draw.say() %}Hear: {{ told.sentence }}{% endcall %}", encoding="utf-8"
    )
    assert main(["told", "--templates", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["text"].startswith("Hear: checkout 1.4.2 is being rolled back")


def test_a_name_that_is_none_gets_the_nearest(capsys: pytest.CaptureFixture[str]):
    assert main(["crad"]) == 2
    assert capsys.readouterr().err == "There is no template crad. There is card.\n"
    assert main([]) == 0
    assert "modal_pause" in capsys.readouterr().out.split()
