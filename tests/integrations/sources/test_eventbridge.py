"""Amazon's events, with a secret or in envelopes that SNS signed; and what forgers of envelopes try."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from core.errors import NotAuthentic, PermanentError, TransientError
from core.ports import BuildEvent, Ignored, ReleaseReport
from core.releases.problems import validated
from integrations.sources.eventbridge import EventBridge, EventBridgeSettings
from integrations.sources.sns import Envelopes
from tests.integrations.sources.payloads import (
    DIGEST,
    SECRET,
    TOPIC,
    codedeploy,
    codepipeline,
    ecr_push,
    event,
    raw,
)

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
SNS = "sns.eu-west-1.amazonaws.com"
CERTIFICATE = f"https://{SNS}/SimpleNotificationService-{'0a' * 16}.pem"


# ---- events ---------------------------------------------------------------------------------------------------------


def told(payload: object) -> ReleaseReport | Ignored:
    (one,) = EventBridge(SECRET, Envelopes([])).parse({}, raw(payload))
    return one


def report(payload: object) -> ReleaseReport:
    found = told(payload)
    assert isinstance(found, ReleaseReport), found
    return found


def test_an_image_in_ecr_has_its_digest_and_its_place() -> None:
    found = report(ecr_push())
    assert (found.event, found.repository, found.tag, found.digest) == (
        BuildEvent.IMAGE, "acme/checkout", "1.4.2", DIGEST,
    )  # fmt: skip
    assert found.image == "123456789012.dkr.ecr.eu-west-1.amazonaws.com/acme/checkout"
    assert not found.is_hint
    assert report(ecr_push() | {"region": "cn-north-1"}).image.endswith(".amazonaws.com.cn/acme/checkout")
    assert report(ecr_push(**{"image-tag": None})).tag == ""


def test_executions_and_deployments_that_succeeded_are_builds() -> None:
    found = report(codepipeline())
    assert (found.event, found.repository, found.number) == (BuildEvent.RUN, "checkout", "0a1b-2c3d")
    written_otherwise = codepipeline()
    written_otherwise["detailType"] = written_otherwise.pop("detail-type")
    del written_otherwise["id"]
    assert report(written_otherwise).number == "0a1b-2c3d", "as notification rules write it"
    deployed = report(codedeploy())
    assert (deployed.event, deployed.repository, deployed.workflow) == (BuildEvent.DEPLOYMENT, "checkout", ("beta",))


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (ecr_push(**{"action-type": "DELETE"}), "was delete"),
        (ecr_push(result="FAILURE"), "(failure)"),
        (codepipeline("STOPPING"), "is stopping"),
        (codepipeline("SUPERSEDED"), "is superseded"),
        (codedeploy("READY"), "in the state READY"),
        (event("ECS Task State Change", {"x": 1}), "`ECS Task State Change` tells of no release"),
        (event("AWS API Call via CloudTrail", {"x": 1}), "no release"),
    ],
)
def test_other_states_and_events_say_why_not(payload: object, why: str) -> None:
    found = told(payload)
    assert isinstance(found, Ignored)
    assert why in found.reason


def test_what_is_no_event_is_not_understood() -> None:
    for odd in ({}, {"detail-type": "ECR Image Action"}, {"detail": {"x": 1}}):
        with pytest.raises(PermanentError, match="no event of EventBridge"):
            told(odd)


async def test_an_api_destination_carries_the_secret() -> None:
    source, body = EventBridge(SECRET, Envelopes([])), raw(ecr_push())
    await source.verify({"X-Api-Key": SECRET}, body, "", NOW)
    await source.verify({"Authorization": f"Bearer {SECRET}"}, body, "", NOW)
    assert source.delivery({}, body) == "e-1"
    with pytest.raises(NotAuthentic):
        await source.verify({"X-Api-Key": "wrong"}, body, "", NOW)
    with pytest.raises(NotAuthentic, match="envelopes of SNS only"):
        await EventBridge("", Envelopes([TOPIC])).verify({"X-Api-Key": ""}, body, "", NOW)


# ---- envelopes ------------------------------------------------------------------------------------------------------


@cache
def key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


def certificate(*, days: int = 30) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.test")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key().public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=90))
        .not_valid_after(NOW + timedelta(days=days))
        .sign(key(), SHA256())
    )
    return made.public_bytes(Encoding.PEM)


@dataclass
class Amazon:
    """Answers as SNS does, and remembers what was asked of it."""

    asked: list[str] = field(default_factory=list)
    held: bytes = b""
    is_away: bool = False

    async def __call__(self, address: str) -> bytes:
        self.asked.append(address)
        if self.is_away:
            raise TransientError("SNS answered 503.")
        return self.held or certificate()


def envelope(message: object = None, *, version: str = "2", **more: Any) -> dict[str, Any]:
    """A notification of the topic, signed as SNS signs."""
    whole: dict[str, Any] = {
        "Type": "Notification",
        "MessageId": "m-1",
        "TopicArn": TOPIC,
        "Message": json.dumps(ecr_push() if message is None else message),
        "Timestamp": "2030-01-01T11:59:00.000Z",
        "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE,
        "UnsubscribeURL": f"https://{SNS}/?Action=Unsubscribe",
        **more,
    }
    if "Signature" not in more:
        signature = key().sign(by_hand(whole), PKCS1v15(), SHA256() if version == "2" else SHA1())
        whole["Signature"] = base64.b64encode(signature).decode()
    return whole


def by_hand(whole: dict[str, Any]) -> bytes:
    """The words that are signed, as Amazon's manual writes them down."""
    if whole["Type"] == "Notification":
        subject = f"Subject\n{whole['Subject']}\n" if "Subject" in whole else ""
        text = (
            f"Message\n{whole['Message']}\nMessageId\n{whole['MessageId']}\n{subject}Timestamp\n{whole['Timestamp']}\n"
            f"TopicArn\n{whole['TopicArn']}\nType\nNotification\n"
        )
    else:
        text = (
            f"Message\n{whole['Message']}\nMessageId\n{whole['MessageId']}\nSubscribeURL\n{whole['SubscribeURL']}\n"
            f"Timestamp\n{whole['Timestamp']}\nToken\n{whole['Token']}\nTopicArn\n{whole['TopicArn']}\n"
            f"Type\n{whole['Type']}\n"
        )
    return text.encode()


