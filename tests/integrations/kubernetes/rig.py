"""A shop on the stand-in: objects to deploy to, requests, and a rig for the contract."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from core.ports import DeploymentRequest, Outcome
from integrations.contract import over
from integrations.kubernetes.config import KubernetesConfig, read
from integrations.kubernetes.deployer import KubernetesDeployer
from tests.integrations.kubernetes.api import Api
from tests.integrations.kubernetes.world import Image, Object, World

PAGE = Path(__file__).resolve().parents[3] / "docs/deployers/kubernetes.md"
REPOSITORY = "registry.example.com/shop/checkout"
SECRET_OF_ENV = "correct-horse"


def documents() -> list[dict[str, Any]]:
    """Every Kubernetes object of the page."""
    blocks = [part.split("```")[0] for part in PAGE.read_text().split("```yaml\n")[1:]]
    found = [one for block in blocks for one in yaml.safe_load_all(block)]
    return [one for one in found if isinstance(one, dict) and "apiVersion" in one]


def digest(version: str) -> str:
    return f"sha256:{hashlib.sha256(version.encode()).hexdigest()}"


def workload(kind: str = "Deployment", name: str = "checkout", replicas: int = 3, **spec: Any) -> Object:
    """An object as somebody applied it once, with more in its template than an image."""
    labels = {"app": name}
    container = {
        "name": "app",
        "image": f"{REPOSITORY}:first",
        "env": [
            {"name": "DATABASE_PASSWORD", "value": SECRET_OF_ENV},
            {"name": "API_TOKEN", "valueFrom": {"secretKeyRef": {"name": "api", "key": "token"}}},
        ],
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "shop", "labels": dict(labels)},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": dict(labels)}, "spec": {"containers": [container]}},
            **({"serviceName": name} if kind == "StatefulSet" else {}),
            **spec,
        },
    }


def order(key: str, version: str = "1", **more: Any) -> DeploymentRequest:
    asked = DeploymentRequest(
        key=key,
        service="checkout",
        pipeline="checkout",
        stage="wave-1",
        target="checkout",
        version=version,
        digest=digest(version),
        artifact=f"{REPOSITORY}:{version}",
        is_rollback=False,
        batch_percent=33,
        healthy_percent=66,
        timeout=timedelta(minutes=10),
    )
    return replace(asked, **more)


class Shop:
    """The stand-in with one object, and deployers that reach it through a kubeconfig file; a rig for the contract."""

    secrets: tuple[str, ...] = ("open-sesame", SECRET_OF_ENV)
    pause = 0.0

    def __init__(self, api: Api, path: Path, thing: Object) -> None:
        self.api, self.path = api, path
        self.thing = api.world.put(thing)
        self.world.images.update({digest(v): Image.GOOD for v in ("1", "2", "3")})
        self.world.images[digest("crashes")] = Image.CRASHES
        self.world.images[digest("slow")] = Image.SLOW
        self.world.logs[digest("crashes")] = f"connecting as {SECRET_OF_ENV}\nno database\n"
        self.now = 0.0

    @property
    def world(self) -> World:
        return self.api.world

    @property
    def live(self) -> Object:
        """The object as it is now."""
        meta = self.thing["metadata"]
        return self.world.objects[self.thing["kind"], meta["namespace"], meta["name"]]

    @property
    def containers(self) -> list[Object]:
        found: list[Object] = self.live["spec"]["template"]["spec"]["containers"]
        return found

    def settings(self, **more: Any) -> dict[str, Any]:
        file = self.api.kubeconfig(self.path / "kubeconfig", more.pop("token", self.api.token))
        return {"kubeconfig": file, "context": "test", "namespace": "shop", **more}

    def deployer(self, *, target: Object | None = None, **settings: Any) -> KubernetesDeployer:
        given = self.settings(**settings)
        targets = {"checkout": {"kind": self.thing["kind"], **(target or {})}}
        config, read_targets = read(given, targets)
        assert isinstance(config, KubernetesConfig)
        return KubernetesDeployer(config, read_targets, monotonic=lambda: self.now)

    def connect(self) -> KubernetesDeployer:
        return self.deployer()

    def hasty(self) -> KubernetesDeployer:
        return self.deployer(timeout="1ms")

    def request(self, key: str, *, version: str = "1", is_rollback: bool = False) -> DeploymentRequest:
        return order(key, version, is_rollback=is_rollback)

    def failing(self, key: str) -> DeploymentRequest:
        return order(key, "crashes")

    def endless(self, key: str) -> DeploymentRequest:
        return order(key, "slow")

    def refused(self, key: str) -> DeploymentRequest:
        return order(key, artifact="not an image")

    async def runs(self, version: str, key: str) -> KubernetesDeployer:
        """A version was deployed, and runs."""
        deployer = self.connect()
        status = await over(self, deployer, await deployer.start(order(key, version)))
        assert status.outcome is Outcome.SUCCEEDED, status
        return deployer

    def template(self) -> Object:
        """A copy of the pod template."""
        found: Object = copy.deepcopy(self.live["spec"]["template"])
        return found
