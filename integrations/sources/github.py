"""GitHub: runs of workflows, releases, container packages, pushed tags and branches; signed by the webhook's secret.

Builds of pull requests and of forks never become releases: whoever opens a pull request may run what they like.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, model_validator

from core.errors import PermanentError
from core.ports import BuildEvent, CodeHistory, Ignored, ReleaseReport
from core.releases.fields import Settings, Url, Variable
from core.releases.problems import Strict, refusal, validated
from integrations.github.access import AppAccess
from integrations.intake import link
from integrations.sources.authentic import found, require_hex_signature, secret_from
from integrations.sources.reading import commit, digest, is_true, mapping, part, several, text

if TYPE_CHECKING:
    from integrations.sources.github_history import GitHubHistory

OF_PULL_REQUESTS = ("pull_request", "pull_request_target", "pull_request_review", "merge_group")
PUBLISHED = ("published", "released", "prereleased")


class GitHubSettings(Strict):
    """`with:` of the source `github`."""

    secret_env: Variable = Field(
        description="Name of the variable with the webhook's secret.", examples=["GITHUB_WEBHOOK_SECRET"]
    )
    api: Url | None = Field(default=None, description="The API [GitHub's own]; of an enterprise `https://…/api/v3`.")
    token_env: Variable | None = Field(default=None, description="Name of the variable with a token to ask with.")
    app: Settings | None = Field(default=None, description="A GitHub App to ask as, like that of `github-actions`.")

    @model_validator(mode="after")
    def _one_identity(self) -> Self:
        if self.token_env is not None and self.app is not None:
            raise refusal("`token_env` and `app` are two identities", "keep one of them")
        if self.app is not None:
            _, problems = validated(AppAccess, dict(self.app))
            if problems:
                raise refusal(f"`app` cannot be used: {problems[0].sentence}", problems[0].mend)
        return self

    @property
    def access(self) -> Mapping[str, Any]:
        """What GitHub is asked with; empty where nothing is to be asked."""
        if self.token_env is None and self.app is None:
            return {}
        said = {"api": self.api, "token_env": self.token_env, "app": self.app}
        return {key: value for key, value in said.items() if value is not None}


class GitHub:
    """The release source `github`."""

    name = "github"
    settings: ClassVar[type[Strict]] = GitHubSettings
    kept_headers = ("X-GitHub-Event", "X-GitHub-Delivery", "Content-Type", "User-Agent")

    def __init__(
        self, secret: str, access: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        """With `access` (`GitHubSettings.access`) GitHub can be asked about what it told."""
        self._secret = secret
        self._access = access or {}
        self._environment = environment or {}

    def __repr__(self) -> str:
        return "GitHub(…)"

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], environment: Mapping[str, str]) -> Self:
        """A source as the organisation file says; raises PermanentError where its secret is missing."""
        given = GitHubSettings.model_validate(settings)
        return cls(secret_from(environment, given.secret_env), given.access, environment)

    async def verify(self, headers: Mapping[str, str], body: bytes, key: str, now: datetime) -> None:  # noqa: ARG002
        """The signature over the body; GitHub's requests have no time in them, so a replay is told by what it says."""
        require_hex_signature(found(headers, "X-Hub-Signature-256"), "sha256=", self._secret, body)

    def delivery(self, headers: Mapping[str, str], body: bytes) -> str:  # noqa: ARG002
        """GitHub's own number; a redelivery carries the same."""
        return found(headers, "X-GitHub-Delivery")[:100]

    def parse(self, headers: Mapping[str, str], body: bytes) -> Sequence[ReleaseReport | Ignored]:
        """The one build or release that an event speaks of."""
        event = found(headers, "X-GitHub-Event") or "unknown"
        if "x-www-form-urlencoded" in found(headers, "Content-Type"):
            raise PermanentError("GitHub sent a form. Set the webhook's content type to `application/json`.")
        sent = mapping(body, "GitHub")
        reader = _READERS.get(event)
        if reader is None:
            return (Ignored(f"GitHub's event `{event[:40]}` tells of no release."),)
        return (reader(sent),)

    def history(self, repository: str) -> CodeHistory | None:
        """A repository's commits by the API, if there is an identity to ask under."""
        return self._asked(repository) if self._access else None

    async def assets(self, report: ReleaseReport) -> Mapping[str, str]:
        """The files of a release, as they were told; those of a run are asked for."""
        if report.event is not BuildEvent.RUN:
            return report.assets
        if not self._access:
            raise PermanentError(
                "GitHub must be asked for the artifacts of a run: give the source `token_env` or `app` in the"
                " organisation file."
            )
        return await self._asked(report.repository).assets(report.run)

    def _asked(self, repository: str) -> GitHubHistory:
        # What it needs is installed with the extra `github`; webhooks alone do without.
        try:
            from integrations.sources.github_history import GitHubHistory
        except ImportError:
            raise PermanentError("To ask GitHub, install what it needs: `pip install 'andon[github]'`.") from None
        return GitHubHistory(self._access, self._environment, repository)


