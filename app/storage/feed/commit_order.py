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
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, pairwise
from typing import Final, NamedTuple

from app.storage.feed.log import CommittedEntry, CommittedRecord
from app.storage.table.ports import Key

_STEPS: Final = {"Create": 0, "Update": 1, "Delete": 2}

_Uids = tuple[int, str, str, str]
"""Partition key, and Study, Series and SOP Instance UID."""


class _Change(NamedTuple):
    """An entry and the position of its record."""

    record: int
    entry: CommittedEntry


def ready_records(
    first: Mapping[Key, CommittedRecord], second: Collection[CommittedRecord], *, in_time_order: bool = True
) -> list[CommittedRecord]:
    """Return those records of a reading that may become entries now. `second` is a reading that began after it ended.

    If a record of `first` follows another one of the same instance, `second` has that one too, unless it is in the feed
    already. So a record waits if it shares an instance with a record that only `second` has, or with one that waits.

    With `in_time_order`, a record also waits if a record that only `second` has is not later. Then commits that follow
    each other are in this order, as far as the clocks of their writers agree.
    """
    new = [record for record in second if record.key not in first]
    waiting = {uids for record in new for uids in _instances(record)}
    taken = list(first.values())
    if in_time_order and new:
        earliest = min(record.time for record in new)
        waiting.update(uids for record in taken if record.time >= earliest for uids in _instances(record))
        taken = [record for record in taken if record.time < earliest]
    while later := [record for record in taken if not waiting.isdisjoint(_instances(record))]:
        waiting.update(uids for record in later for uids in _instances(record))
        left_out = {record.key for record in later}
        taken = [record for record in taken if record.key not in left_out]
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
    several = [_lifetimes(each) for each in changes.values() if len(each) > 1]
    if not several:
        return by_time
    order = _topological(len(by_time), _followers(map(chain.from_iterable, several)))
    if order is None:
        order = _topological(len(by_time), _followers(chain.from_iterable(map(_certain, several))))
    return [by_time[i] for i in order or range(len(by_time))]


def _instances(record: CommittedRecord) -> list[_Uids]:
    return [(record.partition, entry.study, entry.series, entry.instance) for entry in record.entries]


def _lifetimes(changes: Iterable[_Change]) -> list[list[_Change]]:
    """Return the changes of one instance by lifetime, each in the order of its commits.

    The instance may have been stored, deleted and stored again. Each time it has another `created` number. A lifetime
    that lacks its Create began before all others. One that lacks its Delete goes on, so it is the last. The others are
    in the order of their `created` numbers. These ascend, unless two processes took numbers at the same time.
    """
    found: dict[int, list[_Change]] = defaultdict(list)
    for change in changes:
        found[change.entry.created].append(change)
    for lifetime in found.values():
        lifetime.sort(key=lambda change: (_STEPS[change.entry.action], change.entry.watermark))
    return [found[created] for created in sorted(found, key=lambda created: (_rank(found[created]), created))]


def _rank(lifetime: Sequence[_Change]) -> int:
    if lifetime[0].entry.action != "Create":
        return 0
    return 1 if lifetime[-1].entry.action == "Delete" else 2


def _certain(lifetimes: Sequence[Sequence[_Change]]) -> Iterator[Iterable[_Change]]:
    """Yield chains of changes whose order does not follow from numbers that two processes took at the same time."""
    first, last = lifetimes[0], lifetimes[-1]
    for lifetime in lifetimes:
        begins = lifetime[:1] if lifetime[0].entry.action == "Create" else ()
        ends = lifetime[-1:] if lifetime[-1].entry.action == "Delete" else ()
        for change in lifetime:
            yield dict.fromkeys((*begins, change, *ends))
        if lifetime is not first and _rank(first) == 0:
            yield first[-1], lifetime[0]
        if lifetime is not last and _rank(last) == 2:
            yield lifetime[-1], last[0]


def _followers(chains: Iterable[Iterable[_Change]]) -> dict[int, set[int]]:
    """Return the records that come after each record: those of two successive changes of a chain."""
    found: dict[int, set[int]] = defaultdict(set)
    for each in chains:
        for before, after in pairwise(change.record for change in each):
            if before != after:
                found[before].add(after)
    return found


def _topological(count: int, followers: Mapping[int, Collection[int]]) -> list[int] | None:
    """Return the numbers below `count`, each before its followers, else in ascending order. None: there is none."""
    missing = [0] * count
    for each in followers.values():
        for follower in each:
            missing[follower] += 1
    ready = [i for i in range(count) if not missing[i]]
    order: list[int] = []
    while ready:
        current = heapq.heappop(ready)
        order.append(current)
        for follower in followers.get(current, ()):
            missing[follower] -= 1
            if not missing[follower]:
                heapq.heappush(ready, follower)
    return order if len(order) == count else None
