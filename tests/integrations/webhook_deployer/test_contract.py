"""The deployer `webhook` keeps the contract, whether a start that timed out had arrived or not."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from integrations.contract import DeployerContract, Rig
from tests.integrations.webhook_deployer.receiver import WebhookReceiver, WebhookRig


class TestWebhook(DeployerContract):
    @pytest.fixture(params=["after", "before"])
    async def rig(self, request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
        async with WebhookReceiver().serving() as receiver:
            yield WebhookRig(receiver, request.param)
