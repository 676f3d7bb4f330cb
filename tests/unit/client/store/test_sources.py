"""What is found in folders, DICOMDIR and archives."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import pytest

from app.client.store import archives
from app.client.store.contents import SourceChanged
from app.client.store.found import DicomFile, DoneEarlier, Found, NotDicom, Unreadable
from app.client.store.sources import STANDARD_INPUT, found_files, size_of
from tests.support.bundled_files import FOLDER
from tests.support.instances import make_instance


def found(*paths: Path, done: Iterable[str] = ()) -> list[Found]:
    return list(found_files(paths, frozenset(done).__contains__))


def contents(each: Found) -> bytes:
    assert isinstance(each, DicomFile), each
    data = b"".join(each.content.pieces())
    assert data == b"".join(each.content.pieces()), "the content is read once only"
    return data


def reason(each: Found) -> str:
    assert isinstance(each, Unreadable), each
    return each.reason


@pytest.fixture
def instances() -> list[bytes]:
    return [make_instance(pixel=False) for _ in range(3)]


@pytest.fixture
def folder(tmp_path: Path, instances: list[bytes]) -> Path:
    root = tmp_path / "images"
    (root / "b" / "deep").mkdir(parents=True)
    (root / "b" / "deep" / "no suffix").write_bytes(instances[1])
    (root / "a.dcm").write_bytes(instances[0])
    (root / "notes.txt").write_text("no image")
    (root / "empty").touch()
    return root


def test_a_folder_is_read_with_all_its_folders(folder: Path, instances: list[bytes]) -> None:
    first, *others, last = found(folder)
    assert [contents(first), contents(last)] == instances[:2]
    assert [type(each) for each in others] == [NotDicom, NotDicom]
    assert sum(each.weight for each in found(folder)) == sum(size_of([folder]))


def test_a_link_to_a_folder_is_followed_and_no_endless_loop(folder: Path, instances: list[bytes]) -> None:
    (folder / "b" / "loop").symlink_to(folder)
    assert len(found(folder)) == 4
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "c.dcm").write_bytes(instances[2])
    (folder / "link").symlink_to(elsewhere)
    assert contents(found(folder)[-1]) == instances[2]
    (folder / "nowhere").symlink_to(folder / "missing")
    assert [each.reason for each in found(folder) if isinstance(each, Unreadable)] == [
        "It cannot be read: No such file or directory."
    ]


def test_a_device_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert [type(each) for each in found(tmp_path)] == [NotDicom]


def test_a_file_without_the_start_of_a_dicom_file_is_one(tmp_path: Path) -> None:
    (tmp_path / "bare").write_bytes(make_instance(pixel=False)[132:])
    assert [type(each) for each in found(tmp_path)] == [DicomFile]


def test_the_key_changes_with_the_file(folder: Path) -> None:
    (first,) = found(folder / "a.dcm")
    assert isinstance(first, DicomFile)
    assert [type(each) for each in found(folder / "a.dcm", done=[first.key])] == [DoneEarlier]
    os.utime(folder / "a.dcm", ns=(1, 1))
    assert [type(each) for each in found(folder / "a.dcm", done=[first.key])] == [DicomFile]


def test_a_file_that_changes_while_it_is_sent_is_noticed(folder: Path) -> None:
    (first,) = found(folder / "a.dcm")
    assert isinstance(first, DicomFile)
    with (folder / "a.dcm").open("ab") as file:
        file.write(b"x")
    with pytest.raises(SourceChanged, match="changed while it was read"):
        list(first.content.pieces())
    (folder / "a.dcm").unlink()
    with pytest.raises(SourceChanged, match="No such file"):
        list(first.content.pieces())


# --- DICOMDIR -----------------------------------------------------------------------------------------------------


def test_the_files_that_a_dicomdir_names(tmp_path: Path) -> None:
    medium = tmp_path / "medium"
    shutil.copytree(FOLDER / "dicomdirtests", medium)
    (medium / "unnamed.dcm").write_bytes(make_instance(pixel=False))
    named = found(medium / "DICOMDIR")
    assert len(named) == 31
    assert {type(each) for each in named} == {DicomFile}
    assert sum(each.weight for each in named) == sum(size_of([medium / "DICOMDIR"]))
    missing = Path(named[0].name)
    missing.unlink()
    assert reason(found(medium / "DICOMDIR")[0]) == "The DICOMDIR names a file that does not exist."


def test_a_dicomdir_is_no_instance() -> None:
    directories = [each for each in found(FOLDER / "dicomdirtests") if Path(each.name).name.startswith("DICOMDIR")]
    assert len(directories) > 5
    assert {type(each) for each in directories} == {NotDicom}


def test_a_damaged_dicomdir_is_reported(tmp_path: Path) -> None:
    (tmp_path / "DICOMDIR").write_bytes(b"no directory")
    (only,) = found(tmp_path / "DICOMDIR")
    assert "The DICOMDIR cannot be read" in reason(only)


# --- zip ----------------------------------------------------------------------------------------------------------


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_a_zip_archive_is_read_without_writing_its_names(tmp_path: Path, instances: list[bytes]) -> None:
    members = {"../../evil.dcm": instances[0], "/abs/b": instances[1], "readme": b"text", "folder/": b""}
    path = zipped(tmp_path / "x.zip", members)
    first, second, other = found(path)
    assert [contents(first), contents(second)] == instances[:2]
    assert isinstance(other, NotDicom)
    assert list(tmp_path.iterdir()) == [path]
    assert isinstance(first, DicomFile)
    assert isinstance(found(path, done=[first.key])[0], DoneEarlier)


def test_damage_in_a_zip_archive_costs_the_members_that_it_hits(tmp_path: Path, instances: list[bytes]) -> None:
    path = zipped(tmp_path / "x.zip", {f"{number}": data for number, data in enumerate(instances)})
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("1").header_offset + 60
    data = bytearray(path.read_bytes())
    data[start : start + 40] = b"\xff" * 40
    path.write_bytes(data)
    first, damaged, last = found(path)
    assert [contents(first), contents(last)] == [instances[0], instances[2]]
    assert "The member of the archive is damaged" in reason(damaged)


def test_a_zip_archive_that_is_cut_is_reported(tmp_path: Path, instances: list[bytes]) -> None:
    path = zipped(tmp_path / "x.zip", {"a": instances[0]})
    path.write_bytes(path.read_bytes()[:-30])
    (only,) = found(path)
    assert "The zip archive is damaged" in reason(only)


def test_an_encrypted_member_is_reported(tmp_path: Path, instances: list[bytes]) -> None:
    path = zipped(tmp_path / "x.zip", {"a": instances[0]})
    data = path.read_bytes()
    entry = data.index(b"PK\x01\x02")
    path.write_bytes(data[: entry + 8] + b"\x01" + data[entry + 9 :])
    (only,) = found(path)
    assert reason(only) == "The member of the archive is encrypted."


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_SUSPECT_BYTES", 1 << 20)
    bomb = make_instance(pixel=bytes(8 << 20))
    packed = [found(zipped(tmp_path / "x.zip", {"a": bomb})), found(tarred(tmp_path / "x.tar.gz", {"a": bomb}))]
    assert ["expands more than an image does" in reason(each) for each, *_ in packed] == [True, True]


def test_a_member_larger_than_an_instance_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAXIMUM_BYTES", 1000)
    path = zipped(tmp_path / "x.zip", {"a": make_instance(rows=64, columns=64)})
    assert "larger than 1000 bytes" in reason(found(path)[0])


# --- tar ----------------------------------------------------------------------------------------------------------


def tarred(path: Path, members: dict[str, bytes]) -> Path:
    mode = {".gz": "w:gz", ".bz2": "w:bz2", ".xz": "w:xz"}.get(path.suffix, "w")
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]  # the mode is a text
        for name, data in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            archive.addfile(header, io.BytesIO(data))
    return path


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_a_tar_archive_is_read_as_a_stream(tmp_path: Path, instances: list[bytes], suffix: str) -> None:
    path = tarred(tmp_path / f"x.{suffix}", {"../evil": instances[0], "text": b"text", "b" * 200: instances[1]})
    first, other, last = found(tmp_path)
    assert [contents(first), contents(last)] == instances[:2]
    assert isinstance(other, NotDicom)
    assert sum(each.weight for each in found(path)) <= path.stat().st_size
    assert isinstance(first, DicomFile)
    assert isinstance(found(path, done=[first.key])[0], DoneEarlier)


def test_a_large_member_lies_in_a_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MEMORY_BYTES", 1000)
    large = make_instance(rows=64, columns=64)
    (only,) = found(tarred(tmp_path / "x.tar", {"a": large}))
    assert contents(only) == large


def test_a_tar_archive_that_is_cut_keeps_what_is_before(tmp_path: Path, instances: list[bytes]) -> None:
    path = tarred(tmp_path / "x.tar", {"a": instances[0], "b": make_instance(rows=64, columns=64)})
    path.write_bytes(path.read_bytes()[:4096])
    first, damage = found(path)
    assert contents(first) == instances[0]
    assert "The tar archive is damaged" in reason(damage)


def test_a_header_that_fills_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_EXTENDED_HEADER_BYTES", 1000)
    (only,) = found(tarred(tmp_path / "x.tar.gz", {"n" * 5000: b"x"}))
    assert "a header is too large" in reason(only)


def test_a_tar_archive_on_standard_input(
    tmp_path: Path, instances: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Input:
        buffer: IO[bytes] = tarred(tmp_path / "x.tgz", {"a": instances[0]}).open("rb")

    monkeypatch.setattr("sys.stdin", Input)
    (only,) = found(STANDARD_INPUT)
    assert contents(only) == instances[0]


def test_an_archive_without_its_suffix_is_opened_if_it_is_named(tmp_path: Path, instances: list[bytes]) -> None:
    path = zipped(tmp_path / "export", {"a": instances[0]})
    assert contents(found(path)[0]) == instances[0]
    assert isinstance(found(tmp_path)[0], NotDicom)


def test_a_header_of_a_tar_archive_that_names_a_huge_length_is_damage(tmp_path: Path) -> None:
    header = tarfile.TarInfo("p")
    header.type, header.size = tarfile.XHDTYPE, 26
    path = tmp_path / "x.tar"
    path.write_bytes(header.tobuf() + b"99999999999999999999 a=b\n".ljust(512, b"\0") + bytes(1024))
    (only,) = found(path)
    assert "The tar archive is damaged" in reason(only)


def test_a_member_of_a_zip_archive_without_a_name_is_damage(tmp_path: Path, instances: list[bytes]) -> None:
    path = zipped(tmp_path / "x.zip", {"a": instances[0]})
    path.write_bytes(path.read_bytes().replace(b"a" + b"PK\x05\x06", b"\0PK\x05\x06"))
    (only,) = found(path)
    assert "The zip archive is damaged" in reason(only)
