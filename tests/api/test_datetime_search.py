"""Searches by attributes of VR DT on instances and workitems, over HTTP on both engines (conformance §5.4)."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient

from tests.support.background import work
from tests.support.dicomweb import PartitionClient, value
from tests.support.instances import make_instance
from tests.support.workitems import text, workitem
from tests.support.worklist import WorklistClient

NOON, EASTERN, INDIAN, DAY, ZONED = "2.25.71", "2.25.72", "2.25.73", "2.25.74", "2.25.75"
STORED = {
    NOON: ("20240301120000", None),
    EASTERN: ("20240301120000-0500", None),  # 17:00 in UTC
    INDIAN: ("20240301120000.5+0530", None),  # 06:30 in UTC
    DAY: ("20240302-0500", None),  # starts at 05:00 in UTC
    ZONED: ("20240301120000", "+0100"),  # 11:00 in UTC: the offset is that of the dataset
}
"""UID -> the DT and the Timezone Offset From UTC of its dataset, in the order of storing."""

Search = Callable[[str], list[str]]


def search_of_instances(client: FlaskClient) -> Search:
    clinic = PartitionClient(client)
    tags = [{"path": "AcquisitionDateTime", "level": "Instance"}]
    assert client.post("/v2/extendedquerytags", json=tags).status_code == 202
    work(client)
    for uid, (moment, timezone) in STORED.items():
        zone = {"TimezoneOffsetFromUTC": timezone} if timezone else {}
        body = make_instance(study="2.25.7", series="2.25.70", instance=uid, AcquisitionDateTime=moment, **zone)
        assert clinic.store(body).status_code == 200

    def search(asked: str) -> list[str]:
        response = clinic.get(f"/instances?AcquisitionDateTime={asked}")
        assert response.status_code in (200, 204), response.text
        return [value(each, "00080018") for each in response.get_json(force=True)] if response.data else []

    return search


def search_of_workitems(client: FlaskClient) -> Search:
    worklist = WorklistClient(client)
    for uid, (moment, timezone) in STORED.items():
        zone = {"T00080201": text("SH", timezone)} if timezone else {}
        assert worklist.add(uid, workitem(T00404005=text("DT", moment), **zone)).status_code == 201
    return lambda asked: worklist.found(f"ScheduledProcedureStepStartDateTime={asked}")


@pytest.fixture(params=[search_of_instances, search_of_workitems])
def search(request: pytest.FixtureRequest, client: FlaskClient) -> Search:
    found: Search = request.param(client)
    return found


NEWEST_FIRST = list(reversed(STORED))

ASKED = {
    "20240301120000": [NOON],
    "20240301170000": [EASTERN],
    "20240301120000-0500": [EASTERN],
    "20240301130000+0100": [NOON],
    "20240301063000.5": [INDIAN],
    "20240301120000.5+0530": [INDIAN],
    "20240302-0500": [DAY],
    "20240301110000": [ZONED],
    "2024-0500": [],
    "-20240301120000-0500": [ZONED, INDIAN, EASTERN, NOON],
    "-20240301115959-0500": [ZONED, INDIAN, NOON],
    "20240301120000-0500-": [DAY, EASTERN],
    "20240301120001-0500-": [DAY],
    "20240301-0500-20240302+0100": [ZONED, DAY, INDIAN, EASTERN, NOON],
    "20240301-0500-20240301-0500": [ZONED, INDIAN, EASTERN, NOON],
    "20240301-20240301": [ZONED, INDIAN, EASTERN, NOON],
    "20240301-0800-20240301": [ZONED, EASTERN, NOON],
    "20240302-": [DAY],
    "-20240301": [ZONED, INDIAN, EASTERN, NOON],
    "2024-2024": NEWEST_FIRST,
    "2024 - 2024": NEWEST_FIRST,
}


def test_ranges_and_moments_with_and_without_offsets(search: Search) -> None:
    found = {asked: search(quote(asked)) for asked in ASKED}
    assert found == ASKED


def test_a_plus_that_was_not_escaped_counts_as_plus(search: Search) -> None:
    assert search("20240301120000.5+0530") == search("20240301120000.5%2B0530") == [INDIAN]
    day = [ZONED, INDIAN, EASTERN, NOON]
    assert search("20240301+0530-20240301+0530") == search("20240301%2B0530-20240301%2B0530") == day


@pytest.mark.parametrize("asked", ["20240301+1401", "20240301-0000", "2025-0500-2024-0500", "20240230-0500"])
def test_what_is_no_moment_and_no_range_is_refused(client: FlaskClient, asked: str) -> None:
    worklist = WorklistClient(client)
    assert worklist.add("2.25.1", workitem()).status_code == 201
    response = worklist.get(f"?ScheduledProcedureStepStartDateTime={quote(asked)}")
    assert response.status_code == 400
    assert "invalid for attribute 'ScheduledProcedureStepStartDateTime'" in response.text


def test_re_indexing_reads_the_offset_of_the_dataset(client: FlaskClient, clinic: PartitionClient) -> None:
    body = make_instance(AcquisitionDateTime="20240301120000", TimezoneOffsetFromUTC="-0500")
    assert clinic.store(body).status_code == 200
    tags = [{"path": "AcquisitionDateTime", "level": "Study"}]
    assert client.post("/v2/extendedquerytags", json=tags).status_code == 202
    work(client)
    assert clinic.get("/studies?AcquisitionDateTime=20240301170000").status_code == 200
    assert clinic.get("/studies?AcquisitionDateTime=20240301120000").status_code == 204
