"""Connections to S3 that break while the service reads: the answer is complete, or it is an error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ResponseStreamingError

from app import bootstrap, create_app
from app.settings import Settings
from app.storage.records import documents
from tests.support.dicomweb import AS_STORED, PartitionClient, parts
from tests.support.instances import ct, encapsulated, frame, uid

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FRAME = "application/octet-stream; transfer-syntax=*"


@dataclass
class BrokenBody:
    """The body of an answer whose connection breaks after `left` bytes."""

    body: Any
    left: int

    def read(self, size: int) -> bytes:
        if not self.left:
            raise ResponseStreamingError(error="connection reset")
        chunk: bytes = self.body.read(min(size, self.left))
        self.left -= len(chunk)
        return chunk

    def close(self) -> None:
        self.body.close()


@dataclass
class Connections:
    """The connections to S3: the next ones break after so many bytes."""

    breaks: list[int]
    opened: int = 0


@pytest.fixture
def connections(aws: None, aws_clients: tuple[Any, S3Client], monkeypatch: pytest.MonkeyPatch) -> Connections:
    """The faults of the connections, none at first."""
    client, faults = aws_clients[1], Connections([])
    get_object = client.get_object

    def faulty(**request: Any) -> Any:
        faults.opened += 1
        answer: Any = get_object(**request)
        if faults.breaks:
            answer["Body"] = BrokenBody(answer["Body"], faults.breaks.pop(0))
        return answer

    monkeypatch.setattr(client, "get_object", faulty)
    return faults


@pytest.fixture
def clinic(connections: Connections) -> PartitionClient:
    """A service on the aws engine."""
    settings = Settings(engine="aws", table="archive", bucket="archive", log_level="error")
    bootstrap.initialise(settings)
    return PartitionClient(create_app(settings).test_client())


@pytest.mark.parametrize("breaks", [[0], [1, 0, 100_000], [300_000, 1]])
def test_a_file_arrives_complete(clinic: PartitionClient, connections: Connections, breaks: list[int]) -> None:
    study = uid()
    data = ct(study=study)
    assert clinic.store(data).status_code == 200
    connections.breaks, connections.opened = list(breaks), 0
    (part,) = parts(clinic.get(f"/studies/{study}", AS_STORED))
    assert part.body[128:] == data[128:]
    assert connections.opened == 1 + len(breaks)


def test_a_frame_arrives_complete(clinic: PartitionClient, connections: Connections) -> None:
    study, series, instance = uid(), uid(), uid()
    assert clinic.store(ct(study=study, series=series, instance=instance, pixel=frame(1, 512, 512))).status_code == 200
    connections.breaks = [1000, 0]
    answer = clinic.get(f"/studies/{study}/series/{series}/instances/{instance}/frames/1", FRAME)
    assert answer.data == frame(1, 512, 512)


def test_a_document_in_a_blob_arrives_complete(
    clinic: PartitionClient, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "MAX_ITEM_BYTES", documents._ITEM_OVERHEAD)
    study, instance = uid(), uid()
    assert clinic.store(encapsulated([[b"\xff\xd8\xff\xd9"]], study=study, instance=instance)).status_code == 200
    connections.breaks, connections.opened = [10, 1], 0
    answer: Any = clinic.get(f"/studies/{study}/metadata").json
    assert [metadata["00080018"]["Value"] for metadata in answer] == [[instance]]
    assert connections.opened == 3


def test_a_document_that_cannot_be_read_is_a_503(
    clinic: PartitionClient, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "MAX_ITEM_BYTES", documents._ITEM_OVERHEAD)
    study = uid()
    assert clinic.store(ct(study=study)).status_code == 200
    connections.breaks = [0] * 100
    assert clinic.get(f"/studies/{study}/metadata").status_code == 503
