"""The rules of the house that no linter knows. A list of exceptions may only hold what still needs it."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import get_args

import pytest
from slack_sdk.web.async_client import AsyncWebClient

import simulator.web_api
from core.releases.effects import Effect
from core.releases.events import Event
from simulator.api import METHODS
from tests.project.tree import ROOMS, ROOT, dotted, functions, ours, parsed, tracked

# ---- the core is pure -----------------------------------------------------------------------------------------------

IMPURE_MODULES = {"asyncio", "os", "random", "secrets", "socket", "subprocess", "threading", "time", "uuid"}
CLOCKS = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today"}


@pytest.mark.parametrize("name", tracked("core/*.py"))
def test_the_core_neither_waits_nor_looks_at_a_clock_nor_throws_dice(name: str) -> None:
    for node in ast.walk(parsed(name)):
        where = f"{name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            assert name == "core/ports.py", f"{where}: async"
        if isinstance(node, ast.Import):
            assert not {alias.name.split(".")[0] for alias in node.names} & IMPURE_MODULES, where
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in IMPURE_MODULES, where
        if isinstance(node, ast.Attribute | ast.Name):
            assert not any(dotted(node).endswith(clock) for clock in CLOCKS), f"{where}: time is an argument"
        if isinstance(node, ast.Call):
            assert dotted(node.func) not in ("open", "print", "input"), where


def test_every_event_is_decided_on() -> None:
    """mypy sees this too, by assert_never; this also sees a case that swallows several."""
    cases = {
        dotted(node.cls)
        for function in functions("core/releases/decide.py")
        for node in ast.walk(function)
        if isinstance(node, ast.MatchClass)
    }
    assert {event.__name__ for event in get_args(Event)} <= cases


def test_every_effect_has_a_courier() -> None:
    (couriers,) = (f for f in functions("bot/app.py") if f.name == "_couriers")
    tables = [node for node in ast.walk(couriers) if isinstance(node, ast.Return) and isinstance(node.value, ast.Dict)]
    keys = {dotted(key) for table in tables for key in getattr(table.value, "keys", []) if key is not None}
    assert keys == {effect.__name__ for effect in get_args(Effect)}


# ---- errors ---------------------------------------------------------------------------------------------------------

BROAD = {
    "bot/outbox.py": "a bug in one courier must not stop the others",
    "bot/ticker.py": "a bug in one pipeline must not stop the clock of the others",
    "bot/slack.py": "a bug in one answer must not leave a person without any",
}
"""One broad `except` in each of these at most, each logging and going on."""


def test_only_the_three_great_loops_catch_everything() -> None:
    found = Counter(name for name in ours() for node in ast.walk(parsed(name)) if _is_broad(node))
    assert set(found) <= set(BROAD), f"broad excepts in {set(found) - set(BROAD)}"
    assert all(count == 1 for count in found.values()), found


def _is_broad(node: ast.AST) -> bool:
    """Catches everything and keeps it; what only tidies up and raises it again does not."""
    caught: list[ast.expr | None] = []
    if isinstance(node, ast.ExceptHandler):
        last = node.body[-1]
        if isinstance(last, ast.Raise) and last.exc is None:
            return False
        caught = list(node.type.elts) if isinstance(node.type, ast.Tuple) else [node.type]
    elif isinstance(node, ast.Call) and dotted(node.func) in ("suppress", "contextlib.suppress"):
        caught = list(node.args)
    return any(kind is None or dotted(kind) in ("Exception", "BaseException") for kind in caught)


# ---- names and sizes ------------------------------------------------------------------------------------------------

EMPTY_NAMES = {
    "utils",
    "util",
    "helpers",
    "helper",
    "common",
    "manager",
    "handler",
    "processor",
    "data",
    "info",
    "misc",
}

LONG_FILES = {
    "simulator/page/app.js": "the page put together, from parts that have files of their own",
}
LONG_FUNCTIONS = {
    ("core/releases/why.py", "_running"): "one case a phase, each a list of sentences",
    ("tests/scenarios/kit.py", "story"): "a list of what a story may choose, and one block that sets it up",
}
FILE_LINES, FUNCTION_LINES = 500, 80
STORY_LINES = 700
"""Of tests: one story after the other, of which each is read alone."""


def test_no_name_says_nothing() -> None:
    for name in tracked("*.py", "*.js"):
        words = {part.split(".")[0] for part in PurePosixPath(name).parts}
        assert not words & EMPTY_NAMES, name
        pieces = set(PurePosixPath(name).stem.split("_"))
        assert not pieces & {"utils", "helpers", "manager", "misc"}, name


def test_files_can_be_read_at_a_sitting() -> None:
    lines = {name: len((ROOT / name).read_text().splitlines()) for name in tracked("*.py", "*.js")}
    long = {name for name, n in lines.items() if n > (STORY_LINES if name.startswith("tests/") else FILE_LINES)}
    assert long - set(LONG_FILES) == set(), f"over {FILE_LINES} lines, or {STORY_LINES} of stories"
    assert set(LONG_FILES) <= long, "no exception is needed any more: take it off the list"


def test_functions_can_be_seen_at_a_glance() -> None:
    long = {
        (name, function.name)
        for name in tracked("*.py")
        for function in functions(name)
        if function.end_lineno is not None and function.end_lineno - function.lineno >= FUNCTION_LINES
    }
    assert long - set(LONG_FUNCTIONS) == set(), f"over {FUNCTION_LINES} lines"
    assert set(LONG_FUNCTIONS) <= long, "no exception is needed any more: take it off the list"


# ---- nothing of anybody's machine -----------------------------------------------------------------------------------

PUBLIC_HOSTS = {
    "api.github.com", "api.slack.com", "example.slack.com", "hooks.slack.com", "slack.com",
    "json-schema.org", "keepachangelog.com", "semver.org", "www.apache.org", "www.w3.org",
}  # fmt: skip
"""Beside them only names that are reserved for examples; no registry, no mirror, nobody's own."""
RESERVED = re.compile(r"(.*\.)?(example|test|invalid|localhost|example\.(com|org|net))$|[\d.:]+$|[^.]*$")

