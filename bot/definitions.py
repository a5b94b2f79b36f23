"""Definition files from a directory: `org.yaml` and `pipelines/*.yaml`, with every problem of all of them located."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from bot.located_yaml import Located, Place, read_yaml
from core.releases.definition import NO_POLICY, PipelineFile
from core.releases.fields import json_text
from core.releases.organisation import Organisation, read_organisation, unknown_to_organisation
from core.releases.organisation_file import OrganisationFile
from core.releases.pipeline import Pipeline
from core.releases.problems import Path as DocumentPath
from core.releases.problems import Problem, path_text
from core.releases.soundness import read_pipeline
from core.releases.source_parts import Origin

ORGANISATION_FILE = "org.yaml"
PIPELINES_DIRECTORY = "pipelines"
LARGEST_BYTES = 1_000_000

Validate = Callable[[str, Mapping[str, Any], Mapping[str, Mapping[str, Any]]], Sequence[Problem]]
"""`validate(deployer, settings, settings of each target by name)`: what is wrong with them.

Called once for all targets that share a deployer and its settings. Paths of problems begin with `use`, `with` or
`targets`, the latter followed by the target's name.
"""

ValidateTest = Callable[[str, Mapping[str, Any]], Sequence[Problem]]
"""`validate_test(use, settings)`: what is wrong with a test; paths of problems begin with `use` or `with`."""

ValidateSource = ValidateTest
"""The same for a release source of the organisation file."""

ValidateOrigin = Callable[[Origin], Iterable[Problem]]
"""`validate_origin(origin)`: what is wrong with where releases come from; paths are those of the file."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A problem and where it stands."""

    file: str
    line: int
    column: int
    path: str
    sentence: str
    mend: str = ""
    is_warning: bool = False

    def __str__(self) -> str:
        warning = "warning: " if self.is_warning else ""
        mend = f" — {self.mend}" if self.mend else ""
        return f"{self.file}:{self.line}:{self.column}: {self.path}: {warning}{self.sentence}{mend}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Definitions:
    """What a directory holds. Pipelines without errors are there even if others have some."""

    organisation: Organisation | None = None
    pipelines: Mapping[str, Pipeline] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    """The file of each pipeline, by its id."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """What each of these files says."""
    findings: tuple[Finding, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether there is no error; warnings do not count."""
        return all(finding.is_warning for finding in self.findings)


def load_directory(
    root: Path,
    validate: Validate | None = None,
    validate_test: ValidateTest | None = None,
    validate_source: ValidateSource | None = None,
) -> Definitions:
    """Everything under a configuration directory (`ANDON_CONFIG`)."""
    files = pipeline_files(root)
    if not files:
        place = f"{root / PIPELINES_DIRECTORY}"
        mend = f"put a file such as `{root.name}/{PIPELINES_DIRECTORY}/checkout.yaml` there; see docs/definition.md"
        return Definitions(findings=(Finding(place, 1, 1, "(the directory)", "there is no pipeline here", mend),))
    return load_files(files, root / ORGANISATION_FILE, validate, validate_test, validate_source=validate_source)


def pipeline_files(root: Path) -> list[Path]:
    """The pipeline files of a configuration directory, by name."""
    found = [*(root / PIPELINES_DIRECTORY).glob("*.yaml"), *(root / PIPELINES_DIRECTORY).glob("*.yml")]
    return sorted(path for path in found if not path.name.startswith("."))


@dataclass(frozen=True, slots=True)
class Given:
    """A pipeline file that lies nowhere here: `name` is what its problems call it."""

    name: str
    text: str

    def __str__(self) -> str:
        return self.name


