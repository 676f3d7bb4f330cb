"""The contract of the `BlobStore` port (app/storage/table/ports.py), for each engine."""

from __future__ import annotations

import hashlib
import io
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, cast

import pytest

from app.errors import BlobMissing
from app.storage.table.ports import BlobStore

KEY = "1/1.2.840.10008.1/1.2.840.10008.2/1.2.840.10008.3/7.dcm"
MIB = 1024 * 1024


class Trickle(io.RawIOBase):
    """A body that cannot seek and returns pieces of uneven size. It fails at the end if `breaks`."""

    def __init__(self, content: bytes, *, breaks: bool = False) -> None:
        self._content = io.BytesIO(content)
        self._breaks = breaks

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = 100_003 if size is None or size < 0 else min(size, 100_003)
        chunk = self._content.read(wanted)
        if self._breaks and not chunk:
            raise ConnectionResetError("the client went away")
        return chunk


def put(blobs: BlobStore, key: str, content: bytes) -> int:
    return blobs.put(key, io.BytesIO(content))


def read(blobs: BlobStore, key: str, start: int = 0, length: int | None = None) -> bytes:
    with blobs.open(key, start, length) as stream:
        return b"".join(iter(lambda: stream.read(65_536), b""))


def exists(blobs: BlobStore, key: str) -> bool:
    try:
        blobs.open(key).close()
    except BlobMissing:
        return False
    return True


class TestPut:
    def test_a_put_object_is_read(self, blobs: BlobStore) -> None:
        content = random.Random(1).randbytes(530_000)
        assert put(blobs, KEY, content) == 530_000
        assert read(blobs, KEY) == content

    def test_an_empty_object(self, blobs: BlobStore) -> None:
        assert put(blobs, KEY, b"") == 0
        assert read(blobs, KEY) == b""
        assert read(blobs, KEY, 0, 10) == b""

    def test_from_the_current_position(self, blobs: BlobStore) -> None:
        body = io.BytesIO(b"0123456789")
        body.seek(4)
        assert blobs.put(KEY, body) == 6
        assert read(blobs, KEY) == b"456789"

    def test_20_mb_in_uneven_pieces(self, blobs: BlobStore) -> None:
        content = random.Random(2).randbytes(20 * MIB + 1)
        assert blobs.put(KEY, cast(BinaryIO, Trickle(content))) == len(content)
        assert hashlib.sha256(read(blobs, KEY)).digest() == hashlib.sha256(content).digest()
        assert read(blobs, KEY, 16 * MIB - 3, 6) == content[16 * MIB - 3 : 16 * MIB + 3]

    @pytest.mark.parametrize("size", [8 * MIB - 1, 8 * MIB, 8 * MIB + 1])
    def test_around_the_size_of_a_part(self, blobs: BlobStore, size: int) -> None:
        assert put(blobs, KEY, b"x" * size) == size
        assert len(read(blobs, KEY)) == size

    def test_an_object_is_replaced_as_a_whole(self, blobs: BlobStore) -> None:
        put(blobs, KEY, b"a" * 1000)
        put(blobs, KEY, b"bb")
        assert read(blobs, KEY) == b"bb"

    @pytest.mark.parametrize("size", [0, 1000, 20 * MIB])
    def test_a_body_that_fails_leaves_no_object(self, blobs: BlobStore, size: int) -> None:
        with pytest.raises(ConnectionResetError):
            blobs.put(KEY, cast(BinaryIO, Trickle(b"x" * size, breaks=True)))
        assert not exists(blobs, KEY)

    def test_a_body_that_fails_leaves_the_old_object(self, blobs: BlobStore) -> None:
        put(blobs, KEY, b"old")
        with pytest.raises(ConnectionResetError):
            blobs.put(KEY, cast(BinaryIO, Trickle(b"x" * 1000, breaks=True)))
        assert read(blobs, KEY) == b"old"

    def test_keys_are_separate(self, blobs: BlobStore) -> None:
        keys = [
            "1/a/b/c/1.dcm",
            "1/a/b/c/2.dcm",
            "1/a/b/c1/1.dcm",
            "11/a/b/c/1.dcm",
            "1/a/b/1.dcm",
            "single",
            "1/A/b/c/1.dcm",
        ]
        for key in keys:
            put(blobs, key, key.encode())
        assert [read(blobs, key) for key in keys] == [key.encode() for key in keys]

    def test_16_threads(self, blobs: BlobStore) -> None:
        keys = [f"1/s/{n % 3}/i{n}/{n}.dcm" for n in range(48)]
        with ThreadPoolExecutor(16) as threads:
            list(threads.map(lambda key: put(blobs, key, key.encode() * 1000), keys))
            assert list(threads.map(lambda key: read(blobs, key), keys)) == [key.encode() * 1000 for key in keys]


