"""A synthetic archive: the rows, postings and documents of many studies, without files, in seconds.

The values are realistic and follow from the number of a study alone. So two archives of one size have the same studies,
and a larger archive has the same distribution of values. The oldest study is stored first, as in a real archive.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import accumulate, islice
from random import Random
from typing import Any, Final

import orjson

from app.dicom.json.dataset import JsonElement
from app.dicom.validation.attributes import (
    CORE,
    INSTANCE_UID,
    MODALITY,
    SERIES_UID,
    SOP_CLASS,
    STUDY_UID,
    Level,
    tag_of,
)
from app.storage.records.documents import metadata_item
from app.storage.records.packed_documents import pack_dataset
from app.storage.records.posted_values import posted_values, united
from app.storage.records.postings import postings
from app.storage.records.rows import InstanceRow, SeriesRow, StudyRow, first_revision
from app.storage.table import keys
from app.storage.table.ports import Item, Put, Table


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_DAY: Final = date(2015, 1, 1)
DAYS: Final = 3650
"""The studies are spread evenly over so many days."""

FAMILY_NAMES: Final = _split(
    "Smith Jones Taylor Brown Williams Wilson Johnson Davies Robinson Wright Thompson Evans Walker White Roberts Green "
    "Hall Wood Jackson Clarke Müller Schmidt Schneider Fischer Weber Meyer Wagner Becker Schulz Hoffmann García López "
    "Martínez Rossi Ferrari Nowak Kowalski Nguyen Tran Kim Lee Park Chen Wang Zhang Tanaka Suzuki Sato Singh Kumar"
)
GIVEN_NAMES: Final = _split(
    "Anna Maria John Peter Laura Thomas Julia Michael Sarah David Emma Paul Lena Daniel Sofia Martin Eva Lucas Clara "
    "Robert Nina Stefan Ines Marco Yuki Hiroshi Mei Wei Minh Linh Priya Arjun Fatima Omar Leila Hassan Ingrid Lars"
)
SYLLABLES: Final = _split("ba ko ri ta ne mo lu si da vo ke pa wi zu ra fe go ni te la")
MODALITIES: Final = (("CT", 35, "2"), ("MR", 25, "4"), ("CR", 20, "1"), ("US", 14, "6.1"), ("MG", 6, "1.2"))
"""Modality, its share in percent, and the end of its SOP class."""

DESCRIPTIONS: Final = ("CHEST", "ABDOMEN", "HEAD W CONTRAST", "KNEE LEFT", "SPINE LUMBAR", "PELVIS", "FOLLOW UP")
_SOP_CLASSES: Final = "1.2.840.10008.5.1.4.1.1."
_SHARES: Final = list(accumulate(share for _, share, _ in MODALITIES))
_UIDS: Final = 2 * 10**37
_BATCH: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticStudy:
    """A study: its number from 0 on, its UID, and the values of its patient and of itself by keyword."""

    number: int
    uid: str
    modality: str
    sop_class: str
    values: dict[str, str]

    def series_uid(self) -> str:
        return f"{self.uid}.1"

    def instance_uid(self, instance: int) -> str:
        return f"{self.uid}.1.{instance + 1}"


def synthetic_study(number: int, of: int) -> SyntheticStudy:
    """Return the study with this number, from 0 on, of an archive of `of` studies. Three studies share two patients."""
    patient = number * 2 // 3
    person, own = Random(patient), Random(f"study {number}")
    day = FIRST_DAY + timedelta(days=number * DAYS // max(of, 1))
    modality, _, sop_class = MODALITIES[bisect(_SHARES, own.randrange(100))]
    family = person.choice(FAMILY_NAMES) if person.random() < 0.5 else _invented(person)
    middle = f"^{person.choice(GIVEN_NAMES)}" if person.random() < 0.3 else ""
    return SyntheticStudy(
        number=number,
        uid=f"2.25.{_UIDS + number}",
        modality=modality,
        sop_class=_SOP_CLASSES + sop_class,
        values={
            "PatientID": f"P{patient:07d}",
            "PatientName": f"{family}^{person.choice(GIVEN_NAMES)}{middle}",
            "PatientBirthDate": f"{FIRST_DAY - timedelta(days=person.randrange(30_000)):%Y%m%d}",
            "StudyDate": f"{day:%Y%m%d}",
            "PerformedProcedureStepStartDate": f"{day:%Y%m%d}",
            "StudyDescription": f"{modality} {own.choice(DESCRIPTIONS)}",
            "AccessionNumber": f"A{number:09d}",
            "StudyID": f"{number % 10_000}",
            "ReferringPhysicianName": f"{own.choice(FAMILY_NAMES)}^{own.choice(GIVEN_NAMES)}",
            "ManufacturerModelName": f"{modality} Scanner {number % 7}",
            "Modality": modality,
        },
    )


def _invented(random: Random) -> str:
    return "".join(random.choice(SYLLABLES) for _ in range(random.randrange(2, 5))).capitalize()


def fill(table: Table, partition: int, studies: int, *, instances: int = 1, documents: bool = True) -> None:
    """Store studies with one series of `instances` instances each, in a partition without studies.

    `documents`: the instances have metadata too. A search that needs it reports lost documents otherwise. The numbers
    of the instances are reserved, so that instances can be stored afterwards. No blob, feed entry or statistics is
    written.
    """
    first = table.add(keys.WATERMARK_COUNTER, "value", studies * instances) - studies * instances + 1
    items = (
        item
        for number in range(studies)
        for item in items_of(
            synthetic_study(number, studies), partition, first + number * instances, instances, documents=documents
        )
    )
    while batch := [Put(item) for item in islice(items, _BATCH)]:
        table.write_each(batch)


def items_of(
    study: SyntheticStudy, partition: int, created: int, instances: int = 1, *, documents: bool = True
) -> Iterator[Item]:
    """Yield all items of a study. Its first instance has the number `created`."""
    study_row, series_row = _parents(study, partition, created, instances)
    for row in (study_row, series_row):
        yield row.item
        yield from postings(row).values()
    for index in range(instances):
        instance_row = _instance_row(study, series_row, created + index, index)
        yield instance_row.item
        yield from postings(instance_row).values()
        if documents:
            yield metadata_item(instance_row, pack_dataset(orjson.dumps(_dataset(study, instance_row, index))))


def _parents(study: SyntheticStudy, partition: int, created: int, instances: int) -> tuple[StudyRow, SeriesRow]:
    posted = posted_values(_elements(study), study.sop_class)
    study_row = StudyRow(
        partition=partition,
        study=study.uid,
        created=created,
        revision=first_revision(created),
        attributes=_attributes(study, Level.STUDY),
        modalities=(study.modality.lower(),),
        posted=united({}, posted.get(Level.STUDY, {})),
    )
    series_row = SeriesRow(
        partition=partition,
        study=study.uid,
        series=study.series_uid(),
        of_study=created,
        created=created,
        revision=first_revision(created),
        attributes=_attributes(study, Level.SERIES),
        counted=instances,
        posted=united({}, posted.get(Level.SERIES, {})),
    )
    return study_row, series_row


def _instance_row(study: SyntheticStudy, series: SeriesRow, watermark: int, index: int) -> InstanceRow:
    return InstanceRow(
        partition=series.partition,
        study=series.study,
        series=series.series,
        instance=study.instance_uid(index),
        of_study=series.of_study,
        of_series=series.created,
        watermark=watermark,
        version=f"{watermark:032x}",
        size=530_000,
        sop_class=study.sop_class,
        transfer_syntax="1.2.840.10008.1.2.1",
        native=(1500, 524_288, 1, 1),
        digest="47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        revision=first_revision(watermark),
    )


def _element(keyword: str, value: str) -> tuple[str, JsonElement]:
    tag = tag_of(keyword)
    assert tag is not None
    vr = CORE[tag].vr if tag in CORE else "SH"
    return tag, {"vr": vr, "Value": [{"Alphabetic": value} if vr == "PN" else value]}


def _elements(study: SyntheticStudy) -> dict[str, JsonElement]:
    return dict(_element(keyword, value) for keyword, value in study.values.items())


def _attributes(study: SyntheticStudy, level: Level) -> dict[str, JsonElement]:
    """Return the attributes of a row of this level: those that have postings."""
    return {tag: each for tag, each in _elements(study).items() if tag in CORE and CORE[tag].level is level}


def _dataset(study: SyntheticStudy, row: InstanceRow, index: int) -> dict[str, Any]:
    """Return the metadata of an instance."""
    uids = {STUDY_UID: row.study, SERIES_UID: row.series, INSTANCE_UID: row.instance, SOP_CLASS: row.sop_class}
    found: dict[str, Any] = {tag: {"vr": "UI", "Value": [uid]} for tag, uid in uids.items()} | _elements(study)
    found |= {MODALITY: {"vr": "CS", "Value": [study.modality]}, "00200013": {"vr": "IS", "Value": [index + 1]}}
    return {tag: found[tag] for tag in sorted(found)}
