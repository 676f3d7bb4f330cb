"""After a restore of the table to an earlier moment, everything that was stored is found again."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from app import bootstrap, create_app
from app.bootstrap import recovery
from app.bootstrap.engines import Engine, build_engine
from app.bootstrap.recovery import build_restored_table, open_archive
from app.entry import cli
from app.services.recovery.restored_table import RestoreReport
from app.settings import Settings
from app.storage.index import sweep
from app.storage.records.leftovers import InstanceVersion, Leftovers
from app.storage.table import clock, keys
from app.storage.table.ports import Delete, Item, Put, Table
from tests.conftest import Serve
from tests.support.background import work
from tests.support.bulk_update import OTHER, STUDY, embedded_only, update
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance
from tests.support.recovered import answers, pass_a_second
from tests.support.recovery import checked, found, instance_rows

MARGIN = 1000

pytestmark = pytest.mark.usefixtures("study_to_update")


def snapshot(table: Table) -> Callable[[], None]:
    """Return a function that restores the table to this moment."""
    saved: list[Item] = list(table.items())

    def restore() -> None:
        table.write_each([Delete(item.key) for item in table.items()])
        table.write_each(map(Put, saved))

    return restore


def mended(settings: Settings) -> RestoreReport:
    archive = open_archive(settings, bootstrap.open_layout)
    return build_restored_table(settings, archive, show=lambda *_: None, margin=MARGIN).run()


def client_of(settings: Settings, partition: str = "clinic-a") -> PartitionClient:
    return PartitionClient(create_app(settings, build_engine(settings)).test_client(), f"/v2/partitions/{partition}")


def test_everything_that_was_stored_later_is_found(settings: Settings, engine: Engine, clinic: PartitionClient) -> None:
    restore = snapshot(engine.table)
    clinic.stored(make_instance(study=STUDY), make_instance(study="2.25.7", PatientID="P7"))
    other = PartitionClient(clinic.client, "/v2/partitions/clinic-b")
    other.stored(make_instance())
    before, before_other = answers(clinic), answers(other)
    last = max(row.watermark for row in instance_rows(engine.table))
    restore()

    report = mended(settings)
    assert report.indexed.instances == 3
    assert report.newer == []
    assert report.next_watermark > MARGIN + 4 > last
    assert answers(client_of(settings)) == before
    assert answers(client_of(settings, "clinic-b")) == before_other
    assert found(checked(settings, build_engine(settings))) == {}
    again = mended(settings)
    assert again.indexed.instances == 0


def test_what_was_deleted_later_is_named(settings: Settings, engine: Engine, serve: Serve) -> None:
    caller = PartitionClient(serve(delete_delay_seconds=0))
    restore = snapshot(engine.table)
    assert caller.delete(f"/studies/{OTHER}").status_code == 204
    work(caller.client)
    assert not list(engine.blobs.listed(keys.blobs_of(2, OTHER)))
    restore()
    assert mended(settings).indexed.instances == 0
    report = checked(settings, build_engine(settings))
    assert found(report) == {"lost_file": 1}
    assert report.listed[0]["study"] == OTHER


def test_what_was_deleted_before_stays_deleted(settings: Settings, engine: Engine, clinic: PartitionClient) -> None:
    assert clinic.delete(f"/studies/{OTHER}").status_code == 204
    restore = snapshot(engine.table)
    clinic.stored(make_instance(study="2.25.7"))
    restore()
    assert mended(settings).indexed.instances == 1
    studies = client_of(settings).get("/studies").get_json(force=True)
    assert sorted(row["0020000D"]["Value"][0] for row in studies) == sorted([STUDY, "2.25.7"])


def test_files_of_a_later_update_are_named(settings: Settings, engine: Engine, clinic: PartitionClient) -> None:
    restore = snapshot(engine.table)
    before = answers(clinic)
    pass_a_second(settings)
    update(clinic)
    restore()
    report = mended(settings)
    assert len(report.newer) == 3
    assert answers(client_of(settings)) == before


def test_the_record_of_an_open_store_does_not_remove_its_file(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The moment of the table is between the record of a store and its transaction."""
    body = make_instance(study="2.25.7", series="2.25.8", instance="2.25.9")
    version = InstanceVersion(partition=2, study="2.25.7", series="2.25.8", instance="2.25.9", version="a" * 32)
    engine.table.write(Put(sweep.intent(Leftovers(versions=(version,)))))
    engine.blobs.put(version.blob, io.BytesIO(body))
    report = mended(settings)
    assert (report.forgotten_records, report.indexed.instances) == (1, 1)
    client = client_of(settings)
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now + 2 * sweep.INTENT_SECONDS)
    work(client.client)
    assert client.get("/studies/2.25.7").status_code == 200


@embedded_only
def test_entries_beyond_the_head_of_the_feed_stay(settings: Settings, engine: Engine, clinic: PartitionClient) -> None:
    """A copy of a table that is not of one moment can have an older head."""
    sequences(clinic)
    head = engine.table.get(keys.FEED_HEAD)
    assert head is not None
    clinic.stored(make_instance())
    before = sequences(clinic)
    engine.table.write(Put(head))
    report = mended(settings)
    assert report.last_number == len(before) == 5
    client = client_of(settings)
    client.stored(make_instance())
    assert sequences(client)[:5] == before
    assert found(checked(settings, build_engine(settings))) == {}


def sequences(clinic: PartitionClient) -> list[tuple[int, str]]:
    """Return the numbers and the instances of the change feed."""
    feed = clinic.client.get("/v1/changefeed?limit=100&includemetadata=false").get_json()
    return [(each["sequence"], each["sopInstanceUid"]) for each in feed]


@embedded_only
def test_the_command(
    settings: Settings, engine: Engine, clinic: PartitionClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "PAUSE_SECONDS", 0)
    restore = snapshot(engine.table)
    clinic.stored(make_instance())
    restore()
    environment = {"BULKHEAD_DATA_DIR": str(settings.data_dir), "BULKHEAD_LOG_LEVEL": "error"}
    arguments = ["restore-check", "--margin", "50", "--json", str(tmp_path / "report.json")]
    result = CliRunner().invoke(cli.main, arguments, env=environment)
    assert result.exit_code == 0, result.output
    assert "1 instances were stored later. They are indexed now." in result.stderr
    assert '"next' in (tmp_path / "report.json").read_text()


@embedded_only
def test_a_margin_beyond_all_watermarks_is_refused(settings: Settings, engine: Engine) -> None:
    environment = {"BULKHEAD_DATA_DIR": str(settings.data_dir), "BULKHEAD_LOG_LEVEL": "error"}
    result = CliRunner().invoke(cli.main, ["restore-check", "--margin", "99999999999999999999"], env=environment)
    assert result.exit_code == 2
    assert "99999999999999999999 is not in the range" in result.stderr
