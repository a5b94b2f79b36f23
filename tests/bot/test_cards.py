"""What a release's card says at each moment, and what may be pressed on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.cards import STAGES_SHOWN, card, strip, view
from bot.render import Message
from commands.standing import PASSED, Step, steps
from commands.subjects import Subject, decode, drawn_from
from core.releases.pipeline import Order
from core.releases.state import AlarmReading, Change, PipelineState
from tests import samples
from tests.samples import MOMENTS, NOW, WORLD


def drawn(state: PipelineState) -> Message:
    return card(state, state.released("r2"), WORLD, NOW)


def sections(message: Message) -> str:
    return "\n".join(b["text"]["text"] for b in message.blocks if b["type"] in ("header", "section"))


def small_print(message: Message) -> str:
    return "\n".join(e["text"] for b in message.blocks if b["type"] == "context" for e in b["elements"])


def pressable(message: Message) -> Iterator[tuple[str, Subject, dict[str, Any]]]:
    """Everything that can be pressed: its verb, what it carries, and how it looks."""
    for block in message.blocks:
        for element in block.get("elements", ()) if block["type"] == "actions" else ():
            for choice in element.get("options", [element]):
                verb, about = decode(choice["value"])
                yield verb or element["action_id"].split(":")[1], about, choice


def verbs(message: Message) -> list[str]:
    return [verb for verb, _, _ in pressable(message)]


@pytest.mark.parametrize(
    ("moment", "offered"),
    [
        ("announced", ["pause", "why", "history", "link"]),
        ("baking", ["pause", "why", "rollback", "history", "link"]),
        ("waiting_for_approval", ["approve", "reject", "pause", "why", "rollback", "history", "link"]),
        ("paused", ["resume", "why", "rollback", "history", "link"]),
        ("stopped", ["pause", "why", "rollback", "retry", "history", "link"]),
        ("superseded", ["why", "history", "link"]),
        ("rolled_back", ["why", "history", "link"]),
        ("completed", ["why", "rollback", "history", "link"]),
    ],
)
def test_what_may_be_pressed_fits_the_moment(moment: str, offered: list[str]):
    assert verbs(drawn(MOMENTS[moment]())) == offered


def test_a_finished_release_has_no_buttons_only_its_menu():
    for moment in ("superseded", "rolled_back", "completed"):
        (actions,) = (b for b in drawn(MOMENTS[moment]()).blocks if b["type"] == "actions")
        assert [element["type"] for element in actions["elements"]] == ["overflow"]


def test_buttons_name_service_version_and_stage_for_those_who_listen():
    labels = {
        verb: choice["accessibility_label"]
        for verb, _, choice in pressable(drawn(samples.waiting_for_approval()))
        if "accessibility_label" in choice
    }
    assert labels == {
        "approve": "Approve checkout 1.4.2 for production",
        "reject": "Reject checkout 1.4.2 for production",
        "pause": "Pause checkout (1.4.2 in one-box)",
    }


def test_approving_asks_first_and_names_what_goes_where_in_place_of_what():
    approve = next(choice for verb, _, choice in pressable(drawn(samples.waiting_for_approval())) if verb == "approve")
    assert approve["confirm"]["title"]["text"] == "Approve checkout 1.4.2?"
    assert approve["confirm"]["text"]["text"] == "checkout 1.4.2 then enters one-box of production, in place of 1.4.1."


@pytest.mark.parametrize("moment", MOMENTS)
def test_every_button_carries_what_the_desk_will_check(moment: str):
    state = MOMENTS[moment]()
    for verb, about, _ in pressable(drawn(state)):
        assert (about.pipeline, about.release) == ("checkout", "r2")
        if about.drawn_from:
            assert about.drawn_from == drawn_from(state, verb, "r2", about.subject)
        if verb in ("approve", "reject", "resume", "retry"):
            assert about.drawn_from


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_text_alone_says_service_version_state_and_who(moment: str):
    state = MOMENTS[moment]()
    text = drawn(state).text
    stands = view(state, state.released("r2"), WORLD, NOW).stands
    assert text.startswith(f"checkout 1.4.2 is {stands.words}")
    assert "Announced by CI" in text


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_card_does_not_change_while_only_time_goes_by(moment: str):
    state = MOMENTS[moment]()
    later = card(state, state.released("r2"), WORLD, NOW + timedelta(minutes=5))
    assert later == drawn(state)


def test_what_happens_next_is_said():
    assert "After that comes wave-1." in drawn(samples.baking()).text
    assert "Carol or Eve may give it" in drawn(samples.waiting_for_approval()).text.replace("Bob, ", "")


def test_the_strip_tells_each_stage_by_word_and_symbol():
    assert (
        "beta ✓ → gamma ✓ → production [*one-box: baking until <!date^1772460720^{time}, {date_short_pretty}"
        "|2026-03-02 14:12 UTC>* ▸ → wave-1 → wave-2]"
    ) in sections(drawn(samples.baking()))


def test_a_bad_day_shows_the_alarm_with_its_pages_and_what_is_done_about_it():
    said = sections(drawn(samples.red()))
    assert "↶ *Rolling back in wave-1*, because the alarm orders-5xx turned red." in said
    assert "■ *Red alarm* <https://alarms.example/orders-5xx|orders-5xx> since <!date^" in said
    assert "<https://runbooks.example/orders-5xx|runbook> · <https://charts.example/orders|dashboard>" in said


def test_a_pause_says_who_until_when_and_why():
    said = sections(drawn(samples.paused()))
    assert "■ *Paused* by Ann: prices look wrong. It holds the whole service until <!date^1772467200^" in said
    assert "prices look wrong" in said


def test_votes_count_on_the_card_as_they_count_in_the_core():
    said = sections(drawn(samples.half_approved()))
    assert "1 of 2 given (by Eve). Carol may give it." in said.replace("Bob or ", "")


def test_an_alarm_that_holds_the_entry_is_shown_since_when_not_for_how_long():
    state = samples.passed(samples.start(), "beta", "gamma")
    reading = AlarmReading(
        name="orders-5xx",
        scope=samples.PRODUCTION,
        firing=(("f1", NOW - timedelta(minutes=9)),),
        since=NOW - timedelta(minutes=9),
        observed_at=NOW,
    )
    said = sections(drawn(replace(state, alarms=(reading,))))
    assert "… The alarm orders-5xx is red since <!date^1772459460^" in said
    assert "for 9 min" not in said


def test_silence_overrides_and_dead_ends_are_said():
    assert "Silence counts as ok for orders-5xx" in small_print(drawn(samples.baking()))
    assert "Override for wave-1 by Carol, seconded by Bob, until <!date^" in small_print(drawn(samples.overridden()))
    lost = drawn(samples.nowhere_to_go_back())
    assert "Cannot be rolled back in one-box: no known good version on eu-1-box" in small_print(lost)
    assert "It cannot be rolled back in one-box" in lost.text
    one_way = samples.with_release(samples.start(), replace(samples.NEW, is_one_way=True, goal="gamma"))
    assert "One-way: it is never rolled back by itself" in small_print(drawn(one_way))
    assert "Goes on by itself up to gamma." in small_print(drawn(one_way))


def test_an_unknown_alarm_is_not_counted_as_healthy():
    state = samples.baking()
    alarm = replace(state.definition.alarms[0], silence_is_ok=False)
    blind = replace(state, definition=replace(state.definition, alarms=(alarm,)))
    message = drawn(blind)
    assert "Unknown, so not counted as healthy: orders-5xx" in small_print(message)
    assert "the bake stands still" in sections(message)
    assert "because the alarm orders-5xx is unknown" in message.text


def test_five_changes_are_shown_and_the_others_counted():
    changes = tuple(Change(id=f"c{n}", title=f"Change {n}", authors=("ann@example.com",)) for n in range(17))
    said = sections(drawn(samples.with_release(samples.start(), replace(samples.NEW, changes=changes))))
    assert "• Change 4, by Ann\n… and 12 more" in said
    assert "Change 5" not in said


def test_a_manual_order_says_that_a_person_picks():
    state = samples.start()
    manual = replace(state, definition=replace(state.definition, order=Order.MANUAL))
    assert "The order is manual: a person picks what goes on" in sections(drawn(manual))


def test_a_long_line_keeps_what_lies_around_the_present():
    def line(length: int, present: int) -> tuple[Step, ...]:
        return tuple(
            Step(f"s{n}", "g", PASSED if n < present else "", "baking" if n == present else "", is_now=n == present)
            for n in range(length)
        )

    (middle,) = strip(line(40, 20))
    assert (middle.passed_before, len(middle.steps), middle.left_out_after) == (20, STAGES_SHOWN, 8)
    assert middle.steps[0].stage == "s20"
    (end,) = strip(line(40, 39))
    assert (end.passed_before, end.steps[-1].stage, end.left_out_after) == (28, "s39", 0)
    (whole,) = strip(line(STAGES_SHOWN, 3))
    assert (whole.passed_before, len(whole.steps), whole.left_out_after) == (0, STAGES_SHOWN, 0)


def test_a_release_in_a_stage_that_left_the_definition_is_still_shown():
    state = samples.baking()
    without = tuple(stage for stage in state.definition.stages if stage.name != "one-box")
    wave_1 = replace(without[2], after=("gamma",))
    newer = replace(state.definition, revision="rev-2", stages=(*without[:2], wave_1, without[3]))
    changed = replace(state, definition=newer, pinned=(state.definition,))
    assert [s.stage for s in steps(changed, changed.released("r2"), NOW)][-1] == "one-box"
    assert "*one-box: baking" in sections(drawn(changed))
