"""Bulk updates in an archive that is broken into: one to ask for, and what must hold whatever becomes of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from app.dicom.encoding.part10 import parse
from app.dicom.validation.attributes import Level
from app.services.update.service import UpdateRequest
from app.storage.operations.operations import Operation
from app.storage.records.instance_row import InstanceRow
from app.storage.tags.query_tags import QueryTag
from tests.support.archive import Archive, Uids
from tests.support.instances import encapsulated, make_instance

PATIENT_ID, AGE, OTHER_NAMES, OCCUPATION = "00100020", "00101010", "00101001", "00102180"
TAGS = (
    QueryTag(AGE, "AS", Level.STUDY, 1, ""),
    QueryTag(OTHER_NAMES, "PN", Level.SERIES, 2, ""),
    QueryTag(OCCUPATION, "SH", Level.INSTANCE, 3, ""),
)
"""Extended query tags on what is changed, at every level."""


def start(archive: Archive, patient: str, *studies: str) -> str:
    """Ask for a bulk update; return the operation."""
    dataset = {
        PATIENT_ID: {"vr": "LO", "Value": [patient]},
        AGE: {"vr": "AS", "Value": ["044Y"]},
        OTHER_NAMES: {"vr": "PN", "Value": [{"Alphabetic": patient}]},
        OCCUPATION: {"vr": "SH", "Value": [patient]},
    }
    return archive.services.bulk_update.start(archive.partition, UpdateRequest(studies=studies, changes=dataset))


def update(archive: Archive, patient: str, *studies: str) -> Operation:
    """Update and wait for the end."""
    operation = start(archive, patient, *studies)
    archive.work()
    return found(archive, operation)


def found(archive: Archive, operation: str) -> Operation:
    answer = archive.services.operations.find(operation)
    assert answer is not None
    return answer


_TAGGED: dict[str, Any] = {"PatientAge": "030Y", "OtherPatientNames": "Old^Name", "Occupation": "Carpenter"}


_FILED = {
    AGE: {"OLD": "030y", "NEW": "044y"},
    OTHER_NAMES: {"OLD": "old^name"},
    OCCUPATION: {"OLD": "carpenter"},
}
"""What a value is filed under, by the Patient ID that came with it; else it is that Patient ID."""


class Seen(NamedTuple):
    """The Patient ID of an instance: now and originally."""

    now: str
    original: str


def seen(archive: Archive, *, feed: bool = True) -> dict[Uids, Seen]:
    """What readers see of each instance; asserts that file, metadata, frames and search agree, and the feed if told."""
    result: dict[Uids, Seen] = {}
    entries = archive.feed()
    for row in archive.search("instance"):
        uids = _uids(row)
        result[uids] = Seen(_read(archive, uids, original=False), _read(archive, uids, original=True))
        states = [each.state for each in entries if (each.study, each.series, each.instance) == uids]
        assert not feed or states == ["Replaced"] * (len(states) - 1) + ["Current"], states
    for study in {uids[0] for uids in result}:
        _check_index(archive, study)
        for instance in archive.services.retrieve.instances(archive.partition, study):
            path = (study, instance.series, instance.instance)
            (alone,) = archive.services.retrieve.instances(archive.partition, *path)
            assert instance.version == alone.version, "the study and its instance have different versions"
    return result


def updates(archive: Archive, uids: Uids) -> int:
    """How many updates of an instance the feed tells."""
    return sum((each.study, each.series, each.instance, each.action) == (*uids, "Update") for each in archive.feed())


def indexed(archive: Archive, study: str) -> str:
    """The Patient ID that the index has of a study."""
    (row,) = archive.search("study", StudyInstanceUID=study)
    return str(_value(row, PATIENT_ID))


def check_tidy(archive: Archive) -> None:
    """Assert that no update left anything but the current and the original version of each visible instance."""
    rows = list(_rows(archive))
    assert {(row.study, row.series, row.instance) for row in rows} == set(map(_uids, archive.search("instance")))
    assert not [row for row in rows if row.pending], "versions that nobody will see"
    files = {file.version: (row, file) for row in rows for file in row.files}
    assert {path.stem.rpartition("~")[2] for path in archive.blobs()} == files.keys(), "blobs without rows, or lost"
    items = archive.items()
    documents = {key.sk for key in items if "/metadata/" in key.pk}
    assert len(documents) == len(files), "documents without rows"
    assert not [key for key in items if key.pk == "sweep"], "work left undone"
    with sqlite3.connect(archive.folder / "index.sqlite") as connection:
        marks = connection.execute(
            "SELECT fields FROM item WHERE pk GLOB ? AND sk = 'study'", (f"{archive.partition.key}/study/*",)
        )
        for (fields,) in marks:
            assert not {"writing", "settling"} & orjson.loads(fields).keys(), "the study is still marked"
        for table in ("operations/open", "operations/active"):
            assert not connection.execute("SELECT 1 FROM item WHERE pk = ?", (table,)).fetchall()


def check_tags(archive: Archive, patients: dict[str, str]) -> None:
    """Assert that the postings of the extended query tags are those of each study's Patient ID, at every level."""
    items = archive.items()
    members = [(key.pk.rpartition("/")[2], key.sk) for key in items if "/study/" in key.pk]
    for tag in TAGS:
        filed = sorted(key.sk.partition("\t")[0] for key in items if f"/value/{tag.level.word}/{tag.path}" in key.pk)
        rows = [study for study, sk in members if sk.startswith(tag.level.word)]
        assert filed == sorted(_FILED[tag.path].get(patients[study], patients[study].lower()) for study in rows)


