"""Roll-outs that end well, badly, or otherwise than somebody meant; each told in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from core.ports import DeploymentRef, DeploymentStatus, Outcome
from integrations.contract import over
from integrations.kubernetes.deployer import KubernetesDeployer
from integrations.kubernetes.record import KEPT
from tests.integrations.kubernetes.api import Fault
from tests.integrations.kubernetes.rig import REPOSITORY, SECRET_OF_ENV, Shop, digest, order, workload
from tests.integrations.kubernetes.world import Image, is_ready


async def ended(shop: Shop, version: str, **settings: Any) -> DeploymentStatus:
    """How the deployment of a version ends, on top of version 1."""
    await shop.runs("1", "k-1")
    deployer = shop.deployer(**settings)
    return await over(shop, deployer, await deployer.start(order("k-2", version)))


async def looked(deployer: KubernetesDeployer, ref: DeploymentRef, times: int) -> DeploymentStatus:
    """What the last of so many looks says."""
    for _ in range(times - 1):
        await deployer.status(ref)
    return await deployer.status(ref)


BOTH = pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])


# ---- pods that do not come up ---------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    ("image", "said"),
    [
        (Image.MISSING, "does not exist: Back-off pulling image"),
        (Image.CRASHES, "ended with 1, 3 times"),
        (Image.HUNGRY, "used more memory than its limit and was killed (OOMKilled), 3 times"),
    ],
)
async def test_what_is_hopeless_is_not_waited_for(
    shop_of: Callable[..., Shop], kind: str, image: Image, said: str
) -> None:
    shop = shop_of(kind)
    shop.world.images[digest("bad")], shop.world.deadline = image, 10_000
    status = await ended(shop, "bad")
    assert status.outcome is Outcome.FAILED
    assert said in status.message
    assert status.message.startswith("The new version does not come up: ")
    seen = await shop.connect().running_version("checkout")
    assert (seen.digest, seen.version, seen.is_mixed) == (digest("1"), "1", False), "what ran before serves on"


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (Image.DENIED, "cannot be pulled: Back-off pulling image"),
        (Image.UNCONFIGURED, 'cannot start (CreateContainerConfigError): secret "db" not found'),
        (Image.SLOW, "runs, but does not say that it is ready"),
    ],
)
async def test_what_may_yet_come_has_its_deadline(shop: Shop, image: Image, said: str) -> None:
    shop.world.images[digest("bad")] = image
    status = await ended(shop, "bad")
    assert status.outcome is Outcome.FAILED
    assert status.message.startswith("It did not get any further within its progress deadline: ")
    assert said in status.message


async def test_a_stateful_set_has_a_deadline_of_ours(shop_of: Callable[..., Shop]) -> None:
    shop = shop_of("StatefulSet")
    shop.world.images[digest("bad")] = Image.SLOW
    deployer = await shop.runs("1", "k-1")
    ref = await deployer.start(order("k-2", "bad"))
    status = await looked(deployer, ref, 30)
    assert status.outcome is Outcome.RUNNING
    assert "does not say that it is ready" in status.message
    shop.now = 601
    status = await over(shop, deployer, ref)
    assert (status.outcome, "does not say that it is ready" in status.message) == (Outcome.FAILED, True)


async def test_no_room_on_any_node(shop: Shop) -> None:
    await shop.runs("1", "k-1")
    shop.world.is_full = True
    deployer = shop.connect()
    status = await over(shop, deployer, await deployer.start(order("k-2", "2")))
    assert status.outcome is Outcome.FAILED
    assert "0/3 nodes are available: 3 Insufficient cpu." in status.message


@BOTH
async def test_a_quota_that_is_used_up(shop_of: Callable[..., Shop], kind: str) -> None:
    shop = shop_of(kind)
    await shop.runs("1", "k-1")
    shop.world.quota = 3 if kind == "Deployment" else 2
    deployer = shop.connect()
    ref = await deployer.start(order("k-2", "2"))
    status = await looked(deployer, ref, 6)
    assert "the cluster makes no new pods" in status.message
    assert "exceeded quota" in status.message
    shop.now = 601
    assert (await over(shop, deployer, ref)).outcome is Outcome.FAILED


async def test_the_last_lines_are_shown_without_the_secrets_of_the_environment(shop: Shop) -> None:
    status = await ended(shop, "crashes")
    assert status.output == "connecting as …\nno database\n"
    assert SECRET_OF_ENV not in repr(status)
    ref = await shop.connect().find("k-2")
    assert ref is not None
    assert await shop.connect().status(ref) == status, "also for who asks later"


async def test_lines_that_may_not_be_read_are_no_failure(shop: Shop) -> None:
    assert shop.api.rules is not None
    shop.api.rules = [rule for rule in shop.api.rules if rule["resources"] not in (["pods/log"], ["events"])]
    status = await ended(shop, "crashes")
    assert (status.outcome, status.output) == (Outcome.FAILED, "")


# ---- judging --------------------------------------------------------------------------------------------------------


async def test_done_is_believed_at_the_second_look(shop: Shop) -> None:
    deployer = shop.connect()
    ref = await deployer.start(order("k-1"))
    looks: list[DeploymentStatus] = []
    while not looks or not looks[-1].outcome.is_final:
        looks.append(await deployer.status(ref))
    assert looks[-2] == DeploymentStatus(Outcome.RUNNING, "3 pods run it.", 3, 3)
    assert [look.done_units for look in looks] == sorted(look.done_units for look in looks)
    assert looks[-1] == DeploymentStatus(Outcome.SUCCEEDED, "3 pods run it.", 3, 3)


async def test_pods_are_replaced_as_the_stage_asks(shop: Shop) -> None:
    """Never more than four at once, never fewer than three that serve."""
    deployer = await shop.runs("1", "k-1")
    ref = await deployer.start(order("k-2", "2"))
    while not (await deployer.status(ref)).outcome.is_final:
        pods = [pod for pod in shop.world.of("Pod") if "deletionTimestamp" not in pod["metadata"]]
        assert len(pods) <= 4
        assert sum(map(is_ready, pods)) >= 3


async def test_what_is_on_the_way_is_mixed(shop: Shop) -> None:
    deployer = await shop.runs("1", "k-1")
    ref = await deployer.start(order("k-2", "2"))
    mixed = set()
    while not (await deployer.status(ref)).outcome.is_final:
        mixed.add((await deployer.running_version("checkout")).is_mixed)
    assert mixed == {True, False}


async def test_pods_of_others_do_not_count(shop: Shop) -> None:
    """The same labels are not enough; they must belong to the object."""
    deployer = await shop.runs("1", "k-1")
    pod = next(pod for pod in shop.world.of("Pod"))
    stray = {
        **pod,
        "metadata": {"name": "stray", "namespace": "shop", "labels": pod["metadata"]["labels"]},
        "spec": {"containers": [{"name": "app", "image": f"{REPOSITORY}@{digest('2')}"}]},
    }
    shop.world.put(stray)
    seen = await deployer.running_version("checkout")
    assert (seen.digest, seen.is_mixed) == (digest("1"), False)


async def test_long_lists_come_in_pages(shop_of: Callable[..., Shop]) -> None:
    shop = shop_of(replicas=5)
    shop.api.page = 2
    deployer = await shop.runs("1", "k-1")
    assert (await deployer.running_version("checkout")).digest == digest("1")


async def test_a_partition_set_meanwhile_is_judged_as_kubectl_does(shop_of: Callable[..., Shop]) -> None:
    shop = shop_of("StatefulSet")
    deployer = await shop.runs("1", "k-1")
    ref = await deployer.start(order("k-2", "2"))
    shop.live["spec"]["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
    assert (await over(shop, deployer, ref)).message == "2 pods run it."
    assert (await deployer.running_version("checkout")).is_mixed, "which is no success for Andon"


# ---- people at work beside Andon ------------------------------------------------------------------------------------


@BOTH
async def test_an_image_set_by_hand_is_drift(shop_of: Callable[..., Shop], kind: str) -> None:
    shop = shop_of(kind)
    deployer = await shop.runs("1", "k-1")
    shop.containers[0]["image"] = f"{REPOSITORY}@{digest('2')}"
    shop.live["metadata"]["generation"] += 1
    shop.world.step(40)
    seen = await deployer.running_version("checkout")
    assert (seen.digest, seen.version) == (digest("2"), None), "the marks speak of another digest"


async def test_a_tag_set_by_hand_is_told_by_what_the_node_runs(shop: Shop) -> None:
    deployer = await shop.runs("1", "k-1")
    shop.containers[0]["image"] = f"{REPOSITORY}:hotfix"
    shop.world.images[f"{REPOSITORY}:hotfix"] = Image.GOOD
    shop.live["metadata"]["generation"] += 1
    shop.world.step(40)
    seen = await deployer.running_version("checkout")
    assert seen.digest not in (None, digest("1"))
    assert seen.version is None


async def test_an_image_set_by_hand_meanwhile_ends_it(shop: Shop) -> None:
    deployer = shop.connect()
    ref = await deployer.start(order("k-1"))
    shop.containers[0]["image"] = f"{REPOSITORY}:hotfix"
    status = await deployer.status(ref)
    assert status.outcome is Outcome.FAILED
    assert "past Andon: its container `app` is to run registry.example.com/shop/checkout:hotfix" in status.message


async def test_scaled_to_nothing_meanwhile(shop: Shop) -> None:
    deployer = shop.connect()
    ref = await deployer.start(order("k-1"))
    shop.live["spec"]["replicas"] = 0
    assert "scaled" in (await over(shop, deployer, ref)).message
    assert (await deployer.running_version("checkout")).digest is None


async def test_paused_meanwhile_waits(shop: Shop) -> None:
    shop.world.deadline = 3
    deployer = await shop.runs("1", "k-1")
    ref = await deployer.start(order("k-2", "2"))
    shop.live["spec"]["paused"] = True
    status = await looked(deployer, ref, 10)
    assert (status.outcome, "`kubectl rollout resume`" in status.message) == (Outcome.RUNNING, True)
    shop.live["spec"]["paused"] = False
    assert (await over(shop, deployer, ref)).outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize("is_made_anew", [False, True])
async def test_a_target_removed_meanwhile(shop: Shop, is_made_anew: bool) -> None:
    deployer = shop.connect()
    ref = await deployer.start(order("k-1"))
    shop.world.remove(shop.live)
    if is_made_anew:
        shop.world.put(workload())
    status = await deployer.status(ref)
    assert (status.outcome, "was removed" in status.message) == (Outcome.FAILED, True)
    await deployer.cancel(ref)
    assert (await deployer.running_version("checkout")).digest is None
    assert await deployer.find("k-1") is None


async def test_a_record_that_was_removed_is_made_up_for_by_the_marks(shop: Shop) -> None:
    deployer = shop.connect()
    ref = await deployer.start(order("k-1"))
    del shop.live["metadata"]["annotations"]["andon/record"]
    assert await deployer.find("k-1") == ref
    assert (await over(shop, deployer, ref)).outcome is Outcome.SUCCEEDED


async def test_without_record_and_marks_nobody_can_tell(shop: Shop) -> None:
    deployer = shop.connect()
    ref = await deployer.start(order("k-1"))
    del shop.live["metadata"]["annotations"]["andon/record"]
    del shop.live["spec"]["template"]["metadata"]["annotations"]
    assert (await deployer.status(ref)).outcome is Outcome.UNKNOWN


async def test_the_record_stays_small(shop: Shop) -> None:
    deployer, last = shop.connect(), KEPT + 5
    for number in range(last + 1):
        await deployer.start(order(f"k-{number}", "1" if number % 2 else "2"))
    assert await deployer.find("k-0") is None
    ref = await deployer.find(f"k-{last - 1}")
    assert ref is not None
    status = await deployer.status(ref)
    assert (status.outcome, "took its place before it was over" in status.message) == (Outcome.FAILED, True)
    assert len(shop.live["metadata"]["annotations"]["andon/record"]) < 10_000


# ---- cancelling -----------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("version", ["2", "slow", "crashes", "unheard-of"])
async def test_a_cancel_puts_back_what_ran_before(shop_of: Callable[..., Shop], kind: str, version: str) -> None:
    shop = shop_of(kind)
    deployer = await shop.runs("1", "k-1")
    before = shop.template()
    ref = await deployer.start(order("k-2", version))
    assert not (await looked(deployer, ref, 3)).outcome.is_final
    await deployer.cancel(ref)
    status = await over(shop, deployer, ref)
    assert (status.outcome, status.message) == (Outcome.CANCELLED, "What ran before was put back")
    assert shop.template() == before
    assert not [pod for pod in shop.world.of("Pod") if pod["metadata"]["annotations"]["andon/key"] == "k-2"]
    shop.world.step(10)
    seen = await deployer.running_version("checkout")
    assert (seen.digest, seen.version, seen.is_mixed) == (digest("1"), "1", False)


async def test_a_cancelled_rollback_does_not_return_to_what_failed(shop: Shop) -> None:
    deployer = await shop.runs("1", "k-1")
    await over(shop, deployer, await deployer.start(order("k-2", "crashes")))
    ref = await deployer.start(order("k-3", "slow", is_rollback=True))
    await deployer.cancel(ref)
    assert (await over(shop, deployer, ref)).outcome is Outcome.CANCELLED
    assert shop.containers[0]["image"].endswith(digest("1"))


async def test_a_strategy_that_was_widened_is_put_back(shop: Shop) -> None:
    """Nothing ever ran here; the cancelled pods would wait for what was there before, for ever."""
    deployer = shop.connect()
    ref = await deployer.start(order("k-1", "slow"))
    own = shop.live["spec"]["strategy"]
    await deployer.status(ref)
    await deployer.cancel(ref)
    assert (await over(shop, deployer, ref)).outcome is Outcome.CANCELLED
    assert any(one.get("value", {}).get("maxUnavailable") == "100%" for _, all_ in shop.api.patched for one in all_
               if isinstance(one.get("value"), dict))  # fmt: skip
    assert shop.live["spec"]["strategy"] == own


async def test_a_broken_pod_that_may_not_be_deleted_is_named(shop_of: Callable[..., Shop]) -> None:
    shop = shop_of("StatefulSet")
    full = shop.api.rules
    assert full is not None
    deployer = await shop.runs("1", "k-1")
    shop.api.rules = [rule for rule in full if "delete" not in rule["verbs"]]
    ref = await deployer.start(order("k-2", "crashes"))
    await over(shop, deployer, ref)
    back = await deployer.start(order("k-3", "1"))
    status = await looked(deployer, back, 6)
    assert status.outcome is Outcome.RUNNING
    assert "`checkout-2` of the version before is broken and must be deleted" in status.message
    assert "`delete` on `pods`" in status.message
    shop.api.rules = full
    assert (await over(shop, deployer, back)).outcome is Outcome.SUCCEEDED


async def test_a_good_pod_that_is_not_ready_for_a_moment_is_left_alone(shop_of: Callable[..., Shop]) -> None:
    shop = shop_of("StatefulSet")
    deployer = await shop.runs("1", "k-1")
    ref = await deployer.start(order("k-2", "2"))
    shop.api.asked.clear()
    shop.world.images[digest("1")] = Image.SLOW
    await looked(deployer, ref, 8)
    shop.world.images[digest("1")] = Image.GOOD
    assert (await over(shop, deployer, ref)).outcome is Outcome.SUCCEEDED
    assert ("delete", "pods") not in shop.api.asked


async def test_the_end_is_written_before_it_is_told(shop: Shop) -> None:
    """If writing it fails, it is judged again."""
    deployer = shop.connect()
    ref = await deployer.start(order("k-1"))
    shop.api.faults.append(Fault("patch", status=409))
    status = await over(shop, deployer, ref)
    assert status.outcome is Outcome.SUCCEEDED
    assert '"outcome":"succeeded"' in shop.live["metadata"]["annotations"]["andon/record"]
