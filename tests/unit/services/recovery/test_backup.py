"""Backup of a data folder that is in use, and its restore."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard
from click.testing import CliRunner, Result

from app.bootstrap.backup import build_backup
from app.bootstrap.engines import build_engine
from app.engines.embedded import backup_source
from app.engines.embedded.files import FileBlobs
from app.entry import cli
from app.entry.doctor import folders
from app.errors import BackupRuns, ConfigurationError, RecoveryError
from app.services.recovery import durable_files
from app.services.recovery.backup import BackupReport
from app.settings import Settings
from tests.support.archive import Archive, file

SERIES = ("1.1", "1.1.1")


def show_nothing(doing: str, done: int, total: int | None) -> None: ...


def back_up(archive: Archive, destination: Path, keep: int = 7) -> BackupReport:
    backup = build_backup(Settings(data_dir=archive.folder), destination, show_nothing, release="test")
    return backup.run(keep)


def bulkhead(folder: Path, *arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.main, [*map(str, arguments)], env={"BULKHEAD_DATA_DIR": str(folder)})


def restored(backup: Path, target: Path, *options: str) -> Archive:
    result = bulkhead(target, "restore", backup, "--quiet", *options)
    assert result.exit_code == 0, result.output
    copy = Archive(target, small=0)
    copy.read_whole_feed()
    return copy


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """Three instances, which are files."""
    archive = Archive(tmp_path / "data", small=0)
    assert archive.store(*(file(*SERIES, f"1.1.1.{number}") for number in range(1, 4))) == [0, 0, 0]
    return archive


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def bodies(archive: Archive) -> list[bytes]:
    return [archive.stored_blobs.open(key).read() for key in archive.blobs()]


def files_of(destination: Path) -> set[str]:
    return {path.name for path in (destination / "blobs").rglob("*.dcm")}


def test_a_restored_archive_has_everything_and_goes_on(archive: Archive, destination: Path, tmp_path: Path) -> None:
    back_up(archive, destination)
    copy = restored(destination, tmp_path / "restored")
    assert copy.visible() == archive.visible()
    copy.check_clean()
    copy.store(file(*SERIES, "1.1.1.9"))
    copy.delete(*SERIES, "1.1.1.1")
    copy.work()
    assert {uids[2] for uids in copy.visible()} == {"1.1.1.2", "1.1.1.3", "1.1.1.9"}
    assert {uids[2] for uids in archive.visible()} == {"1.1.1.1", "1.1.1.2", "1.1.1.3"}


def test_small_instances_are_in_each_backup(tmp_path: Path, destination: Path) -> None:
    archive = Archive(tmp_path / "data")
    archive.store(*(file(*SERIES, f"1.1.1.{number}") for number in range(1, 4)))
    first = back_up(archive, destination)
    archive.delete(*SERIES, "1.1.1.1")
    archive.work()
    archive.store(file(*SERIES, "1.1.1.4"))
    back_up(archive, destination)
    copies = [
        restored(destination, tmp_path / "first", "--generation", first.generation),
        restored(destination, tmp_path / "second"),
    ]
    for copy, instances in zip(copies, (["1", "2", "3"], ["2", "3", "4"]), strict=True):
        assert {uids[2] for uids in copy.visible()} == {f"1.1.1.{instance}" for instance in instances}
        copy.check_clean()
        assert all(bodies(copy))


def test_a_small_instance_that_is_deleted_during_a_backup_is_in_it(
    tmp_path: Path, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Archive(tmp_path / "data")
    archive.store(file(*SERIES, "1.1.1.1"))
    before = bodies(archive)
    copy = backup_source._copy

    def copy_after_deletion(*arguments: Any) -> None:
        if archive.visible():
            archive.delete(*SERIES, "1.1.1.1")
            archive.work()
            assert not archive.blobs()
        copy(*arguments)

    monkeypatch.setattr(backup_source, "_copy", copy_after_deletion)
    back_up(archive, destination)
    assert bodies(restored(destination, tmp_path / "restored")) == before
    assert not archive.visible()


def test_a_second_backup_copies_only_what_is_new(archive: Archive, destination: Path, tmp_path: Path) -> None:
    first = back_up(archive, destination)
    assert first.copied_files == sum(path.is_file() for path in (archive.folder / "blobs" / "objects").rglob("*"))
    archive.store(file("1.2", "1.2.1", "1.2.1.1"))
    second = back_up(archive, destination)
    assert second.copied_files == 1
    assert second.files == first.files + 1
    assert len(restored(destination, tmp_path / "new").visible()) == 4
    assert len(restored(destination, tmp_path / "old", "--generation", first.generation).visible()) == 3


def test_old_backups_are_removed_with_the_files_that_only_they_have(
    archive: Archive, destination: Path, tmp_path: Path
) -> None:
    first = back_up(archive, destination, keep=2)
    archive.delete(*SERIES, "1.1.1.1")
    archive.work()
    second = back_up(archive, destination, keep=2)
    assert len(files_of(destination)) == 3
    third = back_up(archive, destination, keep=2)
    assert third.dropped == [first.generation]
    assert len(files_of(destination)) == 2
    assert bulkhead(archive.folder, "restore", destination, "--list").output.split()[::4] == [
        second.generation,
        third.generation,
    ]
    assert restored(destination, tmp_path / "restored").visible() == archive.visible()


class Interrupted(BaseException):
    """Stands for a kill -9: nothing of the code handles it."""


def fail_at_copy(monkeypatch: pytest.MonkeyPatch, number: int, error: BaseException) -> None:
    """Let the copy of this number fail, in place of being made."""
    copy = durable_files.copy
    copies: list[Path] = []

    def failing(source: Path, target: Path, incoming: Path) -> durable_files.Contents:
        copies.append(target)
        if len(copies) == number:
            raise error
        return copy(source, target, incoming)

    monkeypatch.setattr(durable_files, "copy", failing)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_killed_backup_leaves_the_earlier_one_and_the_next_one_goes_on(
    archive: Archive, destination: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    back_up(archive, destination)
    archive.store(file("1.2", "1.2.1", "1.2.1.1"), file("1.2", "1.2.1", "1.2.1.2"))
    with monkeypatch.context() as patch:
        fail_at_copy(patch, number, Interrupted())  # the third copy is that of the layout file
        with pytest.raises(Interrupted):
            back_up(archive, destination)
    assert len(restored(destination, tmp_path / "between").visible()) == 3
    report = back_up(archive, destination)
    assert report.copied_files <= 3 - number + 1
    assert len(restored(destination, tmp_path / "after").visible()) == 5
    assert [path.name for path in (destination / "generations").iterdir() if "." in path.name] == []
    assert not (archive.folder / "blobs" / "held").exists()


def test_a_full_disk_ends_the_backup_and_leaves_the_earlier_one(
    archive: Archive, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bulkhead(archive.folder, "backup", destination, "--quiet").exit_code == 0
    archive.store(file("1.2", "1.2.1", "1.2.1.1"))
    fail_at_copy(monkeypatch, 1, OSError(28, "No space left on device"))
    result = bulkhead(archive.folder, "backup", destination, "--quiet")
    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert len(list((destination / "generations").iterdir())) == 1


# --- deletions while a backup runs --------------------------------------------------------------------------------


def test_files_that_are_deleted_after_the_copy_of_the_table_are_in_the_backup(
    archive: Archive, destination: Path, tmp_path: Path
) -> None:
    before = archive.visible()

    def delete(doing: str, done: int, total: int | None) -> None:
        if done == total and archive.visible():  # the table is copied, and the files are not
            archive.delete(*SERIES)
            archive.work()
            assert archive.blobs() == []

    settings = Settings(data_dir=archive.folder)
    # The files are copied while the table is: without `held`, no file would be left for the copied table.
    backup = build_backup(settings, destination, delete, release="test")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backup, "_new_files", lambda _: iter(()))
        backup.run(7)
    copy = restored(destination, tmp_path / "restored")
    assert copy.visible() == before
    assert not (archive.folder / "blobs" / "held").exists(), "the files of deleted instances stay"


def test_restore_check_indexes_what_was_stored_during_the_backup(
    archive: Archive, destination: Path, tmp_path: Path
) -> None:
    stored: list[int] = []

    def store(doing: str, done: int, total: int | None) -> None:
        if done == total and not stored:  # the table is copied, and the files are not
            stored.extend(archive.store(file("1.2", "1.2.1", "1.2.1.1")))

    settings = Settings(data_dir=archive.folder)
    build_backup(settings, destination, store, release="test").run(7)
    target = tmp_path / "restored"
    assert bulkhead(target, "restore", destination, "--quiet").exit_code == 0
    result = bulkhead(target, "restore-check", "--quiet")
    assert result.exit_code == 0, result.output
    copy = Archive(target, small=0)
    copy.read_whole_feed()
    assert copy.visible() == archive.visible()
    assert stored == [0]


def test_a_backup_while_clients_store_and_delete_has_the_file_of_every_row(
    archive: Archive, destination: Path, tmp_path: Path
) -> None:
    stop = threading.Event()
    failures: list[Exception] = []

    def change() -> None:
        writer = Archive(archive.folder, small=0)
        number = 0
        try:
            while not stop.is_set():
                number += 1
                study = f"1.7.{number}"
                writer.store(*(file(study, f"{study}.1", f"{study}.1.{each}") for each in range(1, 4)))
                if number > 2:
                    writer.delete(f"1.7.{number - 2}")
                    writer.work()
        except Exception as error:  # noqa: BLE001 - the test reports what its thread raised
            failures.append(error)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(5):
            back_up(archive, destination)
    finally:
        stop.set()
        thread.join()
    assert failures == []
    generations = bulkhead(archive.folder, "restore", destination, "--list").output.split()[::4]
    assert len(generations) == 5
    for number, generation in enumerate(generations):
        copy = restored(destination, tmp_path / f"restored-{number}", "--generation", generation)
        assert len(copy.visible()) >= 3  # reads the file of each row


def test_what_a_killed_backup_held_is_removed_by_the_next_deletion(archive: Archive) -> None:
    held = archive.folder / "blobs" / "held" / "1"
    held.mkdir(parents=True)
    (held / "left.dcm").write_bytes(b"left")
    archive.delete(*SERIES, "1.1.1.1")
    archive.work()
    assert not held.parent.exists()
    assert len(archive.blobs()) == 2


def test_a_start_removes_what_a_killed_backup_held(archive: Archive) -> None:
    held = archive.folder / "blobs" / "held" / "1"
    held.mkdir(parents=True)
    FileBlobs(archive.folder / "blobs")
    assert not held.parent.exists()


# --- the check of `bulkhead doctor` -------------------------------------------------------------------------------


def backup_finding(settings: Settings) -> tuple[str, str]:
    (finding,) = folders.backups(settings)
    return finding.status, finding.text


def test_doctor_says_when_the_last_backup_was_made(
    archive: Archive, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data_dir=archive.folder)
    assert backup_finding(settings) == (
        "warning",
        "No backup of the data folder was made with `bulkhead backup`.",
    )
    back_up(archive, destination)
    assert backup_finding(settings) == ("ok", f"The last backup was made 0.0 days ago, into {destination}.")
    later = time.time() + 8 * 86_400
    monkeypatch.setattr(time, "time", lambda: later)
    assert backup_finding(settings)[0] == "warning"
    (archive.folder / "last-backup.json").write_text("{")
    assert "No backup" in backup_finding(settings)[1]


def test_doctor_asks_for_no_backup_of_a_folder_without_an_archive(tmp_path: Path) -> None:
    assert list(folders.backups(Settings(data_dir=tmp_path))) == []


# --- refusals -----------------------------------------------------------------------------------------------------


def test_two_backups_into_one_folder_at_a_time_are_refused(archive: Archive, destination: Path) -> None:
    def second(doing: str, done: int, total: int | None) -> None:
        with pytest.raises(BackupRuns):
            back_up(archive, destination)
        refused.append(doing)

    refused: list[str] = []
    build_backup(Settings(data_dir=archive.folder), destination, second, release="test").run(7)
    assert refused


def test_a_backup_needs_an_archive_a_folder_of_its_own_and_the_embedded_engine(
    archive: Archive, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").write_text("mine")
    result = bulkhead(archive.folder, "backup", other)
    assert (result.exit_code, "has other files" in result.stderr) == (1, True)
    result = bulkhead(archive.folder, "backup", archive.folder / "backups")
    assert (result.exit_code, "inside of the data folder" in result.stderr) == (1, True)
    result = bulkhead(tmp_path / "nothing", "backup", tmp_path / "backups")
    assert (result.exit_code, "has no archive" in result.stderr) == (2, True)
    with pytest.raises(ConfigurationError, match="embedded engine"):
        build_backup(Settings(engine="aws", table="t", bucket="b"), tmp_path, show_nothing, release="test")


def test_a_backup_is_not_written_to_a_disk_that_is_not_mounted(archive: Archive, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    result = bulkhead(archive.folder, "backup", disk / "backups", "--quiet")
    assert (result.exit_code, "No such file or directory" in result.stderr) == (1, True)
    disk.mkdir()
    assert bulkhead(archive.folder, "backup", disk / "backups", "--quiet").exit_code == 0
    disk.rename(tmp_path / "unmounted")
    disk.mkdir()
    result = bulkhead(archive.folder, "backup", disk / "backups", "--quiet")
    assert (result.exit_code, "Mount its disk" in result.stderr) == (1, True)
    assert list(disk.iterdir()) == []
    (archive.folder / "last-backup.json").unlink()
    assert bulkhead(archive.folder, "backup", disk / "backups", "--quiet").exit_code == 0


def test_backups_of_another_archive_are_never_replaced(archive: Archive, destination: Path, tmp_path: Path) -> None:
    generation = back_up(archive, destination).generation
    other = Archive(tmp_path / "other", small=0)
    with pytest.raises(RecoveryError, match="has backups of another archive"):
        back_up(other, destination, keep=1)
    assert [each.name for each in (destination / "generations").iterdir()] == [generation]
    back_up(other, tmp_path / "backups of the other")


def test_a_restored_archive_goes_on_with_its_backups(archive: Archive, destination: Path, tmp_path: Path) -> None:
    back_up(archive, destination)
    back_up(restored(destination, tmp_path / "restored"), destination)
    assert len(list((destination / "generations").iterdir())) == 2


def test_a_restore_needs_an_empty_folder_and_a_backup(archive: Archive, destination: Path, tmp_path: Path) -> None:
    back_up(archive, destination)
    result = bulkhead(archive.folder, "restore", destination)
    assert (result.exit_code, "is not empty" in result.stderr) == (1, True)
    result = bulkhead(tmp_path / "restored", "restore", destination, "--generation", "yesterday")
    assert (result.exit_code, "has no backup 'yesterday'" in result.stderr) == (1, True)
    result = bulkhead(tmp_path / "restored", "restore", archive.folder)
    assert (result.exit_code, "has no backups of Bulkhead" in result.stderr) == (1, True)


# --- damaged backups ----------------------------------------------------------------------------------------------


def test_a_damaged_file_is_named_and_the_others_are_restored(
    archive: Archive, destination: Path, tmp_path: Path
) -> None:
    back_up(archive, destination)
    first, second, _ = sorted((destination / "blobs").rglob("*.dcm"))
    first.unlink()
    second.write_bytes(bytes(second.stat().st_size))
    for target, options in (("checked", ["--check"]), ("restored", [])):
        result = bulkhead(tmp_path / target, "restore", destination, "--json", "--quiet", *options)
        assert result.exit_code == 1
        report: dict[str, Any] = orjson.loads(result.stdout)
        assert report["faulty"] == 2
        assert f"{first.name}: it is missing" in report["faults"][0]
        assert f"{second.name}: it has" in report["faults"][1]
    assert not (tmp_path / "checked").exists()
    assert len(list((tmp_path / "restored" / "blobs" / "objects").rglob("*.dcm"))) == 1
    back_up(archive, destination)
    assert first.exists(), "a file that the backup lacks is copied again"


@pytest.mark.parametrize("damage", [b"", b"{}", b"cut"])
def test_a_damaged_manifest_is_refused(archive: Archive, destination: Path, tmp_path: Path, damage: bytes) -> None:
    generation = back_up(archive, destination).generation
    path = destination / "generations" / generation / "manifest.jsonl.zst"
    path.write_bytes(path.read_bytes()[:-9] if damage == b"cut" else damage)
    result = bulkhead(tmp_path / "restored", "restore", destination, "--quiet")
    assert result.exit_code == 1
    assert "cannot be used" in result.stderr


@pytest.mark.parametrize(
    ("number", "line"),
    [(0, {"format": 1}), (0, []), (1, [5, 1, ""]), (1, ["index.sqlite", "1", ""]), (1, "abc"), (1, 5), (1, None)],
)
def test_a_manifest_with_a_line_of_another_form_is_refused(
    archive: Archive, destination: Path, tmp_path: Path, number: int, line: object
) -> None:
    generation = back_up(archive, destination).generation
    path = destination / "generations" / generation / "manifest.jsonl.zst"
    lines = zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read().splitlines(keepends=True)
    lines[number] = orjson.dumps(line) + b"\n"
    path.write_bytes(zstandard.compress(b"".join(lines)))
    for options in (["--quiet"], ["--quiet", "--check"]):
        result = bulkhead(tmp_path / "restored", "restore", destination, *options)
        assert result.exit_code == 1
        assert "cannot be used" in result.stderr


def test_a_restore_into_the_folder_of_the_backup_is_refused(archive: Archive, destination: Path) -> None:
    back_up(archive, destination)
    result = bulkhead(destination / "restored", "restore", destination, "--quiet")
    assert (result.exit_code, "is inside of the backup" in result.stderr) == (1, True)
    assert not (destination / "restored").exists()


def test_a_mark_of_a_restore_with_other_bytes_is_refused(archive: Archive, destination: Path, tmp_path: Path) -> None:
    back_up(archive, destination)
    (tmp_path / "restored").mkdir()
    (tmp_path / "restored" / "restore.unfinished").write_bytes(b"\xff\xfe")
    result = bulkhead(tmp_path / "restored", "restore", destination, "--quiet")
    assert (result.exit_code, "is not empty" in result.stderr) == (1, True)


def test_a_file_beside_the_backups_is_no_backup(archive: Archive, destination: Path, tmp_path: Path) -> None:
    back_up(archive, destination)
    (destination / "generations" / "notes.txt").write_text("the newest name")
    back_up(archive, destination)
    restored(destination, tmp_path / "restored")


def test_a_damaged_table_of_the_backup_is_refused_and_the_service_does_not_start(
    archive: Archive, destination: Path, tmp_path: Path
) -> None:
    generation = back_up(archive, destination).generation
    with (destination / "generations" / generation / "index.sqlite").open("r+b") as table:
        table.write(b"damaged")
    target = tmp_path / "restored"
    result = bulkhead(target, "restore", destination, "--quiet")
    assert (result.exit_code, "The table of" in result.stderr) == (1, True)
    with pytest.raises(ConfigurationError, match="has not ended"):
        build_engine(Settings(data_dir=target))


def test_a_damaged_table_of_the_archive_is_not_backed_up(archive: Archive, destination: Path) -> None:
    with sqlite3.connect(archive.folder / "index.sqlite") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with (archive.folder / "index.sqlite").open("r+b") as table:
        table.seek(-4096, os.SEEK_END)
        table.write(b"\xff" * 4096)
    result = bulkhead(archive.folder, "backup", destination, "--quiet")
    assert result.exit_code == 1
    assert "malformed" in result.stderr or "damaged" in result.stderr


def test_an_interrupted_restore_goes_on(
    archive: Archive, destination: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(archive, destination)
    target = tmp_path / "restored"
    with monkeypatch.context() as patch:
        fail_at_copy(patch, 2, OSError(28, "No space left on device"))
        assert bulkhead(target, "restore", destination, "--quiet").exit_code == 1
    with pytest.raises(ConfigurationError, match="has not ended"):
        build_engine(Settings(data_dir=target))
    assert restored(destination, target).visible() == archive.visible()
