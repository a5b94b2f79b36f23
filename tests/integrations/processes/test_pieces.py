"""The pieces without a process: shares, counts, last words, manifests, layouts, the memory of deployments."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.errors import PermanentError
from core.ports import Outcome
from integrations.processes.changes import Changes
from integrations.processes.config import Front, Layout, ProcessesTarget
from integrations.processes.counts import Latency
from integrations.processes.manifest import Manifest
from integrations.processes.shares import SmoothShares
from integrations.processes.state import REMEMBERED, Deployment, Order, State, Version
from integrations.processes.unit_log import LastWords, UnitLog

DIGEST = "sha256:" + "0" * 64


def test_ten_percent_is_every_tenth_request() -> None:
    shares = SmoothShares({"one-box": 10, "rest": 90})
    chosen = [shares.choose() for _ in range(100)]
    assert [Counter(chosen[start : start + 10])["one-box"] for start in range(91)] == [1] * 91


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 40), min_size=1))
def test_shares_are_exact_over_each_round(weights: dict[str, int]) -> None:
    shares = SmoothShares(weights)
    for _ in range(2):
        assert Counter(shares.choose() for _ in range(sum(weights.values()))) == Counter(weights)


def test_who_has_no_share_is_never_chosen() -> None:
    shares = SmoothShares({"a": 0, "b": 1})
    assert {shares.choose() for _ in range(5)} == {"b"}
    assert shares.choose({"a"}) is None
    assert SmoothShares({}).choose() is None


def test_quantiles_are_within_their_bucket() -> None:
    latency = Latency()
    assert latency.quantile(0.5) is None
    for milliseconds in range(1, 101):
        latency.add(milliseconds / 1000)
    assert latency.quantile(0.5) == pytest.approx(0.05, abs=0.01)
    assert latency.quantile(0.99) == pytest.approx(0.099, abs=0.01)
    latency.add(1000.0)
    assert latency.quantile(1.0) == 60.0


def test_last_words_are_clean_and_short_and_hide_secrets() -> None:
    words = LastWords(hide=["hunter-two"])
    words.add(b"noise\n" * 1000)
    words.add("\x1b[31mred\x1b[0m\x07 \u202eword\r\nthe password is hunter-two\n\xff\n".encode("latin-1", "ignore"))
    sentence = words.sentence(most_lines=3)
    assert "\x1b" not in sentence
    assert "\u202e" not in sentence
    assert "the password is …" in sentence
    assert sentence.startswith("red")


def test_a_log_is_bounded(tmp_path: Path) -> None:
    log = UnitLog(tmp_path / "rest-0.log", most_bytes=100)
    for number in range(100):
        log.write(f"line {number}\n".encode())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rest-0.log", "rest-0.log.1"]
    assert all(path.stat().st_size <= 100 for path in tmp_path.iterdir())
    assert (tmp_path / "rest-0.log").read_text().endswith("line 99\n")


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ([], "command"),
        (["{version}"], "name of a program"),
        (["app", "{version}"], "--version={version}"),
        (["sh", "-c", "echo x{version}"], "ANDON_VERSION"),
        (["/usr/bin/env", "bash", "-c", "run --v={version}"], "ANDON_VERSION"),
        ("app --port 1", "command"),
    ],
)
def test_a_command_that_could_run_a_version_is_refused(tmp_path: Path, command: object, why: str) -> None:
    (tmp_path / "andon-artifact.json").write_text(json.dumps({"command": command}))
    with pytest.raises(PermanentError) as refusal:
        Manifest.read(tmp_path)
    assert why in refusal.value.message


def test_places_are_filled_once() -> None:
    manifest = Manifest(command=("app", "--port={port}", "--v={version}", "{digest}", "{other}", "{target}"))
    words = manifest.arguments(port=1, target="t", version="{digest} $(x)", digest="d")
    assert words == ["app", "--port=1", "--v={digest} $(x)", "d", "{other}", "t"]


def test_shares_that_are_not_whole_are_refused() -> None:
    front = Front(name="shop", port=0)
    with pytest.raises(ValidationError, match="add up to 90 %"):
        Layout(front=front, targets={"a": ProcessesTarget(share=90)})
    with pytest.raises(ValidationError):
        Layout(front=front, targets={"../a": ProcessesTarget(share=100)})


def test_an_environment_is_not_shown() -> None:
    target = ProcessesTarget(share=100, env={"TOKEN": "hunter-two"})
    assert "hunter-two" not in repr(Layout(front=Front(name="shop", port=0), targets={"all": target}))


def test_the_oldest_that_are_over_are_forgotten_first() -> None:
    state = State()
    for number in range(REMEMBERED + 20):
        order = Order(
            key=f"k{number}", target="all", wanted=Version(digest=DIGEST, version="1"),
            batch_percent=1, healthy_percent=1, timeout=1,
        )  # fmt: skip
        outcome = Outcome.RUNNING if number == 3 else Outcome.SUCCEEDED
        state.remember(Deployment(id=f"d{number}", order=order, begun_at=datetime.now(UTC), outcome=outcome))
    assert len(state.deployments) == REMEMBERED
    assert [entry.id for entry in state.deployments[:2]] == ["d3", "d21"]


def test_a_damaged_state_is_never_taken_for_an_empty_one(tmp_path: Path) -> None:
    path = tmp_path / "shop.json"
    assert State.read(path) == State()
    State(port=7).write(path)
    assert State.read(path).port == 7
    path.write_text(path.read_text()[:-5])
    with pytest.raises(PermanentError, match="move it away"):
        State.read(path)


async def test_whoever_waits_looks_again_at_every_change() -> None:
    changes = Changes()
    seen: list[int] = []
    waiting = asyncio.create_task(changes.wait_until(lambda: len(seen) == 2))
    for number in range(2):
        await asyncio.sleep(0)
        seen.append(number)
        changes.notify()
    assert await waiting
    assert not await changes.wait_until(lambda: False, timeout=0)
