"""What a build needs from others: its digest from the registry, its ancestors and authors from the code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.releases.state import Release
from tests.integrations.sources.payloads import (
    DIGEST,
    OTHER_DIGEST,
    SECRET,
    docker_hub,
    github_headers,
    harbor,
    push,
    raw,
    workflow_run,
)
from tests.integrations.sources.registry_standin import PASSWORD, USER, RegistryStandIn
from tests.integrations.sources.repositories import BOB, Repository
from tests.scenarios.kit import Story, story
from tests.scenarios.props import people, shop

ENVIRONMENT = {"HOOK": SECRET, "PULLER": USER, "PULL": PASSWORD}
HOST = "registry.example.com"
TAGS = {"from": "github", "event": "tag", "repository": "acme/checkout", "identity": "commit"}


def organisation(registry: RegistryStandIn | None = None) -> dict[str, Any]:
    more: dict[str, Any] = {
        "sources": {
            "github": {"with": {"secret_env": "HOOK"}},
            "hub": {"use": "docker", "with": {"secret_env": "HOOK"}},
        }
    }
    if registry is not None:
        more["registries"] = {HOST: {"url": registry.url, "username_env": "PULLER", "password_env": "PULL"}}
    return people(**more)


async def sends(s: Story, path: str, payload: object, headers: dict[str, str] | None = None) -> dict[str, Any]:
    status, answer = await s.call("POST", f"/api/sources/{path}", raw=raw(payload), headers=headers or {})
    assert status == 202, answer
    await s.settle()
    return dict(answer)


async def pushes_tag(s: Story, tag: str, commit: str) -> None:
    body = push(f"refs/tags/{tag}", after=commit, head_commit={"id": commit})
    await sends(s, "github", body, github_headers("push", raw(body), delivery=tag))


async def newest(s: Story) -> tuple[str, str]:
    _, lines = await s.call("GET", "/api/sources/received")
    return lines[0]["state"], lines[0]["note"]


async def test_a_hint_is_believed_only_as_far_as_the_registry_bears_it_out(tmp_path: Path) -> None:
    images = {"from": "hub", "event": "image", "repository": "acme/checkout", "image": f"{HOST}/acme/checkout:{{tag}}"}
    async with RegistryStandIn({"acme/checkout:1.4.2": DIGEST}).running() as registry:
        files = shop(sources=[images])
        async with story(tmp_path, files, organisation=organisation(registry), environment=ENVIRONMENT) as s:
            await sends(s, f"hub/{SECRET}", docker_hub("1.4.2"))
            (release,) = s.state.releases
            assert (release.version, release.digest) == ("1.4.2", DIGEST)
            assert release.artifact == f"{HOST}/acme/checkout@{DIGEST}"
            await sends(s, f"hub/{SECRET}", docker_hub("1.4.3"))
            state, note = await newest(s)
            assert (state, "nothing can be deployed that is not there" in note) == ("kept", True)
            forged = harbor()
            forged["event_data"]["resources"][0]["digest"] = OTHER_DIGEST
            await sends(s, f"hub/{SECRET}", forged)
            assert "has no registry.example.com/acme/checkout@sha256:cdcd" not in (await newest(s))[1]
            assert (await newest(s))[0] == "kept", "a digest that does not exist"
            assert len(s.state.releases) == 1
            told = [m.text for m in s.simulator.channel("#shop").messages if "is no release" in m.text]
            assert len(told) == 2
            status, _ = await s.call("POST", "/api/sources/hub/guessed", raw=raw(docker_hub()), headers={})
            assert status == 401
        assert registry.mistakes == []


async def test_a_registry_that_is_away_is_asked_again_and_people_hear_when_it_stays_away(tmp_path: Path) -> None:
    runs = {"from": "github", "event": "run", "repository": "acme/checkout", "image": f"{HOST}/acme/checkout:{{short}}"}
    async with RegistryStandIn({"acme/checkout:4f1d4f1d4f1d": DIGEST}).running() as registry:
        files = shop(sources=[runs])
        async with story(tmp_path, files, organisation=organisation(registry), environment=ENVIRONMENT) as s:
            registry.faults = [503, 429]
            body = workflow_run()
            await sends(s, "github", body, github_headers("workflow_run", raw(body)))
            state, note = await newest(s)
            assert (state, "answered 503" in note) == ("waiting", True)
            await s.advance(minutes=1)
            assert [r.digest for r in s.state.releases] == [DIGEST]
            registry.faults = [503] * 100
            body = workflow_run(run_number=483, head_sha="5e" * 20)
            await sends(s, "github", body, github_headers("workflow_run", raw(body), delivery="d-2"))
            await s.advance(hours=2)
            state, note = await newest(s)
            assert (state, "asked an hour" in note or "an hour" in note) == ("kept", True)
            assert any(
                "shop 483 was built, but it is no release" in m.text for m in s.simulator.channel("#shop").messages
            )


async def test_ancestors_changes_and_authors_come_from_the_code(tmp_path: Path) -> None:
    code = Repository.made(tmp_path / "code")
    first = code.commit("One", author=BOB)
    second = code.commit("Two\n\nCo-authored-by: Ann <ann@example.com>", author=BOB)
    code.git("checkout", "--quiet", "-b", "fix", first)
    fix = code.commit("Mend the first", author="carol@example.com")
    files = shop(sources=[TAGS], repository=str(code.path))
    async with story(tmp_path, files, organisation=organisation(), environment=ENVIRONMENT) as s:
        await pushes_tag(s, "v1", first)
        await pushes_tag(s, "v2", second)
        await s.ann.presses("Approve", on=s.card("v2"), confirm=True)
        await s.settle()
        assert "You had a part" in s.privately(s.ann)[-1], "a co-author approves nothing of their own"
        await pushes_tag(s, "v1.1", fix)
        found = by_version(s)
        assert {v: r.ancestors for v, r in found.items()} == {"v1": (), "v2": ("v1",), "v1.1": ("v1",)}
        assert found["v2"].contributors == ("ann@example.com", "bob@example.com")
        assert found["v1.1"].contributors == ("carol@example.com",)
        assert [c.title for c in found["v2"].changes] == ["Two"]


async def test_a_revert_that_git_wrote_mends_what_it_takes_back(tmp_path: Path) -> None:
    code = Repository.made(tmp_path / "code")
    first, bad = code.line_of(["One", "Break it"])
    code.git("revert", "--no-edit", bad)
    good = code.git("rev-parse", "HEAD")
    files = shop(sources=[TAGS], repository=str(code.path))
    async with story(tmp_path, files, organisation=organisation(), environment=ENVIRONMENT) as s:
        for tag, commit in (("v1", first), ("v2", bad), ("v3", good)):
            await pushes_tag(s, tag, commit)
        assert s.state.releases[-1].fixes == ("v2",)
        assert s.state.releases[-1].ancestors == ("v2", "v1")


async def test_code_that_cannot_be_asked_does_not_hold_a_release_for_ever(tmp_path: Path) -> None:
    files = shop(sources=[TAGS], repository=str(tmp_path / "nowhere"))
    async with story(tmp_path, files, organisation=organisation(), environment=ENVIRONMENT) as s:
        await pushes_tag(s, "v1", "4f1d" * 10)
        (release,) = s.state.releases
        assert release.ancestors is None, "unknown, so whatever was announced before it is suspected"
        state, note = await newest(s)
        assert state == "announced"
        assert "Its ancestors and authors are not known" in note
        assert "is no repository" in note


def by_version(s: Story) -> dict[str, Release]:
    return {r.version: r for r in s.state.releases}
