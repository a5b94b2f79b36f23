"""App Home: what waits for this person, then how each service stands; small, so that it is there at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from commands import mrkdwn
from commands.desk import Floor
from commands.standing import standing
from core.releases.approvals import eligible
from core.releases.roster import figures
from core.releases.state import PipelineState

SERVICES_SHOWN: Final = 20
WAITING_SHOWN: Final = 10


def home(floor: Floor, person: str) -> dict[str, Any]:
    """Draw the Home view of a person, given by key."""
    waiting = list(_waiting(floor, person))
    pipelines = floor.pipelines()
    lines = [_line(floor, pipelines[id_]) for id_ in sorted(pipelines)[:SERVICES_SHOWN]]
    blocks = [_header("Waits for you"), *(_section(line) for line in waiting[:WAITING_SHOWN])]
    if not waiting:
        blocks.append(_section("Nothing."))
    elif len(waiting) > WAITING_SHOWN:
        blocks.append(_small(f"… and {len(waiting) - WAITING_SHOWN} more"))
    blocks += [_header("Services"), *(_section(line) for line in lines)]
    if not lines:
        blocks.append(_section("There is none yet."))
    elif len(pipelines) > SERVICES_SHOWN:
        blocks.append(_small(f"… and {len(pipelines) - SERVICES_SHOWN} more: `/release status` lists all."))
    blocks.append(_small(f"As of {mrkdwn.date(floor.now())}. `/release help` says what you can ask."))
    return {"type": "home", "callback_id": "andon:home", "blocks": blocks}


def _waiting(floor: Floor, person: str) -> Iterable[str]:
    world, now = floor.world, floor.now()
    pipelines = floor.pipelines()
    for id_ in sorted(id_ for id_, going_on in figures(pipelines) if going_on.approvals or going_on.pages):
        state = pipelines[id_]
        for request in state.approvals:
            voted = {vote.by.id for vote in request.votes}
            release = state.release(request.release)
            if release is None or now >= request.expires_at or person in voted:
                continue
            if person in eligible(state, request, world):
                until = mrkdwn.date(request.expires_at)
                subject = mrkdwn.strong(f"{id_} {release.version}")
                ask = mrkdwn.code(f"/release approve {id_} {release.version}")
                yield f"{subject} asks for your approval for {mrkdwn.escape(str(request.scope))}, until {until}: {ask}"
        team = world.teams.get(state.definition.team)
        if state.pages and team is not None and person in world.expand((team.on_call,)):
            yield f"{mrkdwn.strong(id_)} calls its on-call: {mrkdwn.escape(state.pages[-1].reason)}"


def _line(floor: Floor, state: PipelineState) -> str:
    now = floor.now()
    live = [release for release in state.releases if release.is_live]
    if not live:
        return f"{mrkdwn.strong(state.id)}  nothing is on its way"
    newest = max(live, key=lambda release: release.sequence)
    stands = standing(state, newest, now)
    until = f" until {mrkdwn.date(stands.until)}" if stands.until else ""
    more = f" ({len(live) - 1} more on their way)" if len(live) > 1 else ""
    said = mrkdwn.escape(f"{stands.symbol} {newest.version} is {stands.words}")
    return mrkdwn.cut(f"{mrkdwn.strong(state.id)}  {said}{until}{more}", 2_900)


def _header(text: str) -> dict[str, Any]:
    return {"type": "header", "text": {"type": "plain_text", "text": text, "emoji": False}}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _small(text: str) -> dict[str, Any]:
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": text}]}
