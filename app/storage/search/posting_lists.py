"""Posting lists of a search, newest first: one list, the union of several, and the intersection of unions.

A posting only says where a match may be. The caller reads the row and decides.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import heapify, heappop, heapreplace
from typing import Any, Final, Generic, Protocol, TypeVar

from app.dicom.query.matching import Query
from app.storage.table import keys
from app.storage.table.ports import Item, Range, Table

LARGEST_CHUNK: Final = 1024
_SMALLEST_CHUNK: Final = 16

_FEW: Final = 100
"""Up to so many candidates of one filter, their rows cost less than the lists of the other filters."""

_FEW_LISTS: Final = 2
"""So many lists are read one after the other. A spread list has more parts (`records/spread_lists.py`)."""

_MANY_LISTS: Final = 10

MapLists = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""`map`, or a function like it that makes the calls on several threads."""


class Numbered(Protocol):
    """An object that has a sequence number. Search results are ordered by it, highest first."""

    @property
    def sequence(self) -> int: ...


CandidateT = TypeVar("CandidateT", bound=Numbered)
"""An object that may match."""


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


def newest_permitted(query: Query) -> int:
    """Return the highest number that an object of the page may have."""
    return keys.NEWEST if query.below is None else query.below - 1


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
            self._size = min(self._size * 2, LARGEST_CHUNK) if is_dense else max(self._size // 2, _SMALLEST_CHUNK)
        self._chunk = [self._read(each) for each in self._table.query(self._pk, between, limit=self._size)]
        self._position = self._passed = 0
        self._is_returned = True
        self._at_end = len(self._chunk) < self._size
        return self._chunk[0] if self._chunk else None

    @property
    def rest(self) -> Sequence[CandidateT] | None:
        """The candidates from the last returned one on, None if they are not all in memory."""
        return self._chunk[self._position :] if self._at_end else None


class Union(Generic[CandidateT]):
    """The candidates that are in at least one of several lists, newest first."""

    def __init__(self, lists: Sequence[CandidateList[CandidateT]], parallel: MapLists = map) -> None:
        self._lists = lists
        self._parallel: MapLists = parallel if len(lists) > _FEW_LISTS else map
        self._heads: list[tuple[int, int, CandidateT]] | None = None
        """A heap of (negated number, position of the list, candidate) of each list that is not at its end."""

    @property
    def cost(self) -> tuple[bool, bool]:
        """A measure of what the first candidate costs. A union with a lower one is read first.

        A list that is no posting list costs most. Many lists cost more than few.
        """
        return not all(isinstance(each, PostingList) for each in self._lists), len(self._lists) > _MANY_LISTS

    def seek(self, sequence: int) -> CandidateT | None:
        """Return as `PostingList.seek`."""
        if self._heads is None:
            found = self._parallel(lambda position: self._head(position, sequence), range(len(self._lists)))
            self._heads = [each for each in found if each]
            heapify(self._heads)
        heads = self._heads
        while heads and -heads[0][0] > sequence:
            following = self._head(heads[0][1], sequence)
            if following:
                heapreplace(heads, following)
            else:
                heappop(heads)
        return heads[0][2] if heads else None

    def newest_first(self, sequence: int) -> Iterator[CandidateT]:
        """Yield all candidates whose number is at most `sequence`. `seek` is not called before or meanwhile."""
        source: CandidateList[CandidateT] = self._lists[0] if len(self._lists) == 1 else self
        if source is self and sequence >= 0 and self.seek(sequence) and (rest := self.rest()) is not None:
            yield from rest
            return
        while sequence >= 0 and (found := source.seek(sequence)) is not None:
            yield found
            sequence = found.sequence - 1

    def rest(self, most: int = sys.maxsize) -> list[CandidateT] | None:
        """Return the candidates from the last returned one on, None if they are not in memory or more than `most`."""
        found: dict[int, CandidateT] = {}
        for each in self._lists:
            rest = each.rest if isinstance(each, PostingList) else None
            if rest is None or len(found) + len(rest) > most:
                return None
            found.update((candidate.sequence, candidate) for candidate in rest)
        return [found[sequence] for sequence in sorted(found, reverse=True)]

    def _head(self, position: int, sequence: int) -> tuple[int, int, CandidateT] | None:
        found = self._lists[position].seek(sequence)
        return None if found is None else (-found.sequence, position, found)


def intersect_newest_first(
    filters: Sequence[Sequence[CandidateList[CandidateT]]], newest: int = keys.NEWEST, parallel: MapLists = map
) -> Iterator[CandidateT]:
    """Yield all candidates that satisfy all filters, newest first, from the number `newest` on.

    Each filter is a sequence of lists, such as one for each accepted value; a candidate satisfies it if it is in one
    of them. The algorithm is known as "leapfrog join": each list seeks the highest number that is still possible in
    the others, so the cost follows the shortest list. If a filter has few candidates, all of them are yielded, and the
    lists of the other filters are not read: the caller compares the rows with the filters in any case. `parallel` reads
    the first entries of many lists.
    """
    if len(filters) == 1:
        yield from Union(filters[0], parallel).newest_first(newest)
        return
    target = newest
    unions = sorted((Union(lists, parallel) for lists in filters), key=lambda union: union.cost)
    for union in unions:
        head = union.seek(target)
        if head is None:
            return
        if (rest := union.rest(_FEW)) is not None:
            yield from rest
            return
        target = head.sequence
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
