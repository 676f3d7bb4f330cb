"""Workitems in the table: each change is one write, postings follow the state, and a search reads only its page."""

from __future__ import annotations

import contextlib
import random

import orjson
import pytest

from app.bootstrap import Engine
from app.dicom.json.dataset import JsonDataset
from app.dicom.query.parameters import Catalogue, parse_query
from app.dicom.validation.attributes import Level
from app.dicom.worklist import states
from app.dicom.worklist.search_attributes import FILTERS, MAX_VALUES, STATE
from app.errors import Conflict, InvalidWorkitem, StorageUnavailable, TooLarge
from app.storage.table import keys
from app.storage.table.ports import Put, Table
from app.storage.worklist.search import WorklistSearch
from app.storage.worklist.workitems import MAX_DATASET_BYTES, WorkitemRow, Workitems, postings
from tests.support.faults import Killed, Rule, kill
from tests.support.faulty_engine import Faults
from tests.support.workitems import name, requested, sequence, text, workitem

P = 7
"""A partition."""


@pytest.fixture
def faults() -> Faults:
    faults = Faults()
    faults.record_writes()
    return faults


@pytest.fixture
def table(engine: Engine) -> Table:
    return engine.table


@pytest.fixture
def workitems(table: Table) -> Workitems:
    return Workitems(table)


def dataset(number: int, **different: JsonDataset | None) -> JsonDataset:
    return states.create(workitem(**different), f"2.25.{number}", 1_709_283_600)


def read(workitems: Workitems, number: int) -> WorkitemRow:
    row = workitems.find(P, f"2.25.{number}")
    assert row
    return row


def move(workitems: Workitems, number: int, state: str) -> None:
    row = read(workitems, number)
    workitems.change(row, row.dataset() | {STATE: text("CS", state)}, "2.25.9")


def search(table: Table, *parameters: tuple[str, str]) -> list[str]:
    query = parse_query(Level.INSTANCE, None, None, parameters, Catalogue(attributes=FILTERS, sequences=True))
    return [row.workitem for row in WorklistSearch(table).run(P, query).rows]


def posted_states(engine: Engine) -> set[tuple[str, str]]:
    """The postings of all states: (state, workitem)."""
    found = engine.table.query(keys.values(P, "workitem", STATE))
    return {(item.key.sk.split("\t")[0], item.fields["workitem"]) for item in found}


# --- writes -------------------------------------------------------------------------------------------------------


def test_each_change_is_one_write_that_moves_the_workitem_between_states(
    table: Table, faults: Faults, workitems: Workitems, engine: Engine
) -> None:
    workitems.add(P, "2.25.1", dataset(1))
    assert posted_states(engine) == {("scheduled", "2.25.1")}
    move(workitems, 1, "IN PROGRESS")
    assert posted_states(engine) == {("in progress", "2.25.1")}
    move(workitems, 1, "COMPLETED")
    assert posted_states(engine) == {("completed", "2.25.1")}
    first, *changes = faults.writes
    assert len(changes) == 2
    assert len(first) == 1 + len(postings(read(workitems, 1)))
    assert [len(each) for each in changes] == [3, 3]  # the workitem, the state it left, the state it is in


def test_a_dataset_is_read_as_it_was_written(workitems: Workitems) -> None:
    given = dataset(1, T0040A370=sequence(requested("A1"), requested("B2")))
    workitems.add(P, "2.25.1", given)
    row = read(workitems, 1)
    assert row.dataset() == given
    assert (row.lock, row.revision) == ("", 1)
    workitems.change(row, given, "2.25.9")
    assert (read(workitems, 1).lock, read(workitems, 1).revision) == ("2.25.9", 2)
    assert workitems.find(P, "2.25.2") is None
    assert workitems.find(P + 1, "2.25.1") is None


def test_the_text_of_a_row_does_not_contain_the_lock(workitems: Workitems) -> None:
    workitems.add(P, "2.25.1", dataset(1))
    workitems.change(read(workitems, 1), dataset(1), "2.25.999")
    assert "2.25.999" not in repr(read(workitems, 1))


def test_a_second_workitem_of_the_same_uid_conflicts(workitems: Workitems, engine: Engine) -> None:
    workitems.add(P, "2.25.1", dataset(1))
    with pytest.raises(Conflict):
        workitems.add(P, "2.25.1", dataset(1, T00100020=text("LO", "other")))
    assert read(workitems, 1).dataset() == dataset(1)
    workitems.add(P + 1, "2.25.1", dataset(1))


def test_a_change_of_an_outdated_row_conflicts(workitems: Workitems) -> None:
    workitems.add(P, "2.25.1", dataset(1))
    old = read(workitems, 1)
    move(workitems, 1, "IN PROGRESS")
    with pytest.raises(Conflict) as conflict:
        workitems.change(old, old.dataset() | {STATE: text("CS", "CANCELED")}, "")
    assert conflict.value.key == old.key
    assert states.state_of(read(workitems, 1).dataset()) == "IN PROGRESS"


def many(first: int, count: int = MAX_VALUES) -> JsonDataset:
    return sequence(*(requested(f"A{number}", f"R{number}") for number in range(first, first + count)))


