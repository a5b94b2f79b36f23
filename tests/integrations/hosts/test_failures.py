"""What goes wrong on hosts: one of three verdicts, a sentence, and a host that serves what it served."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from core.errors import ArtifactMissing, PermanentError
from core.ports import Outcome
from tests.integrations.hosts.world import STARTS, World


def runs(world: World, host: str) -> str:
    """What a host's service says it runs."""
    path = world.root(host) / "runs"
    return path.read_text().strip() if path.exists() else ""


async def test_a_host_that_fails_goes_back_and_no_other_begins(world: World):
    first = world.artifact("first")
    await world.deploy("1", first)
    second = world.artifact("second", f'[ "$ANDON_HOST" != web-2 ] || {{ echo no database; exit 7; }}\n{STARTS}')
    status = await world.deploy("2", second)
    assert status.outcome is Outcome.FAILED
    assert status.message == (
        "web-2: its start failed: sh ended with 7; it runs what it ran before. 1 of 3 hosts runs 2."
    )
    assert "no database" in status.output
    old, new = world.request("1", first).digest, world.request("2", second).digest
    assert [runs(world, name) for name in world.servers.by_name] == [new, old, old]
    seen = await world.deployer.running_version("all")
    assert (seen.digest, seen.is_mixed) == (old, True)
    assert (await world.deploy("1", first, is_rollback=True)).outcome is Outcome.SUCCEEDED
    seen = await world.deployer.running_version("all")
    assert (seen.digest, seen.version, seen.is_mixed) == (old, "1", False)


async def test_a_host_that_is_not_healthy_in_time_goes_back(world: World):
    await world.deploy("1", world.artifact("first"))
    status = await world.deploy("2", world.artifact("second", "true\n"))
    assert status.outcome is Outcome.FAILED
    assert status.message.startswith("web-1: it was not healthy within 200ms")
    assert "it runs what it ran before" in status.message
    assert runs(world, "web-1") == world.request("1", world.artifact("first")).digest
    assert not (world.root("web-1") / "drained").exists(), "it has its traffic again"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"start": ["{release}/missing"]}, "/missing on this host"),
        ({"start": ["/etc"]}, "its start failed: /etc could not be run"),
        ({"start": ["false"]}, "its start failed: false ended with 1"),
        ({"undrain": ["false"]}, "its undrain failed: false ended with 1"),
        ({"health": {"url": "http://127.0.0.1:9/", "within": "200ms", "every": "20ms"}}, "it was not healthy within"),
    ],
)
async def test_a_command_that_fails_is_named(world: World, settings: dict[str, Any], sentence: str):
    world.deployer = world.another_deployer("web-1", **settings)
    status = await world.deploy("1", world.artifact())
    assert status.outcome is Outcome.FAILED
    assert sentence in status.message
    assert "nothing ran before, and nothing runs now" in status.message
    assert (await world.deployer.running_version("all")).digest is None


async def test_a_program_that_is_missing_is_noticed_before_anything_begins(world: World):
    for more in ({"undrain": ["no-such-program", "x"]}, {"health": {"command": ["no-such-program"]}}):
        deployer = world.another_deployer(**more)
        request = world.request("1", world.artifact())
        with pytest.raises(PermanentError, match="web-1: the program no-such-program is missing"):
            await deployer.start(request)
        assert await world.deployer.find(request.key) is None


async def test_a_drain_that_fails_leaves_the_host_alone(world: World):
    world.deployer = world.another_deployer("web-1")
    first = world.artifact("first")
    await world.deploy("1", first)
    world.deployer = world.another_deployer("web-1", drain=["false"])
    status = await world.deploy("2", world.artifact("second"))
    assert status.message == (
        "web-1: its drain failed: false ended with 1; it runs what it ran before. 0 of 1 host run 2."
    )
    seen = await world.deployer.running_version("all")
    assert (seen.digest, seen.is_mixed) == (world.request("1", first).digest, False)


async def test_a_command_that_hangs_is_killed_with_all_it_began(world: World):
    world.deployer = world.another_deployer("web-1", patience={"command": "300ms"})
    pids = world.tmp_path / "pids"
    source = world.artifact("hangs", f"sleep 600 & echo $! $$ >{pids}\nwait\n")
    status = await world.deploy("1", source)
    assert status.outcome is Outcome.FAILED
    assert "its start failed: sh took longer than 0.3 s and was killed" in status.message
    assert not [pid for pid in pids.read_text().split() if is_alive(int(pid))]


