"""The Web API's users.*, usergroups.*, team, bots, auth, apps and oauth."""

from __future__ import annotations

from simulator.api import Call, method, page
from simulator.errors import ApiError
from simulator.records import Json
from simulator.shapes import bot_shape, group_shape, user_shape


@method("api.test", tier=4, optional="error", caller="nobody")
async def api_test(call: Call) -> Json:
    """Echo, or fail as asked."""
    error = call.arguments.get("error")
    if error:
        raise ApiError(str(error), args={"error": error})
    return {"args": {}}


@method("auth.test", tier=0)
async def auth_test(call: Call) -> Json:
    """Say whose token this is."""
    workspace = call.workspace
    return {
        "url": workspace.url,
        "team": workspace.name,
        "user": workspace.app.name,
        "team_id": workspace.team_id,
        "user_id": workspace.app.bot_user,
        "bot_id": workspace.app.bot_id,
        "is_enterprise_install": False,
    }


@method("apps.connections.open", tier=1, caller="app")
async def connections_open(call: Call) -> Json:
    """Return a one-use WebSocket address for Socket Mode."""
    if not call.workspace.app.socket_mode:
        raise ApiError("socket_mode_not_enabled")
    base = call.workspace.url.replace("http", "ws", 1)
    return {"url": f"{base}link/?ticket={call.socket.ticket()}&app_id={call.workspace.app.id}"}


@method("bots.info", scope="users:read", optional="bot")
async def bots_info(call: Call) -> Json:
    """Describe the app's bot."""
    if call.arguments.get("bot") not in {None, call.workspace.app.bot_id}:
        raise ApiError("bot_not_found")
    return {"bot": bot_shape(call.workspace)}


@method("team.info", scope="team:read", optional="team domain include_slackbot_availability")
async def team_info(call: Call) -> Json:
    """Describe the workspace."""
    workspace = call.workspace
    if call.arguments.get("team") not in {None, workspace.team_id}:
        raise ApiError("team_not_found")
    team = {"id": workspace.team_id, "name": workspace.name, "domain": workspace.domain}
    return {"team": {**team, "email_domain": "", "icon": {"image_default": True}, "url": workspace.url}}


@method("users.list", scope="users:read", tier=2, optional="cursor include_locale limit")
async def users_list(call: Call) -> Json:
    """List all members."""
    shown, metadata = page(call, list(call.workspace.users.values()))
    with_email = "users:read.email" in call.scopes
    members = [user_shape(user, with_email=with_email) for user in shown]
    return {"members": members, "cache_ts": int(call.workspace.clock()), "response_metadata": metadata}


@method("users.info", scope="users:read", tier=4, required="user", optional="include_locale")
async def users_info(call: Call) -> Json:
    """Describe one member."""
    user = call.workspace.users.get(call.text("user"))
    if user is None:
        raise ApiError("user_not_found")
    shape = user_shape(user, with_email="users:read.email" in call.scopes)
    return {"user": {**shape, "locale": "en-US"} if call.flag("include_locale") else shape}


@method("users.lookupByEmail", scope="users:read.email", required="email")
async def users_lookup(call: Call) -> Json:
    """Find a member by address."""
    email = call.text("email").lower()
    for user in call.workspace.users.values():
        if user.email is not None and user.email.lower() == email and not user.deleted:
            return {"user": user_shape(user)}
    raise ApiError("users_not_found")


@method("usergroups.list", scope="usergroups:read", tier=2, optional="include_count include_disabled include_users")
async def usergroups_list(call: Call) -> Json:
    """List all user groups."""
    with_users = call.flag("include_users")
    groups = [group_shape(call.workspace, group, users=with_users) for group in call.workspace.groups.values()]
    return {"usergroups": groups}


@method("usergroups.users.list", scope="usergroups:read", tier=2, required="usergroup", optional="include_disabled")
async def usergroups_users_list(call: Call) -> Json:
    """List the members of a user group."""
    group = call.workspace.groups.get(call.text("usergroup"))
    if group is None:
        raise ApiError("no_such_subteam")
    return {"users": list(group.members)}


@method(
    "oauth.v2.access",
    tier=4,
    optional="client_id client_secret code redirect_uri grant_type refresh_token",
    caller="nobody",
)
async def oauth_access(call: Call) -> Json:
    """Exchange the code which the authorize page gave, or a refresh token; each once."""
    workspace, app = call.workspace, call.workspace.app
    if call.arguments.get("client_id") != app.client_id:
        raise ApiError("invalid_client_id")
    if call.arguments.get("client_secret") != app.client_secret:
        raise ApiError("bad_client_secret")
    user = ""
    match call.text("grant_type", "authorization_code"):
        case "authorization_code":
            tokens, user = call.installing.exchange(call.text("code", ""), call.text("redirect_uri", ""))
        case "refresh_token":
            tokens = call.installing.refresh(call.text("refresh_token", ""))
        case _:
            raise ApiError("invalid_grant_type")
    return {
        "app_id": app.id,
        "scope": ",".join(sorted(app.scopes)),
        "token_type": "bot",
        **tokens,
        "bot_user_id": app.bot_user,
        "team": {"id": workspace.team_id, "name": workspace.name},
        "enterprise": None,
        "is_enterprise_install": False,
        **({"authed_user": {"id": user}} if user else {}),
    }


@method("auth.revoke", tier=3, optional="test")
async def auth_revoke(call: Call) -> Json:
    """End the bot's tokens; with `test` only say so."""
    if call.flag("test"):
        return {"revoked": False}
    call.installing.end("token_revoked")
    return {"revoked": True}
