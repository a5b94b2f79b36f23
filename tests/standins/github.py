"""GitHub's REST API on loopback, strict: what the documentation does not allow is refused as GitHub refuses it.

Unknown paths, methods, query words and keys, a missing or wrong token, a missing permission, an unknown API version and
a missing user agent are all answered as errors, and kept in `mistakes`: a test can hold that there were none.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any

import jwt
from aiohttp import web

from tests.standins.github_code import CODE_ROUTES, Code
from tests.standins.github_world import Deployment, Repository, Run, stamp

VERSIONS = ("2022-11-28", "2026-03-10")
DISPATCH_KEYS = {"ref", "inputs", "return_run_details"}
DEPLOYMENT_KEYS = {
    "ref", "task", "auto_merge", "required_contexts", "payload", "environment", "description", "transient_environment",
    "production_environment",
}  # fmt: skip
STATUS_KEYS = {"state", "target_url", "log_url", "description", "environment", "environment_url", "auto_inactive"}
DEPLOYMENT_STATES = {"error", "failure", "inactive", "in_progress", "queued", "pending", "success"}
RUN_FILTERS = {"actor", "branch", "event", "status", "per_page", "page", "created", "exclude_pull_requests", "head_sha"}
DEPLOYMENT_FILTERS = {"sha", "ref", "task", "environment", "per_page", "page"}
PAGES = {"per_page", "page"}
FOLLOWING = web.RequestKey("following", str)


@dataclass(frozen=True, slots=True)
class Fault:
    """An answer instead of the right one; `is_late` does what was asked first, `hangs` then answers nothing."""

    status: int = 500
    message: str = "Server Error"
    headers: Mapping[str, str] = field(default_factory=dict)
    is_late: bool = False
    hangs: bool = False


SECONDARY = Fault(
    403,
    "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
    {"retry-after": "60"},
)
HUNG = Fault(hangs=True)
HUNG_AFTER = Fault(is_late=True, hangs=True)


class _Answer(Exception):
    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers


Act = Callable[["StandIn", web.Request, Mapping[str, Any]], Awaitable[tuple[int, Any]]]


class StandIn:
    """The server; `repository` is its world, `calls` what arrived. `permissions` are those of the token."""

    def __init__(self, *, token: str = "open-sesame", knows_run_details: bool = True) -> None:
        self.repository = Repository()
        self.code = Code()
        self.token, self.knows_run_details = token, knows_run_details
        self.permissions = {"actions": "write", "deployments": "write", "contents": "read"}
        self.app_key = ""
        """The public key of the app, in PEM form; tokens of its installation 99 are given then."""
        self.calls: list[str] = []
        self.mistakes: list[str] = []
        self.url = ""
        self.left = 5000
        self.hides_statuses = 0
        """How many new statuses one list of them does not show yet."""
        self.held = asyncio.Event()
        self._faults: list[tuple[str, Fault]] = []
        self._hold: tuple[str, int, bool] | None = None
        self._runners: list[web.AppRunner] = []
        self._storage = ""

    async def begin(self) -> None:
        """Listen on free ports: one for the API, one for the logs, which GitHub keeps elsewhere."""
        self.url = self.repository.base = await self._serve(self._answer)
        self._storage = await self._serve(self._stored)

    async def _serve(self, answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> str:
        app = web.Application(client_max_size=2**20)
        app.router.add_route("*", "/{tail:.*}", answer)
        runner = web.AppRunner(app, shutdown_timeout=0.05, access_log=None)
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def end(self) -> None:
        """Stop listening."""
        for runner in self._runners:
            await runner.cleanup()

    def fails(self, call: str, fault: Fault, times: int = 1) -> None:
        """The next `times` calls whose `METHOD path` fits the expression go wrong."""
        self._faults += [(call, fault)] * times

    def hold(self, call: str, *, nth: int = 1, is_done: bool) -> None:
        """Leave the nth call that fits unanswered, done or not done, and set `held`: then its sender is killed."""
        self._hold, self.calls = (call, nth, is_done), []
        self.held.clear()

    def said(self, call: str) -> int:
        """How many calls fit the expression."""
        return sum(1 for known in self.calls if re.fullmatch(call, known))

    # ---- one call ---------------------------------------------------------------------------------------------------

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.repository.tick()
        call = f"{request.method} {request.path}"
        self.calls.append(call)
        fault = next((found for found in self._faults if re.fullmatch(found[0], call)), None)
        if fault is not None:
            self._faults.remove(fault)
        held = self._held(call)
        if held is False:
            await self._wait()
        if fault is not None and not fault[1].is_late:
            return await self._wrong(fault[1])
        response = await self._right(request, call)
        if held:
            await self._wait()
        return response if fault is None else await self._wrong(fault[1])

    async def _stored(self, request: web.Request) -> web.StreamResponse:
        if "authorization" in request.headers:
            self.mistakes.append("a token was shown to the store of logs")
            return web.Response(status=400)
        run = self.repository.runs[int(request.path.rpartition("/")[2])]
        return web.Response(text=run.play.log)

    def _held(self, call: str) -> bool | None:
        """Whether this call is left unanswered, and then whether it is done before."""
        if self._hold is None or not re.fullmatch(self._hold[0], call) or self.said(self._hold[0]) != self._hold[1]:
            return None
        is_done, self._hold = self._hold[2], None
        return is_done

    async def _wait(self) -> None:
        self.held.set()
        await asyncio.Event().wait()

    async def _wrong(self, fault: Fault) -> web.Response:
        if fault.hangs:
            await asyncio.Event().wait()
        return self._response(fault.status, {"message": fault.message}, fault.headers)

    async def _right(self, request: web.Request, call: str) -> web.StreamResponse:
        headers: Mapping[str, str] = {}
        try:
            self._admit(request)
            status, content = await self._act(request, call)
        except _Answer as refusal:
            self.mistakes.append(f"{call}: {refusal.status} {refusal.message}")
            status, content, headers = refusal.status, {"message": refusal.message}, refusal.headers
        if isinstance(content, str):
            return web.Response(status=302, headers={"location": content, "date": self._date})
        response = self._response(status, content, headers)
        if request.method == "GET" and status == 200:
            etag = f'W/"{hashlib.sha256(response.body or b"").hexdigest()}"'  # type: ignore[arg-type]
            if request.headers.get("if-none-match") == etag:
                return web.Response(status=304, headers={"etag": etag, "date": self._date})
            response.headers["etag"] = etag
            if following := request.get(FOLLOWING):
                response.headers["link"] = f'<{self.url}{following}>; rel="next", <{self.url}>; rel="last"'
        self.left -= 1
        return response

    def _response(self, status: int, content: Any, headers: Mapping[str, str]) -> web.Response:
        pace = {
            "x-ratelimit-limit": "5000",
            "x-ratelimit-remaining": str(self.left),
            "x-ratelimit-reset": str(int(self.repository.now.timestamp()) + 3000),
            "x-github-request-id": "A1B2:3C4D:5E6F",
            "date": self._date,
        }
        body = None if content is None else json.dumps(content).encode()
        kind = {} if body is None else {"content-type": "application/json; charset=utf-8"}
        return web.Response(status=status, body=body, headers={**pace, **kind, **headers})

    @property
    def _date(self) -> str:
        return format_datetime(self.repository.now, usegmt=True)

    def _admit(self, request: web.Request) -> None:
        if not request.headers.get("user-agent"):
            raise _Answer(403, "Request forbidden by administrative rules. Please make sure it has a User-Agent header")
        version = request.headers.get("x-github-api-version")
        if version not in VERSIONS:
            raise _Answer(400, f"{version} is not a supported version.")
        if "application/vnd.github" not in request.headers.get("accept", ""):
            raise _Answer(415, "Must accept 'application/vnd.github+json'.")
        if request.path.startswith("/app/"):
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() not in ("token", "bearer") or given != self.token:
            raise _Answer(401, "Bad credentials" if given else "Requires authentication")

    async def _act(self, request: web.Request, call: str) -> tuple[int, Any]:
        for pattern, permission, query, act in ROUTES:
            found = re.fullmatch(pattern, call)
            if found is None:
                continue
            room, _, level = permission.partition("=")
            has = self.permissions.get(room, "")
            if permission and (not has or (level == "write" and has != "write")):
                needs = {"X-Accepted-GitHub-Permissions": permission}
                raise _Answer(403, "Resource not accessible by personal access token", **needs)
            if unknown := set(request.query) - query:
                raise _Answer(422, f"Unknown query {sorted(unknown)}")
            return await act(self, request, found.groupdict())
        raise _Answer(404, "Not Found")

    async def body(self, request: web.Request, allowed: set[str]) -> dict[str, Any]:
        """What was sent, of which every key must be known."""
        try:
            given = json.loads(await request.read())
        except ValueError:
            raise _Answer(400, "Problems parsing JSON") from None
        if not isinstance(given, dict):
            raise _Answer(400, "Body should be a JSON object")
        for key in given:
            if key not in allowed:
                raise _Answer(422, f'Invalid request.\n\n"{key}" is not a permitted key.')
        return given

    @property
    def storage(self) -> str:
        """Where logs are kept."""
        return self._storage

    def run(self, values: Mapping[str, Any]) -> Run:
        """The run that is asked for."""
        run = self.repository.runs.get(int(values["id"]))
        if run is None:
            raise _Answer(404, "Not Found")
        return run

    def deployment(self, values: Mapping[str, Any]) -> Deployment:
        """The deployment that is asked for."""
        made = self.repository.deployments.get(int(values["id"]))
        if made is None:
            raise _Answer(404, "Not Found")
        return made


# ---- what can be asked ----------------------------------------------------------------------------------------------


async def _give_token(place: StandIn, request: web.Request, values: Mapping[str, Any]) -> tuple[int, Any]:
    _, _, proof = request.headers.get("authorization", "").partition(" ")
    try:
        claims = jwt.decode(proof, place.app_key, algorithms=["RS256"], options={"require": ["iat", "exp", "iss"]})
    except (jwt.PyJWTError, ValueError):
        raise _Answer(401, "A JSON web token could not be decoded") from None
    if claims["exp"] - claims["iat"] > 600:
        raise _Answer(401, "'Expiration time' claim ('exp') is too far in the future")
    if values["id"] != "99":
        raise _Answer(404, "Not Found")
    expires = stamp(place.repository.now + timedelta(hours=1))
    return 201, {"token": place.token, "expires_at": expires, "permissions": place.permissions}


async def _read_file(place: StandIn, request: web.Request, values: Mapping[str, Any]) -> tuple[int, Any]:
    text = place.repository.workflows.get(values["file"])
    if request.query.get("ref", "main") not in place.repository.refs:
        raise _Answer(404, f"No commit found for the ref {request.query['ref']}")
    if text is None:
        raise _Answer(404, "Not Found")
    content = base64.encodebytes(text.encode()).decode()
    return 200, {"type": "file", "encoding": "base64", "name": values["file"], "size": len(text), "content": content}


async def _dispatch(place: StandIn, request: web.Request, values: Mapping[str, Any]) -> tuple[int, Any]:
    allowed = DISPATCH_KEYS if place.knows_run_details else DISPATCH_KEYS - {"return_run_details"}
    given, world = await place.body(request, allowed), place.repository
    if values["file"] not in world.workflows:
        raise _Answer(404, "Not Found")
    if "workflow_dispatch" not in world.workflows[values["file"]]:
        raise _Answer(422, "Workflow does not have 'workflow_dispatch' trigger")
    if given.get("ref") not in world.refs:
        raise _Answer(422, f"No ref found for: {given.get('ref')}")
    inputs, declared = given.get("inputs", {}), world.inputs_of(values["file"])
    if len(inputs) > 25 or not all(isinstance(value, str) for value in inputs.values()):
        raise _Answer(422, "Invalid inputs")
    if unknown := [name for name in inputs if name not in declared]:
        raise _Answer(422, f"Unexpected inputs provided: {json.dumps(unknown)}")
    for name, rule in declared.items():
        if rule.get("required") == "true" and "default" not in rule and not inputs.get(name):
            raise _Answer(422, f"Required input '{name}' not provided")
    run = world.dispatch(values["file"], given["ref"], inputs)
    if not given.get("return_run_details"):
        return 204, None
    shown = world.run_shown(run)
    return 200, {"workflow_run_id": run.id, "run_url": shown["url"], "html_url": shown["html_url"]}


async def _list_runs(place: StandIn, request: web.Request, values: Mapping[str, Any]) -> tuple[int, Any]:
    world, query = place.repository, request.query
    if values["file"] not in world.workflows:
        raise _Answer(404, "Not Found")
    found = []
    for run in sorted(world.runs.values(), key=lambda run: -run.id):
        if run.unlisted > 0:
            run.unlisted -= 1
        elif run.workflow == values["file"] and query.get("event", "workflow_dispatch") == "workflow_dispatch":
            found.append(run)
    if created := query.get("created"):
        since = re.fullmatch(r">=(\S+)", created)
        if since is None:
            raise _Answer(422, "Invalid created")
        found = [run for run in found if run.created_at >= datetime.fromisoformat(since[1])]
    return 200, {"total_count": len(found), "workflow_runs": [world.run_shown(run) for run in _page(request, found)]}


async def _show_run(place: StandIn, request: web.Request, values: Mapping[str, Any]) -> tuple[int, Any]:
    run = place.run(values)
    run.look()
    return 200, place.repository.run_shown(run)


async def _list_jobs(place: StandIn, request: web.Request, values: Mapping[str, Any]) -> tuple[int, Any]:
    run = place.run(values)
    if int(values["attempt"]) > run.attempt:
        raise _Answer(404, "Not Found")
    return 200, {"total_count": 1, "jobs": [place.repository.job_shown(run)]}


async def _show_log(place: StandIn, request: web.Request, values: Mapping[str, Any]) -> tuple[int, Any]:
    run = place.run({"id": int(values["id"]) - 3})
    return 302, f"{place.storage}/{run.id}"


async def _list_waits(place: StandIn, request: web.Request, values: Mapping[str, Any]) -> tuple[int, Any]:
    if place.run(values).status != "waiting":
        return 200, []
    reviewers = [
        {"type": "User", "reviewer": {"login": "ann"}},
        {"type": "Team", "reviewer": {"name": "Operations", "slug": "operations"}},
    ]
    environment = {"id": 7, "name": "production", "html_url": "https://github.example/octo/shop/deployments/production"}
    return 200, [
        {
            "environment": environment,
            "wait_timer": 0,
            "wait_timer_started_at": None,
            "current_user_can_approve": False,
            "reviewers": reviewers,
        }
    ]


async def _cancel(place: StandIn, request: web.Request, values: Mapping[str, Any]) -> tuple[int, Any]:
    run = place.run(values)
    if run.status == "completed":
        raise _Answer(409, "Cannot cancel a workflow run that is completed.")
    run.is_cancelling = run.is_cancelling or values["how"] == "force-cancel" or not run.play.is_deaf
    return 202, {}


async def _make_deployment(place: StandIn, request: web.Request, values: Mapping[str, Any]) -> tuple[int, Any]:
    given = await place.body(request, DEPLOYMENT_KEYS)
    if given.get("ref") not in place.repository.refs:
        raise _Answer(422, f"No ref found for: {given.get('ref')}")
    if given.get("auto_merge", True) or given.get("required_contexts") != []:
        raise _Answer(409, "Conflict: Commit status checks failed for main.")
    if len(given.get("description", "")) > 140:
        raise _Answer(422, "Description is too long")
    return 201, place.repository.deployment_shown(place.repository.deploy(given))


async def _list_deployments(place: StandIn, request: web.Request, values: Mapping[str, Any]) -> tuple[int, Any]:
    query = request.query
    found = [
        shown
        for made in sorted(place.repository.deployments.values(), key=lambda made: -made.id)
        for shown in [place.repository.deployment_shown(made)]
        if all(shown[word] == query[word] for word in ("sha", "ref", "task", "environment") if word in query)
    ]
    return 200, _page(request, found)


async def _show_deployment(place: StandIn, request: web.Request, values: Mapping[str, Any]) -> tuple[int, Any]:
    return 200, place.repository.deployment_shown(place.deployment(values))


async def _list_statuses(place: StandIn, request: web.Request, values: Mapping[str, Any]) -> tuple[int, Any]:
    statuses = place.deployment(values).statuses
    if place.hides_statuses and statuses[-1]["state"] in ("success", "failure"):
        statuses, place.hides_statuses = statuses[: -place.hides_statuses], 0
    return 200, _page(request, list(reversed(statuses)))


async def _make_status(place: StandIn, request: web.Request, values: Mapping[str, Any]) -> tuple[int, Any]:
    given, made = await place.body(request, STATUS_KEYS), place.deployment(values)
    if given.get("state") not in DEPLOYMENT_STATES:
        raise _Answer(422, "Validation Failed")
    if len(given.get("description", "")) > 140:
        raise _Answer(422, "Description is too long")
    return 201, place.repository.say(made, given)


def _page(request: web.Request, items: list[Any]) -> list[Any]:
    size, page = int(request.query.get("per_page", "30")), int(request.query.get("page", "1"))
    if not 1 <= size <= 100:
        raise _Answer(422, "per_page must be from 1 to 100")
    if len(items) > page * size:
        request[FOLLOWING] = str(request.rel_url.update_query(page=page + 1))
    return items[(page - 1) * size : page * size]


_REPOSITORY = "/repos/octo/shop"
ROUTES: tuple[tuple[str, str, set[str], Act], ...] = (
    (r"POST /app/installations/(?P<id>\d+)/access_tokens", "", set(), _give_token),
    (
        rf"GET {_REPOSITORY}/contents/\.github/workflows/(?P<file>[^/]+)",
        "contents=read",
        {"ref"},
        _read_file,
    ),
    (rf"POST {_REPOSITORY}/actions/workflows/(?P<file>[^/]+)/dispatches", "actions=write", set(), _dispatch),
    (rf"GET {_REPOSITORY}/actions/workflows/(?P<file>[^/]+)/runs", "actions=read", RUN_FILTERS, _list_runs),
    (rf"GET {_REPOSITORY}/actions/runs/(?P<id>\d+)", "actions=read", {"exclude_pull_requests"}, _show_run),
    (
        rf"GET {_REPOSITORY}/actions/runs/(?P<id>\d+)/attempts/(?P<attempt>\d+)/jobs",
        "actions=read",
        PAGES,
        _list_jobs,
    ),
    (rf"GET {_REPOSITORY}/actions/jobs/(?P<id>\d+)/logs", "actions=read", set(), _show_log),
    (rf"GET {_REPOSITORY}/actions/runs/(?P<id>\d+)/pending_deployments", "actions=read", set(), _list_waits),
    (rf"POST {_REPOSITORY}/actions/runs/(?P<id>\d+)/(?P<how>cancel|force-cancel)", "actions=write", set(), _cancel),
    (rf"POST {_REPOSITORY}/deployments", "deployments=write", set(), _make_deployment),
    (rf"GET {_REPOSITORY}/deployments", "deployments=read", DEPLOYMENT_FILTERS, _list_deployments),
    (rf"GET {_REPOSITORY}/deployments/(?P<id>\d+)", "deployments=read", set(), _show_deployment),
    (rf"GET {_REPOSITORY}/deployments/(?P<id>\d+)/statuses", "deployments=read", PAGES, _list_statuses),
    (rf"POST {_REPOSITORY}/deployments/(?P<id>\d+)/statuses", "deployments=write", set(), _make_status),
    *CODE_ROUTES,
)
