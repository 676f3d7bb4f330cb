"""A request waits for the data store for a limited time: no longer repetition, then 503 (conformance §1.4)."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

import pytest
from flask import Response

from app.errors import UNAVAILABLE
from app.services.policy import V2
from app.storage.table import deadline
from app.storage.table.deadline import Deadline, within
from app.web.request.body import Body
from app.web.waiting import limit_waiting
from tests.conftest import Serve
from tests.support.background import work
from tests.support.clock import ManualClock
from tests.support.dicomweb import PartitionClient
from tests.support.faults import FOR_EVER, Rule, contention, run
from tests.support.faulty_engine import Faults
from tests.support.instances import make_instance

STUDY = "2.25.1"
ROWS = f"*/study/{STUDY}|*"


@pytest.fixture
def hurried(serve: Serve) -> PartitionClient:
    """Calls of requests that may not wait for the data store at all."""
    return PartitionClient(serve(request_seconds=0))


def test_a_request_that_meets_no_failure_is_not_cut(hurried: PartitionClient) -> None:
    hurried.stored(make_instance(study=STUDY))
    assert hurried.get(f"/studies/{STUDY}/metadata").status_code == 200
    assert hurried.delete(f"/studies/{STUDY}").status_code == 204


def test_after_the_deadline_a_store_is_503_and_not_repeated(hurried: PartitionClient, faults: Faults) -> None:
    hurried.stored(make_instance(study="2.25.9"))
    rule = faults.add(Rule(contention(), operation="table.write", key=ROWS, times=FOR_EVER))
    response = hurried.store(make_instance(study=STUDY))
    assert (response.status_code, response.text, response.headers["Retry-After"]) == (503, UNAVAILABLE, "5")
    assert rule.hits == 1
    faults.clear()
    hurried.stored(make_instance(study=STUDY))


def test_after_the_deadline_a_deletion_is_503_and_not_repeated(hurried: PartitionClient, faults: Faults) -> None:
    hurried.stored(make_instance(study=STUDY))
    rule = faults.add(Rule(contention(), operation="table.write", key=ROWS, times=FOR_EVER))
    assert hurried.delete(f"/studies/{STUDY}").status_code == 503
    assert rule.hits == 1
    faults.clear()
    assert hurried.delete(f"/studies/{STUDY}").status_code == 204


def test_threads_that_store_files_have_the_deadline_and_background_work_has_none(
    hurried: PartitionClient, faults: Faults
) -> None:
    seen: list[tuple[str, bool]] = []
    store_file = run(lambda: seen.append(("file", deadline.has_passed())))
    faults.add(Rule(store_file, operation="blobs.put", key="*.dcm", times=FOR_EVER))
    faults.add(Rule(run(lambda: seen.append(("queue", deadline.has_passed()))), operation="queue.receive"))
    # These are files of their own. Small objects share one SQLite file, and a thread that may not wait for it fails.
    hurried.stored(*(make_instance(study=STUDY, rows=256, columns=256) for _ in range(2)))
    work(hurried.client)
    assert seen == [("file", True), ("file", True), ("queue", False)]


@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
def test_the_time_begins_anew_with_each_part_of_an_upload(serve: Serve, faults: Faults) -> None:
    """The request takes longer than it may wait, but each instance arrives within this time."""
    clock = ManualClock()
    client = serve()
    partition = client.application.extensions["bulkhead"].partitions.resolve("clinic-a", create=True)
    left: list[float] = []
    faults.add(Rule(run(lambda: left.append(deadline.seconds_left())), operation="blobs.put", times=FOR_EVER))

    class SlowSource(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            clock.now += 50
            return super().read(size)

    def bodies() -> Iterator[Body]:
        for _ in range(3):
            file = make_instance(study=STUDY)
            yield Body(SlowSource(file), len(file), 10**6)

    with within(Deadline(60, clock)):
        report = client.application.extensions["bulkhead"].store(partition, bodies(), None, V2)
    assert len(report.stored) == 3
    assert clock.now >= 1_700_000_150
    assert left == [60, 60, 60]


def test_the_time_begins_anew_with_each_chunk_of_an_answer() -> None:
    left: list[float] = []
    closed: list[bool] = []

    def chunks() -> Iterator[bytes]:
        try:
            for _ in range(3):
                left.append(deadline.seconds_left())
                yield b"x"
        finally:
            closed.append(True)

    response = Response(chunks())
    limit_waiting(response, 60)
    body = iter(response.response)
    assert [next(body), next(body)] == [b"x", b"x"]
    assert all(30 < seconds <= 60 for seconds in left)
    assert deadline.seconds_left() > 60, "outside of the answer there is no deadline"
    response.close()
    assert closed == [True]
    whole = Response(b"whole")
    limit_waiting(whole, 60)
    assert not whole.is_streamed
