"""Candidates from posting lists, newest first: lists that leapfrog, and the race between a walk and whole ranges.

Whatever is searched for files its postings alike (`keys.values`, `keys.words`): what a posting leads to, and what truly
matches, is the searcher's to say (`storage/search/planner.py` for studies, `storage/worklist/search.py` for workitems).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, Generic, Protocol, TypeVar

from app.dicom.query.matching import MAX_CANONICAL, Between, Filter, OneOf, Wildcard, Words
from app.storage.table import keys
from app.storage.table.ports import Item, Range, Table, starting

LARGEST_CHUNK: Final = 1024
_FIRST_CHUNK: Final = 16
_MOST_GATHERED: Final = 100_000
"""Candidates held while a range is read; beyond, the newest objects are walked alone."""

_MISSES: Final = 8
"""PostingList that are passed over for the price of one row that is read."""


class Numbered(Protocol):
    """Anything that results are ordered by."""

    @property
    def sequence(self) -> int: ...


C = TypeVar("C", bound=Numbered)
"""A candidate: where a match may lie."""

F = TypeVar("F", bound=Numbered)
"""A match."""


def sequence_of(item: Item) -> int:
    """Return the number of the object that a posting leads to; its sort key ends in it."""
    return keys.NEWEST - int(item.key.sk[-16:], 16)


def places(partition: int, kind: str, wanted: Filter) -> list[tuple[str, str]]:
    """Return (pk, value) of the posting lists of an exact filter on objects of a kind (`study`, …, `workitem`)."""
    if not isinstance(wanted.condition, OneOf):
        return []
    pk = keys.values(partition, kind, wanted.attribute.key)
    return [(pk, value[:MAX_CANONICAL]) for value in sorted(wanted.condition.values)]


def entries(table: Table, partition: int, kind: str, wanted: Filter) -> Iterator[Item | None]:
    """Yield the postings of every object of a kind that may satisfy one filter, in no useful order.

    None stands for `_MISSES` postings whose values told that they do not, so that a race knows what was done.
    """
    key = wanted.attribute.key
    pk = keys.values(partition, kind, key)
    match wanted.condition:
        case OneOf():
            for place, value in places(partition, kind, wanted):
                yield from table.query(place, starting(keys.entries(value)))
        case Between(low, high):
            yield from table.query(pk, Range(low, f"{high}\t\U0010ffff" if high else ""))
        case Wildcard() as pattern:
            yield from _fitting(pattern, table.query(pk, starting(pattern.prefix[:MAX_CANONICAL])))
        case Words(words):
            longest = max(words, key=len)[:MAX_CANONICAL]
            yield from table.query(keys.words(partition, kind, key, longest), starting(longest))


def _fitting(pattern: Wildcard, items: Iterable[Item]) -> Iterator[Item | None]:
    missed = 0
    for item in items:
        value = keys.value_of(item.key)
        if len(value) == MAX_CANONICAL or pattern.matches(value):
            yield item
            continue
        missed += 1
        if missed % _MISSES == 0:
            yield None


class PostingList(Generic[C]):
    """One posting list, newest first, that can skip ahead. `read` makes a candidate of a posting."""

    def __init__(self, table: Table, pk: str, prefix: str, chunk: int, read: Callable[[Item], C]) -> None:
        self._table = table
        self._pk = pk
        self._prefix = prefix
        self._size = min(chunk, LARGEST_CHUNK)
        self._read = read
        self._chunk: list[C] = []
        self._at = 0
        self._ended = False

    def seek(self, sequence: int) -> C | None:
        """Return the newest entry not newer than `sequence`; calls must go downward."""
        chunk = self._chunk
        while self._at < len(chunk):
            if chunk[self._at].sequence <= sequence:
                return chunk[self._at]
            self._at += 1
        if self._ended:
            return None
        between = Range(self._prefix + keys.newest(sequence), self._prefix + "g")  # after every hex digit
        self._chunk = [self._read(each) for each in self._table.query(self._pk, between, limit=self._size)]
        self._at = 0
        self._ended = len(self._chunk) < self._size
        self._size = min(self._size * 2, LARGEST_CHUNK)
        return self._chunk[0] if self._chunk else None


def leapfrog(unions: Sequence[Sequence[PostingList[C]]]) -> Iterator[C]:
    """Yield the candidates that are in every union of lists, newest first, skipping what one of them lacks."""
    target = keys.NEWEST
    while True:
        for lists in unions:
            heads = [head for each in lists if (head := each.seek(target))]
            if not heads:
                return
            newest = max(heads, key=_sequence)
            if newest.sequence < target:
                target = newest.sequence
                break
        else:
            yield newest
            target -= 1


def race(
    walk: Iterator[list[F]],
    gathers: list[Iterator[C | None]],
    verify: Callable[[Iterable[C]], Iterator[list[F]]],
    page: int,
) -> Iterator[F]:
    """Yield matches newest first from whichever is done first: the walk, or one complete gathering of candidates.

    All advance in step, so the cost is about that of the cheapest times their number. `page` is how many matches are
    wanted: a gathering may read that many before the walk is asked at all. Candidates must be hashable; a None counts
    as work of a gathering that found none.
    """
    gathered: list[tuple[Iterator[C | None], set[C]]] = [(each, set()) for each in gathers]
    reached = keys.NEWEST
    size = min(max(page, _FIRST_CHUNK), LARGEST_CHUNK)
    while True:
        for stream, found in gathered:
            chunk = list(islice(stream, size))
            found.update(each for each in chunk if each is not None)
            if len(chunk) < size:
                rest = sorted((each for each in found if each.sequence < reached), key=_sequence, reverse=True)
                for batch in verify(rest):
                    yield from batch
                return
        gathered = [(stream, found) for stream, found in gathered if len(found) < _MOST_GATHERED]
        walked = next(walk, None)
        if walked is None:
            return
        for match in walked:
            reached = match.sequence
            yield match
        size = min(size * 2, LARGEST_CHUNK)


def _sequence(each: Numbered) -> int:
    return each.sequence
