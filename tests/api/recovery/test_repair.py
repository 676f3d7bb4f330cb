"""A repair mends what can be mended without loss, and nothing else."""

from __future__ import annotations

import io

import pytest

from app.bootstrap.engines import Engine
from app.settings import Settings
from app.storage.table import clock, keys
from app.storage.table.ports import Add, Delete
from tests.api.recovery.test_verify import (
    add_blob,
    add_document,
    add_posting,
    change_count,
    damage_file,
    remove_feed_entry,
)
from tests.support.background import work
from tests.support.bulk_update import STUDY, embedded_only
from tests.support.dicomweb import PartitionClient
from tests.support.instances import encapsulated
from tests.support.recovered import answers
from tests.support.recovery import checked, family, found, instance_rows
from tests.support.worklist import WorklistClient

pytestmark = pytest.mark.usefixtures("study_to_update")


def test_everything_that_can_be_made_again_is_made_again(
    settings: Settings, engine: Engine, clinic: PartitionClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    clinic.stored(encapsulated([[b"frame!"]], study="2.25.80"))
    assert WorklistClient(clinic.client).add("2.25.3").status_code == 201
    before = answers(clinic)
    table = engine.table
    for name in ("value", "newest", "word", "metadata", "frames"):
        table.write_each([Delete(item.key) for item in family(table, name)])
    table.write(Add(keys.statistics(2, 0), {"bytes": 5}))
    change_count(engine)
    add_document(engine, "metadata")
    add_document(engine, "frames")
    add_blob(engine, STUDY)
    add_blob(engine, "1.2.3")
    report = checked(settings, engine, repair=True)
    assert report.left == 0
    assert report.found["lost_posting"] > 50
    assert report.found["orphan_blob"] == 2
    assert found(checked(settings, engine)) == {}
    assert answers(clinic) == before

    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now + 4 * 86_400)
    work(clinic.client)
    blobs = [blob.key for blob in engine.blobs.listed() if keys.blob_name(blob.key)]
    assert sorted(blobs) == sorted(row.blob for row in instance_rows(table))


@embedded_only
def test_a_posting_without_its_row_is_removed(settings: Settings, engine: Engine) -> None:
    add_posting(engine)
    assert checked(settings, engine, repair=True).left == 0
    assert found(checked(settings, engine)) == {}


@embedded_only
def test_a_lost_instance_is_deleted_with_an_option_alone(
    settings: Settings, engine: Engine, clinic: PartitionClient
) -> None:
    damage_file(engine)
    lost = instance_rows(engine.table)[1]
    engine.blobs.delete([lost.blob])
    report = checked(settings, engine, digests=True, repair=True)
    assert found(report) == {"wrong_digest": 1, "lost_file": 1}
    assert report.left == 2
    assert len(instance_rows(engine.table)) == 4
    assert checked(settings, engine, digests=True, repair=True, delete_lost=True).left == 0
    assert len(instance_rows(engine.table)) == 2
    assert found(checked(settings, engine, digests=True)) == {}


@embedded_only
def test_a_document_of_a_damaged_file_stays_lost(settings: Settings, engine: Engine) -> None:
    row = instance_rows(engine.table)[0]
    engine.table.write(Delete(keys.metadata(row.partition, row.study, row.watermark)))
    engine.blobs.put(row.blob, io.BytesIO(b"x" * row.size))
    report = checked(settings, engine, repair=True)
    assert found(report) == {"lost_metadata": 1}
    assert report.left == 1


@embedded_only
def test_a_lost_partition_gets_its_name_again(settings: Settings, engine: Engine, clinic: PartitionClient) -> None:
    engine.table.write(Delete(keys.partition("clinic-a")))
    assert found(report := checked(settings, engine, repair=True)) == {"lost_partition": 1}
    assert report.left == 0
    assert clinic.client.get("/v2/partitions").get_json()[1]["partitionName"] == "clinic-a"


@embedded_only
def test_a_create_entry_is_appended(settings: Settings, engine: Engine, clinic: PartitionClient) -> None:
    remove_feed_entry(engine)
    report = checked(settings, engine, repair=True)
    assert found(report) == {"no_create_entry": 1}
    assert report.left == 0
    assert found(checked(settings, engine)) == {}
    feed = clinic.client.get("/v1/changefeed?limit=100").get_json()
    row = instance_rows(engine.table)[0]
    assert [each["sopInstanceUid"] for each in feed if each["sequence"] > 4] == [row.instance]