def load_files(
    files: Sequence[Path | Given],
    organisation: Path | None,
    validate: Validate | None = None,
    validate_test: ValidateTest | None = None,
    *,
    validate_source: ValidateSource | None = None,
    validate_origin: ValidateOrigin | None = None,
    today: date | None = None,
) -> Definitions:
    """These pipelines with this organisation; without one, names of people, teams and calendars are not looked up.

    With `today` calendars with dates are asked whether they still open within a year.
    """
    findings: list[Finding] = []
    file, known = _organisation(organisation, findings, validate_source, today)
    pipelines: dict[str, Pipeline] = {}
    names: dict[str, str] = {}
    texts: dict[str, str] = {}
    for path in files:
        text = _text(path, findings)
        located = _located_in(text, path, findings) if text is not None else None
        if located is None or text is None:
            continue
        reading = read_pipeline(located.value, known.policy if known is not None else NO_POLICY, today)
        problems = list(reading.problems)
        if reading.file is not None:
            problems += _beyond_one_file(reading.file, file, validate, validate_test, today)
            if validate_origin is not None:
                problems += validate_origin(Origin.of(reading.file.sources, reading.file.repository))
            if reading.file.id in names:
                sentence = f"the pipeline `{reading.file.id}` is already defined in {names[reading.file.id]}"
                problems.append(Problem(("service",), sentence, "give one of them another `pipeline:` name"))
            names.setdefault(reading.file.id, str(path))
        findings += _located(path, located, problems)
        if reading.pipeline is not None and all(problem.is_warning for problem in problems):
            pipelines[reading.pipeline.id] = reading.pipeline
            texts[reading.pipeline.id] = text
    order = {str(path): index for index, path in enumerate([organisation, *files])}
    findings.sort(key=lambda finding: (order.get(finding.file, 0), finding.line, finding.column, finding.sentence))
    return Definitions(
        organisation=known,
        pipelines=pipelines,
        files={name: names[name] for name in pipelines},
        texts=texts,
        findings=tuple(findings),
    )


def _organisation(
    path: Path | None, findings: list[Finding], validate_source: ValidateSource | None, today: date | None
) -> tuple[OrganisationFile | None, Organisation | None]:
    if path is None:
        return None, None
    if not path.is_file():
        sentence = "there is no organisation file: people, teams and calendars are not looked up"
        mend = "add one; see docs/definition.md"
        findings.append(Finding(str(path), 1, 1, "(the file)", sentence, mend, is_warning=True))
        return None, None
    text = _text(path, findings)
    located = _located_in(text, path, findings) if text is not None else None
    if located is None:
        return None, None
    reading = read_organisation(located.value, today)
    findings += _located(path, located, reading.problems)
    if reading.file is not None and validate_source is not None:
        findings += _located(path, located, _source_problems(reading.file, validate_source))
    return reading.file, reading.organisation


def _text(path: Path | Given, findings: list[Finding]) -> str | None:
    """What a file says; None where it cannot be read, with the reason among the findings."""
    try:
        if isinstance(path, Given):
            raw = path.text.encode("utf-8", "surrogatepass") if len(path.text) <= LARGEST_BYTES else None
        else:
            raw = path.read_bytes() if path.stat().st_size <= LARGEST_BYTES else None
    except OSError as error:
        sentence = f"this file cannot be read: {(error.strerror or 'unknown error').lower()}"
        findings.append(Finding(str(path), 1, 1, "(the file)", sentence, "mend its path or its rights"))
        return None
    if raw is None:
        mend = "split it: one pipeline a file"
        findings.append(Finding(str(path), 1, 1, "(the file)", "this file is larger than 1 MB", mend))
        return None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        findings.append(Finding(str(path), line, column, "(the file)", "this is no UTF-8", "save the file as UTF-8"))
        return None


def _located_in(text: str, path: Path | Given, findings: list[Finding]) -> Located | None:
    """A text as YAML; None where it is none, with the reasons among the findings."""
    located = read_yaml(text)
    findings += [
        Finding(str(path), flaw.place.line, flaw.place.column, path_text(flaw.path), flaw.sentence, flaw.mend)
        for flaw in located.flaws
    ]
    if located.flaws:
        return None
    _explain_comments(text, located)
    return located


