"""What the pages of actions say about the study, the series or the instance that they act on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import orjson

from app.errors import NotFound
from app.services.policy import V2
from app.web.routing.context import PartitionContext
from app.web.site.attributes import Attributes

_LEVELS = ("study", "series", "instance")
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
_INCLUDED = (
    ("StudyDescription", "StudyDate", "PatientBirthDate", "ModalitiesInStudy", "NumberOfStudyRelatedInstances"),
    ("SeriesDescription", "SeriesNumber", "Modality", "NumberOfSeriesRelatedInstances"),
    ("InstanceNumber",),
)


class NamedObject(NamedTuple):
    """A study, a series or an instance with its facts in words, and the number of its instances."""

    attributes: Attributes
    facts: list[tuple[str, str]]
    instances: int


def find_object(
    context: PartitionContext,
    study: str,
    series: str | None = None,
    instance: str | None = None,
    included: Iterable[str] = (),
) -> NamedObject:
    """Return what a search finds. `included` are the keywords of further attributes. Raises `NotFound`."""
    uids = [uid for uid in (study, series, instance) if uid]
    level = len(uids) - 1
    fields = [keyword for keywords in _INCLUDED[: level + 1] for keyword in keywords]
    parameters = [(_UIDS[level], uids[-1]), *(("includefield", keyword) for keyword in (*fields, *included))]
    above = (*uids[:level], None, None)
    report = context.services.search(
        context.partition, _LEVELS[level], above[0], above[1], parameters, V2, context.links.resource
    )
    document = next(report.documents, None)
    if document is None:
        raise NotFound(_LEVELS[level])
    attributes = Attributes(orjson.loads(document))
    return NamedObject(attributes, list(_facts(attributes)), _instances(attributes, level))


def _facts(attributes: Attributes) -> Iterable[tuple[str, str]]:
    named = (
        ("Patient", attributes.first("PatientName")),
        ("Patient ID", attributes.first("PatientID")),
        ("Birth date", attributes.date("PatientBirthDate")),
        ("Study", attributes.first("StudyDescription")),
        ("Study date", attributes.date("StudyDate")),
        ("Accession number", attributes.first("AccessionNumber")),
        ("Series", attributes.first("SeriesDescription")),
        ("Series number", attributes.first("SeriesNumber")),
        ("Modality", attributes.first("Modality") or attributes.text("ModalitiesInStudy")),
        ("Instance number", attributes.first("InstanceNumber")),
    )
    return ((name, value) for name, value in named if value)


def _instances(attributes: Attributes, level: int) -> int:
    if level == 2:
        return 1
    return attributes.count(("NumberOfStudyRelatedInstances", "NumberOfSeriesRelatedInstances")[level])
