"""Exports into a folder: faults of the file system, and what a crash leaves behind."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from typing import Any

import pytest

from app.engines.embedded.export import FileDestination, FileExports
from app.engines.embedded.files import FileBlobs
from app.errors import (
    BlobMissing,
    ConfigurationError,
    DestinationError,
    DestinationRefused,
    DestinationUnavailable,
    StorageUnavailable,
)
from app.storage.operations.destinations import FileTarget


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "exports"


@pytest.fixture
def exports(tmp_path: Path, root: Path) -> FileExports:
    return FileExports(root, FileBlobs(tmp_path / "blobs"))


@pytest.fixture
def destination(exports: FileExports) -> FileDestination:
    return exports.open(FileTarget("a/b/"), "0")


def test_a_file_is_written_whole_and_replaced(destination: FileDestination, root: Path) -> None:
    for body in (b"x" * 3_000_000, b"y", b""):
        destination.write("c/k", io.BytesIO(body), "text/plain")
        assert (root / "a/b/c/k").read_bytes() == body
    assert list((root / ".incoming").iterdir()) == []


def test_a_missing_blob(destination: FileDestination, root: Path) -> None:
    with pytest.raises(BlobMissing):
        destination.copy("1/2/3", 1, "k", "text/plain")
    assert not (root / "a").exists()


class Breaking(io.BytesIO):
    """Fails after its first read."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(b"x")
        self.error = error

    def read(self, size: int | None = -1, /) -> bytes:
        if chunk := super().read(size):
            return chunk
        raise self.error


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(5, "I/O"), StorageUnavailable),
        (StorageUnavailable(), StorageUnavailable),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_a_source_that_fails_leaves_no_file(
    destination: FileDestination, root: Path, error: BaseException, raised: type[BaseException]
) -> None:
    destination.write("k", io.BytesIO(b"before"), "text/plain")
    with pytest.raises(raised):
        destination.write("k", Breaking(error), "text/plain")
    assert (root / "a/b/k").read_bytes() == b"before"
    assert list((root / ".incoming").iterdir()) == []


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EACCES, DestinationRefused),
        (errno.EROFS, DestinationRefused),
        (errno.ENOSPC, DestinationRefused),
        (errno.EDQUOT, DestinationRefused),
        (errno.EIO, DestinationUnavailable),
        (errno.EMFILE, DestinationUnavailable),
    ],
)
@pytest.mark.parametrize("call", ["fsync", "replace", "mkdir"])
def test_faults(
    destination: FileDestination, monkeypatch: pytest.MonkeyPatch, call: str, number: int, kind: type[DestinationError]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(kind):
        destination.write("k", io.BytesIO(b"x"), "text/plain")


def test_an_export_folder_that_was_removed(destination: FileDestination, root: Path) -> None:
    root.rename(root.with_name("aside"))
    with pytest.raises(DestinationRefused, match=r"The export folder was not found."):
        destination.write("k", io.BytesIO(b"x"), "text/plain")


def test_a_file_where_a_folder_should_be(destination: FileDestination, root: Path) -> None:
    destination.write("k", io.BytesIO(b"x"), "text/plain")
    with pytest.raises(DestinationRefused, match=r"A part of the prefix is not a folder."):
        destination.write("k/inside", io.BytesIO(b"x"), "text/plain")
    with pytest.raises(DestinationRefused, match=r"Writing to the export folder failed."):
        destination.write("../b", io.BytesIO(b"x"), "text/plain")


@pytest.mark.parametrize("place", ["a", "a/b", "a/b/c", "a/b/c/k"])
def test_links_are_not_followed(destination: FileDestination, root: Path, tmp_path: Path, place: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).symlink_to(outside / "k" if place.endswith("k") else outside)
    if place.endswith("k"):
        destination.write("c/k", io.BytesIO(b"x"), "text/plain")  # the link is replaced, not followed
        assert not (root / place).is_symlink()
    else:
        with pytest.raises(DestinationRefused):
            destination.write("c/k", io.BytesIO(b"x"), "text/plain")
    assert list(outside.iterdir()) == []


def test_files_of_a_killed_worker_are_removed_after_a_day(root: Path, exports: FileExports, tmp_path: Path) -> None:
    old, young = root / ".incoming" / "old", root / ".incoming" / "young"
    for each in (old, young):
        each.touch()
    os.utime(old, (0, 0))
    FileExports(root, FileBlobs(tmp_path / "blobs"))
    assert (old.exists(), young.exists()) == (False, True)


def test_a_folder_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"cannot be used"):
        FileExports(tmp_path / "file", FileBlobs(tmp_path / "blobs"))
