"""Tests of a stage: a request answered well, a command that ends well; failed and errored are told apart."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from core.ports import TestOutcome, TestResult
from integrations.checks import MOST_SHOWN, CommandTest, HttpTest, TestContext

CONTEXT = TestContext(
    service="checkout", pipeline="checkout", stage="beta", version="1.4; rm -rf /", digest="sha256:abc"
)
LONG = timedelta(seconds=30)


# ---- http -----------------------------------------------------------------------------------------------------------


class Shop:
    """A server that answers from a list, and with its last entry ever after."""

    def __init__(self) -> None:
        self.answers: list[int] = [200]
        self.text = "all is well"
        self.asked = 0
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        status = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        return web.Response(status=status, text=self.text)


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    place = Shop()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", place.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    place.url = f"http://127.0.0.1:{runner.addresses[0][1]}/health"
    yield place
    await runner.cleanup()


@pytest.fixture
async def ask() -> AsyncIterator[Callable[..., Any]]:
    """Runs the `http` test with settings."""
    async with aiohttp.ClientSession() as session:

        async def run(timeout: timedelta = LONG, **settings: object) -> TestResult:
            return await HttpTest(session).run("t-1", json.dumps({"every": "10ms", **settings}), timeout, CONTEXT)

        yield run


async def test_one_good_answer_passes(shop, ask):
    result = await ask(url=shop.url)
    assert result == TestResult(TestOutcome.PASSED, "1 good answer one after the other")
    assert shop.asked == 1


async def test_good_answers_must_follow_one_another(shop, ask):
    shop.answers = [200, 200, 503, 200, 200, 200]
    assert (await ask(url=shop.url, times=3)).outcome is TestOutcome.PASSED
    assert shop.asked == 6


async def test_a_service_that_needs_a_moment_passes(shop, ask):
    shop.answers = [503, 503, 200]
    assert (await ask(url=shop.url)).outcome is TestOutcome.PASSED


async def test_a_wrong_answer_fails_and_says_which(shop, ask):
    shop.answers = [500]
    result = await ask(url=shop.url, within="100ms", expect_status=204)
    assert result.outcome is TestOutcome.FAILED
    assert result.detail.startswith("it answered 500, not 204; ")


async def test_a_missing_text_fails(shop, ask):
    result = await ask(url=shop.url, within="100ms", expect_text="version 1.4")
    assert result.outcome is TestOutcome.FAILED
    assert "lacks the expected text" in result.detail
    assert (await ask(url=shop.url, expect_text="is well")).outcome is TestOutcome.PASSED


async def test_good_answers_that_do_not_suffice_fail(shop, ask):
    result = await ask(url=shop.url, times=1000, within="100ms")
    assert result.outcome is TestOutcome.FAILED
    assert "of 1000 good answers one after the other" in result.detail


async def test_nobody_there_fails(ask):
    result = await ask(url="http://127.0.0.1:1/", within="100ms")
    assert result.outcome is TestOutcome.FAILED
    assert "no connection" in result.detail


async def test_the_time_of_the_stage_ends_it_too(shop, ask):
    shop.answers = [503]
    result = await asyncio.wait_for(ask(url=shop.url, within="1h", timeout=timedelta(milliseconds=100)), 10)
    assert result.outcome is TestOutcome.FAILED


async def test_wrong_settings_are_an_error_with_the_mend(ask):
    result = await ask(urll="http://127.0.0.1:1/")
    assert result.outcome is TestOutcome.ERRORED
    assert "did you mean `url`?" in result.detail
    assert "`url` is missing" in result.detail


async def test_settings_that_are_no_json_are_an_error():
    async with aiohttp.ClientSession() as session:
        assert (await HttpTest(session).run("t", "{", LONG, CONTEXT)).outcome is TestOutcome.ERRORED


# ---- command --------------------------------------------------------------------------------------------------------


async def command(*argv: str, timeout: timedelta = LONG, **settings: object) -> TestResult:
    test = CommandTest(
        environment={"PATH": os.environ["PATH"], "SLACK_BOT_TOKEN": "xoxb-test"}, grace=timedelta(seconds=0.3)
    )
    return await test.run("t-1", json.dumps({"run": list(argv), **settings}), timeout, CONTEXT)


def python(code: str) -> tuple[str, str, str]:
    return sys.executable, "-c", code


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


async def gone(pid: int) -> None:
    async with asyncio.timeout(10):
        while is_alive(pid):  # noqa: ASYNC110 - a process of the system tells nobody
            await asyncio.sleep(0.01)


def number_in(path: Path) -> int:
    """The number in a file, 0 until it is whole."""
    text = path.read_text(encoding="ascii") if path.exists() else ""
    return int(text) if text.endswith("\n") else 0


async def written(path: Path) -> int:
    """The number in a file, once it is there."""
    async with asyncio.timeout(10):
        while not (number := number_in(path)):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.01)
    return number


async def test_a_command_that_ends_well_passes_with_its_last_words():
    result = await command(*python("print('12 passed')"))
    assert result == TestResult(TestOutcome.PASSED, "it ended well: 12 passed")


async def test_a_command_that_ends_badly_fails_with_what_it_said_on_either_stream():
    result = await command(*python("import sys; print('looked'); sys.stdout.flush(); sys.exit('no such cart')"))
    assert result == TestResult(TestOutcome.FAILED, "it ended with status 1: looked\nno such cart")


async def test_no_shell_ever_reads_the_arguments(tmp_path):
    target = tmp_path / "made"
    result = await command(*python("import sys; print(sys.argv[1:])"), f"; touch {target}", "$HOME")
    assert f"['; touch {target}', '$HOME']" in result.detail
    assert not target.exists()


async def test_the_command_knows_whom_it_is_run_for_and_nothing_of_our_secrets(tmp_path):
    code = (
        "import os; print(sorted(f'{k}={v}' for k, v in os.environ.items() if k.startswith(('ANDON', 'SLACK', 'X'))))"
    )
    result = await command(*python(code), env={"X_REGION": "eu", "ANDON_STAGE": "forged"}, cwd=str(tmp_path))
    assert "'ANDON_STAGE=beta'" in result.detail
    assert "'ANDON_VERSION=1.4; rm -rf /'" in result.detail
    assert "'X_REGION=eu'" in result.detail
    assert "SLACK" not in result.detail


async def test_it_runs_where_it_is_told(tmp_path):
    assert str(tmp_path) in (await command(*python("import os; print(os.getcwd())"), cwd=str(tmp_path))).detail


async def test_what_was_given_in_secret_is_not_repeated():
    result = await command(*python("import os; print('I use', os.environ['KEY'])"), env={"KEY": "open-sesame"})
    assert result.detail == "it ended well: I use •••"


async def test_only_the_end_of_much_output_is_kept_and_it_is_clean():
    code = "for n in range(200000): print('line', n)\nprint('\\x1b[31mlast words\\x00')"
    result = await command(*python(code))
    assert result.detail.endswith("line 199999\n[31mlast words")
    assert result.detail.startswith("it ended well: …")
    assert len(result.detail) < MOST_SHOWN + 50


async def test_one_endless_line_is_cut_as_well():
    result = await command(*python("print('x' * 1000000 + 'end')"))
    assert result.detail.endswith("xxxend")


async def test_a_command_that_reads_input_gets_none():
    assert (await command(*python("import sys; print(repr(sys.stdin.read()))"))).detail == "it ended well: ''"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["no-such-program-anywhere"], "`no-such-program-anywhere` cannot be run: No such file or directory"),
        (["/etc/passwd"], "`/etc/passwd` cannot be run: Permission denied"),
        (["true", "a\0b"], "`true` cannot be run: its arguments are wrong"),
    ],
)
async def test_a_command_that_cannot_be_run_is_an_error(argv, said):
    assert await command(*argv) == TestResult(TestOutcome.ERRORED, said)


async def test_a_place_that_is_not_there_is_an_error(tmp_path):
    result = await command("true", cwd=str(tmp_path / "nowhere"))
    assert result.outcome is TestOutcome.ERRORED
    assert "no directory" in result.detail


@pytest.mark.parametrize("settings", [{"run": []}, {"run": "rm -rf /"}, {"run": [7]}, {"shell": True, "run": ["x"]}])
async def test_wrong_settings_of_a_command_are_an_error(settings):
    result = await CommandTest().run("t-1", json.dumps(settings), LONG, CONTEXT)
    assert result.outcome is TestOutcome.ERRORED


async def test_a_command_killed_by_a_signal_is_an_error():
    result = await command(*python("import os; print('bye', flush=True); os.kill(os.getpid(), 9)"))
    assert result == TestResult(TestOutcome.ERRORED, "it was ended by SIGKILL: bye")


STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", deaf])
print("started", flush=True)
open(sys.argv[1], "w").write(f"{child.pid}\\n")
time.sleep(600)
"""


