"""What the sweep removes, and when: blobs of deleted instances and of killed stores, rows of deleted studies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from app.errors import StorageUnavailable
from app.services.store.report import EXISTS, FAILED
from app.storage.feed.log import CommitLog
from app.storage.index.leftovers_removal import LeftoversRemoval
from app.storage.index.plan import NewInstance
from app.storage.index.sweep import (
    CLEANUP_SECONDS,
    INTENT_SECONDS,
    Deletion,
    deletion_of,
    deletion_record,
    queue_removal,
)
from app.storage.index.sweep_worker import MAX_RETRIES, RETRY_SECONDS, Sweep
from app.storage.records.leftovers import InstanceVersion, Leftovers
from app.storage.records.packed_documents import pack
from app.storage.table import clock, keys
from app.storage.table.ports import Delete, Item, Put
from tests.support.archive import Archive, Uids, file
from tests.support.clock import AdvanceClock
from tests.support.faults import AFTER, BEFORE, FOR_EVER, Rule, Stage, conflict, fail
from tests.support.schedule import Schedule

A: Uids = ("2.25.1", "2.25.11", "2.25.111")
B: Uids = ("2.25.2", "2.25.21", "2.25.211")
DAY = 86_400


@pytest.fixture
def archive(tmp_path: Path, advance_clock: AdvanceClock) -> Archive:
    return Archive(tmp_path, delay=3 * DAY)


# --- deletions ----------------------------------------------------------------------------------------------------


def test_blobs_stay_for_the_delay(archive: Archive, advance_clock: AdvanceClock) -> None:
    archive.store(file(*A))
    archive.delete(*A)
    archive.work()
    advance_clock(3 * DAY - 1)
    archive.work()
    assert len(archive.blobs()) == 1
    advance_clock(1)
    archive.work()
    archive.check_clean()


def test_the_blob_of_an_instance_stored_again_stays(archive: Archive, advance_clock: AdvanceClock) -> None:
    archive.store(file(*A))
    archive.delete(*A)
    advance_clock(DAY)
    assert archive.store(file(*A, modality="MR")) == [0]
    assert len(archive.blobs()) == 2
    advance_clock()
    archive.work()
    archive.check_clean()
    assert archive.visible() == {A}


@pytest.mark.parametrize(
    "damaged",
    [
        Item(keys.sweep(1, "leftovers/a"), {"kind": "leftovers"}, b"no packed text"),
        Item(keys.sweep(1, "leftovers/a"), {"kind": "leftovers"}, pack(b"[]")),
        Item(keys.sweep(1, "postings/a"), {"kind": "postings"}, b"no JSON"),
        Item(keys.sweep(1, "2/2.25.1/a"), {"partition": "no number"}),
        Item(keys.log_record(0, 1, "a"), {"fence": 0}, b"no packed text"),
    ],
    ids=lambda item: item.key.sk,
)
def test_a_record_that_cannot_be_read_does_not_stop_the_others(
    archive: Archive, advance_clock: AdvanceClock, damaged: Item
) -> None:
    archive.store(file(*A))
    archive.delete(*A)
    archive.work()
    archive.table.write(Put(damaged))
    advance_clock(3 * DAY)
    archive.work()
    assert archive.blobs() == []
    (left,) = archive.table.query(keys.SWEEP)
    assert (left.data, keys.sweep_due(left.key.sk) > 300 * DAY) == (damaged.data, True)


def test_a_fault_of_a_cleanup_leaves_one_record(archive: Archive, advance_clock: AdvanceClock) -> None:
    """It is not a record that cannot be read."""
    archive.table.write(Put(deletion_record(deletion_of(archive.partition, "2.25.1"), 0)))

    def fail_cleanup(_: Deletion) -> Deletion | None:
        raise ValueError("unexpected")

    removal = LeftoversRemoval(archive.table, archive.stored_blobs, {})
    sweep = Sweep(archive.table, CommitLog(archive.table), removal, clean_up=fail_cleanup)
    for _ in range(3):
        with pytest.raises(ValueError, match="unexpected"):
            sweep.run_once(clock.now())
        advance_clock(60)
    assert archive.table.count(keys.SWEEP) == 1


def test_a_failed_removal_is_repeated_for_days(archive: Archive, advance_clock: AdvanceClock) -> None:
    archive.store(file(*A))
    archive.delete(*A)
    advance_clock(3 * DAY)
    fault = archive.faults.add(Rule(fail(), operation="blobs.delete", times=FOR_EVER))
    for attempts in range(1, MAX_RETRIES + 2):
        archive.work()
        assert fault.hits == 1 + attempts  # once with the postings of the study, and then by itself
        advance_clock(RETRY_SECONDS)
    for _ in range(30):
        archive.work()
        advance_clock(RETRY_SECONDS)
    assert fault.hits == MAX_RETRIES + 2
    archive.faults.clear()
    advance_clock(365 * DAY)
    archive.work()
    archive.check_clean()


def test_a_failed_removal_does_not_delay_the_others(archive: Archive, advance_clock: AdvanceClock) -> None:
    archive.store(file(*A))
    archive.store(file(*B))
    archive.delete(*A)
    archive.delete(*B)
    advance_clock()
    archive.faults.add(Rule(fail(), operation="blobs.delete", times=2))  # of both together, and of the first one
    archive.work()
    assert len(archive.blobs()) == 1


def test_a_failed_cleanup_is_repeated_and_does_not_delay_others(archive: Archive, advance_clock: AdvanceClock) -> None:
    archive.store(file(*A), file(*B))
    fault = archive.faults.add(Rule(fail(), operation="table.write", key=f"*/study/{B[0]}|instance/*", times=FOR_EVER))
    archive.delete(B[0])  # closes the study, but cannot remove its rows
    assert archive.visible() == {A}
    for attempts in (2, 3):
        advance_clock(CLEANUP_SECONDS)
        archive.work()
        assert fault.hits == attempts
    archive.faults.clear()
    advance_clock()
    archive.work()
    advance_clock()
    archive.work()
    archive.check_clean()
    assert archive.visible() == {A}


def test_a_deletion_record_of_an_earlier_release_is_processed(archive: Archive, advance_clock: AdvanceClock) -> None:
    """Release 0.1.0 wrote neither a series nor a position into the record. It counted nothing."""
    archive.partition = replace(archive.partition, counted=False)
    archive.store(file(*A), file(*B))
    archive.faults.add(Rule(fail(), operation="table.write", key=f"*/study/{A[0]}|instance/*", times=FOR_EVER))
    archive.delete(A[0])  # closes the study, but cannot remove its rows
    archive.faults.clear()
    (record,) = (item for item in archive.table.query(keys.SWEEP) if "study" in item.fields)
    old = Item(keys.sweep(0, f"{archive.partition.key}/{A[0]}"), {
        "partition": archive.partition.key, "name": archive.partition.name, "study": A[0]
    })  # fmt: skip
    archive.table.write(Delete(record.key), Put(old))
    archive.work()
    assert not [key for key in archive.items() if key.pk == keys.study_items(archive.partition.key, A[0])]
    advance_clock()
    archive.work()
    archive.check_clean()
    assert archive.visible() == {B}


def test_records_under_every_partition_key_are_processed(archive: Archive, advance_clock: AdvanceClock) -> None:
    """An archive that was moved from AWS has records under keys that the embedded engine does not use."""
    assert keys.SWEEPS[0] == "sweep"
    archive.store(file(*A))
    version = InstanceVersion(partition=archive.partition.key, study="2.25.9", series="1", instance="1", version="v")
    for shard, _ in enumerate(keys.SWEEPS):
        archive.table.write(queue_removal(Leftovers(versions=(version,)), 10, shard=shard))
    advance_clock(10)
    archive.work()
    assert [item for pk in keys.SWEEPS for item in archive.table.query(pk)] == []
    assert archive.visible() == {A}


# --- stores -------------------------------------------------------------------------------------------------------


def store_interrupted_by(archive: Archive, other: Callable[[], None]) -> list[int]:
    """Store A, and run `other` between the writes of its documents and its transaction; the failure reasons."""
    calls: list[str] = []
    left = ["other"]

    def choose(_: Sequence[str]) -> str:
        return left.pop() if left and calls else "store"

    def stop(call: str) -> None:
        if call == "table.write" and not calls:
            calls.append(call)
            schedule.pause(call)

    schedule = Schedule(choose)
    archive.hook = stop
    outcomes = schedule.run({"store": lambda: archive.store(file(*A)), "other": other})
    reasons: list[int] = outcomes["store"]
    return reasons


def test_the_blob_of_a_running_store_stays(archive: Archive, advance_clock: AdvanceClock) -> None:
    def sweep_later() -> None:
        advance_clock(INTENT_SECONDS - 1)
        archive.work()

    assert store_interrupted_by(archive, sweep_later) == [0]
    assert archive.visible() == {A}
    advance_clock()
    archive.work()
    archive.check_clean()


def test_a_store_whose_intent_was_taken_fails(archive: Archive, advance_clock: AdvanceClock) -> None:
    def sweep_later() -> None:
        advance_clock(INTENT_SECONDS + 1)
        archive.work()

    assert store_interrupted_by(archive, sweep_later) == [FAILED]
    assert not archive.visible()
    advance_clock()
    archive.work()
    advance_clock(10)
    archive.check_clean()


# --- lost answers and failures --------------------------------------------------------------------------------------


def test_a_conflict_with_a_write_of_the_same_store_is_a_success(archive: Archive, advance_clock: AdvanceClock) -> None:
    """The answer of a write is lost, the client of the engine repeats it, and the repetition conflicts."""
    archive.store(file(*B))
    archive.faults.add(Rule(conflict(), operation="table.write", stage=AFTER))
    assert archive.store(file(*A)) == [0]
    archive.faults.clear()
    assert archive.visible() == {A, B}
    advance_clock()
    archive.work()
    archive.check_clean()


@pytest.mark.parametrize("write", range(1, 8))
@pytest.mark.parametrize("stage", [BEFORE, AFTER], ids=["before", "after"])
def test_a_failure_at_any_write_is_reported_and_leaves_complete_instances(
    archive: Archive, advance_clock: AdvanceClock, write: int, stage: Sequence[Stage]
) -> None:
    """Each instance that is reported as stored exists. One that is reported as failed may exist, but complete.

    There is no report if the data store fails before an instance is stored.
    """
    many = [("2.25.1", "2.25.11", f"2.25.9{i}") for i in range(30)]
    archive.faults.add(Rule(fail(), operation="table.write", stage=stage, nth=write))
    report = []
    with suppress(StorageUnavailable):
        report = archive.store(*(file(*uids) for uids in many))
        assert len(report) == 30
    archive.faults.clear()
    advance_clock(10)
    found = archive.visible()
    assert report.count(0) <= len(found)
    again = archive.store(*(file(*uids) for uids in many))
    assert again.count(EXISTS) == len(found)
    assert again.count(0) == 30 - len(found)
    advance_clock()
    archive.work()
    advance_clock(10)
    archive.check_clean()
    assert archive.visible() == set(many)


def test_a_store_whose_record_was_taken_never_writes_a_row(archive: Archive, advance_clock: AdvanceClock) -> None:
    """Its study is closing at first. When the study is gone, the files are gone too."""
    archive.store(file(*A))
    archive.faults.add(Rule(fail(), operation="table.write", key=f"*/study/{A[0]}|instance/*", times=FOR_EVER))
    archive.delete(A[0])  # closes the study, but cannot remove its rows
    archive.faults.clear()
    writer = archive.services.store._index_writer
    uids = (A[0], A[1], "2.25.999")
    version = InstanceVersion(
        partition=archive.partition.key, study=uids[0], series=uids[1], instance=uids[2], version="v"
    )
    new = NewInstance(
        version=version, sop_class="1", transfer_syntax="1", size=1, digest="", metadata=b"", attributes={}
    )
    opened = writer.open(archive.partition, [new], writer.read_rows(archive.partition, [uids]))
    assert opened.begin_attempt()
    advance_clock(INTENT_SECONDS + 1)
    archive.work()  # takes the record, and removes the study
    assert not opened.begin_attempt()
    assert not opened.begin_attempt(), "a later attempt must not open a record again"
