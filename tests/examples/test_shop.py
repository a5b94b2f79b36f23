"""The example shop: it starts at once, sells, breaks by version, and is built alike every time."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from examples.shop.build import build
from integrations.processes.artifacts import ArtifactStore, digest_of
from integrations.processes.manifest import Manifest

PAGE = {"Accept": "text/html"}
FORM = {**PAGE, "Content-Type": "application/x-www-form-urlencoded"}


class Unit:
    """One running unit and how long it took to answer."""

    def __init__(self, artifact: Path, switch: Path, target: str = "one-box") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        version = json.loads((artifact / "shop" / "version.json").read_text())["version"]
        command = Manifest.read(artifact).arguments(port=self.port, target=target, version=version, digest="")
        ours = {"ANDON_VERSION": version, "ANDON_TARGET": target, "SHOP_SWITCH": str(switch)}
        began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, *command[1:]], cwd=artifact, env={**os.environ, **ours, "PYTHONDONTWRITEBYTECODE": "1"}
        )
        while self._refused():
            assert self.process.poll() is None
            assert time.monotonic() - began < 10
        self.took = time.monotonic() - began

    def _refused(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) != 0

    def ask(
        self, path: str, body: object = None, headers: dict[str, str] | None = None, method: str | None = None
    ) -> tuple[HTTPResponse, str]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            sent = body if body is None or isinstance(body, str) else json.dumps(body)
            kind = {"Content-Type": "application/json"} if isinstance(body, dict) else {}
            connection.request(method or ("GET" if body is None else "POST"), path, sent, {**kind, **(headers or {})})
            answer = connection.getresponse()
            return answer, answer.read().decode()
        finally:
            connection.close()

    def metric(self, name: str) -> float:
        _, text = self.ask("/metrics")
        return float(next(row.split()[-1] for row in text.splitlines() if row.startswith(name)))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Unit]]:
    units: list[Unit] = []

    def begin(version: str, **more: Any) -> Unit:
        units.append(Unit(build(version, tmp_path / "built"), tmp_path / "switch.json", **more))
        return units[-1]

    yield begin
    for unit in units:
        unit.process.terminate()
        assert unit.process.wait(10) == 0


def test_it_starts_at_once_and_shows_what_it_is(start: Callable[..., Unit]) -> None:
    unit = start("1.4.2")
    assert unit.took < 2, "half a second on a quiet machine"
    answer, page = unit.ask("/", headers=PAGE)
    assert answer.status == 200
    assert "Version <strong>1.4.2</strong>, served by <strong>one-box</strong>" in page
    assert '<button class="break" aria-label="Break it: version 1.4.2">Break it</button>' in page
    assert unit.ask("/healthz")[0].status == 200
    assert unit.ask("/nowhere")[0].status == 404
    head, body = unit.ask("/", method="HEAD")
    assert (head.status, body) == (200, "")


def test_somebody_buys(start: Callable[..., Unit]) -> None:
    unit = start("1.4.2")
    cookie = ""
    for _ in range(2):
        answer, _ = unit.ask("/basket", urlencode({"item": "mug"}), {**FORM, "Cookie": cookie})
        assert (answer.status, answer.headers["Location"]) == (303, "/")
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
    _, page = unit.ask("/", headers={**PAGE, "Cookie": cookie})
    assert "2 × Stoneware mug" in page
    assert "€ 24.00" in page
    answer, _ = unit.ask("/buy", "", {**FORM, "Cookie": cookie})
    assert answer.status == 303
    assert "Thank you!" in unit.ask(answer.headers["Location"], headers=PAGE)[1]
    answer, told = unit.ask("/buy", {"item": "tea"})
    assert (answer.status, json.loads(told)["total"]) == (200, 450)
    assert unit.ask("/buy", {"item": "moon"})[0].status == 400
    assert unit.metric("shop_orders_total") == 2
    assert unit.metric("shop_errors_total") == 0
    assert unit.metric("shop_request_seconds_count") == unit.metric("shop_requests_total") == 7


def test_breaking_is_of_one_version_in_all_its_units_at_once(start: Callable[..., Unit]) -> None:
    old, new, also_new = start("1.4.1"), start("1.4.2"), start("1.4.2", target="rest")
    # The switch may be pressed at any unit of any version.
    assert old.ask("/_switch", {"broken": True, "version": "1.4.2"})[0].status == 200
    for unit in (new, also_new):
        assert unit.ask("/")[0].status == 500
        assert unit.ask("/buy", {"item": "tea"})[0].status == 500
        assert unit.ask("/healthz")[0].status == 200
        assert unit.metric("shop_errors_total") == 2
        assert unit.metric("shop_orders_total") == 0
    assert old.ask("/")[0].status == 200
    # Also a broken page has the button that mends it.
    answer, page = new.ask("/", headers=PAGE)
    assert answer.status == 500
    assert "Mend it" in page
    answer, _ = new.ask("/_switch", urlencode({"broken": "false", "version": "1.4.2"}), FORM)
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    assert also_new.ask("/")[0].status == 200


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ({"broken": "perhaps", "version": "1"}, {}, 400),
        ({"broken": True, "version": 7}, {}, 400),
        ("not json", {"Content-Type": "application/json"}, 400),
        ({"broken": True, "version": "1"}, {"Origin": "http://elsewhere.example"}, 403),
        ("x" * 70_000, {}, 413),
    ],
)
def test_the_switch_refuses_what_it_does_not_understand(
    start: Callable[..., Unit], body: object, headers: dict[str, str], status: int
) -> None:
    unit = start("1")
    assert unit.ask("/_switch", body, headers)[0].status == status
    assert unit.ask("/")[0].status == 200


def test_a_hostile_version_is_only_text(start: Callable[..., Unit]) -> None:
    unit = start('../<script>alert("1")</script>')
    page = unit.ask("/", headers=PAGE)[1]
    assert "<script>" not in page
    assert "../&lt;script&gt;" in page


def test_a_version_is_built_alike_every_time_and_versions_differ(tmp_path: Path) -> None:
    first, second = build("1.4.2", tmp_path / "a"), build("1.4.2", tmp_path / "b")
    assert digest_of(first) == digest_of(second)
    assert digest_of(build("1.4.2", tmp_path / "a")) == digest_of(second)
    about = {
        version: json.loads((build(version, tmp_path / "a") / "shop" / "version.json").read_text())
        for version in ("1.4.2", "1.5.0", "2.0.0")
    }
    assert len({(entry["colour"], *entry["changes"]) for entry in about.values()}) == 3
    assert build("1.4.2", tmp_path / "a", ["Only this"]) == first
    assert digest_of(first) != digest_of(second)
    outside = build("../../outside; x", tmp_path / "a")
    assert outside.parent == tmp_path / "a"
    ArtifactStore(tmp_path / "root").add(outside)