def confirmation(**more: Any) -> dict[str, Any]:
    given = {
        "Type": "SubscriptionConfirmation",
        "Token": "abc123",
        "SubscribeURL": "https://evil.example.com/?Action=ConfirmSubscription",
        **more,
    }
    return envelope("You have chosen to subscribe", **given)


def source(amazon: Amazon | None = None, *topics: str) -> EventBridge:
    amazon = amazon or Amazon()
    return EventBridge("", Envelopes(topics or (TOPIC,), fetch=amazon, confirm=amazon))


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("more", [{}, {"Subject": "A push"}])
async def test_an_envelope_that_amazon_signed_is_opened(version: str, more: dict[str, str]) -> None:
    amazon = Amazon()
    there = source(amazon)
    body = raw(envelope(version=version, **more))
    await there.verify({}, body, "", NOW)
    await there.verify({}, body, "", NOW)
    assert amazon.asked == [CERTIFICATE], "the certificate is fetched once"
    (found,) = there.parse({}, body)
    assert isinstance(found, ReleaseReport)
    assert there.delivery({}, body) == "e-1", "the event is the same in whichever envelope"
    assert there.delivery({}, raw(envelope("no event"))) == "m-1"


async def test_one_copied_by_a_function_spells_it_otherwise() -> None:
    sent = envelope()
    sent["SigningCertUrl"] = sent.pop("SigningCertURL")
    await source().verify({}, raw(sent), "", NOW)


Forgery = Callable[[], dict[str, Any]]


