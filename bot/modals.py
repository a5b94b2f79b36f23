"""The modals that ask for a reason before an act: pause, reject, roll back, override, lift, cancel.

Drawn here, opened and read by the Slack face: inputs are `reason`, and `scope` where the place is chosen. What is shown
as a preview is computed when the modal opens; `renewed` makes the submission be checked against that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Protocol

from bot.cards import asking, short_version
from bot.render import Option, Templates, built_in
from commands.standing import begun, standing
from commands.subjects import EVERYWHERE, Subject, drawn_from
from commands.words import listed
from core.errors import UsageError
from core.releases.blockers import blockers, waits_at
from core.releases.rollback import good_for
from core.releases.state import PipelineState, Release, RollingBack
from core.releases.world import World

View = dict[str, Any]

CALLBACK: Final = "andon:act"
TARGETS_SHOWN: Final = 12


class Moment(Protocol):
    """Where the newest world and time are; the desk's floor is one."""

    @property
    def world(self) -> World:
        """What pipelines share."""

    def now(self) -> datetime:
        """What time it is."""


@dataclass(frozen=True, slots=True)
class GoesBack:
    """What a rollback of one stage would do, as "target: from → to" by target."""

    stage: str
    runs: str
    targets: tuple[tuple[str, str, str], ...]
    more: int
    lost: tuple[str, ...]
    """Targets that have nothing to go back to."""
    is_under_way: bool


def modal(
    verb: str, about: Subject, state: PipelineState, moment: Moment, *, templates: Templates | None = None
) -> View:
    """The modal of a verb; raises `UsageError` for one that needs none."""
    name = f"modal_{verb}"
    templates = templates or built_in()
    if name not in templates.names():
        raise UsageError(f"{verb} asks for nothing.", mend="`/release help` lists what can be asked.")
    now, world = moment.now(), moment.world
    release = state.release(about.release)
    back = goes_back(state) if verb == "rollback" else ()
    drawing = templates.draw(
        name,
        world,
        service=state.id,
        version=short_version(release.version) if release is not None else "",
        stands=standing(state, release, now) if release is not None else None,
        stage=about.subject,
        asking=asking(state, release, world, now) if release is not None else None,
        back=back,
        scopes=_scopes(back),
        chosen=_chosen(about, back),
        held_by=_held_by(state, release, about, world, now) if verb == "override" and release is not None else (),
    )
    view = drawing.view(name, renewed(about, verb, state).encoded(verb, 3_000))
    return {**view, "callback_id": CALLBACK}


def renewed(about: Subject, verb: str, state: PipelineState) -> Subject:
    """The subject with the fingerprint of what the modal shows, not of what the button was drawn from."""
    subject = "" if verb == "rollback" else about.subject
    return replace(about, drawn_from=drawn_from(state, verb, about.release, subject))


def goes_back(state: PipelineState) -> tuple[GoesBack, ...]:
    """What a rollback would do in each stage that runs something, in the order of the line."""
    found = []
    for occupied in state.stages:
        targets = [t for t in state.targets_of(occupied.name) if t.current is not None or t.deployment is not None]
        run = occupied.run
        moves: list[tuple[str, str, str]] = []
        lost: list[str] = []
        for target in targets:
            leaving = target.deployment.what if target.deployment is not None else target.current
            assert leaving is not None, "filtered above"
            goal = good_for(state, target, leaving.digest)
            if goal is None:
                lost.append(target.name)
            else:
                moves.append((target.name, short_version(leaving.version), short_version(goal.version)))
        if targets:
            runs = dict.fromkeys(short_version(t.current.version) for t in targets if t.current is not None)
            found.append(
                GoesBack(
                    stage=occupied.name,
                    runs=listed(list(runs)),
                    targets=tuple(moves[:TARGETS_SHOWN]),
                    more=max(0, len(moves) - TARGETS_SHOWN),
                    lost=tuple(lost),
                    is_under_way=run is not None and isinstance(run.phase, RollingBack),
                )
            )
    return tuple(found)


def _scopes(back: tuple[GoesBack, ...]) -> tuple[Option, ...]:
    options = [Option(f"{one.stage} only", one.stage) for one in back if one.targets and not one.is_under_way]
    if not options:
        # Nothing can go back now; the core says why when it is asked.
        options = [Option(f"{one.stage} only", one.stage) for one in back]
    return (*options, Option("Everywhere", EVERYWHERE))


def _chosen(about: Subject, back: tuple[GoesBack, ...]) -> str:
    """The stage the button spoke of, else the last that could go back, where customers are."""
    offered = [option.value for option in _scopes(back)]
    return about.subject if about.subject in offered else offered[max(0, len(offered) - 2)]


def _held_by(state: PipelineState, release: Release, about: Subject, world: World, now: datetime) -> tuple[str, ...]:
    stage = state.definition.by_name.get(about.subject)
    if stage is None or not waits_at(state, release, stage):
        return ()
    return tuple(begun(blocker.sentence, state) for blocker in blockers(state, release, stage, world, now))
