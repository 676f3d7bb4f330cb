"""How `DynamoTable` handles the answers of DynamoDB, including those that moto never gives."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from threading import Event, Semaphore
from typing import TYPE_CHECKING, Any

import pytest
from botocore.awsrequest import AWSResponse, HTTPHeaders
from botocore.exceptions import EndpointConnectionError
from botocore.stub import ANY

from app.engines.aws.dynamodb import DynamoTable
from app.engines.aws.failures import CONTENTION, THROTTLE, WAITING_CALLS, ThrottledPart, unthrottled
from app.errors import Conflict, StorageUnavailable, Throttled
from app.storage.table.deadline import Deadline, DeadlinePassed, within
from app.storage.table.ports import Absent, Add, Change, Delete, Holds, Item, Key, Put, Range, Require

if TYPE_CHECKING:
    from botocore.stub import Stubber
    from mypy_boto3_dynamodb import DynamoDBClient

KEY = Key("p", "s")
ITEM: dict[str, Any] = {"pk": {"S": "p"}, "sk": {"S": "s"}}
PUT = Put(Item(KEY, {}))
CREATE = Put(Item(KEY, {}), Absent())


@pytest.fixture
def table(dynamodb: DynamoDBClient) -> DynamoTable:
    return DynamoTable(dynamodb, "t")


def cancel(stub: Stubber, *reasons: str) -> None:
    stub.add_client_error(
        "transact_write_items",
        "TransactionCanceledException",
        modeled_fields={"CancellationReasons": [{"Code": reason} for reason in reasons]},
    )


class RawAnswer(BytesIO):
    """The body of an answer, as the SDK reads it."""

    def stream(self, **_: object) -> Iterator[bytes]:
        yield self.read()


@pytest.fixture
def longest_pauses(pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses, each as long as it may be."""
    monkeypatch.setattr(random, "uniform", lambda _, high: high)
    return pauses


class TestRequests:
    def test_a_single_put_is_a_put_item(self, table: DynamoTable, dynamodb_stub: Stubber) -> None:
        dynamodb_stub.add_response(
            "put_item", {}, {"TableName": "t", "Item": ITEM | {"n": {"N": "1"}, "_data": {"B": b"x"}}}
        )
        table.write(Put(Item(KEY, {"n": 1}, b"x")))

    def test_a_single_delete_is_a_delete_item(self, table: DynamoTable, dynamodb_stub: Stubber) -> None:
        dynamodb_stub.add_response("delete_item", {}, {"TableName": "t", "Key": ITEM})
        table.write(Delete(KEY))

    def test_anything_else_is_a_transaction(self, table: DynamoTable, dynamodb_stub: Stubber) -> None:
        there = {"ConditionExpression": "attribute_not_exists(pk)"}
        added = {
            "UpdateExpression": "ADD #0 :0",
            "ExpressionAttributeNames": {"#0": "n"},
            "ExpressionAttributeValues": {":0": {"N": "2"}},
        }
        held = {
            "ConditionExpression": "#field = :value",
            "ExpressionAttributeNames": {"#field": "state"},
            "ExpressionAttributeValues": {":value": {"S": "open"}},
        }
        other = {"pk": {"S": "p"}, "sk": {"S": "t"}}
        dynamodb_stub.add_response(
            "transact_write_items",
            {},
            {
                "TransactItems": [
                    {"Put": {"TableName": "t", "Item": ITEM, **there}},
                    {"Delete": {"TableName": "t", "Key": other}},
                    {"ConditionCheck": {"TableName": "t", "Key": other | {"sk": {"S": "u"}}, **held}},
                    {"Update": {"TableName": "t", "Key": other | {"sk": {"S": "v"}}, **added}},
                ],
                "ClientRequestToken": ANY,
            },
        )
        required = Require(Key("p", "u"), Holds("state", "open"))
        table.write(CREATE, Delete(Key("p", "t")), required, Add(Key("p", "v"), {"n": 2}))

    def test_reads_are_consistent(self, table: DynamoTable, dynamodb_stub: Stubber) -> None:
        dynamodb_stub.add_response("get_item", {}, {"TableName": "t", "Key": ITEM, "ConsistentRead": True})
        assert table.get(KEY) is None
        wanted = {"t": {"Keys": [ITEM], "ConsistentRead": True}}
        dynamodb_stub.add_response("batch_get_item", {"Responses": {"t": [ITEM]}}, {"RequestItems": wanted})
        assert table.get_many([KEY, KEY]) == [Item(KEY, {})] * 2

    @pytest.mark.parametrize("change", [CREATE, Delete(KEY, Absent()), Require(KEY, Absent()), Add(KEY, {"n": 1})])
    def test_a_repeated_transaction_keeps_its_token(
        self, table: DynamoTable, dynamodb: DynamoDBClient, dynamodb_stub: Stubber, pauses: list[float], change: Change
    ) -> None:
        tokens: list[str] = []

        def remember(params: dict[str, Any], **_: object) -> None:
            tokens.append(params["ClientRequestToken"])

        dynamodb.meta.events.register("provide-client-params.dynamodb.TransactWriteItems", remember)
        cancel(dynamodb_stub, "TransactionConflict")
        dynamodb_stub.add_response("transact_write_items", {})
        dynamodb_stub.add_response("transact_write_items", {})
        table.write(change)
        table.write(change)
        dynamodb.meta.events.unregister("provide-client-params.dynamodb.TransactWriteItems", remember)
        assert tokens[0] == tokens[1] != tokens[2]
        assert len(pauses) == 1


