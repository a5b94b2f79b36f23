"""Names of adapters: found, offered, loaded when named, and never claimed twice."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from core.errors import DefinitionError
from integrations.registry import BUILT_IN, Kind, Registry

METHODS = {
    Kind.DEPLOYER: ("start", "find", "status", "cancel", "running_version"),
    Kind.STAGE_TEST: ("run",),
}


def third_party(*points: EntryPoint) -> Registry:
    return Registry(installed=lambda group: [point for point in points if point.group == group])


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in Kind for name in BUILT_IN[kind]])
def test_every_built_in_name_is_there_and_does_what_its_kind_does(kind, name):
    found = Registry().load(kind, name)
    methods = METHODS.get(kind) or (("run",) if name == "canary" else ("parse",))
    assert all(callable(getattr(found, method)) for method in methods)


def test_nothing_is_imported_before_it_is_named():
    code = (
        "import sys; from integrations.registry import Registry, Kind; r = Registry(); [r.names(k) for k in Kind]; "
        "assert not [m for m in sys.modules if m.startswith('integrations.') and m != 'integrations.registry']; "
        "assert 'aiohttp' not in sys.modules; r.load(Kind.ALARM_SOURCE, 'webhook'); "
        "assert 'integrations.webhook' in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(DefinitionError, match=r"no deployer `proceses`; did you mean `processes`\?"):
        Registry().load(Kind.DEPLOYER, "proceses")
    with pytest.raises(DefinitionError, match="no stage test `zzz`; there is `command`, `github-workflow`, `http`"):
        Registry().load(Kind.STAGE_TEST, "zzz")
    with pytest.raises(DefinitionError, match="none is installed"):
        Registry(built_in={}).load(Kind.STAGE_TEST, "zzz")


def test_an_installed_package_brings_its_own():
    registry = third_party(EntryPoint("ordered", "collections:OrderedDict", Kind.DEPLOYER.value))
    assert registry.names(Kind.DEPLOYER) == tuple(sorted(["ordered", *BUILT_IN[Kind.DEPLOYER]]))
    assert registry.load(Kind.DEPLOYER, "ordered").__name__ == "OrderedDict"
    assert registry.names(Kind.STAGE_TEST) == ("command", "github-workflow", "http", "load")


def test_a_name_claimed_twice_is_an_error_for_whoever_looks():
    registry = third_party(EntryPoint("webhook", "evil:Webhook", Kind.ALARM_SOURCE.value))
    for look in (lambda: registry.names(Kind.ALARM_SOURCE), lambda: registry.load(Kind.ALARM_SOURCE, "canary")):
        with pytest.raises(
            DefinitionError, match=r"`webhook` is claimed twice, by integrations\.webhook.* and by evil"
        ):
            look()
    twins = third_party(
        EntryPoint("mine", "one:A", Kind.DEPLOYER.value), EntryPoint("mine", "two:B", Kind.DEPLOYER.value)
    )
    with pytest.raises(DefinitionError, match="claimed twice"):
        twins.names(Kind.DEPLOYER)


def test_the_same_package_found_twice_is_one_claim():
    point = EntryPoint("mine", "collections:deque", Kind.DEPLOYER.value)
    assert "mine" in third_party(point, point).names(Kind.DEPLOYER)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("no_such_package_anywhere:Thing", "cannot be loaded: No module named 'no_such_package_anywhere'"),
        ("collections:NoSuchThing", "declared as collections:NoSuchThing, which is not there"),
    ],
)
def test_what_cannot_be_loaded_says_why(value, said):
    with pytest.raises(DefinitionError, match=said):
        third_party(EntryPoint("mine", value, Kind.DEPLOYER.value)).load(Kind.DEPLOYER, "mine")


def test_what_lacks_a_package_of_an_extra_names_the_extra():
    registry = Registry(
        built_in={Kind.DEPLOYER: {"mine": "integrations.github.no_such_module:Thing"}}, installed=lambda group: ()
    )
    with pytest.raises(DefinitionError, match=r"pip install 'andon\[github\]'"):
        registry.load(Kind.DEPLOYER, "mine")
