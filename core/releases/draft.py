"""The working copy of one decision: the state as it becomes, and what must be done about it.

Lives only inside `decide`. Every change goes through it, so that a card is redrawn when its release moved, a sentence
is written once, and everything the core names gets its number here.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from core.releases.blockers import waiting
from core.releases.copies import replace, writers
from core.releases.effects import Effect, EndPage, Page, RefreshCard, StartDeployment, Tell
from core.releases.pipeline import Pipeline, Stage
from core.releases.state import (
    ApprovalRequest,
    Baking,
    Deployment,
    Installed,
    OpenPage,
    PipelineState,
    Release,
    StagePhase,
    StageRun,
    StageState,
    TargetState,
)
from core.releases.statuses import Live
from core.releases.world import World

T = TypeVar("T")
_PUT = writers(PipelineState)


class Draft:
    """A pipeline state under change. `state` is always whole: pure functions may look at it at any moment.

    It is a copy of the draft's own, written in place by the methods here: what looks at it later sees it as it is then.
    `changes` counts what was written, and `…_at` say which of them was the last of its kind, so that nobody looks again
    at what is as it was. Of a state at `rest` everything was looked at before: `waiting` is what is known of it.
    """

    def __init__(
        self, state: PipelineState, world: World, now: datetime, waiting: dict[str, list[Release]] | None = None
    ) -> None:
        self.state = replace(state)
        self.world = world
        self.now = now
        self.changes = 0
        self.reasons: list[str] = []
        self.answer = ""
        self._effects: list[Effect] = []
        self._cards: dict[str, bool] = {}
        self._waiting = waiting
        self._looked: dict[str, int] = {}
        self._advanced: dict[str, int] = {}
        self._unseen = -1 if waiting is None else 0
        self.stage_at: dict[str, int] = {}
        """The run of a stage, or what is known of its targets."""
        self.releases_at = 0
        self.runs_at = 0
        """Who occupies a stage, or is watched in one."""
        self.running_at = 0
        """What runs on a target, may be put back there, or is not being deployed any more."""
        self.appeared_at = 0
        """What had not been running in a stage."""
        self.rest_at = 0
        """Anything else: whatever depends on anything has to be looked at again."""

    def waiting_at(self, stage: Stage) -> list[Release]:
        """The releases that stand at the entry of a stage now, oldest first."""
        return self.waiting().get(stage.name, [])

    def waiting(self) -> dict[str, list[Release]]:
        """All that stand at an entry now, by its stage, oldest first."""
        if self._waiting is None:
            self._waiting = waiting(self.state)
        return self._waiting

    def is_due(self, step: str, changed_at: int) -> bool:
        """Whether something it depends on has changed since a step was looked at; if so it is looked at now."""
        if changed_at <= self._looked.get(step, self._unseen):
            return False
        self._looked[step] = self.changes
        return True

    def is_new(self, step: str) -> bool:
        """Whether anything at all has changed since a step was looked at in this decision; if so it is now."""
        if self._looked.get(step) == self.changes:
            return False
        self._looked[step] = self.changes
        return True

    def is_run_due(self, name: str, run: StageRun) -> bool:
        """The same of the run of a stage: a bake is moved by time, alarms and much else, all others by their stage."""
        looked = self._advanced.get(name)
        if isinstance(run.phase, Baking):
            is_due = looked != self.changes
        else:
            is_due = (self._unseen if looked is None else looked) < max(self.rest_at, self.stage_at.get(name, 0))
        if is_due:
            self._advanced[name] = self.changes
        return is_due

    def looked_at(self, name: str) -> None:
        """The run of a stage has been looked at as it is now."""
        self._advanced[name] = self.changes

    # ---- naming and telling -----------------------------------------------------------------------------------------

    def name(self, kind: str) -> str:
        """A name nobody else has, the same whenever this decision is made again."""
        self._put("counter", self.state.counter + 1)
        return f"{self.state.id}:{kind}{self.state.counter}"

    def do(self, effect: Effect) -> None:
        """Something must be done."""
        self._effects.append(effect)

    def tell(
        self,
        release: str,
        topic: str,
        sentence: str,
        *,
        asks: tuple[str, ...] = (),
        is_broadcast: bool = False,
        offers: tuple[str, ...] = (),
        subject: str = "",
        output: str = "",
    ) -> None:
        """Say in the thread (and the history) what became true, and why."""
        self.reasons.append(sentence)
        self._effects.append(
            Tell(
                key=self.name("say"),
                release=release,
                topic=topic,
                sentence=sentence,
                asks=asks,
                is_broadcast=is_broadcast,
                offers=offers,
                subject=subject,
                output=output,
            )
        )
        if release:
            self.touch(release, at_once=is_broadcast or bool(asks))

    def untell(self, release: str, topic: str, asks: tuple[str, ...]) -> bool:
        """Take back what this decision was to say of the same, so that one sentence says all of it and asks once."""
        before = next(
            (
                effect
                for effect in self._effects
                if isinstance(effect, Tell) and (effect.release, effect.topic, effect.asks) == (release, topic, asks)
            ),
            None,
        )
        if before is None:
            return False
        self._effects.remove(before)
        self.reasons.remove(before.sentence)
        return True

    def touch(self, release: str, *, at_once: bool = False) -> None:
        """The card of this release must be drawn again."""
        self._cards[release] = self._cards.get(release, False) or at_once

    def effects(self) -> tuple[Effect, ...]:
        """All that must be done: cards first, so that a thread has something to hang on."""
        cards = [
            RefreshCard(key=self.name("card"), release=release, at_once=at_once)
            for release, at_once in self._cards.items()
            if self.state.release(release) is not None
        ]
        return (*cards, *_joined(self._effects))

    # ---- changing ---------------------------------------------------------------------------------------------------

    @property
    def definition(self) -> Pipeline:
        """The definition in force."""
        return self.state.definition

    def put_release(self, release: Release) -> None:
        """Replace or add a release."""
        before = self.state.releases
        known = self.state.release(release.id)
        self._put("releases", _with(before, known, release) if known is not None else (*before, release))
        self.releases_at = self.changes
        self._waiting = None
        self.touch(release.id, at_once=not isinstance(release.status, Live))

    def put_stage(self, stage: StageState) -> None:
        """Replace the state of a stage."""
        rank = self.state.rank_of(stage.name)
        before = self.state.stages[rank]
        self._put("stages", (*self.state.stages[:rank], stage, *self.state.stages[rank + 1 :]))
        self.stage_at[stage.name] = self.changes
        if _occupant(before) != _occupant(stage):
            self.runs_at = self.changes
            self._waiting = None

    def put_run(self, name: str, run: StageRun | None) -> None:
        """Occupy a stage, change who occupies it, or free it."""
        before = self.state.stage(name)
        if before.run is not None:
            self.touch(before.run.release)
        if run is not None:
            self.touch(run.release)
        self.put_stage(replace(before, run=run))
        if self.state.pinned:
            self.drop_unused_definitions()

    def put_phase(self, name: str, phase: StagePhase) -> None:
        """Move the run of a stage on."""
        run = self.state.stage(name).run
        assert run is not None, f"{name} is empty"
        self.put_run(name, replace(run, phase=phase))

    def put_target(self, target: TargetState) -> None:
        """Replace the facts of a target."""
        targets = self.state.targets
        place = self.state.place_of(target.name)
        before = targets[place]
        self._put("targets", (*targets[:place], target, *targets[place + 1 :]))
        if target.current is not before.current or target.good is not before.good or target.deployment is None:
            self.running_at = self.changes
            # What runs in a stage already on another target is replaced there, and part of what approvals are bound to.
            known = [t.current for t in self.state.targets_of(target.stage) if t.name != target.name]
            if target.current is not before.current and target.current not in known:
                self.appeared_at = self.changes
        # How far a deployment has come moves nothing; its beginning and its end do.
        is_under_way = target.deployment is not None and before.deployment is not None
        if not is_under_way or target.is_mixed != before.is_mixed or self.running_at == self.changes:
            self.stage_at[target.stage] = self.changes
        run = self.state.stage(target.stage).run
        if run is not None:
            self.touch(run.release)

    def put_goods(self, stage: str, good: dict[str, tuple[Installed, ...]]) -> None:
        """Replace the known good versions of targets of a stage."""
        targets = [replace(t, good=good[t.name]) if t.name in good else t for t in self.state.targets]
        self._put("targets", tuple(targets))
        self.running_at = self.stage_at[stage] = self.changes

    def change(self, edit: Callable[[PipelineState], PipelineState]) -> None:
        """Change anything else. `edit` returns a copy, as `replace` makes it."""
        self.state = edit(self.state)
        self.changes += 1
        self.rest_at = self.changes
        self._waiting = None

    def _put(self, field: str, value: object) -> None:
        _PUT[field](self.state, value)
        self.changes += 1

    def drop_requests(self, wanted: Callable[[ApprovalRequest], bool]) -> tuple[ApprovalRequest, ...]:
        """Void the approval requests that are `wanted`; returns them."""
        dropped = tuple(r for r in self.state.approvals if wanted(r))
        if dropped:
            self._put("approvals", tuple(r for r in self.state.approvals if r not in dropped))
            self.rest_at = self.changes
        return dropped

    def drop_unused_definitions(self) -> None:
        """Forget the older definitions that no run is pinned to."""
        used = {s.run.revision for s in self.state.stages if s.run is not None}
        pinned = tuple(p for p in self.state.pinned if p.revision in used)
        if pinned != self.state.pinned:
            self._put("pinned", pinned)
            self.rest_at = self.changes

    # ---- things done in several places ------------------------------------------------------------------------------

    def start(
        self, stage: Stage, target: TargetState, what: Installed, *, is_rollback: bool, is_automatic: bool
    ) -> None:
        """Ask for a deployment on one target, on which none is in flight."""
        assert target.deployment is None, f"{target.name} has a deployment in flight"
        key = self.name("d")
        self.put_target(
            replace(
                target,
                deployment=Deployment(
                    key=key,
                    what=what,
                    is_rollback=is_rollback,
                    is_automatic=is_automatic,
                    requested_at=self.now,
                ),
                rolled_back_at=self.now if is_rollback and is_automatic else target.rolled_back_at,
            )
        )
        settings = next((t.settings for t in stage.targets if t.name == target.name), "{}")
        self.do(
            StartDeployment(
                key=key,
                stage=stage.name,
                target=target.name,
                what=what,
                is_rollback=is_rollback,
                deployer=stage.deployer,
                deployer_settings=stage.deployer_settings,
                target_settings=settings,
                batch_percent=stage.batch.back_percent if is_rollback else stage.batch.forward_percent,
                healthy_percent=stage.batch.healthy_percent,
                timeout=stage.deployment_timeout,
            )
        )

    def page(self, stage: str, release: str, reason: str) -> None:
        """Call the on-call, until somebody acknowledges; one page at a time for a stage."""
        if any(p.stage == stage and p.reason == reason for p in self.state.pages):
            return
        page = OpenPage(
            id=self.name("page"),
            stage=stage,
            release=release,
            reason=reason,
            first_at=self.now,
            next_at=self.now + self.definition.page_every,
        )
        self._put("pages", (*self.state.pages, page))
        self.rest_at = self.changes
        self.reasons.append(reason)
        self.do(Page(key=f"{page.id}/1", page=page.id, release=release, stage=stage, sentence=reason, repetition=1))
        self.touch(release, at_once=True)

    def end_page(self, page: OpenPage, sentence: str) -> None:
        """The page is over."""
        self._put("pages", tuple(p for p in self.state.pages if p.id != page.id))
        self.rest_at = self.changes
        self.do(EndPage(key=f"{page.id}/end", page=page.id, release=page.release, sentence=sentence))
        self.touch(page.release, at_once=True)


def _occupant(stage: StageState) -> tuple[str, str]:
    return stage.run.release if stage.run is not None else "", stage.watch.release if stage.watch is not None else ""


def _with(values: tuple[T, ...], before: T, after: T) -> tuple[T, ...]:
    """The values with one of them, which is there once, changed."""
    return tuple([after if value is before else value for value in values])


def _joined(effects: list[Effect]) -> list[Effect]:
    """Sentences of one decision that only tell, and stand side by side in one thread, are one message there."""
    if len(effects) < 2:
        return effects
    joined: list[Effect] = []
    for effect in effects:
        last = joined[-1] if joined else None
        if (
            isinstance(effect, Tell)
            and isinstance(last, Tell)
            and _only_tells(effect, last.release)
            and _only_tells(last)
        ):
            joined[-1] = replace(last, topic=effect.topic, sentence=f"{last.sentence} {effect.sentence}")
        else:
            joined.append(effect)
    return joined


def _only_tells(tell: Tell, release: str | None = None) -> bool:
    is_of_it = release is None or tell.release == release
    return is_of_it and bool(tell.release) and not (tell.asks or tell.is_broadcast or tell.offers or tell.output)
