"""Unpacking archives of strangers: no name leaves the directory, no bomb fills the disk."""

from __future__ import annotations

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from core.errors import PermanentError

_PIECE = 1 << 20
_LONGEST_LINK = 4096
_TAR = (".tar.gz", ".tgz", ".tar")


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    kind: str
    """directory, file or link."""
    runs: bool = False
    points_at: str = ""
    content: IO[bytes] | None = None


def is_archive(path: Path) -> bool:
    """Whether the name says that `unpack` understands it."""
    return path.name.lower().endswith((*_TAR, ".zip"))


def unpack(archive: Path, tree: Path, *, most_bytes: int, most_files: int) -> None:
    """Unpack into `tree`, which is made; raises `PermanentError` for what is broken, unsafe or too large.

    Links are made last, so that no file is ever written through one; whether they stay inside is the caller's check.
    """
    tree.mkdir()
    links: dict[Path, str] = {}
    room = most_bytes
    members = _zip_members(archive) if archive.name.lower().endswith(".zip") else _tar_members(archive)
    try:
        for count, member in enumerate(members, start=1):
            if count > most_files:
                raise PermanentError(f"The artifact has more than {most_files} files.")
            path = tree / _safe(member.name)
            if path == tree:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            if member.kind == "directory":
                path.mkdir(exist_ok=True)
            elif member.kind == "link":
                links[path] = member.points_at
            else:
                assert member.content is not None
                room -= _write(member.content, path, room, most_bytes)
                path.chmod(0o755 if member.runs else 0o644)
        for path, points_at in links.items():
            path.symlink_to(points_at)
    except FileExistsError as error:
        raise PermanentError(f"The archive {archive.name} holds one name twice.") from error
    except NotADirectoryError as error:
        raise PermanentError(f"The archive {archive.name} has a file where it also has a directory.") from error
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        # RuntimeError is how zipfile refuses an encrypted member.
        raise PermanentError(f"The archive {archive.name} cannot be unpacked: {error}.") from error


def _tar_members(archive: Path) -> Iterator[_Member]:
    with tarfile.open(archive) as tar:
        for entry in tar:
            if entry.isdir():
                yield _Member(entry.name, "directory")
            elif entry.isreg():
                yield _Member(entry.name, "file", bool(entry.mode & stat.S_IXUSR), content=tar.extractfile(entry))
            elif entry.issym():
                yield _Member(entry.name, "link", points_at=entry.linkname)
            else:
                raise PermanentError(f"{entry.name!r} in the archive is neither a file, a directory nor a link.")


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as packed:
        for entry in packed.infolist():
            mode = entry.external_attr >> 16
            if entry.is_dir():
                yield _Member(entry.filename, "directory")
            elif stat.S_ISLNK(mode) and entry.file_size > _LONGEST_LINK:
                raise PermanentError(f"The link {entry.filename!r} in the archive is too long.")
            elif stat.S_ISLNK(mode):
                yield _Member(entry.filename, "link", points_at=packed.read(entry).decode("utf-8", "surrogateescape"))
            elif mode == 0 or stat.S_IFMT(mode) in (0, stat.S_IFREG):
                with packed.open(entry) as content:
                    yield _Member(entry.filename, "file", bool(mode & stat.S_IXUSR), content=content)
            else:
                raise PermanentError(f"{entry.filename!r} in the archive is neither a file, a directory nor a link.")


def _safe(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise PermanentError(f"The archive holds {name[:200]!r}, which leads out of it.")
    return path


def _write(content: IO[bytes], path: Path, room: int, most: int) -> int:
    written = 0
    with path.open("xb") as file:
        while piece := content.read(_PIECE):
            written += len(piece)
            if written > room:
                raise PermanentError(f"The artifact is larger than {most} bytes.")
            file.write(piece)
    return written
