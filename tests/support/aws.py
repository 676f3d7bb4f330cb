"""AWS in this process, simulated by moto. This is the only place that starts moto."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import RLock
from typing import Any, Final

import pytest
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.table import Table
from moto.kms import models as kms
from moto.kms.utils import generate_private_key

REGION: Final = "us-east-1"
OTHER_REGION: Final = "eu-central-1"
"""In this region a bucket needs a location constraint."""

_update_item = DynamoDBBackend.update_item
_process_request = BotocoreStubber.process_request
_private_key = cache(generate_private_key)
_one_request = RLock()
_copies: dict[str, Table] = {}
"""The copies of tables that the current request has made."""


@contextmanager
def aws_environment(region: str = REGION) -> Iterator[None]:
    """Set credentials that no AWS account has, and the region."""
    with pytest.MonkeyPatch.context() as environment:
        for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(variable, "testing")
        environment.setenv("AWS_DEFAULT_REGION", region)
        yield


@contextmanager
def mocked_aws(region: str = REGION) -> Iterator[None]:
    """Answer all AWS calls of this process from an empty account.

    Each request is atomic, as on AWS. Without the lock, moto lets other threads write between the check of a condition
    and its write, and it copies tables while other threads write to them.

    The patches of `fast_moto` only save time, together about half of it.
    """
    with aws_environment(region), pytest.MonkeyPatch.context() as patch, mock_aws(), fast_moto():
        patch.setattr(BotocoreStubber, "process_request", _one_at_a_time)
        yield


@contextmanager
def fast_moto() -> Iterator[None]:
    """Let moto copy less of a table for each transaction, and make one RSA key for all encrypted tables.

    Requests must run one at a time, and each must begin with `forget_copies`.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Table, "__deepcopy__", _copy_table, raising=False)
        patch.setattr(DynamoDBBackend, "update_item", _update_a_copy)
        patch.setattr(kms, "generate_private_key", _private_key)
        yield


def _one_at_a_time(stubber: BotocoreStubber, request: Any) -> Any:
    with _one_request:
        forget_copies()
        return _process_request(stubber, request)


def forget_copies() -> None:
    """Begin a request: it copies each table again."""
    _copies.clear()


def _copy_table(table: Table, _: dict[int, Any]) -> Table:
    """Copy a table as far as a transaction needs it, once in a request.

    Before it writes the changes of a transaction, moto copies the whole table as often as there are changes, to restore
    it if a condition fails. Every change of a transaction replaces items and does not modify them (`_update_a_copy`).
    So the items themselves need no copy.
    """
    if table.name not in _copies:
        _copies[table.name] = copy.copy(table)
        _copies[table.name].items = defaultdict(dict, {key: dict(items) for key, items in table.items.items()})
    return _copies[table.name]


def _update_a_copy(backend: DynamoDBBackend, table_name: str, key: dict[str, Any], *rest: Any, **named: Any) -> Item:
    """Update an item as moto does, but a copy of it, so that the copies of the table keep the item as it was."""
    table = backend.get_table(table_name)
    items = table.items.get(DynamoType(key[table.hash_key_attr]), {})
    name = DynamoType(key[table.range_key_attr])
    if name in items:
        items[name] = copy.deepcopy(items[name])
    return _update_item(backend, table_name, key, *rest, **named)