async def test_a_job_that_is_killed_on_the_host_is_a_failure(world: World):
    world.deployer = world.another_deployer("web-1")
    await world.deploy("0", world.artifact())
    ref = await world.deployer.start(world.request("1", world.artifact("endless", "exec sleep 600\n")))
    await world.until(ref, lambda status: "web-1 starts" in status.message)
    job = max((world.root("web-1") / ".andon/jobs").glob("*/pid"), key=lambda path: path.stat().st_mtime_ns)
    children = _children(int(job.read_text()))
    os.kill(int(job.read_text()), signal.SIGKILL)
    for child in children:
        os.kill(child, signal.SIGTERM)
    status = await world.over(ref)
    assert status.outcome is Outcome.FAILED
    assert "web-1: its job was cut off at the step start; was the host restarted?" in status.message
    seen = await world.deployer.running_version("all")
    assert seen.is_mixed, "it is not known to be healthy"
    status = await world.deploy("2", world.artifact("bad", "exit 3\n"))
    assert "it runs what it ran before" in status.message, "what was found healthy, not what was cut off"
    seen = await world.deployer.running_version("all")
    assert (seen.version, seen.is_mixed) == ("0", False)


def is_alive(pid: int) -> bool:
    """Whether a process runs; what has ended and was not collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_a_cancelled_host_goes_back(world: World):
    first = world.artifact("first")
    await world.deploy("1", first)
    ref = await world.deployer.start(world.request("2", world.artifact("endless", "exec sleep 600\n")))
    await world.until(ref, lambda status: "web-1 starts" in status.message)
    await world.deployer.cancel(ref)
    status = await world.over(ref)
    assert status.outcome is Outcome.CANCELLED
    assert status.message == "Stopped when asked to. 0 of 3 hosts run 2."
    seen = await world.deployer.running_version("all")
    assert (seen.digest, seen.is_mixed) == (world.request("1", first).digest, False)


async def test_what_takes_longer_than_it_may_begins_no_further_host(world: World):
    source = world.artifact("slow", f"sleep 1.2\n{STARTS}")
    status = await world.deploy("1", source, timeout=timedelta(seconds=1))
    assert status.outcome is Outcome.FAILED
    assert status.message.startswith("It did not finish within 1 s.")
    assert runs(world, "web-3") == ""


async def test_a_newer_deployment_takes_the_place_of_one_that_was_given_up(world: World):
    old = await world.deployer.start(world.request("1", world.artifact("first")))
    assert (await world.deploy("2", world.artifact("second"))).outcome is Outcome.SUCCEEDED
    status = await world.over(old)
    assert (status.outcome, status.message) == (
        Outcome.CANCELLED,
        "Another deployment took its place. 0 of 3 hosts run 1.",
    )
    assert (await world.deployer.running_version("all")).version == "2"


async def test_a_version_is_text_and_nothing_more(world: World):
    version = f'1\'; touch {world.tmp_path}/pwned; $(touch {world.tmp_path}/pwned) `id` \\n "é" {{root}}'
    source = world.artifact("told", f'printf "%s" "$ANDON_VERSION" >"$ANDON_ROOT/version"\n{STARTS}')
    world.deployer = world.another_deployer("web-1", drain=["true", "v={version}"])
    assert (await world.deploy(version, source)).outcome is Outcome.SUCCEEDED
    assert (world.root("web-1") / "version").read_text() == version
    assert (await world.deployer.running_version("all")).version == version
    assert not (world.tmp_path / "pwned").exists()


# ---- artifacts ------------------------------------------------------------------------------------------------------


async def test_an_artifact_that_is_gone_or_another_is_refused_before_anything_begins(world: World):
    missing = world.request("1", world.artifact())
    world.artifact().unlink()
    with pytest.raises(ArtifactMissing, match="cannot be read on Andon's machine"):
        await world.deployer.start(missing)
    with pytest.raises(ArtifactMissing, match="say with `fetch`"):
        await world.deployer.start(world.request("1", world.artifact("x"), artifact="builds/17"))
    with pytest.raises(PermanentError, match="64 hexadecimal digits"):
        await world.deployer.start(world.request("1", world.artifact("x"), digest="sha256:17"))
    assert await world.deployer.find(missing.key) is None


async def test_a_disk_that_is_full_fails_before_anything_is_switched(world: World):
    request = world.request("1", world.artifact())
    incoming = world.root("web-2") / ".andon/incoming"
    incoming.mkdir(parents=True)
    (incoming / request.digest.removeprefix("sha256:")).symlink_to("/dev/full")
    status = await world.over(await world.deployer.start(request))
    assert status.outcome is Outcome.FAILED
    assert status.message.startswith("web-2: the artifact could not be stored there")
    assert "is the disk full?" in status.message
    assert (await world.deployer.running_version("all")).digest is None


async def test_a_directory_that_cannot_be_made_is_refused(world: World):
    (world.tmp_path / "web-1").write_text("a file, where a directory should be")
    with pytest.raises(PermanentError, match=r"web-1: .*/\.andon cannot be written to: .*"):
        await world.deployer.start(world.request("1", world.artifact()))
    assert await world.deployer.find("key-1") is None


async def test_what_is_no_archive_cannot_be_unpacked(world: World):
    source = world.tmp_path / "not.tar.gz"
    source.write_text("this is no archive")
    status = await world.deploy("1", source)
    assert status.outcome is Outcome.FAILED
    assert "web-1: it could not be unpacked: tar ended with 2" in status.message
    assert status.output


async def test_an_upload_goes_on_where_it_was_cut_off(world: World):
    source = world.artifact("big", blob=os.urandom(700_000))
    request = world.request("1", source)
    name = request.digest.removeprefix("sha256:")
    part = world.root("web-1") / ".andon/incoming" / name
    part.parent.mkdir(parents=True)
    part.write_bytes(source.read_bytes()[:500_000])
    spoilt = world.root("web-2") / ".andon/incoming" / name
    spoilt.parent.mkdir(parents=True)
    spoilt.write_bytes(b"x" * 10)
    world.deployer = world.another_deployer("web-1")
    assert (await world.over(await world.deployer.start(request))).outcome is Outcome.SUCCEEDED
    world.deployer = world.another_deployer("web-2")
    status = await world.deploy("1", source)
    assert status.outcome is Outcome.FAILED, "nothing is unpacked that is not what was announced"
    assert "web-2: what arrived is not what was announced (its sha256 differs)" in status.message
    assert (await world.deploy("1", source)).outcome is Outcome.SUCCEEDED, "the next begins anew"


@contextlib.asynccontextmanager
async def served(content: bytes) -> AsyncIterator[str]:
    """An address that gives `content` under /good, something else under /other, and 404 otherwise."""
    app = web.Application()

    async def give(request: web.Request) -> web.Response:
        body = {"good": content, "other": b"something else"}.get(request.match_info["name"])
        return web.Response(body=body) if body is not None else web.Response(status=404)

    app.router.add_get("/{name}", give)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_hosts_fetch_an_artifact_by_its_address_and_judge_it_by_its_digest(world: World):
    source = world.artifact()
    async with served(source.read_bytes()) as address:
        status = await world.deploy("1", source, artifact=f"{address}/other")
        assert status.outcome is Outcome.FAILED
        assert "what arrived is not what was announced" in status.message
        status = await world.deploy("1", source, artifact=f"{address}/nowhere")
        assert status.outcome is Outcome.FAILED
        assert "it could not be fetched: curl ended with 22" in status.message
        assert (await world.deploy("1", source, artifact=f"{address}/good")).outcome is Outcome.SUCCEEDED
    seen = await world.deployer.running_version("all")
    assert seen.digest == f"sha256:{hashlib.sha256(source.read_bytes()).hexdigest()}"


async def test_a_program_of_the_host_may_fetch(world: World):
    source = world.artifact()
    world.deployer = world.another_deployer("web-1", fetch=["cp", "--", f"{source.parent}/{{artifact}}", "{file}"])
    assert (await world.deploy("1", source, artifact=source.name)).outcome is Outcome.SUCCEEDED


async def test_a_service_that_says_it_runs_something_else_is_believed(world: World):
    await world.deploy("1", world.artifact())
    (world.root("web-2") / "runs").write_text(f"sha256:{'a' * 64}\n")
    seen = await world.deployer.running_version("all")
    assert (seen.digest, seen.is_mixed) == (world.request("1", world.artifact()).digest, True)
    (world.root("web-2") / "runs").unlink()
    assert (await world.deployer.running_version("all")).is_mixed, "it does not answer: nothing runs there"
