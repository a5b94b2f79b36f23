"""A line whose stages are Deployments of a cluster: a one-box and a wave, on the strict stand-in of an API server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from integrations.kubernetes.deployer import KubernetesDeployer
from tests.integrations.kubernetes.api import Api
from tests.integrations.kubernetes.rig import digest, workload
from tests.integrations.kubernetes.world import Image, is_ready
from tests.scenarios.kit import story
from tests.scenarios.props import shop

LOG = "reading the prices\nno such table: prices\n"


def line(kubeconfig: str) -> dict[str, Any]:
    """The shop without its beta: one Deployment is the one-box, another the wave."""
    file = shop()
    _, box, wave = file["stages"]
    box["targets"] = [{"name": "box", "with": {"name": "shop-one-box"}}]
    wave["targets"] = [{"name": "web", "with": {"name": "shop"}}]
    settings = {"kubeconfig": kubeconfig, "context": "test", "namespace": "shop"}
    return {**file, "deployer": {"use": "kubernetes", "with": settings}, "stages": [box, wave]}


def serves(api: Api) -> Mapping[str, list[str]]:
    """What serves: the digests of ready pods, by the object they belong to."""
    found: dict[str, list[str]] = {"shop": [], "shop-one-box": []}
    for pod in filter(is_ready, api.world.of("Pod")):
        found[pod["metadata"]["labels"]["app"]].append(pod["spec"]["containers"][0]["image"].partition("@")[2])
    return found


async def test_a_bad_image_reaches_one_box_and_goes_back(tmp_path: Path) -> None:
    good, bad = digest("1.0.0"), digest("1.0.1")
    async with Api().running() as api:
        api.world.images.update({good: Image.GOOD, bad: Image.CRASHES})
        api.world.logs[bad] = LOG
        api.world.put(workload(name="shop-one-box", replicas=1))
        api.world.put(workload(name="shop", replicas=3))
        file = line(api.kubeconfig(tmp_path / "kubeconfig"))

        def build(name: str, settings: Mapping[str, Any], targets: Mapping[str, Any]) -> KubernetesDeployer:
            assert name == "kubernetes"
            return KubernetesDeployer.from_settings(settings, targets)

        async with story(tmp_path, file, build_deployer=build) as s:
            await s.everywhere("1.0.0", s.ann, digest=good)
            assert serves(api) == {"shop": [good] * 3, "shop-one-box": [good]}
            await s.to_production("1.0.1", s.ann, digest=bad)
            await s.advance(minutes=10, until=lambda: "is back on 1.0.0" in s.card("1.0.1").text)
            thread = "\n".join(s.thread("1.0.1"))
            assert "ended with 1, 3 times" in thread, thread
            assert "no such table: prices" in thread
            assert serves(api) == {"shop": [good] * 3, "shop-one-box": [good]}, (
                "customers of the wave saw nothing of it"
            )
            assert [name for name, _ in api.patched if name == "shop"] == ["shop"] * 2, (
                "one deployment: begun and ended"
            )
            await s.advance(minutes=5)
            why = await s.dave.types("#shop", "/release why shop")
            assert "1.0.1" in why.text
        assert api.strange == []