class TestOpen:
    @pytest.mark.parametrize(
        ("start", "length", "expected"),
        [
            (0, None, b"0123456789"),
            (3, None, b"3456789"),
            (0, 4, b"0123"),
            (3, 4, b"3456"),
            (9, 1, b"9"),
            (8, 100, b"89"),
            (0, 0, b""),
            (5, 0, b""),
            (10, None, b""),
            (10, 5, b""),
            (11, None, b""),
            (10_000, 5, b""),
        ],
    )
    def test_ranges(self, blobs: BlobStore, start: int, length: int | None, expected: bytes) -> None:
        put(blobs, KEY, b"0123456789")
        with blobs.open(KEY, start, length) as stream:
            assert stream.read() == expected
            assert stream.read() == stream.read(5) == b""
        with blobs.open(KEY, start, length) as stream:
            buffer = bytearray(50)
            assert stream.readinto(buffer) == len(expected)  # type: ignore[attr-defined]
            assert bytes(buffer).rstrip(b"\0") == expected
            assert stream.readinto(buffer) == 0  # type: ignore[attr-defined]
        with blobs.open(KEY, start, length) as stream:
            assert stream.read(0) == b""
            assert stream.read(2) + stream.read(100) == expected

    @pytest.mark.parametrize(("start", "length"), [(-1, None), (0, -1)])
    def test_empty_ranges(self, blobs: BlobStore, start: int, length: int | None) -> None:
        put(blobs, KEY, b"x")
        with pytest.raises(ValueError, match="range"):
            blobs.open(KEY, start, length)

    @pytest.mark.parametrize(("start", "length"), [(0, None), (5, None), (0, 0), (5, 5)])
    def test_missing(self, blobs: BlobStore, start: int, length: int | None) -> None:
        with pytest.raises(BlobMissing) as caught:
            blobs.open(KEY, start, length)
        assert caught.value.key == KEY

    def test_a_prefix_of_a_key_is_no_object(self, blobs: BlobStore) -> None:
        put(blobs, KEY, b"x")
        assert not exists(blobs, KEY.rpartition("/")[0])
        assert not exists(blobs, KEY + "/more/of/it")

    def test_streams_are_independent(self, blobs: BlobStore) -> None:
        put(blobs, KEY, b"0123456789")
        with blobs.open(KEY) as one, blobs.open(KEY, 5) as other:
            assert [one.read(2), other.read(2), one.read(2), other.read()] == [b"01", b"56", b"23", b"789"]

    def test_a_closed_stream(self, blobs: BlobStore) -> None:
        put(blobs, KEY, b"x" * MIB)
        stream = blobs.open(KEY)
        assert stream.read(1) == b"x"
        assert not stream.closed
        stream.close()
        stream.close()
        assert stream.closed


class TestDelete:
    def test_many_objects_some_of_them_missing(self, blobs: BlobStore) -> None:
        there = [f"1/s/{n % 7}/i/{n}.dcm" for n in range(1100)]
        for key in there[::5]:
            put(blobs, key, b"x")
        put(blobs, "1/s/0/i/stays.dcm", b"x")
        blobs.delete(iter(there))
        blobs.delete(there)
        assert not any(exists(blobs, key) for key in there[::5])
        assert exists(blobs, "1/s/0/i/stays.dcm")

    def test_no_keys(self, blobs: BlobStore) -> None:
        blobs.delete([])

    def test_put_again(self, blobs: BlobStore) -> None:
        for content in (b"1", b"2", b"3"):
            put(blobs, KEY, content)
            assert read(blobs, KEY) == content
            blobs.delete([KEY])
            assert not exists(blobs, KEY)

    def test_a_longer_key_is_not_deleted(self, blobs: BlobStore) -> None:
        put(blobs, KEY, b"1")
        put(blobs, KEY + "2", b"2")
        blobs.delete([KEY])
        assert read(blobs, KEY + "2") == b"2"

    def test_beside_puts_into_the_same_folder(self, blobs: BlobStore) -> None:
        """A thread deletes the last object of a series while another thread stores one in it."""

        def turn(n: int) -> None:
            for version in range(20):
                key = f"1/study/series/i{n}/{version}.dcm"
                put(blobs, key, b"x")
                assert read(blobs, key) == b"x"
                blobs.delete([key])

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(turn, range(4)))


class TestListed:
    """Keys of several depths, so that files and folders of one name lie between each other."""

    KEYS = ("1/S/E/I/v.dcm", "1/S/E/I/v.json", "1/S/E.1/I/v.dcm", "1/S/E/J/v.dcm", "1/S.1/E/I/v.dcm", "10/S/E/I/v.dcm",
            "2/a/b", "2/a/a/x", "2/a/c/x", "names/1.json", "top", "é/b/c")  # fmt: skip

    def fill(self, blobs: BlobStore) -> list[str]:
        for key in self.KEYS:
            put(blobs, key, key.encode())
        return sorted(self.KEYS, key=str.encode)

    def test_all_objects_in_the_order_of_their_keys(self, blobs: BlobStore) -> None:
        expected = self.fill(blobs)
        found = list(blobs.listed())
        assert [each.key for each in found] == expected
        assert [each.size for each in found] == [len(key.encode()) for key in expected]
        assert all(abs(each.modified - time.time()) < 60 for each in found)

    @pytest.mark.parametrize("prefix", ["1/", "1/S/", "1/S/E/", "2/", "2/a/", "10/S/", "names/", "none/", "é/"])
    def test_with_a_prefix(self, blobs: BlobStore, prefix: str) -> None:
        expected = [key for key in self.fill(blobs) if key.startswith(prefix)]
        assert [each.key for each in blobs.listed(prefix)] == expected

    def test_after_each_key(self, blobs: BlobStore) -> None:
        expected = self.fill(blobs)
        for number, key in enumerate(expected):
            assert [each.key for each in blobs.listed(after=key)] == expected[number + 1 :], key
        assert [each.key for each in blobs.listed("1/", after="1/S/E/I/v.dcm~")] == [
            key for key in expected if key.startswith("1/") and key > "1/S/E/I/v.dcm~"
        ]

    def test_no_objects(self, blobs: BlobStore) -> None:
        assert list(blobs.listed()) == []
