"""The engine that fails on command keeps the contracts of the ports without rules, and fails as its rules say."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path

import pytest

from app.engines.embedded.files import FileBlobs
from app.engines.embedded.sqlite import SqliteTable
from app.engines.table_queue import TableQueue
from app.errors import BlobMissing, Conflict, StorageUnavailable, Throttled
from app.storage.table import clock
from app.storage.table.ports import ALL, Absent, Delete, Item, Key, Put
from tests.contracts.test_blobs import TestDelete, TestOpen, TestPut
from tests.contracts.test_table import TestAdd, TestConditions, TestGetMany, TestItems, TestQuery, TestWrite
from tests.support.clock import shift_clock
from tests.support.faults import (
    AFTER,
    ANY,
    FOR_EVER,
    MUTATIONS,
    Killed,
    Rule,
    break_off,
    conflict,
    contention,
    delay,
    fail,
    kill,
    kill_at,
    nothing,
    run,
    throttle,
    truncate,
)
from tests.support.faulty_engine import Faults, FaultyBlobStore, FaultyQueue, FaultyTable
from tests.support.random_faults import Fault, RandomFaults

__all__ = [  # the suites of the contracts run in this module too, on the fixtures below
    "TestAdd",
    "TestConditions",
    "TestDelete",
    "TestGetMany",
    "TestItems",
    "TestOpen",
    "TestPut",
    "TestQuery",
    "TestWrite",
]

A, B = Key("7/study/1", "a"), Key("7/study/2", "b")


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def plain(tmp_path: Path) -> SqliteTable:
    """The table below the faulty one."""
    return SqliteTable(tmp_path / "index.sqlite")


@pytest.fixture
def table(plain: SqliteTable, faults: Faults) -> FaultyTable:
    return FaultyTable(plain, faults)


@pytest.fixture
def blobs(tmp_path: Path, faults: Faults) -> FaultyBlobStore:
    return FaultyBlobStore(FileBlobs(tmp_path / "blobs"), faults)


def put(key: Key, data: bytes = b"") -> Put:
    return Put(Item(key, {}, data))


# --- modes ------------------------------------------------------------------------------------------------------------


def test_a_call_that_fails_before_has_no_effect(table: FaultyTable, blobs: FaultyBlobStore, faults: Faults) -> None:
    faults.add(Rule(fail(), operation=MUTATIONS, times=FOR_EVER))
    acts: list[Callable[[], object]] = [
        lambda: table.write(put(A)),
        lambda: table.add(B, "count", 1),
        lambda: blobs.put("a/b", BytesIO(b"1")),
    ]
    for act in acts:
        with pytest.raises(StorageUnavailable):
            act()
    assert table.get_many([A, B]) == [None, None]
    with pytest.raises(BlobMissing):
        blobs.open("a/b")


def test_a_call_that_fails_after_took_effect(table: FaultyTable, blobs: FaultyBlobStore, faults: Faults) -> None:
    faults.add(Rule(fail(OSError("lost")), operation=MUTATIONS, stage=AFTER, times=FOR_EVER))
    acts: list[Callable[[], object]] = [
        lambda: table.write(put(A)),
        lambda: table.add(B, "count", 1),
        lambda: blobs.put("a/b", BytesIO(b"1")),
    ]
    for act in acts:
        with pytest.raises(OSError, match="lost"):
            act()
    assert table.get_many([A, B]) == [Item(A, {}), Item(B, {"count": 1})]
    assert blobs.open("a/b").read() == b"1"


def test_a_conflict_names_the_key_and_writes_nothing(table: FaultyTable, faults: Faults) -> None:
    faults.add(Rule(conflict(), operation="table.write"))
    with pytest.raises(Conflict) as caught:
        table.write(put(A), put(B))
    assert caught.value.key == A
    assert list(table.query(A.pk)) == []


def test_contention_names_no_key(table: FaultyTable, faults: Faults) -> None:
    faults.add(Rule(contention(), operation="table.write"))
    with pytest.raises(Conflict) as caught:
        table.write(put(A))
    assert caught.value.key is None
    assert table.get(A) is None


def test_after_a_kill_nothing_passes_until_the_process_is_started_again(
    table: FaultyTable, blobs: FaultyBlobStore, plain: SqliteTable, faults: Faults
) -> None:
    faults.add(Rule(kill(), operation="table.write", stage=AFTER))
    with pytest.raises(Killed):
        table.write(put(A))
    assert plain.get(A)
    acts: list[Callable[[], object]] = [
        lambda: table.write(Delete(A)),
        lambda: table.get(A),
        lambda: next(table.query(A.pk)),
        lambda: blobs.delete(["a"]),
    ]
    for act in acts:
        with pytest.raises(Killed):
            act()
    assert plain.get(A)
    faults.revive()
    assert table.get(A)


def test_kill_at_counts_both_stages_of_each_change(plain: SqliteTable) -> None:
    written = []
    for number in range(1, 6):
        faults = Faults()
        rule = faults.add(kill_at(number))
        table = FaultyTable(plain, faults)
        key = Key("7/study/1", str(number))
        try:
            table.write(put(key))
            table.write(Delete(key))
        except Killed:
            pass
        written.append((rule.hits, plain.get(key) is not None))
    assert written == [(1, False), (1, True), (1, True), (1, False), (0, False)]


def test_another_process_may_act_during_a_delay(table: FaultyTable, plain: SqliteTable, faults: Faults) -> None:
    faults.add(Rule(delay(0.001), operation="table.write"))
    faults.add(Rule(run(lambda: plain.write(put(A))), operation="table.write"))
    with pytest.raises(Conflict):
        table.write(Put(Item(A, {}), expect=Absent()))


def test_a_key_takes_so_many_units_a_second(table: FaultyTable, plain: SqliteTable, faults: Faults) -> None:
    now = [0.0]
    faults.add(Rule(throttle(4, now=lambda: now[0]), operation="table.write", times=FOR_EVER))

    def accepted(*changes: Put) -> bool:
        try:
            table.write(*changes)
        except Throttled:
            return False
        return True

    assert [accepted(put(A)) for _ in range(6)] == [True] * 4 + [False] * 2, "one unit for each write"
    assert accepted(put(B)), "another partition key has its own bucket"
    now[0] = 0.5
    assert [accepted(put(A)) for _ in range(3)] == [True, True, False], "two units came back in half a second"
    now[0] = 60
    assert [accepted(put(A), put(A._replace(sk="z"))) for _ in range(2)] == [True, False], "a transaction costs double"
    now[0] = 120
    assert [accepted(put(A, bytes(3 * 1024))) for _ in range(2)] == [True, False], "each KB is a unit"
    now[0] = 180
    assert [accepted(put(A, bytes(300 * 1024))) for _ in range(2)] == [True, False], "a large item needs a full bucket"


def test_a_throttled_write_to_two_keys_is_whole_or_absent(table: FaultyTable, faults: Faults) -> None:
    faults.add(Rule(throttle(2, now=lambda: 0.0), operation="table.write", times=FOR_EVER))
    table.write(put(A))
    with pytest.raises(StorageUnavailable):
        table.write(put(A), put(B))
    assert table.get(B) is None
    table.write(put(B))
    table.write(put(B))


def test_the_stream_of_a_blob_breaks_off_or_ends_early(blobs: FaultyBlobStore, faults: Faults) -> None:
    blobs.put("a/b", BytesIO(bytes(range(100))))
    faults.add(Rule(break_off(10), operation="blobs.open", stage=AFTER))
    with blobs.open("a/b") as stream, pytest.raises(StorageUnavailable):
        stream.read()
    faults.add(Rule(truncate(10), operation="blobs.open", stage=AFTER))
    with blobs.open("a/b", 5) as stream:
        assert stream.read() == bytes(range(5, 15))
        with pytest.raises(OSError, match="fileno"):
            stream.fileno()
    faults.add(Rule(break_off(10), operation="blobs.open", stage=AFTER))
    with blobs.open("a/b", 5, 10) as stream:
        assert stream.read() == bytes(range(5, 15)), "a stream that is no longer does not break"


def test_a_body_that_breaks_off_is_not_stored(blobs: FaultyBlobStore, faults: Faults) -> None:
    faults.add(Rule(break_off(3), operation="blobs.put"))
    body = BytesIO(b"12345")
    with pytest.raises(StorageUnavailable):
        blobs.put("a/b", body)
    assert body.read() == b"45", "a part of it was read"
    with pytest.raises(BlobMissing):
        blobs.open("a/b")


# --- at random ----------------------------------------------------------------------------------------------------


def drawn_faults(table: FaultyTable, faults: Faults, seed: int) -> tuple[list[str], RandomFaults]:
    """Return the outcomes of 200 writes and 200 reads, and the faults that they met."""
    rates = {Fault.FAIL_BEFORE: 0.1, Fault.FAIL_AFTER: 0.1, Fault.CONFLICT: 0.1, Fault.THROTTLE: 0.1, Fault.DELAY: 0.1}
    drawn = RandomFaults(seed, rates, longest_delay=0)
    faults.clear()
    faults.add(drawn.rule())
    outcomes = []
    for number in range(200):
        key = Key(f"{seed}/{number}", "a")
        acts: list[Callable[[], object]] = [partial(table.write, put(key)), partial(table.get, key)]
        for act in acts:
            try:
                act()
                outcomes.append("")
            except StorageUnavailable as error:
                outcomes.append(type(error).__name__)
            except Conflict as error:
                assert error.key is None
                outcomes.append("Conflict")
    return outcomes, drawn


def test_a_seed_draws_the_same_faults_again(table: FaultyTable, faults: Faults) -> None:
    outcomes, first = drawn_faults(table, faults, seed=1)
    again, second = drawn_faults(table, faults, seed=1)
    other, _ = drawn_faults(table, faults, seed=2)
    assert (outcomes, first.counts) == (again, second.counts)
    assert outcomes != other
    assert set(outcomes) == {"", "Conflict", "Throttled", "StorageUnavailable"}
    assert {fault for fault, operation in first.counts if operation == "table.write"} == {
        *(Fault.FAIL_BEFORE, Fault.FAIL_AFTER, Fault.CONFLICT, Fault.THROTTLE, Fault.DELAY)
    }
    assert {fault for fault, operation in first.counts if operation == "table.get"} == {
        *(Fault.FAIL_BEFORE, Fault.THROTTLE, Fault.DELAY)
    }


def test_a_call_that_meets_a_random_fault_takes_effect_only_if_it_failed_afterwards(
    table: FaultyTable, plain: SqliteTable, faults: Faults
) -> None:
    for fault, written in ((Fault.FAIL_BEFORE, False), (Fault.FAIL_AFTER, True)):
        faults.clear()
        faults.add(RandomFaults(1, {fault: 1}).rule())
        key = Key(fault.value, "a")
        with pytest.raises(StorageUnavailable):
            table.write(put(key))
        assert (plain.get(key) is not None) == written


def test_random_faults_cut_blobs(blobs: FaultyBlobStore, faults: Faults) -> None:
    content = bytes(1000)
    for number in range(40):
        blobs.put(f"a/{number}", BytesIO(content))
    drawn = RandomFaults(1, {Fault.BREAK_OFF: 0.3, Fault.TRUNCATE: 0.3})
    faults.add(drawn.rule())
    outcomes = set()
    for number in range(40):
        try:
            with blobs.open(f"a/{number}") as stream:
                outcomes.add("whole" if stream.read() == content else "short")
        except StorageUnavailable:
            outcomes.add("broken")
    assert outcomes == {"whole", "short", "broken"}


def test_a_process_may_have_a_clock_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    before = clock.now()
    shift_clock(monkeypatch, 60)
    assert 59 < clock.now() - before < 120
    shift_clock(monkeypatch, -60)
    assert -60 <= clock.now() - before < 0


# --- addresses ----------------------------------------------------------------------------------------------------


def test_a_rule_is_addressed_by_operation_key_and_number(table: FaultyTable, faults: Faults) -> None:
    rule = faults.add(Rule(fail(), operation="table.write", key="*/study/2|*", nth=2, times=2))
    failed = []
    for key in (A, B, B, A, B, B):
        try:
            table.write(put(key))
        except StorageUnavailable:
            failed.append(key)
    assert failed == [B, B]
    assert (rule.matched, rule.hits) == (4, 2)


def test_a_query_matches_by_its_partition_key(table: FaultyTable, faults: Faults) -> None:
    table.write(put(A), put(B))
    faults.add(Rule(fail(), operation="table.query", key="7/study/1|*"))
    assert [item.key for item in table.query(B.pk)] == [B]
    with pytest.raises(StorageUnavailable):
        list(table.query(A.pk))


def test_a_queue_fails_too(plain: SqliteTable, faults: Faults) -> None:
    queue = FaultyQueue(TableQueue(plain), faults)
    faults.add(Rule(fail(), operation="queue.send"))
    with pytest.raises(StorageUnavailable):
        queue.send("1")
    queue.send("2")
    message = queue.receive()
    assert message
    queue.done(queue.extend(message, 10))
    queue.check()
    assert queue.receive() is None
    assert faults.calls == {"queue.send": 2, "queue.receive": 2, "queue.extend": 1, "queue.done": 1, "queue.check": 1}


# --- watching -----------------------------------------------------------------------------------------------------


def test_calls_items_and_writes_are_counted(table: FaultyTable, faults: Faults) -> None:
    faults.record_writes()
    counter = faults.add(Rule(nothing(), operation="table.*", stage=ANY, times=FOR_EVER))
    table.write(put(A), put(A._replace(sk="z")))
    assert len(list(table.query(A.pk, ALL))) == 2
    table.get_many([A, B, B])
    assert faults.calls == {"table.write": 1, "table.query": 1, "table.get_many": 1}
    assert faults.items_read == 5
    assert faults.writes == [(put(A), put(A._replace(sk="z")))]
    assert counter.matched == 6


def test_the_hook_gets_both_stages(table: FaultyTable, faults: Faults) -> None:
    announced: list[str] = []
    faults.hook = announced.append
    table.write(put(A))
    table.get(A)
    assert announced == ["table.write", "table.write done", "table.get", "table.get done"]
    faults.clear()
    table.get(A)
    assert len(announced) == 4
