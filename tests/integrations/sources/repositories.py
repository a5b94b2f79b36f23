"""Real git repositories, made as a story needs them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ANN, BOB = "ann@example.com", "bob@example.com"


@dataclass
class Repository:
    """A repository with a working copy; `bare` is what others fetch from."""

    path: Path
    minutes: int = 0

    @classmethod
    def made(cls, path: Path) -> Repository:
        path.mkdir(parents=True)
        made = cls(path)
        made.git("init", "--quiet", "--initial-branch=main")
        return made

    def git(self, *words: str, author: str = ANN, committer: str = "") -> str:
        self.minutes += 1
        date = f"2030-01-01T00:{self.minutes % 60:02}:00Z"
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_AUTHOR_NAME": author.partition("@")[0],
            "GIT_AUTHOR_EMAIL": author,
            "GIT_COMMITTER_NAME": "c",
            "GIT_COMMITTER_EMAIL": committer or author,
            "GIT_AUTHOR_DATE": date,
            "GIT_COMMITTER_DATE": date,
        }
        ended = subprocess.run(
            ["git", "-C", str(self.path), *words], env=environment, check=True, capture_output=True, text=True
        )
        return ended.stdout.strip()

    def commit(self, message: str = "A change", *, author: str = ANN, committer: str = "") -> str:
        """A commit that adds a file; its id."""
        name = f"file-{self.minutes}"
        (self.path / name).write_text(message)
        self.git("add", name)
        self.git("commit", "--quiet", "--message", message, author=author, committer=committer)
        return self.git("rev-parse", "HEAD")

    def line_of(self, messages: Sequence[str]) -> list[str]:
        return [self.commit(message) for message in messages]
