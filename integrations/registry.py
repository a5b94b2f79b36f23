"""Which adapter a name means: built in, in one table, or brought by an installed package.

An adapter is imported only when it is named, so that what nobody uses costs nothing and may lack its packages. Third
parties declare entry points in the groups `andon.deployers`, `andon.alarm_sources`, `andon.stage_tests` and
`andon.release_sources`. A name has one meaning: claimed twice, it is an error, also against a built-in one.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any

from core.errors import DefinitionError
from core.releases.problems import nearest, shown


class Kind(StrEnum):
    """What an adapter is for; the value is its group of entry points."""

    DEPLOYER = "andon.deployers"
    ALARM_SOURCE = "andon.alarm_sources"
    STAGE_TEST = "andon.stage_tests"
    RELEASE_SOURCE = "andon.release_sources"

    @property
    def noun(self) -> str:
        """What to call one in a sentence."""
        return _NOUNS[self]


_NOUNS = {
    Kind.DEPLOYER: "deployer",
    Kind.ALARM_SOURCE: "alarm source",
    Kind.STAGE_TEST: "stage test",
    Kind.RELEASE_SOURCE: "release source",
}

BUILT_IN: Mapping[Kind, Mapping[str, str]] = {
    Kind.DEPLOYER: {
        "command": "integrations.command.deployer:CommandDeployer",
        "github-actions": "integrations.github.deployer:GitHubActionsDeployer",
        "hosts": "integrations.hosts.deployer:HostsDeployer",
        "kubernetes": "integrations.kubernetes.deployer:KubernetesDeployer",
        "processes": "integrations.processes.deployer:ProcessesDeployer",
        "scripted": "integrations.scripted:ScriptedDeployer",
        "webhook": "integrations.webhook_deployer.deployer:WebhookDeployer",
    },
    Kind.ALARM_SOURCE: {
        "alertmanager": "integrations.alertmanager:Alertmanager",
        "canary": "integrations.canary:Canary",
        "webhook": "integrations.webhook:Webhook",
    },
    Kind.STAGE_TEST: {
        "command": "integrations.checks:CommandTest",
        "github-workflow": "integrations.github.workflow_test:GitHubWorkflowTest",
        "http": "integrations.checks:HttpTest",
        "load": "integrations.load:LoadTest",
    },
    Kind.RELEASE_SOURCE: {
        "docker": "integrations.sources.docker:Docker",
        "eventbridge": "integrations.sources.eventbridge:EventBridge",
        "github": "integrations.sources.github:GitHub",
        "gitlab": "integrations.sources.gitlab:GitLab",
    },
}

EXTRAS: Mapping[str, str] = {
    "integrations.github": "github",
    "integrations.hosts": "hosts",
    "integrations.kubernetes": "kubernetes",
}
"""What must be installed beside Andon for the adapters of a package: `pip install 'andon[github]'`."""


def installed(group: str) -> Iterable[importlib.metadata.EntryPoint]:
    """The entry points that installed packages declare in a group."""
    return importlib.metadata.entry_points(group=group)


class Registry:
    """The adapters there are; `installed` and `built_in` are arguments so that they can be others."""

    def __init__(
        self,
        *,
        built_in: Mapping[Kind, Mapping[str, str]] = BUILT_IN,
        installed: Callable[[str], Iterable[importlib.metadata.EntryPoint]] = installed,
    ) -> None:
        self._built_in, self._installed = built_in, installed
        self._places: dict[Kind, Mapping[str, str]] = {}

    def names(self, kind: Kind) -> tuple[str, ...]:
        """The names of one kind, sorted; raises DefinitionError where one is claimed twice."""
        return tuple(sorted(self._known(kind)))

    def load(self, kind: Kind, name: str) -> Any:
        """The class a name means, imported now; raises DefinitionError saying what would help."""
        places = self._known(kind)
        if name not in places:
            mend = nearest(name, places, otherwise="none is installed")
            raise DefinitionError(f"There is no {kind.noun} `{shown(name)}`; {mend}.")
        module, _, attribute = places[name].partition(":")
        try:
            found: Any = importlib.import_module(module)
            for part in attribute.split("."):
                found = getattr(found, part)
        except ImportError as error:
            raise DefinitionError(f"The {kind.noun} `{name}` cannot be loaded: {error}. {_lacks(module)}") from error
        except AttributeError as error:
            raise DefinitionError(
                f"The {kind.noun} `{name}` is declared as {places[name]}, which is not there."
            ) from error
        return found

    def _known(self, kind: Kind) -> Mapping[str, str]:
        if kind not in self._places:
            places = dict(self._built_in.get(kind, {}))
            for point in self._installed(kind.value):
                # One package may be found twice on the path; that is no second claim.
                if places.get(point.name, point.value) != point.value:
                    raise DefinitionError(
                        f"The {kind.noun} `{point.name}` is claimed twice, by {places[point.name]} and by "
                        f"{point.value}; uninstall one of the packages."
                    )
                places[point.name] = point.value
            self._places[kind] = places
        return self._places[kind]


def _lacks(module: str) -> str:
    extra = next((extra for package, extra in EXTRAS.items() if f"{module}.".startswith(f"{package}.")), "")
    return f"Install what it needs: `pip install 'andon[{extra}]'`." if extra else "Install the package that it needs."
