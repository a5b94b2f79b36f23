"""Kubernetes' own schemas, as published: every object that the stand-in keeps is held against them, strictly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

import jsonschema
from referencing import Registry, Resource

VERSION = "v1.37.0-local-strict"


class InvalidObject(Exception):
    """The object is not what its kind allows."""


def validate(thing: Mapping[str, Any]) -> None:
    """Raise InvalidObject, saying where it is wrong."""
    group, _, version = thing["apiVersion"].rpartition("/")
    name = f"{thing['kind'].lower()}-{group.split('.')[0] + '-' if group else ''}{version}.json"
    wrong = next(_validator(name).iter_errors(thing), None)
    if wrong is not None:
        place = ".".join(str(step) for step in wrong.absolute_path)
        raise InvalidObject(f"{place}: {wrong.message[:300]}")


@lru_cache
def _validator(name: str) -> Any:
    schema = _read(name)
    definitions = Resource.from_contents(_read("_definitions.json"))
    registry: Any = Registry()
    registry = definitions @ (Resource.from_contents(schema) @ registry)
    return jsonschema.Draft202012Validator(schema, registry=registry)


@lru_cache
def _read(name: str) -> Any:
    root = files("kubernetes_validate") / "kubernetes-json-schema" / VERSION
    return json.loads((root / name).read_text())
