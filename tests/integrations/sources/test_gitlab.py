"""What GitLab sends: which builds become releases, how it proves whom it comes from, and what its API tells."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.errors import NotAuthentic, PermanentError
from core.ports import BuildEvent, Ignored, ReleaseReport
from core.releases.problems import validated
from integrations.sources.gitlab import GitLab, GitLabSettings
from tests.integrations.sources.payloads import (
    ABSENT,
    SECRET,
    SHA,
    gitlab_pipeline,
    gitlab_project,
    gitlab_release,
    gitlab_tag,
    raw,
)

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)


def told(payload: object) -> ReleaseReport | Ignored:
    (one,) = GitLab(SECRET).parse({}, raw(payload))
    return one


def report(payload: object) -> ReleaseReport:
    found = told(payload)
    assert isinstance(found, ReleaseReport), found
    return found


def reason(payload: object) -> str:
    found = told(payload)
    assert isinstance(found, Ignored), found
    return found.reason


def test_a_pipeline_that_succeeded_is_a_build_whatever_a_manual_job_in_it_does() -> None:
    found = report(gitlab_pipeline())
    assert (found.event, found.repository, found.branch, found.default_branch, found.commit) == (
        BuildEvent.RUN, "acme/checkout", "main", "main", SHA,
    )  # fmt: skip
    assert (found.number, found.run, found.workflow) == ("482", "90482", ("Build",))
    assert found.url == "https://code.example.com/acme/checkout/-/pipelines/90482"


def test_a_pipeline_of_a_tag_has_the_tag_and_no_branch() -> None:
    found = report(gitlab_pipeline(tag=True, ref="v1.4.2"))
    assert (found.tag, found.branch) == ("v1.4.2", "")


@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        ({"status": "running"}, "is running"),
        ({"status": "failed"}, "is failed"),
        ({"status": None}, "in no state"),
        ({"source": "merge_request_event"}, "of a merge request"),
        ({"source": "parent_pipeline"}, "of another pipeline"),
    ],
)
def test_pipelines_that_are_no_release_say_why(attributes: dict[str, Any], why: str) -> None:
    assert why in reason(gitlab_pipeline(**attributes))


def test_a_pipeline_that_belongs_to_a_merge_request_is_none_whatever_its_source_says() -> None:
    assert "merge request" in reason(gitlab_pipeline() | {"merge_request": {"iid": 4}})


def test_tags_and_pushes_lead_to_commits_and_deletions_to_nothing() -> None:
    found = report(gitlab_tag())
    assert (found.event, found.tag, found.commit) == (BuildEvent.TAG, "v1.4.2", SHA)
    assert "v1.4.2 of acme/checkout was deleted" in reason(gitlab_tag(after=ABSENT, checkout_sha=None))
    pushed = report(gitlab_tag(object_kind="push", ref="refs/heads/main", after=SHA))
    assert (pushed.event, pushed.branch, pushed.tag) == (BuildEvent.PUSH, "main", "")


def test_a_release_counts_when_it_is_new() -> None:
    found = report(gitlab_release())
    assert (found.event, found.tag, found.commit) == (BuildEvent.RELEASE, "v1.4.2", SHA)
    assert "was update" in reason(gitlab_release("update"))


def test_what_is_not_known_is_told_apart_from_what_is_no_release() -> None:
    assert "`note` tells of no release" in reason({"object_kind": "note", "project": gitlab_project()})
    for odd in ({}, {"object_kind": "pipeline"}, gitlab_tag(ref="refs/notes/x")):
        with pytest.raises(PermanentError):
            told(odd)


# ---- whom it comes from ---------------------------------------------------------------------------------------------


def signed(body: bytes, at: datetime = NOW, secret: bytes = SECRET.encode(), number: str = "m-1") -> dict[str, str]:
    stamp = str(int(at.timestamp()))
    made = hmac.new(secret, b".".join((number.encode(), stamp.encode(), body)), hashlib.sha256).digest()
    return {
        "webhook-id": number,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v0,nonsense v1,{base64.b64encode(made).decode()}",
        "Idempotency-Key": number,
    }


async def test_a_signature_or_the_secret_token_lets_in() -> None:
    body = raw(gitlab_pipeline())
    source = GitLab(SECRET)
    await source.verify({"X-Gitlab-Token": SECRET}, body, "", NOW)
    await source.verify(signed(body), body, "", NOW)
    assert source.delivery(signed(body), body) == "m-1"
    plain = base64.b64encode(b"bytes of a secret").decode()
    await GitLab(f"whsec_{plain}").verify(signed(body, secret=b"bytes of a secret"), body, "", NOW)


async def test_anything_else_does_not() -> None:
    body = raw(gitlab_pipeline())
    source = GitLab(SECRET)
    for headers in (
        {},
        {"X-Gitlab-Token": "another"},
        signed(body + b" "),
        signed(body, NOW - timedelta(minutes=6)),
        signed(body, NOW + timedelta(minutes=6)),
        signed(body, secret=b"another"),
        signed(body) | {"webhook-timestamp": "soon"},
        signed(body) | {"webhook-id": "m-2"},
        # A wrong signature is not made good by a token.
        signed(body, secret=b"another") | {"X-Gitlab-Token": SECRET},
    ):
        with pytest.raises(NotAuthentic):
            await source.verify(headers, body, "", NOW)
    with pytest.raises(NotAuthentic):
        await GitLab(SECRET, is_signed=True).verify({"X-Gitlab-Token": SECRET}, body, "", NOW)


def test_settings_that_say_half_are_refused() -> None:
    _, problems = validated(GitLabSettings, {"secret_env": "HOOK", "api": "https://code.example.com/api/v4"})
    assert [p.sentence for p in problems] == ["`api` and `token_env` go together"]
    source = GitLab.from_settings({"secret_env": "HOOK"}, {"HOOK": SECRET})
    assert source.history("acme/checkout") is None
    assert SECRET not in repr(source)
