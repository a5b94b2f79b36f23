"""The benchmark works: with tiny counts it measures every line, checks the databases, and writes its results."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

from bench import ack, company

TINY = ack.Plan(rounds=1, callers=0.02, at_rate=0.05)
FEW = tuple(process for process in ack.PROCESSES if process[0] in {"bolt", "ceiling"} or ack.ANDON in process[1])


@pytest.mark.slow
def test_the_bench_prints_its_table_and_writes_its_results(tmp_path):
    said: list[str] = []

    found = ack.run(TINY, tmp_path / "results.json", said.append, FEW)

    written = json.loads((tmp_path / "results.json").read_text())
    assert set(written["details"]) == set(found)
    assert {
        "ack_c16_vs_bolt_ceiling",
        "ack_p50_vs_bolt_default",
        "ack_p99_ms_at_200",
        "ack_p99_vs_ceiling_at_200",
    } <= set(found)
    names = [line.name for _, lines in FEW for line in lines]
    assert [row[:28].strip() for row in said if row[:28].strip() in names] == names
    assert f"{ack.ANDON.name}, c=16" in written["runs"]["ack"]["medians"]
    # Every service was asked about once before anything was measured, so so many acts at the least were looked for.
    checked = next(row for row in said if "acknowledged acts" in row)
    assert int("".join(filter(str.isdigit, checked))) > company.SERVICES


def test_an_act_that_is_not_in_the_database_is_told(tmp_path):
    (tmp_path / "state").mkdir()
    with closing(sqlite3.connect(tmp_path / "state" / "andon.db")) as database:
        database.execute("CREATE TABLE events (dedupe_key TEXT, refused INTEGER)")
        database.execute("INSERT INTO events VALUES ('slack:one', 0)")
        database.commit()

    assert ack.look_for(["one"], tmp_path / "state") == (1, 0)
    with pytest.raises(SystemExit, match="1 are not in the database"):
        ack.look_for(["one", "two"], tmp_path / "state")