class TestConflicts:
    def test_the_first_failed_condition_is_named(self, table: DynamoTable, dynamodb_stub: Stubber) -> None:
        cancel(dynamodb_stub, "None", "ConditionalCheckFailed", "ConditionalCheckFailed")
        with pytest.raises(Conflict) as caught:
            table.write(PUT, Put(Item(Key("p", "t"), {}), Absent()), Put(Item(Key("p", "u"), {}), Absent()))
        assert caught.value.key == ("p", "t")

    def test_a_failed_condition_matters_more_than_contention(
        self, table: DynamoTable, dynamodb_stub: Stubber, pauses: list[float]
    ) -> None:
        cancel(dynamodb_stub, "TransactionConflict", "ConditionalCheckFailed")
        with pytest.raises(Conflict) as caught:
            table.write(PUT, Put(Item(Key("p", "t"), {}), Absent()))
        assert caught.value.key == ("p", "t")
        assert pauses == []

    def test_a_call_is_repeated_under_contention(
        self, table: DynamoTable, dynamodb_stub: Stubber, pauses: list[float]
    ) -> None:
        for _ in range(3):
            cancel(dynamodb_stub, "None", "TransactionConflict")
        dynamodb_stub.add_response("transact_write_items", {})
        table.write(PUT, Delete(Key("p", "t")))
        assert len(pauses) == 3
        assert all(0 <= pause <= 1 for pause in pauses)

    def test_repetitions_are_bounded(self, table: DynamoTable, dynamodb_stub: Stubber, pauses: list[float]) -> None:
        for _ in range(CONTENTION.attempts):
            cancel(dynamodb_stub, "TransactionConflict")
        with pytest.raises(Conflict) as caught:
            table.write(CREATE)
        assert caught.value.key is None
        assert sum(pauses) < 5

    def test_a_transaction_that_may_still_succeed_is_not_a_conflict(
        self, table: DynamoTable, dynamodb_stub: Stubber, pauses: list[float]
    ) -> None:
        for _ in range(CONTENTION.attempts):
            dynamodb_stub.add_client_error("transact_write_items", "TransactionInProgressException")
        with pytest.raises(StorageUnavailable):
            table.write(CREATE)

    @pytest.mark.parametrize("operation", ["put_item", "delete_item", "update_item"])
    def test_contention_without_a_transaction(
        self, table: DynamoTable, dynamodb_stub: Stubber, pauses: list[float], operation: str
    ) -> None:
        dynamodb_stub.add_client_error(operation, "TransactionConflictException")
        dynamodb_stub.add_response(operation, {"Attributes": {"n": {"N": "7"}}})
        if operation == "update_item":
            assert table.add(KEY, "n", 1) == 7
        else:
            table.write(PUT if operation == "put_item" else Delete(KEY))
        assert len(pauses) == 1


