"""Spans for OpenTelemetry: a request, its calls to the stores, and the steps of the operation that it starts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import pytest
from flask.testing import FlaskClient
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from app import tracing
from tests.conftest import Serve
from tests.support.dicomweb import PartitionClient
from tests.support.faults import FOR_EVER, Rule, fail
from tests.support.faulty_engine import Faults
from tests.support.instances import make_instance

pytestmark = pytest.mark.parametrize("settings", ["embedded"], indirect=True)

UPDATE = {"studyInstanceUids": ["2.25.1"], "changeDataset": {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "A"}]}}}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    tracing.start(SimpleSpanProcessor(exporter))
    yield exporter
    tracing.stop()


@pytest.fixture
def traced_client(exporter: InMemorySpanExporter, serve: Serve) -> FlaskClient:
    client = serve(traces=True)
    exporter.clear()
    return client


def trace_of(span: ReadableSpan) -> str:
    return f"{span.context.trace_id:032x}"


def request_spans(spans: Sequence[ReadableSpan]) -> list[ReadableSpan]:
    return [span for span in spans if span.attributes and "http.route" in span.attributes]


def test_a_request_and_its_calls_are_one_trace(traced_client: FlaskClient, exporter: InMemorySpanExporter) -> None:
    path = "/v2/partitions/clinic-a/studies?PatientID=SECRET"
    PartitionClient(traced_client).stored(make_instance(study="2.25.1", patient_id="SECRET"))
    exporter.clear()
    traced_client.get(path, headers={"traceparent": PARENT})
    spans = exporter.get_finished_spans()
    assert {trace_of(span) for span in spans} == {TRACE}
    *calls, request = spans
    assert request.name == "GET /partitions/<partition>/studies"
    assert request.parent is not None
    assert f"{request.parent.span_id:016x}" == "00f067aa0ba902b7"
    assert dict(request.attributes or {}) == {
        "http.request.method": "GET",
        "http.route": "/partitions/<partition>/studies",
        "http.response.status_code": 200,
    }
    assert {call.name for call in calls} >= {"table query"}
    assert all(call.parent and call.parent.span_id == request.context.span_id for call in calls)
    said = "".join(span.to_json() for span in spans)
    assert not any(word in said for word in ("SECRET", "clinic-a", "2.25.1"))


@pytest.mark.parametrize("given", [None, "nonsense", "00-0-0-01", f"00-{'0' * 32}-00f067aa0ba902b7-01"])
def test_a_request_without_a_valid_parent_begins_a_trace(
    traced_client: FlaskClient, exporter: InMemorySpanExporter, given: str | None
) -> None:
    traced_client.get("/v2/partitions", headers={"traceparent": given} if given else {})
    (request,) = request_spans(exporter.get_finished_spans())
    assert request.parent is None
    assert re.fullmatch("[0-9a-f]{32}", trace_of(request))


def test_requests_of_one_thread_do_not_share_a_trace(
    traced_client: FlaskClient, exporter: InMemorySpanExporter
) -> None:
    for path in ("/v2/partitions", "/nothing", "/v2/partitions"):
        traced_client.get(path)
    requests = request_spans(exporter.get_finished_spans())
    assert len({trace_of(span) for span in requests}) == 3
    assert [(span.attributes or {})["http.route"] for span in requests] == ["/partitions", "none", "/partitions"]


def test_failures_are_marked_without_their_text(
    traced_client: FlaskClient, exporter: InMemorySpanExporter, faults: Faults
) -> None:
    faults.add(Rule(fail(ValueError("SECRET")), operation="table.query", times=FOR_EVER))
    assert traced_client.get("/v2/partitions").status_code == 500
    *_, call, request = exporter.get_finished_spans()
    assert (call.name, (call.attributes or {})["error.type"]) == ("table query", "ValueError")
    assert not call.status.is_ok
    assert not request.status.is_ok
    assert "SECRET" not in call.to_json() + request.to_json()


def test_the_steps_of_an_operation_belong_to_the_trace_of_its_request(
    traced_client: FlaskClient, exporter: InMemorySpanExporter
) -> None:
    PartitionClient(traced_client).stored(make_instance(study="2.25.1"))
    started = traced_client.post(
        "/v2/partitions/clinic-a/studies/$bulkUpdate", json=UPDATE, headers={"traceparent": PARENT}
    )
    assert started.status_code == 202
    exporter.clear()
    traced_client.application.extensions["bulkhead"].background[0]()
    steps = [span for span in exporter.get_finished_spans() if span.name == "operation step"]
    assert steps
    assert {trace_of(step) for step in steps} == {TRACE}
    assert dict(steps[0].attributes or {}) == {"operation_type": "update"}


def test_a_worker_without_work_makes_no_spans(traced_client: FlaskClient, exporter: InMemorySpanExporter) -> None:
    for step in traced_client.application.extensions["bulkhead"].background:
        step()
    assert exporter.get_finished_spans() == ()


def test_without_the_setting_there_are_no_spans(client: FlaskClient) -> None:
    assert client.get("/v2/partitions", headers={"traceparent": PARENT}).status_code == 200
    call = len
    assert tracing.traced(call, "name") is call
    assert tracing.current_parent() == ""
