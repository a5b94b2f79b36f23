"""Definitions over HTTP: `POST /api/definitions` looks at one or applies it, `GET /api/definitions/ID` shows it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from bot.access import Access, Bearer, NotPermitted
from bot.engine import Engine
from bot.self_service import LARGEST, Look, SelfService, told
from core.errors import CommandRefused
from core.releases.world import Actor, Via
from storage.history import Revision

log = logging.getLogger("andon.definitions")


class Wanted(BaseModel):
    """The body of `POST /api/definitions`. `revision` is the one that was changed; another one now is refused."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, StringConstraints(min_length=1, max_length=LARGEST)]
    name: Annotated[str, StringConstraints(max_length=300)] = "definition"
    dry_run: bool = False
    revision: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{12,64})?$")] = Field(default="")


class DefinitionsIn:
    """The routes; every request is authenticated, and every change authorised where it is recorded."""

    def __init__(self, engine: Engine, access: Access, service: SelfService) -> None:
        self._engine = engine
        self._access = access
        self._service = service

    def routes(self) -> list[web.RouteDef]:
        """What is served."""
        return [
            web.post("/api/definitions", self.take),
            web.get("/api/definitions/{id:.+}", self.show),
        ]

    async def take(self, request: web.Request) -> web.Response:
        """Look at a definition, and put it in force unless it is a dry run."""
        bearer = await self._access.bearer(request.headers.get("Authorization", ""))
        wanted = Wanted.model_validate_json(await request.read())
        # Reading and comparing takes some milliseconds; others' buttons must not wait for that.
        look = await asyncio.to_thread(self._service.look, wanted.text, wanted.name)
        self._permit(bearer, look, is_dry_run=wanted.dry_run)
        if look.pipeline is None:
            return _mistaken(look)
        by = bearer.actor(self._engine.world, Via.API)
        before = await self._text_in_force(look)
        expected = wanted.revision
        if expected and look.in_force is not None and look.in_force.revision.startswith(expected):
            expected = look.in_force.revision
        if wanted.dry_run:
            return web.json_response({**_facts(look, before), **self._refusal(look, by, expected), "answer": ""})
        key = request.headers.get("Idempotency-Key", "")
        dedupe = f"api:{key[:200]}" if key else ""
        applied = await self._service.apply(wanted.text, look, by, expected=expected, dedupe=dedupe)
        log.info("the definition of %s was applied by %s", look.pipeline.id, by.id)
        status = 201 if look.is_new else 200
        return web.json_response({**_facts(look, before), "refused": "", "answer": applied.text}, status=status)

    async def show(self, request: web.Request) -> web.Response:
        """The definition in force as it was written, and those before it."""
        (await self._access.bearer(request.headers.get("Authorization", ""))).require("read")
        wanted = request.match_info["id"]
        state = self._engine.pipelines().get(wanted)
        if state is None:
            raise web.HTTPNotFound(text=f"There is no pipeline {wanted}.")
        found = await self._service.revisions(wanted)
        in_force = next((r for r in found if r.revision == state.definition.revision), None)
        return web.json_response(
            {
                "id": wanted,
                "revision": state.definition.revision,
                "text": in_force.text if in_force is not None else "",
                "file": self._service.where(wanted),
                "revisions": [_told_of(revision) for revision in found],
            }
        )

    def _permit(self, bearer: Bearer, look: Look, *, is_dry_run: bool) -> None:
        is_person = bearer.actor(self._engine.world, Via.API).is_person
        if is_dry_run and bearer.permits("read"):
            return
        if is_person and bearer.permits("act"):
            # What a person may define is decided with everything else that person may do.
            return
        if look.pipeline is None:
            if not any(scope.partition(":")[0] in ("define", "admin") for scope in bearer.scopes):
                raise NotPermitted(f"This token does not permit define; it permits {', '.join(sorted(bearer.scopes))}.")
            return
        bearer.require(f"define:{look.pipeline.service}")

    def _refusal(self, look: Look, by: Actor, expected: str) -> Mapping[str, str]:
        """What would refuse it now; who may apply it is part of what a dry run is asked."""
        try:
            self._service.refuse(look, by, expected)
        except CommandRefused as refusal:
            return {"refused": f"{refusal.message} {refusal.mend}".strip()}
        return {"refused": ""}

    async def _text_in_force(self, look: Look) -> str:
        if look.in_force is None:
            return ""
        found = await self._service.revisions(look.in_force.id)
        return next((r.text for r in found if r.revision == look.in_force.revision), "")


def _facts(look: Look, before: str) -> dict[str, object]:
    assert look.pipeline is not None, "one that has mistakes was answered"
    return {
        "id": look.pipeline.id,
        "revision": look.pipeline.revision,
        "is_new": look.is_new,
        "is_changed": look.in_force is None or look.in_force.revision != look.pipeline.revision,
        "changes": [
            {"place": c.place, "sentence": c.sentence, "is_less_careful": c.is_less_careful} for c in look.changes
        ],
        "warnings": [str(finding) for finding in look.findings],
        "picture": look.picture,
        "before": before,
    }


def _mistaken(look: Look) -> web.Response:
    mistakes = [finding for finding in look.findings if not finding.is_warning]
    return web.json_response(
        {
            "type": "about:blank",
            "status": 422,
            "detail": told(mistakes),
            "problems": [
                {"line": f.line, "column": f.column, "path": f.path, "problem": f.sentence, "mend": f.mend}
                for f in mistakes
            ],
        },
        status=422,
        content_type="application/problem+json",
    )


def _told_of(revision: Revision) -> dict[str, object]:
    return {
        "revision": revision.revision,
        "at": revision.at.isoformat(),
        "by": revision.actor_name or revision.actor,
        "event": revision.seq,
        "text": revision.text,
    }
