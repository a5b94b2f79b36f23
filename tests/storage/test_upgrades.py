"""Rolling upgrades: what 0.1.0 wrote is carried on, what it still writes is understood, and what is new hurts it not.

`released/0.1.0.json` holds the rows of a database as 0.1.0 left it (migration 0001): 1.0.0 everywhere, 1.1.0 baking
behind a pause, 1.2.0 just announced and waiting for its first deployment.
"""

from __future__ import annotations

import ast
import base64
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, Table, create_engine, text
from sqlalchemy.pool import NullPool

from storage.codec import Codec
from storage.dialects import parse_url
from storage.journal import Store
from storage.migrate import FOLDER, upgrade
from tests.postgres import Server
from tests.scenarios.kit import story

RELEASED = json.loads((Path(__file__).parent / "released" / "0.1.0.json").read_text())
NUMBERED = {"events": "id", "outbox": "seq", "inbox": "id", "outages": "id"}
Row = dict[str, Any]


def write_as_released(url: str, *, first: Callable[[Any], None] = lambda _: None) -> None:
    """Write the rows as 0.1.0 does: it names its own columns, and knows of no others."""
    engine = create_engine(parse_url(url), poolclass=NullPool)
    with engine.connect() as connection, connection.begin():
        first(connection)
        for name, rows in RELEASED.items():
            table = Table(name, MetaData(), autoload_with=connection)
            if rows:
                connection.execute(table.insert(), [_plain(row, is_shared="sqlite" not in url) for row in rows])
            if "sqlite" not in url and name in NUMBERED:
                column = NUMBERED[name]
                last = f"(SELECT coalesce(max({column}), 1) FROM {name})"
                connection.execute(text(f"SELECT setval(pg_get_serial_sequence('{name}', '{column}'), {last})"))
    engine.dispose()


def _plain(row: Row, *, is_shared: bool) -> Row:
    """A row as the driver takes it; the file was written from SQLite, where truth is a number."""
    plain = {k: base64.b64decode(v["base64"]) if isinstance(v, dict) else v for k, v in row.items()}
    return plain | {"refused": bool(row["refused"])} if is_shared and "refused" in row else plain


@pytest.fixture
def empty(database: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """The URL of a database with nothing in it."""
    if database == "sqlite":
        return f"sqlite:///{tmp_path / 'andon.db'}"
    server: Server = request.getfixturevalue("postgres")
    return server.empty()


@pytest.mark.parametrize("comes", ["before the migrations", "after them, from a replica of 0.1.0"])
async def test_what_was_released_is_carried_on(empty: str, comes: str, tmp_path: Path) -> None:
    if comes.startswith("before"):
        write_as_released(empty, first=lambda connection: upgrade(connection, "0001"))
    else:
        Store(empty).close()
        write_as_released(empty)

    async with story(tmp_path, database=empty, has_slack=False, has_pager=False, start=False) as s:
        s.clock.advance(timedelta(hours=3))
        for target in ("web-1", "web-2", "web-3"):
            s.outside.replace(target, _digest("1.0.0"), "1.0.0")
        s.outside.replace("beta-1", _digest("1.1.0"), "1.1.0")
        s.outside.replace("box-1", _digest("1.1.0"), "1.1.0")
        await s.start_bot()
        assert s.app.store.verify("shop") is None
        assert [release.version for release in s.state.releases][-2:] == ["1.1.0", "1.2.0"]
        assert [pause.reason for pause in s.state.pauses] == ["prices look wrong"]
        await s.advance(minutes=2, until=lambda: s.running["beta-1"] == "1.2.0")
        status, answer = await s.call("POST", "/api/commands", {"text": "why shop"})
        assert status == 200
        assert "prices look wrong" in answer["text"]
        assert s.app.store.verify("shop") is None


def _digest(version: str) -> str:
    events = (json.loads(row["body"]) for row in RELEASED["events"] if row["kind"] == "ReleaseAnnounced")
    found = next(event for event in events if event["version"] == version)
    return str(found["digest"])


def test_fields_of_a_newer_version_do_no_harm() -> None:
    """What a newer replica adds, this one reads over, wherever it stands."""
    codec = Codec()

    def with_more(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: with_more(item) for key, item in value.items()} | {"of_a_newer_version": [1, {"deep": True}]}
        return [with_more(item) for item in value] if isinstance(value, list) else value

    for row in RELEASED["events"]:
        more = json.dumps(with_more(json.loads(row["body"])))
        assert codec.decode_event(row["kind"], more, 1) == codec.decode_event(row["kind"], row["body"], 1)
    for row in RELEASED["outbox"]:
        more = json.dumps(with_more(json.loads(row["body"])))
        assert codec.decode_effect(row["kind"], more, 1) == codec.decode_effect(row["kind"], row["body"], 1)
    for row in RELEASED["definitions"]:
        more = json.dumps(with_more(json.loads(row["body"])))
        assert codec.decode_definition(more, 1) == codec.decode_definition(row["body"], 1)


ADDS = {"create_table", "add_column", "create_index", "execute", "batch_alter_table"}


def test_migrations_after_the_first_only_add() -> None:
    """A replica of the version before goes on beside them: nothing it uses goes, nothing it leaves out is asked for."""
    for script in sorted((FOLDER / "versions").glob("0*.py")):
        calls = [node for node in ast.walk(ast.parse(script.read_text())) if isinstance(node, ast.Call)]
        named = [(node.func.attr, node) for node in calls if isinstance(node.func, ast.Attribute)]
        operations = [
            (name, node)
            for name, node in named
            if isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id in ("op", "batch")
        ]
        assert {name for name, _ in operations} <= ADDS, script
        for name, node in operations:
            if name == "add_column":
                calls_in = [call for call in ast.walk(node) if isinstance(call, ast.Call)]
                words = {k.arg: getattr(k.value, "value", True) for call in calls_in for k in call.keywords}
                may_be_left_out = words.get("nullable") is True or "server_default" in words
                assert may_be_left_out, f"{script}: a replica of the version before leaves it out"
