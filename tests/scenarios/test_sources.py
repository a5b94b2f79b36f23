"""Releases come from where they are built: what arrives is stored, understood, and put on the line by itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.integrations.sources.payloads import DIGEST, SECRET, SHA, github_headers, package, push, raw, workflow_run
from tests.scenarios.kit import Story, story
from tests.scenarios.props import people, shop

ENVIRONMENT = {"GITHUB_WEBHOOK_SECRET": SECRET}
ORGANISATION = people(sources={"github": {"with": {"secret_env": "GITHUB_WEBHOOK_SECRET"}}})
RUNS = {"from": "github", "event": "run", "repository": "acme/checkout", "workflow": "build.yml", "identity": "commit"}
IMAGES = {"from": "github", "event": "image", "repository": "acme/checkout"}


def built(*sources: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return shop(sources=list(sources), **more)


async def github_sends(
    s: Story, event: str, payload: object, *, delivery: str = "d-1", secret: str = SECRET, settle: bool = True
) -> tuple[int, Any]:
    body = raw(payload)
    headers = github_headers(event, body, delivery=delivery, secret=secret)
    status, answer = await s.call("POST", "/api/sources/github", raw=body, headers=headers)
    if settle:
        await s.settle()
    return status, answer


async def kept(s: Story) -> list[dict[str, Any]]:
    status, answer = await s.call("GET", "/api/sources/kept")
    assert status == 200
    return list(answer)


async def became(s: Story) -> list[tuple[str, str]]:
    status, answer = await s.call("GET", "/api/sources/received")
    assert status == 200
    return [(line["state"], line["note"]) for line in answer]


def said_in_channel(s: Story, words: str) -> list[str]:
    return [m.text for m in s.simulator.channel("#shop").messages if words in m.text]


async def test_a_run_on_the_main_branch_becomes_a_release(tmp_path: Path) -> None:
    async with story(tmp_path, built(RUNS), organisation=ORGANISATION, environment=ENVIRONMENT) as s:
        status, answer = await github_sends(s, "workflow_run", workflow_run())
        assert (status, answer["state"]) == (202, "waiting")
        assert "shop 482 is being announced" in answer["note"]
        (release,) = s.state.releases
        assert (release.version, release.digest, release.artifact) == ("482", f"sha256:git-{SHA}", SHA)
        assert release.announced_by.name == "github"
        assert s.running["beta-1"] == "482"
        assert "482" in s.card("482").text
        assert await became(s) == [("announced", "shop 482 is on the line.")]


async def test_a_replay_and_a_second_webhook_change_nothing(tmp_path: Path) -> None:
    async with story(tmp_path, built(RUNS), organisation=ORGANISATION, environment=ENVIRONMENT) as s:
        await github_sends(s, "workflow_run", workflow_run())
        status, answer = await github_sends(s, "workflow_run", workflow_run())
        assert (status, answer["state"]) == (202, "announced"), "the same delivery"
        await github_sends(s, "workflow_run", workflow_run(), delivery="d-2")
        assert [r.version for r in s.state.releases] == ["482"]
        assert s.starts().most_common(1)[0][1] == 1
        assert [state for state, _ in await became(s)] == ["announced", "announced"]


async def test_what_is_forged_is_refused_and_not_stored(tmp_path: Path) -> None:
    async with story(tmp_path, built(RUNS), organisation=ORGANISATION, environment=ENVIRONMENT) as s:
        status, answer = await github_sends(s, "workflow_run", workflow_run(), secret="somebody else's")
        assert (status, "not signed" in answer["detail"]) == (401, True)
        assert await became(s) == []
        status, answer = await s.call("POST", "/api/sources/gitlub", {}, headers={})
        assert (status, "Did you mean github" in answer["detail"]) == (404, True)
        assert s.state.releases == ()


async def test_ten_megabytes_are_taken_and_more_are_not(tmp_path: Path) -> None:
    async with story(tmp_path, built(RUNS), organisation=ORGANISATION, environment=ENVIRONMENT) as s:
        padding = "x" * (10 * 1024 * 1024 - 3_000)
        status, _ = await github_sends(s, "workflow_run", workflow_run() | {"padding": padding})
        assert status == 202
        assert [r.version for r in s.state.releases] == ["482"]
        status, answer = await github_sends(s, "workflow_run", workflow_run() | {"padding": padding + "x" * 4_000})
        assert (status, "larger than 10 MB" in answer["detail"]) == (413, True)


async def test_what_is_not_meant_is_listed_with_its_reason(tmp_path: Path) -> None:
    async with story(tmp_path, built(RUNS), organisation=ORGANISATION, environment=ENVIRONMENT) as s:
        runs: list[dict[str, Any]] = [
            {"head_branch": "feature"},
            {"path": ".github/workflows/lint.yml", "name": "Lint"},
            {"conclusion": "failure"},
            {"head_repository": {"full_name": "mallory/checkout"}},
            {"event": "pull_request"},
        ]
        for number, run in enumerate(runs):
            sent = workflow_run(**run)
            if "name" in run:
                sent["workflow"] = {"name": run["name"]}
            assert (await github_sends(s, "workflow_run", sent, delivery=f"d-{number}"))[1]["state"] == "ignored"
        notes = " ".join(note for _, note in await became(s))
        for words in (
            "shop wants what is built from main, and this is from feature",
            "shop wants runs of build.yml, and this is one of .github/workflows/lint.yml",
            "ended with failure", "builds of forks", "of a pull request",
        ):  # fmt: skip
            assert words in notes
        assert await kept(s) == [], "what was said to be of no interest is nothing to look at"
        await github_sends(s, "workflow_run", workflow_run("acme/search"), delivery="d-9")
        (line,) = await kept(s)
        assert "No pipeline takes a `run` of acme/search" in line["note"]
        assert s.state.releases == ()


async def test_tomorrows_version_is_kept_and_named(tmp_path: Path) -> None:
    async with story(tmp_path, built(RUNS), organisation=ORGANISATION, environment=ENVIRONMENT) as s:
        status, answer = await github_sends(s, "workflow_run", {"version": 2, "run": workflow_run()["workflow_run"]})
        assert (status, answer["state"]) == (202, "kept")
        assert "holds no run" in answer["note"]
        assert [line["note"] for line in await kept(s)] == [answer["note"]]


async def test_a_build_that_is_refused_is_told_in_the_channel_and_can_be_sent_again(tmp_path: Path) -> None:
    async with story(tmp_path, built(IMAGES), organisation=ORGANISATION, environment=ENVIRONMENT) as s:
        await s.announce("1.4.2", digest="sha256:another")
        await github_sends(s, "registry_package", package())
        (line,) = await kept(s)
        assert "1.4.2 was announced before with another artifact" in line["note"]
        (told,) = said_in_channel(s, "is no release")
        assert "shop 1.4.2 was built, but it is no release: 1.4.2 was announced before" in told
        assert "announce this artifact under a new version" in told
        status, answer = await github_sends(s, "registry_package", package())
        assert (status, answer["state"]) == (202, "waiting"), "somebody may have mended it"
        assert len(said_in_channel(s, "is no release")) == 1, "but it is not told twice"
        await github_sends(s, "registry_package", package(tag="1.4.3"), delivery="d-2")
        assert [(r.version, r.digest, r.artifact) for r in s.state.releases][-1] == (
            "1.4.3", DIGEST, f"ghcr.io/acme/checkout@{DIGEST}",
        )  # fmt: skip


async def test_an_image_without_a_tag_or_called_latest_is_no_version(tmp_path: Path) -> None:
    async with story(tmp_path, built(IMAGES), organisation=ORGANISATION, environment=ENVIRONMENT) as s:
        await github_sends(s, "registry_package", package(tag=""))
        await github_sends(s, "registry_package", package(tag="latest"), delivery="d-2")
        notes = [note for _, note in await became(s)]
        assert "`latest` is none" in notes[0]
        assert "this has none" in notes[1]
        assert s.state.releases == ()


async def test_what_was_stored_before_a_crash_is_announced_after_it(tmp_path: Path) -> None:
    tags = {"from": "github", "event": "tag", "repository": "acme/checkout", "tag": "v*", "identity": "commit"}
    async with story(tmp_path, built(tags), organisation=ORGANISATION, environment=ENVIRONMENT) as s:
        await github_sends(s, "push", push("refs/tags/v1.4.2"), settle=False)
        assert not any(s.state.releases)
        await s.restart()
        await s.settle()
        assert [r.version for r in s.state.releases] == ["v1.4.2"]
        assert (await github_sends(s, "push", push("refs/tags/nightly"), delivery="d-2"))[1]["state"] == "ignored"
