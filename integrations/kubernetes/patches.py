"""The JSON patches that are sent: each tests that the object is still the one that was looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from integrations.kubernetes.record import MARKS, RECORD, Before, Now, Record
from integrations.kubernetes.workload import ContainerPath, Workload, marks, meta, notes, template

Operation = Mapping[str, Any]
_ON_TEMPLATE = "/spec/template/metadata/annotations"
_ON_OBJECT = "/metadata/annotations"


def beginning(
    workload: Workload, record: Record, now: Now, image: str, paths: Sequence[ContainerPath], rolling: Any
) -> list[Operation]:
    """Change the image of containers, and write whose doing it is; `rolling` is None or how pods are replaced."""
    new = dict(zip(MARKS, (now.key, now.version, now.digest), strict=True))
    return [
        *_same(workload),
        *(operation for path in paths for operation in _with_image(path, image)),
        *_marked(workload, new),
        *([_put("/spec/strategy", {"type": "RollingUpdate", "rollingUpdate": rolling})] if rolling else []),
        *_remembered(workload, record.begun(now)),
    ]


def going_back(workload: Workload, record: Record, before: Before, paths: Sequence[ContainerPath]) -> list[Operation]:
    """Put back what the pod template said before; with the same words, so that the pods it once made still count."""
    return [
        *_same(workload),
        *(operation for path in paths for operation in _with_image(path, before.images[path.name])),
        *_marked(workload, before.marks),
        *_remembered(workload, record),
    ]


def remembering(workload: Workload, record: Record, rolling: Any = None) -> list[Operation]:
    """Write what is remembered, and how pods are replaced if it is given: no pod is made or ended by it."""
    strategy = [_put("/spec/strategy/rollingUpdate", rolling)] if rolling is not None else []
    return [*_same(workload), *strategy, *_remembered(workload, record)]


def _same(workload: Workload) -> Iterator[Operation]:
    yield {"op": "test", "path": "/metadata/uid", "value": meta(workload).uid}
    yield {"op": "test", "path": "/metadata/resourceVersion", "value": meta(workload).resourceVersion}


def _with_image(path: ContainerPath, image: str) -> Iterator[Operation]:
    yield {"op": "test", "path": f"{path.path}/name", "value": path.name}
    yield _put(f"{path.path}/image", image)


def _marked(workload: Workload, wanted: Mapping[str, str]) -> Iterator[Operation]:
    """Our marks on the template exactly as wanted; the annotations of others stay."""
    known = marks(workload)
    found = template(workload).metadata
    if found is None or found.annotations is None:
        yield _put(_ON_TEMPLATE, {})
    for mark in MARKS:
        if mark in wanted:
            yield _put(f"{_ON_TEMPLATE}/{_escaped(mark)}", wanted[mark])
        elif mark in known:
            yield {"op": "remove", "path": f"{_ON_TEMPLATE}/{_escaped(mark)}"}


def _remembered(workload: Workload, record: Record) -> Iterator[Operation]:
    if not notes(workload):
        yield _put(_ON_OBJECT, {})
    yield _put(f"{_ON_OBJECT}/{_escaped(RECORD)}", record.text())


def _put(path: str, value: Any) -> Operation:
    """`add` replaces what is there."""
    return {"op": "add", "path": path, "value": value}


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
