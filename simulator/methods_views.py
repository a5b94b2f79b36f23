"""The Web API's views.*."""

from __future__ import annotations

from simulator.api import Call, method
from simulator.errors import ApiError
from simulator.modals import find_for_update, open_modal, publish_home, push_modal, update_view
from simulator.records import Json, View
from simulator.shapes import view_shape


def _answer(call: Call, view: View) -> Json:
    return {"view": view_shape(call.workspace, view)}


@method("views.open", tier=4, required="trigger_id view", optional="interactivity_pointer")
async def views_open(call: Call) -> Json:
    """Open a modal for whoever the trigger id came from."""
    definition = call.structure("view")
    trigger = call.tickets.spend_trigger(call.text("trigger_id"))
    if trigger.view_id is not None and call.workspace.modals.get(trigger.user):
        raise ApiError("invalid_arguments", "[ERROR] the trigger came from an open modal: use views.push")
    return _answer(call, open_modal(call.workspace, trigger.user, definition))


@method("views.push", tier=4, required="trigger_id view", optional="interactivity_pointer")
async def views_push(call: Call) -> Json:
    """Push a view onto the modal the trigger id came from."""
    definition = call.structure("view")
    trigger = call.tickets.spend_trigger(call.text("trigger_id"))
    if trigger.view_id is None:
        raise ApiError("not_found")
    return _answer(call, push_modal(call.workspace, trigger.user, definition))


@method("views.update", tier=4, required="view", optional="view_id external_id hash")
async def views_update(call: Call) -> Json:
    """Replace the content of an open view."""
    if bool(call.arguments.get("view_id")) == bool(call.arguments.get("external_id")):
        raise ApiError("invalid_arguments", "[ERROR] provide either view_id or external_id")
    view = find_for_update(call.workspace, call.arguments.get("view_id"), call.arguments.get("external_id"))
    return _answer(call, update_view(call.workspace, view, call.structure("view"), call.arguments.get("hash")))


@method("views.publish", tier=4, required="user_id view", optional="hash")
async def views_publish(call: Call) -> Json:
    """Publish a person's Home view."""
    user = call.text("user_id")
    if user not in call.workspace.users or call.workspace.users[user].is_bot:
        raise ApiError("user_not_found")
    view = publish_home(call.workspace, user, call.structure("view"), call.arguments.get("hash"))
    return _answer(call, view)
