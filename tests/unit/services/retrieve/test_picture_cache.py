"""The folder of pictures is bounded, survives a kill, and never gives damaged or half-written bytes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from app.services.retrieve.picture_cache import PictureCache
from app.services.retrieve.picture_folder import PictureFolder

TAGS = [f"{number:040x}" for number in range(0, 64 << 152, 1 << 152)]


def stored_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_a_picture_is_found_by_another_process_under_a_safe_name(tmp_path: Path) -> None:
    PictureFolder(tmp_path / "new", 1 << 20).put(TAGS[7], b"picture")
    assert PictureFolder(tmp_path / "new", 1 << 20).get(TAGS[7]) == b"picture"
    assert PictureFolder(tmp_path / "new", 1 << 20).get(TAGS[8]) is None
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert path.name == TAGS[7]
    assert path.stat().st_mode & 0o077 == 0


def test_the_folder_keeps_its_limit_and_removes_what_was_not_used_longest(tmp_path: Path) -> None:
    folder = PictureFolder(tmp_path, 16_000)
    now = time.time()
    for number, tag in enumerate(TAGS[:15]):
        folder.put(tag, bytes(968))
        os.utime(tmp_path / tag[:2] / tag, (now - 1000 + number, now - 1000 + number))
    assert folder.get(TAGS[0]) is not None  # used now, so it stays
    for tag in TAGS[15:20]:
        folder.put(tag, bytes(968))
    assert stored_bytes(tmp_path) <= 16_000
    assert folder.get(TAGS[0]) is not None
    assert folder.get(TAGS[1]) is None
    assert folder.get(TAGS[19]) is not None


def test_a_large_picture_is_not_kept(tmp_path: Path) -> None:
    folder = PictureFolder(tmp_path, 1600)
    folder.put(TAGS[0], bytes(101))
    assert folder.get(TAGS[0]) is None


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"", lambda data: data[:-1] + b"\1"])
def test_a_damaged_file_is_not_given(tmp_path: Path, damage: object) -> None:
    folder = PictureFolder(tmp_path, 1 << 20)
    folder.put(TAGS[0], bytes(100))
    path = tmp_path / TAGS[0][:2] / TAGS[0]
    assert callable(damage)
    path.write_bytes(damage(path.read_bytes()))
    assert folder.get(TAGS[0]) is None
    folder.put(TAGS[0], bytes(100))
    assert folder.get(TAGS[0]) == bytes(100)


def test_what_a_killed_process_left_is_removed_later(tmp_path: Path) -> None:
    left = tmp_path / "00" / f"{TAGS[0]}-123-0.part"
    young = tmp_path / "00" / f"{TAGS[0]}-124-0.part"
    left.parent.mkdir()
    for path in (left, young):
        path.write_bytes(b"half")
    os.utime(left, (time.time() - 3600,) * 2)
    folder = PictureFolder(tmp_path, 1 << 20)
    assert folder.get(TAGS[0]) is None
    folder.put(TAGS[1], b"picture")
    assert (left.exists(), young.exists()) == (False, True)


def test_a_folder_that_fails_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    folder = PictureFolder(tmp_path / "file", 1 << 20)
    folder.put(TAGS[0], b"picture")
    assert folder.get(TAGS[0]) is None


def test_memory_is_bounded_and_filled_from_the_folder(tmp_path: Path) -> None:
    folder = PictureFolder(tmp_path, 1 << 20)
    cache = PictureCache(1000, folder)
    for tag in TAGS[:3]:
        cache.put(tag, bytes(400))
    for path in tmp_path.rglob("*"):
        if path.is_file():
            path.unlink()
    assert [cache.get(tag) is not None for tag in TAGS[:3]] == [False, True, True]
    folder.put(TAGS[5], bytes(10))
    assert cache.get(TAGS[5]) == bytes(10)
    (tmp_path / TAGS[5][:2] / TAGS[5]).unlink()
    assert cache.get(TAGS[5]) == bytes(10)
    assert PictureCache(0).get(TAGS[5]) is None


def test_files_and_links_of_others_stay_as_they_are(tmp_path: Path) -> None:
    folder, outside = tmp_path / "pictures", tmp_path / "outside"
    foreign = [outside / TAGS[1], folder / "de" / "letter", folder / "00" / "note", folder / "ab"]
    for path in foreign:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(5000))
    (folder / TAGS[5][:2]).symlink_to(outside)
    pictures = PictureFolder(folder, 1600)
    for tag in TAGS[2:12]:
        pictures.put(tag, bytes(60))
    assert all(path.stat().st_size == 5000 for path in foreign)
    assert list(outside.iterdir()) == [outside / TAGS[1]]
    assert pictures.get(TAGS[5]) is None
    assert pictures.get(TAGS[11]) is not None
