"""A pipeline whose releases come from where they are built: in its definition, in what changes, in what is told."""

from __future__ import annotations

from dataclasses import replace

from core.ports import BuildEvent
from core.releases.difference import difference
from core.releases.events import AnnouncementFailed
from core.releases.organisation import read_organisation, unknown_to_organisation
from core.releases.soundness import read_pipeline
from tests.core.line import CI, Line
from tests.core.test_definition import built, line
from tests.core.test_definition_organisation import company
from tests.core.test_sourcing import RUN, images, part, taken, why_not

BUILDS = {"from": "github", "event": "run", "repository": "acme/checkout", "identity": "commit"}


def test_where_releases_come_from_is_part_of_the_definition():
    plain, sourced = built(line()), built(line(sources=[BUILDS]))
    assert sourced.revision != plain.revision
    assert [change.sentence for change in difference(plain, sourced)] == ["where its releases come from changes"]


def test_a_source_the_organisation_does_not_have_is_named_with_its_mend():
    pipeline = read_pipeline(line(sources=[BUILDS])).file
    organisation = read_organisation(company()).file
    assert pipeline is not None
    assert organisation is not None
    (problem,) = [p for p in unknown_to_organisation(pipeline, organisation) if p.path[0] == "sources"]
    assert problem.path == ("sources", 0, "from")
    assert "no source `github`" in problem.sentence
    assert "org.yaml" in problem.mend
    organisation = read_organisation(company(sources={"github": {"with": {}}})).file
    assert organisation is not None
    assert [p for p in unknown_to_organisation(pipeline, organisation) if p.path[0] == "sources"] == []


def test_a_build_that_could_not_become_a_release_is_told_in_the_channel():
    story = Line()
    story.hears(AnnouncementFailed(version="482", sentence="its commit is not known. Fetch it.", by=CI))
    assert story.told[-1].release == ""
    assert story.told[-1].sentence == "shop 482 was built, but it is no release: its commit is not known. Fetch it."
    assert story.state.releases == ()


def test_a_build_keeps_its_name_when_its_commit_is_found():
    wanted = taken(RUN, part())
    found = wanted.at("0" * 40)
    assert (found.version, found.report.commit) == (wanted.version, "0" * 40)


def test_an_image_is_no_run():
    assert "wants a `image`, and this is a `run`" in why_not(RUN, images(image="registry.example.com/acme/checkout"))


def test_a_run_of_another_workflow_or_a_preview_is_not_taken():
    assert "wants runs of release.yml" in why_not(RUN, part(workflow="release.yml"))
    release = replace(RUN, event=BuildEvent.RELEASE, tag="1.4.2-rc1", is_prerelease=True)
    assert "no pre-releases" in why_not(release, part(event="release", prereleases=False))
