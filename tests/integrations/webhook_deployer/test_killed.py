"""A client killed while it waits for the answer to a start: whoever comes after finds the one deployment by its key."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

from core.ports import Outcome
from integrations.contract import over
from tests.integrations.webhook_deployer.receiver import WebhookReceiver, WebhookRig

ROOT = Path(__file__).parents[3]
VICTIM = """
import asyncio, json, sys
from tests.integrations.webhook_deployer.receiver import WebhookReceiver, WebhookRig
rig = WebhookRig(WebhookReceiver(url=sys.argv[1]))
async def live():
    ref = await rig.client().start(rig.request("k-1", version=sys.argv[2]))
    for verb in sys.argv[3:]:
        await getattr(rig.client(), verb)(ref)
    print("done", flush=True)
    await asyncio.sleep(60)
asyncio.run(live())
"""


async def killed(receiver: WebhookReceiver, version: str, *verbs: str, when: str = "") -> None:
    """A process that does so much and is killed then, or when the receiver was asked `when`."""
    victim = await asyncio.create_subprocess_exec(
        sys.executable, "-c", VICTIM, receiver.url, version, *verbs, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert victim.stdout is not None
    if when:
        while when not in receiver.asked:  # noqa: ASYNC110 - another process asks
            await asyncio.sleep(0.01)
    else:
        assert await victim.stdout.readline() == b"done\n"
    victim.kill()
    assert await victim.wait() == -signal.SIGKILL


async def test_killed_before_it_heard_the_answer() -> None:
    async with asyncio.timeout(60), WebhookReceiver(hangs="after").serving() as receiver:
        await killed(receiver, "1", when="POST /deployments")
        rig = WebhookRig(receiver)
        ref = await rig.client().find("k-1")
        assert ref is not None
        assert await rig.client().start(rig.request("k-1")) == ref
        assert (await over(rig, rig.client(), ref)).outcome is Outcome.SUCCEEDED
        assert len(receiver.jobs) == 1


async def test_killed_after_each_thing_it_asked() -> None:
    async with asyncio.timeout(60), WebhookReceiver().serving() as receiver:
        for number, (verbs, outcome) in enumerate(
            [
                (("status",), Outcome.SUCCEEDED),
                (("status", "status", "status"), Outcome.SUCCEEDED),
                (("status", "cancel"), Outcome.CANCELLED),
                (("cancel", "status"), Outcome.CANCELLED),
            ]
        ):
            receiver.jobs.clear()
            version = "endless" if outcome is Outcome.CANCELLED else "1"
            await killed(receiver, version, *verbs)
            rig = WebhookRig(receiver)
            ref = await rig.client().find("k-1")
            assert ref is not None, f"case {number}"
            assert json.loads(ref.value)["status"] == f"{receiver.url}/deployments/1"
            assert (await over(rig, rig.client(), ref)).outcome is outcome
            assert len(receiver.jobs) == 1