@pytest.mark.parametrize("killed", range(4))
def test_more_postings_than_fit_in_a_write(
    table: Table, faults: Faults, workitems: Workitems, engine: Engine, killed: int
) -> None:
    """The change is killed before each of its writes in turn. A search finds what is stored."""
    workitems.add(P, "2.25.1", dataset(1, T0040A370=many(0)))
    assert search(table, ("0040A370.00080050", "A99")) == search(table, ("0040A370.00401001", "R0")) == ["2.25.1"]
    row = read(workitems, 1)
    faults.add(Rule(kill(), operation="table.write", nth=killed + 1))
    with contextlib.suppress(Killed):
        workitems.change(row, dataset(1, T0040A370=many(50)) | {STATE: text("CS", "CANCELED")}, "")
    faults.clear()
    changed = read(workitems, 1).revision == 2
    assert posted_states(engine) == {("canceled" if changed else "scheduled", "2.25.1")}
    for accession, exists in (("A0", not changed), ("A99", True), ("A149", changed)):
        assert (search(table, ("0040A370.00080050", accession)) == ["2.25.1"]) is exists


def test_only_the_first_values_in_a_sequence_have_postings(table: Table, workitems: Workitems) -> None:
    workitems.add(P, "2.25.1", dataset(1, T0040A370=many(0, MAX_VALUES + 1)))
    assert search(table, ("0040A370.00080050", f"A{MAX_VALUES - 1}")) == ["2.25.1"]
    assert search(table, ("0040A370.00080050", f"A{MAX_VALUES}")) == []


def test_a_dataset_that_is_too_large_is_refused(table: Table, faults: Faults, workitems: Workitems) -> None:
    with pytest.raises(TooLarge):
        workitems.add(P, "2.25.1", dataset(1, T00400400=text("LT", "x" * MAX_DATASET_BYTES)))
    noise = random.Random(1).randbytes(500_000).hex()
    with pytest.raises(InvalidWorkitem, match="compressed"):
        workitems.add(P, "2.25.1", dataset(1, T00400400=text("LT", noise)))
    assert not faults.writes
    workitems.add(P, "2.25.1", dataset(1, T00400400=text("LT", "x" * (MAX_DATASET_BYTES - 10_000))))
    assert len(read(workitems, 1).document) < 10_000


def test_a_damaged_document_is_detected(workitems: Workitems, engine: Engine) -> None:
    workitems.add(P, "2.25.1", dataset(1))
    item = read(workitems, 1).item
    engine.table.write(Put(item._replace(data=item.data[:-1] + b"?")))
    assert not read(workitems, 1).intact
    with pytest.raises(StorageUnavailable):
        read(workitems, 1).dataset()


# --- searches -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
def test_a_search_by_state_does_not_read_other_states(table: Table, faults: Faults, workitems: Workitems) -> None:
    for number in range(1, 301):
        workitems.add(P, f"2.25.{number}", dataset(number))
    for number in (5, 150, 290):
        move(workitems, number, "IN PROGRESS")
    faults.forget_reads()
    assert search(table, (STATE, "IN PROGRESS")) == ["2.25.290", "2.25.150", "2.25.5"]
    assert faults.items_read == 6  # three postings, three workitems
    faults.forget_reads()
    assert len(search(table, (STATE, "SCHEDULED"), ("limit", "10"))) == 10
    assert faults.items_read == 22  # for the page, and for one match beyond it


@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
def test_two_filters_cost_as_much_as_the_rarer_one(table: Table, faults: Faults, workitems: Workitems) -> None:
    for number in range(1, 301):
        patient = text("LO", "rare" if number % 100 == 0 else "common")
        workitems.add(P, f"2.25.{number}", dataset(number, T00100020=patient))
    faults.forget_reads()
    assert search(table, (STATE, "SCHEDULED"), ("PatientID", "rare")) == ["2.25.300", "2.25.200", "2.25.100"]
    assert faults.items_read < 320  # of the long list, one chunk after each posting of the short one


@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
def test_a_short_page_of_many_candidates_takes_few_calls(table: Table, faults: Faults, workitems: Workitems) -> None:
    for number in range(1, 201):
        start = text("DT", "2024" if number <= 100 else "2025")
        patient = name("Bea" if number <= 100 else "Ann")
        workitems.add(P, f"2.25.{number}", dataset(number, T00404005=start, T00100010=patient))
    early = ("ScheduledProcedureStepStartDateTime", "-2024")
    assert search(table, early, ("PatientName", "ann"), ("fuzzymatching", "true"), ("limit", "1")) == []
    assert faults.calls["table.get_many"] < 20


def test_pages_are_ordered_newest_first(table: Table, workitems: Workitems) -> None:
    for number in range(1, 8):
        workitems.add(P, f"2.25.{number}", dataset(number))
    move(workitems, 2, "COMPLETED")  # a change does not make it newer
    assert search(table) == [f"2.25.{number}" for number in range(7, 0, -1)]
    assert search(table, ("limit", "2"), ("offset", "4")) == ["2.25.3", "2.25.2"]
    assert search(table, ("offset", "7")) == []


def test_a_posting_without_a_workitem_is_omitted(table: Table, workitems: Workitems, engine: Engine) -> None:
    workitems.add(P, "2.25.1", dataset(1))
    puts = [Put(item) for item in postings(read(workitems, 1)).values()]
    moved = [Put(each.item._replace(fields={"workitem": "2.25.2"})) for each in puts]
    engine.table.write(*moved)
    assert search(table) == search(table, (STATE, "SCHEDULED")) == []


def test_a_row_is_small(workitems: Workitems) -> None:
    workitems.add(P, "2.25.1", dataset(1))
    item = read(workitems, 1).item
    assert len(orjson.dumps(item.fields)) + len(item.data) < 1500
