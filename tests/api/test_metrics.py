"""`GET /metrics` through HTTP (conformance §1.15)."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from app import bootstrap, metrics
from app.metrics import kinds
from app.metrics.cells import in_memory
from app.metrics.kinds import Metric
from app.services import backlog
from app.settings import Settings
from app.web.response import responses
from tests.conftest import Serve
from tests.support.clock import stop_clock
from tests.support.dicomweb import PartitionClient
from tests.support.faults import FOR_EVER, Rule, conflict, fail, run
from tests.support.faulty_engine import Faults
from tests.support.instances import make_instance
from tests.support.tokens import bearer, create_token
from tests.support.waiting import wait_until

embedded = pytest.mark.parametrize("settings", ["embedded"], indirect=True)


@pytest.fixture(autouse=True)
def own_metrics() -> Iterator[None]:
    """Values of the test alone."""
    before = Metric.cells
    kinds.use(in_memory())
    yield
    kinds.use(before)


def scraped(client: FlaskClient) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    response = client.get("/metrics")
    assert response.status_code == 200
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in parse_text(response.text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.items())] = sample.value
    return found


@embedded
@pytest.mark.parametrize(
    ("accept", "is_openmetrics"),
    [
        (None, False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;version=0.0.1", False),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
            "text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            True,
        ),
        ("application/openmetrics-text;version=1.0.0;q=0.1,text/plain;q=0.5", False),
    ],
)
def test_the_format_follows_accept(client: FlaskClient, accept: str | None, is_openmetrics: bool) -> None:
    client.get("/v2/partitions")
    response = client.get("/metrics", headers={"Accept": accept} if accept else {})
    parse = parse_openmetrics if is_openmetrics else parse_text
    kind = "application/openmetrics-text; version=1.0.0" if is_openmetrics else "text/plain; version=0.0.4"
    assert response.headers["Content-Type"] == f"{kind}; charset=utf-8"
    names = {family.name for family in parse(response.text)}
    assert {each.name.removesuffix("_total") for each in Metric.registry.values()} - names <= {"bulkhead_processes"}


def test_requests_are_counted_by_the_template_of_their_path(client: FlaskClient) -> None:
    clinic = PartitionClient(client)
    body = make_instance(study="2.25.1", patient_name="Doe^Jane", patient_id="SECRET")
    clinic.stored(body)
    assert clinic.get("/studies/2.25.1/metadata").status_code == 200
    assert client.get("/v1/partitions/clinic-a/studies?PatientID=SECRET").status_code == 200
    assert client.get("/partitions/clinic-a/studies/9.9.9/metadata").status_code == 404
    assert client.open("/v2/partitions/SECRET/studies", method="BREW").status_code == 405
    assert client.get("/SECRET/x").status_code == 404
    text = client.get("/metrics").text
    counted = scraped(client)["bulkhead_http_requests_total"]
    by_request = {tuple(value for _, value in labels): count for labels, count in counted.items()}
    template = "/partitions/<partition>/studies"
    assert by_request["POST", template, "v2", "200"] == 1
    assert by_request["GET", f"{template}/<study>/metadata", "v2", "200"] == 1
    assert by_request["GET", template, "v1", "200"] == 1
    assert by_request["GET", f"{template}/<study>/metadata", "none", "404"] == 1
    assert by_request["other", "none", "v2", "405"] == 1
    assert by_request["GET", "none", "none", "404"] == 1
    assert not any(word in text for word in ("SECRET", "Doe", "clinic-a", "2.25.1", "9.9.9", "BREW"))


@embedded
def test_times_bytes_and_requests_in_flight(client: FlaskClient) -> None:
    clinic = PartitionClient(client)
    body = make_instance(study="2.25.1")
    clinic.stored(body)
    before = scraped(client)
    answer = clinic.get("/studies/2.25.1/metadata").data
    after = scraped(client)
    assert before["bulkhead_http_received_bytes_total"][()] > len(body)
    assert after["bulkhead_http_sent_bytes_total"][()] - before["bulkhead_http_sent_bytes_total"][()] > len(answer)
    assert after["bulkhead_http_requests_in_flight"][()] == 1, "the scrape itself"
    count = after["bulkhead_http_request_duration_seconds_count"]
    assert count[(("route", "/partitions/<partition>/studies/<study>/metadata"),)] == 1


@embedded
def test_the_bytes_of_a_streamed_answer_count_when_it_ends(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responses, "_ONE_CHUNK", 100)
    clinic = PartitionClient(client)
    clinic.stored(make_instance(study="2.25.1"), make_instance(study="2.25.1"))
    before = metrics.SENT_BYTES.value()
    response = clinic.get("/studies/2.25.1")
    assert (metrics.SENT_BYTES.value() - before, metrics.REQUESTS_IN_FLIGHT.value()) == (0, 1)
    sent = len(response.data)
    response.close()
    assert (metrics.SENT_BYTES.value() - before, metrics.REQUESTS_IN_FLIGHT.value()) == (sent, 0)


@embedded
def test_refusals_are_counted_by_the_class_of_the_error(client: FlaskClient, faults: Faults) -> None:
    client.get("/v2/partitions/nowhere/studies")
    client.get("/nothing")
    client.delete("/v2/partitions")
    faults.add(Rule(fail(), operation="table.query", times=FOR_EVER))
    client.get("/v2/partitions")
    faults.clear()
    faults.add(Rule(fail(ValueError()), operation="table.query", times=FOR_EVER))
    client.get("/v2/partitions")
    faults.clear()
    counted = {dict(labels)["reason"]: n for labels, n in scraped(client)["bulkhead_http_refusals_total"].items()}
    assert counted == {
        "PartitionError": 1,
        "NotFound": 1,
        "MethodNotAllowed": 1,
        "StorageUnavailable": 1,
        "Unexpected": 1,
    }


def test_calls_to_table_and_blob_store_are_counted_by_operation_and_outcome(
    client: FlaskClient, faults: Faults
) -> None:
    clinic = PartitionClient(client)
    clinic.stored(make_instance(study="2.25.1"))
    faults.add(Rule(conflict(), operation="table.write", key="*/study/*", times=1))
    clinic.stored(make_instance(study="2.25.1"))
    faults.add(Rule(fail(), operation="table.get", times=1))
    client.get("/v2/changefeed/latest")
    clinic.get("/studies/2.25.1").close()
    found = scraped(client)
    table = {
        tuple(dict(labels).values()): n for labels, n in found["bulkhead_table_call_duration_seconds_count"].items()
    }
    blobs = {
        tuple(dict(labels).values()): n for labels, n in found["bulkhead_blob_call_duration_seconds_count"].items()
    }
    assert table["write", "ok"] > 2
    assert (table["write", "conflict"] > 0, table["get", "failed"]) == (True, 1)
    assert table["query", "ok"] > 0
    assert (blobs["put", "ok"], blobs["open", "ok"]) == (4, 2), "two files, and the names of two partitions"
    assert found["bulkhead_store_retries_total"][(("reason", "Conflict"),)] > 0


@embedded
def test_caches_are_counted(client: FlaskClient) -> None:
    clinic = PartitionClient(client)
    clinic.stored(make_instance(study="2.25.1", series="2.25.2", instance="2.25.3"))
    for _ in range(2):
        client.get("/v2/partitions/clinic-a/studies/2.25.1/series/2.25.2/instances/2.25.3/rendered")
    counted = {tuple(dict(labels).values()) for labels in scraped(client)["bulkhead_cache_lookups_total"]}
    assert ("image_headers", "miss") in counted


@embedded
def test_waiting_work(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    advance_clock = stop_clock(monkeypatch)
    client = serve(delete_delay_seconds=0)
    clinic = PartitionClient(client)
    clinic.stored(make_instance(study="2.25.1"))
    assert clinic.delete("/studies/2.25.1").status_code == 204
    ages = scraped(client)["bulkhead_oldest_due_record_age_seconds"]
    assert ages[(("kind", "queue"),)] == 0

    advance_clock(100)
    monkeypatch.setattr(backlog, "FRESH_SECONDS", 0)
    found = scraped(client)
    assert 99 <= found["bulkhead_oldest_due_record_age_seconds"][(("kind", "sweep"),)] <= 101


@embedded
def test_the_lag_of_the_feed_counts_commits_that_no_reader_has_moved(
    client: FlaskClient, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    clinic = PartitionClient(client)
    clinic.stored(make_instance(study="2.25.1"))
    rule = faults.add(Rule(fail(), operation="table.write", key="*/study/*", times=FOR_EVER))
    clinic.store(make_instance(study="2.25.2"))
    assert rule.hits
    faults.clear()
    clinic.stored(make_instance(study="2.25.3"))
    monkeypatch.setattr(backlog, "FRESH_SECONDS", 0)
    for _ in range(2):
        assert scraped(client)["bulkhead_change_feed_lag_entries"][()] == 2, "a scrape moves nothing"
    assert len(client.get("/v1/changefeed").get_json()) == 2
    assert scraped(client)["bulkhead_change_feed_lag_entries"][()] == 0


@embedded
def test_a_table_that_hangs_delays_a_scrape_by_a_moment(
    client: FlaskClient, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "PATIENCE_SECONDS", 0.02)
    released = threading.Event()
    hanging = faults.add(Rule(run(released.wait), operation="table.*", times=FOR_EVER))
    for _ in range(3):
        assert "bulkhead_change_feed_lag_entries" not in scraped(client)
    wait_until(lambda: hanging.hits > 0)
    assert hanging.hits == 1, "one thread waits"
    released.set()


@embedded
def test_a_table_that_fails_costs_only_its_numbers(client: FlaskClient, faults: Faults) -> None:
    faults.add(Rule(fail(), operation="table.*", times=FOR_EVER))
    found = scraped(client)
    assert "bulkhead_oldest_due_record_age_seconds" not in found
    assert found["bulkhead_processes"][()] == 1


@embedded
def test_the_route_can_be_switched_off(serve: Serve) -> None:
    client = serve(metrics=False)
    assert client.get("/metrics").status_code == 404
    client.get("/v2/partitions")
    assert metrics.TABLE_SECONDS.value("query", "ok") == 0


@embedded
def test_any_letter_case_and_no_version(client: FlaskClient) -> None:
    assert client.get("/Metrics").status_code == 200
    assert client.get("/v2/metrics").status_code == 404
    assert client.get("/v2/partitions/clinic-a/metrics").status_code == 404


@embedded
def test_the_processes_of_a_server_share_a_folder(serve: Serve, settings: Settings) -> None:
    folder = settings.data_dir / "metrics"
    client = serve(metrics_dir=folder)
    client.get("/v2/partitions")
    assert len(list(folder.iterdir())) == 1
    assert scraped(client)["bulkhead_http_requests_total"]


@embedded
def test_who_may_read_the_metrics(serve: Serve, settings: Settings, engine: bootstrap.Engine) -> None:
    client = serve(auth=("tokens",))

    def status(*partitions: str, role: str = "reader") -> int:
        secret = create_token(settings, engine, role, partitions=partitions).secret
        return client.get("/metrics", headers=bearer(secret)).status_code

    assert client.get("/metrics").status_code == 401
    assert status("*") == 200
    assert status("clinic-a") == 403
    assert status("c*", "d*") == 403
    assert status("*", role="writer") == 403
    assert {client.get(f"/health/{name}").status_code for name in ("live", "ready", "check")} == {200}
