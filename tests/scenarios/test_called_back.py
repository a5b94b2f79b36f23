"""A deployer that is no program here but a service of others, which calls back: believed, refused, and heard once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.ports import Deployer
from integrations.pager import signature
from integrations.webhook_deployer.config import read
from integrations.webhook_deployer.deployer import WebhookDeployer
from tests.integrations.webhook_deployer.receiver import SECRET, TOKEN, WebhookReceiver
from tests.scenarios.kit import Story, story
from tests.scenarios.props import digest, shop

WAY = "/api/deployments/callback"


def line(receiver: WebhookReceiver) -> dict[str, Any]:
    settings = {
        "url": f"{receiver.url}/deployments",
        "running_url": f"{receiver.url}/running/{{target}}",
        "secret_env": "DEPLOY_SECRET",
        "token_env": "DEPLOY_TOKEN",
        "callback": f"https://andon.example.com{WAY}",
    }
    return shop(deployer={"use": "webhook", "with": settings})


def begun(s: Story) -> bool:
    deployment = s.state.targets[0].deployment
    return deployment is not None and bool(deployment.ref)


async def heard(s: Story, job: Mapping[str, Any], state: str, *, token: str = "", **more: Any) -> tuple[int, Any]:
    """The receiver calls Andon about a job."""
    body = {"protocol": 1, "pipeline": job["pipeline"], "key": job["key"], "state": state, **more}
    headers = {"Authorization": f"Bearer {token or job['callback']['token']}"}
    return await s.call("POST", WAY, body, headers=headers)


async def test_a_service_that_calls_back_is_heard_and_a_forged_call_is_not(tmp_path: Path) -> None:
    async with WebhookReceiver(has_status_url=False).serving() as receiver:

        def built(_name: str, settings: Mapping[str, Any], targets: Mapping[str, Mapping[str, Any]]) -> Deployer:
            config, known, problems = read(settings, targets)
            assert config is not None, problems
            environment = {"DEPLOY_SECRET": SECRET, "DEPLOY_TOKEN": TOKEN}
            return WebhookDeployer(config, known, environment=environment, clock=s.clock.now)

        async with story(tmp_path, line(receiver), build_deployer=built, start=False) as s:
            await s.start_bot()
            await s.announce("1.0.0", settle=False)
            await s.advance(seconds=30, until=lambda: begun(s))
            (job,) = (job.order for job in receiver.jobs.values())

            status, answer = await heard(s, job, "running", done=1, all=2)
            assert (status, answer["heard"]) == (200, True)
            assert s.state.targets[0].deployment is not None
            assert (s.state.targets[0].deployment.done_units, s.state.targets[0].deployment.all_units) == (1, 2)

            status, answer = await heard(s, job, "succeeded", token="made-up")
            assert (status, answer["detail"]) == (
                401,
                "This callback is not believed: its token is not the one of this deployment.",
            )
            status, answer = await s.call("POST", WAY, raw=b"[" * 1_010_000, headers={})
            assert (status, answer["detail"]) == (422, "A callback has at most 1000000 bytes.")
            status, answer = await s.call("POST", WAY, raw=b'{"key": 1}', headers={})
            assert (status, answer["detail"][:40]) == (422, "A callback must be a JSON object with th")
            assert s.state.targets[0].deployment is not None, "nothing of that counted"

            # It says that it is done, and something else runs: what runs is believed.
            receiver.running["beta-1"] = {"digest": "sha256:other", "version": "other"}
            status, answer = await heard(s, job, "succeeded", output=f"deployed with {SECRET}")
            assert (status, answer["heard"]) == (200, True)
            await s.settle()
            assert [t for t in s.thread("1.0.0") if "the deployer said it was done, but beta-1 runs other" in t]
            assert "deployed with •••" in s.told("1.0.0", "The deployment of 1.0.0 to beta-1 failed.")

            status, answer = await heard(s, job, "succeeded")
            assert (status, answer["heard"]) == (200, False), "it is over; a repeat does nothing"


async def test_a_signed_call_ends_a_deployment_at_once_and_its_output_is_shown(tmp_path: Path) -> None:
    async with WebhookReceiver(has_status_url=False).serving() as receiver:

        def built(_name: str, settings: Mapping[str, Any], targets: Mapping[str, Mapping[str, Any]]) -> Deployer:
            config, known, problems = read(settings, targets)
            assert config is not None, problems
            environment = {"DEPLOY_SECRET": SECRET, "DEPLOY_TOKEN": TOKEN}
            return WebhookDeployer(config, known, environment=environment, clock=s.clock.now)

        async with story(tmp_path, line(receiver), build_deployer=built, start=False) as s:
            await s.start_bot()
            await s.announce("1.0.0", settle=False)
            await s.advance(seconds=30, until=lambda: begun(s))
            (job,) = (job.order for job in receiver.jobs.values())
            receiver.running["beta-1"] = {"digest": digest("1.0.0"), "version": "1.0.0"}
            told = {"pipeline": "shop", "key": job["key"], "state": "succeeded", "output": f"logged in as {SECRET}\n"}
            body = json.dumps(told).encode()
            timestamp = str(int(s.clock.now().timestamp()))
            headers = {"X-Andon-Timestamp": timestamp, "X-Andon-Signature": signature(SECRET, timestamp, body)}
            status, answer = await s.call("POST", WAY, raw=body, headers=headers)
            assert (status, answer) == (200, {"heard": True, "note": ""})
            await s.settle()
            assert s.stage_phase("beta") is None, "beta is done"
            assert "logged in as •••" in s.told("1.0.0", "The deployment of 1.0.0 to beta-1 is done.")
            await s.restart()
            current = s.state.targets[0].current
            assert current is not None
            assert current.digest == digest("1.0.0")