@pytest.mark.parametrize(
    "forged",
    [
        lambda: envelope() | {"Message": json.dumps(ecr_push(**{"image-tag": "9.9.9"}))},
        lambda: envelope() | {"Subject": "added later"},
        lambda: envelope(Signature="bm90IGl0"),
        lambda: envelope(Signature="????"),
        lambda: envelope(Signature=None),
        lambda: envelope() | {"SignatureVersion": "1"},
        lambda: envelope(SignatureVersion="3", Signature="eA=="),
        lambda: envelope(TopicArn="arn:aws:sns:eu-west-1:210987654321:releases"),
        lambda: envelope(Timestamp="2030-01-01T10:59:00.000Z"),
        lambda: envelope(Timestamp="2030-01-01T12:06:00.000Z"),
        lambda: envelope(Timestamp="yesterday"),
    ],
)
async def test_what_amazon_did_not_sign_is_refused(forged: Forgery) -> None:
    with pytest.raises(NotAuthentic):
        await source().verify({}, raw(forged()), "", NOW)


@pytest.mark.parametrize(
    "address",
    [
        CERTIFICATE.replace("https", "http"),
        CERTIFICATE.replace("eu-west-1", "us-east-1"),
        CERTIFICATE.replace("sns.", "sns.s3-"),
        CERTIFICATE.replace("amazonaws.com", "amazonaws.com.evil.example.com"),
        CERTIFICATE.replace("amazonaws.com", "amazonaws.com.cn"),
        CERTIFICATE.replace("https://", "https://evil.example.com/"),
        CERTIFICATE.replace("https://", "https://evil@"),
        CERTIFICATE + "?x=1", CERTIFICATE + "\n", CERTIFICATE + "#", CERTIFICATE.replace(".pem", "/.pem"),
        f"https://{SNS}/?Action=GetTopicAttributes.pem", "", None, 7,
    ],
)  # fmt: skip
async def test_a_certificate_is_fetched_from_nowhere_else(address: object) -> None:
    amazon = Amazon()
    with pytest.raises(NotAuthentic, match="certificate of SNS"):
        await source(amazon).verify({}, raw(envelope(SigningCertURL=address)), "", NOW)
    assert amazon.asked == []


async def test_a_certificate_that_is_out_of_date_or_none_does_not_do() -> None:
    with pytest.raises(NotAuthentic, match="out of date"):
        await source(Amazon(held=certificate(days=-1))).verify({}, raw(envelope()), "", NOW)
    with pytest.raises(TransientError, match="is none"):
        await source(Amazon(held=b"<html>")).verify({}, raw(envelope()), "", NOW)
    with pytest.raises(TransientError):
        await source(Amazon(is_away=True)).verify({}, raw(envelope()), "", NOW)


async def test_a_subscription_is_confirmed_by_the_api_and_for_agreed_topics_only() -> None:
    amazon = Amazon()
    there = source(amazon)
    body = raw(confirmation())
    await there.verify({}, body, "", NOW)
    assert there.is_question({}, body)
    assert not there.is_question({}, raw(envelope()))
    (found,) = there.parse({}, body)
    assert isinstance(found, Ignored)
    assert "is confirmed" in await there.answer({}, body)
    asked = urlsplit(amazon.asked[-1])
    assert (asked.scheme, asked.netloc, asked.path) == ("https", SNS, "/")
    assert parse_qs(asked.query) == {
        "Action": ["ConfirmSubscription"], "Version": ["2010-03-31"], "TopicArn": [TOPIC], "Token": ["abc123"],
    }  # fmt: skip
    with pytest.raises(PermanentError, match="names no topic of this source"):
        await source(amazon, TOPIC + "-other").answer({}, body)
    with pytest.raises(PermanentError):
        await there.answer({}, raw(confirmation(Token="a&b=c")))


def test_settings_need_a_way_to_prove_and_real_topics() -> None:
    def problems(**given: Any) -> list[str]:
        return [p.sentence for p in validated(EventBridgeSettings, given)[1]]

    assert problems() == ["nothing could prove whom a request comes from"]
    assert problems(topics=["releases"]) == ["`releases` is no SNS topic"]
    assert problems(topics=[TOPIC]) == []
    with pytest.raises(PermanentError, match="EVENTS is not set"):
        EventBridge.from_settings({"secret_env": "EVENTS"}, {})
    assert SECRET not in repr(EventBridge.from_settings({"secret_env": "EVENTS"}, {"EVENTS": SECRET}))
