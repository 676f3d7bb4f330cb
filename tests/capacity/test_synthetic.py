"""A synthetic archive is one that a store could have written: searches find it, and its counts and metadata fit."""

from __future__ import annotations

from pathlib import Path

from app.storage.records.postings import entries_of
from app.storage.table import keys
from tests.capacity.synthetic import fill, synthetic_study
from tests.support.archive import Archive
from tests.support.instances import make_instance

STUDIES = 12


def filled(folder: Path) -> Archive:
    archive = Archive(folder)
    fill(archive.table, archive.partition.key, STUDIES, instances=2)
    return archive


def test_each_study_is_found_by_its_values(tmp_path: Path) -> None:
    archive = filled(tmp_path)
    studies = [synthetic_study(number, STUDIES) for number in range(STUDIES)]
    for keyword in ("PatientID", "PatientName", "StudyDate", "AccessionNumber", "StudyID", "StudyDescription"):
        for study in studies:
            expected = [each.uid for each in reversed(studies) if each.values[keyword] == study.values[keyword]]
            found = archive.search("study", **{keyword: study.values[keyword]})
            assert [row["0020000D"]["Value"][0] for row in found] == expected
    assert len(archive.search("instance")) == 2 * STUDIES
    (row,) = archive.search("study", StudyInstanceUID=studies[3].uid, includefield="00201208,00080061,00100040")
    assert (row["00201208"]["Value"], row["00080061"]["Value"]) == ([2], [studies[3].modality])


def test_rows_and_postings_are_those_of_a_store_afterwards(tmp_path: Path) -> None:
    archive = filled(tmp_path)
    study = synthetic_study(STUDIES - 1, STUDIES)
    added = make_instance(study=study.uid, series=study.series_uid(), instance="2.25.1", patient_id="P1", pixel=False)
    assert archive.store(added) == [0]
    expected = {
        entry
        for each in range(STUDIES)
        for item in archive.table.query(keys.study_items(archive.partition.key, synthetic_study(each, STUDIES).uid))
        if not item.key.sk.startswith("shard/")
        for entry in entries_of(item)
    }
    kinds = ("/newest/", "/value/", "/word/")
    assert {key for key in archive.items() if any(kind in key.pk for kind in kinds)} == expected
