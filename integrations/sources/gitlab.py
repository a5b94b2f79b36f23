"""GitLab: pipelines, tags, releases and pushes; signed (Standard Webhooks), or with the webhook's secret token.

Pipelines of merge requests never become releases, and child pipelines are told of by their parent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from core.errors import NotAuthentic, PermanentError
from core.ports import BuildEvent, CodeHistory, Ignored, ReleaseReport
from core.releases.fields import Url, Variable
from core.releases.problems import Strict, refusal
from integrations.intake import link
from integrations.sources.authentic import found, require_standard_webhook, same, secret_from
from integrations.sources.gitlab_history import GitLabHistory
from integrations.sources.reading import commit, is_true, mapping, part, text

NO_RELEASES = ("merge_request_event", "external_pull_request_event", "parent_pipeline", "ondemand_dast_scan")


class GitLabSettings(Strict):
    """`with:` of the source `gitlab`."""

    secret_env: Variable = Field(
        description="Name of the variable with the webhook's signing secret or secret token.",
        examples=["GITLAB_WEBHOOK_SECRET"],
    )
    signed: bool = Field(default=False, description="Refuse what is not signed [false].")
    api: Url | None = Field(default=None, description="The API: `https://gitlab.example.com/api/v4`.")
    token_env: Variable | None = Field(default=None, description="Name of the variable with a token that may read it.")

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.api is None) != (self.token_env is None):
            raise refusal("`api` and `token_env` go together", "give both, or neither")
        return self


class GitLab:
    """The release source `gitlab`."""

    name = "gitlab"
    settings: ClassVar[type[Strict]] = GitLabSettings
    kept_headers = ("X-Gitlab-Event", "X-Gitlab-Instance", "Idempotency-Key", "webhook-id", "Content-Type")

    def __init__(self, secret: str, *, is_signed: bool = False, api: str = "", token: str = "") -> None:
        self._secret, self._is_signed = secret, is_signed
        self._api, self._token = api, token

    def __repr__(self) -> str:
        return "GitLab(…)"

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], environment: Mapping[str, str]) -> Self:
        """A source as the organisation file says; raises PermanentError where a secret is missing."""
        given = GitLabSettings.model_validate(settings)
        token = secret_from(environment, given.token_env) if given.token_env else ""
        secret = secret_from(environment, given.secret_env)
        return cls(secret, is_signed=given.signed, api=given.api or "", token=token)

    async def verify(self, headers: Mapping[str, str], body: bytes, key: str, now: datetime) -> None:  # noqa: ARG002
        """The signature where there is one; else the secret token, unless signatures are asked for."""
        if found(headers, "webhook-signature") or self._is_signed:
            require_standard_webhook(headers, self._secret, body, now)
        elif not same(found(headers, "X-Gitlab-Token"), self._secret):
            raise NotAuthentic("This request does not carry the secret token of this source. Set the same in GitLab.")

    def delivery(self, headers: Mapping[str, str], body: bytes) -> str:  # noqa: ARG002
        """GitLab's own number, the same when it tries again."""
        return (found(headers, "Idempotency-Key") or found(headers, "webhook-id"))[:100]

    def parse(self, headers: Mapping[str, str], body: bytes) -> Sequence[ReleaseReport | Ignored]:  # noqa: ARG002
        """The one build or release that an event speaks of."""
        sent = mapping(body, "GitLab")
        kind = text(sent, "object_kind") or text(sent, "event_name")
        if not kind:
            raise PermanentError("This request of GitLab does not say what it is about (`object_kind`).")
        reader = _READERS.get(kind)
        if reader is None:
            return (Ignored(f"GitLab's event `{kind[:40]}` tells of no release."),)
        return (reader(sent),)

    def history(self, repository: str) -> CodeHistory | None:
        """A project's commits by the API, if a token is there to ask with."""
        return GitLabHistory(self._api, self._token, repository) if self._api else None


def _pipeline(sent: Mapping[str, Any]) -> ReleaseReport | Ignored:
    run = part(sent, "object_attributes")
    if not run:
        raise PermanentError("This `pipeline` of GitLab holds no `object_attributes`.")
    number = text(run, "iid") or text(run, "id")
    title = f"pipeline {number} of {_name(sent)}"
    status = text(run, "status")
    if status != "success":
        return Ignored(f"The {title} is {status or 'in no state'}; only those that succeeded count.")
    if text(run, "source") in NO_RELEASES or part(sent, "merge_request"):
        return Ignored(f"The {title} is of a merge request or of another pipeline; those are no releases.")
    is_tag, ref = is_true(run.get("tag")), text(run, "ref")
    return ReleaseReport(
        event=BuildEvent.RUN,
        repository=_name(sent),
        tag=ref if is_tag else "",
        branch="" if is_tag else ref,
        default_branch=_default_branch(sent),
        workflow=tuple(filter(None, (text(run, "name"),))),
        commit=commit(run.get("sha")),
        number=number,
        run=text(run, "id"),
        url=link(run.get("url")) or link(f"{text(part(sent, 'project'), 'web_url')}/-/pipelines/{text(run, 'id')}"),
    )


def _tag(sent: Mapping[str, Any]) -> ReleaseReport | Ignored:
    return _pushed(sent, "refs/tags/")


def _push(sent: Mapping[str, Any]) -> ReleaseReport | Ignored:
    return _pushed(sent, "refs/heads/")


def _pushed(sent: Mapping[str, Any], prefix: str) -> ReleaseReport | Ignored:
    ref = text(sent, "ref")
    name = ref.removeprefix(prefix)
    if not ref.startswith(prefix) or not name:
        raise PermanentError("This push of GitLab names neither a branch nor a tag.")
    # Of an annotated tag `after` is the tag itself; what it stands for is checked out.
    head = commit(sent.get("checkout_sha"))
    if not commit(sent.get("after")) or not head:
        return Ignored(f"{name} of {_name(sent)} was deleted.")
    is_tag = prefix == "refs/tags/"
    return ReleaseReport(
        event=BuildEvent.TAG if is_tag else BuildEvent.PUSH,
        repository=_name(sent),
        tag=name if is_tag else "",
        branch="" if is_tag else name,
        default_branch=_default_branch(sent),
        commit=head,
        url=link(f"{text(part(sent, 'project'), 'web_url')}/-/commit/{head}"),
    )


def _release(sent: Mapping[str, Any]) -> ReleaseReport | Ignored:
    action = text(sent, "action")
    if action != "create":
        return Ignored(f"A release of {_name(sent)} was {action or 'changed'}; only new ones count.")
    return ReleaseReport(
        event=BuildEvent.RELEASE,
        repository=_name(sent),
        tag=text(sent, "tag"),
        commit=commit(part(sent, "commit").get("id")),
        number=text(sent, "id"),
        url=link(sent.get("url")),
    )


_READERS: Mapping[str, Callable[[Mapping[str, Any]], ReleaseReport | Ignored]] = {
    "pipeline": _pipeline,
    "tag_push": _tag,
    "push": _push,
    "release": _release,
}


def _name(sent: Mapping[str, Any]) -> str:
    return text(part(sent, "project"), "path_with_namespace")


def _default_branch(sent: Mapping[str, Any]) -> str:
    return text(part(sent, "project"), "default_branch")
