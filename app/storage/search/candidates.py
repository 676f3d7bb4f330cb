"""Candidates of a search: the lists of exact filters, scans of other filters, and the choice of a plan.

Studies, series, instances and workitems keep their postings in the same way (`keys.values`, `keys.words`), so this
module serves all of them. A posting only says where a match may be. The caller reads the row and decides
(`storage/search/planner.py` for studies, series and instances, `storage/worklist/search.py` for workitems).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, TypeVar

from app.dicom.query.canonical import MAX_CANONICAL
from app.dicom.query.matching import Between, Filter, OneOf, Period, Wildcard, Words
from app.storage.records.spread_lists import parts_of_values
from app.storage.search import posting_lists
from app.storage.search.posting_lists import CandidateT, Numbered
from app.storage.table import keys
from app.storage.table.ports import Item, Range, Table, starting

_FIRST_CHUNK: Final = 16
_MAX_SCANNED: Final = 100_000
"""Candidates that one range scan may hold in memory. A scan that finds more is abandoned."""

_REJECTED_PER_READ: Final = 8
"""Postings that can be read and rejected at about the cost of reading one row."""


MatchT = TypeVar("MatchT", bound=Numbered)
"""An object that matches."""


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
    `posting_lists.LARGEST_CHUNK`.
    `page` is the number of matches that the caller wants. The scans may read that many candidates before the first
    candidates of `plans` are verified. A None in a scan counts as work, but is no candidate. Candidates must be
    hashable. Matches of a scan with a number above `newest` are left out.
    """
    scans: list[tuple[Iterator[CandidateT | None], set[CandidateT]]] = [(each, set()) for each in range_scans]
    largest = largest or posting_lists.LARGEST_CHUNK
    chunks = [_chunks(each, page, largest) for each in plans]
    last_sequence = newest + 1  # the lowest number that was yielded
    size = min(max(page, _FIRST_CHUNK), posting_lists.LARGEST_CHUNK)
    while True:
        for scan, found in scans:
            scanned = list(islice(scan, size))
            found.update(each for each in scanned if each is not None)
            if len(scanned) < size:
                rest = [each for each in found if each.sequence < last_sequence]
                for chunk, _ in _chunks(iter(sorted(rest, key=_sequence, reverse=True)), page, largest):
                    yield from verify(chunk) if chunk else ()
                return
        scans = [(scan, found) for scan, found in scans if len(found) < _MAX_SCANNED]
        for plan in chunks:
            chunk, is_last = next(plan)
            for match in verify(chunk) if chunk else ():
                if match.sequence < last_sequence:
                    last_sequence = match.sequence
                    yield match
            if is_last:
                return
        size = min(size * 2, posting_lists.LARGEST_CHUNK)


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
