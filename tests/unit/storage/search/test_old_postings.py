"""Postings whose study was deleted, or deleted and stored again: no page has or counts them (conformance §5.6)."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import orjson
import pytest

from app import bootstrap
from app.bootstrap.engines import Engine
from app.services.policy import V2
from app.settings import Settings
from app.storage.records.packed_documents import whole
from app.storage.records.periods import periods_of
from app.storage.table import keys
from app.storage.table.ports import Item, Key, Put
from tests.support.instances import make_instance

DATE = "20240115"
STUDIES = ["2.25.11", "2.25.12", "2.25.13"]


@pytest.mark.parametrize(
    "filters", [{}, {"StudyDate": DATE}, {"StudyDate": "20240101-20240131"}, {"StudyInstanceUID": ",".join(STUDIES)}]
)
def test_pages_leave_out_postings_of_earlier_studies(
    settings: Settings, engine: Engine, filters: dict[str, str]
) -> None:
    services = bootstrap.build_services(settings, engine)
    partition = services.partitions.resolve("clinic", create=True)
    for study in STUDIES:
        file = make_instance(study=study, series=f"{study}.1", instance=f"{study}.2", pixel=False, study_date=DATE)
        assert services.store(partition, [BytesIO(file)], None, V2).stored
    # 2.25.12 was stored and deleted twice before, and 2.25.14 once. A kill -9 left their postings.
    values = keys.values(partition.key, "study", "00080020")
    for number, study in ((9_000, "2.25.12"), (9_001, "2.25.14"), (9_002, "2.25.12")):
        lists = [
            (keys.newest_of(partition.key, "study"), keys.newest(number)),
            (values, keys.entry(DATE, number)),
            *(
                (keys.periods(partition.key, "study", "00080020"), keys.entry(each, number))
                for each in periods_of(DATE)
            ),
        ]
        engine.table.write_each(Put(Item(Key(pk, sk), {"study": study})) for pk, sk in lists)

    def page(**options: str) -> list[str]:
        given = list((filters | options).items())
        report = services.search(partition, "study", None, None, given, V2, lambda *uids: "/".join(uids))
        rows: list[dict[str, Any]] = [orjson.loads(whole(each)) for each in report.documents]
        return [row["0020000D"]["Value"][0] for row in rows]

    assert page() == STUDIES[::-1]
    assert page(limit="1", offset="1") == [STUDIES[1]]
    assert page(limit="2", offset="2") == [STUDIES[0]]