def _rows(archive: Archive) -> Iterator[InstanceRow]:
    for key in archive.items():
        if "/study/" in key.pk and key.sk.startswith("instance/"):
            item = archive.table.get(key)
            assert item is not None
            yield InstanceRow.of(item, archive.partition.key, key.pk.rpartition("/")[2])


def _read(archive: Archive, uids: Uids, *, original: bool) -> str:
    retrieve = archive.services.retrieve
    (row,) = retrieve.instances(archive.partition, *uids, original=original)
    with retrieve.open(row) as stream:
        data = stream.read()
    assert len(data) == row.size
    in_file = parse(data).raw(0x00100020).decode().strip()
    (document,) = retrieve.metadata(archive.partition, *uids, original=original).documents
    assert _value(orjson.loads(document), PATIENT_ID) == in_file, "file and metadata differ"
    if not original:
        (part,) = retrieve.frames(archive.partition, *uids, [1], "*").parts
        assert b"".join(part.chunks) == frame_of(uids), "the frame is another"
    return in_file


def image(uids: Uids, patient: str = "OLD", *, compressed: bool = False) -> bytes:
    """The Part 10 bytes of a small image."""
    study, series, instance = uids
    if compressed:
        return encapsulated(
            [[frame_of(uids)]], study=study, series=series, instance=instance, patient_id=patient, **_TAGGED
        )
    pixel = frame_of(uids)
    return make_instance(
        study=study, series=series, instance=instance, patient_id=patient, pixel=pixel, rows=2, columns=2, **_TAGGED
    )


def frame_of(uids: Uids) -> bytes:
    """The pixels of an instance: 8 bytes that follow from its UID."""
    return f"{uids[2][-4:]:_>8}".encode()


def _check_index(archive: Archive, study: str) -> None:
    patient = indexed(archive, study)
    assert study in [_value(row, "0020000D") for row in archive.search("study", PatientID=patient)]


def _value(row: dict[str, Any], tag: str) -> Any:
    return row[tag]["Value"][0]


def _uids(row: dict[str, Any]) -> Uids:
    return _value(row, "0020000D"), _value(row, "0020000E"), _value(row, "00080018")
