"""Definitions that teams bring themselves: looked at, compared with what is in force, and applied.

They hold to the limits of the organisation's policy (`core.releases.limits`). Where a file on this machine defines a
pipeline, that file is the only place to change it: it would take its own back at the next start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bot.adapter_settings import deployer_problems, test_problems
from bot.definitions import ORGANISATION_FILE, Definitions, Finding, Given, load_files
from bot.engine import Engine
from bot.first_line import PLACES
from bot.line_picture import WIDTH, picture
from core.errors import CommandRefused
from core.releases.definition import Policy, falls_short
from core.releases.difference import Changed, difference
from core.releases.events import DefinitionApplied
from core.releases.limits import OWN_ONLY, Limits, Owner
from core.releases.pipeline import Pipeline
from core.releases.problems import Problem
from core.releases.redefined import may_define
from core.releases.world import ANDON, Actor
from storage.history import Revision

LARGEST = 200_000
"""Characters of a definition; it is kept with the event for ever."""
REVISIONS_SHOWN = 20


class NotAsThought(CommandRefused):
    """Somebody changed this definition meanwhile, so nothing was applied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a text would do. Without a pipeline it has mistakes, which `findings` name."""

    findings: tuple[Finding, ...]
    pipeline: Pipeline | None = None
    in_force: Pipeline | None = None
    changes: tuple[Changed, ...] = ()
    picture: str = ""

    @property
    def is_new(self) -> bool:
        """Whether it makes a pipeline that is not there yet."""
        return self.in_force is None


@dataclass(frozen=True, slots=True)
class Applied:
    """What came of it; `text` is the answer for the person."""

    look: Look
    text: str
    is_changed: bool


class SelfService:
    """Looks at definitions and applies them. `by_file` names the pipelines that files on this machine define."""

    def __init__(self, engine: Engine, config: Path, by_file: Mapping[str, str], limits: Limits = OWN_ONLY) -> None:
        self._engine = engine
        self._config = config
        self._by_file = by_file
        self._limits = limits

    def look(self, text: str, name: str = "definition", width: int = WIDTH) -> Look:
        """Read a definition without applying it; all that is wrong with it is among the findings."""
        first = self._load(text, name, None)
        if not first.pipelines:
            return Look(findings=first.findings)
        (pipeline,) = first.pipelines.values()
        loaded = self._load(text, name, Owner(pipeline.service, pipeline.team))
        if not loaded.pipelines:
            return Look(findings=loaded.findings)
        state = self._engine.pipelines().get(pipeline.id)
        in_force = state.definition if state is not None else None
        calendars = loaded.organisation.calendars if loaded.organisation is not None else {}
        return Look(
            findings=loaded.findings,
            pipeline=pipeline,
            in_force=in_force,
            changes=difference(in_force, pipeline) if in_force is not None else (),
            picture=picture(pipeline, calendars, width),
        )

    def refuse(self, look: Look, by: Actor, expected: str = "") -> None:
        """Refuse what could not be applied as it is: mistakes, somebody else's service, a file's pipeline, a race."""
        if look.pipeline is None:
            raise CommandRefused("The definition has mistakes, so nothing was applied.", mend=told(look.findings))
        if look.pipeline.id in self._by_file:
            raise CommandRefused(
                f"{look.pipeline.id} is defined by a file on Andon's machine, {self._by_file[look.pipeline.id]}.",
                mend="Change it there, or have the file taken away first.",
            )
        may_define(self._engine.world, look.in_force or look.pipeline, look.pipeline, by)
        if expected and look.in_force is not None and look.in_force.revision != expected:
            raise NotAsThought(mend="Fetch the definition in force, and make your change in that.")

    async def apply(self, text: str, look: Look, by: Actor, *, expected: str = "", dedupe: str = "") -> Applied:
        """Put in force what was looked at; raises CommandRefused. `expected` is the revision that was changed."""
        self.refuse(look, by, expected)
        assert look.pipeline is not None, "it was refused otherwise"
        event = DefinitionApplied(definition=look.pipeline, by=by, text=text)
        answer = await self._engine.submit(look.pipeline.id, event, dedupe=dedupe)
        is_changed = look.in_force is None or look.in_force.revision != look.pipeline.revision
        return Applied(look, answer.text, is_changed)

    async def revisions(self, pipeline_id: str, limit: int = REVISIONS_SHOWN) -> Sequence[Revision]:
        """The definitions that were applied to a pipeline, newest first, each with its text."""
        return await self._engine.read(lambda tx: tx.history.revisions(pipeline_id, limit))

    async def catch_up(self, policy: Policy) -> list[str]:
        """Bring lines that teams applied up to what the company asks for by now; returns sentences about them."""
        sentences = []
        states = self._engine.pipelines()
        ours = (named.id for named in states.names() if named.id not in self._by_file)
        short = [id_ for id_ in ours if falls_short(states[id_].definition, policy)]
        for id_ in short:
            revisions = await self.revisions(id_)
            text = next((r.text for r in revisions if r.revision == states[id_].definition.revision), "")
            look = await asyncio.to_thread(self.look, text, id_)
            if look.pipeline is None or not look.changes:
                sentences.append(f"{id_} is less careful than the organisation's policy asks; its team must mend it.")
                continue
            await self._engine.submit(id_, DefinitionApplied(definition=look.pipeline, by=ANDON, text=text))
            sentences.append(f"The definition of {id_} was brought up to the organisation's policy.")
        return sentences

    def places(self) -> Mapping[str, str]:
        """Deployers that a first line can be written for and a team may use, and what they are called in a list."""
        return {name: words for name, words in PLACES.items() if self._limits.lets_deploy(name)}

    def where(self, pipeline_id: str) -> str:
        """The file that defines it; empty where teams apply it themselves."""
        return self._by_file.get(pipeline_id, "")

    def _load(self, text: str, name: str, owner: Owner | None) -> Definitions:
        organisation = self._config / ORGANISATION_FILE
        files = [Given(name, text)]
        if owner is None:
            return load_files(files, organisation if organisation.is_file() else None)
        deployers = partial(_with_limits, self._limits, owner)
        tests = partial(_tests_with_limits, self._limits, owner)
        return load_files(
            files,
            organisation if organisation.is_file() else None,
            deployers,
            tests,
            validate_origin=partial(self._limits.of_origin, owner),
        )


def told(findings: Sequence[Finding], most: int = 10) -> str:
    """The findings in lines, as many as people read."""
    lines = [str(finding) for finding in findings[:most]]
    rest = len(findings) - most
    return "\n".join([*lines, f"… and {rest} more."] if rest > 0 else lines)


def _with_limits(
    limits: Limits, owner: Owner, use: str, settings: Mapping[str, Any], targets: Mapping[str, Mapping[str, Any]]
) -> Sequence[Problem]:
    return [*limits.of_deployer(owner, use, settings, targets), *deployer_problems(use, settings, targets)]


def _tests_with_limits(limits: Limits, owner: Owner, use: str, settings: Mapping[str, Any]) -> Sequence[Problem]:
    return [*limits.of_test(owner, use, settings), *test_problems(use, settings)]
