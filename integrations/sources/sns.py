"""Envelopes of Amazon SNS: whether Amazon signed them, and for a topic that was agreed on.

The certificate is fetched only from the very address that SNS has in the topic's own region; nothing else in a request
is ever fetched. A subscription is confirmed by the API, with the topic and token that were signed.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import aiohttp
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm

from core.errors import NotAuthentic, PermanentError, TransientError
from integrations.intake import instant

OLDEST = timedelta(hours=1)
"""SNS gives up after an hour."""
AHEAD = timedelta(minutes=5)
PATIENCE = aiohttp.ClientTimeout(total=5)
LARGEST_CERTIFICATE = 64 * 1024
MOST_KEPT = 16
CONFIRMATIONS = ("SubscriptionConfirmation", "UnsubscribeConfirmation")
_TOPIC = re.compile(
    r"arn:(aws|aws-cn|aws-us-gov):sns:([a-z]{2}(?:-[a-z]+)+-\d):(\d{12}):([A-Za-z0-9_-]{1,256}(?:\.fifo)?)"
)
_CERTIFICATE = re.compile(
    r"https://sns\.([a-z]{2}(?:-[a-z]+)+-\d)\.amazonaws\.com(\.cn)?/SimpleNotificationService-[0-9a-f]{32}\.pem"
)
_HASHES: Mapping[str, Callable[[], HashAlgorithm]] = {"1": SHA1, "2": SHA256}

Fetch = Callable[[str], Awaitable[bytes]]


def topic_is_sound(arn: str) -> bool:
    """Whether this is the ARN of a topic."""
    return _TOPIC.fullmatch(arn) is not None


class Envelopes:
    """Opens envelopes of these topics. `fetch` gets a certificate, `confirm` asks the API; tests bring their own."""

    def __init__(self, topics: Sequence[str], *, fetch: Fetch | None = None, confirm: Fetch | None = None) -> None:
        self._topics = frozenset(topics)
        self._fetch = fetch or _asked
        self._confirm = confirm or _asked
        self._kept: OrderedDict[str, x509.Certificate] = OrderedDict()

    async def verify(self, envelope: Mapping[str, Any], now: datetime) -> None:
        """Raise NotAuthentic unless Amazon signed it for one of the topics within the last hour.

        TransientError where the certificate cannot be fetched now.
        """
        topic = str(envelope.get("TopicArn"))
        if topic not in self._topics:
            raise NotAuthentic("This message is of an SNS topic that is not under `topics` of this source.")
        found = _CERTIFICATE.fullmatch(str(envelope.get("SigningCertURL") or envelope.get("SigningCertUrl")))
        region = _TOPIC.fullmatch(topic)
        if found is None or region is None or found[1] != region[2] or bool(found[2]) != (region[1] == "aws-cn"):
            raise NotAuthentic("This message does not name a certificate of SNS in the region of its topic.")
        stamp = instant(envelope.get("Timestamp"))
        if stamp is None or not -AHEAD <= now - stamp <= OLDEST:
            raise NotAuthentic("This message of SNS is more than an hour old, or the clocks do not agree.")
        made = _HASHES.get(str(envelope.get("SignatureVersion")))
        if made is None:
            raise NotAuthentic("This message is signed in a way that Andon does not know (`SignatureVersion`).")
        certificate = await self._certificate(found[0])
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise NotAuthentic("The certificate that signed this message is out of date.")
        _check(certificate, envelope, made())

    async def confirm(self, envelope: Mapping[str, Any]) -> str:
        """Confirm a subscription to a topic that is agreed on; what came of it, as a sentence."""
        topic, token = str(envelope.get("TopicArn")), str(envelope.get("Token"))
        found = _TOPIC.fullmatch(topic)
        if found is None or topic not in self._topics or not re.fullmatch(r"[A-Za-z0-9]{1,1024}", token):
            raise PermanentError("This confirmation names no topic of this source, or no token.")
        host = f"sns.{found[2]}.amazonaws.com{'.cn' if found[1] == 'aws-cn' else ''}"
        asked = {"Action": "ConfirmSubscription", "Version": "2010-03-31", "TopicArn": topic, "Token": token}
        await self._confirm(f"https://{host}/?{urlencode(asked)}")
        return f"The subscription to {topic} is confirmed"

    async def _certificate(self, address: str) -> x509.Certificate:
        if address not in self._kept:
            raw = await self._fetch(address)
            try:
                self._kept[address] = x509.load_pem_x509_certificate(raw)
            except ValueError:
                raise TransientError("What SNS has where its certificate should be is none.") from None
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return self._kept[address]


def _check(certificate: x509.Certificate, envelope: Mapping[str, Any], hashed: HashAlgorithm) -> None:
    key = certificate.public_key()
    is_signed = False
    if isinstance(key, RSAPublicKey):
        with contextlib.suppress(InvalidSignature, binascii.Error, ValueError):
            signature = base64.b64decode(str(envelope.get("Signature")), validate=True)
            key.verify(signature, signed_text(envelope), PKCS1v15(), hashed)
            is_signed = True
    if not is_signed:
        raise NotAuthentic("The signature of this message is not that of SNS.")


def signed_text(envelope: Mapping[str, Any]) -> bytes:
    """What SNS signs of an envelope: names and values, line by line, in its order."""
    if envelope.get("Type") in CONFIRMATIONS:
        names = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    else:
        subject = ["Subject"] if envelope.get("Subject") is not None else []
        names = ["Message", "MessageId", *subject, "Timestamp", "TopicArn", "Type"]
    return "".join(f"{name}\n{envelope.get(name)}\n" for name in names).encode(errors="replace")


async def _asked(address: str) -> bytes:
    """What Amazon answers; no redirects, and not for long."""
    try:
        async with (
            aiohttp.ClientSession(timeout=PATIENCE, trust_env=True) as session,
            session.get(address, allow_redirects=False) as answer,
        ):
            if 400 <= answer.status < 500 and answer.status not in (408, 429):
                raise PermanentError(f"SNS refused what was asked of it ({answer.status}).")
            if answer.status != 200:
                raise TransientError(f"SNS answered {answer.status}.")
            return await answer.content.read(LARGEST_CERTIFICATE)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise TransientError(f"SNS cannot be reached ({type(error).__name__}).") from None
