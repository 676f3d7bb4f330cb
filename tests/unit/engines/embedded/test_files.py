"""What `FileBlobs` promises beyond the port: names of files, order of syncs, and what a crash leaves behind."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from app.engines.embedded import directories, files
from app.engines.embedded.files import FileBlobs
from app.errors import BlobMissing, StorageUnavailable

KEY = "1/study/series/instance/7.dcm"
DAY = 24 * 60 * 60


def put(blobs: FileBlobs, key: str, content: bytes = b"x") -> None:
    blobs.put(key, io.BytesIO(content))


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_instances_of_a_series_share_a_directory(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)
    put(blobs, KEY)
    put(blobs, "1/study/series/other/8.dcm")
    put(blobs, "single")
    assert tree(tmp_path / "objects") == [
        "1",
        "1/study",
        "1/study/series",
        "1/study/series/instance~7.dcm",
        "1/study/series/other~8.dcm",
        "~single",
    ]
    assert tree(tmp_path / "incoming") == []


def test_deleting_the_last_file_removes_its_directories(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)
    for key in (KEY, "1/study/series/other/8.dcm", "1/more/series/instance/9.dcm"):
        put(blobs, key)
    blobs.delete([KEY])
    assert "1/study/series" in tree(tmp_path / "objects")
    blobs.delete(["1/study/series/other/8.dcm"])
    assert tree(tmp_path / "objects") == ["1", "1/more", "1/more/series", "1/more/series/instance~9.dcm"]
    blobs.delete(["1/more/series/instance/9.dcm", "single"])
    assert tree(tmp_path) == ["incoming", "objects"]


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "/etc/passwd",
        "1//a",
        "1/a/",
        "..",
        "1/../../a",
        "1/./a",
        "../1",
        "1\\a/b",
        "1/a\0b",
        "1/a~b",
        "1/" + "x" * 300,
        "x" * 300 + "/a/b",
        "1/\ud800",
    ],
)
def test_invalid_keys(tmp_path: Path, key: str) -> None:
    blobs = FileBlobs(tmp_path)
    for call in (lambda: put(blobs, key), lambda: blobs.open(key), lambda: blobs.delete([key])):
        with pytest.raises(ValueError, match=r"is not a blob key|surrogates"):
            call()
    assert tree(tmp_path) == ["incoming", "objects"]


def test_three_long_uids_fit(tmp_path: Path) -> None:
    uid = "2.25." + "9" * 59
    key = f"{10**9}/{uid}/{uid}/{uid}/{10**19}.dcm"
    blobs = FileBlobs(tmp_path)
    put(blobs, key)
    blobs.open(key).close()


def test_the_order_of_syncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rename the file, sync it, sync its directory, and once also the directories above."""
    monkeypatch.setattr(files, "file_sync_includes_names", lambda _: False)
    blobs = FileBlobs(tmp_path)
    happened: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def traced_fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        happened.append("sync " + ("body" if path.is_file() else str(path.relative_to(tmp_path))))
        fsync(descriptor)

    def traced_rename(path: Path, target: Path) -> Any:
        result = rename(path, target)
        happened.append("rename")
        return result

    monkeypatch.setattr(os, "fsync", traced_fsync)
    monkeypatch.setattr(Path, "rename", traced_rename)
    put(blobs, KEY)
    first = ["rename", "sync body", "sync objects/1/study/series"]
    assert happened == [*first, "sync objects/1/study", "sync objects/1", "sync objects"]
    happened.clear()
    put(blobs, "1/study/series/other/8.dcm")
    assert happened == first
    happened.clear()
    FileBlobs(tmp_path).delete([KEY, "1/study/series/other/8.dcm"])  # another process
    assert happened == ["sync objects"]
    happened.clear()
    put(blobs, KEY)
    assert happened == [*first, "sync objects/1/study", "sync objects/1", "sync objects"]


@pytest.mark.parametrize("mounted", ["ext4", "xfs", "btrfs", "overlay", ""])
def test_file_systems_that_need_no_sync_of_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mounted: str
) -> None:
    device = tmp_path.stat().st_dev
    mounts = tmp_path / "mountinfo"
    monkeypatch.setattr(directories, "_MOUNTS", mounts)
    if mounted:
        mounts.write_text(
            "22 1 0:5 / /proc rw - ext4 proc rw\n"
            f"29 1 {os.major(device)}:{os.minor(device)} / / rw shared:1 - {mounted} /dev/vda rw\n"
        )
    assert directories.file_sync_includes_names(tmp_path) == (mounted in ("ext4", "xfs"))
    seen: list[bool] = []
    fsync = os.fsync

    def traced(descriptor: int) -> None:
        seen.append(Path(f"/proc/self/fd/{descriptor}").is_dir())
        fsync(descriptor)

    blobs = FileBlobs(tmp_path / "blobs")
    monkeypatch.setattr(os, "fsync", traced)
    put(blobs, KEY)
    assert seen == ([False] if mounted in ("ext4", "xfs") else [False, *[True] * 4])


def unnamed(folder: Path, content: bytes) -> io.FileIO:
    file = io.FileIO(os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o666), "r+")
    file.write(content)
    file.seek(0)
    return file


