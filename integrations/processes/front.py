"""The front: one public port, a reverse proxy that loses no request while units come and go.

A request is given to a unit only while that unit serves, and counts as in flight until its answer is passed on whole.
What was not taken by a unit goes to another: any request when no connection came about (nothing was sent), GET and
HEAD without a body also when the unit ended before it answered. While no unit is healthy, requests wait a moment.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from urllib.parse import quote

import aiohttp
from aiohttp import hdrs, web
from multidict import CIMultiDict
from yarl import URL

from core.errors import PermanentError
from integrations.processes.changes import Changes
from integrations.processes.config import Timing
from integrations.processes.shares import SmoothShares
from integrations.processes.target import Target
from integrations.processes.unit import ADDRESS, Unit

_log = logging.getLogger(__name__)

TARGET_HEADER = "X-Andon-Target"
VERSION_HEADER = "X-Andon-Version"
ERROR_HEADER = "X-Andon-Error"
"""Only on answers of the front itself, so that they are told from those of a unit."""

_HOP_BY_HOP = frozenset(
    name.lower()
    for name in (
        "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
        "TE", "Trailer", "Transfer-Encoding", "Upgrade",
    )
)  # fmt: skip
_LONGEST_HEADER = 65536
_CONNECT_TIMEOUT = 5.0
_CLIENT_LEFT = 499
"""Nobody reads it: who asked went away while sending. No error of the unit."""


class _NotTaken(Exception):
    """The unit took nothing of the request, or it may safely be asked again."""


class Front:
    """Owns the public port. `targets` and `shares` are replaced by `serve`; everything runs on one event loop."""

    def __init__(self, changes: Changes, timing: Timing) -> None:
        self.unserved = 0
        """Requests answered 503 because no unit was healthy."""
        self._changes = changes
        self._timing = timing
        self._targets: Mapping[str, Target] = {}
        self._shares = SmoothShares({})
        self._elsewhere = SmoothShares({})
        self._runner: web.ServerRunner | None = None
        self._site: web.TCPSite | None = None
        self._reused: aiohttp.ClientSession | None = None
        self._single: aiohttp.ClientSession | None = None

    def serve(self, targets: Mapping[str, Target], timing: Timing) -> None:
        """From now on share requests out among these targets."""
        shares = {name: target.settings.share for name, target in targets.items()}
        if shares != {name: target.settings.share for name, target in self._targets.items()}:
            self._shares, self._elsewhere = SmoothShares(shares), SmoothShares(shares)
        self._targets = dict(targets)
        self._timing = timing
        self._changes.notify()

    async def listen(self, host: str, port: int) -> int:
        """Take the port (0: any) and return it; one held before is let go. Raises `PermanentError` if it is taken."""
        if self._runner is None:
            self._reused = _session(force_close=False)
            self._single = _session(force_close=True)
            server = web.Server(
                self._answer, auto_decompress=False, access_log=None,
                max_line_size=_LONGEST_HEADER, max_field_size=_LONGEST_HEADER,
            )  # fmt: skip
            self._runner = web.ServerRunner(server, shutdown_timeout=self._timing.drain_timeout)
            await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, backlog=1024)
        try:
            await site.start()
        except OSError as error:
            raise PermanentError(
                f"Port {port} of {host} cannot be taken: {error.strerror or error}. "
                f"Stop what listens there (`ss -ltnp 'sport = :{port}'` names it), or choose another `front.port`."
            ) from error
        if self._site is not None:
            await self._site.stop()
        self._site = site
        return int(self._runner.addresses[-1][1])

    async def close(self) -> None:
        """Take no more requests, finish those in flight."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = self._site = None
        for session in (self._reused, self._single):
            if session is not None:
                await session.close()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
            # A plain server leaves this to us; without it clients wait a second before they send their body.
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        tried: set[Unit] = set()
        while (chosen := await self._choose(tried)) is not None:
            target, unit = chosen
            try:
                return await self._forward(request, target, unit)
            except _NotTaken:
                tried.add(unit)
                target.counts.retried += 1
        self.unserved += 1
        if not any(target.usual for target in self._targets.values()):
            return _own_answer(503, "Nothing is deployed here yet.")
        return _own_answer(503, "No unit of any target is healthy just now. Ask again in a moment.")

    async def _choose(self, tried: set[Unit]) -> tuple[Target, Unit] | None:
        """Whose turn it is; another target's unit where that has none; None after a while in which nobody has."""
        name = self._shares.choose()
        if name is None:
            return None
        target = self._targets[name]
        if (unit := target.pick(tried)) is not None:
            return target, unit
        if not any(other.usual for other in self._targets.values()):
            return None
        if await self._changes.wait_until(lambda: bool(self._able(tried)), self._timing.hold):
            # While this request waited, its own target may have come back, or gone.
            other = self._elsewhere.choose(self._able(tried)) if name not in self._able(tried) else name
            if other is not None and (unit := self._targets[other].pick(tried)) is not None:
                target.counts.diverted += other != name
                return self._targets[other], unit
        return None

    def _able(self, tried: set[Unit]) -> set[str]:
        return {name for name, target in self._targets.items() if target.settings.share and target.left_of(tried)}

    async def _forward(self, request: web.BaseRequest, target: Target, unit: Unit) -> web.StreamResponse:
        counts = target.counts
        loop = asyncio.get_running_loop()
        began = loop.time()
        unit.in_flight += 1
        counts.in_flight += 1
        try:
            response = await self._exchange(request, target, unit)
            counts.requests += 1
            counts.server_errors += response.status >= 500
            counts.latency.add(loop.time() - began)
            return response
        finally:
            counts.in_flight -= 1
            unit.finished_one()

    async def _exchange(self, request: web.BaseRequest, target: Target, unit: Unit) -> web.StreamResponse:
        has_body = request.body_exists
        may_repeat = not has_body and request.method in (hdrs.METH_GET, hdrs.METH_HEAD)
        # A kept connection may be closed by the unit in the moment it is used: only for what may be asked again.
        session = self._reused if may_repeat else self._single
        assert session is not None
        try:
            answer = await session.request(
                request.method,
                URL(f"http://{ADDRESS}:{unit.port}{request.rel_url.raw_path_qs}", encoded=True),
                headers=_request_headers(request),
                data=request.content if has_body else None,
                allow_redirects=False,
                skip_auto_headers=(hdrs.USER_AGENT, hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE),
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=_CONNECT_TIMEOUT, sock_read=self._timing.answer_timeout
                ),
            )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise _NotTaken from error
        except TimeoutError:
            return _own_answer(504, "The unit did not answer in time.", target, unit)
        except aiohttp.ClientError as error:
            if may_repeat:
                raise _NotTaken from error
            if request.transport is None or request.transport.is_closing():
                return _own_answer(_CLIENT_LEFT, "", target, unit)
            _log.warning("%s unit %s ended a request: %s", target.name, unit.plan.place, type(error).__name__)
            return _own_answer(502, "The unit ended before it answered; it may have done what was asked.", target, unit)
        async with answer:
            return await _pass_on(request, answer, target, unit)


