"""A fresh store for each story, on both databases; what asks for `file` is told on SQLite alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.journal import Store, sqlite_url

DATABASES = ("sqlite", "postgres")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tell each story of a store twice, unless it is about the file."""
    if "database" in metafunc.fixturenames:
        about_the_file = "file" in metafunc.fixturenames
        metafunc.parametrize("database", ("sqlite",) if about_the_file else DATABASES)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "andon.db"


@pytest.fixture
def url(database: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """Where the story's database is."""
    return sqlite_url(tmp_path / "andon.db") if database == "sqlite" else str(request.getfixturevalue("shared_url"))


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = Store(url)
    yield store
    store.close()
