"""The HTTP face: releases and alarms in, commands from the shell, health and figures; every entry authenticated.

Webhooks are stored before they are answered. Authentic but not understood is 202 and kept; our own outage is 503, so
that the sender tries again; a refusal is an answer like any other. Errors are `application/problem+json`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ValidationError

from bot.access import Access, Bearer, NotAuthenticated, NotPermitted, require_own
from bot.alarms_in import AlarmsIn
from bot.definitions_in import DefinitionsIn
from bot.deployers import Deployers
from bot.engine import Engine
from bot.outbox import Outbox
from bot.releases_in import Announcement, UnknownService, announce
from bot.sources_in import NoSuchSource, SourcesIn
from commands.desk import Ask, Desk
from commands.pieces import unhurried
from commands.words import heard_in_shell
from core.errors import CommandRefused, NotAuthentic, PermanentError, TransientError
from core.releases.world import Actor, Via
from storage.errors import OutcomeUnknown, StorageError
from storage.source_requests import RequestLine, SourceRequests

log = logging.getLogger("andon.web")

BODY_MOST = 5 * 1024 * 1024
SOURCED_MOST = 10 * 1024 * 1024
"""Of a release source: the whole of what a busy repository says at once."""
COMMAND_MOST = 4_000
QUESTIONS = frozenset({"status", "why", "history", "freezes", "services", "owner", "help"})
"""Verbs that change nothing: a token that may read may ask them."""
RECORDED_LATELY = timedelta(seconds=15)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class WebFace:
    """The routes beside Slack's. `application` is ready to be served."""

    def __init__(
        self,
        *,
        engine: Engine,
        desk: Desk,
        access: Access,
        deployers: Deployers,
        alarms: AlarmsIn,
        sources: SourcesIn,
        outbox: Outbox,
        definitions: DefinitionsIn,
    ) -> None:
        self._engine = engine
        self._desk = desk
        self._access = access
        self._deployers = deployers
        self._alarms = alarms
        self._sources = sources
        self._outbox = outbox
        self.application = web.Application(client_max_size=BODY_MOST, middlewares=[_problems])
        self.application.add_routes(
            [
                web.get("/healthz", self.healthy),
                web.get("/metrics", self.metrics),
                web.post("/api/releases", self.announce),
                web.post("/api/commands", self.command),
                web.get("/api/pipelines", self.pipelines),
                web.post("/api/alarms/{source}", self.alarm),
                web.get("/api/alarms/kept", self.kept_alarms),
                web.post("/api/sources/{source}", self.sourced),
                web.post("/api/sources/{source}/{key}", self.sourced),
                web.get("/api/sources/kept", self.kept_requests),
                web.get("/api/sources/received", self.received_requests),
                web.get("/api/audit", self.audit),
                *definitions.routes(),
                web.post("/api/tokens", self.issue_token),
                web.get("/api/tokens", self.tokens),
                web.delete("/api/tokens/{id}", self.revoke_token),
            ]
        )

    # ---- health and figures -----------------------------------------------------------------------------------------

    async def healthy(self, _request: web.Request) -> web.Response:
        """Whether something can be recorded, which is what all else rests on; asked often, it writes seldom."""
        seen = self._engine.world.observed_until
        if seen is None or self._engine.now() - seen > RECORDED_LATELY:
            await self._engine.beat()
        return web.json_response({"status": "ok", "pipelines": len(self._engine.pipelines())})

    async def metrics(self, request: web.Request) -> web.Response:
        """Figures for Prometheus."""
        (await self._bearer(request)).require("read")
        of_each = [figures for _, figures in self._engine.pipelines().figures()]
        figures = {
            "andon_pipelines": len(of_each),
            "andon_live_releases": sum(f.live for f in of_each),
            "andon_deployments_in_flight": sum(f.in_flight for f in of_each),
            "andon_open_pages": sum(f.pages for f in of_each),
            "andon_buried_effects": len(await self._outbox.buried()),
        }
        lines = [f"# TYPE {name} gauge\n{name} {value}\n" for name, value in figures.items()]
        return web.Response(text="".join(lines), content_type="text/plain")

    # ---- releases and commands --------------------------------------------------------------------------------------

    async def announce(self, request: web.Request) -> web.Response:
        """`POST /api/releases`: a version exists."""
        bearer = await self._bearer(request)
        given = Announcement.model_validate(await _json(request))
        bearer.require(f"announce:{given.service}")
        key = request.headers.get("Idempotency-Key", "")
        by = bearer.actor(self._engine.world, Via.API)
        answer = await announce(self._engine, self._deployers, given, by, dedupe=f"api:{key[:200]}" if key else "")
        log.info("%s %s was announced by %s", given.service, given.version, by.id)
        release = next((r for r in answer.state.releases if r.version == given.version), None)
        return web.json_response(
            {
                "answer": answer.text,
                "release": release.id if release else "",
                "digest": release.digest if release else "",
            },
            status=201,
        )

    async def command(self, request: web.Request) -> web.Response:
        """`POST /api/commands` {"text": "why checkout"}, or {"words": […]} from a shell: what one says in Slack."""
        bearer = await self._bearer(request)
        given = await _json(request)
        words = given.get("words")
        is_shell = isinstance(words, list) and all(isinstance(word, str) for word in words)
        text = heard_in_shell(words) if is_shell and words is not None else given.get("text")
        if not isinstance(text, str) or len(text) > COMMAND_MOST:
            raise web.HTTPBadRequest(text=f"`text` must be a string of at most {COMMAND_MOST} characters.")
        bearer.require("read" if text.partition(" ")[0] in QUESTIONS else "act")
        actor: Actor = bearer.actor(self._engine.world, Via.SHELL)
        key = request.headers.get("Idempotency-Key", "")
        reply = await self._desk.answer(Ask(text=text, actor=actor, dedupe=f"api:{key[:200]}" if key else ""))
        return web.json_response({"text": reply.text, "refused": reply.is_refusal, "facts": dict(reply.facts)})

    async def pipelines(self, request: web.Request) -> web.Response:
        """Ids, services and stages of all pipelines; for completion and scripts."""
        (await self._bearer(request)).require("read")
        return web.json_response(
            {
                s.id: {
                    "service": s.definition.service,
                    "stages": [stage.name for stage in s.definition.stages],
                    "revision": s.definition.revision,
                }
                async for s in unhurried(self._engine.pipelines())
            }
        )

    # ---- alarms -----------------------------------------------------------------------------------------------------

    async def alarm(self, request: web.Request) -> web.Response:
        """`POST /api/alarms/alertmanager` or `/api/alarms/webhook`: stored, then understood."""
        (await self._bearer(request)).require("alarms")
        taken = await self._alarms.take(request.match_info["source"], request.headers, await request.read())
        return web.json_response(taken.facts, status=200 if taken.is_understood else 202)

    async def kept_alarms(self, request: web.Request) -> web.Response:
        """What came in and matched nothing, or was not understood; newest first."""
        (await self._bearer(request)).require("read")
        kept = await self._engine.read(lambda tx: tx.inbox.kept())
        return web.json_response(
            [{"id": k.id, "source": k.source, "received_at": k.received_at.isoformat(), "note": k.note} for k in kept]
        )

    # ---- release sources --------------------------------------------------------------------------------------------

    async def sourced(self, request: web.Request) -> web.Response:
        """`POST /api/sources/github` and others: authentic by their own means, stored, read, and worked on after."""
        name, key = request.match_info["source"], request.match_info.get("key", "")
        body = await _whole(request, SOURCED_MOST)
        received = await self._sources.take(name, request.headers, body, key)
        return web.json_response(received.facts, status=202)

    async def kept_requests(self, request: web.Request) -> web.Response:
        """What release sources sent and became no release, with the reason; newest first."""
        (await self._bearer(request)).require("read")
        lines = await self._engine.read(lambda tx: SourceRequests(tx).kept())
        return web.json_response([_told(line) for line in lines])

    async def received_requests(self, request: web.Request) -> web.Response:
        """The newest requests of release sources and what became of each."""
        (await self._bearer(request)).require("read")
        lines = await self._engine.read(lambda tx: SourceRequests(tx).received())
        return web.json_response([_told(line) for line in lines])

    async def audit(self, request: web.Request) -> web.Response:
        """For each pipeline, and the organisation, the number of the first event that was tampered with, or null."""
        (await self._bearer(request)).require("read")
        names = tuple(self._engine.pipelines())
        verified = await self._engine.read(
            lambda tx: {name: tx.history.verify(name) for name in names} | {"(organisation)": tx.acts.verify()}
        )
        return web.json_response(verified)

    # ---- tokens -----------------------------------------------------------------------------------------------------

    async def issue_token(self, request: web.Request) -> web.Response:
        """`POST /api/tokens` {"name", "actor", "scopes", "days"}; the secret is in this answer and nowhere else."""
        bearer = await self._bearer(request)
        given = _TokenWanted.model_validate(await _json(request))
        if not bearer.permits("admin"):
            bearer.require("act")
            by = bearer.actor(self._engine.world, Via.API)
            require_own(self._engine.world, self._engine.pipelines(), by, given.actor, frozenset(given.scopes))
        lifetime = timedelta(days=given.days) if given.days else None
        token_id, secret = await self._access.issue(given.name, given.actor, frozenset(given.scopes), lifetime)
        return web.json_response({"id": token_id, "token": secret}, status=201)

    async def tokens(self, request: web.Request) -> web.Response:
        """Tokens without their secrets."""
        (await self._bearer(request)).require("admin")
        found = await self._engine.read(lambda tx: tx.tokens.every())
        now = self._engine.now()
        return web.json_response(
            [
                {"id": t.id, "name": t.name, "actor": t.actor, "scopes": sorted(t.scopes), "valid": t.is_valid(now)}
                for t in found
            ]
        )

    async def revoke_token(self, request: web.Request) -> web.Response:
        """End a token for good."""
        (await self._bearer(request)).require("admin")
        wanted, now = request.match_info["id"], self._engine.now()
        if not await self._engine.run(lambda tx: tx.tokens.revoke(wanted, now)):
            raise web.HTTPNotFound(text="There is no such token, or it was revoked before.")
        return web.json_response({"revoked": wanted})

    async def _bearer(self, request: web.Request) -> Bearer:
        return await self._access.bearer(request.headers.get("Authorization", ""))


