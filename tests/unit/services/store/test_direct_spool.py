"""A large body that is received past the page cache: it reads back as it was sent, and faults leave nothing open."""

from __future__ import annotations

import errno
import io
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import direct_writes
from app.engines.embedded.files import FileBlobs
from app.errors import StorageUnavailable, TooLarge
from app.services.digest import FileDigest, digest_of
from app.services.store.spool import MEMORY_BYTES, receive
from tests.support.instances import DEFLATED_LITTLE, JPEG_2000, encapsulated, make_instance
from tests.support.open_files import open_files_below

KEY = "1/study/series/instance/7.dcm"
LIMIT = 8 * MEMORY_BYTES
NOISE = random.Random(4).randbytes(3 * MEMORY_BYTES)
CONTENT = make_instance() + NOISE


class Trickle(io.BytesIO):
    """A body in uneven pieces. It fails at its end if `breaks`."""

    breaks = False

    def read(self, size: int | None = -1, /) -> bytes:
        chunk = super().read(100_003)
        if self.breaks and not chunk:
            raise ConnectionResetError("the client went away")
        return chunk


@pytest.fixture(params=[True, False], ids=["direct", "cached"])
def direct(request: pytest.FixtureRequest) -> bool:
    """Whether bodies are written past the page cache."""
    return bool(request.param)


@pytest.fixture(autouse=True)
def nothing_stays_open(tmp_path: Path) -> Iterator[None]:
    yield
    assert open_files_below(tmp_path) == []
    assert "direct writes" not in [each.name for each in threading.enumerate()]


@pytest.mark.parametrize("more", [-4096, -1, 0, 1, 4095, 4096, 4097, MEMORY_BYTES, 2 * MEMORY_BYTES])
def test_a_received_body_becomes_the_object(tmp_path: Path, direct: bool, more: int) -> None:
    content = CONTENT[: MEMORY_BYTES + more]
    blobs = FileBlobs(tmp_path)
    with receive(Trickle(content), LIMIT, blobs.incoming, FileDigest(), direct=direct) as spooled:
        assert spooled.in_memory == (more <= 0)
        assert bytes(spooled.buffer) == content
        assert spooled.digest == digest_of(io.BytesIO(content))
        assert spooled.stream().read() == content
        assert blobs.put(KEY, spooled.stream()) == len(content)
    with blobs.open(KEY) as stored:
        assert stored.read() == content


@pytest.mark.parametrize(
    ("start", "is_direct"),
    [
        (make_instance(), True),
        (encapsulated([[bytes(64)]], transfer_syntax=JPEG_2000), False),
        (make_instance(transfer_syntax=DEFLATED_LITTLE), False),
        (b"no DICOM", False),
    ],
    ids=["native", "encapsulated", "deflated", "no DICOM"],
)
def test_a_file_that_the_parser_reads_again_stays_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: bytes, is_direct: bool
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(direct_writes, "_set_direct", asked.append)
    receive(io.BytesIO(start + NOISE), LIMIT, tmp_path, direct=True).close()
    assert bool(asked) == is_direct


def test_a_spool_in_another_file_system_is_copied(
    tmp_path: Path, direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = FileBlobs(tmp_path)
    monkeypatch.setattr(blobs, "_device", -1)
    with receive(Trickle(CONTENT), LIMIT, tmp_path, direct=direct) as spooled:
        assert blobs.put(KEY, spooled.stream()) == len(CONTENT)
    assert blobs.path(KEY).read_bytes() == CONTENT


def test_a_body_beyond_the_limit(tmp_path: Path, direct: bool) -> None:
    with pytest.raises(TooLarge):
        receive(Trickle(CONTENT), 2 * MEMORY_BYTES, tmp_path, direct=direct)


def test_a_body_that_breaks_off(tmp_path: Path, direct: bool) -> None:
    body = Trickle(CONTENT)
    body.breaks = True
    with pytest.raises(ConnectionResetError):
        receive(body, LIMIT, tmp_path, direct=direct)


@pytest.mark.parametrize("failing", [1, 2, 4])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails(
    tmp_path: Path, direct: bool, monkeypatch: pytest.MonkeyPatch, failing: int, number: int
) -> None:
    write, calls = os.write, [0]

    def broken(descriptor: int, data: memoryview) -> int:
        calls[0] += 1
        if calls[0] == failing:
            raise OSError(number, os.strerror(number))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", broken)
    with pytest.raises(StorageUnavailable):
        receive(Trickle(CONTENT), LIMIT, tmp_path, direct=direct)


def test_no_memory_for_a_buffer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr("app.direct_writes._take_buffer", refused)
    with pytest.raises(StorageUnavailable):
        receive(Trickle(CONTENT), LIMIT, tmp_path, direct=True)
