"""Search: which attributes of a match are told, and where their values come from (conformance §5.7, "Returned attributes")."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import Any, Final

import orjson

from app.dicom.json.dataset import JsonElement
from app.dicom.query.matching import Query
from app.dicom.query.parameters import OPTIONS, Catalogue, parse_query
from app.dicom.validation.attributes import (
    ALL_FIELDS,
    AVAILABILITY,
    INDEXED,
    MODALITIES_IN_STUDY,
    RETRIEVE_URL,
    SERIES_INSTANCE_COUNT,
    STUDY_INSTANCE_COUNT,
    STUDY_SERIES_COUNT,
    UIDS,
    Level,
    tag_of,
)
from app.services.parallel import ParallelMap
from app.services.policy import Policy
from app.storage.index.instances import Instances
from app.storage.records.documents import Documents
from app.storage.records.rows import InstanceRow
from app.storage.search.matches import Match, attributes_of, modalities
from app.storage.search.planner import SearchPlanner
from app.storage.table.partitions import Partition
from app.storage.tags.query_tags import QueryTagStore

Link = Callable[..., str]
"""link(study, series=None, instance=None) -> absolute URL."""

ResultDataset = dict[str, JsonElement]

_UIDS: Final = frozenset(UIDS.values())
_UIDS_DOWN_TO: Final = {level: frozenset(UIDS[each] for each in Level if each <= level) for level in Level}
_INDEX: Final = {
    level: _UIDS_DOWN_TO[level] | {each.tag for above in Level if above <= level for each in INDEXED[above]}
    for level in Level
}
"""What the index rows know of a match: its own attributes and its parents'. Of what is below, the file tells."""

_ONLINE: Final[JsonElement] = {"vr": "CS", "Value": ["ONLINE"]}

_COMPUTED: Final = {
    Level.STUDY: frozenset({MODALITIES_IN_STUDY, STUDY_SERIES_COUNT, STUDY_INSTANCE_COUNT}),
    Level.SERIES: frozenset({SERIES_INSTANCE_COUNT}),
    Level.INSTANCE: frozenset[str](),
}
"""What is counted anew for results of a level; elsewhere these come back only if they are in the file."""


@dataclass(frozen=True, slots=True)
class SearchReport:
    """A page of matches as DICOM JSON datasets, newest first.

    `erroneous` names the extended query tags filtered on whose index is known to be incomplete, as the client typed.
    """

    rows: list[ResultDataset]
    erroneous: tuple[str, ...] = ()


