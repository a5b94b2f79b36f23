"""`andon check`: what is wrong with definition files, or the line they make as a picture."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TextIO

from pydantic import BaseModel

from bot.adapter_settings import deployer_problems, source_problems, test_problems
from bot.definitions import (
    ORGANISATION_FILE,
    PIPELINES_DIRECTORY,
    Definitions,
    Finding,
    Validate,
    ValidateSource,
    ValidateTest,
    load_files,
    pipeline_files,
)
from bot.line_picture import minimum_bake, minimum_time, picture
from core.releases.calendar import Calendar
from core.releases.definition import PipelineFile
from core.releases.gates import windows_of
from core.releases.organisation_file import OrganisationFile
from core.releases.pipeline import Pipeline

SCHEMAS: dict[str, type[BaseModel]] = {"pipeline": PipelineFile, "organisation": OrganisationFile}


def check(
    paths: Sequence[str | Path],
    out: TextIO,
    *,
    as_json: bool = False,
    validate: Validate | None = deployer_problems,
    validate_test: ValidateTest | None = test_problems,
    validate_source: ValidateSource | None = source_problems,
    today: date | None = None,
) -> int:
    """Look at files and configuration directories; 0: right, 1: something is wrong, 2: nothing to look at."""
    today = today or datetime.now(UTC).date()
    definitions: list[Definitions] = []
    for organisation, files in _found([Path(path) for path in paths]):
        missing = [path for path in files if not path.exists()]
        if missing or not (files or (organisation and organisation.is_file())):
            name = missing[0] if missing else organisation.parent if organisation else "."
            out.write(f"andon check: there is nothing to check at {name}; name a pipeline file or its directory\n")
            return 2
        definitions.append(
            load_files(files, organisation, validate, validate_test, validate_source=validate_source, today=today)
        )
    if not definitions:
        out.write("andon check: name a pipeline file, or a directory with org.yaml and pipelines/\n")
        return 2
    findings = [finding for part in definitions for finding in part.findings]
    pipelines = [
        _Drawn(part.files[id_], line, part.organisation.calendars if part.organisation else {})
        for part in definitions
        for id_, line in part.pipelines.items()
    ]
    out.write(_as_json(findings, pipelines) if as_json else _as_text(findings, pipelines))
    return 0 if all(finding.is_warning for finding in findings) else 1


def schema(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a file for editors; stricter than the model's own in that no key may be empty."""
    made = model.model_json_schema(by_alias=True)
    made = _without_null(made)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def write_schemas(directory: Path) -> list[Path]:
    """Write `NAME.schema.json` for each kind of file."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, model in SCHEMAS.items():
        path = directory / f"{name}.schema.json"
        path.write_text(schema_text(model), encoding="utf-8")
        written.append(path)
    return written


def schema_text(model: type[BaseModel]) -> str:
    """The schema as it is published."""
    return json.dumps(schema(model), indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; also `python -m bot.check`."""
    parser = argparse.ArgumentParser(prog="andon check", description=__doc__)
    parser.add_argument("paths", nargs="*", metavar="FILE", help="pipeline files, org.yaml, or their directory")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--schema", metavar="DIRECTORY", help="write the JSON schemas for editors there, and end")
    chosen = parser.parse_args(arguments)
    if chosen.schema:
        for path in write_schemas(Path(chosen.schema)):
            sys.stdout.write(f"{path}\n")
        return 0
    return check(chosen.paths, sys.stdout, as_json=chosen.json)


def _found(paths: Sequence[Path]) -> list[tuple[Path | None, list[Path]]]:
    """For each organisation file, the pipeline files that belong to it."""
    found: dict[Path | None, list[Path]] = {}
    for path in paths:
        if path.is_dir():
            root = path.parent if path.name == PIPELINES_DIRECTORY else path
            found.setdefault(root / ORGANISATION_FILE, []).extend(pipeline_files(root))
        elif path.name == ORGANISATION_FILE:
            found.setdefault(path, [])
        else:
            beside = (path.parent / ORGANISATION_FILE, path.parent.parent / ORGANISATION_FILE)
            organisation = next(
                (place for place in beside if place.is_file()), beside[path.parent.name == PIPELINES_DIRECTORY]
            )
            found.setdefault(organisation, []).append(path)
    return [(organisation, list(dict.fromkeys(files))) for organisation, files in found.items()]


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A line that is right, its file, and the calendars beside it."""

    file: str
    line: Pipeline
    calendars: Mapping[str, Calendar]


def _as_text(findings: Sequence[Finding], pipelines: Sequence[_Drawn]) -> str:
    """Problems first; pictures of the lines that are right only where no file is wrong."""
    lines = [str(finding) for finding in findings]
    errors = sum(not finding.is_warning for finding in findings)
    if errors:
        return (
            "\n".join([*lines, "", f"{errors} {'problem' if errors == 1 else 'problems'}. Nothing was applied."]) + "\n"
        )
    for drawn in pipelines:
        lines += [*([""] if lines else []), picture(drawn.line, drawn.calendars)]
    return "\n".join(lines or ["The organisation file is right."]) + "\n"


def _as_json(findings: Sequence[Finding], pipelines: Sequence[_Drawn]) -> str:
    told = {
        "is_good": all(finding.is_warning for finding in findings),
        "problems": [
            {
                "file": finding.file,
                "line": finding.line,
                "column": finding.column,
                "path": finding.path,
                "problem": finding.sentence,
                "mend": finding.mend,
                "is_warning": finding.is_warning,
            }
            for finding in findings
        ],
        "pipelines": [
            {
                "id": pipeline.id,
                "file": file,
                "revision": pipeline.revision,
                "minimum_seconds": minimum_time(pipeline).total_seconds(),
                "stages": [
                    {
                        "name": stage.name,
                        "after": list(stage.after),
                        "group": stage.group,
                        "is_production": stage.is_production,
                        "is_one_box": stage.is_one_box,
                        "targets": [target.name for target in stage.targets],
                        "windows": list(windows_of(pipeline, stage)),
                        "minimum_bake_seconds": minimum_bake(pipeline, stage).total_seconds(),
                        "on_alarm": stage.on_alarm.value,
                    }
                    for stage in pipeline.stages
                ],
            }
            for file, pipeline in ((drawn.file, drawn.line) for drawn in pipelines)
        ],
    }
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"


def _without_null(part: Any) -> Any:
    """A schema without `null` among its choices, nor as a default: an empty key is refused."""
    if isinstance(part, list):
        return [_without_null(item) for item in part if item != {"type": "null"}]
    if not isinstance(part, dict):
        return part
    kept = {key: _without_null(value) for key, value in part.items() if not (key == "default" and value is None)}
    choices = kept.get("anyOf")
    if isinstance(choices, list) and len(choices) == 1:
        del kept["anyOf"]
        kept = {**choices[0], **kept}
    return kept


if __name__ == "__main__":
    sys.exit(main())
