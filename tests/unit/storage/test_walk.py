"""The instances of a study page by page: each once, none that is not there, none read twice."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from app import bootstrap
from app.settings import Settings
from app.storage.index.pages import InstancePages, PagePosition
from tests.support.archive import Archive, file
from tests.support.faults import Faults, FaultyTable

STUDY = "2.25.1"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """Three series of ten instances in one study, and one in another."""
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


def walked(walk: InstancePages, archive: Archive, series: str | None, size: int) -> Iterator[list[str]]:
    last: PagePosition | None = None
    while True:
        rows, last = walk.page(archive.partition.key, STUDY, series, last, size)
        yield [row.instance for row in rows]
        if last is None:
            return


@pytest.mark.parametrize("size", [1, 3, 10, 29, 30, 31])
def test_each_once(archive: Archive, table: FaultyTable, faults: Faults, size: int) -> None:
    pages = list(walked(InstancePages(table), archive, None, size))
    assert list(chain(*pages)) == [f"{STUDY}.{series}.{n}" for series in "123" for n in range(10)]
    assert max(map(len, pages)) <= size
    assert faults.items_queried == 30, "no row is read twice"


def test_one_series(archive: Archive, table: FaultyTable, faults: Faults) -> None:
    assert list(chain(*walked(InstancePages(table), archive, f"{STUDY}.2", 4))) == [f"{STUDY}.2.{n}" for n in range(10)]
    assert faults.items_queried == 10


def test_what_is_deleted_meanwhile_is_left_out(archive: Archive, table: FaultyTable) -> None:
    pages = walked(InstancePages(table), archive, None, 10)
    assert len(next(pages)) == 10
    archive.delete(STUDY, f"{STUDY}.2")
    archive.delete(STUDY, f"{STUDY}.3", f"{STUDY}.3.4")
    assert list(chain(*pages)) == [f"{STUDY}.3.{n}" for n in range(10) if n != 4]


def test_what_exists(archive: Archive, table: FaultyTable) -> None:
    walk, key = InstancePages(table), archive.partition.key
    archive.delete(STUDY, f"{STUDY}.2")
    archive.delete("2.25.10")
    found = {
        (study, series): walk.exists(key, study, series)
        for study, series in [
            (STUDY, None), (STUDY, f"{STUDY}.1"), (STUDY, f"{STUDY}.2"), (STUDY, "2.25.9"), ("2.25.10", None),
            ("2.25.10", "2.25.10.1"), ("2.25.9", None), ("2.25.9", f"{STUDY}.1"),
        ]
    }  # fmt: skip
    assert [pair for pair, there in found.items() if there] == [(STUDY, None), (STUDY, f"{STUDY}.1")]
    assert not walk.exists(key + 1, STUDY, None)
