"""What image registries send: hints of pushed tags, let in by a secret and believed by nobody."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from core.errors import NotAuthentic, PermanentError
from core.ports import BuildEvent, Ignored, ReleaseReport
from integrations.sources.docker import Docker
from tests.integrations.sources.payloads import (
    DIGEST,
    MANIFEST,
    SECRET,
    distribution,
    docker_hub,
    harbor,
    quay,
    raw,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)
AZURE: dict[str, Any] = {
    "id": "a-1", "action": "push", "timestamp": "2030-01-01T12:00:00Z",
    "target": {"mediaType": MANIFEST, "digest": DIGEST, "repository": "acme/checkout", "tag": "1.4.2", "size": 9},
    "request": {"id": "r", "host": "acme.registry.example.com", "method": "PUT"},
}  # fmt: skip


def told(payload: object) -> Sequence[ReleaseReport | Ignored]:
    return Docker(SECRET).parse({}, raw(payload))


def pushes(payload: object) -> list[ReleaseReport]:
    found = told(payload)
    assert all(isinstance(one, ReleaseReport) for one in found), found
    return [one for one in found if isinstance(one, ReleaseReport)]


@pytest.mark.parametrize(
    ("payload", "digest", "image"),
    [
        (distribution(), DIGEST, "registry.example.com/acme/checkout"),
        (docker_hub(), "", "docker.io/acme/checkout"),
        (quay(), "", "registry.example.com/acme/checkout"),
        (harbor(), DIGEST, "registry.example.com:8443/acme/checkout"),
        (AZURE, DIGEST, "acme.registry.example.com/acme/checkout"),
    ],
    ids=["distribution", "docker hub", "quay", "harbor", "azure"],
)
def test_a_pushed_tag_is_a_hint(payload: object, digest: str, image: str) -> None:
    (found,) = pushes(payload)
    assert (found.event, found.repository, found.tag) == (BuildEvent.IMAGE, "acme/checkout", "1.4.2")
    assert (found.digest, found.image, found.is_hint) == (digest, image, True)


def test_several_tags_are_several_builds() -> None:
    assert [one.tag for one in pushes(quay("1.4.2", "1.4"))] == ["1.4.2", "1.4"]
    assert [one.tag for one in pushes(harbor("PUSH_ARTIFACT", "1.4.2", "1.4"))] == ["1.4.2", "1.4"]
    older = quay() | {"updated_tags": {"1.4.2": "an image"}}
    assert [one.tag for one in pushes(older)] == ["1.4.2"]
    events = {"specversion": "1.0", "type": "harbor.artifact.pushed", "data": harbor()["event_data"]}
    assert [one.tag for one in pushes(events)] == ["1.4.2"]


def test_a_push_without_a_tag_says_so() -> None:
    assert [one.tag for one in pushes(distribution(tag=""))] == [""]
    untagged = harbor()
    untagged["event_data"]["resources"][0] |= {
        "tag": DIGEST, "resource_url": f"registry.example.com/acme/checkout@{DIGEST}",
    }  # fmt: skip
    (found,) = pushes(untagged)
    assert (found.tag, found.image) == ("", "registry.example.com/acme/checkout")


@pytest.mark.parametrize(
    "payload",
    [
        distribution("pull"), distribution("delete"), {"events": []}, harbor("DELETE_ARTIFACT"),
        harbor("SCANNING_COMPLETED"), quay() | {"updated_tags": []}, {"action": "ping", "id": "p"},
        AZURE | {"action": "chart_push"}, AZURE | {"action": "delete"},
    ],
)  # fmt: skip
def test_pulls_deletions_and_layers_are_no_builds(payload: object) -> None:
    (found,) = told(payload)
    assert isinstance(found, Ignored)


def test_other_systems_are_not_understood() -> None:
    for odd in ({}, {"eventType": "build.complete"}, {"detail-type": "ECR Image Action"}):
        with pytest.raises(PermanentError, match="no message of a registry"):
            told(odd)


async def test_the_secret_stands_in_a_header_or_at_the_end_of_the_address() -> None:
    source, body = Docker(SECRET), raw(quay())
    basic = base64.b64encode(f"andon:{SECRET}".encode()).decode()
    for headers, key in (
        ({"Authorization": f"Bearer {SECRET}"}, ""),
        ({"authorization": f"Basic {basic}"}, ""),
        ({"Authorization": SECRET}, ""),
        ({"X-Andon-Secret": SECRET}, ""),
        ({}, SECRET),
    ):
        await source.verify(headers, body, key, NOW)
    for headers, key in (
        ({}, ""),
        ({"Authorization": "Bearer "}, ""),
        ({"Authorization": "Bearer wrong"}, "wrong"),
        ({"Authorization": "Basic ????"}, ""),
        ({"Authorization": f"Digest {SECRET}"}, ""),
        ({"X-Gitlab-Token": SECRET}, ""),
    ):
        with pytest.raises(NotAuthentic):
            await source.verify(headers, body, key, NOW)


def test_events_with_numbers_are_known_again_and_bodies_without_are_not() -> None:
    source = Docker(SECRET)
    assert source.delivery({}, raw(distribution())) == "e-2 e-1"
    assert source.delivery({}, raw(AZURE)) == "a-1"
    for payload in (quay(), docker_hub(), harbor()):
        assert source.delivery({}, raw(payload)) == "", "the next push of this tag looks just the same"
    assert source.delivery({}, b"{") == ""
