"""Bugs put into the rules one after another, and the story that notices each: `make mutants` prints the table.

A bug is a few words of one file of the core changed. Each is tried in a copy of the checkout, in a process of its own;
one that no story notices is a rule that nothing holds.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STORIES = ("test_rule_", "test_promote", "test_why", "test_alarms", "test_seldom")
AT_ONCE = 2
TABLE = ROOT / "tests" / "core" / "mutants.md"
HEAD = """\
# Bugs put into the rules

Written by `make mutants`, which puts each bug into a copy of the checkout and looks which story notices it: the first
that fails, of those that bear the number of the rule if any of them does. A bug that nobody notices is a rule that
nothing holds.

| rule | bug | noticed by |
|---|---|---|
"""


@dataclass(frozen=True)
class Mutant:
    """A bug: `old` stands once in `core/releases/{file}` and becomes `new`."""

    rule: int
    bug: str
    file: str
    old: str
    new: str


MUTANTS = (
    Mutant(
        1,
        "one stage before it is enough",
        "pipeline.py",
        "name for name in stage.after if name not in passed and",
        "name for name in stage.after if not any(n in passed for n in stage.after) and",
    ),
    Mutant(
        2,
        "a stage that moves is overtaken",
        "blockers.py",
        "return isinstance(run.phase, Stopped) and is_newer(release",
        "return is_newer(release",
    ),
    Mutant(
        3,
        "ancestry is not asked",
        "blockers.py",
        "if one.ancestors is not None and other.version in one.ancestors:",
        "if False:",
    ),
    Mutant(3, "a first vote holds no place", "blockers.py", "return 0 < votes < rule.count or", "return False and"),
    Mutant(
        4,
        "a run follows the newest definition",
        "state.py",
        "return next(p for p in self.pinned if p.revision == run.revision)",
        "return self.definition",
    ),
    Mutant(5, "nobody counts who stays in service", "batches.py", "min(by_batch, by_health)", "by_batch"),
    Mutant(
        5,
        "zones are not taken in turn",
        "pipeline.py",
        "ranked.append((seen[target.zone], target.zone,",
        "ranked.append((0, target.zone,",
    ),
    Mutant(
        6,
        "the first wave bakes like a later one",
        "definition.py",
        "if is_later else BAKE_FIRST_WAVE",
        "if is_later else BAKE_LATER_WAVE",
    ),
    Mutant(
        7,
        "a bake needs no evidence",
        "bake.py",
        "points=max(0, stage.bake.minimum_points - phase.points),",
        "points=0,",
    ),
    Mutant(
        7,
        "a report told twice counts twice",
        "alarmed.py",
        "if before is None or event.observed_at > before.observed_at:",
        "if True:",
    ),
    Mutant(7, "an outage is bake time", "bake.py", "gained -= overlap", "pass"),
    Mutant(8, "the older goes back with the suspect", "alarmed.py", "if not younger and not watch.spared:", "if True:"),
    Mutant(
        8, "what was spared is never judged", "alarmed.py", "red = [r.name for r in readings if r.firing]", "red = []"
    ),
    Mutant(
        8,
        "what stopped in alarm is not bad",
        "alarmed.py",
        "    else:\n        rollback.mark_bad(draft, release, name, said)\n        rollback.stand_still(",
        "    else:\n        rollback.stand_still(",
    ),
    Mutant(
        9,
        "an old episode heard late rolls back",
        "alarmed.py",
        "return event.started_at is not None and entered_at is not None and",
        "return False and",
    ),
    Mutant(
        10,
        "unknown passes as ok",
        "alarms.py",
        "return AlarmState.OK if unknown_from(state, alarm, now) is None else AlarmState.UNKNOWN",
        "return AlarmState.OK",
    ),
    Mutant(11, "what could not tell passes", "progress.py", "if bad or unclear:", "if bad:"),
    Mutant(
        12,
        "siblings stay although they should follow",
        "reported.py",
        "if stage.siblings is Siblings.FOLLOW and",
        "if False and",
    ),
    Mutant(
        13,
        "back to a version that is bad",
        "rollback.py",
        "return not any(_is_bad_in(state, mark, installed, stage) for mark in state.bad)",
        "return True",
    ),
    Mutant(
        13,
        "bad versions push out good ones",
        "rollback.py",
        "kept = (usable + [g for g in others if g not in usable])[:keep]",
        "kept = others[:keep]",
    ),
    Mutant(
        14,
        "a rollback asks nothing to stop",
        "rollback.py",
        'if at is None or at.is_rollback or at.phase == "cancelling":',
        "if True:",
    ),
    Mutant(15, "what may contain it goes in", "blockers.py", "return release.sequence > mark.sequence", "return False"),
    Mutant(
        15,
        "what is bad is forgotten too soon",
        "rollback.py",
        "if mark.is_healed and mark.digest not in known]",
        "]",
    ),
    Mutant(
        15,
        "a bad version hides behind a parent",
        "ancestry.py",
        "found |= dict.fromkeys(_contained(state, known[parent]))",
        "pass",
    ),
    Mutant(16, "the guard is not looked at", "rollback.py", "draft.now - target.rolled_back_at < guard", "False"),
    Mutant(17, "one-way goes back", "rollback.py", "if release.is_one_way:", "if False:"),
    Mutant(19, "authors approve themselves", "approvals.py", "if by.id in behind.people:", "if False:"),
    Mutant(
        20,
        "an approval outlives the definition",
        "approvals.py",
        "if request.revision != state.definition.revision:",
        "if False:",
    ),
    Mutant(
        21,
        "pauses hold nothing",
        "blockers.py",
        "return tuple(p for p in state.pauses if covers(p.scope, stage)",
        "return tuple(p for p in state.pauses if False and covers(p.scope, stage)",
    ),
    Mutant(21, "nobody is reminded of a pause", "decide.py", ".days >= REMIND_EVERY_DAYS:", ".days >= 9_999:"),
    Mutant(22, "a freeze holds nothing", "gates.py", "if freeze.is_on(at) and covers(", "if False and covers("),
    Mutant(
        22,
        "a calendar nobody knows is open",
        "gates.py",
        "        if calendar is None:\n            unknown.append(name)",
        "        if calendar is None:\n            pass",
    ),
    Mutant(22, "after an opening all go on at once", "gates.py", "if turn is not None and now < turn[1]:", "if False:"),
    Mutant(
        22,
        "of an hour that comes twice the wrong one is taken",
        "calendar.py",
        "for fold in (0, 1))",
        "for fold in (1, 0))",
    ),
    Mutant(
        23,
        "an override lasts for a year",
        "asked/exceptions.py",
        "expires_at=draft.now + draft.definition.override_expires,",
        "expires_at=draft.now + 365 * draft.definition.override_expires,",
    ),
    Mutant(
        23,
        "one person overrides production",
        "blockers.py",
        "if stage.is_production and override.seconded_by is None:",
        "if False:",
    ),
    Mutant(
        24,
        "the same person approves twice",
        "asked/approving.py",
        "if any(v.by.id == event.by.id for v in request.votes):",
        "if False:",
    ),
    Mutant(25, "who is second is not told so", "why.py", "if not is_first and not any(", "if False and not any("),
    Mutant(
        25,
        "a state is taken to be at rest that is not",
        "draft.py",
        "if not is_under_way or target.is_mixed != before.is_mixed or self.running_at == self.changes:",
        "if False:",
    ),
    Mutant(26, "what is lost counts as ended", "asked/reconciling.py", "if not lost:", "if False:"),
    Mutant(
        27,
        "what was changed by hand holds nothing",
        "blockers.py",
        "        if target.drift:\n            found.append(",
        "        if False:\n            found.append(",
    ),
    Mutant(
        28,
        "a late alert fires again",
        "alarms.py",
        "if event.key in resolved and start <= resolved[event.key]:",
        "if False:",
    ),
)


def main() -> int:
    """Try all of them (or those of the rules named as arguments) and print who noticed; 1 if somebody did not."""
    wanted = {int(word) for word in sys.argv[1:]}
    chosen = [mutant for mutant in MUTANTS if not wanted or mutant.rule in wanted]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        noticed = list(pool.map(noticed_by, chosen))
    rows = [f"| {m.rule} | {m.bug} | {test or 'NOBODY'} |\n" for m, test in zip(chosen, noticed, strict=True)]
    count = f"{sum(map(bool, noticed))} of {len(chosen)} bugs in {len({m.rule for m in chosen})} rules noticed"
    sys.stdout.write("".join(rows) + f"{count}\n")
    if not wanted:
        TABLE.write_text(HEAD + "".join(rows))
    return 0 if all(noticed) else 1


def noticed_by(mutant: Mutant) -> str:
    """A story that fails with the bug, of those that bear the number of its rule if any does; empty if none does."""
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory)
        for part in ("core", "company", "tests/core"):
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        for file in ("pyproject.toml", "tests/__init__.py"):
            shutil.copy(ROOT / file, copy / file)
        mutated(mutant, copy)
        files = sorted((copy / "tests" / "core").glob("test_*.py"))
        stories = [file for file in files if file.name.startswith(STORIES)]
        named = f"test_rule_{mutant.rule:02d}_"
        likely = [file for file in files if f"def {named}" in file.read_text()]
        return _failing(copy, likely, named) or _failing(copy, stories, "not (any_order or turned_is)")


def _failing(copy: Path, files: list[Path], wanted: str) -> str:
    """The first test that fails; stories only: what is tried at random may take long, and fail on a busy machine."""
    if not files:
        return ""
    quiet = ["-q", "-x", "--tb=no", "-p", "no:cacheprovider", "-p", "no:randomly", "-k", wanted]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *quiet, *map(str, files)],
        cwd=copy, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = re.search(r"^(?:FAILED|ERROR) \S*?(test_\w+)(?:\.py::)?(test_\w+)?", run.stdout, re.MULTILINE)
    return (found[2] or found[1]) if found else ""


def mutated(mutant: Mutant, root: Path) -> None:
    """Put the bug into a checkout."""
    path = root / "core" / "releases" / mutant.file
    text = path.read_text()
    assert text.count(mutant.old) == 1, f"`{mutant.old}` stands {text.count(mutant.old)} times in {mutant.file}"
    path.write_text(text.replace(mutant.old, mutant.new))


if __name__ == "__main__":
    sys.exit(main())
