"""Artifacts are kept whole or not at all, under the digest of what is in them (rule 1)."""

from __future__ import annotations

import errno
import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from core.errors import PermanentError
from integrations.processes.artifacts import ArtifactStore, digest_of

MANIFEST = '{"command": ["python3", "app.py"]}'


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    (source / "lib").mkdir(parents=True)
    (source / "andon-artifact.json").write_text(MANIFEST)
    (source / "app.py").write_text("print()")
    (source / "lib" / "run.sh").write_text("#!/bin/sh\n")
    (source / "lib" / "run.sh").chmod(0o755)
    (source / "lib" / "also.py").symlink_to("../app.py")
    return source


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "root")


def kept(tmp_path: Path) -> list[str]:
    directory = tmp_path / "root" / "artifacts"
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


def packed(path: Path, entries: dict[str, str], *, link: tuple[str, str] | None = None) -> Path:
    """An archive of the kind its name says."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in entries.items():
                archive.writestr(name, text)
            if link:
                entry = zipfile.ZipInfo(link[0])
                entry.external_attr = (stat.S_IFLNK | 0o777) << 16
                archive.writestr(entry, link[1])
        return path
    with tarfile.open(path, "w:gz") as tar:
        if link:
            member = tarfile.TarInfo(link[0])
            member.type, member.linkname = tarfile.SYMTYPE, link[1]
            tar.addfile(member)
        for name, text in entries.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return path


def test_what_was_added_is_there_unaltered(store: ArtifactStore, source: Path, tmp_path: Path) -> None:
    digest = store.add(source)
    assert kept(tmp_path) == [digest.removeprefix("sha256:")]
    path = store.verify(digest)
    assert (path / "lib" / "also.py").read_text() == "print()"
    assert os.access(path / "lib" / "run.sh", os.X_OK)
    assert not stat.S_IMODE((path / "app.py").stat().st_mode) & 0o222


def test_adding_twice_changes_nothing(store: ArtifactStore, source: Path, tmp_path: Path) -> None:
    assert store.add(source) == store.add(source)
    assert len(kept(tmp_path)) == 1


def test_the_digest_is_of_names_contents_and_who_may_run_it_but_not_of_times(source: Path) -> None:
    first = digest_of(source)
    os.utime(source / "app.py", (1, 1))
    (source / "app.py").chmod(0o600)
    assert digest_of(source) == first
    (source / "app.py").chmod(0o755)
    assert digest_of(source) != first
    (source / "app.py").chmod(0o644)
    (source / "empty").mkdir()
    assert digest_of(source) != first
    (source / "empty").rmdir()
    (source / "app.py").rename(source / "apq.py")
    assert digest_of(source) != first


@pytest.mark.parametrize("kind", ["artifact.tar.gz", "artifact.zip"])
def test_an_archive_is_the_same_artifact_as_its_directory(store: ArtifactStore, tmp_path: Path, kind: str) -> None:
    entries = {"andon-artifact.json": MANIFEST, "lib/app.py": "print()"}
    plain = tmp_path / "plain"
    (plain / "lib").mkdir(parents=True)
    for name, text in entries.items():
        (plain / name).write_text(text)
    archive = packed(tmp_path / kind, entries, link=("lib/also.py", "app.py"))
    (plain / "lib" / "also.py").symlink_to("app.py")
    assert store.add(archive) == store.add(plain)


@pytest.mark.parametrize("kind", ["evil.tar.gz", "evil.zip"])
@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "lib/../../outside", "lib\\..\\outside"])
def test_an_archive_whose_names_lead_out_is_refused(store: ArtifactStore, tmp_path: Path, kind: str, name: str) -> None:
    archive = packed(tmp_path / kind, {"andon-artifact.json": MANIFEST, name: "evil"})
    with pytest.raises(PermanentError, match="leads out"):
        store.add(archive)
    assert kept(tmp_path) == []
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("kind", ["evil.tar.gz", "evil.zip"])
@pytest.mark.parametrize("target", ["/etc", "..", "lib/../../..", "../../root"])
def test_a_link_that_leads_out_is_refused(store: ArtifactStore, tmp_path: Path, kind: str, target: str) -> None:
    archive = packed(tmp_path / kind, {"andon-artifact.json": MANIFEST, "lib/a": "a"}, link=("door", target))
    with pytest.raises(PermanentError, match="leads out"):
        store.add(archive)
    assert kept(tmp_path) == []


@pytest.mark.parametrize("kind", ["evil.tar.gz", "evil.zip"])
def test_nothing_is_written_through_a_link(store: ArtifactStore, tmp_path: Path, kind: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    archive = packed(
        tmp_path / kind, {"andon-artifact.json": MANIFEST, "door/evil": "evil"}, link=("door", str(outside))
    )
    with pytest.raises(PermanentError):
        store.add(archive)
    assert list(outside.iterdir()) == []


def test_a_link_out_of_a_directory_is_refused_too(store: ArtifactStore, source: Path, tmp_path: Path) -> None:
    (source / "door").symlink_to("/etc/hostname")
    with pytest.raises(PermanentError, match="'door' leads out"):
        store.add(source)
    assert kept(tmp_path) == []


def test_pipes_and_devices_are_refused(store: ArtifactStore, source: Path) -> None:
    os.mkfifo(source / "pipe")
    with pytest.raises(PermanentError, match="'pipe'"):
        store.add(source)


@pytest.mark.parametrize("kind", ["bomb.tar.gz", "bomb.zip", ""])
def test_what_is_too_large_is_refused(source: Path, tmp_path: Path, kind: str) -> None:
    store = ArtifactStore(tmp_path / "root", most_bytes=1000)
    if kind:
        source = packed(tmp_path / kind, {"andon-artifact.json": MANIFEST, "big": "0" * 2000})
    else:
        (source / "big").write_text("0" * 2000)
    with pytest.raises(PermanentError, match="larger than 1000 bytes"):
        store.add(source)
    assert kept(tmp_path) == []


@pytest.mark.parametrize("kind", ["many.tar.gz", ""])
def test_too_many_files_are_refused(source: Path, tmp_path: Path, kind: str) -> None:
    store = ArtifactStore(tmp_path / "root", most_files=2)
    if kind:
        source = packed(tmp_path / kind, {"andon-artifact.json": MANIFEST, "a": "", "b": ""})
    with pytest.raises(PermanentError, match="more than 2 files"):
        store.add(source)
    assert kept(tmp_path) == []


def test_a_full_disk_leaves_nothing_half_done(source: Path, tmp_path: Path) -> None:
    flushed = 0

    def full(handle: int) -> None:
        nonlocal flushed
        flushed += 1
        if flushed == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(PermanentError, match="no room"):
        ArtifactStore(tmp_path / "root", fsync=full).add(source)
    assert kept(tmp_path) == []
    store = ArtifactStore(tmp_path / "root")
    store.verify(store.add(source))


@pytest.mark.parametrize("content", [b"not an archive", b"\x1f\x8b\x08broken"])
@pytest.mark.parametrize("name", ["a.tar.gz", "a.zip"])
def test_a_damaged_archive_is_refused(store: ArtifactStore, tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PermanentError, match="cannot be unpacked"):
        store.add(tmp_path / name)
    assert kept(tmp_path) == []


def test_one_name_twice_is_refused(store: ArtifactStore, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "twice.tar.gz", "w:gz") as tar:
        for text in (MANIFEST, "{}"):
            member = tarfile.TarInfo("andon-artifact.json")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    with pytest.raises(PermanentError, match="twice"):
        store.add(tmp_path / "twice.tar.gz")


def test_without_a_manifest_it_says_how_one_looks(store: ArtifactStore, source: Path, tmp_path: Path) -> None:
    (source / "andon-artifact.json").unlink()
    with pytest.raises(PermanentError, match=r'Add one, such as \{"command"'):
        store.add(source)
    assert kept(tmp_path) == []


def test_an_altered_artifact_is_noticed_and_mended_by_adding_it_again(store: ArtifactStore, source: Path) -> None:
    digest = store.add(source)
    altered = store.path(digest) / "app.py"
    altered.chmod(0o644)
    altered.write_text("print('evil')")
    with pytest.raises(PermanentError, match="altered"):
        store.verify(digest)
    store.add(source)
    assert (store.verify(digest) / "app.py").read_text() == "print()"


def test_a_missing_artifact_says_so(store: ArtifactStore, source: Path) -> None:
    with pytest.raises(PermanentError, match="not on this host"):
        store.verify(digest_of(source))
    with pytest.raises(PermanentError, match="sha256:"):
        store.verify("../../etc")
    with pytest.raises(PermanentError, match="no artifact at"):
        store.add(source / "nowhere")
    with pytest.raises(PermanentError, match="neither"):
        store.add(source / "app.py")


def test_pruning_removes_what_nobody_keeps_and_abandoned_copies(
    store: ArtifactStore, source: Path, tmp_path: Path
) -> None:
    first = store.add(source)
    (source / "app.py").write_text("print(2)")
    second = store.add(source)
    for name, age in ((".new-old", 1.0), (".new-young", 10_000.0)):
        (tmp_path / "root" / "artifacts" / name).mkdir()
        os.utime(tmp_path / "root" / "artifacts" / name, (age, age))
    assert store.prune([second], unfinished_before=5000) == [first]
    assert kept(tmp_path) == sorted([".new-young", second.removeprefix("sha256:")])
    store.verify(second)
