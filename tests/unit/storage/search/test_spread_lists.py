"""Posting lists in several parts: rows with one part and rows with eight are found together, in the right order."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import orjson
import pytest

from app import bootstrap
from app.services import Services
from app.services.policy import V2
from app.settings import Settings
from app.storage.records.packed_documents import whole
from app.storage.table import keys
from app.storage.table.ports import Table
from tests.support.instances import make_instance


class Archive:
    """An archive in one folder, opened with a number of parts."""

    def __init__(self, folder: Path, shards: int) -> None:
        settings = Settings(data_dir=folder, log_level="error")
        engine = replace(bootstrap.build_engine(settings), row_shards=shards)
        self.table: Table = engine.table
        self.services: Services = bootstrap.build_services(settings, engine)
        self.partition = self.services.partitions.resolve("clinic", create=True)

    def store(self, number: int) -> None:
        uids = {"study": f"2.25.1{number}", "series": f"2.25.2{number}", "instance": f"2.25.3{number}"}
        file = make_instance(**uids, pixel=False, study_date="20240115")
        assert self.services.store(self.partition, [BytesIO(file)], None, V2).stored

    def search(self, level: str, **parameters: str) -> list[int]:
        """Return the numbers of the matches in their order."""
        given = list(parameters.items())
        report = self.services.search(self.partition, level, None, None, given, V2, lambda *uids: "/".join(uids))
        found: list[dict[str, Any]] = [orjson.loads(whole(each)) for each in report.documents]
        return [int(each["0020000D"]["Value"][0].removeprefix("2.25.1")) for each in found]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with 5 studies in one part, then 20 in eight parts."""
    for shards, numbers in ((1, range(5)), (8, range(5, 25))):
        archive = Archive(tmp_path, shards)
        for number in numbers:
            archive.store(number)
    return tmp_path


NEWEST_FIRST = list(range(24, -1, -1))


@pytest.mark.parametrize("shards", [1, 8])
@pytest.mark.parametrize(
    ("level", "parameters"),
    [
        ("study", {}),
        ("study", {"StudyDate": "20240115"}),
        ("study", {"StudyDate": "20240101-20240201"}),
        ("study", {"StudyDate": "19000101-20991231"}),
        ("study", {"StudyDate": "20240115-"}),
        ("study", {"ModalitiesInStudy": "CT"}),
        ("series", {"Modality": "CT"}),
        ("series", {}),
        ("instance", {}),
    ],
)
def test_all_parts_are_searched(folder: Path, shards: int, level: str, parameters: dict[str, str]) -> None:
    archive = Archive(folder, shards)
    assert archive.search(level, **parameters) == NEWEST_FIRST
    assert archive.search(level, **parameters, limit="3", offset="19") == [5, 4, 3]


def test_an_instance_is_found_by_its_uid(folder: Path) -> None:
    archive = Archive(folder, 8)
    for number in (0, 4, 5, 24):
        assert archive.search("instance", SOPInstanceUID=f"2.25.3{number}") == [number]


def test_the_parts_take_about_the_same_number_of_postings(folder: Path) -> None:
    archive = Archive(folder, 8)
    parts = keys.parts(keys.newest_of(archive.partition.key, "instance"), 8)
    numbers = [archive.table.count(pk) for pk in parts]
    assert numbers[0] == 5
    assert set(numbers[1:]) == {2, 3}


def test_a_deletion_removes_the_postings_of_all_parts(folder: Path) -> None:
    archive = Archive(folder, 8)
    for number in range(25):
        archive.services.delete(archive.partition, f"2.25.1{number}")
    left = [item.key for item in archive.table.items() if "/value/" in item.key.pk or "/newest/" in item.key.pk]
    assert left == []
