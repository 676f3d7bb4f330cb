"""The studies of several partitions that were stored last."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from heapq import nlargest
from typing import Final, NamedTuple

from app.dicom.json.dataset import JsonDataset
from app.dicom.query.matching import Query
from app.dicom.validation.attributes import Level
from app.services.parallel import ParallelMap
from app.services.search.computed import ComputedAttributes, summary
from app.storage.index.counts import InstanceCounts
from app.storage.search.matches import Match, attributes_of
from app.storage.search.planner import SearchPlanner
from app.storage.table.partitions import Partition

_SUMMARY: Final = summary(Level.STUDY, frozenset(), include_all=True)


class LatestStudy(NamedTuple):
    """A study and its partition. `attributes` are those of the index row, and the counts and modalities."""

    partition: Partition
    attributes: JsonDataset


class LatestStudies:
    """Finds the newest studies of partitions.

    It reads one page of each partition, and for each study of the result its counts. No metadata is read.
    """

    def __init__(self, planner: SearchPlanner, counts: InstanceCounts, parallel: ParallelMap = map) -> None:
        self._planner = planner
        self._parallel = parallel
        self._computed = ComputedAttributes(counts, parallel)

    def __call__(self, partitions: Sequence[Partition], limit: int) -> list[LatestStudy]:
        """Return at most `limit` studies, the one that was stored last first."""
        pages = self._parallel(partial(self._newest, limit), partitions)
        found = [(each, match) for each, matches in zip(partitions, pages, strict=True) for match in matches]
        newest = nlargest(limit, found, key=lambda each: each[1].sequence)
        computed = self._computed.of(Level.STUDY, [match for _, match in newest], _SUMMARY)
        return [
            LatestStudy(partition, attributes_of(match) | counts)
            for (partition, match), counts in zip(newest, computed, strict=True)
        ]

    def _newest(self, limit: int, partition: Partition) -> list[Match]:
        return self._planner.run(partition.key, Query(level=Level.STUDY, limit=limit)).matches