def _explain_comments(text: str, located: Located) -> None:
    """Keep, for each empty key, the comment that follows it: it was probably meant as its value."""
    lines = text.splitlines()
    for path, word in located.bare.items():
        if not word and path in located.keys:
            _, _, comment = lines[located.keys[path].line - 1].partition(" #")
            located.bare[path] = f"#{comment.strip()}" if comment else ""


# ---- places ---------------------------------------------------------------------------------------------------------


def _located(path: Path | Given, located: Located, problems: Iterable[Problem]) -> list[Finding]:
    return [_finding(path, located, problem) for problem in problems]


def _finding(path: Path | Given, located: Located, problem: Problem) -> Finding:
    """The place of a problem: its key or value, else the nearest thing around it."""
    known = problem.path
    while known not in located.values and known:
        known = known[:-1]
    is_key = (problem.at_key or problem.code == "empty") and known in located.keys
    place = located.keys[known] if is_key else located.values.get(known, Place(1, 1))
    shown_path = problem.path if problem.code == "missing" else known
    mend, bare = problem.mend, located.bare.get(known, "")
    if problem.code == "string_type" and bare:
        mend = f'write it in quotes: "{bare}"'
    elif problem.code == "empty" and bare.startswith("#"):
        mend = f'write it in quotes, because # begins a comment: "{bare}"'
    return Finding(
        str(path), place.line, place.column, path_text(shown_path), problem.sentence, mend, problem.is_warning
    )


# ---- what one file alone cannot say ---------------------------------------------------------------------------------


def _beyond_one_file(
    file: PipelineFile,
    organisation: OrganisationFile | None,
    validate: Validate | None,
    validate_test: ValidateTest | None,
    today: date | None,
) -> Iterator[Problem]:
    if organisation is not None:
        yield from unknown_to_organisation(file, organisation, today)
    if validate is not None:
        yield from _deployer_problems(file, validate)
    for index, stage in enumerate(file.stages if validate_test is not None else ()):
        for number, test in enumerate(stage.tests):
            for problem in validate_test(test.use, test.with_) if validate_test is not None else ():
                yield replace(problem, path=("stages", index, "tests", number, *problem.path))


def _source_problems(file: OrganisationFile, validate_source: ValidateSource) -> Iterator[Problem]:
    for name, source in file.sources.items():
        for problem in validate_source(source.use or name, source.with_):
            is_key = problem.path[:1] == ("use",) and source.use is None
            place = ("sources", name) if is_key else ("sources", name, *problem.path)
            yield replace(problem, path=place, at_key=problem.at_key or is_key)


def _deployer_problems(file: PipelineFile, validate: Validate) -> Iterator[Problem]:
    """What the deployers say of their settings; targets that share a deployer and its settings are shown together."""
    shared: dict[str, list[int]] = {}
    for index, stage in enumerate(file.stages):
        shared.setdefault(json_text(file.deployer_of(stage)), []).append(index)
    for indexes in shared.values():
        use, settings = file.deployer_of(file.stages[indexes[0]])
        places: dict[str, DocumentPath] = {}
        targets: dict[str, Mapping[str, Any]] = {}
        for index in indexes:
            for number, target in enumerate(file.stages[index].targets):
                places[target.name] = ("stages", index, "targets", number)
                targets[target.name] = target.with_
        for problem in validate(use, settings, targets):
            yield replace(problem, path=_path_in_file(file, indexes[0], places, problem.path))


def _path_in_file(
    file: PipelineFile, index: int, places: Mapping[str, DocumentPath], path: DocumentPath
) -> DocumentPath:
    """Where the file says what a deployer speaks of."""
    if len(path) > 1 and path[0] == "targets" and path[1] in places:
        return (*places[str(path[1])], "with", *path[2:])
    own = file.stages[index].deployer
    is_own = own is not None and (own.use is not None if path[:1] == ("use",) else path[1:2] and path[1] in own.with_)
    return ("stages", index, "deployer", *path) if is_own else ("deployer", *path)
