"""Ask a program or an address: which version runs, and whether it is healthy."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath
from typing import Any

import aiohttp

from core.errors import TransientError
from core.ports import RunningVersion
from integrations.command.config import HealthProbe, Probe
from integrations.command.placeholders import arguments, filled
from integrations.http_probe import matches
from integrations.intake import line

MOST_READ = 65_536
SHOWN = 200
HARMLESS_FAILURE = 75
"""EX_TEMPFAIL of sysexits.h: the program could not tell."""
LONGEST_DIGEST = 200


class Health(StrEnum):
    """Three verdicts; unknown never passes as good."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Felt:
    """How a target is, and why that is not good."""

    health: Health
    why: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered: a program's exit status or an address's, and what it said."""

    status: int
    text: str


async def running(probe: Probe, values: Mapping[str, str], environment: Mapping[str, str]) -> tuple[str, str, bool]:
    """Which digest and version run, and whether they are mixed; both empty where nothing runs.

    Raises TransientError where that cannot be told.
    """
    answer = await _asked(probe, values, environment)
    if answer.status != (0 if probe.run is not None else 200):
        raise TransientError(f"{_named(probe)} could not tell what runs: {_ended(probe, answer)}.")
    text = answer.text.strip()
    if not text.startswith("{"):
        if not text or len(text.splitlines()) > 1 or len(text) > LONGEST_DIGEST or not text.isprintable():
            raise TransientError(
                f'{_named(probe)} must say what runs: `{{"version": …, "digest": …}}` or one line; '
                f"it said {'nothing' if not text else 'something else'}."
            )
        return (text, "", False) if text.startswith("sha256:") else ("", text, False)
    return _understood(probe, text)


def _understood(probe: Probe, text: str) -> tuple[str, str, bool]:
    try:
        told: Any = json.loads(text)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or not ({"digest", "version"} & told.keys()):
        raise TransientError(f"{_named(probe)} said what runs in a way that is not understood.")
    digest, version = told.get("digest"), told.get("version")
    are_texts = all(
        part is None or (isinstance(part, str) and len(part) <= LONGEST_DIGEST) for part in (digest, version)
    )
    if not are_texts or not isinstance(told.get("mixed", False), bool):
        raise TransientError(f"{_named(probe)} must say `digest` and `version` as text, and `mixed` as true or false.")
    return str(digest or ""), line(version or "", LONGEST_DIGEST), bool(told.get("mixed", False))


async def healthy(probe: HealthProbe, values: Mapping[str, str], environment: Mapping[str, str]) -> Felt:
    """How a target is now: status 0, or a wanted answer, is good; none at all is unknown; all else is bad."""
    try:
        answer = await _asked(probe, values, environment)
    except TransientError as error:
        return Felt(Health.UNKNOWN, error.message.rstrip("."))
    if probe.run is None:
        is_good, is_known = matches(answer.status, probe.expect_status), answer.status not in (502, 503, 504)
    else:
        is_good, is_known = answer.status == 0, 0 <= answer.status < 126 and answer.status != HARMLESS_FAILURE
    if is_good:
        return Felt(Health.GOOD)
    return Felt(Health.BAD if is_known else Health.UNKNOWN, f"{_named(probe)} {_ended(probe, answer)}")


def shown_running(digest: str, version: str, *, is_mixed: bool) -> RunningVersion:
    """What runs, as Andon is told it; a version whose digest nobody knows is surely not the one that is recorded."""
    if not digest and not version:
        return RunningVersion(None, is_mixed=is_mixed)
    return RunningVersion(digest or f"version:{version}", version or None, is_mixed)


async def _asked(probe: Probe, values: Mapping[str, str], environment: Mapping[str, str]) -> Answer:
    if probe.run is not None:
        return await _ran(arguments(probe.run, values), environment, probe.timeout.total_seconds())
    headers = {"User-Agent": "Andon", "Accept": "application/json, text/plain"}
    if probe.token_env is not None:
        if not environment.get(probe.token_env):
            raise TransientError(f"The variable {probe.token_env}, which the probe's token is in, is not set.")
        headers["Authorization"] = f"Bearer {environment[probe.token_env]}"
    return await _fetched(filled(probe.url or "", values), headers, probe.timeout.total_seconds())


async def _fetched(url: str, headers: Mapping[str, str], seconds: float) -> Answer:
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=seconds)) as session,
            session.get(url, headers=headers, allow_redirects=False) as response,
        ):
            body = b""
            async for piece in response.content.iter_chunked(8_192):
                body += piece
                if len(body) > MOST_READ:
                    raise TransientError(f"What the probe was answered is larger than {MOST_READ} bytes.")
            return Answer(response.status, body.decode("utf-8", errors="replace"))
    except TimeoutError:
        raise TransientError(f"The probe had no answer within {seconds:g} s.") from None
    except (aiohttp.ClientError, OSError, ValueError):
        # Errors of the client name the whole address.
        raise TransientError("The probe had no answer: there is no connection.") from None


async def _ran(argv: list[str], environment: Mapping[str, str], seconds: float) -> Answer:
    name = line(PurePath(argv[0]).name, 60)
    try:
        program = await asyncio.create_subprocess_exec(
            *argv,
            env=dict(environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            limit=MOST_READ,
        )
    except (OSError, ValueError) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "its arguments are wrong"
        raise TransientError(f"The probe `{name}` cannot be run: {why}.") from None
    assert program.stdout is not None
    try:
        async with asyncio.timeout(seconds):
            said = await program.stdout.read(MOST_READ)
            # What it says beyond that is of no interest, but must not keep it from ending.
            while await program.stdout.read(MOST_READ):
                pass
            status = await program.wait()
    except TimeoutError:
        raise TransientError(f"The probe `{name}` did not end within {seconds:g} s.") from None
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(program.pid, signal.SIGKILL)
        await program.wait()
    return Answer(status, said.decode("utf-8", errors="replace"))


def _named(probe: Probe) -> str:
    return f"The probe `{line(PurePath(probe.run[0]).name, 60)}`" if probe.run is not None else "The probe's address"


def _ended(probe: Probe, answer: Answer) -> str:
    if probe.run is None:
        return f"answered {answer.status}"
    said = line(answer.text, SHOWN)
    how = f"ended with status {answer.status}" if answer.status >= 0 else f"was ended by signal {-answer.status}"
    return f"{how} and said: {said}" if said else how
