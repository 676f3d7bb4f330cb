"""Bulk updates of an `Archive`, and the checks that must hold after any outcome of an update."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any, NamedTuple

import orjson

from app.dicom.encoding.part10 import parse
from app.dicom.validation.attributes import Level
from app.services.access.caller import ANONYMOUS
from app.services.update.service import UpdateRequest
from app.storage.operations.operations import Operation
from app.storage.records.instance_row import InstanceRow
from app.storage.records.packed_documents import whole
from app.storage.tags.query_tags import QueryTag
from tests.support.archive import Archive, Uids
from tests.support.instances import encapsulated, make_instance

PATIENT_ID, AGE, OTHER_NAMES, OCCUPATION = "00100020", "00101010", "00101001", "00102180"
TAGS = (
    QueryTag(path=AGE, vr="AS", level=Level.STUDY, number=1, operation=""),
    QueryTag(path=OTHER_NAMES, vr="PN", level=Level.SERIES, number=2, operation=""),
    QueryTag(path=OCCUPATION, vr="SH", level=Level.INSTANCE, number=3, operation=""),
)
"""An extended query tag at each level. `start_update` changes their attributes."""

_OLD_VALUES: dict[str, Any] = {"PatientAge": "030Y", "OtherPatientNames": "Old^Name", "Occupation": "Carpenter"}

_INDEXED_VALUES = {
    AGE: {"OLD": "030y", "NEW": "044y"},
    OTHER_NAMES: {"OLD": "old^name"},
    OCCUPATION: {"OLD": "carpenter"},
}
"""Tag -> Patient ID of the update -> indexed value. If the Patient ID is missing here, it is the value itself."""


def start_update(archive: Archive, patient_id: str, *studies: str) -> str:
    """Start a bulk update that changes the Patient ID, and return its operation id."""
    dataset = {
        PATIENT_ID: {"vr": "LO", "Value": [patient_id]},
        AGE: {"vr": "AS", "Value": ["044Y"]},
        OTHER_NAMES: {"vr": "PN", "Value": [{"Alphabetic": patient_id}]},
        OCCUPATION: {"vr": "SH", "Value": [patient_id]},
    }
    return archive.services.bulk_update.start(
        ANONYMOUS, archive.partition, UpdateRequest(studies=studies, changes=dataset)
    )


def update(archive: Archive, patient_id: str, *studies: str) -> Operation:
    """Run a bulk update to its end, and return its operation."""
    operation = start_update(archive, patient_id, *studies)
    archive.work()
    return find_operation(archive, operation)


def find_operation(archive: Archive, operation: str) -> Operation:
    found = archive.services.operations.find(ANONYMOUS, operation)
    assert found is not None
    return found


def image(uids: Uids, patient_id: str = "OLD", *, compressed: bool = False) -> bytes:
    """Return the Part 10 bytes of a small image."""
    study, series, instance = uids
    pixels = frame_of(uids)
    if compressed:
        return encapsulated(
            [[pixels]], study=study, series=series, instance=instance, patient_id=patient_id, **_OLD_VALUES
        )
    return make_instance(
        study=study,
        series=series,
        instance=instance,
        patient_id=patient_id,
        pixel=pixels,
        rows=2,
        columns=2,
        **_OLD_VALUES,
    )


def frame_of(uids: Uids) -> bytes:
    """Return the pixels of an instance: 8 bytes derived from its UID."""
    return f"{uids[2][-4:]:_>8}".encode()


# --- what readers see -------------------------------------------------------------------------------------------------


class PatientIds(NamedTuple):
    """The Patient ID of an instance, in its current and in its original version."""

    current: str
    original: str


def visible_patients(archive: Archive, *, check_feed: bool = True) -> dict[Uids, PatientIds]:
    """Return the Patient IDs of each visible instance.

    Assert that file, metadata, frames and search agree, and that the feed does too if `check_feed`.
    """
    result: dict[Uids, PatientIds] = {}
    entries = archive.feed()
    for row in archive.search("instance"):
        uids = _uids(row)
        result[uids] = PatientIds(_patient_id(archive, uids, original=False), _patient_id(archive, uids, original=True))
        states = [each.state for each in entries if (each.study, each.series, each.instance) == uids]
        assert not check_feed or states == ["Replaced"] * (len(states) - 1) + ["Current"], states
    for study in {uids[0] for uids in result}:
        _check_found_by_patient_id(archive, study)
        for instance in archive.services.retrieve.instances(archive.partition, study):
            path = (study, instance.series, instance.instance)
            (alone,) = archive.services.retrieve.instances(archive.partition, *path)
            assert instance.version == alone.version, "the study and its instance have different versions"
    return result


def update_entries(archive: Archive, uids: Uids) -> int:
    """Return the number of feed entries about updates of an instance."""
    return sum((each.study, each.series, each.instance, each.action) == (*uids, "Update") for each in archive.feed())


def indexed_patient_id(archive: Archive, study: str) -> str:
    """Return the Patient ID of a study in the index."""
    (row,) = archive.search("study", StudyInstanceUID=study)
    return str(_value(row, PATIENT_ID))


def _patient_id(archive: Archive, uids: Uids, *, original: bool) -> str:
    retrieve = archive.services.retrieve
    (row,) = retrieve.instances(archive.partition, *uids, original=original)
    with retrieve.open(row) as stream:
        data = stream.read()
    assert len(data) == row.size
    in_file = parse(data).raw(0x00100020).decode().strip()
    (document,) = retrieve.metadata(archive.partition, *uids, original=original).documents
    assert _value(orjson.loads(whole(document)), PATIENT_ID) == in_file, "file and metadata differ"
    if not original:
        (part,) = retrieve.frames(row, [1], "*").parts
        assert b"".join(part.chunks) == frame_of(uids), "the frame differs from the stored one"
    return in_file


def _check_found_by_patient_id(archive: Archive, study: str) -> None:
    patient_id = indexed_patient_id(archive, study)
    assert study in [_value(row, "0020000D") for row in archive.search("study", PatientID=patient_id)]


# --- what is stored ---------------------------------------------------------------------------------------------------


def check_nothing_left_over(archive: Archive) -> None:
    """Assert that updates left only the current and the original version of each visible instance, and no marks."""
    rows = list(_instance_rows(archive))
    assert {(row.study, row.series, row.instance) for row in rows} == set(map(_uids, archive.search("instance")))
    assert not [row for row in rows if row.pending], "pending versions without an update"
    files = {file.version for row in rows for file in row.files}
    assert {PurePath(key).stem for key in archive.blobs()} == files, "blobs without rows, or rows without"
    items = archive.items()
    documents = {key.sk for key in items if "/metadata/" in key.pk}
    assert len(documents) == len(files), "documents without rows"
    assert not [key for key in items if key.pk == "sweep"], "the sweep is not finished"
    with sqlite3.connect(archive.folder / "index.sqlite") as connection:
        studies = connection.execute(
            "SELECT fields FROM item WHERE pk GLOB ? AND sk = 'study'", (f"{archive.partition.key}/study/*",)
        )
        for (fields,) in studies:
            assert not {"writing", "settling"} & orjson.loads(fields).keys(), "the study row still names an update"
        for pk in ("operations/open", "operations/active"):
            assert not connection.execute("SELECT 1 FROM item WHERE pk = ?", (pk,)).fetchall()


def check_indexed_tags(archive: Archive, patient_ids: dict[str, str]) -> None:
    """Assert that the postings of `TAGS` are those of the Patient ID of each study, at every level."""
    items = archive.items()
    members = [(key.pk.rpartition("/")[2], key.sk) for key in items if "/study/" in key.pk]
    for tag in TAGS:
        indexed = sorted(key.sk.partition("\t")[0] for key in items if f"/value/{tag.level.word}/{tag.path}" in key.pk)
        studies = [study for study, sk in members if sk.startswith(tag.level.word)]
        values = _INDEXED_VALUES[tag.path]
        assert indexed == sorted(values.get(patient_ids[study], patient_ids[study].lower()) for study in studies)


def _instance_rows(archive: Archive) -> Iterator[InstanceRow]:
    for key in archive.items():
        if "/study/" in key.pk and key.sk.startswith("instance/"):
            item = archive.table.get(key)
            assert item is not None
            yield InstanceRow.of(item, archive.partition.key, key.pk.rpartition("/")[2])


def _value(row: dict[str, Any], tag: str) -> Any:
    return row[tag]["Value"][0]


def _uids(row: dict[str, Any]) -> Uids:
    return _value(row, "0020000D"), _value(row, "0020000E"), _value(row, "00080018")
