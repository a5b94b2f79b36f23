"""Names of images: where the artifact of an announcement is pulled from, always by digest."""

from __future__ import annotations

import re
from collections.abc import Sequence

from core.errors import PermanentError
from core.ports import DeploymentRequest
from core.releases.problems import shown

_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*")
_IMAGE = re.compile(
    rf"(?P<repository>(?:{_HOST}/)?{_PART}(?:/{_PART})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LONGEST = 255


def is_repository(text: str) -> bool:
    """Whether this is the name of a repository, without tag and digest."""
    return len(text) <= _LONGEST and _REPOSITORY.fullmatch(text) is not None


def wanted(request: DeploymentRequest, repository: str) -> str:
    """The image to run, `repository@sha256:…`; raises PermanentError where the request does not say which.

    `repository` is the one of the definition; without it, the announced artifact names one.
    """
    if not _DIGEST.fullmatch(request.digest):
        raise PermanentError(
            f"`{shown(request.digest)}` is no digest of an image: announce the version with `sha256:` and the 64 "
            "hexadecimal digits that the registry gave for the push."
        )
    if repository:
        return f"{repository}@{request.digest}"
    named = _IMAGE.fullmatch(request.artifact) if len(request.artifact) <= _LONGEST * 2 else None
    if named is None or request.artifact.startswith("sha256:"):
        raise PermanentError(
            f"`{shown(request.artifact)}` does not name an image: announce the artifact as "
            "`registry.example.com/shop/checkout:1.2.3`, or write `image:` into the deployer's `with:`."
        )
    if named["digest"] and named["digest"] != request.digest:
        raise PermanentError(
            f"The artifact names {named['digest'][:19]}…, the announcement {request.digest[:19]}…: what was tested is "
            "not what would be deployed."
        )
    return f"{named['repository']}@{request.digest}"


def digest_of(*names: str | None) -> str | None:
    """The digest of the first name that carries one: of a container's image, then of what the node says it runs."""
    for name in names:
        found = _DIGEST.search(name or "")
        if found:
            return found[0]
    return None


def most_common(digests: Sequence[str]) -> str:
    """The one that most units run; of two equally common ones the first in order."""
    return max(sorted(set(digests)), key=digests.count)
