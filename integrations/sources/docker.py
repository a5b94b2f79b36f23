"""Image registries: the registry of the distribution project, Docker Hub, Quay, Harbor and Azure's.

None of them signs what it sends, so all of it is a hint: what is really under a tag is asked of the registry. The
secret stands in a header, or at the end of the address where the sender can set none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Self

from pydantic import Field

from core.errors import PermanentError
from core.ports import BuildEvent, Ignored, ReleaseReport
from core.releases.fields import Variable
from core.releases.problems import Strict
from integrations.intake import link
from integrations.sources.authentic import require_secret, secret_from
from integrations.sources.reading import digest, mapping, part, several, text

MANIFESTS = ("manifest", "image.index")
"""In the media types of what has a tag; layers come in the same list."""
MOST_TAGS = 50


class DockerSettings(Strict):
    """`with:` of the source `docker`."""

    secret_env: Variable = Field(
        description="Name of the variable with the secret of the webhook.", examples=["REGISTRY_WEBHOOK_SECRET"]
    )


class Docker:
    """The release source `docker`."""

    name = "docker"
    settings: ClassVar[type[Strict]] = DockerSettings
    kept_headers = ("Content-Type", "User-Agent")

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def __repr__(self) -> str:
        return "Docker(…)"

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], environment: Mapping[str, str]) -> Self:
        """A source as the organisation file says; raises PermanentError where its secret is missing."""
        given = DockerSettings.model_validate(settings)
        return cls(secret_from(environment, given.secret_env))

    async def verify(self, headers: Mapping[str, str], body: bytes, key: str, now: datetime) -> None:  # noqa: ARG002
        """The secret, in a header or at the end of the address."""
        require_secret(headers, key, self._secret, "X-Andon-Secret")

    def delivery(self, headers: Mapping[str, str], body: bytes) -> str:  # noqa: ARG002
        """The numbers of the events, where there are some; a push that is told twice is one release anyway."""
        try:
            sent = mapping(body, "the registry")
        except PermanentError:
            return ""
        numbers = [text(one, "id") for one in several(sent, "events")] or [text(sent, "id")]
        return " ".join(filter(None, numbers))

    def parse(self, headers: Mapping[str, str], body: bytes) -> Sequence[ReleaseReport | Ignored]:  # noqa: ARG002
        """The tags that were pushed."""
        sent = mapping(body, "the registry")
        if isinstance(sent.get("events"), list):
            found = tuple(one for event in several(sent, "events", 1_000) for one in _distribution(event))
            return found or (Ignored("The registry tells of no image that was pushed."),)
        if "push_data" in sent:
            return _hub(sent)
        if "docker_url" in sent:
            return _quay(sent)
        if part(sent, "event_data") or text(sent, "type").startswith("harbor."):
            return _harbor(sent)
        if text(sent, "action") and ("target" in sent or text(sent, "action") == "ping"):
            found = tuple(_distribution(sent))
            return found or (Ignored(f"The registry tells of `{text(sent, 'action')}`, which is no push of an image."),)
        raise PermanentError(
            "This is no message of a registry that Andon knows: of distribution, Docker Hub, Quay, Harbor or Azure."
        )


def _distribution(event: Mapping[str, Any]) -> Iterator[ReleaseReport | Ignored]:
    """What one event of a distribution registry tells; of layers, pulls and deletions nothing."""
    target = part(event, "target")
    media = text(target, "mediaType")
    if text(event, "action") != "push" or not target or not any(kind in media for kind in MANIFESTS):
        return
    name, tag = text(target, "repository"), text(target, "tag")
    host = text(part(event, "request"), "host")
    yield _pushed(name, tag, digest(target.get("digest")), f"{host}/{name}" if host else "")


def _hub(sent: Mapping[str, Any]) -> Sequence[ReleaseReport | Ignored]:
    repository = part(sent, "repository")
    name = text(repository, "repo_name")
    return (_pushed(name, text(part(sent, "push_data"), "tag"), "", f"docker.io/{name}", text(repository, "repo_url")),)


def _quay(sent: Mapping[str, Any]) -> Sequence[ReleaseReport | Ignored]:
    image = text(sent, "docker_url")
    name = text(sent, "repository") or image.partition("/")[2]
    # Older ones are a mapping of tags to images.
    tags = sent.get("updated_tags")
    names = [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list | dict) else []
    if not names:
        return (Ignored(f"Quay tells of {name}, but of no tag that was pushed."),)
    return tuple(_pushed(name, tag, "", image, text(sent, "homepage")) for tag in names[:MOST_TAGS])


def _harbor(sent: Mapping[str, Any]) -> Sequence[ReleaseReport | Ignored]:
    """Harbor's own form, and the one of CloudEvents."""
    kind, held = text(sent, "type"), part(sent, "event_data") or part(sent, "data")
    if kind not in ("PUSH_ARTIFACT", "pushImage", "harbor.artifact.pushed"):
        return (Ignored(f"Harbor tells of `{kind[:40]}`, which is no push of an image."),)
    found: list[ReleaseReport | Ignored] = []
    for resource in several(held, "resources", MOST_TAGS):
        whole = text(resource, "resource_url").partition("@")[0]
        tag = text(resource, "tag")
        image = whole.removesuffix(f":{tag}") if tag and not tag.startswith("sha256:") else whole
        name = text(part(held, "repository"), "repo_full_name") or image.partition("/")[2]
        # A push without a tag has its digest there.
        tag = "" if tag.startswith("sha256:") else tag
        found.append(_pushed(name, tag, digest(resource.get("digest")), image))
    return tuple(found) or (Ignored("Harbor tells of a push, but of no image."),)


def _pushed(name: str, tag: str, held: str, image: str, url: str = "") -> ReleaseReport:
    return ReleaseReport(
        event=BuildEvent.IMAGE, repository=name, tag=tag[:128], digest=held, image=image, url=link(url), is_hint=True
    )
