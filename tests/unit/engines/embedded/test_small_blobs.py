"""What `EmbeddedBlobs` promises for small objects beyond the port: where they lie, and when they reach the disk."""

from __future__ import annotations

import io
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from app.engines.embedded import small_blobs
from app.engines.embedded.blobs import EmbeddedBlobs
from app.engines.embedded.sqlite import SqliteTable
from app.errors import BlobMissing, StorageUnavailable
from app.storage.table.ports import Item, Key, Put

KEY = "1/study/series/instance/7.dcm"
SMALL = 100


@pytest.fixture
def blobs(tmp_path: Path) -> EmbeddedBlobs:
    return EmbeddedBlobs(tmp_path / "blobs", SMALL)


def put(blobs: EmbeddedBlobs, key: str, size: int) -> None:
    blobs.put(key, io.BytesIO(b"x" * size))


def size_of(blobs: EmbeddedBlobs, key: str) -> int:
    with blobs.open(key) as stream:
        return len(stream.read())


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files and folders that are synced by this code. SQLite syncs by itself."""
    seen: list[str] = []

    def traced(sync: Callable[[int], None]) -> Callable[[int], None]:
        def call(descriptor: int) -> None:
            seen.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
            sync(descriptor)

        return call

    monkeypatch.setattr(os, "fsync", traced(os.fsync))
    monkeypatch.setattr(os, "fdatasync", traced(os.fdatasync))
    return seen


@pytest.mark.parametrize(("size", "is_file"), [(0, False), (SMALL, False), (SMALL + 1, True), (100_000, True)])
def test_only_larger_objects_are_files(blobs: EmbeddedBlobs, size: int, is_file: bool) -> None:
    put(blobs, KEY, size)
    assert blobs.path(KEY).exists() == is_file
    assert size_of(blobs, KEY) == size


def test_without_small_objects_every_object_is_a_file(tmp_path: Path) -> None:
    blobs = EmbeddedBlobs(tmp_path / "blobs", 0)
    put(blobs, KEY, 0)
    assert blobs.path(KEY).exists()


def test_small_objects_remain_readable_when_the_size_changes(blobs: EmbeddedBlobs, tmp_path: Path) -> None:
    put(blobs, KEY, 10)
    assert size_of(EmbeddedBlobs(tmp_path / "blobs", 0), KEY) == 10


@pytest.mark.parametrize("sizes", [(10, 1000), (1000, 10)])
def test_a_new_object_of_another_size_replaces_the_old_one(blobs: EmbeddedBlobs, sizes: tuple[int, int]) -> None:
    for size in sizes:
        put(blobs, KEY, size)
    assert size_of(blobs, KEY) == sizes[-1]
    assert [(each.key, each.size) for each in blobs.listed()] == [(KEY, sizes[-1])]
    blobs.delete([KEY])
    with pytest.raises(BlobMissing):
        blobs.open(KEY)


def test_files_and_small_objects_are_listed_together(blobs: EmbeddedBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_blobs, "_PAGE", 3)
    keys = [f"{p}/s/s/i{n}/7.dcm" for p in (1, 11, 2) for n in range(8)]
    for number, key in enumerate(keys):
        put(blobs, key, 10 if number % 2 else 1000)
    assert [each.key for each in blobs.listed()] == sorted(keys)
    assert [each.key for each in blobs.listed("1/")] == keys[:8]
    assert [each.key for each in blobs.listed("1/", keys[5])] == keys[6:8]


def test_a_small_object_is_on_disk_when_a_write_returns(
    blobs: EmbeddedBlobs, tmp_path: Path, synced: list[str]
) -> None:
    table = SqliteTable(tmp_path / "index.sqlite", sync_first=blobs.sync)
    item = Put(Item(Key("p", "s"), {}))
    put(blobs, KEY, 10)
    table.write_each([item], durable=False)
    assert "small.sqlite-wal" not in synced
    table.write(item)
    assert synced[-2:] == ["small.sqlite-wal", "blobs"]  # the log is a new file
    synced.clear()
    table.write(item)
    assert synced == []
    for number in range(12):
        put(blobs, f"1/study/series/{number}/7.dcm", 10)
    table.write(item)
    assert synced == ["small.sqlite-wal"]
    blobs.delete([KEY])
    table.write(item)
    assert synced == ["small.sqlite-wal"] * 2


def test_a_write_fails_when_the_small_objects_cannot_be_synced(
    blobs: EmbeddedBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = SqliteTable(tmp_path / "index.sqlite", sync_first=blobs.sync)

    def broken(_: int) -> None:
        raise OSError(5, "Input/output error")

    put(blobs, KEY, 10)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", broken)
        for _ in range(2):
            with pytest.raises(StorageUnavailable):
                table.write(Put(Item(Key("p", "s"), {})))
    assert table.get(Key("p", "s")) is None
    table.write(Put(Item(Key("p", "s"), {})))


def test_an_almost_full_disk_takes_no_small_object(blobs: EmbeddedBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    put(blobs, KEY, 10)
    monkeypatch.setattr(small_blobs, "RESERVED_BYTES", 1 << 60)
    with pytest.raises(StorageUnavailable):
        put(blobs, "1/study/series/other/7.dcm", 10)
    blobs.delete([KEY])
    assert not list(blobs.listed())


def test_a_deletion_of_files_writes_nothing_to_sqlite(blobs: EmbeddedBlobs, tmp_path: Path) -> None:
    put(blobs, KEY, 1000)
    log = tmp_path / "blobs" / "small.sqlite-wal"
    before = log.stat().st_size if log.exists() else 0
    blobs.delete([KEY])
    assert (log.stat().st_size if log.exists() else 0) == before


def test_the_pages_of_deleted_objects_are_used_again(blobs: EmbeddedBlobs, tmp_path: Path) -> None:
    def pages() -> int:
        with closing(sqlite3.connect(tmp_path / "blobs" / "small.sqlite")) as connection:
            return int(connection.execute("PRAGMA page_count").fetchone()[0])

    keys = [f"1/s/s/{number}/7.dcm" for number in range(200)]
    for key in keys:
        put(blobs, key, SMALL)
    before = pages()
    blobs.delete(keys)
    for key in keys:
        put(blobs, key, SMALL)
    assert pages() == before


def test_a_killed_process_leaves_its_small_objects(tmp_path: Path) -> None:
    code = f"""
import io, os, signal
from pathlib import Path
from app.engines.embedded.blobs import EmbeddedBlobs
EmbeddedBlobs(Path({str(tmp_path / "blobs")!r}), 100).put({KEY!r}, io.BytesIO(b"x" * 10))
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    assert size_of(EmbeddedBlobs(tmp_path / "blobs", SMALL), KEY) == 10


def test_a_forked_child_uses_connections_of_its_own(blobs: EmbeddedBlobs) -> None:
    put(blobs, KEY, 10)
    child = os.fork()
    if child == 0:
        put(blobs, "1/study/series/child/7.dcm", 20)
        blobs.sync()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert [each.size for each in blobs.listed()] == [20, 10]
    blobs.sync()


def test_invalid_keys(blobs: EmbeddedBlobs) -> None:
    with pytest.raises(ValueError, match="not a blob key"):
        put(blobs, "../x", 1)
