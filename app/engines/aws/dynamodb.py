"""The `Table` port on one DynamoDB table. An item of the port is an item of DynamoDB (`attributes.py`).

A single put or deletion without an expectation is a plain PutItem or DeleteItem. The SDK may send it twice.

Every other write is a transaction with a request token, also a single conditional change. If the answer is lost, the
SDK sends the request again. A conditional PutItem would then fail because of its own first attempt, and a read could
not tell our item from an equal item of another writer. An addition would count twice. With the token, DynamoDB repeats
its first answer.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from app.engines.aws import attributes
from app.engines.aws.failures import ThrottledPart, retried, translated, unthrottled
from app.engines.changes import check_items, check_keys, check_plain, check_range, check_total, is_storable
from app.errors import StorageError
from app.storage.table.ports import (
    ALL,
    Absent,
    Add,
    Change,
    Delete,
    Expectation,
    Holds,
    Item,
    Key,
    PlainChange,
    Present,
    Put,
    Range,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_BATCH: Final = 100
"""Keys in one BatchGetItem. This is a limit of DynamoDB."""

_BATCH_WRITES: Final = 25
"""Requests in one BatchWriteItem. This is a limit of DynamoDB."""

_FIRST_PAGE: Final = 500
"""Items in the first page of a query without a limit."""

_WHOLE_PAGE: Final = 100_000
"""More items than the megabyte has with which DynamoDB ends a page."""


class DynamoTable:
    """A `Table` in the DynamoDB table `name`, for any number of processes on any number of machines.

    Every write is one call, so a kill -9 leaves all of it or nothing. A counter may skip numbers, because the SDK
    repeats an `add` whose answer was lost.
    """

    def __init__(self, client: DynamoDBClient, name: str) -> None:
        self._client = client
        self._name = name

    def get(self, key: Key) -> Item | None:
        """Return the item, or None. This is one GetItem."""
        if not is_storable(key):
            return None
        with translated():
            answer = self._client.get_item(TableName=self._name, Key=attributes.of_key(key), ConsistentRead=True)
        return attributes.item(answer["Item"]) if "Item" in answer else None

    def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        """Return one entry for each key, in the order of `keys`. One BatchGetItem serves 100 different keys."""
        different = [key for key in dict.fromkeys(keys) if is_storable(key)]
        found: dict[Key, Item] = {}
        for start in range(0, len(different), _BATCH):
            for item in self._batch(different[start : start + _BATCH]):
                found[item.key] = item
        return [found.get(key) for key in keys]

    def _batch(self, keys: Sequence[Key]) -> Iterator[Item]:
        wanted: Any = {self._name: {"Keys": [attributes.of_key(key) for key in keys], "ConsistentRead": True}}

        def attempt() -> Any:
            with translated():
                answer = self._client.batch_get_item(RequestItems=wanted)
            if answer.get("UnprocessedKeys") and not answer["Responses"].get(self._name):
                raise ThrottledPart  # an answer that ends at 16 MB has items
            return answer

        while wanted:
            answer = unthrottled(attempt)
            yield from map(attributes.item, answer["Responses"].get(self._name, []))
            wanted = answer.get("UnprocessedKeys")

    def query(
        self, pk: str, between: Range = ALL, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[Item]:
        """Yield the items in order. This is one Query for each page of at most 1 MB."""
        left = sys.maxsize if limit is None else limit
        pages = (_FIRST_PAGE, _WHOLE_PAGE) if limit is None else (limit, limit)
        for answer in self._pages(pk, between, *pages, ScanIndexForward=not reverse):
            for found in answer["Items"][:left]:
                yield attributes.item(found)
            left -= len(answer["Items"])
            if left <= 0:
                return

    def count(self, pk: str, between: Range = ALL) -> int:
        """Return how many items are in the range. This is one Query for each megabyte of items."""
        return sum(answer["Count"] for answer in self._pages(pk, between, _WHOLE_PAGE, _WHOLE_PAGE, Select="COUNT"))

    def _pages(self, pk: str, between: Range, first: int, rest: int, **how: object) -> Iterator[dict[str, Any]]:
        check_range(between)
        if first == 0 or not is_storable(Key(pk, "-")) or "" < between.high < between.low:
            return
        request: dict[str, Any] = {
            **_condition_on_key(pk, between),
            **how,
            "TableName": self._name,
            "ConsistentRead": True,
        }
        size = first
        while True:
            with translated():
                answer: Any = self._client.query(**request, Limit=size)
            yield answer
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
            size = rest

    def items(self, after: Key | None = None) -> Iterator[Item]:
        """Yield every item, in the order in which DynamoDB keeps them. This is one Scan for each megabyte of items."""
        request: dict[str, Any] = {"TableName": self._name, "ConsistentRead": True}
        if after:
            request["ExclusiveStartKey"] = attributes.of_key(after)
        while True:
            with translated():
                answer: Any = self._client.scan(**request)
            yield from map(attributes.item, answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def write(self, *changes: Change, before: Sequence[PlainChange] = (), after: Sequence[Delete] = ()) -> None:
        """Apply the changes in one call; raise Conflict with the first key whose expectation failed.

        `before` and `after` are calls of their own, which cost half as much. If other transactions use the same items,
        or DynamoDB throttles the write, the same write is repeated for some seconds. Then it raises `Conflict(None)` or
        `Throttled`, and none of `changes` was applied.
        """
        check_keys(changes)
        check_plain((*changes, *before, *after), before, after)
        self._write_each(before)
        self._transact(changes)
        with suppress(StorageError):  # the transaction is done; the caller's record names what is left
            self._write_each(after)

    def write_each(self, changes: Iterable[PlainChange], *, durable: bool = True) -> None:
        """Apply the changes: one BatchWriteItem for 25 of them, a plain call for a single one. They are durable."""
        plain = tuple(changes)
        check_plain(plain, plain)
        self._write_each(plain)

    def _write_each(self, changes: Sequence[PlainChange]) -> None:
        check_items(_sizes(changes))
        actions = [self._action(change) for change in changes]
        if len(actions) == 1:
            self._write_plainly(*actions[0].items())
            return
        for start in range(0, len(actions), _BATCH_WRITES):
            self._write_batch([_batched(action) for action in actions[start : start + _BATCH_WRITES]])

    def _write_batch(self, requests: list[dict[str, Any]]) -> None:
        """Make one BatchWriteItem, and repeat it with what DynamoDB did not process."""
        left: dict[str, Any] = {self._name: requests}

        def attempt() -> None:
            nonlocal left
            given = len(left[self._name])
            with translated():
                left = self._client.batch_write_item(RequestItems=left).get("UnprocessedItems") or {}
            if left and len(left[self._name]) == given:
                raise ThrottledPart

        while left:
            unthrottled(attempt)

    def _transact(self, changes: Sequence[Change]) -> None:
        actions = [self._action(change) for change in changes]
        sizes = list(_sizes(changes))
        check_items(sizes)
        check_total(size for _, size in sizes)
        if len(changes) == 1 and isinstance(changes[0], Put | Delete) and changes[0].expect is None:
            self._write_plainly(*actions[0].items())
        elif changes:
            request = {"TransactItems": actions, "ClientRequestToken": str(uuid.uuid4())}
            retried(self._client.transact_write_items, request, [change.key for change in changes])

    def _write_plainly(self, action: tuple[str, dict[str, Any]]) -> None:
        kind, request = action
        retried(self._client.put_item if kind == "Put" else self._client.delete_item, request)

    def _action(self, change: Change) -> dict[str, dict[str, Any]]:
        condition = {} if change.expect is None else _condition(change.expect)
        match change:
            case Put(item):
                return {"Put": {"TableName": self._name, "Item": attributes.of_item(item), **condition}}
            case Delete(key):
                return {"Delete": {"TableName": self._name, "Key": attributes.of_key(key), **condition}}
            case Add(key, by):
                return {"Update": {"TableName": self._name, "Key": attributes.of_key(key), **_addition(by)}}
        return {"ConditionCheck": {"TableName": self._name, "Key": attributes.of_key(change.key), **condition}}

    def add(self, key: Key, counter: str, by: int) -> int:
        """Add to the field and return its new value. This is one UpdateItem."""
        request = {
            "TableName": self._name,
            "Key": attributes.of_key(key),
            **_addition({counter: by}),
            "ReturnValues": "UPDATED_NEW",
        }
        return int(retried(self._client.update_item, request)["Attributes"][counter]["N"])


def _sizes(changes: Sequence[Change]) -> Iterator[tuple[Key, int]]:
    return ((change.key, attributes.size(change.item)) for change in changes if isinstance(change, Put))


def _batched(action: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return an action of a transaction, which has no condition, as a request of a BatchWriteItem."""
    if "Put" in action:
        return {"PutRequest": {"Item": action["Put"]["Item"]}}
    return {"DeleteRequest": {"Key": action["Delete"]["Key"]}}


