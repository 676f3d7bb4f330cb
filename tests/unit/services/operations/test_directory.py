"""Callers read only the operations that are public."""

from __future__ import annotations

from app.services.operations.directory import OperationDirectory
from tests.unit.services.operations.bench import Bench


def test_internal_operations_are_hidden(bench: Bench) -> None:
    directory = OperationDirectory(bench.operations)
    public = bench.start()
    internal = bench.operations.start("tag-removal", {})
    assert directory.find(public) == bench.get(public)
    assert directory.find(internal.id) is None
    assert directory.find("0" * 32) is None
