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


# ---- GitLab ---------------------------------------------------------------------------------------------------------


def gitlab_project() -> Json:
    return {
        "id": 7, "name": "Checkout", "path_with_namespace": "acme/checkout", "default_branch": "main",
        "web_url": "https://code.example.com/acme/checkout",
    }  # fmt: skip


def gitlab_pipeline(**attributes: Any) -> Json:
    """A pipeline of main that succeeded."""
    return {
        "object_kind": "pipeline",
        "object_attributes": {
            "id": 90_482, "iid": 482, "name": "Build", "ref": "main", "tag": False, "sha": SHA, "source": "push",
            "status": "success", "created_at": "2030-01-01 12:00:00 UTC", "finished_at": "2030-01-01 12:03:00 +0200",
            **attributes,
        },
        "merge_request": None,
        "project": gitlab_project(),
        "builds": [{"id": 1, "stage": "deploy", "name": "production", "status": "skipped"}],
    }  # fmt: skip


def gitlab_tag(**more: Any) -> Json:
    return {
        "object_kind": "tag_push", "before": ABSENT, "after": "ffff" * 10, "ref": "refs/tags/v1.4.2",
        "checkout_sha": SHA, "project": gitlab_project(), "commits": [], **more,
    }  # fmt: skip


def gitlab_release(action: str = "create") -> Json:
    return {
        "object_kind": "release", "id": 3, "action": action, "tag": "v1.4.2", "name": "v1.4.2",
        "url": "https://code.example.com/acme/checkout/-/releases/v1.4.2", "project": gitlab_project(),
        "commit": {"id": SHA, "message": "Release"}, "assets": {"count": 0, "links": [], "sources": []},
    }  # fmt: skip


# ---- Amazon ---------------------------------------------------------------------------------------------------------

TOPIC = "arn:aws:sns:eu-west-1:123456789012:releases"


def event(kind: str, detail: Json, **more: Any) -> Json:
    return {
        "version": "0", "id": "e-1", "detail-type": kind, "source": "aws.test", "account": "123456789012",
        "time": "2030-01-01T12:00:00Z", "region": "eu-west-1", "resources": [], "detail": detail, **more,
    }  # fmt: skip


def ecr_push(**detail: Any) -> Json:
    whole = {
        "result": "SUCCESS", "repository-name": "acme/checkout", "image-digest": DIGEST, "action-type": "PUSH",
        "image-tag": "1.4.2", **detail,
    }  # fmt: skip
    return event("ECR Image Action", {k: v for k, v in whole.items() if v is not None})


def codepipeline(state: str = "SUCCEEDED", **more: Any) -> Json:
    detail = {"pipeline": "checkout", "execution-id": "0a1b-2c3d", "state": state, "version": 3.0}
    return event("CodePipeline Pipeline Execution State Change", detail, **more)


def codedeploy(state: str = "SUCCESS") -> Json:
    detail = {"application": "checkout", "deploymentGroup": "beta", "deploymentId": "d-1A2B3C", "state": state}
    return event("CodeDeploy Deployment State-change Notification", detail)


# ---- registries -----------------------------------------------------------------------------------------------------

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def distribution(action: str = "push", tag: str = "1.4.2") -> Json:
    """What the registry of the distribution project sends of one push: the manifest, and a layer."""

    def one(number: int, media: str, held: str, **more: str) -> Json:
        return {
            "id": f"e-{number}", "timestamp": "2030-01-01T12:00:00Z", "action": action,
            "target": {"mediaType": media, "digest": held, "length": 9, "repository": "acme/checkout", **more},
            "request": {"id": "r", "addr": "ci.test", "host": "registry.example.com", "method": "PUT"},
            "actor": {"name": "ci"}, "source": {"addr": "registry.test:5000"},
        }  # fmt: skip

    layer = one(2, "application/vnd.oci.image.layer.v1.tar+gzip", OTHER_DIGEST)
    return {"events": [layer, one(1, MANIFEST, DIGEST, **({"tag": tag} if tag else {}))]}


def docker_hub(tag: str = "1.4.2") -> Json:
    return {
        "callback_url": "https://registry.example.com/u/acme/checkout/hook/1/",
        "push_data": {"pushed_at": 1.8e9, "pusher": "ci", "tag": tag, "images": []},
        "repository": {"name": "checkout", "namespace": "acme", "repo_name": "acme/checkout", "is_private": True},
    }  # fmt: skip


def quay(*tags: str) -> Json:
    return {
        "name": "checkout", "repository": "acme/checkout", "namespace": "acme",
        "docker_url": "registry.example.com/acme/checkout", "updated_tags": list(tags or ("1.4.2",)),
    }  # fmt: skip


def harbor(kind: str = "PUSH_ARTIFACT", *tags: str) -> Json:
    return {
        "type": kind, "occur_at": 1_893_456_000, "operator": "ci",
        "event_data": {
            "resources": [
                {"digest": DIGEST, "tag": tag, "resource_url": f"registry.example.com:8443/acme/checkout:{tag}"}
                for tag in tags or ("1.4.2",)
            ],
            "repository": {"name": "checkout", "namespace": "acme", "repo_full_name": "acme/checkout"},
        },
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
