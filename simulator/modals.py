"""Opening, stacking, updating and publishing views, by Web API call or by a `response_action`."""

from __future__ import annotations

from typing import Any

from simulator import limits
from simulator.block_kit import judge_view
from simulator.errors import ApiError
from simulator.form_state import initial_values, with_ids
from simulator.posting import refuse_blocks
from simulator.records import Json, View
from simulator.workspace import Workspace


def judged_definition(workspace: Workspace, view: Any, kind: str) -> Json:
    """Return a view definition with ids filled in; raises ApiError when Slack would refuse it."""
    if not isinstance(view, dict):
        raise ApiError("invalid_arguments", "[ERROR] must be an object: view")
    faults = judge_view(view)
    if faults:
        if any("/blocks" in fault for fault in faults):
            refuse_blocks(faults)
        raise ApiError("invalid_arguments", *faults)
    if view["type"] != kind:
        raise ApiError("invalid_arguments", f"[ERROR] must be a {kind} view [json-pointer:/view/type]")
    return {**view, "blocks": with_ids(view["blocks"], workspace.new_hash().split(".")[1])}


def _new_view(workspace: Workspace, user: str, definition: Json) -> View:
    external = str(definition.get("external_id") or "")
    if external and _by_external_id(workspace, external) is not None:
        raise ApiError("duplicate_external_id")
    values = initial_values(definition["blocks"])
    identity = workspace.next_id("V")
    return View(identity, user, definition, workspace.new_hash(), values, root_id=identity, external_id=external)


def _by_external_id(workspace: Workspace, external_id: str) -> View | None:
    everything = [view for stack in workspace.modals.values() for view in stack] + list(workspace.homes.values())
    return next((view for view in everything if view.external_id == external_id), None)


def open_modal(workspace: Workspace, user: str, definition: Json) -> View:
    """Open a modal before `user`; refused while another is open, as a second `views.open` is."""
    if workspace.modals.get(user):
        raise ApiError("invalid_arguments", "[ERROR] a modal is open already: use views.push or views.update")
    view = _new_view(workspace, user, judged_definition(workspace, definition, "modal"))
    workspace.modals[user] = [view]
    workspace.stack_changed(user, "opened")
    return view


def push_modal(workspace: Workspace, user: str, definition: Json) -> View:
    """Put a view on top of the open ones, three at most."""
    stack = workspace.modals.get(user) or []
    if not stack:
        raise ApiError("not_found")
    if len(stack) >= limits.VIEW_STACK:
        raise ApiError("push_limit_reached")
    view = _new_view(workspace, user, judged_definition(workspace, definition, "modal"))
    view.root_id, view.previous_id = stack[0].id, stack[-1].id
    stack.append(view)
    workspace.stack_changed(user, "pushed")
    return view


def update_view(workspace: Workspace, view: View, definition: Json, expected_hash: str | None = None) -> View:
    """Replace a view's content; typed values survive under the same ids. A stale hash is refused."""
    if expected_hash is not None and expected_hash != view.hash:
        raise ApiError("hash_conflict")
    judged = judged_definition(workspace, definition, view.kind)
    external = str(judged.get("external_id") or view.external_id)
    twin = _by_external_id(workspace, external) if external else None
    if twin is not None and twin is not view:
        raise ApiError("duplicate_external_id")
    view.definition, view.external_id = judged, external
    view.values, view.errors = initial_values(judged["blocks"], view.values), {}
    view.hash = workspace.new_hash()
    if view.kind == "modal":
        workspace.stack_changed(view.user, "updated")
    return view


def find_for_update(workspace: Workspace, view_id: str | None, external_id: str | None) -> View:
    """Return the open view to update; `not_found` when it was closed meanwhile."""
    view = workspace.find_view(view_id) if view_id else _by_external_id(workspace, external_id or "")
    if view is None:
        raise ApiError("not_found")
    return view


def publish_home(workspace: Workspace, user: str, definition: Json, expected_hash: str | None = None) -> View:
    """Create or replace a person's Home view."""
    view = workspace.homes.get(user)
    if view is not None:
        update_view(workspace, view, definition, expected_hash)
    else:
        view = _new_view(workspace, user, judged_definition(workspace, definition, "home"))
        workspace.homes[user] = view
    workspace.home_changed(user)
    return view
