"""The search planner: it reads candidates from postings and verifies them on rows.

`Query.matches` decides every result, on the attributes of rows and on metadata. A posting only says where a match may
be.
The cost of a query:

| query                                           | reads                                                              |
|-------------------------------------------------|--------------------------------------------------------------------|
| exact values at the result level (one or more)  | the intersection of their posting lists, newest first: about the   |
|                                                 | entries of the shortest list up to the end of the page. The length |
|                                                 | of the other lists does not matter                                 |
| range of dates at the result level              | the lists of its days, months and years, about 100 at most, merged |
|                                                 | newest first up to the end of the page, and intersected with those |
|                                                 | of exact values. With other filters, in turns with these alone     |
| other range, wildcard, fuzzy name               | the smaller of two: all entries in the range or under the prefix   |
|                                                 | (for `*ABC` all entries of the attribute); or the newest objects   |
|                                                 | until the page is full. The two plans run in turns, and the first  |
|                                                 | that completes gives the result                                    |
| wildcard of a study attribute (`value_pages`)   | one column of the pages of values, newest first, until the page is |
|                                                 | full: about 5 units of DynamoDB for 2,000 studies. With a prefix   |
|                                                 | in turns with the entries under the prefix                         |
| a filter of a level above the result            | the same; each matching study or series is replaced by its members |
| no filter                                       | the newest objects until the page is full                          |
| inside studies (URL or StudyInstanceUID)        | the members of these studies, or of the named series; of a large   |
|                                                 | study the newest (`members`). For a few SOPInstanceUIDs: only the  |
|                                                 | instances that have them                                           |
| attributes without postings                     | the candidates of the other filters; of those that match, the      |
|                                                 | metadata of the newest instance. Without another filter the newest |
|                                                 | objects are read until the page is full                            |
| posted attributes (`records/posted_values.py`)  | as with postings, and the metadata of the newest instance of each  |
|                                                 | candidate. Objects of earlier layouts are candidates too           |
| SOPClassUID                                     | the smaller of two: the members of all series that have the class, |
|                                                 | or the newest instances until the page is full                     |
| ModalitiesInStudy                               | in addition, the series of each study that satisfies all other     |
|                                                 | filters                                                            |

Matches before `offset` are verified and skipped, because the filters are applied before the page is cut. No query
reads the whole archive if a filter can select candidates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Final, NamedTuple

from app.dicom.query.matching import Filter, OneOf, Query, satisfies
from app.dicom.validation.attributes import MODALITIES_IN_STUDY, UIDS, Level
from app.storage.index.counts import InstanceCounts
from app.storage.index.instances import Instances
from app.storage.records.rows import StudyRow
from app.storage.records.snapshot import Snapshot
from app.storage.records.stored_rows import StoredRows
from app.storage.search.candidates import cheapest_plan
from app.storage.search.matches import Match, attributes_of, match_in, modalities
from app.storage.search.members import StudyMembers
from app.storage.search.metadata_filters import NewestMetadata, matching_metadata
from app.storage.search.page_candidates import PackedColumns, ValuePages
from app.storage.search.posting_lists import MapLists, newest_permitted
from app.storage.search.sources import Candidate, CandidateSources
from app.storage.table.ports import Table

_MAX_SINGLE_READS: Final = 10
"""Up to so many SOP Instance UIDs, it costs less to read each instance than to read its whole study."""


class Page(NamedTuple):
    """A page of matches, newest first, and whether more objects match."""

    matches: list[Match]
    more: bool


class SearchPlanner:
    """Answers queries on one partition, newest first.

    `newest_metadata` reads what only metadata has. `map_studies` makes reads of several studies and lists.
    `last_unposted` and `last_undated` are as in `unposted`, `shards` as in `open_shards`. `packed_columns` keeps
    columns of the pages of values.
    """

    def __init__(
        self,
        *,
        table: Table,
        instances: Instances,
        counts: InstanceCounts,
        newest_metadata: NewestMetadata,
        map_studies: MapLists = map,
        last_unposted: int = 0,
        last_undated: int = 0,
        shards: int = 1,
        packed_columns: PackedColumns | None = None,
    ) -> None:
        self._table = table
        self._instances = instances
        self._counts = counts
        self._newest_metadata = newest_metadata
        self._map_studies = map_studies
        self._stored = StoredRows(table)
        self._members = StudyMembers(table, instances)
        self._sources = CandidateSources(
            table,
            ValuePages(table, packed_columns),
            last_unposted=last_unposted,
            last_undated=last_undated,
            shards=shards,
            parallel=map_studies,
        )

    def run(self, partition: int, query: Query) -> Page:
        """Return the matches from `query.offset` on, at most `query.limit`, newest first.

        It looks for one match beyond the page, to find out whether there are more.
        """
        beyond = replace(query, limit=query.limit + 1)
        found = list(islice(self._matches(partition, beyond), beyond.offset, beyond.offset + beyond.limit))
        return Page(found[: query.limit], len(found) > query.limit)

    def _matches(self, partition: int, query: Query) -> Iterator[Match]:
        studies, instances = _named(query, Level.STUDY), _named(query, Level.INSTANCE)
        if instances and len(instances) <= _MAX_SINGLE_READS:
            plans, scans = [self._sources.newest_first(partition, query, {})], []
        elif studies is not None:
            return self._in_studies(partition, query, studies)
        else:
            paged = self._sources.in_pages(partition, query)
            plans = self._sources.plans(partition, query, paged)
            scans = self._sources.scans(partition, query, paged)
        return cheapest_plan(
            plans,
            scans,
            partial(self._verified, partition, query),
            query.offset + query.limit,
            newest_permitted(query),
        )

    # --- inside named studies ---

    def _in_studies(self, partition: int, query: Query, studies: Sequence[str]) -> Iterator[Match]:
        """Return the matches inside these studies, newest first, up to the end of the page."""
        if query.level is Level.INSTANCE:
            found = [each for study in studies for each in self._instances_of(partition, query, study)]
        else:
            newest = newest_permitted(query)
            rows = (
                self._series_of(partition, studies)
                if query.level is Level.SERIES
                else self._rows_of(partition, studies)
            )
            found = self._matching(query, [each for each in rows if each.sequence <= newest])
        return iter(sorted(found, key=lambda each: -each.sequence))

    def _rows_of(self, partition: int, studies: Sequence[str]) -> list[Match]:
        return [each for each in self._studies(partition, studies) if each]

    def _series_of(self, partition: int, studies: Sequence[str]) -> list[Match]:
        """Return the visible series of studies."""
        views = (self._instances.series_view(partition, study) for study in studies)
        return [Match(view.study, row) for view in views if view.study for row in view.series.values()]

    def _instances_of(self, partition: int, query: Query, study: str) -> list[Match]:
        """Return the newest matches in a study, limited to the series that the query names."""
        return self._members.newest(
            partition,
            study,
            _named(query, Level.SERIES),
            query,
            matching=partial(self._matching, query),
            verify=partial(self._verified, partition, query),
        )

    # --- verification ---

    def _verified(self, partition: int, query: Query, candidates: Sequence[Candidate]) -> list[Match]:
        """Return the matches among some candidates, in their order."""
        return self._matching(query, self._rows(partition, query.level, candidates))

    def _rows(self, partition: int, level: Level, chunk: Sequence[Candidate]) -> list[Match]:
        """Return the visible rows of candidates. A row is omitted if its number is not that of the posting."""
        if level is Level.STUDY:
            found = self._studies(partition, [each.study for each in chunk])
        else:
            found = self._visible(partition, [(each.study, each.series, each.instance)[:level] for each in chunk])
        return [row for row, each in zip(found, chunk, strict=True) if row and row.sequence == each.sequence]

    def _studies(self, partition: int, uids: Sequence[str]) -> list[Match | None]:
        """Return the rows of studies, None for one that does not exist. This is one batched read."""
        rows = self._stored.studies(partition, uids)
        return [None if row is None else Match(row) for row in map(rows.__getitem__, uids)]

    def _visible(self, partition: int, uids: Sequence[tuple[str, ...]]) -> list[Match | None]:
        """Return the rows of each series or instance, None for one that does not exist. This is one batched read."""
        snapshot = Snapshot.read(self._table, partition, uids)
        return [match_in(snapshot, each) for each in uids]

    def _matching(self, query: Query, found: list[Match]) -> list[Match]:
        """Return those that are in the study and series of the URL and match the query.

        A study row lists all Modalities that its series ever had. The series are read only of the studies that match
        by that list.
        """
        of_modalities = [each for each in query.filters if each.attribute.tag == MODALITIES_IN_STUDY]
        of_rows = [
            each
            for each in query.filters
            if not each.attribute.in_metadata and each.attribute.tag != MODALITIES_IN_STUDY
        ]
        if query.study or query.series:
            found = [each for each in found if _in_url(query, each)]
        if of_modalities:
            found = [each for each in found if _had_modalities(each.study, of_modalities)]
        if of_rows:
            found = [each for each in found if satisfies(attributes_of(each), of_rows)]
        if MODALITIES_IN_STUDY in query.tags():
            found = self._with_modalities(found)
            found = [each for each in found if satisfies(attributes_of(each), of_modalities)]
        return matching_metadata(query, found, self._newest_metadata)

    def _with_modalities(self, found: list[Match]) -> list[Match]:
        """Return the matches with the current Modalities of their studies, and with what was read for that."""
        studies = list({each.study.study: each.study for each in found}.values())
        contents_of = zip(studies, self._map_studies(self._counts.contents, studies), strict=True)
        current = {study.study: (modalities(contents.series), contents) for study, contents in contents_of}
        return [
            each._replace(modalities=found_modalities, contents=contents)
            for each in found
            for found_modalities, contents in (current[each.study.study],)
        ]


# --- planning -----------------------------------------------------------------------------------------------------


def _named(query: Query, level: Level) -> Sequence[str] | None:
    """Return the UIDs that the URL or a filter names at a level, None if neither names any."""
    of_url = {Level.STUDY: query.study, Level.SERIES: query.series}.get(level)
    if of_url is not None:
        return [of_url]
    for each in query.filters:
        if each.attribute.tag == UIDS[level] and isinstance(each.condition, OneOf):
            return sorted(each.condition.values)
    return None


def _had_modalities(study: StudyRow, filters: Sequence[Filter]) -> bool:
    """Return whether the series of a study ever had the Modalities of these filters."""
    return all(any(wanted.indexed.matches(value) for value in study.modalities) for wanted in filters)


def _in_url(query: Query, found: Match) -> bool:
    """Return whether an object is in the study and series of the URL."""
    of_url = (query.study, query.series)
    return all(named in (None, uid) for named, uid in zip(of_url, found.uids, strict=False))
