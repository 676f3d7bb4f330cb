"""The contract of the blob store with direct writes switched off, and what is written past the page cache otherwise."""

from __future__ import annotations

import io
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.engines.embedded import files
from app.engines.embedded.blobs import EmbeddedBlobs
from app.engines.embedded.files import DIRECT_BYTES, FileBlobs
from app.errors import StorageUnavailable
from app.storage.table.ports import BlobStore
from tests.contracts.test_blobs import TestPut
from tests.support.traced_writes import traced_writes

__all__ = ["TestPut"]

MIB = 1024 * 1024
CONTENT = random.Random(5).randbytes(3 * MIB)


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    """A store whose bodies all go through the page cache. The other contract suites use the default."""
    return EmbeddedBlobs(tmp_path / "blobs", 50, direct=False)


@pytest.mark.parametrize(
    ("size", "direct", "expected"),
    [
        (DIRECT_BYTES - 1, True, []),
        (DIRECT_BYTES, True, [MIB]),
        (DIRECT_BYTES + 1, True, [MIB]),
        (2 * MIB + 4097, True, [MIB, MIB, 4096]),
        (2 * MIB, False, []),
    ],
)
def test_which_bodies_are_written_past_the_page_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, direct: bool, expected: list[int]
) -> None:
    writes = traced_writes(monkeypatch)
    store = FileBlobs(tmp_path, direct=direct)
    assert store.put("a", io.BytesIO(CONTENT[:size])) == size
    assert store.path("a").read_bytes() == CONTENT[:size]
    direct_bytes = [written for is_direct, written in writes if is_direct]
    if direct_bytes or not expected:  # a file system without direct writes has none
        assert direct_bytes == expected


def test_bodies_at_once_do_not_mix(tmp_path: Path) -> None:
    store = FileBlobs(tmp_path)
    bodies = {f"1/s/s/{n}/1.dcm": random.Random(n).randbytes(MIB + 600_000 + n) for n in range(24)}
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda key: store.put(key, io.BytesIO(bodies[key])), bodies))
    assert all(store.path(key).read_bytes() == body for key, body in bodies.items())


def test_the_reserve_of_the_disk_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileBlobs(tmp_path)
    monkeypatch.setattr(files, "RESERVED_BYTES", 2**62)
    with pytest.raises(StorageUnavailable):
        store.put("a", io.BytesIO(CONTENT))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
