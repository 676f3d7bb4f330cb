"""Failed attempts of calls to AWS are counted, also those that the SDK repeats with success."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import ClassVar

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from app.engines.aws.attempts import counted
from app.metrics import AWS_FAILED_ATTEMPTS

THROTTLED = (400, b'{"__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"}')
CANCELLED = (
    400,
    b'{"__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",'
    b' "CancellationReasons": [{"Code": "None"}, {"Code": "ThrottlingError"}]}',
)
CONDITION = (400, b'{"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"}')
BROKEN = (500, b"{}")
FOUND = (200, b"{}")


class Answers(BaseHTTPRequestHandler):
    """Gives the answers of the list, one after another."""

    left: ClassVar[list[tuple[int, bytes]]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        status, body = Answers.left.pop(0)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def calls(address: str, attempts: int) -> bool:
    """Make one call with so many attempts. Return whether it succeeded."""
    client = counted(
        boto3.session.Session().client(
            "dynamodb",
            endpoint_url=address,
            region_name="eu-west-1",
            aws_access_key_id="a",
            aws_secret_access_key="b",
            config=Config(retries={"mode": "standard", "total_max_attempts": attempts}, connect_timeout=60),
        )
    )
    try:
        client.get_item(TableName="t", Key={"pk": {"S": "a"}})
    except (ClientError, BotoCoreError):
        return False
    return True


@pytest.mark.parametrize(
    ("answers", "reason", "succeeds"),
    [
        ([FOUND], "throttled", True),
        ([THROTTLED, FOUND], "throttled", True),
        ([CANCELLED], "throttled", False),
        ([BROKEN], "server", False),
        ([CONDITION], "server", False),
    ],
)
def test_attempts_by_reason(
    address: str, answers: list[tuple[int, bytes]], reason: str, succeeds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    before = AWS_FAILED_ATTEMPTS.value("dynamodb", reason)
    Answers.left[:] = answers
    assert calls(address, len(answers)) == succeeds
    failed = sum(answer not in (FOUND, CONDITION) for answer in answers)
    assert AWS_FAILED_ATTEMPTS.value("dynamodb", reason) - before == failed


def test_a_connection_that_fails_is_an_attempt() -> None:
    before = AWS_FAILED_ATTEMPTS.value("dynamodb", "connection")
    assert not calls("http://127.0.0.1:9", 1)
    assert AWS_FAILED_ATTEMPTS.value("dynamodb", "connection") - before == 1
