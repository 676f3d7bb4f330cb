"""A match of a search: its rows, and the attributes that a query is compared with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from app.dicom.json.dataset import JsonElement
from app.dicom.validation.attributes import (
    INSTANCE_UID,
    MODALITIES_IN_STUDY,
    MODALITY,
    SERIES_UID,
    SOP_CLASS,
    STUDY_UID,
    Level,
)
from app.storage.index.counts import StudyContents
from app.storage.records.rows import InstanceRow, SeriesRow, StudyRow, is_visible_instance, is_visible_series
from app.storage.records.snapshot import Snapshot


class Match(NamedTuple):
    """A study, series or instance that matches: its row and the rows above it."""

    study: StudyRow
    series: SeriesRow | None = None
    instance: InstanceRow | None = None
    modalities: tuple[str, ...] | None = None
    """The Modalities of the series of the study; None unless the query filters by ModalitiesInStudy."""
    contents: StudyContents | None = None
    """The series of the study and their counts, if the search has read them."""

    @property
    def sequence(self) -> int:
        """The number that results are ordered by, highest first."""
        return (self.instance or self.series or self.study).created

    def at(self, level: Level) -> Match:
        """Return the study or series of this match, or the match itself at its own level."""
        series = self.series if level >= Level.SERIES else None
        return Match(self.study, series, self.instance if level is Level.INSTANCE else None)

    @property
    def level(self) -> Level:
        return Level.INSTANCE if self.instance else Level.SERIES if self.series else Level.STUDY

    @property
    def uids(self) -> tuple[str, ...]:
        """The UIDs down to the result level."""
        below = (self.series.series,) if self.series else ()
        return (self.study.study, *below, *((self.instance.instance,) if self.instance else ()))


def match_in(snapshot: Snapshot, uids: tuple[str, ...]) -> Match | None:
    """Return the rows of a series or instance, given by its UIDs down to its level; None if it is not visible."""
    study = snapshot.studies.get(uids[0])
    if study is None or study.closing:
        return None
    series = snapshot.series.get((uids[0], uids[1]))
    if series is None or not is_visible_series(study, series):
        return None
    if len(uids) == Level.SERIES:
        return Match(study, series.after_update(study.update_id))
    row = snapshot.instances.get((uids[0], uids[1], uids[2]))
    return (
        Match(study, series.after_update(study.update_id), row.after_update(study.update_id))
        if row and is_visible_instance(study, series, row)
        else None
    )


def modalities(series: Iterable[SeriesRow]) -> tuple[str, ...]:
    """Return the distinct Modalities of series, sorted."""
    found = {row.attributes[MODALITY]["Value"][0] for row in series if MODALITY in row.attributes}
    return tuple(sorted(value for value in found if value))


def attributes_of(found: Match) -> dict[str, JsonElement]:
    """Return the attributes that a query is compared with: those of the rows, and the UIDs of the rows."""
    attributes: dict[str, JsonElement] = {
        **found.study.attributes,
        STUDY_UID: {"vr": "UI", "Value": [found.study.study]},
    }
    if found.modalities is not None:
        attributes[MODALITIES_IN_STUDY] = {"vr": "CS", "Value": list(found.modalities)}
    if found.series:
        attributes |= found.series.attributes
        attributes[SERIES_UID] = {"vr": "UI", "Value": [found.series.series]}
    if found.instance:
        attributes |= found.instance.attributes
        attributes[INSTANCE_UID] = {"vr": "UI", "Value": [found.instance.instance]}
        if found.instance.sop_class:
            attributes[SOP_CLASS] = {"vr": "UI", "Value": [found.instance.sop_class]}
    return attributes
