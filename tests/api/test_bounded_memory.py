"""What a request holds in memory does not grow with the number of instances (only on the embedded engine: moto keeps
its own copies of everything in this process)."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.services.policy import V2
from app.services.store import service
from app.storage.records import documents, packed_documents
from tests.support.dicomweb import PartitionClient, comments, items
from tests.support.instances import make_instance

pytestmark = pytest.mark.parametrize("settings", ["embedded"], indirect=True)

MIB = 1024 * 1024
COUNT, TEXT = 30, 900_000
"""Instances of an archive, and the bytes of one large text. Metadata does not have longer ones (conformance §4.7)."""

TEXTS = ("TextValue", "SelectorUTValue", "SelectorUCValue")
DOCUMENT = len(TEXTS) * TEXT


def peak(call: Callable[[], Any]) -> int:
    """The most bytes that Python held during a call, beyond those before it."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def letters(seed: int, size: int) -> str:
    """Text that compression makes about half as long."""
    return random.Random(seed).randbytes(size // 2).hex()


def read_all(client: FlaskClient, path: str) -> int:
    """Read an answer chunk by chunk, as a server sends it; its length."""
    response = client.get(path)
    assert response.status_code == 200
    return sum(len(chunk) for chunk in response.iter_encoded())


def assert_memory_does_not_grow(client: FlaskClient, path: str, *, at_least: int) -> None:
    """Assert that a page of all instances needs about as much memory as one of two, and has so many bytes at least."""
    lengths: list[int] = []
    few, many = (peak(lambda: lengths.append(read_all(client, f"{path}&limit={limit}"))) for limit in (2, COUNT))  # noqa: B023
    assert lengths[1] > max(lengths[0], at_least)
    assert many < 1.5 * few + MIB


@pytest.fixture(params=["in the table", "spilled to a blob"])
def clinic(request: pytest.FixtureRequest, clinic: PartitionClient, monkeypatch: pytest.MonkeyPatch) -> PartitionClient:
    """A partition with instances of 2.7 MB metadata each, which compress well."""
    if request.param == "spilled to a blob":
        monkeypatch.setattr(documents, "MAX_ITEM_BYTES", documents._ITEM_OVERHEAD)
    for _ in range(COUNT):
        clinic.stored(make_instance(**dict.fromkeys(TEXTS, "x" * TEXT), OperatorsName="Lee"))
    return clinic


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("level", ["studies", "series", "instances"])
def test_a_search_holds_one_document_at_a_time(clinic: PartitionClient, version: str, level: str) -> None:
    assert_memory_does_not_grow(
        clinic.client, f"/{version}/partitions/clinic-a/{level}?includefield=OperatorsName", at_least=COUNT
    )


def test_a_search_for_a_large_attribute_is_streamed(clinic: PartitionClient) -> None:
    path = f"{clinic.prefix}/instances?includefield={','.join(TEXTS)}"
    assert_memory_does_not_grow(clinic.client, path, at_least=COUNT * DOCUMENT)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_page_of_the_change_feed_is_streamed(clinic: PartitionClient, version: str) -> None:
    path = f"/{version}/changefeed?includemetadata=true"
    assert_memory_does_not_grow(clinic.client, path, at_least=COUNT * DOCUMENT)


def test_packed_documents_are_read_in_small_batches(client: FlaskClient) -> None:
    count, size = 100, 500_000
    partition = PartitionClient(client)
    for seed in range(count):
        partition.stored(make_instance(TextValue=letters(seed, size)))
    packed = len(packed_documents.pack(letters(0, size).encode()))
    assert not documents.spills(b"x" * packed)
    held = peak(lambda: read_all(client, f"{partition.prefix}/instances?includefield=OperatorsName"))
    assert held < count * packed


def test_a_store_counts_metadata_as_well_as_bodies(client: FlaskClient) -> None:
    services = client.application.extensions["bulkhead"]
    partition = services.partitions.resolve("clinic-a", create=True)
    bodies = [make_instance(**{name: letters(seed, TEXT) for name in TEXTS}) for seed in range(service.BATCH_INSTANCES)]
    reports: list[Any] = []
    held = peak(lambda: reports.append(services.store(partition, map(BytesIO, bodies), None, V2)))
    assert len(reports[0].stored) == len(bodies)
    assert held < service.BATCH_BYTES + 48 * MIB  # a batch, and what the examination of one instance needs


def test_a_batch_is_committed_when_its_documents_are_large(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "BATCH_BYTES", MIB)
    committed: list[int] = []
    commit = service.Store._commit

    def counted(self: service.Store, partition: Any, batch: Any, report: Any) -> None:
        committed.append(len(batch))
        commit(self, partition, batch, report)

    monkeypatch.setattr(service.Store, "_commit", counted)
    PartitionClient(client).stored(
        *(make_instance(**{name: letters(seed, TEXT) for name in TEXTS}) for seed in range(4))
    )
    assert [size for size in committed if size] == [1, 1, 1, 1]


def test_metadata_that_is_too_large_fails_its_instance_alone(
    clinic_of_no_instances: PartitionClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_documents, "MAX_DOCUMENT_BYTES", 100_000)
    response = clinic_of_no_instances.store(make_instance(), make_instance(TextValue="x" * 200_000), make_instance())
    assert response.status_code == 202
    report = response.get_json(force=True)
    assert len(items(report, "00081199")) == 2
    (failed,) = items(report, "00081198")
    assert failed["00081197"]["Value"] == [43264]
    assert comments(failed) == ["The metadata of the instance exceeds 100000 bytes."]
    assert "00081155" in failed


@pytest.fixture
def clinic_of_no_instances(client: FlaskClient) -> Iterator[PartitionClient]:
    yield PartitionClient(client)
