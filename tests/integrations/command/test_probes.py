"""What runs, and whether it is healthy: good, bad and unknown, asked of programs and of addresses."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from core.errors import TransientError
from core.ports import DeploymentStatus, Outcome, RunningVersion
from tests.integrations.command.world import SECRET, World


def says(text: str, status: int = 0) -> list[str]:
    return [
        sys.executable,
        "-I",
        "-S",
        "-c",
        "import sys; print(sys.argv[1]); sys.exit(int(sys.argv[2]))",
        text,
        str(status),
    ]


@dataclass
class Service:
    """What an address answers, one after the other; the last one stays."""

    answers: list[tuple[int, str]]
    asked: list[Mapping[str, str]] = field(default_factory=list)
    url: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append({"path": request.path, **{key.lower(): value for key, value in request.headers.items()}})
        status, text = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return web.Response(status=status, text=text, headers={"Location": "/elsewhere"} if status == 302 else None)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    made = Service([(200, "")])
    application = web.Application()
    application.router.add_get("/{path:.*}", made.answer)
    runner = web.AppRunner(application, access_log=None, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ('{"version": "1.2", "digest": "sha256:9"}', RunningVersion("sha256:9", "1.2")),
        ('{"digest": "sha256:9", "mixed": true, "host": "x"}', RunningVersion("sha256:9", None, True)),
        ('{"digest": null}', RunningVersion(None)),
        ("sha256:9", RunningVersion("sha256:9")),
        ("1.2", RunningVersion("version:1.2", "1.2")),
    ],
)
async def test_what_runs_is_said_as_json_or_in_one_line(tmp_path: Path, said: str, seen: RunningVersion) -> None:
    assert await World(tmp_path, {"running": says(said)}).connect().running_version("web-1") == seen


async def test_a_version_deployed_from_here_is_known_by_either_of_its_names(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        world = World(tmp_path, {"run": says("done"), "running": None})
        deployer = world.connect()
        ref = await deployer.start(world.request(f"k-{number}", digest=f"sha256:{number}", version=f"1.{number}"))
        assert (await deployer.wait(ref, 20)).outcome is Outcome.SUCCEEDED
    for said in ("1.1", "sha256:1"):
        seen = await World(tmp_path, {"running": says(said)}).connect().running_version("web-1")
        assert seen == RunningVersion("sha256:1", "1.1")


@pytest.mark.parametrize(
    ("probe", "said"),
    [
        (says(""), "it said nothing"),
        (says("one\ntwo"), "it said something else"),
        (says("{not json"), "not understood"),
        (says('{"version": 7}'), "must say `digest` and `version` as text"),
        (says('{"host": "x"}'), "not understood"),
        (says("down", 1), "could not tell what runs: ended with status 1 and said: down"),
        (["/no/such/probe"], "cannot be run: No such file or directory"),
        (
            {"run": [sys.executable, "-c", "import time; time.sleep(60)"], "timeout": "200ms"},
            "did not end within 0.2 s",
        ),
        ("http://127.0.0.1:1/version", "there is no connection"),
    ],
)
async def test_what_cannot_be_told_is_unknown(tmp_path: Path, probe: Any, said: str) -> None:
    with pytest.raises(TransientError) as unknown:
        await World(tmp_path, {"running": probe}).connect().running_version("web-1")
    assert said in unknown.value.message


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        (500, "", "answered 500"),
        (302, "sha256:9", "answered 302"),
        (404, "sha256:9", "answered 404"),
        (200, "x" * 200_000, "larger than"),
        (200, "", "it said nothing"),
    ],
)
async def test_an_address_that_answers_oddly_is_unknown(
    tmp_path: Path, service: Service, status: int, text: str, said: str
) -> None:
    service.answers = [(status, text)]
    with pytest.raises(TransientError) as unknown:
        await World(tmp_path, {"running": f"{service.url}/version"}).connect().running_version("web-1")
    assert said in unknown.value.message
    assert len(service.asked) == 1, "redirects are not followed"


async def test_an_address_is_asked_for_a_target_with_a_token(tmp_path: Path, service: Service) -> None:
    service.answers = [(200, '{"digest": "sha256:9"}')]
    world = World(tmp_path, {"running": {"url": f"{service.url}/{{target}}/version", "token_env": "DEPLOY_TOKEN"}})
    assert (await world.connect().running_version("web-1")).digest == "sha256:9"
    assert service.asked[0]["path"] == "/web-1/version"
    assert service.asked[0]["authorization"] == f"Bearer {SECRET}"


async def judged(world: World) -> tuple[DeploymentStatus, RunningVersion]:
    deployer = world.connect()
    ref = await deployer.start(world.request("k-1"))
    async with asyncio.timeout(30):
        while (status := await deployer.wait(ref, 5)).outcome is Outcome.RUNNING:
            pass
    assert (await world.connect().wait(ref, 5)).outcome is status.outcome
    return status, await world.connect().running_version("web-1")


def healthy(probe: Any, **more: Any) -> dict[str, Any]:
    wanted = {"run": probe} if isinstance(probe, list) else {"url": probe}
    return {"run": says("done"), "running": None, "health": {**wanted, "within": "300ms", "every": "20ms", **more}}


async def test_good_health_makes_it_a_success(tmp_path: Path, service: Service) -> None:
    service.answers = [(500, ""), (200, ""), (503, ""), (200, ""), (200, "")]
    status, seen = await judged(World(tmp_path, healthy(f"{service.url}/{{digest}}", times=2, within="30s")))
    assert (status.outcome, seen.digest) == (Outcome.SUCCEEDED, "sha256:1")
    assert len(service.asked) == 5, "twice in a row, and never again"
    assert service.asked[0]["path"] == "/sha256:1"


@pytest.mark.parametrize("probe", [says("no database", 1), "/health"])
async def test_bad_health_makes_it_a_failure(tmp_path: Path, service: Service, probe: Any) -> None:
    service.answers = [(500, "")]
    probe = f"{service.url}{probe}" if isinstance(probe, str) else probe
    status, seen = await judged(World(tmp_path, healthy(probe)))
    assert status.outcome is Outcome.FAILED
    assert status.message.startswith("its program ended well, but web-1 is not healthy: The probe")
    assert (seen.digest, seen.is_mixed) == (None, True), "nobody claims that it runs"
    service.answers = [(200, "")]
    world = World(tmp_path, healthy(probe))
    ref = await world.connect().find("k-1")
    assert ref is not None
    assert (await world.connect().status(ref)).outcome is Outcome.FAILED, "final stays final"


@pytest.mark.parametrize("probe", [says("busy", 75), "/health", ["/no/such/probe"]])
async def test_unknown_health_is_neither(tmp_path: Path, service: Service, probe: Any) -> None:
    service.answers = [(503, "")]
    probe = f"{service.url}{probe}" if isinstance(probe, str) else probe
    status, seen = await judged(World(tmp_path, healthy(probe)))
    assert status.outcome is Outcome.UNKNOWN
    assert status.message.startswith("Nobody can tell whether web-1 is healthy: The probe")
    assert (seen.digest, seen.is_mixed) == (None, True)


async def test_unknown_health_that_is_known_at_last_is_a_success(tmp_path: Path, service: Service) -> None:
    service.answers = [(503, "")]
    world = World(tmp_path, healthy(f"{service.url}/health"))
    assert (await judged(world))[0].outcome is Outcome.UNKNOWN
    service.answers = [(200, "")]
    ref = await world.connect().find("k-1")
    assert ref is not None
    assert (await world.connect().status(ref)).outcome is Outcome.SUCCEEDED
