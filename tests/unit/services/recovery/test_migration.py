"""Migration of an archive from one engine to the other, and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from app import bootstrap
from app.bootstrap.engines import Engine, build_engine, create_stores
from app.entry import cli
from app.errors import ConfigurationError, StorageUnavailable
from app.services.recovery import migration_parts
from app.services.recovery.migration import Migration
from app.services.recovery.migration_parts import Store
from app.settings import Settings
from app.storage.table import keys
from app.storage.table.ports import Delete, Item, Key, Put
from tests.support.archive import Archive, file
from tests.support.aws import mocked_aws
from tests.support.faults import AFTER, Rule, fail
from tests.support.faulty_engine import Faults

SERIES = ("1.1", "1.1.1")
ON_AWS = Settings(engine="aws", table="archive", bucket="archive-files", log_level="error", delete_delay_seconds=0)
TO_AWS = ("--to", "aws", "--table", ON_AWS.table, "--bucket", ON_AWS.bucket)

NAMES = 2
"""Files with the names of partitions. They are always copied: two of one size may differ."""


@pytest.fixture(scope="module")
def _aws() -> Iterator[None]:
    with mocked_aws():
        yield


@pytest.fixture
def aws(_aws: None) -> Settings:
    """Settings with an empty table and an empty bucket."""
    create_stores(ON_AWS)
    engine = build_engine(ON_AWS)
    for item in list(engine.table.items()):
        engine.table.write_each([Delete(item.key)])
    engine.blobs.delete([blob.key for blob in engine.blobs.listed()])
    return ON_AWS


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    archive = Archive(tmp_path / "data", small=0)
    assert archive.store(*(file(*SERIES, f"1.1.1.{number}") for number in range(1, 4))) == [0, 0, 0]
    archive.delete(*SERIES, "1.1.1.3")
    archive.work()
    return archive


def migrate(source: Path | Settings, *options: str | Path) -> Result:
    environment = (
        {"BULKHEAD_DATA_DIR": str(source)}
        if isinstance(source, Path)
        else {"BULKHEAD_ENGINE": "aws", "BULKHEAD_TABLE": source.table, "BULKHEAD_BUCKET": source.bucket}
    )
    return CliRunner().invoke(cli.main, ["migrate", "--quiet", *map(str, options)], env=environment)


def of(archive: Archive) -> Settings:
    return Settings(data_dir=archive.folder, log_level="error", delete_delay_seconds=0)


def opened(settings: Settings) -> Archive:
    archive = Archive(settings.data_dir, settings=settings)
    archive.read_whole_feed()
    return archive


def items_of(settings: Settings) -> dict[Key, tuple[dict[str, Any], bytes]]:
    """Return the items of an archive by the keys that a migration gives them, each with its contents."""
    items = filter(migration_parts.is_copied, build_engine(settings).table.items())
    return {migration_parts.copied_key(item.key): (item.fields, item.data) for item in items}


def test_an_archive_moves_to_aws_and_back(archive: Archive, aws: Settings, tmp_path: Path) -> None:
    result = migrate(archive.folder, *TO_AWS, "--final", "--json")
    assert result.exit_code == 0, result.output
    report = orjson.loads(result.stdout)
    assert (report["is_finished"], report["compared_digests"], report["damaged_files"]) == (True, 2, 0)
    moved = opened(aws)
    assert moved.visible() == archive.visible()
    moved.store(file("1.2", "1.2.1", "1.2.1.1"))
    moved.work()
    moved.delete(*SERIES, "1.1.1.1")  # the sweep of the next engine removes its file
    moved.store(file("1.2", "1.2.1", "1.2.1.2"))  # its commit is in the log, in some shard, and not in the feed
    back = replace(Settings(log_level="error", delete_delay_seconds=0), data_dir=tmp_path / "back")
    result = migrate(aws, "--to", "embedded", "--data-dir", back.data_dir, "--final")
    assert result.exit_code == 0, result.output
    assert items_of(back) == items_of(aws)
    returned = opened(back)
    assert {uids[2] for uids in returned.visible()} == {"1.1.1.2", "1.2.1.1", "1.2.1.2"}
    returned.work()
    returned.check_clean()
    assert returned.store(file("1.3", "1.3.1", "1.3.1.1")) == [0]
    returned.visible()


def test_a_first_pass_while_the_service_runs_and_a_final_one_for_the_difference(
    archive: Archive, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    first = migrate(archive.folder, "--to", "embedded", "--data-dir", target)
    assert first.exit_code == 0, first.output
    assert "--final" in first.stdout
    with pytest.raises(ConfigurationError, match="has not ended"):
        opened(Settings(data_dir=target))
    archive.store(file("1.2", "1.2.1", "1.2.1.1"))
    archive.delete(*SERIES, "1.1.1.2")
    archive.work()
    second = orjson.loads(migrate(archive.folder, "--to", "embedded", "--data-dir", target, "--json").stdout)
    assert second["copied_files"] == 1 + NAMES
    final = orjson.loads(migrate(archive.folder, "--to", "embedded", "--data-dir", target, "--final", "--json").stdout)
    assert final["copied_files"] == NAMES
    assert final["removed_files"] >= 1
    assert final["removed_items"] > 1
    copy = opened(Settings(data_dir=target, delete_delay_seconds=0))
    assert copy.visible() == archive.visible()
    copy.check_clean()
    again = migrate(archive.folder, "--to", "embedded", "--data-dir", target, "--final")
    assert (again.exit_code, "was moved to" in again.stderr) == (2, True)


def test_a_source_that_was_moved_is_closed_until_it_is_opened_again(archive: Archive, target: Settings) -> None:
    to_target = ("--to", "embedded", "--data-dir", target.data_dir, "--final")
    result = migrate(archive.folder, "--reopen")
    assert (result.exit_code, "was not moved" in result.stderr) == (1, True)
    assert migrate(archive.folder, *to_target).exit_code == 0
    with pytest.raises(ConfigurationError, match=f"moved to data folder {target.data_dir}"):
        opened(of(archive))
    result = migrate(target.data_dir, "--to", "embedded", "--data-dir", archive.folder)
    assert (result.exit_code, "is not empty" in result.stderr) == (1, True)
    assert migrate(archive.folder, "--reopen").exit_code == 0
    assert opened(of(archive)).visible() == opened(target).visible()


# --- failures -----------------------------------------------------------------------------------------------------


def migration(archive: Archive, target: Engine) -> Migration:
    return Migration(
        Store("source", archive.table, build_engine(of(archive)).blobs),
        Store("target", target.table, target.blobs),
        sequence=lambda: None,
        show=lambda *_: None,
        sleep=lambda _: None,
    )


@pytest.fixture
def target(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "target", log_level="error", delete_delay_seconds=0, small_file_bytes=0)


@pytest.mark.parametrize("operation", ["table.write", "table.write_each", "blobs.put"])
@pytest.mark.parametrize("nth", [1, 2])
def test_a_migration_that_failed_goes_on(
    archive: Archive, target: Settings, monkeypatch: pytest.MonkeyPatch, operation: str, nth: int
) -> None:
    faults = Faults()
    rule = faults.add(Rule(fail(), operation=operation, stage=AFTER, nth=nth, times=100))
    monkeypatch.setattr(migration_parts, "_WAITS", ())
    monkeypatch.setattr(migration_parts, "_BATCH", 5)
    with pytest.raises(StorageUnavailable):
        migration(archive, faults.wrap(build_engine(target))).finish(digests=True)
    assert rule.hits
    with pytest.raises(ConfigurationError, match="has not ended"):
        opened(target)
    migration(archive, build_engine(target)).finish(digests=True)
    assert opened(target).visible() == archive.visible()


def test_a_migration_that_ends_before_its_last_write_leaves_no_two_open_archives(
    archive: Archive, target: Settings
) -> None:
    faults = Faults()
    rule = faults.add(Rule(fail(), operation="table.write", key="layout|layout"))
    with pytest.raises(StorageUnavailable):
        migration(archive, faults.wrap(build_engine(target))).finish(digests=False)
    assert rule.hits
    with pytest.raises(ConfigurationError, match="was moved to target"):
        opened(of(archive))
    with pytest.raises(ConfigurationError, match="has not ended"):
        opened(target)
    assert migrate(archive.folder, "--reopen").exit_code == 0
    migration(archive, build_engine(target)).finish(digests=False)
    assert opened(target).visible()


def test_a_store_that_throttles_is_asked_again(archive: Archive, target: Settings) -> None:
    faults = Faults()
    faults.add(Rule(fail(), operation="table.write_each", times=5))
    migration(archive, faults.wrap(build_engine(target))).finish(digests=True)
    assert opened(target).visible() == archive.visible()


def test_an_interrupted_first_pass_goes_on_after_its_last_note(
    archive: Archive, target: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration_parts, "_BATCH", 5)
    monkeypatch.setattr("app.services.recovery.migration._NOTED_BATCHES", 1)
    monkeypatch.setattr(migration_parts, "_WAITS", ())
    faults = Faults()
    faults.add(Rule(fail(), operation="table.write", nth=4))
    with pytest.raises(StorageUnavailable):
        migration(archive, faults.wrap(build_engine(target))).copy()
    whole = len(list(archive.table.items()))
    report = migration(archive, build_engine(target)).copy()
    assert 0 < report.copied_items <= whole - 10
    migration(archive, build_engine(target)).finish(digests=True)
    assert opened(target).visible() == archive.visible()


def test_a_source_that_is_in_use_is_noticed_and_the_target_stays_closed(archive: Archive, target: Settings) -> None:
    class Busy(Migration):
        def _remove_files(self) -> None:
            super()._remove_files()
            archive.store(file("1.2", "1.2.1", "1.2.1.1"))

    busy = migration(archive, build_engine(target))
    busy.__class__ = Busy
    with pytest.raises(Exception, match="Stop its servers"):
        busy.finish(digests=True)
    with pytest.raises(ConfigurationError, match="has not ended"):
        opened(target)


def test_a_copy_with_other_bytes_is_removed_and_made_again(archive: Archive, target: Settings) -> None:
    migration(archive, build_engine(target)).copy()
    path = next((target.data_dir / "blobs" / "objects").rglob("*.dcm"))
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(Exception, match="1 files were not copied rightly"):
        migration(archive, build_engine(target)).finish(digests=True)
    migration(archive, build_engine(target)).finish(digests=True)
    assert opened(target).visible() == archive.visible()


def test_files_that_the_source_has_lost_are_named(archive: Archive, target: Settings) -> None:
    build_engine(of(archive)).blobs.delete(archive.blobs()[:1])
    result = migrate(archive.folder, "--to", "embedded", "--data-dir", target.data_dir, "--final")
    assert result.exit_code == 1
    assert "1 files are lost or damaged in the source too" in result.stdout
    assert len(opened(target).search("instance")) == 2


# --- refusals -----------------------------------------------------------------------------------------------------


def test_a_target_that_is_in_use_is_refused(archive: Archive, tmp_path: Path) -> None:
    other = Archive(tmp_path / "other")
    other.store(file(*SERIES, "1.1.1.7"))
    result = migrate(archive.folder, "--to", "embedded", "--data-dir", other.folder)
    assert (result.exit_code, "is not empty" in result.stderr) == (1, True)
    assert len(other.visible()) == 1


@pytest.mark.parametrize("place", ["blobs/objects/inside", ".."])
def test_a_target_inside_of_the_source_or_around_it_is_refused(archive: Archive, place: str) -> None:
    result = migrate(archive.folder, "--to", "embedded", "--data-dir", archive.folder / place)
    assert (result.exit_code, "inside of each other" in result.stderr) == (2, True)
    assert not (archive.folder / "blobs/objects/inside").exists()


def test_a_target_that_was_only_created_is_taken(archive: Archive, target: Settings) -> None:
    bootstrap.initialise(target)
    for step in bootstrap.build_services(target, build_engine(target)).background:
        step()
    assert migrate(archive.folder, "--to", "embedded", "--data-dir", target.data_dir, "--final").exit_code == 0
    assert opened(target).visible() == archive.visible()
    names = [build_engine(each).blobs.open("partitions/1.json").read() for each in (target, of(archive))]
    assert names[0] == names[1]


def test_a_target_of_another_source_is_refused(archive: Archive, target: Settings, tmp_path: Path) -> None:
    assert migrate(archive.folder, "--to", "embedded", "--data-dir", target.data_dir).exit_code == 0
    other = Archive(tmp_path / "other")
    result = migrate(other.folder, "--to", "embedded", "--data-dir", target.data_dir, "--final")
    assert (result.exit_code, "has a part of" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--to", "aws", "--table", "t"), "--to aws needs --table and --bucket."),
        (("--to", "embedded"), "--to embedded needs --data-dir."),
        (("--to", "embedded", "--data-dir", "data"), "which is the source"),
        ((), "Missing option '--to'"),
    ],
)
def test_wrong_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], text: str) -> None:
    monkeypatch.chdir(tmp_path)
    result = migrate(Path("data"), *options)
    assert (result.exit_code, text in result.stderr) == (2, True), result.output


def test_a_source_without_an_archive_is_refused(tmp_path: Path) -> None:
    result = migrate(tmp_path / "nothing", "--to", "embedded", "--data-dir", tmp_path / "target")
    assert (result.exit_code, "There is no archive in" in result.stderr) == (2, True)


# --- items of one engine ------------------------------------------------------------------------------------------


def test_records_of_all_shards_come_into_the_first_one_and_the_queue_stays(archive: Archive, target: Settings) -> None:
    opened_record = Item(keys.log_record(7, 1000, "a"), {"fence": 0}, b"x")
    due = [Item(keys.sweep(10**10, f"{shard}", shard), {"taken": 0}) for shard in (0, 7)]
    archive.table.write_each(map(Put, (opened_record, *due)))
    build_engine(of(archive)).queue.send("operation")
    for _ in range(2):
        migration(archive, build_engine(target)).copy()
    migration(archive, build_engine(target)).finish(digests=True)
    table = build_engine(target).table
    assert table.get(keys.log_record(0, 1000, "a")) == opened_record._replace(key=keys.log_record(0, 1000, "a"))
    assert table.get(opened_record.key) is None
    assert [item.key for item in table.query(keys.SWEEP)] == [keys.sweep(10**10, "0"), keys.sweep(10**10, "7")]
    assert list(table.query(keys.sweep_shard(7))) == []
    assert list(table.query(keys.QUEUE)) == []


def test_a_committed_record_that_the_source_has_not_moved_is_not_lost(archive: Archive, target: Settings) -> None:
    archive.table.write_each([Put(Item(keys.log_record(7, 1000, "a"), {"time": "now"}))])
    with pytest.raises(Exception, match="1 items"):
        migration(archive, build_engine(target)).finish(digests=True)
