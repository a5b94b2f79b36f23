"""What cannot become what was asked is refused before anything is changed, with the mend; what may yet come is not."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import PermanentError, TransientError
from core.ports import Outcome
from integrations.contract import over
from integrations.kubernetes.deployer import KubernetesDeployer
from tests.integrations.kubernetes.api import Fault
from tests.integrations.kubernetes.rig import REPOSITORY, Shop, digest, order, workload


async def refusal(shop: Shop, deployer: KubernetesDeployer | None = None, **more: Any) -> str:
    """The sentence of a start that is refused, and leaves the object as it was."""
    before = copy.deepcopy(shop.live["spec"])
    with pytest.raises(PermanentError) as told:
        await (deployer or shop.connect()).start(order("k-1", **more))
    assert shop.live["spec"] == before
    assert shop.api.patched == []
    assert await shop.connect().find("k-1") is None
    return told.value.message


# ---- the artifact ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"digest": "sha256:abc"}, "no digest of an image"),
        ({"artifact": "what ever"}, "does not name an image"),
        ({"artifact": ""}, "does not name an image"),
        ({"artifact": digest("1")}, "does not name an image"),
        ({"artifact": f"{REPOSITORY}@{digest('2')}"}, "what was tested is not what would be deployed"),
        ({"target": "chekout"}, "no target `chekout`"),
    ],
)
async def test_an_artifact_must_name_an_image(shop: Shop, more: dict[str, Any], said: str) -> None:
    with pytest.raises(PermanentError, match=said):
        await shop.connect().start(order("k-1", **more))
    assert shop.api.asked == [], "nobody need be asked for that"


@pytest.mark.parametrize(
    "artifact", [f"{REPOSITORY}:1.2.3", REPOSITORY, f"{REPOSITORY}@{digest('1')}", f"{REPOSITORY}:1@{digest('1')}"]
)
async def test_whatever_names_the_image_it_is_pulled_by_digest(shop: Shop, artifact: str) -> None:
    await shop.connect().start(order("k-1", artifact=artifact))
    assert shop.containers[0]["image"] == f"{REPOSITORY}@{digest('1')}"


async def test_the_definition_may_say_where_images_are_pulled_from(shop: Shop) -> None:
    await shop.deployer(image="mirror.example.com:5000/checkout").start(order("k-1", artifact="/builds/17"))
    assert shop.containers[0]["image"] == f"mirror.example.com:5000/checkout@{digest('1')}"


# ---- the object -----------------------------------------------------------------------------------------------------


async def test_only_the_image_and_our_marks_change(shop: Shop) -> None:
    before = shop.template()
    await shop.connect().start(order("k-1"))
    after = shop.template()
    assert after["metadata"].pop("annotations") == {
        "andon/key": "k-1", "andon/version": "1", "andon/digest": digest("1"),
    }  # fmt: skip
    after["spec"]["containers"][0]["image"] = before["spec"]["containers"][0]["image"]
    assert after == before, "environment, ports and probes are as they were"


async def test_other_containers_move_only_if_they_are_named(shop_of: Callable[..., Shop]) -> None:
    shop = shop_of()
    shop.containers.append({"name": "proxy", "image": "proxy:1"})
    shop.live["spec"]["template"]["spec"]["initContainers"] = [{"name": "migrate", "image": f"{REPOSITORY}:first"}]
    assert "`app`, `proxy`: name the one" in await refusal(shop)
    assert "no container `ap`; there is `app`, `proxy`" in await refusal(
        shop, shop.deployer(target={"container": "ap"})
    )
    deployer = shop.deployer(target={"container": "app", "same_image": ["migrate"]})
    await deployer.start(order("k-1"))
    wanted = f"{REPOSITORY}@{digest('1')}"
    spec = shop.live["spec"]["template"]["spec"]
    assert [one["image"] for one in spec["containers"] + spec["initContainers"]] == [wanted, "proxy:1", wanted]


@pytest.mark.parametrize(
    ("marks", "said"),
    [
        ({"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment"}}, "kept by Argo CD, which would"),
        ({"labels": {"argocd.argoproj.io/instance": "shop"}}, "kept by Argo CD, which would"),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "shop"}}, "kept by Flux, which would"),
        ({"labels": {"app.kubernetes.io/managed-by": "Helm"}}, "made by Helm"),
        ({"annotations": {"meta.helm.sh/release-name": "shop"}}, "made by Helm"),
        (
            {
                "ownerReferences": [
                    {"apiVersion": "argoproj.io/v1", "kind": "Shop", "name": "main", "uid": "u", "controller": True}
                ]
            },
            "belongs to Shop `main`, whose controller would undo",
        ),
    ],
)
async def test_what_somebody_else_keeps_is_left_to_them(shop: Shop, marks: dict[str, Any], said: str) -> None:
    shop.live["metadata"].update(copy.deepcopy(marks))
    told = await refusal(shop)
    assert said in told
    assert "`command`" in told, "it says what to use instead"


async def test_who_wrote_the_image_last_is_seen_without_a_label(shop: Shop) -> None:
    fields: Any = {"f:spec": {"f:template": {"f:spec": {"f:containers": {'k:{"name":"app"}': {"f:image": {}}}}}}}
    shop.live["metadata"]["managedFields"] = [
        {
            "manager": "argocd-controller", "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
            "fieldsV1": fields,
        }
    ]  # fmt: skip
    assert "kept by Argo CD" in await refusal(shop)


async def test_a_helm_release_can_be_adopted_and_nothing_else(shop: Shop) -> None:
    shop.live["metadata"]["labels"]["app.kubernetes.io/managed-by"] = "Helm"
    deployer = shop.deployer(helm="adopt")
    status = await over(shop, deployer, await deployer.start(order("k-1")))
    assert status.outcome is Outcome.SUCCEEDED
    shop.live["metadata"]["labels"]["helm.toolkit.fluxcd.io/name"] = "shop"
    with pytest.raises(PermanentError, match="kept by Flux"):
        await deployer.start(order("k-2", "2"))


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"paused": True}, "is paused: `kubectl rollout resume`"),
        ({"replicas": 0}, "scaled to no pods"),
        ({"strategy": {"type": "Recreate"}}, "stops all pods at once"),
        (
            {"replicas": 1, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0}}},
            "leave none to miss",
        ),
    ],
)
async def test_a_deployment_that_would_not_do_as_asked(shop_of: Callable[..., Shop], spec: Any, said: str) -> None:
    assert said in await refusal(shop_of(**spec))


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"updateStrategy": {"type": "OnDelete"}}, "until somebody deletes them"),
        ({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}}, "has the partition 2"),
        ({"replicas": 2}, "stops 1 of its 2 pods before it replaces them"),
    ],
)
async def test_a_stateful_set_that_would_not_do_as_asked(shop_of: Callable[..., Shop], spec: Any, said: str) -> None:
    assert said in await refusal(shop_of("StatefulSet", **spec))


@pytest.mark.parametrize(
    ("own", "asked", "written"),
    [
        ({}, (33, 66), {"maxSurge": 3, "maxUnavailable": 0}),
        ({}, (5, 95), {"maxSurge": 1, "maxUnavailable": 0}),
        ({}, (100, 0), {"maxSurge": 10, "maxUnavailable": 0}),
        ({"maxSurge": 0, "maxUnavailable": 1}, (33, 66), {"maxSurge": 0, "maxUnavailable": 3}),
        ({"maxSurge": 0, "maxUnavailable": 1}, (50, 90), {"maxSurge": 0, "maxUnavailable": 1}),
        ({"maxSurge": "0%", "maxUnavailable": "50%"}, (33, 66), {"maxSurge": 0, "maxUnavailable": 3}),
    ],
)
async def test_batches_become_numbers_of_pods(
    shop_of: Callable[..., Shop], own: Any, asked: tuple[int, int], written: Any
) -> None:
    shop = shop_of(replicas=10, strategy={"type": "RollingUpdate", "rollingUpdate": own})
    await shop.connect().start(order("k-1", batch_percent=asked[0], healthy_percent=asked[1]))
    assert shop.live["spec"]["strategy"] == {"type": "RollingUpdate", "rollingUpdate": written}


async def test_a_strategy_can_be_checked_and_left_alone(shop_of: Callable[..., Shop]) -> None:
    own = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}
    shop = shop_of(replicas=10, strategy=own)
    checking = shop.deployer(batches="check")
    assert "replaces 5 of 10 pods at a time and lets 2 be missing" in await refusal(shop, checking)
    await checking.start(order("k-1", batch_percent=50))
    assert shop.live["spec"]["strategy"] == own


async def test_a_name_that_is_not_there(shop: Shop) -> None:
    told = await refusal(shop, shop.deployer(target={"name": "chekout"}))
    assert told == "There is no Deployment `chekout` in the namespace `shop`."


# ---- the cluster ----------------------------------------------------------------------------------------------------


async def test_wrong_credentials_say_whose(shop: Shop) -> None:
    told = await refusal(shop, shop.deployer(token="stale-word"))
    assert "does not take Andon's credentials (401)" in told
    assert "context `test`" in told
    assert "stale-word" not in told
    with pytest.raises(TransientError, match="401"):
        await shop.deployer(token="stale-word").find("k-1")


@pytest.mark.parametrize(
    ("verb", "resource", "said"),
    [
        ("get", "deployments", "give its account the verb `get` on `deployments`"),
        ("patch", "deployments", "give its account the verb `patch` on `deployments`"),
    ],
)
async def test_a_right_that_is_missing_is_named(shop: Shop, verb: str, resource: str, said: str) -> None:
    full = shop.api.rules
    assert full is not None
    shop.api.rules = [{**rule, "verbs": [one for one in rule["verbs"] if one != verb]} for rule in full]
    with pytest.raises(PermanentError) as told:
        await shop.connect().start(order("k-1"))
    assert said in told.value.message
    assert "kubernetes.md has the Role" in told.value.message
    if verb == "get":
        with pytest.raises(TransientError, match="`get` on `deployments`"):
            await shop.connect().find("k-1")
    shop.api.rules = full
    assert await shop.connect().find("k-1") is None


async def test_rights_that_are_taken_away_meanwhile_are_no_failure(shop: Shop) -> None:
    deployer = shop.connect()
    ref = await deployer.start(order("k-1"))
    full, shop.api.rules = shop.api.rules, []
    with pytest.raises(PermanentError, match="`get` on `deployments`"):
        await deployer.status(ref)
    shop.api.rules = full
    assert (await over(shop, deployer, ref)).outcome is Outcome.SUCCEEDED


async def test_a_policy_that_forbids_it_is_quoted(shop: Shop) -> None:
    words = 'admission webhook "images.example.com" denied the request: not signed'
    body = json.dumps({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403, "message": words})
    shop.api.faults.append(Fault("patch", status=403, body=body, headers={"Content-Type": "application/json"}))
    assert words in await refusal(shop)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_an_overloaded_server_is_asked_again(shop: Shop, status: int) -> None:
    deployer = shop.connect()
    for verb in ("get", "patch"):
        shop.api.faults.append(Fault(verb, status=status, headers={"Retry-After": "7"}))
        with pytest.raises(TransientError, match=str(status)) as told:
            await deployer.start(order("k-1"))
        assert (told.value.retry_after is not None) is (status == 429)
    assert (await over(shop, deployer, await deployer.start(order("k-1")))).outcome is Outcome.SUCCEEDED
    assert len([1 for _, operations in shop.api.patched if any("image" in one["path"] for one in operations)]) == 1


@pytest.mark.parametrize("body", ["<html>Bad gateway</html>", "", "[1,2", '{"kind":"Nothing"}'])
@pytest.mark.parametrize("status", [200, 502])
async def test_what_does_not_speak_as_kubernetes_does_is_unknown(shop: Shop, body: str, status: int) -> None:
    shop.api.faults.append(Fault("patch", status=status, body=body, is_carried_out=True))
    with pytest.raises(TransientError):
        await shop.connect().start(order("k-1"))
    assert await shop.connect().find("k-1") is not None


@pytest.mark.parametrize("hangs", [True, False])
@pytest.mark.parametrize("is_carried_out", [True, False])
async def test_an_answer_that_does_not_come_says_nothing(shop: Shop, hangs: bool, is_carried_out: bool) -> None:
    shop.api.faults.append(Fault("patch", hangs=hangs, is_carried_out=is_carried_out))
    with pytest.raises(TransientError, match="did not answer"):
        await shop.deployer(timeout="300ms").start(order("k-1"))
    deployer = shop.connect()
    assert (await deployer.find("k-1") is not None) is is_carried_out
    ref = await deployer.start(order("k-1"))
    assert (await over(shop, deployer, ref)).outcome is Outcome.SUCCEEDED
    assert shop.live["metadata"]["generation"] == 2, "one change of its spec"


async def test_a_change_by_somebody_else_at_that_moment_is_not_overwritten(shop: Shop) -> None:
    once = [1]

    def scaled(verb: str, resource: str) -> None:
        if verb == "patch" and once:
            once.pop()
            shop.live["spec"]["replicas"] = 4
            shop.world.touch(shop.live)

    shop.api.before = scaled
    deployer = shop.connect()
    ref = await deployer.start(order("k-1"))
    assert [verb for verb, _ in shop.api.asked] == ["get", "patch", "get", "patch"]
    status = await over(shop, deployer, ref)
    assert (status.outcome, status.done_units, status.all_units) == (Outcome.SUCCEEDED, 4, 4)


async def test_one_that_always_changes_is_tried_later(shop: Shop) -> None:
    def moved(verb: str, resource: str) -> None:
        shop.world.touch(shop.live)

    shop.api.before = moved
    with pytest.raises(TransientError, match="changes faster"):
        await shop.connect().start(order("k-1"))


async def test_an_annotation_that_is_not_ours_is_not_overwritten(shop: Shop) -> None:
    shop.live["metadata"]["annotations"] = {"andon/record": "mine!"}
    with pytest.raises(PermanentError, match="is not as Andon wrote it"):
        await shop.connect().start(order("k-1"))
    with pytest.raises(TransientError):
        await shop.connect().find("k-1")


# ---- credentials ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "not found"),
        ("", "no kubeconfig"),
        ("{", "no kubeconfig"),
        ("[]", "no kubeconfig"),
        ("clusters: []\ncontexts: []\nusers: []\n", "Context 'test' not found"),
        ("clusters: [{name: a}]\ncontexts: []\n", "no kubeconfig"),
    ],
)
async def test_a_kubeconfig_that_cannot_be_used(shop: Shop, tmp_path: Path, text: str | None, said: str) -> None:
    file = tmp_path / "broken"
    if text is not None:
        file.write_text(text)
    deployer = shop.deployer(kubeconfig=str(file))
    with pytest.raises(PermanentError, match=said):
        await deployer.start(order("k-1"))
    with pytest.raises(TransientError, match=said):
        await deployer.find("k-1")


async def test_outside_of_a_cluster_a_file_must_be_named(shop: Shop) -> None:
    deployer = KubernetesDeployer.from_settings({"namespace": "shop"}, {"checkout": {}})
    with pytest.raises(PermanentError, match="does not run in a pod; name a file with `kubeconfig:`"):
        await deployer.start(order("k-1"))


async def test_a_renewed_file_is_read_again(shop: Shop) -> None:
    deployer = shop.deployer(token="stale-word")
    with pytest.raises(PermanentError, match="401"):
        await deployer.start(order("k-1"))
    shop.api.kubeconfig(shop.path / "kubeconfig")
    assert (await over(shop, deployer, await deployer.start(order("k-1")))).outcome is Outcome.SUCCEEDED


async def test_a_credentials_program_that_fails_is_named_and_not_quoted(shop: Shop) -> None:
    file = shop.path / "kubeconfig"
    shop.api.kubeconfig(file)
    program = "{apiVersion: client.authentication.k8s.io/v1beta1, command: sh, args: [-c, 'echo hunter2 >&2; exit 3']}"
    file.write_text(file.read_text().replace("token: open-sesame", f"exec: {program}"))
    shop_settings = {"kubeconfig": str(file), "context": "test", "namespace": "shop"}
    deployer = KubernetesDeployer.from_settings(shop_settings, {"checkout": {}})
    with pytest.raises(PermanentError, match="sh ended with 3") as told:
        await deployer.start(order("k-1"))
    assert "hunter2" not in repr(told.value)


async def test_a_credentials_program_that_is_not_there_is_named(shop: Shop) -> None:
    file = shop.path / "kubeconfig"
    shop.api.kubeconfig(file)
    program = "{apiVersion: client.authentication.k8s.io/v1beta1, command: no-such-program}"
    file.write_text(file.read_text().replace("token: open-sesame", f"exec: {program}"))
    settings = {"kubeconfig": str(file), "context": "test", "namespace": "shop"}
    with pytest.raises(PermanentError, match=r"cannot use its credentials for .*: no-such-program"):
        await KubernetesDeployer.from_settings(settings, {"checkout": {}}).start(order("k-1"))


@pytest.mark.parametrize(
    ("settings", "targets", "said"),
    [
        ({"namespac": "shop"}, {}, "namespac"),
        ({"namespace": "Shop"}, {}, "no name of a namespace"),
        ({"namespace": "shop", "context": "test"}, {}, "a context is one of a kubeconfig file"),
        ({"namespace": "shop", "image": "a:b"}, {}, "no image repository"),
        ({"namespace": "shop", "batches": "ignore"}, {}, "batches"),
        ({"namespace": "shop", "patience": 10}, {}, "a duration is a number with its unit"),
        ({}, {"a": {}}, "target `a` has no namespace"),
        ({"namespace": "shop"}, {"a": {"kind": "DaemonSet"}}, "kind"),
        ({"namespace": "shop"}, {"a": {"name": "x"}, "b": {"name": "x"}}, "both the Deployment `x`"),
    ],
)
def test_settings_that_are_wrong_are_told_offline(settings: Any, targets: Any, said: str) -> None:
    with pytest.raises(PermanentError, match="cannot use its settings") as told:
        KubernetesDeployer.from_settings(settings, targets)
    assert said in told.value.message


def test_objects_of_the_stand_in_are_what_kubernetes_takes(shop: Shop) -> None:
    broken = workload(name="other")
    broken["spec"]["template"]["spec"]["containers"][0]["imagee"] = "typo"
    with pytest.raises(Exception, match="imagee"):
        shop.world.put(broken)
