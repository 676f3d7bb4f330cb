"""The order in which committed records become entries of the feed.

Three facts make this more than a sort by time:

* The records of the log are not read at one moment. A later record can be found although an earlier one of the same
  instance is missing. So the log is read twice, and `ready_records` leaves out what the second reading shows to be too
  early.
* The times of records come from the clocks of their writers, which may disagree.
* The entries of one instance must be in the order of their commits: a Delete never comes before its Create.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

from app.storage.feed.log import CommittedEntry, CommittedRecord
from app.storage.table.ports import Key

_Uids = tuple[int, str, str, str]
"""Partition key, and Study, Series and SOP Instance UID."""


class _Change(NamedTuple):
    """An entry and the position of its record."""

    record: int
    entry: CommittedEntry


def ready_records(first: Mapping[Key, CommittedRecord], second: Collection[CommittedRecord]) -> list[CommittedRecord]:
    """Return those records of a reading that may become entries now. `second` is a reading that began after it ended.

    If a record of `first` follows another one of the same instance, `second` has that one too, unless it is in the feed
    already. So a record waits if it shares an instance with a record that only `second` has, or with one that waits.
    """
    waiting = {uids for record in second if record.key not in first for uids in _instances(record)}
    taken = list(first.values())
    while waiting:
        later = [record for record in taken if not waiting.isdisjoint(_instances(record))]
        if not later:
            break
        waiting.update(uids for record in later for uids in _instances(record))
        taken = [record for record in taken if waiting.isdisjoint(_instances(record))]
    return taken


def in_commit_order(records: Iterable[CommittedRecord]) -> list[CommittedRecord]:
    """Return records by their times, and those of one instance in the order of their commits, whatever their times are.

    No two clocks need agree for that: `CommittedEntry.created` tells which Create, Update and Delete belong together.
    """
    by_time = sorted(records, key=lambda record: (record.time, record.key.sk))
    changes: dict[_Uids, list[_Change]] = defaultdict(list)
    for i, record in enumerate(by_time):
        for uids, entry in zip(_instances(record), record.entries, strict=True):
            changes[uids].append(_Change(i, entry))
    followers: dict[int, set[int]] = defaultdict(set)
    for each in changes.values():
        if len(each) > 1:
            for before, after in pairwise(change.record for change in _in_order(each)):
                if before != after:
                    followers[before].add(after)
    return [by_time[i] for i in _topological(len(by_time), followers)] if followers else by_time


def _instances(record: CommittedRecord) -> list[_Uids]:
    return [(record.partition, entry.study, entry.series, entry.instance) for entry in record.entries]


def _in_order(changes: list[_Change]) -> Iterator[_Change]:
    """Yield the changes of one instance in the order of their commits.

    The instance may have been stored, deleted and stored again. Each time it has another `created` number. A lifetime
    that lacks its Create began before all others, and one that lacks its Delete goes on, so it is the last. Lifetimes
    between them follow the times of their commits.
    """
    lifetimes: dict[int, list[_Change]] = defaultdict(list)
    for change in changes:
        lifetimes[change.entry.created].append(change)

    def rank(lifetime: list[_Change]) -> int:
        actions = {change.entry.action for change in lifetime}
        return 0 if "Create" not in actions else 1 if "Delete" in actions else 2

    steps = {"Create": 0, "Update": 1, "Delete": 2}
    for lifetime in sorted(lifetimes.values(), key=rank):
        yield from sorted(lifetime, key=lambda change: steps[change.entry.action])


def _topological(count: int, followers: Mapping[int, Collection[int]]) -> Iterator[int]:
    """Yield the numbers below `count`, each before its followers, else in ascending order.

    The order between two whole lifetimes is a guess from their times. If such guesses contradict each other, the lowest
    number comes next.
    """
    missing = [0] * count
    for each in followers.values():
        for follower in each:
            missing[follower] += 1
    ready = [i for i in range(count) if not missing[i]]
    done = bytearray(count)
    lowest = 0
    while True:
        while lowest < count and done[lowest]:
            lowest += 1
        if lowest == count:
            return
        current = heapq.heappop(ready) if ready else lowest
        if done[current]:
            continue
        done[current] = True
        yield current
        for follower in followers.get(current, ()):
            missing[follower] -= 1
            if not missing[follower] and not done[follower]:
                heapq.heappush(ready, follower)
