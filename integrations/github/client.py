"""How Andon speaks to GitHub: who it is there, one question at a time, and what an unwilling answer means.

A refusal that cannot change by itself is a `PermanentError` that says what to mend; limits of pace, faults of GitHub's
own and silence are `TransientError`, because nobody can tell then whether the question arrived.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import gidgethub
import jwt
from gidgethub.abc import GitHubAPI
from gidgethub.apps import get_jwt

from core.errors import PermanentError, PortError, TransientError
from integrations.github.access import Access, AppAccess
from integrations.intake import line

API_VERSION = "2022-11-28"
"""The oldest that GitHub Enterprise Server knows too."""
TIMEOUT = 20.0
"""Seconds for one question."""
TOKEN_LIVES = 50 * 60.0
"""Seconds for which a token of an installation is used; GitHub gives it an hour."""
MOST_KEPT = 256
"""Answers kept with their ETag: asked again and unchanged, they cost nothing of the hourly limit."""
LEAST_PAUSE = timedelta(minutes=1)
"""How long GitHub wants to be left alone where it does not say how long."""


class GitHub:
    """Opens connections under one identity. Holds no connection itself, and shows no secret."""

    def __init__(
        self, access: Access, *, environment: Mapping[str, str] | None = None, timeout: float = TIMEOUT
    ) -> None:
        self.access = access
        self._environment = os.environ if environment is None else environment
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._kept = _Kept()
        self._token = ""
        self._token_until = 0.0
        self._asking = asyncio.Lock()

    def __repr__(self) -> str:
        return f"GitHub({self.access.api})"

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Api]:
        """A connection for some questions; raises PermanentError where the identity is missing."""
        async with aiohttp.ClientSession(timeout=self._timeout, trust_env=True) as session:
            asker = _Asker(session, "Andon", base_url=self.access.api, cache=self._kept)
            asker.oauth_token = await self._identity(asker)
            try:
                yield Api(asker, self._whose())
            except Refused as error:
                if error.status == 401:
                    # The token of an installation may end early: the next question begins with a new one.
                    self._token = ""
                raise

    async def _identity(self, asker: _Asker) -> str:
        app = self.access.app
        if app is None:
            token = self._environment.get(self.access.token_env or "", "").strip()
            if not token:
                raise PermanentError(f"The environment variable {self.access.token_env} holds no GitHub token; set it.")
            return token
        async with self._asking:
            now = time.monotonic()
            if self._token and now < self._token_until:
                return self._token
            key = await asyncio.to_thread(self._key, app)
            with _understood(f"give the app a token for installation {app.installation}", self._whose()):
                try:
                    proof = get_jwt(app_id=str(app.id), private_key=key, expiration=9 * 60)
                except (ValueError, TypeError, jwt.PyJWTError):
                    raise PermanentError(
                        f"What {app.key_file or app.key_env} holds is no RSA private key in PEM form; download a new "
                        "one from the settings of the GitHub App."
                    ) from None
                answer = await asker.post(
                    "/app/installations/{installation}/access_tokens",
                    {"installation": str(app.installation)},
                    data={},
                    jwt=proof,
                    extra_headers={"x-github-api-version": API_VERSION},
                )
            self._token, self._token_until = str(answer["token"]), now + TOKEN_LIVES
            return self._token

    def _key(self, app: AppAccess) -> str:
        if app.key_env is not None:
            key = self._environment.get(app.key_env, "")
        else:
            try:
                key = Path(app.key_file or "").read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                raise PermanentError(f"The key of the GitHub App cannot be read from {app.key_file}.") from None
        if not key.strip():
            raise PermanentError(f"{app.key_file or app.key_env} holds no key of the GitHub App.")
        return key

    def _whose(self) -> str:
        app = self.access.app
        return f"the GitHub App {app.id}" if app is not None else f"the token in {self.access.token_env}"


class Api:
    """Questions to GitHub; each `what` completes the sentence "GitHub would not …" for people."""

    def __init__(self, asker: _Asker, whose: str) -> None:
        self._asker, self._whose = asker, whose

    @property
    def server_time(self) -> str:
        """The `Date` of GitHub's last answer: its clock, not ours."""
        return self._asker.date

    async def get(self, what: str, path: str, **values: str) -> Any:
        """One answer."""
        with _understood(what, self._whose):
            return await self._asker.getitem(path, values, extra_headers={"x-github-api-version": API_VERSION})

    async def items(self, what: str, path: str, *, key: str | None = None, most: int = 100, **values: str) -> list[Any]:
        """What a list holds, over its pages, `most` at the most; `key` where the list lies inside."""
        found: list[Any] = []
        with _understood(what, self._whose):
            pages = self._asker.getiter(
                path, values, iterable_key=key, extra_headers={"x-github-api-version": API_VERSION}
            )
            async with contextlib.aclosing(pages):
                async for item in pages:
                    found.append(item)
                    if len(found) >= most:
                        break
        return found

    async def post(self, what: str, path: str, content: Mapping[str, Any], **values: str) -> Any:
        """Ask for a change."""
        with _understood(what, self._whose):
            return await self._asker.post(
                path, values, data=content, extra_headers={"x-github-api-version": API_VERSION}
            )


