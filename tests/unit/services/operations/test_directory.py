"""Callers read only the operations that are public."""

from __future__ import annotations

from app.services.access.caller import ANONYMOUS
from app.services.operations.directory import OperationDirectory
from tests.unit.services.operations.bench import Bench


def test_internal_operations_are_hidden(bench: Bench) -> None:
    directory = OperationDirectory(bench.operations)
    public = bench.start()
    internal = bench.operations.start("tag-removal", {})
    assert directory.find(ANONYMOUS, public) == bench.get(public)
    assert directory.find(ANONYMOUS, internal.id) is None
    assert directory.find(ANONYMOUS, "0" * 32) is None
