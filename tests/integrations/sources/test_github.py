"""What GitHub sends: which builds become releases, and which never do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from core.errors import NotAuthentic, PermanentError
from core.ports import BuildEvent, Ignored, ReleaseReport
from integrations.sources.github import GitHub
from tests.integrations.sources.payloads import (
    ABSENT,
    DIGEST,
    SECRET,
    SHA,
    github_headers,
    package,
    push,
    raw,
    release,
    workflow_run,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def told(event: str, payload: object) -> ReleaseReport | Ignored:
    body = raw(payload)
    (one,) = GitHub(SECRET).parse(github_headers(event, body), body)
    return one


def report(event: str, payload: object) -> ReleaseReport:
    found = told(event, payload)
    assert isinstance(found, ReleaseReport), found
    return found


def reason(event: str, payload: object) -> str:
    found = told(event, payload)
    assert isinstance(found, Ignored), found
    return found.reason


def test_a_run_that_succeeded_is_a_build_with_its_commit_branch_and_number() -> None:
    found = report("workflow_run", workflow_run())
    assert (found.event, found.repository, found.branch, found.default_branch) == (
        BuildEvent.RUN, "acme/checkout", "main", "main",
    )  # fmt: skip
    assert (found.commit, found.number, found.attempt, found.run) == (SHA, "482", "1", "900482")
    assert found.workflow == (".github/workflows/build.yml", "Build")
    assert found.url.endswith("/runs/900482")


@pytest.mark.parametrize(
    ("run", "why"),
    [
        ({"conclusion": "failure"}, "ended with failure"),
        ({"conclusion": "cancelled"}, "ended with cancelled"),
        ({"conclusion": None}, "nothing said"),
        ({"conclusion": "stale"}, "stale"),
        ({"status": "in_progress", "conclusion": None}, "not told to be over"),
        ({"event": "pull_request"}, "pull request"),
        ({"event": "pull_request_target"}, "pull request"),
        ({"head_repository": {"full_name": "mallory/checkout"}}, "builds of forks"),
        ({"head_repository": {"id": 9}}, "builds of forks"),
    ],
)
def test_runs_that_are_no_release_say_why(run: dict[str, Any], why: str) -> None:
    assert why in reason("workflow_run", workflow_run(**run))


def test_a_run_that_was_only_asked_for_may_already_have_a_conclusion() -> None:
    assert "not told to be over" in reason("workflow_run", workflow_run() | {"action": "requested"})


def test_a_second_attempt_is_told_apart() -> None:
    assert report("workflow_run", workflow_run(run_attempt=2)).attempt == "2"


@pytest.mark.parametrize("action", ["published", "released"])
def test_a_published_release_has_its_tag_and_the_digests_of_its_files(action: str) -> None:
    found = report("release", release(action))
    assert (found.tag, found.commit, dict(found.assets)) == ("v1.4.2", "", {"checkout.tar.gz": DIGEST})
    assert not found.is_prerelease


def test_a_release_may_name_its_commit() -> None:
    assert report("release", release(target_commitish=SHA)).commit == SHA


def test_a_prerelease_says_so_and_drafts_and_deletions_are_none() -> None:
    assert report("release", release("prereleased", prerelease=True)).is_prerelease
    assert "only published" in reason("release", release(draft=True))
    assert "was deleted" in reason("release", release("deleted"))


def test_an_annotated_tag_leads_to_its_commit_and_a_deleted_one_to_nothing() -> None:
    found = report("push", push("refs/tags/v1.4.2", after="ffff" * 10))
    assert (found.event, found.tag, found.branch, found.commit) == (BuildEvent.TAG, "v1.4.2", "", SHA)
    gone = push("refs/tags/v1.4.2", after=ABSENT, deleted=True, head_commit=None)
    assert "v1.4.2 of acme/checkout was deleted" in reason("push", gone)
    assert "deleted" in reason("push", push(after=ABSENT, head_commit=None)), "also where nothing says so"


def test_a_branch_may_have_slashes() -> None:
    found = report("push", push("refs/heads/fix/prices"))
    assert (found.event, found.branch) == (BuildEvent.PUSH, "fix/prices")


@pytest.mark.parametrize("event", ["package", "registry_package"])
def test_a_container_package_has_its_digest_even_where_its_tag_is_empty(event: str) -> None:
    sent = package(tag="")
    if event == "package":
        sent["package"] = sent.pop("registry_package")
    found = report(event, sent)
    assert (found.digest, found.tag, found.commit) == (DIGEST, "", SHA)
    assert (found.repository, found.image) == ("acme/checkout", "ghcr.io/acme/checkout")


def test_other_packages_and_events_are_understood_as_none() -> None:
    assert "kind npm" in reason("package", package(kind="npm", version="1.4.2"))
    assert "it does" in reason("ping", {"zen": "…"})
    assert "`star` tells of no release" in reason("star", {})
    assert "`deployment_status`" in reason("deployment_status", {})


def test_what_tomorrow_brings_is_named() -> None:
    with pytest.raises(PermanentError, match="holds no run"):
        told("workflow_run", {"action": "completed", "run": {}})
    with pytest.raises(PermanentError, match="neither a branch nor a tag"):
        told("push", push("refs/notes/commits"))
    with pytest.raises(PermanentError, match="not JSON"):
        GitHub(SECRET).parse({"X-GitHub-Event": "push"}, b"{")
    with pytest.raises(PermanentError, match="no JSON object"):
        GitHub(SECRET).parse({"X-GitHub-Event": "push"}, b"[]")
    with pytest.raises(PermanentError, match="application/json"):
        GitHub(SECRET).parse(
            {"X-GitHub-Event": "push", "Content-Type": "application/x-www-form-urlencoded"}, b"payload={}"
        )


async def test_only_what_is_signed_with_the_secret_is_believed() -> None:
    body = raw(push())
    source = GitHub(SECRET)
    await source.verify(github_headers("push", body), body, "", NOW)
    await source.verify({k.lower(): v for k, v in github_headers("push", body).items()}, body, "", NOW)
    for headers in (
        {},
        github_headers("push", body, secret="another secret"),
        github_headers("push", body + b" "),
        github_headers("push", body) | {"X-Hub-Signature-256": "sha256="},
        github_headers("push", body) | {"X-Hub-Signature-256": "sha1=" + "0" * 40},
        github_headers("push", body) | {"X-Hub-Signature-256": "ümläut"},
    ):
        with pytest.raises(NotAuthentic, match="not signed"):
            await source.verify(headers, body, "", NOW)


def test_its_secret_comes_from_the_environment_and_shows_nowhere() -> None:
    source = GitHub.from_settings({"secret_env": "HOOK"}, {"HOOK": SECRET})
    assert SECRET not in repr(source)
    with pytest.raises(PermanentError, match="HOOK is not set"):
        GitHub.from_settings({"secret_env": "HOOK"}, {})
    with pytest.raises(PermanentError, match="too short") as error:
        GitHub.from_settings({"secret_env": "HOOK"}, {"HOOK": "sesame"})
    assert "sesame" not in error.value.message
