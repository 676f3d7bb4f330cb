"""On the embedded engine a commit expects what it has read, and does not read it again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from app.dicom.validation.attributes import Level
from app.storage.records.rows import StudyRow
from app.storage.table import keys
from app.storage.tags.query_tags import QueryTag, QueryTags
from tests.support.archive import Archive, Uids, file

A: Uids = ("2.25.1", "2.25.11", "2.25.111")
A2: Uids = ("2.25.1", "2.25.11", "2.25.112")

AGE = QueryTag(path="00101010", vr="AS", level=Level.STUDY, number=1, operation="")


def before_next_write(archive: Archive, act: Callable[[], object]) -> None:
    """Act just before the next write of the table."""

    def hook(call: str) -> None:
        if call == "table.write":
            archive.hook = None
            act()

    archive.hook = hook


def study_row(archive: Archive) -> StudyRow:
    item = archive.table.get(keys.study(archive.partition.key, A[0]))
    assert item is not None
    return StudyRow.of(item, archive.partition.key, A[0])


def test_a_store_reads_the_tags_again_if_they_change_before_its_transaction(tmp_path: Path) -> None:
    archive = Archive(tmp_path, whole_writes=True)
    before_next_write(archive, lambda: archive.table.write(QueryTags().replace_with([AGE])))
    assert archive.store(file(*A, PatientAge="031Y")) == [0]
    assert study_row(archive).attributes[AGE.key]["Value"] == ["031Y"]


def test_a_store_into_a_known_series_reads_each_row_once(tmp_path: Path) -> None:
    archive = Archive(tmp_path, whole_writes=True)
    archive.store(file(*A))
    archive.faults.calls.clear()
    assert archive.store(file(*A2)) == [0]
    assert archive.faults.calls["table.get_many"] == 1
    assert archive.faults.calls["table.get"] == 1, "the tags, before the examination"


def test_a_store_that_meets_another_state_of_its_study_is_repeated(tmp_path: Path) -> None:
    archive = Archive(tmp_path, whole_writes=True)
    archive.store(file(*A))
    before_next_write(archive, lambda: archive.delete(A[0]))
    assert archive.store(file(*A2)) == [0]
    assert archive.visible() == {A2}


def test_a_store_that_has_no_room_for_all_expectations_reads_the_rows_again(tmp_path: Path) -> None:
    """Each of 20 studies changes its description, and its series stays as it is."""
    archive = Archive(tmp_path, whole_writes=True)
    studies = [f"2.25.{number}" for number in range(1, 21)]
    archive.store(*(file(study, f"{study}1", f"{study}11") for study in studies))
    archive.faults.calls.clear()
    files = [file(study, f"{study}1", f"{study}12", StudyDescription="changed") for study in studies]
    assert archive.store(*files) == [0] * 20
    assert archive.faults.calls["table.get_many"] == 3, "before the commit, in it and after it"
    assert len(archive.search("study", StudyDescription="changed")) == 20
