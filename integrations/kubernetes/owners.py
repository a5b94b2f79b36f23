"""Who else looks after an object: a change past Argo CD, Flux, Helm or an operator would be undone by them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from core.errors import PermanentError
from core.releases.problems import shown
from integrations.kubernetes.config import Helm, Place
from integrations.kubernetes.workload import Workload, meta, notes

_INSTEAD = (
    "Use the deployer `webhook` or `command` to have the new digest committed or synced where {who} reads it, or take "
    "the object out of {who}."
)
_ARGO_CD, _FLUX, _HELM = "Argo CD", "Flux", "Helm"
_MARKS = {
    "argocd.argoproj.io/tracking-id": _ARGO_CD,
    "argocd.argoproj.io/instance": _ARGO_CD,
    "kustomize.toolkit.fluxcd.io/name": _FLUX,
    "helm.toolkit.fluxcd.io/name": _FLUX,
    "fluxcd.io/sync-checksum": _FLUX,
    "meta.helm.sh/release-name": _HELM,
}
"""Labels and annotations, and who puts them there; Flux's Helm releases carry both kinds, so Flux comes first."""
_MANAGERS = {
    "argocd-controller": _ARGO_CD,
    "argocd-application-controller": _ARGO_CD,
    "kustomize-controller": _FLUX,
    "helm-controller": _FLUX,
    "flux": _FLUX,
    "helm": _HELM,
}
"""Field managers, for objects whose image they wrote last without leaving a label."""


def refuse_owned(workload: Workload, place: Place, container: str, helm: Helm) -> None:
    """Raise PermanentError where somebody would undo a change, saying what to do instead."""
    for owner in meta(workload).ownerReferences or []:
        if owner.controller:
            raise PermanentError(
                f"The {place} belongs to {shown(owner.kind)} `{shown(owner.name)}`, whose controller would undo the "
                f"change. Let a deployer change that instead: `webhook` or `command`."
            )
    found = set(_owners(workload, container))
    for who in (_ARGO_CD, _FLUX):
        if who in found:
            raise PermanentError(
                f"The {place} is kept by {who}, which would undo the change. " + _INSTEAD.format(who=who)
            )
    if _HELM in found and helm == "refuse":
        raise PermanentError(
            f"The {place} was made by Helm, and the next `helm upgrade` would put the chart's image back. Use the "
            "deployer `command` to run helm, or write `helm: adopt` into the target's `with:` if nobody upgrades it."
        )


def _owners(workload: Workload, container: str) -> Iterator[str]:
    marks = {**(meta(workload).labels or {}), **notes(workload)}
    for mark, who in _MARKS.items():
        if mark in marks:
            yield who
    if marks.get("app.kubernetes.io/managed-by") == "Helm":
        yield _HELM
    for entry in meta(workload).managedFields or []:
        holder = _MANAGERS.get(entry.manager or "", "")
        if holder and not entry.subresource and _holds_image(entry.fieldsV1, container):
            yield holder


def _holds_image(fields: Any, container: str) -> bool:
    """Whether these fields of a manager are, among others, the image of a container."""
    for step in ("f:spec", "f:template", "f:spec", "f:containers", f'k:{{"name":"{container}"}}'):
        fields = fields.get(step) if isinstance(fields, Mapping) else None
    return isinstance(fields, Mapping) and "f:image" in fields