async def test_a_command_that_does_not_end_is_killed_with_all_it_started(tmp_path):
    pid_file = tmp_path / "pid"
    running = asyncio.create_task(command(*python(STUBBORN), str(pid_file), timeout=timedelta(seconds=2)))
    child = await written(pid_file)
    result = await running
    assert result == TestResult(TestOutcome.ERRORED, "it did not end within 2 s: started")
    await gone(child)


async def test_a_test_that_is_cancelled_leaves_nothing_running(tmp_path):
    pid_file = tmp_path / "pid"
    running = asyncio.create_task(command(*python(STUBBORN), str(pid_file)))
    child = await written(pid_file)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await gone(child)


async def test_what_a_command_leaves_behind_is_killed_and_not_waited_for(tmp_path):
    pid_file = tmp_path / "pid"
    code = """
import subprocess, sys
child = subprocess.Popen(["sleep", "600"])
open(sys.argv[1], "w").write(f"{child.pid}\\n")
"""
    result = await asyncio.wait_for(command(*python(code), str(pid_file)), 20)
    assert result.outcome is TestOutcome.PASSED
    await gone(await written(pid_file))


async def test_a_daemon_that_left_the_group_does_not_hold_the_test_up(tmp_path):
    pid_file = tmp_path / "pid"
    code = """
import subprocess, sys
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
open(sys.argv[1], "w").write(f"{child.pid}\\n")
"""
    try:
        result = await asyncio.wait_for(command(*python(code), str(pid_file)), 20)
        assert result.outcome is TestOutcome.PASSED
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(await written(pid_file), 9)
