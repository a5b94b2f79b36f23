"""What the documents say of the code is so: links, files, settings, routes, scopes, examples."""

from __future__ import annotations

import ast
import io
import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.access import SCOPES
from bot.check import check
from bot.cli import SPOKEN
from bot.releases_in import Announcement
from bot.settings import Settings
from core.ports import Deployer
from integrations.processes.manifest import Manifest
from integrations.registry import BUILT_IN, Kind
from storage.journal import Store, sqlite_url
from tests.project.tree import ROOT, dotted, functions, parsed, tracked

PAGES = tracked("*.md")


def read(name: str) -> str:
    """A document as text."""
    return (ROOT / name).read_text()


def blocks(name: str, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", read(name), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_that_are_there(page: str) -> None:
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", read(page), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:|#", target):
            place = (ROOT / page).parent / target.partition("#")[0]
            assert place.exists(), f"{page} leads to {target}, which is not there"


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md", *tracked("docs/*.md")])
def test_files_that_are_named_are_there(page: str) -> None:
    """`bot/app.py` is a path from the top; `cord.py` alone is a file of that name somewhere."""
    names = {Path(name).name for name in tracked()}
    for named in re.findall(r"`([\w./-]+\.(?:py|jinja|md|toml|txt))`", read(page)):
        known = named in names if "/" not in named else (ROOT / named).exists()
        assert known, f"{page} speaks of {named}"


def test_every_setting_is_explained() -> None:
    said = set(re.findall(r"`([A-Z][A-Z_]+)`", read("docs/operating.md")))
    asked = {
        node.value
        for name in ("bot/settings.py", "bot/run.py", "bot/shell.py")
        for call in ast.walk(parsed(name))
        if isinstance(call, ast.Call) and dotted(call.func).endswith(("environment.get", "environ.get"))
        for node in call.args[:1]
        if isinstance(node, ast.Constant)
    }
    assert {"ANDON_CONFIG", "ANDON_LOG", "ANDON_URL"} <= asked, "this test sees nothing any more"
    assert asked <= said, f"not in docs/operating.md: {asked - said}"
    rows = re.findall(r"^\| ((?:`[A-Z_]+`(?:, )?)+) \|", read("docs/operating.md"), re.MULTILINE)
    invented = {name for row in rows for name in re.findall(r"[A-Z_]+", row)} - asked
    assert not invented, f"docs/operating.md invents {invented}"


def test_the_defaults_that_are_said_are_the_defaults() -> None:
    settings = Settings.from_environment({})
    page = read("docs/operating.md")
    assert f"| `HOST`, `PORT` | `{settings.host}`, `{settings.port}` |" in page
    assert f"| `ANDON_STATE` | `{settings.state.name}` |" in page
    assert settings.config == Path.cwd()


def test_every_route_is_explained() -> None:
    served = {
        f"{call.func.attr.upper()} {re.sub(r':[^}]*', '', call.args[0].value)}"
        for file in ("bot/web.py", "bot/callbacks_in.py", "bot/definitions_in.py")
        for function in functions(file)
        for call in ast.walk(function)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and dotted(call.func.value) == "web"
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
        and call.args[0].value.startswith("/")
    }
    assert "GET /healthz" in served, "this test sees nothing any more"
    said = set(re.findall(r"`((?:GET|POST|DELETE) /[^`]*)`", read("docs/http-api.md")))
    assert served <= said
    assert said - served <= {"POST /slack/events", "GET /slack/install", "GET /slack/oauth_redirect"}


def test_every_scope_is_explained() -> None:
    said = {
        word for row in re.findall(r"^\| (`.*?) \|", read("docs/http-api.md"), re.MULTILINE) for word in _words(row)
    }
    assert set(SCOPES) <= said


def test_the_announcement_that_is_shown_is_understood_whole() -> None:
    shown: dict[str, Any] = json.loads(blocks("docs/http-api.md", "json")[0])
    Announcement.model_validate(shown)
    assert set(shown) == set(Announcement.model_fields)


def test_every_deployer_is_explained() -> None:
    for name in set(BUILT_IN[Kind.DEPLOYER]) - {"scripted"}:
        assert f"| `{name}` |" in read("docs/deployers.md"), "a row of the table"
        assert f"| `{name}` |" in read("docs/definition.md"), "what stands under `with`"
        assert f"`{name}`" in read(f"docs/deployers/{name}.md"), "a page of its own"


def test_the_protocol_that_is_shown_is_the_protocol() -> None:
    shown = ast.parse(blocks("docs/deployers.md", "python")[0])
    (mine,) = (node for node in shown.body if isinstance(node, ast.ClassDef))
    signatures = {f.name: ast.unparse(f.args) for f in mine.body if isinstance(f, ast.AsyncFunctionDef)}
    real = {
        f.name: ast.unparse(f.args)
        for f in functions("core/ports.py")
        if f.name in vars(Deployer) and isinstance(f, ast.AsyncFunctionDef)
    }
    assert len(real) == 5
    assert signatures == real


def test_the_manifest_that_is_shown_is_understood() -> None:
    Manifest.model_validate_json(blocks("docs/deployers/processes.md", "json")[0])


def test_the_pipeline_that_is_shown_is_yaml() -> None:
    assert set(yaml.safe_load(blocks("docs/deployers/processes.md", "yaml")[0])) == {"deployer", "stages"}


@pytest.mark.parametrize("page", tracked("docs/*.md"))
def test_every_whole_pipeline_that_is_shown_is_right(page: str, tmp_path: Path) -> None:
    for number, block in enumerate(block for block in blocks(page, "yaml") if block.startswith("service:")):
        file = tmp_path / f"shown-{number}.yaml"
        file.write_text(block)
        out = io.StringIO()
        assert check([file], out) == 0, f"{page}: {out.getvalue()}"


def test_the_backup_that_is_shown_is_one(tmp_path: Path) -> None:
    """Taken while the database is in use, it can be opened and is up to date."""
    store = Store(sqlite_url(tmp_path / "andon.db"))
    try:
        (statement,) = blocks("docs/operating.md", "sql")
        connection = sqlite3.connect(tmp_path / "andon.db")
        connection.execute(statement.replace("/backup/andon.db", str(tmp_path / "copy.db")))
        connection.close()
        copy = Store(sqlite_url(tmp_path / "copy.db"))
        with copy.transaction() as transaction:
            assert transaction.load_all() == {}
        copy.close()
    finally:
        store.close()


def test_every_spoken_verb_is_in_the_changelog() -> None:
    assert set(SPOKEN) <= set(_words(read("CHANGELOG.md")))


def _words(text: str) -> list[str]:
    return re.findall(r"`([\w-]+)`", text)
