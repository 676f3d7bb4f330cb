"""The search planner: candidates from postings, the truth from rows.

`Query.matches` on the rows' attributes decides every result; postings only say where to look. What a query costs:

| query                                           | reads                                                              |
|-------------------------------------------------|--------------------------------------------------------------------|
| exact values at the result level (one or more)  | their posting lists leapfrog, newest first: about the shortest     |
|                                                 | list's entries up to the end of the page, however long the others  |
| range, prefix (`ABC*`), fuzzy name              | the smaller of: all entries in the range; the newest objects until |
|                                                 | the page is full (the two run in step, the first to finish wins)   |
| a filter of a level above the result            | the same, with the matching studies' or series' members expanded   |
| no filter, or only `*ABC`                       | the newest objects until the page is full                          |
| inside one study (URL or StudyInstanceUID)      | that study                                                         |

`offset` is walked over, since filters are applied first. No path reads an archive while a filter can drive.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from app.dicom.attributes import (
    INSTANCE_UID,
    MODALITIES_IN_STUDY,
    MODALITY,
    SERIES_UID,
    STUDY_UID,
    Element,
    Level,
)
from app.dicom.query import Filter, OneOf, Query
from app.storage import keys
from app.storage.candidates import LARGEST_CHUNK, Postings, entries, leapfrog, places, race, sequence_of
from app.storage.instances import Instances
from app.storage.ports import Item, Table
from app.storage.rows import InstanceRow, SeriesRow, StudyRow, member, visible
from app.storage.snapshot import Snapshot


class Candidate(NamedTuple):
    """Where a match may lie: the UIDs down to the result level, and the number it is ordered by."""

    sequence: int
    study: str
    series: str = ""
    instance: str = ""


class Found(NamedTuple):
    """A match: its row and the rows above it."""

    study: StudyRow
    series: SeriesRow | None = None
    instance: InstanceRow | None = None
    modalities: tuple[str, ...] | None = None
    """The study's Modalities; read for study results only, when the query filters on them."""

    @property
    def sequence(self) -> int:
        """The number that results are ordered by."""
        return (self.instance or self.series or self.study).created

    @property
    def level(self) -> Level:
        return Level.INSTANCE if self.instance else Level.SERIES if self.series else Level.STUDY

    @property
    def uids(self) -> tuple[str, ...]:
        """The UIDs down to the result level."""
        below = (self.series.series,) if self.series else ()
        return (self.study.study, *below, *((self.instance.instance,) if self.instance else ()))


class Search:
    """Answers queries on one partition, newest first."""

    def __init__(self, table: Table, instances: Instances) -> None:
        self._table = table
        self._instances = instances

    def run(self, partition: int, query: Query) -> list[Found]:
        """Return the page of matches that the query asks for."""
        return list(islice(self._matches(partition, query), query.offset, query.offset + query.limit))

    def _matches(self, partition: int, query: Query) -> Iterator[Found]:
        studies = _named_studies(query)
        if studies is not None:
            return self._inside(partition, query, studies)
        return race(
            self._verified(partition, query, self._stream(partition, query)),
            [self._gather(partition, query, each) for each in query.filters if not _streams(query, each)],
            lambda found: self._verified(partition, query, found),
            query.offset + query.limit,
        )

    # --- inside named studies ---

    def _inside(self, partition: int, query: Query, studies: Iterable[str]) -> Iterator[Found]:
        """Yield the matches inside these studies: their rows are read whole and sorted."""
        found = [each for study in studies for each in self._members(partition, query.level, study, query.series)]
        found.sort(key=lambda each: -each.sequence)
        return (each for each in self._with_modalities(partition, query, found) if query.matches(attributes_of(each)))

    def _members(self, partition: int, level: Level, study: str, series: str | None) -> list[Found]:
        if level is Level.STUDY:
            item = self._table.get(keys.study(partition, study))
            row = StudyRow.of(item, partition, study) if item else None
            return [Found(row)] if row and not row.closing else []
        if level is Level.SERIES:
            view = self._instances.series_of(partition, study)
            return [Found(view.study, row) for row in view.series.values()] if view.study else []
        view = self._instances.within(partition, study, series)
        if view.study is None:
            return []
        return [Found(view.study, view.series[row.series], row) for row in view.instances]

    # --- streams: newest first ---

    def _stream(self, partition: int, query: Query) -> Iterator[Candidate]:
        """Yield candidates newest first: where all exact filters agree, or simply the newest objects."""
        chunk = query.offset + query.limit
        unions = [
            [
                Postings(self._table, pk, keys.entries(value), chunk, _candidate)
                for pk, value in places(partition, query.level.word, each)
            ]
            for each in query.filters
            if _streams(query, each)
        ]
        newest = keys.newest_of(partition, query.level.word)
        return leapfrog(unions or [[Postings(self._table, newest, "", chunk, _candidate)]])

    # --- gathers: every object of a range, in no useful order ---

    def _gather(self, partition: int, query: Query, wanted: Filter) -> Iterator[Candidate]:
        """Yield every object of the result level that may satisfy one filter."""
        level = wanted.attribute.level
        for item in entries(self._table, partition, level.word, wanted):
            found = _candidate(item)
            if level is query.level:
                yield found
            else:
                yield from self._below(partition, query.level, found)

    def _below(self, partition: int, level: Level, above: Candidate) -> Iterator[Candidate]:
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

    def _verified(self, partition: int, query: Query, candidates: Iterable[Candidate]) -> Iterator[list[Found]]:
        """Yield batches of true matches, in the candidates' order; an empty batch when none of a chunk was one."""
        stream = iter(candidates)
        size = min(LARGEST_CHUNK, query.offset + query.limit)
        while chunk := list(islice(stream, size)):
            found = self._with_modalities(partition, query, self._rows(partition, query.level, chunk))
            yield [each for each in found if query.matches(attributes_of(each))]
            size = min(size * 2, LARGEST_CHUNK)

    def _rows(self, partition: int, level: Level, chunk: Sequence[Candidate]) -> list[Found]:
        """Return the rows of candidates, but for those that are gone or no longer filed under their number."""
        uids = [(each.study, each.series, each.instance)[:level] for each in chunk]
        snapshot = Snapshot.read(self._table, partition, uids)
        found = (_found(snapshot, each) for each in uids)
        return [row for row, each in zip(found, chunk, strict=True) if row and row.sequence == each.sequence]

    def _with_modalities(self, partition: int, query: Query, found: list[Found]) -> list[Found]:
        if not any(tag == MODALITIES_IN_STUDY for tag in query.tags()):
            return found
        known: dict[str, tuple[str, ...]] = {}
        for each in found:
            if each.study.study not in known:
                view = self._instances.series_of(partition, each.study.study)
                known[each.study.study] = modalities(view.series.values())
        return [each._replace(modalities=known[each.study.study]) for each in found]


