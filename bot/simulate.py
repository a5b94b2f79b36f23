"""`andon simulate`: a company, or a team's own pipeline, lived for years in a minute by the rules Andon runs."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from bot.check import check
from bot.definitions import load_files
from company.caution import CAUTIONS
from company.life import Habits
from company.picture import picture
from company.report import company_report, comparison, line_report
from company.running import Company, Progress, services_for, simulate
from company.shapes import pipeline as careful_line
from company.tally import Tally
from core.releases.pipeline import Pipeline

COMPANY_DEPLOYMENTS = 20_000
LINE_DEPLOYMENTS = 4_000
COMPARED_SERVICES = 40
COMPARED_CHANGES = 25
COMPARED = Habits(bad_share=0.3)
"""Where ways are compared more changes are bad, so that there is something to count; each is judged by itself."""
MOST_DEPLOYMENTS = 100_000_000
ENDED_BY_HAND = 130
REDRAW_SECONDS = 0.2

EPILOG = """\
examples:
  andon simulate                                       a company; what came of it
  andon simulate --deployments 1000000 --json          one line for programs
  andon simulate --compare --picture caution.svg       what one-box, waves, bakes and alarms are worth
  andon simulate pipelines/checkout.yaml               what your own pipeline would do
  andon simulate pipelines/checkout.yaml --compare     and what it would do without its cautions

