"""How hosts are reached: keys, agents and jumps; and who is not let in, or not believed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest

from core.errors import PermanentError, TransientError
from core.ports import Outcome
from integrations.hosts.deployer import HostsDeployer
from tests.integrations.hosts.servers import PASSPHRASE
from tests.integrations.hosts.world import World


async def refusal(world: World, deployer: HostsDeployer) -> str:
    """What is said where nothing may begin; and nothing has."""
    request = world.request("1", world.artifact())
    with pytest.raises(PermanentError) as refused:
        await deployer.start(request)
    assert PASSPHRASE not in f"{refused.value!r} {refused.value.__cause__!r} {refused.value.__context__!r}"
    assert await world.deployer.find(request.key) is None
    with pytest.raises(TransientError):
        await deployer.find(request.key)
    return refused.value.message


async def test_a_host_with_another_key_is_not_spoken_to(world: World, tmp_path: Path):
    """Somebody may stand in between; the file that says so is never left out."""
    strange = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
    known = tmp_path / "known_hosts"
    known.write_text(
        "".join(
            f"[127.0.0.1]:{server.port} {strange}\n" if server.name == "web-2" else server.known
            for server in world.servers.by_name.values()
        )
    )
    deployer = world.another_deployer(known_hosts=str(known))
    request = world.request("1", world.artifact())
    with pytest.raises(PermanentError, match=f"web-2 shows a host key that is not in {known}"):
        await deployer.start(request)
    assert await world.deployer.find(request.key) is None, "web-1 was not told either"


async def test_a_host_that_nobody_knows_is_not_spoken_to(world: World, tmp_path: Path):
    (tmp_path / "empty").touch()
    assert "shows a host key that is not in" in await refusal(
        world, world.another_deployer(known_hosts=str(tmp_path / "empty"))
    )
    said = await refusal(world, world.another_deployer(known_hosts=str(tmp_path / "missing")))
    assert said.startswith(f"There is no file {tmp_path}/missing")


async def test_a_key_that_opens_nothing(world: World, tmp_path: Path):
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(tmp_path / "other"))
    said = await refusal(world, world.another_deployer(key_file=str(tmp_path / "other")))
    assert "web-1 does not let" in said
    assert "authorized_keys" in said


async def test_a_key_that_cannot_be_read(world: World, tmp_path: Path):
    locked = str(world.servers.key_file)
    assert "without a passphrase?" in await refusal(world, world.another_deployer(key_file=locked))
    said = await refusal(world, world.another_deployer(key_file=locked, passphrase_env="NOT_SET"))
    assert said.startswith("The environment variable NOT_SET is not set")
    (tmp_path / "nonsense").write_text("no key\n")
    assert "cannot be used" in await refusal(world, world.another_deployer(key_file=str(tmp_path / "nonsense")))
    assert "cannot be read" in await refusal(world, world.another_deployer(key_file=str(tmp_path / "missing")))


async def test_a_wrong_passphrase_is_not_repeated(world: World):
    config = world.settings(key_file=str(world.servers.key_file), passphrase_env="DEPLOY_PASSPHRASE")
    deployer = HostsDeployer(*world.understood(config), environ={"DEPLOY_PASSPHRASE": f"not-{PASSPHRASE}"})
    said = await refusal(world, deployer)
    await deployer.close()
    assert said == f"The key {world.servers.key_file} cannot be used: the passphrase does not open it."


async def test_by_way_of_another_host(world: World):
    jump = world.servers["web-1"]
    before = {name: server.connections for name, server in world.servers.by_name.items()}
    world.deployer = world.another_deployer("web-2", "web-3", jump={"address": "127.0.0.1", "port": jump.port})
    assert (await world.deploy("1", world.artifact())).outcome is Outcome.SUCCEEDED
    after = {name: server.connections - before[name] for name, server in world.servers.by_name.items()}
    assert after == {"web-1": 1, "web-2": 1, "web-3": 1}
    jump.cut()
    assert (await world.deploy("2", world.artifact("second"))).outcome is Outcome.SUCCEEDED, "it is dialled again"


@pytest.fixture
def agent(world: World, tmp_path: Path) -> Iterator[dict[str, str]]:
    """An ssh-agent that holds the key that opens the hosts."""
    # The path of a socket must be short.
    socket = Path(os.path.relpath(tmp_path)) / "agent" if len(f"{tmp_path}/agent") > 100 else tmp_path / "agent"
    process = subprocess.Popen(("ssh-agent", "-D", "-a", str(socket)), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    environ = {"SSH_AUTH_SOCK": str(socket)}
    key = tmp_path / "agent_key"
    key.write_bytes(world.servers.open_key_file.read_bytes())
    key.chmod(0o600)
    try:
        subprocess.run(("ssh-add", "-q", str(key)), env={**os.environ, **environ}, check=True)
        yield environ
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        process.stdout.close()


async def test_by_an_agent(world: World, agent: dict[str, str]):
    config = world.settings(key_file=None, agent=True)
    deployer = HostsDeployer(*world.understood(config), environ=agent)
    assert (await deployer.running_version("all")).digest is None
    await deployer.close()
    without = HostsDeployer(*world.understood(config), environ={})
    assert (await refusal(world, without)).startswith("No ssh-agent is there")


async def test_a_connection_that_nobody_uses_is_ended(world: World):
    deployer = HostsDeployer(*world.understood(world.settings(), "web-1"), idle=0.01)
    server = world.servers["web-1"]
    before = server.connections
    await deployer.running_version("all")
    async with asyncio.timeout(30):
        while server.open:  # noqa: ASYNC110 - it is a process of its own
            await asyncio.sleep(0.02)
    await deployer.running_version("all")
    assert server.connections - before == 2
    await deployer.close()


async def test_records_are_for_nobody_else(world: World):
    await world.deploy("1", world.artifact())
    modes = {path.stat().st_mode & 0o777 for path in world.tmp_path.glob("web-*/.andon")}
    assert modes == {0o700}


async def test_a_runner_that_was_tidied_away_is_brought_again(world: World):
    await world.deploy("1", world.artifact())
    for runner in world.tmp_path.glob("*/.andon/runner-*"):
        runner.unlink()
    assert (await world.deployer.running_version("all")).version == "1"


async def test_a_target_that_is_gone_is_said(world: World):
    from dataclasses import replace

    ref = await world.deployer.start(world.request("1", world.artifact()))
    with pytest.raises(PermanentError, match="target gone is not in the definition any more"):
        await world.deployer.status(replace(ref, value=ref.value.replace("all:", "gone:")))
    with pytest.raises(PermanentError, match="not a reference"):
        await world.deployer.status(replace(ref, value="all:../../etc"))
    with pytest.raises(PermanentError, match="No host of all knows"):
        await world.deployer.status(replace(ref, value=f"all:{'0' * 40}"))
