"""What GitLab's API tells of commits, asked of a strict stand-in."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from core.errors import PermanentError, TransientError
from integrations.sources.gitlab_history import GitLabHistory

TOKEN = "read-api-token"
A, B, C = "a" * 40, "b" * 40, "c" * 40
PROJECT = "/api/v4/projects/acme%2Fshop%2Fcheckout/repository/"


@dataclass
class GitLabStandIn:
    """A project with the commits a ← b ← c; `status` is answered in place of anything else."""

    status: int = 0
    mistakes: list[str] = field(default_factory=list)
    url: str = ""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[GitLabStandIn]:
        application = web.Application()
        application.router.add_route("*", "/{tail:.*}", self._answer)
        runner = web.AppRunner(application, access_log=None, handle_signals=False)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        if self.status:
            return web.Response(status=self.status)
        if request.headers.get("PRIVATE-TOKEN") != TOKEN:
            return web.json_response({"message": "401 Unauthorized"}, status=401)
        path = request.raw_path.partition("?")[0]
        if request.method != "GET" or not path.startswith(PROJECT):
            self.mistakes.append(f"{request.method} {path}")
            return web.Response(status=404)
        found = self._found(path.removeprefix(PROJECT), request)
        return web.Response(status=404) if found is None else web.json_response(found)

    def _found(self, path: str, request: web.Request) -> Any:
        match path.split("/"):
            case ["merge_base"]:
                refs = request.query.getall("refs[]")
                order = [A, B, C]
                return {"id": order[min(map(order.index, refs))]} if set(refs) <= set(order) else None
            case ["compare"]:
                assert dict(request.query) == {"from": A, "to": C, "straight": "false"}
                return {"commits": [commit(B), commit(C)]}
            case ["commits", sha]:
                return commit(sha)
            case ["commits", sha, "merge_requests"]:
                if sha != C:
                    return [{"iid": 3, "state": "opened"}]
                web_url = "https://code.example.com/acme/shop/checkout/-/merge_requests/4"
                return [{"iid": 4, "state": "merged", "merge_user": {"username": "carol-codes"}, "web_url": web_url}]
            case ["tags", "v1%2F2"]:
                return {"name": "v1/2", "commit": {"id": B}}
        return None


def commit(sha: str) -> dict[str, Any]:
    return {
        "id": sha, "message": f"Change {sha[0]}\n\nCo-authored-by: Eve <eve@example.com>", "title": "Change",
        "author_email": "ann@example.com", "committer_email": "bob@example.com",
        "web_url": f"https://code.example.com/acme/shop/checkout/-/commit/{sha}",
    }  # fmt: skip


@pytest.fixture
async def gitlab() -> AsyncIterator[GitLabStandIn]:
    async with GitLabStandIn().running() as running:
        yield running
        assert running.mistakes == []


def asked(place: GitLabStandIn, token: str = TOKEN) -> GitLabHistory:
    return GitLabHistory(f"{place.url}/api/v4", token, "acme/shop/checkout")


async def test_a_commit_contains_what_is_its_own_merge_base(gitlab: GitLabStandIn) -> None:
    assert await asked(gitlab).contained(B, [A, B, C, "d" * 40, "x"]) == {
        A: True, B: True, C: False, "d" * 40: None, "x": None,
    }  # fmt: skip


async def test_authors_and_mergers(gitlab: GitLabStandIn) -> None:
    newest, older = await asked(gitlab).between(A, C, 100)
    assert (newest.id, newest.merger) == (C, ("carol-codes",))
    assert newest.url.endswith("/merge_requests/4")
    assert newest.authors == (("ann@example.com",), ("eve@example.com",))
    assert (older.id, older.merger) == (B, ("bob@example.com",)), "whoever committed it, where nobody merged it"
    (alone,) = await asked(gitlab).between("", B, 100)
    assert alone.id == B


async def test_tags_and_links(gitlab: GitLabStandIn) -> None:
    assert await asked(gitlab).commit_of("v1/2") == B
    assert await asked(gitlab).commit_of("v2") == ""
    assert await asked(gitlab).commit_of("") == ""
    assert asked(gitlab).compare_link(A, B) == f"{gitlab.url}/acme/shop/checkout/-/compare/{A}...{B}"


async def test_who_is_not_let_in_hears_what_is_missing_and_trouble_is_unknown(gitlab: GitLabStandIn) -> None:
    with pytest.raises(PermanentError, match="needs the scope `read_api`") as refused:
        await asked(gitlab, "wrong-token").between("", B, 100)
    assert "wrong-token" not in refused.value.message
    assert "wrong-token" not in repr(asked(gitlab, "wrong-token"))
    gitlab.status = 502
    with pytest.raises(TransientError, match="answered 502"):
        await asked(gitlab).contained(B, [A])
    gitlab.status = 302
    with pytest.raises(TransientError, match="answered 302"):
        await asked(gitlab).contained(B, [A])


async def test_gitlab_is_away() -> None:
    async with GitLabStandIn().running() as gone:
        pass
    with pytest.raises(TransientError, match="cannot be reached"):
        await asked(gone).commit_of("v1")
