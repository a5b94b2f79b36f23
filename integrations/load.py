"""The stage test `load`: a load test by any program, judged by numbers of the report that it writes.

The report is JSON: the file whose path stands for `{report}` in the arguments (and in `ANDON_REPORT`), else what the
program prints. Passed is a program that ended well and numbers that are all within their limits; a number that is not
there cannot be told, and errored.
"""

from __future__ import annotations

import asyncio
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from core.errors import DefinitionError
from core.ports import TestOutcome, TestResult
from core.releases.problems import Strict, refusal
from core.releases.words import listed
from integrations.checks import CommandSettings, CommandTest, Ran, TestContext, read_settings
from integrations.intake import line, link

REPORT = "{report}"
MOST_REPORT = 4_000_000
"""Bytes of a report that are read."""
COMPARISONS = ("at_most", "at_least", "below", "above")


def _steps(value: object) -> object:
    return value.split(".") if isinstance(value, str) else value


def _filled(value: list[str]) -> list[str]:
    if not all(value):
        raise refusal("a path has no empty steps", "write `metrics.http_req_failed.rate`, or a list of the keys")
    return value


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise refusal("a limit is a finite number", "write a number")
    return value


Steps = Annotated[
    list[str],
    Field(min_length=1, max_length=20),
    BeforeValidator(_steps),
    AfterValidator(_filled),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
"""Keys from the top of a report, with dots between them; as a list where a key has dots itself."""
Limit = Annotated[float, Field(strict=False), AfterValidator(_finite)]


class Threshold(Strict):
    """A number of the report, and the one limit that it must keep."""

    path: Steps = Field(examples=["metrics.http_req_failed.rate"])
    at_most: Limit | None = None
    at_least: Limit | None = None
    below: Limit | None = None
    above: Limit | None = None

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if sum(getattr(self, name) is not None for name in COMPARISONS) != 1:
            raise refusal("a threshold has one limit", f"write one of {listed(COMPARISONS, 'or')}")
        return self

    @property
    def words(self) -> str:
        """The limit, as `at most 300`."""
        return next(
            f"{name.replace('_', ' ')} {value:g}" for name in COMPARISONS if (value := getattr(self, name)) is not None
        )

    def keeps(self, number: float) -> bool:
        """Whether a number is within the limit."""
        return (
            (self.at_most is None or number <= self.at_most)
            and (self.at_least is None or number >= self.at_least)
            and (self.below is None or number < self.below)
            and (self.above is None or number > self.above)
        )


class LoadSettings(CommandSettings):
    """`with:` of a `load` test."""

    thresholds: list[Threshold] = Field(
        min_length=1, max_length=50, examples=["[{path: metrics.http_req_failed.rate, at_most: 0.01}]"]
    )
    link: Steps | None = None
    """Where the report names a page of results."""


class LoadTest:
    """Runs a load test; the program is run as those of `command` tests are."""

    def __init__(self, *, command: CommandTest | None = None) -> None:
        self._command = command or CommandTest()

    async def run(self, key: str, settings: str, timeout: timedelta, context: TestContext) -> TestResult:
        """Run it, and hold its numbers to their limits."""
        try:
            wants = read_settings(LoadSettings, settings)
            place = await asyncio.to_thread(tempfile.TemporaryDirectory, prefix="andon-load-")
            try:
                path = Path(place.name) / "report.json"
                ran = await self._command.ran(key, _told(wants, path), timeout, context)
                report = await asyncio.to_thread(_report, path, ran)
            finally:
                await asyncio.to_thread(place.cleanup)
        except DefinitionError as error:
            return TestResult(TestOutcome.ERRORED, error.message)
        return _judged(wants, ran, report)


def _told(wants: LoadSettings, path: Path) -> CommandSettings:
    return CommandSettings(
        run=[argument.replace(REPORT, str(path)) for argument in wants.run],
        env={**wants.env, "ANDON_REPORT": str(path)},
        cwd=wants.cwd,
    )


def _report(path: Path, ran: Ran) -> object:
    """The report from its file, or from what was printed: all of it, or its last line that is an object; else None."""
    try:
        with path.open("rb") as file:
            texts = [file.read(MOST_REPORT + 1).decode("utf-8", errors="replace")]
    except FileNotFoundError:
        lines = [text for text in ran.output.splitlines() if text.startswith("{")]
        texts = [ran.output, *reversed(lines[-5:])]
    for text in texts:
        try:
            report: object = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(report, Mapping | list):
            return report
    return None


def _judged(wants: LoadSettings, ran: Ran, report: object) -> TestResult:
    url = link(_found(report, wants.link)) if wants.link is not None else ""
    ended = ran.judged()
    if ended.outcome is TestOutcome.ERRORED:
        return TestResult(ended.outcome, ended.detail, url, ended.output)
    if report is None:
        if ended.outcome is TestOutcome.FAILED:
            return TestResult(ended.outcome, ended.detail, url, ended.output)
        return TestResult(TestOutcome.ERRORED, "it ended well, but wrote no report in JSON", url, ran.output)
    missed, kept, unknown = [], [], []
    for threshold in wants.thresholds:
        name, number = line(".".join(threshold.path), 80), _found(report, threshold.path)
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            unknown.append(name)
        elif threshold.keeps(number):
            kept.append(f"{name} is {number:g} ({threshold.words})")
        else:
            missed.append(f"{name} is {number:g}, not {threshold.words}")
    if missed:
        return TestResult(TestOutcome.FAILED, listed(missed), url, ran.output)
    if unknown:
        return TestResult(TestOutcome.ERRORED, f"its report has no number {listed(unknown, 'or')}", url, ran.output)
    if ended.outcome is TestOutcome.FAILED:
        return TestResult(ended.outcome, ended.detail, url, ended.output)
    return TestResult(TestOutcome.PASSED, listed(kept), url, tells=True)


def _found(report: object, path: Sequence[str] | None) -> Any:
    """What stands at a path, or None."""
    here = report
    for step in path or ():
        if isinstance(here, Mapping):
            here = here.get(step)
        elif isinstance(here, list) and step.isdecimal() and int(step) < len(here):
            here = here[int(step)]
        else:
            return None
    return here
