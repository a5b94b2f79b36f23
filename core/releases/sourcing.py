"""Which builds become releases of which pipelines, under what version; and what becomes known of their ancestry."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from core.errors import PermanentError
from core.ports import BuildEvent, ReleaseReport
from core.releases.source_parts import Origin, SourcePart, filled
from core.releases.state import PipelineState
from core.releases.words import listed

MOST_COMPARED = 60
"""Releases whose commits are looked up; what those contain is added by `ancestry`."""
_NUMBERED = {BuildEvent.RUN: "{number}", BuildEvent.DEPLOYMENT: "{number}", BuildEvent.PUSH: "{short}"}
_TAGGED = (BuildEvent.RELEASE, BuildEvent.TAG, BuildEvent.IMAGE)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A build that a pipeline takes."""

    pipeline: str
    report: ReleaseReport
    part: SourcePart
    version: str

    def at(self, commit: str) -> Wanted:
        """The same build, now that its commit is known; what it is called stays."""
        return Wanted(self.pipeline, replace(self.report, commit=commit), self.part, self.version)

    @property
    def values(self) -> dict[str, str]:
        """What templates are filled with."""
        return {**_values(self.report), "version": self.version}

    @property
    def image(self) -> str:
        """The image as the definition names it, with its tag; empty where it names none."""
        return filled(self.part.image, self.values) if self.part.image else ""

    def artifact(self, digest: str) -> str:
        """What the deployer is given."""
        values = {**self.values, "digest": digest}
        if self.part.artifact:
            return filled(self.part.artifact, values)
        image = without_tag(self.image) or self.report.image
        if image:
            return f"{image}@{digest}"
        return self.report.commit if self.part.identity == "commit" else self.part.asset or ""


@dataclass(frozen=True, slots=True)
class Matched:
    """Who takes a build; and, where somebody nearly would, why not."""

    wanted: tuple[Wanted, ...]
    reasons: tuple[str, ...]


def match(source: str, report: ReleaseReport, origins: Mapping[str, Origin]) -> Matched:
    """The pipelines that take what `source` told. A reason means: its repository is known, but this build not meant."""
    wanted: list[Wanted] = []
    reasons: list[str] = []
    for pipeline, origin in origins.items():
        near: list[str] = []
        for part in origin.sources:
            if part.from_ != source or part.repository.casefold() != report.repository.casefold():
                continue
            against = next(_against(part, report), "")
            if not against:
                wanted.append(_wanted(pipeline, part, report))
                break
            near.append(against)
        else:
            # Of several parts the one that came nearest to it says most: that of the same kind of event.
            reasons += [f"{pipeline} wants {near[-1]}"] if near else []
    return Matched(tuple(wanted), tuple(reasons))


def _against(part: SourcePart, report: ReleaseReport) -> Iterator[str]:
    """What a part wants otherwise, in words that follow "wants"; what matters most comes first."""
    if part.event is not report.event:
        yield f"a `{part.event.value}`, and this is a `{report.event.value}`"
    if part.workflow and not any(_same_workflow(part.workflow, name) for name in report.workflow):
        yield f"runs of {part.workflow}, and this is one of {listed(report.workflow[:1]) or 'no workflow'}"
    if report.is_prerelease and not part.prereleases:
        yield "no pre-releases"
    branches = part.branch or ([report.default_branch] if report.default_branch and not report.tag else [])
    if branches and not any(fnmatchcase(report.branch, pattern) for pattern in branches):
        yield f"what is built from {listed(branches, 'or')}, and this is from {report.branch or 'no branch'}"
    if report.event in _TAGGED and not report.tag:
        yield "what has a tag, and this has none"
    elif part.tag and not any(fnmatchcase(report.tag, pattern) for pattern in part.tag):
        yield f"tags like {listed(part.tag, 'or')}, and this is {report.tag or 'none'}"
    elif not part.tag and report.event is BuildEvent.IMAGE and report.tag == "latest":
        yield "images under a version, and `latest` is none"


def _same_workflow(wanted: str, name: str) -> bool:
    return wanted.casefold() in (name.casefold(), name.rpartition("/")[2].casefold())


def _wanted(pipeline: str, part: SourcePart, report: ReleaseReport) -> Wanted:
    template = part.version or _NUMBERED.get(report.event, "{tag}")
    return Wanted(pipeline, report, part, filled(template, _values(report)).strip())


def _values(report: ReleaseReport) -> dict[str, str]:
    return {
        "tag": report.tag,
        "branch": report.branch,
        "commit": report.commit,
        "short": report.commit[:12],
        "number": report.number,
        "attempt": report.attempt,
        "digest": report.digest,
        "repository": report.repository,
        "name": report.repository.rpartition("/")[2],
    }


def identity(wanted: Wanted) -> str:
    """The digest as far as the report itself tells it; empty where a registry or the source must be asked.

    Raises PermanentError where nothing can tell what would be deployed.
    """
    part, report = wanted.part, wanted.report
    if part.identity == "commit":
        if not _COMMIT.fullmatch(report.commit):
            raise PermanentError("This build names no commit, so it is not known what exactly would be deployed.")
        return f"sha256:git-{report.commit}"
    if part.asset:
        return report.assets.get(part.asset, "")
    if report.is_hint and not part.image:
        raise PermanentError(
            "What this sender says of an image proves nothing by itself. Name the image in the pipeline's `sources:`"
            " (`image: HOST/NAME:{tag}`), so that its registry can be asked."
        )
    if part.image and (report.is_hint or not report.digest or report.event is not BuildEvent.IMAGE):
        return ""
    if not _DIGEST.fullmatch(report.digest):
        raise PermanentError("This build names no digest, so it is not known what exactly would be deployed.")
    return report.digest


def without_tag(image: str) -> str:
    """`host/name` of `host/name:tag` or `host/name@digest`."""
    name = image.partition("@")[0]
    head, slash, tail = name.rpartition("/")
    return f"{head}{slash}{tail.partition(':')[0]}"


# ---- ancestry -------------------------------------------------------------------------------------------------------


def commits_asked(state: PipelineState, commit: str) -> tuple[str, ...]:
    """The commits of remembered releases, newest first, of which it matters whether `commit` contains them."""
    newest = sorted(state.releases, key=lambda r: -r.sequence)[:MOST_COMPARED]
    return tuple(dict.fromkeys(r.commit for r in newest if r.commit and r.commit != commit))


def base_of(state: PipelineState, commit: str, contained: Mapping[str, bool | None]) -> str:
    """The commit of the newest release that `commit` contains: what changed, changed since then. Else empty."""
    newest = sorted(state.releases, key=lambda r: -r.sequence)
    return next((r.commit for r in newest if r.commit != commit and contained.get(r.commit)), "")


def ancestors(state: PipelineState, version: str, commit: str, contained: Mapping[str, bool | None]) -> tuple[str, ...]:
    """The versions that `commit` contains, newest first; what nobody can tell counts as contained [15].

    A release of the same commit is contained as well, if it was announced before.
    """
    known = next((r.sequence for r in state.releases if r.version == version), None)
    before = sorted((r for r in state.releases if known is None or r.sequence < known), key=lambda r: -r.sequence)
    named = [r.version for r in before if r.commit == commit or contained.get(r.commit) is not False]
    remembered = {r.version for r in state.releases}
    named += [mark.version for mark in state.bad if mark.version not in remembered]
    return tuple(dict.fromkeys(v for v in named if v != version))
