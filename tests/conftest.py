"""In CI nothing is skipped: where `CI` is set, a skipped test fails the run, and is named with its reason."""

from __future__ import annotations

import os

import pytest


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
