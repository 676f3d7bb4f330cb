"""An index that is made again from the blobs alone answers as the lost one did."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from app import bootstrap, create_app
from app.bootstrap.archive import build_archive
from app.bootstrap.engines import Engine, build_engine
from app.bootstrap.recovery import build_rebuild, build_restored_table, open_empty_archive
from app.errors import ConfigurationError
from app.services.recovery.rebuild import RebuildReport
from app.settings import Settings
from app.storage.records.partition_objects import PartitionObjects
from app.storage.table import keys
from tests.support.archive import Archive
from tests.support.bulk_update import STUDY, embedded_only, update
from tests.support.dicomweb import PartitionClient
from tests.support.faults import Killed
from tests.support.faulty_engine import Faults
from tests.support.instances import encapsulated, make_instance
from tests.support.recovered import answers, pass_a_second, without_table
from tests.support.recovery import checked, found
from tests.support.selection import thorough


def rebuilt(settings: Settings) -> RebuildReport:
    archive = open_empty_archive(settings, bootstrap.open_layout)
    return build_rebuild(settings, archive, show=lambda *_: None).run()


def client_of(settings: Settings, partition: str = "clinic-a") -> PartitionClient:
    app = create_app(settings, build_engine(settings))
    return PartitionClient(app.test_client(), f"/v2/partitions/{partition}")


@pytest.mark.usefixtures("study_to_update")
def test_everything_answers_as_before(settings: Settings, clinic: PartitionClient, tmp_path: Path) -> None:
    clinic.stored(encapsulated([[b"frame!"], [b"second"]], study="2.25.80"))
    clinic.stored(make_instance(study=STUDY, modality="MR"), make_instance(patient_name="Roe^Richard"))
    pass_a_second(settings)
    update(clinic)
    clinic.stored(make_instance(study="2.25.81", StudyDescription="x" * 400))
    other = PartitionClient(clinic.client, "/v2/partitions/Clinic-B")
    other.stored(make_instance(pixel=False))
    before, before_other = answers(clinic), answers(other)

    settings = without_table(settings, tmp_path / "new")
    report = rebuilt(settings)
    assert (report.instances, report.updated, report.failures, report.generated_names) == (9, 4, 0, [])
    assert answers(client_of(settings)) == before
    assert answers(client_of(settings, "Clinic-B")) == before_other
    assert found(checked(settings, build_engine(settings), digests=True)) == {}
    feed = client_of(settings).client.get("/v2/changefeed?limit=100&includemetadata=false").get_json()
    assert [each["sequence"] for each in feed] == sorted(each["sequence"] for each in feed)
    assert sorted(each["action"] for each in feed) == ["Create"] * 9 + ["Update"] * 4


def test_a_new_partition_gets_a_key_of_its_own(settings: Settings, clinic: PartitionClient, tmp_path: Path) -> None:
    clinic.stored(make_instance())
    settings = without_table(settings, tmp_path / "new")
    rebuilt(settings)
    client = client_of(settings)
    PartitionClient(client.client, "/v2/partitions/clinic-c").stored(make_instance(study="2.25.7"))
    assert len(client.get("/studies").get_json(force=True)) == 1
    names = {each.key: each.name for each in PartitionObjects(build_engine(settings).blobs).listed()}
    assert names == {1: "Microsoft.Default", 2: "clinic-a", 3: "clinic-c"}


def test_a_partition_whose_name_is_lost(
    settings: Settings, engine: Engine, clinic: PartitionClient, tmp_path: Path
) -> None:
    clinic.stored(make_instance())
    engine.blobs.delete([keys.partition_object(2)])
    settings = without_table(settings, tmp_path / "new")
    assert rebuilt(settings).generated_names == ["recovered-2"]
    assert len(client_of(settings, "recovered-2").get("/studies").get_json(force=True)) == 1


def test_a_file_that_is_no_instance_is_named(
    settings: Settings, engine: Engine, clinic: PartitionClient, tmp_path: Path
) -> None:
    clinic.stored(make_instance())
    broken = keys.blob(2, "1.2", "1.3", "1.4", "f" * 32)
    engine.blobs.put(broken, io.BytesIO(b"no DICOM"))
    moved = keys.blob(2, "1.2", "1.3", "1.5", "e" * 32)
    engine.blobs.put(moved, io.BytesIO(make_instance()))
    settings = without_table(settings, tmp_path / "new")
    report = rebuilt(settings)
    assert report.instances == 1
    assert report.unreadable == [
        {"blob": broken, "reason": "It is no DICOM file that a store accepts."},
        {"blob": moved, "reason": "It has other UIDs than its key."},
    ]


def test_a_new_partition_in_an_empty_table_does_not_show_the_files_of_a_lost_one(
    settings: Settings, clinic: PartitionClient, tmp_path: Path
) -> None:
    """The service ran on the new table before the rebuild."""
    clinic.stored(make_instance())
    settings = without_table(settings, tmp_path / "new")
    other = client_of(settings, "clinic-b")
    other.stored(make_instance(study="2.25.7"))
    build_restored_table(settings, open_empty_archive(settings, bootstrap.open_layout), show=lambda *_: None).run()
    others = client_of(settings, "clinic-b").get("/studies").get_json(force=True)
    assert [each["0020000D"]["Value"] for each in others] == [["2.25.7"]]
    assert len(client_of(settings).get("/studies").get_json(force=True)) == 1


def test_a_table_that_only_a_worker_has_used_counts_as_empty(
    settings: Settings, clinic: PartitionClient, tmp_path: Path
) -> None:
    clinic.stored(make_instance())
    settings = without_table(settings, tmp_path / "new")
    Archive(settings.data_dir, settings=settings).work()
    assert rebuilt(settings).instances == 1


def test_a_table_with_rows_is_refused(settings: Settings, clinic: PartitionClient) -> None:
    clinic.stored(make_instance())
    with pytest.raises(ConfigurationError, match="The table has rows already"):
        rebuilt(settings)


@pytest.mark.usefixtures("study_to_update")
def test_an_interrupted_rebuild_goes_on(
    settings: Settings, clinic: PartitionClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is killed between the creation of instances and their original versions."""
    pass_a_second(settings)
    update(clinic)
    before = answers(clinic)
    settings = without_table(settings, tmp_path / "new")
    with monkeypatch.context() as killed:
        killed.setattr("app.services.recovery.indexing.Indexing._add_original", _kill)
        with pytest.raises(KeyboardInterrupt):
            rebuilt(settings)
    report = rebuilt(settings)
    assert report.existing == 4
    assert report.updated == 3
    assert answers(client_of(settings)) == before
    with pytest.raises(ConfigurationError):
        rebuilt(settings)


