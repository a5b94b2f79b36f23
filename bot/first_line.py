"""`andon init`: a careful first pipeline for a service, written from five answers."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import jinja2

from bot.check import check
from bot.definitions import ORGANISATION_FILE, PIPELINES_DIRECTORY, load_files
from core.errors import UsageError
from core.releases.fields import name_suggestion
from core.releases.problems import nearest

TEMPLATES = Path(__file__).parent.parent / "templates"
CHANGE = "# change this"

PLACES: Mapping[str, str] = {
    "kubernetes": "Kubernetes: Deployments or StatefulSets",
    "github-actions": "where a workflow of GitHub Actions puts it",
    "hosts": "servers, over SSH",
    "webhook": "where a service of ours puts it, asked by webhook",
    "processes": "processes on Andon's own machine",
    "command": "wherever a program of ours puts it",
}
"""Deployers a first line can be written for, and what they are called in a list."""

SOURCES: Mapping[str, str] = {
    "announce": "CI tells it: andon announce, or POST /api/releases",
    "github": "GitHub tells it: a release, or a workflow that succeeded",
}
"""Where releases come from, by name."""


OF_FILES = frozenset({"processes", "hosts"})
"""Places where a version is an archive; elsewhere it is an image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What somebody said of their service; `health` is the address that answers well while it serves, or empty."""

    service: str
    team: str
    channel: str
    runs_on: str
    source: str = "announce"
    health: str = ""
    description: str = ""
    is_approved: bool = True
    """Whether production asks somebody of the team; a team of one could never be answered."""


def written(answers: Answers, templates: Path = TEMPLATES) -> str:
    """The text of a definition; raises UsageError for a place or source there is not."""
    if answers.source not in SOURCES:
        raise UsageError(f"Releases cannot come from {answers.source}.", mend=_one_of(answers.source, SOURCES))
    if answers.runs_on not in PLACES:
        raise UsageError(f"No line can be written for {answers.runs_on}.", mend=_one_of(answers.runs_on, PLACES))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - it writes YAML; every value of a person is quoted or a name
    )
    environment.filters["quoted"] = _quoted
    service = answers.service
    return environment.get_template("lines/line.yaml.j2").render(
        service=service,
        team=answers.team,
        channel=answers.channel,
        runs_on=answers.runs_on,
        source_lines=_source(environment, answers),
        health=answers.health,
        health_of=_health_of(answers),
        change=lambda given: "" if given else CHANGE,
        description=answers.description or f"What {service} is for, in a line",
        is_approved=answers.is_approved,
    )


def _health_of(answers: Answers) -> Callable[[str], str]:
    """The address that shows the health of a stage: the one given for production, examples for the others."""

    def of(stage: str) -> str:
        if answers.health and stage == "production":
            return answers.health
        host = answers.service if stage == "production" else f"{answers.service}-{stage}"
        return f"https://{host}.example.com/health"

    return of


def _source(environment: jinja2.Environment, answers: Answers) -> str:
    if answers.source == "announce":
        return ""
    return environment.get_template(f"lines/from_{answers.source}.j2").render(
        service=answers.service, is_file=answers.runs_on in OF_FILES
    )


def _quoted(text: str) -> str:
    """A text as YAML reads it back, whatever is in it."""
    return json.dumps(text, ensure_ascii=False)


def _one_of(word: str, known: Mapping[str, str]) -> str:
    return f"{nearest(word, known)}.".capitalize()


# ---- the command ----------------------------------------------------------------------------------------------------

QUESTIONS = (
    ("service", "What is the service called?", "checkout"),
    ("team", "Which team owns it, as the organisation file calls it?", "payments"),
    ("channel", "In which Slack channel should its releases be?", "#checkout"),
    ("runs_on", "Where does it run?", ""),
    ("source", "How does Andon hear of new versions?", ""),
)


def main(
    arguments: Sequence[str] | None = None,
    *,
    ask: Callable[[str], str] = input,
    out: TextIO | None = None,
    is_terminal: bool | None = None,
) -> int:
    """The command line. 0: written and right; 1: written, but `andon check` found mistakes; 2: nothing was written."""
    out = out or sys.stdout
    chosen = _parser().parse_args(arguments)
    is_terminal = sys.stdin.isatty() if is_terminal is None else is_terminal
    try:
        answers = _answers(chosen, ask if is_terminal else None, out)
        text = written(answers)
    except UsageError as error:
        sys.stderr.write(f"andon init: {error.message} {error.mend}".rstrip() + "\n")
        return 2
    except EOFError:
        sys.stderr.write("\nandon init: nothing was written.\n")
        return 2
    if chosen.stdout:
        out.write(text)
        return 0
    path = Path(chosen.directory) / PIPELINES_DIRECTORY / f"{answers.service}.yaml"
    if path.exists():
        sys.stderr.write(f"andon init: {path} is there already; nothing was written.\n")
        return 2
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        sys.stderr.write(f"andon init: {path} cannot be written: {error.strerror or 'unknown error'}\n")
        return 2
    out.write(f"{path} is written.\n\n")
    code = check([path], out)
    todo = [number for number, line in enumerate(text.splitlines(), 1) if CHANGE in line]
    if todo:
        out.write(f"\nExamples to change stand in {'line' if len(todo) == 1 else 'lines'} {_numbers(todo)}.\n")
    out.write(
        f"Then `andon check {path}`, `andon simulate {path}` to see what it would do, and\n"
        f"`andon apply {path}` to put it in force (or keep it in ANDON_CONFIG and start Andon again).\n"
    )
    return code


def _answers(chosen: argparse.Namespace, ask: Callable[[str], str] | None, out: TextIO) -> Answers:
    given = {name: getattr(chosen, name) or "" for name, _, _ in QUESTIONS}
    lists: Mapping[str, Mapping[str, str]] = {"runs_on": PLACES, "source": SOURCES}
    missing = [f"--{name.replace('_', '-')}" for name, value in given.items() if not value and name != "source"]
    if missing and ask is None:
        raise UsageError(f"{', '.join(missing)}: say what {'it is' if len(missing) == 1 else 'they are'}.")
    for name, question, example in QUESTIONS:
        if given[name] or ask is None:
            continue
        known = lists.get(name, {})
        out.writelines(f"  {key:<16} {words}\n" for key, words in known.items())
        default = next(iter(known), "") or (f"#{given['service']}" if name == "channel" else "")
        hint = f" [{default}]" if default else f" (for example {example})" if example else ""
        given[name] = ask(f"{question}{hint} ").strip() or default
    service = given["service"]
    if (better := name_suggestion(service)) != service:
        raise UsageError(f"A service cannot be called “{service}”.", mend=f"Try {better}." if better else "")
    channel = given["channel"] if given["channel"][:1] in ("#", "C", "G") else f"#{given['channel']}"
    return Answers(
        service=service,
        team=given["team"],
        channel=channel,
        runs_on=given["runs_on"],
        source=given["source"] or "announce",
        health=chosen.health,
        is_approved=_has_approvers(Path(chosen.directory), given["team"]),
    )


def _has_approvers(directory: Path, team: str) -> bool:
    """Whether the team has two people or more; without an organisation file it is believed."""
    path = directory / ORGANISATION_FILE
    organisation = load_files([], path).organisation if path.is_file() else None
    known = organisation.teams.get(team) if organisation is not None else None
    return known is None or len(known.members) > 1


def _numbers(numbers: Sequence[int]) -> str:
    words = [str(number) for number in numbers]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="andon init", description=__doc__)
    parser.add_argument("--service", help="small letters, digits, single dashes")
    parser.add_argument("--team", help="of the organisation file")
    parser.add_argument("--channel", help="'#checkout', or the id of a channel")
    parser.add_argument("--runs-on", dest="runs_on", help=", ".join(PLACES))
    parser.add_argument("--source", help=", ".join(SOURCES))
    parser.add_argument("--health", default="", metavar="URL", help="what answers well while production serves")
    parser.add_argument(
        "--directory",
        default=os.environ.get("ANDON_CONFIG", "."),
        help="where org.yaml and pipelines/ are [ANDON_CONFIG, else here]",
    )
    parser.add_argument("--stdout", action="store_true", help="print it instead of writing a file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
