"""Whatever a sender makes of its payloads, fields gone, kinds changed, garbage nested: a verdict, never a crash."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import PermanentError
from core.ports import ReleaseReport
from core.releases import sourcing
from core.releases.problems import validated
from core.releases.source_parts import Origin, SourcePart
from tests.integrations.sources import payloads
from tests.integrations.sources.payloads import changed, places, raw
from tests.integrations.sources.sweep import SOURCES, main, told

SAMPLES: list[tuple[str, str, Any]] = [
    ("github", "workflow_run", payloads.workflow_run()),
    ("github", "release", payloads.release()),
    ("github", "push", payloads.push("refs/tags/v1")),
    ("github", "registry_package", payloads.package()),
    ("gitlab", "", payloads.gitlab_pipeline()),
    ("gitlab", "", payloads.gitlab_tag()),
    ("gitlab", "", payloads.gitlab_release()),
    ("eventbridge", "", payloads.ecr_push()),
    ("eventbridge", "", payloads.codepipeline()),
    (
        "eventbridge",
        "",
        {"Type": "Notification", "TopicArn": payloads.TOPIC, "Message": json.dumps(payloads.ecr_push())},
    ),
    ("docker", "", payloads.distribution()),
    ("docker", "", payloads.docker_hub()),
    ("docker", "", payloads.quay()),
    ("docker", "", payloads.harbor()),
]
GARBAGE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.just("\ud800")
    | st.just("x" * 5_000),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
PARTS = [
    SourcePart.model_validate(
        {
            "from": "s",
            "event": event,
            "repository": "acme/checkout",
            **({} if event == "image" else {"identity": "commit"}),
        }
    )
    for event in ("run", "release", "tag", "push", "image")
]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_payload_with_anything_changed_gets_a_verdict(data: st.DataObject) -> None:
    name, event, sample = data.draw(st.sampled_from(SAMPLES))
    for _ in range(data.draw(st.integers(1, 3))):
        found = places(sample)
        if found:
            sample = changed(sample, data.draw(st.sampled_from(found)), data.draw(st.just(...) | GARBAGE))
    verdict, sentence = told(SOURCES[name], raw(sample), event)
    assert verdict in ("understood", "no release", "refused")
    assert sentence
    _follow(name, event, raw(sample))


def _follow(name: str, event: str, body: bytes) -> None:
    """What was understood is matched and named, however odd it is, or refused with a sentence."""
    try:
        reports = SOURCES[name].parse({"X-GitHub-Event": event}, body)
    except PermanentError:
        return
    for report in reports:
        if isinstance(report, ReleaseReport):
            assert len(report.tag) <= 300
            assert "\n" not in f"{report.tag}{report.branch}{report.repository}{report.number}"
            for wanted in sourcing.match("s", report, {"checkout": Origin(sources=PARTS)}).wanted:
                # Refused with a sentence, or known by a digest.
                with contextlib.suppress(PermanentError):
                    assert wanted.artifact(sourcing.identity(wanted)) is not None


@settings(max_examples=200, deadline=None)
@given(
    body=st.binary(max_size=200), name=st.sampled_from(sorted(SOURCES)), event=st.sampled_from(["push", "release", ""])
)
def test_any_bytes_get_a_verdict(body: bytes, name: str, event: str) -> None:
    assert told(SOURCES[name], body, event)[1]


@settings(max_examples=200, deadline=None)
@given(document=GARBAGE)
def test_any_document_may_stand_under_sources(document: object) -> None:
    part, problems = validated(SourcePart, document)
    assert part is not None or problems


def test_the_sweep_tells_ours_from_others(tmp_path: Path, capsys: Any) -> None:
    for folder, name, sample in (
        ("github", "workflow_run_x.json", payloads.workflow_run()),
        ("ecr", "push.json", payloads.ecr_push()),
        ("odd", "nothing.json", {"alerts": []}),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(raw(sample))
    assert main([str(tmp_path)]) == 0
    assert "ours: understood: 2" in capsys.readouterr().out
    (tmp_path / "odd" / "stray.json").write_bytes(raw(payloads.quay()))
    assert main([str(tmp_path)]) == 1, "a stranger that is understood is looked at"
