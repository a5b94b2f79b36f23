"""The working copy of one decision: the state as it becomes, and what must be done about it.

Lives only inside `decide`. Every change goes through it, so that a card is redrawn when its release moved, a sentence
is written once, and everything the core names gets its number here.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from core.releases.blockers import waiting
from core.releases.copies import overwrite, replace
from core.releases.effects import Effect, EndPage, Page, RefreshCard, StartDeployment, Tell
from core.releases.pipeline import Pipeline, Stage
from core.releases.state import (
    ApprovalRequest,
    Deployment,
    Installed,
    Live,
    OpenPage,
    PipelineState,
    Release,
    StagePhase,
    StageRun,
    StageState,
    TargetState,
)
from core.releases.world import World

T = TypeVar("T")


class Draft:
    """A pipeline state under change. `state` is always whole: pure functions may look at it at any moment.

    It is a copy of the draft's own, written in place by the methods here: what looks at it later sees it as it is then.
    `changes` counts what was written, so that nobody looks again at what is as it was.
    """

    def __init__(self, state: PipelineState, world: World, now: datetime) -> None:
        self.state = replace(state)
        self.world = world
        self.now = now
        self.changes = 0
        self.reasons: list[str] = []
        self.answer = ""
        self._effects: list[Effect] = []
        self._cards: dict[str, bool] = {}
        self._waiting: tuple[object, object, dict[str, list[Release]]] = (None, None, {})

    def waiting_at(self, stage: Stage) -> list[Release]:
        """The releases that stand at the entry of a stage now, oldest first."""
        return self.waiting().get(stage.name, [])

    def waiting(self) -> dict[str, list[Release]]:
        """All that stand at an entry now, by its stage, oldest first."""
        stages, releases, found = self._waiting
        if stages is not self.state.stages or releases is not self.state.releases:
            found = waiting(self.state)
            self._waiting = (self.state.stages, self.state.releases, found)
        return found

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
        self.touch(release.id, at_once=not isinstance(release.status, Live))

    def put_stage(self, stage: StageState) -> None:
        """Replace the state of a stage."""
        self._put("stages", _with(self.state.stages, self.state.stage(stage.name), stage))

    def put_run(self, name: str, run: StageRun | None) -> None:
        """Occupy a stage, change who occupies it, or free it."""
        before = self.state.stage(name)
        if before.run is not None:
            self.touch(before.run.release)
        if run is not None:
            self.touch(run.release)
        self.put_stage(replace(before, run=run))
        self.drop_unused_definitions()

    def put_phase(self, name: str, phase: StagePhase) -> None:
        """Move the run of a stage on."""
        run = self.state.stage(name).run
        assert run is not None, f"{name} is empty"
        self.put_run(name, replace(run, phase=phase))

    def put_target(self, target: TargetState) -> None:
        """Replace the facts of a target."""
        self._put("targets", _with(self.state.targets, self.state.target(target.name), target))
        for occupied in self.state.stages:
            if occupied.name == target.stage and occupied.run is not None:
                self.touch(occupied.run.release)

    def change(self, edit: Callable[[PipelineState], PipelineState]) -> None:
        """Change anything else. `edit` returns a copy, as `replace` makes it."""
        self.state = edit(self.state)
        self.changes += 1

    def _put(self, field: str, value: object) -> None:
        overwrite(self.state, field, value)
        self.changes += 1

    def drop_requests(self, wanted: Callable[[ApprovalRequest], bool]) -> tuple[ApprovalRequest, ...]:
        """Void the approval requests that are `wanted`; returns them."""
        dropped = tuple(r for r in self.state.approvals if wanted(r))
        if dropped:
            self._put("approvals", tuple(r for r in self.state.approvals if r not in dropped))
        return dropped

    def drop_unused_definitions(self) -> None:
        """Forget the older definitions that no run is pinned to."""
        if not self.state.pinned:
            return
        used = {s.run.revision for s in self.state.stages if s.run is not None}
        pinned = tuple(p for p in self.state.pinned if p.revision in used)
        if pinned != self.state.pinned:
            self._put("pinned", pinned)

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
        self.reasons.append(reason)
        self.do(Page(key=f"{page.id}/1", page=page.id, release=release, stage=stage, sentence=reason, repetition=1))
        self.touch(release, at_once=True)

    def end_page(self, page: OpenPage, sentence: str) -> None:
        """The page is over."""
        self._put("pages", tuple(p for p in self.state.pages if p.id != page.id))
        self.do(EndPage(key=f"{page.id}/end", page=page.id, release=page.release, sentence=sentence))
        self.touch(page.release, at_once=True)


def _with(values: tuple[T, ...], before: T, after: T) -> tuple[T, ...]:
    """The values with one of them, which is there once, changed."""
    return tuple([after if value is before else value for value in values])


def _joined(effects: list[Effect]) -> list[Effect]:
    """Sentences of one decision that only tell, and stand side by side in one thread, are one message there."""
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