def _addition(by: Mapping[str, int]) -> dict[str, Any]:
    numbered = list(enumerate(by.items()))
    return {
        "UpdateExpression": "ADD " + ", ".join(f"#{number} :{number}" for number, _ in numbered),
        "ExpressionAttributeNames": {f"#{number}": counter for number, (counter, _) in numbered},
        "ExpressionAttributeValues": {f":{number}": attributes.encoded(value) for number, (_, value) in numbered},
    }


def _condition_on_key(pk: str, between: Range) -> dict[str, Any]:
    values = {":pk": {"S": pk}}
    if between.low:
        values[":low"] = {"S": between.low}
    if between.high:
        values[":high"] = {"S": between.high}
    expression = _RANGES[bool(between.low), bool(between.high)]
    return {"KeyConditionExpression": expression, "ExpressionAttributeValues": values}


_RANGES: Final = {
    (False, False): "pk = :pk",
    (True, False): "pk = :pk AND sk >= :low",
    (False, True): "pk = :pk AND sk <= :high",
    (True, True): "pk = :pk AND sk BETWEEN :low AND :high",
}


def _condition(expectation: Expectation) -> dict[str, Any]:
    match expectation:
        case Absent():
            return {"ConditionExpression": "attribute_not_exists(pk)"}
        case Present():
            return {"ConditionExpression": "attribute_exists(pk)"}
        case Holds(field, value):
            return {
                "ConditionExpression": "#field = :value",
                "ExpressionAttributeNames": {"#field": field},
                "ExpressionAttributeValues": {":value": attributes.encoded(value)},
            }
