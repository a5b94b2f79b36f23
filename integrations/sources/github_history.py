"""What GitHub's API knows of a repository: which commits contain which, who is behind them, files of its runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from core.errors import PermanentError
from core.ports import Commit
from integrations.github.access import Access
from integrations.github.client import Api, GitHub, Refused
from integrations.intake import clean, link
from integrations.sources.reading import commit as commit_id
from integrations.sources.reading import digest, part, several, text
from integrations.sources.trailers import co_authors, names_of

PAGE = 100
MOST_LOOKED_UP = 50
"""Commits whose pull requests are looked up: the newest."""
MOST_ARTIFACTS = 500
LONGEST_MESSAGE = 20_000
BUTTON = "noreply@github.com"
"""The committer of what was merged by a press of a button."""
CONTAINED = {"ahead": True, "identical": True, "behind": False, "diverged": False}
"""What comparing a commit with a later one says of whether the later one contains it."""


class GitHubHistory:
    """One repository, asked under one identity."""

    def __init__(self, access: Mapping[str, Any], environment: Mapping[str, str], repository: str) -> None:
        """`access` is what names the API and the identity in the source's `with:`."""
        self._access = Access.model_validate(dict(access))
        self._github = GitHub(self._access, environment=environment)
        self._repository = repository
        owner, _, name = repository.partition("/")
        if not owner or not name or "/" in name:
            raise PermanentError(f"`{repository}` is no repository of GitHub; it must look like `acme/checkout`.")
        self._values = {"owner": owner, "repo": name}

    def __repr__(self) -> str:
        return f"GitHubHistory({self._repository})"

    async def commit_of(self, tag: str) -> str:
        """The commit that a tag stands for; empty where there is no such tag."""
        async with self._github.open() as api:
            try:
                found = await api.get(
                    f"show the tag {tag}", "/repos/{owner}/{repo}/commits/{ref}", ref=f"tags/{tag}", **self._values
                )
            except Refused as refused:
                if refused.status in (404, 422):
                    return ""
                raise
        return commit_id(found.get("sha")) if isinstance(found, dict) else ""

    async def contained(self, head: str, commits: Sequence[str]) -> Mapping[str, bool | None]:
        """For each of these commits whether `head` contains it; None where the repository does not know it."""
        found: dict[str, bool | None] = dict.fromkeys(commits)
        async with self._github.open() as api:
            for one in commits:
                # The second page holds the verdict, and none of the files that the first one would list.
                answer = await self._compared(api, one, head, 2, 1) if commit_id(one) else None
                found[one] = CONTAINED.get(text(answer, "status")) if answer is not None else None
        return found

    async def between(self, base: str, head: str, most: int) -> Sequence[Commit]:
        """The commits that `head` has and `base` has not, newest first; with an empty `base` only `head`."""
        async with self._github.open() as api:
            listed = await self._since(api, base, head) if base else []
            if not listed and base != head:
                listed = [
                    await api.get(
                        f"show the commit {head[:12]}", "/repos/{owner}/{repo}/commits/{ref}", ref=head, **self._values
                    )
                ]
            commits = [one for one in reversed(listed) if isinstance(one, dict)][:most]
            merged: dict[str, Mapping[str, Any]] = {}
            pulls: dict[str, Mapping[str, Any]] = {}
            for one in commits[:MOST_LOOKED_UP]:
                number = await self._pull_of(api, text(one, "sha"))
                if number and number not in pulls:
                    pulls[number] = await self._pull(api, number)
                merged[text(one, "sha")] = pulls.get(number, {})
        return tuple(_commit(one, merged.get(text(one, "sha"), {})) for one in commits)

    def compare_link(self, base: str, head: str) -> str:
        """Where people see what changed."""
        # GitHub's own API has an address of its own; that of an enterprise lies below its pages.
        pages = re.sub(r"^(https?://)api\.|/api/v3/?$", r"\1", self._access.api.rstrip("/")).rstrip("/")
        return link(f"{pages}/{self._repository}/compare/{base}...{head}")

    async def assets(self, run: str) -> Mapping[str, str]:
        """The digests of a run's artifacts, by name."""
        async with self._github.open() as api:
            found = await api.items(
                f"list the artifacts of run {run}",
                "/repos/{owner}/{repo}/actions/runs/{run}/artifacts?per_page=100",
                key="artifacts",
                most=MOST_ARTIFACTS,
                run=run,
                **self._values,
            )
        named = {text(one, "name"): digest(one.get("digest")) for one in found if isinstance(one, dict)}
        return {name: held for name, held in named.items() if name and held}

    # ---- asking -----------------------------------------------------------------------------------------------------

    async def _compared(self, api: Api, base: str, head: str, page: int, size: int) -> Mapping[str, Any] | None:
        """One page of a comparison; None where one of the commits is not there."""
        path = f"/repos/{{owner}}/{{repo}}/compare/{{base}}...{{head}}?per_page={size}&page={page}"
        try:
            found = await api.get(f"compare {base[:12]} with {head[:12]}", path, base=base, head=head, **self._values)
        except Refused as refused:
            if refused.status in (404, 422):
                return None
            raise
        return found if isinstance(found, dict) else {}

    async def _since(self, api: Api, base: str, head: str) -> list[Mapping[str, Any]]:
        """What `head` has and `base` has not, oldest first, as GitHub tells it."""
        listed: list[Mapping[str, Any]] = []
        page = 1
        while True:
            found = await self._compared(api, base, head, page, PAGE)
            more = several(found or {}, "commits", PAGE)
            listed += more
            if len(more) < PAGE:
                return listed
            page += 1

    async def _pull_of(self, api: Api, sha: str) -> str:
        path = "/repos/{owner}/{repo}/commits/{sha}/pulls"
        found = await api.items(f"list the pull requests of {sha[:12]}", path, most=10, sha=sha, **self._values)
        merged = (one for one in found if isinstance(one, dict) and one.get("merged_at"))
        return next((text(one, "number") for one in merged), "")

    async def _pull(self, api: Api, number: str) -> Mapping[str, Any]:
        path = "/repos/{owner}/{repo}/pulls/{number}"
        found = await api.get(f"show pull request {number}", path, number=number, **self._values)
        return found if isinstance(found, dict) else {}


def _commit(one: Mapping[str, Any], pull: Mapping[str, Any]) -> Commit:
    """A commit of GitHub's. Its author is known by login and address; whoever pressed the button is the merger."""
    written = part(one, "commit")
    message = clean(written.get("message"), LONGEST_MESSAGE)
    author, committer = part(written, "author"), part(written, "committer")
    address, other = text(author, "email"), text(committer, "email")
    merger = names_of("", text(part(pull, "merged_by"), "login"))
    if not merger and other and other.casefold() not in (address.casefold(), BUTTON):
        merger = names_of(other, text(part(one, "committer"), "login"))
    return Commit(
        id=text(one, "sha"),
        message=message,
        authors=tuple(filter(None, (names_of(address, text(part(one, "author"), "login")), *co_authors(message)))),
        merger=merger,
        url=link(pull.get("html_url")) or link(one.get("html_url")),
    )
