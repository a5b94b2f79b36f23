"""The company of the benchmark: 64 services, each with a release that waits for approval, and eight people.

`prepare` makes its configuration and its database once; every measured process begins on a copy of them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Final

from bot.adapter_settings import deployer_problems, test_problems
from bot.app import App, Parts, running
from bot.definitions import load_directory
from bot.settings import Settings
from core.releases.events import ApproveRequested, ReleaseAnnounced
from core.releases.state import Change
from core.releases.world import Actor, Via
from integrations.scripted import OutsideWorld, ScriptedDeployer

SERVICES: Final = 64
PEOPLE: Final = 8
TEAM: Final = "T0BENCH"
SIGNING_SECRET: Final = "signing-secret"
BOT_TOKEN: Final = "xoxb-test"
ALARM_TOKEN: Final = "bench-admin"
LOOK_AGAIN: Final = timedelta(milliseconds=50)
CI: Final = Actor("ci", "CI", Via.API, is_person=False)

# The first stage asks for an approval, so each pipeline holds one release that waits and hears of every act.
PIPELINE: Final = """\
service: {name}
team: shop
channel: "#{name}"
deployer:
  use: processes
  with: {{root: {state}/{name}, front: {{name: {name}, port: {port}}}}}
stages:
  - name: beta
    targets: [{{name: {name}-beta, with: {{units: 1, share: 5}}}}]
    approval: {{count: 1, by: approvers}}
    bake: 0s
  - {{name: gamma, targets: [{{name: {name}-gamma, with: {{units: 1, share: 5}}}}], bake: 0s}}
  - {{name: one-box, group: production, targets: [{{name: {name}-1, with: {{units: 1, share: 10}}}}], bake: 0s}}
  - {{name: wave-1, group: production, targets: [{{name: {name}-2, with: {{units: 2, share: 30}}}}], bake: 0s}}
  - {{name: wave-2, group: production, targets: [{{name: {name}-3, with: {{units: 2, share: 50}}}}], bake: 0s}}
alarms:
  - {{name: {name}-errors, source: alertmanager, scope: production, match: {{alertname: Errors}}, silence_is: ok}}
"""
TARGETS: Final = ("beta", "gamma", "1", "2", "3")


def service(number: int) -> str:
    """The name of a service, which is that of its pipeline and its channel too."""
    return f"service-{number}"


def person(number: int) -> str:
    """Somebody's Slack id."""
    return f"U0PERSON{number}"


def outside() -> OutsideWorld:
    """The world outside: version 1.0.0 of everything runs everywhere."""
    world = OutsideWorld()
    for number in range(SERVICES):
        for target in TARGETS:
            world.replace(f"{service(number)}-{target}", digest(number, "1.0.0"), "1.0.0")
    return world


def parts(world: OutsideWorld) -> Parts:
    """The bot's real parts, but for the deployer: nothing is deployed while it is measured, and no process is left."""
    return Parts(build_deployer=lambda _name, _settings, _targets: ScriptedDeployer(world), has_canaries=False)


def digest(number: int, version: str) -> str:
    """The digest of a version of a service."""
    return f"sha256:{number:03}{version.replace('.', '')}"


def prepare(folder: Path) -> dict[str, str]:
    """Write the configuration, and a database in which 1.0.0 went all the way and 1.2.0 waits for its approval.

    Returns the id of the release that waits, by service.
    """
    config, state = folder / "config", folder / "state"
    (config / "pipelines").mkdir(parents=True)
    state.mkdir()
    people = {f"person-{n}": {"name": f"Person {n}", "slack": person(n)} for n in range(PEOPLE)}
    organisation = {
        "people": people,
        "groups": {"approvers": list(people)},
        "teams": {"shop": {"members": list(people), "owners": list(people)[:2], "on_call": "approvers"}},
    }
    # JSON is YAML too.
    (config / "org.yaml").write_text(json.dumps(organisation))
    for number in range(SERVICES):
        name = service(number)
        text = PIPELINE.format(name=name, state=state, port=20_000 + number)
        (config / "pipelines" / f"{name}.yaml").write_text(text)
    return asyncio.run(_release(Settings.from_environment(environment(folder, state))))


async def _release(settings: Settings) -> dict[str, str]:
    definitions = load_directory(settings.config, deployer_problems, test_problems)
    assert definitions.is_good, [str(finding) for finding in definitions.findings[:3]]
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    async with running(settings, definitions, parts(OutsideWorld())) as app:
        engine = app.engine
        for version in ("1.0.0", "1.1.0", "1.2.0"):
            for number in range(SERVICES):
                await engine.submit(service(number), _announced(number, version))
            if version == "1.0.0":
                approver = Actor("person-7", "Person 7", Via.SLACK)
                for name in engine.pipelines():
                    await engine.submit(name, ApproveRequested(by=approver, version=version))
                await _until_deployed(app)
        await app.outbox.settle()
        return {s.id: r.id for s in engine.pipelines().values() for r in s.releases if r.is_live}


async def _until_deployed(app: App) -> None:
    """The deployer is asked again and again by the outbox, at its own pace."""
    async with asyncio.timeout(120):
        while any(r.is_live for s in app.engine.pipelines().values() for r in s.releases):
            await app.engine.clock.wait(app.engine.now() + LOOK_AGAIN, asyncio.Event())


def _announced(number: int, version: str) -> ReleaseAnnounced:
    changes = tuple(
        Change(id=f"#{n}", title=f"Change number {n} of the shop", authors=(f"person-{n}",)) for n in (1, 2, 3)
    )
    what = digest(number, version)
    return ReleaseAnnounced(version=version, digest=what, artifact=what, by=CI, changes=changes)


def environment(folder: Path, state: Path) -> dict[str, str]:
    """The settings of a process that works on `state`."""
    return {"ANDON_CONFIG": str(folder / "config"), "ANDON_STATE": str(state), "PORT": "0"}


def copy(folder: Path, to: Path) -> dict[str, str]:
    """A fresh copy of the prepared state; returns the settings of a process that works on it."""
    shutil.copytree(folder / "state", to)
    return environment(folder, to)