def test_a_file_without_a_name_becomes_the_object(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)
    with unnamed(blobs.incoming, b"content") as file:
        number = os.fstat(file.fileno()).st_ino
        assert blobs.put(KEY, cast(BinaryIO, file)) == 7
    found = blobs.path(KEY).stat()
    assert (found.st_ino, found.st_nlink, found.st_size) == (number, 1, 7)
    put(blobs, "1/study/series/instance/8.dcm")
    assert found.st_mode == blobs.path("1/study/series/instance/8.dcm").stat().st_mode
    assert tree(tmp_path / "incoming") == []


def test_a_file_that_cannot_get_the_name_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = FileBlobs(tmp_path)

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    (tmp_path / "named").write_bytes(b"named")
    with (tmp_path / "named").open("rb", buffering=0) as file:
        blobs.put("named", file)
    (tmp_path / "named").write_bytes(b"other")
    with unnamed(blobs.incoming, b"part of it") as file:
        file.seek(5)
        blobs.put("part", cast(BinaryIO, file))
    for content in (b"first", b"second"):  # the second one replaces the first
        with unnamed(blobs.incoming, content) as file:
            blobs.put("twice", cast(BinaryIO, file))
    monkeypatch.setattr(os, "link", refused)
    with unnamed(blobs.incoming, b"refused") as file:
        blobs.put("refused", cast(BinaryIO, file))
    assert [blobs.open(key).read() for key in ("named", "part", "twice", "refused")] == [
        b"named",
        b"of it",
        b"second",
        b"refused",
    ]


def test_a_sync_that_fails_takes_the_name_away_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = FileBlobs(tmp_path)

    def broken(_: int) -> None:
        raise OSError(5, "Input/output error")

    with unnamed(blobs.incoming, b"content") as file, monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        with pytest.raises(StorageUnavailable):
            blobs.put(KEY, cast(BinaryIO, file))
    with pytest.raises(BlobMissing):
        blobs.open(KEY)


def test_a_killed_put_leaves_no_blob(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from app.engines.embedded.files import FileBlobs
class Body:
    calls = 0
    def read(self, size):
        self.calls += 1
        if self.calls == 4:
            print("writing", flush=True)
            sys.stdin.read()
        return b"x" * size
FileBlobs(Path(sys.argv[1])).put(sys.argv[2], Body())
"""
    command = [sys.executable, "-c", script, str(tmp_path), KEY]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        process.kill()
    blobs = FileBlobs(tmp_path)
    with pytest.raises(BlobMissing):
        blobs.open(KEY)
    assert len(tree(tmp_path / "incoming")) == 1


def test_leftovers_older_than_a_day_are_removed_at_start(tmp_path: Path) -> None:
    FileBlobs(tmp_path)
    old, young = tmp_path / "incoming" / "old", tmp_path / "incoming" / "young"
    for path in (old, young):
        path.write_bytes(b"x")
    now = young.stat().st_mtime
    os.utime(old, (now - DAY - 60, now - DAY - 60))
    os.utime(young, (now - DAY + 600, now - DAY + 600))
    FileBlobs(tmp_path)
    assert tree(tmp_path / "incoming") == ["young"]


def test_a_stream_is_a_raw_file(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)
    put(blobs, KEY, b"0123456789")
    for length in (None, 4):
        with blobs.open(KEY, 3, length) as stream:
            assert isinstance(stream, io.RawIOBase)
            assert os.lseek(stream.fileno(), 0, os.SEEK_CUR) == stream.tell() == 3
            assert os.fstat(stream.fileno()).st_size == 10
            assert stream.seek(5) == 5
            assert stream.read() == (b"56789" if length is None else b"56")


def test_a_range_with_a_buffer_of_the_caller(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)
    put(blobs, KEY, bytes(range(256)) * 1000)
    with io.BufferedReader(blobs.open(KEY, 100, 200_000)) as stream:  # type: ignore[type-var]
        content = stream.read(10) + stream.read()
    assert content == (bytes(range(256)) * 1000)[100:200_100]


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageUnavailable):
        FileBlobs(tmp_path / "file")


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = FileBlobs(tmp_path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageUnavailable):
        put(blobs, KEY)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_almost_full_disk_still_allows_deletions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = FileBlobs(tmp_path)
    put(blobs, KEY)
    monkeypatch.setattr(files, "RESERVED_BYTES", 2**62)
    with pytest.raises(StorageUnavailable):
        put(blobs, "1/study/series/other/8.dcm")
    assert tree(tmp_path / "incoming") == []
    blobs.open(KEY).close()
    blobs.delete([KEY])
    assert tree(tmp_path) == ["incoming", "objects"]


def test_directories_that_are_removed_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process may remove a directory before the rename into it. The rename is repeated, but not for ever."""
    blobs = FileBlobs(tmp_path)
    make = Path.mkdir
    left = [3]

    def unlucky(path: Path, *arguments: Any, **options: Any) -> None:
        make(path, *arguments, **options)
        if path.name == "series" and left[0]:
            left[0] -= 1
            path.rmdir()

    monkeypatch.setattr(Path, "mkdir", unlucky)
    put(blobs, KEY)
    blobs.open(KEY).close()
    left[0] = 10_000
    with pytest.raises(StorageUnavailable):
        put(blobs, "2/study/series/instance/7.dcm")
    assert tree(tmp_path / "incoming") == []
