"""Candidates of a search, read from posting lists: intersection of exact filters, range scans, and choice of plan.

Studies, series, instances and workitems keep their postings in the same way (`keys.values`, `keys.words`), so this
module serves all of them. A posting only says where a match may be. The caller reads the row and decides
(`storage/search/planner.py` for studies, series and instances, `storage/worklist/search.py` for workitems).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import heapify, heappop, heapreplace
from itertools import islice
from typing import Final, Generic, Protocol, TypeVar

from app.dicom.query.canonical import MAX_CANONICAL
from app.dicom.query.matching import Between, Filter, OneOf, Period, Query, Wildcard, Words
from app.storage.records.spread_lists import parts_of_values
from app.storage.table import keys
from app.storage.table.ports import Item, Range, Table, starting

LARGEST_CHUNK: Final = 1024
_FIRST_CHUNK: Final = 16
_MAX_SCANNED: Final = 100_000
"""Candidates that one range scan may hold in memory. A scan that finds more is abandoned."""

_REJECTED_PER_READ: Final = 8
"""Postings that can be read and rejected at about the cost of reading one row."""


class Numbered(Protocol):
    """An object that has a sequence number. Search results are ordered by it, highest first."""

    @property
    def sequence(self) -> int: ...


CandidateT = TypeVar("CandidateT", bound=Numbered)
"""An object that may match."""

MatchT = TypeVar("MatchT", bound=Numbered)
"""An object that matches."""


FoundT = TypeVar("FoundT", bound=Numbered, covariant=True)
"""A candidate that a list yields."""


class CandidateList(Protocol[FoundT]):
    """Candidates that are ordered by their numbers, the newest first."""

    def seek(self, sequence: int) -> FoundT | None:
        """Return the newest candidate whose number is at most `sequence`, None if there is none.

        The numbers of successive calls must not grow.
        """
        ...


def sequence_of(posting: Item) -> int:
    """Return the sequence number of the object that a posting names. The sort key ends with it (`keys.newest`)."""
    return keys.NEWEST - int(posting.key.sk[-16:], 16)


def exact_lists(partition: int, kind: str, wanted: Filter, shards: int = 1) -> list[tuple[str, str]]:
    """Return (pk, sort-key prefix) of each posting list of an exact filter; an empty list for any other filter.

    `kind` is the level of the objects (`study`, `series`, `instance`) or `workitem`. `shards` is that of the archive
    (`records/spread_lists.py`).
    """
    if not isinstance(wanted.indexed, OneOf):
        return []
    parts = parts_of_values(partition, kind, wanted.attribute.key, shards)
    return [(pk, keys.entries(value[:MAX_CANONICAL])) for value in sorted(wanted.indexed.values) for pk in parts]


def scan_postings(table: Table, partition: int, kind: str, wanted: Filter, shards: int = 1) -> Iterator[Item | None]:
    """Yield the postings of all objects of a kind that may satisfy one filter, and not in the order of their numbers.

    Yields None once for every `_REJECTED_PER_READ` postings whose value does not satisfy the filter. So the caller
    can count the cost of a scan that finds nothing.
    """
    key = wanted.attribute.key
    parts = parts_of_values(partition, kind, key, shards)
    match wanted.indexed:
        case OneOf():
            for pk, prefix in exact_lists(partition, kind, wanted, shards):
                yield from table.query(pk, starting(prefix))
        case Between() | Period():
            low, high = wanted.indexed.indexed
            for pk in parts:
                yield from table.query(pk, Range(low, f"{high}\t\U0010ffff" if high else ""))
        case Wildcard() as pattern:
            for pk in parts:
                yield from _matching_wildcard(pattern, table.query(pk, starting(pattern.prefix[:MAX_CANONICAL])))
        case Words(words):
            longest = max(words, key=len)[:MAX_CANONICAL]
            yield from table.query(keys.words(partition, kind, key, longest), starting(longest))


def _matching_wildcard(pattern: Wildcard, postings: Iterable[Item]) -> Iterator[Item | None]:
    """Yield the postings whose value matches. A value of full length may be cut off, so it counts as a match."""
    rejected = 0
    for posting in postings:
        value = keys.value_of(posting.key)
        if len(value) == MAX_CANONICAL or pattern.matches(value):
            yield posting
            continue
        rejected += 1
        if rejected % _REJECTED_PER_READ == 0:
            yield None


class PostingList(Generic[CandidateT]):
    """One posting list, newest first, read in chunks.

    `chunk` is the size of the first chunk. The next one has twice the size, up to `LARGEST_CHUNK`, unless most of a
    chunk was passed over: then it has half the size. `read` converts a posting to a candidate. Candidates with a number
    above `highest` are left out.
    """

    def __init__(
        self,
        table: Table,
        *,
        pk: str,
        prefix: str,
        chunk: int,
        read: Callable[[Item], CandidateT],
        highest: int = keys.NEWEST,
    ) -> None:
        self._table = table
        self._pk = pk
        self._prefix = prefix
        self._size = min(chunk, LARGEST_CHUNK)
        self._read = read
        self._highest = highest
        self._chunk: list[CandidateT] = []
        self._position = 0
        self._passed = 0
        """Candidates of the chunk that no call returned."""
        self._is_returned = False
        """Whether a call returned the candidate at the position."""
        self._at_end = False

    def seek(self, sequence: int) -> CandidateT | None:
        """Return the newest candidate whose number is at most `sequence`, None if there is none.

        The numbers of successive calls must not grow.
        """
        chunk = self._chunk
        while self._position < len(chunk):
            if chunk[self._position].sequence <= sequence:
                self._is_returned = True
                return chunk[self._position]
            self._passed += not self._is_returned
            self._is_returned = False
            self._position += 1
        if self._at_end:
            return None
        between = Range(
            self._prefix + keys.newest(min(sequence, self._highest)), self._prefix + "g"
        )  # "g" sorts after every hex digit
        if chunk:
            is_dense = self._passed * 2 < len(chunk)
            self._size = min(self._size * 2, LARGEST_CHUNK) if is_dense else max(self._size // 2, _FIRST_CHUNK)
        self._chunk = [self._read(each) for each in self._table.query(self._pk, between, limit=self._size)]
        self._position = self._passed = 0
        self._is_returned = True
        self._at_end = len(self._chunk) < self._size
        return self._chunk[0] if self._chunk else None


class Union(Generic[CandidateT]):
    """The candidates that are in at least one of several lists, newest first."""

    def __init__(self, lists: Sequence[CandidateList[CandidateT]]) -> None:
        self._lists = lists
        self._heads: list[tuple[int, int, CandidateT]] | None = None
        """A heap of (negated number, position of the list, candidate) of each list that is not at its end."""

    def seek(self, sequence: int) -> CandidateT | None:
        """Return as `PostingList.seek`."""
        if self._heads is None:
            self._heads = [each for position in range(len(self._lists)) if (each := self._head(position, sequence))]
            heapify(self._heads)
        heads = self._heads
        while heads and -heads[0][0] > sequence:
            following = self._head(heads[0][1], sequence)
            if following:
                heapreplace(heads, following)
            else:
                heappop(heads)
        return heads[0][2] if heads else None

    def _head(self, position: int, sequence: int) -> tuple[int, int, CandidateT] | None:
        found = self._lists[position].seek(sequence)
        return None if found is None else (-found.sequence, position, found)


def newest_permitted(query: Query) -> int:
    """Return the highest number that an object of the page may have."""
    return keys.NEWEST if query.below is None else query.below - 1


def intersect_newest_first(
    filters: Sequence[Sequence[CandidateList[CandidateT]]], newest: int = keys.NEWEST
) -> Iterator[CandidateT]:
    """Yield the candidates that satisfy all filters, newest first, from the number `newest` on.

    Each filter is a sequence of lists, such as one for each accepted value; a candidate satisfies it if it is in one
    of them. The algorithm is known as "leapfrog join": each list seeks the highest number that is still possible in
    the others, so the cost follows the shortest list.
    """
    target = newest
    unions = [Union(lists) for lists in filters]
    while target >= 0:
        for union in unions:
            head = union.seek(target)
            if head is None:
                return
            found = head
            if found.sequence < target:
                target = found.sequence
                break
        else:
            yield found
            target -= 1


def cheapest_plan(
    plans: Sequence[Iterator[CandidateT]],
    range_scans: list[Iterator[CandidateT | None]],
    verify: Callable[[Sequence[CandidateT]], list[MatchT]],
    page: int,
    newest: int = keys.NEWEST,
    largest: int | None = None,
) -> Iterator[MatchT]:
    """Yield matches newest first, from the plan that completes first.

    Two kinds of plan run in turns. Each of `plans` yields all candidates newest first, and is done when the caller has
    its page; there is at least one. Each of `range_scans` reads all candidates of one filter; when one is complete, its
    candidates are sorted. So the total cost is about the cost of the cheapest plan multiplied by the number of plans.

    `verify` returns the matches among some candidates, in their order. It gets `largest` candidates at most, or
    `LARGEST_CHUNK`.
    `page` is the number of matches that the caller wants. The scans may read that many candidates before the first
    candidates of `plans` are verified. A None in a scan counts as work, but is no candidate. Candidates must be
    hashable. Matches of a scan with a number above `newest` are left out.
    """
    scans: list[tuple[Iterator[CandidateT | None], set[CandidateT]]] = [(each, set()) for each in range_scans]
    largest = largest or LARGEST_CHUNK
    chunks = [_chunks(each, page, largest) for each in plans]
    last_sequence = newest + 1  # the lowest number that was yielded
    size = min(max(page, _FIRST_CHUNK), LARGEST_CHUNK)
    while True:
        for scan, found in scans:
            scanned = list(islice(scan, size))
            found.update(each for each in scanned if each is not None)
            if len(scanned) < size:
                rest = [each for each in found if each.sequence < last_sequence]
                for chunk, _ in _chunks(iter(sorted(rest, key=_sequence, reverse=True)), page, largest):
                    yield from verify(chunk)
                return
        scans = [(scan, found) for scan, found in scans if len(found) < _MAX_SCANNED]
        for plan in chunks:
            chunk, is_last = next(plan)
            for match in verify(chunk):
                if match.sequence < last_sequence:
                    last_sequence = match.sequence
                    yield match
            if is_last:
                return
        size = min(size * 2, LARGEST_CHUNK)


def _chunks(candidates: Iterator[CandidateT], page: int, largest: int) -> Iterator[tuple[list[CandidateT], bool]]:
    """Yield candidates in chunks, each with whether it is the last one. The first chunk has a page of candidates."""
    size = min(page, largest)
    while True:
        chunk = list(islice(candidates, size))
        yield chunk, len(chunk) < size
        if len(chunk) < size:
            return
        size = min(size * 2, largest)


def _sequence(each: Numbered) -> int:
    return each.sequence
