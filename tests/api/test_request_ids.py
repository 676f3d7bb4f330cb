"""The id of a request is in all its log lines: on other threads, in the operation that it starts, and in the worker."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog
from flask.testing import FlaskClient

from app import logs
from app.entry import worker
from app.errors import StorageUnavailable
from app.services import parallel
from app.web.response import responses
from tests.support.dicomweb import PartitionClient
from tests.support.faults import FOR_EVER, Rule, fail, run
from tests.support.faulty_engine import Faults
from tests.support.instances import make_instance
from tests.support.restored_logging import restored_logging

UPDATE = {"studyInstanceUids": ["2.25.1"], "changeDataset": {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "A"}]}}}

Lines = Callable[[], list[dict[str, object]]]

embedded = pytest.mark.parametrize("settings", ["embedded"], indirect=True)


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Return a function that returns the log lines since its last call."""
    with restored_logging():
        logs.configure("info", "json")
        (handler,) = logging.getLogger().handlers
        assert isinstance(handler, logging.StreamHandler)
        written = io.StringIO()
        handler.setStream(written)

        def read() -> list[dict[str, object]]:
            text = written.getvalue()
            written.seek(0)
            written.truncate()
            return [json.loads(line) for line in text.splitlines()]

        yield read


@embedded
def test_a_failure_has_the_id_in_every_line(client: FlaskClient, faults: Faults, lines: Lines) -> None:
    faults.add(Rule(fail(), operation="table.query", times=FOR_EVER))
    response = client.get("/v2/partitions", headers={"X-Request-Id": "abc"})
    assert response.headers["X-Request-Id"] == "abc"
    assert [(line["event"], line["request_id"]) for line in lines()] == [("request failed", "abc"), ("request", "abc")]


@embedded
def test_a_line_of_another_request_has_its_own_id(client: FlaskClient, lines: Lines) -> None:
    for given in ("one", "two"):
        client.get("/v2/partitions", headers={"X-Request-Id": given})
    assert [line.get("request_id") for line in lines()] == ["one", "two"]


@embedded
def test_an_answer_that_breaks_has_the_id_in_the_line_of_the_server(
    client: FlaskClient, faults: Faults, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responses, "_ONE_CHUNK", 100)
    clinic = PartitionClient(client)
    clinic.stored(make_instance(study="2.25.1"), make_instance(study="2.25.1"))
    faults.add(Rule(fail(), operation="blobs.open", nth=2, times=FOR_EVER))
    response = clinic.get("/studies/2.25.1", X_Request_Id="abc")
    with pytest.raises(StorageUnavailable):
        _ = response.data
    response.close()
    structlog.get_logger("gunicorn.error").error("Error handling request")
    *_, ours, servers = lines()
    assert [(line["event"], line["request_id"]) for line in (ours, servers)] == [
        ("request", "abc"),
        ("Error handling request", "abc"),
    ]


@embedded
def test_threads_that_work_for_a_request_have_its_id(client: FlaskClient, faults: Faults, lines: Lines) -> None:
    log = structlog.get_logger("test")
    faults.add(
        Rule(run(lambda: list(parallel.parallel_map(log.info, ["a", "b"])) and None), operation="table.query", times=1)
    )
    client.get("/v2/partitions", headers={"X-Request-Id": "abc"})
    assert [(line["event"], line["request_id"]) for line in lines() if line["event"] in "ab"] in (
        [("a", "abc"), ("b", "abc")],
        [("b", "abc"), ("a", "abc")],
    )


@embedded
@pytest.mark.parametrize("given", ["abc", None])
def test_the_worker_logs_the_id_of_the_request_that_started_the_operation(
    client: FlaskClient, faults: Faults, lines: Lines, given: str | None
) -> None:
    clinic = PartitionClient(client)
    clinic.stored(make_instance(study="2.25.1"))
    headers = {"X-Request-Id": given} if given else {}
    started = client.post("/v2/partitions/clinic-a/studies/$bulkUpdate", json=UPDATE, headers=headers)
    assert started.status_code == 202
    faults.add(Rule(fail(), operation="table.*", key="*/study/2.25.1*", times=FOR_EVER))
    step = client.application.extensions["bulkhead"].background[0]
    lines()
    worker._run_step(step)
    (failed,) = [line for line in lines() if line["event"] == "background step failed"]
    assert failed["request_id"] == started.headers["X-Request-Id"]
    assert failed["operation"] == started.json["id"]
    assert "2.25.1" not in json.dumps(failed)

    faults.clear()
    structlog.get_logger("test").info("later")
    worker._run_step(lambda: bool(structlog.get_logger("test").info("another step")))
    assert [line.get("operation") for line in lines() if line["event"] == "another step"] == [None]
