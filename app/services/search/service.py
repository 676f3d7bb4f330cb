"""Search: which attributes a match is returned with, and where their values come from (conformance §5.7)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Final

import orjson

from app.dicom.json.bulk_data_texts import without_bulk_data
from app.dicom.json.dataset import JsonDataset, JsonElement
from app.dicom.query.cursors import cursor
from app.dicom.query.matching import Query
from app.dicom.query.parameters import MAX_OFFSET, OPTIONS, Catalogue, parse_query
from app.dicom.validation.attributes import (
    ALL_FIELDS,
    AVAILABILITY,
    INDEXED,
    RETRIEVE_URL,
    SOP_CLASS,
    UIDS,
    Level,
    tag_of,
)
from app.services.links import Link
from app.services.parallel import ParallelMap
from app.services.policy import Policy
from app.services.search.computed import COMPUTED, ComputedAttributes, summary
from app.services.search.newest import NewestInstances
from app.storage.index.counts import InstanceCounts
from app.storage.search.matches import Match, attributes_of
from app.storage.search.planner import SearchPlanner
from app.storage.table.partitions import Partition
from app.storage.tags.query_tags import QueryTagStore

_UIDS: Final = frozenset(UIDS.values())
_UIDS_DOWN_TO: Final = {level: frozenset(UIDS[each] for each in Level if each <= level) for level in Level}
_INDEX: Final = {
    level: _UIDS_DOWN_TO[level] | {each.tag for above in Level if above <= level for each in INDEXED[above]}
    for level in Level
}
_INDEX[Level.INSTANCE] |= {SOP_CLASS}
"""What the index rows have of a match: attributes of its level and of the levels above. The rest is in metadata."""

_ONLINE: Final[JsonElement] = {"vr": "CS", "Value": ["ONLINE"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchReport:
    """A page of matches, newest first: `documents` yields up to `count` DICOM JSON objects.

    Each document is read when it is asked for. A match that is deleted while the page is read is left out. A lost
    document raises `LostData` while `documents` is read. `next` is the cursor of the next page, "" if no more objects
    match.
    `erroneous` names the extended query tags in filters that have errors in the partition, as the client wrote them.
    """

    count: int
    documents: Iterator[bytes]
    next: str = ""
    erroneous: tuple[str, ...] = ()


class Search:
    """Answers searches of one partition, by the attributes of the standard and by extended query tags.

    `parallel` makes the reads that each match of a page needs. `max_offset` is the highest offset that is permitted.
    """

    def __init__(
        self,
        *,
        planner: SearchPlanner,
        counts: InstanceCounts,
        newest: NewestInstances,
        query_tags: QueryTagStore,
        parallel: ParallelMap = map,
        max_offset: int = MAX_OFFSET,
    ) -> None:
        self._planner = planner
        self._max_offset = max_offset
        self._query_tags = query_tags
        self._newest = newest
        self._computed = ComputedAttributes(counts, parallel)

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
        query = parse_query(
            Level[level.upper()],
            study,
            series,
            params,
            self._catalogue(params),
            max_offset=self._max_offset,
            searched=str(partition.key),
        )
        matches, more = self._planner.run(partition.key, query)
        wanted = _wanted(query, policy)
        computed = self._computed.of(query.level, matches, wanted)
        datasets = self._datasets(partition.key, query.level, matches, wanted, policy)
        documents = (
            _text(_result(match, dataset, counts, wanted, policy, link), has_metadata=bool(dataset))
            for match, dataset, counts in zip(matches, datasets, computed, strict=True)
            if dataset is not None
        )
        return SearchReport(
            count=len(matches),
            documents=documents,
            next=cursor(query, matches[-1].sequence) if more else "",
            erroneous=self._erroneous(partition, query),
        )

    def _catalogue(self, params: Iterable[tuple[str, str]]) -> Catalogue:
        """Return what can be filtered on. The extended query tags are read only if a name is not a core attribute."""
        core = Catalogue()
        names = (name for name, _ in params if name.lower() not in OPTIONS)
        return core if all(tag_of(name) in core.attributes for name in names) else self._query_tags.read().catalogue

    def _erroneous(self, partition: Partition, query: Query) -> tuple[str, ...]:
        extended = (each for each in query.filters if each.attribute.number)
        return tuple(each.name for each in extended if self._query_tags.has_errors(each.attribute.key, partition.name))

    # --- attributes from metadata ---

    def _datasets(
        self, partition: int, level: Level, matches: Sequence[Match], wanted: frozenset[str], policy: Policy
    ) -> Iterator[JsonDataset | None]:
        """Yield the wanted attributes from the metadata of each match's newest instance, one document at a time.

        None stands for a match that was deleted meanwhile. If the index rows have all wanted attributes, no metadata
        is read.
        """
        indexed = _INDEX if policy.from_index else _UIDS_DOWN_TO
        if not wanted - COMPUTED[level] - indexed[level]:
            yield from repeat({}, len(matches))
            return
        for dataset in self._newest.metadata(partition, matches, wanted):
            yield None if dataset is None else _excerpt(dataset, wanted)


def _excerpt(dataset: JsonDataset, wanted: frozenset[str]) -> JsonDataset:
    """Return the wanted attributes that have a value."""
    return {tag: element for tag, element in dataset.items() if tag in wanted and element.get("Value")}


def _result(
    match: Match, dataset: JsonDataset, computed: JsonDataset, wanted: frozenset[str], policy: Policy, link: Link
) -> JsonDataset:
    """Return one match with its attributes in the order of tags, as DICOM JSON requires (PS3.18 §F.2.2).

    A value from the index replaces one from the newest instance's metadata, and a computed one replaces both.
    """
    from_index = wanted if policy.from_index else wanted & _UIDS
    result = dataset | {tag: element for tag, element in attributes_of(match).items() if tag in from_index}
    result |= computed
    if policy.computed_links:
        result[RETRIEVE_URL] = {"vr": "UR", "Value": [link(*match.uids)]}
        result[AVAILABILITY] = _ONLINE
    return {tag: result[tag] for tag in sorted(result)}


def _text(result: JsonDataset, *, has_metadata: bool) -> bytes:
    """Return the JSON text of one match. Only metadata has binary elements, which are left out."""
    text = orjson.dumps(result)
    return without_bulk_data(text) if has_metadata else text


def _wanted(query: Query, policy: Policy) -> frozenset[str]:
    """Return the tags to return: defaults of the levels shown, filters, UIDs of the URL, included fields, summary."""
    top = Level.INSTANCE if query.series else Level.SERIES if query.study else Level.STUDY
    shown = [level for level in Level if min(top, query.level) <= level <= query.level]
    named = [UIDS[Level.STUDY]] if query.study else []
    if query.series:
        named.append(UIDS[Level.SERIES])
    fields = [policy.defaults, ALL_FIELDS] if query.include_all else [policy.defaults]
    asked = query.include.union(path.partition(".")[0] for path in query.tags())  # a sequence is returned whole
    counts = summary(query.level, asked, include_all=query.include_all)
    return frozenset().union(*(each[level] for each in fields for level in shown), named, asked, counts)