def _kill(*_: object) -> None:
    raise KeyboardInterrupt


@thorough
@embedded_only
@pytest.mark.usefixtures("study_to_update")
def test_a_rebuild_that_is_killed_at_any_write_goes_on(
    settings: Settings, clinic: PartitionClient, tmp_path: Path
) -> None:
    update(clinic)
    before = answers(clinic)
    kills = 0
    for number in range(1, 100):
        place = without_table(settings, tmp_path / f"new-{number}")
        if not killed_at_write(place, number):
            break
        kills += 1
        rebuilt(place)
        assert answers(client_of(place)) == before, f"killed at write {number}"
        assert found(checked(place, build_engine(place))) == {}, f"killed at write {number}"
    assert kills >= 5


def killed_at_write(settings: Settings, number: int) -> bool:
    """Begin a rebuild, and kill it after that write. Return whether it made so many writes."""
    faults = Faults()
    engine = faults.wrap(build_engine(settings))
    bootstrap.open_layout(engine)
    archive = build_archive(settings, engine)
    writes = 0

    def kill(call: str) -> None:
        nonlocal writes
        writes += call == "table.write done"
        if writes == number:
            faults.killed = True

    faults.hook = kill
    try:
        build_rebuild(settings, archive, show=lambda *_: None).run()
    except Killed:
        return True
    return False
