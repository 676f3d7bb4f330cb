"""Bodies are written past the page cache, whatever their size, and without it where it is not possible."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app import direct_writes
from app.direct_writes import BUFFER_BYTES, BodyWriter
from tests.support.traced_writes import is_direct, traced_writes

CONTENT = random.Random(3).randbytes(4 * BUFFER_BYTES + 5000)

Write = Callable[[int, memoryview], int]


@pytest.fixture(params=[False, True], ids=["alone", "overlap"])
def overlap(request: pytest.FixtureRequest) -> bool:
    """Whether a thread writes the full buffers."""
    return bool(request.param)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A folder whose file system has direct writes."""
    with (tmp_path / "trial").open("wb") as file:
        if not direct_writes._set_direct(file.fileno()):
            pytest.skip("the file system of the temporary folder has no direct writes")
    return tmp_path


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, int]]:
    """Each write: whether it was direct, and how many bytes it wrote."""
    return traced_writes(monkeypatch)


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    yield
    assert [each.name for each in threading.enumerate() if each.name == "direct writes"] == []


def replace_write(monkeypatch: pytest.MonkeyPatch, replacement: Callable[[Write, int, memoryview], int]) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: replacement(write, descriptor, data))


def pieces(content: bytes, size: int) -> Iterator[bytes]:
    return (content[at : at + size] for at in range(0, len(content), size))


def written(folder: Path, chunks: Iterable[bytes], *, direct: bool = True, overlap: bool = False) -> bytes:
    """Write a body to a new file. Return what the file has. Assert that its descriptor is a usual one then."""
    path = folder / "body"
    with path.open("w+b", buffering=0) as file:
        with BodyWriter(file.fileno(), direct=direct, overlap=overlap) as writer:
            for chunk in chunks:
                writer.write(chunk)
            writer.finish()
        assert not is_direct(file.fileno())
        file.seek(0)
        assert file.read() == path.read_bytes()
    return path.read_bytes()


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize(
    "size",
    [0, 1, 4095, 4096, 4097, *(k * BUFFER_BYTES + more for k in (1, 2, 3) for more in (-1, 0, 1)), len(CONTENT)],
)
def test_a_body_of_any_size(tmp_path: Path, size: int, direct: bool, overlap: bool) -> None:
    assert written(tmp_path, [CONTENT[:size]], direct=direct, overlap=overlap) == CONTENT[:size]


@pytest.mark.parametrize("size", [4095, 4096, 100_003, BUFFER_BYTES - 1, BUFFER_BYTES + 1, 3 * BUFFER_BYTES + 7])
def test_chunks_of_any_size(tmp_path: Path, size: int, overlap: bool) -> None:
    assert written(tmp_path, pieces(CONTENT, size), overlap=overlap) == CONTENT


def test_whole_blocks_are_direct_and_the_rest_is_not(disk: Path, writes: list[tuple[bool, int]], overlap: bool) -> None:
    written(disk, [CONTENT], overlap=overlap)
    assert writes == [*[(True, BUFFER_BYTES)] * 4, (True, 4096), (False, 5000 - 4096)]
    writes.clear()
    written(disk, [CONTENT[:8192]], overlap=overlap)
    assert writes == [(True, 8192)]
    writes.clear()
    written(disk, [CONTENT[:8192], b"more"], direct=False)
    assert writes == [(False, 8192), (False, 4)]


def test_a_system_without_direct_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overlap: bool, writes: list[tuple[bool, int]]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(direct_writes, "_DIRECT", 0)
        assert written(tmp_path, pieces(CONTENT, 100_003), overlap=overlap) == CONTENT
    assert not any(direct for direct, _ in writes)


def test_a_file_system_that_refuses_the_flag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overlap: bool, writes: list[tuple[bool, int]]
) -> None:
    control = fcntl.fcntl

    def refused(descriptor: int, command: int, flags: int = 0) -> int:
        if command == fcntl.F_SETFL and flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return control(descriptor, command, flags)

    monkeypatch.setattr(fcntl, "fcntl", refused)
    assert written(tmp_path, pieces(CONTENT, 100_003), overlap=overlap) == CONTENT
    assert not any(direct for direct, _ in writes)


