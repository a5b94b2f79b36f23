"""The files of the project as git knows them, and what Python says in them."""

from __future__ import annotations

import ast
import functools
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("bench", "bot", "commands", "company", "core", "examples", "integrations", "simulator", "storage")


@functools.cache
def tracked(*patterns: str) -> tuple[str, ...]:
    """Names of tracked files that are there, relative to the root."""
    command = ["git", "ls-files", "-z", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return tuple(name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file())


@functools.cache
def parsed(name: str) -> ast.Module:
    """A Python file as its tree."""
    return ast.parse((ROOT / name).read_text(), name)


def ours() -> tuple[str, ...]:
    """Python files that are not tests."""
    return tracked(*(f"{room}/*.py" for room in ROOMS))


def functions(name: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a file, nested ones too."""
    for node in ast.walk(parsed(name)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def dotted(node: ast.expr) -> str:
    """`a.b.c` as text; empty for anything else."""
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return node.id if isinstance(node, ast.Name) else ""