class TestThrottling:
    @pytest.mark.parametrize("reason", ["ThrottlingError", "ProvisionedThroughputExceeded"])
    def test_a_throttled_transaction_is_repeated_as_it_is_after_longer_pauses(
        self, table: DynamoTable, dynamodb_stub: Stubber, longest_pauses: list[float], reason: str
    ) -> None:
        for _ in range(3):
            cancel(dynamodb_stub, "None", reason)
        dynamodb_stub.add_response("transact_write_items", {})
        table.write(PUT, Delete(Key("p", "t")))
        assert longest_pauses == [0.2, 0.4, 0.8]

    def test_in_the_end_it_is_throttled_and_no_conflict(
        self, table: DynamoTable, dynamodb_stub: Stubber, longest_pauses: list[float]
    ) -> None:
        for _ in range(THROTTLE.attempts):
            cancel(dynamodb_stub, "ThrottlingError")
        with pytest.raises(Throttled):
            table.write(CREATE)
        assert sum(longest_pauses) < 10

    @pytest.mark.parametrize(
        "error", ["ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded"]
    )
    def test_a_throttled_call_that_the_sdk_has_repeated_is_not_repeated_again(
        self, table: DynamoTable, dynamodb_stub: Stubber, pauses: list[float], error: str
    ) -> None:
        acts: dict[str, Callable[[], object]] = {
            "get_item": lambda: table.get(KEY),
            "batch_get_item": lambda: table.get_many([KEY]),
            "update_item": lambda: table.add(KEY, "n", 1),
            "put_item": lambda: table.write(PUT),
            "transact_write_items": lambda: table.write(CREATE),
        }
        for operation, act in acts.items():
            dynamodb_stub.add_client_error(operation, error)
            with pytest.raises(Throttled):
                act()
        assert pauses == []

    def test_only_a_few_calls_wait_for_capacity(self, monkeypatch: pytest.MonkeyPatch) -> None:
        waiting, accepted = Semaphore(0), Event()

        def sleep(_: float) -> None:
            waiting.release()
            assert accepted.wait(60)

        def throttled() -> str:
            if accepted.is_set():
                return "done"
            raise ThrottledPart

        monkeypatch.setattr(time, "sleep", sleep)
        with ThreadPoolExecutor(WAITING_CALLS) as threads:
            calls = [threads.submit(unthrottled, throttled) for _ in range(WAITING_CALLS)]
            assert all(waiting.acquire(timeout=60) for _ in range(WAITING_CALLS))
            with pytest.raises(Throttled):
                unthrottled(throttled)
            accepted.set()
            assert [call.result() for call in calls] == ["done"] * WAITING_CALLS
        assert unthrottled(throttled) == "done"


class TestDeadlines:
    @pytest.fixture
    def sent(self, dynamodb: DynamoDBClient) -> Iterator[list[str]]:
        """The calls that were sent. DynamoDB fails each of them, and the SDK would repeat it."""
        calls: list[str] = []

        def fail(request: Any, **_: object) -> Any:
            calls.append(request.headers["X-Amz-Target"].decode().partition(".")[2])
            return AWSResponse(request.url, 500, HTTPHeaders(), RawAnswer(b"{}"))

        dynamodb.meta.events.register("before-send.dynamodb", fail)
        yield calls
        dynamodb.meta.events.unregister("before-send.dynamodb", fail)

    def test_the_sdk_repeats_no_call_after_the_deadline(
        self, table: DynamoTable, sent: list[str], pauses: list[float]
    ) -> None:
        with pytest.raises(StorageUnavailable):
            table.get(KEY)
        assert sent == ["GetItem"] * 4
        sent.clear()
        acts: list[Callable[[], object]] = [lambda: table.get(KEY), lambda: table.write(CREATE)]
        for act in acts:
            with within(Deadline(0)), pytest.raises(DeadlinePassed):
                act()
        assert sent == ["GetItem", "TransactWriteItems"]

    def test_no_contended_call_is_repeated_after_the_deadline(
        self, table: DynamoTable, dynamodb_stub: Stubber, pauses: list[float]
    ) -> None:
        for reason in ("TransactionConflict", "ThrottlingError"):
            cancel(dynamodb_stub, reason)
            with within(Deadline(0)), pytest.raises(DeadlinePassed):
                table.write(CREATE)
        assert pauses == []