@pytest.mark.parametrize("accepted", [0, 2])
def test_a_file_system_that_refuses_a_write(
    disk: Path, monkeypatch: pytest.MonkeyPatch, overlap: bool, accepted: int
) -> None:
    left = [accepted]

    def refusing(write: Write, descriptor: int, data: memoryview) -> int:
        if is_direct(descriptor):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.EINVAL, "Invalid argument")
        return write(descriptor, data)

    replace_write(monkeypatch, refusing)
    assert written(disk, pieces(CONTENT, 100_003), overlap=overlap) == CONTENT
    assert left == [-1]


@pytest.mark.parametrize("short", [1000, 8192])
def test_a_direct_write_of_fewer_bytes(disk: Path, monkeypatch: pytest.MonkeyPatch, overlap: bool, short: int) -> None:
    """A disk that is almost full takes the first bytes of a write. Their number may be no number of blocks."""
    cut: list[int] = []

    def once_short(write: Write, descriptor: int, data: memoryview) -> int:
        if cut or not is_direct(descriptor):
            return write(descriptor, data)
        cut.append(short)
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & ~os.O_DIRECT)
        taken = write(descriptor, data[:short])
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags)
        return taken

    replace_write(monkeypatch, once_short)
    assert written(disk, pieces(CONTENT, 100_003), overlap=overlap) == CONTENT
    assert cut == [short]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("failing", [1, 3, 5, 6])
def test_a_write_that_fails(
    disk: Path, monkeypatch: pytest.MonkeyPatch, overlap: bool, number: int, failing: int
) -> None:
    calls = [0]

    def broken(write: Write, descriptor: int, data: memoryview) -> int:
        calls[0] += 1
        if calls[0] == failing:
            raise OSError(number, os.strerror(number))
        return write(descriptor, data)

    with monkeypatch.context() as patch:
        replace_write(patch, broken)
        with pytest.raises(OSError, match=os.strerror(number)) as raised:
            written(disk, pieces(CONTENT, 100_003), overlap=overlap)
    assert raised.value.errno == number
    assert written(disk, [CONTENT], overlap=overlap) == CONTENT  # the buffers are as good as before


def test_a_write_for_which_there_is_no_memory(disk: Path, monkeypatch: pytest.MonkeyPatch, overlap: bool) -> None:
    def refused(write: Write, descriptor: int, data: memoryview) -> int:
        raise MemoryError

    replace_write(monkeypatch, refused)
    with pytest.raises(MemoryError):
        written(disk, [CONTENT], overlap=overlap)


def test_a_body_that_ends_early(tmp_path: Path, overlap: bool) -> None:
    def chunks() -> Iterator[bytes]:
        yield CONTENT[: 2 * BUFFER_BYTES + 1]
        raise ConnectionResetError("the client went away")

    with pytest.raises(ConnectionResetError):
        written(tmp_path, chunks(), overlap=overlap)


def test_a_system_that_gives_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    assert written(tmp_path, [CONTENT], overlap=True) == CONTENT


def test_buffers_are_used_again(disk: Path, overlap: bool) -> None:
    written(disk, [CONTENT], overlap=overlap)
    before = {id(each) for each in direct_writes._free_buffers}
    for _ in range(3):
        written(disk, [CONTENT], overlap=overlap)
        assert {id(each) for each in direct_writes._free_buffers} == before


def test_a_bounded_number_of_buffers_is_kept() -> None:
    taken = [direct_writes._take_buffer() for _ in range(50)]
    for each in taken:
        direct_writes._give_back(each)
    assert len(direct_writes._free_buffers) == direct_writes._KEPT_BUFFERS


def test_a_fork_does_not_share_buffers() -> None:
    buffer = direct_writes._take_buffer()
    buffer[:6] = b"parent"
    child = os.fork()
    if child == 0:
        buffer[:6] = b"child!"
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert buffer[:6] == b"parent"
    direct_writes._give_back(buffer)


def test_many_bodies_at_once(tmp_path: Path) -> None:
    def one(number: int) -> bool:
        folder = tmp_path / str(number)
        folder.mkdir()
        content = random.Random(number).randbytes(2 * BUFFER_BYTES + number)
        return written(folder, pieces(content, 100_003), overlap=bool(number % 2)) == content

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(one, range(16)))
