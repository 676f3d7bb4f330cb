"""Postings follow their rows: a value that is replaced leaves none behind, and a row that goes takes all its own."""

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


def filed(archive: Archive, family: str, tag: str) -> list[str]:
    """The values, or words, that something is filed under."""
    keys: list[Key] = [key for key in archive.items() if f"/{family}/" in key.pk and f"/{tag}" in key.pk]
    return sorted(key.sk.partition("\t")[0] for key in keys)


def test_a_value_that_was_replaced_is_not_filed_any_more(archive: Archive) -> None:
    store(archive, "2.25.111")
    store(archive, "2.25.112", patient_id="P2", patient_name="Roe^Jane", StudyDescription="new")
    assert filed(archive, "value", "00100020") == ["p2"]
    assert filed(archive, "value", "00100010") == ["roe^jane"]
    assert filed(archive, "word", "00100010") == ["jane", "roe"]
    assert filed(archive, "value", "00081030") == ["new"]
    assert not archive.search("study", PatientID="P1")
    assert archive.search("study", PatientID="P2", PatientName="Roe^Jane")


def test_a_missing_value_erases_none(archive: Archive) -> None:
    store(archive, "2.25.111", StudyDescription="old")
    store(archive, "2.25.112")
    assert filed(archive, "value", "00081030") == ["old"]


def test_many_in_one_write_leave_what_the_last_says(archive: Archive) -> None:
    files = [
        make_instance(study=STUDY, series=SERIES, instance=f"2.25.11{i}", patient_id=f"P{i}", pixel=False)
        for i in range(5)
    ]
    assert archive.store(*files) == [0] * 5
    assert filed(archive, "value", "00100020") == ["p4"]


def test_modalities_are_filed_as_they_come_and_told_as_they_are(archive: Archive) -> None:
    store(archive, "2.25.111")
    store(archive, "2.25.121", series="2.25.12", modality="MR")
    assert filed(archive, "value", "00080061") == ["ct", "mr"]
    archive.delete(STUDY, "2.25.12")
    assert not archive.search("study", ModalitiesInStudy="MR")
    assert len(archive.search("study", ModalitiesInStudy="CT")) == 1
    store(archive, "2.25.122", series="2.25.12", modality="MR")
    assert len(archive.search("study", ModalitiesInStudy="MR")) == 1


def test_a_study_takes_all_with_it(archive: Archive, advance_clock: AdvanceClock) -> None:
    store(archive, "2.25.111")
    store(archive, "2.25.112", patient_name="Roe^Jane^^Dr.", StudyDescription="new", ManufacturerModelName="M")
    store(archive, "2.25.121", series="2.25.12", modality="MR")
    for uids in ((STUDY, SERIES, "2.25.111"), (STUDY, SERIES), (STUDY,)):
        archive.delete(*uids)
    advance_clock()
    archive.work()
    assert not archive.items()
