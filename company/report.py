"""What a simulation says to people: plain sentences, and one table of what each caution is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from company.tally import Tally
from core.releases.pipeline import Pipeline
from core.releases.words import listed

HOUR = 3_600
DAY = 86_400
WEEK = 7 * DAY


def span(seconds: int) -> str:
    """A length of time, in the unit people would use."""
    if seconds < 2 * HOUR:
        return f"{seconds // 60} min"
    if seconds < 2 * DAY:
        return f"{seconds / HOUR:.1f} h"
    return f"{seconds / DAY:.1f} days"


def number(value: float) -> str:
    """A number with thin gaps: 1 234 567."""
    return f"{value:,.0f}".replace(",", " ")


def found_line(tally: Tally, order: Sequence[str]) -> str:
    """Where bad changes were found, in the order of the stages; customers last."""
    names = [*(n for n in order if n in tally.found), *sorted(set(tally.found) - {*order, "customers"})]
    parts = [f"{number(tally.found[name])} in {name}" for name in names]
    if tally.found["customers"]:
        parts.append(f"{number(tally.found['customers'])} by customers")
    unseen = tally.bad_changes - sum(tally.found.values())
    if unseen:
        parts.append(f"{number(unseen)} not found when it ended")
    return listed(parts) or "none came in"


def company_report(tally: Tally, order: Sequence[str], seed: int, seconds: float) -> str:
    """A whole company, for a terminal."""
    years = tally.virtual_seconds / DAY / 365
    deployed = number(tally.deployments)
    services = f"{number(tally.services)} service{'s' if tally.services > 1 else ''}"
    lines = [
        (f"{deployed} deployments of {services} in {years:,.1f} years of service, seed {seed}, in {seconds:.0f} s."),
        (
            f"  versions      {number(tally.versions)} announced, {number(len(tally.lead_seconds))} went everywhere; "
            f"half within {span(tally.lead(50))}, nine of ten within {span(tally.lead(90))}"
        ),
        f"  bad changes   {number(tally.bad_changes)}, found: {found_line(tally, order)}",
        (
            f"  customers     {number(tally.reached)} bad changes reached them; {number(tally.customers_hit)} of their "
            "requests failed"
        ),
        (
            f"  rollbacks     {number(tally.rollbacks['automatic'])} automatic, {number(tally.rollbacks['by people'])} "
            f"by people, {number(tally.back)} targets taken back; {number(tally.false_alarms)} false alarms"
        ),
        f"  approvals     {number(tally.asked)} asked for",
        f"  faults        {faults_line(tally)}",
        f"  violations    {number(tally.violations)}",
    ]
    lines += [f"    {sentence}" for sentence in tally.kept]
    return "\n".join(lines) + "\n"


def faults_line(tally: Tally) -> str:
    """What went wrong around the pipelines."""
    return ", ".join(f"{name} {number(count)}" for name, count in sorted(tally.faults.items())) or "none"


def line_report(line: Pipeline, tally: Tally, requests: int) -> str:
    """What one team's own pipeline would do, in sentences."""
    weeks = max(1, tally.virtual_seconds) / WEEK
    order = [stage.name for stage in line.stages]
    failed_each = tally.customers_hit / tally.bad_changes if tally.bad_changes else 0
    caught = tally.bad_changes - tally.reached
    lines = [
        f"{line.id}, lived {number(tally.services)} times over, {tally.virtual_seconds / DAY / 365:,.1f} years in all:",
        (
            f"  A version takes {span(tally.lead(50))} from its announcement to everywhere (half of them; nine of ten "
            f"within {span(tally.lead(90))})."
        ),
        (
            f"  {tally.versions / weeks:.1f} versions are announced a week, {len(tally.lead_seconds) / weeks:.1f} go "
            f"everywhere, in {tally.deployments / weeks:.0f} deployments. The others are overtaken by newer ones, or "
            "turn out to be bad."
        ),
        f"  People are asked for {tally.asked / weeks:.1f} approvals a week."
        if tally.asked
        else "  Nobody is asked for an approval.",
        (
            f"  Of {number(tally.bad_changes)} bad changes {number(caught)} met no customer. Found: "
            f"{found_line(tally, order)}."
        ),
        (
            f"  A bad change fails {number(failed_each)} requests of customers before it is gone, on average, where "
            f"they make {number(requests)} a minute."
        ),
        (
            f"  {number(tally.rollbacks['automatic'])} times a stage went back by itself, and "
            f"{number(tally.rollbacks['by people'])} times people took it back; "
            f"{number(tally.false_alarms)} alarms were false."
        ),
        f"  What must never happen happened {number(tally.violations)} times.",
    ]
    lines += [f"    {sentence}" for sentence in tally.kept]
    return "\n".join(lines) + "\n"


def comparison(tallies: Mapping[str, Tally]) -> str:
    """One row for each way to run the same changes: all cautions, and less one or several."""
    head = ("", "bad changes", "reached customers", "failed requests", "each", "lead time", "violations")
    rows = [head]
    for name, tally in tallies.items():
        each = tally.customers_hit / tally.bad_changes if tally.bad_changes else 0
        rows.append(
            (
                name,
                number(tally.bad_changes),
                number(tally.reached),
                number(tally.customers_hit),
                number(each),
                span(tally.lead(50)),
                number(tally.violations),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = []
    for name, *cells in rows:
        numbers = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        lines.append("  ".join([name.ljust(widths[0]), *numbers]).rstrip())
    return "\n".join(lines) + "\n"
