"""What the receiver of the deployer `webhook` may answer, and what is made of it: three verdicts, in a sentence."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from bot.adapter_settings import deployer_problems
from core.errors import NotAuthentic, PermanentError, TransientError
from core.ports import DeploymentRef, Outcome
from core.releases.problems import path_text
from integrations.pager import signature
from integrations.webhook_deployer.deployer import WebhookDeployer
from tests.integrations.webhook_deployer.receiver import SECRET, WebhookReceiver, WebhookRig

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
CALLBACK = "https://andon.example.com/api/deployments/callback"


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with WebhookReceiver().serving() as made:
        yield made


@pytest.fixture
def rig(receiver: WebhookReceiver) -> WebhookRig:
    return WebhookRig(receiver)


# ---- what is sent ---------------------------------------------------------------------------------------------------


async def test_a_rollback_says_so_and_a_target_brings_its_values(rig: WebhookRig) -> None:
    await rig.client().start(rig.request("k-1", is_rollback=True))
    order = rig.receiver.jobs["k-1"].order
    assert (order["kind"], order["values"], order["version"]) == ("rollback", {"zone": "a b"}, "1")
    assert (await rig.client().running_version("web-1")).digest is None
    assert rig.receiver.asked[-1] == "GET /running/web-1?zone=a%20b"


async def test_any_key_and_version_arrive_as_they_are(rig: WebhookRig) -> None:
    key = "shop/eu:d1 &x=ü?#"
    request = rig.request(key, version='1.0"; rm -rf /\n')
    ref = await rig.client().start(request)
    assert rig.receiver.jobs[key].order["version"] == request.version
    assert await rig.client().find(key) == ref


# ---- refusals and troubles ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "text", "kind", "said"),
    [
        (400, '{"detail": "no such field"}', PermanentError, "answered 400: no such field. It does not take this."),
        (401, "", PermanentError, "answered 401. It does not know Andon's signature or token"),
        (403, '{"message": "not for you"}', PermanentError, "answered 403: not for you. It does not permit this"),
        (404, "<html>", PermanentError, "answered 404. There is nothing at this address"),
        (409, '{"error": "busy"}', PermanentError, "answered 409: busy. It sees a conflict"),
        (422, f'{{"detail": "bad {SECRET}"}}', PermanentError, "answered 422: bad •••."),
        (302, "", PermanentError, "a redirect, which is not followed"),
        (429, "", TransientError, "answered 429; it is asked again"),
        (500, '{"detail": "oops"}', TransientError, "answered 500: oops; it is asked again"),
        (503, "", TransientError, "answered 503"),
    ],
)
async def test_a_refusal_is_permanent_and_trouble_is_unknown(
    rig: WebhookRig, status: int, text: str, kind: type[Exception], said: str
) -> None:
    rig.receiver.answers.append(lambda: web.Response(status=status, text=text, headers={"Location": "/elsewhere"}))
    with pytest.raises(kind) as raised:
        await rig.client().start(rig.request("k-1"))
    assert said in str(raised.value)
    assert SECRET not in str(raised.value)
    assert len(rig.receiver.asked) == 1


async def test_who_asks_for_patience_gets_it(rig: WebhookRig) -> None:
    rig.receiver.answers.append(lambda: web.Response(status=429, headers={"Retry-After": "7"}))
    with pytest.raises(TransientError) as raised:
        await rig.client().start(rig.request("k-1"))
    assert raised.value.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda: web.Response(text="x" * 10_000_000), "larger than 1000000 bytes; it is not read"),
        (lambda: web.Response(text="OK"), "is not a JSON object"),
        (lambda: web.Response(text="[" * 100_000), "is not a JSON object"),
        (lambda: web.json_response({"protocol": 2, "status_url": "x"}), "speaks protocol 2; this Andon understands 1"),
        (lambda: web.json_response({"key": "another"}), "answered for another deployment"),
        (lambda: web.json_response({}), "gave no `status_url`, and no `callback` is configured"),
        (lambda: web.json_response({"status_url": "https://evil.example.net/x"}), "leads elsewhere"),
        (lambda: web.json_response({"status_url": "file:///etc/passwd"}), "leads elsewhere"),
        (lambda: web.json_response({"status_url": "http://a:b@127.0.0.1/x"}), "leads elsewhere"),
        (lambda: web.json_response({"status_url": ["x"]}), "leads elsewhere"),
        (lambda: web.json_response({"status_url": "http://127.0.0.1:1/x"}), "leads elsewhere"),
    ],
)
async def test_an_answer_that_is_not_understood_is_unknown_and_looked_for_by_its_key(
    rig: WebhookRig, answer: Any, said: str
) -> None:
    rig.receiver.after.append(answer)
    with pytest.raises(TransientError) as raised:
        await rig.client().start(rig.request("k-1"))
    assert said in raised.value.message
    ref = await rig.client().find("k-1")
    assert ref == await rig.client().start(rig.request("k-1"))
    assert len(rig.receiver.jobs) == 1


async def test_an_allowed_origin_may_be_led_to(rig: WebhookRig) -> None:
    rig.receiver.leads_to = "https://jobs.example.com"
    with pytest.raises(TransientError, match="name its origin under `allow`"):
        await rig.client().start(rig.request("k-1"))
    ref = await rig.client(allow=["https://jobs.example.com"]).start(rig.request("k-1"))
    assert json.loads(ref.value)["status"] == "https://jobs.example.com/deployments/1"
    with pytest.raises(TransientError, match="leads elsewhere"):
        await rig.client().status(ref)


@pytest.mark.parametrize(
    ("said", "outcome", "message"),
    [
        ({"state": "frobbed"}, Outcome.UNKNOWN, "says `frobbed`, which is none of queued, running"),
        ({"state": None}, Outcome.UNKNOWN, "says `?`"),
        ({"state": "unknown", "message": "the node is gone"}, Outcome.UNKNOWN, "the node is gone"),
        ({"state": "failed"}, Outcome.FAILED, "The receiver gave no reason."),
        ({"state": "running", "done": 9, "all": 3}, Outcome.RUNNING, ""),
        ({"state": "running", "done": -1, "all": "many"}, Outcome.RUNNING, ""),
    ],
)
async def test_what_it_says_of_a_deployment(
    rig: WebhookRig, said: dict[str, Any], outcome: Outcome, message: str
) -> None:
    ref = await rig.client().start(rig.request("k-1"))
    rig.receiver.said = said
    status = await rig.client().status(ref)
    assert status.outcome is outcome
    assert message in status.message
    assert 0 <= status.done_units <= status.all_units


async def test_one_that_speaks_of_another_deployment_is_not_heard(rig: WebhookRig) -> None:
    ref = await rig.client().start(rig.request("k-1"))
    rig.receiver.said = {"key": "k-2", "state": "succeeded"}
    with pytest.raises(TransientError, match="spoke of another deployment"):
        await rig.client().status(ref)


@pytest.mark.parametrize("told", [{}, {"digest": 7}, {"digest": "x", "mixed": "yes"}, {"digest": "a\nb"}])
async def test_what_runs_must_be_said_well(rig: WebhookRig, told: dict[str, Any]) -> None:
    rig.receiver.running["web-1"] = told
    with pytest.raises(TransientError, match="must say what web-1 runs"):
        await rig.client().running_version("web-1")


async def test_nobody_there_is_unknown(rig: WebhookRig) -> None:
    with pytest.raises(TransientError, match="cannot be reached"):
        await rig.client(url="http://127.0.0.1:1/x").start(rig.request("k-1"))


async def test_one_without_a_cancel_url_says_so(rig: WebhookRig) -> None:
    rig.receiver.said = {"cancel_url": ""}
    ref = await rig.client().start(rig.request("k-1"))
    with pytest.raises(PermanentError, match="gave no `cancel_url`"):
        await rig.client().cancel(ref)


# ---- called back ----------------------------------------------------------------------------------------------------


def body(key: str = "k-1", state: str = "failed", **more: Any) -> bytes:
    return json.dumps({"pipeline": "shop", "key": key, "state": state, **more}).encode()


def signed(told: bytes, *, secret: str = SECRET, at: datetime = NOW) -> dict[str, str]:
    timestamp = str(int(at.timestamp()))
    return {"X-Andon-Timestamp": timestamp, "X-Andon-Signature": signature(secret, timestamp, told)}


async def started(rig: WebhookRig, key: str = "k-1") -> tuple[WebhookDeployer, DeploymentRef, str]:
    rig.now, rig.receiver.has_status_url = (lambda: NOW), False
    client = rig.client(callback=CALLBACK)
    ref = await client.start(rig.request(key))
    told = rig.receiver.jobs[key].order["callback"]
    assert told["url"] == CALLBACK
    return client, ref, told["token"]


async def test_who_has_no_status_url_calls_back_with_a_token_or_a_signature(rig: WebhookRig) -> None:
    client, ref, token = await started(rig)
    assert (await client.status(ref)).outcome is Outcome.RUNNING
    for headers in ({"Authorization": f"Bearer {token}"}, signed(body(message="no disk"))):
        status = await client.called_back(ref, headers, body(message="no disk"))
        assert (status.outcome, status.message) == (Outcome.FAILED, "no disk")


async def test_a_forged_or_replayed_callback_is_refused_with_a_reason(rig: WebhookRig) -> None:
    client, ref, token = await started(rig)
    _, _, another = await started(rig, "k-2")
    for headers, told, why in (
        ({}, body(), "it has neither a token nor a signature"),
        ({"Authorization": "Bearer made-up"}, body(), "its token is not the one of this deployment"),
        ({"Authorization": f"Bearer {another}"}, body(), "its token is not the one of this deployment"),
        (signed(body(), secret="guessed"), body(), "its X-Andon-Signature is not ours"),
        (signed(body()), body(state="succeeded"), "its X-Andon-Signature is not ours"),
        (signed(body(), at=NOW - timedelta(minutes=6)), body(), "signed more than five minutes ago"),
        (signed(body(), at=NOW + timedelta(minutes=6)), body(), "its clock is wrong"),
        ({**signed(body()), "X-Andon-Timestamp": "now"}, body(), "its X-Andon-Timestamp is no instant"),
    ):
        with pytest.raises(NotAuthentic, match="is not believed") as refused:
            await client.called_back(ref, headers, told)
        assert why in refused.value.message
    with pytest.raises(PermanentError, match="with the `key` of its deployment"):
        await client.called_back(ref, {"Authorization": f"Bearer {token}"}, body("k-2"))
    with pytest.raises(PermanentError, match="speaks protocol 2"):
        await client.called_back(ref, {"Authorization": f"Bearer {token}"}, body(protocol=2))


async def test_who_can_be_asked_is_asked_whatever_the_callback_says(rig: WebhookRig) -> None:
    rig.now = lambda: NOW
    client = rig.client(callback=CALLBACK)
    ref = await client.start(rig.request("k-1", version="failing"))
    await client.status(ref)
    status = await client.called_back(ref, signed(body(state="succeeded")), body(state="succeeded"))
    assert status.outcome is Outcome.FAILED


# ---- settings -------------------------------------------------------------------------------------------------------

GOOD = {
    "url": "https://deploy.example.com/deployments",
    "running_url": "https://deploy.example.com/running/{target}",
    "secret_env": "DEPLOY_SECRET",
}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"secret_env": "SLACK_SIGNING_SECRET"}, "with.secret_env: `SLACK_SIGNING_SECRET` is Andon's own"),
        ({"url": "deploy.example.com"}, "with.url: `deploy.example.com` is no web address"),
        ({"url": "https://deploy.example.com/{target}"}, "with.url: this address is the same for all targets"),
        ({"running_url": "https://x.example.com/{version}"}, "with.running_url: there is no `{version}` here"),
        ({"running_url": "https://{target}.example.com/x"}, "with.running_url: `{target}` may not stand in the name"),
        ({"allow": ["https://ci.example.com/x"]}, "with.allow[0]: `https://ci.example.com/x` is no origin"),
        ({"callback": "https://andon.example.com/x"}, "with.callback: Andon is called back at"),
        ({"secret": "x"}, "with.secret: `secret` is no key of this place"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(change: dict[str, Any], problem: str) -> None:
    settings = {**GOOD, **change}
    found = [f"{path_text(p.path)}: {p.sentence}" for p in deployer_problems("webhook", settings, {"web-1": {}})]
    assert [each for each in found if each.startswith(problem)], found
    with pytest.raises(PermanentError, match="The deployer webhook cannot use its settings: "):
        WebhookDeployer.from_settings(settings, {"web-1": {}})


def test_what_is_right_is_right_and_a_secret_must_be_there() -> None:
    assert list(deployer_problems("webhook", GOOD, {"web-1": {"values": {"zone": "a"}}})) == []
    with pytest.raises(
        PermanentError, match="The variable DEPLOY_SECRET, which the deployer webhook needs, is not set"
    ):
        WebhookDeployer.from_settings(GOOD, {"web-1": {}})