SECRETS = re.compile(
    r"xox[a-z]-\d{6,}|xox[a-z]-[A-Za-z0-9]{16,}|xapp-\d-[A-Z0-9]{8,}|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{20,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY|hooks\.slack\.com/services/T[A-Z0-9]{6,}|eyJ[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}"
)
HOMES = re.compile(r"(?<![\w.])/(?:home|Users)/[A-Za-z]|(?<![\w.])/roo[t]/|[A-Z]:\\\\?Users")


def texts() -> list[tuple[str, str]]:
    """Every tracked file that is text."""
    found = []
    for name in tracked():
        raw = (ROOT / name).read_bytes()
        if b"\0" not in raw[:8000]:
            found.append((name, raw.decode()))
    return found


def test_no_file_speaks_of_somebodys_machine() -> None:
    for name, text in texts():
        for line in text.splitlines():
            assert HOMES.search(line) is None, f"{name}: {line.strip()[:120]}"
            # A short path such as /src stands in many files for other reasons.
            assert len(ROOT.parts) < 3 or f"{ROOT}" not in line, f"{name}: {line.strip()[:120]}"


def test_no_file_holds_a_secret() -> None:
    for name, text in texts():
        found = [match.group() for match in SECRETS.finditer(text)]
        assert not found, f"{name}: {found[0][:12]}…"


def test_addresses_are_public_or_made_for_examples() -> None:
    strange = {
        (name, host)
        for name, text in texts()
        for host in re.findall(
            r"\b(?:https?|git|ssh|s3|wss?)://(?:[^\s/@\"'`]*@)?([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)", text
        )
        if host not in PUBLIC_HOSTS and not RESERVED.fullmatch(host)
    }
    assert strange == set()


# ---- rooms, words and wires -----------------------------------------------------------------------------------------


def test_rooms_import_only_what_they_may() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    ended = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


def test_every_room_is_watched() -> None:
    """A new package is in the wheel, in the type check and in the lint of imports, or this fails."""
    packages = {name.split("/")[0] for name in tracked("*/__init__.py")} - {"tests"}
    assert packages == set(ROOMS)
    text = (ROOT / "pyproject.toml").read_text()
    for room in packages - {"bench"}:
        assert re.search(rf'^packages = .*"{room}"', text, re.MULTILINE), f"{room} is not in the wheel"
    for room in packages:
        assert re.search(rf'^files = .*"{room}"', text, re.MULTILINE), f"{room} is not type-checked"


def test_every_template_has_a_golden_file() -> None:
    templates = {Path(name).stem for name in tracked("templates/*.jinja")}
    golden = {Path(name).name.split(".")[0] for name in tracked("tests/bot/golden/*.json")}
    assert templates
    assert templates == golden


def test_whatever_the_bot_asks_of_slack_is_simulated() -> None:
    assert simulator.web_api.LOADED
    called = {
        method
        for name in tracked("bot/*.py")
        for node in ast.walk(parsed(name))
        if isinstance(node, ast.Attribute) and isinstance(getattr(AsyncWebClient, node.attr, None), type(_methods))
        for method in _methods(node.attr)
    }
    assert {"chat.postMessage", "chat.update", "views.open"} <= called, "this test sees nothing any more"
    assert called <= set(METHODS), f"not simulated: {called - set(METHODS)}"


def _methods(name: str) -> set[str]:
    """What a function of Slack's client calls, by itself or through others of its functions."""
    source = inspect.getsource(getattr(AsyncWebClient, name))
    found = set(re.findall(r'self\.api_call\(\s*"([A-Za-z.]+)"', source))
    for other in set(re.findall(r"self\.(\w+)\(", source)) - {"api_call", name}:
        if hasattr(AsyncWebClient, other):
            found |= _methods(other)
    return found
