"""An archive for tests of extended query tags: eight instances in two studies, and looks into its table."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Generator
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
from pydicom.dataelem import DataElement

from app.services.access.caller import ANONYMOUS
from app.services.policy import V1
from app.storage.records.packed_documents import whole
from app.storage.records.rows import InstanceRow
from app.storage.table import keys
from app.web.schemas.body import load_body
from app.web.schemas.extended_query_tags import TAGS
from tests.support.archive import Archive, Uids
from tests.support.instances import make_instance

AGE: dict[str, Any] = {"path": "PatientAge", "level": "Study"}
NAME: dict[str, Any] = {"path": "OperatorsName", "level": "Instance"}
PRIVATE: dict[str, Any] = {"path": "12051003", "vr": "LO", "privateCreator": "ACME", "level": "Series"}

STORED: list[Uids] = [(f"2.25.{s}", f"2.25.{s}.1", f"2.25.{s}.1.{i}") for s in (1, 2) for i in range(1, 5)]
INVALID: tuple[Uids, ...] = (STORED[1], STORED[5])
"""The stored instances whose OperatorsName breaks a rule."""

ANOTHER: Uids = ("2.25.1", "2.25.1.1", "2.25.1.1.9")
"""An instance of a stored study, for a test to store."""

NEW_STUDY: Uids = ("2.25.3", "2.25.3.1", "2.25.3.1.1")
"""An instance of another study, for a test to store."""


def instance(uids: Uids, age: str, name: str = "Doe^Jane") -> bytes:
    """Return Part 10 bytes with values for `AGE`, `NAME` and `PRIVATE`."""
    study, series, sop = uids
    private = [DataElement(0x12050010, "LO", "ACME"), DataElement(0x12051003, "LO", age)]
    return make_instance(
        study=study, series=series, instance=sop, pixel=False, extra=private, PatientAge=age, OperatorsName=name
    )


def store_instances(archive: Archive) -> None:
    """Store the eight instances. The age rises with each of them."""
    for number, uids in enumerate(STORED, start=1):
        body = instance(uids, f"{number:03}Y", "a^b^c^d^e^f" if uids in INVALID else "Doe^Jane")
        assert archive.services.store(archive.partition, [BytesIO(body)], None, V1).stored


def copies(folder: Path) -> Generator[Path]:
    """Yield copies of an archive's folder. A copy is removed when the next one is made."""
    while True:
        with TemporaryDirectory(dir=folder.parent) as copy:
            shutil.copytree(folder, copy, dirs_exist_ok=True)
            yield Path(copy)


def add_tags(archive: Archive, *tags: dict[str, Any]) -> None:
    archive.services.query_tags.add(ANONYMOUS, load_body(TAGS, list(tags)))


def add_all_tags(archive: Archive) -> None:
    add_tags(archive, AGE, NAME, PRIVATE)


def found_uids(archive: Archive, level: str, **parameters: str) -> list[str]:
    tag = {"study": "0020000D", "series": "0020000E", "instance": "00080018"}[level]
    return [row[tag]["Value"][0] for row in archive.search(level, **parameters)]


def table_items(archive: Archive) -> dict[tuple[str, str], Any]:
    """Return (fields, data) of all items but operations, queue messages and pages of values, by (pk, sk).

    JSON is decoded. Pages have random names, and the marks of studies have times.
    """
    with sqlite3.connect(archive.folder / "index.sqlite") as connection:
        rows = connection.execute(
            "SELECT pk, sk, fields, data FROM item WHERE pk NOT LIKE 'operation%' AND pk NOT LIKE 'queue%' "
            "AND pk NOT LIKE '%/pages%' AND pk NOT LIKE 'unpaged%'"
        ).fetchall()
    return {(pk, sk): _decode(pk, fields, data) for pk, sk, fields, data in rows}


def _decode(pk: str, fields: bytes, data: bytes) -> Any:
    decoded = orjson.loads(fields)
    if pk.startswith("querytags") and data:  # the operation id at index 4 is random
        return decoded, [[*tag[:4], *tag[5:]] for tag in orjson.loads(data)]
    return decoded, orjson.loads(data) if data and pk.split("/")[1:2] == ["study"] else data


def tag_entries(archive: Archive) -> list[tuple[str, str]]:
    """Return the keys of all index entries and errors of tags."""
    return [key for key in table_items(archive) if "#" in key[0] and not key[0].startswith("tagged/")]


def tag_notes(archive: Archive) -> list[tuple[str, str]]:
    """Return the keys of the notes of the partitions that have entries of tags."""
    return [key for key in table_items(archive) if key[0].startswith("tagged/")]


def check_ages(archive: Archive) -> None:
    """Assert that a search finds each study by the age of its newest instance, and by no other age."""
    partition = archive.partition.key
    newest: dict[str, tuple[int, str]] = {}
    for study in ("2.25.1", "2.25.2", "2.25.3"):
        for item in archive.table.query(keys.study_items(partition, study), keys.INSTANCES):
            row = InstanceRow.of(item, partition, study)
            (document,) = archive.services.retrieve.metadata(
                archive.partition, study, row.series, row.instance
            ).documents
            age = orjson.loads(whole(document))["00101010"]["Value"][0]
            newest[study] = max(newest.get(study, (0, "")), (row.watermark, age))
    for study, (_, age) in newest.items():
        assert found_uids(archive, "study", PatientAge=age) == [study]
    values = [key for key in table_items(archive) if key[0].startswith(f"{partition}/value/study/00101010#")]
    assert len(values) == len(newest)
