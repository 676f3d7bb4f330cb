"""Searches by a range of dates: lists of days, months and years, newest first (conformance §5.4)."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.storage.records.periods import OTHER, covering, periods_of
from app.storage.table import keys
from app.storage.table.ports import Delete, Item, Put, Table
from tests.capacity.synthetic import fill, synthetic_study
from tests.support.archive import Archive
from tests.support.instances import make_instance

DATES = st.dates(date(1998, 1, 1), date(2003, 12, 31)).map(lambda day: f"{day:%Y%m%d}")
ENDS = DATES | st.just("")
YEARS = range(1998, 2004)


# --- the lists of a range -----------------------------------------------------------------------------------------


@given(low=ENDS, high=ENDS, day=DATES)
def test_a_date_is_in_one_list_if_it_is_in_the_range_and_in_none_otherwise(low: str, high: str, day: str) -> None:
    names = list(covering(low, high, YEARS))
    assert len(set(names)) == len(names) <= 62 + 22 + len(YEARS)
    found = [name for name in names if name in (day, *periods_of(day))]
    assert len(found) == (low <= day and (not high or day <= high))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        ("20200101", "20201231", ["2020"]),
        ("20200101", "", ["2020", "2021"]),
        ("", "20200131", ["2019", "202001"]),
        ("20200229", "20200302", ["20200229", "20200301", "20200302"]),
        ("20191130", "20200101", ["20191130", "201912", "20200101"]),
        ("19000101", "19501231", []),
    ],
)
def test_a_range_has_few_lists(low: str, high: str, expected: list[str]) -> None:
    assert list(covering(low, high, range(2019, 2022))) == expected


@pytest.mark.parametrize("value", ["2024", "20240230", "2024.01.15", "00000000", "202401151", "\uff12\uff10240115"])
def test_what_is_no_date_of_the_calendar_has_a_list_of_its_own(value: str) -> None:
    assert periods_of(value) == (OTHER,)


# --- searches -----------------------------------------------------------------------------------------------------


def store(archive: Archive, number: int, day: str) -> None:
    study = f"2.25.{number}"
    uids = {"study": study, "series": f"{study}.1", "instance": f"{study}.1.1"}
    file = make_instance(pixel=False, study_date=day, PerformedProcedureStepStartDate=day, **uids)
    assert archive.store(file) == [0]


def found(archive: Archive, level: str = "study", **parameters: str) -> list[int]:
    return [int(row["0020000D"]["Value"][0].split(".")[2]) for row in archive.search(level, **parameters)]


def test_ranges_over_far_years(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    for number, day in enumerate(["00010101", "19991231", "20000101", "20240229", "99991231"], start=1):
        store(archive, number, day)
    for given_range, expected in {
        "19991231-20000101": [3, 2],
        "-20000101": [3, 2, 1],
        "20240229-": [5, 4],
        "00010102-99991230": [4, 3, 2],
        "20240301-20250101": [],
    }.items():
        assert found(archive, StudyDate=given_range) == expected
        assert found(archive, "series", PerformedProcedureStepStartDate=given_range) == expected


@pytest.fixture
def synthetic(tmp_path: Path) -> Archive:
    archive = Archive(tmp_path)
    fill(archive.table, archive.partition.key, 300)
    archive.faults.forget_reads()
    return archive


def expected_of(low: str, high: str, modality: str = "") -> list[str]:
    studies = (synthetic_study(number, 300) for number in reversed(range(300)))
    return [each.uid for each in studies if low <= each.values["StudyDate"] <= high and modality in ("", each.modality)]


def uids(archive: Archive, **parameters: str) -> list[str]:
    return [row["0020000D"]["Value"][0] for row in archive.search("study", **parameters)]


def test_a_page_of_the_oldest_year_reads_what_it_holds(synthetic: Archive) -> None:
    assert uids(synthetic, StudyDate="20150101-20151231", limit="3") == expected_of("20150101", "20151231")[:3]
    assert synthetic.faults.items_read <= 12
    synthetic.faults.forget_reads()
    assert uids(synthetic, StudyDate="-20151230", limit="3") == expected_of("0", "20151230")[:3]
    assert synthetic.faults.items_read <= 60


def test_a_range_beside_a_rare_value_reads_little(synthetic: Archive) -> None:
    rare = synthetic_study(7, 300)
    assert uids(synthetic, AccessionNumber=rare.values["AccessionNumber"], StudyDate="20150103-20210902") == [rare.uid]
    assert synthetic.faults.items_read <= 8


def test_a_range_beside_a_frequent_value_reads_little(synthetic: Archive) -> None:
    expected = expected_of("20150201", "20150731", "CT")
    assert len(expected) > 3
    assert uids(synthetic, ModalitiesInStudy="CT", StudyDate="20150201-20150731", limit="3") == expected[:3]
    assert synthetic.faults.items_read <= 120


def test_a_short_range_beside_a_frequent_value_reads_the_rows_of_the_range(synthetic: Archive) -> None:
    expected = expected_of("20170301", "20170331", "CT")
    assert uids(synthetic, ModalitiesInStudy="CT", StudyDate="20170301-20170331") == expected
    assert synthetic.faults.items_read <= 20


# --- rows of layout 3 ---------------------------------------------------------------------------------------------


def make_older(archive: Archive) -> Archive:
    """Make the archive one of layout 3, whose rows have no postings of periods, and open it with this release."""
    for item in list(archive.table.items()):
        if keys.is_period(item.key):
            archive.table.write(Delete(item.key))
    archive.table.write(Put(Item(keys.LAYOUT, {"version": 3})))
    return Archive(archive.folder)


def periods(table: Table) -> list[str]:
    return [item.key.sk for item in table.items() if keys.is_period(item.key)]


def test_studies_of_layout_3_are_found_among_newer_ones(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    first = date(2023, 12, 20)
    for number in range(1, 21):
        store(archive, number, f"{first + timedelta(number):%Y%m%d}")
    archive = make_older(archive)
    assert not periods(archive.table)
    store(archive, 21, "20240101")
    archive.delete("2.25.4")
    archive.work()
    expected = [21, *(number for number in range(13, 2, -1) if number != 4)]
    assert found(archive, StudyDate="20231223-20240102") == expected
    assert found(archive, StudyDate="20231223-20240102", limit="4", offset="2") == expected[2:6]
    assert found(archive, "series", PerformedProcedureStepStartDate="20231223-20240102") == expected
    assert found(Archive(tmp_path), StudyDate="20240101-20240101") == [21, 12]


def test_a_new_archive_has_no_objects_without_periods(tmp_path: Path) -> None:
    assert Archive(tmp_path).table.get(keys.LAST_UNDATED) is None


def test_a_deletion_removes_the_periods(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    store(archive, 1, "20240101")
    assert len(periods(archive.table)) == 4
    archive.delete("2.25.1")
    archive.work()
    assert not periods(archive.table)
