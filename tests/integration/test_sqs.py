"""Announcements of work through SQS: the contract suite on the server of moto, and a worker that receives them.

The server takes an operation and announces it; a `bulkhead worker` in a process of its own receives the message and
does the work. Table and bucket are DynamoDB Local and `rclone serve s3`.
"""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from moto.server import ThreadedMotoServer

from app.engines.aws import clients
from app.engines.aws.sqs import SqsQueue
from app.storage.table.ports import Queue
from tests.contracts.test_queue import TestQueue
from tests.integration.copies import bulkhead, served
from tests.integration.servers import KEYS, dynamodb_local, free_port, s3_server
from tests.support.instances import make_instance

__all__ = ["TestQueue"]

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """The variables that name the SQS server, set in this process and for others."""
    server = ThreadedMotoServer("127.0.0.1", free_port(), verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    found = {
        "AWS_ENDPOINT_URL_SQS": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": KEYS[0],
        "AWS_SECRET_ACCESS_KEY": KEYS[1],
        "AWS_DEFAULT_REGION": "eu-west-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in found.items():
            patch.setenv(name, value)
        yield found
    server.stop()


def new_queue() -> str:
    return clients.sqs().create_queue(QueueName=uuid.uuid4().hex)["QueueUrl"]


@pytest.fixture
def queue(environment: dict[str, str]) -> Queue:
    return SqsQueue(clients.sqs(), new_queue())


def test_another_worker_receives_an_operation(
    environment: dict[str, str], tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    with ExitStack() as running:
        settings = environment | {
            "BULKHEAD_ENGINE": "aws",
            "BULKHEAD_TABLE": "archive",
            "BULKHEAD_BUCKET": "archive",
            "BULKHEAD_QUEUE_URL": new_queue(),
            "BULKHEAD_LOG_LEVEL": "warning",
            "AWS_ENDPOINT_URL_DYNAMODB": running.enter_context(dynamodb_local(tmp_path, pytestconfig.rootpath)),
            "AWS_ENDPOINT_URL_S3": running.enter_context(s3_server(tmp_path)),
        }
        subprocess.run(bulkhead("init"), env={**os.environ, **settings}, check=True)
        copy = running.enter_context(served(settings))
        dicom = {"Content-Type": "application/dicom"}
        url = f"{copy.url}/v2/partitions/clinic-a"
        assert requests.post(f"{url}/studies", data=make_instance(PatientSex="F"), headers=dicom).status_code == 200
        tag = [{"path": "PatientSex", "level": "Study"}]
        operation = requests.post(f"{copy.url}/v2/extendedquerytags", json=tag).json()["href"]
        assert requests.get(operation).json()["status"] == "notStarted"
        worker = subprocess.Popen(bulkhead("worker"), env={**os.environ, **settings})
        running.callback(worker.wait)
        running.callback(worker.terminate)
        ends = time.monotonic() + 60
        while requests.get(operation).status_code == 202:
            assert time.monotonic() < ends
            time.sleep(0.2)
        assert requests.get(operation).json()["status"] == "succeeded"
        assert len(requests.get(f"{url}/studies?PatientSex=F").json()) == 1
