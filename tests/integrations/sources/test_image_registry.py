"""The digest behind a tag, as the registry itself tells it; and what people hear where it does not."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from core.errors import PermanentError, TransientError
from core.releases.source_parts import RegistryPart
from integrations.image_registry import Image, ImageRegistries
from tests.integrations.sources.payloads import DIGEST, OTHER_DIGEST
from tests.integrations.sources.registry_standin import PASSWORD, USER, RegistryStandIn

ENVIRONMENT = {"REGISTRY_USER": USER, "REGISTRY_PASSWORD": PASSWORD}
HOST = "registry.example.com"


@pytest.fixture
async def standin() -> AsyncIterator[RegistryStandIn]:
    async with RegistryStandIn({"acme/checkout:1.4.2": DIGEST}).running() as running:
        yield running
        assert running.mistakes == []


async def asked(standin: RegistryStandIn, image: str, environment: dict[str, str] | None = None, **part: object) -> str:
    listed = {
        HOST: RegistryPart.model_validate(
            {"url": standin.url, "username_env": "REGISTRY_USER", "password_env": "REGISTRY_PASSWORD", **part}
        )
    }
    async with aiohttp.ClientSession() as session:
        registries = ImageRegistries(session, listed, ENVIRONMENT if environment is None else environment)
        return await registries.digest_of(image)


@pytest.mark.parametrize("asks", ["", "basic", "bearer"])
async def test_a_tag_leads_to_its_digest_however_the_registry_lets_in(standin: RegistryStandIn, asks: str) -> None:
    standin.asks = asks
    assert await asked(standin, f"{HOST}/acme/checkout:1.4.2") == DIGEST
    assert await asked(standin, f"{HOST}/acme/checkout@{DIGEST}") == DIGEST
    assert all(call.startswith("HEAD") or call == "GET /token" for call in standin.calls)


async def test_a_public_image_needs_no_password(standin: RegistryStandIn) -> None:
    standin.is_anonymous = True
    image = f"{HOST}/acme/checkout:1.4.2"
    assert await asked(standin, image, {}, username_env=None, password_env=None) == DIGEST


async def test_what_is_not_there_is_refused_for_good(standin: RegistryStandIn) -> None:
    for image in (f"{HOST}/acme/checkout:1.4.3", f"{HOST}/acme/checkout@{OTHER_DIGEST}", f"{HOST}/acme/search:1.4.2"):
        with pytest.raises(PermanentError, match="nothing can be deployed that is not there"):
            await asked(standin, image)


@pytest.mark.parametrize("status", [429, 500, 503, 307, 200])
async def test_trouble_of_the_registry_is_no_verdict(standin: RegistryStandIn, status: int) -> None:
    standin.faults = [status]
    with pytest.raises(TransientError, match="did not say the digest" if status == 200 else f"answered {status}"):
        await asked(standin, f"{HOST}/acme/checkout:1.4.2")
    assert len(standin.calls) == 1, "redirects are not followed"


async def test_a_registry_that_is_not_there_is_unknown() -> None:
    async with RegistryStandIn().running() as gone:
        pass
    with pytest.raises(TransientError, match="cannot be reached"):
        await asked(gone, f"{HOST}/acme/checkout:1.4.2")


async def test_whoever_may_not_pull_hears_what_is_missing_but_no_secret(standin: RegistryStandIn) -> None:
    with pytest.raises(PermanentError, match="does not let Andon read") as refused:
        await asked(standin, f"{HOST}/acme/checkout:1.4.2", {"REGISTRY_PASSWORD": "wrong-secret"})
    assert "wrong-secret" not in refused.value.message
    with pytest.raises(PermanentError, match="REGISTRY_PASSWORD is not set"):
        await asked(standin, f"{HOST}/acme/checkout:1.4.2", {})


async def test_a_password_is_not_sent_in_the_clear(standin: RegistryStandIn) -> None:
    standin.realm = "http://tokens.example.com/token"
    with pytest.raises(PermanentError, match="not encrypted"):
        await asked(standin, f"{HOST}/acme/checkout:1.4.2")


@pytest.mark.parametrize(
    ("text", "host", "name", "reference"),
    [
        ("registry.example.com:5000/acme/checkout:1.4", "registry.example.com:5000", "acme/checkout", "1.4"),
        ("checkout", "docker.io", "library/checkout", "latest"),
        ("acme/checkout:1", "docker.io", "acme/checkout", "1"),
        (f"localhost/checkout:1@{DIGEST}", "localhost", "checkout", DIGEST),
    ],
)
def test_images_are_read_as_docker_reads_them(text: str, host: str, name: str, reference: str) -> None:
    assert Image.named(text) == Image(host, name, reference)


@pytest.mark.parametrize(
    "text",
    [
        "", "registry.example.com/", "registry.example.com/Acme", "registry.example.com/a/../b:1",
        "registry.example.com/a:tag with spaces", "user@registry.example.com/a",
        f"registry.example.com/a@{DIGEST[:-1]}",
        "registry.example.com/a?x=1", "registry.example.com/a:", "http://registry.example.com/a:1",
    ],
)  # fmt: skip
def test_what_names_no_image_is_refused(text: str) -> None:
    with pytest.raises(PermanentError, match="names no image"):
        Image.named(text)
