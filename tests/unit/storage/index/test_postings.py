"""The postings of a row change with it: a replaced value has no posting, and a removed row has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.storage.table.ports import Key
from tests.support.archive import Archive
from tests.support.clock import AdvanceClock
from tests.support.instances import make_instance

STUDY, SERIES = "2.25.1", "2.25.11"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


def store(archive: Archive, instance: str, series: str = SERIES, **values: str) -> None:
    given = {"patient_id": "P1", "patient_name": "Doe^Jane", "modality": "CT", **values}
    body = make_instance(study=STUDY, series=series, instance=instance, pixel=False, **given)
    assert archive.store(body) == [0]


def posted_values(archive: Archive, family: str, tag: str) -> list[str]:
    """The values, or words, that have postings."""
    keys: list[Key] = [key for key in archive.items() if f"/{family}/" in key.pk and f"/{tag}" in key.pk]
    return sorted(key.sk.partition("\t")[0] for key in keys)


def test_a_replaced_value_has_no_posting(archive: Archive) -> None:
    store(archive, "2.25.111")
    store(archive, "2.25.112", patient_id="P2", patient_name="Roe^Jane", StudyDescription="new")
    assert posted_values(archive, "value", "00100020") == ["p2"]
    assert posted_values(archive, "value", "00100010") == ["roe^jane"]
    assert posted_values(archive, "word", "00100010") == ["jane", "roe"]
    assert posted_values(archive, "value", "00081030") == ["new"]
    assert not archive.search("study", PatientID="P1")
    assert archive.search("study", PatientID="P2", PatientName="Roe^Jane")


def test_a_missing_value_keeps_the_posting_of_the_earlier_one(archive: Archive) -> None:
    store(archive, "2.25.111", StudyDescription="old")
    store(archive, "2.25.112")
    assert posted_values(archive, "value", "00081030") == ["old"]


def test_the_last_of_several_instances_in_one_write_gives_the_value(archive: Archive) -> None:
    files = [
        make_instance(study=STUDY, series=SERIES, instance=f"2.25.11{i}", patient_id=f"P{i}", pixel=False)
        for i in range(5)
    ]
    assert archive.store(*files) == [0] * 5
    assert posted_values(archive, "value", "00100020") == ["p4"]


def test_modalities_keep_their_postings_but_only_present_ones_match(archive: Archive) -> None:
    store(archive, "2.25.111")
    store(archive, "2.25.121", series="2.25.12", modality="MR")
    assert posted_values(archive, "value", "00080061") == ["ct", "mr"]
    archive.delete(STUDY, "2.25.12")
    assert not archive.search("study", ModalitiesInStudy="MR")
    assert len(archive.search("study", ModalitiesInStudy="CT")) == 1
    store(archive, "2.25.122", series="2.25.12", modality="MR")
    assert len(archive.search("study", ModalitiesInStudy="MR")) == 1


def test_a_deleted_study_leaves_no_item(archive: Archive, advance_clock: AdvanceClock) -> None:
    store(archive, "2.25.111")
    store(archive, "2.25.112", patient_name="Roe^Jane^^Dr.", StudyDescription="new", ManufacturerModelName="M")
    store(archive, "2.25.121", series="2.25.12", modality="MR")
    for uids in ((STUDY, SERIES, "2.25.111"), (STUDY, SERIES), (STUDY,)):
        archive.delete(*uids)
    advance_clock()
    archive.work()
    assert not archive.items()
