"""Stories that ask for `database` are told twice: on a SQLite file, and on PostgreSQL."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str:
    """The URL that `story` takes; empty for its own file."""
    return "" if request.param == "sqlite" else str(request.getfixturevalue("shared_url"))