def modalities(series: Iterable[SeriesRow]) -> tuple[str, ...]:
    """Return the distinct Modalities of a study's series, sorted."""
    found = {row.attributes[MODALITY]["Value"][0] for row in series if MODALITY in row.attributes}
    return tuple(sorted(value for value in found if value))


def attributes_of(found: Found) -> dict[str, Element]:
    """Return what a query is matched against: the attributes of the rows, and their UIDs."""
    attributes: dict[str, Element] = {**found.study.attributes, STUDY_UID: {"vr": "UI", "Value": [found.study.study]}}
    if found.modalities is not None:
        attributes[MODALITIES_IN_STUDY] = {"vr": "CS", "Value": list(found.modalities)}
    if found.series:
        attributes |= found.series.attributes
        attributes[SERIES_UID] = {"vr": "UI", "Value": [found.series.series]}
    if found.instance:
        attributes |= found.instance.attributes
        attributes[INSTANCE_UID] = {"vr": "UI", "Value": [found.instance.instance]}
    return attributes


# --- planning -----------------------------------------------------------------------------------------------------


def _named_studies(query: Query) -> list[str] | None:
    """Return the only studies that can match, if the URL or a StudyInstanceUID filter names them."""
    if query.study is not None:
        return [query.study]
    for each in query.filters:
        if each.attribute.tag == STUDY_UID and isinstance(each.condition, OneOf):
            return sorted(each.condition.values)
    return None


def _streams(query: Query, wanted: Filter) -> bool:
    """Tell whether a filter's postings lie newest first at the result level."""
    return wanted.attribute.level is query.level and isinstance(wanted.condition, OneOf)


def _candidate(item: Item) -> Candidate:
    """Return where a posting leads."""
    fields = item.fields
    return Candidate(sequence_of(item), fields["study"], fields.get("series", ""), fields.get("instance", ""))


# --- from candidates to matches -----------------------------------------------------------------------------------


def _found(snapshot: Snapshot, uids: tuple[str, ...]) -> Found | None:
    """Return the visible rows of an object given by its UIDs down to the result level."""
    study = snapshot.studies.get(uids[0])
    if study is None or study.closing:
        return None
    if len(uids) == Level.STUDY:
        return Found(study)
    series = snapshot.series.get((uids[0], uids[1]))
    if series is None or not member(study, series):
        return None
    if len(uids) == Level.SERIES:
        return Found(study, series.at(study.epoch))
    row = snapshot.instances.get((uids[0], uids[1], uids[2]))
    return Found(study, series.at(study.epoch), row.at(study.epoch)) if row and visible(study, series, row) else None
