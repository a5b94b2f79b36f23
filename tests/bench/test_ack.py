"""The benchmark works: with tiny counts it measures every line, checks the databases, and writes its results."""

from __future__ import annotations

import json

import pytest

from bench import ack

TINY = ack.Plan(rounds=1, callers=0.02, at_rate=0.05, starts=1)


@pytest.mark.slow
def test_the_bench_prints_its_table_and_writes_its_results(tmp_path):
    said: list[str] = []

    found = ack.run(TINY, tmp_path / "results.json", said.append)

    written = json.loads((tmp_path / "results.json").read_text())
    assert set(written["ratios"]) == set(found)
    assert {
        "ack_c16_vs_bolt_ceiling",
        "ack_p50_vs_bolt_default",
        "ack_p99_ms_at_200",
        "ack_p99_vs_ceiling_at_200",
        "hundred_listeners_cost",
        "click_c16_vs_bolt_ceiling",
        "shell_vs_import",
    } <= set(found)
    names = [line.name for _, lines in ack.PROCESSES for line in lines]
    assert [row[:28].strip() for row in said if row[:28].strip() in names] == names
    assert f"{ack.ANDON.name}, c=16" in written["medians"]
    # Each of the three Andons was warmed up by two acts for every service, at the least.
    checked = next(row for row in said if "acknowledged acts" in row)
    assert int("".join(filter(str.isdigit, checked))) >= 3 * 2 * 64
