"""Every payload in a folder, sent to the source it is meant for: understood, no release, or refused; never a crash.

    python -m tests.integrations.sources.sweep DIRECTORY

The folders of the directory name the senders. Other folders are sent to every source: they must refuse them.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from core.errors import PermanentError
from core.ports import Ignored, ReleaseReport, ReleaseSource
from integrations.sources.docker import Docker
from integrations.sources.eventbridge import EventBridge
from integrations.sources.github import GitHub
from integrations.sources.gitlab import GitLab
from integrations.sources.sns import Envelopes

SOURCES: dict[str, ReleaseSource] = {
    "docker": Docker("a-secret"),
    "eventbridge": EventBridge("a-secret", Envelopes([])),
    "github": GitHub("a-secret"),
    "gitlab": GitLab("a-secret"),
}
MEANT_FOR = {
    "github": "github", "gitlab": "gitlab", "dockerhub": "docker", "quay": "docker", "harbor": "docker",
    "registry": "docker", "ecr": "eventbridge", "ecs": "eventbridge", "eventbridge_misc": "eventbridge",
    "aws_codepipeline": "eventbridge", "aws_codedeploy": "eventbridge",
}  # fmt: skip
GITHUB_EVENTS = (
    "workflow_run", "workflow_job", "workflow_dispatch", "deployment_status", "deployment", "release", "push",
    "check_suite", "create", "status", "registry_package", "package",
)  # fmt: skip


def event_of(name: str) -> str:
    """GitHub says in a header what the names of the samples begin with."""
    return next((event for event in GITHUB_EVENTS if name.startswith(event)), "unknown")


def told(source: ReleaseSource, body: bytes, event: str) -> tuple[str, str]:
    """`understood`, `no release` or `refused`, and a sentence; anything else that is raised is our fault."""
    headers = {"X-GitHub-Event": event, "Content-Type": "application/json"}
    source.delivery(headers, body)
    try:
        found = source.parse(headers, body)
    except PermanentError as error:
        return "refused", error.message
    assert found, "nothing is said of it"
    reports = [one for one in found if isinstance(one, ReleaseReport)]
    if reports:
        one = reports[0]
        what = one.tag or one.number or one.commit[:12] or one.digest[:19] or "without a name"
        return "understood", f"{one.event.value} {one.repository} {what}"
    (first, *_) = (one for one in found if isinstance(one, Ignored))
    return "no release", first.reason


def swept(directory: Path) -> Iterator[tuple[str, str, str, str]]:
    """Folder and file, source, verdict, sentence."""
    for path in sorted(directory.glob("*/*")):
        folder = path.parent.name
        if not path.is_file() or path.suffix not in (".json", ".txt"):
            continue
        meant = MEANT_FOR.get(folder)
        for name in (meant,) if meant else tuple(SOURCES):
            verdict, sentence = told(SOURCES[name], path.read_bytes(), event_of(path.name))
            yield f"{folder}/{path.name}", name, verdict, sentence


def main(arguments: Sequence[str]) -> int:
    """Print the table, then the counts; 1 where a sentence is missing or a stranger was understood."""
    counts: Counter[tuple[str, str]] = Counter()
    is_good = True
    for file, source, verdict, sentence in swept(Path(arguments[0])):
        is_meant = file.partition("/")[0] in MEANT_FOR
        counts["ours" if is_meant else "of others", verdict] += 1
        is_good = is_good and bool(sentence) and (is_meant or verdict != "understood")
        if is_meant or verdict == "understood":
            print(f"{file:75} {source:12} {verdict:11} {sentence}")
    for (whose, verdict), count in sorted(counts.items()):
        print(f"{whose}: {verdict}: {count}")
    return 0 if is_good and counts else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
