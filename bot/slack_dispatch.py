"""Bolt's app with one middleware of our own, which finds by dict who answers a payload.

Bolt searches its listeners one by one and gathers two dozen arguments for each it calls, which costs twice what a
command of ours does; so payloads are answered by a middleware (`before_authorize`), and a hundred commands cost what
one does. What is in no dict goes to the dict's `otherwise`: nothing Slack delivers is left without an answer.

Bolt keeps the request, the response and the errors. Its own middleware is left out where the faces have done
the work already (signature, challenge) or where it would cost a call (`auth.test` per token).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.middleware.async_middleware import AsyncMiddleware
from slack_bolt.response import BoltResponse
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack_payloads import Payload, delivery, reference
from bot.slack_start import Identity

log = logging.getLogger("andon.slack")
library_log = logging.getLogger("andon.slack.bolt")
# Below INFO the library writes what people sent into the log; and it takes a logger without a level for such a one.
library_log.setLevel(logging.INFO)

RECENT_EVENTS: Final = 4_096

Ack = dict[str, Any]
Handle = Callable[[Payload], Awaitable[Ack]]
Complain = Callable[[Payload, str], Awaitable[Ack]]


@dataclass(frozen=True, slots=True)
class Workspace:
    """The one workspace: a client that repeats nothing, and who Andon is there."""

    client: AsyncWebClient
    identity: Identity
    home: frozenset[str] = field(init=False)
    """The ids by which members of this workspace are known: its own, and its organisation's in a grid."""

    def __post_init__(self) -> None:
        # Asked several times for each payload, so it is made once.
        home = frozenset(filter(None, (self.identity.team_id, self.identity.enterprise_id)))
        object.__setattr__(self, "home", home)


async def nothing(body: Payload) -> Ack:
    """Acknowledge, and no more."""
    del body
    return {}


@dataclass(slots=True)
class Handlers:
    """What is done, by name; `otherwise` meets every other name."""

    otherwise: Handle
    by_name: dict[str, Handle] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Handle:
        return self.by_name.get(name, self.otherwise)


@dataclass(frozen=True, slots=True, kw_only=True)
class Switchboard:
    """Who answers what.

    `commands` by their name with the slash; `actions` by the verb in `andon:VERB:…`, those of no such form go to
    `foreign`; `submissions`, `shortcuts` by callback_id; `options` by action_id; `events` by type. All in `heard` hear
    of every event. `complain` says a sentence in the form that a kind of payload takes.
    """

    commands: Handlers
    actions: Handlers
    foreign: Handle
    submissions: Handlers
    shortcuts: Handlers
    options: Handlers
    complain: Complain
    events: Handlers = field(default_factory=lambda: Handlers(nothing))
    heard: list[Callable[[dict[str, Any]], None]] = field(default_factory=list)


