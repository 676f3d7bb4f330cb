"""Ports that measure their calls for the metrics: how many, how long and with which outcome. With tracing on, each call
has a span.

A call costs about a microsecond more. The labels are the name of the operation, and a word for the class of the error.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Final, ParamSpec, TypeVar

from app import tracing
from app.bootstrap.engines import Engine
from app.errors import BlobMissing, Conflict, Throttled
from app.metrics import BLOB_SECONDS, TABLE_SECONDS
from app.metrics.kinds import Histogram
from app.storage.table.ports import ALL, BlobStore, Item, Range, Table

P = ParamSpec("P")
R = TypeVar("R")

_PORTS: Final = {TABLE_SECONDS.name: "table", BLOB_SECONDS.name: "blob"}

_OUTCOMES: Final[dict[type[BaseException], str]] = {
    Conflict: "conflict",
    BlobMissing: "missing",
    Throttled: "throttled",
}
"""The outcome of a call that raises one of these errors. Every other error is `failed`."""


def measured(engine: Engine) -> Engine:
    """Return the engine with ports that measure."""
    return dataclasses.replace(engine, table=MeasuredTable(engine.table), blobs=MeasuredBlobs(engine.blobs))


class MeasuredTable:
    """A `Table` that measures the calls of another one."""

    def __init__(self, table: Table) -> None:
        self.get = _measured(table.get, TABLE_SECONDS, "get")
        self.get_many = _measured(table.get_many, TABLE_SECONDS, "get_many")
        self.count = _measured(table.count, TABLE_SECONDS, "count")
        self.write = _measured(table.write, TABLE_SECONDS, "write")
        self.write_each = _measured(table.write_each, TABLE_SECONDS, "write_each")
        self.add = _measured(table.add, TABLE_SECONDS, "add")
        self.items = table.items
        self._query = table.query
        self._first = _measured(_next, TABLE_SECONDS, "query")

    def query(
        self, pk: str, between: Range = ALL, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[Item]:
        """Yield what the table yields. The time ends with the first item, because then the caller takes its time."""
        items = self._query(pk, between, reverse=reverse, limit=limit)
        first = self._first(items)
        if first is not None:
            yield first
            yield from items


class MeasuredBlobs:
    """A `BlobStore` that measures the calls of another one."""

    def __init__(self, blobs: BlobStore) -> None:
        self.put = _measured(blobs.put, BLOB_SECONDS, "put")
        self.open = _measured(blobs.open, BLOB_SECONDS, "open")
        self.delete = _measured(blobs.delete, BLOB_SECONDS, "delete")
        self.listed = blobs.listed


def _measured(call: Callable[P, R], histogram: Histogram, operation: str) -> Callable[P, R]:
    call = tracing.traced(call, f"{_PORTS[histogram.name]} {operation}")
    observe = histogram.observe

    def measure(*args: P.args, **kwargs: P.kwargs) -> R:
        started = perf_counter()
        try:
            result = call(*args, **kwargs)
        except Exception as error:
            observe(perf_counter() - started, operation, _OUTCOMES.get(type(error), "failed"))
            raise
        observe(perf_counter() - started, operation, "ok")
        return result

    return measure


def _next(items: Iterator[Item]) -> Item | None:
    return next(items, None)
