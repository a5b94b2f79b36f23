"""What people are told of one episode: once, in one sentence, with one mention; and nothing where nothing runs."""

from __future__ import annotations

from datetime import timedelta

from tests.core.line import Line


def test_stages_that_go_back_together_are_one_sentence_that_asks_once():
    line = Line()
    line.travels("1.0")
    line.passes(timedelta(hours=2))
    line.announces("1.1")
    line.deploys()
    line.passes(timedelta(minutes=11))
    assert line.occupant("wave-1") == ("1.1", "baking")
    assert line.state.stage("one-box").watch is not None
    decision = line.alarm(title="2 of 25 looks failed")
    said = line.said("rolling_back")
    assert [tell.sentence for tell in said] == [
        (
            "shop 1.1 is being rolled back in one-box and wave-1 to 1.0: "
            "the alarm errors turned red (2 of 25 looks failed)."
        )
    ]
    assert said[0].asks
    assert said[0].subject == "one-box"
    assert said[0].offers == ("acknowledge", "pause", "rollback")
    assert [reason for reason in decision.reasons if "rolled back" in reason] == [said[0].sentence]


def test_the_channel_hears_once_that_it_is_back_and_the_thread_of_every_stage():
    line = Line()
    line.travels("1.0")
    line.passes(timedelta(hours=2))
    line.announces("1.1")
    line.deploys()
    line.passes(timedelta(minutes=11))
    line.alarm()
    line.deploys()
    said = line.said("rolled_back")
    assert {tell.sentence.split(" in ")[1].split(",")[0] for tell in said} == {"one-box", "wave-1"}
    assert [tell.is_broadcast for tell in said] == [False, True]


def test_an_alarm_over_a_place_where_nothing_ever_ran_is_not_told_while_another_stage_is_deployed():
    line = Line()
    line.announces("1.0")
    assert line.occupant("beta") == ("1.0", "deploying")
    before = len(line.told)
    line.alarm()
    assert line.told[before:] == []
