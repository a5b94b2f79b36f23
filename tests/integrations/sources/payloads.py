"""What code hosts and registries send, made up here in the shapes in which they send it."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

SECRET = "a-webhook-secret"
SHA = "4f1d" * 10
OLD = "0a1b" * 10
DIGEST = "sha256:" + "ab12" * 16
OTHER_DIGEST = "sha256:" + "cd34" * 16
ABSENT = "0" * 40

Json = dict[str, Any]


def raw(payload: object) -> bytes:
    return json.dumps(payload).encode()


# ---- GitHub ---------------------------------------------------------------------------------------------------------


def github_headers(event: str, body: bytes, *, delivery: str = "d-1", secret: str = SECRET) -> dict[str, str]:
    """The headers of a delivery of GitHub, signed."""
    return {
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": delivery,
        "X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/test",
    }


def github_repository(name: str = "acme/checkout") -> Json:
    return {
        "id": 1, "full_name": name, "name": name.rpartition("/")[2], "default_branch": "main", "fork": False,
        "html_url": f"https://code.example.com/{name}",
    }  # fmt: skip


def workflow_run(repository: str = "acme/checkout", **run: Any) -> Json:
    """`workflow_run` completed with success on main, unless `run` says otherwise."""
    whole = {
        "id": 900_482, "run_number": 482, "run_attempt": 1, "status": "completed", "conclusion": "success",
        "event": "push", "head_branch": "main", "head_sha": SHA, "name": "Build", "path": ".github/workflows/build.yml",
        "html_url": f"https://code.example.com/{repository}/actions/runs/900482", "pull_requests": [],
        "head_commit": {"id": SHA, "message": "Round prices half to even"},
        "head_repository": {"id": 1, "full_name": repository}, "repository": {"id": 1, "full_name": repository},
        **run,
    }  # fmt: skip
    return {
        "action": "completed", "workflow_run": whole, "workflow": {"id": 5, "name": "Build", "path": whole["path"]},
        "repository": github_repository(repository), "sender": {"login": "ann-codes"},
    }  # fmt: skip


def release(action: str = "released", *, tag: str = "v1.4.2", **more: Any) -> Json:
    return {
        "action": action,
        "release": {
            "id": 77, "tag_name": tag, "target_commitish": "main", "name": tag, "draft": False, "prerelease": False,
            "html_url": f"https://code.example.com/acme/checkout/releases/{tag}",
            "assets": [{"id": 1, "name": "checkout.tar.gz", "size": 12, "digest": DIGEST}],
            **more,
        },
        "repository": github_repository(),
        "sender": {"login": "ann-codes"},
    }  # fmt: skip


def push(ref: str = "refs/heads/main", **more: Any) -> Json:
    return {
        "ref": ref, "before": OLD, "after": SHA, "created": False, "deleted": False, "forced": False,
        "compare": "https://code.example.com/acme/checkout/compare/a...b", "commits": [],
        "head_commit": {"id": SHA, "message": "Round prices half to even"}, "repository": github_repository(),
        "pusher": {"name": "ann-codes"}, **more,
    }  # fmt: skip


def package(tag: str = "1.4.2", *, kind: str = "CONTAINER", version: str = DIGEST, **more: Any) -> Json:
    return {
        "action": "published",
        "registry_package": {
            "id": 3, "name": "checkout", "namespace": "acme", "package_type": kind, "ecosystem": kind,
            "html_url": "https://code.example.com/acme/checkout/packages/3",
            "package_version": {
                "id": 4, "version": version, "target_oid": SHA,
                "container_metadata": {"tag": {"name": tag, "digest": version}, "labels": {}, "manifest": {}},
                **more,
            },
        },
        "repository": github_repository(),
    }  # fmt: skip


# ---- fuzz -----------------------------------------------------------------------------------------------------------


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The paths to everything inside a document."""
    found = [path] if path else []
    inner: Any = ()
    if isinstance(value, Mapping):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    for key, item in inner:
        found += places(item, (*path, key))
    return found


def changed(value: Any, path: tuple[str | int, ...], to: Any) -> Any:
    """A copy with something else at one place; `...` takes the place out."""
    if not path:
        return to
    if isinstance(value, Mapping):
        copy = dict(value)
        if len(path) == 1 and to is ...:
            copy.pop(path[0], None)
        elif path[0] in copy:
            copy[str(path[0])] = changed(copy[path[0]], path[1:], to)
        return copy
    if isinstance(value, list) and isinstance(path[0], int) and path[0] < len(value):
        items = list(value)
        if len(path) == 1 and to is ...:
            del items[path[0]]
        else:
            items[path[0]] = changed(items[path[0]], path[1:], to)
        return items
    return value