async def _pass_on(
    request: web.BaseRequest, answer: aiohttp.ClientResponse, target: Target, unit: Unit
) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=_end_to_end(answer.headers))
    _mark(response, target, unit)
    try:
        await response.prepare(request)
        async for piece in answer.content.iter_any():
            await response.write(piece)
        await response.write_eof()
    except ConnectionResetError:
        # The one who asked has gone.
        pass
    except (aiohttp.ClientError, TimeoutError) as error:
        # Half an answer must not look like a whole one: the connection is cut, not closed.
        _log.warning("%s unit %s broke off an answer: %s", target.name, unit.plan.place, type(error).__name__)
        if request.transport is not None:
            request.transport.abort()
    return response


def _own_answer(status: int, text: str, target: Target | None = None, unit: Unit | None = None) -> web.Response:
    response = web.Response(status=status, text=text + "\n", headers={ERROR_HEADER: str(status), hdrs.RETRY_AFTER: "1"})
    if target is not None and unit is not None:
        _mark(response, target, unit)
    return response


def _mark(response: web.StreamResponse, target: Target, unit: Unit) -> None:
    response.headers[TARGET_HEADER] = target.name
    # What people call a version is untrusted text; a header is printable ASCII.
    response.headers[VERSION_HEADER] = quote(unit.plan.version.version, safe=" !#$&'()*+,-./:;=?@[]^_`{|}~")


def _request_headers(request: web.BaseRequest) -> CIMultiDict[str]:
    headers = _end_to_end(request.headers)
    if hdrs.TRANSFER_ENCODING in request.headers:
        # Two lengths of one body are how requests are smuggled.
        headers.popall(hdrs.CONTENT_LENGTH, None)
    # It was answered here.
    headers.popall(hdrs.EXPECT, None)
    before = headers.popall(hdrs.X_FORWARDED_FOR, [])
    headers[hdrs.X_FORWARDED_FOR] = ", ".join((*before, request.remote or "unknown"))
    headers.setdefault(hdrs.X_FORWARDED_HOST, request.host)
    headers.setdefault(hdrs.X_FORWARDED_PROTO, request.scheme)
    return headers


def _end_to_end(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """Without what is between two neighbours only, nor what a neighbour says to be so, nor our own marks."""
    kept = CIMultiDict(headers)
    named = {name.strip().lower() for value in kept.getall(hdrs.CONNECTION, []) for name in value.split(",")}
    ours = {TARGET_HEADER.lower(), VERSION_HEADER.lower(), ERROR_HEADER.lower()}
    for name in {*_HOP_BY_HOP, *named, *ours}:
        kept.popall(name, None)
    return kept


def _session(*, force_close: bool) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=force_close),
        # One client's cookies are no business of the next.
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        max_line_size=_LONGEST_HEADER,
        max_field_size=_LONGEST_HEADER,
    )