class TestFailures:
    @pytest.mark.parametrize("reasons", [["ValidationError"], ["None", "AccessDenied"], ["None"]])
    def test_other_reasons(self, table: DynamoTable, dynamodb_stub: Stubber, reasons: list[str]) -> None:
        cancel(dynamodb_stub, *reasons)
        with pytest.raises(StorageUnavailable):
            table.write(CREATE)

    @pytest.mark.parametrize("error", ["ResourceNotFoundException", "AccessDeniedException", "InternalServerError"])
    def test_every_call(self, table: DynamoTable, dynamodb_stub: Stubber, error: str) -> None:
        calls: dict[str, Callable[[], object]] = {
            "get_item": lambda: table.get(KEY),
            "batch_get_item": lambda: table.get_many([KEY]),
            "query": lambda: list(table.query("p")),
            "put_item": lambda: table.write(PUT),
            "transact_write_items": lambda: table.write(CREATE),
            "update_item": lambda: table.add(KEY, "n", 1),
        }
        for operation, call in calls.items():
            dynamodb_stub.add_client_error(operation, error)
            with pytest.raises(StorageUnavailable) as caught:
                call()
            assert error in str(caught.value.__cause__)

    def test_no_connection(self, table: DynamoTable, dynamodb: DynamoDBClient, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(**_: object) -> None:
            raise EndpointConnectionError(endpoint_url="http://nowhere")

        for operation in ("get_item", "transact_write_items"):
            monkeypatch.setattr(dynamodb, operation, fail)
        calls: list[Callable[[], object]] = [lambda: table.get(KEY), lambda: table.write(CREATE)]
        for call in calls:
            with pytest.raises(StorageUnavailable):
                call()


class TestBatches:
    def test_unprocessed_keys_are_requested_again(
        self, table: DynamoTable, dynamodb_stub: Stubber, pauses: list[float]
    ) -> None:
        keys = [{"pk": {"S": "p"}, "sk": {"S": sk}} for sk in "abc"]
        rest = {"t": {"Keys": keys[1:], "ConsistentRead": True}}
        last = {"t": {"Keys": keys[2:], "ConsistentRead": True}}
        dynamodb_stub.add_response("batch_get_item", {"Responses": {"t": keys[:1]}, "UnprocessedKeys": rest})
        dynamodb_stub.add_response("batch_get_item", {"Responses": {}, "UnprocessedKeys": rest}, {"RequestItems": rest})
        dynamodb_stub.add_response(
            "batch_get_item", {"Responses": {"t": keys[1:2]}, "UnprocessedKeys": last}, {"RequestItems": rest}
        )
        dynamodb_stub.add_response("batch_get_item", {"Responses": {"t": keys[2:]}}, {"RequestItems": last})
        got = table.get_many([Key("p", sk) for sk in "abc"])
        assert [item.key.sk for item in got if item] == ["a", "b", "c"]
        assert len(pauses) == 1  # only after the answer without items

    def test_repetitions_are_bounded(self, table: DynamoTable, dynamodb_stub: Stubber, pauses: list[float]) -> None:
        unprocessed = {"t": {"Keys": [ITEM]}}
        for _ in range(THROTTLE.attempts):
            dynamodb_stub.add_response("batch_get_item", {"Responses": {}, "UnprocessedKeys": unprocessed})
        with pytest.raises(Throttled):
            table.get_many([KEY])
        assert len(pauses) == THROTTLE.attempts - 1

    def test_100_keys_a_call(self, table: DynamoTable, dynamodb_stub: Stubber) -> None:
        for _ in range(3):
            dynamodb_stub.add_response("batch_get_item", {"Responses": {"t": []}})
        assert table.get_many([Key("p", str(n)) for n in range(201)]) == [None] * 201


class TestPages:
    def test_empty_pages_are_skipped(self, table: DynamoTable, dynamodb_stub: Stubber) -> None:
        dynamodb_stub.add_response("query", {"Items": [], "LastEvaluatedKey": ITEM})
        dynamodb_stub.add_response("query", {"Items": [ITEM], "LastEvaluatedKey": ITEM})
        dynamodb_stub.add_response("query", {"Items": []})
        assert list(table.query("p")) == [Item(KEY, {})]

    def test_a_limit_requests_no_more_items_than_needed(self, table: DynamoTable, dynamodb_stub: Stubber) -> None:
        request = {
            "TableName": "t",
            "ConsistentRead": True,
            "ScanIndexForward": False,
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": {"S": "p"}},
            "Limit": 1,
        }
        dynamodb_stub.add_response("query", {"Items": [ITEM], "LastEvaluatedKey": ITEM}, request)
        assert list(table.query("p", reverse=True, limit=1)) == [Item(KEY, {})]

    def test_empty_ranges_are_not_requested(self, table: DynamoTable, dynamodb_stub: Stubber) -> None:
        """DynamoDB refuses such a range, and the stub has no answer to it."""
        assert list(table.query("p", Range("c", "b"))) == []
        assert table.count("p", Range("c", "b")) == 0
        assert list(table.query("p", limit=0)) == []

    def test_counts_add_up(self, table: DynamoTable, dynamodb_stub: Stubber) -> None:
        dynamodb_stub.add_response("query", {"Count": 5000, "LastEvaluatedKey": ITEM})
        dynamodb_stub.add_response("query", {"Count": 17})
        assert table.count("p") == 5017


class TestFields:
    @pytest.mark.parametrize("name", ["pk", "sk", "_data"])
    def test_reserved_names(self, table: DynamoTable, name: str) -> None:
        with pytest.raises(ValueError, match="cannot be named"):
            table.write(Put(Item(KEY, {name: "x"})))

    @pytest.mark.parametrize("value", [1.5, None, b"x", [None], {"a": {1, 2}}])
    def test_values_of_other_types(self, table: DynamoTable, value: object) -> None:
        with pytest.raises(TypeError, match=r"cannot hold|JSON"):
            table.write(Put(Item(KEY, {"x": value})))
