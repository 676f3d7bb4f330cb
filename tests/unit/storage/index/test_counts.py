"""The numbers of instances: they are exact after any mix of writes, and no search reads instance rows for them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from app.errors import StorageUnavailable
from app.storage.index.counts import FIELD, SHARDS
from app.storage.table import keys
from app.storage.table.ports import MAX_CHANGES, Item, Put
from tests.support.archive import Archive, Uids, file
from tests.support.clock import AdvanceClock
from tests.support.faults import AFTER, FOR_EVER, Rule, conflict, fail, nothing, run

STUDY: Final = "2.25.1"
SERIES: Final = "2.25.11"
INSTANCE_ROWS: Final = f"*/study/{STUDY}|instance/*"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


def uids(number: int, series: str = SERIES) -> Uids:
    return STUDY, series, f"{series}.{number}"


def count(archive: Archive) -> int:
    """The number of instances of the study. Asserts that the only series has the same number."""
    (study,) = archive.search("study", includefield="00201208")
    (series,) = archive.search("series", includefield="00201209")
    (of_study,), (of_series,) = study["00201208"]["Value"], series["00201209"]["Value"]
    assert of_study == of_series
    return int(of_study)


def shards(archive: Archive) -> list[Item]:
    return list(archive.table.query(keys.study_items(archive.partition.key, STUDY), keys.SHARDS))


def forget_counts(archive: Archive) -> None:
    """Make the series rows those of release 0.1.0."""
    for item in archive.table.query(keys.study_items(archive.partition.key, STUDY), keys.SERIES):
        archive.table.write(Put(item._replace(fields={k: v for k, v in item.fields.items() if k != "counted"})))


# --- writes ---------------------------------------------------------------------------------------------------------


def test_a_write_of_several_instances_adds_at_most_one_change_for_their_series(archive: Archive) -> None:
    archive.faults.record_writes()
    archive.store(*(file(*uids(number)) for number in range(30)))
    assert count(archive) == 30
    writes = [changes for changes in archive.faults.writes if any(f"instance/{SERIES}" in c.key.sk for c in changes)]
    counting = [[change for change in changes if change.key.sk.startswith("shard/")] for changes in writes]
    assert [len(changes) for changes in counting] == [0] + [1] * (len(writes) - 1), "the first write has the series row"


def test_writers_of_one_series_at_the_same_time_share_no_item(archive: Archive) -> None:
    """On DynamoDB, transactions that share an item conflict."""
    archive.store(file(*uids(0)))
    archive.faults.record_writes()
    for number in range(1, SHARDS + 1):
        archive.store(file(*uids(number)))
    found = [{change.key for change in changes} for changes in archive.faults.writes if len(changes) > 1]
    found = [each - {keys.QUERY_TAGS} for each in found]
    assert len(found) == SHARDS
    assert sum(map(len, found)) == len(set().union(*found))
    assert len(shards(archive)) == SHARDS


def test_successive_full_writes_use_different_shards() -> None:
    """An instance takes seven changes or more, so a full write has at most 14 instances, and `SHARDS` is a prime."""
    for size in range(1, MAX_CHANGES // 7 + 1):
        assert len({size * write % SHARDS for write in range(SHARDS)}) == SHARDS


def test_a_write_whose_answer_is_lost_counts_once(archive: Archive) -> None:
    archive.store(file(*uids(0)))
    lost = archive.faults.add(Rule(fail(), operation="table.write", key=INSTANCE_ROWS, stage=AFTER))
    with pytest.raises(StorageUnavailable):
        archive.store(file(*uids(1)))
    assert lost.hits == 1
    assert count(archive) == 2
    assert archive.store(file(*uids(1))) != [0]
    assert count(archive) == 2


def test_a_write_that_conflicts_counts_once(archive: Archive) -> None:
    archive.store(file(*uids(0)))
    refused = archive.faults.add(Rule(conflict(), operation="table.write", key=INSTANCE_ROWS, times=3))
    assert archive.store(file(*uids(1)), file(*uids(2))) == [0, 0]
    assert refused.hits == 3
    assert count(archive) == 3


def test_a_store_that_changes_the_series_counts_in_its_row(archive: Archive) -> None:
    archive.store(file(*uids(0)), file(*uids(1), modality="MR"), file(*uids(2)))
    archive.store(file(*uids(3), modality="MR"), file(*uids(4), modality="MR"))
    assert count(archive) == 5
    archive.delete(*uids(0))
    archive.delete(*uids(3))
    assert count(archive) == 3


def test_a_series_that_is_stored_again_starts_at_zero(archive: Archive, advance_clock: AdvanceClock) -> None:
    """Rows and shards that a deletion has not removed yet are in no count."""
    archive.store(file(*uids(0)))
    archive.store(file(*uids(1)))
    archive.faults.add(Rule(fail(), operation="table.add", times=FOR_EVER))
    archive.delete(STUDY)  # closes the study, but cannot remove its rows
    archive.faults.clear()
    assert archive.store(file(*uids(2))) == [0]
    assert count(archive) == 1
    advance_clock()
    archive.work()
    assert count(archive) == 1
    archive.check_clean()


# --- shards of deleted series ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("deleted", [(STUDY,), (STUDY, SERIES)])
def test_a_deletion_removes_the_shards(archive: Archive, deleted: tuple[str, ...]) -> None:
    other = uids(0, "2.25.12")
    for number in range(3):
        archive.store(file(*uids(number)))
    archive.store(file(*other))
    archive.store(file(*uids(1, "2.25.12")))
    assert len(shards(archive)) == 3
    archive.delete(*deleted)
    assert len(shards(archive)) == (0 if deleted == (STUDY,) else 1)


def test_the_shard_of_a_store_that_lost_against_a_deletion_is_removed(
    archive: Archive, advance_clock: AdvanceClock
) -> None:
    archive.store(file(*uids(0)))
    other = Archive(archive.folder)
    # just before the write, so the store learns of the deletion after it
    archive.faults.add(Rule(run(lambda: other.delete(STUDY)), operation="table.write", key=INSTANCE_ROWS))
    assert archive.store(file(*uids(1))) != [0]
    assert shards(archive)
    advance_clock()
    archive.work()
    advance_clock(10)
    archive.check_clean()
    assert not shards(archive)


# --- archives of release 0.1.0 --------------------------------------------------------------------------------------


def test_a_series_without_a_count_is_counted_once_and_then_kept(archive: Archive) -> None:
    archive.store(*(file(*uids(number)) for number in range(3)))
    forget_counts(archive)
    archive.store(file(*uids(3)))  # counts in a shard, although the row has no count
    archive.delete(*uids(0))
    assert count(archive) == 3
    walks = archive.faults.add(Rule(nothing(), operation="table.query", key=f"*/study/{STUDY}|", times=FOR_EVER))
    archive.faults.forget_reads()
    assert count(archive) == 3
    assert walks.matched == 2
    archive.store(file(*uids(4)))
    archive.delete(*uids(1))
    archive.delete(*uids(2))
    assert count(archive) == 2


@pytest.mark.parametrize("change", ["store", "delete", "store another value"])
@pytest.mark.parametrize("call", range(1, 7))
def test_a_count_is_not_kept_if_the_series_changes_meanwhile(archive: Archive, change: str, call: int) -> None:
    """Another process changes the series before each of the reads of a count, and before its write."""
    archive.store(*(file(*uids(number)) for number in range(3)))
    forget_counts(archive)
    archive.store(file(*uids(3)))
    other = Archive(archive.folder)
    acts = {
        "store": lambda: other.store(file(*uids(4))),
        "delete": lambda: other.delete(*uids(0)),
        "store another value": lambda: other.store(file(*uids(4), modality="MR")),
    }
    calls = ("table.get", "table.query", "table.write")
    rule = archive.faults.add(Rule(run(acts[change]), operation=calls, key=f"*/study/{STUDY}|*", nth=call))
    archive.search("study", includefield="00201208")
    assert rule.hits == 1
    archive.faults.clear()
    expected = 3 if change == "delete" else 5
    assert [count(archive), count(archive)] == [expected, expected]
    other.delete(*uids(1))
    assert count(archive) == expected - 1


def test_a_shard_counts_in_its_own_field(archive: Archive) -> None:
    archive.store(file(*uids(0)))
    archive.store(*(file(*uids(number)) for number in range(1, 5)))
    assert [item.fields for item in shards(archive)] == [{FIELD: 4}]
