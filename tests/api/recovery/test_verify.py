"""The check of an archive finds every kind of damage, and nothing in an archive that is whole."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from app.bootstrap.engines import Engine
from app.services.recovery.findings import Report
from app.settings import Settings
from app.storage.feed.change_feed import FeedLog
from app.storage.feed.entries import pages
from app.storage.feed.log import CommitLog
from app.storage.records import documents
from app.storage.table import keys
from app.storage.table.ports import Add, Delete, Item, Put
from tests.support.background import work
from tests.support.bulk_update import STUDY, update
from tests.support.dicomweb import PartitionClient
from tests.support.instances import encapsulated, make_instance
from tests.support.recovery import checked, family, found, instance_rows
from tests.support.worklist import WorklistClient

pytestmark = pytest.mark.usefixtures("study_to_update")


def test_an_archive_with_everything_in_it_has_no_faults(
    settings: Settings, engine: Engine, clinic: PartitionClient
) -> None:
    update(clinic)
    other = PartitionClient(clinic.client, "/v2/partitions/clinic-b")
    other.stored(make_instance(pixel=False))
    first = make_instance(study="2.25.7001", series="2.25.7002")
    clinic.stored(first, make_instance(study="2.25.7001", series="2.25.7002.1"))
    assert clinic.delete("/studies/2.25.7001/series/2.25.7002").status_code == 204
    report = checked(settings, engine, digests=True)
    assert found(report) == {}
    assert report.checked["instances"] == 6
    assert report.checked["files"] == 9  # three instances have an original version
    work(clinic.client)
    assert found(checked(settings, engine)) == {}


def damage_file(engine: Engine) -> None:
    row = instance_rows(engine.table)[0]
    with engine.blobs.open(row.blob) as stream:
        body = bytearray(stream.read())
    body[-1] ^= 1
    engine.blobs.put(row.blob, io.BytesIO(body))


def add_blob(engine: Engine, study: str) -> None:
    engine.blobs.put(keys.blob(2, study, "1.2", "1.3", "f" * 32), io.BytesIO(b"orphan"))


def remove_feed_entry(engine: Engine) -> None:
    feed = FeedLog(engine.table, CommitLog(engine.table, engine.log_shards))
    _, *others = feed.entries(1, feed.sequence())
    engine.table.write(*map(Put, pages(others)))
    engine.table.write(Put(Item(keys.feed(1), {"sealed": True})))


def remove_feed_item(engine: Engine) -> None:
    feed = FeedLog(engine.table, CommitLog(engine.table, engine.log_shards))
    first, _, *others = feed.entries(1, feed.sequence())
    engine.table.write(*map(Put, [*pages([first]), *pages(others)]))


def add_posting(engine: Engine) -> None:
    posting = next(item for item in family(engine.table, "value") if "instance" not in item.fields)
    engine.table.write(Put(posting._replace(key=posting.key._replace(sk=posting.key.sk + "0"))))


def change_count(engine: Engine) -> None:
    item = next(item for item in family(engine.table, "study") if item.key.sk.startswith("series/"))
    engine.table.write(Put(item._replace(fields={**item.fields, "counted": item.fields["counted"] + 1})))


def add_document(engine: Engine, name: str) -> None:
    row = instance_rows(engine.table)[0]
    key = getattr(keys, name)(row.partition, row.study, 900_000)
    engine.table.write(Put(Item(key, {"series": row.series, "instance": row.instance}, b"x")))


def change_time(engine: Engine) -> None:
    """The third entry gets the time before all others."""
    feed = FeedLog(engine.table, CommitLog(engine.table, engine.log_shards))
    entries = list(feed.entries(1, feed.sequence()))
    entries[2] = msgspec.structs.replace(entries[2], timestamp=f"2000{entries[2].timestamp[4:]}")
    engine.table.write(*map(Put, pages(entries)))


DAMAGE: dict[str, Callable[[Engine], object]] = {
    "lost_file": lambda engine: engine.blobs.delete([instance_rows(engine.table)[0].blob]),
    "wrong_size": lambda engine: engine.blobs.put(instance_rows(engine.table)[0].blob, io.BytesIO(b"short")),
    "wrong_digest": damage_file,
    "orphan_blob": lambda engine: add_blob(engine, STUDY),
    "lost_metadata": lambda engine: engine.table.write(
        Delete(documents.keys_of(instance_rows(engine.table)[0])[0]),
    ),
    "lost_posting": lambda engine: engine.table.write(Delete(family(engine.table, "value")[0].key)),
    "orphan_posting": add_posting,
    "wrong_count": change_count,
    "wrong_statistics": lambda engine: engine.table.write(Add(keys.statistics(2, 0), {"bytes": 1})),
    "no_create_entry": remove_feed_entry,
    "feed_gap": remove_feed_item,
    "feed_time": change_time,
    "orphan_document": lambda engine: add_document(engine, "metadata"),
    "lost_partition": lambda engine: engine.table.write(Delete(keys.partition("clinic-a"))),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_found(settings: Settings, engine: Engine, kind: str) -> None:
    DAMAGE[kind](engine)
    report = checked(settings, engine, digests=True)
    expected = {kind: 1} | ({"no_create_entry": 1} if kind == "feed_gap" else {})
    assert found(report) == expected


def test_blobs_of_a_study_without_a_row_are_found(settings: Settings, engine: Engine) -> None:
    add_blob(engine, "1.2.3")
    assert found(checked(settings, engine)) == {"orphan_blob": 1}


def test_a_frame_table_without_its_version_is_found(settings: Settings, engine: Engine) -> None:
    add_document(engine, "frames")
    assert found(checked(settings, engine)) == {"orphan_document": 1}


def test_a_lost_frame_table_is_found(settings: Settings, engine: Engine, clinic: PartitionClient) -> None:
    clinic.stored(encapsulated([[b"frame!"]]))
    engine.table.write(Delete(family(engine.table, "frames")[0].key))
    assert found(checked(settings, engine)) == {"lost_frames": 1}


def test_a_row_without_its_study_is_found(settings: Settings, engine: Engine) -> None:
    engine.table.write(Delete(keys.study(2, STUDY)))
    names = found(checked(settings, engine))
    assert names["orphan_row"] == 5  # two series, three instances
    assert set(names) == {"orphan_row", "orphan_posting", "wrong_statistics"}


def test_postings_of_workitems_are_checked(settings: Settings, engine: Engine, clinic: PartitionClient) -> None:
    assert WorklistClient(clinic.client).add("2.25.3").status_code == 201
    assert found(checked(settings, engine)) == {}
    posting = next(item for item in family(engine.table, "value") if "workitem" in item.fields)
    engine.table.write(Delete(posting.key))
    assert found(checked(settings, engine)) == {"lost_posting": 1}


def test_no_report_has_the_name_of_a_patient(settings: Settings, engine: Engine) -> None:
    for item in family(engine.table, "value"):
        engine.table.write(Delete(item.key))
    report = checked(settings, engine)
    assert report.found["lost_posting"] > 10
    assert "doe" not in str(report.as_json()).lower()


def test_one_partition_alone(settings: Settings, engine: Engine, clinic: PartitionClient) -> None:
    PartitionClient(clinic.client, "/v2/partitions/clinic-b").stored(make_instance())
    for row in instance_rows(engine.table):
        engine.blobs.delete([row.blob])
    report = checked(settings, engine, partition="clinic-b")
    assert found(report) == {"lost_file": 1}
    assert report.checked["instances"] == 1


def test_a_store_that_runs_is_no_fault(settings: Settings, engine: Engine, clinic: PartitionClient) -> None:
    """An instance is stored between the reading of the rows and the reading of the blobs, and another one is deleted
    after its row was read."""
    stored = False

    def store_meanwhile(*_: object) -> None:
        nonlocal stored
        if not stored:
            stored = True
            clinic.stored(make_instance(study=STUDY))
            assert clinic.delete("/studies/2.25.9").status_code == 204

    clinic.stored(make_instance(study="2.25.9"))
    blobs = engine.blobs
    listed = blobs.listed

    class Interrupted:
        put, open, delete = blobs.put, blobs.open, blobs.delete

        def listed(self, prefix: str = "", after: str = "") -> object:
            store_meanwhile()
            return listed(prefix, after)

    report = checked(settings, replace(engine, blobs=Interrupted()))  # type: ignore[arg-type]  # a blob store
    assert stored
    assert found(report) == {}


def test_an_interrupted_check_goes_on(
    settings: Settings, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "progress.json"
    engine.blobs.delete([instance_rows(engine.table)[0].blob])
    add_blob(engine, "1.2.3")
    with monkeypatch.context() as broken:
        broken.setattr("app.services.recovery.blob_check.BlobCheck.check", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            checked(settings, engine, resume=file)
    assert file.exists()
    with monkeypatch.context() as broken:
        broken.setattr("app.services.recovery.study_check.StudyCheck.rows", _interrupt)  # the rows are not read again
        report = checked(settings, engine, resume=file)
    assert found(report) == {"lost_file": 1, "orphan_blob": 1}
    assert report.checked["instances"] == 4
    assert not file.exists()


def _interrupt(*_: object) -> Report:
    raise KeyboardInterrupt