class Refused(PermanentError):
    """GitHub refused with a status and words of its own."""

    def __init__(self, message: str, *, status: int, words: str) -> None:
        super().__init__(message)
        self.status, self.words = status, words


class _Asker(GitHubAPI):
    """gidgethub over aiohttp. A change is never sent on to where a redirect points."""

    date = ""

    def __init__(self, session: aiohttp.ClientSession, requester: str, **options: Any) -> None:
        super().__init__(requester, **options)
        self._session = session

    async def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> tuple[int, Mapping[str, str], bytes]:
        async with self._session.request(
            method, url, headers=headers, data=body, allow_redirects=method == "GET"
        ) as response:
            self.date = response.headers.get("date", "")
            return response.status, response.headers, await response.read()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Kept(OrderedDict[str, tuple[str | None, str | None, Any, str | None]]):
    """The last answers with their ETags, a bounded number of them."""

    def __setitem__(self, key: str, value: tuple[str | None, str | None, Any, str | None]) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > MOST_KEPT:
            self.popitem(last=False)


@contextlib.contextmanager
def _understood(what: str, whose: str) -> Iterator[None]:
    """Every way in which a question fails, as one of our two kinds."""
    try:
        yield
    except gidgethub.HTTPException as error:
        raise _refusal(error, what, whose) from None
    except TimeoutError:
        raise TransientError(f"GitHub did not answer in time when asked to {what}.") from None
    except aiohttp.ClientError as error:
        raise TransientError(f"GitHub cannot be reached ({type(error).__name__}).") from None
    except (gidgethub.GitHubException, ValueError, KeyError) as error:
        # A proxy's page, half an answer, a status nobody knows.
        raise TransientError(f"GitHub's answer was not understood ({type(error).__name__}).") from None


def _refusal(error: gidgethub.HTTPException, what: str, whose: str) -> PortError:
    status, words = int(error.status_code), _words(error)
    said = f"GitHub would not {what} ({status}" + (f": {words})" if words else ")")
    pause = _pause(error, status, words)
    if pause is not None:
        return TransientError(f"GitHub asks for a pause; it gave {whose} enough for now ({status}).", retry_after=pause)
    match status:
        case 401:
            mend = f"it does not accept {whose}, which may have expired or been revoked: put a new one there"
        case 403:
            needs = line(error.headers.get("x-accepted-github-permissions", ""), 100).replace("=", ": ")
            mend = f"{whose} needs the permission {needs}" if needs else f"{whose} lacks a permission"
        case 404:
            mend = f"that is not there, or {whose} may not see it"
        case _ if status == 408 or status >= 500:
            return TransientError(f"GitHub has trouble of its own ({status}).")
        case _ if 300 <= status < 400:
            mend = "it has moved: write its new name"
        case _:
            mend = ""
    return Refused(f"{said}; {mend}." if mend else f"{said}.", status=status, words=words)


def _words(error: gidgethub.HTTPException) -> str:
    return line(error.args[0] if error.args else "", 200).rstrip(".")


def _pause(error: gidgethub.HTTPException, status: int, words: str) -> timedelta | None:
    """How long to leave GitHub alone, where this is about pace."""
    headers = error.headers
    asked = headers.get("retry-after", "")
    is_limit = isinstance(error, gidgethub.RateLimitExceeded) or "rate limit" in words.lower()
    if status not in (403, 429) or not (status == 429 or is_limit or asked):
        return None
    if asked.isdigit():
        return timedelta(seconds=min(int(asked), 3600))
    reset = headers.get("x-ratelimit-reset", "")
    if headers.get("x-ratelimit-remaining") == "0" and reset.isdigit():
        return timedelta(seconds=min(max(int(reset) - time.time(), 1.0), 3600.0))
    return LEAST_PAUSE
