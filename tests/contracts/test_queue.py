"""The contract of the `Queue` port (app/storage/table/ports.py), for each engine."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.engines import table_queue
from app.engines.aws import clients
from app.engines.aws.sqs import SqsQueue
from app.engines.embedded.sqlite import SqliteTable
from app.engines.table_queue import TableQueue
from app.errors import StorageUnavailable
from app.storage.table.ports import Queue, Table
from tests.support.aws import OTHER_REGION, mocked_aws


@pytest.fixture(params=["rows", "sqs"])
def queue(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Queue]:
    """An empty queue of each engine."""
    if request.param == "rows":
        table = SqliteTable(tmp_path / "index.db")
        yield TableQueue(table)
        table.close()
        return
    with mocked_aws(OTHER_REGION):
        client = clients.sqs()
        yield SqsQueue(client, client.create_queue(QueueName="work")["QueueUrl"])


class TestQueue:
    def test_a_message_is_received_until_it_is_done(self, queue: Queue) -> None:
        queue.send("one")
        message = queue.receive()
        assert message is not None
        assert message.body == "one"
        assert queue.receive() is None, "hidden while someone has it"
        queue.done(message)
        assert queue.receive() is None

    def test_a_check_passes_and_sends_no_message(self, queue: Queue) -> None:
        queue.check()
        queue.check()
        assert queue.receive() is None

    def test_an_empty_queue_returns_none(self, queue: Queue) -> None:
        assert queue.receive() is None
        assert queue.receive(wait=0.01) is None

    def test_each_of_many_messages_is_received_once(self, queue: Queue) -> None:
        for number in range(25):
            queue.send(str(number))
        bodies = []
        while message := queue.receive():
            bodies.append(message.body)
            queue.done(message)
        assert sorted(bodies, key=int) == [str(number) for number in range(25)]

    def test_a_message_is_delivered_again_when_it_is_no_longer_hidden(self, queue: Queue) -> None:
        queue.send("one")
        first = queue.receive()
        assert first is not None
        first = queue.extend(first, 600)
        assert queue.receive() is None
        queue.extend(first, 0)
        again = queue.receive()
        assert again is not None
        assert again.body == "one"
        queue.done(again)
        assert queue.receive() is None

    def test_done_and_extend_of_a_message_that_is_gone(self, queue: Queue) -> None:
        queue.send("one")
        message = queue.receive()
        assert message is not None
        queue.done(message)
        queue.done(message)
        queue.extend(message, 60)
        assert queue.receive() is None

    def test_a_delayed_message_waits(self, queue: Queue) -> None:
        queue.send("later", delay=600)
        assert queue.receive() is None

    def test_parallel_receivers_never_share_a_message(self, queue: Queue) -> None:
        for number in range(20):
            queue.send(str(number))
        with ThreadPoolExecutor(4) as pool:
            received = [message.body for message in pool.map(lambda _: queue.receive(), range(20)) if message]
        assert len(received) == len(set(received))
        while message := queue.receive():
            received.append(message.body)
        assert sorted(received, key=int) == [str(number) for number in range(20)]


class TestRows:
    """Behaviour of the queue that keeps its messages in the table."""

    def test_a_message_is_delivered_several_times_and_then_becomes_dead(self, table: Table) -> None:
        now = [1000.0]
        queue = TableQueue(table, now=lambda: now[0])
        queue.send("poison")
        for _ in range(table_queue.MAX_RECEIVES):
            message = queue.receive()
            assert message is not None
            assert queue.receive() is None
            now[0] += table_queue.HIDDEN_SECONDS
        assert queue.receive() is None
        assert [item.fields["body"] for item in table.query("queue/dead")] == ["poison"]
        assert table.count("queue") == 0

    def test_receive_waits_as_long_as_it_may(self, table: Table) -> None:
        now = [1000.0]

        def sleep(seconds: float) -> None:
            now[0] += seconds
            if now[0] > 1003:
                empty.send("late")

        empty = TableQueue(table, now=lambda: now[0], sleep=sleep)
        message = empty.receive(wait=10)
        assert message is not None
        assert message.body == "late"
        assert now[0] < 1004
        empty.done(message)
        now[0] = 0.0
        assert empty.receive(wait=2) is None
        assert now[0] == 2.0

    def test_a_delayed_message_is_received_when_it_is_due(self, table: Table) -> None:
        now = [1000.0]
        queue = TableQueue(table, now=lambda: now[0])
        queue.send("later", delay=60)
        now[0] += 59
        assert queue.receive() is None
        now[0] += 1
        assert queue.receive() is not None


def test_a_missing_queue_is_a_storage_failure() -> None:
    with mocked_aws(OTHER_REGION):
        queue = SqsQueue(clients.sqs(), "https://sqs.eu-central-1.amazonaws.com/123456789012/none")
        for call in (lambda: queue.send("x"), queue.receive, queue.check):
            with pytest.raises(StorageUnavailable):
                call()
