"""Which builds become releases of which pipelines, what they are called, and what they contain."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core.errors import PermanentError
from core.ports import BuildEvent, ReleaseReport
from core.releases import sourcing
from core.releases.problems import validated
from core.releases.source_parts import FILLED, Origin, RepositoryPart, SourcePart, filled
from core.releases.sourcing import Matched, Wanted
from core.releases.state import BadMark
from tests.core.line import Line

SHA = "4f1d" * 10
DIGEST = "sha256:" + "ab12" * 16
RUN = ReleaseReport(
    event=BuildEvent.RUN, repository="acme/checkout", branch="main", default_branch="main",
    workflow=(".github/workflows/build.yml", "Build"), commit=SHA, number="482", attempt="1",
)  # fmt: skip
IMAGE = ReleaseReport(
    event=BuildEvent.IMAGE, repository="acme/checkout", tag="1.4.2", digest=DIGEST,
    image="registry.example.com/acme/checkout",
)  # fmt: skip


def part(**given: Any) -> SourcePart:
    whole = {"from": "github", "event": "run", "repository": "acme/checkout", "identity": "commit", **given}
    found, problems = validated(SourcePart, {k: v for k, v in whole.items() if v is not None})
    assert found is not None, problems
    assert not problems
    return found


def images(**given: Any) -> SourcePart:
    return part(event="image", identity=None, **given)


def matched(report: ReleaseReport, *parts: SourcePart, source: str = "github") -> Matched:
    return sourcing.match(source, report, {"checkout": Origin(sources=list(parts))})


def taken(report: ReleaseReport, *parts: SourcePart) -> Wanted:
    found = matched(report, *parts)
    assert len(found.wanted) == 1, found.reasons
    return found.wanted[0]


def why_not(report: ReleaseReport, *parts: SourcePart) -> str:
    found = matched(report, *parts)
    assert not found.wanted
    return " ".join(found.reasons)


# ---- who takes it ---------------------------------------------------------------------------------------------------


def test_a_run_of_the_default_branch_is_taken_under_its_number() -> None:
    assert taken(RUN, part()).version == "482"
    assert taken(replace(RUN, repository="Acme/Checkout"), part()).version == "482", "hosts do not care for case"


@pytest.mark.parametrize("workflow", ["build.yml", "Build", "BUILD", ".github/workflows/build.yml"])
def test_a_workflow_is_known_by_its_file_or_name(workflow: str) -> None:
    taken(RUN, part(workflow=workflow))


def test_a_run_of_another_workflow_or_branch_says_what_is_wanted() -> None:
    assert "wants runs of lint.yml, and this is one of .github/workflows/build.yml" in why_not(
        RUN, part(workflow="lint.yml")
    )
    elsewhere = replace(RUN, branch="feature/x")
    assert "checkout wants what is built from main, and this is from feature/x" in why_not(elsewhere, part())
    assert "from release/* or main" in why_not(elsewhere, part(branch=["release/*", "main"]))
    taken(elsewhere, part(branch="feature/*"))
    taken(replace(RUN, branch="", default_branch=""), part())


def test_another_source_or_repository_is_nobodys_business() -> None:
    assert matched(RUN, part(), source="gitlab") == Matched((), ())
    assert matched(replace(RUN, repository="acme/search"), part()) == Matched((), ())
    assert matched(RUN) == Matched((), ())


def test_another_kind_of_event_says_so() -> None:
    assert "wants a `tag`, and this is a `run`" in why_not(RUN, part(event="tag"))


def test_one_build_is_one_release_of_a_pipeline_however_many_parts_take_it() -> None:
    assert taken(RUN, part(workflow="build.yml"), part(branch="main")).part.workflow == "build.yml"
    assert taken(RUN, part(event="tag"), part()).version == "482"


def test_several_pipelines_may_take_one_build() -> None:
    origins = {name: Origin(sources=[part()]) for name in ("checkout", "checkout/configuration")}
    assert [w.pipeline for w in sourcing.match("github", RUN, origins).wanted] == list(origins)


def test_prereleases_only_where_they_are_wanted() -> None:
    release = ReleaseReport(event=BuildEvent.RELEASE, repository="acme/checkout", tag="v2-rc1", is_prerelease=True)
    assert "no pre-releases" in why_not(release, part(event="release"))
    assert taken(release, part(event="release", prereleases=True)).version == "v2-rc1"
    taken(replace(release, is_prerelease=False), part(event="release"))


def test_tags_are_filtered_and_latest_is_no_version() -> None:
    assert taken(IMAGE, images()).version == "1.4.2"
    assert "`latest` is none" in why_not(replace(IMAGE, tag="latest"), images())
    assert "has a tag, and this has none" in why_not(replace(IMAGE, tag=""), images())
    assert "tags like v*" in why_not(IMAGE, images(tag="v*"))
    taken(replace(IMAGE, tag="latest"), images(tag="latest", version="{short}"))


# ---- what it is called, and what exactly it is ----------------------------------------------------------------------


def test_templates_are_filled_with_what_the_build_has() -> None:
    wanted = taken(RUN, part(version="{branch}-{number}.{attempt}", artifact="{repository}@{commit}"))
    assert wanted.version == "main-482.1"
    assert wanted.artifact(DIGEST) == f"acme/checkout@{SHA}"
    push = replace(RUN, event=BuildEvent.PUSH)
    assert taken(push, part(event="push")).version == SHA[:12]
    assert filled("{name}/{short}", wanted.values) == f"checkout/{SHA[:12]}"
    assert set(wanted.values) == set(FILLED)


def test_the_artifact_is_the_image_by_digest_else_the_commit_or_file() -> None:
    assert taken(IMAGE, images()).artifact(DIGEST) == f"registry.example.com/acme/checkout@{DIGEST}"
    named = taken(RUN, part(identity=None, image="registry.example.com:5000/acme/web:{short}"))
    assert named.image == f"registry.example.com:5000/acme/web:{SHA[:12]}"
    assert named.artifact(DIGEST) == f"registry.example.com:5000/acme/web@{DIGEST}"
    assert taken(RUN, part()).artifact(DIGEST) == SHA
    assert taken(RUN, part(identity=None, asset="web.tar.gz")).artifact(DIGEST) == "web.tar.gz"


def test_identity_is_the_digest_that_was_told_or_must_be_asked_for() -> None:
    assert sourcing.identity(taken(IMAGE, images())) == DIGEST
    assert sourcing.identity(taken(RUN, part())) == f"sha256:git-{SHA}"
    assert sourcing.identity(taken(RUN, part(identity=None, image="r.example.com/a:{short}"))) == ""
    assert sourcing.identity(taken(RUN, part(identity=None, asset="a.zip"))) == ""
    hint = replace(IMAGE, is_hint=True)
    assert sourcing.identity(taken(hint, images(image="r.example.com/acme/checkout:{tag}"))) == "", (
        "asked, not believed"
    )
    assert sourcing.identity(taken(IMAGE, images(image="r.example.com/acme/checkout:{tag}"))) == DIGEST
    with pytest.raises(PermanentError, match="proves nothing"):
        sourcing.identity(taken(hint, images()))
    with pytest.raises(PermanentError, match="names no digest"):
        sourcing.identity(taken(replace(IMAGE, digest="sha256:short"), images()))
    with pytest.raises(PermanentError, match="names no commit"):
        sourcing.identity(taken(replace(RUN, commit="main"), part()))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"identity": None}, "does not say what exactly is deployed"),
        ({"event": "release", "identity": None}, "does not say what exactly is deployed"),
        ({"image": "a:{tag}"}, "both say what is deployed"),
        ({"event": "tag", "identity": None, "asset": "x"}, "has no files"),
        ({"version": "{vesion}"}, "nothing that a build has"),
        ({"version": "v{"}, "a brace stands alone"),
        ({"version": "{digest}x"}, "made of what is made of it"),
        ({"version": "{version}"}, "made of what is made of it"),
        ({"identity": None, "image": "a@{digest}"}, "made of what is made of it"),
        ({"event": "build"}, "must be one of"),
        ({"branch": []}, ""),
        ({"workflows": "x"}, "no key of this place"),
    ],
)
def test_a_part_that_could_never_work_is_refused(given: dict[str, Any], sentence: str) -> None:
    whole = {"from": "github", "event": "run", "repository": "acme/checkout", "identity": "commit", **given}
    _, problems = validated(SourcePart, {k: v for k, v in whole.items() if v is not None})
    assert problems
    assert any(sentence in problem.sentence for problem in problems), problems


@pytest.mark.parametrize(
    ("url", "is_good"),
    [
        ("https://code.example.com/acme/checkout.git", True),
        ("ssh://git@code.example.com/acme/checkout.git", True),
        ("git@code.example.com:acme/checkout.git", True),
        ("/srv/mirrors/checkout.git", True),
        ("http://code.example.com/checkout.git", False),
        ("git://code.example.com/checkout.git", False),
        ("https://user:word@code.example.com/checkout.git", False),
        ("--upload-pack=touch", False),
        ("ext::sh -c touch", False),
        ("file:///etc", False),
        ("relative/path", False),
        ("git@code.example.com:-oProxyCommand=x", False),
        ("-git@code.example.com:x", False),
    ],
)
def test_only_addresses_of_repositories_that_git_may_be_given(url: str, is_good: bool) -> None:
    part, problems = validated(RepositoryPart, url)
    assert (part is not None and not problems) is is_good


def test_an_origin_is_kept_as_one_text_for_one_meaning() -> None:
    assert Origin().text == ""
    assert Origin.read("") == Origin()
    origin = Origin(sources=[part(branch="main"), images()], repository=RepositoryPart(url="/srv/checkout.git"))
    assert Origin.read(origin.text) == origin
    assert Origin.read(origin.text).text == origin.text


# ---- what it contains -----------------------------------------------------------------------------------------------


def line_of(*commits: str) -> Line:
    """Releases 1.0, 1.1 … of these commits, announced in this order."""
    line = Line()
    for number, commit in enumerate(commits):
        line.announces(f"1.{number}", commit=commit)
    return line


def test_versions_whose_commit_is_contained_are_ancestors_newest_first() -> None:
    state = line_of("a" * 40, "b" * 40, "c" * 40).state
    assert sourcing.commits_asked(state, SHA) == ("c" * 40, "b" * 40, "a" * 40)
    contained = {"a" * 40: True, "b" * 40: False, "c" * 40: True}
    assert sourcing.ancestors(state, "1.3", SHA, contained) == ("1.2", "1.0")
    assert sourcing.base_of(state, SHA, contained) == "c" * 40


def test_what_nobody_can_tell_counts_as_contained() -> None:
    state = line_of("a" * 40, "", "c" * 40).state
    assert sourcing.ancestors(state, "1.3", SHA, {"a" * 40: None, "c" * 40: False}) == ("1.1", "1.0")
    assert sourcing.base_of(state, SHA, {"a" * 40: None}) == "", "but nothing is counted from it"


def test_a_bad_version_that_is_remembered_by_name_alone_is_suspected() -> None:
    state = line_of("a" * 40).state
    mark = BadMark(
        release="r-0",
        version="0.9",
        digest="sha256:0",
        sequence=0,
        stage="beta",
        reason="x",
        at=state.releases[0].announced_at,
    )
    assert sourcing.ancestors(replace(state, bad=(mark,)), "1.1", SHA, {"a" * 40: False}) == ("0.9",)


def test_the_same_commit_again_contains_what_was_announced_before_it_and_not_itself() -> None:
    state = line_of(SHA, SHA).state
    assert sourcing.commits_asked(state, SHA) == ()
    assert sourcing.ancestors(state, "1.1", SHA, {}) == ("1.0",)
    assert sourcing.ancestors(state, "1.0", SHA, {}) == ()
