"""A fresh store for each story."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.journal import Store, sqlite_url


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "andon.db"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    store = Store(sqlite_url(file))
    yield store
    store.close()