class Search:
    """Answers searches of one partition, by the core attributes and by extended query tags.

    `spread` makes the reads that each match of a page needs of its own: counts, its newest instance.
    """

    def __init__(
        self,
        planner: SearchPlanner,
        instances: Instances,
        documents: Documents,
        query_tags: QueryTagStore,
        spread: ParallelMap = map,
    ) -> None:
        self._planner = planner
        self._instances = instances
        self._documents = documents
        self._query_tags = query_tags
        self._spread = spread

    def __call__(
        self,
        partition: Partition,
        level: str,
        study: str | None,
        series: str | None,
        params: Iterable[tuple[str, str]],
        policy: Policy,
        link: Link,
    ) -> SearchReport:
        """Return the matches at `level` (`study`, `series`, `instance`) below the study and series of the URL.

        `params` are the decoded query pairs. Raises `InvalidQuery` and `InvalidParameter`.
        """
        params = list(params)
        query = parse_query(Level[level.upper()], study, series, params, self._catalogue(params))
        found = self._planner.run(partition.key, query)
        wanted = _wanted(query, policy)
        indexed = _INDEX if policy.from_index else _UIDS_DOWN_TO
        files = wanted - _COMPUTED[query.level] - indexed[query.level]
        datasets = self._representatives(partition.key, found) if files else [{}] * len(found)
        counted = self._counted(found, wanted & _COMPUTED[query.level])
        parts = zip(found, datasets, counted, strict=True)
        return SearchReport([_row(*each, wanted, policy, link) for each in parts], self._erroneous(query))

    def _catalogue(self, params: Iterable[tuple[str, str]]) -> Catalogue:
        """Return what may be filtered on now. The extended query tags are read only if something else is named."""
        core = Catalogue()
        names = (name for name, _ in params if name.lower() not in OPTIONS)
        return core if all(tag_of(name) in core.attributes for name in names) else self._query_tags.read().catalogue

    def _erroneous(self, query: Query) -> tuple[str, ...]:
        extended = (each for each in query.filters if each.attribute.number)
        return tuple(each.name for each in extended if self._query_tags.has_errors(each.attribute.key))

    # --- computed attributes ---

    def _counted(self, found: Sequence[Match], wanted: frozenset[str]) -> Iterable[ResultDataset]:
        return self._spread(partial(self._computed, wanted), found) if wanted else repeat({}, len(found))

    def _computed(self, wanted: frozenset[str], found: Match) -> ResultDataset:
        partition, study = found.study.partition, found.study.study
        computed: dict[str, Any] = {}
        if STUDY_INSTANCE_COUNT in wanted:
            computed[STUDY_INSTANCE_COUNT] = _number(self._instances.count(partition, study))
        if SERIES_INSTANCE_COUNT in wanted and found.series:
            computed[SERIES_INSTANCE_COUNT] = _number(self._instances.count(partition, study, found.series.series))
        known = found.modalities
        if STUDY_SERIES_COUNT in wanted or (MODALITIES_IN_STUDY in wanted and known is None):
            series = self._instances.visible_series(found.study)
            known = modalities(series)
            if STUDY_SERIES_COUNT in wanted:
                computed[STUDY_SERIES_COUNT] = _number(len(series))
        if MODALITIES_IN_STUDY in wanted and known:
            computed[MODALITIES_IN_STUDY] = {"vr": "CS", "Value": list(known)}
        return computed

    # --- representative instances ---

    def _representatives(self, partition: int, found: Sequence[Match]) -> list[ResultDataset]:
        """Return the metadata of each match's newest instance; empty if it vanished meanwhile."""
        told = self._by_newest_document(partition, [each.study.study for each in found if each.series is None])
        known = [each.instance or (told.get(each.study.study) if each.series is None else None) for each in found]
        unknown = (each for each, row in zip(found, known, strict=True) if row is None)
        newest = iter(self._spread(partial(self._newest, partition), unknown))
        rows = [row or next(newest) for row in known]
        documents = self._documents.by_watermark([row for row in rows if row])
        return [orjson.loads(documents.get(row.watermark, b"{}")) if row else {} for row in rows]

    def _by_newest_document(self, partition: int, studies: Sequence[str]) -> dict[str, InstanceRow]:
        """Return studies' newest instances: one query each, one batched read for all.

        Left out are those whose newest document is of no current version.
        """
        told = self._spread(partial(self._documents.newest_of, partition), studies)
        newest = {study: found for study, found in zip(studies, told, strict=True) if found}
        uids = ((study, found.series, found.instance) for study, found in newest.items())
        rows = self._instances.many(partition, uids).values()
        return {row.study: row for row in rows if row.watermark == newest[row.study].watermark}

    def _newest(self, partition: int, found: Match) -> InstanceRow | None:
        """Return the newest instance of a study or series: all their rows are read."""
        series = found.series.series if found.series else None
        rows = self._instances.view(partition, found.study.study, series).instances
        return max(rows, key=lambda row: row.watermark, default=None)


def _row(
    found: Match, dataset: ResultDataset, counted: ResultDataset, wanted: frozenset[str], policy: Policy, link: Link
) -> ResultDataset:
    """Return what is told of one match: from the newest instance's file, over it from the index, counted anew.

    In the order of tags, as DICOM JSON has to be (PS3.18 §F.2.2).
    """
    from_index = wanted if policy.from_index else _UIDS
    told = {tag: element for tag, element in dataset.items() if tag in wanted and element.get("Value")}
    told |= {tag: element for tag, element in attributes_of(found).items() if tag in from_index & wanted}
    told |= counted
    if policy.computed_links:
        told[RETRIEVE_URL] = {"vr": "UR", "Value": [link(*found.uids)]}
        told[AVAILABILITY] = _ONLINE
    return {tag: told[tag] for tag in sorted(told)}


def _wanted(query: Query, policy: Policy) -> frozenset[str]:
    """Return the tags to tell: defaults of the levels shown, filters, URL UIDs, included fields."""
    top = Level.INSTANCE if query.series else Level.SERIES if query.study else Level.STUDY
    shown = [level for level in Level if min(top, query.level) <= level <= query.level]
    named = [UIDS[Level.STUDY]] if query.study else []
    if query.series:
        named.append(UIDS[Level.SERIES])
    fields = [policy.defaults, ALL_FIELDS] if query.include_all else [policy.defaults]
    return frozenset().union(*(each[level] for each in fields for level in shown), query.tags(), named, query.include)


def _number(value: int) -> JsonElement:
    return {"vr": "IS", "Value": [value]}
