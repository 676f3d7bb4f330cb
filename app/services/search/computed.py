"""Attributes that a search computes for its matches: counts, modalities, stored transfer syntax (conformance §5.8)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import repeat
from typing import Final

from app.dicom.json.dataset import JsonDataset, JsonElement
from app.dicom.validation.attributes import (
    AVAILABLE_TRANSFER_SYNTAX,
    MODALITIES_IN_STUDY,
    MODALITY,
    SERIES_INSTANCE_COUNT,
    STUDY_INSTANCE_COUNT,
    STUDY_SERIES_COUNT,
    Level,
)
from app.services.parallel import ParallelMap
from app.storage.index.counts import InstanceCounts
from app.storage.records.rows import SeriesRow
from app.storage.search.matches import Match, modalities

_NONE: Final = frozenset[str]()

_SUMMARY: Final = {
    Level.STUDY: frozenset({MODALITIES_IN_STUDY, STUDY_SERIES_COUNT, STUDY_INSTANCE_COUNT}),
    Level.SERIES: frozenset({SERIES_INSTANCE_COUNT}),
    Level.INSTANCE: _NONE,
}
"""Attributes of the members that viewers show in lists. Viewers name only Modality, but read these too."""

_ASKS_FOR_SUMMARY: Final = {level: tags | {MODALITY} if tags else _NONE for level, tags in _SUMMARY.items()}
"""If a query filters by one of these tags or includes it, its results have the whole summary."""

COMPUTED: Final = {
    Level.STUDY: _SUMMARY[Level.STUDY] | {MODALITY},
    Level.SERIES: _SUMMARY[Level.SERIES],
    Level.INSTANCE: frozenset({AVAILABLE_TRANSFER_SYNTAX}),
}
"""The attributes that are computed at each level. Other levels return them only if they are in the metadata."""


def summary(level: Level, asked: frozenset[str], *, include_all: bool) -> frozenset[str]:
    """Return the summary tags that a search returns. `asked` are the tags of its filters and of `includefield`."""
    return _SUMMARY[level] if include_all or asked & _ASKS_FOR_SUMMARY[level] else _NONE


class ComputedAttributes:
    """Computes attributes of matches. `parallel` makes the reads of the matches."""

    def __init__(self, counts: InstanceCounts, parallel: ParallelMap) -> None:
        self._counts = counts
        self._parallel = parallel

    def of(self, level: Level, matches: Sequence[Match], wanted: frozenset[str]) -> Iterable[JsonDataset]:
        """Return the wanted attributes of each match, all of its level. Those without a value are left out."""
        wanted &= COMPUTED[level]
        if not wanted:
            return repeat({}, len(matches))
        if level is Level.STUDY:
            return self._parallel(partial(self._of_study, wanted), matches)
        if level is Level.SERIES:
            return self._of_series(matches)
        return map(_of_instance, matches)

    def _of_study(self, wanted: frozenset[str], match: Match) -> JsonDataset:
        contents = match.contents or self._counts.contents(match.study)
        computed = {
            STUDY_INSTANCE_COUNT: _number(self._counts.of_study(contents)),
            STUDY_SERIES_COUNT: _number(len(contents.series)),
        }
        known = modalities(contents.series)
        if known:
            computed[MODALITIES_IN_STUDY] = computed[MODALITY] = {"vr": "CS", "Value": list(known)}
        return {tag: element for tag, element in computed.items() if tag in wanted}

    def _of_series(self, matches: Sequence[Match]) -> list[JsonDataset]:
        """Return the number of instances of each series. This is one read for each study."""
        by_study: dict[str, list[SeriesRow]] = {}
        for row in (match.series for match in matches if match.series):
            by_study.setdefault(row.study, []).append(row)
        counted = zip(by_study.values(), self._parallel(self._counts.of_series, by_study.values()), strict=True)
        numbers = {row.created: number for rows, found in counted for row, number in zip(rows, found, strict=True)}
        return [{SERIES_INSTANCE_COUNT: _number(numbers[match.sequence])} for match in matches]


def _of_instance(match: Match) -> JsonDataset:
    syntax = match.instance.transfer_syntax if match.instance else ""
    return {AVAILABLE_TRANSFER_SYNTAX: {"vr": "UI", "Value": [syntax]}} if syntax else {}


def _number(value: int) -> JsonElement:
    return {"vr": "IS", "Value": [value]}
