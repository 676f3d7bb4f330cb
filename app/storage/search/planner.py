"""The search planner: candidates from postings, the truth from rows.

`Query.matches` on the rows' attributes decides every result; postings only say where to look. What a query costs:

| query                                           | reads                                                              |
|-------------------------------------------------|--------------------------------------------------------------------|
| exact values at the result level (one or more)  | their posting lists leapfrog, newest first: about the shortest     |
|                                                 | list's entries up to the end of the page, however long the others  |
| range, wildcard, fuzzy name                     | the smaller of: all entries in the range or under the prefix (for  |
|                                                 | `*ABC` those of the attribute); the newest objects until the page  |
|                                                 | is full (the two run in step, the first to finish wins)            |
| a filter of a level above the result            | the same, with the matching studies' or series' members expanded   |
| no filter                                       | the newest objects until the page is full                          |
| inside studies (URL or StudyInstanceUID)        | what is in them, or in the series named; but for a few             |
|                                                 | SOPInstanceUIDs only the instances that have them                  |
| ModalitiesInStudy                               | the series of each study that matches all else, besides            |

`offset` is walked over, since filters are applied first. No path reads an archive while a filter can drive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Final, NamedTuple

from app.dicom.query.matching import Filter, OneOf, Query
from app.dicom.validation.attributes import MODALITIES_IN_STUDY, UIDS, Level
from app.storage.index.instances import Instances
from app.storage.records.rows import SeriesRow, StudyRow
from app.storage.records.snapshot import Snapshot
from app.storage.search.candidates import LARGEST_CHUNK, PostingList, entries, leapfrog, places, race, sequence_of
from app.storage.search.matches import Match, attributes_of, match_in, modalities
from app.storage.table import keys
from app.storage.table.ports import Item, Table

ReadSeries = Callable[[Callable[[StudyRow], list[SeriesRow]], Iterable[StudyRow]], Iterable[list[SeriesRow]]]

_FEW: Final = 10
"""Instances asked for by UID that are sooner found one by one than by reading their study."""


class Candidate(NamedTuple):
    """Where a match may lie: the UIDs down to the result level, and the number it is ordered by."""

    sequence: int
    study: str
    series: str = ""
    instance: str = ""


class SearchPlanner:
    """Answers queries on one partition, newest first. `spread` is `map`, or like it on several threads."""

    def __init__(self, table: Table, instances: Instances, spread: ReadSeries = map) -> None:
        self._table = table
        self._instances = instances
        self._spread = spread

    def run(self, partition: int, query: Query) -> list[Match]:
        """Return the page of matches that the query asks for."""
        return list(islice(self._matches(partition, query), query.offset, query.offset + query.limit))

    def _matches(self, partition: int, query: Query) -> Iterator[Match]:
        studies, instances = _named(query, Level.STUDY), _named(query, Level.INSTANCE)
        if instances and len(instances) <= _FEW:
            return chain.from_iterable(self._verified(partition, query, self._stream(partition, query)))
        if studies is not None:
            return self._inside(partition, query, studies)
        return race(
            self._verified(partition, query, self._stream(partition, query)),
            [self._gather(partition, query, each) for each in query.filters if not _streams(query, each)],
            lambda found: self._verified(partition, query, found),
            query.offset + query.limit,
        )

    # --- inside named studies ---

    def _inside(self, partition: int, query: Query, studies: Sequence[str]) -> Iterator[Match]:
        """Yield the matches inside these studies: what there is of the result level is read whole and sorted."""
        if query.level is Level.STUDY:
            found = [each for each in self._visible(partition, [(study,) for study in studies]) if each]
        else:
            found = [each for study in studies for each in self._members(partition, query, study)]
        found.sort(key=lambda each: -each.sequence)
        return iter(self._true(query, found))

    def _members(self, partition: int, query: Query, study: str) -> list[Match]:
        if query.level is Level.SERIES:
            view = self._instances.series_of(partition, study)
            return [Match(view.study, row) for row in view.series.values()] if view.study else []
        series: Sequence[str | None] = _named(query, Level.SERIES) or [None]
        views = (self._instances.within(partition, study, each) for each in series)
        return [
            Match(view.study, view.series[row.series], row) for view in views if view.study for row in view.instances
        ]

    # --- streams: newest first ---

    def _stream(self, partition: int, query: Query) -> Iterator[Candidate]:
        """Yield candidates newest first: where all exact filters agree, or simply the newest objects."""
        chunk = query.offset + query.limit
        unions = [
            [
                PostingList(self._table, pk, keys.entries(value), chunk, _candidate)
                for pk, value in places(partition, query.level.word, each)
            ]
            for each in query.filters
            if _streams(query, each)
        ]
        newest = keys.newest_of(partition, query.level.word)
        return leapfrog(unions or [[PostingList(self._table, newest, "", chunk, _candidate)]])

    # --- gathers: every object of a range, in no useful order ---

    def _gather(self, partition: int, query: Query, wanted: Filter) -> Iterator[Candidate | None]:
        """Yield every object of the result level that may satisfy one filter, and None as `entries` does."""
        level = wanted.attribute.level
        for item in entries(self._table, partition, level.word, wanted):
            found = item and _candidate(item)
            if found is None or level is query.level:
                yield found
            else:
                yield from self._expanded(partition, query.level, found)

    def _expanded(self, partition: int, level: Level, above: Candidate) -> Iterator[Candidate]:
        """Yield the members of a study or series at a lower level."""
        at = keys.study_items(partition, above.study)
        if level is Level.SERIES:
            for item in self._table.query(at, keys.SERIES):
                yield Candidate(item.fields["created"], above.study, item.key.sk.split("/")[1])
            return
        between = keys.instances_of(above.series) if above.series else keys.INSTANCES
        for item in self._table.query(at, between):
            _, series, instance = item.key.sk.split("/")
            first = item.fields.get("original", item.fields)
            yield Candidate(first["watermark"], above.study, series, instance)

    # --- verification ---

    def _verified(self, partition: int, query: Query, candidates: Iterable[Candidate]) -> Iterator[list[Match]]:
        """Yield batches of true matches, in the candidates' order; an empty batch when none of a chunk was one."""
        stream = iter(candidates)
        size = min(LARGEST_CHUNK, query.offset + query.limit)
        while chunk := list(islice(stream, size)):
            yield self._true(query, self._rows(partition, query.level, chunk))
            size = min(size * 2, LARGEST_CHUNK)

    def _rows(self, partition: int, level: Level, chunk: Sequence[Candidate]) -> list[Match]:
        """Return the rows of candidates, but for those that are gone or no longer filed under their number."""
        found = self._visible(partition, [(each.study, each.series, each.instance)[:level] for each in chunk])
        return [row for row, each in zip(found, chunk, strict=True) if row and row.sequence == each.sequence]

    def _visible(self, partition: int, uids: Sequence[tuple[str, ...]]) -> list[Match | None]:
        """Return the rows of each object, None if there is no such object: one batched read."""
        snapshot = Snapshot.read(self._table, partition, uids)
        return [match_in(snapshot, each) for each in uids]

    def _true(self, query: Query, found: list[Match]) -> list[Match]:
        """Return those that lie where the URL says and match the query.

        Their studies' Modalities are read only for those that match by what Modalities the studies ever had.
        """
        found = [each for each in found if _below(query, each)]
        if MODALITIES_IN_STUDY in query.tags():
            ever = (each._replace(modalities=each.study.modalities) for each in found)
            found = self._with_modalities([each for each in ever if query.matches(attributes_of(each))])
        return [each for each in found if query.matches(attributes_of(each))]

    def _with_modalities(self, found: list[Match]) -> list[Match]:
        studies = list({each.study.study: each.study for each in found}.values())
        rows = zip(studies, self._spread(self._instances.series_in, studies), strict=True)
        known = {study.study: modalities(series) for study, series in rows}
        return [each._replace(modalities=known[each.study.study]) for each in found]


# --- planning -----------------------------------------------------------------------------------------------------


def _named(query: Query, level: Level) -> Sequence[str] | None:
    """Return the only UIDs of a level that can match, if the URL or a filter names them."""
    of_url = {Level.STUDY: query.study, Level.SERIES: query.series}.get(level)
    if of_url is not None:
        return [of_url]
    for each in query.filters:
        if each.attribute.tag == UIDS[level] and isinstance(each.condition, OneOf):
            return sorted(each.condition.values)
    return None


def _below(query: Query, found: Match) -> bool:
    """Tell whether an object is in the study and series of the URL."""
    above = (query.study, query.series)
    return all(asked in (None, uid) for asked, uid in zip(above, found.uids, strict=False))


def _streams(query: Query, wanted: Filter) -> bool:
    """Tell whether a filter's postings lie newest first at the result level."""
    return wanted.attribute.level is query.level and isinstance(wanted.condition, OneOf)


def _candidate(item: Item) -> Candidate:
    """Return where a posting leads."""
    fields = item.fields
    return Candidate(sequence_of(item), fields["study"], fields.get("series", ""), fields.get("instance", ""))