class Dispatcher:
    """Takes decoded payloads whose origin was checked."""

    def __init__(self, slack: Workspace, switchboard: Switchboard) -> None:
        self._slack = slack
        self._switchboard = switchboard
        self._recent: OrderedDict[str, None] = OrderedDict()
        self._kinds: dict[str, Handle] = {
            "block_actions": self._on_action,
            "interactive_message": self._on_action,
            "view_submission": self._on_submission,
            "view_closed": nothing,
            "block_suggestion": self._on_options,
            "shortcut": self._on_shortcut,
            "message_action": self._on_shortcut,
            "event_callback": self._on_event,
        }
        self.app = self._bolt()

    async def dispatch(self, body: dict[str, Any], headers: Mapping[str, str]) -> BoltResponse:
        """Answer one payload whose origin was checked; what Bolt finds no listener for is acknowledged all the same."""
        # The mode only says that the body is decoded and its signature no longer Bolt's business.
        request = AsyncBoltRequest(mode="socket_mode", body=body, headers=_retry_headers(headers))
        try:
            answer = await self.app.async_dispatch(request)
        except (KeyError, IndexError, TypeError, AttributeError):
            # Bolt reads some fields before any listener or error handler of ours has its turn.
            log.exception("Slack sent a %s that lacks what it should hold.", str(body.get("type", "payload"))[:40])
            return BoltResponse(status=200, body="")
        if answer.status == 404:
            log.warning("Slack sent a payload of a kind Andon does not know: %s.", str(body.get("type", ""))[:40])
            return BoltResponse(status=200, body="")
        return answer

    def _bolt(self) -> AsyncApp:
        client = self._slack.client
        # Bolt wants one to begin with; Andon's own calls do not go through it.
        pattern = AsyncWebClient(
            base_url=client.base_url, session=client.session, retry_handlers=[], logger=library_log
        )
        pattern.proxy = client.proxy
        with without_slack_environment():
            app = _App(
                name="andon",
                logger=library_log,
                client=pattern,
                authorize=_never,
                before_authorize=_Switch(self),
                signing_secret="",
                process_before_response=True,
                request_verification_enabled=False,
                ssl_check_enabled=False,
                url_verification_enabled=False,
                ignoring_self_events_enabled=False,
                attaching_function_token_enabled=False,
                attaching_conversation_kwargs_enabled=False,
            )
        app.error(self._on_mistake)
        return app

    async def answer(self, body: Payload) -> BoltResponse:
        """Answer a payload; 404 if it is of a kind that nobody knows."""
        if "command" in body:
            fields = await self._switchboard.commands[body["command"]](body)
        else:
            on_kind = self._kinds.get(str(body.get("type", "")))
            if on_kind is None:
                return BoltResponse(status=404, body="")
            fields = await on_kind(body)
        return BoltResponse(status=200, body=fields or "")

    async def _on_action(self, body: Payload) -> Ack:
        action = body["actions"][0] if body.get("actions") else {}
        handle: Handle
        prefix, _, rest = str(action.get("action_id", "")).partition(":")
        if action.get("url") or (action.get("selected_option") or {}).get("url"):
            handle = nothing  # the browser followed it; Slack wants to hear that we know
        elif prefix == "andon":
            handle = self._switchboard.actions[rest.partition(":")[0]]
        else:
            handle = self._switchboard.foreign
        return await handle(body)

    async def _on_submission(self, body: Payload) -> Ack:
        return await self._switchboard.submissions[body["view"].get("callback_id", "")](body)

    async def _on_options(self, body: Payload) -> Ack:
        return await self._switchboard.options[str(body.get("action_id", ""))](body)

    async def _on_shortcut(self, body: Payload) -> Ack:
        return await self._switchboard.shortcuts[body["callback_id"]](body)

    async def _on_event(self, body: Payload) -> Ack:
        event, key = body["event"], delivery(body)
        if key not in self._recent:
            self._recent[key] = None
            if len(self._recent) > RECENT_EVENTS:
                self._recent.popitem(last=False)
            for hear in self._switchboard.heard:
                hear(event)
            is_own = event.get("bot_id") or event.get("user") == self._slack.identity.bot_user_id
            if not is_own:
                await self._switchboard.events[event["type"]](body)
        return {}

    async def _on_mistake(self, error: Exception, body: dict[str, Any]) -> BoltResponse:
        """Bolt's error handler: one of the three places that take any exception, log it, and go on."""
        key = delivery(body)
        log.error("A payload from Slack met a mistake in Andon (reference %s).", reference(key), exc_info=error)
        text = (
            f"Andon made a mistake here (reference {reference(key)}). What was recorded before it stands:"
            " `/release status` shows it."
        )
        answer = await self._switchboard.complain(body, text)
        return BoltResponse(status=200, body=json.dumps(answer) if answer else "")


class _App(AsyncApp):
    """Bolt's app without what it makes for each request and nobody here reads, above all a client of its own.

    That takes a tenth of the time in which a command is answered. Where the library calls it no more, nothing breaks.
    """

    def _init_context(self, req: AsyncBoltRequest) -> None:
        """Leave the context as it came."""


class _Switch(AsyncMiddleware):
    """Bolt's way in for what answers before any listener is searched."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    async def async_process(
        self,
        *,
        req: AsyncBoltRequest,
        resp: BoltResponse,
        next: Callable[[], Awaitable[BoltResponse]],  # noqa: A002 - so it is called by Bolt
    ) -> BoltResponse:
        """Answer; 404 for a kind that nobody knows."""
        del resp, next
        return await self._dispatcher.answer(req.body)


async def _never() -> AuthorizeResult:
    """Bolt wants to know how it would look up a token; every payload is answered before it asks."""
    raise NotImplementedError


def _retry_headers(headers: Mapping[str, str]) -> dict[str, str | Sequence[str]]:
    number = headers.get("x-slack-retry-num")
    return {"x-slack-retry-num": number} if number else {}


@contextlib.contextmanager
def without_slack_environment() -> Iterator[None]:
    """Keep Bolt from its environment magic: SLACK_CLIENT_ID and …SECRET would switch on OAuth with stores in files."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("SLACK_")}
    try:
        yield
    finally:
        os.environ.update(hidden)