def _run(sent: Mapping[str, Any]) -> ReleaseReport | Ignored:
    run = part(sent, "workflow_run")
    if not run:
        raise PermanentError("This `workflow_run` of GitHub holds no run.")
    title = f"run {text(run, 'run_number') or text(run, 'id')} of {_name(sent)}"
    conclusion = text(run, "conclusion")
    if text(sent, "action") != "completed" or text(run, "status") not in ("completed", ""):
        # A run that was only asked for may carry a conclusion already: of the attempt before.
        return Ignored(f"The {title} is not told to be over ({text(sent, 'action') or text(run, 'status')}).")
    if conclusion != "success":
        return Ignored(f"The {title} ended with {conclusion or 'nothing said'}.")
    if text(run, "event") in OF_PULL_REQUESTS:
        return Ignored(f"The {title} is of a pull request; those are no releases.")
    ours, theirs = part(sent, "repository"), part(run, "head_repository")
    if theirs and text(theirs, "full_name").casefold() != text(ours, "full_name").casefold():
        return Ignored(f"The {title} builds {text(theirs, 'full_name') or 'a fork'}; builds of forks are no releases.")
    path = text(run, "path").partition("@")[0]
    names = (path, text(part(sent, "workflow"), "name") or text(run, "name"))
    return ReleaseReport(
        event=BuildEvent.RUN,
        repository=_name(sent),
        branch=text(run, "head_branch"),
        default_branch=_default_branch(sent),
        workflow=tuple(name for name in names if name),
        commit=commit(run.get("head_sha")),
        number=text(run, "run_number"),
        attempt=text(run, "run_attempt"),
        run=text(run, "id"),
        url=link(run.get("html_url")),
    )


def _release(sent: Mapping[str, Any]) -> ReleaseReport | Ignored:
    release = part(sent, "release")
    action = text(sent, "action")
    if not release:
        raise PermanentError("This `release` of GitHub holds no release.")
    if action not in PUBLISHED or is_true(release.get("draft")):
        return Ignored(f"A release of {_name(sent)} was {action or 'changed'}; only published ones count.")
    assets = {text(one, "name"): digest(one.get("digest")) for one in several(release, "assets")}
    return ReleaseReport(
        event=BuildEvent.RELEASE,
        repository=_name(sent),
        tag=text(release, "tag_name"),
        # This may be the name of a branch: then the tag tells which commit it is.
        commit=commit(release.get("target_commitish")),
        assets={name: found for name, found in assets.items() if name and found},
        number=text(release, "id"),
        url=link(release.get("html_url")),
        is_prerelease=is_true(release.get("prerelease")),
    )


def _push(sent: Mapping[str, Any]) -> ReleaseReport | Ignored:
    ref = text(sent, "ref")
    kind, _, name = ref.removeprefix("refs/").partition("/")
    if kind not in ("tags", "heads") or not name:
        raise PermanentError("This `push` of GitHub names neither a branch nor a tag.")
    # Of an annotated tag `after` is the tag itself; its commit is the head.
    head = commit(part(sent, "head_commit").get("id")) or commit(sent.get("after"))
    if is_true(sent.get("deleted")) or not head:
        return Ignored(f"{name} of {_name(sent)} was deleted.")
    is_tag = kind == "tags"
    return ReleaseReport(
        event=BuildEvent.TAG if is_tag else BuildEvent.PUSH,
        repository=_name(sent),
        tag=name if is_tag else "",
        branch="" if is_tag else name,
        default_branch=_default_branch(sent),
        commit=head,
        url=link(sent.get("compare")),
    )


def _package(sent: Mapping[str, Any]) -> ReleaseReport | Ignored:
    package = part(sent, "registry_package") or part(sent, "package")
    version = part(package, "package_version")
    if not package or not version:
        raise PermanentError("This package event of GitHub holds no version of a package.")
    kind = text(package, "package_type") or text(package, "ecosystem")
    name = "/".join(filter(None, (text(package, "namespace"), text(package, "name"))))
    if kind.casefold() not in ("container", "docker"):
        return Ignored(f"The package {name} is of the kind {kind or 'unknown'}; only container images have a digest.")
    if text(sent, "action") not in ("published", "updated"):
        return Ignored(f"The image {name} was {text(sent, 'action') or 'changed'}.")
    metadata = part(version, "container_metadata")
    tagged = part(metadata, "tag")
    labels = part(metadata, "labels")
    held = digest(tagged.get("digest")) or digest(part(metadata, "manifest").get("digest"))
    return ReleaseReport(
        event=BuildEvent.IMAGE,
        repository=name,
        tag=text(tagged, "name"),
        commit=commit(labels.get("revision")) or commit(version.get("target_oid")),
        digest=held or digest(version.get("version")),
        image=f"ghcr.io/{name.lower()}",
        url=link(version.get("html_url")) or link(package.get("html_url")),
    )


def _ping(_sent: Mapping[str, Any]) -> ReleaseReport | Ignored:
    return Ignored("GitHub asked whether this address answers; it does.")


_READERS: Mapping[str, Callable[[Mapping[str, Any]], ReleaseReport | Ignored]] = {
    "workflow_run": _run,
    "release": _release,
    "push": _push,
    "registry_package": _package,
    "package": _package,
    "ping": _ping,
}


def _name(sent: Mapping[str, Any]) -> str:
    return text(part(sent, "repository"), "full_name")


def _default_branch(sent: Mapping[str, Any]) -> str:
    return text(part(sent, "repository"), "default_branch")
