"""What GitLab's API knows of a project: which commits contain which, what changed, and who is behind it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
from yarl import URL

from core.errors import PermanentError, TransientError
from core.ports import Commit
from integrations.intake import clean, link
from integrations.sources.reading import commit as commit_id
from integrations.sources.reading import part, text
from integrations.sources.trailers import co_authors, names_of

PATIENCE = aiohttp.ClientTimeout(total=30)
LARGEST_ANSWER = 16 * 1024 * 1024
MOST_LOOKED_UP = 50
"""Commits whose merge requests are looked up: the newest."""
LONGEST_MESSAGE = 20_000


class GitLabHistory:
    """One project, asked with a token that may read its repository."""

    def __init__(self, api: str, token: str, project: str) -> None:
        self._api, self._token, self._project = api.rstrip("/"), token, project

    def __repr__(self) -> str:
        return f"GitLabHistory({self._project})"

    async def commit_of(self, tag: str) -> str:
        """The commit that a tag stands for; empty where there is no such tag."""
        if not tag:
            return ""
        async with self._session() as session:
            found = await self._ask(session, f"repository/tags/{quote(tag, safe='')}", may_lack=True)
        return commit_id(part(found, "commit").get("id")) if isinstance(found, dict) else ""

    async def contained(self, head: str, commits: Sequence[str]) -> Mapping[str, bool | None]:
        """For each of these commits whether `head` contains it; None where the project does not know it."""
        found: dict[str, bool | None] = dict.fromkeys(commits)
        async with self._session() as session:
            for one in commits:
                if commit_id(one):
                    base = await self._ask(
                        session, "repository/merge_base", [("refs[]", one), ("refs[]", head)], may_lack=True
                    )
                    found[one] = base.get("id") == one if isinstance(base, dict) else None
        return found

    async def between(self, base: str, head: str, most: int) -> Sequence[Commit]:
        """The commits that `head` has and `base` has not, newest first; with an empty `base` only `head`."""
        async with self._session() as session:
            if base:
                asked = [("from", base), ("to", head), ("straight", "false")]
                answer = await self._ask(session, "repository/compare", asked)
                listed = answer.get("commits") if isinstance(answer, dict) else None
                # GitLab tells them in the order in which they were made.
                commits = list(reversed(listed if isinstance(listed, list) else []))[:most]
            else:
                commits = [await self._ask(session, f"repository/commits/{quote(head, safe='')}")]
            whole = [one for one in commits if isinstance(one, dict)]
            merged = [await self._merge_request(session, text(one, "id")) for one in whole[:MOST_LOOKED_UP]]
        merged += [{}] * (len(whole) - len(merged))
        return tuple(_commit(one, request) for one, request in zip(whole, merged, strict=True))

    def compare_link(self, base: str, head: str) -> str:
        """Where people see what changed."""
        parts = urlsplit(self._api)
        below = re.sub(r"/api/v\d+$", "", parts.path)
        return link(f"{parts.scheme}://{parts.netloc}{below}/{quote(self._project)}/-/compare/{base}...{head}")

    # ---- asking -----------------------------------------------------------------------------------------------------

    async def _merge_request(self, session: aiohttp.ClientSession, commit: str) -> Mapping[str, Any]:
        """The merge request that brought a commit; empty where none did."""
        found = await self._ask(session, f"repository/commits/{quote(commit, safe='')}/merge_requests", may_lack=True)
        requests = found if isinstance(found, list) else []
        return next((r for r in requests if isinstance(r, dict) and text(r, "state") == "merged"), {})

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(timeout=PATIENCE, headers={"PRIVATE-TOKEN": self._token}, trust_env=True)

    async def _ask(
        self,
        session: aiohttp.ClientSession,
        path: str,
        asked: Sequence[tuple[str, str]] = (),
        *,
        may_lack: bool = False,
    ) -> Any:
        """One answer; None where it is not there and may lack."""
        # Encoded here: the `/` in the name of a project must stay `%2F`.
        words = f"?{urlencode(list(asked))}" if asked else ""
        address = URL(f"{self._api}/projects/{quote(self._project, safe='')}/{path}{words}", encoded=True)
        try:
            async with session.get(address, allow_redirects=False) as answer:
                if answer.status in (400, 404) and may_lack:
                    return None
                if answer.status in (401, 403, 404):
                    raise PermanentError(
                        f"GitLab does not show {self._project} to Andon ({answer.status})."
                        " Its token needs the scope `read_api` and at least the role Reporter there."
                    )
                if answer.status != 200:
                    raise TransientError(f"GitLab answered {answer.status} when asked about {self._project}.")
                raw = await answer.content.read(LARGEST_ANSWER + 1)
                while len(raw) <= LARGEST_ANSWER and (more := await answer.content.read(LARGEST_ANSWER)):
                    raw += more
        except (aiohttp.ClientError, TimeoutError) as error:
            raise TransientError(f"GitLab cannot be reached ({type(error).__name__}).") from None
        return _json(raw)


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise TransientError("GitLab's answer was not understood.") from None


def _commit(one: Mapping[str, Any], request: Mapping[str, Any]) -> Commit:
    message = clean(one.get("message"), LONGEST_MESSAGE)
    merger = text(part(request, "merge_user"), "username") or text(part(request, "merged_by"), "username")
    author, committer = text(one, "author_email"), text(one, "committer_email")
    is_by_another = bool(committer) and committer.casefold() != author.casefold() and not request
    return Commit(
        id=text(one, "id"),
        message=message,
        authors=tuple(filter(None, (names_of(author), *co_authors(message)))),
        merger=(merger,) if merger else names_of(committer) if is_by_another else (),
        url=link(request.get("web_url")) or link(one.get("web_url")),
    )
