"""`why` is complete and exact [25]: a machine to which anything happens, and which holds every answer to its word."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from core.releases.blockers import Blocker, waits_at
from core.releases.decide import next_wake
from core.releases.events import PauseRequested, ReleaseAnnounced, TimePassed
from core.releases.state import Change
from core.releases.state import Testing as InTests
from core.releases.why import ReleaseReasons, why
from core.releases.world import Freeze
from tests.core.line import CI, EVE, START, WORLD
from tests.core.test_properties import MINUTE, QUICK, Play, ends_well, next_event, pipelines, replace_clock, time_moves

A_MOMENT = timedelta(microseconds=1)
FREEZE = Freeze("year-end", START, START + 11 * MINUTE, scopes=frozenset({"production", "s1"}))


class WhyMachine(RuleBasedStateMachine):
    """One pipeline to which anything may happen; after each step it settles, and `why` must tell the truth."""

    play: Play

    @initialize(definition=pipelines(), has_freeze=st.booleans())
    def begins(self, definition, has_freeze):
        # What falls silent stops clocks: an answer given while all is heard cannot foresee it.
        definition = replace(definition, alarms=tuple(a for a in definition.alarms if a.silence_is_ok))
        self.play = Play(definition, replace(WORLD, freezes=(FREEZE,)) if has_freeze else WORLD)

    @rule(data=st.data())
    def something_happens(self, data):
        time_moves(data.draw, self.play)
        self.play.happens(next_event(data.draw, self.play))
        self.play.happens(TimePassed())

    @rule()
    def all_that_is_under_way_ends_well(self):
        ends_well(self.play)
        self.play.happens(TimePassed())

    @rule(number=st.integers(1, 5))
    def a_version_comes_and_goes_as_far_as_it_can(self, number):
        authors = (Change(id="c", authors=("dave@example.com",)),)
        version = f"v{number}"
        self.play.happens(
            ReleaseAnnounced(version=version, digest=f"sha256:{version}", artifact=version, by=CI, changes=authors)
        )
        ends_well(self.play)

    @rule(minutes=st.integers(1, 9), data=st.data())
    def somebody_pauses_for_a_while(self, minutes, data):
        place = data.draw(st.sampled_from(["", *(s.name for s in self.play.state.definition.stages)]))
        self.play.happens(PauseRequested(by=EVE, reason="hold", scope_name=place, duration=minutes * MINUTE))

    def teardown(self):
        """Whatever was said to clear by itself is waited for, each as if nothing else were said."""
        if not hasattr(self, "play"):
            return
        story = self.play
        for found, reason in self.reasons():
            if reason.clears_at is not None:
                self.play = replace_clock(story)
                self.keeps_its_word(found, reason, reason.clears_at)

    def keeps_its_word(self, found: ReleaseReasons, reason: Blocker, clears_at: datetime) -> None:
        self.wakes_until(clears_at - A_MOMENT)
        if self.is_where_it_was(found):
            assert any(same(found, reason, *left) for left in self.reasons()), f"gone too early: {reason}"
        self.wakes_until(clears_at)
        assert not any(same(found, reason, *left) for left in self.reasons()), f"still there: {reason}"

    @invariant()
    def nothing_else_holds_a_release(self):
        if not hasattr(self, "play"):
            return
        state = self.play.state
        told = self.told()
        for release in state.releases:
            if release.is_live:
                mine = [found for found in told if found.release.id == release.id]
                assert mine, f"{release.version} is nowhere, and nobody says why"
                assert all(found.reasons or self.is_moving(found) for found in mine), f"{release.version} is just held"
        for found in told:
            assert all(reason.sentence for reason in found.reasons)
            assert all(r.clears_at is None or r.clears_at > self.play.now for r in found.reasons)

    # ---- looking ----

    def told(self) -> tuple[ReleaseReasons, ...]:
        return why(self.play.state, self.play.world, self.play.now)

    def reasons(self) -> list[tuple[ReleaseReasons, Blocker]]:
        return [(found, reason) for found in self.told() for reason in found.reasons]

    def wakes_until(self, end) -> None:
        """Nothing but time, looked at whenever the pipeline asks for it."""
        play = self.play
        while (wake := next_wake(play.state, play.world, play.now)) is not None and wake <= end:
            play.now = wake
            play.happens(TimePassed())
        if end > play.now:
            play.now = end
            play.happens(TimePassed())

    def is_where_it_was(self, found: ReleaseReasons) -> bool:
        state = self.play.state
        if found.stage not in state.definition.by_name:
            return False
        if found.doing:
            return True  # What moves is overtaken by nobody.
        release = state.release(found.release.id)
        return release is not None and waits_at(state, release, state.definition.by_name[found.stage])

    def is_moving(self, found: ReleaseReasons) -> bool:
        state = self.play.state
        run = state.stage(found.stage).run
        in_tests = run is not None and isinstance(run.phase, InTests)
        return in_tests or any(t.deployment is not None for t in state.targets_of(found.stage))


def same(found: ReleaseReasons, reason: Blocker, later: ReleaseReasons, other: Blocker) -> bool:
    """Whether this is the reason that was told before; of a bake only what is left of it changes."""
    is_told_alike = reason.kind == "bake" or reason.sentence == other.sentence
    return (
        (found.release.id, found.stage, bool(found.doing)) == (later.release.id, later.stage, bool(later.doing))
        and (reason.kind, reason.subject) == (other.kind, other.subject)
        and is_told_alike
    )


WhyMachine.TestCase.settings = settings(parent=QUICK, max_examples=60, stateful_step_count=15)
TestWhyKeepsItsWord = WhyMachine.TestCase
