"""The script on the host, called without SSH: many callers at the same moment are one."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from integrations.hosts import link
from integrations.hosts.config import read
from integrations.hosts.link import Answer
from integrations.hosts.plan import plan
from tests.integrations.hosts.world import archive

RUNNER = Path(link.__file__).with_name("runner.sh")
KEY = "1" * 40
CALLERS = 6

Call = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def hex_digest(tmp_path: Path) -> str:
    source = archive(tmp_path / "bad.tar.gz", {"start.sh": 'echo started >>"$ANDON_ROOT/starts"; sleep 0.2; exit 1\n'})
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    incoming = tmp_path / "host/.andon/incoming"
    incoming.mkdir(parents=True)
    source.rename(incoming / digest)
    return digest


@pytest.fixture
def call(tmp_path: Path) -> Call:
    def begin(verb: str, *words: str) -> subprocess.Popen[str]:
        command = ("sh", str(RUNNER), str(tmp_path / "host"), verb, KEY, *words)
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    return begin


def answer(process: subprocess.Popen[str], given: str = "") -> Answer:
    said, _ = process.communicate(given, timeout=60)
    assert process.returncode == 0, said
    return Answer.read(said)


def jobs(root: Path) -> list[str]:
    """The jobs of a host that run, or wait to."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = process.read_bytes().decode(errors="replace").split("\0")
            if words[2:4] == [str(root), "job"]:
                found.append(words[1])
    return found


def until(call: Call, name: str, value: str) -> Answer:
    """The answer to a look once it says so."""
    deadline = time.monotonic() + 60
    while (seen := answer(call("look"))).words.get(name) != value:
        assert time.monotonic() < deadline, seen
    return seen


def script(hex_digest: str) -> str:
    config, targets, problems = read(
        {
            "user": "andon",
            "known_hosts": "/etc/known",
            "key_file": "/etc/key",
            "root": "/srv/x",
            "start": ["sh", "{release}/start.sh"],
            "health": {"command": ["true"], "times": 1},
        },
        {"t": {"hosts": ["web-1"]}},
    )
    assert config is not None, problems
    return plan(config, "t", targets["t"].hosts[0], hex_digest=hex_digest, version="1", artifact="/bad.tar.gz")


def together(call: Call, verb: str, *words: str, given: str = "") -> list[Answer]:
    """All answers of callers who ask in the same moment."""
    return [answer(process, given) for process in [call(verb, *words) for _ in range(CALLERS)]]


def test_many_callers_at_once_are_one_job(call: Call, tmp_path: Path, hex_digest: str):
    answer(call("greet", hex_digest))
    told = {seen.words["order"] for seen in together(call, "prepare", hex_digest, given=f"order\n{script(hex_digest)}")}
    assert told == {"order"}
    together(call, "bring")
    until(call, "bring", "ok")
    together(call, "begin")
    assert until(call, "state", "ended").words["end"] == "failed"
    # Whoever came second waits a while for the first to end; then nothing is left to do.
    deadline = time.monotonic() + 60
    while jobs(tmp_path / "host"):
        assert time.monotonic() < deadline
    assert (tmp_path / "host/starts").read_text() == "started\n"


def test_what_was_sealed_first_never_begins(call: Call, tmp_path: Path, hex_digest: str):
    answer(call("greet", hex_digest))
    answer(call("prepare", hex_digest), f"order\n{script(hex_digest)}")
    answer(call("bring"))
    until(call, "bring", "ok")
    assert answer(call("seal", "cancelled", "stop")).words["state"] == "sealed"
    assert answer(call("begin")).words["state"] == "sealed"
    assert answer(call("seal", "failed")).words["sealed"] == "cancelled", "the first reason stays"
    assert not (tmp_path / "host/starts").exists()


def test_an_order_that_was_cut_off_is_not_kept(call: Call, hex_digest: str):
    answer(call("greet", hex_digest))
    said, _ = (process := call("prepare", hex_digest)).communicate("order\n" + script(hex_digest)[:-20], timeout=60)
    assert (process.returncode, said) == (3, "refused the plan did not arrive whole\n")
    assert answer(call("look")).words["state"] == "none"
