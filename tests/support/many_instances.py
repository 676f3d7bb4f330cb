"""Archives of many instances, filled and read without HTTP."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import orjson

from app import bootstrap
from app.bootstrap.engines import Engine, build_engine
from app.bootstrap.recovery import build_rebuild, open_empty_archive
from app.services import Services
from app.services.policy import V2
from app.settings import Settings
from app.storage.records.packed_documents import whole
from tests.support.instances import make_instance
from tests.support.recovered import without_table
from tests.support.recovery import checked, found

IN_SERIES = 50
TOGETHER = 100
"""Instances in one store."""

QUERIES: tuple[tuple[str, dict[str, str]], ...] = (
    ("study", {"PatientID": "P7"}),
    ("study", {"PatientName": "Doe", "fuzzymatching": "true"}),
    ("study", {"StudyDate": "20240105-20240109", "includefield": "00201206,00201208"}),
    ("study", {"ModalitiesInStudy": "MR"}),
    ("series", {"Modality": "MR", "includefield": "00201209"}),
    ("instance", {}),
)


def filled(services: Services, count: int) -> None:
    """Store instances of several studies, two series in each."""
    partition = services.partitions.resolve("clinic-a", create=True)
    for start in range(0, count, TOGETHER):
        report = services.store(
            partition, (BytesIO(one(number)) for number in range(start, start + TOGETHER)), None, V2
        )
        assert len(report.stored) == TOGETHER


def one(number: int) -> bytes:
    """Return one instance. The study, the series and the values follow from its number."""
    series = number // IN_SERIES
    study = series // 2
    return make_instance(
        study=f"2.25.1{study}",
        series=f"2.25.2{series}",
        instance=f"2.25.3{number}",
        patient_id=f"P{study}",
        patient_name=f"{'Doe' if study % 3 else 'Roe'}^Nr{study}",
        modality="CT" if series % 2 else "MR",
        study_date=f"202401{study % 28 + 1:02d}",
        pixel=False,
    )


def answers(services: Services, count: int) -> dict[str, Any]:
    """Return what searches find, some metadata and files, and the statistics."""
    partition = services.partitions.resolve("clinic-a", create=False)
    result: dict[str, Any] = {"statistics": services.partitions.statistics.of(partition)}
    for level, query in QUERIES:
        given = list({"limit": "200", **query}.items())
        report = services.search(partition, level, None, None, given, V2, lambda *uids: "/".join(uids))
        rows = [orjson.loads(whole(document)) for document in report.documents]
        result[f"{level} {query}"] = sorted(orjson.dumps(row, option=orjson.OPT_SORT_KEYS) for row in rows)
    for number in range(0, count, count // 20):
        series = number // IN_SERIES
        uids = (f"2.25.1{series // 2}", f"2.25.2{series}", f"2.25.3{number}")
        (document,) = services.retrieve.metadata(partition, *uids).documents
        result[f"metadata {number}"] = orjson.loads(whole(document))
        (row,) = services.retrieve.instances(partition, *uids)
        with services.retrieve.open(row) as stream:
            result[f"file {number}"] = stream.read()
    return result


def rebuild_answers_as_before(
    settings: Settings, engine: Engine, folder: Path, count: int, *, check: bool = True
) -> None:
    """Fill an archive, make its index again, and compare. `check` checks the new one too."""
    services = bootstrap.build_services(settings, engine)
    filled(services, count)
    before = answers(services, count)
    settings = without_table(settings, folder)
    archive = open_empty_archive(settings, bootstrap.open_layout)
    report = build_rebuild(settings, archive, show=lambda *_: None).run()
    assert (report.instances, report.failures) == (count, 0)
    new_engine = build_engine(settings)
    assert answers(bootstrap.build_services(settings, new_engine), count) == before
    if check:
        checked_now = checked(settings, new_engine)
        assert found(checked_now) == {}
        assert checked_now.checked["instances"] == count
