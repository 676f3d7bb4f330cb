"""The log of commits: open records, the fence, and committed records."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.engines.aws import clients, provision
from app.engines.aws.dynamodb import DynamoTable
from app.engines.embedded.sqlite import SqliteTable
from app.errors import Conflict
from app.storage.feed.log import (
    OPEN_SECONDS,
    TAKEN,
    CommitLog,
    CommittedEntry,
    OpenRecord,
    committed_record,
    is_committed,
)
from app.storage.records.contents import Contents
from app.storage.records.leftovers import InstanceVersion, Leftovers
from app.storage.table import clock, keys
from app.storage.table.partitions import Partition
from app.storage.table.ports import Delete, Holds, Item, Put, Table
from tests.support.clock import AdvanceClock
from tests.support.faults import Rule, run
from tests.support.faulty_engine import Faults, FaultyTable

CLINIC = Partition(key=2, name="clinic", created="", counted=True)
VERSION = InstanceVersion(partition=2, study="1.2", series="1.3", instance="1.4", version="v")
LEFTOVERS = Leftovers(versions=(VERSION,))
ENTRY = CommittedEntry("1.2", "1.3", "1.4", "Create", 7, 7)
ONE = Contents(1, 1, 100)


@pytest.fixture(params=["embedded", "moto"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Table:
    if request.param == "embedded":
        return SqliteTable(tmp_path / "index.sqlite")
    request.getfixturevalue("aws")
    provision.create_table(clients.dynamodb(), "archive")
    return DynamoTable(clients.dynamodb(), "archive")


@pytest.fixture
def sqlite(tmp_path: Path) -> SqliteTable:
    return SqliteTable(tmp_path / "index.sqlite")


def items(table: Table, log: CommitLog) -> list[Item]:
    return [item for shard in range(log.shards) for item in table.query(keys.log(shard))]


def commit(table: Table, log: CommitLog, record: OpenRecord | None = None) -> None:
    table.write(log.committed(CLINIC, [ENTRY], ONE, record))


def test_a_commit_replaces_its_open_record(table: Table) -> None:
    log = CommitLog(table, shards=3)
    record = log.open(LEFTOVERS)
    (item,) = items(table, log)
    assert (item.key, is_committed(item), Leftovers.unpack(item.data)) == (record.key, False, LEFTOVERS)
    commit(table, log, record)
    (item,) = items(table, log)
    found = committed_record(item)
    assert is_committed(item)
    assert (found.key, found.partition, found.partition_name, found.counted) == (record.key, 2, "clinic", True)
    assert (found.contents, found.entries) == (ONE, [ENTRY])
    assert log.reread(record) is None
    with pytest.raises(Conflict):
        commit(table, log, record)


def test_a_commit_without_blobs_needs_no_open_record(table: Table) -> None:
    log = CommitLog(table, shards=2)
    table.write(log.committed(CLINIC, [], Contents(-1, 0, 0)))
    (item,) = items(table, log)
    assert committed_record(item).contents == Contents(-1, 0, 0)


def test_a_fenced_commit_conflicts_until_it_has_read_its_record_anew(table: Table) -> None:
    log = CommitLog(table, shards=2)
    record = log.open(LEFTOVERS)
    log.fence_open()
    with pytest.raises(Conflict):
        commit(table, log, record)
    fresh = log.reread(record)
    assert fresh
    (item,) = items(table, log)
    assert Leftovers.unpack(item.data) == LEFTOVERS
    commit(table, log, fresh)
    log.fence_open()
    (item,) = items(table, log)
    assert is_committed(item), "a committed record has no fence"


def test_two_fences_at_the_same_time(sqlite: SqliteTable) -> None:
    faults = Faults()
    first, second = CommitLog(FaultyTable(sqlite, faults)), CommitLog(sqlite)
    record = second.open(LEFTOVERS)
    faults.add(Rule(run(second.fence_open), operation="table.write"))
    first.fence_open()
    assert second.reread(record) == OpenRecord(record.key, 1)


def test_the_sweep_takes_a_record_only_after_its_time(table: Table, advance_clock: AdvanceClock) -> None:
    log = CommitLog(table, shards=3)
    record = log.open(LEFTOVERS)
    commit(table, log)
    advance_clock(OPEN_SECONDS - 1)
    log.open(LEFTOVERS)
    assert list(log.expired(clock.now())) == []
    advance_clock(2)
    (item,) = log.expired(clock.now())
    assert item.key == record.key
    table.write(Put(Item(item.key, {"fence": TAKEN}, item.data), Holds("fence", item.fields["fence"])))
    log.fence_open()
    assert log.reread(record) is None
    with pytest.raises(Conflict):
        commit(table, log, record)
    assert [each.key for each in log.expired(clock.now())] == [record.key], "a worker that died left it"
    table.write(Delete(item.key))
    with pytest.raises(Conflict):
        commit(table, log, record)


def test_a_record_that_was_removed_cannot_be_read_again(sqlite: SqliteTable) -> None:
    log = CommitLog(sqlite)
    record = log.open(LEFTOVERS)
    sqlite.write(Delete(record.key))
    assert log.reread(record) is None


def test_records_use_every_shard(sqlite: SqliteTable) -> None:
    log = CommitLog(sqlite, shards=4)
    for _ in range(100):
        log.open(LEFTOVERS)
        commit(sqlite, log)
    parts = log.waiting(limit=1000)
    assert all(part.items for part in parts)
    assert sum(len(part.items) for part in parts) == 100, "open records do not wait for the feed"
    assert [(len(part.items), part.more) for part in log.waiting(limit=1)] == [(1, True)] * 4
