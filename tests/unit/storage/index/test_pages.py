"""The instances of a study in pages: each visible instance is in one page, and no row is read twice."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from app import bootstrap
from app.settings import Settings
from app.storage.index.pages import InstancePages, PagePosition
from tests.support.archive import Archive, file
from tests.support.faulty_engine import Faults, FaultyTable

STUDY = "2.25.1"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """Three series of ten instances in one study, and one instance in another study."""
    made = Archive(tmp_path)
    uids = [(STUDY, f"{STUDY}.{series}", f"{STUDY}.{series}.{n}") for series in "123" for n in range(10)]
    assert made.store(*(file(*each) for each in uids), file("2.25.10", "2.25.10.1", "2.25.10.1.1")) == [0] * 31
    return made


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def table(archive: Archive, faults: Faults) -> FaultyTable:
    return FaultyTable(bootstrap.build_engine(Settings(data_dir=archive.folder)).table, faults)


def pages_of(pages: InstancePages, archive: Archive, series: str | None, size: int) -> Iterator[list[str]]:
    """The SOP Instance UIDs of each page of a study or series."""
    last: PagePosition | None = None
    while True:
        rows, last = pages.page(archive.partition.key, STUDY, series, last, size)
        yield [row.instance for row in rows]
        if last is None:
            return


@pytest.mark.parametrize("size", [1, 3, 10, 29, 30, 31])
def test_each_instance_is_in_one_page(archive: Archive, table: FaultyTable, faults: Faults, size: int) -> None:
    pages = list(pages_of(InstancePages(table), archive, None, size))
    assert list(chain(*pages)) == [f"{STUDY}.{series}.{n}" for series in "123" for n in range(10)]
    assert max(map(len, pages)) <= size
    assert faults.items_queried == 30, "no row is read twice"


def test_the_pages_of_one_series(archive: Archive, table: FaultyTable, faults: Faults) -> None:
    assert list(chain(*pages_of(InstancePages(table), archive, f"{STUDY}.2", 4))) == [
        f"{STUDY}.2.{n}" for n in range(10)
    ]
    assert faults.items_queried == 10


def test_an_instance_deleted_between_two_pages_is_omitted(archive: Archive, table: FaultyTable) -> None:
    pages = pages_of(InstancePages(table), archive, None, 10)
    assert len(next(pages)) == 10
    archive.delete(STUDY, f"{STUDY}.2")
    archive.delete(STUDY, f"{STUDY}.3", f"{STUDY}.3.4")
    assert list(chain(*pages)) == [f"{STUDY}.3.{n}" for n in range(10) if n != 4]


def test_which_studies_and_series_exist(archive: Archive, table: FaultyTable) -> None:
    pages, key = InstancePages(table), archive.partition.key
    archive.delete(STUDY, f"{STUDY}.2")
    archive.delete("2.25.10")
    found = {
        (study, series): pages.exists(key, study, series)
        for study, series in [
            (STUDY, None), (STUDY, f"{STUDY}.1"), (STUDY, f"{STUDY}.2"), (STUDY, "2.25.9"), ("2.25.10", None),
            ("2.25.10", "2.25.10.1"), ("2.25.9", None), ("2.25.9", f"{STUDY}.1"),
        ]
    }  # fmt: skip
    assert [uids for uids, exists in found.items() if exists] == [(STUDY, None), (STUDY, f"{STUDY}.1")]
    assert not pages.exists(key + 1, STUDY, None)