class _TokenWanted(BaseModel):
    name: str
    actor: str
    scopes: list[str]
    days: int | None = 90


def _told(line: RequestLine) -> dict[str, Any]:
    return {
        "id": line.id,
        "source": line.source,
        "received_at": line.received_at.isoformat(),
        "state": line.state,
        "note": line.note,
    }


async def _whole(request: web.Request, most: int) -> bytes:
    """The body, if it is not larger than this."""
    parts: list[bytes] = []
    size = request.content_length or 0
    if size <= most:
        size = 0
        async for part in request.content.iter_chunked(65_536):
            size += len(part)
            if size > most:
                break
            parts.append(part)
    if size > most:
        raise web.HTTPRequestEntityTooLarge(
            max_size=most, actual_size=size, text=f"This request is larger than {most // 1024 // 1024} MB."
        )
    return b"".join(parts)


async def _json(request: web.Request) -> Mapping[str, Any]:
    try:
        given = json.loads(await request.read())
    except (ValueError, RecursionError):
        raise web.HTTPBadRequest(text="The body is not JSON.") from None
    if not isinstance(given, dict):
        raise web.HTTPBadRequest(text="The body must be a JSON object.")
    return given


@web.middleware
async def _problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error as a sentence, with the status that tells the sender whether trying again would help."""
    try:
        return await handler(request)
    except NotAuthenticated as error:
        return _problem(401, error.message, headers={"WWW-Authenticate": "Bearer"})
    except NotAuthentic as error:
        return _problem(401, error.message)
    except NotPermitted as error:
        return _problem(403, error.message)
    except NoSuchSource as error:
        return _problem(404, error.message)
    except UnknownService as error:
        return _problem(404, str(error))
    except CommandRefused as error:
        return _problem(409, str(error))
    except ValidationError as error:
        return _problem(422, _first_problem(error))
    except PermanentError as error:
        return _problem(422, error.message)
    except TransientError as error:
        return _problem(503, error.message)
    except OutcomeUnknown as error:
        log.warning("It is not known what was recorded: the database was lost while it answered")
        return _problem(503, error.message)
    except StorageError as error:
        log.warning("Nothing was recorded: %s", type(error).__name__)
        return _problem(503, "Nothing was recorded, because the database does not answer. Try again in a moment.")
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _problem(error.status, error.text or error.reason)


def _first_problem(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(str(part) for part in e['loc']) or 'body'}: {e['msg']}" for e in found[:5])


def _problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response(
        {"type": "about:blank", "status": status, "detail": detail},
        status=status,
        headers=headers,
        content_type="application/problem+json",
    )
