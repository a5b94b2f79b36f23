"""The release sources of the organisation file, made ready: their secrets read, their registries and code reached."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import aiohttp
from pydantic import ValidationError

from bot.definitions import Definitions
from bot.deployers import Deployers
from bot.engine import Engine
from bot.sources_in import SourcesIn
from core.errors import AndonError, PermanentError
from core.ports import ReleaseSource
from core.releases.organisation import Organisation
from core.releases.source_parts import Origin
from integrations.git_history import GitHistory
from integrations.image_registry import ImageRegistries
from integrations.registry import Kind, Registry


def build_sources(
    definitions: Definitions,
    engine: Engine,
    deployers: Deployers,
    session: aiohttp.ClientSession,
    environment: Mapping[str, str],
    *,
    cache: Path,
    lease: timedelta,
) -> SourcesIn:
    """The way in for release sources; raises AndonError naming what is missing. `cache` is for code repositories."""
    organisation = definitions.organisation or Organisation()
    sources = {
        name: _source(name, part.use or name, part.with_, environment) for name, part in organisation.sources.items()
    }
    return SourcesIn(
        engine,
        deployers,
        sources,
        histories=Histories(cache, environment).of,
        registries=ImageRegistries(session, organisation.registries, environment),
        lease=lease,
    )


class Histories:
    """The code repositories of pipelines, each opened once."""

    def __init__(self, cache: Path, environment: Mapping[str, str]) -> None:
        self._cache, self._environment = cache, environment
        self._open: dict[str, GitHistory] = {}

    def of(self, origin: Origin) -> GitHistory | None:
        """The repository that an origin names; None where it names none."""
        part = origin.repository
        if part is None:
            return None
        name = part.model_dump_json()
        if name not in self._open:
            self._open[name] = GitHistory(part, self._cache, self._environment)
        return self._open[name]


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
