"""More changes than one transaction takes: what is written before it, within it and after it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from app.engines.embedded.sqlite import SqliteTable
from app.errors import Conflict
from app.storage.table import clock, keys
from app.storage.table.batch import Cost, UnfinishedPostings, cost, fits, grouped, write_atomically
from app.storage.table.ports import MAX_CHANGES, Absent, Change, Delete, Holds, Item, Key, PlainChange, Put, Table

ROW = keys.study(1, "2.25.1")
DOCUMENT = keys.metadata(1, "2.25.1", 7)


def posting(number: int) -> Key:
    return Key(keys.values(1, "study", f"{number:08X}"), keys.entry("value", 7))


def row(revision: int) -> Put:
    expect = Holds("revision", revision - 1) if revision > 1 else Absent()
    return Put(Item(ROW, {"revision": revision}), expect)


def creation(postings: int) -> list[Change]:
    new = [Put(Item(posting(number), {"study": "2.25.1"})) for number in range(postings)]
    return [*new, Put(Item(DOCUMENT, {}, b"document")), row(1)]


def deletion(postings: int) -> list[Change]:
    removed = [Delete(posting(number)) for number in range(postings)]
    return [Delete(DOCUMENT), *removed, Delete(ROW, Holds("revision", 1))]


class Recorder:
    """A table that records its writes, with those before a transaction as writes of their own."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.writes: list[Sequence[Change]] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._table, name)

    def write(self, *changes: Change, before: Sequence[PlainChange] = ()) -> None:
        self.writes += [before, changes] if before else [changes]
        self._table.write(*changes, before=before)

    def write_each(self, changes: Iterable[PlainChange], *, durable: bool = True) -> None:
        self.writes.append(tuple(changes))
        self._table.write_each(self.writes[-1], durable=durable)  # type: ignore[arg-type]


@pytest.fixture
def plain(tmp_path: Path) -> SqliteTable:
    return SqliteTable(tmp_path / "index.sqlite")


@pytest.fixture
def table(plain: SqliteTable) -> Recorder:
    return Recorder(plain)


def write(table: Recorder, changes: list[Change]) -> None:
    table.writes.clear()
    write_atomically(table, changes)  # type: ignore[arg-type]


def records(table: Table) -> list[Item]:
    return list(table.query(keys.SWEEP))


def present(table: Table, count: int) -> int:
    return sum(item is not None for item in table.get_many([posting(number) for number in range(count)]))


def test_changes_that_fit_are_one_transaction(table: Recorder) -> None:
    write(table, creation(MAX_CHANGES - 2))
    assert len(table.writes) == 1


def test_only_new_postings_are_written_before(table: Recorder, plain: SqliteTable) -> None:
    write(table, creation(150))
    record, before, transaction = table.writes
    assert [each.key.pk for each in record] == [keys.SWEEP]
    assert all(keys.is_posting(each.key) for each in before)
    assert {ROW, DOCUMENT} <= {each.key for each in transaction}
    assert len(transaction) <= MAX_CHANGES
    assert present(plain, 150) == 150
    assert records(plain) == []


def test_removed_postings_that_do_not_fit_stay_with_a_record_of_them(table: Recorder, plain: SqliteTable) -> None:
    write(table, creation(150))
    write(table, deletion(150))
    (transaction,) = table.writes
    assert {ROW, DOCUMENT} <= {each.key for each in transaction}
    (record,) = records(plain)
    unfinished = UnfinishedPostings.of(record)
    assert unfinished is not None
    assert unfinished.rows == [ROW]
    assert len(unfinished.postings) == present(plain, 150) > 0
    assert list(plain.query(keys.SWEEP, keys.due_by(int(clock.now())))) == [record]


def test_a_conflict_leaves_only_postings_and_their_record(table: Recorder, plain: SqliteTable) -> None:
    plain.write(row(1))
    with pytest.raises(Conflict):
        write(table, creation(150))
    assert plain.get(DOCUMENT) is None
    assert len(records(plain)) == 1


def test_a_transaction_expects_the_record_of_its_postings(
    table: Recorder, plain: SqliteTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep took the record and the postings of a writer that was very slow. Then the writer must begin again."""

    class Slow(Recorder):
        def write_each(self, changes: Iterable[PlainChange], *, durable: bool = True) -> None:
            super().write_each(changes, durable=durable)
            plain.write(*(Delete(item.key) for item in records(plain)))

    monkeypatch.setattr(clock, "now", lambda: 1000.0)
    with pytest.raises(Conflict):
        write_atomically(Slow(plain), creation(150))  # type: ignore[arg-type]
    assert plain.get(ROW) is None


def test_changes_that_do_not_fit_without_their_postings_are_refused(table: Recorder) -> None:
    documents: list[Change] = [Put(Item(keys.metadata(1, "2.25.1", n), {})) for n in range(MAX_CHANGES + 1)]
    with pytest.raises(ValueError, match="do not fit one transaction"):
        write(table, [*documents, Put(Item(posting(1), {}))])
    assert table.writes == []


def test_groups_fit_in_changes_and_in_bytes() -> None:
    jobs = [Cost(40, 0), Cost(40, 0), Cost(40, 0), Cost(1, 1_500_000), Cost(1, 1_500_000), Cost(500, 0), Cost(1, 0)]
    groups = list(grouped(jobs, lambda job: job, reserved=20))
    assert [len(group) for group in groups] == [2, 2, 1, 1, 1]
    assert [job for group in groups for job in group] == jobs


def test_the_cost_counts_changes_and_documents() -> None:
    taken = cost([Put(Item(ROW, {}, b"12345")), Delete(DOCUMENT)])
    assert taken == Cost(2, 5)
    assert fits(taken)
