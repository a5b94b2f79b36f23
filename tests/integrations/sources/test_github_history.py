"""What GitHub's API tells of commits: what contains what, who wrote, who merged, and files of runs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from core.errors import PermanentError, TransientError
from core.ports import ReleaseReport
from core.releases.problems import validated
from integrations.sources.github import GitHub, GitHubSettings
from integrations.sources.github_history import GitHubHistory
from tests.integrations.sources.payloads import DIGEST, SECRET, raw, workflow_run
from tests.standins.github import Fault, StandIn

A, B, C, D = ("a" * 40, "b" * 40, "c" * 40, "d" * 40)


@pytest.fixture
async def github() -> AsyncIterator[StandIn]:
    place = StandIn()
    place.permissions = {"contents": "read", "pull_requests": "read", "actions": "read"}
    place.code.add("a")
    place.code.add("b", "a", email="bob@example.com", login=None)
    place.code.add("c", "a", message="Mend\n\nCo-authored-by: Eve <eve@example.com>", pull=7)
    place.code.add("d", "b", "c", committer="noreply@github.com", pull=7)
    place.code.tags["v1.4.2"] = D
    place.code.merged_by[7] = "carol-codes"
    await place.begin()
    yield place
    await place.end()
    assert place.mistakes == []


def asked(place: StandIn, repository: str = "octo/shop") -> GitHubHistory:
    return GitHubHistory({"api": place.url, "token_env": "TOKEN"}, {"TOKEN": place.token}, repository)


async def test_a_commit_contains_what_is_behind_it(github: StandIn) -> None:
    found = await asked(github).contained(D, [A, C, D, "e" * 40, "no commit"])
    assert found == {A: True, C: True, D: True, "e" * 40: None, "no commit": None}
    assert await asked(github).contained(B, [C, D]) == {C: False, D: False}


async def test_authors_co_authors_and_whoever_pressed_the_button(github: StandIn) -> None:
    newest, mend = await asked(github).between(B, D, 100)
    assert (newest.id, newest.merger) == (D, ("carol-codes",))
    assert mend.authors == (("ann-codes", "ann@example.com"), ("eve@example.com",))
    assert mend.url == "https://code.example.com/octo/shop/pull/7"
    (other,) = await asked(github).between(A, B, 100)
    assert (other.authors, other.merger) == ((("bob@example.com",),), ())
    assert github.said(r"GET /repos/octo/shop/pulls/7") == 1, "a request is looked up once"
    assert len(await asked(github).between("", D, 100)) == 1
    assert len(await asked(github).between(A, D, 2)) == 2, "no more than wanted"


async def test_more_than_one_page_of_commits(github: StandIn) -> None:
    last = D
    for number in range(130):
        sha = f"{number:040x}"
        github.code.commits[sha] = type(github.code.commits[A])(sha, (last,))
        last = sha
    found = await asked(github).between(D, last, 300)
    assert len(found) == 130
    assert found[0].id == last


async def test_tags_and_links(github: StandIn) -> None:
    assert await asked(github).commit_of("v1.4.2") == D
    assert await asked(github).commit_of("v9") == ""
    assert asked(github).compare_link(A, D) == f"{github.url}/octo/shop/compare/{A}...{D}"
    for api, pages in (
        ("https://api.code.example.com", "https://code.example.com"),
        ("https://code.example.com/api/v3", "https://code.example.com"),
    ):
        link = GitHubHistory({"api": api, "token_env": "TOKEN"}, {}, "acme/checkout").compare_link(A, D)
        assert link == f"{pages}/acme/checkout/compare/{A}...{D}"
    with pytest.raises(PermanentError, match="no repository of GitHub"):
        asked(github, "acme/checkout/../search")


async def test_trouble_is_unknown_and_missing_rights_are_named(github: StandIn) -> None:
    github.fails("GET .*", Fault(503))
    with pytest.raises(TransientError):
        await asked(github).contained(D, [A])
    github.permissions.clear()
    with pytest.raises(PermanentError, match="contents"):
        await asked(github).contained(D, [A])
    github.mistakes.clear()


async def test_the_digest_of_a_file_of_a_run(github: StandIn) -> None:
    github.code.artifacts[900_482] = {"checkout.tar.gz": DIGEST, "old": None}
    body = raw(workflow_run("octo/shop"))
    source = GitHub(SECRET, {"api": github.url, "token_env": "TOKEN"}, {"TOKEN": github.token})
    (run,) = source.parse({"X-GitHub-Event": "workflow_run"}, body)
    assert isinstance(run, ReleaseReport)
    assert await source.assets(run) == {"checkout.tar.gz": DIGEST}
    with pytest.raises(PermanentError, match="give the source `token_env`"):
        await GitHub(SECRET).assets(run)
    assert GitHub(SECRET).history("octo/shop") is None


def test_one_identity_and_a_whole_app() -> None:
    def problems(**given: object) -> list[str]:
        return [p.sentence for p in validated(GitHubSettings, {"secret_env": "HOOK", **given})[1]]

    app = {"id": 1, "installation": 2, "key_env": "KEY"}
    assert problems(app=app) == []
    assert problems(app=app, token_env="TOKEN") == ["`token_env` and `app` are two identities"]
    assert "`app` cannot be used" in problems(app={"id": 1})[0]
