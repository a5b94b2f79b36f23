"""What the desk answers, over the real rules and a floor in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commands.answers import Line
from commands.desk import Ask, Desk, Reply
from commands.standing import begun
from commands.subjects import EVERYWHERE, Subject, decode, drawn_from
from commands.words import heard_in_slack
from core.errors import UsageError
from core.releases.decide import decide
from core.releases.events import Command
from core.releases.freezing import OrganisationCommand, act
from core.releases.state import PipelineState
from core.releases.world import Actor, Via, World
from tests import samples
from tests.commands.test_grammar import sentences
from tests.samples import BOB, CAROL, HOSTILE, MOMENTS, NOW, WORLD

ANN_IN_SHELL = Actor("ann", "Ann", Via.SHELL)
CAROL_IN_SLACK = Actor("carol", "Carol", Via.SLACK)
STRANGER = Actor("slack:U9", "Zoe", Via.SLACK)


@dataclass(frozen=True)
class Recorded:
    text: str
    is_repeat: bool = False


@dataclass(frozen=True)
class PastLine:
    seq: int
    sentence: str
    release: str = ""
    refused: bool = False
    at: datetime = NOW - timedelta(minutes=5)
    actor: str = "Ann"
    via: str = "slack"
    kind: str = "paused"


class FloorInMemory:
    """Decides as the engine does, and remembers in a dict."""

    def __init__(self, *states: PipelineState, past: Sequence[PastLine] = ()) -> None:
        self.states = {state.id: state for state in states}
        self.seen: dict[str, Recorded] = {}
        self.past = past
        self.world: World = WORLD

    def now(self) -> datetime:
        return NOW

    def pipelines(self) -> Mapping[str, PipelineState]:
        return self.states

    async def submit(self, pipeline_id: str, event: Command, *, dedupe: str = "") -> Recorded:
        if dedupe and dedupe in self.seen:
            return replace(self.seen[dedupe], is_repeat=True)
        decision = decide(self.states[pipeline_id], event, self.world, NOW)
        self.states[pipeline_id] = decision.state
        self.seen[dedupe] = Recorded(decision.answer)
        return self.seen[dedupe]

    async def act(self, command: OrganisationCommand, *, dedupe: str = "") -> Recorded:
        if dedupe and dedupe in self.seen:
            return replace(self.seen[dedupe], is_repeat=True)
        decision = act(self.world, [state.definition for state in self.states.values()], command, NOW)
        self.world = decision.world
        self.seen[dedupe] = Recorded(decision.answer)
        return self.seen[dedupe]

    async def history(
        self, pipeline_id: str, *, limit: int = 20, before: int | None = None, release: str = ""
    ) -> Sequence[Line]:
        return [line for line in self.past if not release or line.release == release][:limit]


async def ask(floor: FloorInMemory, text: str, by: Actor = CAROL_IN_SLACK, **about: str) -> Reply:
    words = heard_in_slack(text) if by.via is Via.SLACK else text
    return await Desk(floor).answer(Ask(words, by, **about))


def pressed_on(state: PipelineState, action: str, subject: str = "", release: str = "r2") -> Subject:
    about = "" if action == "rollback" else subject
    return Subject(state.id, release, subject, drawn_from(state, action, release, about))


# ---- acts -----------------------------------------------------------------------------------------------------------


async def test_an_act_is_done_and_everybody_may_see_it():
    floor = FloorInMemory(samples.baking())
    reply = await ask(floor, "pause checkout prices look wrong")
    assert reply.is_public
    assert not reply.is_refusal
    assert reply.pipeline == "checkout"
    assert reply.text.startswith("checkout is paused")
    assert floor.states["checkout"].pauses[0].reason == "prices look wrong"


async def test_a_repeated_delivery_acts_once_and_is_answered_in_private():
    floor = FloorInMemory(samples.baking())
    first = await ask(floor, "pause checkout prices", dedupe="d1")
    again = await ask(floor, "pause checkout prices", dedupe="d1")
    assert len(floor.states["checkout"].pauses) == 1
    assert again.text == first.text
    assert not again.is_public
    assert again.facts["is_repeat"] is True


async def test_a_refusal_says_what_would_help_to_the_asker_alone():
    floor = FloorInMemory(samples.baking())
    reply = await ask(floor, "rollback checkout orders fail", STRANGER)
    assert reply.is_refusal
    assert not reply.is_public
    assert reply.text.startswith("Only the team payments")
    assert "Ask " in reply.text
    assert floor.states["checkout"] == samples.baking()


async def test_words_that_are_not_understood_are_answered_never_raised():
    reply = await ask(FloorInMemory(samples.baking()), "why chekout")
    assert reply.is_refusal
    assert reply.text == "There is no service “chekout”. Did you mean checkout? `/release status` lists all."


async def test_in_a_thread_and_in_a_shell_commands_are_offered_as_they_are_typed_there():
    floor = FloorInMemory(samples.baking())
    in_thread = await ask(floor, "xyzzy", pipeline="checkout", release="r2")
    assert "`@andon help`" in in_thread.text
    in_shell = await ask(floor, "xyzzy", ANN_IN_SHELL)
    assert "`andon help`" in in_shell.text


async def test_a_promise_of_another_service_does_not_carry_the_threads_release():
    floor = FloorInMemory(samples.baking(), samples.start(samples.definition("payments")))
    reply = await ask(floor, "pause payments it fails", pipeline="checkout", release="r2")
    assert (reply.pipeline, reply.release) == ("payments", "")


# ---- questions ------------------------------------------------------------------------------------------------------


def test_a_sentence_begins_with_a_capital_but_a_name_stays_as_it_is():
    state = samples.baking()
    assert begun("it waits", state) == "It waits"
    assert begun("gamma is occupied by 1.4.1", state) == "gamma is occupied by 1.4.1"
    assert begun(f"{state.targets[0].name}: nothing runs there", state).startswith(state.targets[0].name)
    assert begun("", state) == ""


async def test_status_has_a_line_for_each_pipeline():
    floor = FloorInMemory(samples.baking(), samples.start(samples.definition("payments")))
    reply = await ask(floor, "status")
    checkout, payments = reply.text.splitlines()
    assert checkout.startswith("• *checkout*: wave-2 runs 1.4.1; 1.4.2 is in one-box: baking until <!date^")
    assert payments.startswith("• *payments*: wave-2 runs 1.4.1; 1.4.2 is waiting to enter beta")
    assert not reply.is_public


async def test_status_of_a_service_shows_every_stage_with_version_state_since_and_next():
    reply = await ask(FloorInMemory(samples.paused()), "status checkout", ANN_IN_SHELL)
    assert reply.text.splitlines() == [
        "checkout of the team payments",
        "• beta: runs 1.4.2",
        "• gamma: runs 1.4.2",
        (
            "• one-box (production): runs 1.4.2; 1.4.2 baking until 2026-03-02 14:12 UTC (in 12 min),"
            " since 2026-03-02 13:12 UTC (48 min ago)"
        ),
        "• wave-1 (production): runs 1.4.1",
        "• wave-2 (production): runs 1.4.1",
        "Paused by Ann, the whole service, until 2026-03-02 16:00 UTC (in 2 h): prices look wrong",
        "`andon why checkout` says what each waits for.",
    ]


async def test_why_gives_every_reason_with_who_and_when():
    reply = await ask(FloorInMemory(samples.waiting_for_approval()), "why checkout")
    assert "*checkout 1.4.2* waits to enter one-box:" in reply.text
    assert "It waits for an approval for the group production" in reply.text
    assert "Who can clear it: Carol" in reply.text
    baking = await ask(FloorInMemory(samples.baking()), "why checkout")
    assert "It clears by itself at <!date^" in baking.text


async def test_why_of_a_service_at_rest_says_so():
    reply = await ask(FloorInMemory(samples.completed()), "why checkout", ANN_IN_SHELL)
    assert reply.text == "Nothing of checkout is on its way. wave-2 runs 1.4.2."


async def test_why_tells_the_fate_of_a_release_that_is_not_on_its_way_any_more():
    reply = await ask(FloorInMemory(samples.rolled_back()), "why checkout", ANN_IN_SHELL)
    assert reply.text.splitlines() == [
        (
            "1.4.2 is rolled back in wave-1: the alarm orders-5xx turned red, at 2026-03-02 13:59 UTC (1 min ago);"
            " automation does not bring it back: announce a fix, or an owner lifts it with"
            " `andon lift checkout 1.4.2 REASON`."
        ),
        "Nothing of checkout is on its way. wave-2 runs 1.4.1.",
    ]
    in_its_thread = await ask(FloorInMemory(samples.superseded()), "why", pipeline="checkout", release="r2")
    assert in_its_thread.text.startswith("1.4.2 is superseded by 1.4.3, at <!date^")
    assert "*checkout 1.4.3* enters gamma at the next look" in in_its_thread.text


async def test_why_names_a_pause_although_the_bake_runs_on():
    reply = await ask(FloorInMemory(samples.paused()), "why checkout", ANN_IN_SHELL)
    assert "Paused by Ann, the whole service, until 2026-03-02 16:00 UTC (in 2 h): prices look wrong" in reply.text


async def test_status_shows_targets_that_are_not_as_recorded():
    state = samples.start()
    drift = {"eu-1": "it runs 1.3.0, recorded is 1.4.1"}
    targets = (replace(t, drift=drift.get(t.name, ""), is_mixed=t.name == "us-1") for t in state.targets)
    state = replace(state, targets=tuple(targets))
    reply = await ask(FloorInMemory(state), "status checkout", ANN_IN_SHELL)
    assert "• wave-1 (production): runs 1.4.1; eu-1: it runs 1.3.0, recorded is 1.4.1" in reply.text
    assert "• wave-2 (production): runs 1.4.1; us-1 is mixed" in reply.text


async def test_history_is_told_newest_first_and_marks_what_was_refused():
    past = [PastLine(2, "Zoe may not roll back.", refused=True, release="r2"), PastLine(1, "Ann paused checkout.")]
    floor = FloorInMemory(samples.baking(), past=past)
    reply = await ask(floor, "history checkout", ANN_IN_SHELL)
    assert reply.text.splitlines()[1:] == [
        "• 2026-03-02 13:55 UTC (5 min ago): asked and refused: Zoe may not roll back (Ann, slack)",
        "• 2026-03-02 13:55 UTC (5 min ago): Ann paused checkout (Ann, slack)",
    ]
    of_one = await ask(floor, "history checkout 1.4.2 last 5", ANN_IN_SHELL)
    assert len(of_one.text.splitlines()) == 2


async def test_help_lists_all_and_explains_one():
    floor = FloorInMemory()
    everything = await ask(floor, "help")
    assert "`/release rollback SERVICE [in STAGE or everywhere] [to VERSION] REASON`" in everything.text
    one = await ask(floor, "help pause")
    assert "for example `/release pause checkout prices look wrong`" in one.text


async def test_an_empty_workspace_says_how_to_begin():
    assert (await ask(FloorInMemory(), "status")).text.startswith("There is no service yet.")


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("text", ["status", "status checkout", "why checkout", "history checkout"])
async def test_every_answer_is_json_for_programs_and_fits_into_slack(moment, text):
    floor = FloorInMemory(MOMENTS[moment](), past=[PastLine(n, "x" * 900) for n in range(100)])
    reply = await ask(floor, text)
    assert json.loads(json.dumps(reply.facts)) == reply.facts
    assert 0 < len(reply.text) <= 3_900


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("moment", MOMENTS)
async def test_hostile_text_pings_nobody_and_breaks_no_limit(moment, kind):
    state = samples.with_hostile_text(MOMENTS[moment](), HOSTILE[kind])
    floor = FloorInMemory(state, past=[PastLine(1, HOSTILE[kind], "r2")])
    for text in ("status", "status checkout", "why checkout", "history checkout", HOSTILE[kind]):
        reply = await ask(floor, text)
        assert len(reply.text) <= 3_900
        for token in ("<!channel", "<!here", "<@", "<!subteam", "<http", "\u202e", "\x1b", "\x00"):
            assert token not in reply.text
        in_shell = await ask(floor, text, ANN_IN_SHELL)
        assert "\x1b" not in in_shell.text


async def test_hundreds_of_services_are_cut_with_a_count():
    floor = FloorInMemory(*(samples.start(samples.definition(f"service-{n:03}")) for n in range(300)))
    reply = await ask(floor, "status")
    assert len(reply.text) <= 3_900
    assert "more lines; name a service" in reply.text
    in_shell = await ask(floor, "status", ANN_IN_SHELL)
    assert len(in_shell.text.splitlines()) == 300
    assert len(in_shell.facts["pipelines"]) == 300  # type: ignore[arg-type]


# ---- buttons --------------------------------------------------------------------------------------------------------


async def test_a_button_approves_what_it_was_drawn_for():
    floor = FloorInMemory(samples.waiting_for_approval())
    about = pressed_on(floor.states["checkout"], "approve", "q7")
    reply = await Desk(floor).press("approve", about, CAROL_IN_SLACK, "d1")
    assert reply.text == "Carol approved checkout 1.4.2 for the group production."
    assert reply.release == "r2"


async def test_an_author_cannot_approve_and_is_told_how_things_stand():
    floor = FloorInMemory(samples.waiting_for_approval())
    about = pressed_on(floor.states["checkout"], "approve", "q7")
    reply = await Desk(floor).press("approve", about, BOB, "d1")
    assert reply.is_refusal
    assert reply.text.endswith("Now: checkout 1.4.2 is past gamma, waiting to enter one-box.")


async def test_a_stale_button_does_nothing_and_shows_the_present_state():
    before, after = samples.waiting_for_approval(), samples.baking()
    floor = FloorInMemory(after)
    reply = await Desk(floor).press("approve", pressed_on(before, "approve", "q7"), CAROL_IN_SLACK, "d1")
    assert reply.is_refusal
    assert reply.text.startswith("This button was drawn before something changed, so nothing was done. Now: checkout")
    assert floor.states["checkout"] == after


async def test_a_rollback_chosen_from_an_old_preview_does_nothing():
    before = samples.baking()
    after = replace(before, targets=tuple(replace(t, good=()) for t in before.targets))
    floor = FloorInMemory(after)
    reply = await Desk(floor).press("rollback", pressed_on(before, "rollback", EVERYWHERE), CAROL_IN_SLACK, "d1", "bad")
    assert reply.is_refusal
    assert floor.states["checkout"] == after


async def test_the_cord_is_never_stale():
    floor = FloorInMemory(samples.red())
    about = pressed_on(samples.baking(), "pause")
    reply = await Desk(floor).press("pause", about, samples.ANN, "d1", "prices look wrong")
    assert reply.is_public
    assert floor.states["checkout"].pauses[0].reason == "prices look wrong"


@pytest.mark.parametrize(
    ("action", "subject", "moment", "reason"),
    [
        ("resume", "p3", "paused", ""),
        ("rollback", "one-box", "baking", "orders fail"),
        ("rollback", EVERYWHERE, "completed", "orders fail"),
        ("retry", "beta", "stopped", ""),
        ("acknowledge", "g5", "red", ""),
        ("acknowledge", "wave-1", "red", ""),
        ("reject", "q7", "waiting_for_approval", "not today"),
        ("cancel", "", "waiting_for_approval", "we ship another"),
        ("lift", "", "rolled_back", "the alarm was wrong"),
    ],
)
async def test_every_button_acts(action, subject, moment, reason):
    before = MOMENTS[moment]()
    floor = FloorInMemory(before)
    reply = await Desk(floor).press(action, pressed_on(before, action, subject), CAROL_IN_SLACK, "d1", reason)
    assert not reply.is_refusal, reply.text
    assert floor.states["checkout"] != before


@pytest.mark.parametrize("action", ["why", "history", "status"])
async def test_buttons_ask_as_well(action):
    floor = FloorInMemory(samples.baking(), past=[PastLine(1, "It began.", "r2")])
    reply = await Desk(floor).press(action, Subject("checkout", "r2"), BOB, "d1")
    assert not reply.is_public
    assert not reply.is_refusal


async def test_a_reason_is_asked_for_where_one_is_needed():
    floor = FloorInMemory(samples.baking())
    reply = await Desk(floor).press("pause", Subject("checkout", "r2"), CAROL, "d1", "  ")
    assert reply.text.startswith("A reason is asked")


@pytest.mark.parametrize(
    ("action", "about"),
    [("explode", Subject("checkout", "r2")), ("approve", Subject("gone")), ("lift", Subject("checkout", "gone"))],
)
async def test_what_never_was_a_button_is_answered(action, about):
    reply = await Desk(FloorInMemory(samples.baking())).press(action, about, CAROL, "d1", "why not")
    assert reply.is_refusal


def test_what_a_button_carries_is_read_back_and_nothing_else():
    about = Subject("checkout", "checkout:r2", "wave-1", "0123abcd")
    assert decode(about.encoded("rollback", 150)) == ("rollback", about)
    long = Subject("p" * 60, "r" * 60, "s" * 60, "0123abcd")
    assert decode(long.encoded("why", 150)) == ("why", Subject("p" * 60, "r" * 60))
    assert Subject("p" * 200).encoded("why", 150) == ""
    for value in ("", "{}", "[]", "checkout", '{"p":1}', '{"p":"x","r":[]}', "[" * 100_000):
        with pytest.raises(UsageError):
            decode(value)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.text() | sentences, st.sampled_from([BOB, CAROL, STRANGER]), st.sampled_from(["", "checkout", "gone"]))
async def test_nothing_that_is_typed_makes_the_desk_stumble(text: str, by: Actor, thread: str):
    floor = FloorInMemory(samples.waiting_for_approval(), samples.start(samples.definition("search", "app")))
    reply = await ask(floor, text, by, pipeline=thread, release="r2" if thread else "")
    assert reply.text
    json.dumps(reply.facts)


async def test_what_could_not_be_recorded_is_not_swallowed():
    class Broken(FloorInMemory):
        async def submit(self, pipeline_id: str, event: Command, *, dedupe: str = "") -> Recorded:
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await ask(Broken(samples.baking()), "pause checkout it fails")
