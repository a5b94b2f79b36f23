"""What git knows of a repository: which commits contain which, what changed, and who is behind it.

The repository is fetched into a cache of Andon's own, its commits only where the other side can leave out the rest. git
runs as a program of its own, without a shell, without anybody's configuration, with a time limit, over https, ssh or
from a path; credentials go to it by its environment, and no address that could name a program reaches it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import re
import shlex
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.errors import PermanentError, TransientError
from core.ports import Commit
from core.releases.source_parts import RepositoryPart
from integrations.intake import line
from integrations.sources.trailers import co_authors, names_of

PROTOCOLS = "https:ssh:file"
FETCH_SECONDS = 300.0
LOOK_SECONDS = 60.0
MOST_OUTPUT = 32 * 1024 * 1024
BY_THE_HOST = frozenset({"noreply@github.com", "noreply@gitlab.com"})
"""Committers that stand for a press of a button in a browser."""
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_TAG = re.compile(r"(?![-/.])[^\x00-\x20~^:?*\[\\\x7f]{1,200}(?<![/.])")
_FIELDS = ("%H", "%ae", "%ce", "%B")


class GitHistory:
    """One repository. Several may be open on one cache; whoever fetches holds the others up."""

    def __init__(self, part: RepositoryPart, cache: Path, environment: Mapping[str, str]) -> None:
        """`cache` is a directory for all repositories; `environment` holds what the part names."""
        self._part = part
        self._environment = environment
        self._directory = cache / hashlib.sha256(part.url.encode()).hexdigest()[:24]
        self._fetching = asyncio.Lock()

    def __repr__(self) -> str:
        return f"GitHistory({self._part.url})"

    # ---- what is asked ----------------------------------------------------------------------------------------------

    async def commit_of(self, tag: str) -> str:
        """The commit that a tag stands for; empty where there is no such tag."""
        if not _TAG.fullmatch(tag) or ".." in tag:
            return ""
        await self._fetch()
        code, out = await self._look("rev-parse", "--verify", "--quiet", f"refs/tags/{tag}^{{commit}}")
        found = out.strip()
        return found if code == 0 and _COMMIT.fullmatch(found) else ""

    async def contained(self, head: str, commits: Sequence[str]) -> Mapping[str, bool | None]:
        """For each of these commits whether `head` contains it; None where the repository does not know it."""
        await self._must_have(head)
        known = await self._known(commits)
        found: dict[str, bool | None] = dict.fromkeys(commits)
        for commit in known:
            code, _ = await self._look("merge-base", "--is-ancestor", commit, head)
            found[commit] = code == 0 if code in (0, 1) else None
        return found

    async def between(self, base: str, head: str, most: int) -> Sequence[Commit]:
        """The commits that `head` has and `base` has not, newest first; with an empty `base` only `head`."""
        await self._must_have(head)
        form = "--format=tformat:" + "%x00".join(_FIELDS) + "%x00"
        wanted = [f"^{base}"] if base and base in await self._known([base]) else []
        count = most if wanted else 1
        code, out = await self._look(
            "log", "--encoding=UTF-8", "--no-mailmap", "--no-show-signature", f"--max-count={count}", form,
            head, *wanted,
        )  # fmt: skip
        if code != 0:
            raise TransientError(f"git could not tell what changed in {self._shown}.")
        fields = out.split("\0")[:-1]
        return tuple(_commit(*fields[at : at + len(_FIELDS)]) for at in range(0, len(fields), len(_FIELDS)))

    def compare_link(self, base: str, head: str) -> str:
        """Where people see what changed, if the definition says where."""
        if not self._part.web or not (_COMMIT.fullmatch(base) and _COMMIT.fullmatch(head)):
            return ""
        return self._part.web.replace("{base}", base).replace("{head}", head)

    # ---- the cache --------------------------------------------------------------------------------------------------

    async def _must_have(self, commit: str) -> None:
        """Fetch where a commit is not there yet; raises PermanentError where it is nowhere."""
        if not _COMMIT.fullmatch(commit):
            raise PermanentError(f"`{line(commit, 60)}` is no commit.")
        if self._is_there() and await self._known([commit]):
            return
        await self._fetch()
        if not await self._known([commit]):
            raise PermanentError(f"{self._shown} has no commit {commit[:12]} on any branch or tag.")

    async def _known(self, commits: Sequence[str]) -> list[str]:
        """Those of these that are commits of the cache."""
        commits = [one for one in commits if _COMMIT.fullmatch(one)]
        if not commits:
            return []
        asked = "".join(f"{one}\n" for one in commits)
        _, out = await self._look("cat-file", "--batch-check=%(objectname) %(objecttype)", given=asked)
        found = dict(row.split(" ", 1) for row in out.splitlines() if " " in row)
        return [one for one in commits if found.get(one) == "commit"]

    def _is_there(self) -> bool:
        return (self._directory / "HEAD").is_file()

    async def _fetch(self) -> None:
        """Bring the cache up to date, or make it."""
        async with self._fetching:
            if self._is_there():
                asked = (
                    "fetch", "--quiet", "--prune", "--force", "--no-auto-gc", "--no-recurse-submodules", "origin",
                    "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*",
                )  # fmt: skip
                code, _, said = await self._git(self._directory, asked, FETCH_SECONDS)
                if code != 0 and ".lock" in said:
                    # Somebody was killed while fetching; only Andon writes here.
                    await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)
            else:
                code, said = await self._clone()
        if code != 0:
            raise self._failed(said)

    async def _clone(self) -> tuple[int, str]:
        """Made beside its place, and put there whole."""
        await asyncio.to_thread(self._directory.parent.mkdir, mode=0o700, parents=True, exist_ok=True)
        made = self._directory.with_name(f"{self._directory.name}.{os.getpid()}.new")
        await asyncio.to_thread(shutil.rmtree, made, ignore_errors=True)
        asked = (
            "clone",
            "--quiet",
            "--bare",
            "--filter=tree:0",
            "--no-recurse-submodules",
            "--",
            self._part.url,
            str(made),
        )
        try:
            code, _, said = await self._git(self._directory.parent, asked, FETCH_SECONDS)
            if code == 0 and not self._is_there():
                with contextlib.suppress(FileExistsError):
                    made.rename(self._directory)
        finally:
            await asyncio.to_thread(shutil.rmtree, made, ignore_errors=True)
        return code, said

    def _failed(self, said: str) -> PermanentError | TransientError:
        """What git complained of, in our words: its own may hold addresses and more."""
        low = said.casefold()
        if any(words in low for words in _NOT_LET_IN):
            return PermanentError(
                f"{self._shown} does not let Andon in. Name a token (`token_env`) or a key (`key_file`) that may read."
            )
        if "dubious ownership" in low:
            return PermanentError(
                f"{self._shown} belongs to another user of this machine; git does not read it for Andon."
            )
        if any(words in low for words in _NOT_THERE):
            return PermanentError(f"{self._shown} is no repository, or Andon may not see it.")
        return TransientError(f"{self._shown} could not be fetched.")

    @property
    def _shown(self) -> str:
        return f"The code repository {line(self._part.url, 120)}"

    # ---- the program ------------------------------------------------------------------------------------------------

    async def _look(self, *asked: str, given: str = "") -> tuple[int, str]:
        code, out, _ = await self._git(self._directory, asked, LOOK_SECONDS, given)
        return code, out

    async def _git(self, place: Path, asked: Sequence[str], seconds: float, given: str = "") -> tuple[int, str, str]:
        """Run git; its exit code and what it said. Raises TransientError where it does not end in time."""
        environment = self._git_environment(is_far=seconds == FETCH_SECONDS)
        try:
            process = await asyncio.create_subprocess_exec(
                "git", "--no-pager", "-C", str(place), *asked, env=environment, start_new_session=True,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
        except FileNotFoundError:
            raise PermanentError(
                "The program `git` is not installed beside Andon, so `repository` cannot be used."
            ) from None
        try:
            async with asyncio.timeout(seconds):
                out, said = await _heard(process, given)
                code = await process.wait()
        except TimeoutError:
            raise TransientError(f"git did not end within {seconds:.0f} seconds for {self._shown}.") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        return code, out, said

    def _git_environment(self, *, is_far: bool) -> dict[str, str]:
        """Nobody's configuration, no questions, safe protocols, and the credentials that the definition names.

        Where only the cache is looked at, git may not fetch what it misses either.
        """
        ssh = ["ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=20"]
        if self._part.key_file:
            ssh += ["-o", "IdentitiesOnly=yes", "-i", self._part.key_file]
        settings = [
            ("core.hooksPath", "/dev/null"), ("credential.helper", ""), ("http.followRedirects", "initial"),
            ("fetch.writeCommitGraph", "true"), ("gc.auto", "0"), ("safe.directory", "*"),
        ]  # fmt: skip
        if is_far and (token := self._token()):
            credentials = base64.b64encode(f"x-access-token:{token}".encode()).decode()
            settings.append((f"http.{self._part.url}.extraHeader", f"Authorization: Basic {credentials}"))
        numbered = {
            name: value
            for at, (key, held) in enumerate(settings)
            for name, value in ((f"GIT_CONFIG_KEY_{at}", key), (f"GIT_CONFIG_VALUE_{at}", held))
        }
        kept = {
            name: os.environ[name]
            for name in ("PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY")
            if name in os.environ
        }
        return {
            **kept,
            **numbered,
            "GIT_CONFIG_COUNT": str(len(settings)),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_ALLOW_PROTOCOL": PROTOCOLS if is_far else "none",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "true",
            "SSH_ASKPASS": "true",
            "GIT_SSH_COMMAND": shlex.join(ssh),
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_CEILING_DIRECTORIES": str(self._directory.parent),
            "HOME": str(self._directory.parent),
            "LC_ALL": "C",
        }

    def _token(self) -> str:
        variable = self._part.token_env
        if not variable or not self._part.url.startswith("https://"):
            return ""
        token = self._environment.get(variable, "").strip()
        if not token:
            raise PermanentError(
                f"The environment variable {variable} is not set; it must hold a token for {self._shown}."
            )
        return token


_NOT_LET_IN = (
    "authentication failed", "could not read username", "could not read password", "permission denied",
    "terminal prompts", "returned error: 401", "returned error: 403", "host key verification failed",
    "invalid username",
)  # fmt: skip
_NOT_THERE = (
    "does not exist", "not found", "does not appear to be a git repository", "returned error: 404", "no such file",
    "transport", "not allowed",
)  # fmt: skip


async def _heard(process: asyncio.subprocess.Process, given: str) -> tuple[str, str]:
    """What a program says, as much as can be kept."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write(given.encode())
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        await process.stdin.drain()
    process.stdin.close()
    out, said = await asyncio.gather(_read(process.stdout), _read(process.stderr))
    return out.decode(errors="replace"), said.decode(errors="replace")


async def _read(stream: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    size = 0
    while part := await stream.read(65_536):
        size += len(part)
        if size <= MOST_OUTPUT:
            parts.append(part)
    return b"".join(parts)


def _commit(identifier: str, author: str, committer: str, message: str) -> Commit:
    """A commit of git's; whoever committed what another wrote counts as its merger."""
    is_by_another = committer.casefold() != author.casefold() and committer.casefold() not in BY_THE_HOST
    return Commit(
        id=identifier.strip(),
        message=message.strip(),
        authors=(names_of(author), *co_authors(message)),
        merger=names_of(committer) if is_by_another else (),
    )
