"""The release sources of the organisation file, made ready: their secrets read, their registries and code reached."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import aiohttp
from pydantic import ValidationError

from bot.definitions import Definitions
from bot.deployers import Deployers
from bot.engine import Engine
from bot.sources_in import SourcesIn
from core.errors import AndonError, PermanentError
from core.ports import ReleaseSource
from core.releases.organisation import Organisation
from integrations.image_registry import ImageRegistries
from integrations.registry import Kind, Registry


def build_sources(
    definitions: Definitions,
    engine: Engine,
    deployers: Deployers,
    session: aiohttp.ClientSession,
    environment: Mapping[str, str],
    *,
    lease: timedelta,
) -> SourcesIn:
    """The way in for release sources; raises AndonError naming what is missing."""
    organisation = definitions.organisation or Organisation()
    sources = {
        name: _source(name, part.use or name, part.with_, environment) for name, part in organisation.sources.items()
    }
    return SourcesIn(
        engine,
        deployers,
        sources,
        registries=ImageRegistries(session, organisation.registries, environment),
        lease=lease,
    )


def _source(name: str, use: str, settings: Mapping[str, object], environment: Mapping[str, str]) -> ReleaseSource:
    kind = Registry().load(Kind.RELEASE_SOURCE, use)
    try:
        made: ReleaseSource = kind.from_settings(settings, environment)
    except PermanentError as error:
        raise AndonError(f"The release source {name} cannot be used. {error.message}") from error
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(step) for step in found["loc"])
        raise AndonError(f"The release source {name} cannot be used: {place}: {found['msg']}.") from None
    return made
