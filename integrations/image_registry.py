"""What an image registry itself says: the digest behind a tag, and whether a digest is there.

A tag is asked for by HEAD of its manifest. Registries ask for a token first: it is fetched where they say, but the
credentials of a registry go only to an address that is encrypted (or to this machine), and redirects are not followed.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from core.errors import PermanentError, TransientError
from core.releases.problems import shown
from core.releases.source_parts import RegistryPart

MANIFESTS = (
    "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
)
"""The index first: where an image has several platforms, the digest is of them all."""
DOCKER_HUB = "registry-1.docker.io"
"""Where images of `docker.io` are."""
PATIENCE = aiohttp.ClientTimeout(total=20)
LARGEST_ANSWER = 100_000
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_PARAMETER = re.compile(r'([a-zA-Z_]+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Image:
    """An image by name: `host/name:tag` or `host/name@sha256:…`."""

    host: str
    name: str
    reference: str

    @classmethod
    def named(cls, text: str) -> Image:
        """The image that a text names; raises PermanentError where it names none."""
        whole, _, digest = text.partition("@")
        path, _, tag = whole.rpartition(":") if ":" in whole.rpartition("/")[2] else (whole, "", "")
        host, _, name = path.partition("/")
        if "." not in host and ":" not in host and host != "localhost":
            host, name = "docker.io", path
        if host == "docker.io" and "/" not in name:
            name = f"library/{name}"
        reference = digest or tag or ("latest" if path == whole else "")
        is_good = _NAME.fullmatch(name) and (_DIGEST.fullmatch(reference) if digest else _TAG.fullmatch(reference))
        if not is_good or not re.fullmatch(r"[A-Za-z0-9.-]+(:\d{1,5})?", host):
            raise PermanentError(
                f"`{shown(text)}` names no image; it must look like `registry.example.com/acme/checkout:1.4.2`."
            )
        return cls(host, name, reference)

    def __str__(self) -> str:
        sign = "@" if self.reference.startswith("sha256:") else ":"
        return f"{self.host}/{self.name}{sign}{self.reference}"


class ImageRegistries:
    """Asks registries; those that are not listed are asked without credentials."""

    def __init__(
        self, session: aiohttp.ClientSession, listed: Mapping[str, RegistryPart], environment: Mapping[str, str]
    ) -> None:
        self._session = session
        self._listed = dict(listed)
        self._environment = environment

    async def digest_of(self, image: str) -> str:
        """The digest of `host/name:tag` or `host/name@digest`, as its registry tells it now.

        Raises PermanentError where the registry does not have it or lets nobody in, TransientError where it cannot
        say.
        """
        wanted = Image.named(image)
        where = f"{self._base(wanted.host)}/v2/{wanted.name}/manifests/{wanted.reference}"
        status, headers = await self._ask(wanted, where, "")
        if status == 401:
            authorization = await self._admission(wanted, headers.get("WWW-Authenticate", ""))
            status, headers = await self._ask(wanted, where, authorization)
        if status == 404:
            raise PermanentError(
                f"The registry {wanted.host} has no {wanted}: nothing can be deployed that is not there."
            )
        if status in (401, 403):
            raise PermanentError(
                f"The registry {wanted.host} does not let Andon read {wanted.name}."
                " Give it a user and a token that may pull, under `registries` in the organisation file."
            )
        if status != 200:
            raise TransientError(f"The registry {wanted.host} answered {status} when asked for {wanted}.")
        digest = headers.get("Docker-Content-Digest", "")
        if not _DIGEST.fullmatch(digest):
            raise TransientError(f"The registry {wanted.host} did not say the digest of {wanted}.")
        if wanted.reference.startswith("sha256:") and digest != wanted.reference:
            raise PermanentError(f"The registry {wanted.host} gave another digest than that of {wanted}.")
        return digest

    async def _ask(self, image: Image, where: str, authorization: str) -> tuple[int, Mapping[str, str]]:
        headers = {"Accept": MANIFESTS} | ({"Authorization": authorization} if authorization else {})
        try:
            async with self._session.head(where, headers=headers, allow_redirects=False, timeout=PATIENCE) as answer:
                return answer.status, answer.headers
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise TransientError(f"The registry {image.host} cannot be reached ({type(error).__name__}).") from None

    async def _admission(self, image: Image, challenge: str) -> str:
        """What to say in Authorization, after a registry asked who is there."""
        kind, _, rest = challenge.partition(" ")
        credentials = self._credentials(image.host)
        if kind.casefold() == "basic" and credentials:
            return credentials
        said = dict(_PARAMETER.findall(rest))
        realm = said.get("realm", "")
        if kind.casefold() != "bearer" or not realm:
            return ""
        if credentials and not _is_safe(realm):
            raise PermanentError(
                f"The registry {image.host} asks for its credentials at an address that is not encrypted."
            )
        asked = {"scope": f"repository:{image.name}:pull"} | ({"service": said["service"]} if "service" in said else {})
        headers = {"Authorization": credentials} if credentials else {}
        try:
            async with self._session.get(
                realm, params=asked, headers=headers, allow_redirects=False, timeout=PATIENCE
            ) as answer:
                if answer.status >= 500 or answer.status == 429:
                    raise TransientError(f"The registry {image.host} gives out no tokens now ({answer.status}).")
                raw = await answer.content.read(LARGEST_ANSWER)
                given: Any = json.loads(raw) if answer.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise TransientError(
                f"The registry {image.host} cannot be asked for a token ({type(error).__name__})."
            ) from None
        token = given.get("token") or given.get("access_token") if isinstance(given, dict) else None
        return f"Bearer {token}" if isinstance(token, str) and token.isprintable() else ""

    def _base(self, host: str) -> str:
        listed = self._listed.get(host)
        if listed is not None and listed.url:
            return listed.url.rstrip("/")
        return f"https://{DOCKER_HUB if host == 'docker.io' else host}"

    def _credentials(self, host: str) -> str:
        listed = self._listed.get(host)
        if listed is None or not listed.password_env:
            return ""
        password = self._environment.get(listed.password_env, "")
        if not password:
            raise PermanentError(
                f"The environment variable {listed.password_env} is not set; it must hold the password of {host}."
            )
        user = self._environment.get(listed.username_env or "", "") or "andon"
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _is_safe(address: str) -> bool:
    """Whether credentials may go there: it is encrypted, or this machine."""
    parts = urlsplit(address)
    if parts.scheme == "https":
        return True
    try:
        return parts.scheme == "http" and ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return parts.scheme == "http" and parts.hostname == "localhost"
