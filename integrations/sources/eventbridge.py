"""EventBridge: images pushed to ECR, executions of CodePipeline, deployments of CodeDeploy.

Events come straight from an API destination, which carries a secret in a header, or in envelopes of SNS, which Amazon
signs. Notification rules of CodePipeline write the same events with other names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from core.errors import NotAuthentic, PermanentError
from core.ports import BuildEvent, Ignored, ReleaseReport
from core.releases.fields import Variable
from core.releases.problems import Strict, refusal, shown
from integrations.sources.authentic import require_secret, secret_from
from integrations.sources.reading import digest, mapping, part, text
from integrations.sources.sns import CONFIRMATIONS, Envelopes, topic_is_sound


def _topic(value: str) -> str:
    if not topic_is_sound(value):
        raise refusal(
            f"`{shown(value)}` is no SNS topic", "write its whole ARN: `arn:aws:sns:eu-west-1:123456789012:releases`"
        )
    return value


class EventBridgeSettings(Strict):
    """`with:` of the source `eventbridge`."""

    secret_env: Variable | None = Field(
        default=None,
        description="Name of the variable with the secret that the API destination sends.",
        examples=["EVENTBRIDGE_SECRET"],
    )
    topics: list[Annotated[str, AfterValidator(_topic)]] = Field(
        default_factory=list, max_length=50, description="SNS topics whose envelopes are believed."
    )

    @model_validator(mode="after")
    def _a_way_in(self) -> Self:
        if self.secret_env is None and not self.topics:
            raise refusal("nothing could prove whom a request comes from", "add `secret_env`, or `topics`")
        return self


class EventBridge:
    """The release source `eventbridge`."""

    name = "eventbridge"
    settings: ClassVar[type[Strict]] = EventBridgeSettings
    kept_headers = ("Content-Type", "User-Agent", "x-amz-sns-message-type", "x-amz-sns-message-id")

    def __init__(self, secret: str, envelopes: Envelopes) -> None:
        self._secret, self._envelopes = secret, envelopes

    def __repr__(self) -> str:
        return "EventBridge(…)"

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], environment: Mapping[str, str]) -> Self:
        """A source as the organisation file says; raises PermanentError where its secret is missing."""
        given = EventBridgeSettings.model_validate(settings)
        secret = secret_from(environment, given.secret_env) if given.secret_env else ""
        return cls(secret, Envelopes(given.topics))

    async def verify(self, headers: Mapping[str, str], body: bytes, key: str, now: datetime) -> None:
        """An envelope by its signature, everything else by the secret."""
        envelope = _envelope(body)
        if envelope is not None:
            await self._envelopes.verify(envelope, now)
        elif self._secret:
            require_secret(headers, key, self._secret, "X-Andon-Secret", "X-Api-Key")
        else:
            raise NotAuthentic("This source takes envelopes of SNS only, and this is none.")

    def delivery(self, headers: Mapping[str, str], body: bytes) -> str:  # noqa: ARG002
        """The number of the event, which comes at least once; else of the envelope."""
        sent = _envelope(body) or {}
        event = _inside(sent) if sent else _readable(body)
        return (text(event, "id") or text(sent, "MessageId"))[:100]

    def is_question(self, headers: Mapping[str, str], body: bytes) -> bool:  # noqa: ARG002
        """Whether it asks for a subscription to be confirmed."""
        return (_envelope(body) or {}).get("Type") == "SubscriptionConfirmation"

    async def answer(self, headers: Mapping[str, str], body: bytes) -> str:  # noqa: ARG002
        """Confirm a subscription; what came of it."""
        return await self._envelopes.confirm(_envelope(body) or {})

    def parse(self, headers: Mapping[str, str], body: bytes) -> Sequence[ReleaseReport | Ignored]:  # noqa: ARG002
        """The one build that an event speaks of."""
        envelope = _envelope(body)
        if envelope is not None and envelope.get("Type") in CONFIRMATIONS:
            return (Ignored("SNS asks about a subscription."),)
        event = mapping(body, "EventBridge") if envelope is None else _inside(envelope)
        kind = text(event, "detail-type") or text(event, "detailType")
        if not kind or not part(event, "detail"):
            raise PermanentError(
                "This is no event of EventBridge: it has no `detail-type` and `detail`."
                " Send events as they are, without an input transformer."
            )
        reader = _READERS.get(kind)
        return (reader(event) if reader else Ignored(f"EventBridge's `{kind[:60]}` tells of no release."),)


def _readable(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _envelope(body: bytes) -> Mapping[str, Any] | None:
    """The envelope of SNS, if it is one."""
    found = _readable(body)
    return found if "TopicArn" in found and "Type" in found else None


def _inside(envelope: Mapping[str, Any]) -> Mapping[str, Any]:
    """The event in an envelope; empty where what is in it is none."""
    message = envelope.get("Message")
    return _readable(message.encode(errors="replace")) if isinstance(message, str) else {}


def _image(event: Mapping[str, Any]) -> ReleaseReport | Ignored:
    detail = part(event, "detail")
    name, tag = text(detail, "repository-name"), text(detail, "image-tag")
    action, result = text(detail, "action-type"), text(detail, "result")
    if action != "PUSH" or result != "SUCCESS":
        return Ignored(f"An image of {name} was {action.lower() or 'touched'} ({result.lower() or 'no result'}).")
    region, account = text(event, "region"), text(event, "account")
    ending = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return ReleaseReport(
        event=BuildEvent.IMAGE,
        repository=name,
        tag=tag,
        digest=digest(detail.get("image-digest")),
        image=f"{account}.dkr.ecr.{region}.{ending}/{name}" if region and account else "",
    )


def _execution(event: Mapping[str, Any]) -> ReleaseReport | Ignored:
    detail = part(event, "detail")
    name, state, number = text(detail, "pipeline"), text(detail, "state"), text(detail, "execution-id")
    if state != "SUCCEEDED":
        return Ignored(f"The execution {number} of {name} is {state.lower() or 'in no state'}.")
    return ReleaseReport(
        event=BuildEvent.RUN,
        repository=name,
        number=number,
        run=number,
        attempt=text(detail, "pipeline-execution-attempt"),
    )


def _deployment(event: Mapping[str, Any]) -> ReleaseReport | Ignored:
    detail = part(event, "detail")
    name, state, number = text(detail, "application"), text(detail, "state"), text(detail, "deploymentId")
    if state != "SUCCESS":
        return Ignored(f"The deployment {number} of {name} is in the state {state or 'that was not said'}.")
    group = text(detail, "deploymentGroup")
    return ReleaseReport(
        event=BuildEvent.DEPLOYMENT, repository=name, workflow=(group,) if group else (), number=number, run=number
    )


_READERS: Mapping[str, Callable[[Mapping[str, Any]], ReleaseReport | Ignored]] = {
    "ECR Image Action": _image,
    "CodePipeline Pipeline Execution State Change": _execution,
    "CodeDeploy Deployment State-change Notification": _deployment,
}
