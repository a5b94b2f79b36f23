"""The yardsticks are fair: the raw driver writes the very rows that the product wrote, and rows that miss are seen."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from bench import history, raw, transitions, waiting, worker
from storage.chain import START
from storage.journal import Store, sqlite_url

STATED = "SELECT id, version, chain, state FROM pipelines ORDER BY id"
EVENTS = "SELECT pipeline_id, seq, chain, body FROM events ORDER BY pipeline_id, seq"
EFFECTS = "SELECT pipeline_id, key, body FROM outbox ORDER BY pipeline_id, key"


def test_what_the_raw_driver_writes_passes_for_the_products_own(tmp_path):
    recording = raw.record("release", 2, 0.05)
    url = sqlite_url(tmp_path / "again.db")
    raw.fill(url, recording)

    took = raw.on_sqlite(url, recording.steps, seconds=60)

    assert len(took) == len(recording.steps) > 0
    assert len(transitions.ask(url, EVENTS)) == len(took) + len(recording.tables["events"])
    written = sum(len(step.effects) for step in recording.steps) + len(recording.tables["outbox"])
    assert len(transitions.ask(url, EFFECTS)) == written > len(took)
    store = Store(url)
    with store.reading() as transaction:
        assert len(transaction.load_all()) == 2, "the states can be read"
    assert [store.verify(name) for name in worker.names(0, 2)] == [None, None], "the chains are whole"
    store.close()


def test_a_transition_that_is_not_in_the_database_leaves_no_results(tmp_path):
    recording = raw.record("pause", 2, 0.01)
    url = sqlite_url(tmp_path / "again.db")
    raw.fill(url, recording)
    raw.on_sqlite(url, recording.steps, seconds=60)

    transitions.check(url, len(recording.steps))
    with pytest.raises(transitions.Contradicted, match=f"{len(recording.steps) + 1} transitions were acknowledged"):
        transitions.check(url, len(recording.steps) + 1)


def test_a_history_that_was_made_quickly_is_whole_and_the_product_goes_on_with_it(tmp_path):
    place = tmp_path / "long.db"

    history.make(place, 4 * 12, pipelines=4, processes=1)

    with closing(sqlite3.connect(place)) as database:
        assert database.execute("SELECT count(*), count(DISTINCT chain) FROM events").fetchone() == (48, 48)
        assert database.execute("SELECT count(*) FROM events WHERE chain = ?", (START,)).fetchone() == (0,)
    store = Store(sqlite_url(place))
    assert [store.verify(name) for name in worker.names(0, 4)] == [None] * 4
    store.close()


def test_pipelines_that_wait_hold_a_live_release_in_production(tmp_path):
    url = sqlite_url(tmp_path / "waiting.db")

    waiting.fill(url, 3)

    store = Store(url)
    with store.reading() as transaction:
        states = [loaded.state for loaded in transaction.load_all().values()]
        assert transaction.outbox.count_open() == 0
    store.close()
    assert [[r.version for r in s.releases if r.is_live] for s in states] == [["1.1.0"]] * 3
