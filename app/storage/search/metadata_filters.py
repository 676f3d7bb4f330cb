"""Filters whose values only metadata has: matches are verified on the metadata of newest instances (conformance §5.3).

All other filters are verified before, on rows. So metadata is read only of objects that satisfy all other filters. Some
of these attributes have postings (`records/posted_values.py`). The others select no candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from app.dicom.json.dataset import JsonDataset
from app.dicom.query.dataset_values import element_of
from app.dicom.query.matching import Filter, Query
from app.dicom.validation.attributes import Level
from app.storage.search.matches import Match

NewestMetadata = Callable[[int, Sequence[Match]], Iterable[JsonDataset | None]]
"""Returns the metadata of the newest instance of each match in a partition, None for a match that was deleted."""


def matching_metadata(query: Query, found: Sequence[Match], newest_metadata: NewestMetadata) -> list[Match]:
    """Return the matches that satisfy the filters by metadata. A match that was deleted meanwhile satisfies none."""
    matches = list(found)
    by_metadata = [each for each in query.filters if each.attribute.in_metadata]
    for level in Level if by_metadata else ():
        filters = [each for each in by_metadata if each.attribute.level is level]
        if not filters or not matches:
            continue
        holders = {each.uids[:level]: each.at(level) for each in matches}
        datasets = newest_metadata(matches[0].study.partition, list(holders.values()))
        satisfying = {
            uids
            for uids, dataset in zip(holders, datasets, strict=True)
            if dataset is not None and _satisfies(dataset, filters)
        }
        matches = [each for each in matches if each.uids[:level] in satisfying]
    return matches


def _satisfies(dataset: JsonDataset, filters: Sequence[Filter]) -> bool:
    return all(each.matches({each.attribute.key: element_of(dataset, each.attribute)}) for each in filters)
