"""The code that GitHub keeps: commits, what they contain, the pull requests that brought them, files of runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

PER_PAGE_MOST = 100
NOT_THERE = (404, {"message": "Not Found"})
WEB = "https://code.example.com/octo/shop"


@dataclass(slots=True)
class CodeCommit:
    """A commit; `login` is None where GitHub knows nobody by that address. `pull` is the request that brought it."""

    sha: str
    parents: tuple[str, ...] = ()
    message: str = "A change"
    email: str = "ann@example.com"
    login: str | None = "ann-codes"
    committer: str = ""
    pull: int = 0


@dataclass(slots=True)
class Code:
    """`octo/shop`'s commits, tags, pull requests (who merged each) and artifacts of runs (digests by name)."""

    commits: dict[str, CodeCommit] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    merged_by: dict[int, str] = field(default_factory=dict)
    artifacts: dict[int, dict[str, str | None]] = field(default_factory=dict)

    def add(self, sha: str, *parents: str, **more: Any) -> str:
        """Make a commit; `sha` is a short text that is filled up."""
        whole = (sha * 40)[:40]
        self.commits[whole] = CodeCommit(whole, tuple((one * 40)[:40] for one in parents), **more)
        return whole

    def contained(self, sha: str) -> list[str]:
        """A commit and all that it contains, itself first."""
        found: dict[str, None] = {}
        rest = [sha]
        while rest:
            here = rest.pop(0)
            if here not in found:
                found[here] = None
                rest += self.commits[here].parents
        return list(found)

    def shown(self, commit: CodeCommit) -> dict[str, Any]:
        """As GitHub shows it."""
        committer = commit.committer or commit.email
        return {
            "sha": commit.sha,
            "commit": {
                "message": commit.message,
                "author": {"name": "n", "email": commit.email, "date": "2026-03-02T12:00:00Z"},
                "committer": {"name": "n", "email": committer, "date": "2026-03-02T12:00:00Z"},
            },
            "html_url": f"{WEB}/commit/{commit.sha}",
            "author": {"login": commit.login} if commit.login else None,
            "committer": {"login": "web-flow"} if committer == "noreply@github.com" else None,
            "parents": [{"sha": parent} for parent in commit.parents],
        }


Act = Callable[[Any, web.Request, Mapping[str, Any]], Awaitable[tuple[int, Any]]]


async def _show_commit(place: Any, request: web.Request, values: Mapping[str, Any]) -> tuple[int, Any]:
    code: Code = place.code
    ref = values["ref"]
    sha = code.tags.get(ref.removeprefix("tags/"), "") if ref.startswith("tags/") else ref
    if sha not in code.commits:
        return 422, {"message": f"No commit found for SHA: {ref}"}
    return 200, code.shown(code.commits[sha])


async def _compare(place: Any, request: web.Request, values: Mapping[str, Any]) -> tuple[int, Any]:
    code: Code = place.code
    base, head = values["base"], values["head"]
    if base not in code.commits or head not in code.commits:
        return NOT_THERE
    behind = [sha for sha in code.contained(base) if sha not in code.contained(head)]
    ahead = [sha for sha in code.contained(head) if sha not in code.contained(base)]
    match (bool(ahead), bool(behind)):
        case (False, False):
            status = "identical"
        case (True, False):
            status = "ahead"
        case (False, True):
            status = "behind"
        case _:
            status = "diverged"
    size, page = int(request.query.get("per_page", "30")), int(request.query.get("page", "1"))
    assert 1 <= size <= PER_PAGE_MOST
    # Oldest first, as GitHub tells them.
    shown = [code.shown(code.commits[sha]) for sha in reversed(ahead)]
    return 200, {
        "status": status, "ahead_by": len(ahead), "behind_by": len(behind), "total_commits": len(ahead),
        "commits": shown[(page - 1) * size : page * size], "html_url": f"{WEB}/compare/{base}...{head}",
    }  # fmt: skip


async def _pulls_of(place: Any, request: web.Request, values: Mapping[str, Any]) -> tuple[int, Any]:
    code: Code = place.code
    if values["sha"] not in code.commits:
        return NOT_THERE
    number = code.commits[values["sha"]].pull
    # Who merged it stands in the request itself only.
    return 200, [{"number": number, "merged_at": "2026-03-02T12:00:00Z", "state": "closed"}] if number else []


async def _show_pull(place: Any, request: web.Request, values: Mapping[str, Any]) -> tuple[int, Any]:
    code: Code = place.code
    number = int(values["number"])
    if number not in code.merged_by:
        return NOT_THERE
    return 200, {
        "number": number, "html_url": f"{WEB}/pull/{number}", "user": {"login": "ann-codes"}, "merged": True,
        "merged_by": {"login": code.merged_by[number]},
    }  # fmt: skip


async def _list_artifacts(place: Any, request: web.Request, values: Mapping[str, Any]) -> tuple[int, Any]:
    code: Code = place.code
    held = code.artifacts.get(int(values["id"]))
    if held is None:
        return NOT_THERE
    shown = [
        {"id": n, "name": name, "digest": digest, "expired": False} for n, (name, digest) in enumerate(held.items())
    ]
    return 200, {"total_count": len(shown), "artifacts": shown}


_REPOSITORY = "/repos/octo/shop"
CODE_ROUTES: tuple[tuple[str, str, set[str], Act], ...] = (
    (
        rf"GET {_REPOSITORY}/compare/(?P<base>[^/]+?)\.\.\.(?P<head>[^/]+)",
        "contents=read",
        {"per_page", "page"},
        _compare,
    ),
    (rf"GET {_REPOSITORY}/commits/(?P<sha>[0-9a-f]+)/pulls", "pull_requests=read", {"per_page", "page"}, _pulls_of),
    (rf"GET {_REPOSITORY}/commits/(?P<ref>.+)", "contents=read", set(), _show_commit),
    (rf"GET {_REPOSITORY}/pulls/(?P<number>\d+)", "pull_requests=read", set(), _show_pull),
    (rf"GET {_REPOSITORY}/actions/runs/(?P<id>\d+)/artifacts", "actions=read", {"per_page", "page"}, _list_artifacts),
)
