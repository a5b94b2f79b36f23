"""Artifacts on this host: directories named by what is in them, copied whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from core.errors import PermanentError
from integrations.processes.archives import is_archive, unpack
from integrations.processes.manifest import Manifest

_DIGEST = re.compile(r"\Asha256:([0-9a-f]{64})\Z")
_PIECE = 1 << 20
_UNFINISHED = ".new-"

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class ArtifactStore:
    """The artifacts under one root, `<root>/artifacts/<hex>`. Methods block: call them on a thread of their own."""

    def __init__(
        self,
        root: Path,
        *,
        most_bytes: int = 1 << 30,
        most_files: int = 100_000,
        fsync: Callable[[int], None] = os.fsync,
    ) -> None:
        self._directory = root / "artifacts"
        self._most_bytes = most_bytes
        self._most_files = most_files
        self._fsync = fsync

    def add(self, source: Path) -> str:
        """Copy a directory, `.tar.gz` or `.zip` in and return its digest; adding it again changes nothing.

        Raises `PermanentError` where the source is missing, unsafe, too large, has no manifest or the disk is full;
        then nothing is left behind.
        """
        try:
            return self._add(source)
        except OSError as error:
            if error.errno in _FULL:
                raise PermanentError(
                    f"There is no room for the artifact under {self._directory}; nothing was kept. Free some space."
                ) from error
            raise PermanentError(f"The artifact {source} could not be copied: {error.strerror or error}.") from error

    def _add(self, source: Path) -> str:
        if not source.exists():
            raise PermanentError(f"There is no artifact at {source}.")
        self._directory.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self._directory))
        try:
            tree = fresh / "tree"
            if source.is_dir():
                self._copy(source, tree)
            elif is_archive(source):
                unpack(source, tree, most_bytes=self._most_bytes, most_files=self._most_files)
            else:
                raise PermanentError(f"{source.name} is neither a directory nor a .tar.gz or .zip archive.")
            Manifest.read(tree)
            # The digest is of the copy: what is kept is what was counted, whatever happens to the source meanwhile.
            digest = digest_of(tree)
            self._seal(tree)
            self._keep(tree, self.path(digest), fresh)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return digest

    def path(self, digest: str) -> Path:
        """Where an artifact is or would be; raises `PermanentError` where `digest` is not one."""
        found = _DIGEST.match(digest)
        if found is None:
            raise PermanentError("A digest is written sha256: and 64 hexadecimal digits.")
        return self._directory / found[1]

    def verify(self, digest: str) -> Path:
        """The directory of an artifact that is there, unaltered; raises `PermanentError` otherwise."""
        path = self.path(digest)
        if not path.is_dir():
            raise PermanentError(f"The artifact {digest[:19]}… is not on this host; add it again.")
        try:
            found = digest_of(path)
        except (OSError, PermanentError) as error:
            raise PermanentError(f"The artifact {digest[:19]}… cannot be read any more; add it again.") from error
        if found != digest:
            raise PermanentError(f"The artifact {digest[:19]}… was altered since it was added; add it again.")
        return path

    def prune(self, keep: Iterable[str], *, unfinished_before: float) -> list[str]:
        """Remove every artifact not named in `keep`, and return their digests.

        Copies never finished go too, if they began before `unfinished_before` (seconds since the epoch).
        """
        wanted = {self.path(digest).name for digest in keep}
        removed = []
        if not self._directory.is_dir():
            return []
        for path in sorted(self._directory.iterdir()):
            if path.name.startswith(_UNFINISHED):
                if path.stat().st_mtime < unfinished_before:
                    shutil.rmtree(path, ignore_errors=True)
            elif path.name not in wanted and _DIGEST.match(f"sha256:{path.name}"):
                aside = self._directory / f"{_UNFINISHED}gone-{path.name}"
                path.rename(aside)
                shutil.rmtree(aside, ignore_errors=True)
                removed.append(f"sha256:{path.name}")
        return removed

    def _copy(self, source: Path, tree: Path) -> None:
        room = self._most_bytes
        tree.mkdir()
        for count, (kind, relative, path) in enumerate(_walk(source), start=1):
            if count > self._most_files:
                raise PermanentError(f"The artifact has more than {self._most_files} files.")
            to = tree / relative
            if kind == "directory":
                to.mkdir()
            elif kind == "link":
                to.symlink_to(path.readlink())
            else:
                with path.open("rb") as reading, to.open("xb") as writing:
                    room -= _copy_bytes(reading, writing, room, self._most_bytes)
                to.chmod(0o755 if _runs(path) else 0o644)

    def _seal(self, tree: Path) -> None:
        """Write everything to the disk, and make files read-only so that units do not alter them by accident.

        Directories stay writable: otherwise `rm -rf` of the whole root would need a `chmod` first.
        """
        for kind, _, path in _walk(tree):
            if kind == "file":
                self._flush(path)
                path.chmod(0o555 if _runs(path) else 0o444)
        for directory, _, _ in os.walk(tree, topdown=False):
            self._flush(Path(directory))

    def _keep(self, tree: Path, final: Path, fresh: Path) -> None:
        if final.is_dir():
            try:
                self.verify(f"sha256:{final.name}")
            except PermanentError:
                final.rename(fresh / "altered")
            else:
                return
        try:
            tree.rename(final)
        except OSError as error:
            # Somebody else added the same in this moment; a directory with files in it is never replaced.
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            return
        self._flush(self._directory)

    def _flush(self, path: Path) -> None:
        handle = os.open(path, os.O_RDONLY)
        try:
            self._fsync(handle)
        finally:
            os.close(handle)


def digest_of(tree: Path) -> str:
    """The digest of a directory: relative paths, what each entry is, who may run it, and contents; never times."""
    listing = hashlib.sha256(b"andon artifact 1\n")
    for kind, relative, path in sorted(_walk(tree), key=lambda entry: os.fsencode(entry[1])):
        row = [kind, relative]
        if kind == "file":
            with path.open("rb") as file:
                row += ["x" if _runs(path) else "-", hashlib.file_digest(file, "sha256").hexdigest()]
        elif kind == "link":
            row.append(str(path.readlink()))
        listing.update(json.dumps(row).encode() + b"\n")
    return f"sha256:{listing.hexdigest()}"


def _walk(tree: Path) -> Iterator[tuple[str, str, Path]]:
    """Every entry as (kind, relative path, path), each directory before what is in it; refuses what is unsafe."""
    root = tree.resolve()
    waiting = [root]
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            relative = path.relative_to(root).as_posix()
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                _check_link(root, path, relative)
                yield "link", relative, path
            elif stat.S_ISDIR(mode):
                yield "directory", relative, path
                waiting.append(path)
            elif stat.S_ISREG(mode):
                yield "file", relative, path
            else:
                raise PermanentError(f"{relative!r} in the artifact is neither a file, a directory nor a link.")


def _check_link(root: Path, path: Path, relative: str) -> None:
    target = path.readlink()
    if target.is_absolute() or not Path(os.path.realpath(path)).is_relative_to(root):
        raise PermanentError(f"The link {relative!r} leads out of the artifact; put what it points at inside.")
    # Followed name by name too: a link through another link must not climb out on its way.
    depth = len(PurePosixPath(relative).parent.parts)
    for part in target.parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            raise PermanentError(f"The link {relative!r} leads out of the artifact; put what it points at inside.")


def _copy_bytes(reading: BinaryIO, writing: BinaryIO, room: int, most: int) -> int:
    copied = 0
    while piece := reading.read(_PIECE):
        copied += len(piece)
        if copied > room:
            raise PermanentError(f"The artifact is larger than {most} bytes.")
        writing.write(piece)
    return copied


def _runs(path: Path) -> bool:
    return bool(path.stat().st_mode & stat.S_IXUSR)
