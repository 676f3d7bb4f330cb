"""The order of committed records: by time, and the records of one instance in the order of their commits."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from app.storage.feed.commit_order import in_commit_order, ready_records
from app.storage.feed.log import CommittedEntry, CommittedRecord
from app.storage.records.contents import Contents
from app.storage.table.ports import Key
from tests.unit.storage.feed.processes import change


def record(name: str, time: float, *entries: CommittedEntry) -> CommittedRecord:
    return CommittedRecord(Key("log/00", name), f"{time:09.1f}", 2, "clinic", True, Contents(0, 0, 0), entries)


def names(records: Sequence[CommittedRecord]) -> str:
    return "".join(each.key.sk for each in records)


def keyed(*records: CommittedRecord) -> dict[Key, CommittedRecord]:
    return {each.key: each for each in records}


def test_records_are_in_the_order_of_their_times() -> None:
    found = [record("c", 3, change(1)), record("a", 1, change(2)), record("b", 2, change(3)), record("d", 3, change(4))]
    assert names(in_commit_order(found)) == "abcd"


def test_a_deletion_by_a_process_with_a_slow_clock_follows_its_creation() -> None:
    created, deleted = record("c", 9, change(1)), record("d", 1, change(1, "Delete"))
    assert names(in_commit_order([deleted, created])) == "cd"


def test_an_update_is_between_its_creation_and_its_deletion() -> None:
    found = [
        record("d", 1, change(1, "Delete")),
        record("u", 2, change(1, "Update")),
        record("c", 3, change(1)),
        record("x", 2.5, change(2)),
    ]
    assert names(in_commit_order(found)) == "xcud"


def test_what_was_created_before_is_deleted_before_it_is_created_again() -> None:
    again = record("c", 1, change(1, created=70))
    deleted = record("d", 5, change(1, "Delete", created=50))
    assert names(in_commit_order([again, deleted])) == "dc"
    middle = [record("e", 2, change(1, created=60)), record("f", 3, change(1, "Delete", created=60))]
    assert names(in_commit_order([again, *middle, deleted])) == "defc"


def test_entries_of_one_record_stay_together() -> None:
    first = record("a", 5, change(1), change(2))
    second = record("b", 1, change(1, "Delete"), change(3))
    third = record("c", 0, change(3, "Delete"))
    assert names(in_commit_order([first, second, third])) == "abc"


def test_a_reading_without_news_is_ready() -> None:
    a, b = record("a", 1, change(1)), record("b", 2, change(2))
    assert names(ready_records(keyed(a, b), [a, b])) == "ab"
    c = record("c", 3, change(3))
    assert names(ready_records(keyed(a, b), [a, b, c])) == "ab"
    assert names(ready_records(keyed(a, c), [a, b, c])) == "a"


def test_a_record_waits_for_a_record_with_an_earlier_time() -> None:
    """The reading has passed the place of `b` before `b` was committed. It found `c`, which was committed later."""
    a, b, c = record("a", 1, change(1)), record("b", 2, change(2)), record("c", 3, change(3))
    d = record("d", 0.5, change(3, "Delete"))
    assert names(ready_records(keyed(a, c, d), [a, b, c, d])) == "a", "nor does what shares an instance with it"
    assert names(ready_records(keyed(a, c), [a, b, c], in_time_order=False)) == "ac"


def test_a_record_waits_for_the_record_before_it() -> None:
    """The deletion was read, but not the store before it."""
    stored, deleted, other = record("s", 9, change(1)), record("d", 2, change(1, "Delete")), record("o", 3, change(2))
    assert names(ready_records(keyed(deleted, other), [stored, deleted, other])) == "o"


def test_a_record_waits_for_a_record_that_waits() -> None:
    new = record("n", 1, change(1))
    one, two, three = (
        record("1", 2, change(1), change(2)),
        record("2", 3, change(2), change(3)),
        record("3", 4, change(3)),
    )
    assert ready_records(keyed(one, two, three), [new, one, two, three], in_time_order=False) == []


def test_lifetimes_whose_numbers_contradict_each_other_are_whole() -> None:
    """Two processes took the `created` numbers at the same time, and one of them used its numbers late."""
    lives = [
        record("a", 1, change(1, created=90), change(2, created=80)),
        record("b", 2, change(1, "Delete", created=90), change(2, "Delete", created=80)),
        record("c", 3, change(1, created=10), change(2, created=95)),
        record("d", 4, change(1, "Delete", created=10), change(2, "Delete", created=95)),
    ]
    assert names(in_commit_order(lives)) == "abcd"


@pytest.mark.parametrize("seed", range(30))
def test_random_histories_with_wrong_clocks(seed: int) -> None:
    """Instances are created, updated and deleted by processes whose clocks differ. Each lifetime is in order."""
    chance = random.Random(seed)
    clocks = [chance.uniform(-50, 50) for _ in range(4)]
    state: dict[int, int] = {}  # the created number of each instance that exists
    history: list[CommittedRecord] = []
    for number in range(200):
        entries = []
        for instance in chance.sample(range(1, 9), chance.choice((1, 1, 3))):
            if instance not in state:
                state[instance] = 1000 + 10 * number + instance
                entries.append(change(instance, created=state[instance]))
            elif chance.random() < 0.5:
                updated = change(instance, "Update", created=state[instance])
                entries.append(updated._replace(watermark=1000 + 10 * number))
            else:
                entries.append(change(instance, "Delete", created=state.pop(instance)))
        history.append(record(f"{number:04d}", 1000 + number + chance.choice(clocks), *entries))
    cut = chance.randrange(200)
    ordered = in_commit_order(chance.sample(history[cut:], len(history) - cut))
    assert sorted(names([each]) for each in ordered) == [each.key.sk for each in history[cut:]]
    lives: dict[tuple[str, int], list[str]] = {}
    last: dict[str, int] = {}
    for each in ordered:
        for entry in each.entries:
            lives.setdefault((entry.instance, entry.created), []).append(entry.action)
            last[entry.instance] = entry.created
    for actions in lives.values():
        assert actions == sorted(actions, key=["Create", "Update", "Delete"].index)
    for instance, created in state.items():
        if (f"1.4.{instance}", created) in lives and "Create" in lives[f"1.4.{instance}", created]:
            assert last[f"1.4.{instance}"] == created, "an instance that exists has its last entry"
