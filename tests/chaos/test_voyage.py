"""Releases on clocks that jump and in programs that halt; and the mistakes that such a voyage must bring to light."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import TransientError
from core.ports import DeploymentRef, DeploymentRequest, DeploymentStatus
from integrations.scripted import OutsideWorld, ScriptedDeployer
from tests.chaos.voyage import sailed

FORGETFUL_OUTBOX = """
CREATE TRIGGER forget_first AFTER INSERT ON outbox WHEN NEW.attempts > 0
BEGIN UPDATE outbox SET attempts = 0 WHERE seq = NEW.seq; END;
CREATE TRIGGER forget_others AFTER UPDATE OF attempts ON outbox WHEN NEW.attempts > 0
BEGIN UPDATE outbox SET attempts = 0 WHERE seq = NEW.seq; END;
"""
"""Nobody ever knows that an earlier attempt may have reached the other side."""


@pytest.fixture(autouse=True)
def in_silence() -> Iterator[None]:
    """Every halt is logged with all that it interrupted."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.slow
async def test_nothing_is_lost_or_doubled_on_sqlite(tmp_path: Path) -> None:
    wrong, figures = await sailed(tmp_path, "calm seas", 6)
    assert wrong == [], figures
    assert figures["halts"] >= 1


@pytest.mark.slow
async def test_nothing_is_lost_or_doubled_by_two_on_one_database(tmp_path: Path, shared_url: str) -> None:
    wrong, figures = await sailed(tmp_path, "1", 6, database=shared_url, replicas=2)
    assert wrong == [], figures
    assert figures["halts"] >= 1


class Forgetful(ScriptedDeployer):
    """A deployer without keys: what is asked for again is begun again."""

    numbers = itertools.count()

    def __init__(self, world: OutsideWorld) -> None:
        super().__init__(world)
        self._outside = world

    async def start(self, request: DeploymentRequest) -> DeploymentRef:
        number = next(self.numbers)
        key = f"{request.key}#{number}"
        self._outside.begin(replace(request, key=key))
        if number == 0:
            raise TransientError("The answer to the first one is lost.")
        return DeploymentRef(request.key, key)

    async def find(self, key: str) -> DeploymentRef | None:
        return None

    async def status(self, ref: DeploymentRef) -> DeploymentStatus:
        return self._outside.poll(ref.value)

    async def cancel(self, ref: DeploymentRef) -> None:
        self._outside.cancel(ref.value)


@pytest.mark.slow
async def test_a_deployer_that_forgets_to_look_first_is_caught(tmp_path: Path) -> None:
    wrong, _ = await sailed(tmp_path, "forgetful", 5, deployer=Forgetful)
    assert any("was begun 2 times" in sentence for sentence in wrong), wrong


@pytest.mark.slow
async def test_an_outbox_that_forgets_its_attempts_is_caught(tmp_path: Path) -> None:
    wrong, _ = await sailed(tmp_path, "1", 6, mistake=FORGETFUL_OUTBOX)
    assert any("was posted 2 times" in sentence for sentence in wrong), wrong
