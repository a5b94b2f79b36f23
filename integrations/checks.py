"""Tests of a stage [11]: an HTTP request that must be answered well, and a command that must end well.

Passed and failed are what the world said; errored means that it could not be told: wrong settings, a command that
cannot be run or does not end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, Literal, Protocol, TypeVar

import aiohttp
from pydantic import Field

from core.errors import DefinitionError
from core.ports import TestOutcome, TestResult
from core.releases.fields import Duration, Line, Statuses, Url
from core.releases.problems import Strict, path_text, validated
from integrations.http_probe import Wanted, look
from integrations.intake import clean

ONE_TRY = timedelta(seconds=10)
"""How long one request of an `http` test may take."""
MOST_OUTPUT = 65_536
"""Bytes kept of a command's output: its end."""
MOST_SHOWN = 600
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
"""All that a command gets of Andon's own environment, which holds Andon's secrets."""
GRACE = timedelta(seconds=2)
"""Between asking a command to end and killing it."""
SettingsT = TypeVar("SettingsT", bound=Strict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestContext:
    """What is tested: one release in one stage. `version` is untrusted text."""

    __test__ = False

    service: str
    pipeline: str
    stage: str
    version: str
    digest: str


class TestRunner(Protocol):
    """Runs tests of one kind."""

    __test__: ClassVar[bool] = False

    async def run(self, key: str, settings: str, timeout: timedelta, context: TestContext) -> TestResult:
        """Run a test once; `settings` is its `with:` as JSON. Never raises for what the test or its settings do."""


class HttpSettings(Strict):
    """`with:` of an `http` test: so many good answers one after the other, within so long."""

    url: Url = Field(examples=["https://beta.checkout.example.com/health"])
    method: Literal["GET", "HEAD", "POST"] = "GET"
    expect_status: Statuses = "200-399"
    expect_text: Line | None = None
    times: int = Field(default=1, ge=1, le=1000)
    within: Duration = timedelta(seconds=30)
    every: Duration = timedelta(seconds=1)


class HttpTest:
    """The stage test `http`. The session is shared and stays open."""

    def __init__(
        self, session: aiohttp.ClientSession, *, pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._session, self._pause = session, pause

    async def run(self, key: str, settings: str, timeout: timedelta, context: TestContext) -> TestResult:  # noqa: ARG002
        """Ask until the answers are good, or the time is over."""
        try:
            wants = read_settings(HttpSettings, settings)
        except DefinitionError as error:
            return TestResult(TestOutcome.ERRORED, error.message)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + min(wants.within, timeout).total_seconds()
        tries, good, reason, is_heard = 0, 0, "", False
        while good < wants.times:
            left = deadline - loop.time()
            if left <= 0:
                break
            answer = await look(
                self._session,
                Wanted(
                    url=wants.url,
                    method=wants.method,
                    statuses=wants.expect_status,
                    text=wants.expect_text or "",
                    timeout=min(timedelta(seconds=left), ONE_TRY),
                ),
            )
            tries += 1
            good = good + 1 if answer.is_good else 0
            # A last try that was cut short says less than what was heard before it.
            reason = answer.reason if answer.reason and (answer.is_heard or not reason) else reason
            is_heard = is_heard or answer.is_heard
            if good < wants.times:
                await self._pause(min(wants.every.total_seconds(), max(0.0, deadline - loop.time())))
        if good >= wants.times:
            return TestResult(TestOutcome.PASSED, f"{_counted(good, 'good answer')} one after the other")
        if reason == "its name could not be resolved" and not is_heard:
            return TestResult(TestOutcome.ERRORED, f"{reason}; {_counted(tries, 'try', 'tries')}")
        wanted = f"{good} of {wants.times} good answers one after the other"
        return TestResult(TestOutcome.FAILED, f"{reason or wanted}; {_counted(tries, 'try', 'tries')} in its time")


class CommandSettings(Strict):
    """`with:` of a `command` test: a program and its arguments, as a list; never a shell."""

    run: list[str] = Field(min_length=1, max_length=200, examples=["[pytest, smoke]"])
    env: dict[str, str] = Field(default_factory=dict, repr=False)
    cwd: str | None = None


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended: its status (negative for a signal, None where its time was over) and what it printed."""

    status: int | None
    output: str
    timeout: timedelta

    def judged(self) -> TestResult:
        """What that means for a test."""
        said = _tail(self.output)
        rest = self.output if len(self.output) > MOST_SHOWN else ""
        if self.status is None:
            late = f"it did not end within {self.timeout.total_seconds():g} s{said}"
            return TestResult(TestOutcome.ERRORED, late, output=rest)
        if self.status < 0:
            return TestResult(TestOutcome.ERRORED, f"it was ended by {_signal(-self.status)}{said}", output=rest)
        if self.status:
            return TestResult(TestOutcome.FAILED, f"it ended with status {self.status}{said}", output=rest)
        return TestResult(TestOutcome.PASSED, f"it ended well{said}")


class CommandTest:
    """The stage test `command`: exit status 0 is passed, another failed; everything else errored.

    The command gets its own process group, no input, little of Andon's environment, and who it is run for in
    `ANDON_SERVICE`, `ANDON_PIPELINE`, `ANDON_STAGE`, `ANDON_VERSION`, `ANDON_DIGEST` and `ANDON_KEY`. What it leaves
    running is killed.
    """

    def __init__(self, *, environment: Mapping[str, str] | None = None, grace: timedelta = GRACE) -> None:
        self._environment, self._grace = os.environ if environment is None else environment, grace

    async def run(self, key: str, settings: str, timeout: timedelta, context: TestContext) -> TestResult:
        """Run the command to its end, or to the end of its time."""
        try:
            wants = read_settings(CommandSettings, settings)
            return (await self.ran(key, wants, timeout, context)).judged()
        except DefinitionError as error:
            return TestResult(TestOutcome.ERRORED, error.message)

    async def ran(self, key: str, wants: CommandSettings, timeout: timedelta, context: TestContext) -> Ran:
        """Run a command and say how it ended; raises DefinitionError where it cannot be run."""
        try:
            program = await _Program.start(wants.run, env=self._env(key, wants, context), cwd=wants.cwd)
        except (OSError, ValueError) as error:
            why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "its arguments are wrong"
            raise DefinitionError(f"`{clean(wants.run[0], 80)}` cannot be run: {why}") from None
        try:
            status = await program.wait(timeout)
        finally:
            await program.end(self._grace)
        return Ran(status, _hidden(program.output(), wants.env.values()), timeout)

    def _env(self, key: str, wants: CommandSettings, context: TestContext) -> dict[str, str]:
        own = {name: self._environment[name] for name in INHERITED if name in self._environment}
        told = {
            "ANDON_KEY": key,
            "ANDON_SERVICE": context.service,
            "ANDON_PIPELINE": context.pipeline,
            "ANDON_STAGE": context.stage,
            "ANDON_VERSION": context.version,
            "ANDON_DIGEST": context.digest,
        }
        return {**own, **wants.env, **told}


class _Program(asyncio.SubprocessProtocol):
    """One running command: its exit, the end of its output, and that output's last bytes."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._exited: asyncio.Future[None] = loop.create_future()
        self._silent: asyncio.Future[None] = loop.create_future()
        self._tail = bytearray()
        self._is_cut = False
        self._transport: asyncio.SubprocessTransport | None = None

    @classmethod
    async def start(cls, argv: list[str], *, env: Mapping[str, str], cwd: str | None) -> _Program:
        if cwd is not None and not await asyncio.to_thread(Path(cwd).is_dir):
            raise DefinitionError(f"`cwd` {clean(cwd, 120)} is no directory here.")
        loop = asyncio.get_running_loop()
        _, program = await loop.subprocess_exec(
            cls,
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
        )
        return program

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # noqa: ARG002
        self._tail += data
        if len(self._tail) > MOST_OUTPUT:
            self._is_cut = True
            del self._tail[:-MOST_OUTPUT]

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002
        if not self._silent.done():
            self._silent.set_result(None)

    def process_exited(self) -> None:
        if not self._exited.done():
            self._exited.set_result(None)

    async def wait(self, timeout: timedelta) -> int | None:
        """The exit status, negative for a signal; None when the time is over."""
        assert self._transport is not None
        await asyncio.wait([self._exited], timeout=timeout.total_seconds())
        return self._transport.get_returncode()

    async def end(self, grace: timedelta) -> None:
        """End the command and what it left running, whatever happens meanwhile."""
        assert self._transport is not None
        try:
            if not self._exited.done():
                self._signal(signal.SIGTERM)
                await asyncio.wait([self._exited], timeout=grace.total_seconds())
        finally:
            self._signal(signal.SIGKILL)
            try:
                await asyncio.wait([self._exited])
                # A process that left the group may hold the output open for ever.
                await asyncio.wait([self._silent], timeout=grace.total_seconds())
            finally:
                self._transport.close()

    def _signal(self, number: signal.Signals) -> None:
        assert self._transport is not None
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._transport.get_pid(), number)

    def output(self) -> str:
        text = bytes(self._tail).decode("utf-8", errors="replace")
        # The first line of what is left may be half a line.
        return text.partition("\n")[2] or text if self._is_cut else text


def read_settings(model: type[SettingsT], settings: str) -> SettingsT:
    """The `with:` of an adapter as a value; raises DefinitionError naming every wrong field and its mend."""
    try:
        given = json.loads(settings)
    except ValueError:
        raise DefinitionError("These settings are no JSON.") from None
    value, problems = validated(model, given)
    if value is None or problems:
        parts = [
            f"{path_text(p.path) if p.path else 'with'}: {p.sentence}" + (f" ({p.mend})" if p.mend else "")
            for p in problems[:5]
        ]
        raise DefinitionError("; ".join(parts) + ".")
    return value


def _hidden(output: str, secrets: Iterable[str]) -> str:
    """What was printed, harmless, and without what was given as a secret."""
    for secret in secrets:
        if len(secret) >= 4:
            output = output.replace(secret, "•••")
    return clean(output, 4 * MOST_OUTPUT)


def _tail(text: str) -> str:
    shown = text if len(text) <= MOST_SHOWN else f"…{text[-MOST_SHOWN + 1 :]}"
    return f": {shown}" if shown else ""


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"