Every deployment goes through the decisions that the bot makes; nothing outside is touched. The same seed comes to the
same result on every machine, whatever the number of processes. docs/simulate.md says what is played, and how.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. 0: no violation; 1: some; 2: it could not begin; 130: ended with Ctrl-C."""
    chosen = _parser().parse_args(arguments)
    line: Pipeline | None = None
    if chosen.file:
        line = _read(Path(chosen.file))
        if line is None:
            return 2
    if chosen.picture and not Path(chosen.picture).absolute().parent.is_dir():
        sys.stderr.write(f"andon simulate: there is no directory {Path(chosen.picture).parent} for the picture\n")
        return 2
    company = _company(chosen, line)
    started = time.monotonic()
    if chosen.compare or chosen.picture:
        return _compare(chosen, company, started)
    tally, is_whole = simulate(company, chosen.processes, _progress("", sys.stderr, wanted=not chosen.json))
    seconds = time.monotonic() - started
    if chosen.json:
        sys.stdout.write(_as_json(tally, company, seconds, is_whole=is_whole))
    else:
        _say_if_ended(is_whole=is_whole)
        if line is not None:
            sys.stdout.write(line_report(line, tally, company.requests))
        else:
            sys.stdout.write(company_report(tally, _order(company), company.seed, seconds))
    return _code(tally, is_whole=is_whole)


def _company(chosen: argparse.Namespace, line: Pipeline | None) -> Company:
    deployments = chosen.deployments or (COMPANY_DEPLOYMENTS if line is None else LINE_DEPLOYMENTS)
    company = Company(
        seed=chosen.seed,
        services=min(chosen.services or services_for(deployments), deployments),
        deployments=deployments,
        line=line,
        requests=chosen.requests,
        cautions=frozenset(chosen.without),
    )
    if chosen.compare or chosen.picture:
        # So many changes, whatever they cost: the same ones come in each of the runs.
        services = chosen.services or COMPARED_SERVICES
        return replace(company, deployments=0, changes=COMPARED_CHANGES, services=services, habits=COMPARED)
    return company


def _compare(chosen: argparse.Namespace, company: Company, started: float) -> int:
    ways: dict[str, frozenset[str]] = {"all cautions": frozenset()}
    ways |= {f"without {caution}": frozenset({caution}) for caution in CAUTIONS}
    ways["without any"] = frozenset(CAUTIONS)
    if company.cautions:
        ways = {"all cautions": frozenset(), f"without {' and '.join(sorted(company.cautions))}": company.cautions}
    tallies: dict[str, Tally] = {}
    is_whole = True
    for name, cautions in ways.items():
        progress = _progress(f"{name}: ", sys.stderr, wanted=not chosen.json)
        tally, is_whole = simulate(replace(company, cautions=cautions), chosen.processes, progress)
        tallies[name] = tally
        if not is_whole:
            break
    if chosen.json:
        told = {
            "seconds": round(time.monotonic() - started, 3),
            "seed": company.seed,
            "is_whole": is_whole,
            "violations": sum(tally.violations for tally in tallies.values()),
            "compared": {name: tally.as_json() for name, tally in tallies.items()},
        }
        sys.stdout.write(json.dumps(told) + "\n")
    else:
        _say_if_ended(is_whole=is_whole)
        sys.stdout.write(comparison(tallies))
    if chosen.picture:
        about = company.line.id if company.line is not None else f"{company.services} simulated services"
        drawn = picture(f"What caution is worth: {about}", tallies, _order(company))
        Path(chosen.picture).write_text(drawn, encoding="utf-8")
        sys.stderr.write(f"The picture is {chosen.picture}\n")
    whole = Tally()
    for tally in tallies.values():
        whole.add(tally)
    return _code(whole, is_whole=is_whole)


def _order(company: Company) -> list[str]:
    line = company.line or careful_line("any", (1, 2, 3), is_approved=False)
    return [stage.name for stage in line.stages]


def _as_json(tally: Tally, company: Company, seconds: float, *, is_whole: bool) -> str:
    about = {"seconds": round(seconds, 3), "seed": company.seed, "without": sorted(company.cautions)}
    return json.dumps(tally.as_json() | about | {"is_whole": is_whole}) + "\n"


def _code(tally: Tally, *, is_whole: bool) -> int:
    if tally.violations:
        return 1
    return 0 if is_whole else ENDED_BY_HAND


def _say_if_ended(*, is_whole: bool) -> None:
    if not is_whole:
        sys.stdout.write("Ended before it was done; this is what came of it so far.\n")


def _read(path: Path) -> Pipeline | None:
    """The pipeline of a file; what is wrong with it is said as `andon check` says it."""
    if not path.is_file():
        sys.stderr.write(f"andon simulate: there is no file {path}; name a pipeline file, or none for a company\n")
        return None
    definitions = load_files([path], None)
    if not definitions.is_good or not definitions.pipelines:
        check([path], sys.stderr)
        return None
    return next(iter(definitions.pipelines.values()))


def _progress(name: str, out: TextIO, *, wanted: bool) -> Progress | None:
    """A line that is drawn over and over on a terminal; nothing where nobody looks."""
    if not (wanted and out.isatty()):
        return None
    last = 0.0

    def draw(done: int, whole: int) -> None:
        nonlocal last
        if done == whole:
            out.write("\r\x1b[K")
        elif time.monotonic() - last > REDRAW_SECONDS:
            last = time.monotonic()
            out.write(f"\r\x1b[K{name}{done} of {whole} services, {100 * done // whole} % (Ctrl-C ends it)")
        out.flush()

    return draw


# ---- arguments ------------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="andon simulate",
        description="Years of releases through the real rules, in a minute: a company, or your own pipeline.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole = _whole_number
    parser.add_argument("file", nargs="?", metavar="FILE", help="your own pipeline file; a whole company without one")
    parser.add_argument(
        "--deployments",
        type=whole(1, MOST_DEPLOYMENTS),
        metavar="N",
        help=f"versions reaching targets [{COMPANY_DEPLOYMENTS}; {LINE_DEPLOYMENTS} with FILE; not with --compare]",
    )
    parser.add_argument("--seed", type=whole(0, 2**63), default=1, metavar="S", help="another seed, other luck [1]")
    parser.add_argument(
        "--services",
        type=whole(1, 1_000_000),
        metavar="N",
        help=f"[one for each 500 deployments; {COMPARED_SERVICES} with --compare]",
    )
    parser.add_argument(
        "--requests", type=whole(1, 10**9), default=6_000, metavar="N", help="of customers a minute, with FILE [6000]"
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        choices=CAUTIONS,
        help="leave a caution out; may be said several times",
    )
    parser.add_argument("--compare", action="store_true", help="one table: all cautions, and each left out in turn")
    parser.add_argument("--picture", metavar="FILE.svg", help="the comparison as a picture")
    parser.add_argument("--processes", type=whole(1, 256), default=0, metavar="N", help="[one for each core]")
    parser.add_argument("--json", action="store_true", help="one line for programs")
    return parser


class _whole_number:  # noqa: N801 - argparse says its name when a value is wrong
    """Reads a whole number between two bounds; `1_000_000` is one."""

    def __init__(self, least: int, most: int) -> None:
        self._least, self._most = least, most

    def __call__(self, text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            msg = f"`{text}` is no whole number; write for example 20000"
            raise argparse.ArgumentTypeError(msg) from None
        if not self._least <= value <= self._most:
            msg = f"{value} is not between {self._least} and {self._most}"
            raise argparse.ArgumentTypeError(msg)
        return value
