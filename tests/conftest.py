"""For all tests: a PostgreSQL for those that ask for one; and in CI nothing is skipped.

Where `CI` is set, a skipped test fails the run, and is named with its reason.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests import postgres as server


@pytest.fixture(scope="session")
def postgres() -> Iterator[server.Server]:
    """A server, started when first asked for; one for each process of a test run."""
    with server.running() as running:
        yield running


@pytest.fixture
def shared_url(postgres: server.Server) -> Iterator[str]:
    """The URL of a fresh PostgreSQL database."""
    url = postgres.database()
    yield url
    postgres.drop(url)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that left something out. Under xdist the reports of all workers have come together here."""
    if _skipped(session.config) and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was left out, and why that is an error."""
    skipped = _skipped(config)
    if skipped:
        terminalreporter.section("skipped in CI, where nothing may be", red=True)
        for line in skipped:
            terminalreporter.write_line(line, red=True)


def _skipped(config: pytest.Config) -> list[str]:
    """Every test and file that was skipped, where that matters; expected failures are not among them."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or reporter is None:
        return []
    return sorted(f"{report.nodeid}: {_reason(report.longrepr)}" for report in reporter.stats.get("skipped", []))


def _reason(told: object) -> str:
    return str(told[2]).removeprefix("Skipped: ") if isinstance(told, tuple) else str(told)
