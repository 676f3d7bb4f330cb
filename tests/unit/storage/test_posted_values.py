"""Search by identifiers of requests: metadata alone has the values, and postings lead to them (conformance §5.3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest
from pydicom.dataset import Dataset

from app.storage.records.posted_values import ANY_VALUE, MAX_VALUES, united
from app.storage.table import keys
from app.storage.table.ports import Delete, Item, Put
from tests.support.archive import Archive
from tests.support.instances import CT_STORAGE, make_instance

STUDY_ID: Final = "00200010"
SOP_CLASS: Final = "00080016"
VOLUME: Final = "1.2.840.10008.5.1.4.1.1.77.1.6"
STEP: Final = "00400275.00400009"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


def request(step: str) -> Dataset:
    item = Dataset()
    item.ScheduledProcedureStepID = step
    item.RequestedProcedureID = f"RP-{step}"
    return item


def store(archive: Archive, number: int, instance: int = 1, *steps: str, **attributes: Any) -> None:
    study = f"2.25.{number}"
    if steps:
        attributes["RequestAttributesSequence"] = [request(step) for step in steps]
    uids = {"study": study, "series": f"{study}.1", "instance": f"{study}.1.{instance}"}
    assert archive.store(make_instance(**uids, pixel=False, **attributes)) == [0]


def found(archive: Archive, level: str = "study", **parameters: str) -> list[int]:
    """The numbers of the studies that have a match, newest first."""
    rows = archive.search(level, **parameters, includefield="0020000D")
    return [int(row["0020000D"]["Value"][0].removeprefix("2.25.")) for row in rows]


def make_older(archive: Archive) -> Archive:
    """Make the archive one of layout 2, whose rows have no posted values, and open it with this release."""
    table = archive.table
    for level, key in (("study", STUDY_ID), ("series", STEP), ("series", "00400275.00401001"), ("series", SOP_CLASS)):
        for item in table.query(keys.values(archive.partition.key, level, key)):
            table.write(Delete(item.key))
    for posting in table.query(keys.newest_of(archive.partition.key, "study")):
        for item in list(table.query(keys.study_items(archive.partition.key, posting.fields["study"]))):
            fields = {name: value for name, value in item.fields.items() if name not in ("posted", "counted")}
            table.write(Put(item._replace(fields=fields)))
    table.write(Put(Item(keys.LAYOUT, {"version": 2})))
    return Archive(archive.folder)


# --- cost -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "name", "value"),
    [
        ("study", "StudyID", "rare"),
        ("study", "StudyID", "ra*"),
        ("series", "ScheduledProcedureStepID", "s7"),
        ("series", "RequestedProcedureID", "RP-S7"),
        ("series", "StudyID", "RARE"),
        ("instance", "StudyID", "rare"),
    ],
)
def test_a_rare_value_alone_does_not_read_the_partition(archive: Archive, level: str, name: str, value: str) -> None:
    for number in range(1, 61):
        store(archive, number, 1, f"S{number}", StudyID="rare" if number == 7 else "1")
    archive.faults.forget_reads()
    assert found(archive, level, limit="2", **{name: value}) == [7]
    assert archive.faults.items_read < 40


def test_a_rare_class_of_instances_does_not_read_the_partition(archive: Archive) -> None:
    for number in range(1, 61):
        store(archive, number, SOPClassUID=VOLUME if number == 7 else CT_STORAGE)
    archive.faults.forget_reads()
    assert found(archive, "instance", SOPClassUID=VOLUME, limit="2") == [7]
    assert archive.faults.items_read < 40
    assert found(archive, "instance", SOPClassUID=CT_STORAGE, limit="2") == [60, 59]
    assert found(archive, "instance", SOPClassUID=f"{VOLUME},{CT_STORAGE}", offset="52", limit="2") == [8, 7]


def test_the_class_of_each_instance_counts(archive: Archive) -> None:
    store(archive, 1, 1, SOPClassUID=VOLUME)
    store(archive, 1, 2, SOPClassUID=CT_STORAGE)
    assert len(found(archive, "instance", SOPClassUID=VOLUME)) == 1
    archive.delete("2.25.1", "2.25.1.1", "2.25.1.1.1")
    assert found(archive, "instance", SOPClassUID=VOLUME) == []


def test_a_common_value_reads_one_page(archive: Archive) -> None:
    for number in range(1, 61):
        store(archive, number, StudyID="1")
    archive.faults.forget_reads()
    assert found(archive, StudyID="1", limit="3") == [60, 59, 58]
    assert archive.faults.items_read < 60


# --- which value counts ---------------------------------------------------------------------------------------------


def test_the_value_of_the_newest_instance_counts_also_after_it_is_deleted(archive: Archive) -> None:
    store(archive, 1, 1, StudyID="old")
    store(archive, 1, 2, StudyID="new")
    assert (found(archive, StudyID="old"), found(archive, StudyID="new")) == ([], [1])
    archive.delete("2.25.1", "2.25.1.1", "2.25.1.1.2")
    assert (found(archive, StudyID="old"), found(archive, StudyID="new")) == ([1], [])


@pytest.mark.parametrize("value", ["v4", "v*", "*4"])
def test_an_object_with_many_values_is_always_a_candidate(archive: Archive, value: str) -> None:
    for instance in range(MAX_VALUES + 5):
        store(archive, 1, instance, StudyID=f"v{instance}")
    store(archive, 2, 1, StudyID="other")
    (row,) = archive.table.get_many([keys.study(archive.partition.key, "2.25.1")])
    assert row and row.fields["posted"] == {STUDY_ID: [ANY_VALUE]}
    store(archive, 1, 99, StudyID="v4")
    assert found(archive, StudyID=value) == [1]


def test_values_are_united_up_to_a_limit() -> None:
    assert united({}, {"a": ("x",)}) == {"a": ("x",)}
    assert united({"a": ("x",), "b": ("y",)}, {"a": ("w", "x")}) == {"a": ("w", "x"), "b": ("y",)}
    full = {"a": tuple(f"{n:02d}" for n in range(MAX_VALUES))}
    assert united(full, {"a": ("03",)}) == full
    assert united(full, {"a": ("x",)}) == {"a": (ANY_VALUE,)}
    assert united({"a": (ANY_VALUE,)}, {"a": ("x",)}) == {"a": (ANY_VALUE,)}


def test_a_store_without_a_new_value_does_not_write_the_rows(archive: Archive) -> None:
    store(archive, 1, 1, "S1", StudyID="1")
    archive.faults.record_writes()
    store(archive, 1, 2, "S1", StudyID="1")
    written = {change.key.sk.split("/")[0] for changes in archive.faults.writes for change in changes}
    assert not written & {"study", "series"}


def test_a_deletion_removes_the_postings(archive: Archive) -> None:
    store(archive, 1, 1, "S1", "S2", StudyID="1")
    archive.delete("2.25.1")
    assert not [key for key in archive.items() if "/value/" in key.pk]


# --- archives of earlier layouts ------------------------------------------------------------------------------------


def test_objects_of_an_earlier_layout_are_found(archive: Archive) -> None:
    store(archive, 1, 1, "S1", StudyID="A")
    store(archive, 2, 1, "S2", StudyID="B")
    store(archive, 3, 1, "S1", StudyID="A")
    archive = make_older(archive)
    assert found(archive, StudyID="A") == [3, 1]
    store(archive, 4, 1, "S1", StudyID="A")
    store(archive, 1, 2, "S9", StudyID="C")  # a new instance in an older study
    store(archive, 5, 1, "S5", StudyID="B")
    for reopened in (archive, Archive(archive.folder)):
        assert found(reopened, StudyID="A") == [4, 3]
        assert found(reopened, StudyID="C") == [1]
        assert found(reopened, StudyID="?") == [5, 4, 3, 2, 1]
        assert found(reopened, "series", ScheduledProcedureStepID="S1") == [4, 3]
        assert found(reopened, "series", StudyID="A", ScheduledProcedureStepID="S1") == [4, 3]
        assert found(reopened, "series", ScheduledProcedureStepID="S*", limit="2", offset="1") == [4, 3]
        assert found(reopened, "instance", StudyID="B") == [5, 2]
        assert found(reopened, "instance", SOPClassUID=CT_STORAGE) == [5, 1, 4, 3, 2, 1]
    archive.delete("2.25.1", "2.25.1.1", "2.25.1.1.2")
    assert found(archive, StudyID="A") == [4, 3, 1]


def test_a_new_archive_has_no_objects_of_an_earlier_layout(archive: Archive) -> None:
    assert archive.table.get(keys.LAST_UNPOSTED) is None
